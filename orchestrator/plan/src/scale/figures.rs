//! What the scaler tells: the factors, their figures, and why nothing may shrink.
//!
//! It refuses to know how they are computed.

use crate::forecast::Outlook;

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
    /// What arrives, now and by the time a member has started.
    Arrivals,
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
            Self::Arrivals => "arrivals",
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
    /// How the forecast of arrivals came to this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Outlook>,
}

/// Why the size must not go down now (S8).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "freeze")]
pub enum Freeze {
    /// Nothing was heard at all: not even growth is decided.
    Blind,
    /// Members or balancers speak, but not of anything that the policy names: not even growth is decided.
    Unmeasured,
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

impl Freeze {
    /// Not even growth can be decided.
    pub(super) const fn holds_all(&self) -> bool {
        matches!(self, Self::Blind | Self::Unmeasured)
    }
}

impl std::fmt::Display for Freeze {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blind => f.write_str("nothing was heard of any member or balancer: nothing is changed"),
            Self::Unmeasured => f.write_str("until what the policy names is heard, nothing is changed"),
            Self::Silent { active: 0, .. } => f.write_str("no member serves at present: no scale-in"),
            Self::Silent { fresh, active } => {
                write!(
                    f,
                    "only {fresh} of {active} members were heard lately: no scale-in"
                )
            }
            Self::BalancerStale => f.write_str("a balancer's readings are stale: no scale-in"),
            Self::Settling { seconds } => {
                write!(f, "watched too briefly, {seconds:.0} s are missing: no scale-in")
            }
        }
    }
}
