//! Real agents that become other agents, good and bad ones, while the application runs on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;
mod offers;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Run};
use cartridge_protocol::local::{Answer, Picture};
use harness::{Fake, Member, agent, desired, is_active, parameters, start};
use offers::Builds;
use ring::rand::{SecureRandom, SystemRandom};

const INSTALLED: &str = env!("CARGO_BIN_EXE_cartridge-agent");

fn builds() -> &'static Builds {
    static BUILDS: OnceLock<Builds> = OnceLock::new();
    BUILDS.get_or_init(|| Builds::of(Path::new(INSTALLED)))
}

fn offer(
    folder: &Path,
    version: &str,
    change: impl FnOnce(&mut serde_json::Value),
    signers: &[u8],
) -> PathBuf {
    builds().offer(folder, version, change, signers)
}

fn good(folder: &Path, version: &str) -> PathBuf {
    builds().good(folder, version)
}

fn trusting(folder: &Path, launch: &mut LaunchParameters, seconds: &str) {
    let keys = folder.join("keys");
    std::fs::write(&keys, offers::keys(1)).unwrap();
    launch.set("CARTRIDGE_UPGRADE_KEYS", keys.to_str().unwrap());
    launch.set("CARTRIDGE_UPGRADE_SECONDS", seconds);
}

/// Whether it worked, and what was said.
async fn upgrade(folder: &Path, file: &Path) -> (bool, String) {
    let done = tokio::process::Command::new(INSTALLED)
        .args(["upgrade", "--within", "60", "--state-dir"])
        .arg(folder.join("state"))
        .arg(file)
        .output()
        .await
        .unwrap();
    let text = [done.stdout, done.stderr].concat();
    (
        done.status.success(),
        String::from_utf8_lossy(&text).trim().to_owned(),
    )
}

fn picture(folder: &Path) -> Option<Picture> {
    let mut picture = None;
    let ask = cartridge_protocol::local::Ask::Status;
    let _ = cartridge_agent::cli::local::ask(&folder.join("state"), ask, Duration::ZERO, |answer| {
        if let Answer::Picture(said) = answer {
            picture = Some(*said);
        }
    });
    picture
}

/// Says lines in pieces, so that every change of the agent comes in the middle of one. So few a second that those of
/// the nine seconds of a hanging agent fit into what one keeps, a thousand.
const COUNTS: &str = "i=0; while :; do i=$((i+1)); printf 'line '; sleep 0.012; printf '%s\\n' $i; done";

fn counts(launch: &mut LaunchParameters) {
    launch.set(
        key::COMMAND,
        serde_json::to_string(&["/bin/sh", "-c", COUNTS]).unwrap(),
    );
    launch.set(key::PROBE, "");
    launch.set(key::PORTS, "");
    launch.set("CARTRIDGE_LOG_LINES", "100000");
}

fn lines(fake: &Fake) -> Vec<String> {
    let batches = fake.batches();
    let lines = batches.iter().flat_map(|b| &b.logs).filter(|l| l.stream == "out");
    lines.map(|l| l.text.clone()).collect()
}

