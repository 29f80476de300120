//! A thousand hooks that hang (row 23 of the fault matrix): nothing is left of any, and no agent's loop is held up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::key;
use futures_util::future::join_all;
use harness::{Member, desired, hook, is_active, start};
use tokio::process::Command;

/// Members at once.
const MEMBERS: usize = 50;
/// Hooks of each, one after the other.
const EACH: usize = 20;

/// What hangs, but for the first time: every hook starts something in another way and waits for it; each fifth does not listen when it is asked.
const HANGS: &str = "n=$(cat ../count 2>/dev/null || echo 0); echo $((n + 1)) > ../count
[ $n = 0 ] && exit 0
case $((n % 5)) in
0) sleep 600 & ;;
1) setsid sleep 600 > /dev/null 2>&1 < /dev/null & ;;
2) (setsid sh -c '(sleep 600 &) &' &) & ;;
3) exec sleep 600 ;;
4) if [ $((n % 10)) = 4 ]; then trap '' TERM HUP INT; fi; sh -c 'while :; do sleep 600; done' & ;;
esac
while :; do sleep 600; done";

/// Processes that carry the mark.
fn left(mark: &str) -> usize {
    let wanted = format!("STRATOS_MARK={mark}");
    let carries = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|v| v == wanted.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|e| carries(&e.path())).count()
}

async fn member(mark: String) -> Member {
    let member = start(desired(), |folder, launch| {
        for name in [key::COMMAND, key::PROBE, key::PORTS] {
            launch.set(name, "");
        }
        launch.set("MARK", &mark);
        launch.set("CARTRIDGE_HOOK_SECONDS", "1");

        hook(folder, "StartServers", HANGS);
    })
    .await;
    member.fake.hear(0, "Active", is_active).await;
    member
}

async fn hang(member: &Member) -> Duration {
    let begun = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_cartridge-agent"))
        .args(["run-hook", "StartServers"])
        .env("CARTRIDGE_STATE_DIR", member.folder.path().join("state"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        !done.status.success() && words.contains("longer than 1 s"),
        "{words}"
    );
    begun.elapsed()
}

#[tokio::test]
async fn nothing_is_left_of_a_thousand_hooks_that_hang() {
    let members = join_all((0..MEMBERS).map(|n| member(format!("thousand-{n}")))).await;
    let begun = Instant::now();
    let longest = join_all(members.iter().enumerate().map(async |(n, member)| {
        let mut longest = Duration::ZERO;
        for round in 0..EACH {
            longest = longest.max(hang(member).await);
            assert_eq!(
                left(&format!("thousand-{n}")),
                0,
                "after hook {round} of member {n}"
            );
        }
        longest
    }))
    .await;
    println!(
        "{} hooks that hang in {:.1?}, ended after {:.1?} at most, nothing left",
        MEMBERS * EACH,
        begun.elapsed(),
        longest.iter().max().unwrap()
    );
}
