//! Nothing is sent twice under two numbers, nothing is missing without a mark, and it is bounded.

use super::*;
use proptest::prelude::*;

fn numbers(logs: &[LogLine]) -> Vec<u64> {
    logs.iter().map(|l| l.number).collect()
}

#[test]
fn what_gave_way_is_told_where_it_stood() {
    let mut ring = LogRing::new(100);
    (0..1500).for_each(|n| ring.push(if n % 2 == 0 { "out" } else { "err" }, &n.to_string()));
    assert_eq!((ring.len(), ring.dropped()), (1000, 500));
    let logs = ring.begin();
    assert_eq!(logs[0].number, 599);
    assert_eq!(
        logs[0].text,
        "(250 lines were not kept: they could not be sent in time)"
    );
    assert_eq!((logs[1].number, logs[1].stream.as_str()), (600, "err"));
    assert_eq!(logs[2].text, "500");
}

#[test]
fn what_is_under_way_does_not_give_way_and_later_gaps_come_after_it() {
    let mut ring = LogRing::new(0);
    (0..300).for_each(|n| ring.push("out", &n.to_string()));
    assert_eq!(ring.begin().last().unwrap().number, 256);
    (0..5000).for_each(|n| ring.push("out", &n.to_string()));
    ring.forget(256);
    let logs = ring.begin();
    assert_eq!(
        logs[0].text,
        "(4300 lines were not kept: they could not be sent in time)"
    );
    assert_eq!((logs[0].number, logs[1].number), (4556, 4557));
    assert_eq!(ring.dropped(), 4300);
    // A mark that gives way itself is told by the next one.
    (0..5000).for_each(|n| ring.push("out", &n.to_string()));
    ring.begin();
    (0..5000).for_each(|n| ring.push("out", &n.to_string()));
    let told: u64 = {
        let mut sum = 0;
        loop {
            let logs = ring.begin();
            let Some(last) = logs.last() else { break sum };
            sum += logs
                .iter()
                .map(
                    |l| match l.text.strip_prefix('(').and_then(|t| t.split_once(' ')) {
                        Some((count, _)) => count.parse::<u64>().unwrap(),
                        None => 1,
                    },
                )
                .sum::<u64>();
            ring.forget(last.number);
        }
    };
    assert_eq!(told + 256, 300 + 15_000);
}

#[test]
fn a_stream_that_babbles_takes_no_room_from_one_that_says_little() {
    let mut ring = LogRing::new(0);
    for n in 0..20_000 {
        ring.push("out", "again and again");
        if n % 100 == 0 {
            ring.push("err", &n.to_string());
        }
    }
    let mut said = 0;
    while !ring.is_empty() {
        let sent = ring.begin();
        said += sent.iter().filter(|line| line.stream == "err").count();
        ring.forget(sent.last().unwrap().number);
    }
    assert_eq!(said, 200, "every line of the quiet one is there");
    assert_eq!(ring.of_pipe, BTreeMap::new());
}

#[test]
fn files_wait_for_room_and_are_told_what_was_taken() {
    let mut ring = LogRing::new(0);
    assert_eq!(ring.file_room(), MOST_FILE_LINES);
    for n in 0..300 {
        ring.push_file("/a", n * 10, "x");
    }
    ring.push("out", "y");
    assert_eq!(ring.file_room(), MOST_FILE_LINES - 300);
    let logs = ring.begin();
    assert_eq!(ring.take_taken(), BTreeMap::new());
    ring.forget(logs.last().unwrap().number);
    assert_eq!(ring.take_taken(), BTreeMap::from([("/a".to_owned(), 2550)]));
    assert_eq!(ring.take_taken(), BTreeMap::new());
    (0..5000).for_each(|n| ring.push("out", &n.to_string()));
    assert_eq!(
        ring.file_room(),
        MOST_FILE_LINES - 44,
        "pipes do not push out what came from files"
    );
    (0..40).for_each(|n| ring.push_file("/a", 3000 + n, &"x".repeat(MAX_LINE_BYTES)));
    assert_eq!(ring.file_room(), 0, "bytes count too");
}

proptest! {
    #[test]
    fn numbers_of_what_is_sent_only_count_up_and_it_is_bounded(
        moves in proptest::collection::vec((0u8..4, 1u64..400), 1..80)
    ) {
        let mut ring = LogRing::new(0);
        let (mut sequence, mut taken) = (0, 0);
        for (what, count) in moves {
            match what {
                0 => (0..count).for_each(|_| ring.push("out", "x")),
                1 => for _ in 0..count.min(ring.file_room() as u64) {
                    sequence += 1;
                    ring.push_file("/f", sequence, "y");
                },
                2 => {
                    let sent = numbers(&ring.begin());
                    prop_assert!(sent.windows(2).all(|w| w[0] < w[1]));
                    prop_assert!(sent.first().is_none_or(|first| *first > taken));
                    prop_assert_eq!(numbers(&ring.begin()), sent.clone(), "sent again it is the same");
                    if let Some(last) = sent.last() {
                        taken = *last;
                        ring.forget(taken);
                    }
                }
                _ => { let _ = ring.begin(); }
            }
            prop_assert!(ring.pipes.lines <= MOST_LINES + 256 && ring.files.lines <= MOST_FILE_LINES);
            prop_assert_eq!(ring.pipes.lines + ring.files.lines, ring.len());
        }
    }
}
