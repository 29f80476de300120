//! The parsers of the agent against texts of real kernels, word for word; see golden/README.md.

use cartridge_agent_plan::sample::{cpu, machine, memory, number, pressure, scope, task};
use cartridge_protocol::cgroup::{Version, trees};
use cartridge_protocol::sample::{Stall, Throttled};
use proptest::prelude::*;

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("golden/", $name))
    };
}

/// All texts, for what must hold of any.
const ALL: &[&str] = &[
    text!("v1-hybrid/cgroup"),
    text!("v1-hybrid/cpu.cfs_period_us"),
    text!("v1-hybrid/cpu.cfs_quota_us"),
    text!("v1-hybrid/cpu.stat"),
    text!("v1-hybrid/cpuacct.usage"),
    text!("v1-hybrid/loadavg"),
    text!("v1-hybrid/meminfo"),
    text!("v1-hybrid/memory.limit_in_bytes"),
    text!("v1-hybrid/memory.stat"),
    text!("v1-hybrid/memory.usage_in_bytes"),
    text!("v1-hybrid/mountinfo"),
    text!("v1-hybrid/pressure.cpu"),
    text!("v1-hybrid/stat"),
    text!("v1-hybrid/task.stat"),
    text!("v1-container/mountinfo"),
    text!("v2-beside-v1/cpu.stat"),
    text!("v2-beside-v1/cpu.pressure"),
    text!("v2-documented/cpu.max"),
    text!("v2-documented/cpu.stat"),
    text!("v2-documented/memory.stat"),
    text!("v2-documented/mountinfo"),
];

#[test]
fn a_machine_with_both_versions() {
    let found = trees(text!("v1-hybrid/mountinfo"), text!("v1-hybrid/cgroup"));
    assert_eq!(found.len(), 10);
    let memory = found.iter().find(|tree| tree.has("memory")).unwrap();
    assert_eq!(memory.folder, "/sys/fs/cgroup/memory/jobs/4f2c");
    let own = scope::own(found, false);
    let names: Vec<&str> = own.iter().map(|tree| tree.folder.as_str()).collect();
    assert_eq!(names, ["/sys/fs/cgroup/memory/jobs/4f2c"]);
    assert_eq!(
        scope::places(&own),
        None,
        "CPU time is counted for all of the machine only"
    );

    let load = machine::loadavg(text!("v1-hybrid/loadavg")).unwrap();
    assert!(load.iter().all(|load| (0.1..100.0).contains(load)), "{load:?}");
    let total = memory::meminfo(text!("v1-hybrid/meminfo"), "MemTotal").unwrap();
    let free = memory::meminfo(text!("v1-hybrid/meminfo"), "MemAvailable").unwrap();
    assert!(total == 25_276_502_016 && free < total);
    assert!(machine::busy_ticks(text!("v1-hybrid/stat")).unwrap() > 1000);
    for text in [
        text!("v1-hybrid/pressure.cpu"),
        text!("v1-hybrid/pressure.memory"),
        text!("v1-hybrid/pressure.io"),
    ] {
        assert!(pressure::stall(text).unwrap().full.is_some());
    }
}

