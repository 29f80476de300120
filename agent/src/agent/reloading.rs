//! Settings that are read again while the member lives: because a file of theirs changed, or because a signal asks.
//!
//! Refuses to decide what applies now (the plan does) and to know where settings come from.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cartridge_agent_plan::settings::reload::{Reload, compare, files, refusal, take_over, words};
use cartridge_agent_plan::settings::{Fault, Resolved, Settings};
use tokio::sync::mpsc;

use super::{Agent, Event};
use crate::host::level;
use crate::host::watch::{Watched, Watcher};

/// How long nothing may have changed beside a file before it is looked at.
const QUIET: Duration = Duration::from_millis(500);
/// Longest wait for that.
const AT_MOST: Duration = Duration::from_secs(5);
/// Time between looks where changes cannot be watched.
const EVERY: Duration = Duration::from_secs(60);

/// How all settings are read again. Blocks.
pub type Reread = fn() -> Resolved;

/// What is known of reading again.
pub(super) struct Reloading {
    reread: Reread,
    /// Settings are being read.
    busy: bool,
    /// Asked for once more meanwhile.
    again: bool,
    /// A signal has asked, and whoever sent it may wait.
    pub(super) asked: bool,
    /// A person was told this already.
    told: Option<String>,
}

impl Reloading {
    pub(super) fn new(reread: Reread) -> Self {
        Self {
            reread,
            busy: false,
            again: false,
            asked: false,
            told: None,
        }
    }
}

/// Watches the folders of the files that settings came from.
pub(super) fn watch(settings: &Settings, watcher: &Watcher, events: &mpsc::Sender<Event>) {
    for path in files(settings) {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let watched = watcher.folder(folder, EVERY);
        tokio::task::spawn_local(look(path, watched, events.clone()));
    }
}

/// A file may be a link to one that is replaced in another folder, so its own name is not what is waited for.
async fn look(path: PathBuf, mut watched: Watched, events: mpsc::Sender<Event>) {
    let mut known = print(&path);
    loop {
        watched.settled(QUIET, AT_MOST).await;
        let now = print(&path);
        // A file that is gone says nothing; what it said holds.
        if now.is_some() && now != known {
            known = now;
            if events.send(Event::SettingsChanged).await.is_err() {
                return;
            }
        }
    }
}

/// What tells one state of a file from another.
fn print(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let stat = std::fs::metadata(path).ok()?;
    Some((
        stat.dev(),
        stat.ino(),
        stat.size(),
        stat.mtime(),
        stat.mtime_nsec(),
    ))
}

impl Agent {
    /// Reads all settings again.
    pub(super) fn reread(&mut self) {
        if std::mem::replace(&mut self.reloading.busy, true) {
            self.reloading.again = true;
            return;
        }
        let (reread, events) = (self.reloading.reread, self.events.clone());
        tokio::task::spawn_blocking(move || {
            let _ = events.blocking_send(Event::Reread(Box::new(reread().settings)));
        });
    }

    /// They were read.
    pub(super) fn settings_read(&mut self, read: Result<Settings, Vec<Fault>>) {
        self.reloading.busy = false;
        match read {
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("{fault}");
                }
                self.told_of_settings(Some(refusal(&faults)));
            }
            Ok(read) => {
                let reload = compare(&self.settings, &read);
                take_over(&mut self.settings, &read);
                self.apply(&reload);
                if !reload.now.is_empty() {
                    // Something happens each time.
                    self.reloading.told = None;
                }
                self.told_of_settings(words(&reload));
            }
        }
        if std::mem::take(&mut self.reloading.asked) {
            self.manager.reloaded();
        }
        if std::mem::take(&mut self.reloading.again) {
            self.reread();
        }
    }

    /// The same is told once: what is wrong, and what waits.
    fn told_of_settings(&mut self, text: Option<String>) {
        if let Some(text) = text
            .as_ref()
            .filter(|text| self.reloading.told.as_ref() != Some(*text))
        {
            self.tell("settings", text);
        }
        self.reloading.told = text;
    }

    fn apply(&mut self, reload: &Reload) {
        if reload.now.is_empty() {
            return;
        }
        level::change(&self.settings.log);
        self.files.follow_rules(&self.settings.artifacts);
        self.tenants.follow_rules(&self.settings.artifacts);
        if reload.now.iter().any(|name| name.starts_with("CARTRIDGE_LOG_")) {
            self.effects.logs.follow_rules(self.settings.logs.rules.clone());
            self.follow_anew();
        }
    }
}
