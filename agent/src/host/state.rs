//! The agent's own folder: the lock that makes a second agent impossible, the credential, the count of starts, the
//! newest order that was seen.
//!
//! Refuses to know what the credential is good for.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cartridge_agent_plan::seen::Seen;
use cartridge_agent_plan::settings::Settings;
use cartridge_protocol::Secret;
use nix::fcntl::{Flock, FlockArg};
use ring::rand::SecureRandom;

/// Files of one life: what comes before its number.
const OF_A_LIFE: [&str; 3] = ["credential", "starts", "seen"];
/// Longest of these files, bytes.
const MOST: u64 = 4096;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent has it.
    #[error("another agent runs here: {path} is locked by {holder}")]
    Taken {
        /// The lock.
        path: PathBuf,
        /// What the holder wrote into it.
        holder: String,
    },
    /// The file system refused.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This is not the newest life of the member.
    #[error(
        "life {later} of this member has begun in {folder} already; this is life {this} \
         (start it with the newer launch parameters, or in a folder of its own)"
    )]
    Past {
        /// The folder.
        folder: PathBuf,
        /// The newest life that left something there.
        later: u64,
        /// The one that was to begin.
        this: u64,
    },
    /// There is no randomness to make a credential of.
    #[error("the system gives no random numbers")]
    Random,
}

/// The folder, held.
pub struct State {
    /// Made by this agent or an earlier one of the same incarnation.
    pub credential: Secret,
    /// An earlier agent of this incarnation made it.
    pub known: bool,
    /// Numbers of this agent begin here, above those of earlier ones.
    pub base: u64,
    /// What everything carries that an agent of this life starts.
    pub tag: String,
    /// The newest order that an agent of this life has seen.
    pub seen: Seen,
    /// Where that is written down.
    pub seen_file: PathBuf,
    lock: Flock<File>,
}

impl State {
    /// The lock once more, to be handed over.
    pub fn lock_copy(&self) -> std::io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    /// Leaves the folder locked: another agent of this process goes on with it.
    pub fn hand_over(self) {
        // To drop it would unlock it for all who share it.
        std::mem::forget(self.lock);
    }
}

/// Makes the folder, unless it is there: then its owner has decided who comes through. Whoever the application runs as
/// has to come through to its files; all else in it is closed, and nothing can be listed.
fn make(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(dir)?;
    // Whatever the mask says.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))
}

/// Takes the folder for as long as the result lives. `held`: the lock that the agent before has handed over.
pub fn take(settings: &Settings, held: Option<OwnedFd>) -> Result<State, StateError> {
    let dir = &settings.state_dir;
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| StateError::Io { path, source }
    };
    make(dir).map_err(io(dir))?;
    let lock = lock(settings, held)?;
    forget_earlier(dir, settings.incarnation)?;
    let path = dir.join(format!("credential-{}", settings.incarnation));
    let stored = read(&path).map_err(io(&path))?.filter(|text| text.len() == 64);
    let known = stored.is_some();
    let credential = match stored {
        Some(text) => text,
        None => {
            let text = fresh()?;
            write(&path, &text).map_err(io(&path))?;
            text
        }
    };
    let path = dir.join(format!("starts-{}", settings.incarnation));
    let starts = read(&path)
        .map_err(io(&path))?
        .and_then(|t| t.parse::<u64>().ok())
        .unwrap_or(0);
    write(&path, &(starts + 1).to_string()).map_err(io(&path))?;
    let seen_file = dir.join(format!("seen-{}", settings.incarnation));
    let seen = read(&seen_file).map_err(io(&seen_file))?;
    Ok(State {
        tag: tag(&credential),
        seen: seen.as_deref().and_then(Seen::parse).unwrap_or_default(),
        seen_file,
        credential: Secret::new(credential),
        known,
        base: starts << 32,
        lock,
    })
}

/// Known to every process of this life, hence nothing that could be turned back into the credential.
fn tag(credential: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("life {credential}").as_bytes());
    hex(&digest.as_ref()[..8])
}

/// What earlier lives left is of no use any more; what a later one left says that this one is over.
fn forget_earlier(dir: &Path, this: u64) -> Result<(), StateError> {
    let entries = std::fs::read_dir(dir).map_err(|source| StateError::Io {
        path: dir.to_path_buf(),
        source,
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let life = name.split_once('-').filter(|(kind, _)| OF_A_LIFE.contains(kind));
        let Some(life) = life.and_then(|(_, number)| number.parse::<u64>().ok()) else {
            continue;
        };
        if life > this {
            return Err(StateError::Past {
                folder: dir.to_path_buf(),
                later: life,
                this,
            });
        }
        if life < this {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn lock(settings: &Settings, held: Option<OwnedFd>) -> Result<Flock<File>, StateError> {
    let path = settings.state_dir.join("agent.lock");
    let io = |source| StateError::Io {
        path: path.clone(),
        source,
    };
    let open = || {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
    };
    let file = held.map_or_else(open, |held| Ok(File::from(held))).map_err(io)?;
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            let _ = file.take(MOST).read_to_string(&mut holder);
            return Err(StateError::Taken { path, holder });
        }
        Err((_, errno)) => return Err(io(errno.into())),
    };
    let who = serde_json::json!({
        "pid": std::process::id(), "member": settings.member, "incarnation": settings.incarnation,
    });
    lock.set_len(0).map_err(io)?;
    lock.rewind().map_err(io)?;
    lock.write_all(who.to_string().as_bytes()).map_err(io)?;
    Ok(lock)
}

fn read(path: &Path) -> std::io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(MOST).read_to_string(&mut text)?;
            Ok(Some(text.trim().to_owned()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whole or not at all: written aside, flushed, renamed.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    // Or a power failure could take back a credential that the orchestrator knows already.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn fresh() -> Result<String, StateError> {
    let mut bytes = [0; 32];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| StateError::Random)?;
    Ok(hex(&bytes))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
