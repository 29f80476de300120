//! The scaler against brute force, liars, silence and waves.

use cartridge_protocol::PolicyId;
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_000_000;

fn policy() -> AutoscalingPolicy {
    AutoscalingPolicy {
        id: PolicyId::new("p").unwrap(),
        requests_in_flight: None,
        memory_consumption: None,
        load_average: None,
        horizon_seconds: 15.0,
        stabilization_seconds: 120.0,
    }
}

/// A window with one point per second, the last one now.
fn window(values: &[f64]) -> Window {
    let mut window = Window::default();
    for (i, value) in values.iter().enumerate() {
        let ago = (values.len() - 1 - i) as u64 * 1000;
        window.push(Millis(NOW - ago), *value);
    }
    window
}

fn flat(value: f64) -> Window {
    window(&[value; 10])
}

/// Requirements of so many seconds, all of this size.
fn required_lately(seconds: u64, size: f64) -> Window {
    let mut window = Window::default();
    for i in 0..=32 {
        window.push(Millis(NOW - seconds * 1000 + i * seconds * 1000 / 32), size);
    }
    window
}

/// Everything owned, so that tests can change it.
#[derive(Clone, Debug)]
struct Scene {
    policy: AutoscalingPolicy,
    members: Vec<(Window, Window)>,
    in_flight: Vec<Window>,
    balancers_fresh: bool,
    active: u32,
    current: u32,
    floor: u32,
    ceiling: u32,
    recommended: Window,
}

impl Scene {
    /// `loads` members at 70 % threshold, wanted as many, watched long enough.
    fn of_loads(loads: &[f64]) -> Self {
        let active = loads.len() as u32;
        Self {
            policy: AutoscalingPolicy {
                load_average: Some(70.0),
                ..policy()
            },
            members: loads
                .iter()
                .map(|load| (flat(*load), Window::default()))
                .collect(),
            in_flight: Vec::new(),
            balancers_fresh: true,
            active,
            current: active,
            floor: 1,
            ceiling: 100,
            recommended: required_lately(130, 0.0),
        }
    }

    /// Requests in flight at threshold 8, `current` members that measure nothing else.
    fn of_requests(requests: Window, current: u32) -> Self {
        Self {
            policy: AutoscalingPolicy {
                requests_in_flight: Some(8.0),
                ..policy()
            },
            members: vec![(flat(1.0), Window::default()); current as usize],
            in_flight: vec![requests],
            active: current,
            current,
            ..Self::of_loads(&[])
        }
    }

    fn scale_at(&self, now: Millis) -> Scaling {
        let members = self.members.iter().map(|(load, memory)| MemberLoad {
            load,
            memory,
            heard: load.last().or(memory.last()).map_or(Millis::ZERO, |(at, _)| at),
        });
        scale(&Input {
            policy: &self.policy,
            now,
            active: self.active,
            members: members.collect(),
            in_flight: self.in_flight.iter().collect(),
            balancers_fresh: self.balancers_fresh,
            current: self.current,
            floor: self.floor,
            ceiling: self.ceiling,
            recommended: &self.recommended,
            began: Millis::ZERO,
        })
    }

    fn scale(&self) -> Scaling {
        self.scale_at(Millis(NOW))
    }
}

#[test]
fn requests_in_flight_are_predicted_and_said_in_words() {
    let rising: Vec<f64> = (0..30).map(|i| 3.5 + f64::from(i)).collect();
    let scaling = Scene::of_requests(window(&rising), 4).scale();
    assert_eq!(scaling.required, 6);
    assert_eq!(scaling.factor, Factor::RequestsInFlight);
    assert_eq!(
        scaling.reason,
        "requests in flight 31 now, 46 in 15 s (+1.0/s), threshold 8 per member: 6 members"
    );
    assert_eq!(scaling.target, 6);
}

#[test]
fn requests_of_several_balancers_add_up() {
    let mut scene = Scene::of_requests(flat(20.0), 2);
    scene.in_flight.push(flat(30.0));
    assert_eq!(scene.scale().required, 7);
}

