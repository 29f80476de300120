//! The followed log files, as the loop sees them. Refuses to know how they are read.

use std::path::Path;

use cartridge_agent_plan::settings::LogSettings;
use tokio::sync::mpsc;

use super::{Agent, Event};
use crate::host::follow::{Follower, Told};
use crate::host::logs::Logs;
use crate::host::watch::Watcher;

/// What the last of the application's lines wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The application may still write.
    NotAsked,
    /// It has ended; what it wrote last is being read.
    Asked,
    /// Everything was read.
    Read,
}

pub(super) struct Following {
    follower: Option<Follower>,
    rest: Rest,
}

impl Following {
    pub(super) fn start(
        settings: &LogSettings,
        state_dir: &Path,
        base: u64,
        logs: Logs,
        watcher: &Watcher,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let tell = async move |told| {
            let _ = events.send(Event::Logs(told)).await;
        };
        Self {
            follower: Follower::start(settings, state_dir, base >> 32, logs, watcher, tell),
            rest: Rest::NotAsked,
        }
    }

    /// Ends the one that follows, which writes down how far it was; what comes next is told when it has.
    fn give_up(&mut self, events: mpsc::Sender<Event>) {
        let follower = self.follower.take();
        tokio::task::spawn_local(async move {
            if let Some(follower) = follower {
                follower.end().await;
            }
            let _ = events.send(Event::FollowAnew).await;
        });
    }

    /// The application has ended: what it wrote last is read now.
    pub(super) fn read_to_end(&mut self) {
        if self.rest == Rest::NotAsked {
            let asked = self.follower.as_ref().is_some_and(Follower::read_to_end);
            self.rest = if asked { Rest::Asked } else { Rest::Read };
        }
    }

    /// Everything was read.
    pub(super) fn has_read_all(&self) -> bool {
        self.rest == Rest::Read
    }

    pub(super) async fn end(self) {
        if let Some(follower) = self.follower {
            follower.end().await;
        }
    }
}

impl Agent {
    /// Files are followed as the settings say now.
    pub(super) fn follow_anew(&mut self) {
        self.following.give_up(self.events.clone());
    }

    pub(super) fn followed_to_end(&mut self) {
        if self.following.rest != Rest::NotAsked {
            return;
        }
        self.following = Following::start(
            &self.settings.logs,
            &self.settings.state_dir,
            self.base,
            self.effects.logs.clone(),
            &self.watcher,
            self.events.clone(),
        );
    }

    pub(super) fn logs_told(&mut self, told: Told) {
        match told {
            Told::Notice(text) => self.tell("logs", &text),
            Told::Much => self.uplink.hurry(self.clock.now()),
            Told::ReadToEnd => {
                self.following.rest = Rest::Read;
                self.uplink.hurry(self.clock.now());
            }
        }
    }

    /// The last lines are on their way, or will never be.
    pub(super) fn has_sent_logs(&self) -> bool {
        self.fenced || self.desired.is_none() || self.following.has_read_all() && self.uplink.has_sent_logs()
    }
}
