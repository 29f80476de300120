//! Followed folders: which of their files are meant, and a pass over those that changed. Blocking; nothing here waits.
//!
//! Refuses to know when to look.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cartridge_agent_plan::logs::LogRules;
use cartridge_agent_plan::logs::pattern::{holds_packed_data, is_meant, is_rotation_of};
use cartridge_agent_plan::settings::LogFiles;
use cartridge_protocol::Millis;

use super::open::{Folder, Stands};
use super::store::{self, Places, Stored};
use super::tail::{Pass, Tail, Taken};

/// Most files that are followed.
const MOST_FILES: usize = 64;
/// Most things that are told once.
const MOST_TOLD: usize = 128;
/// How far files were taken is written down so often at most, unless it must be.
const WRITE_EVERY: Millis = Millis(3_000);
/// Read at once.
const BUFFER: usize = 64 << 10;

/// What changed in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Anything may have.
    pub all: bool,
    /// These names.
    pub names: BTreeSet<String>,
}

struct Followed {
    path: PathBuf,
    patterns: Vec<String>,
    tails: BTreeMap<String, Tail>,
    touched: Touched,
}

/// What came of a pass.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Entries, oldest first within a stream.
    pub taken: Vec<Taken>,
    /// For people.
    pub notices: Vec<String>,
    /// When to come back, if nothing changes before.
    pub due: Option<Millis>,
    /// There was no room for all.
    pub full: bool,
}

/// All of them.
pub struct Folders {
    folders: Vec<Followed>,
    rules: LogRules,
    state: PathBuf,
    stored: BTreeMap<String, Stored>,
    generation: u64,
    /// Whose turn is first.
    turn: usize,
    changed: bool,
    written: Millis,
    told: BTreeMap<PathBuf, String>,
    buffer: Vec<u8>,
}

impl Folders {
    /// Takes up what was written down in `state`. Generations begin after `least` where that is gone.
    pub fn open(files: &[LogFiles], rules: LogRules, state: PathBuf, least: u64) -> (Self, Option<String>) {
        let (places, fault) = match store::read(&state) {
            Ok(places) => (places, None),
            Err(why) => {
                let text = format!(
                    "how far log files were read is not known any more ({}: {why}): they are read again",
                    state.display()
                );
                (Places::default(), Some(text))
            }
        };
        let mut folders: Vec<Followed> = Vec::new();
        for file in files {
            match folders.iter_mut().find(|folder| folder.path == file.folder) {
                Some(folder) => folder.patterns.push(file.name.clone()),
                None => folders.push(Followed {
                    path: file.folder.clone(),
                    patterns: vec![file.name.clone()],
                    tails: BTreeMap::new(),
                    touched: Touched {
                        all: true,
                        ..Touched::default()
                    },
                }),
            }
        }
        let all = Self {
            folders,
            rules,
            state,
            generation: if fault.is_some() { least } else { places.generation },
            stored: meant(places.streams, files),
            turn: 0,
            changed: false,
            written: Millis::ZERO,
            told: BTreeMap::new(),
            buffer: Vec::new(),
        };
        (all, fault)
    }

