//! Measures the member: bounded reads of procfs and cgroup files. What the texts mean, the plan knows.

mod descendants;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use cartridge_agent_plan::sample::{self, Cgroup, Fault, Ticks};
use cartridge_protocol::sample::{Sample, Scope};
use descendants::{Known, children_path};

/// Longest file read.
const MOST_BYTES: usize = 256 << 10;
/// A read that gives less has come to the end of a file of procfs.
const CERTAINLY_ALL: usize = 1024;

/// Takes samples.
pub struct Sampler {
    sequence: u64,
    load: [f64; 3],
    before: Option<Before>,
    own: Option<Own>,
    memory_total: Option<u64>,
    cores: f64,
    page: u64,
    hertz: f64,
    agent: u32,
    bytes: Vec<u8>,
    /// The agent's own children as last seen, and the file that names them.
    children: Vec<u32>,
    children_file: Option<File>,
    /// Processes that were looked at closely, and when.
    known: BTreeMap<u32, Known>,
}

struct Before {
    at: Instant,
    ticks: Ticks,
    usage: Option<f64>,
}

/// The files of the member's own cgroup.
struct Own {
    scope: Scope,
    memory: String,
    cpu: String,
}

impl Sampler {
    /// Looks at the machine once. Must run before the first child is started: a cgroup with nobody but the agent
    /// in it is the member's own.
    pub fn new(base: u64) -> Self {
        let agent = std::process::id();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut sampler = Self {
            sequence: base,
            load: [0.0; 3],
            before: None,
            own: None,
            memory_total: None,
            #[allow(clippy::cast_precision_loss, reason = "a count of cores")]
            cores: cores as f64,
            page: constant(nix::unistd::SysconfVar::PAGE_SIZE, 4096),
            #[allow(clippy::cast_precision_loss, reason = "100 on Linux")]
            hertz: constant(nix::unistd::SysconfVar::CLK_TCK, 100) as f64,
            agent,
            bytes: Vec::new(),
            children: Vec::new(),
            children_file: File::open(children_path(agent, agent)).ok(),
            known: BTreeMap::new(),
        };
        sampler.memory_total = memory_total();
        sampler.own = sampler.find_own();
        sampler
    }

