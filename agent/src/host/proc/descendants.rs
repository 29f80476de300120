//! The agent's descendants: walks down from its own children, closely where something happens.
//!
//! Refuses to know what is concluded from them.

use std::collections::BTreeSet;
use std::fs::File;

use cartridge_agent_plan::sample::{self, TaskStat, Ticks};

use super::Sampler;

/// Samples for which a process that does nothing is not looked at more closely.
const QUIET_FOR: u32 = 4;
/// Files held open at most.
const MOST_HELD: usize = 64;
/// Most processes followed, and most tasks of one.
const MOST_TASKS: usize = 4096;

/// What was seen of the descendants at one instant.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) loads: u32,
    pub(super) pages: u64,
    pub(super) ticks: Ticks,
}

/// A process that was looked at closely.
pub(super) struct Known {
    /// Its `stat`, kept open: opening costs more than reading.
    file: Option<File>,
    stat: TaskStat,
    children: Vec<u32>,
    /// Samples since then.
    age: u32,
}

impl Sampler {
    /// The agent's own children as of the newest sample.
    pub fn own_children(&self) -> impl Iterator<Item = i32> {
        self.children.iter().filter_map(|pid| i32::try_from(*pid).ok())
    }

    /// Walks down from the agent's own children; /proc as a whole is never listed.
    pub(super) fn descendants(&mut self) -> Seen {
        let mut seen = Seen::default();
        let mut visited = BTreeSet::new();
        let mut known = std::mem::take(&mut self.known);
        let file = self.children_file.take();
        let text = file.as_ref().and_then(|file| self.read_again(file));
        let children = text.map(|text| sample::children(&text).collect());
        (self.children, self.children_file) = (children.unwrap_or_default(), file);
        let mut waiting = self.children.clone();
        while let Some(pid) = waiting.pop() {
            if visited.len() == MOST_TASKS || !visited.insert(pid) {
                continue;
            }
            let mut before = known.remove(&pid);
            let held = before.as_mut().and_then(|known| known.file.take());
            let Some((file, stat)) = self.stat(pid, held) else {
                continue;
            };
            let file = Some(file).filter(|_| self.known.len() < MOST_HELD);
            seen.pages += stat.pages;
            seen.ticks.note(pid, &stat);
            seen.loads += u32::from(stat.loads);
            let closely = match before.filter(|b| b.age < QUIET_FOR && stat.is_as_quiet_as(&b.stat)) {
                Some(quiet) => Known {
                    file,
                    age: quiet.age + 1,
                    ..quiet
                },
                None => Known {
                    file,
                    children: self.look_closely(pid, &stat, &mut seen.loads),
                    stat,
                    age: 0,
                },
            };
            waiting.extend(&closely.children);
            self.known.insert(pid, closely);
        }
        seen
    }

    /// Its file and what that says. A file held open of a process that has ended says nothing; the number may be
    /// another one's by now.
    fn stat(&mut self, pid: u32, held: Option<File>) -> Option<(File, TaskStat)> {
        let said = |sampler: &mut Self, file: &File| {
            let text = sampler.read_again(file)?;
            sample::task_stat(&text).ok()
        };
        if let Some(file) = held
            && let Some(stat) = said(self, &file)
        {
            return Some((file, stat));
        }
        let file = File::open(format!("/proc/{pid}/stat")).ok()?;
        let stat = said(self, &file)?;
        Some((file, stat))
    }

    /// Adds what the threads load, but for the first, which is known; returns all children.
    pub(super) fn look_closely(&mut self, pid: u32, stat: &TaskStat, loads: &mut u32) -> Vec<u32> {
        if stat.threads <= 1 {
            return self.children_of(pid, pid);
        }
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
            return Vec::new();
        };
        let tasks = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let mut children = Vec::new();
        for task in tasks.take(MOST_TASKS) {
            if task != pid {
                let of_task = self.figure(&format!("/proc/{pid}/task/{task}/stat"), sample::task_stat);
                *loads += u32::from(of_task.is_some_and(|s| s.loads));
            }
            children.extend(self.children_of(pid, task));
        }
        children
    }

    fn children_of(&mut self, pid: u32, task: u32) -> Vec<u32> {
        self.read(&children_path(pid, task))
            .map(|text| sample::children(&text).collect())
            .unwrap_or_default()
    }
}

pub(super) fn children_path(pid: u32, task: u32) -> String {
    format!("/proc/{pid}/task/{task}/children")
}