    /// Their paths, in the order in which changes are told.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.path.clone()).collect()
    }

    /// Something changed.
    pub fn touch(&mut self, folder: usize, touched: Touched) {
        let known = &mut self.folders[folder].touched;
        known.all |= touched.all;
        known.names.extend(touched.names);
    }

    /// Anything may have changed.
    pub fn touch_all(&mut self) {
        for folder in &mut self.folders {
            folder.touched.all = true;
        }
    }

    /// Entries of these streams were taken, up to these sequences.
    pub fn taken(&mut self, taken: &BTreeMap<String, u64>) {
        for folder in &mut self.folders {
            for (name, tail) in &mut folder.tails {
                if let Some(last) = taken.get(&stream(&folder.path, name)) {
                    tail.taken(*last);
                    self.changed = true;
                }
            }
        }
    }

    /// Reads what changed and what is due, as far as there is room; `last`: what may still grow is complete.
    pub fn pass(&mut self, now: Millis, mut room: usize, last: bool) -> Outcome {
        let mut outcome = Outcome::default();
        let mut write_first = false;
        self.buffer.resize(BUFFER, 0);
        let count = self.folders.len();
        for at in 0..count {
            let at = (self.turn + at) % count;
            let mut job = Job {
                last,
                turn: self.turn,
                rules: &self.rules,
                now,
                generation: &mut self.generation,
                room: &mut room,
                buffer: &mut self.buffer,
                write_first: &mut write_first,
                told: &mut self.told,
                outcome: &mut outcome,
            };
            let before: usize = self.folders.iter().map(|folder| folder.tails.len()).sum();
            job.folder(
                &mut self.folders[at],
                &mut self.stored,
                MOST_FILES.saturating_sub(before),
            );
        }
        self.turn = self.turn.wrapping_add(1);
        // An idle agent is small.
        self.buffer = Vec::new();
        self.changed |= write_first;
        outcome.full = room == 0;
        self.write(now, write_first, &mut outcome);
        outcome
    }

    /// Writes down how far files were taken, if that changed.
    pub fn write_now(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        self.write(self.written, true, &mut outcome);
        outcome
    }

    fn write(&mut self, now: Millis, at_once: bool, outcome: &mut Outcome) {
        if !self.changed {
            return;
        }
        let due = self.written.plus(WRITE_EVERY);
        if !at_once && now < due {
            outcome.due = Some(outcome.due.map_or(due, |other| other.min(due)));
            return;
        }
        let mut places = Places::after(self.generation);
        places.streams = self.stored.clone();
        for folder in &self.folders {
            for (name, tail) in &folder.tails {
                places.streams.insert(stream(&folder.path, name), tail.stored());
            }
        }
        self.written = now;
        match store::write(&self.state, &places) {
            Ok(()) => {
                self.changed = false;
                self.told.remove(&self.state);
            }
            Err(error) => {
                let text = format!("how far log files were read cannot be written down: {error}");
                outcome.tell(&mut self.told, &self.state, &text);
                let again = now.plus(WRITE_EVERY);
                outcome.due = Some(outcome.due.map_or(again, |other| other.min(again)));
            }
        }
    }
}

impl Outcome {
    /// Tells something once.
    fn tell(&mut self, told: &mut BTreeMap<PathBuf, String>, about: &Path, text: &str) {
        if told.len() < MOST_TOLD
            && told.insert(about.to_path_buf(), text.to_owned()).as_deref() != Some(text)
        {
            self.notices.push(text.to_owned());
        }
    }
}

/// What is asked for no longer is forgotten.
fn meant(mut streams: BTreeMap<String, Stored>, files: &[LogFiles]) -> BTreeMap<String, Stored> {
    streams.retain(|path, _| {
        let path = Path::new(path);
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        files
            .iter()
            .any(|file| path.parent() == Some(&file.folder) && is_meant(&file.name, name))
    });
    streams
}

fn stream(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

struct Job<'a> {
    last: bool,
    turn: usize,
    rules: &'a LogRules,
    now: Millis,
    generation: &'a mut u64,
    room: &'a mut usize,
    buffer: &'a mut [u8],
    write_first: &'a mut bool,
    told: &'a mut BTreeMap<PathBuf, String>,
    outcome: &'a mut Outcome,
}

