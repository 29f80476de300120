//! What `/proc/<pid>/stat` and `/proc/<pid>/task/<tid>/children` say of a process and its threads.

use super::{Fault, fault};

/// What `/proc/<pid>/stat` says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStat {
    /// Runnable or in uninterruptible sleep: what the kernel counts as load.
    pub loads: bool,
    /// Whose child it is.
    pub parent: u32,
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

    /// CPU time used since an earlier reading. What a process used that was not there then counts whole; what one used
    /// last that is gone now is lost.
    pub const fn ticks_since(&self, before: Option<&Self>) -> u64 {
        match before {
            Some(before) if before.started == self.started => self.ticks.saturating_sub(before.ticks),
            _ => self.ticks,
        }
    }
}

/// Reads `/proc/<pid>/stat`. The name in parentheses may itself hold blanks and parentheses.
pub fn task_stat(text: &str) -> Result<TaskStat, Fault> {
    const FILE: &str = "stat";
    let (_, after) = text.rsplit_once(')').ok_or(fault(FILE, "name in parentheses"))?;
    let mut fields = after.split_ascii_whitespace();
    // Field n of proc(5); the fields are read in order, so each is found by how many lie between.
    let state = fields.next().ok_or(fault(FILE, "state"))?;
    let mut number = |skipped: usize, field| {
        fields
            .nth(skipped)
            .and_then(|f| f.parse::<u64>().ok())
            .ok_or(fault(FILE, field))
    };
    let parent = number(0, "ppid")?;
    let minor = number(5, "minflt")?;
    let major = number(1, "majflt")?;
    let user = number(1, "utime")?;
    let system = number(0, "stime")?;
    let threads = number(4, "num_threads")?;
    let started = number(1, "starttime")?;
    let pages = number(1, "rss")?;
    Ok(TaskStat {
        loads: matches!(state, "R" | "D"),
        parent: u32::try_from(parent).map_err(|_| fault(FILE, "ppid"))?,
        ticks: user.saturating_add(system),
        threads,
        started,
        pages,
        faults: minor.saturating_add(major),
    })
}

/// Numbers of processes, as `children` and `cgroup.procs` list them. A process that cannot be seen from here is a zero.
pub fn pids(text: &str) -> impl Iterator<Item = u32> {
    text.split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .filter(|pid| *pid > 0)
}

/// Of very many threads only each so-manieth is looked at, and counts for as many.
pub const fn stride(threads: usize, most: usize) -> usize {
    if most == 0 || threads <= most {
        1
    } else {
        threads.div_ceil(most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
                parent: 1,
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
            ticks,
            started,
            ..task_stat(STAT).unwrap()
        };
        assert_eq!(stat(150, 5).ticks_since(Some(&stat(100, 5))), 50);
        assert_eq!(stat(10, 77).ticks_since(Some(&stat(1000, 5))), 10);
        assert_eq!(stat(10, 77).ticks_since(None), 10);
        assert_eq!(stat(10, 5).ticks_since(Some(&stat(11, 5))), 0);
    }

    #[test]
    fn whoever_cannot_be_seen_is_nobody() {
        assert_eq!(pids("17\n0\n18\nx\n").collect::<Vec<_>>(), [17, 18]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[0-9RDS() \n-]{0,200}") {
            let _ = task_stat(&text);
            let _ = pids(&text).count();
        }

        #[test]
        fn no_more_than_most_threads_are_looked_at(threads in 0_usize..100_000, most in 1_usize..1000) {
            let step = stride(threads, most);
            prop_assert!(threads.div_ceil(step) <= most);
            prop_assert!(step == 1 || threads > most);
        }
    }
}
