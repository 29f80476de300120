use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::Millis;
use redb::{Database, TableDefinition};

use super::{Journal, JournalError, Keep};

fn entry(seq: u64) -> Entry {
    let record = match seq {
        1 => Record::InstallationCreated {
            installation: "test".to_owned(),
        },
        2 => Record::OrchestratorStarted { epoch: 1 },
        even if even % 2 == 0 => Record::AutomationResumed {
            by: "test".to_owned(),
        },
        odd => Record::AutomationPaused {
            by: "test".to_owned(),
            reason: format!("number {odd}"),
        },
    };
    Entry {
        seq,
        at_unix_ms: seq,
        record,
    }
}

fn folded(last: u64) -> World {
    let mut world = World::default();
    for seq in 1..=last {
        world.apply(&entry(seq), Millis::ZERO).unwrap();
    }
    world
}

const SOON: Keep = Keep {
    snapshot_every: 10,
    history: 5,
};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, world) = Journal::open(&path, Keep::default()).unwrap();
    assert_eq!(world, World::default());
    journal.append(0, vec![entry(1), entry(2)]).await.unwrap();
    journal.append(2, vec![entry(3)]).await.unwrap();
    journal.close().await;
    drop(journal);
    let (journal, world) = Journal::open(&path, Keep::default()).unwrap();
    assert_eq!(world, folded(3));
    assert_eq!(journal.entries(1, 10).await.unwrap(), [entry(2), entry(3)]);
    assert_eq!(journal.entries(0, 1).await.unwrap(), [entry(1)]);
}

#[tokio::test]
async fn a_snapshot_and_what_follows_fold_to_the_same_world_and_old_entries_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = Journal::open(&path, SOON).unwrap();
    for seq in 1..=47 {
        journal.append(seq - 1, vec![entry(seq)]).await.unwrap();
    }
    journal.close().await;
    drop(journal);
    let (journal, world) = Journal::open(&path, SOON).unwrap();
    assert_eq!(world, folded(47));
    let kept: Vec<u64> = journal
        .entries(0, 100)
        .await
        .unwrap()
        .iter()
        .map(|e| e.seq)
        .collect();
    // It is made beside the appends, of what is there when it is made.
    let (snapshot, _) = journal.store.snapshot().unwrap().unwrap();
    assert!((10..=47).contains(&snapshot), "{snapshot}");
    assert_eq!(
        kept,
        (snapshot - 4..=47).collect::<Vec<u64>>(),
        "five entries stay behind the snapshot"
    );
}

/// Appends go on while snapshots are made, and each place at which the journal is left folds to the same world.
#[tokio::test]
async fn snapshots_are_made_beside_appends_and_nothing_is_lost_between() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let mut last = 0;
    for round in 1..=10 {
        let (journal, world) = Journal::open(&path, SOON).unwrap();
        assert_eq!(world, folded(last));
        for _ in 0..round * 13 {
            last += 1;
            journal.append(last - 1, vec![entry(last)]).await.unwrap();
        }
        journal.close().await;
    }
    let (journal, world) = Journal::open(&path, SOON).unwrap();
    assert_eq!(world, folded(last));
    let (snapshot, _) = journal.store.snapshot().unwrap().unwrap();
    assert!(
        snapshot + 2 * SOON.snapshot_every > last - 130,
        "{snapshot} of {last}"
    );
}

#[tokio::test]
async fn a_second_writer_is_refused_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = Journal::open(&path, Keep::default()).unwrap();
    journal.append(0, vec![entry(1)]).await.unwrap();
    let refused = journal.append(0, vec![entry(1)]).await;
    assert!(
        matches!(
            refused,
            Err(JournalError::Conflict {
                expected: 0,
                actual: 1
            })
        ),
        "{refused:?}"
    );
    let gap = journal.append(1, vec![entry(3)]).await;
    assert!(matches!(gap, Err(JournalError::Conflict { .. })), "{gap:?}");
    assert_eq!(journal.entries(0, 10).await.unwrap().len(), 1);
    let open = Journal::open(&path, Keep::default()).unwrap_err();
    assert!(open.to_string().contains("another orchestrator"), "{open}");
}

#[tokio::test]
async fn many_appends_at_once_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("journal.redb"), Keep::default()).unwrap();
    // Polled in this order: so few futures are joined without a queue.
    let appends = (1..=30).map(|seq| journal.append(seq - 1, vec![entry(seq)]));
    for result in futures_util::future::join_all(appends).await {
        result.unwrap();
    }
    assert_eq!(journal.entries(0, 1000).await.unwrap().len(), 30);
}

#[test]
fn foreign_damaged_and_newer_files_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "this is not a journal, it only lies where one should be").unwrap();
    let newer = folder.path().join("newer");
    let other = folder.path().join("other");
    for (path, table) in [(&newer, "meta"), (&other, "something")] {
        let database = Database::create(path).unwrap();
        let write = database.begin_write().unwrap();
        let definition: TableDefinition<'_, &str, u64> = TableDefinition::new(table);
        write
            .open_table(definition)
            .unwrap()
            .insert("format", 99)
            .unwrap();
        write.commit().unwrap();
    }
    for (path, word) in [
        (&text, "journal"),
        (&newer, "format 99"),
        (&other, "another program"),
    ] {
        let refused = Journal::open(path, Keep::default()).unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
        assert!(refused.contains(&path.display().to_string()), "{refused}");
    }
}

#[tokio::test]
async fn an_entry_that_this_program_does_not_know_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = Journal::open(&path, Keep::default()).unwrap();
    journal.append(0, vec![entry(1)]).await.unwrap();
    journal.close().await;
    drop(journal);
    let database = Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let entries: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
    let unknown = br#"{"seq":2,"at_unix_ms":0,"record":{"kind":"moon-landed"}}"#;
    write
        .open_table(entries)
        .unwrap()
        .insert(2, unknown.as_slice())
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let refused = Journal::open(&path, Keep::default()).unwrap_err().to_string();
    assert!(
        refused.contains("entry 2") && refused.contains("newer version"),
        "{refused}"
    );
}
