//! Which figure wins, when it is too old, and who may say that a member is not well.

use super::*;
use proptest::prelude::*;

fn name(text: &str) -> PluginName {
    PluginName::new(text).unwrap()
}

fn wish(required: bool) -> Wish {
    Wish {
        every: None,
        within: Millis(5_000),
        required,
    }
}

fn own() -> Sample {
    Sample {
        sequence: 1,
        scope: Scope::CgroupV2,
        load: Some([1.0, 1.0, 1.0]),
        cores: 2.0,
        memory_used: Some(50),
        memory_limit: Some(100),
        cpu_percent: Some(10.0),
        throttled: None,
        pressure: None,
        readers: Vec::new(),
    }
}

/// Readers that serve, and said this at 0.
fn said(what: &[(&str, Measurement)]) -> Readings {
    let mut readings = Readings::default();
    for (reader, measured) in what {
        let reader = name(reader);
        readings.expect(&reader, wish(false));
        readings.serves(&reader);
        readings.ask(Millis::ZERO, Millis(5_000));
        readings.measured(&reader, measured.clone(), Millis::ZERO);
    }
    readings
}

fn load(value: f64) -> Measurement {
    Measurement {
        load: Some([value; 3]),
        ..Measurement::default()
    }
}

#[test]
fn without_readers_the_sample_stays_as_it_is() {
    assert_eq!(Readings::default().merge(own(), Millis(1)), own());
    let silent = said(&[("a", Measurement::default())]);
    let merged = silent.merge(own(), Millis(1));
    assert_eq!((merged.scope, merged.load), (Scope::CgroupV2, own().load));
}

#[test]
fn a_figure_that_is_given_replaces_the_agents_and_the_scope_says_so() {
    let merged = said(&[("b", load(4.0)), ("a", load(3.0))]).merge(own(), Millis(1));
    assert_eq!(merged.load, Some([3.0; 3]), "the first by name counts");
    assert_eq!((merged.scope, merged.memory_used), (Scope::Reader, Some(50)));
    let names: Vec<&str> = merged.readers.iter().map(|r| r.reader.as_str()).collect();
    assert_eq!((names, merged.readers[0].age_ms), (vec!["a", "b"], 1));
    assert_eq!(merged.check(), Ok(()));
}

#[test]
fn memory_and_its_limit_belong_together_and_no_share_is_above_one() {
    let used = |used, limit| Measurement {
        memory_used: Some(used),
        memory_limit: limit,
        ..Measurement::default()
    };
    for (measured, expected) in [
        (used(70, None), (Some(70), Some(100))),
        (used(7_000, None), (Some(100), Some(100))),
        (used(7_000, Some(8_000)), (Some(7_000), Some(8_000))),
        (used(9_000, Some(8_000)), (Some(8_000), Some(8_000))),
        (used(9, Some(0)), (Some(9), Some(100))),
    ] {
        let merged = said(&[("a", measured)]).merge(own(), Millis(1));
        assert_eq!((merged.memory_used, merged.memory_limit), expected);
    }
}

#[test]
fn what_is_too_old_is_absent_and_the_agents_own_figure_is_back() {
    let readings = said(&[("a", load(4.0))]);
    assert_eq!(readings.merge(own(), Millis(15_000)).scope, Scope::Reader);
    let merged = readings.merge(own(), Millis(15_001));
    assert_eq!(merged, own());
}

#[test]
fn impossible_figures_are_not_used_and_told_once() {
    let mut readings = said(&[("a", Measurement::default())]);
    let bad = Measurement {
        load: Some([-1.0, 0.0, 0.0]),
        cores: Some(0.0),
        memory_limit: Some(0),
        cpu_percent: Some(1e308),
        in_flight: Some(-1.0),
        figures: (0..20)
            .map(|n| (format!("f{n:02}"), 1.0))
            .chain([("bad name".to_owned(), 0.0), ("huge".to_owned(), 1e300)])
            .collect(),
        ..Measurement::default()
    };
    let told = readings.measured(&name("a"), bad.clone(), Millis(1));
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(
        told.iter()
            .all(|line| line.starts_with("a: \"") || line.starts_with("a: a figure"))
    );
    assert_eq!(
        readings.measured(&name("a"), bad, Millis(2)),
        Vec::<String>::new()
    );
    let merged = readings.merge(own(), Millis(3));
    assert_eq!(
        (merged.scope, merged.load, merged.cpu_percent),
        (Scope::CgroupV2, own().load, own().cpu_percent)
    );
    assert_eq!(
        (merged.readers[0].figures.len(), merged.readers[0].in_flight),
        (16, None)
    );
    assert_eq!(merged.check(), Ok(()));
}

