//! What ten thousand members weigh in memory: facts, and all that is kept of what they say.

#[path = "harness/mod.rs"]
mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cartridge_orchestrator_plan::observe::{InstanceObservation, MemberObservation, Observations, Window};
use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::scale::SPAN;
use cartridge_orchestrator_plan::world::{Member, World};
use cartridge_protocol::Millis;
use cartridge_protocol::link::{Phase, Status};
use cartridge_protocol::sample::{Sample, Scope};
use harness::fixture::{self, Shape};
use harness::orchestrator::Orchestrator;

const MEMBERS: u32 = 10_000;

/// Counts what is in use, as the C library rounds it: 8 bytes of its own, in steps of 16.
struct Scales;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

const fn rounded(size: usize) -> usize {
    (size + 8).next_multiple_of(16)
}

// SAFETY: everything is left to the system; only sizes are added up.
unsafe impl GlobalAlloc for Scales {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(rounded(layout.size()), Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(rounded(layout.size()), Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static SCALES: Scales = Scales;

fn joined(member: &Member) -> [Record; 2] {
    let (id, incarnation) = (member.id.clone(), member.incarnation);
    [
        Record::MemberEnsured {
            member: id.clone(),
            incarnation,
            instance: format!("mock:{id}.{incarnation}"),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: BTreeMap::from([("http".to_owned(), 8080)]),
        },
        Record::MemberJoined {
            member: id,
            incarnation,
            credential_sha256: "0123456789abcdef".repeat(4),
        },
    ]
}

fn said(member: &Member) -> MemberObservation {
    let (mut load, mut memory) = (Window::default(), Window::default());
    // As often as members report at rest.
    for second in (0..120).step_by(5) {
        load.push_within(Millis(second * 1000), 40.0, SPAN);
        memory.push_within(Millis(second * 1000), 40.0, SPAN);
    }
    let sample = Sample {
        sequence: 120,
        scope: Scope::CgroupV2,
        load: Some([0.4; 3]),
        cores: 1.0,
        memory_used: Some(1 << 28),
        memory_limit: Some(1 << 30),
        cpu_percent: Some(40.0),
        readers: Vec::new(),
        throttled: None,
        pressure: None,
    };
    MemberObservation {
        incarnation: member.incarnation,
        sequence: 120,
        heard: Millis(120_000),
        status: Status {
            phase: Phase::Active,
            head: Some(fixture::commit(1)),
            release: Some(fixture::commit(1)),
            staged: vec![fixture::commit(1)],
            ..Status::starting()
        },
        load,
        memory,
        sample: Some((Millis(120_000), sample)),
    }
}

fn fleet() -> (World, Observations) {
    let now = Millis(1000);
    let mut orchestrator = Orchestrator::default();
    let shape = Shape {
        min: MEMBERS,
        max: MEMBERS,
        partition_max: MEMBERS,
        balanced: false,
        network_partitions: 1,
        ..Shape::default()
    };
    for record in fixture::records(&shape) {
        assert!(orchestrator.append(record, now));
    }
    orchestrator.pass(now);
    let members: Vec<Member> = orchestrator.world.members.values().cloned().collect();
    for member in &members {
        for record in joined(member) {
            assert!(orchestrator.append(record, now));
        }
        let runs = InstanceObservation::Running {
            incarnation: member.incarnation,
            at: now,
        };
        orchestrator.seen.instances.insert(member.id.clone(), runs);
        orchestrator.seen.members.insert(member.id.clone(), said(member));
    }
    (orchestrator.world, orchestrator.seen)
}

#[test]
fn a_member_weighs_less_than_two_kibibytes() {
    let before = IN_USE.load(Relaxed);
    let (world, seen) = fleet();
    let each = (IN_USE.load(Relaxed) - before) / MEMBERS as usize;
    assert_eq!(world.members.len(), MEMBERS as usize);
    drop(seen);
    let facts = (IN_USE.load(Relaxed) - before) / MEMBERS as usize;
    eprintln!("{each} bytes per member, {facts} of them facts");
    assert!(each < 2048, "{each} bytes per member");
    drop(world);
}
