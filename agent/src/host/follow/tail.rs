//! One followed stream: the files that stand under its name in turn, read in small steps.
//!
//! It is in `reading.rs` how a file is read, in `planning.rs` how the folder is looked at. Which file comes next is decided by [`cartridge_agent_plan::logs::follow`]; this only opens, reads and remembers.

mod planning;
mod reading;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use cartridge_agent_plan::logs::follow::{
    Done, Head, MOST_DONE, Piece, Place, REST_IS_GONE, parts, sequence,
};
use cartridge_agent_plan::logs::{Entry, Flow, JOIN_FILE_WITHIN, LogRules, Over};
use cartridge_protocol::Millis;

use super::open::{Folder, Stands};
use super::store::Stored;

/// Most bytes of one stream in one pass.
const STEP: usize = 256 << 10;
/// Most entries of one stream in one pass.
const MOST_ENTRIES: usize = 128;
/// Most files that one pass goes through.
const MOST_FILES: usize = 16;
/// Most rotated files that are looked at.
const MOST_SEEN: usize = 64;
/// Whoever writes may go on in the old file for so long after the new one got its first bytes.
const GRACE: Millis = Millis(1_000);
/// A file that lost its name is looked at so often, because nothing is told of it any more,
const NAMELESS_LOOK: Millis = Millis(1_000);
/// and is let go when nothing came for so long.
const NAMELESS: Millis = Millis(60_000);

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The path of the stream.
    pub stream: Arc<str>,
    /// See [`cartridge_agent_plan::logs::follow::sequence`].
    pub sequence: u64,
    /// The text.
    pub text: String,
}

/// What a pass works with.
pub(super) struct Pass<'a> {
    /// Nobody writes any more.
    pub(super) last: bool,
    pub(super) folder: Option<&'a Folder>,
    pub(super) now: Millis,
    pub(super) rules: &'a LogRules,
    /// The last generation given to a file.
    pub(super) generation: &'a mut u64,
    /// Entries that may still come.
    pub(super) room: &'a mut usize,
    pub(super) taken: &'a mut Vec<Taken>,
    pub(super) buffer: &'a mut [u8],
    /// Something must be on disk before these entries are sent.
    pub(super) write_first: &'a mut bool,
}

struct Kept {
    place: Place,
    /// The end of its last entry.
    emitted: u64,
    finished: bool,
}

struct Current {
    file: File,
    inode: u64,
    generation: u64,
}

enum Read {
    AtEnd,
    More,
    /// It is not the file any more that it was.
    Truncated,
}

pub(super) struct Tail {
    name: String,
    stream: Arc<str>,
    flow: Flow,
    /// Whose lines the flow holds.
    flowing: Option<u64>,
    current: Option<Current>,
    queue: VecDeque<Piece>,
    kept: Vec<Kept>,
    done: VecDeque<Done>,
    /// Something else stands under the name since.
    replaced: Option<Millis>,
    /// The file that something else has replaced for long enough.
    left: Option<u64>,
    /// When a file was last written to of which nothing was read yet.
    blank: Option<u64>,
    grew: Millis,
    /// What is in the folder has to be looked at, whatever stands under the name.
    unplanned: bool,
    missing: bool,
    /// When to come back, if nothing changes before.
    pub(super) due: Option<Millis>,
    /// There was more than this pass could take.
    pub(super) more: bool,
}

impl Tail {
    pub(super) fn new(name: &str, stream: &str, rules: &LogRules, stored: Stored, now: Millis) -> Self {
        let kept: Vec<Kept> = stored
            .places
            .into_iter()
            .map(|place| Kept {
                place,
                emitted: place.offset,
                finished: false,
            })
            .collect();
        Self {
            name: name.to_owned(),
            stream: stream.into(),
            flow: Flow::new(rules.rate, Over::Wait, JOIN_FILE_WITHIN, 0),
            flowing: None,
            current: None,
            queue: VecDeque::new(),
            unplanned: !kept.is_empty(),
            kept,
            done: stored.done.into(),
            replaced: None,
            left: None,
            blank: None,
            grew: now,
            missing: false,
            due: Some(now),
            more: false,
        }
    }

