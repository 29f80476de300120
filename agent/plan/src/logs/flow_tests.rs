//! What comes out is what went in, or it is said what is missing.

use super::*;
use proptest::prelude::*;

const RATE: Rate = Rate {
    lines: 10,
    bytes: 1000,
};

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|e| e.text.as_str()).collect()
}

/// Lines in an entry; a mark counts as what it says.
fn lines_in(entry: &Entry) -> u64 {
    match entry
        .text
        .strip_prefix('(')
        .and_then(|t| t.split_once(" lines were not kept"))
    {
        Some((count, _)) => count.parse().unwrap(),
        None => entry.text.split('\n').count() as u64,
    }
}

#[test]
fn what_is_over_the_rate_is_counted_and_told_before_what_follows() {
    let mut flow = Flow::new(RATE, Over::Dropped, Millis(100), 0);
    let mut out = Vec::new();
    let flood: String = (0..100).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        flow.take(flood.as_bytes(), Millis(0), None, 1000, &mut out),
        flood.len()
    );
    assert!(flow.is_over_rate());
    assert_eq!(out.len(), 39, "40 at once; the last of them may still grow");
    assert_eq!(flow.due(), Some(Millis(101)));
    flow.take(b"later\n", Millis(500), None, 1000, &mut out);
    flow.finish(Millis(500), None, &mut out);
    assert_eq!(
        texts(&out)[39..],
        [
            "39",
            "(60 lines were not kept: more than 10 lines or 1000 bytes a second)",
            "later"
        ]
    );
    assert!(!flow.is_over_rate());
}

#[test]
fn a_flood_that_stops_is_told_within_a_second() {
    let mut flow = Flow::new(RATE, Over::Dropped, Millis(100), 0);
    let mut out = Vec::new();
    flow.take("x\n".repeat(50).as_bytes(), Millis(10), None, 1000, &mut out);
    flow.tick(Millis(111), &mut out);
    assert_eq!(out.len(), 40);
    assert_eq!(flow.due(), Some(Millis(1010)));
    flow.tick(Millis(1010), &mut out);
    assert!(out[40].text.starts_with("(10 lines were not kept"));
    assert_eq!((out[40].end, flow.due()), (100, None));
}

#[test]
fn what_waits_is_taken_when_the_rate_allows_it_and_nothing_is_lost() {
    let mut flow = Flow::new(RATE, Over::Wait, Millis(100), 0);
    let (mut now, mut out) = (Millis(0), Vec::new());
    let text: String = (0..100).map(|n| format!("{n}\n")).collect();
    let mut at = 0;
    while at < text.len() {
        at += flow.take(&text.as_bytes()[at..], now, None, 7, &mut out);
        assert_eq!(flow.position(), at as u64);
        if let Some(due) = flow.due() {
            now = now.max(due);
        }
    }
    flow.finish(now, None, &mut out);
    assert_eq!(out.len(), 100);
    assert!(
        now >= Millis(5_900),
        "60 beyond the reserve at ten a second took {now:?}"
    );
    assert_eq!(out[99].end, text.len() as u64);
}

#[test]
fn an_endless_line_without_an_end_is_no_way_around_the_rate() {
    let mut flow = Flow::new(RATE, Over::Dropped, Millis(100), 0);
    let mut out = Vec::new();
    for _ in 0..1000 {
        flow.take(&[b'x'; 1000], Millis(1), None, 1000, &mut out);
    }
    flow.take(b"\nnext\n", Millis(1), None, 1000, &mut out);
    flow.take(b"and next\n", Millis(100_000), None, 1000, &mut out);
    flow.finish(Millis(100_000), None, &mut out);
    assert!(out[0].text.ends_with("(cut: the line has 1000000 bytes)"));
    assert!(
        out[1].text.starts_with("(1 lines were not kept"),
        "{:?}",
        texts(&out)[1]
    );
    assert_eq!(out.len(), 3);
}

