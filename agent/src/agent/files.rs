//! The files of one repository, the member's own or a tenant's: which commit, and the one piece of blocking work that is
//! under way.
//!
//! Refuses to choose moves (the plan does) and to know when a switch is allowed (the member's life does).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cartridge_agent_plan::artifacts::Rules;
use cartridge_agent_plan::artifacts::denied::{Denied, GLANCE};
use cartridge_agent_plan::backoff::doubled;
use cartridge_agent_plan::handover::Files as Handed;
use cartridge_agent_plan::release::{self, DEFAULT_KEEP, Move, ReleaseFiles, ShelfState, Wanted};
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::tenants;
use cartridge_agent_plan::text::one_line;
use cartridge_protocol::link::{DesiredArtifacts, MAX_REFUSED, Refused};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, Millis};
use tokio::sync::mpsc;

use super::Event;
use super::plugins::SourcePlugin;
use super::pushing::PushBack;
use crate::host::clock::chance;
use crate::host::git::credentials::{self, Mark};
use crate::host::git::{Remote, Stop};
use crate::host::shelf::{Place, Pushing, Shelf, ShelfError};
use crate::host::source::{Source, Unseen};
use crate::host::watch::Watcher;

/// Longest wait between two tries of a move.
const RETRY_CAP: Millis = Millis(30_000);
/// Longest look at a branch.
const LOOK: Duration = Duration::from_secs(60);
/// Longest move.
const LONGEST: Duration = Duration::from_secs(1800);
/// Shortest time between looks.
const LEAST_POLL: u64 = 500;
/// Most releases told.
const MOST_STAGED: usize = 8;

/// What came of a piece of work.
#[derive(Debug)]
pub(crate) enum Done {
    /// The branch was looked at.
    Looked(Result<CommitId, Unseen>),
    /// The shelf was looked at, and at most one move made.
    Moved {
        made: Move,
        before: ShelfState,
        after: ShelfState,
        /// What became of local changes that another release would have hidden.
        aside: Option<String>,
    },
    /// A move failed.
    Failed {
        made: Option<Move>,
        fault: String,
        refusal: bool,
        /// The server refused who asked.
        denied: bool,
    },
    /// Local changes went back to the branch, or did not.
    Pushed {
        release: CommitId,
        ordered: Option<CommitId>,
        pushing: Result<Pushing, String>,
    },
    /// Nothing of it is there any more, or why something is.
    Left(Result<(), String>),
}

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

