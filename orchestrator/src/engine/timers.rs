//! Which application is planned next: all of them in one ordered queue.
//!
//! What changed is due at once, what follows from its own plan a little later, everything else once a second. This file
//! refuses to know what a pass does.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_protocol::{ApplicationId, Millis};

/// Every application that runs is looked at this often.
const PERIOD: Millis = Millis::from_secs(1);
/// Between two passes over one application: what comes meanwhile is planned together.
const SPACING: Millis = Millis(5);
/// Most passes in a row that only follow from the pass before; then the period paces them (S26: there should be few).
const MAX_CHAIN: u32 = 100;
/// Applications with so many members together are planned in one pass: it stays short however large the fleet is.
const MEMBERS_AT_ONCE: usize = 1_000;

/// See above.
#[derive(Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Millis, ApplicationId)>,
    turns: BTreeMap<ApplicationId, Turn>,
}

#[derive(Clone, Copy, Default)]
struct Turn {
    /// None: being planned.
    due: Option<Millis>,
    last: Option<Millis>,
    /// How many passes in a row followed from nothing but the pass before.
    chain: u32,
}

impl Timers {
    /// Something changed there.
    pub(crate) fn soon(&mut self, application: &ApplicationId, now: Millis) {
        let mut turn = self.turns.get(application).copied().unwrap_or_default();
        let earliest = turn.last.map_or(now, |last| last.plus(SPACING).max(now));
        turn.chain = 0;
        self.set(application, turn, earliest.min(turn.due.unwrap_or(earliest)));
    }

    /// Those that are due, the longest waiting first, as many as fit into one pass; one at least.
    pub(crate) fn take_due(
        &mut self,
        now: Millis,
        members: impl Fn(&ApplicationId) -> usize,
    ) -> BTreeSet<ApplicationId> {
        let mut taken = BTreeSet::new();
        let mut sum = 0;
        while let Some((due, application)) = self.queue.first() {
            let size = members(application);
            if *due > now || (!taken.is_empty() && sum + size > MEMBERS_AT_ONCE) {
                break;
            }
            sum += size;
            let (_, application) = self.queue.pop_first().expect("there is a first");
            if let Some(turn) = self.turns.get_mut(&application) {
                turn.due = None;
            }
            taken.insert(application);
        }
        taken
    }

    /// A pass looked at it and decided something or not; `wake`: when a timer of the plan is due. False: its plans
    /// follow from plans without end, it is slowed down.
    pub(crate) fn planned(
        &mut self,
        application: &ApplicationId,
        now: Millis,
        wake: Option<Millis>,
        decided: bool,
    ) -> bool {
        let mut turn = self.turns.get(application).copied().unwrap_or_default();
        turn.last = Some(now);
        turn.chain = if decided { turn.chain + 1 } else { 0 };
        let ends = turn.chain < MAX_CHAIN;
        let due = if decided && ends {
            now.plus(SPACING)
        } else {
            let wake = wake.filter(|_| ends).unwrap_or(Millis(u64::MAX));
            wake.max(now.plus(SPACING)).min(now.plus(PERIOD))
        };
        self.set(application, turn, due);
        ends
    }

    /// It does not run any more.
    pub(crate) fn forget(&mut self, application: &ApplicationId) {
        if let Some(due) = self.turns.remove(application).and_then(|turn| turn.due) {
            self.queue.remove(&(due, application.clone()));
        }
    }

    /// When the next is due.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.queue.first().map(|(due, _)| *due)
    }

    fn set(&mut self, application: &ApplicationId, mut turn: Turn, due: Millis) {
        if let Some(before) = turn.due.replace(due) {
            self.queue.remove(&(before, application.clone()));
        }
        self.queue.insert((due, application.clone()));
        self.turns.insert(application.clone(), turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> ApplicationId {
        ApplicationId::new(name).unwrap()
    }

    fn names(taken: &BTreeSet<ApplicationId>) -> Vec<&str> {
        taken.iter().map(ApplicationId::as_str).collect()
    }

    #[test]
    fn what_changed_is_due_at_once_and_what_comes_right_after_is_planned_together() {
        let mut timers = Timers::default();
        timers.soon(&app("a"), Millis(100));
        assert_eq!(timers.next(), Some(Millis(100)));
        assert_eq!(names(&timers.take_due(Millis(100), |_| 1)), ["a"]);
        assert!(timers.planned(&app("a"), Millis(100), None, false));
        assert_eq!(timers.next(), Some(Millis(1100)), "once a second anyway");
        timers.soon(&app("a"), Millis(101));
        timers.soon(&app("a"), Millis(102));
        assert_eq!(timers.next(), Some(Millis(105)));
        assert!(timers.take_due(Millis(104), |_| 1).is_empty());
        assert_eq!(names(&timers.take_due(Millis(105), |_| 1)), ["a"]);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_timer_of_the_plan_comes_before_the_period() {
        let mut timers = Timers::default();
        timers.planned(&app("a"), Millis(0), Some(Millis(300)), false);
        assert_eq!(timers.next(), Some(Millis(300)));
        timers.planned(&app("a"), Millis(0), Some(Millis(9000)), false);
        assert_eq!(timers.next(), Some(Millis(1000)));
    }

    #[test]
    fn a_pass_takes_few_large_applications_and_the_rest_right_after() {
        let mut timers = Timers::default();
        for (at, name) in [(3, "late"), (1, "a"), (2, "b"), (2, "huge")] {
            timers.soon(&app(name), Millis(at));
        }
        let size = |id: &ApplicationId| if id.as_str() == "huge" { 5_000 } else { 400 };
        assert_eq!(names(&timers.take_due(Millis(2), size)), ["a", "b"]);
        assert_eq!(names(&timers.take_due(Millis(2), size)), ["huge"], "one at least");
        assert!(timers.take_due(Millis(2), size).is_empty());
        timers.forget(&app("late"));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn plans_that_follow_from_plans_without_end_are_slowed_down() {
        let mut timers = Timers::default();
        let mut now = Millis(0);
        while timers.planned(&app("a"), now, None, true) {
            assert_eq!(timers.next(), Some(now.plus(SPACING)));
            now = now.plus(SPACING);
            timers.take_due(now, |_| 1);
        }
        assert_eq!(now, Millis(SPACING.0 * u64::from(MAX_CHAIN - 1)));
        assert_eq!(timers.next(), Some(now.plus(PERIOD)));
        timers.soon(&app("a"), now.plus(Millis(10)));
        timers.take_due(now.plus(Millis(10)), |_| 1);
        assert!(timers.planned(&app("a"), now, None, true), "a change begins anew");
    }
}
