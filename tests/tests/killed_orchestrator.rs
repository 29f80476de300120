//! The orchestrator can be killed at any moment and started again: no member is lost, doubled or orphaned
//! (S1, S3, S4, S28), and members run on meanwhile (S31).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cartridge_tests::api::Member;
use cartridge_tests::blueprint::Plan;
use cartridge_tests::stack::{self, Stack};
use serde_json::json;

const KILLS: u32 = 200;
const SIZES: [u32; 7] = [1, 4, 2, 6, 3, 5, 1];
const SETTLE: Duration = Duration::from_secs(60);

/// A small generator: the test is the same each time but for the scheduling of the machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// How many agents run per member; more than one is a double.
fn agents(stack: &Stack) -> BTreeMap<String, usize> {
    let mut running = BTreeMap::new();
    for process in stack.processes().iter().filter(|process| process.is_agent()) {
        *running
            .entry(format!("{}/{}", process.tag.member, process.tag.incarnation))
            .or_insert(0) += 1;
    }
    running
}

fn assert_no_doubles(stack: &Stack, kill: u32) {
    for (member, count) in agents(stack) {
        assert_eq!(count, 1, "after kill {kill}: {count} agents of {member} run");
    }
}

/// Waits until exactly `size` members are active and exactly their agents run.
async fn settled(stack: &Stack, size: u32) -> Vec<Member> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let members = stack.api().members().await.unwrap_or_default();
        let life = |m: &Member| format!("{}/{}", m.member, m.incarnation);
        let known: BTreeSet<String> = members.iter().map(life).collect();
        let running: BTreeSet<String> = agents(stack).into_keys().collect();
        let active = members.iter().filter(|m| m.is_active()).count();
        if active == members.len() && active == size as usize && known == running {
            return members;
        }
        assert!(
            Instant::now() < deadline,
            "not settled at {size} members:\nknown   {known:?}\nrunning {running:?}\n{members:?}\n{}",
            stack.log_end()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_kills_during_scaling_lose_and_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let plan = Plan::hello(&stack::bin_dir(), "kills");
    plan.deploy(stack.api())
        .await
        .expect("the application is deployed");
    settled(&stack, 1).await;

    let began = Instant::now();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut acknowledged, mut slowest) = (1, Duration::ZERO);
    for kill in 1..=KILLS {
        let size = SIZES[usize::try_from(dice.roll(SIZES.len() as u64)).unwrap()];
        let path = format!("/api/clusters/{}/scale", plan.cluster());
        let body = json!({"size": size});
        let order = stack.api().post(&path, Some(&body));
        let moment = Duration::from_millis(dice.roll(250));
        // The order may be under way when the server dies: then either size is right, but no third.
        let mut possible = vec![acknowledged, size];
        if let Ok(Ok(())) = tokio::time::timeout(moment, order).await {
            possible = vec![size];
            tokio::time::sleep(Duration::from_millis(dice.roll(250))).await;
        }
        stack.kill9().await.expect("the server can be killed");
        assert_no_doubles(&stack, kill);
        let restart = Instant::now();
        stack
            .restart()
            .await
            .unwrap_or_else(|e| panic!("after kill {kill}: {e}"));
        slowest = slowest.max(restart.elapsed());
        let cluster: serde_json::Value = stack
            .api()
            .get(&format!("/api/clusters/{}", plan.cluster()))
            .await
            .expect("the cluster is known");
        let ordered = cluster["orderedSize"]
            .as_u64()
            .map_or(1, |n| u32::try_from(n).unwrap());
        assert!(
            possible.contains(&ordered),
            "after kill {kill}: size {ordered}, acknowledged {possible:?}"
        );
        acknowledged = ordered;
        if kill % 20 == 0 {
            settled(&stack, acknowledged).await;
        }
    }
    let members = settled(&stack, acknowledged).await;
    println!(
        "{KILLS} kills in {:.1} s: 0 members lost, doubled or orphaned; slowest restart to healthy {:.0} ms; {} at the end",
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1000.0,
        members.len()
    );
    nothing_is_left(&stack, "kills").await;
}

