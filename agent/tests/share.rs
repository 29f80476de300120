//! The real agent binary shares values for who asks at its socket, and tells its hooks and its application what others share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::process::Output;
use std::time::{Duration, Instant};

use cartridge_protocol::ValueKey;
use cartridge_protocol::values::{SharePlace, ToldValues};
use harness::{Member, desired, hook, is_active, start};

async fn ask(member: &Member, arguments: &[&str]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_cartridge-agent"))
        .args(arguments)
        .env("CARTRIDGE_STATE_DIR", member.folder.path().join("state"))
        .output()
        .await
        .unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn values_are_shared_as_the_clusters_or_as_the_applications_and_a_refusal_is_told() {
    let member = start(desired(), |_, _| {}).await;
    member.fake.hear(0, "Active", is_active).await;
    assert_eq!(
        said(&ask(&member, &["share", "IP", "10.0.0.7"]).await),
        (Some(0), String::new())
    );
    ask(&member, &["share", "--application", "PEERS", "a", "b"]).await;
    ask(&member, &["share", "IP"]).await;
    let shares = member.fake.shares();
    let row = |n: usize| (shares[n].key.as_str(), shares[n].values.len(), shares[n].place);
    assert_eq!(row(0), ("IP", 1, SharePlace::Cluster));
    assert_eq!(row(1), ("PEERS", 2, SharePlace::Application));
    assert_eq!(row(2), ("IP", 0, SharePlace::Cluster));

    member.fake.answer_shares(&[(400, "values: too much of all")]);
    let (code, told) = said(&ask(&member, &["share", "IP", "x"]).await);
    assert_eq!(code, Some(1));
    assert!(told.contains("too much of all"), "{told}");
    let (code, told) = said(&ask(&member, &["share", "../x", "x"]).await);
    assert_eq!(code, Some(2));
    assert!(told.contains("KEY"), "{told}");
    let (code, told) = said(&ask(&member, &["share", "IP", &"x".repeat(126 << 10)]).await);
    assert_eq!(code, Some(2));
    assert!(told.contains("at most 8192 are accepted"), "{told}");
    assert_eq!(member.fake.shares().len(), 4, "what cannot be right is not sent");
}

#[tokio::test]
async fn what_cannot_be_shared_now_is_shared_later_and_after_a_while_it_is_told_that_it_was_not() {
    let member = start(desired(), |_, _| {}).await;
    member.fake.hear(0, "Active", is_active).await;
    member.fake.answer_shares(&[(503, "not now"), (429, "too much")]);
    assert_eq!(said(&ask(&member, &["share", "IP", "10.0.0.7"]).await).0, Some(0));
    assert_eq!(member.fake.shares().len(), 3, "twice in vain");

    member.fake.die();
    let began = Instant::now();
    let (code, told) = said(&ask(&member, &["share", "--within", "2", "IP", "x"]).await);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("cannot be reached"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn what_others_share_is_there_before_the_first_hook_and_a_change_runs_the_hook() {
    let told = |value: &str| {
        ToldValues::default().changed(|all| {
            let key = ValueKey::new("password").unwrap();
            all.share(Some("my-sql"), &key, &[value.to_owned()], false);
        })
    };
    let mut first = desired();
    first.values = Some(told("canary-one"));
    let member = start(first, |folder, _| {
        hook(folder, "InstanceStartedEvent", "env > ../started; env");
        hook(
            folder,
            "ValuesChangedEvent",
            "env > ../changed.part; mv ../changed.part ../changed",
        );
    })
    .await;
    let at = member.fake.hear(0, "Active", is_active).await;
    let read = |name: &str| std::fs::read_to_string(member.folder.path().join(name)).unwrap_or_default();
    assert!(read("started").contains("\nCARTRIDGE_SHARED_MY_SQL_PASSWORD=canary-one\n"));
    assert!(!read("changed").contains("canary"));
    let environment = std::fs::read(format!("/proc/{}/environ", member.application())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("CARTRIDGE_SHARED_MY_SQL_PASSWORD=canary-one"));

    // Something else changes first: no news of values.
    member.fake.want(|_| {});
    member
        .fake
        .hear(at, "the order is seen", |batch| batch.status.revision == 2)
        .await;
    member
        .fake
        .want(|wanted| wanted.values = Some(told("canary-two")));
    let until = Instant::now() + Duration::from_secs(15);
    while !read("changed").contains("CARTRIDGE_SHARED_MY_SQL_PASSWORD=canary-two") {
        assert!(
            Instant::now() < until,
            "never told of the change\n{}",
            member.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let shown = ask(
        &member,
        &["run-hook", "ValuesChangedEvent", "--print-environment"],
    )
    .await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("CARTRIDGE_SHARED_MY_SQL_PASSWORD") && !shown.contains("canary"),
        "{shown}"
    );
    for batch in member.fake.batches() {
        let told = format!("{:?} {:?}", batch.logs, batch.notices);
        assert!(!told.contains("canary"), "{told}");
    }
}
