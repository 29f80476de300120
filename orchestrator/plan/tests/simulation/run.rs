//! One run: a schedule of faults is lived through, then quiet until nothing moves. Every second all invariants hold, or
//! the run ends with the first that does not.

#![allow(dead_code, reason = "two test binaries use parts of it")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use cartridge_orchestrator_plan::blueprint::{ArrivalPolicy, TerminationBehaviour};
use cartridge_protocol::Millis;
use serde::{Deserialize, Serialize};

use crate::harness::faults::{Injected, schedule};
use crate::harness::fixture::{Composite, Shape};
use crate::harness::provisioner::Trouble;
use crate::harness::sim::{Faults, Sim};
use crate::harness::truth::{self, Tally};
use crate::harness::{Chance, ShellBug, Violation, broken, tenants};

pub const BAD_SECONDS: u64 = 150;
const GOOD_SECONDS: u64 = 1500;
/// Nothing moves for so long: it is at rest.
const REST: u64 = 90;

/// All that a run depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub seed: u64,
    pub shape: Shape,
    pub seconds: u64,
    pub faults: Vec<Injected>,
}

/// What differs between runs of one setting, and must not matter, or must.
#[derive(Clone, Copy, Debug, Default)]
pub struct Twist {
    pub bug: Option<ShellBug>,
    /// Without the second reader.
    pub unread: bool,
    /// Both clocks show that much more.
    pub skew: Option<(Millis, u64)>,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Lived {
    pub hash: u64,
    pub seconds: u64,
    pub judged: u64,
    /// Seconds of quiet until all was as it should be.
    pub healed: u64,
    pub tally: Tally,
    pub messages: crate::harness::network::Counts,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    pub violation: Violation,
    /// In which second.
    pub second: u64,
    /// The last entries of the journal.
    pub journal: Vec<String>,
    pub picture: String,
    /// What the second reader would have said first, had it been asked.
    pub refused: Option<Violation>,
}

impl Setting {
    pub fn simple(seed: u64) -> Self {
        Self::of(seed, shape)
    }

    pub fn composite(seed: u64) -> Self {
        Self::of(seed, composite)
    }

    /// An application of any kind that tenants share.
    pub fn shared(seed: u64) -> Self {
        let mut setting = if seed.is_multiple_of(3) {
            Self::composite(seed)
        } else {
            Self::simple(seed)
        };
        setting.shape.shared = true;
        let mut chance = Chance::new(!setting.seed);
        setting
            .faults
            .extend(tenants::deeds(setting.seconds, &mut chance));
        setting.faults.sort_by_key(|injected| injected.at);
        setting
    }

    fn of(seed: u64, shape: fn(&mut Chance) -> Shape) -> Self {
        let mut chance = Chance::new(seed);
        let shape = shape(&mut chance);
        let faults = schedule(BAD_SECONDS, &mut chance);
        let seed = chance.next();
        Self {
            seed,
            shape,
            seconds: BAD_SECONDS,
            faults,
        }
    }
}

fn shape(chance: &mut Chance) -> Shape {
    let min = 1 + chance.below(3) as u32;
    // One in eight is larger: budgets and shares differ there.
    let large = if chance.per_mille(125) { 8 } else { 0 };
    Shape {
        min: min + large,
        max: min + large + chance.below(4) as u32,
        partition_max: 2 + large + chance.below(4) as u32,
        repository: chance.per_mille(500),
        balanced: chance.per_mille(850),
        everywhere: chance.per_mille(250),
        network_partitions: 1 + chance.below(3) as usize,
        requests_in_flight: Some(10.0),
        load_average: chance.per_mille(400).then_some(50.0),
        arrivals: (min == 2).then_some(ArrivalPolicy {
            workers: 10,
            wait_seconds: 0.1,
            service_seconds: None,
            violation_price: 130.0,
        }),
        stabilization_seconds: 20.0,
        composite: None,
        shared: false,
    }
}

/// A composite application of any kind.
fn composite(chance: &mut Chance) -> Shape {
    let behaviours = [
        TerminationBehaviour::TerminateNone,
        TerminationBehaviour::TerminateDependents,
        TerminationBehaviour::TerminateAll,
    ];
    let composite = Composite {
        behaviour: behaviours[chance.below(3) as usize],
        instances: 1 + chance.below(3) as u32,
        dependents: chance.per_mille(500),
    };
    let simple = shape(chance);
    Shape {
        composite: Some(composite),
        partition_max: 6 + simple.min + chance.below(20) as u32,
        ..simple
    }
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of product code become violations, and say nothing on the way.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let kept = LAST_PANIC.with(|last| {
                let mut last = last.borrow_mut();
                last.as_mut().map(|text| *text = info.to_string()).is_some()
            });
            if !kept {
                before(info);
            }
        }));
    });
}

