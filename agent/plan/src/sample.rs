//! From the text of procfs and cgroup files to figures, or to a fault that names the file.
//!
//! Refuses to know where the files lie and when they were read. Formats: proc(5), cgroups(7), the kernel's
//! `Documentation/admin-guide/cgroup-v2.rst`.

use std::collections::BTreeMap;

/// A text that is not what its file should hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} holds no {field}")]
pub struct Fault {
    /// Which file.
    pub file: &'static str,
    /// What was looked for.
    pub field: &'static str,
}

const fn fault(file: &'static str, field: &'static str) -> Fault {
    Fault { file, field }
}

/// What `/proc/<pid>/stat` says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStat {
    /// Runnable or in uninterruptible sleep: what the kernel counts as load.
    pub loads: bool,
    /// User and system time, clock ticks.
    pub ticks: u64,
    /// Threads of the process.
    pub threads: u64,
    /// When it began, clock ticks since boot: tells two processes of one number apart.
    pub started: u64,
    /// Resident pages.
    pub pages: u64,
    /// Page faults so far: whoever does anything at all has some.
    pub faults: u64,
}

impl TaskStat {
    /// Not a tick used, no fault, no thread more or less: nothing was started either.
    pub const fn is_as_quiet_as(&self, before: &Self) -> bool {
        self.started == before.started
            && self.ticks == before.ticks
            && self.faults == before.faults
            && self.threads == before.threads
    }
}

/// Reads `/proc/<pid>/stat`. The name in parentheses may itself hold blanks and parentheses.
pub fn task_stat(text: &str) -> Result<TaskStat, Fault> {
    const FILE: &str = "stat";
    let (_, after) = text.rsplit_once(") ").ok_or(fault(FILE, "name in parentheses"))?;
    let fields: Vec<&str> = after.split_ascii_whitespace().take(22).collect();
    // Field n of proc(5) is at n - 3 here.
    let number = |n: usize, field| {
        fields
            .get(n - 3)
            .and_then(|f| f.parse().ok())
            .ok_or(fault(FILE, field))
    };
    Ok(TaskStat {
        loads: matches!(fields.first(), Some(&("R" | "D"))),
        ticks: number(14, "utime")? + number(15, "stime")?,
        threads: number(20, "num_threads")?,
        started: number(22, "starttime")?,
        pages: number(24, "rss")?,
        faults: number(10, "minflt")?.saturating_add(number(12, "majflt")?),
    })
}

/// Reads `/proc/<pid>/task/<tid>/children`.
pub fn children(text: &str) -> impl Iterator<Item = u32> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok())
}

/// The kernel's damping: each average moves towards `active` by the share of its time that `seconds` is.
pub fn damped(before: [f64; 3], active: f64, seconds: f64) -> [f64; 3] {
    let mut after = before;
    for (average, minutes) in after.iter_mut().zip([1.0, 5.0, 15.0]) {
        let kept = (-seconds.max(0.0) / (minutes * 60.0)).exp();
        *average = *average * kept + active * (1.0 - kept);
    }
    after
}

/// CPU time between two readings, per process: what new ones have used counts, what ended ones used last is lost.
#[derive(Clone, Debug, Default)]
pub struct Ticks(BTreeMap<(u32, u64), u64>);

impl Ticks {
    /// Notes a process.
    pub fn note(&mut self, pid: u32, stat: &TaskStat) {
        self.0.insert((pid, stat.started), stat.ticks);
    }

    /// Ticks used since `before`.
    pub fn since(&self, before: &Self) -> u64 {
        self.0
            .iter()
            .map(|(process, ticks)| ticks.saturating_sub(before.0.get(process).copied().unwrap_or(0)))
            .sum()
    }
}

/// A share of the allowed CPU time, percent.
pub fn cpu_percent(used_seconds: f64, passed_seconds: f64, cores: f64) -> Option<f64> {
    (passed_seconds > 0.0 && cores > 0.0).then(|| (used_seconds / (passed_seconds * cores) * 100.0).min(1e5))
}

/// A line `name value` of a flat keyed file such as `cpu.stat` and `memory.stat`.
pub fn keyed(text: &str, name: &'static str, file: &'static str) -> Result<u64, Fault> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
        .ok_or(fault(file, name))
}

/// A file with a single number.
pub fn number(text: &str, file: &'static str) -> Result<u64, Fault> {
    text.trim().parse().map_err(|_| fault(file, "number"))
}

/// `memory.max`: `max` means no limit. Version 1 says "no limit" with a number close to 2^63.
pub fn limit(text: &str, file: &'static str) -> Result<Option<u64>, Fault> {
    match text.trim() {
        "max" => Ok(None),
        other => number(other, file).map(|bytes| Some(bytes).filter(|b| *b < 1 << 62)),
    }
}

/// `cpu.max`: quota and period in microseconds, or `max`.
pub fn cpu_max(text: &str) -> Result<Option<f64>, Fault> {
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next().and_then(|w| w.parse::<f64>().ok())) {
        (Some("max"), _) => Ok(None),
        (Some(quota), Some(period)) if period > 0.0 => quota
            .parse::<f64>()
            .map(|q| Some(q / period))
            .map_err(|_| fault("cpu.max", "quota")),
        _ => Err(fault("cpu.max", "quota and period")),
    }
}

/// Memory in use as Kubernetes counts it: without the file cache that can be given up.
pub const fn working_set(usage: u64, inactive_file: u64) -> u64 {
    usage.saturating_sub(inactive_file)
}

/// `MemTotal` of `/proc/meminfo`, bytes.
pub fn mem_total(text: &str) -> Result<u64, Fault> {
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map(|kib| kib.saturating_mul(1024))
        .ok_or(fault("meminfo", "MemTotal"))
}

