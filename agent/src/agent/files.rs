//! The files of one repository, the member's own or a tenant's: which commit, and the one piece of blocking work that is
//! under way.
//!
//! Refuses to choose moves (the plan does) and to know when a switch is allowed (the member's life does).

mod goal;
mod results;
mod tell;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cartridge_agent_plan::artifacts::Rules;
use cartridge_agent_plan::artifacts::denied::{Denied, GLANCE};
use cartridge_agent_plan::artifacts::sharing;
use cartridge_agent_plan::release::{ReleaseFiles, ShelfState};
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::tenants;
use cartridge_protocol::link::{DesiredArtifacts, Refused};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, Millis};
use tokio::sync::mpsc;

pub(super) use results::Outcome;
pub(crate) use work::Done;
use work::{failed, make_move};

use super::Event;
use super::plugins::SourcePlugin;
use super::pushing::PushBack;
use crate::host::clock::chance;
use crate::host::git::Stop;
use crate::host::git::credentials::{self, Mark};
use crate::host::shelf::{Place, Shelf};
use crate::host::watch::Watcher;

/// Longest look at a branch.
const LOOK: Duration = Duration::from_secs(60);
/// Longest move.
const LONGEST: Duration = Duration::from_secs(1800);

/// Whose files, and where they lie and appear.
pub(super) struct Site {
    /// None: the member's own.
    pub(super) tenant: Option<TenantId>,
    /// The folder of the shelf.
    pub(super) root: PathBuf,
    /// Where they appear, beside there.
    pub(super) place: Option<PathBuf>,
}

impl Site {
    /// The member's own.
    pub(super) fn own(settings: &Settings) -> Self {
        Self {
            tenant: None,
            root: settings.shelf.clone(),
            place: settings.files.place(),
        }
    }
}

/// What hooks and the application are told about files.
pub(super) struct InUse {
    pub(super) any: bool,
}

pub(super) struct Files {
    pub(super) tenant: Option<TenantId>,
    pub(super) shelf: Option<Shelf>,
    root: PathBuf,
    rules: Arc<Rules>,
    /// Brings the files instead of Git.
    plugin: Option<SourcePlugin>,
    release_files: ReleaseFiles,
    place: Option<Place>,
    /// Local changes go back to the branch.
    pub(super) push: Option<PushBack>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) wanted: Option<DesiredArtifacts>,
    pub(super) state: ShelfState,
    pub(super) head: Option<CommitId>,
    /// Who asks was refused.
    denied: Option<Denied<Mark>>,
    refused: Vec<Refused>,
    previous: Option<CommitId>,
    busy: bool,
    begun: Millis,
    pub(super) stop: Stop,
    /// Everything of it has to go.
    leaves: bool,
    /// It is gone.
    gone: bool,
    /// Something changed since the shelf had nothing left to do.
    pub(super) restless: bool,
    pub(super) move_at: Millis,
    tries: u32,
    look_at: Millis,
    looked_at: Millis,
    last_fault: Option<String>,
    /// The last fault since somebody asked for a look.
    asked_fault: Option<String>,
    could_switch: bool,
}

