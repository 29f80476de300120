//! Every pair of stage and event, the way there and back, and what an attacker might offer.

use super::*;

fn slot(version: &str) -> Slot {
    Slot {
        version: Version::parse(version).unwrap(),
        sha256: format!("{:0>64}", version.replace('.', "")),
    }
}

/// The time that a new agent has here.
const TRIAL: Millis = Millis(45_000);

const BOTH: Before = Before {
    active: true,
    reachable: true,
};

fn trial(before: Before) -> Stage {
    Upgrade::on_trial(slot("2.0.0"), before, Millis(0), TRIAL).stage
}

fn stages() -> Vec<Stage> {
    let slot = || slot("2.0.0");
    vec![
        Stage::Idle,
        Stage::Checking,
        Stage::Rehearsing(slot()),
        Stage::Waiting {
            slot: slot(),
            until: Millis(60_000),
        },
        Stage::Writing(slot()),
        Stage::Switching(slot()),
        trial(BOTH),
        Stage::Confirming(slot()),
        Stage::Returning {
            slot: slot(),
            reason: "r".into(),
        },
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Offered,
        Event::Checked(Ok(slot("2.0.0"))),
        Event::Checked(Err("e".into())),
        Event::Rehearsed(Ok(())),
        Event::Rehearsed(Err("e".into())),
        Event::Written(Ok(())),
        Event::Written(Err("e".into())),
        Event::Stayed("e".into()),
        Event::Moved,
        Event::Acknowledged,
        Event::Answered,
        Event::Turned(Turn { quiet: true }),
        Event::Turned(Turn { quiet: false }),
        Event::Ends,
    ]
}

fn letter(stage: &Stage) -> char {
    match stage {
        Stage::Idle => '.',
        Stage::Checking => 'C',
        Stage::Rehearsing(_) => 'R',
        Stage::Waiting { .. } => 'W',
        Stage::Writing(_) => 'I',
        Stage::Switching(_) => 'S',
        Stage::Trial(_) => 'T',
        Stage::Confirming(_) => 'F',
        Stage::Returning { .. } => 'B',
    }
}

/// One row per stage, one column per event, in the order of both lists; the time is 60 s, when every deadline is due.
const TABLE: &str = "
. C.............
C CR.CCCCCCCCCC.
R RRRW.RRRRRRRR.
W WWWWWWWWWWWI..
I IIIIIS.IIIIII.
S SSSSSSS.WSSSSS
T TTTTTTTTTBBBBF
F FFFFF..FFFFFFF
B BBBBBBB.BBBBBB
";

#[test]
fn every_pair_of_stage_and_event_leads_where_the_table_says() {
    let rows: Vec<&str> = TABLE.trim().lines().collect();
    assert_eq!(rows.len(), stages().len());
    for (stage, row) in stages().into_iter().zip(rows) {
        let cells: Vec<char> = row.chars().skip(1).filter(|c| *c != ' ').collect();
        assert_eq!(
            (row.chars().next(), cells.len()),
            (Some(letter(&stage)), events().len()),
            "{row}"
        );
        for (event, cell) in events().into_iter().zip(cells) {
            let (after, _) = next(stage.clone(), event.clone(), Millis(60_000));
            assert_eq!(letter(&after), cell, "{stage:?} + {event:?} gave {after:?}");
        }
    }
}

#[test]
fn nothing_becomes_another_agent_before_that_is_written_down() {
    for stage in stages() {
        for event in events() {
            let (_, actions) = next(stage.clone(), event.clone(), Millis(60_000));
            let becomes = actions.iter().any(|a| matches!(a, Action::Become(_)));
            let written = matches!((&stage, &event), (Stage::Writing(_), Event::Written(Ok(()))));
            assert_eq!(becomes, written, "{stage:?} + {event:?}");
            // And whoever stands at the door hears of every end.
            let (after, actions) = next(stage.clone(), event.clone(), Millis(60_000));
            if letter(&after) == '.' && letter(&stage) != '.' {
                assert!(
                    actions.iter().any(|a| matches!(a, Action::Tell(_))),
                    "{stage:?} + {event:?}"
                );
            }
        }
    }
}

#[test]
fn an_upgrade_goes_through_every_stage_and_is_confirmed_once_all_is_as_before() {
    let mut old = Upgrade::default();
    let quiet = Event::Turned(Turn { quiet: true });
    assert_eq!(old.step(Event::Offered, Millis(0)), [Action::Check]);
    let actions = old.step(Event::Checked(Ok(slot("2.0.0"))), Millis(1));
    assert_eq!(actions, [Action::Rehearse(slot("2.0.0"))]);
    assert_eq!(old.step(Event::Rehearsed(Ok(())), Millis(2)), []);
    assert_eq!(old.step(Event::Turned(Turn { quiet: false }), Millis(3)), []);
    assert_eq!(
        old.step(quiet.clone(), Millis(4)),
        [Action::Intend(slot("2.0.0"))]
    );
    assert_eq!(
        old.step(Event::Written(Ok(())), Millis(5)),
        [Action::Become(slot("2.0.0"))]
    );
    let mut new = Upgrade::on_trial(slot("2.0.0"), BOTH, Millis(6), TRIAL);
    for _ in 0..5 {
        assert_eq!(new.step(quiet.clone(), Millis(7)), []);
    }
    assert_eq!(new.step(Event::Acknowledged, Millis(8)), []);
    assert!(new.is_on_trial());
    assert_eq!(
        new.step(Event::Answered, Millis(9)),
        [Action::Confirm(slot("2.0.0"))]
    );
    let told = new.step(Event::Written(Ok(())), Millis(10));
    assert_eq!(told, [Action::Tell(Ok("the agent is 2.0.0 now".into()))]);
    assert_eq!((new.words(), new.due()), (None, None));
}

