//! Finds the processes of members by the tag in their environment, and kills them as a crash would.
//!
//! It refuses to touch a process that carries no tag and does not descend from one that does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The environment variable that every process of a member carries: `<installation>/<member>/<incarnation>`.
pub const TAG: &str = "CARTRIDGE_INSTANCE_TAG";
const END_DEADLINE: std::time::Duration = std::time::Duration::from_secs(2);
const MAX_READ_BYTES: u64 = 1 << 20;

/// What a tag says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// Whose member.
    pub installation: String,
    /// Which member.
    pub member: String,
    /// Which of its lives.
    pub incarnation: u64,
}

impl Tag {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let incarnation = parts.next()?.parse().ok()?;
        let member = parts.next()?.to_owned();
        let installation = parts.next()?.to_owned();
        Some(Self {
            installation,
            member,
            incarnation,
        })
    }
}

/// One process of a member.
#[derive(Clone, Debug)]
pub struct MemberProcess {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Whose it is.
    pub tag: Tag,
    /// The file it runs, without folders.
    pub program: String,
    /// It mentions the folder that was looked for, in its environment, its command or its working folder.
    mentions: bool,
    /// Its parent runs the same program for the same member.
    begotten: bool,
}

impl MemberProcess {
    /// Whether it is the agent (as opposed to the application, a plugin or a hook). What the agent forks to fetch, to
    /// watch over a hook or to become another program is not one.
    pub fn is_agent(&self) -> bool {
        self.program == "cartridge-agent" && !self.begotten
    }
}

/// Every process that carries a tag, or descends from one that does (an application may get a clean environment).
pub fn tagged() -> Vec<MemberProcess> {
    scan(None)
}

/// The processes of members whose files lie below `data`, in the order of their numbers.
pub fn belonging_to(data: &Path) -> Vec<MemberProcess> {
    let all = scan(Some(data));
    let ours: BTreeSet<_> = all
        .iter()
        .filter(|p| p.mentions)
        .map(|p| p.tag.installation.clone())
        .collect();
    all.into_iter()
        .filter(|p| ours.contains(&p.tag.installation))
        .collect()
}

/// The member's agent, if one runs.
pub fn agent_of<'a>(processes: &'a [MemberProcess], member: &str) -> Option<&'a MemberProcess> {
    processes.iter().find(|p| p.tag.member == member && p.is_agent())
}

/// The member's processes other than agents: the application, plugins, hooks.
pub fn children_of<'a>(processes: &'a [MemberProcess], member: &str) -> Vec<&'a MemberProcess> {
    processes
        .iter()
        .filter(|p| p.tag.member == member && !p.is_agent())
        .collect()
}

/// Ends a process at once, as a crash or the kernel would. A process that is gone already is fine.
pub fn kill9(pid: i32) -> nix::Result<()> {
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Whether the process runs (a zombie does not).
pub fn runs(pid: i32) -> bool {
    read(&format!("/proc/{pid}/stat"))
        .is_some_and(|stat| state_and_parent(&stat).is_some_and(|(s, _)| s != 'Z'))
}

/// Removes the cgroups of all members whose files lie below `data`, once those who were in them are gone.
pub fn remove_cgroups(data: &Path) {
    let rows = std::fs::read_dir(data.join("members")).into_iter().flatten();
    for row in rows.flatten() {
        let made = std::fs::read(row.path().join("instance.json")).unwrap_or_default();
        let made: serde_json::Value = serde_json::from_slice(&made).unwrap_or_default();
        let cgroups = made["cgroups"].as_array().into_iter().flatten();
        for cgroup in cgroups.filter_map(|path| path.as_str()).map(Path::new) {
            let began = std::time::Instant::now();
            while cgroup.exists() && std::fs::remove_dir(cgroup).is_err() && began.elapsed() < END_DEADLINE {
                let left = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
                for pid in left.lines().filter_map(|pid| pid.parse().ok()) {
                    let _ = kill9(pid);
                }
                std::thread::yield_now();
            }
            // As long as others have theirs in it, it stays.
            let _ = cgroup.parent().map(std::fs::remove_dir);
        }
    }
}

fn read(path: &str) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(MAX_READ_BYTES)
        .read_to_end(&mut whole)
        .ok()?;
    Some(whole)
}

