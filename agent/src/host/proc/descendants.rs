//! All that descends from the agent: what is measured where the member has no cgroup of its own. Refuses to list /proc as
//! a whole.

use std::fs::File;

use cartridge_agent_plan::sample::task;

use super::Figures;
use super::machine::{self, constant};
use super::read::Reader;
use super::tasks::{Tasks, children_path};

/// Walks down from the agent.
pub(super) struct Descendants {
    /// The file that names the agent's own children.
    file: Option<File>,
    waiting: Vec<u32>,
    cores: f64,
    memory: Option<u64>,
    page: u64,
    hertz: f64,
}

impl Descendants {
    pub(super) fn new() -> Self {
        let agent = std::process::id();
        Self {
            file: File::open(children_path(agent, agent)).ok(),
            waiting: Vec::new(),
            cores: 1.0,
            memory: None,
            page: constant(nix::unistd::SysconfVar::PAGE_SIZE, 4096),
            hertz: machine::hertz(),
        }
    }

    /// Walks down from the children.
    pub(super) fn figures(&mut self, reader: &mut Reader, tasks: &mut Tasks, seldom: bool) -> Figures {
        if seldom {
            self.cores = machine::cores();
            self.memory = machine::memory_total(reader);
        }
        tasks.begin();
        if let Some(text) = self.file.as_ref().and_then(|file| reader.list(file)) {
            self.waiting.extend(task::pids(&text));
        }
        while let Some(pid) = self.waiting.pop() {
            let children = tasks.look(reader, pid, true);
            self.waiting.extend(children);
        }
        let seen = tasks.end();
        #[allow(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
        Figures {
            active: seen.loads as f64,
            cores: self.cores,
            used: Some(seen.ticks as f64 / self.hertz),
            memory_used: Some(seen.pages.saturating_mul(self.page)),
            memory_limit: self.memory,
            ..Figures::default()
        }
    }
}