#[test]
fn without_the_orchestrator_before_none_is_needed_but_it_is_given_time() {
    let before = Before {
        active: true,
        reachable: false,
    };
    let mut new = Upgrade::on_trial(slot("2.0.0"), before, Millis(0), TRIAL);
    let turned = Event::Turned(Turn { quiet: true });
    for now in 0..5 {
        assert_eq!(new.step(turned.clone(), Millis(now)), []);
    }
    assert_eq!(new.step(Event::Answered, Millis(10)), []);
    assert_eq!(new.due(), Some(ALONE));
    assert_eq!(new.step(turned, ALONE), [Action::Confirm(slot("2.0.0"))]);
}

#[test]
fn what_is_missing_at_the_end_of_the_trial_is_named() {
    for (before, events, missing) in [
        (
            BOTH,
            vec![],
            "its loop did not turn, the orchestrator took nothing from it, it did not see",
        ),
        (
            BOTH,
            vec![Event::Acknowledged],
            "it did not see the application answer",
        ),
        (
            BOTH,
            vec![Event::Answered],
            "the orchestrator took nothing from it",
        ),
    ] {
        let mut new = Upgrade::on_trial(slot("2.0.0"), before, Millis(0), TRIAL);
        for event in events {
            for _ in 0..3 {
                new.step(Event::Turned(Turn { quiet: true }), Millis(1));
            }
            new.step(event, Millis(1));
        }
        assert_eq!(new.due(), Some(TRIAL));
        let actions = new.step(Event::Turned(Turn { quiet: true }), TRIAL);
        let [Action::Return(_, reason)] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert!(reason.contains(missing), "{reason}");
    }
}

mod offers {
    use super::super::offer::*;
    use super::*;

    const TARGET: &str = "x86_64-unknown-linux-gnu";

    fn text(change: impl FnOnce(&mut serde_json::Value), signatures: &[u8]) -> String {
        let mut json = serde_json::json!({
            "product": "cartridge-agent", "version": "1.2.0", "target": TARGET, "bytes": 10,
            "sha256": "ab".repeat(32),
        });
        change(&mut json);
        let mut text = json.to_string();
        for signer in signatures {
            text.push('\n');
            text.push_str(&format!("{signer:02x}").repeat(64));
        }
        text
    }

    /// A key is valid for what is signed with its own number.
    fn valid(key: &[u8; 32], _: &[u8], signature: &[u8; 64]) -> bool {
        key[0] == signature[0]
    }

    fn keys(text: &str) -> Keys {
        let lines: Vec<String> = text.split(' ').map(|n| n.repeat(32)).collect();
        Keys::parse(&lines.join("\n")).unwrap()
    }

    fn offered(text: &str, keys: &Keys, record: &Record, running: &str) -> Result<Slot, Refusal> {
        let slot = Offer::parse(text)?.believed(keys, TARGET, valid)?;
        let running = Version::parse(running).unwrap();
        slot.accepted(record, &running, false).map(|()| slot)
    }

    /// The attacks that the update framework lists, as far as one signed file can be their victim.
    #[test]
    fn what_an_attacker_may_offer_is_refused() {
        let one = keys("01");
        let none = Record::default();
        let refused = |text: &str, record: &Record, running: &str| {
            offered(text, &one, record, running).unwrap_err().to_string()
        };
        assert!(offered(&text(|_| {}, &[1]), &one, &none, "1.1.9").is_ok());
        // Arbitrary installation: nobody, or somebody else, has signed it.
        for signers in [&[][..], &[2], &[2, 3]] {
            assert!(refused(&text(|_| {}, signers), &none, "1.1.9").starts_with("0 of the 1"));
        }
        // Rollback, and the same again.
        for running in ["1.2.0", "1.2.1", "2.0.0"] {
            assert!(refused(&text(|_| {}, &[1]), &none, running).contains("(it runs)"));
        }
        // Rollback behind what ran here before, though something older was installed since.
        let mut record = Record::default();
        record.confirm(&slot("1.3.0"));
        assert!(refused(&text(|_| {}, &[1]), &record, "1.0.0").contains("(it ran here before)"));
        // Endless data.
        for bytes in [0, MOST_BYTES + 1, u64::MAX] {
            let text = text(|json| json["bytes"] = bytes.into(), &[1]);
            assert!(refused(&text, &none, "1.0.0").contains("are accepted"));
        }
        // The wrong software, and what is for another machine.
        for (name, value) in [("product", "cartridge"), ("target", "riscv64")] {
            let text = text(|json| json[name] = value.into(), &[1]);
            assert!(refused(&text, &none, "1.0.0").contains("is wanted"));
        }
        // A statement with more in it than is understood.
        assert!(refused(&text(|json| json["also"] = 1.into(), &[1]), &none, "1.0.0").contains("also"));
    }

