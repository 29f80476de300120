//! The scaler over time: waves, noise, steps, ramps.

use super::*;

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
            arrivals: None,
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
