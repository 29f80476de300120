use super::*;

const SERVER: Server = Server {
    workers: 5,
    service_seconds: 0.1,
    wait_seconds: 0.1,
};

fn terms(start_delay: f64) -> Terms {
    Terms {
        server: SERVER,
        price: PRICE,
        start_delay,
        step: Terms::step_for(start_delay),
        most: 200,
    }
}

fn run(terms: &Terms, rates: impl IntoIterator<Item = f64>) -> Vec<Outlook> {
    let mut forecaster: Option<Forecaster> = None;
    let mut outlooks = Vec::new();
    for rate in rates {
        let known = forecaster.get_or_insert_with(|| Forecaster::new(rate, terms));
        outlooks.push(known.observe(rate, terms).clone());
    }
    outlooks
}

/// Numbers that look random and are the same in every run.
fn noise(n: u64) -> f64 {
    let mixed = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed >> 11) as f64) / (1_u64 << 53) as f64
}

/// A day of load with a wave, noise and, each hour, a burst.
fn day(step: f64) -> Vec<f64> {
    let steps = (86_400.0 / step) as u64;
    let load = |n: u64| {
        let t = n as f64 * step;
        let wave = 600.0 + 400.0 * (t / 86_400.0 * std::f64::consts::TAU).sin();
        let burst = if (t % 3_600.0) < 300.0 { 500.0 } else { 0.0 };
        wave + burst + 60.0 * (noise(n) - 0.5)
    };
    (0..steps).map(load).collect()
}

#[test]
fn the_same_input_gives_the_same_answer() {
    let terms = terms(10.0);
    assert_eq!(run(&terms, day(5.0)), run(&terms, day(5.0)));
}

#[test]
fn calm_load_is_sized_close_to_what_it_needs() {
    for start_delay in [10.0, 90.0] {
        let terms = terms(start_delay);
        let outlooks = run(&terms, (0..4_000).map(|n| 1_000.0 + 20.0 * (noise(n) - 0.5)));
        let last = outlooks.last().unwrap();
        let least = (1..).find(|members| SERVER.limit(*members) >= 1_010.0).unwrap();
        assert!(
            (least..=least + 2).contains(&last.wanted),
            "{last:?}, at least {least}"
        );
    }
}

#[test]
fn a_steady_rise_is_met_before_it_arrives() {
    let terms = terms(90.0);
    let wave = |n: u64| 1_500.0 - 1_000.0 * (n as f64 * 15.0 / 7_200.0 * std::f64::consts::TAU).cos();
    let rates: Vec<f64> = (0..4_800).map(wave).collect();
    let outlooks = run(&terms, rates.clone());
    let late = (2_400..4_700)
        .filter(|n| rates[n + 7] > SERVER.limit(outlooks[*n].wanted))
        .count();
    assert!(
        late < 23,
        "{late} of 2300 steps would lack members, a hundredth is allowed"
    );
}

#[test]
fn a_dearer_violation_never_asks_for_fewer_in_all() {
    let asked = |price: f64| -> u64 {
        let terms = Terms { price, ..terms(10.0) };
        run(&terms, day(5.0))
            .iter()
            .map(|outlook| u64::from(outlook.wanted))
            .sum()
    };
    let sums: Vec<u64> = [5.0, 20.0, 80.0, 320.0].into_iter().map(asked).collect();
    assert!(sums.windows(2).all(|pair| pair[0] <= pair[1]), "{sums:?}");
}

#[test]
fn bursts_that_came_before_are_answered_with_what_they_needed() {
    let terms = terms(10.0);
    let rates = day(5.0);
    let outlooks = run(&terms, rates.clone());
    let begins = (1_000..rates.len()).filter(|n| rates[*n] - rates[n - 1] > 300.0);
    let mut late = 0;
    for begin in begins.clone() {
        let needed = (1..)
            .find(|members| SERVER.limit(*members) >= rates[begin])
            .unwrap();
        late += (begin..begin + 4)
            .filter(|n| outlooks[*n].wanted < needed)
            .count();
    }
    assert!(
        late <= begins.count() * 2,
        "{late} steps too few after a burst began"
    );
}

#[test]
fn figures_that_no_service_has_change_nothing() {
    let terms = terms(10.0);
    let mut forecaster = Forecaster::new(500.0, &terms);
    let before = forecaster.observe(500.0, &terms).clone();
    for broken in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert_eq!(*forecaster.observe(broken, &terms), before);
    }
    let wild = Terms {
        server: Server {
            workers: 0,
            service_seconds: f64::NAN,
            wait_seconds: -1.0,
        },
        price: f64::INFINITY,
        start_delay: f64::NAN,
        step: 0.0,
        most: 0,
    };
    assert!(forecaster.observe(1e300, &wild).wanted <= queue::MOST_MEMBERS);
}

#[test]
fn what_was_wanted_is_kept_for_most_of_a_start() {
    let terms = terms(90.0);
    let mut rates = vec![500.0; 2_000];
    rates.push(3_000.0);
    rates.extend([500.0; 12]);
    let outlooks = run(&terms, rates);
    let peak = outlooks[2_000].wanted;
    assert!(
        outlooks[2_001..2_005]
            .iter()
            .all(|outlook| outlook.wanted >= peak),
        "kept for 75 s"
    );
    assert!(outlooks.last().unwrap().wanted < peak, "not for ever");
}

#[test]
fn a_change_of_the_start_delay_is_taken_in_without_a_leap() {
    let mut forecaster = Forecaster::new(1_000.0, &terms(10.0));
    let fast = Terms {
        step: 5.0,
        ..terms(10.0)
    };
    let slow = Terms {
        step: 5.0,
        ..terms(60.0)
    };
    let before = (0..3_000)
        .map(|n| forecaster.observe(1_000.0 + 30.0 * noise(n), &fast).wanted)
        .last();
    let after: Vec<u32> = (0..300)
        .map(|n| forecaster.observe(1_000.0 + 30.0 * noise(n), &slow).wanted)
        .collect();
    let before = before.unwrap();
    assert!(
        after.iter().all(|wanted| wanted.abs_diff(before) <= 3),
        "{before} {after:?}"
    );
}

#[test]
fn the_state_does_not_grow() {
    let terms = terms(90.0);
    let mut forecaster = Forecaster::new(1.0, &terms);
    for n in 0..20_000 {
        forecaster.observe(2_000.0 * noise(n), &terms);
    }
    assert!(forecaster.past.len() <= MOST_AHEAD);
    assert_eq!(forecaster.experts.len(), EXPERTS.len());
}
