//! Followed files against real rotations: every line once and in order, whatever is renamed, copied, truncated or killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use cartridge_agent::host::follow::{Folders, Outcome, Taken, Touched};
use cartridge_agent_plan::logs::follow::parts;
use cartridge_agent_plan::logs::{LogRules, Rate};
use cartridge_agent_plan::settings::LogFiles;
use cartridge_protocol::Millis;
use proptest::prelude::*;

fn rules() -> LogRules {
    LogRules {
        start: None,
        rate: Rate {
            lines: 100_000,
            bytes: 100_000_000,
        },
    }
}

/// The part of the orchestrator that matters: it keeps what it has not seen.
#[derive(Default)]
struct Orchestrator {
    last: BTreeMap<String, u64>,
    lines: BTreeMap<String, Vec<String>>,
    twice: u64,
}

impl Orchestrator {
    fn take(&mut self, taken: &Taken) {
        let stream = taken.stream.to_string();
        let last = self.last.entry(stream.clone()).or_default();
        if taken.sequence <= *last {
            self.twice += 1;
            return;
        }
        *last = taken.sequence;
        let lines = self.lines.entry(stream).or_default();
        lines.extend(taken.text.split('\n').map(str::to_owned));
    }
}

struct Scene {
    folder: tempfile::TempDir,
    files: Vec<LogFiles>,
    folders: Folders,
    now: Millis,
    waiting: VecDeque<Taken>,
    orchestrator: Orchestrator,
    notices: Vec<String>,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let files: Vec<LogFiles> = names
            .iter()
            .map(|name| LogFiles {
                folder: folder.path().join("logs"),
                name: (*name).to_owned(),
            })
            .collect();
        let (folders, fault) = open(&files, folder.path());
        assert_eq!(fault, None);
        Self {
            folder,
            files,
            folders,
            now: Millis(1_000),
            waiting: VecDeque::new(),
            orchestrator: Orchestrator::default(),
            notices: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    fn stream(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    fn pass(&mut self, room: usize) -> Outcome {
        self.now = self.now.plus(Millis(250));
        let all = Touched {
            all: true,
            ..Touched::default()
        };
        self.folders.touch(0, all);
        let mut outcome = self.folders.pass(self.now, room, false);
        self.waiting.extend(outcome.taken.drain(..));
        self.notices.append(&mut outcome.notices);
        outcome
    }

    /// Sends the oldest; the agent may never hear that they were taken.
    fn send(&mut self, count: usize, heard: bool) {
        let mut taken = BTreeMap::new();
        for _ in 0..count {
            let Some(entry) = (if heard {
                self.waiting.pop_front()
            } else {
                self.waiting.get(taken.len()).cloned()
            }) else {
                break;
            };
            self.orchestrator.take(&entry);
            taken.insert(entry.stream.to_string(), entry.sequence);
        }
        if heard {
            self.folders.taken(&taken);
        }
    }

    /// kill -9, and started again.
    fn kill(&mut self) {
        self.waiting.clear();
        let (folders, fault) = open(&self.files, self.folder.path());
        assert_eq!(fault, None);
        self.folders = folders;
    }

    /// Until nothing comes any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 12 {
            let before = self.orchestrator.lines.values().map(Vec::len).sum::<usize>();
            self.pass(512);
            self.send(usize::MAX >> 1, true);
            let after = self.orchestrator.lines.values().map(Vec::len).sum::<usize>();
            quiet = if before == after { quiet + 1 } else { 0 };
        }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.orchestrator
            .lines
            .get(&self.stream(name))
            .cloned()
            .unwrap_or_default()
    }
}

fn open(files: &[LogFiles], folder: &Path) -> (Folders, Option<String>) {
    Folders::open(files, rules(), folder.join("logs.json"), 1 << 10)
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// An application that writes numbered lines, and what rotates its file.
struct Writer {
    path: PathBuf,
    file: File,
    written: Vec<String>,
    half: bool,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        Self {
            file: append(&path),
            path,
            written: Vec::new(),
            half: false,
        }
    }

    fn lines(&mut self, count: usize) {
        for _ in 0..count {
            let n = self.written.len();
            let indent = if n % 5 == 4 { "    " } else { "" };
            let line = format!("{indent}line {n:06} {}", "x".repeat(n % 37));
            if std::mem::take(&mut self.half) {
                self.file.write_all(b"\n").unwrap();
            }
            self.file.write_all(line.as_bytes()).unwrap();
            self.half = n % 11 == 10;
            if !self.half {
                self.file.write_all(b"\n").unwrap();
            }
            self.written.push(line);
        }
    }

    /// A line is always whole before its file is left.
    fn whole(&mut self) {
        if std::mem::take(&mut self.half) {
            self.file.write_all(b"\n").unwrap();
        }
    }

    fn shift(&self) {
        let name = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
        for n in (1..40).rev() {
            if name(n).exists() {
                std::fs::rename(name(n), name(n + 1)).unwrap();
            }
        }
    }

    fn rename(&mut self) {
        self.shift();
        let _ = std::fs::rename(&self.path, format!("{}.1", self.path.display()));
        drop(append(&self.path));
    }

    fn reopen(&mut self) {
        self.whole();
        self.file = append(&self.path);
    }

    fn copy_and_truncate(&mut self) {
        self.whole();
        self.shift();
        std::fs::copy(&self.path, format!("{}.1", self.path.display())).unwrap();
        append(&self.path).set_len(0).unwrap();
    }
}