#[test]
fn load_average_multiplies_by_the_active_members_and_not_by_the_minimum() {
    // Stratos asked for ⌈min·P/threshold⌉ = 2 in both cases.
    assert_eq!(Scene::of_loads(&[90.0]).scale().required, 2);
    assert_eq!(Scene::of_loads(&[90.0; 4]).scale().required, 6);
}

#[test]
fn the_factor_that_asks_for_most_decides() {
    let mut scene = Scene::of_loads(&[60.0; 3]);
    scene.policy.memory_consumption = Some(50.0);
    for (_, memory) in &mut scene.members {
        *memory = flat(80.0);
    }
    let scaling = scene.scale();
    assert_eq!((scaling.required, scaling.factor), (5, Factor::MemoryConsumption));
    assert!(
        scaling.reason.contains("memory consumption 80 % now"),
        "{}",
        scaling.reason
    );
    assert_eq!(scaling.forecasts.len(), 2);
}

#[test]
fn growing_beyond_the_room_tells_what_is_required() {
    let mut scene = Scene::of_loads(&[140.0; 4]);
    scene.ceiling = 5;
    let scaling = scene.scale();
    assert_eq!((scaling.required, scaling.target), (8, 5));
    assert!(
        scaling.reason.ends_with("there is room for 5 only"),
        "{}",
        scaling.reason
    );
}

#[test]
fn shrinking_goes_by_one_and_only_below_nine_tenths_of_the_threshold() {
    let calm = Scene::of_loads(&[20.0; 6]).scale();
    assert_eq!((calm.required, calm.target, calm.frozen), (2, 5, None));
    // Three at 44 % are 132 %: two would have 66 %, more than 63 %.
    assert_eq!(Scene::of_loads(&[44.0; 3]).scale().target, 3);
    assert_eq!(Scene::of_loads(&[41.0; 3]).scale().target, 2);
}

#[test]
fn the_highest_requirement_of_the_stabilisation_time_holds_the_size() {
    let mut scene = Scene::of_loads(&[20.0; 6]);
    scene.recommended = required_lately(130, 2.0);
    let mut peak = Window::default();
    for (i, (at, value)) in scene.recommended.points().enumerate() {
        peak.push(at, if i == 17 { 9.0 } else { value });
    }
    scene.recommended = peak;
    let scaling = scene.scale();
    assert_eq!(scaling.target, 6);
    assert!(
        scaling
            .reason
            .contains("9 were needed within the last 120 s, so 6 stay"),
        "{}",
        scaling.reason
    );
}

#[test]
fn nothing_shrinks_before_a_whole_stabilisation_time_was_watched() {
    let mut scene = Scene::of_loads(&[5.0; 6]);
    for watched in [0, 60, 119] {
        scene.recommended = required_lately(watched, 1.0);
        let scaling = scene.scale();
        assert_eq!(scaling.target, 6, "after {watched} s");
        assert!(matches!(scaling.frozen, Some(Freeze::Settling { .. })));
    }
    scene.recommended = Window::default();
    assert_eq!(scene.scale().target, 6);
    scene.recommended = required_lately(121, 1.0);
    assert_eq!(scene.scale().target, 5);
}

#[test]
fn a_window_that_is_remembered_covers_the_stabilisation_time_however_often_decisions_are_made() {
    let mut recommended = Window::default();
    let policy = policy();
    for tenth in 0..10_000_u64 {
        let size = if tenth == 9_000 { 7 } else { 2 };
        remember(&mut recommended, Millis(tenth * 100), size, &policy);
    }
    let (first, _) = recommended.points().next().unwrap();
    assert!(first <= Millis(1_000_000 - 120_000), "{first}");
    assert!(
        recommended.points().any(|(_, value)| value == 7.0),
        "the peak was lost"
    );
}

#[test]
fn silence_allows_growth_and_forbids_shrinking() {
    let mut scene = Scene::of_loads(&[20.0; 6]);
    scene.members.truncate(4);
    let scaling = scene.scale();
    assert_eq!(scaling.target, 6);
    assert_eq!(scaling.frozen, Some(Freeze::Silent { fresh: 4, active: 6 }));
    assert_eq!(
        scaling.required, 6,
        "what is not known must not look like calm later"
    );
    let mut scene = Scene::of_loads(&[120.0; 6]);
    scene.members.truncate(4);
    assert_eq!(scene.scale().target, 11, "six at 120 % as far as is known");
}

