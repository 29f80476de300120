//! Processes and their threads: closely looked at where something happens. Refuses to know whose they are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;

use cartridge_agent_plan::sample::task::{self, TaskStat};

use super::read::Reader;

/// Samples for which a process that does nothing is not looked at more closely.
const QUIET_FOR: u32 = 4;
/// Files held open at most.
const MOST_HELD: usize = 64;
/// Most processes followed.
const MOST_PROCESSES: usize = 4096;
/// Most threads of one process that are looked at in one sample; of more, each so-manieth.
const MOST_THREADS: usize = 128;
/// Most threads of one process whose children are looked for.
const MOST_PARENTS: usize = 1024;

/// What was seen at one instant.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    /// Tasks that load.
    pub(super) loads: usize,
    pub(super) pages: u64,
    /// Clock ticks used since the processes were first seen, those of ended ones included.
    pub(super) ticks: u64,
}

/// All processes that were seen last time.
#[derive(Default)]
pub(super) struct Tasks {
    known: BTreeMap<u32, Known>,
    /// Counts the samples.
    round: u64,
    /// Processes looked at in this one.
    looked: usize,
    /// Files held open.
    held: usize,
    seen: Seen,
}

struct Known {
    /// Its `stat`, kept open: opening costs more than reading.
    file: Option<File>,
    stat: TaskStat,
    /// Threads that load, without the first one.
    threads: usize,
    children: Vec<u32>,
    /// Samples since it was looked at closely.
    age: u32,
    round: u64,
}

impl Tasks {
    /// A new sample begins.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.looked = 0;
        self.seen.loads = 0;
        self.seen.pages = 0;
    }

    /// Looks at a process, once per sample; returns its children where `with_children` asks for them.
    pub(super) fn look(&mut self, reader: &mut Reader, pid: u32, with_children: bool) -> &[u32] {
        let (known, round) = (self.known.get(&pid), self.round);
        if self.looked == MOST_PROCESSES || known.is_some_and(|known| known.round == round) {
            return &[];
        }
        self.looked += 1;
        let found = match self.known.entry(pid) {
            Entry::Occupied(mut known) => known.get_mut().again(reader, pid, with_children, round),
            Entry::Vacant(free) => {
                let new = Known::new(reader, pid, with_children, round);
                new.map(|mut new| {
                    let ticks = new.stat.ticks_since(None);
                    new.file.take_if(|_| self.held == MOST_HELD);
                    self.held += usize::from(new.file.is_some());
                    free.insert(new);
                    ticks
                })
            }
        };
        let (Some(ticks), Some(known)) = (found, self.known.get(&pid)) else {
            return &[];
        };
        self.seen.ticks = self.seen.ticks.saturating_add(ticks);
        self.seen.loads += usize::from(known.stat.loads) + known.threads;
        self.seen.pages += known.stat.pages;
        &known.children
    }

    /// Everything was looked at: who was not is gone.
    pub(super) fn end(&mut self) -> Seen {
        let (round, held) = (self.round, &mut self.held);
        self.known.retain(|_, known| {
            let stays = known.round == round;
            *held -= usize::from(!stays && known.file.is_some());
            stays
        });
        self.seen
    }
}

impl Known {
    fn new(reader: &mut Reader, pid: u32, with_children: bool, round: u64) -> Option<Self> {
        let file = File::open(format!("/proc/{pid}/stat")).ok()?;
        let stat = reader.figure(Some(&file), task::task_stat)?;
        let mut new = Self {
            file: Some(file),
            stat,
            threads: 0,
            children: Vec::new(),
            age: 0,
            round,
        };
        new.look_closely(reader, pid, with_children);
        Some(new)
    }

    /// Clock ticks that it used since it was last seen; None: it is gone.
    fn again(&mut self, reader: &mut Reader, pid: u32, with_children: bool, round: u64) -> Option<u64> {
        let stat = self.read(reader, pid)?;
        let ticks = stat.ticks_since(Some(&self.stat));
        let quiet = self.age < QUIET_FOR && stat.is_as_quiet_as(&self.stat);
        (self.stat, self.round) = (stat, round);
        if quiet {
            self.age += 1;
        } else {
            self.age = 0;
            self.look_closely(reader, pid, with_children);
        }
        Some(ticks)
    }

