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

fn main() {
    let shape = Shape {
        min: MEMBERS,
        max: MEMBERS + 20,
        partition_max: 2 * MEMBERS,
        network_partitions: 1,
        load_average: Some(50.0),
        ..Shape::default()
    };
    for (name, checked, faults) in [
        ("at rest, unchecked", false, false),
        ("at rest, every second checked", true, false),
        ("with faults, every second checked", true, true),
    ] {
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
        let took = spent() - began;
        let factor = seconds as f64 / took;
        println!(
            "  {name:<36} {factor:>8.0} x real time   {} members, {} entries",
            sim.orchestrator.world.members.len(),
            sim.orchestrator.journal.len()
        );
    }
}
