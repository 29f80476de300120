//! Who may be asked for user-data: it comes in the clear and holds a secret, so only who is near.

use std::net::{IpAddr, Ipv4Addr};

/// Where clouds serve metadata.
pub const LINK_LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// What a CloudStack network calls its virtual router.
pub const DATA_SERVER: &str = "data-server";

/// A metadata service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// At an address.
    At(IpAddr, u16),
    /// By the only name that is accepted.
    DataServer,
}

impl Server {
    /// `http://169.254.169.254`, `http://127.0.0.1:8080`, `http://data-server`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").ok_or("is not http://address")?;
        let rest = rest.trim_end_matches('/');
        if rest == DATA_SERVER {
            return Ok(Self::DataServer);
        }
        let bare = rest.trim_start_matches('[').trim_end_matches(']');
        let (ip, port) = match (bare.parse::<IpAddr>(), rest.parse::<std::net::SocketAddr>()) {
            (Ok(ip), _) => (ip, 80),
            (_, Ok(address)) => (address.ip(), address.port()),
            _ => return Err("is not http://address".to_owned()),
        };
        if is_near(ip) {
            Ok(Self::At(ip, port))
        } else {
            Err("is too far away: user-data comes in the clear and holds a secret".to_owned())
        }
    }
}

/// On this machine, on its links, or in a private network.
pub fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let carrier = a == 100 && (64..128).contains(&b);
            ip.is_loopback() || ip.is_link_local() || ip.is_private() || carrier
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
    }
}