    /// How far it was taken, to be written down.
    pub(super) fn stored(&self) -> Stored {
        Stored {
            places: self.kept.iter().map(|kept| kept.place).collect(),
            done: self.done.iter().copied().collect(),
        }
    }

    /// Nothing is left to read or to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.current.is_none() && self.queue.is_empty() && self.kept.is_empty() && !self.unplanned
    }

    /// Entries up to this one were taken.
    pub(super) fn taken(&mut self, last: u64) {
        let (generation, end) = parts(last);
        for kept in &mut self.kept {
            if kept.place.generation < generation && kept.finished {
                kept.place.offset = kept.emitted;
            } else if kept.place.generation == generation {
                kept.place.offset = kept.place.offset.max(end);
            }
        }
        self.retire();
    }

    /// Reads what there is, as far as it may.
    pub(super) fn pass(&mut self, pass: &mut Pass<'_>) -> io::Result<()> {
        (self.more, self.due) = (false, None);
        let mut entries = Vec::new();
        self.flow.tick(pass.now, &mut entries);
        self.emit(entries, pass);
        let mut left = STEP;
        for _ in 0..MOST_FILES {
            if self.current.is_none() && !self.advance(pass)? {
                return Ok(());
            }
            match self.read(pass, &mut left)? {
                Read::More => {
                    self.more = true;
                    return Ok(());
                }
                Read::Truncated => self.plan(pass)?,
                Read::AtEnd if self.may_leave() => self.current = None,
                Read::AtEnd => {
                    if !self.is_replaced(pass)? {
                        if pass.last {
                            self.complete(pass);
                        }
                        self.due = [self.due, self.flow.due()].into_iter().flatten().min();
                        return Ok(());
                    }
                    // Other files may have come in between since the folder was looked at.
                    self.left = self.flowing;
                    self.plan(pass)?;
                }
            }
        }
        self.more = true;
        Ok(())
    }

    /// What the flow holds is sent as it is, although it might grow.
    fn complete(&mut self, pass: &mut Pass<'_>) {
        let mut entries = Vec::new();
        self.flow
            .finish(pass.now, pass.rules.start.as_ref(), &mut entries);
        self.emit(entries, pass);
    }

    /// Whether the next file may be opened now that this one has no more.
    fn may_leave(&self) -> bool {
        let next = self.queue.front();
        next.is_some_and(|next| next.name != self.name || self.left == self.flowing)
    }

    /// Opens the next file, if there is one.
    fn advance(&mut self, pass: &mut Pass<'_>) -> io::Result<bool> {
        if self.queue.is_empty() {
            let there = matches!(look(pass.folder, &self.name)?, Stands::File { .. });
            if !there && !self.unplanned {
                self.end_flow(pass);
                return Ok(false);
            }
            self.plan(pass)?;
        }
        let Some(piece) = self.queue.pop_front() else {
            return Ok(false);
        };
        let file = match pass.folder {
            Some(folder) => folder.file(&piece.name)?,
            None => None,
        };
        let Some(file) = file.filter(|file| file.metadata().is_ok_and(|meta| meta.ino() == piece.inode))
        else {
            // It was renamed since it was seen.
            self.queue.clear();
            self.unplanned = true;
            self.due = Some(pass.now.plus(Millis(100)));
            return Ok(false);
        };
        self.begin(&piece, &file, pass);
        self.current = Some(Current {
            file,
            inode: piece.inode,
            generation: self.flowing.unwrap_or(0),
        });
        Ok(true)
    }

    /// From now on the flow holds lines of this file.
    fn begin(&mut self, piece: &Piece, file: &File, pass: &mut Pass<'_>) {
        let generation = piece.generation.unwrap_or_else(|| {
            *pass.generation += 1;
            *pass.write_first = true;
            *pass.generation
        });
        if self.flowing != Some(generation) {
            self.end_flow(pass);
            self.blank = None;
            // Only what was known before this agent began may have been read before.
            let seen_before = piece.generation.and_then(|_| file.metadata().ok());
            self.flow
                .begin(piece.from, seen_before.map_or(0, |meta| meta.len()));
            self.flowing = Some(generation);
        }
        match self.kept_mut(generation) {
            Some(kept) => kept.place.inode = piece.inode,
            None => self.kept.push(Kept {
                place: Place {
                    generation,
                    inode: piece.inode,
                    head: Head::default(),
                    offset: piece.from,
                    modified: 0,
                },
                emitted: piece.from,
                finished: false,
            }),
        }
        if std::mem::take(&mut self.missing) {
            let entry = Entry {
                text: REST_IS_GONE.to_owned(),
                end: piece.from,
            };
            self.emit(vec![entry], pass);
        }
        self.retire();
    }

    /// Nothing more comes of the file whose lines the flow holds.
    fn end_flow(&mut self, pass: &mut Pass<'_>) {
        let Some(generation) = self.flowing else { return };
        self.complete(pass);
        self.flowing = None;
        if let Some(kept) = self.kept_mut(generation) {
            kept.finished = true;
        }
        self.retire();
    }

    /// Whether another file stands under the name for long enough.
    fn is_replaced(&mut self, pass: &mut Pass<'_>) -> io::Result<bool> {
        let Some(current) = &self.current else {
            return Ok(true);
        };
        let quiet = pass.now.since(self.grew);
        match look(pass.folder, &self.name)? {
            Stands::File { inode, .. } if inode == current.inode => {
                (self.replaced, self.left) = (None, None);
                return Ok(false);
            }
            Stands::File { size, .. } if size > 0 => {
                let since = *self.replaced.get_or_insert(pass.now);
                if pass.now >= since.plus(GRACE) {
                    self.replaced = None;
                    return Ok(true);
                }
                self.due = Some(since.plus(GRACE));
            }
            Stands::Nothing | Stands::Other(_) if quiet >= NAMELESS => {
                self.current = None;
                self.queue.clear();
                self.end_flow(pass);
            }
            _ if quiet < NAMELESS => self.due = Some(pass.now.plus(NAMELESS_LOOK)),
            _ => {}
        }
        Ok(false)
    }

    fn emit(&mut self, entries: Vec<Entry>, pass: &mut Pass<'_>) {
        let Some(generation) = self.flowing else { return };
        let stream = Arc::clone(&self.stream);
        if let (Some(last), Some(kept)) = (entries.last(), self.kept_mut(generation)) {
            kept.emitted = kept.emitted.max(last.end);
        }
        *pass.room = pass.room.saturating_sub(entries.len());
        pass.taken.extend(entries.into_iter().map(|entry| Taken {
            stream: Arc::clone(&stream),
            sequence: sequence(generation, entry.end),
            text: entry.text,
        }));
    }

    fn kept_mut(&mut self, generation: u64) -> Option<&mut Kept> {
        self.kept
            .iter_mut()
            .find(|kept| kept.place.generation == generation)
    }

    /// Files of which everything was taken are only remembered.
    fn retire(&mut self) {
        while let Some(first) = self.kept.first()
            && first.finished
            && first.place.offset >= first.emitted
        {
            let gone = self.kept.remove(0);
            self.done.push_back(Done {
                inode: gone.place.inode,
                head: gone.place.head,
            });
            if self.done.len() > MOST_DONE {
                self.done.pop_front();
            }
        }
    }
}

fn look(folder: Option<&Folder>, name: &str) -> io::Result<Stands> {
    folder.map_or(Ok(Stands::Nothing), |folder| folder.look(name))
}