#[test]
fn a_reader_is_asked_with_every_batch_or_as_seldom_as_it_says_and_never_twice_at_a_time() {
    let mut readings = Readings::default();
    readings.expect(&name("a"), wish(false));
    let slow = Wish {
        every: Some(Millis(60_000)),
        ..wish(false)
    };
    readings.expect(&name("b"), slow);
    assert_eq!(readings.ask(Millis(0), Millis(5_000)), [], "nobody serves yet");
    readings.serves(&name("a"));
    readings.serves(&name("b"));
    let whom =
        |asked: Vec<(PluginName, Millis)>| asked.into_iter().map(|(n, _)| n.to_string()).collect::<Vec<_>>();
    assert_eq!(whom(readings.ask(Millis(0), Millis(5_000))), ["a", "b"]);
    readings.measured(&name("b"), Measurement::default(), Millis(10));
    assert_eq!(
        whom(readings.ask(Millis(6_000), Millis(5_000))),
        [""; 0],
        "a has not answered"
    );
    readings.refused(&name("a"), "no");
    assert_eq!(whom(readings.ask(Millis(6_000), Millis(5_000))), ["a"]);
    readings.measured(&name("a"), Measurement::default(), Millis(6_100));
    assert_eq!(whom(readings.ask(Millis(59_999), Millis(5_000))), ["a"]);
    assert_eq!(whom(readings.ask(Millis(60_000), Millis(5_000))), ["b"]);
    // However short the time between batches is.
    readings.measured(&name("a"), Measurement::default(), Millis(60_000));
    assert_eq!(whom(readings.ask(Millis(65_000), Millis(10))), ["a"]);
    readings.measured(&name("a"), Measurement::default(), Millis(65_000));
    assert_eq!(whom(readings.ask(Millis(65_999), Millis(10))), [""; 0]);
}

#[test]
fn a_refusal_is_told_once_and_again_when_it_changes() {
    let mut readings = said(&[("a", load(1.0))]);
    let told = |readings: &mut Readings, why: &str| readings.refused(&name("a"), why);
    assert_eq!(
        told(&mut readings, "no\nfile").unwrap(),
        "a gives no reading: no file"
    );
    assert_eq!(told(&mut readings, "no\nfile"), None);
    assert!(told(&mut readings, "no right").is_some());
}

#[test]
fn a_reader_may_say_that_the_member_is_not_well_and_a_broken_one_says_nothing_unless_it_is_required() {
    let failing = Measurement {
        health: Some(Health::Failing("the queue is stuck".into())),
        ..Measurement::default()
    };
    let readings = said(&[("a", load(1.0)), ("b", failing)]);
    let Outcome::Unwell(why) = readings.gate(Outcome::Healthy, Millis(1)) else {
        panic!("it is well")
    };
    assert!(
        why.contains("reader b") && why.contains("the queue is stuck"),
        "{why}"
    );
    // What the probe found goes first.
    let silent = Outcome::Silent("refused".into());
    assert_eq!(readings.gate(silent.clone(), Millis(1)), silent);
    // Too old to count.
    assert_eq!(readings.gate(Outcome::Healthy, Millis(60_000)), Outcome::Healthy);

    let mut readings = Readings::default();
    readings.expect(&name("c"), wish(true));
    readings.rests(&name("c"), "ended (exit code 7)");
    let Outcome::Silent(why) = readings.gate(Outcome::Healthy, Millis(1)) else {
        panic!("it is well")
    };
    assert!(
        why.contains("the reader c is required and ended (exit code 7)"),
        "{why}"
    );
    readings.serves(&name("c"));
    readings.measured(&name("c"), Measurement::default(), Millis(2));
    assert_eq!(readings.gate(Outcome::Healthy, Millis(3)), Outcome::Healthy);
}

prop_compose! {
    fn some_measurement()(
        load in proptest::option::of(proptest::array::uniform3(any::<f64>())),
        cores in proptest::option::of(any::<f64>()),
        memory_used in proptest::option::of(any::<u64>()),
        memory_limit in proptest::option::of(any::<u64>()),
        cpu_percent in proptest::option::of(any::<f64>()),
        in_flight in proptest::option::of(any::<f64>()),
        figures in proptest::collection::btree_map("[a-z .\u{e4}]{0,70}", any::<f64>(), 0..40),
        failing in proptest::option::of(".{0,600}"),
    ) -> Measurement {
        let health = failing.map(Health::Failing);
        Measurement { load, cores, memory_used, memory_limit, cpu_percent, in_flight, figures, health }
    }
}

proptest! {
    /// The oracle is the orchestrator's own check: it would refuse the whole batch.
    #[test]
    fn whatever_readers_say_the_sample_is_acceptable(
        said_all in proptest::collection::vec(some_measurement(), 0..12), now in 0u64..20_000,
    ) {
        let named: Vec<(String, Measurement)> =
            said_all.into_iter().enumerate().map(|(n, m)| (format!("r{n}"), m)).collect();
        let named: Vec<(&str, Measurement)> = named.iter().map(|(n, m)| (n.as_str(), m.clone())).collect();
        let merged = said(&named).merge(own(), Millis(now));
        prop_assert_eq!(merged.check(), Ok(()));
        if let (Some(used), Some(limit)) = (merged.memory_used, merged.memory_limit) {
            prop_assert!(used <= limit);
        }
        prop_assert_eq!(merged.load.is_some() && merged.cpu_percent.is_some(), true, "a figure of the agent was lost");
    }
}