#[test]
fn total_silence_changes_nothing() {
    let mut scene = Scene::of_loads(&[200.0; 6]);
    let late = scene.scale_at(Millis(NOW + 60_000));
    assert_eq!((late.target, late.frozen), (6, Some(Freeze::Blind)));
    scene.members.clear();
    assert_eq!(scene.scale().frozen, Some(Freeze::Blind));
    scene.active = 0;
    assert_eq!(
        (scene.scale().target, scene.scale().frozen),
        (6, Some(Freeze::Blind))
    );
}

#[test]
fn stale_balancers_forbid_shrinking_and_an_empty_cluster_is_no_calm_one() {
    let mut scene = Scene::of_requests(flat(1.0), 6);
    assert_eq!(scene.scale().target, 5);
    scene.balancers_fresh = false;
    assert_eq!(
        (scene.scale().target, scene.scale().frozen),
        (6, Some(Freeze::BalancerStale))
    );
    let mut dead = Scene::of_requests(flat(0.0), 6);
    dead.active = 0;
    dead.members.clear();
    assert_eq!(dead.scale().target, 6, "no requests because nobody serves");
}

#[test]
fn a_figure_that_cannot_be_measured_is_no_zero() {
    let mut scene = Scene::of_loads(&[20.0; 6]);
    scene.policy.load_average = None;
    scene.policy.memory_consumption = Some(50.0);
    let scaling = scene.scale();
    assert_eq!((scaling.target, scaling.frozen), (6, Some(Freeze::Blind)));
}

#[test]
fn without_factors_the_minimum_holds() {
    let mut scene = Scene::of_loads(&[20.0; 3]);
    scene.policy.load_average = None;
    scene.recommended = required_lately(130, 0.0);
    assert_eq!((scene.scale().target, scene.scale().factor), (2, Factor::Minimum));
    scene.floor = 3;
    assert_eq!(scene.scale().target, 3);
}

/// Replays a demand (requests in flight at a time in seconds) with a decision per second; the sizes per second.
fn replay(seconds: u64, demand: impl Fn(u64) -> f64) -> Vec<u32> {
    let policy = AutoscalingPolicy {
        requests_in_flight: Some(8.0),
        ..policy()
    };
    let (mut requests, mut recommended, mut load) = (Window::default(), Window::default(), Window::default());
    let mut current = 1;
    let mut sizes = Vec::new();
    for second in 0..seconds {
        let now = Millis(second * 1000);
        requests.push(now, demand(second));
        load.push(now, 1.0);
        let memory = Window::default();
        let member = MemberLoad {
            load: &load,
            memory: &memory,
            heard: now,
        };
        let scaling = scale(&Input {
            policy: &policy,
            now,
            active: current,
            members: vec![member; current as usize],
            in_flight: vec![&requests],
            balancers_fresh: true,
            current,
            floor: 1,
            ceiling: 40,
            recommended: &recommended,
            began: Millis::ZERO,
        });
        remember(&mut recommended, now, scaling.required, &policy);
        current = scaling.target;
        sizes.push(current);
    }
    sizes
}

