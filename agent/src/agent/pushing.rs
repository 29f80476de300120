//! Local changes of one repository's files: watched for where they are to go back to the branch, given back when it is
//! time, and what a person is told of it.
//!
//! Refuses to know how a commit is made (the shelf does) and what it goes onto (the plan says).

use std::time::Duration;

use cartridge_agent_plan::pushback::{AT_MOST, Author, Held, QUIET, pause};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, MemberId, Millis};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Event;
use super::files::{Done, Files, Outcome};
use crate::host::clock::{chance, seconds_since_1970};
use crate::host::git::Stop;
use crate::host::shelf::{Pushed, Pushing, Shelf};
use crate::host::watch::Watcher;

/// Time between looks where changes cannot be watched.
const EVERY: Duration = Duration::from_secs(60);

/// Where local changes of one repository stand.
pub(super) struct PushBack {
    member: MemberId,
    name: String,
    watcher: Watcher,
    watch: Option<Watch>,
    /// There may be something to give back, from then on.
    due: Option<Millis>,
    tries: u32,
    /// The member stands so that its files may become another commit's.
    may: bool,
    /// A commit of ours that is current although another is ordered.
    held: Option<Held>,
    /// The newest order.
    revision: u64,
    /// Told already: what went wrong, and what is never given.
    told: Option<String>,
    skipped: Option<String>,
}

/// Watches one release until it is dropped.
struct Watch {
    release: CommitId,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PushBack {
    pub(super) fn new(member: MemberId, tenant: TenantId, watcher: Watcher) -> Self {
        Self {
            name: format!("tenant {tenant}"),
            member,
            watcher,
            watch: None,
            due: None,
            tries: 0,
            may: false,
            held: None,
            revision: 0,
            told: None,
            skipped: None,
        }
    }

    /// When there is something to give back.
    pub(super) fn due(&self) -> Option<Millis> {
        let until = self.held.as_ref().and_then(Held::until);
        let due = self.due.into_iter().chain(until).min();
        due.filter(|_| self.may)
    }

    /// An order has come; another one than before, or once more the same.
    pub(super) fn heard(&mut self, revision: u64, anew: bool, shelf: Option<&Shelf>) {
        self.revision = self.revision.max(revision);
        match &mut self.held {
            Some(held) if !anew => held.heard(revision),
            _ => self.let_go(shelf),
        }
    }

    pub(super) fn allow(&mut self, may: bool) {
        self.may = may;
    }

    /// What the shelf remembers of an earlier life, if it is still about what is ordered.
    pub(super) fn remember(&mut self, shelf: &Shelf, ordered: Option<&CommitId>, now: Millis) {
        let given = shelf.given().filter(|(before, _)| Some(before) == ordered);
        self.held = given.map(|(ordered, new)| self.hold(ordered, new, now));
        if self.held.is_none() {
            shelf.forget_given();
        }
    }

    fn hold(&self, ordered: CommitId, new: CommitId, since: Millis) -> Held {
        Held {
            ordered,
            new,
            since,
            revision: self.revision,
            again: false,
        }
    }

    /// What is ordered counts again.
    fn let_go(&mut self, shelf: Option<&Shelf>) {
        if self.held.take().is_some()
            && let Some(shelf) = shelf
        {
            shelf.forget_given();
        }
    }

    /// What is to be current where `ordered` is ordered.
    pub(super) fn instead_of(&self, ordered: &CommitId) -> Option<&CommitId> {
        let held = self.held.as_ref().filter(|held| held.ordered == *ordered);
        held.map(|held| &held.new)
    }

    fn changed(&mut self, now: Millis) {
        let at = self.due.unwrap_or(now);
        self.due = Some(if self.tries == 0 { now } else { at });
    }

    fn watch(
        &mut self,
        shelf: &Shelf,
        release: &CommitId,
        tenant: Option<TenantId>,
        events: &mpsc::Sender<Event>,
    ) {
        if self.watch.as_ref().is_some_and(|watch| watch.release == *release) {
            return;
        }
        let mut watched = self.watcher.tree(&shelf.release_path(release), EVERY);
        let events = events.clone();
        let span = |millis: Millis| Duration::from_millis(millis.0);
        let task = tokio::task::spawn_local(async move {
            let mut told = None;
            loop {
                watched.settled(span(QUIET), span(AT_MOST)).await;
                if let Some(fault) = watched.fault().filter(|fault| told.as_ref() != Some(*fault)) {
                    tracing::warn!("{fault}");
                    told = Some(fault.clone());
                }
                if events.send(Event::Edited(tenant)).await.is_err() {
                    return;
                }
            }
        });
        self.watch = Some(Watch {
            release: release.clone(),
            task,
        });
    }

    /// Another try, later.
    fn again(&mut self, now: Millis) {
        self.due = Some(now.plus(pause(self.tries, chance())));
        self.tries = self.tries.saturating_add(1);
    }

    fn once(&mut self, text: String, outcome: &mut Outcome) {
        if self.told.as_ref() != Some(&text) {
            outcome.notices.push(text.clone());
            self.told = Some(text);
        }
    }
}

impl Files {
    /// Somebody may have changed files of the current release.
    pub(super) fn edited(&mut self, now: Millis) {
        if let Some(push) = &mut self.push {
            push.changed(now);
        }
    }