/// What the loop has to know of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) notices: Vec<String>,
    pub(super) switched: Option<(CommitId, Option<CommitId>)>,
    /// The current release is this commit's now, its files being the same.
    pub(super) adopted: Option<CommitId>,
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
            last_fault: None,
            asked_fault: None,
            could_switch: false,
        }
    }

    pub(super) fn want(&mut self, wanted: &DesiredArtifacts, revision: u64) {
        self.leaves = false;
        let before = self.wanted.replace(wanted.clone());
        let same_place = before
            .as_ref()
            .is_some_and(|b| b.url == wanted.url && b.branch == wanted.branch);
        if !same_place {
            self.head = None;
        }
        if before
            .as_ref()
            .is_none_or(|b| !same_place || b.look != wanted.look)
        {
            self.look_at = Millis::ZERO;
        }
        let anew = before
            .as_ref()
            .is_some_and(|b| !same_place || b.commit != wanted.commit);
        if let Some(push) = &mut self.push {
            push.heard(revision, anew, self.shelf.as_ref());
        }
        // A person insists: what was refused is tried again.
        if wanted.ordered
            && before
                .as_ref()
                .is_none_or(|b| !b.ordered || b.commit != wanted.commit)
        {
            self.refused.retain(|r| Some(&r.commit) != wanted.commit.as_ref());
        }
        if before.as_ref() != Some(wanted) {
            self.denied = None;
            self.restless = true;
            self.move_at = Millis::ZERO;
            self.tries = 0;
        }
    }

    /// Nobody wants them any more: releases and links go.
    pub(super) fn leave(&mut self) {
        if !std::mem::replace(&mut self.leaves, true) {
            self.wanted = None;
            self.move_at = Millis::ZERO;
            self.tries = 0;
            self.stop.raise();
        }
    }

    /// Nothing of it is there any more.
    pub(super) fn is_gone(&self) -> bool {
        self.leaves && self.gone
    }

    /// Other rules count from now on.
    pub(super) fn follow_rules(&mut self, rules: &Rules) {
        self.rules = Arc::new(rules.clone());
        self.shelf = self.shelf.take().map(|shelf| shelf.limited(rules.limits));
        self.restless = true;
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
            // A quarter either way, so that members do not ask in step.
            let poll =
                Duration::from_millis(wanted.poll_interval_ms.max(LEAST_POLL)).mul_f64(0.75 + chance() / 2.0);
            self.look_at = now.plus(Millis(u64::try_from(poll.as_millis()).unwrap_or(u64::MAX)));
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
            None => doubled(Millis(500), RETRY_CAP, self.tries),
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

    fn left(&mut self, now: Millis, fault: Option<String>, outcome: &mut Outcome) {
        match fault {
            None => {
                self.gone = true;
                self.state = ShelfState::default();
                self.head = None;
                self.previous = None;
                self.refused.clear();
                self.tries = 0;
                // Wanted again meanwhile, it begins anew.
                self.restless = true;
                self.look_at = Millis::ZERO;
            }
            Some(fault) => {
                self.move_at = now.plus(self.pause(now));
                self.tries = self.tries.saturating_add(1);
                self.once(fault, outcome);
            }
        }
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

    /// What is to be current: what is ordered, or what became of it here.
    fn target(&self) -> Option<&CommitId> {
        let ordered = self.wanted.as_ref()?.commit.as_ref()?;
        let push = self.push.as_ref();
        Some(push.and_then(|push| push.instead_of(ordered)).unwrap_or(ordered))
    }

    fn source(&self, wanted: &DesiredArtifacts) -> Source {
        match &self.plugin {
            Some(plugin) => Source::Plugin(plugin.brings(wanted)),
            None => Source::Git(self.remote(wanted)),
        }
    }

    pub(super) fn remote(&self, wanted: &DesiredArtifacts) -> Remote {
        Remote {
            url: wanted.url.clone(),
            branch: wanted.branch.clone(),
            username: wanted.username.clone(),
            password: wanted.password.clone(),
            ordered: wanted.commit.clone().filter(|_| wanted.ordered),
            rules: self.rules.clone(),
        }
    }

    fn goal(&self) -> Wanted {
        Wanted {
            commit: self.target().cloned(),
            head: self.head.clone(),
            refused: self.refused.iter().map(|r| r.commit.clone()).collect(),
            keep: DEFAULT_KEEP,
            previous: self.previous.clone(),
        }
    }

    /// Takes the result of a piece of work. `waiting`: the member's life waits for a release to become current.
    pub(super) fn done(&mut self, done: Done, now: Millis, waiting: bool) -> Outcome {
        self.busy = false;
        let mut outcome = Outcome::default();
        match done {
            Done::Looked(Ok(head)) => {
                if self.head.as_ref() != Some(&head) {
                    outcome.notices.push(format!("the branch is at {}", head.short()));
                    self.head = Some(head);
                    self.restless = true;
                }
            }
            Done::Looked(Err(Unseen { fault, denied })) => {
                self.note_denial(denied, now);
                // A tenant's server that stalls is not asked again at once.
                if self.tenant.is_some() {
                    self.look_at = self.look_at.max(now.plus(self.pause(now)));
                }
                self.once(fault, &mut outcome);
            }
            Done::Left(left) => self.left(now, left.err(), &mut outcome),
            Done::Pushed {
                release,
                ordered,
                pushing,
            } => self.pushed((release, ordered), pushing, now, &mut outcome),
            Done::Moved {
                made,
                before,
                after,
                aside,
            } => {
                outcome.notices.extend(aside);
                self.tries = 0;
                self.last_fault = None;
                // What was asked for meanwhile is not known to this move, and stays to be done.
                self.restless |= made != Move::Nothing;
                self.moved(made, before, &after, waiting, &mut outcome);
                self.state = after;
            }
            Done::Failed {
                made,
                fault,
                refusal,
                denied,
            } => {
                self.restless = true;
                self.note_denial(denied, now);
                match made {
                    Some(Move::Stage(commit) | Move::Remake { new: commit, .. } | Move::Switch(commit))
                        if refusal =>
                    {
                        self.refuse(commit, &fault, None)
                    }
                    _ => {
                        self.move_at = now.plus(self.pause(now));
                        self.tries = self.tries.saturating_add(1);
                    }
                }
                self.once(fault, &mut outcome);
            }
        }
        self.watch_current();
        outcome
    }

    fn moved(
        &mut self,
        made: Move,
        before: ShelfState,
        after: &ShelfState,
        waiting: bool,
        outcome: &mut Outcome,
    ) {
        match made {
            Move::Switch(to) => {
                self.previous = before.current.clone();
                outcome.notices.push(format!("{} is current", to.short()));
                outcome.switched = Some((to, before.current));
            }
            Move::Stage(commit) | Move::Remake { new: commit, .. } => {
                outcome.notices.push(format!("{} is staged", commit.short()))
            }
            _ => {}
        }
        // What is wanted was there already, from an earlier life of the agent.
        let wanted = self.target();
        if waiting
            && outcome.switched.is_none()
            && wanted.is_some()
            && after.current.as_ref() == wanted
            && let Some(commit) = wanted.filter(|c| !self.refused.iter().any(|r| r.commit == **c))
        {
            outcome.switched = Some((commit.clone(), None));
        }
    }

    /// The same fault is told once, not at every try.
    fn once(&mut self, fault: String, outcome: &mut Outcome) {
        self.asked_fault = Some(fault.clone());
        if self.last_fault.as_ref() != Some(&fault) {
            outcome.notices.push(fault.clone());
            self.last_fault = Some(fault);
        }
    }

    /// Never again this commit; back to the one that worked.
    pub(super) fn refuse(&mut self, commit: CommitId, reason: &str, back: Option<CommitId>) {
        self.refused.retain(|r| r.commit != commit);
        if self.refused.len() == MAX_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(Refused {
            commit,
            reason: one_line(reason, 1024),
        });
        if back.is_some() {
            self.previous = back;
        }
        self.restless = true;
        self.move_at = Millis::ZERO;
    }

    /// Somebody waits for a look at the repository, and for what follows from it.
    pub(super) fn look_now(&mut self) {
        self.denied = None;
        self.look_at = Millis::ZERO;
        self.move_at = Millis::ZERO;
        self.tries = 0;
        self.asked_fault = None;
        self.restless = true;
    }

    /// Nothing is to be done before the next look, or before another try of what failed.
    pub(super) fn has_settled(&self, now: Millis) -> bool {
        let waits = !self.restless || self.asked_fault.is_some() && self.move_at > now;
        self.look_at > now && !self.busy && waits
    }

    /// What went wrong since somebody asked for a look.
    pub(super) fn fault(&self) -> Option<&str> {
        self.asked_fault.as_deref()
    }

    /// The release to go back to.
    pub(super) fn previous(&self) -> Option<&CommitId> {
        self.previous.as_ref()
    }

    /// A piece of work is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// What another agent needs to know.
    pub(super) fn handed(&self) -> Handed {
        Handed {
            head: self.head.clone(),
            current: self.state.current.clone(),
            previous: self.previous.clone(),
            refused: self.refused.clone(),
        }
    }

    pub(super) fn resume(&mut self, handed: Handed) {
        self.head = handed.head;
        self.state.current = handed.current;
        self.previous = handed.previous;
        self.refused = handed.refused;
        self.refused.truncate(MAX_REFUSED);
    }

    pub(super) fn stop(&self) {
        self.stop.raise();
    }

    pub(super) fn head(&self) -> Option<&CommitId> {
        self.head.as_ref()
    }

    pub(super) fn staged(&self) -> Vec<CommitId> {
        let from = self.state.whole.len().saturating_sub(MOST_STAGED);
        self.state.whole[from..].to_vec()
    }

    pub(super) fn refused(&self) -> Vec<Refused> {
        self.refused.clone()
    }

    /// The commit that is current.
    pub(super) fn current(&self) -> Option<&CommitId> {
        self.state.current.as_ref()
    }

    /// What is wanted.
    pub(super) fn wanted(&self) -> Option<&DesiredArtifacts> {
        self.wanted.as_ref()
    }

    /// The link to the current release.
    pub(super) fn link(&self) -> PathBuf {
        self.root.join("current")
    }

    /// Where the files appear, if it is elsewhere than at the link.
    pub(super) fn place(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| place.path.as_path())
    }

    pub(super) fn in_use(&self) -> InUse {
        InUse {
            any: self.state.current.is_some(),
        }
    }
}