    fn read(&mut self, path: &str) -> Option<Cow<'_, str>> {
        self.read_again(&File::open(path).ok()?)
    }

    /// From its beginning: procfs makes the text anew.
    fn read_again(&mut self, file: &File) -> Option<Cow<'_, str>> {
        let mut filled = 0;
        loop {
            if filled == self.bytes.len() {
                self.bytes.resize((filled * 2).clamp(4096, MOST_BYTES), 0);
            }
            let count = file.read_at(&mut self.bytes[filled..], filled as u64).ok()?;
            filled += count;
            // The kernel gives a page at a time, cut between lines: much less is the end, and needs no second look.
            if count < CERTAINLY_ALL || filled >= MOST_BYTES {
                return Some(String::from_utf8_lossy(&self.bytes[..filled]));
            }
        }
    }

    /// A figure out of a file; absent where either is not as expected.
    fn figure<T>(&mut self, path: &str, read: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        let text = self.read(path)?;
        read(&text)
            .inspect_err(|fault| tracing::debug!(path, %fault, "no figure"))
            .ok()
    }

    fn find_own(&mut self) -> Option<Own> {
        let cgroup = sample::cgroup(&self.read("/proc/self/cgroup")?)?;
        let own = match cgroup {
            Cgroup::V2(path) => {
                let folder = format!("/sys/fs/cgroup{}", path.trim_end_matches('/'));
                Own {
                    scope: Scope::CgroupV2,
                    memory: folder.clone(),
                    cpu: folder,
                }
            }
            Cgroup::V1 { memory, cpuacct } => Own {
                scope: Scope::CgroupV1,
                memory: v1_folder(&memory),
                cpu: v1_folder(&cpuacct),
            },
        };
        let agent = self.agent;
        let all_mine = |sampler: &mut Self, folder: &str| {
            sampler
                .read(&format!("{folder}/cgroup.procs"))
                .is_some_and(|text| sample::is_own(&text, agent))
        };
        (all_mine(self, &own.memory) && all_mine(self, &own.cpu)).then_some(own)
    }

    /// One sample.
    pub fn sample(&mut self) -> Sample {
        let at = Instant::now();
        let seen = self.descendants();
        let passed = self
            .before
            .as_ref()
            .map(|b| at.duration_since(b.at).as_secs_f64());
        self.load = sample::damped(self.load, f64::from(seen.loads), passed.unwrap_or(0.0));
        self.sequence += 1;
        let (cores, usage, memory_used, memory_limit) = match self.own.take() {
            Some(own) => {
                let figures = self.of_cgroup(&own);
                self.own = Some(own);
                figures
            }
            None => (
                self.cores,
                None,
                Some(seen.pages.saturating_mul(self.page)),
                self.memory_total,
            ),
        };
        let cpu_percent = self.before.as_ref().zip(passed).and_then(|(before, passed)| {
            #[allow(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
            let used = match (usage, before.usage) {
                (Some(now), Some(then)) => (now - then).max(0.0),
                _ => seen.ticks.since(&before.ticks) as f64 / self.hertz,
            };
            sample::cpu_percent(used, passed, cores)
        });
        self.before = Some(Before {
            at,
            ticks: seen.ticks,
            usage,
        });
        Sample {
            sequence: self.sequence,
            scope: self.own.as_ref().map_or(Scope::Descendants, |own| own.scope),
            load: Some(self.load),
            cores,
            memory_used,
            memory_limit,
            cpu_percent,
        }
    }

    /// Cores, CPU seconds, memory in use and allowed.
    fn of_cgroup(&mut self, own: &Own) -> (f64, Option<f64>, Option<u64>, Option<u64>) {
        let (memory, cpu) = (&own.memory, &own.cpu);
        #[allow(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
        let seconds = |count: u64, per: f64| count as f64 / per;
        if own.scope == Scope::CgroupV2 {
            let quota = self.figure(&format!("{cpu}/cpu.max"), sample::cpu_max).flatten();
            let usage = self.figure(&format!("{cpu}/cpu.stat"), |t| {
                sample::keyed(t, "usage_usec", "cpu.stat")
            });
            let current = self.figure(&format!("{memory}/memory.current"), |t| {
                sample::number(t, "memory.current")
            });
            let cache = self.figure(&format!("{memory}/memory.stat"), |t| {
                sample::keyed(t, "inactive_file", "memory.stat")
            });
            let limit = self
                .figure(&format!("{memory}/memory.max"), |t| {
                    sample::limit(t, "memory.max")
                })
                .flatten();
            let used = current.map(|c| sample::working_set(c, cache.unwrap_or(0)));
            let cores = quota.map_or(self.cores, |q| q.min(self.cores));
            (
                cores,
                usage.map(|u| seconds(u, 1e6)),
                used,
                lesser(limit, self.memory_total),
            )
        } else {
            let usage = self.figure(&format!("{cpu}/cpuacct.usage"), |t| {
                sample::number(t, "cpuacct.usage")
            });
            let current = self.figure(&format!("{memory}/memory.usage_in_bytes"), |t| {
                sample::number(t, "memory.usage_in_bytes")
            });
            let cache = self.figure(&format!("{memory}/memory.stat"), |t| {
                sample::keyed(t, "total_inactive_file", "memory.stat")
            });
            let limit = self
                .figure(&format!("{memory}/memory.limit_in_bytes"), |t| {
                    sample::limit(t, "memory.limit_in_bytes")
                })
                .flatten();
            let used = current.map(|c| sample::working_set(c, cache.unwrap_or(0)));
            (
                self.cores,
                usage.map(|u| seconds(u, 1e9)),
                used,
                lesser(limit, self.memory_total),
            )
        }
    }
}

fn v1_folder((controllers, path): &(String, String)) -> String {
    format!("/sys/fs/cgroup/{controllers}{}", path.trim_end_matches('/'))
}

fn lesser(limit: Option<u64>, total: Option<u64>) -> Option<u64> {
    [limit, total].into_iter().flatten().min()
}

fn constant(variable: nix::unistd::SysconfVar, otherwise: u64) -> u64 {
    nix::unistd::sysconf(variable)
        .ok()
        .flatten()
        .and_then(|v| u64::try_from(v).ok())
        .unwrap_or(otherwise)
}

fn memory_total() -> Option<u64> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some(system.total_memory()).filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_machine_is_acceptable_and_its_sequence_counts_up() {
        let mut sampler = Sampler::new(7);
        let first = sampler.sample();
        let second = sampler.sample();
        assert_eq!((first.sequence, second.sequence), (8, 9));
        for sample in [&first, &second] {
            sample.check().unwrap();
            assert!(sample.memory_limit.is_some_and(|l| l > 1 << 20));
        }
        assert_eq!(first.cpu_percent, None);
        assert!(second.cpu_percent.is_some());
    }

    #[test]
    fn a_child_that_appears_is_found() {
        let mut sampler = Sampler::new(0);
        // Not a child of this process's first thread, so that it is looked for from itself.
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "read line; sleep 60 & read line; kill $!"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (begun, pid) = (Instant::now(), shell.id());
        let children = |sampler: &mut Sampler| {
            let stat = sampler
                .figure(&format!("/proc/{pid}/stat"), sample::task_stat)
                .unwrap();
            sampler.look_closely(pid, &stat, &mut 0).len()
        };
        assert_eq!(children(&mut sampler), 0);
        let mut input = shell.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"\n").unwrap();
        while children(&mut sampler) == 0 {
            assert!(begun.elapsed().as_secs() < 30, "the child was not found");
            std::thread::yield_now();
        }
        drop(input);
        shell.wait().unwrap();
    }
}
