//! Two members in real containers with different limits on one machine: each tells its own load and memory through the
//! real orchestrator, beside what the kernel's own files say in there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cartridge_tests::blueprint::Plan;
use cartridge_tests::docker::{self, Image, docker};
use cartridge_tests::stack::{self, Stack};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const ADDRESS: &str = "127.0.40.1";
const DEADLINE: Duration = Duration::from_secs(60);
/// What a container is made of, told to the one who starts it.
const IMAGE: &str = "CARTRIDGE_TESTS_IMAGE";
const SPINNER_BYTES: usize = 64 << 20;
/// Tasks that burn in the busy member: two threads of its application, and one that was started from outside.
const BURNING: f64 = 3.0;

/// The limits of the n-th member.
fn limits(member: &str) -> [&'static str; 6] {
    if member.ends_with("-1") {
        ["--memory", "128m", "--cpus", "0.5", "--pids-limit", "64"]
    } else {
        ["--memory", "256m", "--cpus", "1.5", "--pids-limit", "128"]
    }
}

/// `cartridge serve --agent <this program>` starts members with `run`, which is in this name and in no other. The real
/// agent then runs in a container; this one lives as long.
#[test]
fn run_the_agent_in_a_container() {
    let Ok(tag) = std::env::var("CARTRIDGE_INSTANCE_TAG") else {
        return;
    };
    let parameters = std::env::var("CARTRIDGE_LAUNCH_PARAMS").unwrap();
    let folder = Path::new(&parameters).parent().unwrap().display().to_string();
    let member = tag.split('/').nth(1).unwrap();
    let data = Path::new(&folder).ancestors().nth(2).unwrap();
    let image = std::fs::read_to_string(data.join(IMAGE)).unwrap();
    let (own, ca) = (format!("{folder}:{folder}"), data.join("ca.pem"));
    let state = std::env::var("CARTRIDGE_STATE_DIR").unwrap();
    let mut all = vec![
        "run",
        "--rm",
        "--network",
        "host",
        "--label",
        docker::LABEL,
        "--name",
    ];
    let name = container_of(&image, member);
    let ca = format!("{0}:{0}:ro", ca.display());
    all.extend([name.as_str(), "-v", &own, "-v", &ca, "-v"]);
    let me = format!("{}:/work:ro", std::env::current_exe().unwrap().display());
    let (parameters, state) = (
        format!("CARTRIDGE_LAUNCH_PARAMS={parameters}"),
        format!("CARTRIDGE_STATE_DIR={state}"),
    );
    all.extend([me.as_str(), "-e", &parameters, "-e", &state]);
    all.extend(limits(member));
    all.extend([image.as_str(), "/cartridge-agent", "run"]);
    let status = Command::new("docker").args(&all).status().unwrap();
    assert!(status.success(), "{status}");
}

fn container_of(image: &str, member: &str) -> String {
    format!("{image}-{member}")
}

/// Started in a container from outside: burns for ever, and holds memory.
#[test]
#[ignore = "is started in a container"]
fn spin() {
    let held = std::hint::black_box(vec![1_u8; SPINNER_BYTES]);
    loop {
        std::hint::black_box(held.iter().map(|byte| u64::from(*byte)).sum::<u64>());
    }
}

/// What the orchestrator knows of a member's load, and what the kernel's files say to whoever looks in its container.
#[derive(Debug)]
struct Told {
    sample: Sample,
    procfs_load: String,
    procfs_memory: u64,
}

#[derive(Debug, Deserialize)]
struct Sample {
    scope: String,
    load: [f64; 3],
    cores: f64,
    cpu_percent: Option<f64>,
    memory_used: u64,
    memory_limit: u64,
    throttled: Option<Throttled>,
}

#[derive(Debug, Deserialize)]
struct Throttled {
    periods: u64,
}

#[derive(Deserialize)]
struct Shown {
    sample: Option<Sample>,
}