#[test]
fn a_cgroup_of_version_1() {
    let used = cpu::used_v1(text!("v1-hybrid/cpuacct.usage")).unwrap();
    assert!((used - 1.499_892_720).abs() < 1e-9, "{used}");
    let quota = cpu::cfs(
        text!("v1-hybrid/cpu.cfs_quota_us"),
        text!("v1-hybrid/cpu.cfs_period_us"),
    );
    assert_eq!(quota, Ok(Some(0.25)));
    let throttled = Throttled {
        periods: 55,
        milliseconds: 2179,
    };
    assert_eq!(cpu::throttled_v1(text!("v1-hybrid/cpu.stat")), Ok(throttled));
    let stat = text!("v1-hybrid/memory.stat");
    assert_eq!(memory::limit_above(stat), Ok(Some(64 << 20)));
    let limit = memory::limit(text!("v1-hybrid/memory.limit_in_bytes"), "limit");
    assert_eq!(limit, Ok(Some(64 << 20)));
    let usage = number(text!("v1-hybrid/memory.usage_in_bytes"), "usage").unwrap();
    let cache = memory::given_up(stat, "total_inactive_file").unwrap();
    let working_set = memory::working_set(usage, cache);
    // The shell wrote and read eight megabytes, which it can give up again.
    assert!(
        working_set > 100_000 && working_set < usage / 2,
        "{working_set} of {usage}"
    );
    let task = task::task_stat(text!("v1-hybrid/task.stat")).unwrap();
    assert!(task.loads && task.threads == 1 && task.ticks == 146 && task.parent == 9806);
}

#[test]
fn a_version_2_tree_without_controllers_still_counts_time_and_pressure() {
    let stat = text!("v2-beside-v1/cpu.stat");
    assert_eq!(cpu::used_v2(stat), Ok(1.499_892));
    assert_eq!(
        cpu::throttled_v2(stat).unwrap_err().to_string(),
        "cpu.stat holds no nr_throttled"
    );
    let (some, full) = (30.02, Some(30.02));
    assert_eq!(
        pressure::stall(text!("v2-beside-v1/cpu.pressure")),
        Ok(Stall { some, full })
    );
    assert_eq!(task::pids(text!("v2-beside-v1/cgroup.procs")).count(), 1);
}

#[test]
fn a_container_sees_its_own_cgroups_with_and_without_a_namespace() {
    for (mounts, cgroup, namespace) in [
        (
            text!("v1-container/mountinfo"),
            text!("v1-container/cgroup"),
            false,
        ),
        (
            text!("v1-namespace/mountinfo"),
            text!("v1-namespace/cgroup"),
            true,
        ),
    ] {
        let found = trees(mounts, cgroup);
        assert_eq!(namespace, found.iter().all(|tree| tree.root == "/"));
        let places = scope::places(&scope::own(found, namespace)).unwrap();
        assert_eq!(places.version, Version::V1);
        assert_eq!(places.memory.folder, "/sys/fs/cgroup/memory");
        assert_eq!(places.cpuacct.folder, "/sys/fs/cgroup/cpuacct");
        assert_eq!(places.cpu.unwrap().folder, "/sys/fs/cgroup/cpu");
        assert_eq!(places.pressure, None, "the version 2 tree is not mounted there");
    }
    let quota = cpu::cfs(
        text!("v1-container/cpu.cfs_quota_us"),
        text!("v1-container/cpu.cfs_period_us"),
    );
    assert_eq!(quota, Ok(Some(0.5)));
    assert_eq!(
        memory::limit_above(text!("v1-container/memory.stat")),
        Ok(Some(128 << 20))
    );
    // The kernel's own file tells of the machine in there.
    let total = memory::meminfo(text!("v1-container/meminfo"), "MemTotal").unwrap();
    assert!(total > 100 * (128 << 20));
}

