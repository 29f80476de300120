//! What follows from a piece of work on files that has ended: what is told, what is tried again, what is never tried again.
//!
//! Refuses to begin the next piece.

use cartridge_agent_plan::release::{Move, ShelfState};
use cartridge_agent_plan::text::one_line;
use cartridge_protocol::link::{MAX_REFUSED, Refused};
use cartridge_protocol::{CommitId, Millis};

use super::{Done, Files};
use crate::host::source::Unseen;

/// What the loop has to know of it.
#[derive(Default)]
pub(in crate::agent) struct Outcome {
    pub(in crate::agent) notices: Vec<String>,
    pub(in crate::agent) switched: Option<(CommitId, Option<CommitId>)>,
    /// The current release is this commit's now, its files being the same.
    pub(in crate::agent) adopted: Option<CommitId>,
}

impl Files {
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

    /// Takes the result of a piece of work. `waiting`: the member's life waits for a release to become current.
    pub(in crate::agent) fn done(&mut self, done: Done, now: Millis, waiting: bool) -> Outcome {
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
    pub(in crate::agent) fn refuse(&mut self, commit: CommitId, reason: &str, back: Option<CommitId>) {
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
}
