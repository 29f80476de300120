//! The files of one member: named by numbers that count up, only the newest is written to, the oldest go first.
//!
//! Refuses to know when they are written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Limits;
use super::row::Reader;

/// One file may be so many times as long as it should be: the last write was whole.
const SLACK: u64 = 4;

/// The newest file of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// Its number.
    pub number: u64,
    /// Its length, as far as is known.
    pub bytes: u64,
    /// It ends in the middle of a line.
    pub torn: bool,
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

/// The numbers of all files, in their order.
pub(super) fn numbers(folder: &Path) -> std::io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let number = |name: &str| name.strip_suffix(".log").and_then(|digits| digits.parse().ok());
    let mut all: Vec<u64> = entries
        .filter_map(|entry| number(entry.ok()?.file_name().to_str()?))
        .collect();
    all.sort_unstable();
    Ok(all)
}

/// Where to go on after an earlier server.
pub(super) fn newest(folder: &Path) -> std::io::Result<Newest> {
    let number = numbers(folder)?.last().copied().unwrap_or(1);
    let mut found = Newest {
        number,
        bytes: 0,
        torn: false,
    };
    if let Ok(mut file) = File::open(path(folder, number)) {
        found.bytes = file.metadata()?.len();
        let mut last = [b'\n'];
        if found.bytes > 0 && file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        found.torn = last != [b'\n'];
    }
    Ok(found)
}

/// Appends whole lines; what is too much then goes. Nothing is flushed to the disk: a crash of the machine may cost the
/// last seconds.
pub(super) fn append(
    folder: &Path,
    newest: &mut Newest,
    lines: &[u8],
    limits: &Limits,
) -> std::io::Result<()> {
    if newest.bytes >= limits.segment_bytes {
        *newest = Newest {
            number: newest.number + 1,
            bytes: 0,
            torn: false,
        };
        drop_oldest(folder, limits.segments);
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let path = path(folder, newest.number);
    let mut file = match options.open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            options.open(&path)?
        }
        other => other?,
    };
    // What was cut off is a line of its own, and told.
    if newest.torn {
        file.write_all(b"\n")?;
        newest.torn = false;
    }
    newest.torn = true;
    file.write_all(lines)?;
    newest.torn = false;
    newest.bytes += lines.len() as u64;
    Ok(())
}

/// Keeps room for one more.
fn drop_oldest(folder: &Path, most: usize) {
    let all = numbers(folder).unwrap_or_default();
    let over = (all.len() + 1).saturating_sub(most.max(1));
    for number in all.into_iter().take(over) {
        // Tried again with the next.
        let _ = std::fs::remove_file(path(folder, number));
    }
}

/// All lines that are there.
pub(super) fn read(folder: &Path, limits: Limits) -> Reader {
    let mut all = Reader::default();
    let numbers = numbers(folder).unwrap_or_default();
    let from = numbers.len().saturating_sub(limits.segments);
    for number in numbers.into_iter().skip(from) {
        let mut bytes = Vec::new();
        let opened = File::open(path(folder, number));
        // It may have been removed meanwhile.
        if let Ok(file) = opened
            && file
                .take(SLACK * limits.segment_bytes)
                .read_to_end(&mut bytes)
                .is_ok()
        {
            all.take(&bytes);
        }
    }
    all
}