#[derive(Clone, Debug)]
enum Move {
    Write(usize),
    Rotate,
    Reopen,
    Pass(usize),
    Send(usize, bool),
    Kill,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        5 => (1usize..40).prop_map(Move::Write),
        2 => Just(Move::Rotate),
        2 => Just(Move::Reopen),
        5 => (1usize..60).prop_map(Move::Pass),
        4 => ((0usize..60), any::<bool>()).prop_map(|(n, heard)| Move::Send(n, heard)),
        1 => Just(Move::Kill),
    ];
    proptest::collection::vec(one, 1..60)
}

fn play(moves: Vec<Move>, copies: bool) -> Result<(), TestCaseError> {
    let mut scene = Scene::new(&["app.log"]);
    let mut writer = Writer::new(scene.path("app.log"));
    // A file that was rotated before anybody looked is history.
    scene.pass(512);
    for one in moves {
        match one {
            Move::Write(count) => writer.lines(count),
            Move::Rotate if copies => writer.copy_and_truncate(),
            Move::Rotate => writer.rename(),
            Move::Reopen => writer.reopen(),
            Move::Pass(room) => drop(scene.pass(room)),
            Move::Send(count, heard) => scene.send(count, heard),
            Move::Kill => scene.kill(),
        }
    }
    writer.whole();
    scene.settle();
    writer.reopen();
    writer.lines(3);
    writer.whole();
    scene.settle();
    prop_assert_eq!(scene.lines("app.log"), writer.written);
    prop_assert_eq!(&scene.notices, &Vec::<String>::new());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn renamed_and_created_every_line_comes_once_in_order(moves in moves()) {
        play(moves, false)?;
    }

    #[test]
    fn copied_and_truncated_every_line_comes_once_in_order(moves in moves()) {
        play(moves, true)?;
    }
}

#[test]
fn lines_that_were_taken_but_not_heard_of_come_again_with_the_same_sequence() {
    let mut scene = Scene::new(&["a.log"]);
    let mut writer = Writer::new(scene.path("a.log"));
    writer.lines(10);
    scene.pass(512);
    scene.settle();
    scene.send(512, false);
    scene.kill();
    writer.lines(1);
    writer.whole();
    scene.settle();
    assert_eq!(scene.lines("a.log"), writer.written);
}

#[test]
fn a_file_and_a_folder_may_appear_later_go_and_come_back() {
    let mut scene = Scene::new(&["*.log"]);
    std::fs::remove_dir(scene.folder.path().join("logs")).unwrap();
    scene.settle();
    std::fs::create_dir(scene.folder.path().join("logs")).unwrap();
    scene.settle();
    std::fs::write(scene.path("a.log"), "one\n").unwrap();
    scene.settle();
    std::fs::remove_file(scene.path("a.log")).unwrap();
    scene.settle();
    std::fs::write(scene.path("a.log"), "two\n").unwrap();
    scene.settle();
    std::fs::remove_dir_all(scene.folder.path().join("logs")).unwrap();
    scene.settle();
    std::fs::create_dir(scene.folder.path().join("logs")).unwrap();
    std::fs::write(scene.path("a.log"), "three\n").unwrap();
    scene.settle();
    assert_eq!(scene.lines("a.log"), ["one", "two", "three"]);
    assert_eq!(scene.notices, Vec::<String>::new());
}

#[test]
fn a_file_that_is_truncated_begins_anew_and_it_is_said_that_lines_may_be_missing() {
    let mut scene = Scene::new(&["a.log"]);
    std::fs::write(scene.path("a.log"), "a first line\nand another\n").unwrap();
    scene.settle();
    std::fs::write(scene.path("a.log"), "new\n").unwrap();
    scene.settle();
    let lines = scene.lines("a.log");
    assert_eq!(lines[..2], ["a first line", "and another"]);
    assert!(lines[2].contains("lines may be missing"), "{lines:?}");
    assert_eq!(lines[3..], ["new"]);
}

