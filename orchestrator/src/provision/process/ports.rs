//! Free ports on this machine. Refuses to know whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, TcpListener};
use std::ops::RangeInclusive;

use crate::provision::ProvisionError;

/// Members listen in this range, below the kernel's own choice for outgoing connections.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// Ports that are given to members, and where to look next: what was just given back is not given out at once.
#[derive(Debug)]
pub(super) struct Ports {
    taken: BTreeSet<(IpAddr, u16)>,
    next: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            taken: BTreeSet::new(),
            next: *RANGE.start(),
        }
    }
}

impl Ports {
    pub(super) fn take(&mut self, address: IpAddr, ports: impl IntoIterator<Item = u16>) {
        self.taken.extend(ports.into_iter().map(|port| (address, port)));
    }

    pub(super) fn give_back(&mut self, address: IpAddr, ports: impl IntoIterator<Item = u16>) {
        for port in ports {
            self.taken.remove(&(address, port));
        }
    }

    /// One free port per name, all or none.
    pub(super) fn choose<'a>(
        &mut self,
        address: IpAddr,
        names: impl IntoIterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, u16>, ProvisionError> {
        let mut chosen = BTreeMap::new();
        for name in names {
            let Some(port) = self.free(address) else {
                self.give_back(address, chosen.into_values());
                let (first, last) = (RANGE.start(), RANGE.end());
                return Err(ProvisionError(format!(
                    "no port from {first} to {last} is free on {address}"
                )));
            };
            self.taken.insert((address, port));
            chosen.insert(name.clone(), port);
        }
        Ok(chosen)
    }

    fn free(&mut self, address: IpAddr) -> Option<u16> {
        for _ in RANGE {
            let port = self.next;
            self.next = if port == *RANGE.end() {
                *RANGE.start()
            } else {
                port + 1
            };
            if !self.taken.contains(&(address, port)) && TcpListener::bind((address, port)).is_ok() {
                return Some(port);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_one_in_use_is_skipped() {
        let address: IpAddr = "127.9.8.7".parse().unwrap();
        let _held = TcpListener::bind((address, 20_000)).unwrap();
        let mut ports = Ports::default();
        let names = ["http".to_owned(), "admin".to_owned()];
        let first = ports.choose(address, &names).unwrap();
        let second = ports.choose(address, &names).unwrap();
        let all: BTreeSet<u16> = first.values().chain(second.values()).copied().collect();
        assert_eq!(all, BTreeSet::from([20_001, 20_002, 20_003, 20_004]));
    }

    #[test]
    fn an_address_that_is_not_ours_is_an_error_that_names_it() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let error = Ports::default()
            .choose(address, &["http".to_owned()])
            .unwrap_err();
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }
}