#[test]
fn it_can_be_written_down_and_taken_up_in_the_middle_of_a_line() {
    let mut flow = Flow::new(RATE, Over::Dropped, Millis(100), 0);
    let mut out = Vec::new();
    flow.take(b"one\n  two\nthr", Millis(5), None, 10, &mut out);
    let text = serde_json::to_string(&flow).unwrap();
    let mut again: Flow = serde_json::from_str(&text).unwrap();
    assert_eq!(again, flow);
    again.take(b"ee\n", Millis(6), None, 10, &mut out);
    again.finish(Millis(6), None, &mut out);
    assert_eq!(texts(&out), ["one\n  two", "three"]);
}

#[test]
fn what_is_left_out_is_told_and_counts_on_from_there() {
    let mut flow = Flow::new(RATE, Over::Wait, Millis(100), 1_000);
    let mut out = Vec::new();
    flow.take(b"a\nhalf", Millis(5), None, 10, &mut out);
    flow.skip_to(9_000, "(much was left out)".into(), &mut out);
    flow.take(b"b\n", Millis(5), None, 10, &mut out);
    flow.finish(Millis(5), None, &mut out);
    let ends: Vec<(&str, u64)> = out.iter().map(|e| (e.text.as_str(), e.end)).collect();
    assert_eq!(ends, [("a", 1_002), ("(much was left out)", 9_000), ("b", 9_002)]);
}

#[test]
fn what_may_have_been_read_before_is_not_joined() {
    let mut flow = Flow::new(RATE, Over::Wait, Millis(100), 0);
    let mut out = Vec::new();
    flow.begin(10, 15);
    flow.take(b"a\n b\nc\n d\n", Millis(5), None, 100, &mut out);
    flow.finish(Millis(5), None, &mut out);
    let ends: Vec<(&str, u64)> = out.iter().map(|e| (e.text.as_str(), e.end)).collect();
    assert_eq!(ends, [("a", 12), (" b", 15), ("c\n d", 20)]);
}

proptest! {
    #[test]
    fn every_line_comes_out_once_in_order_or_is_counted(
        pieces in proptest::collection::vec(("[a-z \n]{0,60}", 0u64..300), 1..60),
        over in prop_oneof![Just(Over::Dropped), Just(Over::Wait)],
        room in 1usize..9,
    ) {
        let mut flow = Flow::new(RATE, over, Millis(100), 0);
        let (mut now, mut out) = (Millis(0), Vec::new());
        for (piece, pause) in &pieces {
            now = now.plus(Millis(*pause));
            flow.tick(now, &mut out);
            let mut rest = piece.as_bytes();
            while !rest.is_empty() {
                let taken = flow.take(rest, now, None, room, &mut out);
                rest = &rest[taken..];
                if taken == 0 {
                    now = now.max(flow.due().expect("what waits is due at some time"));
                    flow.tick(now, &mut out);
                }
            }
        }
        flow.finish(now, None, &mut out);
        let whole: String = pieces.iter().map(|(p, _)| p.as_str()).collect();
        let expected = whole.lines().count() as u64;
        prop_assert_eq!(out.iter().map(lines_in).sum::<u64>(), expected);
        prop_assert!(out.windows(2).all(|w| w[0].end < w[1].end), "ends count up");
        prop_assert_eq!(flow.position(), whole.len() as u64);
        if over == Over::Wait {
            let joined: Vec<&str> = out.iter().flat_map(|e| e.text.split('\n')).collect();
            prop_assert_eq!(joined, whole.lines().collect::<Vec<_>>());
        } else {
            // What is there stands where it stood.
            let mut lines = whole.lines();
            for entry in &out {
                let count = lines_in(entry);
                let stood: Vec<&str> = lines.by_ref().take(usize::try_from(count).unwrap()).collect();
                if !entry.text.starts_with('(') {
                    prop_assert_eq!(&entry.text, &stood.join("\n"));
                }
            }
        }
    }
}