#[test]
fn a_machine_with_version_2_alone_as_it_is_documented() {
    let found = trees(text!("v2-documented/mountinfo"), text!("v2-documented/cgroup"));
    let places = scope::places(&scope::own(found, false)).unwrap();
    assert_eq!(places.version, Version::V2);
    let folder = "/sys/fs/cgroup/system.slice/cartridge-agent.service";
    assert_eq!(places.memory.folder, folder);
    assert_eq!(places.memory.upwards().count(), 3);
    assert_eq!(places.pressure.unwrap().folder, folder);
    assert_eq!(cpu::cpu_max(text!("v2-documented/cpu.max")), Ok(Some(0.5)));
    assert_eq!(
        memory::limit(text!("v2-documented/memory.max"), "memory.max"),
        Ok(Some(64 << 20))
    );
    let stat = text!("v2-documented/cpu.stat");
    let throttled = Throttled {
        periods: 55,
        milliseconds: 2179,
    };
    assert_eq!(
        (cpu::used_v2(stat), cpu::throttled_v2(stat)),
        (Ok(1.499_892), Ok(throttled))
    );
    let usage = number(text!("v2-documented/memory.current"), "memory.current").unwrap();
    let cache = memory::given_up(text!("v2-documented/memory.stat"), "inactive_file").unwrap();
    assert_eq!(memory::working_set(usage, cache), 28_700_672);
    let older = pressure::stall(text!("v2-documented/cpu.pressure")).unwrap();
    assert_eq!((older.some, older.full), (2.04, None));
    // One of the three cannot be seen from that namespace.
    assert_eq!(
        task::pids(text!("v2-documented/cgroup.procs")).collect::<Vec<_>>(),
        [1, 42]
    );
}

/// Everything that reads a text from the kernel. Returns how many made something of it.
fn read_as_everything(text: &str) -> usize {
    [
        cpu::cpu_max(text).is_ok(),
        cpu::cfs(text, text).is_ok(),
        cpu::used_v1(text).is_ok(),
        cpu::used_v2(text).is_ok(),
        cpu::throttled_v1(text).is_ok(),
        cpu::throttled_v2(text).is_ok(),
        machine::loadavg(text).is_ok(),
        machine::busy_ticks(text).is_ok(),
        memory::limit(text, "memory.max").is_ok(),
        memory::limit_above(text).is_ok(),
        memory::given_up(text, "inactive_file").is_ok(),
        memory::meminfo(text, "MemTotal").is_ok(),
        pressure::stall(text).is_ok_and(|stall| (0.0..=100.0).contains(&stall.some)),
        task::task_stat(text).is_ok(),
        task::pids(text).count() > 0,
        !trees(text, text).is_empty(),
    ]
    .into_iter()
    .filter(|understood| *understood)
    .count()
}

proptest! {
    #[test]
    fn no_text_that_was_torn_and_glued_makes_a_parser_panic(
        which in 0..ALL.len(),
        other in 0..ALL.len(),
        cut in 0_usize..2000,
        from in 0_usize..2000,
        noise in "[\\PC\n]{0,20}",
    ) {
        let piece = |text: &'static str, at: usize| (0..=at.min(text.len())).rev().find_map(|at| text.get(..at)).unwrap_or("");
        let rest = |text: &'static str, at: usize| (at.min(text.len())..=text.len()).find_map(|at| text.get(at..)).unwrap_or("");
        let torn = format!("{}{noise}{}", piece(ALL[which], cut), rest(ALL[other], from));
        prop_assert!(read_as_everything(&torn) <= 16);
    }

    #[test]
    fn numbers_of_any_size_are_a_figure_or_a_fault(big in any::<u128>(), small in any::<i64>()) {
        for text in [
            format!("{big}"), format!("{small}"), format!("{big} {small}"), format!("{small} {big}"),
            format!("usage_usec {big}\nnr_throttled {small}\nthrottled_usec {big}\ninactive_file {big}\n"),
            format!("MemTotal: {big} kB\n"), format!("cpu  {big} {small} 1 2 3 4 5 6 7 8\n"),
            format!("1 (x) R {small} 2 3 4 5 6 {big} 8 9 10 {big} {big} 13 14 15 16 {small} 18 {big} 20 {big}"),
            format!("some avg10={big} avg60=1\n"),
        ] {
            let _ = read_as_everything(&text);
        }
    }
}

#[test]
fn every_text_here_means_something_to_a_parser() {
    for text in ALL.iter().filter(|text| !text.contains("::/")) {
        // A list of mounts needs the list of cgroups beside it.
        assert!(
            read_as_everything(text) > 0 || text.contains(" - cgroup"),
            "{text}"
        );
    }
}
