//! What an application changed in the current release becomes a commit on top of the branch, and the release that
//! commit's. What cannot go back is set aside before another release becomes current.
//!
//! May die on any line: what is about to be given is written down first, so a commit of ours is known when it comes
//! back. It refuses to know when this is done.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cartridge_agent_plan::artifacts::object::{ObjectId, ObjectKind};
use cartridge_agent_plan::artifacts::tree::Kind;
use cartridge_agent_plan::pushback::graft::{self, Graft};
use cartridge_agent_plan::pushback::wire::{Pack, Report, was_late};
use cartridge_agent_plan::pushback::{Author, Changes, Leaf, commit, merge, named};
use cartridge_protocol::CommitId;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::changes::{Found, Look, contents, hash, leaf_at};
use super::failpoint::point;
use super::fault::{ShelfError, Trouble};
use super::forest::Forest;
use super::share::Share;
use super::stage::tree_of;
use super::{Shelf, flush_folder};
use crate::host::git::{GitError, NoObject, Receiver, Remote, Stop, Store};
use crate::host::state;

/// What is about to be given: the release, the head that it goes onto, the new commit.
const GIVING: &str = "giving";
/// What was given: the commit that was ordered, and the one that the release was made instead.
const GIVEN: &str = "given";
/// Releases that became others by being given: the way back to them is open.
const BASES: &str = "bases";
/// Most of them.
const MOST_BASES: usize = 8;
/// What was set aside.
const ASIDE: &str = "unpushed";
/// Most times that something is set aside before the oldest goes.
const MOST_ASIDE: usize = 8;
/// Largest tree object.
const MAX_TREE_BYTES: u64 = 8 << 20;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// There is nothing that the branch does not have.
    Nothing,
    /// The branch is at a new commit of ours.
    Taken {
        /// Which.
        new: CommitId,
        /// How many paths it changed.
        paths: usize,
        /// The current release is that commit's now; otherwise it comes as any other.
        adopted: bool,
    },
    /// Somebody else was first.
    Late,
    /// Both changed the same: a person has to decide.
    Conflict(String),
    /// The server took it not, in its own words.
    Refused(String),
}

/// What came of it, and what else a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushing {
    /// The outcome.
    pub pushed: Pushed,
    /// What is never given, and why; for people.
    pub skipped: Option<String>,
    /// There is more to be given, at once.
    pub more: bool,
}

impl Shelf {
    /// Gives local changes in the current release to the branch. `ordered`: what was ordered, unless somebody insists on
    /// that very commit: then the release stays as it is.
    pub fn push_back(
        &self,
        current: &CommitId,
        remote: &Remote,
        author: &Author,
        ordered: Option<&CommitId>,
        stop: &Stop,
    ) -> Result<Pushing, ShelfError> {
        let store = self.fetched(current, remote, stop)?;
        let found = self.changed(&store, current, stop)?;
        let mut pushing = Pushing {
            pushed: Pushed::Nothing,
            skipped: skipped(&found),
            more: found.more,
        };
        if found.changes.is_empty() {
            return Ok(pushing);
        }
        drop(store);
        let mut receiver = Receiver::ask(remote, stop)?;
        let head = receiver.tip().commit();
        if let Some(new) = self.was_given(current, &head) {
            // It was taken, and the answer did not arrive.
            let paths = found.changes.len();
            pushing.pushed = self.taken(current, new, paths, ordered)?;
            pushing.more = true;
            return Ok(pushing);
        }
        let store = self.fetched(&head, remote, stop)?;
        let made = match self.made(&store, current, &head, &found.changes, author) {
            Ok(Made::Commit(made)) => made,
            Ok(Made::Nothing) => return Ok(pushing),
            Ok(Made::Unsettled) => {
                pushing.more = true;
                return Ok(pushing);
            }
            Ok(Made::Conflict(paths)) => {
                pushing.pushed = Pushed::Conflict(paths);
                return Ok(pushing);
            }
            Err(trouble) => return Err(self.explain(trouble, current, &self.release_path(current))),
        };
        drop(store);
        self.remember(GIVING, &[current, &head, &made.id.commit()])?;
        point("push.before");
        let report = receiver.give(made.id, &made.pack)?;
        point("push.after");
        pushing.pushed = match report {
            Report::Taken => {
                let ordered = ordered.filter(|_| head == *current);
                self.taken(current, made.id.commit(), made.paths, ordered)?
            }
            Report::Refused(why) if was_late(&why) => Pushed::Late,
            Report::Refused(why) => Pushed::Refused(format!("{} refuses it: {why}", receiver.shown())),
            Report::Unclear => {
                Pushed::Refused(format!("{} does not say whether it took it", receiver.shown()))
            }
        };
        Ok(pushing)
    }

    /// The commit whose release the current one is, although another was ordered: both.
    pub fn given(&self) -> Option<(CommitId, CommitId)> {
        let [before, new] = self.remembered(GIVEN)?;
        Some((before, new))
    }