    /// A file held open of a process that has ended says nothing; the number may be another one's by now.
    fn read(&mut self, reader: &mut Reader, pid: u32) -> Option<TaskStat> {
        let held = reader.figure(self.file.as_ref(), task::task_stat);
        if held.is_some() {
            return held;
        }
        let file = File::open(format!("/proc/{pid}/stat")).ok()?;
        let stat = reader.figure(Some(&file), task::task_stat)?;
        if let Some(held) = &mut self.file {
            *held = file;
        }
        Some(stat)
    }

    /// What the threads load, but for the first, which is known; and all children.
    fn look_closely(&mut self, reader: &mut Reader, pid: u32, with_children: bool) {
        self.threads = 0;
        self.children.clear();
        if self.stat.threads <= 1 {
            if with_children {
                children_of(reader, pid, pid, &mut self.children);
            }
            return;
        }
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
            return;
        };
        let tasks: Vec<u32> = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .collect();
        let step = task::stride(tasks.len(), MOST_THREADS);
        // Not the same ones each time.
        let first = usize::try_from(self.round).unwrap_or(0) % step;
        let looked_at = tasks.iter().skip(first).step_by(step);
        for tid in looked_at.filter(|tid| **tid != pid) {
            let path = format!("/proc/{pid}/task/{tid}/stat");
            let loads = reader
                .figure_once(&path, task::task_stat)
                .is_some_and(|s| s.loads);
            self.threads += usize::from(loads) * step;
        }
        if with_children {
            // Any thread can have started them.
            for tid in tasks.into_iter().take(MOST_PARENTS) {
                children_of(reader, pid, tid, &mut self.children);
            }
        }
    }
}

fn children_of(reader: &mut Reader, pid: u32, tid: u32, children: &mut Vec<u32>) {
    if let Some(text) = reader.once(&children_path(pid, tid)) {
        children.extend(task::pids(&text));
    }
}

pub(super) fn children_path(pid: u32, tid: u32) -> String {
    format!("/proc/{pid}/task/{tid}/children")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    fn once(tasks: &mut Tasks, reader: &mut Reader, pid: u32) -> (usize, Seen) {
        tasks.begin();
        let children = tasks.look(reader, pid, true).len();
        (children, tasks.end())
    }

    #[test]
    fn a_child_that_appears_is_found_and_one_that_ends_is_forgotten() {
        let (mut tasks, mut reader) = (Tasks::default(), Reader::default());
        // Not a child of this process's first thread, so that it is looked for from itself.
        let mut shell = Command::new("sh")
            .args(["-c", "read line; sleep 60 & read line; kill $!"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (begun, pid) = (Instant::now(), shell.id());
        assert_eq!(once(&mut tasks, &mut reader, pid).0, 0);
        let mut input = shell.stdin.take().unwrap();
        input.write_all(b"\n").unwrap();
        while once(&mut tasks, &mut reader, pid).0 == 0 {
            assert!(begun.elapsed().as_secs() < 30, "the child was not found");
            std::thread::yield_now();
        }
        drop(input);
        shell.wait().unwrap();
        once(&mut tasks, &mut reader, pid);
        assert!(tasks.known.is_empty() && tasks.held == 0);
    }

    #[test]
    fn threads_that_run_are_counted_and_their_time_too() {
        let (mut tasks, mut reader) = (Tasks::default(), Reader::default());
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let (begun, pid) = (Instant::now(), std::process::id());
            let before = once(&mut tasks, &mut reader, pid).1;
            loop {
                let seen = once(&mut tasks, &mut reader, pid).1;
                if seen.loads >= 3 && seen.ticks > before.ticks + 2 {
                    break;
                }
                assert!(begun.elapsed().as_secs() < 30, "saw only {} tasks", seen.loads);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
