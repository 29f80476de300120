//! Journals that earlier versions wrote are read by this one: entry by entry, and from a snapshot with what follows.
//!
//! `fixtures/journals/*.jsonl` hold one entry a line, as the journal stores them; `*.snapshot.json` is the world that the same
//! version had after the last of them. They were written at commit 154c9a2 by the installation that the stories simulate
//! (`harness/`): `composite` starts groups in order, brings out a good and a bad commit, loses a member, is scaled, paused and
//! restarted; `burst` grows into a second network partition and back, is undeployed and deployed again. They are never
//! written again: what changes is added beside them.

#![allow(clippy::disallowed_methods, reason = "a test of files reads files")]

use std::path::{Path, PathBuf};

use cartridge_orchestrator_plan::check::check;
use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::record::Entry;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Millis;
use serde_json::Value;

const JOURNALS: [&str; 2] = ["composite", "burst"];

fn file(name: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals");
    let path = folder.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

fn entries(name: &str) -> Vec<Entry> {
    let text = file(&format!("{name}.jsonl"));
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
    text.lines().map(read).collect()
}

fn folded(world: &mut World, entries: &[Entry]) {
    for entry in entries {
        world
            .apply(entry, Millis::ZERO)
            .unwrap_or_else(|fault| panic!("{fault}: {entry:?}"));
    }
}

/// Without what that version did not keep, or counted otherwise.
fn as_it_was(world: &World) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for newer in ["planned", "deployed", "told"] {
                    fields.remove(newer);
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(rows) => rows.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(world).expect("a world is JSON");
    strip(&mut value);
    value
}

#[test]
fn the_entries_of_an_earlier_version_give_the_world_that_it_had() {
    for name in JOURNALS {
        let entries = entries(name);
        assert!(entries.len() > 50, "{name} tells a story: {}", entries.len());
        let mut world = World::default();
        folded(&mut world, &entries);
        let mut snapshot: World =
            serde_json::from_str(&file(&format!("{name}.snapshot.json"))).expect("it is read");
        snapshot.resume_at(Millis::ZERO);
        assert_eq!(as_it_was(&world), as_it_was(&snapshot), "{name}");
    }
}

#[test]
fn decisions_go_on_where_an_earlier_version_stopped() {
    for name in JOURNALS {
        let mut world = World::default();
        folded(&mut world, &entries(name));
        let view = View {
            world: &world,
            seen: &Observations::default(),
            now: Millis(1000),
        };
        let planned = decide(&view, Scope::All);
        check(&view, &planned).unwrap_or_else(|broken| panic!("{name}: {broken}"));
        let members = world.members.len();
        let drains = planned
            .records
            .iter()
            .filter(|record| format!("{record:?}").starts_with("MemberDraining"));
        assert_eq!(
            drains.count(),
            0,
            "{name}: nobody of {members} is touched by reading"
        );
    }
}
