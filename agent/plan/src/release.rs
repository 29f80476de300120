//! Which single move brings the shelf of releases nearer to what is wanted.
//!
//! Start-up, retry, rollback and "the disk is not what I left" are one path: look at the shelf, make the one
//! move, look again. This file refuses to know what a release holds, how it is fetched, or how a move can fail.

use std::collections::BTreeSet;

use cartridge_protocol::CommitId;

/// How many releases besides the current one stay on the shelf when nobody says otherwise.
pub const DEFAULT_KEEP: usize = 2;

/// What the files of a release are to the application and to other releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReleaseFiles {
    /// Read-only; releases may share a file that is the same in both.
    #[default]
    Shared,
    /// Read-only, and each release has its own.
    Own,
    /// The application may write to them, so each release has its own.
    Writable,
}

impl ReleaseFiles {
    /// Reads `shared` or `own`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "shared" => Ok(Self::Shared),
            "own" => Ok(Self::Own),
            _ => Err("neither".to_owned()),
        }
    }
}

/// What lies on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShelfState {
    /// The release that the link names, if it is whole.
    pub current: Option<CommitId>,
    /// Complete releases, oldest first.
    pub whole: Vec<CommitId>,
    /// Unfinished or half-removed releases.
    pub parts: Vec<CommitId>,
    /// A link that was made but never put in place.
    pub leftover_link: bool,
    /// The current release does not appear where it should.
    pub misplaced: bool,
}

/// What the disk should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// To be current. None: not decided yet; nothing is switched or pruned.
    pub commit: Option<CommitId>,
    /// To be staged ahead, so that switching to it later is one rename.
    pub head: Option<CommitId>,
    /// Tried and refused: never staged, never switched to.
    pub refused: Vec<CommitId>,
    /// Releases to keep besides the current one. `previous` and `head` count, and are always kept.
    pub keep: usize,
    /// The way back: the release that was current before and worked.
    pub previous: Option<CommitId>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            commit: None,
            head: None,
            refused: Vec::new(),
            keep: DEFAULT_KEEP,
            previous: None,
        }
    }
}

/// One step that is safe to repeat and safe to be interrupted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Remove the link that was made but never put in place.
    ClearLink,
    /// Remove what is unfinished of a commit.
    ClearPart(CommitId),
    /// Fetch, write, verify, flush and seal a commit.
    Stage(CommitId),
    /// The same, made out of a whole release that is not needed any more: much cheaper.
    Remake {
        /// Is gone afterwards.
        old: CommitId,
        /// Is whole afterwards.
        new: CommitId,
    },
    /// Make a whole release current.
    Switch(CommitId),
    /// Make the current release appear where it should.
    Place(CommitId),
    /// Remove a whole release.
    Prune(CommitId),
    /// The shelf is as wanted.
    Nothing,
}

/// The next move, from nothing but what the disk holds and what is wanted.
///
/// The order is the safe one: clear what a crash left, reach the wanted release, make room, and only then work
/// ahead. Before the wanted release is current only what would go right afterwards is given up, to make it from:
/// never the current release nor the way back.
pub fn next(shelf: &ShelfState, wanted: &Wanted) -> Move {
    if shelf.leftover_link {
        return Move::ClearLink;
    }
    if let Some(part) = shelf.parts.first() {
        return Move::ClearPart(part.clone());
    }
    if let Some(target) = target(shelf, wanted)
        && shelf.current.as_ref() != Some(target)
    {
        return if shelf.whole.contains(target) {
            Move::Switch(target.clone())
        } else {
            make(surplus(shelf, wanted, Some(target)), target)
        };
    }
    if let Some(current) = shelf.current.as_ref().filter(|_| shelf.misplaced) {
        return Move::Place(current.clone());
    }
    let surplus = surplus(shelf, wanted, shelf.current.as_ref());
    let head = wanted
        .head
        .as_ref()
        .filter(|head| !wanted.refused.contains(head) && !shelf.whole.contains(head));
    match (surplus, head) {
        (surplus, Some(head)) => make(surplus, head),
        (Some(surplus), None) => Move::Prune(surplus.clone()),
        (None, None) => Move::Nothing,
    }
}

fn make(surplus: Option<&CommitId>, new: &CommitId) -> Move {
    match surplus {
        Some(old) => Move::Remake {
            old: old.clone(),
            new: new.clone(),
        },
        None => Move::Stage(new.clone()),
    }
}

/// What should be current: the wanted commit; when that is refused, what worked before, if what is current now
/// is refused too. None: leave the link alone.
fn target<'a>(shelf: &ShelfState, wanted: &'a Wanted) -> Option<&'a CommitId> {
    let usable = |commit: &&CommitId| !wanted.refused.contains(commit);
    let commit = wanted.commit.as_ref()?;
    if usable(&commit) {
        return Some(commit);
    }
    let current_is_fine = shelf.current.as_ref().is_some_and(|c| usable(&c));
    if current_is_fine {
        None
    } else {
        wanted.previous.as_ref().filter(usable)
    }
}

