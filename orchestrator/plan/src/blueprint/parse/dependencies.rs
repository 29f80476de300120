//! Reads what starts, scales and ends together. It refuses to know how that is done.
//!
//! Startup orders may form any graph without cycles; a cycle is named.

use std::collections::BTreeSet;

use serde_json::Value;

use super::read::{Object, Reader, TEXT};
use crate::blueprint::{Dependencies, TerminationBehaviour};

const FIELDS: &[&str] = &[
    "startupOrders",
    "scalingDependents",
    "terminationBehaviour",
    "terminationBehavior",
];
const CHAIN: &[&str] = &["aliases"];
const CHAINS: usize = 256;

/// Where dependencies stand.
pub(super) struct Level<'a> {
    /// `application` or `group`.
    pub kind: &'static str,
    /// Its id or alias.
    pub name: &'a str,
    /// What they may name; None: not known yet.
    pub known: Option<&'a BTreeSet<String>>,
}

/// Reads the field `dependencies`.
pub(super) fn read(reader: &mut Reader, owner: &Object<'_>, level: &Level<'_>) -> Option<Dependencies> {
    let object = reader.child(owner, "dependencies", FIELDS)?;
    let words = [
        ("terminate-none", TerminationBehaviour::TerminateNone),
        ("terminate-dependents", TerminationBehaviour::TerminateDependents),
        ("terminate-all", TerminationBehaviour::TerminateAll),
        ("", TerminationBehaviour::TerminateNone),
    ];
    let spelling = match object.get("terminationBehaviour") {
        Some(_) => "terminationBehaviour",
        None => "terminationBehavior",
    };
    let behaviour = reader.word(&object, spelling, &words);
    let startup = |alias: &str| not_there(level.kind, level.name, alias);
    let scaling = |_: &str| {
        format!(
            "names no component of this {}; `cartridge.<alias>` or `group.<alias>` is expected",
            level.kind
        )
    };
    let dependencies = Dependencies {
        startup_orders: chains(reader, &object, "startupOrders", level.known, &startup),
        scaling_dependents: chains(reader, &object, "scalingDependents", level.known, &scaling),
        termination_behaviour: behaviour.unwrap_or_default(),
    };
    if let Some(cycle) = dependencies.cycle() {
        let message = format!("has a cycle: {}", cycle.join(" → "));
        reader.fault(&object.path("startupOrders"), None, message);
    }
    Some(dependencies)
}

/// In the words that Stratos's clients compare.
pub fn not_there(kind: &str, name: &str, alias: &str) -> String {
    format!(
        "The startup-order defined in the [{kind}] {name} is not correct. [startup-order-alias] {alias} is not there \
         in the {kind}."
    )
}

/// Lists of aliases; several may be joined by commas in one text, as one of Stratos's samples does.
fn chains(
    reader: &mut Reader,
    object: &Object<'_>,
    field: &str,
    known: Option<&BTreeSet<String>>,
    unknown: &dyn Fn(&str) -> String,
) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (path, item) in reader.list(object, field, CHAINS) {
        let Some(chain) = reader.object(&path, item, CHAIN) else {
            continue;
        };
        let mut aliases: Vec<String> = Vec::new();
        for (path, item) in reader.list(&chain, "aliases", CHAINS) {
            let Some(text) = reader.value_text(&path, item, TEXT) else {
                continue;
            };
            for alias in text.split(',').map(str::trim).filter(|alias| !alias.is_empty()) {
                let fits = match known {
                    Some(known) => known.contains(alias),
                    None => alias.starts_with("cartridge.") || alias.starts_with("group."),
                };
                if !fits {
                    reader.fault(&path, Some(&Value::String(alias.to_owned())), unknown(alias));
                }
                aliases.push(alias.to_owned());
            }
        }
        if !aliases.is_empty() {
            found.push(aliases);
        }
    }
    found
}