impl Files {
    pub(super) fn open(
        settings: &Settings,
        site: Site,
        plugin: Option<SourcePlugin>,
        events: mpsc::Sender<Event>,
        watcher: &Watcher,
    ) -> Self {
        // What a plugin brings goes nowhere back.
        let push = (settings.files.push_back && plugin.is_none()).then(|| {
            let tenant = site.tenant.unwrap_or(settings.files.tenant);
            PushBack::new(settings.member.clone(), tenant, watcher.clone())
        });
        Self {
            tenant: site.tenant,
            shelf: None,
            root: site.root,
            rules: Arc::new(settings.artifacts.clone()),
            plugin,
            release_files: settings.files.kind,
            place: site.place.map(|path| Place {
                path,
                existing: settings.files.existing,
            }),
            push,
            events,
            wanted: None,
            state: ShelfState::default(),
            head: None,
            denied: None,
            refused: Vec::new(),
            previous: None,
            busy: false,
            begun: Millis::ZERO,
            stop: Stop::new(),
            leaves: false,
            gone: false,
            restless: true,
            move_at: Millis::ZERO,
            tries: 0,
            look_at: Millis::ZERO,
            looked_at: Millis::ZERO,
            last_fault: None,
            asked_fault: None,
            could_switch: false,
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Millis> {
        if self.leaves {
            return (!self.busy).then_some(self.move_at);
        }
        let wanted = self.wanted.is_some() && !self.busy;
        let next = if self.restless {
            self.look_at.min(self.move_at)
        } else {
            self.look_at
        };
        let push = self.push.as_ref().and_then(PushBack::due);
        wanted.then(|| push.map_or(next, |at| at.min(next)))
    }

    /// Begins the next piece of work, if one is due.
    /// `may_push`: the current release may become another commit's.
    pub(super) fn advance(&mut self, now: Millis, may_switch: bool, may_push: bool) {
        if let Some(push) = &mut self.push {
            push.allow(may_push);
        }
        self.begun = now;
        if self.leaves {
            return self.go(now);
        }
        // A switch may have been held back before.
        self.restless |= may_switch && !std::mem::replace(&mut self.could_switch, may_switch);
        let Some(wanted) = self.wanted.clone().filter(|_| !self.busy) else {
            return;
        };
        if self.shelf.is_none() && self.move_at <= now {
            match Shelf::with_limits(&self.root, self.rules.limits) {
                Ok(shelf) => {
                    if let Some(push) = &mut self.push {
                        push.remember(&shelf, wanted.commit.as_ref(), now);
                    }
                    self.shelf = Some(self.furnished(shelf));
                }
                Err(error) => return self.begin(move || failed(None, &error)),
            }
        }
        if self.push_if_due(now) {
            return;
        }
        let source = self.source(&wanted);
        let may_ask = self.may_ask(now);
        if !may_ask && self.look_at <= now {
            self.look_at = now.plus(GLANCE);
        }
        let stop = Stop::within(self.patience(self.look_at <= now));
        if self.look_at <= now {
            let poll = sharing::poll(Millis(wanted.poll_interval_ms), wanted.sharing, chance());
            self.looked_at = now;
            self.look_at = now.plus(poll);
            self.stop = stop.clone();
            self.begin(move || Done::Looked(source.look(&stop)));
        } else if self.restless
            && self.move_at <= now
            && let Some(shelf) = self.shelf.clone()
        {
            self.stop = stop.clone();
            let goal = self.goal();
            let aside = self.push.is_some();
            self.restless = false;
            self.begin(move || make_move(&shelf, &goal, (may_switch, aside, may_ask), &source, &stop));
        }
    }

    /// Whether the server may be asked: not again and again with credentials that it has refused.
    fn may_ask(&mut self, now: Millis) -> bool {
        let Some(denied) = &self.denied else {
            return true;
        };
        let may = denied.may_ask(now, &self.mark());
        if may {
            self.denied = None;
            self.restless = true;
        }
        may
    }

    fn note_denial(&mut self, denied: bool, now: Millis) {
        if denied {
            self.denied = Some(Denied::new(now, self.mark()));
            self.look_at = self.look_at.min(now.plus(GLANCE));
        }
    }

    fn mark(&self) -> Mark {
        credentials::mark(self.rules.credentials.as_deref())
    }

    pub(super) fn patience(&self, look: bool) -> Duration {
        match self.tenant {
            Some(_) => Duration::from_millis(tenants::slice(self.tries).0),
            None if look => LOOK,
            None => LONGEST,
        }
    }

    /// How long to wait after a try that failed.
    fn pause(&self, now: Millis) -> Millis {
        match self.tenant {
            Some(_) => tenants::pause(self.tries, now.since(self.begun)),
            None => {
                let sharing = self.wanted.as_ref().map_or(1, |wanted| wanted.sharing);
                sharing::retry(self.tries, sharing, chance())
            }
        }
    }

    /// Removes everything, the place first.
    fn go(&mut self, now: Millis) {
        if self.busy || self.move_at > now {
            return;
        }
        let shelf = match self.shelf.take() {
            Some(shelf) => Ok(shelf),
            None => Shelf::with_limits(&self.root, self.rules.limits).map(|shelf| self.furnished(shelf)),
        };
        self.begin(move || Done::Left(shelf.and_then(Shelf::vacate).map_err(|error| error.to_string())));
    }

    fn furnished(&self, shelf: Shelf) -> Shelf {
        let shelf = shelf.with_files(self.release_files);
        match &self.place {
            Some(place) => shelf.with_place(place.clone()),
            None => shelf,
        }
    }

    pub(super) fn begin(&mut self, work: impl FnOnce() -> Done + Send + 'static) {
        self.busy = true;
        self.gone = false;
        let (events, tenant) = (self.events.clone(), self.tenant);
        tokio::spawn(async move {
            let done = tokio::task::spawn_blocking(work)
                .await
                .unwrap_or_else(|e| Done::Failed {
                    made: None,
                    fault: format!("work on files was cut short: {e}"),
                    refusal: false,
                    denied: false,
                });
            let _ = events.send(Event::Files(tenant, done)).await;
        });
    }
}
