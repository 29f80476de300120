//! Members as local processes: this test program plays the agent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cartridge_orchestrator::provision::process::{Process, Settings};
use cartridge_orchestrator::provision::{Exit, LinkInfo, Provisioner};
use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::{ClusterId, MemberId, NetworkPartitionId, PartitionId, Secret};
use tokio::sync::mpsc;

/// `<this program> run` runs exactly this; started as an agent it starts a child and waits.
#[test]
fn run_as_agent() {
    if let Ok(tag) = std::env::var("CARTRIDGE_INSTANCE_TAG") {
        if tag.starts_with("hides") {
            hide();
        }
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        std::fs::write("ready", child.id().to_string()).unwrap();
        child.wait().unwrap();
    }
}

/// Leaves behind a process that knows nothing of us: no environment, a session of its own, somebody else's child; and
/// that sits in a cgroup which it made itself, if it could.
fn hide() {
    let hidden = "mkdir -p $0/deeper && echo $$ > $0/deeper/cgroup.procs; exec env X=1 sh -c 'echo $$ > hidden; exec sleep 600'";
    let own = own_cgroups(std::process::id()).pop().unwrap_or_default();
    let mut shell = Command::new("sh")
        .args(["-c", r#"setsid env -i sh -c "$0" "$1" &"#, hidden])
        .arg(own)
        .spawn()
        .unwrap();
    shell.wait().unwrap();
}

/// The cgroups of a process that belong to a member.
fn own_cgroups(pid: u32) -> Vec<PathBuf> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    cartridge_protocol::cgroup::trees(&read("mountinfo"), &read("cgroup"))
        .into_iter()
        .map(|tree| PathBuf::from(tree.folder))
        .filter(|folder| folder.to_string_lossy().contains("/cartridge-"))
        .collect()
}

/// What a run that failed left behind is somebody else's.
fn of_this_run(installation: &str) -> String {
    format!("{installation}-{}", std::process::id())
}

fn provisioner(members: &Path, installation: &str) -> (Process, mpsc::Receiver<Exit>) {
    provisioner_with(members, installation, true)
}

fn provisioner_with(
    members: &Path,
    installation: &str,
    own_cgroups: bool,
) -> (Process, mpsc::Receiver<Exit>) {
    let (exits, noticed) = mpsc::channel(16);
    let settings = Settings {
        members: members.to_owned(),
        installation: of_this_run(installation),
        agent: std::env::current_exe().unwrap(),
        balancer: "/nowhere".into(),
        allow_file_repositories: true,
        own_cgroups,
    };
    (Process::new(settings, exits), noticed)
}

fn spec(installation: &str) -> MemberSpec {
    MemberSpec {
        provider: "process".to_owned(),
        installation: of_this_run(installation),
        member: MemberId::new("app.web.c.domain-1").unwrap(),
        incarnation: 1,
        cluster: ClusterId::new("app.web.c.domain").unwrap(),
        network_partition: NetworkPartitionId::new("np").unwrap(),
        partition: PartitionId::new("p").unwrap(),
        address: "127.7.7.7".parse().unwrap(),
        balancer: false,
        ports: BTreeMap::from([("http".to_owned(), 80)]),
        parameters: BTreeMap::from([(key::PORT_MAPPINGS.to_owned(), "NAME:http|PORT:80".to_owned())]),
    }
}

fn link() -> LinkInfo {
    LinkInfo {
        sharing: None,
        url: "https://127.0.0.1:1".to_owned(),
        ca: "/nowhere".into(),
        token: Secret::new("token"),
    }
}

async fn ready(members: &Path) -> i32 {
    told(members, "ready").await
}

/// The number that the member writes into a file of its folder.
async fn told(members: &Path, name: &str) -> i32 {
    let file = members.join("app.web.c.domain-1.1").join(name);
    let wait = async {
        loop {
            if let Ok(pid) = std::fs::read_to_string(&file).unwrap_or_default().trim().parse() {
                return pid;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("the agent starts")
}

fn alive(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| !environment.is_empty())
}

fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn gone(pid: i32) {
    let wait = async {
        while alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("the process is gone");
}

#[tokio::test]
async fn ensuring_twice_makes_one_and_removing_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (process, mut exits) = provisioner(folder.path(), "twice");
    let first = process.ensure(spec("twice"), link()).await.unwrap();
    let pid = ready(folder.path()).await;
    let second = process.ensure(spec("twice"), link()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(
        ready(folder.path()).await,
        pid,
        "nothing was started a second time"
    );
    let text = std::fs::read_to_string(folder.path().join("app.web.c.domain-1.1/launch-params")).unwrap();
    let parameters = LaunchParameters::parse(&text).unwrap();
    assert_eq!(
        parameters.get(key::PORTS),
        Some(first.ports["http"].to_string().as_str())
    );
    assert_eq!(parameters.get(key::JOIN_TOKEN), Some("token"));
    let found = process.list().await.unwrap();
    assert!(found.len() == 1 && found[0].running, "{found:?}");
    let young = |age: Duration| age < Duration::from_secs(60);
    assert!(found[0].age.is_some_and(young), "{found:?}");

    process.remove(&spec("twice").member, 1).await.unwrap();
    assert!(!alive(pid), "its child went with it");
    assert_eq!(process.list().await.unwrap(), []);
    let exit = tokio::time::timeout(Duration::from_secs(10), exits.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(exit.reason, "agent ended: signal 9");
}

#[tokio::test]
async fn the_next_orchestrator_finds_and_watches_members_and_leaves_foreign_ones_alone() {
    let folder = tempfile::tempdir().unwrap();
    let foreign_folder = tempfile::tempdir().unwrap();
    let (foreign, _kept) = provisioner(foreign_folder.path(), "foreign");
    foreign.ensure(spec("foreign"), link()).await.unwrap();
    let foreign_pid = ready(foreign_folder.path()).await;
    let made = {
        let (before, _dropped) = provisioner(folder.path(), "ours");
        before.ensure(spec("ours"), link()).await.unwrap()
    };
    let pid = ready(folder.path()).await;

    let (after, mut exits) = provisioner(folder.path(), "ours");
    let found = after.list().await.unwrap();
    assert!(found.len() == 1 && found[0].running, "{found:?}");
    assert_eq!(
        after.ensure(spec("ours"), link()).await.unwrap(),
        made,
        "the same ports"
    );
    let agent = parent(pid);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(agent),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(10), exits.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((exit.member, exit.incarnation), (spec("ours").member, 1));
    gone(pid).await;
    let found = after.list().await.unwrap();
    assert!(
        found.len() == 1 && !found[0].running,
        "its folder is left: {found:?}"
    );
    after.remove(&spec("ours").member, 1).await.unwrap();
    assert!(
        alive(foreign_pid),
        "another installation's processes are never touched"
    );
    foreign.remove(&spec("foreign").member, 1).await.unwrap();
    gone(foreign_pid).await;
}

/// The folder of all members of an installation, in each tree where this program could make one.
fn folders_of(installation: &str) -> Vec<PathBuf> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
    cartridge_protocol::cgroup::trees(&read("mountinfo"), &read("cgroup"))
        .into_iter()
        .map(|tree| Path::new(&tree.folder).join(format!("cartridge-{}", of_this_run(installation))))
        .filter(|folder| folder.exists())
        .collect()
}

#[tokio::test]
async fn a_process_that_hides_from_its_tag_ends_with_its_member() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _exits) = provisioner(folder.path(), "hides");
    assert!(
        process.own_cgroups(),
        "this test needs to make cgroups: run it as root"
    );
    process.ensure(spec("hides"), link()).await.unwrap();
    let child = ready(folder.path()).await;
    let hidden = told(folder.path(), "hidden").await;
    let environment = std::fs::read(format!("/proc/{hidden}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("CARTRIDGE"), "{environment}");
    assert!(alive(hidden) && alive(child));

    process.remove(&spec("hides").member, 1).await.unwrap();
    assert!(!alive(hidden), "it went with its member");
    assert_eq!(
        folders_of("hides"),
        Vec::<PathBuf>::new(),
        "and so did all cgroups"
    );
}

#[tokio::test]
async fn the_next_orchestrator_finds_what_hides_although_its_agent_and_its_folder_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let hidden = {
        let (before, _dropped) = provisioner(folder.path(), "hides-on");
        before.ensure(spec("hides-on"), link()).await.unwrap();
        let child = ready(folder.path()).await;
        let hidden = told(folder.path(), "hidden").await;
        let agent = parent(child);
        std::fs::rename(
            folder.path().join("app.web.c.domain-1.1"),
            folder.path().join("away"),
        )
        .unwrap();
        // Nobody watches any more: as if the orchestrator had been killed first.
        let pid = nix::unistd::Pid::from_raw;
        nix::sys::signal::kill(pid(agent), nix::sys::signal::Signal::SIGSTOP).unwrap();
        (hidden, agent, child)
    };
    let (hidden, agent, child) = hidden;
    let (after, _exits) = provisioner(folder.path(), "hides-on");
    let found = after.list().await.unwrap();
    assert!(found.len() == 1 && found[0].age.is_some(), "{found:?}");
    after
        .remove(&found[0].member, found[0].incarnation)
        .await
        .unwrap();
    for pid in [hidden, agent, child] {
        assert!(!alive(pid), "{pid} is left");
    }
    assert_eq!(after.list().await.unwrap(), []);
    assert_eq!(folders_of("hides-on"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_member_lives_alone_in_its_cgroups_and_empty_ones_are_cleared_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _exits) = provisioner(folder.path(), "alone");
    assert!(
        process.own_cgroups(),
        "this test needs to make cgroups: run it as root"
    );
    process.ensure(spec("alone"), link()).await.unwrap();
    let child = ready(folder.path()).await;
    let agent = parent(child);
    let cgroups = own_cgroups(u32::try_from(agent).unwrap());
    assert!(
        cgroups
            .iter()
            .any(|folder| folder.starts_with("/sys/fs/cgroup/memory")),
        "{cgroups:?}"
    );
    for cgroup in &cgroups {
        assert!(cgroup.ends_with("app.web.c.domain-1.1"), "{cgroups:?}");
        let inside = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        let inside: BTreeSet<i32> = inside.lines().map(|pid| pid.parse().unwrap()).collect();
        assert_eq!(inside, BTreeSet::from([agent, child]), "{}", cgroup.display());
        let limit = std::fs::read_to_string(cgroup.join("pids.max"));
        assert!(limit.is_err() || limit.unwrap() == "4096\n");
    }
    for left in folders_of("alone") {
        std::fs::create_dir(left.join("app.web.c.domain-9.1")).unwrap();
    }
    let (after, _exits) = provisioner(folder.path(), "alone");
    for kept in folders_of("alone") {
        let names: Vec<_> = std::fs::read_dir(kept)
            .unwrap()
            .flatten()
            .filter(|row| row.path().is_dir())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
    after.remove(&spec("alone").member, 1).await.unwrap();
    assert_eq!(folders_of("alone"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn where_cgroups_are_not_allowed_members_are_started_and_removed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _exits) = provisioner_with(folder.path(), "shares", false);
    assert!(!process.own_cgroups());
    process.ensure(spec("shares"), link()).await.unwrap();
    let child = ready(folder.path()).await;
    assert_eq!(own_cgroups(u32::try_from(child).unwrap()), Vec::<PathBuf>::new());
    assert_eq!(folders_of("shares"), Vec::<PathBuf>::new());
    process.remove(&spec("shares").member, 1).await.unwrap();
    assert!(!alive(child));
    assert_eq!(process.list().await.unwrap(), []);
}

#[tokio::test]
async fn one_damaged_folder_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _exits) = provisioner(folder.path(), "damaged");
    process.ensure(spec("damaged"), link()).await.unwrap();
    ready(folder.path()).await;
    let damaged = folder.path().join("app.web.c.domain-2.1");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("instance.json"), "{").unwrap();
    let (again, _exits) = provisioner(folder.path(), "damaged");
    let found = again.list().await.unwrap();
    let running: Vec<bool> = found.iter().map(|one| one.running).collect();
    assert_eq!(running, [true, false]);
    for one in found {
        again.remove(&one.member, one.incarnation).await.unwrap();
    }
    assert!(again.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn attempts_that_fail_use_up_no_ports() {
    // Nobody can make a folder there.
    let (process, _exits) = provisioner(Path::new("/proc/nothing"), "full");
    // More ports in all than there are.
    let mut greedy = spec("full");
    greedy.ports = (0..3000).map(|n| (format!("p{n}"), 80)).collect();
    for _ in 0..4 {
        let fault = process
            .ensure(greedy.clone(), link())
            .await
            .unwrap_err()
            .to_string();
        assert!(!fault.contains("no port"), "{fault}");
    }
}
