//! What an application changed in a release: every name is held against the commit's tree, every file that is not as
//! it was written is hashed. Nothing is changed here, no link is followed and no other file system entered.
//!
//! It refuses to know what becomes of changes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use cartridge_agent_plan::artifacts::names;
use cartridge_agent_plan::artifacts::object::{ObjectId, ObjectKind};
use cartridge_agent_plan::artifacts::tree::{self, Entry, Kind, find};
use cartridge_agent_plan::pushback::ignore::{self, Ignore, is_ignored};
use cartridge_agent_plan::pushback::{Changes, Leaf, MOST_BYTES, MOST_PATHS, Path};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat, fstatat};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::export::FOLDER;
use super::fault::Trouble;
use super::forest::Forest;
use super::share::Share;
use crate::host::git::Stop;

/// Read at a time.
const CHUNK: usize = 64 << 10;
const FILE: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);
/// Where patterns are that keep files out.
const IGNORE: &[u8] = b".gitignore";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// All changes that fit into one commit.
    pub changes: Changes,
    /// What is never committed, and why.
    pub skipped: Vec<(Path, String)>,
    /// There are more changes than that, or some are being made just now.
    pub more: bool,
}

/// Looks through a release.
pub(super) struct Look<'a, 'store> {
    forest: &'a mut Forest<'store>,
    share: Share,
    stop: &'a Stop,
    path: Vec<Vec<u8>>,
    above: Vec<Ignore>,
    found: Found,
    entries: u64,
    bytes: u64,
}

impl<'a, 'store> Look<'a, 'store> {
    pub(super) fn new(forest: &'a mut Forest<'store>, share: Share, stop: &'a Stop) -> Self {
        Self {
            forest,
            share,
            stop,
            path: Vec::new(),
            above: Vec::new(),
            found: Found::default(),
            entries: 0,
            bytes: 0,
        }
    }

    /// Everything in `folder` that is not as in `root`.
    pub(super) fn through(mut self, root: ObjectId, folder: &OwnedFd) -> Result<Found, Trouble> {
        self.folder(Some(root), folder.as_fd())?;
        Ok(self.found)
    }

    fn folder(&mut self, tree: Option<ObjectId>, folder: BorrowedFd<'_>) -> Result<(), Trouble> {
        let known: Vec<Entry> = match tree {
            Some(tree) => self.forest.tree(tree, &self.path)?.to_vec(),
            None => Vec::new(),
        };
        self.above.push(patterns(folder));
        let names = self.names(folder)?;
        for entry in known.iter().filter(|entry| !names.contains(&*entry.name)) {
            self.path.push(entry.name.to_vec());
            self.gone(entry)?;
            self.path.pop();
        }
        for name in names {
            if self.stop.is_raised() {
                return Err(Trouble::Stopped);
            }
            self.path.push(name.clone());
            self.name(&name, find(&known, &name), folder)?;
            self.path.pop();
        }
        self.above.pop();
        Ok(())
    }