async fn told(stack: &Stack, member: &str, process: i32) -> Option<Told> {
    let path = format!("/api/members/{member}");
    let sample = stack.api().get::<Shown>(&path).await.ok()?.sample?;
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{process}/root/proc/{name}")).unwrap();
    let total = file("meminfo").lines().next().unwrap().to_owned();
    let kib: u64 = total.split_whitespace().nth(1).unwrap().parse().unwrap();
    Some(Told {
        sample,
        procfs_load: file("loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        procfs_memory: kib << 10,
    })
}

/// A line of the table: what the member tells, and in brackets what its own /proc tells.
fn show(name: &str, told: &Told) {
    let (sample, mib) = (&told.sample, |bytes: u64| bytes >> 20);
    let [one, five, fifteen] = sample.load;
    let memory = format!("{} of {} MiB", mib(sample.memory_used), mib(sample.memory_limit));
    println!(
        "{name:<6} {:<9}  {one:.2} {five:.2} {fifteen:.2} [{}]  {memory:<14} [{} MiB]  {:.1}  {:>5.1} %  {} times",
        sample.scope,
        told.procfs_load,
        mib(told.procfs_memory),
        sample.cores,
        sample.cpu_percent.unwrap_or(f64::NAN),
        sample.throttled.as_ref().map_or(0, |t| t.periods),
    );
}

async fn active(stack: &Stack) -> Vec<cartridge_tests::api::Member> {
    let began = Instant::now();
    loop {
        let members = stack.api().members().await.unwrap_or_default();
        if members.len() == 2 && members.iter().all(cartridge_tests::api::Member::is_active) {
            return members;
        }
        assert!(began.elapsed() < DEADLINE, "{members:?}\n{}", stack.log_end());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_in_containers_tell_their_own_load_and_memory_and_not_each_others_nor_the_hosts() {
    let image = Image::of(
        "members",
        &[
            ("/cartridge-agent", &stack::binary("cartridge-agent").unwrap()),
            ("/cartridge-hello", &stack::binary("cartridge-hello").unwrap()),
        ],
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(IMAGE), image.name()).unwrap();
    let me = std::env::current_exe().unwrap();
    let stack = Stack::start(folder.path(), &["--agent", me.to_str().unwrap()])
        .await
        .expect("the server starts");
    let mut plan = Plan::hello(Path::new("/"), "boxes");
    (plan.min, plan.max) = (2, 2);
    ADDRESS.clone_into(&mut plan.partitions[0].1);
    plan.deploy(stack.api()).await.expect("it is deployed");
    let mut members = active(&stack).await;
    members.sort_by(|a, b| a.member.cmp(&b.member));
    let names = [0, 1].map(|n| container_of(image.name(), &members[n].member));
    let pids = names.clone().map(|name| {
        docker(&["inspect", "-f", "{{.State.Pid}}", &name])
            .parse::<i32>()
            .unwrap()
    });

    let busy = burn(&stack, &members[0].member, &names[0]).await;
    let began = Instant::now();
    let (mut busy_told, mut calm_told);
    loop {
        busy_told = told(&stack, &members[0].member, pids[0]).await;
        calm_told = told(&stack, &members[1].member, pids[1]).await;
        if busy_told.as_ref().is_some_and(|told| told.sample.load[0] > 0.8) {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "{busy_told:?}\n{}", stack.log_end());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let (burning, calm) = (busy_told.unwrap(), calm_told.unwrap());
    println!("after {seconds:.1} s of {BURNING} burning tasks in one of two containers:");
    println!(
        "member scope      load [/proc/loadavg]                memory [MemTotal]            cores  CPU   held back"
    );
    show("busy", &burning);
    show("calm", &calm);
    drop(busy);
    is_its_own(&burning, &calm, seconds);
}

/// Two threads of the application, and a process that somebody started from outside.
async fn burn(stack: &Stack, member: &str, container: &str) -> Vec<TcpStream> {
    let shown: serde_json::Value = stack.api().get(&format!("/api/members/{member}")).await.unwrap();
    let port = u16::try_from(shown["ports"]["http"].as_u64().unwrap()).unwrap();
    docker(&["exec", "-d", container, "/work", "--exact", "spin", "--ignored"]);
    let mut requests = Vec::new();
    for _ in 0..2 {
        let mut request = TcpStream::connect((ADDRESS, port)).await.unwrap();
        let asked = "GET /?cpu_ms=60000 HTTP/1.1\r\nHost: hello.test\r\n\r\n";
        request.write_all(asked.as_bytes()).await.unwrap();
        requests.push(request);
    }
    requests
}

fn is_its_own(burning: &Told, calm: &Told, seconds: f64) {
    let expected = |seconds: f64| BURNING * (1.0 - (-seconds / 60.0).exp());
    let load = burning.sample.load[0];
    // Samples and reports are a second apart each, and tasks need a moment to begin.
    let (least, most) = (expected(seconds - 4.0) * 0.8, expected(seconds + 2.0) + 0.1);
    assert!(
        (least..most).contains(&load),
        "{load} is not within {least}..{most}"
    );
    assert!(calm.sample.load[0] < 0.1, "{calm:?}");
    for (told, limit, cores) in [(burning, 128 << 20, 0.5), (calm, 256 << 20, 1.5)] {
        let sample = &told.sample;
        assert!(sample.scope.starts_with("cgroup-"), "{told:?}");
        assert_eq!((sample.memory_limit, sample.cores), (limit, cores), "{told:?}");
        assert!(sample.memory_used < limit, "{told:?}");
        assert!(
            told.procfs_memory > 2 * limit,
            "the kernel's file tells of the machine"
        );
    }
    assert!(burning.sample.memory_used > SPINNER_BYTES as u64, "{burning:?}");
    assert!(calm.sample.memory_used < SPINNER_BYTES as u64, "{calm:?}");
    // However busy the rest of the machine is.
    let cpu = |told: &Told| told.sample.cpu_percent.unwrap();
    assert!(
        cpu(burning) > 10.0 && cpu(burning) > 3.0 * cpu(calm),
        "{burning:?} {calm:?}"
    );
    let throttled = |told: &Told| told.sample.throttled.as_ref().unwrap().periods;
    assert!(throttled(burning) >= throttled(calm), "{burning:?} {calm:?}");
    assert!(
        cpu(burning) < 95.0 || throttled(burning) > 0,
        "it used all it may: {burning:?}"
    );
}
