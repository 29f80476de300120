//! What was measured and said, each with its age. Not journaled: after a restart it is empty, and absence is never
//! zero (S8).
//!
//! This file refuses to know how it arrived. All times are the orchestrator's monotonic receive times (S24).

mod hear;
mod starts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;

use cartridge_protocol::link::Status;
use cartridge_protocol::sample::Sample;
use cartridge_protocol::{ClusterId, MemberId, Millis, NetworkPartitionId};

use crate::decide::Planned;
use crate::forecast::{Circumstances, Counted, Watch};
use crate::record::Record;
use crate::scale::Course;
use crate::world::{Shared, World};
pub use starts::Starts;

/// Points that are kept however old they are: they tell how often new ones come.
const FEWEST_POINTS: usize = 8;
/// Most points kept per window.
pub const MAX_POINTS: usize = 64;

/// Everything measured and said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// When this orchestrator began to listen: verdicts on silence count from here at the earliest.
    pub began: Millis,
    /// By member.
    pub members: Shared<MemberId, MemberObservation>,
    /// By cluster and network partition whose balancer reported.
    pub clusters: BTreeMap<(ClusterId, NetworkPartitionId), ClusterObservation>,
    /// What the provisioners' last complete lists and exit notices said.
    pub instances: Shared<MemberId, InstanceObservation>,
    /// The total that each cluster's scaler recommended, pass by pass: shrinking follows the highest of the
    /// stabilisation window. The caller pushes [`crate::decide::Planned::recommended`] here.
    pub recommended: BTreeMap<ClusterId, Window>,
    /// What arrives at each cluster whose policy sizes by it, and what is expected.
    pub arrivals: BTreeMap<ClusterId, Watch>,
    /// How long members take to start: see [`Observations::follow`].
    pub starts: Starts,
}

impl Observations {
    /// Keeps what scalers recommended: to be called after every pass, whether or not it planned anything.
    pub fn remember(&mut self, world: &World, planned: &Planned, now: Millis) {
        for (id, required) in &planned.recommended {
            let cluster = world.clusters.get(id);
            let policy = cluster.and_then(|cluster| cluster.autoscaling_policy.as_ref());
            if let Some(policy) = policy.and_then(|policy| world.autoscaling_policies.get(policy)) {
                let window = self.recommended.entry(id.clone()).or_default();
                crate::scale::remember(window, now, *required, policy);
            }
        }
    }

    /// Takes in what one balancer counted of a cluster's arrivals, where its policy sizes by them.
    pub fn count(&mut self, world: &World, cluster: &ClusterId, counted: &Counted<'_>) {
        let known = world.clusters.get(cluster);
        let policy = known
            .and_then(|cluster| cluster.autoscaling_policy.as_ref())
            .and_then(|id| world.autoscaling_policies.get(id));
        let Some((known, policy, arrivals)) = known
            .zip(policy)
            .and_then(|(known, policy)| Some((known, policy, policy.arrivals.as_ref()?)))
        else {
            self.arrivals.remove(cluster);
            return;
        };
        let active = world.members_of(known).filter(|member| member.phase.serves());
        let now = Circumstances {
            policy: arrivals,
            start_delay: self.starts.delay(cluster, policy.horizon_seconds),
            active: u32::try_from(active.count()).unwrap_or(u32::MAX),
            most: crate::forecast::queue::MOST_MEMBERS,
        };
        self.arrivals
            .entry(cluster.clone())
            .or_default()
            .take_in(counted, &now);
    }

    /// Follows a record that is durable: notes starts, and forgets what it removed, so that nothing here outgrows the
    /// world. `world`: as it is now.
    pub fn follow(&mut self, record: &Record, world: &World, now: Millis) {
        self.starts.note(record, now);
        match record {
            Record::MemberRemoved { member, .. } => {
                self.members.remove(member);
                self.instances.remove(member);
            }
            Record::ApplicationUndeployed { .. }
            | Record::ClusterRetired { .. }
            | Record::BurstEnded { .. } => self.forget(world),
            _ => {}
        }
    }

    /// Forgets members and clusters that no longer exist.
    fn forget(&mut self, world: &World) {
        let mut known = world.members.finger();
        self.members.retain(|member, _| known.get(member).is_some());
        self.instances.retain(|member, _| known.get(member).is_some());
        self.clusters
            .retain(|(cluster, _), _| world.clusters.contains_key(cluster));
        self.recommended
            .retain(|cluster, _| world.clusters.contains_key(cluster));
        self.arrivals
            .retain(|cluster, _| world.clusters.contains_key(cluster));
        self.starts.forget(world);
    }
}

/// What one member said.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberObservation {
    /// Which of its lives said it.
    pub incarnation: u64,
    /// The highest batch sequence seen; an older batch is ignored.
    pub sequence: u64,
    /// When its last batch came.
    pub heard: Millis,
    /// The newest status.
    pub status: Status,
    /// Load average, percent, oldest first.
    pub load: Window,
    /// Memory consumption, percent, oldest first.
    pub memory: Window,
    /// The newest sample.
    pub sample: Option<(Millis, Sample)>,
}

