//! Agents on disk: copied, checked, rehearsed, written down. Refuses to decide when one takes over.
//!
//! Everything is in the folder `upgrade` of the state folder: binaries and their signed statements, named by hash, and
//! the record. What is begun from there is checked against its signature each time.

pub mod exec;
pub mod rehearsal;
pub mod trap;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cartridge_agent_plan::upgrade::{Boot, Keys, MOST_OFFER_BYTES, Offer, Record, Slot, Version};
use nix::libc;
use ring::digest;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::state;
use crate::version::{target, version};
use exec::{Binary, Next};

/// What the statement about `FILE` is called, beside it.
pub const STATEMENT: &str = "statement";
/// Longest record and longest file of keys, bytes.
const MOST_RECORD: u64 = 64 << 10;
/// Copied at once.
const CHUNK: usize = 64 << 10;

/// The folder, and who is trusted.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    keys: PathBuf,
}

impl Store {
    /// Below the state folder; `keys` say who is trusted.
    pub fn new(state_dir: &Path, keys: &Path) -> Self {
        Self {
            folder: state_dir.join("upgrade"),
            keys: keys.to_owned(),
        }
    }

    /// Copies what is offered, holds it against its statement, and keeps it.
    pub fn check(&self, file: &Path, insists: bool) -> Result<Slot, String> {
        let beside = statement_of(file);
        let text = text(&beside, MOST_OFFER_BYTES as u64).map_err(|e| at(&beside, &e))?;
        let offer = Offer::parse(&text).map_err(|e| e.to_string())?;
        let slot = self.believed(&offer)?;
        let running = running()?;
        slot.accepted(&self.record()?, &running, insists)
            .map_err(|e| e.to_string())?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| at(&self.folder, &e))?;
        let source = OpenOptions::new()
            .read(true)
            // A pipe in its place would be waited for.
            .custom_flags(libc::O_NONBLOCK)
            .open(file)
            .map_err(|e| at(file, &e))?;
        if !source.metadata().is_ok_and(|data| data.is_file()) {
            return Err(format!("{} is no file", file.display()));
        }
        let part = self.folder.join("offered.part");
        copy(source, &part, offer.statement.bytes).map_err(|e| at(file, &e))?;
        let found = hash(File::open(&part).map_err(|e| at(&part, &e))?).map_err(|e| at(&part, &e))?;
        if found != slot.sha256 {
            let _ = std::fs::remove_file(&part);
            return Err(format!(
                "{} is not what its statement is about: its SHA-256 is {found}",
                file.display()
            ));
        }
        let place = self.place(&slot);
        state::write(&statement_of(&place), &text).map_err(|e| at(&place, &e))?;
        std::fs::rename(&part, &place).map_err(|e| at(&place, &e))?;
        Ok(slot)
    }

    fn believed(&self, offer: &Offer) -> Result<Slot, String> {
        let keys = text(&self.keys, MOST_RECORD).map_err(|e| at(&self.keys, &e))?;
        let keys = Keys::parse(&keys).map_err(|e| e.to_string())?;
        let valid = |key: &[u8; 32], signed: &[u8], signature: &[u8; 64]| {
            UnparsedPublicKey::new(&ED25519, key)
                .verify(signed, signature)
                .is_ok()
        };
        offer.believed(&keys, &target(), valid).map_err(|e| e.to_string())
    }

    /// The binary of a slot, held against its statement once more.
    pub fn open(&self, slot: &Slot) -> Result<Binary, String> {
        let place = self.place(slot);
        let beside = statement_of(&place);
        let text = text(&beside, MOST_OFFER_BYTES as u64).map_err(|e| at(&beside, &e))?;
        let stated = self.believed(&Offer::parse(&text).map_err(|e| e.to_string())?)?;
        let file = File::open(&place).map_err(|e| at(&place, &e))?;
        let again = file.try_clone().map_err(|e| at(&place, &e))?;
        if stated != *slot || hash(again).map_err(|e| at(&place, &e))? != slot.sha256 {
            return Err(format!("{} is not what was signed", place.display()));
        }
        Ok(Binary {
            file: OwnedFd::from(file),
            slot: Some(slot.sha256.clone()),
        })
    }

    /// Where a slot's binary is.
    pub fn place(&self, slot: &Slot) -> PathBuf {
        self.folder.join(&slot.sha256)
    }

    /// What is written down; nothing yet is an empty record.
    pub fn record(&self) -> Result<Record, String> {
        let path = self.path();
        match text(&path, MOST_RECORD) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(at(&path, &error)),
        }
    }

    /// Changes what is written down, and removes binaries that nothing there speaks of.
    pub fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), String> {
        let mut record = self.record()?;
        change(&mut record);
        self.write(&record)?;
        self.prune(&record);
        Ok(())
    }

    fn write(&self, record: &Record) -> Result<(), String> {
        let path = self.path();
        let text = serde_json::to_string(record).map_err(|e| e.to_string())?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .and_then(|()| state::write(&path, &text))
            .map_err(|e| at(&path, &e))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("record.json")
    }

    fn prune(&self, record: &Record) {
        let kept: Vec<PathBuf> = record
            .kept()
            .flat_map(|slot| [self.place(slot), statement_of(&self.place(slot))])
            .chain([self.path()])
            .collect();
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in entries
            .map(|entry| entry.path())
            .filter(|path| !kept.contains(path))
        {
            let _ = std::fs::remove_file(path);
        }
    }

    /// At a start of the installed binary: becomes the one that the record names, if it names one. Returns otherwise,
    /// with what people should know.
    pub fn boot(&self) -> Option<String> {
        let before = self.record();
        let mut record = match before {
            Ok(record) => record,
            Err(why) => return Some(format!("agents on disk are left alone: {why}")),
        };
        let was = record.clone();
        let boot = record.boot(&running().ok()?);
        if record != was
            && let Err(why) = self.write(&record)
        {
            return Some(format!("agents on disk are left alone: {why}"));
        }
        let Boot::Other(slot) = boot else { return None };
        let why = match self.open(&slot) {
            Ok(binary) => {
                let next = Next {
                    binary,
                    document: None,
                    keep: Vec::new(),
                    fallback: None,
                };
                next.begin().to_string()
            }
            Err(why) => why,
        };
        let _ = self.change(|record| record.forget(&slot, Some(&why)));
        Some(format!("{} cannot be begun: {why}", slot.version))
    }
}

