//! The newest order that was seen, over every restart of the agent: an older one comes from somebody who no longer
//! counts (S10, S11). What is new is remembered before it is carried out.
//!
//! Refuses to know what an order says and how it is written down.

use cartridge_protocol::Millis;

/// Longest wait for a disk. An order that cannot be remembered is carried out all the same: it was accepted.
pub const PATIENCE: Millis = Millis(2_000);

/// Which order: who wrote it, and what it follows from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Which orchestrator.
    pub epoch: u64,
    /// Which position of its journal.
    pub revision: u64,
}

impl Seen {
    /// What [`Seen::text`] gave; none where it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, revision) = text.trim().split_once(' ')?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            revision: revision.parse().ok()?,
        })
    }

    /// To be written down.
    pub fn text(self) -> String {
        format!("{} {}", self.epoch, self.revision)
    }

    /// Neither figure ever goes back.
    const fn is_older_than(self, other: Self) -> bool {
        self.epoch < other.epoch || self.revision < other.revision
    }
}

/// The floor below which nothing is accepted, and the newest order that waits to be remembered.
#[derive(Debug)]
pub struct Floor<T> {
    seen: Seen,
    durable: Seen,
    waiting: Option<(Seen, T, Millis)>,
    writing: Option<Seen>,
}

/// What becomes of an order that has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It is older than another one.
    Older,
    /// It is carried out.
    Act(T),
    /// It waits.
    Wait,
}

impl<T> Floor<T> {
    /// By what an earlier agent has seen.
    pub const fn new(seen: Seen) -> Self {
        Self {
            seen,
            durable: seen,
            waiting: None,
            writing: None,
        }
    }

    /// The newest that was seen.
    pub const fn seen(&self) -> Seen {
        self.seen
    }

    /// An order has come.
    pub fn offer(&mut self, seen: Seen, order: T, now: Millis) -> Verdict<T> {
        if seen.is_older_than(self.seen) {
            return Verdict::Older;
        }
        self.seen = seen;
        if seen == self.durable {
            self.waiting = None;
            return Verdict::Act(order);
        }
        // A newer order replaces one that waits, and does not make it wait longer.
        let until = self
            .waiting
            .take()
            .map_or_else(|| now.plus(PATIENCE), |(_, _, until)| until);
        self.waiting = Some((seen, order, until));
        Verdict::Wait
    }

    /// What is to be written down now, one at a time.
    pub fn to_write(&mut self) -> Option<Seen> {
        let wanted = self.waiting.as_ref().map(|(seen, ..)| *seen)?;
        if self.writing.is_some() {
            return None;
        }
        self.writing = Some(wanted);
        self.writing
    }

    /// It was, or could not be; the order that is carried out now.
    pub fn written(&mut self, fine: bool) -> Option<T> {
        let written = self.writing.take()?;
        if fine {
            self.durable = written;
        }
        let (seen, order, until) = self.waiting.take()?;
        if seen == written {
            return Some(order);
        }
        self.waiting = Some((seen, order, until));
        None
    }

    /// When the order that waits is carried out whatever the disk does.
    pub fn due(&self) -> Option<Millis> {
        self.waiting.as_ref().map(|(.., until)| *until)
    }

    /// The order that has waited long enough.
    pub fn overdue(&mut self, now: Millis) -> Option<T> {
        self.waiting
            .take_if(|(.., until)| *until <= now)
            .map(|(_, order, _)| order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(epoch: u64, revision: u64) -> Seen {
        Seen { epoch, revision }
    }

    #[test]
    fn what_an_earlier_agent_has_seen_counts() {
        let mut floor = Floor::new(Seen::parse(&seen(5, 50).text()).unwrap());
        for older in [seen(4, 60), seen(5, 49), seen(6, 49)] {
            assert_eq!(floor.offer(older, 'x', Millis(0)), Verdict::Older, "{older:?}");
        }
        assert_eq!(floor.offer(seen(5, 50), 'a', Millis(0)), Verdict::Act('a'));
        assert_eq!(floor.to_write(), None, "nothing is new");
        for text in ["", "5", "5 x", "-1 2", "5 50 1"] {
            assert_eq!(Seen::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_new_is_remembered_before_it_is_carried_out_and_the_newest_wins() {
        let mut floor = Floor::new(Seen::default());
        assert_eq!(floor.offer(seen(1, 1), 'a', Millis(0)), Verdict::Wait);
        assert_eq!(floor.to_write(), Some(seen(1, 1)));
        assert_eq!(floor.to_write(), None, "one at a time");
        assert_eq!(floor.offer(seen(1, 2), 'b', Millis(5)), Verdict::Wait);
        assert_eq!(floor.written(true), None, "a newer one waits");
        assert_eq!(floor.to_write(), Some(seen(1, 2)));
        assert_eq!(floor.written(true), Some('b'));
        assert_eq!(floor.written(true), None);
        assert_eq!(floor.offer(seen(1, 2), 'c', Millis(9)), Verdict::Act('c'));
        assert_eq!(floor.due(), None);
    }

    #[test]
    fn a_disk_that_fails_or_hangs_holds_up_an_order_for_some_time_only() {
        let mut floor = Floor::new(Seen::default());
        floor.offer(seen(1, 1), 'a', Millis(0));
        floor.to_write();
        assert_eq!(floor.written(false), Some('a'));
        // Offered again, it is tried again.
        assert_eq!(floor.offer(seen(1, 1), 'b', Millis(10)), Verdict::Wait);
        floor.to_write();
        assert_eq!(floor.offer(seen(1, 3), 'c', Millis(1_500)), Verdict::Wait);
        assert_eq!(floor.overdue(Millis(2_000)), None);
        assert_eq!(floor.due(), Some(Millis(2_010)), "since the first of them");
        assert_eq!(floor.overdue(Millis(2_010)), Some('c'));
        assert_eq!(floor.offer(seen(1, 2), 'd', Millis(2_020)), Verdict::Older);
        assert_eq!(floor.written(true), None);
    }
}
