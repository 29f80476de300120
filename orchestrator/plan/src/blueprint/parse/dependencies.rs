//! Reads what starts, scales and ends together. It refuses to know how that is done.
//!
//! Startup orders may form any graph without cycles (Stratos accepted trees only).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::read::{Object, Reader, TEXT};
use crate::blueprint::{Dependencies, Subscription, TerminationBehaviour};

const FIELDS: &[&str] = &[
    "startupOrders",
    "scalingDependents",
    "terminationBehaviour",
    "terminationBehavior",
];
const CHAIN: &[&str] = &["aliases"];
const CHAINS: usize = 256;

pub(super) fn read(
    reader: &mut Reader,
    components: &Object<'_>,
    application: &str,
    cartridges: &[Subscription],
) -> Option<Dependencies> {
    let object = reader.child(components, "dependencies", FIELDS)?;
    let known: BTreeSet<String> = cartridges
        .iter()
        .map(|s| format!("cartridge.{}", s.alias))
        .collect();
    let words = [
        ("terminate-none", TerminationBehaviour::TerminateNone),
        ("terminate-dependents", TerminationBehaviour::TerminateDependents),
        ("terminate-all", TerminationBehaviour::TerminateAll),
        ("", TerminationBehaviour::TerminateNone),
    ];
    let behaviour = reader.word(&object, "terminationBehaviour", &words);
    let startup = |alias: &str| {
        format!(
            "The startup-order defined in the [application] {application} is not correct. [startup-order-alias] \
             {alias} is not there in the application."
        )
    };
    let scaling =
        |_: &str| "names no component of this application; `cartridge.<alias>` is expected".to_owned();
    let dependencies = Dependencies {
        startup_orders: chains(reader, &object, "startupOrders", &known, &startup),
        scaling_dependents: chains(reader, &object, "scalingDependents", &known, &scaling),
        termination_behaviour: behaviour.unwrap_or_default(),
    };
    if let Some(cycle) = cycle(&dependencies.startup_orders) {
        let message = format!("has a cycle: {}", cycle.join(" → "));
        reader.fault(&object.path("startupOrders"), None, message);
    }
    Some(dependencies)
}

/// Lists of aliases; several may be joined by commas in one text, as one of Stratos's samples does.
fn chains(
    reader: &mut Reader,
    object: &Object<'_>,
    field: &str,
    known: &BTreeSet<String>,
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
                if !known.contains(alias) {
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

/// A cycle in the startup orders, its first component repeated at its end.
fn cycle(chains: &[Vec<String>]) -> Option<Vec<&str>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        next.entry(&pair[0]).or_default().insert(&pair[1]);
        next.entry(&pair[1]).or_default();
    }
    // Whatever nothing leads to, or that leads nowhere, is on no cycle: take it away until nothing changes.
    loop {
        let targets: BTreeSet<&str> = next.values().flatten().copied().collect();
        let before = next.len();
        next.retain(|from, to| targets.contains(from) && !to.is_empty());
        let left: BTreeSet<&str> = next.keys().copied().collect();
        for to in next.values_mut() {
            to.retain(|target| left.contains(target));
        }
        if next.len() == before && next.values().all(|to| !to.is_empty()) {
            break;
        }
    }
    // Every component left leads to another one left: walk until one comes again.
    let mut walk = vec![*next.keys().next()?];
    loop {
        let onward = *next.get(walk.last()?)?.first()?;
        if let Some(start) = walk.iter().position(|seen| *seen == onward) {
            walk.drain(..start);
            walk.push(onward);
            return Some(walk);
        }
        walk.push(onward);
    }
}
