//! Looks at host names, addresses and ports. It refuses to know any resource.

use std::net::IpAddr;

use cartridge_protocol::{ContextPath, DomainName};

use super::look::Look;
use super::read::{NAME, Object, Reader, TEXT};

/// Longest host name.
const HOST_NAME: usize = 253;

impl Reader {
    /// A host name, or a part of one: letters, digits and `-` between dots. An empty text is none.
    pub(super) fn host_name(&mut self, object: &Object<'_>, field: &str) -> Option<String> {
        let value = object.get(field)?;
        let path = object.path(field);
        self.look(&path, || Look::HostName);
        let text = self.plain_text(&path, value, HOST_NAME)?;
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !text.is_empty() && !text.split('.').all(label) {
            let message = "must be a host name: letters, digits and '-' between dots";
            self.fault(&path, Some(value), message);
            return None;
        }
        (!text.is_empty()).then_some(text)
    }

    /// The name of a domain, as DNS takes it.
    pub(super) fn domain_name(&mut self, object: &Object<'_>, field: &str) -> Option<DomainName> {
        let value = object.get(field)?;
        let path = object.path(field);
        self.look(&path, || Look::HostName);
        let text = self.plain_text(&path, value, TEXT)?;
        let name = DomainName::new(&text);
        name.map_err(|why| self.fault(&path, Some(value), why.to_string()))
            .ok()
    }

    /// A path that a domain stands for. An empty text, and `/`, are none.
    pub(super) fn context_path(&mut self, object: &Object<'_>, field: &str) -> Option<ContextPath> {
        let value = object.get(field)?;
        let path = object.path(field);
        self.look(&path, || Look::ContextPath);
        let text = self.plain_text(&path, value, TEXT)?;
        let found = ContextPath::or_root(&text);
        found.unwrap_or_else(|why| {
            self.fault(&path, Some(value), why.to_string());
            None
        })
    }

    /// An IP address. An empty text is none.
    pub(super) fn address(&mut self, object: &Object<'_>, field: &str) -> Option<IpAddr> {
        let value = object.get(field)?;
        let path = object.path(field);
        self.look(&path, || Look::Address);
        let text = self.plain_text(&path, value, NAME)?;
        if text.is_empty() {
            return None;
        }
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.fault(&path, Some(value), "must be an IP address");
                None
            }
        }
    }

    /// A port.
    pub(super) fn port(&mut self, object: &Object<'_>, field: &str) -> Option<u16> {
        let port = self.whole(object, field, 1, u32::from(u16::MAX))?;
        Some(u16::try_from(port).expect("it was bounded"))
    }
}
