//! What a warden is told, as its arguments. Refuses to carry secrets: arguments are public.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cartridge_agent_plan::account::Account;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// What separates the warden's words from the hook's.
const HOOK: &str = "--";
const LEAVES_SERVERS: &str = "leaves-servers";

/// The orders of one warden.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Orders {
    /// Process number of the agent.
    pub agent: i32,
    /// What succeeds may leave processes behind.
    pub leaves_servers: bool,
    /// Whom the hook runs as.
    pub account: Ids,
    /// The hook.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// Numbers of user, group and further groups; nothing: as the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Ids(Option<(u32, u32, Vec<u32>)>);

impl From<Option<&Account>> for Ids {
    fn from(account: Option<&Account>) -> Self {
        Self(account.map(|a| (a.uid, a.gid, a.groups.clone())))
    }
}

impl Ids {
    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(None));
        }
        let numbers: Option<Vec<u32>> = text.split(',').map(|n| n.parse().ok()).collect();
        match numbers?.as_slice() {
            [uid, gid, groups @ ..] => Some(Self(Some((*uid, *gid, groups.to_vec())))),
            _ => None,
        }
    }

    fn word(&self) -> String {
        let numbers = self.0.iter().flat_map(|(uid, gid, groups)| {
            [uid, gid]
                .into_iter()
                .chain(groups)
                .map(u32::to_string)
                .collect::<Vec<_>>()
        });
        numbers.collect::<Vec<_>>().join(",")
    }

    /// The hook becomes that user before it begins; the warden stays who it is, out of its reach.
    pub fn apply(&self, command: &mut Command) {
        let Some((uid, gid, groups)) = self.0.clone() else {
            return;
        };
        let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        // SAFETY: these are bare system calls on memory that exists already: async-signal-safe, and nothing allocates.
        unsafe {
            command.pre_exec(move || {
                setgroups(&groups)?;
                setgid(gid)?;
                setuid(uid)?;
                Ok(())
            });
        }
    }
}

impl Orders {
    /// Reads the words after the warden's name; None: these are no orders.
    pub fn read(arguments: &[OsString]) -> Option<Self> {
        let [agent, leaves, account, separator, program, arguments @ ..] = arguments else {
            return None;
        };
        if separator != OsStr::new(HOOK) {
            return None;
        }
        Some(Self {
            agent: agent.to_str()?.parse().ok()?,
            leaves_servers: leaves == OsStr::new(LEAVES_SERVERS),
            account: Ids::read(account.to_str()?)?,
            program: Path::new(program).to_owned(),
            arguments: arguments.to_vec(),
        })
    }
}

/// The words that start a warden, its own name included.
pub(in super::super) fn words(
    leaves_servers: bool,
    account: &Ids,
    program: &Path,
    arguments: &[String],
) -> Vec<String> {
    let leaves = if leaves_servers { LEAVES_SERVERS } else { "" };
    let mut words = vec![
        // What runs now, also after another version was put in its place.
        "/proc/self/exe".to_owned(),
        super::NAME.to_owned(),
        std::process::id().to_string(),
        leaves.to_owned(),
        account.word(),
        HOOK.to_owned(),
        program.to_string_lossy().into_owned(),
    ];
    words.extend_from_slice(arguments);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ids = Ids(Some((33, 34, vec![110, 4])));
        for (leaves_servers, account) in [(true, ids), (false, Ids(None))] {
            let arguments = vec!["a b".to_owned(), "--".to_owned(), String::new()];
            let words = words(leaves_servers, &account, Path::new("/h/x.sh"), &arguments);
            let words: Vec<OsString> = words.into_iter().skip(2).map(OsString::from).collect();
            let orders = Orders::read(&words).unwrap();
            assert_eq!(
                (orders.leaves_servers, &orders.account),
                (leaves_servers, &account)
            );
            assert_eq!(orders.program, Path::new("/h/x.sh"));
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
            assert_eq!(orders.arguments, arguments);
        }
    }

    #[test]
    fn anything_else_is_no_order() {
        for words in [
            &[][..],
            &["1"],
            &["x", "", "", "--", "/h"],
            &["1", "", "1", "--", "/h"],
            &["1", "", "a,b", "--", "/h"],
            &["1", "", "", "/h"],
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(Orders::read(&words), None, "{words:?}");
        }
    }
}
