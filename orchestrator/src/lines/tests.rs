//! What is kept, what is told where something is not, and that nobody ever waits for a disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::*;

fn limits() -> Limits {
    Limits {
        segment_bytes: 4096,
        segments: 3,
        write_every: Duration::from_millis(5),
        freeze: Duration::from_millis(50),
        prune_every: Duration::from_millis(20),
        ..Limits::default()
    }
}

fn member(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn line(number: u64, text: &str) -> LogLine {
    LogLine {
        number,
        stream: "out".to_owned(),
        sequence: Some(number),
        text: text.to_owned(),
    }
}

fn offer(lines: &Lines, name: &str, incarnation: u64, numbers: impl IntoIterator<Item = u64>) {
    let rows: Vec<LogLine> = numbers
        .into_iter()
        .map(|n| line(n, &format!("line {n}")))
        .collect();
    lines.offer(FromMember {
        member: member(name),
        incarnation,
        rows: rows.into(),
    });
}

/// Texts of words, numbers of lines.
async fn read(lines: &Lines, name: &str) -> Vec<String> {
    let kept = lines.read(&member(name)).await.into_iter();
    kept.map(|kept| match kept.line.stream.as_str() {
        OWN_STREAM => kept.line.text,
        _ => format!("{}/{}", kept.incarnation, kept.line.number),
    })
    .collect()
}

fn open(folder: &Path) -> Lines {
    let lines = Lines::open(folder, limits());
    assert!(lines.0.is_some());
    lines
}

fn file(folder: &Path, name: &str, number: u64) -> PathBuf {
    segments::path(&folder.join(name), number)
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_was_written_is_there_after_a_server_that_ended_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let lines = open(folder.path());
    let strange = line(4, "a\nb \u{1b}[31m \u{0} ä");
    offer(&lines, "m-1", 1, 1..=3);
    lines.offer(FromMember {
        member: member("m-1"),
        incarnation: 1,
        rows: [strange.clone()].into(),
    });
    offer(&lines, "m-2", 7, 5..=5);
    lines.close().await;

    let lines = open(folder.path());
    assert_eq!(read(&lines, "m-1").await, ["1/1", "1/2", "1/3", "1/4"]);
    assert_eq!(lines.read(&member("m-1")).await[3].line, strange);
    assert_eq!(read(&lines, "m-2").await, ["7/5"]);
    assert_eq!(read(&lines, "m-3").await, Vec::<String>::new());
    // A batch that is delivered again, and a new life.
    offer(&lines, "m-1", 1, 3..=5);
    offer(&lines, "m-1", 2, 1..=2);
    let expected = ["1/1", "1/2", "1/3", "1/4", "1/5", "2/1", "2/2"];
    assert_eq!(read(&lines, "m-1").await, expected);
}

#[tokio::test]
async fn after_a_server_that_was_killed_it_is_told_once_that_lines_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let lines = open(folder.path());
        if read(&lines, "m-1").await.is_empty() {
            offer(&lines, "m-1", 1, 1..=2);
            read(&lines, "m-1").await;
        }
    }
    let lines = open(folder.path());
    assert_eq!(read(&lines, "m-1").await, ["1/1", "1/2", KILLED]);
    offer(&lines, "m-1", 1, 3..=3);
    assert_eq!(read(&lines, "m-1").await, ["1/1", "1/2", KILLED, "1/3"]);
    lines.close().await;
    let lines = open(folder.path());
    assert_eq!(read(&lines, "m-1").await, ["1/1", "1/2", KILLED, "1/3"]);
}

