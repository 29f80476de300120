//! Which addresses a repository may be reached at. A name can mean anything by the time it is connected to, so this
//! is asked of each address itself. Refuses to know names and sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which classes of addresses may be connected to. What is link-local, multicast, reserved, or a cloud's
/// metadata service never may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The Internet.
    pub public: bool,
    /// Networks of one's own: RFC 1918, RFC 6598, RFC 4193.
    pub private: bool,
    /// This machine.
    pub loopback: bool,
}

impl Default for Addresses {
    fn default() -> Self {
        Self {
            public: true,
            private: true,
            loopback: false,
        }
    }
}

impl Addresses {
    /// Reads `public|private|loopback`, any of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut addresses = Self {
            public: false,
            private: false,
            loopback: false,
        };
        for word in text.split('|').map(str::trim) {
            match word {
                "public" => addresses.public = true,
                "private" => addresses.private = true,
                "loopback" => addresses.loopback = true,
                other => return Err(format!("{other:?} is no class of addresses")),
            }
        }
        Ok(addresses)
    }

    /// Why this address is not connected to, if it is not.
    pub fn fault(self, address: IpAddr) -> Option<&'static str> {
        match class(address) {
            Class::Public if self.public => None,
            Class::Private if self.private => None,
            Class::Loopback if self.loopback => None,
            Class::Public => Some("is public, and --allow-addresses does not name public"),
            Class::Private => Some("is private, and --allow-addresses does not name private"),
            Class::Loopback => Some("is this machine, and --allow-addresses does not name loopback"),
            Class::Never(reason) => Some(reason),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    Private,
    Loopback,
    Never(&'static str),
}

const METADATA: Class = Class::Never("is a cloud's metadata service");
const LINK_LOCAL: Class = Class::Never("is link-local, where metadata services are");
const NOBODYS: Class = Class::Never("is nobody's address");

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(four) => class4(four),
        IpAddr::V6(six) => match embedded(six) {
            Some(four) => class4(four),
            None => class6(six),
        },
    }
}

fn class4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // Azure's and Alibaba's and Oracle's, outside of 169.254/16.
        [168, 63, 129, 16] | [100, 100, 100, 200] | [192, 0, 0, 192] => METADATA,
        [169, 254, ..] => LINK_LOCAL,
        // 0.0.0.0 connects to this machine.
        [127, ..] | [0, 0, 0, 0] => Class::Loopback,
        [0, ..] | [192, 0, 0, _] | [224..=255, ..] => NOBODYS,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18..=19, ..] => {
            Class::Private
        }
        _ => Class::Public,
    }
}

fn class6(address: Ipv6Addr) -> Class {
    let [first, second, ..] = address.segments();
    if address.is_loopback() || address.is_unspecified() {
        return Class::Loopback;
    }
    // EC2's, and Google's.
    if address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        || address == Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)
    {
        return METADATA;
    }
    match first {
        0xfe80..=0xfebf => LINK_LOCAL,
        0xfec0..=0xfeff => NOBODYS,
        0xfc00..=0xfdff => Class::Private,
        // Teredo hides an address behind a relay.
        0x2001 if second == 0 => NOBODYS,
        0x2000..=0x3fff => Class::Public,
        _ => NOBODYS,
    }
}

/// The IPv4 address that packets to this one end at: mapped, compatible, NAT64, 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let four = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(four(g, h)),
        [0, 0, 0, 0, 0, 0] if g != 0 => Some(four(g, h)),
        [0x2002, ..] => Some(four(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(policy: Addresses, text: &str) -> Option<&'static str> {
        policy.fault(text.parse().expect("an address"))
    }

    #[test]
    fn metadata_link_local_and_nobodys_addresses_are_never_connected_to() {
        let all = Addresses::parse("public|private|loopback").unwrap();
        for bad in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.250",
            "255.255.255.255",
            "240.0.0.1",
            "0.1.2.3",
            "ff02::1",
            "fec0::1",
            "2001::1",
            "4000::1",
            // The same in disguise.
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(fault(all, bad).is_some(), "{bad} was accepted");
        }
    }

    #[test]
    fn each_class_is_accepted_only_where_it_is_named() {
        let of = |text: &str| Addresses::parse(text).unwrap();
        for (class, members) in [
            ("public", &["1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"][..]),
            (
                "private",
                &[
                    "10.0.0.1",
                    "172.31.255.255",
                    "192.168.1.1",
                    "100.64.0.1",
                    "fd12::1",
                    "2002:a00:1::1",
                ],
            ),
            (
                "loopback",
                &[
                    "127.0.0.1",
                    "127.9.9.9",
                    "::1",
                    "0.0.0.0",
                    "::",
                    "::ffff:127.0.0.1",
                ],
            ),
        ] {
            for other in ["public", "private", "loopback"] {
                for address in members {
                    assert_eq!(
                        fault(of(other), address).is_none(),
                        other == class,
                        "{address} under {other}"
                    );
                }
            }
        }
        assert!(fault(of("private"), "172.32.0.1").is_some());
        assert!(fault(Addresses::default(), "127.0.0.1").is_some());
        assert!(fault(Addresses::default(), "10.1.2.3").is_none());
        for bad in ["", "all", "public,private"] {
            assert!(Addresses::parse(bad).is_err(), "{bad:?}");
        }
    }
}
