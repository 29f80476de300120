//! Whole simulations, small ones.

use super::model::TICK;
use super::*;

const SERVER: Server = Server {
    workers: 5,
    service_seconds: 0.1,
    wait_seconds: 0.1,
};

/// A day with a wave, and three times a sudden doubling for ten minutes.
fn day() -> Vec<f64> {
    let rate = |minute: u32| {
        let wave = 800.0 + 500.0 * (f64::from(minute) / 1_440.0 * std::f64::consts::TAU).sin();
        let burst = if minute % 480 > 470 { 2.0 } else { 1.0 };
        wave * burst
    };
    let trace = trace::Trace {
        name: "day".into(),
        step: 60.0,
        rates: (0..1_440).map(rate).collect(),
    };
    demand::arrivals(&trace, 1, None)
}

fn setting(start_delay: f64) -> Setting {
    Setting {
        server: SERVER,
        start_delay,
        min: 1,
        max: 100,
    }
}

fn summary(rule: Rule, start_delay: f64) -> report::Summary {
    let setting = setting(start_delay);
    report::Summary::of(&run::run(&day(), setting, rule), &setting)
}

fn ours(start_delay: f64) -> report::Summary {
    summary(
        run::cartridge(default_policy_of(SERVER), &setting(start_delay), Brake::On),
        start_delay,
    )
}

fn default_policy_of(server: Server) -> AutoscalingPolicy {
    let mut policy = default_policy();
    policy.arrivals = Some(ArrivalPolicy {
        workers: server.workers,
        wait_seconds: server.wait_seconds,
        service_seconds: Some(server.service_seconds),
        violation_price: PRICE,
    });
    policy
}

#[test]
fn the_product_breaks_fewer_promises_than_the_others() {
    for start_delay in [10.0, 90.0] {
        let ours = ours(start_delay);
        let hpa = summary(
            Rule::Rival(Rival::Hpa {
                recommended: std::collections::VecDeque::new(),
            }),
            start_delay,
        );
        assert!(ours.violation < hpa.violation, "{start_delay}: {ours:?} {hpa:?}");
        assert!(ours.of_clairvoyant < 1.45, "{start_delay}: {ours:?}");
    }
}

#[test]
fn knowing_the_highest_demand_breaks_no_promise_and_costs_most() {
    let most = Rule::Rival(Rival::Static(100));
    let stands = summary(most, 10.0);
    assert_eq!((stands.violation, stands.changes), (0.0, 0));
    assert!(stands.hours > ours(10.0).hours);
}

#[test]
fn the_same_arrivals_give_the_same_outcome() {
    assert_eq!(ours(10.0), ours(10.0));
}

#[test]
fn within_a_minute_at_most_a_tenth_but_one_is_taken_out() {
    let outcome = run::run(
        &day(),
        setting(10.0),
        run::cartridge(default_policy_of(SERVER), &setting(10.0), Brake::On),
    );
    let minute = (60.0 / TICK) as usize;
    for window in outcome.ticks.windows(minute + 1) {
        let (first, last) = (window[0].ready, window[minute].ready);
        assert!(
            first.saturating_sub(last) <= (first / 10).max(1) + 1,
            "{first} {last}"
        );
    }
}

#[test]
fn thresholds_alone_decide_as_they_always_did() {
    let policy = AutoscalingPolicy {
        requests_in_flight: Some(4.0),
        arrivals: None,
        ..default_policy()
    };
    let outcome = run::run(
        &day(),
        setting(10.0),
        run::cartridge(policy, &setting(10.0), Brake::On),
    );
    assert!(outcome.decisions.iter().all(|one| one.factor != "arrivals"));
    assert!(outcome.decisions.len() > 10);
}

#[test]
fn a_service_time_that_nobody_says_is_learned() {
    let mut policy = default_policy_of(SERVER);
    if let Some(arrivals) = &mut policy.arrivals {
        arrivals.service_seconds = None;
    }
    let learned = summary(run::cartridge(policy, &setting(10.0), Brake::On), 10.0);
    let told = ours(10.0);
    assert!(
        learned.hours < 1.15 * told.hours && learned.violation < told.violation + 0.5,
        "{learned:?} {told:?}"
    );
}

#[test]
fn the_csv_has_a_row_per_tick() {
    let setting = setting(10.0);
    let arrivals = &day()[..720];
    let rule = run::cartridge(default_policy_of(SERVER), &setting, Brake::On);
    let text = report::csv(&run::run(arrivals, setting, rule));
    assert_eq!(text.lines().count(), 721);
    assert!(text.lines().all(|line| line.split(',').count() == 7));
}

#[test]
fn figures_out_of_bounds_are_refused() {
    for text in ["-1", "NaN", "inf", "x", "", "4000"] {
        assert!(seconds(text).is_err() && positive(text).is_err(), "{text}");
    }
    assert_eq!((seconds("0"), positive("0").is_err()), (Ok(0.0), true));
}

#[test]
fn a_decision_takes_less_than_a_millisecond() {
    let mut pilot = pilot::Pilot::new(default_policy_of(SERVER), 90.0, (1, 200));
    let mut slowest = std::time::Duration::ZERO;
    let begin = std::time::Instant::now();
    for (number, rate) in day().iter().enumerate() {
        let seen = pilot::Seen {
            at: (number + 1) as f64 * TICK,
            ready: 30,
            starting: 0,
            rate: *rate,
            in_flight: rate / 10.0,
            load_average: 50.0,
            memory: 35.0,
        };
        let before = std::time::Instant::now();
        std::hint::black_box(pilot.decide(&seen));
        slowest = slowest.max(before.elapsed());
    }
    let mean = begin.elapsed() / u32::try_from(day().len()).unwrap();
    assert!(
        mean < std::time::Duration::from_millis(1),
        "mean {mean:?}, slowest {slowest:?}"
    );
}