#[tokio::test]
async fn a_torn_tail_costs_that_line_and_is_told_in_its_place() {
    for tail in [
        &b"{\"i\":1,\"n\":3,\"s\":\"o"[..],
        &[0; 600],
        b"\xff\xfe{}\n\n\x00",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let lines = open(folder.path());
        offer(&lines, "m-1", 1, 1..=2);
        lines.close().await;
        let path = file(folder.path(), "m-1", 1);
        let mut torn = OpenOptions::new().append(true).open(path).unwrap();
        torn.write_all(tail).unwrap();
        let lines = open(folder.path());
        let said = read(&lines, "m-1").await;
        assert_eq!(said[..2], ["1/1", "1/2"]);
        assert!(
            said.len() == 3 && said[2].contains("bytes that cannot be read"),
            "{said:?}"
        );
        offer(&lines, "m-1", 1, 4..=5);
        let said = read(&lines, "m-1").await;
        assert_eq!(said[3..], ["1/4", "1/5"], "{said:?}");
    }
}

#[tokio::test]
async fn an_entry_that_two_servers_were_given_under_two_numbers_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let give = |lines: &Lines, number, sequence| {
        let row = LogLine {
            number,
            ..line(sequence, "x")
        };
        lines.offer(FromMember {
            member: member("m-1"),
            incarnation: 1,
            rows: [row].into(),
        });
    };
    let lines = open(folder.path());
    give(&lines, 1, 10);
    give(&lines, 2, 20);
    lines.close().await;
    let lines = open(folder.path());
    give(&lines, 1_001, 20);
    give(&lines, 1_002, 30);
    assert_eq!(read(&lines, "m-1").await, ["1/1", "1/2", "1/1002"]);
}

#[test]
fn what_is_in_memory_too_comes_from_there_and_words_about_what_is_there_go() {
    let of_pipe = |number| LogLine {
        sequence: None,
        ..line(number, "x")
    };
    let kept = |incarnation, line| Kept { incarnation, line };
    let shown = |all: Vec<Kept>| -> Vec<String> {
        let one = |kept: Kept| format!("{}/{} {}", kept.incarnation, kept.line.number, kept.line.text);
        all.into_iter().map(one).collect()
    };
    // On disk: the life before, two lines, the words for two that were not kept, one more.
    let disk = vec![
        kept(1, of_pipe(9)),
        kept(2, of_pipe(1)),
        kept(2, of_pipe(2)),
        row::word(2, 4, "not kept"),
        kept(2, of_pipe(5)),
    ];
    let memory: Vec<LogLine> = (2..=6).map(of_pipe).collect();
    let expected = ["1/9 x", "2/1 x", "2/2 x", "2/3 x", "2/4 x", "2/5 x", "2/6 x"];
    assert_eq!(shown(joined(disk.clone(), 2, memory)), expected);
    assert_eq!(
        shown(joined(disk.clone(), 2, vec![of_pipe(6)])).len(),
        6,
        "the words stay"
    );
    assert_eq!(joined(disk.clone(), 3, vec![]), disk);
    let again = vec![kept(1, line(1, "a")), kept(1, line(2, "b"))];
    let newer = vec![
        LogLine {
            number: 100,
            ..line(2, "b")
        },
        line(101, "c"),
    ];
    assert_eq!(shown(joined(again, 1, newer)), ["1/1 a", "1/2 b", "1/101 c"]);
}

#[tokio::test]
async fn the_newest_stay_and_a_member_takes_no_more_room_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let lines = open(folder.path());
    for number in 1..=2_000 {
        offer(&lines, "m-1", 1, [number]);
        if number % 20 == 0 {
            read(&lines, "m-1").await;
        }
    }
    let said = read(&lines, "m-1").await;
    assert_eq!(said.last().map(String::as_str), Some("1/2000"));
    assert!((100..400).contains(&said.len()), "{}", said.len());
    let files = std::fs::read_dir(folder.path().join("m-1")).unwrap().flatten();
    let sizes: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
    assert!(
        sizes.len() <= 3 && sizes.iter().sum::<u64>() < 3 * (4096 + 2048),
        "{sizes:?}"
    );
}

