//! What the environment says.
//!
//! This file refuses to know where the environment comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time that may be burned or waited per request.
const MOST_MILLIS: u64 = 60_000;

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `CARTRIDGE_ADDRESS` and `PORT`.
    pub(crate) address: SocketAddr,
    /// `CARTRIDGE_RELEASE`.
    pub(crate) release: Option<PathBuf>,
    /// `CARTRIDGE_MEMBER`, else `MEMBER_ID`.
    pub(crate) member: String,
    /// What every request costs unless it says otherwise.
    pub(crate) cost: Cost,
    /// `HELLO_ACCESS_LOG`.
    pub(crate) access_log: bool,
}

/// What one request costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// `HELLO_CPU_MS`, `?cpu_ms=`.
    pub(crate) cpu: Duration,
    /// `HELLO_WAIT_MS`, `?wait_ms=`.
    pub(crate) wait: Duration,
}

impl Cost {
    /// This cost, unless the query of a request says otherwise. What is no number is ignored.
    pub(crate) fn or_query(mut self, query: Option<&str>) -> Self {
        for (name, value) in query.unwrap_or("").split('&').filter_map(|p| p.split_once('=')) {
            let Ok(value) = millis(value) else { continue };
            match name {
                "cpu_ms" => self.cpu = value,
                "wait_ms" => self.wait = value,
                _ => {}
            }
        }
        self
    }
}

fn millis(text: &str) -> Result<Duration, std::num::ParseIntError> {
    Ok(Duration::from_millis(text.parse::<u64>()?.min(MOST_MILLIS)))
}

fn parsed<T>(name: &str, text: Option<String>, default: T) -> Result<T, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match text {
        None => Ok(default),
        Some(text) => text.parse().map_err(|error| format!("{name}={text}: {error}")),
    }
}

impl Config {
    /// Reads the settings; the first one that makes no sense is named.
    pub(crate) fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let read = |name: &str| variable(name).filter(|text| !text.is_empty());
        let cost = |name: &str| {
            let text = read(name).unwrap_or_else(|| "0".to_owned());
            millis(&text).map_err(|error| format!("{name}={text}: {error}"))
        };
        let address = parsed(
            "CARTRIDGE_ADDRESS",
            read("CARTRIDGE_ADDRESS"),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        )?;
        Ok(Self {
            address: SocketAddr::new(address, parsed("PORT", read("PORT"), 8080)?),
            release: read("CARTRIDGE_RELEASE").map(PathBuf::from),
            member: read("CARTRIDGE_MEMBER")
                .or_else(|| read("MEMBER_ID"))
                .unwrap_or_else(|| "none".to_owned()),
            cost: Cost {
                cpu: cost("HELLO_CPU_MS")?,
                wait: cost("HELLO_WAIT_MS")?,
            },
            access_log: read("HELLO_ACCESS_LOG").is_some_and(|text| text == "1"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_environment_is_enough() {
        let config = Config::from(|_| None).unwrap();
        assert_eq!(config.address.to_string(), "127.0.0.1:8080");
        assert_eq!(config.cost, Cost::default());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let bad = |name| Config::from(move |asked| (asked == name).then(|| "x".to_owned()));
        for name in ["PORT", "CARTRIDGE_ADDRESS", "HELLO_CPU_MS", "HELLO_WAIT_MS"] {
            let error = bad(name).unwrap_err();
            assert!(error.starts_with(&format!("{name}=x: ")), "{error}");
        }
    }

    #[test]
    fn a_query_overrides_the_cost_within_bounds() {
        let cost = Cost::default().or_query(Some("a=b&cpu_ms=7&wait_ms=999999999&cpu_ms=x"));
        assert_eq!(cost.cpu, Duration::from_millis(7));
        assert_eq!(cost.wait, Duration::from_millis(MOST_MILLIS));
    }
}
