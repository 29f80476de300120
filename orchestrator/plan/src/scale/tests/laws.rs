//! What holds whatever the figures are: bounds, silence, monotony, liars; and brute force.

use proptest::prelude::*;

use super::*;

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
    window.last().is_some_and(|(at, _)| NOW - at.0 <= 15_000)
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
        current in 1u32..40, memory in any::<bool>(), silent in 0u32..12,
    ) {
        let mut truth = Scene::of_loads(&[]);
        truth.active = honest.len() as u32 + silent;
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
