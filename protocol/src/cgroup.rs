//! Where a process stands in the kernel's cgroup trees, from the texts of `/proc/<pid>/cgroup` and
//! `/proc/<pid>/mountinfo`: the orchestrator gives each member a cgroup of its own, the agent measures it.
//!
//! This file refuses to touch files. Formats: proc(5), cgroups(7).

/// Which kind of tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// A tree per controller, or per few.
    V1,
    /// One tree; beside version 1 trees it may be without controllers.
    V2,
}

/// One tree, and where the process stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Which kind.
    pub version: Version,
    /// Version 1: the controllers mounted together here. Version 2: none, `cgroup.controllers` tells.
    pub controllers: Vec<String>,
    /// The topmost folder that can be seen.
    pub mount: String,
    /// Which part of the tree that is; `/`: all of it, or all of a namespace's.
    pub root: String,
    /// The process's own cgroup, as the kernel names it.
    pub path: String,
    /// The folder of the process's own cgroup.
    pub folder: String,
}

impl Tree {
    /// Whether this is the version 1 tree of a controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// The process's own cgroup and all above it, as far as they can be seen.
    pub fn upwards(&self) -> impl Iterator<Item = &str> {
        let mut next = Some(self.folder.as_str());
        std::iter::from_fn(move || {
            let folder = next?;
            next = folder
                .rsplit_once('/')
                .map(|(above, _)| above)
                .filter(|above| above.len() >= self.mount.len());
            Some(folder)
        })
    }
}

/// All trees in which the process can see its place, in the order in which they are mounted.
pub fn trees(mountinfo: &str, cgroup: &str) -> Vec<Tree> {
    let mut found: Vec<Tree> = Vec::new();
    for mount in mountinfo.lines().filter_map(Mount::parse) {
        let Some(own) = place(cgroup, &mount) else {
            continue;
        };
        let Some(folder) = mount.folder(own) else { continue };
        // A tree can be mounted in several places; one is enough.
        if found
            .iter()
            .any(|t| t.version == mount.version && t.controllers == mount.controllers)
        {
            continue;
        }
        found.push(Tree {
            version: mount.version,
            path: own.to_owned(),
            controllers: mount.controllers,
            root: if mount.root.is_empty() {
                "/".to_owned()
            } else {
                mount.root
            },
            mount: mount.point,
            folder,
        });
    }
    found
}

/// One line of `mountinfo` about a cgroup tree.
struct Mount {
    version: Version,
    controllers: Vec<String>,
    /// Which part of the tree is mounted.
    root: String,
    /// Where.
    point: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (unescaped(place.next()?), unescaped(place.next()?));
        let mut kind = kind.split(' ');
        let (version, options) = match kind.next()? {
            "cgroup" => (Version::V1, kind.nth(1)?),
            "cgroup2" => (Version::V2, ""),
            _ => return None,
        };
        // The rest are options of every mount.
        let ours = |name: &&str| !matches!(*name, "" | "rw" | "ro");
        Some(Self {
            version,
            controllers: options.split(',').filter(ours).map(str::to_owned).collect(),
            root: root.trim_end_matches('/').to_owned(),
            point: point.trim_end_matches('/').to_owned(),
        })
    }

    fn folder(&self, own: &str) -> Option<String> {
        let below = own.strip_prefix(self.root.as_str())?.trim_end_matches('/');
        // Above what is mounted, or a neighbour whose name begins alike: not to be seen from here.
        let visible =
            (below.is_empty() || below.starts_with('/')) && !below.split('/').any(|part| part == "..");
        visible.then(|| format!("{}{below}", self.point))
    }
}

/// Where the process stands in the tree of this mount.
fn place<'a>(cgroup: &'a str, mount: &Mount) -> Option<&'a str> {
    cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let this = match mount.version {
            Version::V2 => id == "0" && names.is_empty(),
            Version::V1 => {
                !names.is_empty() && names.split(',').all(|n| mount.controllers.iter().any(|c| c == n))
            }
        };
        this.then_some(path)
    })
}

