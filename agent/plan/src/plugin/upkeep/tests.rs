//! Every stage with every event, and whole lives of plugins that misbehave.

use super::*;
use proptest::prelude::*;

const RULES: Rules = Rules::DISPENSABLE;

fn ended() -> Event {
    Event::Failed(Fault::Ended("exit code 7".into()))
}

fn reader() -> Event {
    Event::Described {
        name: "r".into(),
        kind: Kind::Reader,
    }
}

fn wanted() -> Event {
    Event::Wanted {
        asked: "read",
        within: Millis(5_000),
    }
}

fn at(stage: Stage) -> Upkeep {
    Upkeep {
        stage,
        ..Upkeep::new()
    }
}

fn stages() -> Vec<Stage> {
    vec![
        Stage::Resting {
            at: Millis(100),
            why: "ended".into(),
        },
        Stage::Describing { until: Millis(100) },
        Stage::Ready,
        Stage::Asked {
            asked: "read",
            since: Millis(50),
            until: Millis(100),
        },
        Stage::LeftOut {
            until: Millis(100),
            why: "ended".into(),
        },
        Stage::Over,
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Tick,
        wanted(),
        reader(),
        Event::Answered,
        ended(),
        Event::Stop,
    ]
}

/// Stage, actions; one letter each. A stage that did not change is `=`.
fn outcome(stage: &Stage, event: &Event, now: Millis) -> String {
    let (after, actions) = step(at(stage.clone()), event.clone(), now, &RULES);
    let name = |stage: &Stage| match stage {
        Stage::Resting { .. } => 'r',
        Stage::Describing { .. } => 'd',
        Stage::Ready => 'R',
        Stage::Asked { .. } => 'a',
        Stage::LeftOut { .. } => 'l',
        Stage::Over => 'o',
    };
    let mut text = String::from(if after.stage == *stage {
        '='
    } else {
        name(&after.stage)
    });
    text.push(' ');
    text.extend(actions.iter().map(|action| match action {
        Action::Start => 'S',
        Action::Ask => 'A',
        Action::Refuse(_) => 'R',
        Action::Kill => 'K',
        Action::End => 'E',
        Action::Tell(Change::Ready { .. }) => '+',
        Action::Tell(Change::Down { .. }) => '-',
        Action::Tell(Change::LeftOut { .. }) => '0',
    }));
    text
}

#[test]
fn every_pair_of_stage_and_event_leads_where_the_table_says() {
    // Tick (when due), wanted, described, answered, failed, stop.
    let table = [
        ["d S", "= R", "= ", "= ", "= ", "o "],
        ["r K-", "= R", "R +", "= ", "r K-", "o E"],
        ["= ", "a A", "= ", "= ", "r K-", "o E"],
        ["r KR-", "= R", "= ", "R ", "r KR-", "o RE"],
        ["d S", "= R", "= ", "= ", "= ", "o "],
        ["= ", "= R", "= ", "= ", "= ", "= "],
    ];
    for (stage, row) in stages().iter().zip(table) {
        for (event, expected) in events().iter().zip(row) {
            assert_eq!(
                outcome(stage, event, Millis(100)),
                expected,
                "{stage:?} {event:?}"
            );
        }
        assert_eq!(
            outcome(stage, &Event::Tick, Millis(99)),
            "= ",
            "{stage:?} too early"
        );
    }
}

/// A life that does the same thing wrong again and again: what was told, and when.
fn misbehaves(
    rules: &Rules,
    until: Millis,
    wrong: impl Fn(&mut Upkeep, Millis) -> Millis,
) -> Vec<(Millis, Change)> {
    let (mut keep, mut now, mut told) = (Upkeep::new(), Millis::ZERO, Vec::new());
    while now < until {
        let due = keep.due().unwrap_or(now);
        now = now.max(due);
        let (after, actions) = step(keep, Event::Tick, now, rules);
        keep = after;
        if actions.contains(&Action::Start) {
            now = wrong(&mut keep, now);
            let (after, actions) = step(keep, ended(), now, rules);
            keep = after;
            told.extend(actions.into_iter().filter_map(|action| match action {
                Action::Tell(change) => Some((now, change)),
                _ => None,
            }));
        }
    }
    told
}

