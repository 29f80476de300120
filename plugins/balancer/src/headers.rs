//! What a proxy does to headers: what concerns one connection is dropped, who asked is added.
//!
//! This file refuses to know about connections and members.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

/// Headers that concern one connection only (RFC 9110, 7.6.1), and `Expect`, which the balancer answers.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The protocol that the sender wants to change to, if it asks for one.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    asked.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Removes what concerns one connection only, named by the standard or by the sender.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_tokens(headers)
        .filter_map(|token| token.parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Asks the other side to change the protocol.
pub(crate) fn ask_for_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// The host that a request is for: that of an absolute target before that of the header (RFC 9112, 3.2.2).
pub(crate) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let target = uri
        .authority()
        .and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    target.or_else(|| headers.get(header::HOST).cloned())
}

/// A host name as it is looked up: without port, without final dot, in lower case.
pub(crate) fn host_name(host: &str) -> String {
    let without_port = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => host.split(':').next().unwrap_or(host),
    };
    without_port.trim_end_matches('.').to_ascii_lowercase()
}

/// Says who asked, for which host, through what.
pub(crate) fn add_origin(headers: &mut HeaderMap, client: IpAddr, host: Option<&HeaderValue>) {
    let before = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let list: Vec<String> = before.map(str::to_owned).chain([client.to_string()]).collect();
    if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.remove(&FORWARDED_HOST);
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host.clone());
        headers.insert(header::HOST, host.clone());
    }
    add_via(headers);
}

/// Names the member itself where a client of HTTP/1.0 named no host.
pub(crate) fn ensure_host(headers: &mut HeaderMap, member: SocketAddr) {
    if headers.contains_key(header::HOST) {
        return;
    }
    if let Ok(host) = HeaderValue::from_str(&member.to_string()) {
        headers.insert(header::HOST, host);
    }
}

/// Says that the message went through here.
pub(crate) fn add_via(headers: &mut HeaderMap) {
    headers.append(header::VIA, HeaderValue::from_static("1.1 cartridge"));
}

/// Whether sending it twice is the same as sending it once (RFC 9110, 9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| {
                (
                    k.parse::<HeaderName>().unwrap(),
                    v.parse::<HeaderValue>().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn headers_of_one_connection_go_no_further() {
        let mut map = headers(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("accept", "*/*")]));
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        let both = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(wants_upgrade(&both).unwrap(), "websocket");
        assert_eq!(wants_upgrade(&headers(&[("upgrade", "websocket")])), None);
    }

    #[test]
    fn host_names_are_looked_up_without_port_and_case() {
        assert_eq!(host_name("Shop.Example.COM.:8080"), "shop.example.com");
        assert_eq!(host_name("[::1]:80"), "::1");
        assert_eq!(host_name(""), "");
    }

    #[test]
    fn the_origin_is_added_and_a_forged_host_is_not_kept() {
        let mut map = headers(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-host", "forged")]);
        let host = HeaderValue::from_static("shop:80");
        add_origin(&mut map, IpAddr::from([127, 0, 0, 9]), Some(&host));
        assert_eq!(map["x-forwarded-for"], "10.0.0.1, 127.0.0.9");
        assert_eq!(map["x-forwarded-host"], "shop:80");
        assert_eq!(map["x-forwarded-proto"], "http");
        assert_eq!(map["host"], "shop:80");
        assert_eq!(map["via"], "1.1 cartridge");
    }
}
