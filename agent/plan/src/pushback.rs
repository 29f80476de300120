//! Local changes that go back to the branch: which of them, onto which commit, and what is sent.
//!
//! Each is a path with what is there now. Refuses to know disks and servers; hashes are taken by whoever asks.

pub mod graft;
pub mod ignore;
pub mod wire;

use std::collections::BTreeMap;

use cartridge_protocol::{CommitId, Millis};

use crate::artifacts::object::ObjectId;
use crate::artifacts::tree::Kind;
use crate::backoff::doubled;

/// How long nothing may have changed before changes are looked at.
pub const QUIET: Millis = Millis(2_000);
/// Longest wait for that.
pub const AT_MOST: Millis = Millis(30_000);
/// Most bytes of changed files in one commit; the rest follows in the next.
pub const MOST_BYTES: u64 = 8 << 20;
/// Most changed paths in one commit; the rest follows in the next.
pub const MOST_PATHS: usize = 4096;
/// Longest wait between two tries.
const RETRY_CAP: Millis = Millis(600_000);
/// Most paths that are named to a person.
const MOST_NAMED: usize = 5;

/// How long a commit of ours stays current that nobody orders, once the other was ordered again.
const UNORDERED: Millis = Millis(60_000);

/// A commit of ours that is current although another is ordered: whoever orders has to hear of it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What is ordered.
    pub ordered: CommitId,
    /// What is current instead.
    pub new: CommitId,
    /// Since when.
    pub since: Millis,
    /// The order that was known then.
    pub revision: u64,
    /// The same was ordered by a newer one: they may have decided against it.
    pub again: bool,
}

impl Held {
    /// An order for the same commit has come.
    pub fn heard(&mut self, revision: u64) {
        self.again |= revision > self.revision;
    }

    /// When what is ordered counts after all.
    pub fn until(&self) -> Option<Millis> {
        self.again.then(|| self.since.plus(UNORDERED))
    }
}

/// A path in a commit, its names parted by slashes.
pub type Path = Vec<u8>;

/// A file or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Never a folder.
    pub kind: Kind,
    /// Its contents.
    pub id: ObjectId,
}

/// What is at each path that changed; None: nothing any more.
pub type Changes = BTreeMap<Path, Option<Leaf>>;

/// What comes of local changes and the head of the branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// What goes onto the head.
    pub push: Changes,
    /// Changed here and there, and not alike.
    pub conflicts: Vec<Path>,
}

/// Puts local changes onto the head: what the branch has already is left out, what both changed is a conflict. `base`
/// is what the release was made of.
pub fn merge(
    changes: &Changes,
    base: impl Fn(&Path) -> Option<Leaf>,
    head: impl Fn(&Path) -> Option<Leaf>,
) -> Merged {
    let mut merged = Merged::default();
    for (path, ours) in changes {
        let theirs = head(path);
        if theirs == *ours {
            continue;
        }
        if theirs == base(path) {
            merged.push.insert(path.clone(), *ours);
        } else {
            merged.conflicts.push(path.clone());
        }
    }
    merged
}

/// How long to wait after so many tries that failed; `chance` keeps members apart.
pub fn pause(tries: u32, chance: f64) -> Millis {
    let longest = doubled(Millis(1_000), RETRY_CAP, tries);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bound of minutes, a chance within 0..1"
    )]
    let part = (longest.0 as f64 * chance.clamp(0.0, 1.0)) as u64;
    Millis(longest.0 / 2 + part / 2)
}

/// Paths for people, and how many more there are.
pub fn named<'a>(paths: impl ExactSizeIterator<Item = &'a Path>) -> String {
    let count = paths.len();
    let first: Vec<String> = paths
        .take(MOST_NAMED)
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    let more = count.saturating_sub(first.len());
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    first.join(", ") + &rest
}

/// Who commits, when, and what it says.
#[derive(Clone, Debug)]
pub struct Author {
    /// The member, or its tenant.
    pub name: String,
    /// The member.
    pub member: String,
    /// Seconds since 1970.
    pub at: u64,
}