impl Job<'_> {
    fn folder(&mut self, followed: &mut Followed, stored: &mut BTreeMap<String, Stored>, may_follow: usize) {
        let touched = std::mem::take(&mut followed.touched);
        let now = self.now;
        let due = |tail: &Tail| tail.more || tail.due.is_some_and(|at| at <= now);
        if !touched.all && touched.names.is_empty() && !followed.tails.values().any(due) {
            self.come_back(followed);
            return;
        }
        let folder = match Folder::open(&followed.path) {
            Ok(folder) => {
                self.told.remove(&followed.path);
                Some(folder)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let text = format!("no log is read in {}: {error}", followed.path.display());
                self.outcome.tell(self.told, &followed.path, &text);
                None
            }
        };
        if let Some(folder) = &folder {
            self.discover(followed, folder, &touched, stored, may_follow);
        }
        let mut concerned: Vec<(&String, &mut Tail)> = followed
            .tails
            .iter_mut()
            .filter(|(name, tail)| {
                let is_changed = |changed: &String| changed == *name || is_rotation_of(changed, name);
                touched.all || due(tail) || touched.names.iter().any(is_changed)
            })
            .collect();
        let first = self.turn.checked_rem(concerned.len()).unwrap_or(0);
        concerned.rotate_left(first);
        for (name, tail) in concerned {
            self.read(&followed.path, name, tail, folder.as_ref());
        }
        followed.tails.retain(|_, tail| !tail.is_over());
        self.come_back(followed);
    }

    fn read(&mut self, path: &Path, name: &str, tail: &mut Tail, folder: Option<&Folder>) {
        let mut pass = Pass {
            last: self.last,
            folder,
            now: self.now,
            rules: self.rules,
            generation: self.generation,
            room: self.room,
            taken: &mut self.outcome.taken,
            buffer: self.buffer,
            write_first: self.write_first,
        };
        let read = tail.pass(&mut pass);
        let path = path.join(name);
        match read {
            Ok(()) => drop(self.told.remove(&path)),
            Err(error) => {
                let text = format!("{} cannot be read: {error}", path.display());
                self.outcome.tell(self.told, &path, &text);
            }
        }
    }

    fn come_back(&mut self, followed: &Followed) {
        for tail in followed.tails.values() {
            let at = if tail.more { Some(self.now) } else { tail.due };
            if let Some(at) = at {
                let due = &mut self.outcome.due;
                *due = Some(due.map_or(at, |other| other.min(at)));
            }
        }
    }

    /// Files that are meant and not followed yet; and streams of earlier days that still have something to read.
    fn discover(
        &mut self,
        followed: &mut Followed,
        folder: &Folder,
        touched: &Touched,
        stored: &mut BTreeMap<String, Stored>,
        may_follow: usize,
    ) {
        let names = if touched.all {
            match folder.names() {
                Ok(names) => names,
                Err(_) => return,
            }
        } else {
            touched.names.iter().cloned().collect()
        };
        let mut may_follow = may_follow;
        let meant = |name: &String| followed.patterns.iter().any(|pattern| is_meant(pattern, name));
        let mut fresh: Vec<(String, Stored)> = Vec::new();
        if touched.all {
            for path in stored.keys().cloned().collect::<Vec<_>>() {
                let name = Path::new(&path)
                    .strip_prefix(&followed.path)
                    .ok()
                    .and_then(Path::to_str);
                if let Some(name) = name.filter(|name| !name.contains('/')).map(str::to_owned)
                    && meant(&name)
                    && let Some(known) = stored.remove(&path)
                {
                    fresh.push((name, known));
                }
            }
        }
        for name in names.iter().filter(|name| meant(name)) {
            let by_pattern = !followed.patterns.contains(name);
            let rotation_of = |other: &String| other != name && meant(other) && is_rotation_of(name, other);
            let rotated = names.iter().chain(followed.tails.keys()).any(rotation_of);
            let known = followed.tails.contains_key(name) || fresh.iter().any(|(other, _)| other == name);
            if known || by_pattern && (rotated || holds_packed_data(name)) {
                continue;
            }
            match folder.look(name) {
                Ok(Stands::File { .. }) => fresh.push((name.clone(), Stored::default())),
                Ok(Stands::Other(what)) if what != "a folder" || !by_pattern => {
                    let path = followed.path.join(name);
                    let text = format!("{} is {what} and is not followed", path.display());
                    self.outcome.tell(self.told, &path, &text);
                }
                _ => {}
            }
        }
        for (name, known) in fresh {
            if may_follow == 0 {
                let text = format!("more than {MOST_FILES} log files: {name} and others are not followed");
                self.outcome.tell(self.told, Path::new("*"), &text);
                return;
            }
            may_follow -= 1;
            let tail = Tail::new(&name, &stream(&followed.path, &name), self.rules, known, self.now);
            followed.tails.insert(name, tail);
        }
    }
}