fn zombies(of: u32) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    children
        .split_whitespace()
        .filter(|pid| state(pid).contains(") Z "))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_follow_each_other_in_one_process_and_neither_the_application_nor_its_lines_notice() {
    let mut member = start(desired(), |folder, launch| {
        counts(launch);
        trusting(folder, launch, "20");
    })
    .await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    let at = fake.hear(0, "Active", is_active).await;
    let before = picture(&folder).unwrap();
    let application = before.application_pid.unwrap();
    for version in ["0.2.0", "0.3.0", "0.3.1"] {
        let begun = Instant::now();
        let (worked, said) = upgrade(&folder, &good(&folder, version)).await;
        assert!(worked, "{version}: {said}\n{}", member.log());
        println!("{version} after {:?}: {said}", begun.elapsed());
        let now = picture(&folder).unwrap();
        assert_eq!(now.agent.version, version);
        assert_eq!(
            (now.agent.pid, now.application_pid),
            (before.agent.pid, Some(application))
        );
        assert!(now.agent.up_ms > before.agent.up_ms, "its clock goes on");
    }
    let heard = fake
        .hear(fake.batches().len(), "more after it", |b| b.sample.is_some())
        .await;
    assert!(
        fake.batches()[at..heard].iter().all(is_active),
        "the member was always Active"
    );
    assert!(fake.batches()[heard - 1].status.restarts == 0 && fake.joins() == 1);
    let told: Vec<String> = fake
        .batches()
        .iter()
        .flat_map(|b| &b.notices)
        .map(|n| n.text.clone())
        .collect();
    assert!(
        told.iter().any(|text| text == "the agent is 0.3.1 now"),
        "{told:?}"
    );
    let lines = lines(&fake);
    assert!(lines.len() > 100);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(
            *line,
            format!("line {}", number + 1),
            "{:?}",
            &lines[number.saturating_sub(3)..number + 3]
        );
    }
    let numbers: Vec<u64> = fake.batches().iter().map(|b| b.sequence).collect();
    assert!(
        numbers.windows(2).all(|two| two[0] < two[1]),
        "a number was used again"
    );
    // The end of the application that another agent has started is seen, and its life goes on.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(application),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let told = |b: &Batch| b.notices.iter().any(|n| n.text.contains("signal 9 (SIGKILL)"));
    fake.hear(heard, "how it ended", told).await;
    fake.hear(heard, "Active again", |b| is_active(b) && b.status.restarts == 1)
        .await;
    assert_eq!(zombies(before.agent.pid), 0);
    fake.want(|d| d.run = Run::Stop { within_ms: 1_000 });
    assert_eq!(member.exits().await, Some(0), "{}", member.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_signed_not_newer_or_not_what_it_says_is_refused_and_nothing_changes() {
    let member = start(desired(), |folder, launch| {
        counts(launch);
        trusting(folder, launch, "20");
    })
    .await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    fake.hear(0, "Active", is_active).await;
    let before = picture(&folder).unwrap();
    let refused = async |file: PathBuf, why: &str| {
        let (worked, said) = upgrade(&folder, &file).await;
        assert!(!worked && said.contains(why), "{why:?}: {said}");
    };
    refused(offer(&folder, "0.2.1", |_| {}, &[]), "0 of the 1 signatures").await;
    refused(offer(&folder, "0.2.2", |_| {}, &[2, 3]), "0 of the 1 signatures").await;
    refused(good(&folder, "0.0.9"), "only what is newer than 0.1.0").await;
    refused(good(&folder, "0.1.0"), "only what is newer than 0.1.0").await;
    refused(
        offer(&folder, "0.2.3", |s| s["product"] = "other".into(), &[1]),
        "is wanted",
    )
    .await;
    refused(
        offer(&folder, "0.2.4", |s| s["target"] = "other".into(), &[1]),
        "is wanted",
    )
    .await;
    let longer = good(&folder, "0.2.5");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&longer)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    refused(longer, "bytes long, as its statement says").await;
    let other = good(&folder, "0.2.6");
    let mut bytes = std::fs::read(&other).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&other, bytes).unwrap();
    refused(other, "is not what its statement is about").await;
    // Signed, and yet not what it says: it is asked.
    let liar = good(&folder, "0.2.7");
    let statement = offer(&folder, "0.9.9", |s| s["version"] = "0.2.8".into(), &[1]);
    drop(liar);
    refused(statement, "it says that it is 0.9.9").await;
    // A rehearsal that hangs, one that is no program, and a file without a statement.
    std::fs::remove_file(folder.join("agent-0.2.7.statement")).unwrap();
    refused(folder.join("agent-0.2.7"), "No such file").await;
    let after = picture(&folder).unwrap();
    assert_eq!(after.agent.version, "0.1.0");
    assert_eq!(
        (after.agent.pid, after.application_pid),
        (before.agent.pid, before.application_pid)
    );
    assert!(after.agent.upgraded.is_some());
    let left: Vec<_> = std::fs::read_dir(folder.join("state/upgrade"))
        .into_iter()
        .flatten()
        .collect();
    assert!(left.len() <= 3, "{left:?}");
}

#[tokio::test]
async fn without_keys_no_agent_is_taken() {
    let member = start(desired(), |_, launch| counts(launch)).await;
    let folder = member.folder.path().to_path_buf();
    member.fake.hear(0, "Active", is_active).await;
    let (worked, said) = upgrade(&folder, &good(&folder, "0.2.0")).await;
    assert!(!worked && said.contains("--upgrade-keys"), "{said}");
}

