//! Stories of one application, told through a simulated installation in which only what the story says goes wrong.

#![allow(clippy::unwrap_used, reason = "constants of tests")]

#[path = "../harness/mod.rs"]
mod harness;

mod around;
mod arrivals;
mod bursts;
mod checks;
mod cost;
mod deaths;
mod floods;
mod groups;
mod lives;
mod orders;
mod phases;
mod releases;
mod rumours;
mod size;
mod starts;
mod tenants;
mod updates;

use cartridge_orchestrator_plan::record::Record;
use harness::fixture::Shape;
use harness::sim::Sim;

/// Deployed, and at rest.
fn running(shape: &Shape) -> Sim {
    let mut sim = Sim::new(shape, 1);
    let min = shape.min as usize;
    sim.until("the minimum is active", 120, |sim| sim.active() == min);
    let length = sim.orchestrator.journal.len();
    sim.seconds(5);
    assert!(sim.orchestrator.journal.len() <= length + 2, "{}", sim.picture());
    sim
}

/// Records since an entry.
fn since(sim: &Sim, entry: usize) -> impl Iterator<Item = &Record> {
    sim.orchestrator.journal[entry..]
        .iter()
        .map(|entry| &entry.record)
}

fn count(sim: &Sim, entry: usize, which: impl Fn(&Record) -> bool) -> usize {
    since(sim, entry).filter(|record| which(record)).count()
}