/// This agent's version.
pub fn running() -> Result<Version, String> {
    Version::parse(version()).ok_or_else(|| format!("{} is no version that can be compared", version()))
}

/// This process's own binary.
pub fn own(slot: Option<String>) -> std::io::Result<Binary> {
    Ok(Binary {
        file: OwnedFd::from(File::open("/proc/self/exe")?),
        slot,
    })
}

/// The statement about a binary is beside it.
pub fn statement_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(STATEMENT);
    PathBuf::from(name)
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn text(path: &Path, most: u64) -> std::io::Result<String> {
    let mut text = String::new();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let length = file.take(most + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= most) {
        Ok(text)
    } else {
        Err(std::io::Error::other(format!("is longer than {most} bytes")))
    }
}

/// Exactly as many bytes as were stated, however many come.
fn copy(mut source: File, part: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o700)
        .open(part)?;
    let copied = std::io::copy(&mut (&mut source).take(bytes), &mut file)?;
    let more = source.read(&mut [0])?;
    if copied != bytes || more > 0 {
        let _ = std::fs::remove_file(part);
        return Err(std::io::Error::other(format!(
            "is not {bytes} bytes long, as its statement says"
        )));
    }
    file.flush()?;
    file.sync_all()
}

fn hash(mut file: File) -> std::io::Result<String> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(state::hex(context.finish().as_ref())),
            count => context.update(&buffer[..count]),
        }
    }
}
