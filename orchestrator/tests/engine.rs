//! The engine with simulated members: from an order to Active, through a restart, to nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod scene;

use cartridge_orchestrator::engine::Engine;
use cartridge_orchestrator::provision::mock::Mock;
use cartridge_orchestrator::provision::{Exit, Provisioners};
use cartridge_orchestrator_plan::order::Order;
use cartridge_orchestrator_plan::world::ApplicationStatus;
use cartridge_protocol::ApplicationId;
use scene::{Scene, active};
use tokio::sync::mpsc;

fn mock(engine: &Engine, provisioners: &mut Provisioners) {
    let (exits, mut noticed) = mpsc::channel::<Exit>(64);
    provisioners.add("mock", Mock::new(engine.clone(), exits));
    let engine = engine.clone();
    tokio::spawn(async move {
        while let Some(exit) = noticed.recv().await {
            engine.instance_gone(&exit.member, exit.incarnation, exit.reason);
        }
    });
}

#[tokio::test]
async fn an_application_comes_up_and_goes_down_and_every_fact_is_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::open(folder.path(), mock).await;
    let mut told = scene.engine.subscribe();
    scene.deploy("mock", 3).await;
    scene
        .until("three members are active", |world| active(world) == 3)
        .await;
    scene
        .engine
        .submit(Order::Undeploy {
            application: ApplicationId::new("app").unwrap(),
            force: true,
        })
        .await
        .unwrap();
    scene
        .until("nothing is left", |world| {
            world.members.is_empty()
                && world
                    .applications
                    .values()
                    .all(|a| a.status == ApplicationStatus::Created)
        })
        .await;
    let last = scene.engine.read(|world, _, _| world.seq);
    let written = scene.journal.entries(2, 1000).await.unwrap();
    assert_eq!(written.last().unwrap().seq, last);
    for entry in written {
        assert_eq!(
            *told.recv().await.unwrap(),
            entry,
            "subscribers hear every entry once, in order"
        );
    }
}

#[tokio::test]
async fn a_refused_order_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::open(folder.path(), mock).await;
    let before = scene.engine.read(|world, _, _| world.seq);
    let refused = scene
        .engine
        .submit(Order::Undeploy {
            application: ApplicationId::new("nobody").unwrap(),
            force: false,
        })
        .await;
    assert!(refused.unwrap_err().to_string().contains("nobody"));
    assert_eq!(scene.engine.read(|world, _, _| world.seq), before);
}

#[tokio::test]
async fn after_a_restart_the_world_is_the_same_and_lost_members_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let first = Scene::open(folder.path(), mock).await;
    first.deploy("mock", 2).await;
    first
        .until("two members are active", |world| active(world) == 2)
        .await;
    let before: Vec<_> = first
        .engine
        .read(|world, _, _| world.members.keys().cloned().collect());
    first.stopping.cancel();
    first.journal.close().await;
    drop(first);

    let second = reopened(folder.path()).await;
    for member in &before {
        assert!(
            second
                .engine
                .read(|world, _, _| world.members.contains_key(member))
        );
        second
            .engine
            .instance_gone(member, 1, "the test says so".to_owned());
    }
    second
        .until("two others are active", |world| {
            active(world) == 2 && before.iter().all(|member| !world.members.contains_key(member))
        })
        .await;
}

/// The file is free once the last answer of the first engine is dropped.
async fn reopened(folder: &std::path::Path) -> Scene {
    let free = async {
        while cartridge_orchestrator::journal::Journal::open(&folder.join("journal.redb"), Default::default())
            .is_err()
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), free)
        .await
        .expect("the journal is let go of");
    let opened = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        Scene::open(folder, mock).await
    };
    opened.await
}