#[test]
fn one_that_dies_at_start_for_ever_is_started_ever_more_rarely_then_left_out_then_tried_once_in_a_while() {
    let told = misbehaves(&RULES, Millis::from_secs(2_700), |_, now| now);
    let waits: Vec<u64> = told[..5]
        .iter()
        .map(|(_, change)| match change {
            Change::Down { again_in, .. } => again_in.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(waits, [200, 400, 800, 1600, 3200]);
    assert_eq!(told[5].0, Millis(6_200), "left out after six faults");
    let rest: Vec<String> = told[5..].iter().map(|(_, change)| change.to_string()).collect();
    assert_eq!(rest.len(), 4, "one try each quarter of an hour: {rest:?}");
    for line in rest {
        assert_eq!(
            line,
            "ended (exit code 7); it is left out, and tried again in 15 minutes"
        );
    }
}

#[test]
fn one_that_its_member_lives_by_is_never_left_out_and_never_started_more_than_once_in_ten_seconds_for_long() {
    let told = misbehaves(&Rules::INDISPENSABLE, Millis::from_secs(3600), |_, now| now);
    assert!(
        told.iter()
            .all(|(_, change)| matches!(change, Change::Down { .. }))
    );
    assert!((360..375).contains(&told.len()), "{}", told.len());
    let version = Fault::Version(
        cartridge_protocol::plugin::Versions::OURS
            .common(cartridge_protocol::plugin::Versions::only(9))
            .unwrap_err(),
    );
    let (keep, _) = step(Upkeep::new(), Event::Tick, Millis(0), &Rules::INDISPENSABLE);
    let (keep, _) = step(keep, Event::Failed(version), Millis(0), &Rules::INDISPENSABLE);
    assert!(matches!(keep.stage, Stage::Resting { .. }));
}

#[test]
fn one_that_works_for_a_minute_and_then_fails_keeps_short_pauses() {
    let told = misbehaves(&RULES, Millis::from_secs(3600), |keep, now| {
        *keep = step(keep.clone(), reader(), now, &RULES).0;
        now.plus(Millis::from_secs(130))
    });
    let all_short = told.iter().all(|(_, change)| {
        matches!(
            change,
            Change::Down {
                again_in: Millis(200),
                ..
            }
        )
    });
    assert!(all_short, "{told:?}");
}

#[test]
fn a_fault_that_lasts_is_not_tried_six_times() {
    let (keep, _) = step(Upkeep::new(), Event::Tick, Millis(0), &RULES);
    let unknown = Fault::UnknownKind("hook".parse::<Kind>().unwrap_err());
    let (keep, actions) = step(keep, Event::Failed(unknown), Millis(5), &RULES);
    assert!(matches!(keep.stage, Stage::LeftOut { .. }));
    assert!(matches!(
        actions[..],
        [Action::Kill, Action::Tell(Change::LeftOut { .. })]
    ));
    let (_, actions) = step(keep, wanted(), Millis(6), &RULES);
    let [Action::Refuse(why)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert!(why.contains("unknown kind") && why.contains("left out"), "{why}");
}

#[test]
fn a_hang_names_what_was_asked_and_how_long_it_had() {
    let (keep, actions) = step(at(Stage::Ready), wanted(), Millis(1_000), &RULES);
    assert_eq!(actions, [Action::Ask]);
    assert_eq!(keep.due(), Some(Millis(6_000)));
    let (_, actions) = step(keep, Event::Tick, Millis(6_000), &RULES);
    assert_eq!(
        actions[1],
        Action::Refuse("it does not answer read within 5 s".into())
    );
}

fn some_event() -> impl Strategy<Value = Event> {
    (0usize..events().len()).prop_map(|at| events().swap_remove(at))
}

proptest! {
    #[test]
    fn whatever_happens_there_is_one_process_at_most_and_starts_are_bounded(
        steps in proptest::collection::vec((some_event(), 0u64..20_000), 0..300)
    ) {
        let (mut keep, mut now) = (Upkeep::new(), Millis::ZERO);
        let (mut lives, mut starts, mut pending) = (0, 0u64, false);
        for (event, passed) in steps {
            now = now.plus(Millis(passed));
            let asks = matches!(event, Event::Wanted { .. });
            let (after, actions) = step(keep, event, now, &RULES);
            for action in &actions {
                match action {
                    Action::Start => { lives += 1; starts += 1; }
                    Action::Kill | Action::End => lives -= 1,
                    Action::Ask => { prop_assert!(asks && !pending); pending = true; }
                    Action::Refuse(_) => { if !asks { prop_assert!(pending); pending = false; } }
                    Action::Tell(_) => {}
                }
                prop_assert!((0..=1).contains(&lives), "{actions:?}");
            }
            if !matches!(after.stage, Stage::Asked { .. }) { pending = false; }
            prop_assert!(after.faults.len() <= 6);
            keep = after;
        }
        // Six in a row, then one for each quarter of an hour, or one for each time of ten seconds.
        prop_assert!(starts <= 7 + now.0 / 200);
    }
}