    /// Watches the current release, where its changes are to go back.
    pub(super) fn watch_current(&mut self) {
        if let (Some(push), Some(shelf), Some(current)) = (&mut self.push, &self.shelf, &self.state.current) {
            push.watch(shelf, current, self.tenant, &self.events);
        }
    }

    /// Begins to give changes back, if it is time. True: it is begun.
    pub(super) fn push_if_due(&mut self, now: Millis) -> bool {
        let Some(push) = &mut self.push else { return false };
        if push
            .held
            .as_ref()
            .and_then(Held::until)
            .is_some_and(|at| at <= now)
        {
            push.let_go(self.shelf.as_ref());
            self.restless = true;
            self.move_at = now;
        }
        if !push.may || push.due.is_none_or(|at| at > now) {
            return false;
        }
        push.due = None;
        let (Some(shelf), Some(current), Some(wanted)) = (
            self.shelf.clone(),
            self.state.current.clone(),
            self.wanted.clone(),
        ) else {
            return false;
        };
        let author = Author {
            name: push.name.clone(),
            member: push.member.to_string(),
            at: seconds_since_1970(),
        };
        let ordered = wanted.commit.clone().filter(|_| !wanted.ordered);
        let remote = self.remote(&wanted);
        let stop = Stop::within(self.patience(false));
        self.stop = stop.clone();
        self.begin(move || {
            let pushing = shelf.push_back(&current, &remote, &author, ordered.as_ref(), &stop);
            Done::Pushed {
                release: current,
                ordered,
                pushing: pushing.map_err(|error| error.to_string()),
            }
        });
        true
    }

    pub(super) fn pushed(
        &mut self,
        (release, ordered): (CommitId, Option<CommitId>),
        pushing: Result<Pushing, String>,
        now: Millis,
        outcome: &mut Outcome,
    ) {
        let Some(push) = &mut self.push else { return };
        let pushing = match pushing {
            Ok(pushing) => pushing,
            Err(fault) => {
                push.again(now);
                return push.once(format!("local changes wait: {fault}"), outcome);
            }
        };
        if pushing.skipped.is_some() && push.skipped != pushing.skipped {
            let skipped = pushing.skipped.clone().unwrap_or_default();
            outcome
                .notices
                .push(format!("not everything that was changed goes back: {skipped}"));
        }
        push.skipped = pushing.skipped;
        match pushing.pushed {
            Pushed::Late => return push.again(now),
            Pushed::Refused(why) => {
                push.again(now);
                return push.once(format!("local changes wait: {why}"), outcome);
            }
            Pushed::Conflict(paths) => {
                push.again(now);
                let text = format!(
                    "local changes conflict with the branch, and a person has to decide: {paths}; nothing goes back, \
                     and they stay in the release of {}",
                    release.short()
                );
                return push.once(text, outcome);
            }
            Pushed::Nothing => {}
            Pushed::Taken { new, paths, adopted } => {
                let what = if paths == 1 { "path" } else { "paths" };
                outcome.notices.push(format!(
                    "{paths} changed {what} went back to the branch as {}",
                    new.short()
                ));
                self.head = Some(new.clone());
                self.restless = true;
                self.move_at = now;
                if adopted {
                    // What was ordered meanwhile counts.
                    let now_ordered = self.wanted.as_ref().and_then(|wanted| wanted.commit.clone());
                    let held = now_ordered.filter(|now| Some(now) == ordered.as_ref() || *now == release);
                    push.held = held.map(|ordered| push.hold(ordered, new.clone(), now));
                    self.state.current = Some(new.clone());
                    outcome.adopted = Some(new);
                }
            }
        }
        push.tries = 0;
        push.told = None;
        if pushing.more {
            push.due = Some(now.plus(QUIET));
        }
    }
}
