//! Measures the member: bounded reads of procfs and cgroup files, held open. What the texts mean, the plan knows.

mod cgroup;
mod descendants;
mod machine;
mod place;
mod read;
mod tasks;

use std::time::Instant;

use cartridge_agent_plan::sample::{self, scope::Wanted};
use cartridge_protocol::cgroup::Version;
use cartridge_protocol::sample::{Pressure, Sample, Scope, Throttled};
use cgroup::Own;
use descendants::Descendants;
use machine::Machine;
use read::Reader;
use tasks::Tasks;

/// Samples between two looks at what seldom changes: limits and allowances.
const SELDOM: u64 = 16;

/// Takes samples.
pub struct Sampler {
    sequence: u64,
    load: [f64; 3],
    before: Option<(Instant, f64)>,
    reader: Reader,
    tasks: Tasks,
    of: Of,
}

/// What is measured.
enum Of {
    Cgroup(Box<Own>),
    Descendants(Descendants),
    Machine(Machine),
}

/// What one look gave.
#[derive(Default)]
struct Figures {
    /// The kernel's own averages.
    load: Option<[f64; 3]>,
    /// Tasks that load now.
    active: f64,
    cores: f64,
    /// CPU time used so far, seconds.
    used: Option<f64>,
    memory_used: Option<u64>,
    memory_limit: Option<u64>,
    throttled: Option<Throttled>,
    pressure: Option<Pressure>,
}

impl Sampler {
    /// Looks at the machine once, decides what to measure and says so. Must run before the first child is started.
    pub fn new(base: u64, wanted: Wanted) -> Self {
        let mut reader = Reader::default();
        let (of, why) = place::find(&mut reader, wanted);
        let sampler = Self {
            sequence: base,
            load: [0.0; 3],
            before: None,
            reader,
            tasks: Tasks::default(),
            of,
        };
        tracing::info!(scope = ?sampler.scope(), why, "what samples are about");
        sampler
    }

    /// The averages so far, for another agent.
    pub fn load(&self) -> [f64; 3] {
        self.load
    }

    /// Goes on with the averages of the agent before.
    pub fn resume(&mut self, load: Option<[f64; 3]>) {
        let possible = |load: &[f64; 3]| load.iter().all(|one| one.is_finite() && *one >= 0.0);
        self.load = load.filter(possible).unwrap_or(self.load);
    }

    fn scope(&self) -> Scope {
        match &self.of {
            Of::Cgroup(own) if own.version == Version::V2 => Scope::CgroupV2,
            Of::Cgroup(_) => Scope::CgroupV1,
            Of::Descendants(_) => Scope::Descendants,
            Of::Machine(_) => Scope::Machine,
        }
    }

    /// One sample.
    pub fn sample(&mut self) -> Sample {
        let at = Instant::now();
        let seldom = self.sequence.is_multiple_of(SELDOM) || self.before.is_none();
        let (reader, tasks) = (&mut self.reader, &mut self.tasks);
        let figures = match &mut self.of {
            Of::Cgroup(own) => own.figures(reader, tasks, seldom),
            Of::Descendants(descendants) => descendants.figures(reader, tasks, seldom),
            Of::Machine(machine) => machine.figures(reader, seldom),
        };
        let passed = self
            .before
            .map_or(0.0, |(before, _)| at.duration_since(before).as_secs_f64());
        self.load = figures
            .load
            .unwrap_or_else(|| sample::damped(self.load, figures.active, passed));
        let used = self
            .before
            .zip(figures.used)
            .map(|((_, then), now)| (now - then).max(0.0));
        self.before = Some((at, figures.used.unwrap_or(f64::INFINITY)));
        self.sequence += 1;
        Sample {
            sequence: self.sequence,
            scope: self.scope(),
            load: Some(self.load),
            cores: figures.cores,
            memory_used: figures.memory_used,
            memory_limit: figures.memory_limit,
            cpu_percent: used.and_then(|used| sample::cpu_percent(used, passed, figures.cores)),
            throttled: figures.throttled,
            pressure: figures.pressure,
            readers: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_machine_is_acceptable_in_every_scope_and_its_sequence_counts_up() {
        for wanted in [Wanted::Auto, Wanted::Member, Wanted::Machine] {
            let mut sampler = Sampler::new(7, wanted);
            let first = sampler.sample();
            let second = sampler.sample();
            assert_eq!((first.sequence, second.sequence), (8, 9));
            for sample in [&first, &second] {
                sample.check().unwrap();
                assert!(sample.memory_limit.is_some_and(|l| l > 1 << 20));
                assert!(sample.memory_used.is_some());
            }
            assert_eq!(first.cpu_percent, None);
            assert!(second.cpu_percent.is_some());
            match wanted {
                Wanted::Machine => assert_eq!(first.scope, Scope::Machine),
                Wanted::Member => assert_ne!(first.scope, Scope::Machine),
                Wanted::Auto => {}
            }
        }
    }

    #[test]
    fn the_machine_reports_what_its_kernel_says() {
        let mut sampler = Sampler::new(0, Wanted::Machine);
        let sample = sampler.sample();
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = sample::memory::meminfo(&text, "MemTotal").unwrap();
        assert_eq!(sample.memory_limit, Some(total));
        let text = std::fs::read_to_string("/proc/loadavg").unwrap();
        let [_, _, fifteen] = sample::machine::loadavg(&text).unwrap();
        assert!((sample.load.unwrap()[2] - fifteen).abs() < 0.5);
    }
}
