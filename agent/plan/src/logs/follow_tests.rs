//! Rotations of every kind, seen at once and seen late.

use super::*;

fn file(name: &str, inode: u64, text: &str, modified: u64) -> Seen {
    Seen {
        name: name.to_owned(),
        inode,
        size: text.len() as u64,
        modified,
        first: text.as_bytes().iter().copied().take(Head::MOST).collect(),
    }
}

/// Text that tells itself from others by its beginning.
fn text(what: &str, length: usize) -> String {
    format!("{what:-<20}")
        .chars()
        .chain(std::iter::repeat('.'))
        .take(length)
        .collect()
}

fn place(generation: u64, inode: u64, text: &str, offset: usize, modified: u64) -> Place {
    Place {
        generation,
        inode,
        head: Head::of(&text.as_bytes()[..offset]),
        offset: offset as u64,
        modified,
    }
}

/// Names, generations and positions.
fn shown(pieces: &Pieces) -> Vec<(&str, Option<u64>, u64)> {
    let row = |p: &'_ Piece| (p.generation, p.from);
    pieces
        .pieces
        .iter()
        .map(|p| (p.name.as_str(), row(p).0, row(p).1))
        .collect()
}

#[test]
fn a_file_that_is_new_is_read_from_its_beginning_and_older_ones_are_not() {
    let seen = [
        file("a.log", 7, &text("now", 100), 50),
        file("a.log.1", 6, &text("old", 100), 40),
    ];
    assert_eq!(shown(&pieces("a.log", &[], &[], &seen)), [("a.log", None, 0)]);
    assert_eq!(pieces("a.log", &[], &[], &[]), Pieces::default());
}

#[test]
fn a_file_that_grew_goes_on_where_it_was() {
    let seen = [file("a.log", 7, &text("now", 100), 50)];
    let known = [place(3, 7, &text("now", 100), 60, 45)];
    assert_eq!(
        shown(&pieces("a.log", &known, &[], &seen)),
        [("a.log", Some(3), 60)]
    );
}

#[test]
fn renamed_and_created_the_rest_comes_first_and_files_between_are_read_whole() {
    let seen = [
        file("a.log", 9, &text("new", 30), 90),
        file("a.log.1", 8, &text("between", 70), 80),
        file("a.log.2", 7, &text("ours", 100), 70),
        file("a.log.3", 6, &text("done", 100), 45),
        file("a.log.4.gz", 5, "packed", 95),
        file("a.log.err", 4, &text("other", 100), 95),
    ];
    let known = [place(3, 7, &text("ours", 100), 60, 60)];
    let wanted = [("a.log.2", Some(3), 60), ("a.log.1", None, 0), ("a.log", None, 0)];
    assert_eq!(shown(&pieces("a.log", &known, &[], &seen)), wanted);
}

#[test]
fn files_of_one_instant_are_told_apart_by_number_and_by_what_was_read() {
    let seen = [
        file("a.log", 9, &text("new", 30), 60),
        file("a.log.1", 8, &text("between", 70), 60),
        file("a.log.2", 7, &text("older", 70), 60),
        file("a.log.3", 6, &text("ours", 100), 60),
        file("a.log.4", 5, &text("done", 100), 60),
    ];
    let known = [place(3, 6, &text("ours", 100), 60, 60)];
    let done = [Done {
        inode: 5,
        head: Head::of(text("done", 100).as_bytes()),
    }];
    let wanted = [
        ("a.log.3", Some(3), 60),
        ("a.log.2", None, 0),
        ("a.log.1", None, 0),
        ("a.log", None, 0),
    ];
    assert_eq!(shown(&pieces("a.log", &known, &done, &seen)), wanted);
}

#[test]
fn a_clock_that_was_set_back_hides_no_file_whose_name_counts_or_dates() {
    for names in [
        ["a.log.1", "a.log.2", "a.log.3"],
        ["a.log-20260103", "a.log-20260102", "a.log-20260101"],
    ] {
        let seen = [
            file("a.log", 9, &text("new", 30), 20),
            file(names[0], 8, &text("between", 70), 10),
            file(names[1], 7, &text("ours", 100), 70),
            file(names[2], 6, &text("before", 100), 75),
        ];
        let known = [place(3, 7, &text("ours", 100), 60, 60)];
        let wanted = [(names[1], Some(3), 60), (names[0], None, 0), ("a.log", None, 0)];
        assert_eq!(shown(&pieces("a.log", &known, &[], &seen)), wanted);
    }
}