    /// Another release was ordered since.
    pub fn forget_given(&self) {
        let _ = fs::remove_file(self.root.join(GIVEN));
    }

    /// Keeps what was changed in the current release and is not in `next`; says where.
    pub fn set_aside(
        &self,
        current: &CommitId,
        next: &CommitId,
        remote: &Remote,
        stop: &Stop,
    ) -> Result<Option<PathBuf>, ShelfError> {
        let store = self.fetched(current, remote, stop)?;
        let mut changes = self.changed(&store, current, stop)?.changes;
        let release = self.release_path(current);
        if let Ok(root) = tree_of(&store, next) {
            let mut forest = Forest::new(&store, self.limits);
            changes.retain(|path, leaf| leaf_at(&mut forest, root, path).ok() != Some(*leaf));
        }
        let kept: Changes = changes.into_iter().filter(|(_, leaf)| leaf.is_some()).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let aside = self.next_aside(current)?;
        let folder: OwnedFd = File::open(&release)
            .map_err(ShelfError::disk("open", &release))?
            .into();
        for (path, leaf) in kept.iter().filter_map(|(path, leaf)| Some((path, (*leaf)?))) {
            let to = aside.join(OsStr::from_bytes(path));
            let read =
                contents(&folder, path, leaf).map_err(|trouble| self.explain(trouble, current, &release))?;
            if let Some(bytes) = read {
                written(&to, leaf, &bytes).map_err(ShelfError::disk("write a changed file to", &to))?;
            }
        }
        Ok(Some(aside))
    }

    /// A folder that is not there yet; the oldest makes room.
    fn next_aside(&self, current: &CommitId) -> Result<PathBuf, ShelfError> {
        let root = self.root.join(ASIDE);
        fs::create_dir_all(&root).map_err(ShelfError::disk("make", &root))?;
        let entries = fs::read_dir(&root).map_err(ShelfError::disk("list", &root))?;
        let mut known: Vec<(u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some((name.split('-').next()?.parse().ok()?, entry.path()))
            })
            .collect();
        known.sort();
        let number = known.last().map_or(1, |(number, _)| number + 1);
        while known.len() >= MOST_ASIDE {
            let (_, oldest) = known.remove(0);
            fs::remove_dir_all(&oldest).map_err(ShelfError::disk("remove", &oldest))?;
        }
        Ok(root.join(format!("{number}-{}", current.short())))
    }

    fn changed(&self, store: &Store, current: &CommitId, stop: &Stop) -> Result<Found, ShelfError> {
        let release = self.release_path(current);
        let look = || -> Result<Found, Trouble> {
            let root = tree_of(store, current)?;
            let mut forest = Forest::new(store, self.limits);
            let folder: OwnedFd = File::open(&release)?.into();
            Look::new(&mut forest, Share::new(self.files), stop).through(root, &folder)
        };
        look().map_err(|trouble| self.explain(trouble, current, &release))
    }

    fn made(
        &self,
        store: &Store,
        current: &CommitId,
        head: &CommitId,
        changes: &Changes,
        author: &Author,
    ) -> Result<Made, Trouble> {
        let (base, theirs) = (tree_of(store, current)?, tree_of(store, head)?);
        let mut forest = Forest::new(store, self.limits);
        let mut at = BTreeMap::new();
        for path in changes.keys() {
            let both = (
                leaf_at(&mut forest, base, path)?,
                leaf_at(&mut forest, theirs, path)?,
            );
            at.insert(path, both);
        }
        let merged = merge(changes, |path| at[path].0, |path| at[path].1);
        if !merged.conflicts.is_empty() {
            return Ok(Made::Conflict(named(merged.conflicts.iter())));
        }
        if merged.push.is_empty() {
            return Ok(Made::Nothing);
        }
        let folder: OwnedFd = File::open(self.release_path(current))?.into();
        made(store, theirs, head, &folder, &merged.push, author)
    }

    /// The branch is at `new`, which is ours.
    fn taken(
        &self,
        current: &CommitId,
        new: CommitId,
        paths: usize,
        ordered: Option<&CommitId>,
    ) -> Result<Pushed, ShelfError> {
        let mut adopted = false;
        if let Some(ordered) = ordered {
            self.remember(GIVEN, &[ordered, &new])?;
            point("given.after");
            self.note_base(current)?;
            adopted = self.adopt(current, &new)?;
            if !adopted {
                self.forget_given();
            }
        }
        let _ = fs::remove_file(self.root.join(GIVING));
        Ok(Pushed::Taken { new, paths, adopted })
    }

    /// The commit of ours that the branch is at, if it was made of this release.
    fn was_given(&self, current: &CommitId, head: &CommitId) -> Option<CommitId> {
        let [release, onto, new] = self.remembered(GIVING)?;
        (release == *current && onto == *current && new == *head).then_some(new)
    }

    fn note_base(&self, commit: &CommitId) -> Result<(), ShelfError> {
        let mut bases = self.bases();
        bases.retain(|known| known != commit);
        bases.push(commit.clone());
        let newest = bases.iter().skip(bases.len().saturating_sub(MOST_BASES));
        self.remember(BASES, &newest.collect::<Vec<_>>())
    }

    fn bases(&self) -> Vec<CommitId> {
        let text = fs::read_to_string(self.root.join(BASES)).unwrap_or_default();
        let words = text.split_ascii_whitespace();
        words.filter_map(|word| CommitId::new(word).ok()).collect()
    }

    /// It was current here until its folder became another commit's.
    pub(super) fn was_base(&self, commit: &CommitId) -> bool {
        self.bases().contains(commit)
    }

    fn remember(&self, name: &str, commits: &[&CommitId]) -> Result<(), ShelfError> {
        let path = self.root.join(name);
        let words: Vec<&str> = commits.iter().map(|commit| commit.as_str()).collect();
        state::write(&path, &words.join(" ")).map_err(ShelfError::disk("write", &path))?;
        flush_folder(&self.root)
    }

    fn remembered<const N: usize>(&self, name: &str) -> Option<[CommitId; N]> {
        let text = fs::read_to_string(self.root.join(name)).ok()?;
        let commits: Vec<CommitId> = text
            .split_ascii_whitespace()
            .filter_map(|word| CommitId::new(word).ok())
            .collect();
        commits.try_into().ok()
    }
}

