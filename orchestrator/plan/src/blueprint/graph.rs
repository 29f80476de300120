//! What starts, scales and ends together; who comes before whom, and whether that goes round in a circle.
//!
//! Startup orders form any graph without cycles (Stratos accepted trees only). This file refuses to know what the
//! components are.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Which components of an application or a group start, scale and stop together; `cartridge.<alias>` and
/// `group.<alias>` name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// Chains: the next starts when the one before is Active. Together they form a DAG.
    pub startup_orders: Vec<Vec<String>>,
    /// Sets that scale by the same factor.
    pub scaling_dependents: Vec<Vec<String>>,
    /// What happens to the others when one fails.
    pub termination_behaviour: TerminationBehaviour,
}

/// What happens to the other components when one becomes inactive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TerminationBehaviour {
    /// Nothing: only what is missing is replaced.
    #[default]
    TerminateNone,
    /// Those that start after it are stopped and started again in order.
    TerminateDependents,
    /// All are.
    TerminateAll,
}

impl Dependencies {
    /// What must be active before this component starts.
    pub fn before(&self, component: &str) -> BTreeSet<&str> {
        let pairs = self.startup_orders.iter().flat_map(|chain| chain.windows(2));
        pairs
            .filter(|pair| pair[1] == component)
            .map(|pair| pair[0].as_str())
            .collect()
    }

    /// All that starts after this component, near or far; without itself.
    pub fn after(&self, component: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![component];
        while let Some(from) = open.pop() {
            let pairs = self.startup_orders.iter().flat_map(|chain| chain.windows(2));
            for pair in pairs.filter(|pair| pair[0] == from) {
                if found.insert(pair[1].as_str()) {
                    open.push(&pair[1]);
                }
            }
        }
        found
    }

    /// A cycle in the startup orders, its first component repeated at its end.
    pub fn cycle(&self) -> Option<Vec<&str>> {
        cycle(&self.startup_orders)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(chains: &[&[&str]]) -> Dependencies {
        Dependencies {
            startup_orders: chains
                .iter()
                .map(|chain| chain.iter().map(|&text| text.to_owned()).collect())
                .collect(),
            ..Dependencies::default()
        }
    }

    #[test]
    fn a_diamond_is_no_cycle_and_each_knows_who_comes_before_and_after() {
        let diamond = orders(&[&["a", "b", "d"], &["a", "c", "d"]]);
        assert_eq!(diamond.cycle(), None);
        assert_eq!(diamond.before("d"), BTreeSet::from(["b", "c"]));
        assert_eq!(diamond.before("a"), BTreeSet::new());
        assert_eq!(diamond.after("a"), BTreeSet::from(["b", "c", "d"]));
        assert_eq!(diamond.after("b"), BTreeSet::from(["d"]));
    }

    #[test]
    fn a_cycle_is_named_from_end_to_end() {
        let round = orders(&[&["x", "a", "b"], &["b", "c", "a", "y"]]);
        assert_eq!(round.cycle(), Some(vec!["a", "b", "c", "a"]));
        assert_eq!(orders(&[&["a", "a"]]).cycle(), Some(vec!["a", "a"]));
    }
}
