//! Connections whose other side is gone without a word: nothing comes back, no end, no reset. In a network namespace of
//! its own, where the packet filter swallows everything between agents and orchestrator.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Fake, Member, desired, is_active, start_at};

/// Members at once.
const MEMBERS: usize = 100;
/// Times that the network goes.
const ROUNDS: usize = 1;
/// Until every agent has noticed, and until every one is back.
const NOTICED: Duration = Duration::from_secs(10);
const BACK: Duration = Duration::from_secs(13);

#[test]
fn a_network_that_swallows_everything_is_noticed_in_ten_seconds_and_stops_no_application() {
    let me = std::env::current_exe().unwrap();
    let script = format!(
        "ip link set lo up && exec {} --exact where_the_network_goes --ignored --nocapture",
        me.display()
    );
    let mut command = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let done = command
        .args(["--net", "sh", "-ec", &script])
        .output()
        .expect("unshare is installed");
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
    println!("{text}");
}

fn nft(words: &str) {
    let done = Command::new("nft")
        .args(words.split(' '))
        .status()
        .expect("nft is installed");
    assert!(done.success(), "nft {words}");
}

fn times(member: &Member, words: &str) -> usize {
    member.log().matches(words).count()
}

async fn until(what: &str, within: Duration, mut so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[test]
#[ignore = "is run by the test above, in a network of its own"]
fn where_the_network_goes() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // All of these first: none of them shall take a port that a member was given and does not listen on yet.
        let mut fakes = Vec::new();
        for _ in 0..MEMBERS {
            fakes.push(Fake::start(desired()).await);
        }
        let members: Vec<Member> = fakes.into_iter().map(|fake| start_at(fake, |_, _| {})).collect();
        for member in &members {
            member.fake.hear(0, "Active", is_active).await;
        }
        let before: Vec<i32> = members.iter().map(Member::application).collect();
        nft("add table ip gone");
        for round in 1..=ROUNDS {
            nft("add chain ip gone out { type filter hook output priority 0 ; }");
            for member in &members {
                let port = member.fake.address.port();
                nft(&format!("add rule ip gone out tcp dport {port} drop"));
                nft(&format!("add rule ip gone out tcp sport {port} drop"));
            }
            let all = || {
                members
                    .iter()
                    .all(|m| times(m, "no link to the orchestrator") >= round)
            };
            let noticed = until("every agent has noticed", NOTICED, all).await;
            // Nothing else has changed for the application.
            let after: Vec<i32> = members.iter().map(Member::application).collect();
            assert_eq!(after, before);
            let heard: Vec<usize> = members.iter().map(|m| m.fake.batches().len()).collect();
            nft("delete chain ip gone out");
            let back = || {
                let mut pairs = members.iter().zip(&heard);
                pairs.all(|(m, heard)| m.fake.batches().len() > *heard)
            };
            let back = until("every agent is back", BACK, back).await;
            println!("round {round}: {MEMBERS} of {MEMBERS} noticed within {noticed:?}, back after {back:?}");
        }
    });
}
