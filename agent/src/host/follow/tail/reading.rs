//! From an open file into the flow, in steps; and whether it still is the file that it was.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt;

use cartridge_agent_plan::logs::follow::{Head, LONGEST, leap, leapt};

use super::super::open::modified;
use super::{MOST_ENTRIES, Pass, Read, Tail};

impl Tail {
    pub(super) fn read(&mut self, pass: &mut Pass<'_>, left: &mut usize) -> io::Result<Read> {
        let Some(current) = &self.current else {
            return Ok(Read::AtEnd);
        };
        let generation = current.generation;
        let meta = current.file.metadata()?;
        let known = self.kept.iter().find(|kept| kept.place.generation == generation);
        let head = known.map(|kept| kept.place.head).unwrap_or_default();
        let first = first_bytes(&current.file, head.bytes as usize)?;
        if meta.len() < self.flow.position() || !head.matches(&first) || self.was_blank(head, &meta) {
            return Ok(Read::Truncated);
        }
        if meta.len() >= LONGEST {
            return Err(io::Error::other("it is longer than a terabyte"));
        }
        if let Some(to) = leap(self.flow.position(), meta.len()) {
            self.leap(to, pass)?;
        }
        let read = self.pull(pass, left)?;
        self.look_at_head(&meta, pass)?;
        Ok(read)
    }

    /// A file of which nothing was read yet and that was written to may have been copied and truncated meanwhile.
    fn was_blank(&mut self, head: Head, meta: &Metadata) -> bool {
        if head.bytes > 0 {
            self.blank = None;
            return false;
        }
        let before = self.blank.replace(modified(meta));
        before.is_some_and(|before| before != modified(meta))
    }

    /// Bytes into the flow, until there are no more or no more may come.
    fn pull(&mut self, pass: &mut Pass<'_>, left: &mut usize) -> io::Result<Read> {
        let mut entries = Vec::new();
        let read = loop {
            let Some(current) = &self.current else {
                break Read::AtEnd;
            };
            let most = (*left).min(pass.buffer.len());
            let room = MOST_ENTRIES.min(*pass.room).saturating_sub(entries.len());
            let count = read_at(
                &current.file,
                &mut pass.buffer[..most.max(1)],
                self.flow.position(),
            )?;
            if count == 0 {
                break Read::AtEnd;
            }
            if most == 0 || room == 0 {
                break Read::More;
            }
            let start = pass.rules.start.as_ref();
            let taken = self
                .flow
                .take(&pass.buffer[..count], pass.now, start, room, &mut entries);
            *left -= taken;
            if taken > 0 {
                self.grew = pass.now;
            }
            if taken < count {
                break Read::More;
            }
        };
        self.emit(entries, pass);
        Ok(read)
    }

    /// The more of a file's beginning is known, the surer it is recognised; that comes before its lines are sent.
    fn look_at_head(&mut self, meta: &Metadata, pass: &mut Pass<'_>) -> io::Result<()> {
        let position = usize::try_from(self.flow.position()).unwrap_or(usize::MAX);
        let Some(current) = &self.current else {
            return Ok(());
        };
        let Some(kept) = self
            .kept
            .iter_mut()
            .find(|kept| kept.place.generation == current.generation)
        else {
            return Ok(());
        };
        kept.place.modified = modified(meta);
        let known = position.min(Head::MOST);
        if known > kept.place.head.bytes as usize {
            kept.place.head = Head::of(&first_bytes(&current.file, known)?);
            *pass.write_first = true;
        }
        Ok(())
    }

    fn leap(&mut self, to: u64, pass: &mut Pass<'_>) -> io::Result<()> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        // From the beginning of a line: after the first end of one.
        let count = read_at(&current.file, pass.buffer, to - 1)?;
        let line = pass.buffer[..count].iter().position(|b| *b == b'\n');
        let to = to + line.map_or(0, |at| at as u64);
        let mut entries = Vec::new();
        let why = leapt(self.flow.position(), to);
        self.flow.skip_to(to, why, &mut entries);
        self.emit(entries, pass);
        Ok(())
    }
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The first bytes, fewer if there are fewer.
pub(super) fn first_bytes(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut first = vec![0; most.min(Head::MOST)];
    let mut length = 0;
    while length < first.len() {
        match read_at(file, &mut first[length..], length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    first.truncate(length);
    Ok(first)
}
