//! What goes on in the background while the story is told: the load follows the balancers, the journal is read aloud.
//!
//! It refuses to decide anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cartridge_tests::api::{Api, Endpoint};
use cartridge_tests::load::{Balancer, Load, Pace};

use crate::narrator::Narrator;
use crate::stage::APPLICATION;

/// Kinds of events worth a line.
const TOLD: [&str; 16] = [
    "cluster-resized",
    "burst-started",
    "burst-ending",
    "burst-ended",
    "member-planned",
    "member-activated",
    "member-suspended",
    "member-updating",
    "member-switched",
    "member-draining",
    "member-failed",
    "member-removed",
    "release-proposed",
    "release-accepted",
    "release-rejected",
    "application-deployed",
];

/// The load follows the balancers as the API tells them; while the API is away, the last answer holds.
pub(crate) async fn endpoints(api: Api, load: Arc<Load>) {
    let mut rhythm = tokio::time::interval(Duration::from_millis(200));
    loop {
        rhythm.tick().await;
        let Ok(endpoints) = api.endpoints(APPLICATION).await else {
            continue;
        };
        let balancer = |e: &Endpoint| Balancer {
            address: SocketAddr::new(e.address, e.port),
            weight: e.members,
        };
        load.set_balancers(endpoints.iter().map(balancer).collect());
    }
}

/// Tells each event that is worth a line.
pub(crate) async fn events(api: Api, narrator: Arc<Narrator>) {
    let events = api.follow(0);
    let mut told = 0;
    while let Ok(event) = events
        .wait_after(told, "any", Duration::from_secs(3600), |_| true)
        .await
    {
        told = event.seq;
        if TOLD.contains(&event.kind.as_str()) {
            narrator.event(&format!("{} {}", event.kind, event.text));
        }
    }
}

/// Raises or lowers the number of requests in flight evenly.
pub(crate) async fn ramp(load: Arc<Load>, from: usize, to: usize, over: Duration) {
    let steps = from.abs_diff(to).max(1);
    let mut rhythm = tokio::time::interval(over / u32::try_from(steps).unwrap_or(u32::MAX));
    for step in 1..=steps {
        rhythm.tick().await;
        let now = if to > from {
            from + step
        } else {
            from.saturating_sub(step)
        };
        load.set_pace(Pace::Concurrent(now));
    }
}
