//! Every way in which a plugin can go wrong, each contained, named, and without harm to anybody else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod misbehaving;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cartridge_agent::host::clock::Clock;
use cartridge_agent::host::logs::Logs;
use cartridge_agent::host::orphans;
use cartridge_agent::plugin::{Asker, Bounds, Confined, Launch, NoAnswer, Plugin};
use cartridge_agent_plan::logs::{LogRules, Rate};
use cartridge_agent_plan::plugin::{Change, Place, Rules};
use cartridge_protocol::Millis;
use cartridge_protocol::plugin::{Answer, Call, Measurement, PluginName};
use misbehaving::{binary, descendants, peak_kib, reset_peak};
use tokio::sync::mpsc;

/// Short, so that hanging takes no time.
const RULES: Rules = Rules {
    describe_within: Millis(1_000),
    most_faults: Some(2),
};
/// Time for one answer.
const WITHIN: Millis = Millis(500);
/// Most that a misbehaviour may add to the agent's memory.
const MOST_KIB: u64 = 6 << 10;
/// Longest time in which the loop may do nothing else.
const MOST_PAUSE: Duration = Duration::from_millis(100);
/// Longest time until it is named, deadlines included.
const MOST_TIME: Duration = Duration::from_millis(2_500);

/// What becomes of it: a fault with these words, of which `|` parts two that may both come first; a refusal; an answer.
#[derive(Clone, Copy)]
enum Contained {
    Fault(&'static str),
    Refusal(&'static str),
    Answer,
}
use Contained::{Answer as Answers, Fault, Refusal};

const TABLE: &[(&str, Contained)] = &[
    ("never-describes", Fault("does not answer describe within 1 s")),
    ("never-answers", Fault("does not answer read within 1 s")),
    ("deaf", Fault("does not answer read within 1 s")),
    (
        "floods-stdout",
        Fault("speaks without being asked|babbles: an answer is longer"),
    ),
    ("floods-with-lines", Fault("babbles: not a plugin frame")),
    (
        "floods-an-answer",
        Fault("babbles: an answer is longer than 65536 bytes"),
    ),
    ("floods-stderr", Fault("floods its standard error")),
    ("mutters", Answers),
    (
        "huge-answer",
        Fault("babbles: an answer is longer than 65536 bytes"),
    ),
    (
        "answers-another-question",
        Fault("answers question 43 instead of 2"),
    ),
    (
        "answers-the-question-before",
        Fault("answers question 1 instead of 2"),
    ),
    ("answers-twice", Fault("speaks without being asked")),
    (
        "speaks-unasked",
        Fault("speaks without being asked|answers question 999"),
    ),
    ("invalid-utf8", Fault("babbles: not a plugin frame")),
    ("invalid-json", Fault("babbles: not a plugin frame")),
    ("deep-nesting", Fault("babbles: not a plugin frame")),
    ("drips", Fault("does not answer read within 1 s")),
    ("another-version", Fault("speaks version 9; version 1 is needed")),
    ("unknown-kind", Fault("is of an unknown kind: \"hook\"")),
    (
        "another-kind",
        Fault("is a balancer; give its command to --balancer"),
    ),
    ("another-answer", Fault("gives another answer than read asks for")),
    ("impossible-figures", Answers),
    ("figures-beyond-numbers", Fault("babbles: not a plugin frame")),
    ("too-many-figures", Answers),
    ("refuses", Refusal(" [31mno ")),
    ("refuses-to-describe", Fault("refuses describe: not today")),
    ("both-good-and-bad", Fault("holds both")),
    ("dies-at-start", Fault("ended (exit code 7)")),
    ("dies-when-asked", Fault("ended (exit code 9)")),
    ("dies-of-a-signal", Fault("ended (signal 9 (SIGKILL))")),
    ("dies-in-the-middle-of-a-word", Fault("ended (exit code 3)")),
    ("closes-its-output", Fault("closed its output and lives on")),
    ("closes-its-input", Fault("does not listen|does not answer read")),
    ("leaves-children", Fault("ended (exit code 9)")),
    ("changes-its-group", Fault("does not answer read within 1 s")),
    ("will-not-end", Answers),
    ("hoards-memory", Fault("ended (signal 6 (SIGABRT))")),
    ("hoards-files", Answers),
];

struct Watched {
    plugin: Plugin,
    changes: mpsc::UnboundedReceiver<Change>,
}

fn logs() -> Logs {
    let rules = LogRules {
        start: None,
        rate: Rate::default(),
    };
    Logs::new(0, rules, Clock::start())
}

fn start(mode: &str, logs: &Logs) -> Watched {
    let launch = Launch {
        name: PluginName::new(mode).unwrap(),
        confined: Confined {
            words: vec![binary(), mode.to_owned()],
            directory: "/".into(),
            environment: Default::default(),
            bounds: Some(Bounds {
                memory: 64 << 20,
                account: None,
            }),
        },
        place: Place::Beside,
        rules: RULES,
        longest: 64 << 10,
    };
    let (told, changes) = mpsc::unbounded_channel();
    let plugin = Plugin::start(launch, logs.clone(), async move |change| {
        let _ = told.send(change);
    });
    Watched { plugin, changes }
}

async fn read(asker: &Asker) -> Result<Measurement, NoAnswer> {
    match asker.ask(Call::Read, WITHIN).await? {
        Answer::Measured(measured) => Ok(measured),
        other => panic!("{other:?}"),
    }
}

/// The first thing that is told of it that is no good news.
async fn named(changes: &mut mpsc::UnboundedReceiver<Change>) -> Change {
    loop {
        match changes.recv().await.unwrap() {
            Change::Ready { .. } => {}
            bad => return bad,
        }
    }
}

/// Asks until it is as the table says; panics where it is not.
async fn misbehaves(mode: &str, contained: Contained, logs: &Logs) -> Duration {
    let Watched { plugin, mut changes } = start(mode, logs);
    let asker = plugin.asker();
    let began = Instant::now();
    // Questions that wait for an answer which never comes get one, too: why.
    let answer = read(&asker).await;
    match contained {
        Fault(words) => {
            let bad = tokio::time::timeout(MOST_TIME, named(&mut changes)).await;
            let bad = bad.unwrap_or_else(|_| panic!("{mode} was not named; it answered {answer:?}"));
            let words = words.split('|').any(|words| bad.to_string().contains(words));
            assert!(words, "{mode}: {bad}");
            if let Err(NoAnswer::Refused(why)) = &answer {
                panic!("{mode}: its own words {why:?} were taken for an answer");
            }
        }
        Refusal(words) => {
            let why = answer.unwrap_err();
            assert!(why.to_string().contains(words), "{mode}: {why}");
            assert!(why.to_string().len() < 1_000 && !why.to_string().contains(char::is_control));
        }
        Answers => {
            let measured = answer.unwrap_or_else(|why| panic!("{mode}: {why}"));
            assert_eq!(
                serde_json::from_str::<Measurement>(&serde_json::to_string(&measured).unwrap()).unwrap(),
                measured
            );
        }
    }
    let took = began.elapsed();
    assert!(took < MOST_TIME, "{mode} took {took:?}");
    tokio::time::timeout(Duration::from_secs(9), plugin.end())
        .await
        .unwrap_or_else(|_| panic!("{mode} will not end"));
    let left = descendants();
    assert!(
        left.iter().all(|(_, mode)| mode == "well"),
        "{mode} left {left:?}"
    );
    took
}

/// One good plugin is asked all the time, and the loop ticks.
async fn watch(good: Asker, longest: Rc<Cell<Duration>>) {
    let mut last = Instant::now();
    for turn in 0_u64.. {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let pause = last.elapsed();
        last = Instant::now();
        longest.set(longest.get().max(pause));
        if turn.is_multiple_of(10) {
            let measured = read(&good).await.expect("the good one answers");
            assert_eq!(measured.in_flight, Some(7.0));
            last = Instant::now();
        }
    }
}

#[tokio::test]
async fn every_misbehaviour_is_contained_and_named_while_the_others_go_on() {
    orphans::adopt();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let logs = logs();
            let good = start("well", &logs);
            read(&good.plugin.asker()).await.unwrap();
            let longest = Rc::new(Cell::new(Duration::ZERO));
            let watching = tokio::task::spawn_local(watch(good.plugin.asker(), longest.clone()));
            let files = open_files();
            for (mode, contained) in TABLE {
                let before = reset_peak();
                longest.set(Duration::ZERO);
                let took = misbehaves(mode, *contained, &logs).await;
                let grew = peak_kib().saturating_sub(before);
                let pause = longest.get();
                println!(
                    "{mode:30} {:5} ms  {grew:5} KiB  {:3} ms",
                    took.as_millis(),
                    pause.as_millis()
                );
                assert!(grew <= MOST_KIB, "{mode} made the agent grow by {grew} KiB");
                assert!(pause <= MOST_PAUSE, "{mode} stopped the loop for {pause:?}");
                assert!(!watching.is_finished(), "the good plugin was disturbed by {mode}");
            }
            watching.abort();
            good.plugin.end().await;
            assert!(open_files() <= files, "pipes were left open");
            assert!(
                logs.with(|ring| ring.len()) < 200,
                "words pushed the application's out"
            );
        })
        .await;
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn one_that_fails_again_and_again_is_left_out_and_whoever_asks_hears_why() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let Watched { plugin, mut changes } = start("dies-at-start", &logs());
            let first = changes.recv().await.unwrap();
            assert!(
                matches!(
                    first,
                    Change::Down {
                        again_in: Millis(200),
                        ..
                    }
                ),
                "{first}"
            );
            let second = tokio::time::timeout(MOST_TIME, changes.recv())
                .await
                .unwrap()
                .unwrap();
            assert!(matches!(second, Change::LeftOut { .. }), "{second}");
            let why = read(&plugin.asker()).await.unwrap_err();
            assert_eq!(
                why,
                NoAnswer::Absent("it ended (exit code 7), and is left out".to_owned())
            );
            plugin.end().await;
            assert!(changes.recv().await.is_none(), "it was started once more");
        })
        .await;
}

#[tokio::test]
async fn a_plugin_inherits_next_to_nothing_and_is_bounded() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let watched = start("well", &logs());
            let found = async {
                loop {
                    if let Some((pid, _)) = descendants().into_iter().find(|(_, mode)| mode == "well") {
                        return pid;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let pid = tokio::time::timeout(MOST_TIME, found).await.unwrap();
            let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
            let environ = read("environ");
            for variable in environ.split('\0').filter(|v| !v.is_empty()) {
                let name = variable.split('=').next().unwrap();
                let known = ["PATH", "LANG", "LC_ALL", "TZ", "CARTRIDGE_PLUGIN_LIFE"];
                assert!(known.contains(&name), "{name} was inherited");
            }
            assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "the agent has more");
            let limits = read("limits");
            let limit = |name: &str| {
                let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
                line[name.len()..]
                    .split_whitespace()
                    .next()
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            };
            assert_eq!(limit("Max data size"), 64 << 20);
            assert_eq!(limit("Max core file size"), 0);
            assert!(limit("Max open files") <= 1024);
            assert!(read("status").contains("NoNewPrivs:\t1"));
            watched.plugin.end().await;
        })
        .await;
}
