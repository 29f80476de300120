//! A process that appends is killed with SIGKILL again and again; nothing that it was told is durable may be missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use cartridge_orchestrator::journal::{Journal, Keep};
use cartridge_orchestrator_plan::record::{Entry, Record};

const PATH: &str = "CARTRIDGE_TEST_JOURNAL";
const ROUNDS: usize = 20;

/// The process that is killed: says each position once it is acknowledged.
#[tokio::test]
#[ignore = "is started by the other test"]
async fn appends_until_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let keep = Keep {
        snapshot_every: 50,
        history: 1_000_000,
    };
    let (journal, world) = Journal::open(path.as_ref(), keep).unwrap();
    for seq in world.seq + 1.. {
        let record = match seq {
            1 => Record::InstallationCreated {
                installation: "test".to_owned(),
            },
            _ => Record::OrchestratorStarted { epoch: seq },
        };
        let entry = Entry {
            seq,
            at_unix_ms: 0,
            record,
        };
        journal.append(seq - 1, vec![entry]).await.unwrap();
        println!("durable {seq}");
    }
}

#[tokio::test]
async fn no_acknowledged_entry_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "appends_until_killed",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = 0;
        for line in lines.map_while(Result::ok) {
            if let Some((_, seq)) = line.split_once("durable ") {
                acknowledged = seq.parse::<u64>().unwrap();
                said += 1;
                if said == 5 + round * 7 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(
            said >= 5 + round * 7,
            "round {round} ended by itself after {said} entries"
        );
        let (journal, world) = Journal::open(&path, Keep::default()).unwrap();
        assert!(
            world.seq >= acknowledged,
            "{} of {acknowledged} acknowledged entries are there",
            world.seq
        );
        assert!(
            world.seq <= acknowledged + 1,
            "entries that nobody was told of: up to {}",
            world.seq
        );
        journal.close().await;
    }
    let (journal, world) = Journal::open(&path, Keep::default()).unwrap();
    let mut after = 0;
    while after < world.seq {
        let entries = journal.entries(after, 1000).await.unwrap();
        for entry in &entries {
            after += 1;
            assert_eq!(entry.seq, after, "no gap, no repetition");
        }
    }
}
