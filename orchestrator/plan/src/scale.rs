//! How many members a cluster needs: requests in flight, load average and memory, now and predicted.
//!
//! This file refuses to know where members go and how many network partitions there are.

use cartridge_protocol::Millis;

use crate::blueprint::AutoscalingPolicy;
use crate::observe::Window;

/// All that the decision on one cluster's size depends on.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Thresholds, horizon, stabilisation time.
    pub policy: &'a AutoscalingPolicy,
    /// The caller's monotonic clock.
    pub now: Millis,
    /// Members that serve.
    pub active: u32,
    /// One entry per active member that ever reported.
    pub members: Vec<MemberLoad<'a>>,
    /// Requests in flight, one window per balancer.
    pub in_flight: Vec<&'a Window>,
    /// Every balancer's reading is fresh.
    pub balancers_fresh: bool,
    /// How many members are wanted at present, in all network partitions in use together.
    pub current: u32,
    /// Fewest.
    pub floor: u32,
    /// Most: all room that there is.
    pub ceiling: u32,
    /// `required` of earlier decisions.
    pub recommended: &'a Window,
    /// When this orchestrator began to listen.
    pub began: Millis,
}

/// What one member measured.
#[derive(Clone, Debug)]
pub struct MemberLoad<'a> {
    /// Load average, percent of its cores.
    pub load: &'a Window,
    /// Memory consumption, percent.
    pub memory: &'a Window,
    /// When it was last heard.
    pub heard: Millis,
}

/// What asked for most members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// Requests in flight.
    RequestsInFlight,
    /// Load average.
    LoadAverage,
    /// Memory consumption.
    MemoryConsumption,
    /// No factor asks for more than the minimum.
    Minimum,
}

impl Factor {
    /// As records and documents spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequestsInFlight => "requests-in-flight",
            Self::LoadAverage => "load-average",
            Self::MemoryConsumption => "memory-consumption",
            Self::Minimum => "minimum",
        }
    }
}

/// One factor's figures.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Which factor.
    pub factor: Factor,
    /// The newest figure: requests, or percent.
    pub now: f64,
    /// Its change, per second.
    pub gradient: f64,
    /// The change of that, per second squared.
    pub acceleration: f64,
    /// The figure expected at the horizon.
    pub predicted: f64,
    /// The threshold per member.
    pub threshold: f64,
    /// Members that it asks for.
    pub required: u32,
}

/// Why the size must not go down now (S8).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "freeze")]
pub enum Freeze {
    /// Nothing was heard at all: not even growth is decided.
    Blind,
    /// Fewer than 80 % of the active members were heard lately.
    Silent {
        /// Heard lately.
        fresh: u32,
        /// Of so many.
        active: u32,
    },
    /// A balancer's readings are stale.
    BalancerStale,
    /// Not yet watched for a whole stabilisation time.
    Settling {
        /// So many seconds are missing.
        seconds: f64,
    },
}

impl std::fmt::Display for Freeze {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blind => f.write_str("nothing was heard of any member or balancer: nothing is changed"),
            Self::Silent { fresh, active } => {
                write!(f, "only {fresh} of {active} members were heard lately: no scale-in")
            }
            Self::BalancerStale => f.write_str("a balancer's readings are stale: no scale-in"),
            Self::Settling { seconds } => {
                write!(f, "watched too briefly, {seconds:.0} s are missing: no scale-in")
            }
        }
    }
}

/// What was decided about one cluster's size.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// Members that the load asks for, unbounded by floor and ceiling: the caller pushes it into `recommended`
    /// and bursts by it.
    pub required: u32,
    /// Members to want from now on, floor and ceiling kept.
    pub target: u32,
    /// What asked for most.
    pub factor: Factor,
    /// The figures of every factor that the policy names and that was measured.
    pub forecasts: Vec<Forecast>,
    /// Why nothing may shrink.
    pub frozen: Option<Freeze>,
    /// One line for people.
    pub reason: String,
}

/// Decides.
pub fn scale(input: &Input<'_>) -> Scaling {
    Scaling {
        required: input.floor,
        target: input.current.clamp(input.floor, input.ceiling.max(input.floor)),
        factor: Factor::Minimum,
        forecasts: Vec::new(),
        frozen: None,
        reason: String::new(),
    }
}
