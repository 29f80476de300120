//! One measurement of one member, and what a balancer measures of a cluster.
//!
//! A sample says which scope it measured: the load average of a machine and that of a container are different
//! things, and nobody may compare them. This file refuses to know how measuring is done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, MemberId};
use crate::plugin::{MAX_FIGURES, PluginName};

/// Most reader plugins that a sample names.
pub const MAX_READERS: usize = 8;
/// Longest name of a reader's own figure, bytes.
const MAX_FIGURE_NAME_BYTES: usize = 64;

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
    /// Whatever a reader plugin of the cartridge measures.
    Reader,
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
    /// How often and how long the scope was held back because it had used up its allowance of CPU time, since it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttled>,
    /// How much time tasks of the scope lost waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
    /// What reader plugins measured besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<Reading>,
}

/// What one reader plugin measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which.
    pub reader: PluginName,
    /// How long before the sample it answered, milliseconds.
    pub age_ms: u64,
    /// Requests in flight in the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<f64>,
    /// Figures of the cartridge's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

/// Whether this can be the name of a reader's own figure: lower-case letters, digits, `-`, `_` and `.`.
pub fn is_figure_name(name: &str) -> bool {
    let alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    (1..=MAX_FIGURE_NAME_BYTES).contains(&name.len()) && name.bytes().all(alphabet)
}

/// Time held back by the CPU quota, counted up since the scope began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// Periods of the quota (100 ms each, unless somebody changed that) in which it was used up.
    pub periods: u64,
    /// Time for which runnable tasks were held back, summed over cores.
    pub milliseconds: u64,
}

/// Pressure stall information of the kernel: shares of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// Waiting for a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Stall>,
    /// Waiting for memory to be freed or read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Stall>,
    /// Waiting for disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<Stall>,
}

/// Shares of time, percent, 0 to 100, averaged over ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// At least one task waited.
    pub some: f64,
    /// All tasks that were not idle waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<f64>,
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

fn count(field: &'static str, rows: usize, most: usize) -> Result<(), OutOfRange> {
    let small = |n: usize| u32::try_from(n).map_or(f64::INFINITY, f64::from);
    within(field, small(rows), 0.0, small(most))
}

impl Reading {
    fn check(&self) -> Result<(), OutOfRange> {
        if let Some(value) = self.in_flight {
            within("in_flight", value, 0.0, 1e9)?;
        }
        count("figures", self.figures.len(), MAX_FIGURES)?;
        let nameless = self.figures.keys().filter(|name| !is_figure_name(name)).count();
        count("figures without a proper name", nameless, 0)?;
        self.figures
            .values()
            .try_for_each(|value| within("figures", *value, -1e15, 1e15))
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
        count("readers", self.readers.len(), MAX_READERS)?;
        self.pressure.map_or(Ok(()), |pressure| pressure.check())?;
        self.readers.iter().try_for_each(Reading::check)
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

impl Pressure {
    fn check(&self) -> Result<(), OutOfRange> {
        let kinds = [
            ("pressure.cpu", self.cpu),
            ("pressure.memory", self.memory),
            ("pressure.io", self.io),
        ];
        for (field, stall) in kinds {
            for share in stall
                .iter()
                .flat_map(|stall| [Some(stall.some), stall.full])
                .flatten()
            {
                within(field, share, 0.0, 100.0)?;
            }
        }
        Ok(())
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

impl ClusterReading {
    /// Requests that came since the balancer started, as well as it says.
    pub fn arrivals(&self) -> u64 {
        let ended = self.served.saturating_add(self.failed);
        self.arrived
            .unwrap_or_else(|| ended.saturating_add(self.in_flight))
    }
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
    /// Requests that came since the balancer started. Absent: the balancer does not count them, and what ended and
    /// what is in flight stand for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<u64>,
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
            readers: Vec::new(),
            throttled: None,
            pressure: None,
        }
    }

    #[test]
    fn a_sample_of_an_older_agent_lacks_what_it_did_not_measure() {
        let text = r#"{"sequence":1,"scope":"machine","load":[1.0,0.5,0.25],"cores":2.0,"memory_used":25,
            "memory_limit":100,"cpu_percent":null}"#;
        assert_eq!(serde_json::from_str::<Sample>(text).unwrap(), sample());
        let told = serde_json::to_string(&sample()).unwrap();
        assert!(
            !told.contains("throttled") && !told.contains("pressure"),
            "{told}"
        );
        let newer = text.replace("null}", r#"null,"pressure":{"cpu":{"some":1.5}},"later":[]}"#);
        let newer: Sample = serde_json::from_str(&newer).unwrap();
        let stall = newer.pressure.unwrap().cpu.unwrap();
        assert_eq!((stall.some, stall.full), (1.5, None));
    }

    #[test]
    fn pressure_is_a_share() {
        for (some, full) in [(100.5, None), (1.0, Some(-1.0)), (f64::NAN, None)] {
            let mut wrong = sample();
            let memory = Some(Stall { some, full });
            wrong.pressure = Some(Pressure {
                memory,
                ..Pressure::default()
            });
            assert_eq!(wrong.check().unwrap_err().field, "pressure.memory");
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
    fn readings_are_bounded_too() {
        let reading = |figures: &[(&str, f64)]| Reading {
            reader: PluginName::new("queue").unwrap(),
            age_ms: 0,
            in_flight: None,
            figures: figures.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(),
        };
        let with = |readers: Vec<Reading>| Sample { readers, ..sample() }.check();
        assert_eq!(with(vec![reading(&[("depth.max", -2.0)])]), Ok(()));
        let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
        let many: Vec<(&str, f64)> = many.iter().map(|n| (n.as_str(), 0.0)).collect();
        for bad in [&[("a b", 0.0)][..], &[("", 0.0)], &[("a", f64::NAN)], &many] {
            assert!(with(vec![reading(bad)]).is_err(), "{bad:?}");
        }
        assert!(with(vec![reading(&[]); 9]).is_err());
        let stuck = Reading {
            in_flight: Some(-1.0),
            ..reading(&[])
        };
        assert!(with(vec![stuck]).is_err());
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
