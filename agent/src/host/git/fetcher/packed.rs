//! Large files straight out of a pack, piece by piece: libgit2 reads packed objects whole into memory only.
//!
//! What is stored as a difference to something else is left to libgit2. Every number read from a file is taken for
//! wrong until it has been compared with something. It refuses to know loose objects.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use cartridge_agent_plan::artifacts::object::{HASH_BYTES, ObjectId, ObjectKind};
use cartridge_agent_plan::artifacts::talk::Say;
use flate2::read::ZlibDecoder;

use super::Channel;

/// How an index begins: its mark and its version.
const HEAD: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
/// Bytes of the table of first bytes.
const FANOUT: u64 = 256 * 4;
/// The kind that a blob has in a pack.
const BLOB: u8 = 3;
/// Longest head of an object in a pack.
const MOST_HEAD: usize = 16;
/// Bytes read ahead.
const AHEAD: usize = 64 << 10;

/// The packs of a repository.
pub(super) struct Packs {
    folder: PathBuf,
}

impl Packs {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Passes on a blob of this size. None: it is not stored whole, or cannot be found; nothing was said then.
    pub(super) fn stream<R: Read, W: Write>(
        &self,
        id: ObjectId,
        bytes: u64,
        pipe: &mut Channel<R, W>,
    ) -> Option<io::Result<()>> {
        let mut from = self.find(id, bytes)?;
        let kind = ObjectKind::Blob;
        Some(pipe.pass(&Say::Object { kind, bytes }, bytes, &mut from))
    }

    fn find(&self, id: ObjectId, bytes: u64) -> Option<impl Read> {
        for entry in std::fs::read_dir(&self.folder).ok()?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|word| word != "idx") {
                continue;
            }
            let Ok(Some(at)) = position(&File::open(&path).ok()?, id) else {
                continue;
            };
            let mut pack = File::open(path.with_extension("pack")).ok()?;
            let start = contents(&pack, at, bytes)?;
            pack.seek(SeekFrom::Start(start)).ok()?;
            return Some(ZlibDecoder::new_with_buf(
                BufReader::with_capacity(AHEAD, pack),
                vec![0; AHEAD],
            ));
        }
        None
    }
}

/// Where the object begins in the pack of this index.
fn position(index: &File, id: ObjectId) -> io::Result<Option<u64>> {
    let mut head = [0; HEAD.len()];
    index.read_exact_at(&mut head, 0)?;
    if head != HEAD {
        return Ok(None);
    }
    let hash = id.as_bytes();
    let first = u64::from(hash[0]);
    let tables = HEAD.len() as u64;
    let mut low = if first == 0 {
        0
    } else {
        u64::from(word(index, tables + 4 * (first - 1))?)
    };
    let mut high = u64::from(word(index, tables + 4 * first)?);
    let all = u64::from(word(index, tables + FANOUT - 4)?);
    let hashes = tables + FANOUT;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut there = [0; HASH_BYTES];
        index.read_exact_at(&mut there, hashes + middle * HASH_BYTES as u64)?;
        match there.cmp(hash) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                let places = hashes + all * (HASH_BYTES as u64 + 4);
                let place = word(index, places + middle * 4)?;
                if place & 0x8000_0000 == 0 {
                    return Ok(Some(u64::from(place)));
                }
                let far = places + all * 4 + u64::from(place & 0x7fff_ffff) * 8;
                let (high, low) = (word(index, far)?, word(index, far + 4)?);
                return Ok(Some(u64::from(high) << 32 | u64::from(low)));
            }
        }
    }
    Ok(None)
}

fn word(file: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at)?;
    Ok(u32::from_be_bytes(bytes))
}

/// Where the compressed contents of a blob of this size begin, if there is one at this place.
fn contents(pack: &File, at: u64, bytes: u64) -> Option<u64> {
    let mut head = [0; MOST_HEAD];
    pack.read_exact_at(&mut head, at).ok()?;
    let mut used = 1;
    let mut size = u64::from(head[0] & 0x0f);
    let mut shift = 4;
    while head[used - 1] & 0x80 != 0 {
        let next = *head.get(used)?;
        size |= u64::from(next & 0x7f).checked_shl(shift)?;
        shift += 7;
        used += 1;
    }
    let kind = (head[0] >> 4) & 0x07;
    (kind == BLOB && size == bytes).then_some(at + used as u64)
}