    #[test]
    fn as_many_keys_as_are_asked_for_have_to_sign_each_for_itself() {
        let two = Keys::parse(&format!(
            "threshold 2\n{}\n# spare\n{} the spare one",
            "01".repeat(32),
            "02".repeat(32)
        ));
        let two = two.unwrap();
        let none = Record::default();
        for (signers, fine) in [
            (&[1][..], false),
            (&[1, 1], false),
            (&[1, 3], false),
            (&[1, 2], true),
        ] {
            let answer = offered(&text(|_| {}, signers), &two, &none, "1.0.0");
            assert_eq!(answer.is_ok(), fine, "{signers:?}: {answer:?}");
        }
        for wrong in ["", "threshold 0", "threshold 2\n", "xyz", "threshold many"] {
            assert!(Keys::parse(wrong).is_err(), "{wrong}");
        }
        let twice = format!("threshold 2\n{0}\n{0}", "01".repeat(32));
        assert!(Keys::parse(&twice).is_err(), "one key is one key");
    }

    #[test]
    fn what_failed_here_is_tried_again_only_when_somebody_insists() {
        let mut record = Record::default();
        let offered = slot("1.2.0");
        record.intend(&offered);
        record.forget(&offered, Some("it\nhung"));
        let running = Version::parse("1.0.0").unwrap();
        let refusal = offered
            .accepted(&record, &running, false)
            .unwrap_err()
            .to_string();
        assert_eq!(refusal, "1.2.0 was tried here before: it hung");
        assert_eq!(offered.accepted(&record, &running, true), Ok(()));
    }

    #[test]
    fn versions_are_three_plain_numbers() {
        for fine in ["0.1.0", "1.2.3+build.7", "10.20.30"] {
            assert_eq!(Version::parse(fine).unwrap().to_string(), fine);
        }
        let long = format!("1.2.3+{}", "x".repeat(80));
        for wrong in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.x",
            "01.2.3",
            "1.2.3+",
            "1.2.3-rc1",
            "+1.2.3",
            "1.2.+3",
            &long,
        ] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.10.0").is_newer_than(&version("1.9.9")));
        assert!(!version("1.2.3+b").is_newer_than(&version("1.2.3+a")));
    }

    proptest::proptest! {
        #[test]
        fn no_offer_whatever_ends_the_reader(text in ".{0,300}") {
            let _ = Offer::parse(&text);
            let _ = Keys::parse(&text);
        }
    }
}

mod records {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn a_binary_that_never_proves_itself_is_begun_twice_and_then_the_one_before() {
        let mut record = Record::default();
        record.confirm(&slot("1.1.0"));
        record.intend(&slot("1.2.0"));
        assert_eq!(record.boot(&version("1.0.0")), Boot::Other(slot("1.2.0")));
        assert_eq!(record.boot(&version("1.0.0")), Boot::Other(slot("1.1.0")));
        assert!(record.tried(&slot("1.2.0")).is_some() && record.trial.is_none());
        // And where that one does not begin any more either, what was installed.
        for _ in 0..3 {
            assert_eq!(record.boot(&version("1.0.0")), Boot::Other(slot("1.1.0")));
        }
        assert_eq!(record.boot(&version("1.0.0")), Boot::Own);
        assert_eq!(record.boot(&version("1.0.0")), Boot::Own);
        assert_eq!(record.floor, Some(version("1.1.0")), "the floor never sinks");
    }

    #[test]
    fn a_start_that_proves_itself_begins_the_count_anew() {
        let mut record = Record::default();
        record.confirm(&slot("1.1.0"));
        for _ in 0..50 {
            assert_eq!(record.boot(&version("1.0.0")), Boot::Other(slot("1.1.0")));
            record.confirm(&slot("1.1.0"));
        }
    }

    #[test]
    fn what_is_installed_and_at_least_as_new_is_what_begins() {
        let mut record = Record::default();
        record.confirm(&slot("1.1.0"));
        assert_eq!(record.boot(&version("1.1.0")), Boot::Own);
        assert_eq!(record.boot(&version("1.2.0")), Boot::Own);
    }

    #[test]
    fn a_record_stays_small_and_reads_back() {
        let mut record = Record::default();
        for n in 0..100 {
            record.forget(&slot(&format!("1.{n}.0")), Some(&"x".repeat(9999)));
        }
        record.intend(&slot("2.0.0"));
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.len() < 8 << 10, "{}", text.len());
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