/// Writing to /dev/full fails as a full disk does.
#[tokio::test]
async fn a_full_disk_freezes_what_is_kept_and_nothing_else_and_is_told_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let lines = open(folder.path());
    std::fs::create_dir(folder.path().join("m-1")).unwrap();
    let path = file(folder.path(), "m-1", 1);
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    offer(&lines, "m-1", 1, 1..=3);
    until("the loss is counted", async || lines.lost() == 3).await;
    // While it is frozen nobody's lines are written.
    offer(&lines, "m-2", 1, 1..=2);
    until("that, too", async || lines.lost() == 5).await;
    std::fs::remove_file(path).unwrap();
    let mut number = 4;
    until("it thaws", async || {
        offer(&lines, "m-1", 1, [number]);
        number += 1;
        read(&lines, "m-1").await.last() == Some(&format!("1/{}", number - 1))
    })
    .await;
    let said = read(&lines, "m-1").await;
    assert!(
        said[0].contains("lines were not kept here: No space left on device"),
        "{said:?}"
    );
    offer(&lines, "m-2", 1, 3..=3);
    let said = read(&lines, "m-2").await;
    assert_eq!(said[1..], ["1/3"]);
    assert!(said[0].starts_with("(2 lines were not kept here"), "{said:?}");
}

/// A pipe that nobody reads keeps the thread waiting, as a disk that hangs would.
#[tokio::test]
async fn a_disk_that_hangs_holds_up_nobody_and_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let lines = open(folder.path());
    std::fs::create_dir(folder.path().join("m-1")).unwrap();
    let path = file(folder.path(), "m-1", 2);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    offer(&lines, "m-1", 1, [1]);
    let began = Instant::now();
    let long: Arc<[LogLine]> = vec![line(2, &"x".repeat(16 << 10)); 64].into();
    for _ in 0..1_000 {
        lines.offer(FromMember {
            member: member("m-1"),
            incarnation: 1,
            rows: Arc::clone(&long),
        });
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let waiting = lines.0.as_ref().unwrap().counts.waiting_bytes.load(Relaxed);
    assert!(waiting <= MAX_WAITING_BYTES, "{waiting}");
    assert!(lines.lost() > 50_000, "{}", lines.lost());
    assert_eq!(
        read(&lines, "m-2").await,
        Vec::<String>::new(),
        "who reads waits a second at most"
    );
    // Lets the thread go.
    drop(OpenOptions::new().read(true).write(true).open(&path).unwrap());
}

#[tokio::test]
async fn what_members_that_are_gone_wrote_goes_after_a_while_and_so_does_the_oldest_of_too_much() {
    let folder = tempfile::tempdir().unwrap();
    let short = Limits {
        age_of_gone: Duration::from_millis(1),
        ..limits()
    };
    let lines = Lines::open(folder.path(), short);
    for name in ["gone", "here"] {
        offer(&lines, name, 1, 1..=3);
        read(&lines, name).await;
    }
    until("the folder of the one that is gone is gone", async || {
        if lines.wants_members() {
            lines.members(BTreeSet::from([member("here")]));
        }
        !folder.path().join("gone").exists()
    })
    .await;
    assert_eq!(read(&lines, "here").await.len(), 3);
    lines.close().await;

    let little = Limits {
        all_bytes: 6_000,
        ..limits()
    };
    let lines = Lines::open(folder.path(), little);
    for number in 1..=600 {
        offer(&lines, "here", 2, [number]);
        if number % 20 == 0 {
            read(&lines, "here").await;
        }
    }
    let size = || {
        let files = std::fs::read_dir(folder.path().join("here")).unwrap().flatten();
        files.map(|file| file.metadata().unwrap().len()).sum::<u64>()
    };
    until("all of it is little enough", async || {
        if lines.wants_members() {
            lines.members(BTreeSet::from([member("here")]));
        }
        size() <= 6_000
    })
    .await;
    assert_eq!(
        read(&lines, "here").await.last().map(String::as_str),
        Some("2/600")
    );
}

#[test]
fn where_no_folder_can_be_made_the_server_does_without() {
    let lines = Lines::open(Path::new("/proc/nowhere"), limits());
    assert!(lines.0.is_none());
    offer(&lines, "m-1", 1, 1..=3);
    assert_eq!(lines.lost(), 0);
}
