//! Every time limit and share that decisions use, in one place.

use cartridge_protocol::Millis;

/// A member heard within this time is fresh: three of [`crate::desired::PUBLISH_INTERVAL_MS`] (S8).
pub const FRESH: Millis = Millis::from_secs(15);
/// A balancer's reading is fresh within this time: its interval is shorter, and scaling waits for it.
pub const BALANCER_FRESH: Millis = Millis::from_secs(5);
/// A serving member not heard for longer is lost, unless a brake holds. One publish interval more than [`FRESH`]:
/// where all fall silent at once, all are known to be silent before the first is judged (S9).
pub const SILENCE: Millis = Millis::from_secs(20);
/// Most time in one attempt to start, in waiting for the agent, and in becoming ready; each by itself.
pub const START: Millis = Millis::from_secs(120);
/// Attempts to start a member before another one takes its place.
pub const ATTEMPTS: u32 = 5;
/// Most time in finishing requests.
pub const DRAIN: Millis = Millis::from_secs(30);
/// Most time in stopping, once told to.
pub const STOP: Millis = Millis::from_secs(20);
/// Most time in switching releases, once out of the balancers.
pub const UPDATE: Millis = Millis::from_secs(120);
/// The span over which drains are counted (S7).
pub const BUDGET_SPAN: Millis = Millis::from_secs(60);
/// Clients learn within this time that a network partition is no longer listed.
pub const UNLISTED: Millis = Millis::from_secs(1);
/// Failed starts in a row before further ones wait.
pub const FREE_FAILURES: u32 = 3;
/// The first wait after that; it doubles.
pub const FIRST_WAIT: Millis = Millis::from_secs(5);
/// The longest wait.
pub const LONGEST_WAIT: Millis = Millis::from_secs(300);

/// A member's phase and release follow what it says at once, as often as [`crate::world::MAX_CHANGES`] within this
/// time; beyond that they wait for [`CHANGE_WAIT`] after the last change, so that no member floods the journal (S21).
pub const CHANGE_SPAN: Millis = Millis::from_secs(40);
/// See above.
pub const CHANGE_WAIT: Millis = Millis::from_secs(2);

/// Serving members that may be taken out within [`BUDGET_SPAN`] (S7).
pub fn budget(serving: usize) -> usize {
    (serving / 10).max(1)
}

/// How long to wait after so many failed starts in a row.
pub fn wait_after(failures: u32) -> Millis {
    if failures < FREE_FAILURES {
        return Millis::ZERO;
    }
    let doubled = FIRST_WAIT
        .0
        .saturating_mul(1 << (failures - FREE_FAILURES).min(16));
    Millis(doubled.min(LONGEST_WAIT.0))
}
