//! The hashes of a few seeds' journals, kept in the repository: a change of decisions that nobody intended is seen, also
//! where no invariant is broken by it.
//!
//! It refuses to know whether a change is for the better: who intends one renews the file with
//! `CARTRIDGE_RENEW=1 cargo test -p cartridge-orchestrator-plan --test simulation traces`, and commits it along.

use super::asked;
use super::run::{Setting, Twist, run};

/// So many of each kind.
const SEEDS: u64 = 20;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation/traces.txt");

/// One line for each seed: its kind, its number, the hash of its journal.
fn lived() -> Vec<String> {
    let mut lines = Vec::new();
    for seed in 0..SEEDS {
        let kinds = [
            ("simple", Setting::simple(seed)),
            ("composite", Setting::composite(seed)),
            ("shared", Setting::shared(seed)),
        ];
        for (kind, setting) in kinds {
            let hash = match run(&setting, Twist::default()) {
                Ok(lived) => format!("{:016x}", lived.hash),
                Err(failed) => panic!("{kind} {seed}: {}", failed.violation),
            };
            lines.push(format!("{kind} {seed} {hash}"));
        }
    }
    lines.sort();
    lines
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test reads and renews what was saved")]
fn stored_traces_are_what_the_same_seeds_give_today() {
    let lines = lived();
    if asked("CARTRIDGE_RENEW", 0) == 1 {
        std::fs::write(FILE, lines.join("\n") + "\n").expect("the file can be written");
        return;
    }
    let stored = std::fs::read_to_string(FILE).expect("there is a file of stored traces");
    let stored: Vec<&str> = stored.lines().collect();
    let changed: Vec<&String> = lines
        .iter()
        .filter(|line| !stored.contains(&line.as_str()))
        .collect();
    assert!(
        changed.is_empty() && stored.len() == lines.len(),
        "{} of {} seeds decide otherwise than stored; if that is intended, renew tests/simulation/traces.txt (its test \
         says how): {changed:?}",
        changed.len(),
        lines.len()
    );
}