/// Lives through it.
pub fn run(setting: &Setting, twist: Twist) -> Result<Lived, Box<Failed>> {
    listen_to_panics();
    let mut sim = begin(setting, twist);
    LAST_PANIC.with(|last| *last.borrow_mut() = Some(String::new()));
    let result = catch_unwind(AssertUnwindSafe(|| live(setting, &mut sim)));
    let said = LAST_PANIC.with(|last| last.borrow_mut().take());
    let violation = match result {
        Ok(Ok(healed)) => return Ok(lived(&sim, healed)),
        Ok(Err(violation)) => violation,
        Err(_) => broken("no panic", said.unwrap_or_default()),
    };
    // What was seen before it ended in another way is the cause.
    let accused = sim
        .orchestrator
        .witness
        .as_ref()
        .and_then(|witness| witness.accusation.clone());
    let violation = accused.unwrap_or(violation);
    let skip = sim.orchestrator.journal.len().saturating_sub(25);
    let times = sim.orchestrator.times.iter().zip(&sim.orchestrator.journal);
    let line = |(at, entry): (&Millis, &cartridge_orchestrator_plan::record::Entry)| {
        let record = serde_json::to_string(&entry.record).unwrap_or_default();
        format!(
            "{at} {} {}",
            entry.seq,
            record.chars().take(220).collect::<String>()
        )
    };
    Err(Box::new(Failed {
        violation,
        second: sim.now.since(sim.began).0 / 1000,
        journal: times.skip(skip).map(line).collect(),
        picture: sim.picture(),
        refused: sim.orchestrator.refused.clone(),
    }))
}

fn begin(setting: &Setting, twist: Twist) -> Sim {
    let (later, wall) = twist.skew.unwrap_or_default();
    let start = Millis(1000).plus(later);
    let mut sim = Sim::at(&setting.shape, setting.seed, start, wall);
    sim.bug = twist.bug;
    sim.orchestrator.disk.bug = twist.bug;
    sim.orchestrator.unread = twist.unread;
    sim
}

/// Seconds of quiet until it was at rest.
fn live(setting: &Setting, sim: &mut Sim) -> Result<u64, Violation> {
    let mut coming = setting.faults.iter().peekable();
    for second in 1..=setting.seconds {
        while let Some(injected) = coming.next_if(|injected| injected.at <= second) {
            sim.strike(&injected.fault);
        }
        sim.step()?;
        truth::check(sim)?;
        if second % 5 == 0 {
            sim.redeploy();
        }
    }
    calm(sim);
    while sim.now < sim.down {
        sim.step()?;
    }
    sim.set_right();
    let (mut still, mut length, mut healed) = (0, 0, 0);
    for second in 0..GOOD_SECONDS {
        sim.step()?;
        truth::check(sim)?;
        sim.redeploy();
        let head_is_bad = sim
            .repository
            .head
            .as_ref()
            .is_some_and(|head| sim.repository.bad.contains(head));
        if head_is_bad && nothing_works(sim) {
            sim.push_commit(false); // only a person can mend that
        }
        let before = std::mem::replace(&mut length, sim.orchestrator.journal.len());
        if before != length {
            (still, healed) = (0, second);
        }
        still += 1;
        if still >= REST && truth::converged(sim).is_ok() {
            return Ok(healed);
        }
    }
    truth::converged(sim)?;
    Err(broken("L1 convergence", "it never comes to rest"))
}

/// T_f: from here on nothing goes wrong.
fn calm(sim: &mut Sim) {
    sim.faults = Faults::default();
    sim.faults.provisioner = Trouble::default();
    sim.windows.clear();
    sim.split = Millis::ZERO;
    if sim.orchestrator.dies.take().is_some() {
        sim.tally.add("never died", 1);
    }
    for agent in sim.agents.values_mut() {
        (agent.cut_up, agent.cut_down) = (Millis::ZERO, Millis::ZERO);
    }
}

fn nothing_works(sim: &Sim) -> bool {
    let mut clusters = sim.orchestrator.world.clusters.values();
    clusters.any(|cluster| cluster.repository.is_some() && cluster.release.accepted.is_none())
}

fn lived(sim: &Sim, healed: u64) -> Lived {
    let mut tally = sim.tally.clone();
    tally.add("instances timed out", sim.provisioner.timed_out);
    Lived {
        hash: sim.orchestrator.hash(),
        seconds: sim.now.since(sim.began).0 / 1000,
        judged: sim
            .orchestrator
            .witness
            .as_ref()
            .map_or(0, |witness| witness.judged),
        healed,
        tally,
        messages: sim.network.counts,
    }
}
