//! Confines this process for good: no network, no other programs, no other files, bounded memory, time and files;
//! or, before it becomes another program, as much of that as the program can live with.
//!
//! For a process with one thread, before it reads anything from a stranger. What the kernel cannot do is left out and
//! said, unless everything is required. Refuses to know what the process is for.

mod syscalls;

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, chroot, setgroups, setresgid, setresuid, setsid};

/// Newest kernel interface whose rights are known here.
const KNOWN: ABI = ABI::V6;
/// Most open files.
const FILES: u64 = 128;

/// What remains allowed.
#[derive(Debug)]
pub struct Confinement<'a> {
    /// The one folder that may be used.
    pub folder: &'a Path,
    /// What may be done there, and beyond.
    pub reach: Reach,
    /// The user and group to become; the folder is all that is left of the file system then. Needs root.
    pub user: Option<u32>,
    /// Most bytes of private memory.
    pub memory: u64,
    /// Most seconds of processor time.
    pub processor: u64,
    /// Largest file.
    pub file_bytes: u64,
    /// Anything that does not work is an error.
    pub required: bool,
}

/// What a confined process may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Read.
    Read,
    /// Read and write.
    Write,
    /// Read, and become another program.
    Program,
    /// The same, and connect to this TCP port.
    Client(u16),
}

/// Why this process cannot be confined as required.
#[derive(Debug, thiserror::Error)]
#[error("{what} does not work here: {why}")]
pub struct Unconfined {
    what: &'static str,
    why: String,
}

/// Confines this process; says by what. The working directory is the folder afterwards.
pub fn confine(limits: &Confinement<'_>) -> Result<Vec<String>, Unconfined> {
    let mut by = Vec::new();
    let mut note = |what: &'static str, done: Result<String, String>| match done {
        Ok(how) => {
            by.push(how);
            Ok(())
        }
        Err(why) if limits.required => Err(Unconfined { what, why }),
        Err(why) => {
            eprintln!("{what} does not work here: {why}");
            Ok(())
        }
    };
    // A group of its own, so that all of it can be ended.
    let _ = setsid();
    note("limiting resources", resources(limits).map_err(|e| e.to_string()))?;
    std::env::set_current_dir(limits.folder).map_err(|error| Unconfined {
        what: "the folder",
        why: error.to_string(),
    })?;
    let mut folder = limits.folder;
    if limits.user.is_some() {
        match chroot(".").and_then(|()| nix::unistd::chdir("/")) {
            Ok(()) => {
                folder = Path::new("/");
                note("a root of its own", Ok("chroot".to_owned()))?;
            }
            Err(error) => note("a root of its own", Err(error.to_string()))?,
        }
    }
    note(
        "not gaining privileges",
        prctl::set_no_new_privs()
            .map(|()| "no-new-privileges".to_owned())
            .map_err(|e| e.to_string()),
    )?;
    note("Landlock", landlocked(folder, limits.reach))?;
    if let Some(id) = limits.user {
        note("another user", become_user(id).map_err(|e| e.to_string()))?;
    }
    // Both after the change of user, which undoes them.
    let _ = prctl::set_dumpable(false);
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    note("filtering system calls", syscalls::filter(limits.reach))?;
    Ok(by)
}

fn resources(limits: &Confinement<'_>) -> nix::Result<String> {
    for (what, most) in [
        (Resource::RLIMIT_DATA, limits.memory),
        (Resource::RLIMIT_CPU, limits.processor),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
    ] {
        let (_, hard) = nix::sys::resource::getrlimit(what)?;
        let most = most.min(hard);
        setrlimit(what, most, most)?;
    }
    Ok("limits".to_owned())
}

/// Nothing but this folder, no network, no signals to others.
fn landlocked(folder: &Path, reach: Reach) -> Result<String, String> {
    let all = AccessFs::from_all(KNOWN);
    let mut allowed = AccessFs::ReadFile | AccessFs::ReadDir;
    match reach {
        Reach::Read => {}
        Reach::Write => {
            allowed |= AccessFs::WriteFile
                | AccessFs::Truncate
                | AccessFs::MakeReg
                | AccessFs::MakeDir
                | AccessFs::RemoveFile
                | AccessFs::RemoveDir
                | AccessFs::Refer;
        }
        Reach::Program | Reach::Client(_) => allowed |= AccessFs::Execute,
    }
    let folder = PathFd::new(folder).map_err(|error| error.to_string())?;
    let run = || -> Result<_, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?
            .add_rule(PathBeneath::new(folder, allowed))?;
        if matches!(reach, Reach::Program | Reach::Client(_))
            && let Ok(null) = PathFd::new("/dev/null")
        {
            rules = rules.add_rule(PathBeneath::new(null, AccessFs::ReadFile | AccessFs::WriteFile))?;
        }
        if let Reach::Client(port) = reach {
            rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
        rules.restrict_self()
    };
    let status = run().map_err(|error| error.to_string())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok("landlock".to_owned()),
        RulesetStatus::PartiallyEnforced => Ok("landlock of an older kernel".to_owned()),
        RulesetStatus::NotEnforced => Err("this kernel has none".to_owned()),
    }
}

fn become_user(id: u32) -> nix::Result<String> {
    setgroups(&[])?;
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    setresgid(group, group, group)?;
    setresuid(user, user, user)?;
    Ok(format!("user {id}"))
}
