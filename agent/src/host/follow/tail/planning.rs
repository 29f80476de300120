//! What the folder looks like, for the plan of which files come next; and what follows from it.

use std::io;
use std::os::unix::fs::MetadataExt;

use cartridge_agent_plan::logs::follow::{Done, Head, Place, Seen, belongs, pieces};

use super::super::open::{Folder, modified};
use super::reading::first_bytes;
use super::{MOST_SEEN, Pass, Tail};

impl Tail {
    /// Looks at the folder: which files are to be read now, one after another.
    pub(super) fn plan(&mut self, pass: &mut Pass<'_>) -> io::Result<()> {
        let read_on = self.current.take().map(|current| current.generation);
        let known: Vec<Place> = self
            .kept
            .iter()
            .filter(|kept| !kept.finished)
            .map(|kept| Place {
                offset: if self.flowing == Some(kept.place.generation) {
                    self.flow.position()
                } else {
                    kept.place.offset
                },
                ..kept.place
            })
            .collect();
        let done: Vec<Done> = self.done.iter().copied().chain(self.finished()).collect();
        let seen = self.seen(pass.folder)?;
        let plan = pieces(&self.name, &known, &done, &seen);
        self.unplanned = false;
        if let Some(kept) = plan.anew.and_then(|generation| self.kept_mut(generation)) {
            kept.finished = true;
        }
        for generation in plan.missing {
            // Its end was reached through its open handle.
            let read_to_end = read_on == Some(generation) && self.was_at_end(generation, &seen);
            self.missing |= !read_to_end;
            if self.flowing == Some(generation) {
                self.end_flow(pass);
            }
            if let Some(kept) = self.kept_mut(generation) {
                kept.finished = true;
            }
        }
        self.retire();
        self.queue = plan.pieces.into();
        Ok(())
    }

    /// A file that was read to its end and is nowhere any more was removed; one that still stands here was truncated.
    fn was_at_end(&self, generation: u64, seen: &[Seen]) -> bool {
        let kept = self.kept.iter().find(|kept| kept.place.generation == generation);
        kept.is_some_and(|kept| seen.iter().all(|file| file.inode != kept.place.inode))
    }

    fn finished(&self) -> impl Iterator<Item = Done> {
        let finished = self.kept.iter().filter(|kept| kept.finished);
        finished.map(|kept| Done {
            inode: kept.place.inode,
            head: kept.place.head,
        })
    }

    fn seen(&self, folder: Option<&Folder>) -> io::Result<Vec<Seen>> {
        let Some(folder) = folder else {
            return Ok(Vec::new());
        };
        let names = folder.names()?;
        let mut seen = Vec::new();
        for name in names.into_iter().filter(|name| belongs(name, &self.name)) {
            let Ok(Some(file)) = folder.file(&name) else {
                continue;
            };
            let meta = file.metadata()?;
            seen.push(Seen {
                inode: meta.ino(),
                size: meta.len(),
                modified: modified(&meta),
                first: first_bytes(&file, Head::MOST)?,
                name,
            });
            if seen.len() == MOST_SEEN {
                break;
            }
        }
        Ok(seen)
    }
}
