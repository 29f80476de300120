//! Arrivals beside thresholds.

use super::*;
use crate::blueprint::ArrivalPolicy;
use crate::forecast::Outlook;

const ASKED: ArrivalPolicy = ArrivalPolicy {
    workers: 5,
    wait_seconds: 0.1,
    service_seconds: Some(0.1),
    violation_price: 130.0,
};

fn outlook(wanted: u32) -> Outlook {
    Outlook {
        arrivals: 400.0,
        level: 400.0,
        expected: 430.0,
        ready_for: 480.0,
        horizon: 15.0,
        risk: 0.001,
        believed: "the present",
        capacity: 50.0,
        needed: wanted,
        wanted,
        ..Outlook::default()
    }
}

/// 400 requests per second, 40 in flight.
fn scene(current: u32) -> Scene {
    let mut scene = Scene::of_requests(flat(40.0), current);
    scene.policy.requests_in_flight = None;
    scene.policy.arrivals = Some(ASKED);
    scene
}

fn decide(scene: &Scene, outlook: Option<&Outlook>) -> Scaling {
    let members = scene.members.iter().map(|(load, memory)| MemberLoad {
        load,
        memory,
        heard: Millis(NOW),
    });
    scale(&Input {
        policy: &scene.policy,
        now: Millis(NOW),
        active: scene.active,
        members: members.collect(),
        in_flight: scene.in_flight.iter().collect(),
        arrivals: outlook.map(|outlook| Arrivals {
            outlook,
            service_seconds: 0.1,
            wait_seconds: 0.1,
        }),
        balancers_fresh: scene.balancers_fresh,
        current: scene.current,
        floor: scene.floor,
        ceiling: scene.ceiling,
        recommended: &scene.recommended,
        began: Millis::ZERO,
    })
}

#[test]
fn arrivals_grow_and_shrink_at_once_and_say_why() {
    let (more, fewer) = (
        decide(&scene(4), Some(&outlook(10))),
        decide(&scene(30), Some(&outlook(10))),
    );
    assert_eq!((more.target, fewer.target), (10, 10));
    assert_eq!((more.factor, fewer.factor), (Factor::Arrivals, Factor::Arrivals));
    assert_eq!(
        more.reason,
        "400 requests/s arrive, 430/s are expected in 15 s by the present (calm), ready for 480/s (more in 0.10 % of the \
         time), 50/s per member: 10 members"
    );
}

#[test]
fn thresholds_that_are_named_can_only_add() {
    for in_flight in [1.0, 20.0, 40.0, 80.0, 400.0] {
        let mut guarded = scene(8);
        guarded.in_flight = vec![flat(in_flight)];
        guarded.policy.requests_in_flight = Some(4.0);
        let mut alone = guarded.clone();
        alone.policy.arrivals = None;
        let both = decide(&guarded, Some(&outlook(10)));
        assert!(
            both.target >= decide(&alone, None).target,
            "{in_flight}: {both:?}"
        );
        assert!(both.target >= 10, "{in_flight}: {both:?}");
    }
}

#[test]
fn what_is_not_known_holds() {
    let mut unheard = scene(12);
    unheard.balancers_fresh = false;
    assert_eq!(decide(&unheard, None).target, 12, "nobody says what arrives");
    assert_eq!(
        decide(&unheard, Some(&outlook(3))).target,
        12,
        "the readings are stale"
    );
    assert_eq!(
        decide(&scene(12), None).target,
        12,
        "the service time is not known yet"
    );
    let mut young = scene(12);
    young.recommended = required_lately(20, 0.0);
    let held = decide(&young, Some(&outlook(3)));
    assert!(
        held.target == 12 && matches!(held.frozen, Some(Freeze::Settling { .. })),
        "{held:?}"
    );
    assert_eq!(
        decide(&young, Some(&outlook(20))).target,
        20,
        "growth does not wait"
    );
}

#[test]
fn members_cannot_lie_about_arrivals() {
    let honest = decide(&scene(8), Some(&outlook(10)));
    for lie in [0.0, 1e3, 1e300] {
        let mut told = scene(8);
        for (load, memory) in &mut told.members {
            (*load, *memory) = (flat(lie), flat(lie));
        }
        assert_eq!(decide(&told, Some(&outlook(10))).target, honest.target);
    }
}

#[test]
fn what_waits_adds_members_and_never_more_than_as_many_again() {
    let asked = |in_flight: f64| {
        let mut waiting = scene(10);
        waiting.in_flight = vec![flat(in_flight)];
        decide(&waiting, Some(&outlook(10))).required
    };
    // 400/s at 0.1 s of service and 0.1 s of wait: 80 in flight are as promised. 500 more are a second of ten members.
    assert_eq!([40.0, 80.0, 580.0, 1e6].map(asked), [10, 10, 11, 20]);
}

#[test]
fn bounds_stay_bounds() {
    let mut narrow = scene(5);
    (narrow.floor, narrow.ceiling) = (3, 7);
    assert_eq!(decide(&narrow, Some(&outlook(50))).target, 7);
    assert_eq!(decide(&narrow, Some(&outlook(1))).target, 3);
    assert!(decide(&narrow, Some(&outlook(50))).reason.contains("room for 7"));
}
