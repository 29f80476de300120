//! What the ledger remembers, and that the picture says it with its age.

use cartridge_protocol::link::{Refused, TenantStatus};
use cartridge_protocol::sample::Scope;
use cartridge_protocol::tenant::TenantId;

use super::*;

fn commit(digit: char) -> CommitId {
    CommitId::new(digit.to_string().repeat(40)).unwrap()
}

fn pictured(ledger: &Ledger, now: Millis) -> Picture {
    let member = MemberId::new("app.web.php.domain-1").unwrap();
    let status = Status {
        phase: ledger.phase.0.clone(),
        revision: 7,
        release: Some(commit('a')),
        head: Some(commit('b')),
        staged: vec![commit('a'), commit('b')],
        refused: vec![Refused {
            commit: commit('c'),
            reason: "ArtifactUpdatedEvent ended with exit code 3\u{1b}[31m".into(),
        }],
        restarts: 2,
        tenants: vec![TenantStatus {
            tenant: TenantId::new(7).unwrap(),
            current: Some(commit('d')),
            head: Some(commit('e')),
            staged: Vec::new(),
            refused: Vec::new(),
        }],
        ..Status::starting()
    };
    let facts = Facts {
        version: "0.1.0",
        pid: 42,
        member: &member,
        incarnation: 3,
        server: "https://o.example:7000",
        status,
        previous: Some(commit('d')),
        application: Some(77),
        upgrade: (None, None),
        waiting: Waiting {
            notices: 1,
            ..Waiting::default()
        },
        ledger,
    };
    picture(facts, now)
}

fn sample() -> Sample {
    Sample {
        sequence: 1,
        scope: Scope::CgroupV2,
        load: Some([0.5, 0.25, 0.125]),
        cores: 2.0,
        memory_used: Some(64 << 20),
        memory_limit: None,
        cpu_percent: None,
        throttled: None,
        pressure: None,
        readers: Vec::new(),
    }
}

#[test]
fn a_new_agent_has_measured_nothing_and_reached_nobody() {
    let picture = pictured(&Ledger::default(), Millis(1_500));
    assert_eq!(
        (picture.link.state, picture.link.since_ms),
        (LinkState::New, 1_500)
    );
    assert_eq!((picture.sample.is_none(), picture.phase_ms), (true, 1_500));
    assert!(text(&picture).contains("not measured yet"));
}

#[test]
fn ages_are_those_of_the_last_change_and_not_of_the_last_look() {
    let mut ledger = Ledger::default();
    ledger.phase(&Phase::Active, Millis(100));
    ledger.phase(&Phase::Active, Millis(900));
    ledger.reached(&Ok(()), Millis(200));
    ledger.reached(&Ok(()), Millis(900));
    ledger.sampled(&sample(), Millis(700));
    ledger.sampled(&sample(), Millis(900));
    let picture = pictured(&ledger, Millis(1_000));
    assert_eq!((picture.phase_ms, picture.link.since_ms), (900, 800));
    assert_eq!(picture.sample.unwrap().age_ms, 100);
}

#[test]
fn the_link_is_new_until_somebody_answered_then_down_with_its_reason_and_fenced_for_ever() {
    let mut ledger = Ledger::default();
    let no = |why: &str| Err(why.to_owned());
    ledger.reached(&no("refused"), Millis(100));
    let link = pictured(&ledger, Millis(100)).link;
    assert_eq!(
        (link.state, link.since_ms, link.why.as_deref()),
        (LinkState::New, 100, Some("refused"))
    );
    ledger.reached(&Ok(()), Millis(200));
    ledger.reached(&no("gone"), Millis(300));
    ledger.reached(&no("still gone"), Millis(400));
    let link = pictured(&ledger, Millis(500)).link;
    assert_eq!(
        (link.state, link.since_ms, link.why.as_deref()),
        (LinkState::Down, 200, Some("still gone"))
    );
    ledger.fenced(Millis(600));
    ledger.reached(&Ok(()), Millis(700));
    ledger.fenced(Millis(800));
    let link = pictured(&ledger, Millis(900)).link;
    assert_eq!(
        (link.state, link.since_ms, link.why),
        (LinkState::Fenced, 300, None)
    );
}

#[test]
fn of_each_hook_the_last_run_is_remembered_and_there_is_an_end_to_that() {
    let mut ledger = Ledger::default();
    ledger.hook_begun("A", Millis(0));
    ledger.hook_ended("A", Some("exit code 3"), Millis(50));
    ledger.hook_begun("B", Millis(60));
    ledger.hook_begun("A", Millis(100));
    ledger.hook_ended("A", None, Millis(150));
    let hooks = pictured(&ledger, Millis(1_000)).hooks;
    let told: Vec<_> = hooks
        .iter()
        .map(|h| (h.name.as_str(), h.begun_ms, h.took_ms, h.fault.as_deref()))
        .collect();
    assert_eq!(told, [("B", 940, None, None), ("A", 900, Some(50), None)]);
    for n in 0..1000 {
        ledger.hook_begun(&n.to_string(), Millis(n));
    }
    assert_eq!(pictured(&ledger, Millis(1_000)).hooks.len(), MOST_HOOKS);
}

#[test]
fn the_text_fits_a_terminal_says_everything_and_no_control_character() {
    let mut ledger = Ledger::default();
    let reason = format!("changes \u{1b}[2J to {}", "x".repeat(300));
    ledger.phase(&Phase::Suspended { reason }, Millis(100));
    ledger.reached(&Ok(()), Millis(100));
    ledger.sampled(&sample(), Millis(900));
    ledger.hook_begun("InstanceStartedEvent", Millis(0));
    ledger.hook_ended("InstanceStartedEvent", Some("ended with exit code 3"), Millis(50));
    let told = text(&pictured(&ledger, Millis(200_000)));
    for expected in [
        "app.web.php.domain-1 (life 3)",
        "Suspended for 3 min: changes",
        "process 77, 2 restarts",
        "aaaaaaaa bbbbbbbb",
        "cccccccc: ArtifactUpdatedEvent ended",
        "0.50 0.25 0.12 on 2.00 cores, CPU unknown",
        "64.0 MiB of unknown",
        "https://o.example:7000 up for 3 min",
        "1 notices",
        "InstanceStartedEvent failed after 50 ms",
        "0.1.0, process 42",
    ] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    for line in told.lines() {
        assert!(
            line.chars().count() <= 80 && !line.chars().any(char::is_control),
            "{line}"
        );
    }
}

#[test]
fn a_look_at_the_repository_is_told_in_words() {
    let looked =
        |head: Option<char>, staged, wanted: Option<char>, current: Option<char>, fault: Option<&str>| {
            text::synced(&cartridge_protocol::local::Synced {
                head: head.map(commit),
                staged,
                wanted: wanted.map(commit),
                current: current.map(commit),
                fault: fault.map(str::to_owned),
            })
            .replace('\n', " ")
        };
    assert!(looked(Some('a'), true, Some('a'), Some('a'), None).contains("which is current"));
    assert!(looked(Some('b'), true, Some('a'), Some('a'), None).contains("the orchestrator decides"));
    assert!(looked(Some('b'), true, Some('b'), Some('a'), None).contains("when the member may switch"));
    assert!(looked(Some('b'), false, None, None, None).contains("not on the shelf"));
    assert_eq!(looked(None, false, None, None, Some("no route")), "no route ");
}