/// A blank, a tab, a line's end and a backslash are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = if let Some(code) = code.filter(u8::is_ascii) {
            out.push(char::from(code));
            &after[3..]
        } else {
            out.push('\\');
            after
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A machine with version 1 trees and an empty version 2 tree beside them.
    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    fn folders(mountinfo: &str, cgroup: &str) -> Vec<String> {
        trees(mountinfo, cgroup).into_iter().map(|t| t.folder).collect()
    }

    #[test]
    fn each_tree_of_a_hybrid_machine_is_found() {
        let own = "9:name=systemd:/\n4:memory:/jobs/a\n2:cpuacct:/\n1:cpu:/\n0::/\n";
        let found = trees(HYBRID, own);
        let folders: Vec<&str> = found.iter().map(|t| t.folder.as_str()).collect();
        let want = ["cpu", "cpuacct", "memory/jobs/a", "systemd", "unified"];
        assert_eq!(folders, want.map(|name| format!("/sys/fs/cgroup/{name}")));
        assert!(found[2].has("memory") && !found[2].has("cpu"));
        assert_eq!(found[4].version, Version::V2);
        let above: Vec<&str> = found[2].upwards().collect();
        let want = ["memory/jobs/a", "memory/jobs", "memory"];
        assert_eq!(above, want.map(|name| format!("/sys/fs/cgroup/{name}")));
        assert_eq!(found[0].upwards().count(), 1);
    }

    #[test]
    fn controllers_mounted_together_are_one_tree() {
        let mounts = "36 30 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
        let found = trees(mounts, "5:cpuacct,cpu:/system.slice/a.service\n");
        assert_eq!(
            found[0].folder,
            "/sys/fs/cgroup/cpu,cpuacct/system.slice/a.service"
        );
        assert!(found[0].has("cpu") && found[0].has("cpuacct"));
    }

    #[test]
    fn a_container_sees_its_own_part_of_a_tree_as_the_whole() {
        let mounts = "691 690 0:35 /docker/ab /sys/fs/cgroup/memory ro master:11 - cgroup cgroup rw,memory\n";
        assert_eq!(
            folders(mounts, "4:memory:/docker/ab\n"),
            ["/sys/fs/cgroup/memory"]
        );
        assert_eq!(
            folders(mounts, "4:memory:/docker/ab/in\n"),
            ["/sys/fs/cgroup/memory/in"]
        );
        for unseen in ["/docker/abc", "/docker", "/", "/docker/ab/../cd"] {
            assert!(
                folders(mounts, &format!("4:memory:{unseen}\n")).is_empty(),
                "{unseen}"
            );
        }
        let private = "691 690 0:35 / /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(folders(private, "0::/\n"), ["/sys/fs/cgroup"]);
        assert!(folders(private, "0::/../other\n").is_empty());
    }

    #[test]
    fn a_folder_may_have_any_name() {
        let mounts = "1 2 0:3 / /a\\040b\\134 rw - cgroup2 none rw\n1 2 0:3 / /again rw - cgroup2 none rw\n";
        assert_eq!(folders(mounts, "0::/c d:e\n"), ["/a b\\/c d:e"]);
        assert_eq!(unescaped("\\9\\"), "\\9\\");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(mountinfo in "[ -~\n\\\\é]{0,200}", cgroup in "[ -~\nü]{0,100}") {
            for tree in trees(&mountinfo, &cgroup) {
                prop_assert!(tree.folder.starts_with(&tree.mount));
                prop_assert!(tree.upwards().count() <= 200);
            }
        }

        #[test]
        fn a_line_cut_anywhere_is_no_tree_or_a_sound_one(cut in 0..HYBRID.len()) {
            for tree in trees(&HYBRID[..cut], "4:memory:/x\n1:cpu:/y\n0::/z\n") {
                prop_assert!(tree.folder.starts_with("/sys/fs/cgroup"));
            }
        }
    }
}
