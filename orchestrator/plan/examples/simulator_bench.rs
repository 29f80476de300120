//! How much faster than real time the simulator is with a hundred members, per core: in time that it had the processor.

#![allow(clippy::disallowed_methods, reason = "measures the decisions, which may not")]

#[path = "../tests/harness/mod.rs"]
mod harness;

use harness::Chance;
use harness::faults::schedule;
use harness::fixture::Shape;
use harness::sim::Sim;
use harness::truth;

const MEMBERS: u32 = 100;

/// Seconds that this process had a processor.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells it");
    let nanos = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanos.expect("its first number is nanoseconds") / 1e9
}

/// Of each figure the middle one of so many.
const ROUNDS: usize = 5;

fn main() {
    for (name, checked, faults) in [
        ("at rest, unchecked", false, false),
        ("at rest, every second checked", true, false),
        ("with faults, every second checked", true, true),
    ] {
        let mut rounds: Vec<(f64, Sim)> = (0..ROUNDS).map(|_| round(checked, faults)).collect();
        rounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (factor, sim) = &rounds[ROUNDS / 2];
        println!(
            "  {name:<36} {factor:>8.0} x real time   {} members, {} entries   ({:.0} to {:.0})",
            sim.orchestrator.world.members.len(),
            sim.orchestrator.journal.len(),
            rounds[0].0,
            rounds[ROUNDS - 1].0,
        );
    }
}

/// How much faster than real time, and what became of it.
fn round(checked: bool, faults: bool) -> (f64, Sim) {
    let shape = Shape {
        min: MEMBERS,
        max: MEMBERS + 20,
        partition_max: 2 * MEMBERS,
        network_partitions: 1,
        load_average: Some(50.0),
        ..Shape::default()
    };
    let seconds = if faults { 600 } else { 7200 };
    let mut sim = Sim::new(&shape, 1);
    sim.seconds(60);
    let list = schedule(if faults { seconds } else { 0 }, &mut Chance::new(7));
    let mut coming = list.iter().peekable();
    let began = spent();
    for second in 1..=seconds {
        while let Some(injected) = coming.next_if(|injected| injected.at <= second) {
            sim.strike(&injected.fault);
        }
        sim.second();
        if checked {
            truth::holds(&sim);
        }
    }
    (seconds as f64 / (spent() - began), sim)
}