/// Every member measures its own cgroup, and no cgroup of any is left when all are gone.
async fn nothing_is_left(stack: &Stack, application: &str) {
    let status: serde_json::Value = stack.api().get("/api/status").await.expect("the server tells");
    let name = format!(
        "cartridge-{}",
        status["installation"].as_str().expect("it has a name")
    );
    let member = &stack.api().members().await.expect("the server tells")[0].member;
    // A member that has just begun has not been heard yet.
    let deadline = Instant::now() + SETTLE;
    let shown = loop {
        let shown: serde_json::Value = stack
            .api()
            .get(&format!("/api/members/{member}"))
            .await
            .expect("the server tells");
        if shown["sample"].is_object() {
            break shown;
        }
        assert!(Instant::now() < deadline, "no sample in {shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let scope = shown["sample"]["scope"].as_str().unwrap_or_default();
    assert!(scope.starts_with("cgroup-"), "scope {scope:?} in {shown}");
    assert!(!folders(&name).is_empty(), "members have cgroups");
    let path = format!("/api/applications/{application}/undeploy?force=true");
    stack.api().post(&path, None).await.expect("it is undeployed");
    let deadline = Instant::now() + SETTLE;
    while !folders(&name).is_empty() || !agents(stack).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left: {:?}, {:?}\n{}",
            folders(&name),
            agents(stack),
            stack.log_end()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Folders of this installation's members in all cgroup trees, at any depth that an orchestrator lives at.
fn folders(name: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![(std::path::PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        for row in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if !row.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if row.file_name() == name {
                found.push(row.path());
            } else if depth < 8 {
                waiting.push((row.path(), depth + 1));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_serve_on_while_the_orchestrator_is_dead_and_are_the_same_after() {
    let folder = tempfile::tempdir().unwrap();
    let mut stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let mut plan = Plan::hello(&stack::bin_dir(), "alone");
    plan.min = 3;
    // Two orchestrators that start members at one address at one time could choose the same port.
    "127.0.30.2".clone_into(&mut plan.partitions[0].1);
    plan.deploy(stack.api())
        .await
        .expect("the application is deployed");
    let before = settled(&stack, 3).await;
    let processes: Vec<i32> = stack.processes().iter().map(|process| process.pid).collect();

    stack.kill9().await.expect("the server can be killed");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let meanwhile: Vec<i32> = stack.processes().iter().map(|process| process.pid).collect();
    assert_eq!(
        processes, meanwhile,
        "a process of a member ended with the orchestrator"
    );

    stack.restart().await.expect("the server starts again");
    let after = settled(&stack, 3).await;
    assert_eq!(before, after);
    let later: Vec<i32> = stack.processes().iter().map(|process| process.pid).collect();
    assert_eq!(processes, later, "a process of a member was replaced");
}

/// The texts of a member's log, as far as the server has them.
async fn log(stack: &Stack, member: &str) -> Vec<String> {
    let path = format!("/api/logs/{member}?tail=1000");
    let lines: Vec<serde_json::Value> = stack.api().get(&path).await.unwrap_or_default();
    let text = |line: serde_json::Value| line["text"].as_str().unwrap_or_default().to_owned();
    lines.into_iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_wrote_is_there_after_the_server_was_killed_and_after_it_ended_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let mut plan = Plan::hello(&stack::bin_dir(), "wordy");
    "127.0.30.4".clone_into(&mut plan.partitions[0].1);
    plan.deploy(stack.api())
        .await
        .expect("the application is deployed");
    let member = settled(&stack, 1).await[0].member.clone();
    let file = folder.path().join(format!("lines/{member}/0000000001.log"));
    let deadline = Instant::now() + SETTLE;
    while log(&stack, &member).await.is_empty() || !file.exists() {
        assert!(
            Instant::now() < deadline,
            "it writes nothing\n{}",
            stack.log_end()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = log(&stack, &member).await;

    stack.kill9().await.expect("the server can be killed");
    // What a power failure leaves of a line.
    let mut torn = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    std::io::Write::write_all(&mut torn, b"{\"i\":1,\"n\":9").unwrap();
    stack.restart().await.expect("the server starts again");
    let after = log(&stack, &member).await;
    assert_eq!(after[..before.len()], before, "lines are lost");
    let own: Vec<&String> = after[before.len()..].iter().collect();
    assert!(own[0].contains("bytes that cannot be read"), "{own:?}");
    assert!(own[1].contains("ended here without notice"), "{own:?}");

    stack.stop().await.expect("the server ends");
    stack.restart().await.expect("the server starts again");
    let later = log(&stack, &member).await;
    assert_eq!(later[..before.len()], before, "lines are lost");
    let said = later
        .iter()
        .filter(|text| text.contains("ended here without notice"));
    assert!(said.count() <= 1, "{later:?}");
}