/// The bytes of a commit object.
pub fn commit(tree: ObjectId, parent: ObjectId, author: &Author, changes: &Changes) -> Vec<u8> {
    // A name ends where an address begins.
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| !c.is_control() && !"<>".contains(*c))
            .take(200)
            .collect()
    };
    let member = plain(&author.member);
    let who = format!(
        "{} <{member}@cartridge.invalid> {} +0000",
        plain(&author.name),
        author.at
    );
    let count = changes.len();
    let paths = if count == 1 { "path" } else { "paths" };
    format!(
        "tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nLocal changes of {member}: {count} {paths}\n\n\
         Cartridge-Member: {member}\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(n: u8) -> Leaf {
        Leaf {
            kind: Kind::File { executable: false },
            id: ObjectId::from_bytes([n; 20]),
        }
    }

    type Tree = BTreeMap<Path, Leaf>;

    fn changes(base: &Tree, ours: &Tree) -> Changes {
        let paths = base.keys().chain(ours.keys());
        let differs = paths.filter(|path| base.get(*path) != ours.get(*path));
        differs
            .map(|path| (path.clone(), ours.get(path).copied()))
            .collect()
    }

    fn merged(base: &Tree, ours: &Tree, head: &Tree) -> Merged {
        merge(
            &changes(base, ours),
            |p| base.get(p).copied(),
            |p| head.get(p).copied(),
        )
    }

    fn some_tree() -> impl Strategy<Value = Tree> {
        proptest::collection::btree_map(
            proptest::collection::vec(97u8..101, 1..2),
            (0u8..3).prop_map(leaf),
            0..4,
        )
    }

    proptest! {
        #[test]
        fn what_is_pushed_never_takes_back_what_the_branch_changed(base in some_tree(), ours in some_tree(), head in some_tree()) {
            let found = merged(&base, &ours, &head);
            for (path, change) in &found.push {
                prop_assert_eq!(head.get(path), base.get(path));
                prop_assert_eq!(change.as_ref(), ours.get(path));
            }
            for path in &found.conflicts {
                prop_assert_ne!(head.get(path), base.get(path));
                prop_assert_ne!(head.get(path), ours.get(path));
            }
        }

        #[test]
        fn after_a_push_nothing_is_left_to_be_pushed(base in some_tree(), ours in some_tree()) {
            let found = merged(&base, &ours, &base);
            prop_assert!(found.conflicts.is_empty());
            let mut head = base.clone();
            for (path, change) in found.push {
                match change {
                    Some(leaf) => head.insert(path, leaf),
                    None => head.remove(&path),
                };
            }
            prop_assert_eq!(&head, &ours);
            // Our own commit has come back.
            prop_assert_eq!(merged(&base, &ours, &head), Merged::default());
        }
    }

    #[test]
    fn a_commit_says_whose_it_is_and_no_name_can_break_out_of_its_line() {
        let author = Author {
            name: "7>\nparent 0".into(),
            member: "app.web.php.domain-1".into(),
            at: 12,
        };
        let id = ObjectId::from_bytes([1; 20]);
        let changes = Changes::from([(b"a".to_vec(), None)]);
        let text = String::from_utf8(commit(id, id, &author, &changes)).unwrap();
        assert!(
            text.contains(
                "\nauthor 7parent 0 <app.web.php.domain-1@cartridge.invalid> 12 +0000\ncommitter 7"
            )
        );
        assert!(text.contains("1 path\n") && text.matches("\nparent ").count() == 1);
    }

    #[test]
    fn a_commit_that_nobody_orders_gives_way_only_to_a_newer_order_and_not_at_once() {
        let commit = |digit: &str| CommitId::new(digit.repeat(40)).unwrap();
        let mut held = Held {
            ordered: commit("a"),
            new: commit("b"),
            since: Millis(1_000),
            revision: 7,
            again: false,
        };
        held.heard(7);
        assert_eq!(held.until(), None, "told once more what was known");
        held.heard(8);
        assert_eq!(held.until(), Some(Millis(61_000)));
    }

    #[test]
    fn tries_are_farther_and_farther_apart_and_members_not_in_step() {
        assert!(pause(0, 0.0) >= Millis(500) && pause(0, 1.0) <= Millis(1_000));
        assert_eq!(pause(40, 1.0), RETRY_CAP);
    }

    #[test]
    fn a_person_is_told_a_few_paths() {
        let paths: Vec<Path> = (0..7).map(|n| format!("f{n}").into_bytes()).collect();
        assert_eq!(named(paths.iter()), "f0, f1, f2, f3, f4 and 2 more");
        assert_eq!(named(paths[..1].iter()), "f0");
    }
}
