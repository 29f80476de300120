//! Who watches which folder, and what each of them has not heard yet. Refuses to know when they ask.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::inotify::{AddWatchFlags, InotifyEvent, WatchDescriptor};
use tokio::sync::Notify;

use super::instance::{self, Instance};
use super::{Changes, MOST_FOLDERS};

/// Why events cannot be had.
#[derive(Debug)]
pub(super) enum Unarmed {
    Io(io::Error),
    Limit(&'static str),
}

/// Somebody's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interest {
    pub who: u64,
    /// With everything below.
    pub deep: bool,
}

/// What somebody has not heard yet.
#[derive(Debug, Default)]
pub(super) struct News {
    pub changes: Changes,
    /// The watches do not stand any more as they should.
    pub torn: bool,
}

#[derive(Debug)]
struct Listener {
    news: News,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Folder {
    interest: Interest,
    path: PathBuf,
    root: bool,
}

#[derive(Debug, Default)]
struct Inner {
    instance: Option<Arc<Instance>>,
    next: u64,
    listeners: BTreeMap<u64, Listener>,
    folders: HashMap<WatchDescriptor, Vec<Folder>>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

impl Table {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, wake: Arc<Notify>) -> u64 {
        let mut inner = self.inner();
        inner.next += 1;
        let who = inner.next;
        let news = News::default();
        inner.listeners.insert(who, Listener { news, wake });
        who
    }

    pub(super) fn leave(&self, who: u64) {
        let mut inner = self.inner();
        inner.listeners.remove(&who);
        inner.forget(who);
    }

    /// What this one has not heard yet.
    pub(super) fn take(&self, who: u64) -> Option<News> {
        let mut inner = self.inner();
        inner.listeners.get_mut(&who).map(|l| std::mem::take(&mut l.news))
    }

    /// Watches `path` for somebody, from nothing. Blocks. Needs the runtime's context.
    pub(super) fn arm(self: &Arc<Self>, interest: Interest, path: &Path) -> Result<(), Unarmed> {
        let instance = self.instance()?;
        let mut inner = self.inner();
        inner.forget(interest.who);
        if let Some(listener) = inner.listeners.get_mut(&interest.who) {
            listener.news = News::default();
        }
        let armed = inner.arm(&instance, interest, path);
        if armed.is_err() {
            inner.forget(interest.who);
        }
        armed
    }

    fn instance(self: &Arc<Self>) -> Result<Arc<Instance>, Unarmed> {
        let mut inner = self.inner();
        if let Some(instance) = &inner.instance {
            return Ok(instance.clone());
        }
        let instance = Arc::new(Instance::open()?);
        inner.instance = Some(instance.clone());
        tokio::spawn(instance::read(instance.clone(), Arc::downgrade(self)));
        Ok(instance)
    }

    /// Whether nothing is watched.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.inner().folders.is_empty()
    }

    pub(super) fn told(&self, events: &[InotifyEvent]) {
        let mut inner = self.inner();
        for event in events {
            inner.told(event);
        }
    }
}

impl Inner {
    fn arm(&mut self, instance: &Instance, interest: Interest, root: &Path) -> Result<(), Unarmed> {
        let mut waiting = vec![root.to_path_buf()];
        let mut count = 0;
        while let Some(path) = waiting.pop() {
            let is_root = path == root;
            match instance.add(&path, is_root) {
                Ok(watch) => {
                    let folder = Folder {
                        interest,
                        path: path.clone(),
                        root: is_root,
                    };
                    self.folders.entry(watch).or_default().push(folder);
                }
                // Gone since its name was read.
                Err(Unarmed::Io(_)) if !is_root => continue,
                Err(why) => return Err(why),
            }
            count += 1;
            if !interest.deep {
                break;
            }
            if count + waiting.len() > MOST_FOLDERS {
                return Err(Unarmed::Limit("it has more than 4096 folders"));
            }
            // After the watch, so that no folder falls between.
            let Ok(entries) = fs::read_dir(&path) else {
                continue;
            };
            let folders = entries
                .flatten()
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path());
            waiting.extend(folders.take(MOST_FOLDERS + 1 - waiting.len().min(MOST_FOLDERS)));
        }
        Ok(())
    }

    fn forget(&mut self, who: u64) {
        let instance = self.instance.clone();
        self.folders.retain(|watch, folders| {
            folders.retain(|folder| folder.interest.who != who);
            if let (true, Some(instance)) = (folders.is_empty(), &instance) {
                instance.remove(*watch);
            }
            !folders.is_empty()
        });
    }

    fn told(&mut self, event: &InotifyEvent) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            for listener in self.listeners.values_mut() {
                listener.news.changes.all = true;
                listener.news.torn = true;
                listener.wake.notify_one();
            }
            return;
        }
        let gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        let lost = event.mask.intersects(gone);
        let names = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
        let moved = event.mask.contains(AddWatchFlags::IN_ISDIR) && event.mask.intersects(names);
        for folder in self.folders.get(&event.wd).into_iter().flatten() {
            let Some(listener) = self.listeners.get_mut(&folder.interest.who) else {
                continue;
            };
            let news = &mut listener.news;
            if let Some(name) = &event.name {
                news.changes.add(folder.path.join(name));
            }
            news.torn |= (lost && folder.root) || (moved && folder.interest.deep);
            if news.torn || !news.changes.is_empty() {
                listener.wake.notify_one();
            }
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.folders.remove(&event.wd);
        }
    }
}
