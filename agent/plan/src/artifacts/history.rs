//! Whether a commit descends from another: a walk over parents, with an end. Refuses to know where commits are kept.

use std::collections::{BTreeSet, VecDeque};

use super::object::ObjectId;

/// Most commits that are looked at.
const MOST: usize = 20_000;
/// How far history is fetched, in generations, before all of it is.
pub const DEPTHS: [i32; 2] = [32, 512];

/// What is known of the relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descent {
    /// It descends from it.
    Descends,
    /// It does not: all its history is known.
    Other,
    /// Part of its history is not at hand.
    Hidden,
    /// Its history has more commits than are looked at.
    TooLong,
}

/// One walk, nearest commits first.
#[derive(Debug)]
pub struct Walk {
    from: ObjectId,
    seen: BTreeSet<ObjectId>,
    waiting: VecDeque<ObjectId>,
    hidden: bool,
    found: bool,
}

impl Walk {
    /// From `commit` back to `from`.
    pub fn new(commit: ObjectId, from: ObjectId) -> Self {
        Self {
            from,
            seen: BTreeSet::from([commit]),
            waiting: VecDeque::from([commit]),
            hidden: false,
            found: commit == from,
        }
    }

    /// The commit whose parents are wanted next. None: [`Walk::end`] knows the answer.
    pub fn step(&mut self) -> Option<ObjectId> {
        if self.found || self.seen.len() > MOST {
            return None;
        }
        self.waiting.pop_front()
    }

    /// The parents of a commit; none at all if the commit is not at hand.
    pub fn parents(&mut self, parents: Option<&[ObjectId]>) {
        let Some(parents) = parents else {
            self.hidden = true;
            return;
        };
        for parent in parents {
            self.found |= *parent == self.from;
            if self.seen.insert(*parent) {
                self.waiting.push_back(*parent);
            }
        }
    }

    /// What was found out.
    pub fn end(&self) -> Descent {
        match (self.found, self.seen.len() > MOST, self.hidden) {
            (true, _, _) => Descent::Descends,
            (false, true, _) => Descent::TooLong,
            (false, false, true) => Descent::Hidden,
            (false, false, false) => Descent::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn id(n: usize) -> ObjectId {
        format!("{n:040x}").parse().unwrap()
    }

    type Known = BTreeMap<ObjectId, Vec<ObjectId>>;

    fn descent(known: &Known, commit: usize, from: usize) -> Descent {
        let mut walk = Walk::new(id(commit), id(from));
        let mut steps = 0;
        while let Some(next) = walk.step() {
            walk.parents(known.get(&next).map(Vec::as_slice));
            steps += 1;
            assert!(steps <= MOST + 64);
        }
        walk.end()
    }

    #[test]
    fn a_long_history_has_an_end() {
        let line: Known = (0..MOST * 2).map(|n| (id(n), vec![id(n + 1)])).collect();
        assert_eq!(descent(&line, 0, 100), Descent::Descends);
        assert_eq!(descent(&line, 0, MOST * 3), Descent::TooLong);
    }

    #[test]
    fn what_was_cut_off_is_not_taken_for_the_whole() {
        let known: Known = [(id(0), vec![id(1), id(2)]), (id(1), vec![])].into();
        assert_eq!(descent(&known, 0, 2), Descent::Descends, "it need not be at hand");
        assert_eq!(descent(&known, 0, 3), Descent::Hidden);
        assert_eq!(descent(&known, 1, 3), Descent::Other);
        assert_eq!(descent(&known, 0, 0), Descent::Descends, "itself");
    }

    proptest! {
        #[test]
        fn it_agrees_with_what_everybody_reaches(
            parents in proptest::collection::vec(proptest::collection::vec(1usize..6, 0..3), 1..40),
            cut in proptest::collection::btree_set(0usize..40, 0..4),
            to in 0usize..50,
        ) {
            let all: Known = parents.iter().enumerate()
                .map(|(n, back)| (id(n), back.iter().map(|b| id(n + b)).filter(|p| *p < id(parents.len())).collect()))
                .collect();
            let mut reached = BTreeSet::from([id(0)]);
            for (commit, back) in &all {
                if reached.contains(commit) {
                    reached.extend(back);
                }
            }
            let whole = descent(&all, 0, to);
            prop_assert_eq!(whole, if reached.contains(&id(to)) { Descent::Descends } else { Descent::Other });
            let known: Known = all.into_iter().filter(|(c, _)| !cut.iter().any(|n| id(*n) == *c)).collect();
            // What is missing never makes two commits relatives, and is never taken for a no.
            match descent(&known, 0, to) {
                Descent::Descends => prop_assert_eq!(whole, Descent::Descends),
                Descent::Other => prop_assert_eq!(whole, Descent::Other),
                _ => {}
            }
        }
    }
}