fn make_move(
    shelf: &Shelf,
    goal: &Wanted,
    (may_switch, aside, may_ask): (bool, bool, bool),
    source: &Source,
    stop: &Stop,
) -> Done {
    let before = match shelf.state() {
        Ok(state) => state,
        Err(error) => return failed(None, &error),
    };
    let made = match release::next(&before, goal) {
        Move::Switch(_) if !may_switch => Move::Nothing,
        Move::Stage(_) | Move::Remake { .. } if !may_ask => Move::Nothing,
        other => other,
    };
    let aside = match (&made, &before.current) {
        (Move::Switch(to), Some(current)) if aside && current != to => {
            set_aside(shelf, (current, to), source, stop)
        }
        _ => None,
    };
    match source.carry_out(shelf, &made, stop).and_then(|()| shelf.state()) {
        Ok(after) => Done::Moved {
            made,
            before,
            after,
            aside,
        },
        Err(error) => failed(Some(made), &error),
    }
}

/// Local changes that did not go back to the branch are kept.
fn set_aside(
    shelf: &Shelf,
    (current, to): (&CommitId, &CommitId),
    source: &Source,
    stop: &Stop,
) -> Option<String> {
    let Source::Git(remote) = source else { return None };
    match shelf.set_aside(current, to, remote, stop) {
        Ok(None) => None,
        Ok(Some(folder)) => Some(format!(
            "local changes that did not go back to the branch are kept in {}",
            folder.display()
        )),
        Err(error) => Some(format!(
            "local changes in the release of {} are not set aside: {error}",
            current.short()
        )),
    }
}

fn failed(made: Option<Move>, error: &ShelfError) -> Done {
    Done::Failed {
        made,
        fault: error.to_string(),
        refusal: error.is_refusal(),
        denied: error.is_denial(),
    }
}