/// The way back from one kind of bad agent.
async fn returns_from(build: &str, why: &str) {
    let member = start(desired(), |folder, launch| {
        counts(launch);
        trusting(folder, launch, "3");
    })
    .await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    let at = fake.hear(0, "Active", is_active).await;
    let before = picture(&folder).unwrap();
    let begun = Instant::now();
    let (worked, said) = upgrade(&folder, &good(&folder, &format!("0.2.0+{build}"))).await;
    println!("{build}: {said}, after {:?}", begun.elapsed());
    assert!(!worked && said.contains(why), "{build}: {said}\n{}", member.log());
    let after = picture(&folder).unwrap();
    assert_eq!(after.agent.version, "0.1.0");
    assert_eq!(
        (after.agent.pid, after.application_pid),
        (before.agent.pid, before.application_pid)
    );
    let heard = fake
        .hear(fake.batches().len(), "more after it", |b| b.sample.is_some())
        .await;
    assert!(
        fake.batches()[at..heard]
            .iter()
            .all(|b| is_active(b) && b.status.restarts == 0)
    );
    let lines = lines(&fake);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {}", number + 1));
    }
    // And the next good one is taken.
    let (worked, said) = upgrade(&folder, &good(&folder, "0.2.1")).await;
    assert!(worked, "{said}\n{}", member.log());
    assert_eq!(picture(&folder).unwrap().application_pid, before.application_pid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_agent_returns_from_one_that_aborts() {
    returns_from("crashes", "it ended by signal 6 (SIGABRT)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_agent_returns_from_one_that_touches_memory_that_is_not_its_own() {
    returns_from("segfaults", "it ended by signal 11 (SIGSEGV)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_agent_returns_from_one_that_panics() {
    returns_from("panics", "it ended by signal 6 (SIGABRT)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_agent_returns_from_one_whose_loop_hangs() {
    returns_from("hangs", "it hung").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_agent_returns_from_one_that_does_not_reach_the_orchestrator() {
    returns_from("deaf", "the orchestrator took nothing from it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_agent_stays_where_the_rehearsal_hangs() {
    returns_from("hangs-in-rehearsal", "its rehearsal failed: it took longer than").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_orchestrator_an_agent_is_replaced_all_the_same() {
    let member = start(desired(), |folder, launch| {
        counts(launch);
        trusting(folder, launch, "4");
    })
    .await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    fake.hear(0, "Active", is_active).await;
    fake.die();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !picture(&folder)
        .unwrap()
        .link
        .why
        .is_some_and(|why| why.contains("reached"))
    {
        assert!(Instant::now() < deadline, "the loss is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = picture(&folder).unwrap();
    let (worked, said) = upgrade(&folder, &good(&folder, "0.2.0")).await;
    assert!(worked, "{said}\n{}", member.log());
    assert_eq!(picture(&folder).unwrap().application_pid, before.application_pid);
    fake.come_back().await;
    let heard = fake.batches().len();
    fake.hear(heard, "Active after all", |b| {
        is_active(b) && b.status.restarts == 0
    })
    .await;
}

async fn start_again(member: &mut Member, change: impl FnOnce(&Path, &mut LaunchParameters)) {
    member.agent.start_kill().unwrap();
    member.agent.wait().await.unwrap();
    let folder = member.folder.path().to_path_buf();
    let mut launch = parameters(&member.fake, member.port, &folder);
    change(&folder, &mut launch);
    member.agent = agent(&folder, &launch);
}

async fn version_is(folder: &Path, version: &str, log: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = picture(folder);
        let settled = now
            .as_ref()
            .is_some_and(|p| p.agent.version == version && p.agent.upgrade.is_none());
        if settled {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{version}: {:?}\n{}",
            now.map(|p| p.agent),
            log()
        );
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_of_the_installed_binary_leads_to_the_newest_that_proved_itself() {
    let setup = |folder: &Path, launch: &mut LaunchParameters| {
        counts(launch);
        trusting(folder, launch, "4");
    };
    let mut member = start(desired(), setup).await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    let at = fake.hear(0, "Active", is_active).await;
    let (worked, said) = upgrade(&folder, &good(&folder, "0.2.0")).await;
    assert!(worked, "{said}");
    for _ in 0..6 {
        start_again(&mut member, setup).await;
        fake.hear(fake.batches().len(), "Active again", is_active).await;
        version_is(&folder, "0.2.0", || member.log()).await;
    }
    fake.hear(at, "Active", is_active).await;
    // Damage on disk: the installed one runs, and says why.
    let slots = std::fs::read_dir(folder.join("state/upgrade"))
        .unwrap()
        .flatten()
        .map(|e| e.path());
    let binary = slots.into_iter().find(|p| p.extension().is_none()).unwrap();
    let mut bytes = std::fs::read(&binary).unwrap();
    bytes[100] ^= 1;
    // Beside it and over it: what runs cannot be written to.
    std::fs::write(folder.join("damaged"), bytes).unwrap();
    std::fs::rename(folder.join("damaged"), &binary).unwrap();
    start_again(&mut member, setup).await;
    fake.hear(fake.batches().len(), "Active again", is_active).await;
    version_is(&folder, "0.1.0", || member.log()).await;
    assert!(
        member.log().contains("is not what was signed"),
        "{}",
        member.log()
    );
    // What proved itself once stays the floor.
    let (worked, said) = upgrade(&folder, &good(&folder, "0.1.9")).await;
    assert!(!worked && said.contains("it ran here before"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_takes_over_well_and_dies_at_every_start_is_given_up() {
    let setup = |folder: &Path, launch: &mut LaunchParameters| {
        counts(launch);
        trusting(folder, launch, "4");
    };
    let mut member = start(desired(), setup).await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    fake.hear(0, "Active", is_active).await;
    let (worked, said) = upgrade(&folder, &good(&folder, "0.2.0+dies-at-start")).await;
    assert!(worked, "{said}");
    let mut starts = 0;
    loop {
        start_again(&mut member, setup).await;
        starts += 1;
        match tokio::time::timeout(Duration::from_millis(1_500), member.agent.wait()).await {
            Ok(_) => assert!(starts < 6, "it is begun for ever"),
            Err(_) => break,
        }
    }
    println!("given up after {starts} starts");
    fake.hear(fake.batches().len(), "Active again", is_active).await;
    version_is(&folder, "0.1.0", || member.log()).await;
}

/// The children of this agent that rehearse.
fn rehearsing(agent: u32) -> Vec<i32> {
    let children =
        std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap_or_default();
    let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    let name = b"CARTRIDGE_AGENT_REHEARSAL";
    let rehearses = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.windows(name.len()).any(|w| w == name)
    };
    pids.filter(rehearses).collect()
}

fn random(most: u64) -> u64 {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % most
}

/// What happened in many upgrades.
#[derive(Default)]
struct Tally {
    agents_killed: u64,
    rehearsals_killed: usize,
    taken: u64,
}

impl Tally {
    /// Cuts it short: kills the agent, or its rehearsal, or nothing. Whether the application should have noticed.
    async fn strike(&mut self, member: &mut Member, agent: u32) -> bool {
        match random(3) {
            0 => {
                tokio::time::sleep(Duration::from_millis(random(700))).await;
                self.agents_killed += 1;
                start_again(member, randomly).await;
                return true;
            }
            1 => {
                let deadline = Instant::now() + Duration::from_secs(2);
                while rehearsing(agent).is_empty() && Instant::now() < deadline {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(Duration::from_millis(random(5))).await;
                for pid in rehearsing(agent) {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    let killed = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                    self.rehearsals_killed += usize::from(killed.is_ok());
                }
            }
            _ => {}
        }
        false
    }
}

fn randomly(folder: &Path, launch: &mut LaunchParameters) {
    counts(launch);
    trusting(folder, launch, "10");
}

/// CARTRIDGE_UPGRADES says how many; each is cut short at random, by a kill of the agent or of its rehearsal, or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_with_random_kills_never_leave_a_member_without_a_working_agent() {
    let rounds: u64 = std::env::var("CARTRIDGE_UPGRADES").map_or(40, |text| text.parse().unwrap());
    let mut member = start(desired(), randomly).await;
    let (fake, folder) = (member.fake.clone(), member.folder.path().to_path_buf());
    fake.hear(0, "Active", is_active).await;
    let (mut tally, mut floor) = (Tally::default(), vec![0, 1, 0]);
    for round in 1..=rounds {
        let before = picture(&folder).unwrap();
        let version = format!("0.{}.0", round + 1);
        let file = good(&folder, &version);
        let (there, offered) = (folder.clone(), file.clone());
        let offered = tokio::spawn(async move { upgrade(&there, &offered).await });
        let noticed = tally.strike(&mut member, before.agent.pid).await;
        let ended = tokio::time::timeout(Duration::from_secs(60), offered).await;
        ended.expect("the offer ends").unwrap();
        fake.hear(fake.batches().len(), "a member that serves", is_active)
            .await;
        let deadline = Instant::now() + Duration::from_secs(20);
        let settled = |p: &Picture| p.agent.upgrade.is_none() && p.application_pid.is_some();
        let after = loop {
            if let Some(picture) = picture(&folder).filter(settled) {
                break picture;
            }
            assert!(Instant::now() < deadline, "round {round}: {}", member.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let numbers = after.agent.version.split('.').map(|n| n.parse::<u64>().unwrap());
        let numbers: Vec<u64> = numbers.collect();
        assert!(
            numbers >= floor,
            "round {round}: {numbers:?} after {floor:?}\n{}",
            member.log()
        );
        floor = numbers;
        tally.taken += u64::from(after.agent.version == version);
        if !noticed {
            assert_eq!(
                after.application_pid,
                before.application_pid,
                "round {round}\n{}",
                member.log()
            );
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_file(folder.join(format!("agent-{version}.statement"))).unwrap();
    }
    let Tally {
        agents_killed,
        rehearsals_killed,
        taken,
    } = tally;
    println!(
        "{rounds} upgrades: {taken} taken, {agents_killed} agents and {rehearsals_killed} rehearsals killed, \
         none left without a working agent, no restart of the application but by its agent's death"
    );
    assert!(taken > rounds / 4, "{taken} of {rounds} were taken");
}
