//! What the cartridges of the application share, as the member's processes are told it, and when a hook is to be told that
//! it changed.
//!
//! A state, not a history: what changed twice before anybody could run the hook is told once, as it is then. Refuses to
//! know how values come and how hooks are run.

use std::collections::BTreeMap;

use cartridge_protocol::values::{Entries, SharedValues, ToldValues};

use crate::hook::asked::is_secret;
use crate::hook::{Hook, Order};

/// Begins the name of every variable.
const PREFIX: &str = "CARTRIDGE_SHARED_";

/// What was told, and what the hook knows of it.
#[derive(Debug, Default)]
pub struct Sharing {
    newest: ToldValues,
    /// None: nothing was told yet.
    known: Option<ToldValues>,
}

impl Sharing {
    /// Takes in what is shared now. What is there the first time is known: every hook is told it anyway.
    pub fn learn(&mut self, told: ToldValues) {
        if self.known.is_none() {
            self.known = Some(told.clone());
        }
        self.newest = told;
    }

    /// What is shared.
    pub const fn newest(&self) -> &ToldValues {
        &self.newest
    }

    /// The run of the hook that is due, which counts as told from now on.
    pub fn next_event(&mut self) -> Option<Order> {
        if self.known.as_ref().is_none_or(|known| *known == self.newest) {
            return None;
        }
        self.known = Some(self.newest.clone());
        Some(Order::new(Hook::ValuesChanged))
    }
}

/// The variables of all values: `CARTRIDGE_SHARED_<KEY>` for those of the application as a whole,
/// `CARTRIDGE_SHARED_<ALIAS>_<KEY>` for those of a cluster, which win where both have one name. Several values are lines.
pub fn variables(all: &SharedValues) -> BTreeMap<String, String> {
    let of = |before: String, entries: &Entries| -> Vec<(String, String)> {
        let row = |(key, list): (_, &Vec<String>)| (format!("{before}{}", name(key)), list.join("\n"));
        entries
            .iter()
            .map(|(key, list)| row((key.as_str(), list)))
            .collect()
    };
    let mut told: BTreeMap<String, String> = of(PREFIX.to_owned(), &all.application).into_iter().collect();
    for (alias, entries) in &all.clusters {
        told.extend(of(format!("{PREFIX}{}_", name(alias)), entries));
    }
    told
}

/// As names of variables are: capital letters, digits and underscores.
fn name(text: &str) -> String {
    let one = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    text.chars().map(one).collect()
}

/// The values whose names say that they are secrets.
pub fn secrets(all: &SharedValues) -> Vec<String> {
    let places = std::iter::once(&all.application).chain(all.clusters.values());
    let telling = places.flatten().filter(|(key, _)| is_secret(&name(key.as_str())));
    telling.flat_map(|(_, list)| list.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use cartridge_protocol::ValueKey;

    use super::*;

    fn told(rows: &[(Option<&str>, &str, &[&str])]) -> ToldValues {
        ToldValues::default().changed(|all| {
            for (alias, key, values) in rows {
                let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
                all.share(*alias, &ValueKey::new(*key).unwrap(), &values, true);
            }
        })
    }

    #[test]
    fn every_value_is_a_variable_whose_name_a_shell_takes() {
        let all = told(&[
            (None, "callback.url", &["http://a"]),
            (None, "peers", &["a", "b"]),
            (Some("my-sql"), "server_ip", &["10.0.0.1"]),
        ]);
        let rows: Vec<(String, String)> = variables(&all).into_iter().collect();
        let want = [
            ("CARTRIDGE_SHARED_CALLBACK_URL", "http://a"),
            ("CARTRIDGE_SHARED_MY_SQL_SERVER_IP", "10.0.0.1"),
            ("CARTRIDGE_SHARED_PEERS", "a\nb"),
        ];
        assert_eq!(
            rows,
            want.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_cluster_wins_where_two_have_one_name() {
        let all = told(&[(None, "db_ip", &["old"]), (Some("db"), "ip", &["new"])]);
        assert_eq!(variables(&all)["CARTRIDGE_SHARED_DB_IP"], "new");
    }

    #[test]
    fn what_is_there_at_the_start_is_no_change_and_what_comes_later_is_one() {
        let mut sharing = Sharing::default();
        assert_eq!(sharing.next_event(), None);
        let first = told(&[(None, "a", &["1"])]);
        sharing.learn(first.clone());
        assert_eq!(sharing.next_event(), None);
        sharing.learn(told(&[(None, "a", &["2"])]));
        sharing.learn(told(&[(None, "a", &["3"])]));
        assert_eq!(
            sharing.next_event().map(|order| order.hook),
            Some(Hook::ValuesChanged)
        );
        assert_eq!(
            sharing.next_event(),
            None,
            "two changes before anybody looked are one"
        );
        sharing.learn(first.clone());
        sharing.learn(told(&[(None, "a", &["3"])]));
        assert_eq!(sharing.next_event(), None, "what came back is as it was told");
        sharing.learn(ToldValues::default());
        assert!(sharing.next_event().is_some(), "what is gone is a change");
    }

    #[test]
    fn values_that_are_secret_by_their_names_are_known_as_such() {
        let all = told(&[
            (Some("db"), "password", &["canary"]),
            (Some("db"), "ip", &["10.0.0.1"]),
        ]);
        assert_eq!(secrets(&all), ["canary"]);
    }
}
