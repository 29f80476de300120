//! Faults are planted, one at a time, and the simulator must find each of them within a thousand seeds, and name the
//! invariant. Only builds with the feature `planted-bugs` have them.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../simulation/run.rs"]
mod run;
#[path = "../simulation/shrink.rs"]
mod shrink;

use cartridge_orchestrator_plan::planted::{Bug, plant};
use harness::ShellBug;
use run::{Failed, Setting, Twist, run};
use shrink::{Saved, report, shrink};

const SEEDS: u64 = 1000;

/// A planted fault, and the invariants of which one names it.
struct Planted {
    name: &'static str,
    decision: Option<Bug>,
    shell: Option<ShellBug>,
    names: &'static [&'static str],
}

const fn decision(name: &'static str, bug: Bug, names: &'static [&'static str]) -> Planted {
    Planted {
        name,
        decision: Some(bug),
        shell: None,
        names,
    }
}

const fn shell(name: &'static str, bug: ShellBug, names: &'static [&'static str]) -> Planted {
    Planted {
        name,
        decision: None,
        shell: Some(bug),
        names,
    }
}

const ALL: [Planted; 21] = [
    shell("lost fsync", ShellBug::LostFsync, &["S1"]),
    shell("torn batch", ShellBug::TornBatch, &["S28"]),
    shell("effect before record", ShellBug::EffectBeforeRecord, &["S3"]),
    shell("missing fence", ShellBug::NoFence, &["S10"]),
    shell("old orders", ShellBug::OldOrders, &["S10", "S11"]),
    decision("drain off by one", Bug::DrainOffByOne, &["S14"]),
    decision("scale-in on silence", Bug::ScaleInOnSilence, &["S8"]),
    decision(
        "replaced under mass silence",
        Bug::ReplacedUnderMassSilence,
        &["S8", "S9"],
    ),
    decision("new id after a time-out", Bug::NewIdAfterTimeOut, &["S4"]),
    decision("empty balancer set", Bug::EmptyBalancerSet, &["S13"]),
    decision("burst never ended", Bug::BurstNeverEnded, &["L11"]),
    decision("budget ignored", Bug::BudgetIgnored, &["S7"]),
    decision("old words count", Bug::OldWordsCount, &["S19"]),
    decision("rejected offered again", Bug::RejectedOfferedAgain, &["S17"]),
    decision("pause ignored", Bug::PauseIgnored, &["S32"]),
    decision("pause forgotten", Bug::PauseForgotten, &["S32", "S28"]),
    decision("start order ignored", Bug::StartOrderIgnored, &["S20"]),
    decision("liar not clamped", Bug::LiarNotClamped, &["S25"]),
    decision("group below its minimum", Bug::GroupBelowMinimum, &["S6"]),
    decision("tenant's refusal ignored", Bug::TenantsRefusalIgnored, &["L10"]),
    decision(
        "domains outlive their sign-up",
        Bug::DomainsOutliveSignUp,
        &["L1"],
    ),
];

impl Planted {
    /// The run with the fault. The second reader is not asked: it would refuse much of this before it happens.
    fn run(&self, setting: &Setting) -> Option<Failed> {
        plant(self.decision);
        let failed = run(setting, self.twist()).err();
        plant(None);
        failed.map(|failed| *failed)
    }

    const fn twist(&self) -> Twist {
        Twist {
            bug: self.shell,
            unread: true,
            skew: None,
        }
    }

    /// The first seed that finds it: of simple applications, of composite ones, then of those that tenants share.
    fn find(&self) -> Option<(String, Setting, Failed)> {
        (0..SEEDS).find_map(|seed| {
            let kinds = [
                ("simple", Setting::simple(seed)),
                ("composite", Setting::composite(seed)),
                ("shared", Setting::shared(seed)),
            ];
            kinds.into_iter().find_map(|(kind, setting)| {
                let failed = self.run(&setting)?;
                Some((format!("{kind} {seed}"), setting, failed))
            })
        })
    }

    fn is_named_by(&self, failed: &Failed) -> bool {
        let invariant = failed.violation.invariant.split(' ').next().unwrap_or_default();
        self.names.contains(&invariant)
    }
}

#[test]
fn each_planted_fault_is_found_within_a_thousand_seeds_and_named() {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let work = || {
            let mut wrong = Vec::new();
            while let Some(planted) = ALL.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                let Some((found, _, failed)) = planted.find() else {
                    wrong.push(format!("{} was not found", planted.name));
                    continue;
                };
                let reader = failed
                    .refused
                    .as_ref()
                    .map_or("-", |violation| violation.invariant.as_str());
                println!(
                    "| {} | {found} | {} | {reader} | {} |",
                    planted.name,
                    failed.violation.invariant,
                    failed.violation.problem.chars().take(120).collect::<String>()
                );
                if !planted.is_named_by(&failed) {
                    wrong.push(format!("{}: {}", planted.name, failed.violation));
                }
            }
            wrong
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("failures are caught"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_saved_with_a_planted_fault_fails_with_it_and_holds_without() {
    let mut replayed = 0;
    for (name, text) in saved() {
        let saved: Saved = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let Some(planted) = &saved.planted else { continue };
        let planted = ALL
            .iter()
            .find(|one| one.name == planted)
            .expect("the fault is in the table");
        let failed = planted.run(&saved.setting).expect("it fails with the fault");
        assert_eq!(failed.violation.invariant, saved.invariant, "{name}");
        assert!(
            run(&saved.setting, Twist::default()).is_ok(),
            "{name} holds without"
        );
        replayed += 1;
    }
    assert!(replayed > 0, "nothing is saved");
}

/// Prints the smallest run that finds each: `-- --ignored --nocapture`.
#[test]
#[ignore = "for people who want to see or keep them"]
fn smallest_runs() {
    for planted in &ALL {
        let Some((found, setting, failed)) = planted.find() else {
            continue;
        };
        plant(planted.decision);
        let (setting, failed) = shrink(&setting, planted.twist(), failed);
        plant(None);
        println!("{}", report(&found, Some(planted.name), &setting, &failed));
    }
}

#[allow(clippy::disallowed_methods, reason = "a test reads what was saved")]
fn saved() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation/saved");
    let entries = std::fs::read_dir(folder).expect("there is a folder of saved runs");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("a folder that can be listed").path();
        let text = std::fs::read_to_string(&path).expect("a file that can be read");
        (path.display().to_string(), text)
    };
    entries.map(read).collect()
}
