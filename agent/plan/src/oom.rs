//! Where the kernel counts what it killed because a cgroup's memory was used up, and what its files say.
//!
//! Refuses to read files, and to know who was killed.

/// Most paths that are worth a try.
const MOST_PATHS: usize = 16;

/// Files to try, the member's own first, for the text of `/proc/self/cgroup`. Inside a container the path that the
/// kernel names may lie outside of what is mounted; then the root of the mount is the member's own.
pub fn counters(cgroup: &str) -> Vec<String> {
    let mut own = Vec::new();
    for line in cgroup.lines().take(64) {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        // A path is the kernel's, but it may have been made by anybody.
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            continue;
        }
        let path = path.trim_end_matches('/');
        if controllers.is_empty() {
            own.push(format!("/sys/fs/cgroup{path}/memory.events"));
            own.push(format!("/sys/fs/cgroup/unified{path}/memory.events"));
        } else if controllers.split(',').any(|c| c == "memory") {
            own.push(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
        }
    }
    own.truncate(MOST_PATHS);
    own.push("/sys/fs/cgroup/memory.events".to_owned());
    own.push("/sys/fs/cgroup/memory/memory.oom_control".to_owned());
    own
}

/// How many processes were killed, by version 2's `memory.events` or version 1's `memory.oom_control`.
pub fn kills(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_what_does_not_say_it_is_not_zero() {
        let two = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 3\noom_group_kill 0\n";
        let one = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";
        assert_eq!((kills(two), kills(one)), (Some(3), Some(4)));
        let old = "oom_kill_disable 0\nunder_oom 0\n";
        assert_eq!(
            (kills(old), kills(""), kills("oom_kill many")),
            (None, None, None)
        );
    }

    #[test]
    fn the_members_own_files_are_tried_before_those_of_the_mount() {
        let hybrid = "12:memory:/docker/abc\n5:cpu,cpuacct:/docker/abc\n0::/docker/abc\n";
        let paths = counters(hybrid);
        assert_eq!(paths[0], "/sys/fs/cgroup/memory/docker/abc/memory.oom_control");
        assert_eq!(paths[1], "/sys/fs/cgroup/docker/abc/memory.events");
        assert_eq!(paths.len(), 5);
        assert_eq!(counters("0::/\n")[0], "/sys/fs/cgroup/memory.events");
    }

    #[test]
    fn hostile_texts_name_no_files_elsewhere() {
        let paths = counters("0::/../../etc\n1:memory:relative\nnonsense\n::\n");
        assert!(
            paths
                .iter()
                .all(|p| !p.contains("..") && p.starts_with("/sys/fs/cgroup"))
        );
        assert!(counters(&"0::/a\n".repeat(10_000)).len() <= MOST_PATHS + 2);
    }
}