#[test]
fn copied_and_truncated_the_rest_is_read_from_the_copy() {
    let seen = [
        file("a.log", 7, &text("second", 30), 90),
        file("a.log.1", 8, &text("first", 100), 80),
        file("a.log.2", 6, &text("older", 100), 50),
    ];
    let known = [place(3, 7, &text("first", 100), 60, 60)];
    let wanted = [("a.log.1", Some(3), 60), ("a.log", None, 0)];
    assert_eq!(shown(&pieces("a.log", &known, &[], &seen)), wanted);
}

#[test]
fn copied_and_truncated_twice_both_copies_are_read_and_those_that_were_read_are_not() {
    let seen = [
        file("a.log", 7, &text("third", 30), 90),
        file("a.log.1", 9, &text("second", 50), 80),
        file("a.log.2", 8, &text("first", 100), 70),
        file("a.log.3", 6, &text("zeroth", 100), 65),
    ];
    let known = [place(3, 7, &text("first", 100), 60, 60)];
    let done = [Done {
        inode: 7,
        head: Head::of(text("zeroth", 100).as_bytes()),
    }];
    let wanted = [("a.log.2", Some(3), 60), ("a.log.1", None, 0), ("a.log", None, 0)];
    assert_eq!(shown(&pieces("a.log", &known, &done, &seen)), wanted);
}

#[test]
fn a_file_of_which_nothing_was_read_before_it_was_copied_and_truncated_comes_anew() {
    let seen = [
        file("a.log", 7, &text("second", 30), 90),
        file("a.log.1", 8, &text("first", 100), 80),
        file("a.log.2", 6, &text("older", 100), 50),
    ];
    let known = [place(3, 7, "", 0, 60)];
    let got = pieces("a.log", &known, &[], &seen);
    assert_eq!(shown(&got), [("a.log.1", None, 0), ("a.log", None, 0)]);
    assert_eq!((got.anew, got.missing.len()), (Some(3), 0));
    let got = pieces("a.log", &known, &[], &seen[..1]);
    assert_eq!((shown(&got), got.anew), (vec![("a.log", Some(3), 0)], None));
}

#[test]
fn truncated_without_a_copy_it_begins_anew_and_the_rest_is_missed() {
    let known = [place(3, 7, &text("first", 100), 60, 60)];
    for (size, what) in [(30, "first"), (100, "second"), (0, "")] {
        let seen = [file("a.log", 7, &text(what, size), 90)];
        let got = pieces("a.log", &known, &[], &seen);
        assert_eq!(shown(&got), [("a.log", None, 0)], "{size}");
        assert_eq!(got.missing, [3]);
    }
}

#[test]
fn a_file_that_is_gone_is_missed_and_an_inode_used_again_deceives_nobody() {
    let known = [place(3, 7, &text("first", 100), 60, 60)];
    let got = pieces("a.log", &known, &[], &[]);
    assert_eq!((got.pieces.len(), got.missing), (0, vec![3]));
    let seen = [file("a.log", 7, &text("another", 500), 90)];
    assert_eq!(shown(&pieces("a.log", &known, &[], &seen)), [("a.log", None, 0)]);
}

#[test]
fn several_unfinished_files_go_on_in_their_order() {
    let seen = [
        file("a.log", 9, &text("new", 30), 90),
        file("a.log.1", 8, &text("second", 70), 80),
        file("a.log.2", 7, &text("first", 100), 70),
    ];
    let known = [
        place(3, 7, &text("first", 100), 60, 60),
        place(4, 8, &text("second", 70), 20, 75),
        place(5, 9, "", 0, 85),
    ];
    let wanted = [
        ("a.log.2", Some(3), 60),
        ("a.log.1", Some(4), 20),
        ("a.log", Some(5), 0),
    ];
    assert_eq!(shown(&pieces("a.log", &known, &[], &seen)), wanted);
}

#[test]
fn sequences_order_files_first_and_positions_within_them() {
    assert!(sequence(2, 0) > sequence(1, LONGEST - 1));
    assert!(sequence(2, 6) > sequence(2, 5));
    assert_eq!(parts(sequence(77, 12345)), (77, 12345));
}

#[test]
fn a_beginning_is_compared_as_far_as_it_is_known() {
    let head = Head::of(b"abc");
    assert!(head.matches(b"abcdef") && head.matches(b"abc"));
    assert!(!head.matches(b"ab") && !head.matches(b"abd"));
    assert!(Head::default().matches(b"anything") && Head::default().matches(b""));
    let long = vec![b'x'; 5000];
    assert_eq!(Head::of(&long).bytes, 1024);
}

#[test]
fn what_is_too_far_behind_is_left_out_but_for_its_end() {
    assert_eq!(leap(0, MOST_BEHIND), None);
    assert_eq!(leap(5, MOST_BEHIND + 6), Some((15 << 20) + 6));
    assert_eq!(leap(100, 50), None);
    assert!(leapt(10, 30).starts_with("(20 bytes were not kept"));
}
