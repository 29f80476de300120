//! The whole machine, as procfs tells it. Refuses to know members.

use std::fs::File;

use cartridge_agent_plan::sample::{machine, memory, pressure};
use cartridge_protocol::sample::Pressure;
use nix::unistd::{SysconfVar, sysconf};

use super::Figures;
use super::read::Reader;

/// Files of procfs, held open.
pub(super) struct Machine {
    load: Option<File>,
    stat: Option<File>,
    memory: Option<File>,
    pressure: PressureFiles,
    cores: f64,
    hertz: f64,
}

/// Three files, of which one is read at a time: the shares are averages over ten seconds, and none is older than three
/// samples.
#[derive(Default)]
pub(super) struct PressureFiles {
    files: [Option<File>; 3],
    next: usize,
    seen: Pressure,
}

impl Machine {
    pub(super) fn open() -> Self {
        let open = |name: &str| File::open(format!("/proc/{name}")).ok();
        Self {
            load: open("loadavg"),
            stat: open("stat"),
            memory: open("meminfo"),
            pressure: PressureFiles::open(|kind| format!("/proc/pressure/{kind}")),
            cores: 1.0,
            hertz: hertz(),
        }
    }

    pub(super) fn figures(&mut self, reader: &mut Reader, seldom: bool) -> Figures {
        if seldom {
            self.cores = cores_online();
        }
        let memory = self.memory.as_ref().and_then(|file| reader.text(file));
        let row = |name| memory.as_ref().and_then(|text| memory::meminfo(text, name).ok());
        let (total, available) = (row("MemTotal"), row("MemAvailable"));
        let ticks = reader.figure(self.stat.as_ref(), machine::busy_ticks);
        Figures {
            load: reader.figure(self.load.as_ref(), machine::loadavg),
            cores: self.cores,
            #[allow(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
            used: ticks.map(|ticks| ticks as f64 / self.hertz),
            memory_used: total
                .zip(available)
                .map(|(total, free)| total.saturating_sub(free)),
            memory_limit: total,
            pressure: self.pressure.read(reader),
            ..Figures::default()
        }
    }
}

impl PressureFiles {
    /// Kernels without pressure stall information have no such files, or let nobody read them.
    pub(super) fn open(path: impl Fn(&str) -> String) -> Self {
        let files = ["cpu", "memory", "io"].map(|kind| File::open(path(kind)).ok());
        Self {
            files,
            ..Self::default()
        }
    }

    pub(super) fn read(&mut self, reader: &mut Reader) -> Option<Pressure> {
        let kind = self.next;
        self.next = (kind + 1) % self.files.len();
        if let Some(file) = &self.files[kind] {
            let stall = reader.figure(Some(file), pressure::stall);
            let slot = match kind {
                0 => &mut self.seen.cpu,
                1 => &mut self.seen.memory,
                _ => &mut self.seen.io,
            };
            *slot = stall;
        }
        Some(self.seen).filter(|seen| *seen != Pressure::default())
    }
}

/// Memory of the machine.
pub(super) fn memory_total(reader: &mut Reader) -> Option<u64> {
    reader.figure_once("/proc/meminfo", |text| memory::meminfo(text, "MemTotal"))
}

/// Cores that the agent, and with it the member, may run on.
pub(super) fn cores() -> f64 {
    let mask = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0));
    let set = |mask: nix::sched::CpuSet| {
        (0..nix::sched::CpuSet::count())
            .filter(|core| mask.is_set(*core).unwrap_or(false))
            .count()
    };
    // More cores than a set has room for are an error.
    mask.map_or_else(|_| cores_online(), |mask| as_f64(set(mask) as u64).max(1.0))
}

fn cores_online() -> f64 {
    as_f64(constant(SysconfVar::_NPROCESSORS_ONLN, 1)).max(1.0)
}

/// Clock ticks in a second.
pub(super) fn hertz() -> f64 {
    as_f64(constant(SysconfVar::CLK_TCK, 100))
}

#[allow(clippy::cast_precision_loss, reason = "a small count")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

pub(super) fn constant(variable: SysconfVar, otherwise: u64) -> u64 {
    sysconf(variable)
        .ok()
        .flatten()
        .and_then(|v| u64::try_from(v).ok())
        .filter(|v| *v > 0)
        .unwrap_or(otherwise)
}
