//! Real traces of four languages, and the bounds.

use super::*;

fn entries_within(text: &str, pause: u64, start: Option<&Start>) -> Vec<String> {
    let mut joiner = Joiner::new(Millis(100));
    let mut now = Millis(5);
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        now = now.plus(Millis(pause));
        all.extend(joiner.take(line.to_owned(), at as u64, now, start));
    }
    all.extend(joiner.finish());
    all.into_iter().map(|(text, _)| text).collect()
}

fn entries(text: &str) -> Vec<String> {
    entries_within(text, 0, None)
}

/// The first and the last line of every entry.
fn ends(text: &str) -> Vec<(String, String)> {
    let pair = |entry: &String| {
        let mut lines = entry.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        (first.clone(), lines.next_back().unwrap_or(&first).to_owned())
    };
    entries(text).iter().map(pair).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[test]
fn a_java_trace_with_causes_is_one_entry() {
    let text = "INFO ready\n\
        java.lang.IllegalStateException: no pool\n\
        \tat com.example.Pool.take(Pool.java:41)\n\
        \tat com.example.Main.main(Main.java:7)\n\
        \tSuppressed: java.io.IOException: closed\n\
        \t\tat com.example.Pool.close(Pool.java:60)\n\
        Caused by: java.net.ConnectException: refused\n\
        \tat com.example.Net.dial(Net.java:9)\n\
        \t... 12 more\n\
        INFO next";
    assert_eq!(
        ends(text),
        pairs(&[
            ("INFO ready", "INFO ready"),
            ("java.lang.IllegalStateException: no pool", "\t... 12 more"),
            ("INFO next", "INFO next"),
        ])
    );
    assert_eq!(entries("a\n... 3 more\nb").len(), 2, "without indentation too");
}

#[test]
fn a_python_traceback_goes_on_to_its_exception_and_to_the_one_that_it_caused() {
    let text = "starting\n\
        Traceback (most recent call last):\n  File \"a.py\", line 2, in <module>\n    one()\nKeyError: 'x'\n\
        \n\
        During handling of the above exception, another exception occurred:\n\
        \n\
        Traceback (most recent call last):\n  File \"a.py\", line 4, in <module>\n    two()\nValueError: bad\n\
        stopping\n\
        Traceback (most recent call last):\n  File \"b.py\", line 1\nSyntaxError: bad\n\
        last";
    assert_eq!(
        ends(text),
        pairs(&[
            ("starting", "starting"),
            ("Traceback (most recent call last):", "ValueError: bad"),
            ("stopping", "stopping"),
            ("Traceback (most recent call last):", "SyntaxError: bad"),
            ("last", "last"),
        ])
    );
}

#[test]
fn a_go_panic_is_one_entry_with_all_its_goroutines() {
    let text = "2026/01/01 listening\n\
        panic: runtime error: index out of range [5] with length 3 [recovered]\n\
        \tpanic: again\n\
        [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x45]\n\
        \n\
        goroutine 1 [running]:\n\
        main.(*T).run(0xc000012345, {0x1, 0x2})\n\
        \t/src/main.go:8 +0x1d\n\
        main.main()\n\
        \t/src/main.go:3 +0x1d\n\
        created by main.start in goroutine 6\n\
        \t/src/main.go:30 +0x1d\n\
        \n\
        goroutine 7 [select]:\n\
        main.wait()\n\
        \t/src/main.go:9 +0x1d\n\
        exit status 2\n\
        2026/01/01 listening again";
    assert_eq!(
        ends(text),
        pairs(&[
            ("2026/01/01 listening", "2026/01/01 listening"),
            (
                "panic: runtime error: index out of range [5] with length 3 [recovered]",
                "exit status 2"
            ),
            ("2026/01/01 listening again", "2026/01/01 listening again"),
        ])
    );
}

#[test]
fn a_rust_panic_has_its_message() {
    let text = "thread 'main' (123) panicked at src/main.rs:2:5:\nindex out of bounds\nstack backtrace:\n   0: \
        std::panicking\n             at src/x.rs\nnote: Some details are omitted\nnext";
    assert_eq!(
        ends(text),
        pairs(&[
            (
                "thread 'main' (123) panicked at src/main.rs:2:5:",
                "note: Some details are omitted"
            ),
            ("next", "next")
        ])
    );
}

#[test]
fn ordinary_lines_and_blank_ones_stay_what_they_are() {
    let text = "one\n\ntwo\nCaused nothing\n... and more words\nthree";
    assert_eq!(
        entries(text),
        ["one", "", "two", "Caused nothing", "... and more words", "three"]
    );
}

#[test]
fn a_start_pattern_alone_decides() {
    let start = Start::parse("####-##-##").unwrap();
    let text = "2026-01-01 a\nCaused by\nanything\n2026-01-02 b\n\n2026-01-03 c";
    assert_eq!(
        entries_within(text, 0, Some(&start)),
        [
            "2026-01-01 a\nCaused by\nanything",
            "2026-01-02 b\n",
            "2026-01-03 c"
        ]
    );
}

#[test]
fn an_entry_has_an_end_in_lines_in_bytes_and_in_time() {
    let long = "a\n".to_owned() + &" b\n".repeat(200);
    let counts: Vec<usize> = entries(&long).iter().map(|e| e.lines().count()).collect();
    assert_eq!(counts, [64, 64, 64, 9]);
    let wide = "a\n".to_owned() + &format!(" {}\n", "b".repeat(5000)).repeat(8);
    let all = entries(&wide);
    assert!(all.len() >= 3 && all.iter().all(|e| e.len() <= MAX_LINE_BYTES));
    assert_eq!(entries_within("a\n b\n c", 100, None).len(), 1);
    assert_eq!(entries_within("a\n b\n c", 101, None).len(), 3);
}

#[test]
fn the_end_of_an_entry_is_the_end_of_its_last_line() {
    let mut joiner = Joiner::new(Millis(100));
    assert_eq!(joiner.take("a".into(), 2, Millis(1), None), None);
    assert_eq!(joiner.take(" b".into(), 5, Millis(2), None), None);
    assert_eq!(joiner.due(), Some(Millis(103)));
    assert_eq!(
        joiner.take("c".into(), 7, Millis(3), None),
        Some(("a\n b".into(), 5))
    );
    assert_eq!(joiner.finish(), Some(("c".into(), 7)));
    assert_eq!((joiner.finish(), joiner.due()), (None, None));
}

/// Every kind of entry against every kind of line: what it is afterwards, `-` if the line does not join.
#[test]
fn every_kind_of_entry_knows_every_kind_of_line() {
    let kinds = [
        ('p', Kind::Plain),
        ('f', Kind::PythonFrames),
        ('n', Kind::PythonNamed),
        ('b', Kind::PythonBlank),
        ('w', Kind::PythonBetween),
        ('g', Kind::Go),
        ('h', Kind::RustHead),
        ('r', Kind::RustBody),
    ];
    let lines = [
        ("  indented", "pfn--grr"),
        ("", "--b-bg--"),
        ("words", "-n----r-"),
        ("Caused by: x", "pn----r-"),
        ("Traceback (most recent call last):", "-n-f----"),
        ("During handling of the above exception, x", "-n-w--r-"),
        ("goroutine 1 [running]:", "-n---gr-"),
        ("main.main()", "-n---gr-"),
        ("note: x", "-n----rr"),
    ];
    for (line, after) in lines {
        for ((_, kind), after) in kinds.iter().zip(after.chars()) {
            let expected = kinds.iter().find(|(letter, _)| *letter == after).map(|(_, k)| *k);
            assert_eq!(joined(*kind, line), expected, "{kind:?} and {line:?}");
        }
    }
}