fn changes(sizes: &[u32]) -> usize {
    sizes.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn a_square_wave_faster_than_the_stabilisation_time_does_not_make_the_size_swing() {
    let sizes = replay(1800, |second| if second / 30 % 2 == 0 { 20.0 } else { 60.0 });
    let settled = &sizes[300..];
    assert_eq!(changes(settled), 0, "{settled:?}");
    assert!(settled[0] >= 8);
}

#[test]
fn noise_at_a_boundary_does_not_make_the_size_swing() {
    let noise = |second: u64| f64::from((second.wrapping_mul(2_654_435_761) >> 8) as u8) / 255.0 - 0.5;
    let sizes = replay(3600, |second| 40.0 + 2.0 * noise(second));
    assert!(changes(&sizes[600..]) <= 1, "{} changes", changes(&sizes[600..]));
}

#[test]
fn a_slow_wave_is_followed_up_at_once_and_down_after_the_stabilisation_time() {
    let sizes = replay(
        1200,
        |second| if (300..600).contains(&second) { 80.0 } else { 8.0 },
    );
    assert!(sizes[305] >= 10, "five seconds after the step: {}", sizes[305]);
    assert!(sizes[700] >= 10, "100 s after the end: {}", sizes[700]);
    assert!(sizes[800] <= 2, "200 s after the end: {}", sizes[800]);
    let down = sizes[600..].windows(2).all(|pair| pair[1] + 1 >= pair[0]);
    assert!(down, "more than one at a time");
}

#[test]
fn a_ramp_is_met_before_it_arrives() {
    let sizes = replay(300, |second| 8.0 + second as f64 * 0.5);
    for (second, size) in sizes.iter().enumerate().take(280).skip(60) {
        let soon = (8.0 + (second as f64 + 10.0) * 0.5) / 8.0;
        assert!(f64::from(*size) >= soon, "at {second} s: {size} for {soon:.1}");
    }
}

/// Small, fast, repeatable.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn any_scene(dice: &mut Dice) -> Scene {
    let aged = |dice: &mut Dice, most: u64| {
        let mut window = Window::default();
        let age = if dice.roll(3) == 0 {
            5_001 + dice.roll(100_000)
        } else {
            dice.roll(4_000)
        };
        let points = dice.roll(6);
        for i in (0..points).rev() {
            window.push(Millis(NOW - age - i * 1000), dice.roll(most) as f64);
        }
        window
    };
    let active = dice.roll(8) as u32;
    let reporting = dice.roll(u64::from(active) + 1);
    let floor = dice.roll(4) as u32;
    let mut policy = policy();
    policy.load_average = (dice.roll(2) == 0).then_some(70.0);
    policy.memory_consumption = (dice.roll(2) == 0).then_some(50.0);
    policy.requests_in_flight = (dice.roll(2) == 0).then_some(8.0);
    let watched = dice.roll(200);
    Scene {
        policy,
        members: (0..reporting)
            .map(|_| (aged(dice, 300), aged(dice, 100)))
            .collect(),
        in_flight: (0..dice.roll(3)).map(|_| aged(dice, 100)).collect(),
        balancers_fresh: dice.roll(2) == 0,
        active,
        current: dice.roll(12) as u32,
        floor,
        ceiling: floor + dice.roll(20) as u32,
        recommended: if dice.roll(4) == 0 {
            Window::default()
        } else {
            required_lately(watched, dice.roll(4) as f64)
        },
    }
}

/// Freshness, by the letter: the newest point is not older than five seconds (points come every second).
fn fresh(window: &Window) -> bool {
    window.last().is_some_and(|(at, _)| NOW - at.0 <= 5_000)
}

