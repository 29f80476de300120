//! What a process costs, as the kernel accounts it: memory, CPU, wake-ups.
//!
//! This file refuses to know what the process is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The counters of one process at one instant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident set, KiB.
    pub rss_kib: u64,
    /// Proportional set (shared pages divided by their users), KiB.
    pub pss_kib: u64,
    /// Processor time of all its threads since its start.
    pub cpu: Duration,
    /// Voluntary and involuntary context switches of all its threads since its start.
    pub switches: u64,
}

/// Reads the counters of `pid`.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let root = PathBuf::from(format!("/proc/{pid}"));
    let rollup = std::fs::read_to_string(root.join("smaps_rollup"))?;
    let mut usage = Usage {
        rss_kib: field(&rollup, "Rss:"),
        pss_kib: field(&rollup, "Pss:"),
        ..Usage::default()
    };
    for thread in std::fs::read_dir(root.join("task"))? {
        let thread = thread?.path();
        // A thread may end between listing and reading; its share is lost, which is honest enough for idle processes.
        let (Ok(schedstat), Ok(status)) = (
            std::fs::read_to_string(thread.join("schedstat")),
            std::fs::read_to_string(thread.join("status")),
        ) else {
            continue;
        };
        let nanoseconds: u64 = schedstat
            .split_whitespace()
            .next()
            .and_then(|t| t.parse().ok())
            .unwrap_or(0);
        usage.cpu += Duration::from_nanos(nanoseconds);
        usage.switches +=
            field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:");
    }
    Ok(usage)
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The median; NaN of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let own = usage(std::process::id()).unwrap();
        assert!(own.rss_kib > 100 && own.cpu > Duration::ZERO, "{own:?}");
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&mut [4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