#[test]
fn rotated_files_are_no_streams_of_their_own_and_packed_ones_are_none_at_all() {
    let mut scene = Scene::new(&["*"]);
    let mut writer = Writer::new(scene.path("app.log"));
    writer.lines(5);
    writer.whole();
    scene.settle();
    writer.rename();
    writer.reopen();
    writer.lines(5);
    writer.whole();
    std::fs::write(scene.path("app.log.2.gz"), "packed\n").unwrap();
    scene.settle();
    assert_eq!(scene.lines("app.log"), writer.written);
    assert_eq!(
        scene.orchestrator.lines.len(),
        1,
        "{:?}",
        scene.orchestrator.lines.keys()
    );
}

#[test]
fn what_is_no_file_is_refused_once_and_others_are_followed() {
    let mut scene = Scene::new(&["link.log", "fifo.log", "a.log"]);
    std::os::unix::fs::symlink("/etc/passwd", scene.path("link.log")).unwrap();
    nix::unistd::mkfifo(&scene.path("fifo.log"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    std::fs::write(scene.path("a.log"), "x\n").unwrap();
    scene.settle();
    assert_eq!(scene.lines("a.log"), ["x"]);
    assert_eq!(scene.orchestrator.lines.len(), 1);
    assert_eq!(scene.notices.len(), 2, "{:?}", scene.notices);
    assert!(scene.notices.iter().any(|n| n.contains("is a link")));
}

#[test]
fn at_most_so_many_files_are_followed_and_each_gets_its_turn() {
    let mut scene = Scene::new(&["*.log"]);
    for n in 0..70 {
        std::fs::write(scene.path(&format!("{n:02}.log")), "line\n".repeat(200)).unwrap();
    }
    let first = scene.pass(512);
    assert!(first.full && scene.waiting.len() <= 512);
    for _ in 0..40 {
        scene.send(512, true);
        scene.pass(512);
    }
    scene.settle();
    let streams = &scene.orchestrator.lines;
    assert_eq!(streams.len(), 64);
    assert!(streams.values().all(|lines| lines.len() == 200));
    assert_eq!(scene.notices.len(), 1, "{:?}", scene.notices);
}

#[test]
fn a_file_that_grows_too_fast_is_read_at_its_end_and_it_is_said_how_much_was_left_out() {
    let mut scene = Scene::new(&["a.log"]);
    let mut file = append(&scene.path("a.log"));
    let block = "0123456789abcde\n".repeat(1 << 16);
    (0..20).for_each(|_| file.write_all(block.as_bytes()).unwrap());
    let outcome = scene.pass(512);
    assert!(outcome.due.is_some());
    let first = &scene.waiting[0];
    assert_eq!(
        first.text,
        format!(
            "({} bytes were not kept: they were written faster than they may be read)",
            19 << 20
        )
    );
    assert_eq!(parts(first.sequence).1, 19 << 20);
    assert_eq!(
        scene.waiting[1].text, "0123456789abcde",
        "from the beginning of a line"
    );
    assert!(scene.waiting.len() <= 129, "a pass takes a step, not all");
}

#[test]
fn a_disk_that_is_full_stops_nothing_and_is_told_once() {
    let mut scene = Scene::new(&["a.log"]);
    // Nothing can be written beside it.
    std::fs::create_dir(scene.folder.path().join("logs.new")).unwrap();
    let mut writer = Writer::new(scene.path("a.log"));
    for _ in 0..5 {
        writer.lines(5);
        writer.whole();
        scene.settle();
    }
    assert_eq!(scene.lines("a.log"), writer.written);
    assert_eq!(scene.notices.len(), 1, "{:?}", scene.notices);
    std::fs::remove_dir(scene.folder.path().join("logs.new")).unwrap();
    scene.now = scene.now.plus(Millis(10_000));
    scene.settle();
    scene.kill();
    writer.lines(5);
    writer.whole();
    scene.settle();
    assert_eq!(
        scene.lines("a.log"),
        writer.written,
        "the room that came back was used"
    );
}

#[test]
fn what_was_written_down_and_cannot_be_read_is_told_and_no_line_is_hidden_by_it() {
    let mut scene = Scene::new(&["a.log"]);
    let mut writer = Writer::new(scene.path("a.log"));
    writer.lines(5);
    writer.whole();
    scene.settle();
    std::fs::write(scene.folder.path().join("logs.json"), "{").unwrap();
    let (folders, fault) = Folders::open(
        &scene.files,
        rules(),
        scene.folder.path().join("logs.json"),
        2 << 10,
    );
    assert!(fault.unwrap().contains("read again"));
    scene.folders = folders;
    writer.lines(5);
    writer.whole();
    scene.settle();
    let lines = scene.lines("a.log");
    assert_eq!(
        lines.len(),
        15,
        "the first five again, because nobody knows better"
    );
    assert_eq!(lines[5..], writer.written);
}
