//! Values that the cartridges of an application share: lists of texts by key, for the application as a whole and for each
//! of its clusters. Bounded wherever they come from.
//!
//! This file refuses to know who may read or write them, and how they travel.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::ValueKey;

/// Most keys of an application as a whole, and of each of its clusters.
pub const MAX_KEYS: usize = 64;
/// Most values of one key.
pub const MAX_VALUES: usize = 64;
/// Longest value, bytes.
pub const MAX_VALUE_BYTES: usize = 8 << 10;
/// Most bytes of all keys and values of one application together: its members are told all of them.
pub const MAX_TOTAL_BYTES: usize = 64 << 10;

/// Lists of values by key. A key without values is none.
pub type Entries = BTreeMap<ValueKey, Vec<String>>;

/// All values of one application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedValues {
    /// Those of the application as a whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub application: Entries,
    /// Those of its clusters, by alias.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clusters: BTreeMap<String, Entries>,
}

/// What a member says that it shares: the body of `POST /link/v1/values`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Under which key.
    pub key: ValueKey,
    /// What. None at all: nothing any more.
    pub values: Vec<String>,
    /// As whose.
    #[serde(default, rename = "of")]
    pub place: SharePlace,
}

/// As whose a member shares values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharePlace {
    /// Of its cluster; what was shared under the key before is replaced.
    #[default]
    Cluster,
    /// Of the application as a whole; values are added to those that are there.
    Application,
}

/// Why values are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValues {
    /// A value is too long.
    #[error("values: one of {key} is {bytes} bytes long; at most {MAX_VALUE_BYTES} are accepted")]
    Long {
        /// Under which key.
        key: ValueKey,
        /// How long.
        bytes: usize,
    },
    /// A value that no process can be given.
    #[error("values: one of {0} holds a NUL; text is accepted")]
    Nul(ValueKey),
    /// Too many values of a key.
    #[error("values: {key} would have {count}; at most {MAX_VALUES} are accepted")]
    Many {
        /// Of which key.
        key: ValueKey,
        /// How many.
        count: usize,
    },
    /// Too many keys.
    #[error("key: there would be {0}; at most {MAX_KEYS} are accepted")]
    Keys(usize),
    /// Too much of all.
    #[error(
        "values: all of the application would have {0} bytes; at most {MAX_TOTAL_BYTES} are accepted in keys and values"
    )]
    Total(usize),
}