#[test]
fn in_100_000_cases_nothing_shrinks_by_ignorance() {
    let mut dice = Dice(0x5eed);
    let (mut ignorant, mut shrunk) = (0_u32, 0_u32);
    for case in 0..100_000 {
        let scene = any_scene(&mut dice);
        let scaling = scene.scale();
        let (low, high) = (scene.floor, scene.ceiling.max(scene.floor));
        assert!(
            (low..=high).contains(&scaling.target),
            "{case}: {scene:?} {scaling:?}"
        );
        assert!(
            scaling
                .forecasts
                .iter()
                .all(|f| f.now.is_finite() && f.predicted.is_finite() && f.predicted >= 0.0)
        );
        let held = scene.current.clamp(low, high);
        let named = |(load, memory): &&(Window, Window)| {
            let load = scene.policy.load_average.is_none() || fresh(load);
            let memory = scene.policy.memory_consumption.is_none() || fresh(memory);
            load && memory
        };
        let by_member = scene.policy.load_average.is_some() || scene.policy.memory_consumption.is_some();
        let heard = scene.members.iter().filter(named).count() as f64;
        let sure = !by_member || heard >= 0.8 * f64::from(scene.active);
        let balanced = scene.policy.requests_in_flight.is_none() || scene.balancers_fresh;
        let watched = scene
            .recommended
            .points()
            .next()
            .is_some_and(|(at, _)| NOW - at.0 >= 120_000);
        // A member whose figure was never measured but that speaks is heard: only those that measured count here.
        let measured = scene
            .members
            .iter()
            .all(|(load, memory)| load.last().is_some() && memory.last().is_some());
        if (measured && !sure) || !balanced || !watched {
            ignorant += 1;
            assert!(scaling.target >= held, "{case}: {scene:?} {scaling:?}");
        }
        assert!(
            scaling.target + 1 >= held,
            "more than one at a time in {case}: {scene:?} {scaling:?}"
        );
        shrunk += u32::from(scaling.target < held);
    }
    assert!(
        ignorant > 10_000 && shrunk > 1_000,
        "the cases are one-sided: {ignorant} ignorant, {shrunk} shrunk"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn without_prediction_the_requirement_is_what_brute_force_finds(
        demand in 0.0f64..400.0, threshold in 1.0f64..40.0, current in 1u32..60,
    ) {
        let mut scene = Scene::of_requests(flat(demand), current);
        scene.policy.requests_in_flight = Some(threshold);
        scene.policy.horizon_seconds = 0.0;
        let fits = |size: u32, share: f64| demand <= f64::from(size) * threshold * share * (1.0 + 1e-12) + 1e-9;
        let expected = if fits(current, 1.0) {
            (0..=current).find(|size| fits(*size, DEAD_BAND)).unwrap_or(current)
        } else {
            (current..10_000).find(|size| fits(*size, 1.0)).unwrap()
        };
        let required = scene.scale().required;
        prop_assert!(required.abs_diff(expected) <= u32::from((demand / threshold).fract() < 1e-6), "{required} {expected}");
    }

    #[test]
    fn more_load_never_means_fewer_members(
        values in prop::collection::vec(0.0f64..200.0, 1..20), more in 0.0f64..50.0, times in 1.0f64..3.0,
        current in 1u32..30, by_load in any::<bool>(), only_last in any::<bool>(),
    ) {
        let last = values.len() - 1;
        let raised: Vec<f64> = values.iter().enumerate().map(|(i, value)| {
            if only_last && i != last { *value } else { value * times + more }
        }).collect();
        let scene = |values: &[f64]| if by_load {
            let mut scene = Scene::of_loads(&vec![1.0; current as usize]);
            scene.members.iter_mut().for_each(|(load, _)| *load = window(values));
            scene
        } else {
            Scene::of_requests(window(values), current)
        };
        let (less, much) = (scene(&values).scale(), scene(&raised).scale());
        prop_assert!(much.required >= less.required, "{less:?} {much:?}");
        prop_assert!(much.target >= less.target, "{less:?} {much:?}");
    }

    #[test]
    fn liars_move_the_size_by_four_members_each_at_most(
        honest in prop::collection::vec(prop::collection::vec(0.0f64..150.0, 2..12), 2..12),
        lies in prop::collection::vec(prop::collection::vec(prop_oneof![0.0f64..1e3, Just(0.0), Just(1e300)], 2..12), 1..4),
        current in 1u32..40, memory in any::<bool>(),
    ) {
        let mut truth = Scene::of_loads(&[]);
        truth.active = honest.len() as u32;
        truth.current = current;
        truth.ceiling = 1000;
        if memory {
            truth.policy.load_average = None;
            truth.policy.memory_consumption = Some(50.0);
        }
        let member = |values: &Vec<f64>| (window(values), window(values));
        truth.members = honest.iter().map(member).collect();
        let liars = lies.len().min(honest.len());
        let mut told = truth.clone();
        told.members.splice(..liars, lies.iter().take(liars).map(member));
        let (truth, told) = (truth.scale(), told.scale());
        let bound = 4 * liars as u32;
        prop_assert!(truth.required.abs_diff(told.required) <= bound, "{truth:?} {told:?}");
        prop_assert!(truth.target.abs_diff(told.target) <= bound, "{truth:?} {told:?}");
    }
}
