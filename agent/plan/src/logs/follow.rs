//! Which files make up a followed stream, one after another, and from where: after a rotation, a truncation, or a time
//! in which nobody looked. Refuses to know how they are read.
//!
//! A stream is a name in a folder. Each file that stands under it in turn has a *generation*; the sequence of an entry is
//! its generation and the position after it in the file. So an entry that is read again has the same sequence, whatever
//! happened in between, and those of a later file are higher.
//!
//! ```text
//! rename and create:   app.log ──> app.log.1 (the same inode: its rest comes first)     app.log (new inode)
//! copy and truncate:   app.log ──> app.log.1 (another inode, the same beginning)        app.log (same inode, shorter)
//! while nobody looked: app.log ──> app.log.2 (the rest), app.log.1 (whole), app.log (whole)
//! ```

use serde::{Deserialize, Serialize};

use super::pattern::{holds_packed_data, is_rotation_of};

/// Bits of a sequence that are a position; a file as long as that is not followed.
const POSITION_BITS: u32 = 40;
/// Longest file that is followed, bytes.
pub const LONGEST: u64 = 1 << POSITION_BITS;
/// A beginning as long as that tells one file from another, even where the inode differs.
const TELLING: u32 = 16;
/// A file may be read so far behind its end; beyond, the rest is left out, and it is said how much.
pub const MOST_BEHIND: u64 = 16 << 20;
/// How much is read of it then.
const KEPT_BEHIND: u64 = 1 << 20;
/// Finished files that are remembered, so that they are not taken for new ones.
pub const MOST_DONE: usize = 8;

/// The sequence of an entry.
pub const fn sequence(generation: u64, end: u64) -> u64 {
    generation << POSITION_BITS | end & (LONGEST - 1)
}

/// Generation and position of a sequence.
pub const fn parts(sequence: u64) -> (u64, u64) {
    (sequence >> POSITION_BITS, sequence & (LONGEST - 1))
}

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// How many bytes of it are known.
    pub bytes: u32,
    hash: u64,
}

impl Default for Head {
    /// Nothing is known: every file begins so.
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Head {
    /// Most bytes that are looked at.
    pub const MOST: usize = 1024;

    /// Of these first bytes.
    pub fn of(first: &[u8]) -> Self {
        let first = &first[..first.len().min(Self::MOST)];
        // FNV-1a: enough to tell files apart that nobody forges; who forges them writes this log anyway.
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self {
            bytes: u32::try_from(first.len()).unwrap_or(u32::MAX),
            hash: first.iter().fold(0xcbf2_9ce4_8422_2325, step),
        }
    }

    /// Whether a file with these first bytes begins so.
    pub fn matches(&self, first: &[u8]) -> bool {
        let length = self.bytes as usize;
        first.len() >= length && Self::of(&first[..length]) == *self
    }
}

/// A file of a stream, and how far it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Counts up over all files of all streams.
    pub generation: u64,
    /// Its inode. The device is not kept: files of one folder share it, and it may have another number after a boot.
    pub inode: u64,
    /// Its beginning.
    pub head: Head,
    /// Everything before this was taken.
    pub offset: u64,
    /// When it was last written to, as far as is known: nanoseconds by the file system's clock.
    pub modified: u64,
}

/// A file that was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its inode.
    pub inode: u64,
    /// Its beginning.
    pub head: Head,
}

/// A file in the folder: the stream's own name, or a rotation of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its inode.
    pub inode: u64,
    /// Its length.
    pub size: u64,
    /// When it was last written to.
    pub modified: u64,
    /// Its first bytes, at most [`Head::MOST`].
    pub first: Vec<u8>,
}

/// A file to be read from a position to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its name when it was seen.
    pub name: String,
    /// Its inode.
    pub inode: u64,
    /// Which file of the stream it is; none: a new one.
    pub generation: Option<u64>,
    /// From where.
    pub from: u64,
}

/// What makes up a stream from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// In this order; the last one may still grow.
    pub pieces: Vec<Piece>,
    /// Known files whose rest is nowhere to be found.
    pub missing: Vec<u64>,
    /// A known file of which nothing was ever read, and that was copied and truncated since: it comes as new ones.
    pub anew: Option<u64>,
}

/// Whether a name belongs to the stream `base` at all.
pub fn belongs(name: &str, base: &str) -> bool {
    name == base || is_rotation_of(name, base) && !holds_packed_data(name)
}

/// What makes up the stream `base`, of which the files `known` are not finished, given what is `seen` of it.
pub fn pieces(base: &str, known: &[Place], done: &[Done], seen: &[Seen]) -> Pieces {
    let mut result = Pieces::default();
    let mut used: Vec<&str> = Vec::new();
    for place in known {
        match rest_of(base, place, seen, &used) {
            Some(file) => {
                used.push(&file.name);
                result
                    .pieces
                    .push(piece(file, Some(place.generation), place.offset));
            }
            None => result.missing.push(place.generation),
        }
    }
    let found = used
        .last()
        .copied()
        .filter(|_| known.last().map(|last| last.generation) != result.missing.last().copied());
    let between = between(base, (known, done), seen, &used, found);
    if let Some(last) = known.last()
        && found == Some(base)
        && !between.is_empty()
    {
        result.anew = Some(last.generation);
        result.pieces.pop();
        used.pop();
    }
    result
        .pieces
        .extend(between.into_iter().map(|file| piece(file, None, 0)));
    let own = seen.iter().find(|file| file.name == base);
    if let Some(own) = own.filter(|own| !used.contains(&own.name.as_str())) {
        result.pieces.push(piece(own, None, 0));
    }
    result
}