/// The oldest release beyond those to keep once `current` is that; refused ones go first and never count as kept.
fn surplus<'a>(shelf: &'a ShelfState, wanted: &Wanted, current: Option<&CommitId>) -> Option<&'a CommitId> {
    let (Some(now), Some(current), Some(commit)) = (&shelf.current, current, &wanted.commit) else {
        return None;
    };
    let kept = [wanted.previous.as_ref(), Some(now)];
    let needed: BTreeSet<&CommitId> = [Some(commit), wanted.head.as_ref()]
        .into_iter()
        .filter(|c| c.is_some_and(|c| !wanted.refused.contains(c)))
        .chain(kept)
        .flatten()
        .filter(|c| *c != current)
        .collect();
    let spare: Vec<&CommitId> = shelf
        .whole
        .iter()
        .filter(|c| *c != current && !needed.contains(c))
        .collect();
    if let Some(refused) = spare.iter().find(|c| wanted.refused.contains(c)) {
        return Some(refused);
    }
    let allowed = wanted.keep.saturating_sub(needed.len());
    (spare.len() > allowed).then(|| spare[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn commit(n: u8) -> CommitId {
        CommitId::new(format!("{n:040x}")).unwrap()
    }

    /// What a perfect disk does with a move; panics at a move that would do harm.
    fn apply(shelf: &mut ShelfState, wanted: &Wanted, step: &Move) {
        match step {
            Move::ClearLink => {
                assert!(shelf.leftover_link);
                shelf.leftover_link = false;
            }
            Move::ClearPart(c) => {
                assert!(shelf.parts.contains(c));
                shelf.parts.retain(|p| p != c);
            }
            Move::Stage(c) => {
                assert!(!shelf.whole.contains(c), "staged {c} twice");
                assert!(!wanted.refused.contains(c), "staged {c} although it is refused");
                shelf.whole.push(c.clone());
            }
            Move::Remake { old, new } => {
                assert!(wanted.commit.is_some(), "gave up {old} while undecided");
                apply(shelf, wanted, &Move::Prune(old.clone()));
                apply(shelf, wanted, &Move::Stage(new.clone()));
            }
            Move::Switch(c) => {
                assert!(shelf.whole.contains(c), "switched to {c}, which is not whole");
                assert!(
                    !wanted.refused.contains(c),
                    "switched to {c} although it is refused"
                );
                shelf.current = Some(c.clone());
                shelf.misplaced = false;
            }
            Move::Place(c) => {
                assert!(shelf.misplaced);
                assert_eq!(shelf.current.as_ref(), Some(c));
                shelf.misplaced = false;
            }
            Move::Prune(c) => {
                assert_ne!(shelf.current.as_ref(), Some(c), "pruned the current release");
                assert_ne!(wanted.previous.as_ref(), Some(c), "pruned the way back");
                assert!(shelf.whole.contains(c));
                shelf.whole.retain(|w| w != c);
            }
            Move::Nothing => {}
        }
    }

    /// The moves until `Nothing`, applied.
    fn settle(shelf: &mut ShelfState, wanted: &Wanted) -> Vec<Move> {
        let mut moves = Vec::new();
        loop {
            let step = next(shelf, wanted);
            if step == Move::Nothing {
                return moves;
            }
            apply(shelf, wanted, &step);
            moves.push(step);
            assert!(moves.len() <= 40, "does not settle: {moves:?}");
        }
    }

    fn some_commit() -> impl Strategy<Value = CommitId> {
        (0u8..8).prop_map(commit)
    }

    prop_compose! {
        fn some_shelf()(
            whole in proptest::sample::subsequence((0u8..8).collect::<Vec<_>>(), 0..8).prop_shuffle(),
            parts in proptest::sample::subsequence((0u8..8).collect::<Vec<_>>(), 0..4),
            pick in proptest::option::of(any::<proptest::sample::Index>()),
            leftover_link in any::<bool>(),
            misplaced in any::<bool>(),
        ) -> ShelfState {
            let whole: Vec<CommitId> = whole.into_iter().map(commit).collect();
            let current = pick.filter(|_| !whole.is_empty()).map(|i| i.get(&whole).clone());
            ShelfState { current, whole, parts: parts.into_iter().map(commit).collect(), leftover_link, misplaced }
        }
    }

    prop_compose! {
        fn some_wish()(
            commit in proptest::option::of(some_commit()),
            head in proptest::option::of(some_commit()),
            previous in proptest::option::of(some_commit()),
            refused in proptest::collection::vec(some_commit(), 0..3),
            keep in 0usize..4,
        ) -> Wanted {
            Wanted { commit, head, refused, keep, previous }
        }
    }

    proptest! {
        #[test]
        fn every_shelf_settles_with_the_wanted_commit_current(shelf in some_shelf(), wanted in some_wish()) {
            let before = shelf.clone();
            let mut shelf = shelf;
            let moves = settle(&mut shelf, &wanted);
            prop_assert!(moves.len() <= before.whole.len() + before.parts.len() + 5);
            prop_assert!(shelf.parts.is_empty() && !shelf.leftover_link);
            prop_assert!(shelf.current.is_none() || !shelf.misplaced);
            match &wanted.commit {
                Some(c) if !wanted.refused.contains(c) => prop_assert_eq!(shelf.current.as_ref(), Some(c)),
                Some(_) => {}
                None => {
                    prop_assert_eq!(&shelf.current, &before.current);
                    prop_assert!(before.whole.iter().all(|c| shelf.whole.contains(c)), "pruned while undecided");
                }
            }
            if let Some(head) = wanted.head.as_ref().filter(|h| !wanted.refused.contains(h)) {
                prop_assert!(shelf.whole.contains(head));
            }
        }

        #[test]
        fn no_more_is_kept_than_asked_for_and_needed(shelf in some_shelf(), wanted in some_wish()) {
            let mut shelf = shelf;
            settle(&mut shelf, &wanted);
            if wanted.commit.is_some() && shelf.current.is_some() {
                prop_assert!(shelf.whole.len() <= 1 + wanted.keep.max(3));
            }
        }

        #[test]
        fn a_crash_between_any_two_moves_changes_nothing_about_the_end(
            shelf in some_shelf(), wanted in some_wish(), torn in some_commit(), at in 0usize..10,
        ) {
            let mut shelf = shelf;
            for _ in 0..at {
                let step = next(&shelf, &wanted);
                apply(&mut shelf, &wanted, &step);
            }
            let current = shelf.current.clone();
            shelf.leftover_link = true;
            shelf.parts.push(torn);
            settle(&mut shelf, &wanted);
            if let Some(c) = wanted.commit.as_ref().filter(|c| !wanted.refused.contains(c)) {
                prop_assert_eq!(shelf.current.as_ref(), Some(c));
            } else if wanted.commit.is_none() {
                prop_assert_eq!(shelf.current, current);
            }
        }
    }

    #[test]
    fn a_refused_release_is_left_for_the_one_that_worked() {
        let mut shelf = ShelfState {
            current: Some(commit(2)),
            whole: vec![commit(1), commit(2)],
            ..ShelfState::default()
        };
        let wanted = Wanted {
            commit: Some(commit(2)),
            refused: vec![commit(2)],
            previous: Some(commit(1)),
            ..Wanted::default()
        };
        assert_eq!(
            settle(&mut shelf, &wanted),
            [Move::Switch(commit(1)), Move::Prune(commit(2))]
        );
    }

    #[test]
    fn a_refused_order_does_not_disturb_a_release_that_works() {
        let shelf = ShelfState {
            current: Some(commit(1)),
            whole: vec![commit(1)],
            ..ShelfState::default()
        };
        let wanted = Wanted {
            commit: Some(commit(2)),
            refused: vec![commit(2)],
            ..Wanted::default()
        };
        assert_eq!(next(&shelf, &wanted), Move::Nothing);
    }

    #[test]
    fn what_would_be_pruned_becomes_the_next_release() {
        let mut shelf = ShelfState {
            current: Some(commit(3)),
            whole: vec![commit(1), commit(2), commit(3)],
            ..ShelfState::default()
        };
        let mut wanted = Wanted {
            commit: Some(commit(3)),
            head: Some(commit(4)),
            previous: Some(commit(2)),
            ..Wanted::default()
        };
        let remade = |old, new| Move::Remake {
            old: commit(old),
            new: commit(new),
        };
        assert_eq!(settle(&mut shelf, &wanted), [remade(1, 4)]);
        // Ordered without having been seen as the head before.
        wanted.commit = Some(commit(5));
        wanted.head = None;
        assert_eq!(
            settle(&mut shelf, &wanted),
            [remade(4, 5), Move::Switch(commit(5))]
        );
    }

    #[test]
    fn the_head_is_staged_ahead_but_not_switched_to() {
        let mut shelf = ShelfState {
            current: Some(commit(1)),
            whole: vec![commit(1)],
            ..ShelfState::default()
        };
        let wanted = Wanted {
            commit: Some(commit(1)),
            head: Some(commit(2)),
            ..Wanted::default()
        };
        assert_eq!(settle(&mut shelf, &wanted), [Move::Stage(commit(2))]);
        assert_eq!(shelf.current, Some(commit(1)));
    }
}
