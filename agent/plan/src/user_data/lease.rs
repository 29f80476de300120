//! Texts of DHCP clients: who gave this machine its address. In CloudStack that is who serves the user-data.

use std::net::Ipv4Addr;

/// The server of the last lease in `text`: of systemd-networkd and NetworkManager (`SERVER_ADDRESS=…`), or of dhclient
/// (`option dhcp-server-identifier …;`).
pub fn dhcp_server(text: &str) -> Option<Ipv4Addr> {
    let address = |line: &str| {
        let line = line.trim();
        let value = line.strip_prefix("SERVER_ADDRESS=").or_else(|| {
            line.strip_prefix("option dhcp-server-identifier")?
                .strip_suffix(';')
        })?;
        value.trim().parse().ok()
    };
    text.lines().filter_map(address).next_back()
}
