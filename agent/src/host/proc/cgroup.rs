//! The member's own cgroup: the kernel's figures of it, and the tasks in it. Refuses to know how it was found.

use std::fs::File;

use cartridge_agent_plan::sample::scope::Places;
use cartridge_agent_plan::sample::stillness::Stillness;
use cartridge_agent_plan::sample::{cpu, memory, task};
use cartridge_protocol::cgroup::{Tree, Version};
use cartridge_protocol::sample::Throttled;
use nix::unistd::SysconfVar;

use super::Figures;
use super::machine::{self, PressureFiles, constant};
use super::read::Reader;
use super::tasks::{Seen, Tasks};
use members::Members;

mod members;

/// Everything that is read of it, held open.
pub(super) struct Own {
    pub(super) version: Version,
    places: Places,
    used: Option<File>,
    throttled: Option<File>,
    memory: Option<File>,
    memory_stat: Option<File>,
    stillness: Stillness,
    given_up: GivenUp,
    pressure: PressureFiles,
    members: Members,
    pids: Vec<u32>,
    agent: u32,
    page: u64,
    /// What seldom changes.
    limits: Limits,
}

/// What of the memory in use can be given up.
#[derive(Clone, Copy, Default)]
struct GivenUp {
    cache: Option<u64>,
    /// The least limit above, where the kernel says it beside.
    above: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Limits {
    cores: f64,
    /// The allowance of CPU time, where there is one.
    quota: Option<f64>,
    memory: Option<u64>,
}

impl Own {
    pub(super) fn open(places: Places) -> Self {
        let v2 = places.version == Version::V2;
        let open = |tree: &Tree, name: &str| File::open(format!("{}/{name}", tree.folder)).ok();
        let memory = if v2 {
            "memory.current"
        } else {
            "memory.usage_in_bytes"
        };
        Self {
            version: places.version,
            used: open(&places.cpuacct, if v2 { "cpu.stat" } else { "cpuacct.usage" }),
            throttled: places.cpu.as_ref().and_then(|tree| open(tree, "cpu.stat")),
            memory: open(&places.memory, memory),
            memory_stat: open(&places.memory, "memory.stat"),
            stillness: Stillness::default(),
            given_up: GivenUp::default(),
            pressure: places
                .pressure
                .as_ref()
                .map_or_else(PressureFiles::default, |tree| {
                    PressureFiles::open(|kind| format!("{}/{kind}.pressure", tree.folder))
                }),
            members: Members::of(&places.memory),
            pids: Vec::new(),
            agent: std::process::id(),
            page: constant(SysconfVar::PAGE_SIZE, 4096),
            limits: Limits::default(),
            places,
        }
    }

    pub(super) fn figures(&mut self, reader: &mut Reader, tasks: &mut Tasks, seldom: bool) -> Figures {
        let in_use = reader.figure(self.memory.as_ref(), |text| {
            cartridge_agent_plan::sample::number(text, "memory in use")
        });
        let used = reader.figure(
            self.used.as_ref(),
            match self.version {
                Version::V1 => cpu::used_v1,
                Version::V2 => cpu::used_v2,
            },
        );
        let still = self.stillness.lasts(in_use, used);
        if !still {
            self.given_up = self.given_up(reader);
        }
        if seldom {
            self.limits = self.limits(reader);
        }
        let limits = self.limits;
        let seen = self.look(reader, tasks, still);
        let working_set = in_use.map(|bytes| memory::working_set(bytes, self.given_up.cache.unwrap_or(0)));
        #[allow(clippy::cast_precision_loss, reason = "a count of tasks")]
        let active = seen.loads as f64;
        Figures {
            load: None,
            active,
            cores: limits.quota.map_or(limits.cores, |quota| quota.min(limits.cores)),
            used,
            // Where the kernel does not count it, the processes' own figures are the next best.
            memory_used: working_set.or(Some(seen.pages.saturating_mul(self.page))),
            memory_limit: least([limits.memory, self.given_up.above]),
            throttled: self.throttled(reader),
            pressure: self.pressure.read(reader),
        }
    }

    fn given_up(&self, reader: &mut Reader) -> GivenUp {
        let text = self.memory_stat.as_ref().and_then(|file| reader.text(file));
        match (&text, self.version) {
            (None, _) => GivenUp::default(),
            (Some(text), Version::V1) => GivenUp {
                cache: memory::given_up(text, "total_inactive_file").ok(),
                above: memory::limit_above(text).ok().flatten(),
            },
            (Some(text), Version::V2) => GivenUp {
                cache: memory::given_up(text, "inactive_file").ok(),
                above: None,
            },
        }
    }

    fn throttled(&self, reader: &mut Reader) -> Option<Throttled> {
        // Nobody is held back without an allowance.
        self.limits.quota?;
        reader.figure(
            self.throttled.as_ref(),
            match self.version {
                Version::V1 => cpu::throttled_v1,
                Version::V2 => cpu::throttled_v2,
            },
        )
    }

    /// The agent itself is running whenever it looks, and is no load of the member's.
    fn look(&mut self, reader: &mut Reader, tasks: &mut Tasks, still: bool) -> Seen {
        if still {
            self.members.stay();
        } else {
            self.pids.clear();
            self.members.list(reader, &mut self.pids);
        }
        tasks.begin();
        for pid in self.pids.iter().filter(|pid| **pid != self.agent) {
            tasks.look(reader, *pid, false);
        }
        tasks.end()
    }

    /// The narrowest of the member's own cgroup and all above it that can be seen.
    fn limits(&self, reader: &mut Reader) -> Limits {
        let file = match self.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        let mut memory = machine::memory_total(reader);
        for folder in self.places.memory.upwards() {
            let limit = reader.figure_once(&format!("{folder}/{file}"), |text| memory::limit(text, file));
            memory = least([memory, limit.flatten()]);
        }
        let quota = self.places.cpu.iter().flat_map(Tree::upwards);
        Limits {
            cores: machine::cores(),
            quota: quota
                .filter_map(|folder| quota_of(reader, self.version, folder))
                .reduce(f64::min),
            memory,
        }
    }
}

fn quota_of(reader: &mut Reader, version: Version, folder: &str) -> Option<f64> {
    match version {
        Version::V2 => reader
            .figure_once(&format!("{folder}/cpu.max"), cpu::cpu_max)
            .flatten(),
        Version::V1 => {
            let quota = reader.once(&format!("{folder}/cpu.cfs_quota_us"))?.into_owned();
            let period = format!("{folder}/cpu.cfs_period_us");
            reader
                .figure_once(&period, |period| cpu::cfs(&quota, period))
                .flatten()
        }
    }
}

fn least(limits: [Option<u64>; 2]) -> Option<u64> {
    limits.into_iter().flatten().min()
}

/// Whether anybody limited memory or CPU time of a cgroup, or of one above it.
pub(super) fn is_limited(reader: &mut Reader, places: &Places) -> bool {
    let machine = machine::memory_total(reader);
    let limits = Own::open(places.clone()).limits(reader);
    limits.quota.is_some() || limits.memory < machine
}

/// The numbers of all processes in a cgroup and those below it.
pub(super) fn everybody(reader: &mut Reader, tree: &Tree) -> Vec<u32> {
    let mut pids = Vec::new();
    Members::of(tree).list(reader, &mut pids);
    pids
}

/// The parent of a process.
pub(super) fn parent(reader: &mut Reader, pid: u32) -> Option<u32> {
    reader
        .figure_once(&format!("/proc/{pid}/stat"), task::task_stat)
        .map(|stat| stat.parent)
}
