//! Frames by example, and decoders under any bytes.

use proptest::prelude::*;

use super::*;

#[test]
fn frames_are_simple_enough_for_a_shell_script() {
    let ask = Request {
        id: 1,
        call: Call::Describe(Versions::OURS),
    };
    assert_eq!(
        String::from_utf8(encode(&ask).unwrap()).unwrap(),
        "{\"id\":1,\"call\":\"describe\",\"with\":{\"version\":1}}\n"
    );
    let read: Request = decode(br#"{"id":2,"call":"read"}"#).unwrap();
    assert_eq!(read.call, Call::Read);
    let refused: Response = decode(br#"{"id":2,"error":"no such cluster"}"#).unwrap();
    assert_eq!(refused.outcome, Outcome::Error("no such cluster".into()));
    let applied: Response = decode(br#"{"id":3,"ok":{"applied":{"revision":7}}}"#).unwrap();
    assert_eq!(applied.outcome, Outcome::Ok(Answer::Applied { revision: 7 }));
    let fetched: Response = decode(br#"{"id":4,"ok":{"fetched":{}}}"#).unwrap();
    assert_eq!(fetched.outcome, Outcome::Ok(Answer::Fetched {}));
}

#[test]
fn what_is_said_about_a_member_is_short_and_what_is_not_said_is_absent() {
    let line = br#"{"id":5,"ok":{"measured":{"in_flight":3,"health":"ok"}}}"#;
    let Outcome::Ok(Answer::Measured(measured)) = decode::<Response>(line).unwrap().outcome else {
        panic!("another answer");
    };
    assert_eq!(measured.in_flight, Some(3.0));
    assert_eq!(measured.health, Some(Health::Ok));
    assert_eq!((measured.load, measured.memory_used), (None, None));
    let failing = Measurement {
        health: Some(Health::Failing("the queue is stuck".into())),
        ..Measurement::default()
    };
    assert_eq!(
        serde_json::to_string(&failing).unwrap(),
        r#"{"health":{"failing":"the queue is stuck"}}"#
    );
}

#[test]
fn unknown_fields_are_ignored_and_unknown_calls_answers_and_kinds_are_not() {
    let newer = br#"{"id":1,"since":"later","ok":{"described":{"name":"n","version":3,"oldest":1,"kind":"reader","colour":"red"}}}"#;
    let Outcome::Ok(Answer::Described(described)) = decode::<Response>(newer).unwrap().outcome else {
        panic!("another answer");
    };
    assert_eq!(Versions::OURS.common(described.versions), Ok(1));
    assert_eq!(described.kind.parse(), Ok(Kind::Reader));
    assert!(
        "hook"
            .parse::<Kind>()
            .unwrap_err()
            .to_string()
            .contains("balancer, reader and artifact")
    );
    assert!(decode::<Request>(br#"{"id":1,"call":"dance"}"#).is_err());
    assert!(decode::<Response>(br#"{"id":1,"ok":{"danced":{}}}"#).is_err());
}

#[test]
fn an_answer_is_either_good_or_bad() {
    for (bad, why) in [
        (r#"{"id":1,"ok":{"fetched":{}},"error":"x"}"#, "both"),
        (r#"{"id":1}"#, "neither"),
        (r#"{"ok":{"fetched":{}}}"#, "id"),
        (r#"{"id":-1,"error":"x"}"#, "u64"),
        (
            r#"{"id":1,"ok":{"looked":{"revision":"../../etc"}}}"#,
            "not a full commit hash",
        ),
    ] {
        let error = decode::<Response>(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn an_endless_line_is_refused() {
    let line = vec![b' '; MAX_LINE_BYTES + 1];
    assert!(matches!(decode::<Request>(&line), Err(InvalidFrame::TooLong(_))));
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let measured = format!("{{\"id\":1,\"ok\":{{\"measured\":{{\"figures\":{deep}}}}}}}");
        assert!(decode::<Response>(measured.as_bytes()).is_err());
        let unknown = format!("{{\"id\":1,\"x\":{deep},\"error\":\"y\"}}");
        assert!(
            decode::<Response>(unknown.as_bytes()).is_ok(),
            "skipped without going down"
        );
        let asked = format!("{{\"id\":1,\"call\":\"look\",\"with\":{deep}}}");
        assert!(decode::<Request>(asked.as_bytes()).is_err());
    }
}

#[test]
fn names_are_words_and_never_paths() {
    for good in ["a", "nginx-status", "0", "10-queue"] {
        assert_eq!(PluginName::new(good).unwrap().as_str(), good);
    }
    let long = "a".repeat(65);
    for bad in [
        "",
        "-a",
        "../a",
        "a/b",
        "A",
        "a.b",
        "a b",
        "a\0",
        "ä",
        ".",
        long.as_str(),
    ] {
        assert!(PluginName::new(bad).is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn the_newest_version_that_both_speak_is_in_force() {
    let range = |oldest, version| Versions {
        version,
        oldest: Some(oldest),
    };
    assert_eq!(range(1, 3).common(Versions::only(2)), Ok(2));
    assert_eq!(range(1, 3).common(range(2, 9)), Ok(3));
    for (ours, theirs) in [
        (Versions::only(1), Versions::only(9)),
        (range(2, 3), Versions::only(1)),
        // A range that begins after its end holds nothing.
        (range(1, 3), range(3, 2)),
    ] {
        let error = ours.common(theirs).unwrap_err();
        assert!(error.to_string().starts_with("speaks version"), "{error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<Request>(&bytes);
        let _ = decode::<Response>(&bytes);
    }

    #[test]
    fn no_text_that_is_nearly_right_makes_a_decoder_panic(
        text in r#"\{"id":[0-9]{1,25},"(ok|error|call|with)":(\{"(measured|looked|described|fetched|applied|read)":)?[\[\]{}":,0-9.eE+\-a-z]{0,60}\}?\}"#
    ) {
        let _ = decode::<Request>(text.as_bytes());
        let _ = decode::<Response>(text.as_bytes());
    }

    #[test]
    fn both_sides_agree_on_the_version(a in 0u32..6, b in 0u32..6, c in 0u32..6, d in 0u32..6) {
        let ours = Versions { version: a, oldest: Some(b) };
        let theirs = Versions { version: c, oldest: Some(d) };
        prop_assert_eq!(ours.common(theirs).ok(), theirs.common(ours).ok());
        let both = (b..=a).filter(|v| (d..=c).contains(v)).max();
        prop_assert_eq!(ours.common(theirs).ok(), both);
    }

    #[test]
    fn measurements_survive_the_pipe(in_flight in proptest::option::of(0u32..), used in proptest::option::of(any::<u64>())) {
        let before = Response { id: 1, outcome: Outcome::Ok(Answer::Measured(Measurement {
            in_flight: in_flight.map(f64::from), memory_used: used, ..Measurement::default()
        })) };
        let after: Response = decode(&encode(&before).unwrap()).unwrap();
        prop_assert_eq!(before, after);
    }
}