/// A commit that can be given.
struct Ready {
    id: ObjectId,
    pack: Vec<u8>,
    paths: usize,
}

enum Made {
    Commit(Ready),
    Nothing,
    Conflict(String),
    /// Somebody writes just now.
    Unsettled,
}

fn made(
    store: &Store,
    theirs: ObjectId,
    head: &CommitId,
    folder: &OwnedFd,
    changes: &Changes,
    author: &Author,
) -> Result<Made, Trouble> {
    let mut blobs: BTreeMap<ObjectId, Vec<u8>> = BTreeMap::new();
    for (path, leaf) in changes {
        let Some(leaf) = leaf else { continue };
        if blobs.contains_key(&leaf.id) {
            continue;
        }
        match contents(folder, path, *leaf)? {
            Some(bytes) => blobs.insert(leaf.id, bytes),
            None => return Ok(Made::Unsettled),
        };
    }
    let mut trees: BTreeMap<ObjectId, Vec<u8>> = BTreeMap::new();
    let mut graft = Graft {
        read: &mut |id| tree(store, id),
        write: &mut |bytes| {
            let id = hash(ObjectKind::Tree, &bytes);
            trees.insert(id, bytes);
            id
        },
    };
    let root = match graft.put(theirs, changes) {
        Ok(root) => root,
        Err(graft::Fault::Conflict(path, reason)) => {
            return Ok(Made::Conflict(format!(
                "{} {reason}",
                String::from_utf8_lossy(&path)
            )));
        }
        Err(graft::Fault::Broken(id)) => return Err(Trouble::Damaged(format!("object {id} is no tree"))),
        Err(graft::Fault::Unread(trouble)) => return Err(trouble),
    };
    let parent = head
        .as_str()
        .parse()
        .map_err(|_| Trouble::Damaged("the head is no commit".to_owned()))?;
    let text = commit(root, parent, author, changes);
    let id = hash(ObjectKind::Commit, &text);
    let count = u32::try_from(1 + trees.len() + blobs.len()).unwrap_or(u32::MAX);
    let mut pack = Pack::of(count);
    pack.add(ObjectKind::Commit, &text);
    trees.values().for_each(|bytes| pack.add(ObjectKind::Tree, bytes));
    blobs.values().for_each(|bytes| pack.add(ObjectKind::Blob, bytes));
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, pack.bytes());
    Ok(Made::Commit(Ready {
        id,
        pack: pack.finish(sum.as_ref()),
        paths: changes.len(),
    }))
}

fn tree(store: &Store, id: ObjectId) -> Result<Vec<u8>, Trouble> {
    match store.object(id, MAX_TREE_BYTES) {
        Ok((ObjectKind::Tree, bytes)) => Ok(bytes),
        Err(NoObject::Git(error @ GitError::Stopped { .. })) => Err(error.into()),
        Err(NoObject::Git(error)) => Err(Trouble::Git(error)),
        _ => Err(Trouble::Damaged(format!("tree {id} is not to be had"))),
    }
}

/// A file of its own, or a link; the folders for it are made.
fn written(to: &Path, leaf: Leaf, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    match leaf.kind {
        Kind::Link => std::os::unix::fs::symlink(OsStr::from_bytes(bytes), to),
        _ => fs::write(to, bytes),
    }
}

fn skipped(found: &Found) -> Option<String> {
    let (path, reason) = found.skipped.first()?;
    let more = match found.skipped.len() {
        1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    Some(format!("{:?} {reason}{more}", String::from_utf8_lossy(path)))
}
