//! The ports of one instance by the names of its port mappings. There are as many of these as members, and each holds one or
//! two: a map of the standard library takes 320 bytes for that.
//!
//! This file refuses to know what a port is for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Ports by name, in the order of names. Reads and writes as the map that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, u16>", into = "BTreeMap<String, u16>")]
pub struct Ports(Box<[(Box<str>, u16)]>);

impl Ports {
    /// The port of a name.
    pub fn get(&self, name: &str) -> Option<u16> {
        self.iter().find(|(own, _)| *own == name).map(|(_, port)| port)
    }

    /// In the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u16)> {
        self.0.iter().map(|(name, port)| (&**name, *port))
    }

    /// The same as a map.
    pub fn to_map(&self) -> BTreeMap<String, u16> {
        self.iter().map(|(name, port)| (name.to_owned(), port)).collect()
    }

    /// Adds or replaces one.
    pub fn insert(&mut self, name: &str, port: u16) {
        let mut all = self.to_map();
        all.insert(name.to_owned(), port);
        *self = all.into();
    }
}

impl From<BTreeMap<String, u16>> for Ports {
    fn from(map: BTreeMap<String, u16>) -> Self {
        let rows = map.into_iter().map(|(name, port)| (name.into_boxed_str(), port));
        Self(rows.collect())
    }
}

impl From<Ports> for BTreeMap<String, u16> {
    fn from(ports: Ports) -> Self {
        ports.to_map()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_and_read_as_a_map() {
        let text = r#"{"admin":9000,"http":8080}"#;
        let mut ports: Ports = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&ports).unwrap(), text);
        assert_eq!((ports.get("http"), ports.get("https")), (Some(8080), None));
        ports.insert("http", 1);
        assert_eq!(ports.iter().collect::<Vec<_>>(), [("admin", 9000), ("http", 1)]);
    }
}
