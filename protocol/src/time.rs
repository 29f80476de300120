//! Time as the plan crates see it: milliseconds of somebody else's monotonic clock.
//!
//! Nothing here reads a clock. A `Millis` means nothing outside the process whose clock produced it, which is
//! why it never crosses the link; only durations do.

use serde::{Deserialize, Serialize};

/// A point on the caller's monotonic clock, or a length of time; milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The beginning of the caller's clock.
    pub const ZERO: Self = Self(0);

    /// Whole seconds as milliseconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// This point, later by `length`.
    pub const fn plus(self, length: Self) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// Seconds, for formulas.
    #[allow(clippy::cast_precision_loss, reason = "2^53 ms is 285,000 years")]
    pub const fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < 1000 {
            write!(f, "{} ms", self.0)
        } else {
            write!(f, "{}.{} s", self.0 / 1000, self.0 % 1000 / 100)
        }
    }
}
