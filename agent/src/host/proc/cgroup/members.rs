//! Who is in a cgroup and in those below it. Servers need not descend from the agent: somebody may have started them
//! from outside. Refuses to know what they do.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use cartridge_agent_plan::sample::task;
use cartridge_protocol::cgroup::{Tree, Version};

use crate::host::proc::read::Reader;

/// Cgroups below the member's own that are followed, and how deep.
const MOST_GROUPS: usize = 64;
const DEEPEST: usize = 8;
/// Samples between two looks for new ones.
const LOOK_AGAIN: u32 = 4;

/// The lists. Version 1 keeps what it gave a reader for a second, and longer as long as the same open file asks again
/// (`cgroup_pidlist_start` in the kernel): its lists are opened anew each time, those of version 2 are held open.
pub(in super::super) struct Members {
    top: String,
    version: Version,
    groups: Vec<Group>,
    age: u32,
}

struct Group {
    folder: File,
    name: &'static str,
    list: File,
    /// Cgroups directly below: the kernel counts each as a link.
    links: u64,
}

impl Members {
    pub(in super::super) fn of(tree: &Tree) -> Self {
        Self {
            top: tree.folder.clone(),
            version: tree.version,
            groups: Vec::new(),
            age: LOOK_AGAIN,
        }
    }

    /// A sample for which the list stays as it was: it brings the next look for new cgroups nearer like any other.
    pub(in super::super) fn stay(&mut self) {
        self.age += 1;
    }

    /// Adds the number of every process in there.
    pub(in super::super) fn list(&mut self, reader: &mut Reader, pids: &mut Vec<u32>) {
        self.age += 1;
        if self.age > LOOK_AGAIN {
            self.age = 0;
            if self.changed() {
                self.groups.clear();
                find(&self.top, 0, &mut self.groups);
            }
        }
        let held = self.version == Version::V2;
        for group in &self.groups {
            let text = if held {
                reader.list(&group.list)
            } else {
                reader.once_in(&group.folder, group.name)
            };
            pids.extend(text.iter().flat_map(|text| task::pids(text)));
        }
    }

    fn changed(&self) -> bool {
        self.groups.is_empty()
            || (self.groups.iter()).any(|group| {
                group
                    .folder
                    .metadata()
                    .map_or(true, |now| now.nlink() != group.links)
            })
    }
}

fn find(folder: &str, depth: usize, groups: &mut Vec<Group>) {
    if depth > DEEPEST || groups.len() == MOST_GROUPS {
        return;
    }
    // Processes of threaded cgroups are listed by thread.
    let list = ["cgroup.procs", "cgroup.threads"]
        .into_iter()
        .find_map(|name| Some((File::open(format!("{folder}/{name}")).ok()?, name)));
    if let (Ok(opened), Some((list, name))) = (File::open(folder), list) {
        let links = opened.metadata().map_or(0, |now| now.nlink());
        groups.push(Group {
            folder: opened,
            name,
            list,
            links,
        });
        // Two links are those of every folder.
        if links == 2 {
            return;
        }
    }
    let rows = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for row in rows.filter(|row| row.file_type().is_ok_and(|kind| kind.is_dir())) {
        if let Some(below) = row.path().to_str() {
            find(below, depth + 1, groups);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use cartridge_protocol::cgroup::trees;

    use super::*;

    /// A cgroup below this program's own, removed in the end.
    struct Made(PathBuf);

    impl Made {
        fn of(tree: &Tree, name: &str) -> Self {
            let made = Path::new(&tree.folder).join(format!("{name}-{}", std::process::id()));
            std::fs::create_dir(&made).expect("this test needs to make cgroups: run it as root");
            Self(made)
        }

        fn enter(&self, child: &Child) {
            std::fs::write(self.0.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let begun = Instant::now();
            while std::fs::remove_dir(&self.0).is_err() && begun.elapsed() < Duration::from_secs(5) {
                std::thread::yield_now();
            }
        }
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Looks as often as a sampler that is in a hurry, until there are as many.
    fn until(members: &mut Members, count: usize) -> Vec<u32> {
        let (mut reader, begun) = (Reader::default(), Instant::now());
        loop {
            let mut pids = Vec::new();
            members.list(&mut reader, &mut pids);
            if pids.len() == count {
                return pids;
            }
            assert!(begun.elapsed().as_secs() < 10, "{count} are in it, not {pids:?}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    #[test]
    fn whoever_enters_is_seen_at_once_in_both_versions_and_in_cgroups_below() {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        let all = trees(&read("mountinfo"), &read("cgroup"));
        let of_use = |tree: &&Tree| tree.version == Version::V2 || tree.has("memory") || tree.has("freezer");
        assert!(all.iter().any(|tree| of_use(&tree)));
        for tree in all.iter().filter(of_use) {
            let made = Made::of(tree, "members-test");
            let mut members = Members::of(&Tree {
                folder: made.0.to_str().unwrap().to_owned(),
                ..tree.clone()
            });
            assert_eq!(until(&mut members, 0), Vec::<u32>::new());
            let (first, second) = (sleeper(), sleeper());
            made.enter(&first);
            assert_eq!(until(&mut members, 1), [first.id()]);
            let below = Made(made.0.join("below"));
            std::fs::create_dir(&below.0).unwrap();
            below.enter(&second);
            assert_eq!(until(&mut members, 2), [first.id(), second.id()]);
            end(second);
            drop(below);
            assert_eq!(until(&mut members, 1), [first.id()]);
            end(first);
        }
    }
}
