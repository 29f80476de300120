//! One measurement of one member, and what a balancer measures of a cluster.
//!
//! A sample says which scope it measured: the load average of a machine and that of a container are different
//! things, and nobody may compare them. This file refuses to know how measuring is done.

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, MemberId};

/// What a sample is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The whole machine, as procfs tells it.
    Machine,
    /// The member's own cgroup, version 2.
    CgroupV2,
    /// The member's own cgroup, version 1.
    CgroupV1,
    /// The agent and its descendants, where the member has no cgroup of its own.
    Descendants,
}

/// One measurement. Absent figures could not be had; they are never zero instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Counts up within one incarnation; a smaller one is older and dropped.
    pub sequence: u64,
    /// What was measured.
    pub scope: Scope,
    /// Load averages over 1, 5 and 15 minutes: runnable and uninterruptible tasks, damped as the kernel does.
    pub load: Option<[f64; 3]>,
    /// Cores that the scope may use.
    pub cores: f64,
    /// Memory in use (working set), bytes.
    pub memory_used: Option<u64>,
    /// Memory that the scope may use, bytes.
    pub memory_limit: Option<u64>,
    /// CPU used since the sample before, as a share of `cores`, percent.
    pub cpu_percent: Option<f64>,
}

/// A figure that no honest agent would send.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} is {value}; a finite number from {least} to {most} is accepted")]
pub struct OutOfRange {
    /// Which figure.
    pub field: &'static str,
    /// What came.
    pub value: f64,
    /// Lower bound.
    pub least: f64,
    /// Upper bound.
    pub most: f64,
}

fn within(field: &'static str, value: f64, least: f64, most: f64) -> Result<(), OutOfRange> {
    if value.is_finite() && value >= least && value <= most {
        Ok(())
    } else {
        Err(OutOfRange {
            field,
            value,
            least,
            most,
        })
    }
}

impl Sample {
    /// Refuses not-a-number, infinities, negatives and the absurd (threat 07): such a sample is not stored.
    pub fn check(&self) -> Result<(), OutOfRange> {
        within("cores", self.cores, 0.001, 65_536.0)?;
        for value in self.load.into_iter().flatten() {
            within("load", value, 0.0, 1e6)?;
        }
        if let Some(value) = self.cpu_percent {
            within("cpu_percent", value, 0.0, 1e5)?;
        }
        Ok(())
    }

    /// One-minute load average over cores, percent: Stratos's `load_average`.
    pub fn load_percent(&self) -> Option<f64> {
        self.load.map(|[one, _, _]| one / self.cores * 100.0)
    }

    /// Memory in use over memory allowed, percent: Stratos's `memory_consumption`.
    #[allow(clippy::cast_precision_loss, reason = "a ratio; 2^53 bytes is 8 PiB")]
    pub fn memory_percent(&self) -> Option<f64> {
        match (self.memory_used, self.memory_limit) {
            (Some(used), Some(limit)) if limit > 0 => Some(used as f64 / limit as f64 * 100.0),
            _ => None,
        }
    }
}

/// What one balancer measured since its last reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalancerReading {
    /// The topology revision in force when this was read.
    pub revision: u64,
    /// One row per cluster it serves.
    pub clusters: Vec<ClusterReading>,
}

impl BalancerReading {
    /// Refuses averages that no honest balancer would send (threat 07).
    pub fn check(&self) -> Result<(), OutOfRange> {
        self.clusters
            .iter()
            .try_for_each(|row| within("in_flight_average", row.in_flight_average, 0.0, 1e9))
    }
}

/// Requests of one cluster through one balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterReading {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Requests in flight, averaged over the time since the last reading.
    pub in_flight_average: f64,
    /// Requests in flight now, queued ones included.
    pub in_flight: u64,
    /// Requests answered since the balancer started.
    pub served: u64,
    /// Requests that the balancer could not get answered, since it started.
    pub failed: u64,
    /// Requests in flight per member, draining members included.
    pub members: Vec<MemberReading>,
}

/// Requests in flight to one member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberReading {
    /// Which member.
    pub member: MemberId,
    /// Requests in flight now.
    pub in_flight: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            sequence: 1,
            scope: Scope::Machine,
            load: Some([1.0, 0.5, 0.25]),
            cores: 2.0,
            memory_used: Some(25),
            memory_limit: Some(100),
            cpu_percent: None,
        }
    }

    #[test]
    fn percentages_follow_stratos() {
        assert_eq!(sample().load_percent(), Some(50.0));
        assert_eq!(sample().memory_percent(), Some(25.0));
    }

    #[test]
    fn absence_is_not_zero() {
        let mut absent = sample();
        absent.load = None;
        absent.memory_limit = None;
        assert_eq!(absent.load_percent(), None);
        assert_eq!(absent.memory_percent(), None);
        assert_eq!(absent.check(), Ok(()));
    }

    #[test]
    fn impossible_figures_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 1e308] {
            let mut wrong = sample();
            wrong.load = Some([bad, 0.0, 0.0]);
            assert!(wrong.check().is_err(), "{bad} was accepted");
        }
        let mut wrong = sample();
        wrong.cores = 0.0;
        assert!(wrong.check().is_err());
    }
}
