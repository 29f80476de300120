//! The real agent reads its settings again when a file of theirs changes, or when it is asked to, and the application
//! does not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::LaunchParameters;
use cartridge_protocol::link::Batch;
use harness::{Fake, Member, desired, is_active, start_as};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn notice(words: &str) -> impl Fn(&Batch) -> bool {
    move |b| {
        b.notices
            .iter()
            .any(|n| n.kind == "settings" && n.text.contains(words))
    }
}

fn config(member: &Member) -> PathBuf {
    member.folder.path().join("conf/agent.conf")
}

/// A member with a file of options.
async fn member(content: &str) -> Member {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf/agent.conf");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    let mut member = start_as(
        Fake::start(desired()).await,
        |_, _: &mut LaunchParameters| {},
        |command| {
            command.env("CARTRIDGE_CONFIG", &path);
        },
    );
    // The folder that is watched lives as long as the member.
    let inside = member.folder.path().join("conf-of-the-agent");
    std::os::unix::fs::symlink(path.parent().unwrap(), inside).unwrap();
    std::os::unix::fs::symlink(path.parent().unwrap(), member.folder.path().join("conf")).unwrap();
    let _ = folder.keep();
    member.fake.hear(0, "Active", is_active).await;
    assert!(member.agent.try_wait().unwrap().is_none());
    member
}

async fn logged(member: &Member, words: &str) {
    let begun = Instant::now();
    while !member.log().contains(words) {
        assert!(begun.elapsed() < Duration::from_secs(20), "never logged: {words}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn hang_up(member: &Member) {
    let pid = i32::try_from(member.agent.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
}

#[tokio::test]
async fn what_can_apply_applies_at_once_and_the_rest_is_named() {
    let member = member("CARTRIDGE_LOG=info\n").await;
    let before = member.application();
    let log = member.folder.path().join("app.log");
    let text = format!(
        "CARTRIDGE_LOG=debug\nCARTRIDGE_LOG_FILES={}\nCARTRIDGE_HOOK_SECONDS=5\nDB_PASSWORD=canary-secret\n",
        log.display()
    );
    fs::write(config(&member), text).unwrap();
    let at = member
        .fake
        .hear(0, "what changed", notice("in force from now on"))
        .await;
    let all = member.fake.batches();
    let told = all[at - 1].notices.iter().find(|n| n.kind == "settings").unwrap();
    assert_eq!(
        told.text,
        "settings changed: CARTRIDGE_LOG, CARTRIDGE_LOG_FILES in force from now on; CARTRIDGE_HOOK_SECONDS, \
         DB_PASSWORD only after a restart of the agent"
    );
    // The file that is followed now, and the level that is in force now.
    fs::write(&log, "a line of the application\n").unwrap();
    let line = |b: &Batch| b.logs.iter().any(|l| l.text == "a line of the application");
    member.fake.hear(at, "the line", line).await;
    logged(&member, "DEBUG").await;
    assert_eq!(member.application(), before);
    assert!(!member.log().contains("canary-secret"));
}

#[tokio::test]
async fn wrong_content_changes_nothing_and_is_told_once_without_what_it_says() {
    let member = member("CARTRIDGE_STOP_SECONDS=9\n").await;
    fs::write(
        config(&member),
        "CARTRIDGE_STOP_SECONDS=canary\nCARTRIDGE_LOG=canary\n",
    )
    .unwrap();
    let at = member
        .fake
        .hear(0, "what is wrong", notice("settings stay as they were"))
        .await;
    for _ in 0..2 {
        hang_up(&member);
    }
    fs::write(config(&member), "CARTRIDGE_STOP_SECONDS=8\n").unwrap();
    let at = member
        .fake
        .hear(at, "what is right", notice("CARTRIDGE_STOP_SECONDS in force"))
        .await;
    let all = member.fake.batches();
    let told: Vec<&str> = all[..at]
        .iter()
        .flat_map(|b| b.notices.iter().map(|n| (n.number, n)))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_values()
        .filter(|n| n.kind == "settings")
        .map(|n| n.text.as_str())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("CARTRIDGE_LOG, CARTRIDGE_STOP_SECONDS") && !told[0].contains("canary"));
}

#[tokio::test]
async fn a_signal_has_them_read_again_and_a_file_that_is_replaced_through_links_is_noticed() {
    let member = member("CARTRIDGE_STOP_SECONDS=9\n").await;
    hang_up(&member);
    logged(&member, "asked to look again").await;
    // As a ConfigMap is changed: a link that the file's own link leads through.
    let (config, folder) = (config(&member), member.folder.path().join("conf"));
    let mut last = 0;
    for (number, seconds) in [(1, 7), (2, 6)] {
        let data = folder.join(format!("data-{number}"));
        fs::create_dir(&data).unwrap();
        fs::write(
            data.join("agent.conf"),
            format!("CARTRIDGE_STOP_SECONDS={seconds}\n"),
        )
        .unwrap();
        let (new, link) = (folder.join("new"), folder.join("data"));
        std::os::unix::fs::symlink(&data, &new).unwrap();
        fs::rename(&new, &link).unwrap();
        if number == 1 {
            let aside = folder.join("aside");
            std::os::unix::fs::symlink("data/agent.conf", &aside).unwrap();
            fs::rename(&aside, &config).unwrap();
        }
        let new = |b: &Batch| b.notices.iter().any(|n| n.kind == "settings" && n.number > last);
        let at = member.fake.hear(0, "the change", new).await;
        last = member.fake.batches()[at - 1].notices.last().unwrap().number;
    }
}