/// Files that stood under the name after the last known one, and do so no more.
///
/// `found`: where the last known one is now, or its copy.
fn between<'a>(
    base: &str,
    (known, done): (&[Place], &[Done]),
    seen: &'a [Seen],
    used: &[&str],
    found: Option<&str>,
) -> Vec<&'a Seen> {
    let Some(last) = known.last() else {
        return Vec::new();
    };
    let own = seen.iter().find(|file| file.name == base);
    let renamed = own.is_none_or(|own| own.inode != last.inode);
    if found == Some(base) && last.head.bytes > 0 {
        // It is the file that it was: nothing was rotated.
        return Vec::new();
    }
    let ours = found.and_then(|name| age(name, base));
    let later = |file: &&Seen| match (age(&file.name, base), ours) {
        (Some(Age::Counted(this)), Some(Age::Counted(ours))) => this < ours,
        (Some(Age::Dated(this)), Some(Age::Dated(ours))) => this > ours,
        _ => file.modified >= last.modified,
    };
    let mut between: Vec<&Seen> = seen
        .iter()
        .filter(|file| file.name != base && belongs(&file.name, base) && file.size > 0)
        .filter(later)
        .filter(|file| !used.contains(&file.name.as_str()))
        .filter(|file| {
            known
                .iter()
                .all(|place| !is_of(file, place.inode, &place.head, renamed))
        })
        .filter(|file| {
            done.iter()
                .all(|done| !is_of(file, done.inode, &done.head, renamed))
        })
        .collect();
    in_order(&mut between, base);
    between
}

fn piece(file: &Seen, generation: Option<u64>, from: u64) -> Piece {
    Piece {
        name: file.name.clone(),
        inode: file.inode,
        generation,
        from,
    }
}

/// The file that `place` is about, wherever it is now; else a copy of it.
fn rest_of<'a>(base: &str, place: &Place, seen: &'a [Seen], used: &[&str]) -> Option<&'a Seen> {
    let fits = |file: &&Seen| {
        file.size >= place.offset && place.head.matches(&file.first) && !used.contains(&file.name.as_str())
    };
    let itself = seen.iter().filter(fits).find(|file| file.inode == place.inode);
    let copies = seen
        .iter()
        .filter(fits)
        .filter(|file| file.name != base && belongs(&file.name, base))
        // Of a file of which little was read, that little is all there is to go by.
        .filter(|file| {
            place.head.bytes >= TELLING || place.head.bytes > 0 && file.modified >= place.modified
        });
    itself.or_else(|| copies.max_by_key(|file| file.modified))
}

/// Whether a file is one that was read already: the same file under another name, or, where rotations copy, a copy.
fn is_of(file: &Seen, inode: u64, head: &Head, renamed: bool) -> bool {
    let same_file = file.inode == inode;
    let telling = head.bytes >= TELLING || head.bytes > 0 && file.size == u64::from(head.bytes);
    let copy = !renamed && telling;
    (same_file || copy) && head.matches(&file.first)
}

/// What a rotated file's name says about its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age<'a> {
    /// `app.log.3`: how often it was rotated.
    Counted(u32),
    /// `app.log-20260131`: since when it is.
    Dated(&'a str),
}

fn age<'a>(name: &'a str, base: &str) -> Option<Age<'a>> {
    let rest = name.get(base.len()..)?.trim_start_matches(['.', '-', '_']);
    match rest.parse::<u32>() {
        Ok(count) if rest.len() < 6 => Some(Age::Counted(count)),
        _ if rest.starts_with(|c: char| c.is_ascii_digit()) => Some(Age::Dated(rest)),
        _ => None,
    }
}

/// Oldest first: as their names say where they speak of the same, else as they were written.
fn in_order(files: &mut [&Seen], base: &str) {
    let counted = |file: &&Seen| match age(&file.name, base) {
        Some(Age::Counted(count)) => Some(count),
        _ => None,
    };
    let dated = |file: &&Seen| matches!(age(&file.name, base), Some(Age::Dated(_)));
    if files.iter().all(|file| counted(file).is_some()) {
        files.sort_by_key(|file| std::cmp::Reverse(counted(file)));
    } else if files.iter().all(dated) {
        files.sort_by(|a, b| a.name.cmp(&b.name));
    } else {
        files.sort_by_key(|file| file.modified);
    }
}

/// Where to go on in a file of which too much waits.
pub fn leap(position: u64, size: u64) -> Option<u64> {
    (size.saturating_sub(position) > MOST_BEHIND).then(|| size - KEPT_BEHIND)
}

/// The words for a leap.
pub fn leapt(from: u64, to: u64) -> String {
    let bytes = to.saturating_sub(from);
    format!("({bytes} bytes were not kept: they were written faster than they may be read)")
}

/// The words where the rest of a file could not be found.
pub const REST_IS_GONE: &str = "(lines may be missing: a file was gone before its end was read)";

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