/// The program's name may hold anything, so the fields begin after its last parenthesis.
fn state_and_parent(stat: &[u8]) -> Option<(char, i32)> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

struct Seen {
    parent: i32,
    tag: Option<Tag>,
    program: String,
    mentions: bool,
}

fn look(pid: i32, data: Option<&Path>) -> Option<Seen> {
    let (state, parent) = state_and_parent(&read(&format!("/proc/{pid}/stat"))?)?;
    if state == 'Z' {
        return None;
    }
    let environment = read(&format!("/proc/{pid}/environ")).unwrap_or_default();
    let tag = environment.split(|byte| *byte == 0).find_map(|pair| {
        let value = pair.strip_prefix(TAG.as_bytes())?.strip_prefix(b"=")?;
        Tag::parse(std::str::from_utf8(value).ok()?)
    });
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let program = program
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let program = program.trim_end_matches(" (deleted)").to_owned();
    let mentions = data.is_some_and(|data| {
        let command = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let folder =
            std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder.starts_with(data));
        folder || holds(&environment, data) || holds(&command, data)
    });
    Some(Seen {
        parent,
        tag,
        program,
        mentions,
    })
}

fn holds(haystack: &[u8], data: &Path) -> bool {
    let needle = data.as_os_str().as_encoded_bytes();
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn scan(data: Option<&Path>) -> Vec<MemberProcess> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let seen: BTreeMap<i32, Seen> = pids.filter_map(|pid| Some((pid, look(pid, data)?))).collect();
    let tag_of = |mut pid: i32| {
        // As many steps as there are processes: parents cannot form a ring, but numbers may be reused meanwhile.
        for _ in 0..seen.len() {
            let process = seen.get(&pid)?;
            if process.tag.is_some() {
                return process.tag.clone();
            }
            pid = process.parent;
        }
        None
    };
    seen.iter()
        .filter_map(|(pid, process)| {
            let tag = tag_of(*pid)?;
            let (program, mentions) = (process.program.clone(), process.mentions);
            let above = seen.get(&process.parent);
            Some(MemberProcess {
                begotten: above.is_some_and(|above| above.program == program),
                pid: *pid,
                parent: process.parent,
                tag,
                program,
                mentions,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_from_the_right() {
        let tag = Tag::parse("home/lab/app.web.hello.domain-1/3").unwrap();
        assert_eq!(
            (tag.installation.as_str(), tag.member.as_str(), tag.incarnation),
            ("home/lab", "app.web.hello.domain-1", 3)
        );
        assert!(Tag::parse("a/b").is_none() && Tag::parse("a/b/c").is_none());
    }

    #[test]
    fn the_parent_is_found_behind_a_hostile_program_name() {
        assert_eq!(state_and_parent(b"12 (a) Z 9 (b) S 7 12 12"), Some(('S', 7)));
    }

    #[tokio::test]
    async fn tagged_processes_and_their_children_are_found_and_killed() {
        let folder = tempfile::tempdir().unwrap();
        let member = format!("found-{}", std::process::id());
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "env -i sleep 60 & wait"])
            .current_dir(folder.path())
            .env(TAG, format!("test/{member}/1"))
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let found = belonging_to(folder.path());
            if found
                .iter()
                .any(|p| p.program.starts_with("sleep") || p.program == "busybox" || p.program == "coreutils")
            {
                break found;
            }
            assert!(std::time::Instant::now() < deadline, "found only {found:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert!(found.iter().all(|p| p.tag.member == member), "{found:?}");
        assert_eq!(children_of(&found, &member).len(), found.len());
        for process in &found {
            kill9(process.pid).unwrap();
        }
        child.wait().unwrap();
        assert!(!runs(i32::try_from(child.id()).unwrap()));
    }
}
