//! The real agent binary runs the hooks of cartridges: in Stratos's order, with Stratos's names and variables, and ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod support;

use std::path::Path;

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts, Run};
use cartridge_protocol::{CommitId, Secret};
use harness::{MEMBER, Member, application_command, desired, hook, is_active, start};
use support::Repo;

/// Every name of stratos-contract §2.4 that the agent runs by itself in one life without surroundings.
const OWN: [&str; 7] = [
    "CreateLVSDummyInterface",
    "VolumeMount",
    "InstanceStartedEvent",
    "StartServers",
    "ArtifactUpdatedEvent",
    "InstanceActivatedEvent",
    "clean",
];

fn recorded(member: &Member) -> Vec<String> {
    let text = std::fs::read_to_string(member.folder.path().join("events")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn file(member: &Member, name: &str) -> String {
    std::fs::read_to_string(member.folder.path().join(name)).unwrap_or_default()
}

/// Waits: a stop ends the hook that runs.
async fn until_recorded(member: &Member, last: &str) {
    let so = async {
        while recorded(member).last().map(String::as_str) != Some(last) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(std::time::Duration::from_secs(10), so)
        .await
        .is_err()
    {
        panic!("{:?}\n{}", recorded(member), member.log());
    }
}

async fn stop(member: &mut Member) {
    member.fake.want(|d| d.run = Run::Stop { within_ms: 5_000 });
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
}

/// No application of the agent's, no ports: active as soon as the hooks of the start have run.
fn hooks_only(launch: &mut LaunchParameters) {
    for name in [key::COMMAND, key::PROBE, key::PORTS] {
        launch.set(name, "");
    }
}

fn serving(repo: &Repo, commit: &CommitId) -> Desired {
    let artifacts = DesiredArtifacts {
        url: repo.file_url(),
        branch: "main".into(),
        commit: Some(commit.clone()),
        ordered: false,
        username: Some("reader".into()),
        password: Some(Secret::new("canary-password")),
        poll_interval_ms: 60_000,
        look: 0,
        sharing: 1,
    };
    Desired {
        artifacts: Some(artifacts),
        ..desired()
    }
}

/// A cartridge as the PHP one of Stratos: its server is started by the hook of the first files, before the port check.
#[tokio::test]
async fn a_whole_life_runs_the_hooks_in_the_order_that_stratos_meant() {
    let repo = Repo::new();
    repo.write("status", "200 OK\n");
    let commit = repo.commit();
    let mut member = start(serving(&repo, &commit), |folder, launch| {
        launch.set(key::ALLOW_FILE_REPOSITORIES, "true");
        launch.set(key::COMMAND, "");
        launch.set("LVS_VIRTUAL_IP", "10.0.0.9");
        launch.set("PERSISTENCE_MAPPING", "/dev/vdb|vol-1|/data");
        for name in OWN {
            let server = serde_json::from_str::<Vec<String>>(&application_command()).unwrap();
            let server = format!(
                "cd $STRATOS_APP_PATH; CARTRIDGE_ADDRESS=127.0.0.1 PORT=$STRATOS_PORTS setsid {} > /dev/null 2>&1 &",
                server.join(" ")
            );
            let more = if name == "ArtifactUpdatedEvent" { server.as_str() } else { "" };
            hook(
                folder,
                name,
                &format!("echo \"$STRATOS_EVENT $*\" >> ../events; env > ../env-{name}\n{more}"),
            );
        }
    })
    .await;
    let fake = member.fake.clone();
    let served = |b: &Batch| is_active(b) && b.status.release.as_ref() == Some(&commit);
    fake.hear(0, "Active", served).await;
    let server = member.application();
    until_recorded(&member, "InstanceActivatedEvent ").await;
    stop(&mut member).await;
    assert!(member.port_is_closed(), "the server {server} outlived the member");
    let expected = OWN.map(|name| match name {
        "VolumeMount" => "VolumeMount /dev/vdb|vol-1|/data".to_owned(),
        other => format!("{other} "),
    });
    assert_eq!(recorded(&member), expected);
    for (name, line) in [
        ("CreateLVSDummyInterface", "STRATOS_LVS_DUMMY_VIRTUAL_IP=10.0.0.9"),
        (
            "CreateLVSDummyInterface",
            "STRATOS_LVS_SUBNET_MASK=255.255.255.255",
        ),
        ("VolumeMount", "STRATOS_VALUE1=/dev/vdb|vol-1|/data"),
        (
            "ArtifactUpdatedEvent",
            "STRATOS_ARTIFACT_UPDATED_REPO_USERNAME=reader",
        ),
        (
            "ArtifactUpdatedEvent",
            "STRATOS_ARTIFACT_UPDATED_REPO_PASSWORD=canary-password",
        ),
        ("ArtifactUpdatedEvent", "STRATOS_ARTIFACT_UPDATED_TENANT_ID=-1234"),
    ] {
        let told = file(&member, &format!("env-{name}"));
        assert!(
            told.lines().any(|l| l == line),
            "{name}: {line} is not in\n{told}"
        );
    }
}

#[tokio::test]
async fn values_survive_whatever_they_hold_nothing_leaks_into_the_next_hook_and_no_secret_into_the_log() {
    let list = "a,b=c \"quoted\" $HOME\nsecond line";
    let mut member = start(desired(), |folder, launch| {
        launch.set("LIST", list);
        launch.set("CARTRIDGE_KEY", "canary-key-0123456");
        launch.set("TOKEN", "canary-bearer");
        launch.set("LVS_VIRTUAL_IP", "10.0.0.9");
        for name in ["CreateLVSDummyInterface", "StartServers"] {
            let script = format!("printf %s \"$STRATOS_LIST\" > ../list; env > ../env-{name}; env; env >&2");
            hook(folder, name, &script);
        }
    })
    .await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    stop(&mut member).await;
    assert_eq!(file(&member, "list"), list);
    let (first, second) = (
        file(&member, "env-CreateLVSDummyInterface"),
        file(&member, "env-StartServers"),
    );
    assert!(first.contains("LVS_DUMMY") && !second.contains("LVS_DUMMY"));
    for line in [
        "STRATOS_CARTRIDGE_KEY=canary-key-0123456",
        "STRATOS_TOKEN=canary-bearer",
        &format!("STRATOS_MEMBER_ID={MEMBER}"),
        &format!(
            "STRATOS_PARAM_FILE_PATH={}/launch-params",
            member.folder.path().display()
        ),
    ] {
        assert!(second.lines().any(|l| l == line), "{line}\n{second}");
    }
    assert!(!second.contains("canary-token"), "the join token");
    let logs: Vec<String> = fake
        .batches()
        .iter()
        .flat_map(|b| &b.logs)
        .map(|l| format!("{}: {}", l.stream, l.text))
        .collect();
    assert!(
        logs.iter()
            .any(|l| l.contains("StartServers: ") && l.contains("STRATOS_CARTRIDGE_KEY=(secret)"))
    );
    let shown = logs.join("\n") + &member.log();
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn the_names_of_the_java_agent_and_the_folder_of_stratos_count_where_our_name_is_absent() {
    let mut member = start(desired(), |folder, launch| {
        hooks_only(launch);
        launch.set("PERSISTENCE_MAPPING", "a|b|c");
        for name in [
            "mount_volumes",
            "instance-started",
            "start-servers",
            "instance-activated",
            "StartServers",
            "member-started",
        ] {
            hook(folder, name, "echo \"${0##*/} $STRATOS_EVENT $1\" >> ../events");
        }
        let bash = folder.join("hooks/bash");
        std::fs::create_dir(&bash).unwrap();
        std::fs::rename(
            folder.join("hooks/instance-activated.sh"),
            bash.join("instance-activated.sh"),
        )
        .unwrap();
    })
    .await;
    until_recorded(&member, "instance-activated.sh InstanceActivatedEvent ").await;
    stop(&mut member).await;
    let expected = [
        "mount_volumes.sh VolumeMount a|b|c",
        "instance-started.sh InstanceStartedEvent ",
        "StartServers.sh StartServers ",
        "instance-activated.sh InstanceActivatedEvent ",
    ];
    assert_eq!(recorded(&member), expected);
}

fn program(folder: &Path, event: &str, name: &str, script: &str) {
    hook(folder, "placeholder", script);
    let below = folder.join("hooks/hooks.d").join(event);
    std::fs::create_dir_all(&below).unwrap();
    std::fs::rename(folder.join("hooks/placeholder.sh"), below.join(name)).unwrap();
}

#[tokio::test]
async fn a_folder_of_programs_is_run_in_lexical_order_up_to_the_first_that_fails() {
    let mut member = start(desired(), |folder, launch| {
        hooks_only(launch);
        hook(folder, "StartServers", "echo file >> ../events");
        for (name, more) in [
            ("20-b", ""),
            ("10-a", ""),
            ("30-c", "exit 3"),
            ("40-d", ""),
            (".hidden", ""),
            ("25~", ""),
        ] {
            program(
                folder,
                "StartServers",
                name,
                &format!("echo {name} >> ../events; {more}"),
            );
        }
        program(folder, "InstanceActivatedEvent", "only", "echo only >> ../events");
    })
    .await;
    let fake = member.fake.clone();
    until_recorded(&member, "only").await;
    stop(&mut member).await;
    assert_eq!(recorded(&member), ["file", "10-a", "20-b", "30-c", "only"]);
    let failed = |b: &Batch| {
        b.notices.iter().any(|n| {
            n.text.starts_with("StartServers: ")
                && n.text.ends_with("StartServers/30-c ended with exit code 3")
        })
    };
    assert!(fake.batches().iter().any(failed), "{:?}", fake.batches().last());
}

/// Needs root, as the agent does for it.
#[tokio::test]
async fn hooks_can_run_as_another_user_who_cannot_reach_the_agent() {
    let mut member = start(desired(), |folder, launch| {
        use std::os::unix::fs::PermissionsExt;
        hooks_only(launch);
        launch.set("CARTRIDGE_HOOK_USER", "4711:4712");
        hook(
            folder,
            "StartServers",
            "id -u; id -g; id -G; pwd; echo $HOME; cat \"$STRATOS_PARAM_FILE_PATH\"; kill -9 $PPID",
        );
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(
            folder.join("launch-params"),
            std::fs::Permissions::from_mode(0o600),
        )
        .unwrap_or_default();
    })
    .await;
    let fake = member.fake.clone();
    fake.hear(0, "Active", is_active).await;
    stop(&mut member).await;
    let lines: Vec<String> = fake
        .batches()
        .iter()
        .flat_map(|b| &b.logs)
        .filter(|l| l.stream == "StartServers")
        .map(|l| l.text.clone())
        .collect();
    let all = lines.join("\n");
    assert!(all.contains("4711\n4712\n4712\n/\n/"), "{all}");
    assert!(all.contains("not permitted"), "it could signal the warden: {all}");
}

#[tokio::test]
async fn a_user_that_does_not_exist_is_named_and_the_hook_is_not_run() {
    let mut member = start(desired(), |folder, launch| {
        hooks_only(launch);
        launch.set("CARTRIDGE_HOOK_USER", "no-such-user");
        hook(folder, "StartServers", "echo ran >> ../events");
    })
    .await;
    let fake = member.fake.clone();
    let told = |b: &Batch| {
        b.notices
            .iter()
            .any(|n| n.text.contains("\"no-such-user\" is not in /etc/passwd"))
    };
    fake.hear(0, "the reason", told).await;
    stop(&mut member).await;
    assert_eq!(recorded(&member), Vec::<String>::new());
}
