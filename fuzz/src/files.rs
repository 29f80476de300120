//! What kernels and disks hold. Refuses to know where the text was.

use cartridge_agent_plan::account::Wish;
use cartridge_agent_plan::sample::{cpu, keyed, machine, memory, number, pressure, task};
use cartridge_agent_plan::seen::Seen;
use cartridge_agent_plan::{oom, release};
use cartridge_protocol::cgroup;

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Texts of cgroup files: figures are finite and not negative, or they are faults.
pub(crate) fn cgroup(data: &[u8]) {
    let text = text(data);
    let (first, second) = text.split_once('\n').unwrap_or((&text, ""));
    for cores in [cpu::cpu_max(&text), cpu::cfs(first, second)]
        .into_iter()
        .flatten()
        .flatten()
    {
        assert!(cores.is_finite() && cores > 0.0, "{cores} cores");
    }
    for seconds in [cpu::used_v2(&text), cpu::used_v1(&text)].into_iter().flatten() {
        assert!(seconds.is_finite() && seconds >= 0.0, "{seconds} s");
    }
    let _ = (cpu::throttled_v2(&text), cpu::throttled_v1(&text));
    let _ = (memory::limit(&text, "memory.max"), memory::limit_above(&text));
    let _ = memory::given_up(&text, "inactive_file");
    let _ = (
        keyed(&text, "usage_usec", "cpu.stat"),
        number(&text, "memory.current"),
    );
    let _ = pressure::stall(&text);
    let _ = (oom::counters(&text), oom::kills(&text));
    let _ = cgroup::trees(&text, &text);
    let _ = cgroup::trees(first, second);
}

/// Texts of procfs.
pub(crate) fn proc(data: &[u8]) {
    let text = text(data);
    if let Ok(load) = machine::loadavg(&text) {
        assert!(load.iter().all(|l| l.is_finite() && *l >= 0.0), "{load:?}");
    }
    let _ = (machine::busy_ticks(&text), memory::meminfo(&text, "MemTotal"));
    let _ = task::task_stat(&text);
    assert!(task::pids(&text).count() <= text.len());
}

/// Files that the agent keeps or reads once.
pub(crate) fn stored(data: &[u8]) {
    let text = text(data);
    if let Some(seen) = Seen::parse(&text) {
        assert_eq!(Seen::parse(&seen.text()), Some(seen));
    }
    if let Ok(wanted) = Wish::parse(text.lines().next().unwrap_or_default()) {
        let _ = wanted.find(&text, &text);
    }
    let _ = release::ReleaseFiles::parse(&text);
}