/// Where a process stands in the cgroup trees, from `/proc/self/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// Version 2.
    V2(String),
    /// Version 1: its place among the memory and the CPU-time controllers.
    V1 {
        /// Controllers as mounted, such as `memory`, and path.
        memory: (String, String),
        /// Controllers as mounted, such as `cpu,cpuacct`, and path.
        cpuacct: (String, String),
    },
}

/// Reads `/proc/self/cgroup`. The controllers of version 1 win where they are in use.
pub fn cgroup(text: &str) -> Option<Cgroup> {
    let rows = || {
        text.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            Some((parts.next()?, parts.next()?, parts.next()?))
        })
    };
    let with = |wanted: &str| {
        rows()
            .find(|(_, names, _)| names.split(',').any(|n| n == wanted))
            .map(|(_, n, p)| (n.to_owned(), p.to_owned()))
    };
    match (with("memory"), with("cpuacct")) {
        (Some(memory), Some(cpuacct)) => Some(Cgroup::V1 { memory, cpuacct }),
        _ => rows()
            .find(|(id, names, _)| *id == "0" && names.is_empty())
            .map(|(_, _, p)| Cgroup::V2(p.to_owned())),
    }
}

/// Whether a cgroup is the agent's own: nobody but the agent lives in it when the agent begins. (A member that
/// was started as a plain process shares its orchestrator's cgroup, whose figures are not the member's.)
pub fn is_own(cgroup_procs: &str, agent: u32) -> bool {
    let mut members = cgroup_procs.split_ascii_whitespace().peekable();
    members.peek().is_some() && members.all(|pid| pid.parse() == Ok(agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "71 (a) R (b) R 1 71 71 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 3 0 9000 1000000 640 1 2 3";

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = task_stat(STAT).unwrap();
        assert_eq!(
            stat,
            TaskStat {
                loads: true,
                ticks: 300,
                threads: 3,
                started: 9000,
                pages: 640,
                faults: 4
            }
        );
    }

    #[test]
    fn a_torn_text_is_a_named_fault_and_never_a_figure() {
        let whole = STAT.len();
        for end in 0..whole {
            match task_stat(&STAT[..end]) {
                Err(fault) => assert!(!fault.field.is_empty()),
                Ok(stat) => assert!(end > STAT.find(" 640").unwrap() && stat.started == 9000),
            }
        }
        assert_eq!(
            mem_total("MemFree: 1 kB\n").unwrap_err().to_string(),
            "meminfo holds no MemTotal"
        );
    }

    #[test]
    fn load_averages_follow_the_kernels_damping() {
        let mut load = [0.0; 3];
        for _ in 0..60 {
            load = damped(load, 2.0, 1.0);
        }
        // After one time constant: 2 × (1 - 1/e).
        assert!((load[0] - 1.2642).abs() < 1e-3, "{load:?}");
        assert!(load[0] > load[1] && load[1] > load[2]);
        assert_eq!(damped(load, 5.0, 0.0), load);
    }

    #[test]
    fn a_process_is_quiet_only_while_nothing_counts_up() {
        let before = task_stat(STAT).unwrap();
        assert!(before.is_as_quiet_as(&before));
        for (was, is) in [
            (" 250 ", " 251 "),
            (" 9000 ", " 9001 "),
            (" 20 0 3 ", " 20 0 4 "),
            (" 1 2 3 4 250", " 2 2 3 4 250"),
        ] {
            let after = task_stat(&STAT.replacen(was, is, 1)).unwrap();
            assert!(!after.is_as_quiet_as(&before), "{is}");
        }
    }

    #[test]
    fn cpu_time_of_a_reused_process_number_is_not_compared() {
        let stat = |ticks, started| TaskStat {
            loads: false,
            ticks,
            threads: 1,
            started,
            pages: 0,
            faults: 0,
        };
        let (mut before, mut after) = (Ticks::default(), Ticks::default());
        before.note(1, &stat(1000, 5));
        before.note(2, &stat(100, 5));
        after.note(1, &stat(10, 77));
        after.note(2, &stat(150, 5));
        assert_eq!(after.since(&before), 60);
    }

    #[test]
    fn limits_are_read_in_both_cgroup_versions() {
        assert_eq!(limit("max\n", "memory.max"), Ok(None));
        assert_eq!(limit("9223372036854771712\n", "memory.limit_in_bytes"), Ok(None));
        assert_eq!(limit("1048576\n", "memory.max"), Ok(Some(1 << 20)));
        assert_eq!(cpu_max("150000 100000\n"), Ok(Some(1.5)));
        assert_eq!(cpu_max("max 100000\n"), Ok(None));
        assert!(cpu_max("").is_err());
        assert_eq!(
            keyed("usage_usec 12\nuser_usec 5\n", "usage_usec", "cpu.stat"),
            Ok(12)
        );
        assert_eq!(working_set(10, 30), 0);
    }

    #[test]
    fn the_place_in_the_cgroup_trees_is_found() {
        assert_eq!(
            cgroup("0::/system.slice/a.service\n"),
            Some(Cgroup::V2("/system.slice/a.service".into()))
        );
        let v1 = cgroup("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n");
        let place = |names: &str| (names.to_owned(), "/docker/x".to_owned());
        assert_eq!(
            v1,
            Some(Cgroup::V1 {
                memory: place("memory"),
                cpuacct: place("cpu,cpuacct")
            })
        );
        assert_eq!(cgroup(""), None);
    }

    #[test]
    fn a_cgroup_shared_with_others_is_not_the_members_own() {
        assert!(is_own("17\n", 17));
        assert!(!is_own("1\n17\n", 17));
        assert!(!is_own("", 17));
    }
}