    fn names(&mut self, folder: BorrowedFd<'_>) -> Result<BTreeSet<Vec<u8>>, Trouble> {
        let most = self.forest.limits().entries;
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))? {
            self.entries += 1;
            if self.entries > most.saturating_mul(2) {
                return Err(Trouble::refused(
                    &self.path,
                    format!("has with what was added more than {most} files and folders"),
                ));
            }
            found.insert(entry?.file_name().into_vec());
        }
        Ok(found)
    }

    /// It was there, and is not any more.
    fn gone(&mut self, entry: &Entry) -> Result<(), Trouble> {
        if entry.kind != Kind::Folder {
            self.note(None);
            return Ok(());
        }
        for below in self.forest.tree(entry.id, &self.path)?.to_vec() {
            self.path.push(below.name.to_vec());
            self.gone(&below)?;
            self.path.pop();
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8], known: Option<&Entry>, folder: BorrowedFd<'_>) -> Result<(), Trouble> {
        let stat = match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Gone since it was listed: the next look sees what became of it.
            Err(Errno::ENOENT) => {
                self.found.more = true;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let is_folder = kind(&stat) == SFlag::S_IFDIR;
        if known.is_none() {
            if let Some(reason) = names::fault(name) {
                return self.skip(reason);
            }
            if is_ignored(&self.above, &self.path, is_folder) {
                return Ok(());
            }
        }
        match kind(&stat) {
            SFlag::S_IFREG => {
                self.replaces(known, false)?;
                self.file(name, known, &stat, folder)
            }
            SFlag::S_IFLNK => {
                self.replaces(known, false)?;
                self.link(name, known, folder)
            }
            SFlag::S_IFDIR => {
                self.replaces(known, true)?;
                self.inside(name, known, folder)
            }
            _ => self.skip("is neither a file nor a link nor a folder"),
        }
    }

    /// A folder where something else was takes its place, and the other way round.
    fn replaces(&mut self, known: Option<&Entry>, folder: bool) -> Result<(), Trouble> {
        match known {
            Some(entry) if (entry.kind == Kind::Folder) != folder => self.gone(entry),
            _ => Ok(()),
        }
    }

    fn inside(&mut self, name: &[u8], known: Option<&Entry>, folder: BorrowedFd<'_>) -> Result<(), Trouble> {
        if self.path.len() > self.forest.limits().depth {
            return self.skip("is too deep");
        }
        let tree = known
            .filter(|entry| entry.kind == Kind::Folder)
            .map(|entry| entry.id);
        match open(folder, name, FOLDER) {
            Ok(inner) => self.folder(tree, inner.as_fd()),
            Err(errno) => self.skip(unopened(errno)),
        }
    }

    fn link(&mut self, name: &[u8], known: Option<&Entry>, folder: BorrowedFd<'_>) -> Result<(), Trouble> {
        let target = readlinkat(folder, name)?;
        let target = target.as_bytes();
        let leaf = Leaf {
            kind: Kind::Link,
            id: hash(ObjectKind::Blob, target),
        };
        if is_same(known, leaf) {
            return Ok(());
        }
        if names::is_obeyed_by_git(name) {
            return self.skip("is a link that Git would follow");
        }
        match tree::climb(target) {
            Ok(climbs) if climbs < self.path.len() => {
                self.note(Some((leaf, target.len() as u64)));
                Ok(())
            }
            Ok(_) => self.skip("is a link that leaves the release"),
            Err(reason) => self.skip(reason),
        }
    }

    fn file(
        &mut self,
        name: &[u8],
        known: Option<&Entry>,
        stat: &FileStat,
        folder: BorrowedFd<'_>,
    ) -> Result<(), Trouble> {
        if let Some(entry) = known
            && let Kind::File { executable } = entry.kind
            && self.share.is_untouched(stat, entry, executable)
        {
            return Ok(());
        }
        let most = MOST_BYTES.min(self.forest.limits().file_bytes);
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size > most {
            return self.skip(&format!("has {size} bytes; at most {most} are committed"));
        }
        let read = open(folder, name, FILE).map(File::from);
        let read = match read {
            Ok(file) => contents_hash(file, size)?,
            Err(errno) => return self.skip(unopened(errno)),
        };
        let Some(id) = read else {
            // It is being written.
            self.found.more = true;
            return Ok(());
        };
        let executable = stat.st_mode & 0o100 != 0;
        let leaf = Leaf {
            kind: Kind::File { executable },
            id,
        };
        if !is_same(known, leaf) {
            self.note(Some((leaf, size)));
        }
        Ok(())
    }

    fn note(&mut self, leaf: Option<(Leaf, u64)>) {
        let bytes = self.bytes + leaf.map_or(0, |(_, bytes)| bytes);
        if bytes > MOST_BYTES || self.found.changes.len() == MOST_PATHS {
            self.found.more = true;
            return;
        }
        self.bytes = bytes;
        let path = self.path.join(&b'/');
        self.found.changes.insert(path, leaf.map(|(leaf, _)| leaf));
    }

    fn skip(&mut self, reason: &str) -> Result<(), Trouble> {
        if self.found.skipped.len() < MOST_PATHS {
            self.found
                .skipped
                .push((self.path.join(&b'/'), reason.to_owned()));
        }
        Ok(())
    }
}