/// What the balancers of one network partition said of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterObservation {
    /// Requests in flight, oldest first.
    pub in_flight: Window,
    /// The topology revision of the newest reading.
    pub revision: u64,
    /// When the newest reading came.
    pub heard: Millis,
    /// In flight per member in the newest reading.
    pub members: BTreeMap<MemberId, u64>,
    /// Requests in flight now in the newest reading.
    pub in_flight_now: u64,
    /// Counters since the balancer's start.
    pub served: u64,
    /// Counters since the balancer's start.
    pub failed: u64,
}

/// What a provisioner said of a member's instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceObservation {
    /// It runs (this incarnation), as of this time.
    Running {
        /// Which life.
        incarnation: u64,
        /// When this was so.
        at: Millis,
    },
    /// Lists of the provisioner lack it. A list may be a part of what there is, so that this is believed of those only
    /// who are silent as well.
    Missing {
        /// Which life.
        incarnation: u64,
        /// When this was so.
        at: Millis,
        /// How it was noticed, for people.
        reason: String,
    },
    /// It ended: confirmed by the provisioner, not inferred from silence.
    Gone {
        /// Which life.
        incarnation: u64,
        /// When this was noticed.
        at: Millis,
        /// How, for people.
        reason: String,
    },
}

/// Points in time, bounded, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Window {
    points: VecDeque<(Millis, f64)>,
    /// Follows from the points: every pass asks for it, and members say something in each fifth only.
    course: OnceLock<Course>,
}

impl PartialEq for Window {
    fn eq(&self, other: &Self) -> bool {
        self.points == other.points
    }
}

impl Window {
    /// Where these points go, worked out once; None: there are none.
    pub(crate) fn course(&self, work_out: impl FnOnce() -> Course) -> Option<Course> {
        (!self.points.is_empty()).then(|| *self.course.get_or_init(work_out))
    }

    /// Adds a point; refuses what is not finite, drops the oldest at [`MAX_POINTS`].
    pub fn push(&mut self, at: Millis, value: f64) {
        self.course.take();
        if !value.is_finite() || self.points.back().is_some_and(|(last, _)| *last > at) {
            return;
        }
        if self.points.len() == MAX_POINTS {
            self.points.pop_front();
        }
        self.points.push_back((at, value));
    }

    /// Adds a point and forgets what lies further back than `span`, but for a few: of each member there are such
    /// windows, and they would be twice as large.
    pub fn push_within(&mut self, at: Millis, value: f64, span: Millis) {
        let old = |(first, _): &(Millis, f64)| at.since(*first) > span;
        while self.points.len() >= FEWEST_POINTS && self.points.front().is_some_and(old) {
            self.points.pop_front();
        }
        self.push(at, value);
    }

    /// Adds a point, or raises the newest one where that lies in the same slot of this length: so that a bounded
    /// window covers a long time and keeps every highest value.
    pub fn push_highest(&mut self, at: Millis, value: f64, slot: Millis) {
        self.course.take();
        let slot = slot.0.max(1);
        match self.points.back_mut() {
            Some((last, highest)) if value.is_finite() && *last <= at && last.0 / slot == at.0 / slot => {
                *last = at;
                *highest = highest.max(value);
            }
            _ => self.push(at, value),
        }
    }

    /// The points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = (Millis, f64)> + '_ {
        self.points.iter().copied()
    }

    /// The newest point.
    pub fn last(&self) -> Option<(Millis, f64)> {
        self.points.back().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_worked_out_is_worked_out_again_after_every_change() {
        let course = |window: &Window| format!("{:?}", crate::scale::trend_of(window));
        let mut window = Window::default();
        let as_new = |window: &Window| {
            course(&Window {
                course: OnceLock::new(),
                ..window.clone()
            })
        };
        for (at, value) in [
            (0, 1.0),
            (5_000, 2.0),
            (5_500, 9.0),
            (36_000, 4.0),
            (1, 3.0),
            (37_000, f64::NAN),
        ] {
            window.push(Millis(at), value);
            assert_eq!(course(&window), as_new(&window), "pushed {at}");
            window.push_highest(Millis(at + 1), value + 1.0, Millis(1_000));
            assert_eq!(course(&window), as_new(&window), "pushed the highest at {at}");
        }
        for second in (40..140).step_by(5) {
            window.push_within(Millis(second * 1_000), second as f64, Millis(30_000));
            assert_eq!(course(&window), as_new(&window), "pushed {second} s");
        }
        window.push_within(Millis(200_000), f64::NAN, Millis(30_000));
        assert_eq!(
            course(&window),
            as_new(&window),
            "what is refused may have let others go"
        );
    }

    #[test]
    fn a_window_of_a_member_holds_its_span_and_a_few_points_where_they_come_seldom() {
        let pushed = |every: u64| {
            let mut window = Window::default();
            (0..100).for_each(|n| window.push_within(Millis(n * every), 1.0, Millis(30_000)));
            window.points().map(|(at, _)| at.0).collect::<Vec<_>>()
        };
        let each_second = pushed(1_000);
        assert_eq!((each_second.len(), each_second[0]), (31, 69_000));
        assert_eq!(pushed(60_000).len(), FEWEST_POINTS);
        assert_eq!(pushed(10).len(), MAX_POINTS);
    }
}
