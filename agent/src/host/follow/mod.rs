//! Follows log files: woken by changes, at most every so often, reading in a blocking thread so that nobody waits for a disk.
//!
//! ```text
//! watch ──> touched ──> pass (open, read, plan) ──> [state folder] ──> ring ──> batches
//!                           ^ room, what was taken ──────────────────────┘
//! ```
//!
//! How far a file was taken is written down for what the orchestrator acknowledged, so after a crash lines are read again
//! and none is missed; they have the sequence that they had, and the orchestrator keeps each once. Refuses to know what
//! lines say.

mod folders;
mod open;
mod store;
mod tail;

use std::path::{Path, PathBuf};
use std::time::Duration;

use cartridge_agent_plan::settings::LogSettings;
use cartridge_protocol::Millis;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio::time::{sleep_until, timeout};

pub use folders::{Folders, Outcome, Touched};
pub use tail::Taken;

use super::clock::Clock;
use super::logs::Logs;
use super::watch::{Changes, Watcher};

/// Shortest time between two passes.
const PACE: Millis = Millis(250);
/// A folder that is not there is looked for so often.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Longest wait for the last writing down.
const END: Duration = Duration::from_secs(2);

/// What the agent has to know.
#[derive(Debug)]
pub enum Told {
    /// For people.
    Notice(String),
    /// So much waits that it should be sent before it is time.
    Much,
    /// Everything that could be read was read.
    ReadToEnd,
}

enum Order {
    Touched(usize, Touched),
    ReadToEnd,
    End,
}

/// The task that follows; nothing runs where no file is named.
pub struct Follower {
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Begins. None: no file is named.
    pub fn start(
        settings: &LogSettings,
        state_dir: &Path,
        starts: u64,
        logs: Logs,
        watcher: &Watcher,
        tell: impl AsyncFn(Told) + 'static,
    ) -> Option<Self> {
        if settings.files.is_empty() {
            return None;
        }
        let (orders, incoming) = mpsc::channel(256);
        let state = state_dir.join("logs.json");
        // Higher than any generation that was given out, unless files were rotated a thousand times for each start.
        let least = starts << 10;
        let (files, rules) = (settings.files.clone(), settings.rules.clone());
        let (watcher, sender) = (watcher.clone(), orders.clone());
        let task = spawn_local(async move {
            let opened = spawn_blocking(move || Folders::open(&files, rules, state, least)).await;
            let Ok((folders, fault)) = opened else { return };
            if let Some(text) = fault {
                tell(Told::Notice(text)).await;
            }
            watch(&watcher, folders.paths(), &sender);
            let mut following = Following {
                folders: Some(folders),
                clock: logs.clock(),
                logs,
                next: Millis::ZERO,
                due: Some(Millis::ZERO),
                full: false,
                to_end: false,
            };
            following.run(incoming, &tell).await;
        });
        Some(Self { orders, task })
    }

    /// Asks for [`Told::ReadToEnd`].
    pub fn read_to_end(&self) -> bool {
        self.orders.try_send(Order::ReadToEnd).is_ok()
    }

    /// Writes down how far files were taken, and ends.
    pub async fn end(self) {
        let _ = self.orders.try_send(Order::End);
        let _ = timeout(END, self.task).await;
    }
}

fn watch(watcher: &Watcher, paths: Vec<PathBuf>, orders: &mpsc::Sender<Order>) {
    for (at, path) in paths.into_iter().enumerate() {
        let (mut watched, orders) = (watcher.folder(&path, LOOK_FOR), orders.clone());
        spawn_local(async move {
            loop {
                let changes = tokio::select! {
                    changes = watched.changed() => changes,
                    () = orders.closed() => return,
                };
                if orders.send(Order::Touched(at, touched(changes))).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn touched(changes: Changes) -> Touched {
    let name = |path: &PathBuf| path.file_name()?.to_str().map(str::to_owned);
    Touched {
        all: changes.all,
        names: changes.names.iter().filter_map(name).collect(),
    }
}

struct Following {
    folders: Option<Folders>,
    logs: Logs,
    clock: Clock,
    /// The next pass is not before.
    next: Millis,
    due: Option<Millis>,
    /// The last pass ended because there was no room.
    full: bool,
    to_end: bool,
}

impl Following {
    async fn run(&mut self, mut orders: mpsc::Receiver<Order>, tell: &impl AsyncFn(Told)) {
        while let Some(mut folders) = self.folders.take() {
            let due = self.due.map(|at| self.clock.instant(at.max(self.next)));
            let order = tokio::select! {
                order = orders.recv() => order,
                () = self.logs.taken() => {
                    folders.taken(&self.logs.with(|ring| ring.take_taken()));
                    self.due = self.after_taken();
                    self.folders = Some(folders);
                    continue;
                }
                () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    self.pass(folders, tell).await;
                    continue;
                }
            };
            match order {
                Some(Order::Touched(at, touched)) => folders.touch(at, touched),
                Some(Order::ReadToEnd) => {
                    folders.touch_all();
                    self.to_end = true;
                }
                Some(Order::End) | None => {
                    folders.taken(&self.logs.with(|ring| ring.take_taken()));
                    let _ = spawn_blocking(move || folders.write_now()).await;
                    return;
                }
            }
            self.due = Some(self.clock.now());
            self.folders = Some(folders);
        }
    }

    /// What was taken is written down some time; where there was no room, there is some now.
    fn after_taken(&self) -> Option<Millis> {
        let now = self.clock.now();
        let write = now.plus(Millis(3_000));
        let soon = if self.full { now } else { write };
        Some(self.due.map_or(soon, |due| due.min(soon)))
    }

    async fn pass(&mut self, mut folders: Folders, tell: &impl AsyncFn(Told)) {
        let (now, room, last) = (
            self.clock.now(),
            self.logs.with(|ring| ring.file_room()),
            self.to_end,
        );
        let passed = spawn_blocking(move || {
            let outcome = folders.pass(now, room, last);
            (folders, outcome)
        });
        // Only a panic ends it without an answer; then nothing is followed any more.
        let Ok((folders, outcome)) = passed.await else {
            tell(Told::Notice("log files are not followed any more".to_owned())).await;
            return;
        };
        self.folders = Some(folders);
        self.next = now.plus(PACE);
        self.full = outcome.full;
        self.due = outcome.due.filter(|_| !outcome.full);
        let read = !outcome.taken.is_empty();
        let much = self.logs.keep(outcome.taken);
        for notice in outcome.notices {
            tell(Told::Notice(notice)).await;
        }
        if read && much {
            tell(Told::Much).await;
        }
        if self.to_end && !outcome.full && self.due.is_none_or(|due| due > now.plus(PACE)) {
            self.to_end = false;
            tell(Told::ReadToEnd).await;
        }
    }
}