impl SharedValues {
    /// The values of a cluster, or of the application as a whole.
    pub fn of(&self, alias: Option<&str>) -> Option<&Entries> {
        match alias {
            None => Some(&self.application),
            Some(alias) => self.clusters.get(alias),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.application.is_empty() && self.clusters.is_empty()
    }

    /// Adds the values that are not there yet, each once, or replaces what is there.
    pub fn share(&mut self, alias: Option<&str>, key: &ValueKey, values: &[String], add: bool) {
        let entries = match alias {
            None => &mut self.application,
            Some(alias) => self.clusters.entry(alias.to_owned()).or_default(),
        };
        let list = entries.entry(key.clone()).or_default();
        if !add {
            list.clear();
        }
        for value in values {
            if !list.contains(value) {
                list.push(value.clone());
            }
        }
        self.tidy();
    }

    /// Removes one value of a key, a key, or all.
    pub fn withdraw(&mut self, alias: Option<&str>, key: Option<&ValueKey>, value: Option<&str>) {
        let entries = match alias {
            None => Some(&mut self.application),
            Some(alias) => self.clusters.get_mut(alias),
        };
        let Some(entries) = entries else { return };
        match (key, value) {
            (None, _) => entries.clear(),
            (Some(key), None) => _ = entries.remove(key),
            (Some(key), Some(value)) => {
                if let Some(list) = entries.get_mut(key) {
                    list.retain(|one| one != value);
                }
            }
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.application.retain(|_, list| !list.is_empty());
        for entries in self.clusters.values_mut() {
            entries.retain(|_, list| !list.is_empty());
        }
        self.clusters.retain(|_, entries| !entries.is_empty());
    }

    /// Checks every limit.
    pub fn check(&self) -> Result<(), InvalidValues> {
        let mut total = 0_usize;
        for entries in std::iter::once(&self.application).chain(self.clusters.values()) {
            if entries.len() > MAX_KEYS {
                return Err(InvalidValues::Keys(entries.len()));
            }
            for (key, list) in entries {
                if list.len() > MAX_VALUES {
                    let (key, count) = (key.clone(), list.len());
                    return Err(InvalidValues::Many { key, count });
                }
                if let Some(long) = list.iter().find(|value| value.len() > MAX_VALUE_BYTES) {
                    let (key, bytes) = (key.clone(), long.len());
                    return Err(InvalidValues::Long { key, bytes });
                }
                if list.iter().any(|value| value.contains('\0')) {
                    return Err(InvalidValues::Nul(key.clone()));
                }
                total += key.as_str().len() + list.iter().map(String::len).sum::<usize>();
            }
        }
        if total > MAX_TOTAL_BYTES {
            return Err(InvalidValues::Total(total));
        }
        Ok(())
    }
}

/// One copy of an application's values for all who are told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldValues(Arc<SharedValues>);

impl ToldValues {
    /// The same, changed; who was told before keeps what they were told.
    pub fn changed(&self, change: impl FnOnce(&mut SharedValues)) -> Self {
        let mut all = (*self.0).clone();
        change(&mut all);
        Self(Arc::new(all))
    }
}

impl Deref for ToldValues {
    type Target = SharedValues;
    fn deref(&self) -> &SharedValues {
        &self.0
    }
}

impl Serialize for ToldValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ToldValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SharedValues::deserialize(deserializer).map(|all| Self(Arc::new(all)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> ValueKey {
        ValueKey::new(text).unwrap()
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_application_collects_values_and_a_cluster_replaces_them() {
        let mut all = SharedValues::default();
        all.share(None, &key("URL"), &texts(&["a", "b", "a"]), true);
        all.share(None, &key("URL"), &texts(&["b", "c"]), true);
        assert_eq!(all.application[&key("URL")], ["a", "b", "c"]);
        all.share(Some("mysql"), &key("IP"), &texts(&["10.0.0.1"]), false);
        all.share(Some("mysql"), &key("IP"), &texts(&["10.0.0.2"]), false);
        assert_eq!(all.of(Some("mysql")).unwrap()[&key("IP")], ["10.0.0.2"]);
    }

    #[test]
    fn what_has_no_values_is_not_there() {
        let mut all = SharedValues::default();
        all.share(None, &key("a"), &texts(&["1", "2"]), true);
        all.share(Some("x"), &key("a"), &texts(&["1"]), false);
        all.withdraw(None, Some(&key("a")), Some("1"));
        assert_eq!(all.application[&key("a")], ["2"]);
        all.withdraw(None, Some(&key("a")), Some("2"));
        all.withdraw(Some("x"), None, None);
        all.withdraw(Some("y"), None, None);
        assert!(all.is_empty());
        all.share(Some("x"), &key("a"), &texts(&["1"]), false);
        all.share(Some("x"), &key("a"), &[], false);
        assert!(all.is_empty());
    }

    #[test]
    fn every_limit_is_one() {
        let share = |key_of: &dyn Fn(usize) -> String, keys: usize, count: usize, bytes: usize| {
            let mut all = SharedValues::default();
            for k in 0..keys {
                let values: Vec<String> = (0..count).map(|n| format!("{n:0bytes$}")).collect();
                all.share(Some("x"), &key(&key_of(k)), &values, false);
            }
            all.check()
        };
        let name = |n: usize| format!("k{n}");
        assert_eq!(share(&name, MAX_KEYS, 1, 4), Ok(()));
        assert_eq!(
            share(&name, MAX_KEYS + 1, 1, 4),
            Err(InvalidValues::Keys(MAX_KEYS + 1))
        );
        assert_eq!(share(&name, 1, MAX_VALUES, 4), Ok(()));
        assert!(matches!(
            share(&name, 1, MAX_VALUES + 1, 4),
            Err(InvalidValues::Many { .. })
        ));
        assert_eq!(share(&name, 1, 1, MAX_VALUE_BYTES), Ok(()));
        assert!(matches!(
            share(&name, 1, 1, MAX_VALUE_BYTES + 1),
            Err(InvalidValues::Long { .. })
        ));
        assert!(matches!(
            share(&name, 9, 1, MAX_VALUE_BYTES),
            Err(InvalidValues::Total(_))
        ));
        let mut nul = SharedValues::default();
        nul.share(None, &key("a"), &texts(&["\0"]), true);
        assert_eq!(nul.check(), Err(InvalidValues::Nul(key("a"))));
    }

    #[test]
    fn a_share_says_of_whom_and_of_its_cluster_where_it_does_not() {
        let read: Share = serde_json::from_str(r#"{"key":"URL","values":["x"]}"#).unwrap();
        assert_eq!(read.place, SharePlace::Cluster);
        let read: Share = serde_json::from_str(r#"{"key":"URL","values":["x"],"of":"application"}"#).unwrap();
        assert_eq!(read.place, SharePlace::Application);
        assert!(serde_json::from_str::<Share>(r#"{"key":"../x","values":["x"]}"#).is_err());
        assert!(serde_json::from_str::<Share>(r#"{"key":"x","values":"x"}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_body_whatever_ends_the_reader(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(share) = serde_json::from_slice::<Share>(&body) {
                let mut all = SharedValues::default();
                all.share(None, &share.key, &share.values, true);
                let _ = all.check();
            }
        }

        #[test]
        fn what_was_told_is_read_as_it_was(
            rows in proptest::collection::vec((proptest::option::of("[a-c]"), "[a-z]{1,3}", ".{0,8}"), 0..20)
        ) {
            let told = rows.iter().fold(ToldValues::default(), |told, (alias, name, value)| {
                told.changed(|all| all.share(alias.as_deref(), &key(name), &texts(&[value]), true))
            });
            let text = serde_json::to_string(&told).unwrap();
            prop_assert_eq!(serde_json::from_str::<ToldValues>(&text).unwrap(), told);
        }
    }
}
