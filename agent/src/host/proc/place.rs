//! Finds out where the agent is, once. What follows from it, the plan decides.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use cartridge_agent_plan::sample::scope::{self, Chosen, Places, Surroundings, Wanted};
use cartridge_protocol::cgroup::{self, Tree};

use super::Of;
use super::cgroup::{Own, everybody, is_limited, parent};
use super::descendants::Descendants;
use super::machine::Machine;
use super::read::Reader;

/// The numbers of the machine's own namespaces are the same in every kernel.
const FIRST_PIDS: u64 = 0xEFFF_FFFC;
const FIRST_CGROUPS: u64 = 0xEFFF_FFFB;
/// Most generations between the agent and its youngest descendant.
const MOST_PARENTS: usize = 64;

/// What to measure, and why.
pub(super) fn find(reader: &mut Reader, wanted: Wanted) -> (Of, &'static str) {
    let (places, around) = look(reader);
    let (chosen, why) = scope::choose(wanted, &around);
    let of = match (chosen, places) {
        (Chosen::Cgroup(_), Some(places)) => Of::Cgroup(Box::new(Own::open(places))),
        (Chosen::Machine, _) => Of::Machine(Machine::open()),
        (Chosen::Descendants | Chosen::Cgroup(_), _) => Of::Descendants(Descendants::new()),
    };
    (of, why)
}

fn look(reader: &mut Reader) -> (Option<Places>, Surroundings) {
    let of_machine = |kind: &str, first| {
        std::fs::metadata(format!("/proc/self/ns/{kind}")).is_ok_and(|space| space.ino() == first)
    };
    let (pids, cgroups) = (of_machine("pid", FIRST_PIDS), of_machine("cgroup", FIRST_CGROUPS));
    let mut text = |path: &str| {
        reader
            .once(path)
            .map(|text| text.into_owned())
            .unwrap_or_default()
    };
    let (mounts, own, first) = (
        text("/proc/self/mountinfo"),
        text("/proc/self/cgroup"),
        text("/proc/1/cgroup"),
    );
    let trees = cgroup::trees(&mounts, &own);
    let container = !pids || !cgroups || trees.iter().any(|tree| tree.root != "/");
    let places = if container {
        let whole = of_container(trees, cgroup::trees(&mounts, &first));
        scope::places(&scope::own(whole, !cgroups))
    } else {
        scope::places(&scope::own(trees, false))
    };
    let around = Surroundings {
        container,
        cgroup: places.as_ref().map(|places| places.version),
        alone: places.as_ref().is_some_and(|places| is_alone(reader, places)),
        limited: places.as_ref().is_some_and(|places| is_limited(reader, places)),
    };
    (places, around)
}

/// The container's cgroup is that of its first process, which may have put the agent into a part of it.
fn of_container(own: Vec<Tree>, mut first: Vec<Tree>) -> Vec<Tree> {
    let tree_of_first = |tree: Tree| {
        let same = |other: &Tree| other.version == tree.version && other.controllers == tree.controllers;
        match first.iter().position(same) {
            Some(at) => above_init(first.swap_remove(at)),
            None => tree,
        }
    };
    own.into_iter().map(tree_of_first).collect()
}

/// systemd keeps itself apart from its services.
fn above_init(tree: Tree) -> Tree {
    match (
        tree.folder.strip_suffix("/init.scope"),
        tree.path.strip_suffix("/init.scope"),
    ) {
        (Some(folder), Some(path)) if folder.len() >= tree.mount.len() => Tree {
            folder: folder.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            ..tree
        },
        _ => tree,
    }
}

/// Nobody but the agent and its descendants is in there: it has some when it was replaced by a newer one.
fn is_alone(reader: &mut Reader, places: &Places) -> bool {
    let agent = std::process::id();
    [&places.memory, &places.cpuacct].into_iter().all(|tree| {
        let mut ours = BTreeSet::from([agent]);
        let pids = everybody(reader, tree);
        pids.contains(&agent) && pids.into_iter().all(|pid| descends(reader, pid, &mut ours))
    })
}

fn descends(reader: &mut Reader, pid: u32, ours: &mut BTreeSet<u32>) -> bool {
    let mut line = Vec::new();
    let mut next = pid;
    for _ in 0..MOST_PARENTS {
        if ours.contains(&next) {
            ours.extend(line);
            return true;
        }
        line.push(next);
        match parent(reader, next) {
            Some(above) if above > 1 => next = above,
            // One that ended meanwhile is nobody.
            None if line.len() == 1 => return true,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees(cgroup: &str) -> Vec<Tree> {
        let mounts = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        cgroup::trees(mounts, cgroup)
    }

    #[test]
    fn a_container_is_measured_as_a_whole_wherever_its_first_process_put_the_agent() {
        let folder = |own: &str, first: &str| of_container(trees(own), trees(first))[0].folder.clone();
        assert_eq!(
            folder("0::/system.slice/agent.service", "0::/init.scope"),
            "/sys/fs/cgroup"
        );
        assert_eq!(folder("0::/", "0::/"), "/sys/fs/cgroup");
        // In a Pod, the first process is another container's.
        assert_eq!(folder("0::/", "0::/../pause"), "/sys/fs/cgroup");
        assert_eq!(
            folder("0::/docker/x/part", "0::/docker/x"),
            "/sys/fs/cgroup/docker/x"
        );
    }

    #[test]
    fn a_descendant_is_known_by_its_line_of_parents() {
        let mut reader = Reader::default();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let agent = std::process::id();
        assert!(descends(&mut reader, child.id(), &mut BTreeSet::from([agent])));
        assert!(!descends(&mut reader, agent, &mut BTreeSet::from([child.id()])));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            descends(&mut reader, child.id(), &mut BTreeSet::from([agent])),
            "gone"
        );
    }
}
