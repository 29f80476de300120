//! The scaler, one situation at a time.

mod arrivals;
mod laws;
mod waves;

use super::*;
use cartridge_protocol::PolicyId;

const NOW: u64 = 1_000_000;

fn policy() -> AutoscalingPolicy {
    AutoscalingPolicy {
        id: PolicyId::new("p").unwrap(),
        requests_in_flight: None,
        memory_consumption: None,
        load_average: None,
        horizon_seconds: 15.0,
        stabilization_seconds: 120.0,
        arrivals: None,
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
            arrivals: None,
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
fn what_rounds_to_nothing_is_said_without_a_sign() {
    let falling: Vec<f64> = (0..30).map(|i| 20.0 - 0.02 * f64::from(i)).collect();
    let scaling = Scene::of_requests(window(&falling), 3).scale();
    assert!(scaling.forecasts[0].gradient < 0.0);
    assert!(scaling.reason.contains("(+0.0/s)"), "{}", scaling.reason);
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
    assert_eq!((scaling.target, scaling.frozen), (6, Some(Freeze::Unmeasured)));
    assert!(
        scaling
            .reason
            .contains("until what the policy names is heard, nothing is changed"),
        "{}",
        scaling.reason
    );
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

#[test]
fn a_first_start_is_said_to_be_the_minimum_and_not_blindness() {
    let mut scene = Scene::of_loads(&[]);
    scene.floor = 2;
    let first = scene.scale_at(Millis(NOW));
    assert_eq!(
        (first.target, first.reason.as_str()),
        (2, "0 members stand, the minimum is 2")
    );
    scene.current = 1;
    let second = scene.scale_at(Millis(NOW));
    assert_eq!(
        (second.target, second.reason.as_str()),
        (2, "1 members stand, the minimum is 2")
    );
}
