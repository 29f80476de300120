//! Thousands of installations with everything going wrong, second by second, each from its seed.

#[path = "../harness/mod.rs"]
mod harness;
mod run;
mod shrink;
mod traces;

use std::collections::BTreeMap;

use cartridge_protocol::Millis;
use run::{Lived, Setting, Twist, run};
use shrink::{Saved, report, shrink};

/// How many seeds unless `CARTRIDGE_SEEDS` says otherwise; half as many of composite applications and of those
/// that tenants share.
const SEEDS: u64 = 1000;

#[allow(
    clippy::disallowed_methods,
    reason = "chooses how long to search, decides nothing"
)]
fn asked(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name);
    asked.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn whatever_goes_wrong_invariants_hold_and_all_comes_to_rest() {
    search("simple", asked("CARTRIDGE_SEEDS", SEEDS), Setting::simple);
}

#[test]
fn whatever_goes_wrong_composite_applications_come_to_rest_too() {
    search(
        "composite",
        asked("CARTRIDGE_SEEDS", SEEDS) / 2,
        Setting::composite,
    );
}

#[test]
fn whatever_goes_wrong_what_tenants_keep_comes_to_rest_too() {
    search("shared", asked("CARTRIDGE_SEEDS", SEEDS) / 2, Setting::shared);
}

fn search(kind: &str, seeds: u64, setting: fn(u64) -> Setting) {
    const WORKERS: u64 = 2;
    let from = asked("CARTRIDGE_FROM", 0);
    let share = |worker: u64| (from + worker..from + seeds).step_by(WORKERS as usize);
    let found: Vec<(u64, Result<Lived, String>)> = std::thread::scope(|scope| {
        let search = |worker| {
            scope.spawn(move || {
                let one = |seed| (seed, lived(seed, setting));
                share(worker).map(one).collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(search).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("failures are caught"))
            .collect()
    });
    let failing: Vec<u64> = found
        .iter()
        .filter(|(_, lived)| lived.is_err())
        .map(|(seed, _)| *seed)
        .collect();
    let first = found
        .iter()
        .find_map(|(seed, one)| Some((*seed, one.as_ref().err()?)));
    println!(
        "{kind}: {}",
        summary(found.iter().filter_map(|(_, one)| one.as_ref().ok()))
    );
    if let Some((seed, _)) = first {
        for (seed, problem) in found
            .iter()
            .filter_map(|(seed, one)| Some((seed, one.as_ref().err()?)))
        {
            eprintln!("{kind} {seed}: {problem}");
        }
        let setting = setting(seed);
        let failed = run(&setting, Twist::default()).expect_err("it failed before");
        let (setting, failed) = shrink(&setting, Twist::default(), *failed);
        eprintln!("{}", report(&format!("{kind} {seed}"), None, &setting, &failed));
    }
    assert!(
        failing.is_empty(),
        "{} seeds of {kind} fail, the first is above: {failing:?}",
        failing.len()
    );
}

fn lived(seed: u64, setting: fn(u64) -> Setting) -> Result<Lived, String> {
    run(&setting(seed), Twist::default()).map_err(|failed| {
        let text = format!("second {}: {}", failed.second, failed.violation);
        text.chars().take(300).collect()
    })
}

/// One line of what was lived through.
fn summary<'a>(all: impl Iterator<Item = &'a Lived>) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut runs, mut seconds, mut judged, mut healed) = (0_u64, 0_u64, 0_u64, Vec::new());
    let mut messages = harness::network::Counts::default();
    for one in all {
        runs += 1;
        seconds += one.seconds;
        judged += one.judged;
        healed.push(one.healed);
        messages.sent += one.messages.sent;
        messages.lost += one.messages.lost;
        messages.delayed += one.messages.delayed;
        messages.doubled += one.messages.doubled;
        messages.overtaken += one.messages.overtaken;
        for (what, count) in &one.tally.counts {
            *counts.entry(what).or_default() += count;
        }
    }
    healed.sort_unstable();
    let at = |share: usize| healed.get(healed.len() * share / 100).copied().unwrap_or(0);
    let kinds: Vec<String> = counts
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    format!(
        "{runs} runs, {seconds} seconds, {judged} records judged; quiet until healed: {} s median, {} s p99, {} s most; \
         {messages:?}; {}",
        at(50),
        at(99),
        healed.last().copied().unwrap_or(0),
        kinds.join(", ")
    )
}

#[test]
fn no_fault_is_planted_here() {
    const { assert!(!cartridge_orchestrator_plan::PLANTED_BUGS) };
}

#[test]
fn what_was_saved_holds() {
    let mut held = 0;
    for (name, text) in saved() {
        let saved: Saved = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        if let Err(failed) = run(&saved.setting, Twist::default()) {
            panic!("{name}: {}\n{}", failed.violation, failed.picture);
        }
        held += 1;
    }
    assert!(held > 0, "nothing is saved");
}

#[allow(clippy::disallowed_methods, reason = "a test reads what was saved")]
fn saved() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation/saved");
    let entries = std::fs::read_dir(folder).expect("there is a folder of saved runs");
    let mut all: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("a folder that can be listed").path();
            let text = std::fs::read_to_string(&path).expect("a file that can be read");
            (path.display().to_string(), text)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    for seed in [1, 7, 42] {
        for setting in [Setting::simple, Setting::composite, Setting::shared].map(|of| of(seed)) {
            let hash = |()| {
                run(&setting, Twist::default())
                    .map(|lived| lived.hash)
                    .map_err(|f| f.violation)
            };
            assert_eq!(hash(()), hash(()), "seed {seed}");
        }
    }
}

#[test]
fn clocks_that_show_something_else_change_no_decision() {
    for seed in 0..asked("CARTRIDGE_SEEDS", SEEDS) / 20 {
        for setting in [Setting::simple, Setting::composite, Setting::shared].map(|of| of(seed)) {
            let skewed = Twist {
                skew: Some((Millis(86_399_983), 1_900_000_000_000)),
                ..Twist::default()
            };
            let hash = |twist| {
                run(&setting, twist)
                    .map(|lived| lived.hash)
                    .map_err(|f| f.violation)
            };
            assert_eq!(hash(Twist::default()), hash(skewed), "seed {seed}");
        }
    }
}
