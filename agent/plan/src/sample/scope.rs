//! What a sample is to be about: the agent's own cgroup, its descendants, or the whole machine.
//!
//! Refuses to know how that was found out. Decision record 0022 says why.

use cartridge_protocol::cgroup::{Tree, Version};

/// What was ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The agent finds out.
    #[default]
    Auto,
    /// The member, as one among others.
    Member,
    /// The machine: it is the member.
    Machine,
}

/// What the agent found around itself when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// In a container: a namespace of its own, or it sees only a part of the cgroup trees.
    pub container: bool,
    /// Which cgroup of its own the kernel keeps figures of; None: it stands in the topmost one, or sees none.
    pub cgroup: Option<Version>,
    /// In that cgroup are only the agent and its descendants.
    pub alone: bool,
    /// Somebody gave that cgroup a limit of memory or CPU time.
    pub limited: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The agent's own cgroup.
    Cgroup(Version),
    /// The agent's descendants.
    Descendants,
    /// The machine.
    Machine,
}

/// What to measure, and why.
pub const fn choose(wanted: Wanted, around: &Surroundings) -> (Chosen, &'static str) {
    let own = match around.cgroup {
        Some(version) if around.container || around.alone => Some(Chosen::Cgroup(version)),
        _ => None,
    };
    match (wanted, own) {
        (Wanted::Machine, _) => (Chosen::Machine, "ordered"),
        (_, Some(own)) if around.container => (own, "the container's cgroup is the member's"),
        (_, None) if around.container => (
            Chosen::Descendants,
            "in a container without a cgroup to be seen, whose machine is another's",
        ),
        (Wanted::Member, Some(own)) => (own, "nobody else is in the agent's cgroup"),
        (Wanted::Member, None) => (Chosen::Descendants, "others are in the agent's cgroup, too"),
        (Wanted::Auto, Some(own)) if around.limited => (own, "the agent's cgroup has limits of its own"),
        (Wanted::Auto, _) => (
            Chosen::Machine,
            "not in a container, and nobody limits it: the machine is the member",
        ),
    }
}

/// The places whose files tell of a cgroup. Version 1 has one per controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Which version counts memory and CPU time.
    pub version: Version,
    /// Memory, with all above that can be seen.
    pub memory: Tree,
    /// CPU time used.
    pub cpuacct: Tree,
    /// The allowance of CPU time.
    pub cpu: Option<Tree>,
    /// Version 2's pressure files.
    pub pressure: Option<Tree>,
}

/// Where to read, among the trees in which the process has a cgroup of its own. The controllers of version 1 win where
/// they are in use.
pub fn places(trees: &[Tree]) -> Option<Places> {
    let v1 = |name: &str| trees.iter().find(|t| t.version == Version::V1 && t.has(name));
    let v2 = trees.iter().find(|t| t.version == Version::V2);
    match (v1("memory"), v1("cpuacct")) {
        (Some(memory), Some(cpuacct)) => Some(Places {
            version: Version::V1,
            memory: memory.clone(),
            cpuacct: cpuacct.clone(),
            cpu: v1("cpu").cloned(),
            pressure: v2.cloned(),
        }),
        _ => v2.map(|tree| Places {
            version: Version::V2,
            memory: tree.clone(),
            cpuacct: tree.clone(),
            cpu: Some(tree.clone()),
            pressure: Some(tree.clone()),
        }),
    }
}

/// The trees in which a process has a cgroup of its own, not the topmost of the machine. In a cgroup namespace the topmost
/// that can be seen is its own.
pub fn own(trees: Vec<Tree>, namespace: bool) -> Vec<Tree> {
    trees
        .into_iter()
        .filter(|tree| namespace || tree.path != "/")
        .collect()
}

#[cfg(test)]
mod tests {
    use cartridge_protocol::cgroup::trees;

    use super::*;

    const VERSIONS: [Option<Version>; 3] = [None, Some(Version::V1), Some(Version::V2)];

    fn all() -> impl Iterator<Item = Surroundings> {
        let flags = (0..8_u8).map(|n| (n & 1 > 0, n & 2 > 0, n & 4 > 0));
        flags.flat_map(|(container, alone, limited)| {
            VERSIONS.map(|cgroup| Surroundings {
                container,
                cgroup,
                alone,
                limited,
            })
        })
    }

    #[test]
    fn the_machine_is_never_measured_in_a_container_unless_ordered() {
        for around in all() {
            assert_eq!(choose(Wanted::Machine, &around).0, Chosen::Machine);
            for wanted in [Wanted::Auto, Wanted::Member] {
                let (chosen, why) = choose(wanted, &around);
                assert!(!why.is_empty());
                if around.container || wanted == Wanted::Member {
                    assert_ne!(chosen, Chosen::Machine, "{around:?}");
                }
            }
        }
    }

    #[test]
    fn a_cgroup_with_others_in_it_is_never_the_members_outside_a_container() {
        for around in all().filter(|a| !a.container && !a.alone) {
            for wanted in [Wanted::Auto, Wanted::Member] {
                assert!(
                    !matches!(choose(wanted, &around).0, Chosen::Cgroup(_)),
                    "{around:?}"
                );
            }
        }
    }

    #[test]
    fn a_cgroup_that_nobody_sees_is_never_chosen() {
        for around in all() {
            for wanted in [Wanted::Auto, Wanted::Member, Wanted::Machine] {
                if let (Chosen::Cgroup(version), _) = choose(wanted, &around) {
                    assert_eq!(Some(version), around.cgroup);
                }
            }
        }
    }

    #[test]
    fn a_service_of_its_own_is_the_machine_until_somebody_limits_it() {
        let service = Surroundings {
            container: false,
            cgroup: Some(Version::V2),
            alone: true,
            limited: false,
        };
        assert_eq!(choose(Wanted::Auto, &service).0, Chosen::Machine);
        let limited = Surroundings {
            limited: true,
            ..service
        };
        assert_eq!(choose(Wanted::Auto, &limited).0, Chosen::Cgroup(Version::V2));
        assert_eq!(choose(Wanted::Member, &service).0, Chosen::Cgroup(Version::V2));
    }

    const HYBRID: &str = "34 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn where_both_versions_are_mounted_the_controllers_decide() {
        let found = trees(HYBRID, "4:memory:/a\n3:cpu,cpuacct:/a\n0::/a\n");
        let places = places(&own(found, false)).unwrap();
        assert_eq!(places.version, Version::V1);
        assert_eq!(places.memory.folder, "/sys/fs/cgroup/memory/a");
        assert_eq!(places.cpu.unwrap().folder, "/sys/fs/cgroup/cpu,cpuacct/a");
        assert_eq!(places.pressure.unwrap().folder, "/sys/fs/cgroup/unified/a");
    }

    #[test]
    fn the_topmost_cgroup_is_nobodys_own_except_in_a_namespace() {
        let found = trees(HYBRID, "4:memory:/a\n3:cpu,cpuacct:/\n0::/\n");
        assert_eq!(places(&own(found, false)), None);
        let found = trees("41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/\n");
        assert_eq!(places(&own(found.clone(), false)), None);
        assert_eq!(places(&own(found, true)).unwrap().memory.folder, "/sys/fs/cgroup");
    }
}