fn is_same(known: Option<&Entry>, leaf: Leaf) -> bool {
    known.is_some_and(|entry| entry.kind == leaf.kind && entry.id == leaf.id)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn unopened(errno: Errno) -> &'static str {
    match errno {
        Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR => "leads out of its folder",
        _ => "cannot be read by the agent",
    }
}

/// Opens one name of a folder, and nothing that lies elsewhere.
fn open(folder: BorrowedFd<'_>, name: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let beneath = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    openat2(folder, name, OpenHow::new().flags(flags).resolve(beneath))
}

/// The bytes of a file or the target of a link, at a path below the folder, if they are still those of the leaf.
pub(super) fn contents(folder: &OwnedFd, path: &[u8], leaf: Leaf) -> Result<Option<Vec<u8>>, Trouble> {
    let bytes = if leaf.kind == Kind::Link {
        match readlinkat(folder, path) {
            Ok(target) => target.as_bytes().to_vec(),
            Err(_) => return Ok(None),
        }
    } else {
        let Ok(file) = open(folder.as_fd(), path, FILE) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        File::from(file).take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        bytes
    };
    Ok((hash(ObjectKind::Blob, &bytes) == leaf.id).then_some(bytes))
}

/// None: it has not as many bytes as it was said to have.
fn contents_hash(mut file: File, size: u64) -> Result<Option<ObjectId>, Trouble> {
    if kind(&fstat(&file)?) != SFlag::S_IFREG {
        return Ok(None);
    }
    let mut all = begun(ObjectKind::Blob, size);
    let mut chunk = vec![0; CHUNK];
    let mut read = 0;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok((read == size).then(|| ended(all)));
        }
        read += count as u64;
        if read > size {
            return Ok(None);
        }
        all.update(&chunk[..count]);
    }
}

/// The hash of an object.
pub(super) fn hash(kind: ObjectKind, bytes: &[u8]) -> ObjectId {
    let mut all = begun(kind, bytes.len() as u64);
    all.update(bytes);
    ended(all)
}

fn begun(kind: ObjectKind, size: u64) -> Context {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(format!("{} {size}\0", kind.name()).as_bytes());
    context
}

fn ended(context: Context) -> ObjectId {
    let digest = context.finish();
    ObjectId::from_bytes(digest.as_ref().try_into().expect("a SHA-1 has twenty bytes"))
}

fn patterns(folder: BorrowedFd<'_>) -> Ignore {
    let Ok(file) = open(folder, IGNORE, FILE) else {
        return Ignore::default();
    };
    let mut bytes = Vec::new();
    let read = File::from(file)
        .take(ignore::MOST_BYTES as u64)
        .read_to_end(&mut bytes);
    read.map(|_| Ignore::read(&bytes)).unwrap_or_default()
}

/// What a tree has at a path.
pub(super) fn leaf_at(forest: &mut Forest<'_>, root: ObjectId, path: &[u8]) -> Result<Option<Leaf>, Trouble> {
    let mut at = root;
    let mut names = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        let entries = forest.tree(at, &[])?;
        let Some(entry) = find(&entries, name) else {
            return Ok(None);
        };
        match (entry.kind, names.peek()) {
            (Kind::Folder, Some(_)) => at = entry.id,
            (Kind::Folder, None) | (_, Some(_)) => return Ok(None),
            (kind, None) => return Ok(Some(Leaf { kind, id: entry.id })),
        }
    }
    Ok(None)
}
