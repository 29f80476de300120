//! Runs the real agent binary against a tiny orchestrator.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "a test fails by panicking; each uses another part"
)]

#[path = "../orchestrator/mod.rs"]
mod orchestrator;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use cartridge_protocol::launch::{LaunchParameters, key};
use cartridge_protocol::link::{Batch, Desired, Phase, Run};
pub use orchestrator::Fake;
use tokio::process::{Child, Command};

pub const MEMBER: &str = "app.web.hello.domain-1";

/// The application that the agents of these tests start: answers every request with its process number.
#[test]
#[ignore = "is started by the agent under test, as its application"]
fn application() {
    let address = std::env::var("CARTRIDGE_ADDRESS").unwrap();
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind((address.as_str(), port)).unwrap();
    let me = std::process::id();
    println!("I am {me}");
    // The working directory is the release, where there is one.
    let status = std::fs::read_to_string("status").unwrap_or_else(|_| "200 OK".into());
    assert!(
        std::env::var(key::JOIN_TOKEN).is_err(),
        "the application can see the join token"
    );
    for mut stream in listener.incoming().flatten() {
        let _ = stream.read(&mut [0; 1024]);
        let _ = write!(
            stream,
            "HTTP/1.1 {}\r\nConnection: close\r\n\r\n{me}",
            status.trim()
        );
    }
}

pub struct Member {
    pub agent: Child,
    pub fake: Fake,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

pub fn desired() -> Desired {
    Desired {
        revision: 1,
        epoch: 1,
        run: Run::Serve,
        artifacts: None,
        tenants: Vec::new(),
        topology: None,
        surroundings: None,
        values: None,
        sample_interval_ms: 200,
        publish_interval_ms: 200,
    }
}

/// A port that nobody listens on and that no other member of this test was given: it may be a while until one listens.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

pub fn application_command() -> String {
    let me = std::env::current_exe().unwrap();
    serde_json::to_string(&[
        me.to_str().unwrap(),
        "--exact",
        "harness::application",
        "--ignored",
        "--nocapture",
    ])
    .unwrap()
}

pub fn parameters(fake: &Fake, port: u16, folder: &Path) -> LaunchParameters {
    let mut launch = LaunchParameters::default();
    for (name, value) in [
        (key::MEMBER_ID, MEMBER),
        (key::INCARNATION, "1"),
        (key::LINK, &format!("http://{}", fake.address)),
        (key::JOIN_TOKEN, "canary-token"),
        (key::PORTS, &port.to_string()),
        (key::PROBE, &format!(r#"{{"http":{{"port":{port},"path":"/"}}}}"#)),
        (key::COMMAND, &application_command()),
        (key::HOOKS, folder.join("hooks").to_str().unwrap()),
        ("CARTRIDGE_STATE_DIR", folder.join("state").to_str().unwrap()),
    ] {
        launch.set(name, value);
    }
    launch
}

pub fn agent(folder: &Path, launch: &LaunchParameters) -> Child {
    agent_command(folder, launch).spawn().unwrap()
}

pub fn agent_command(folder: &Path, launch: &LaunchParameters) -> Command {
    let path = folder.join("launch-params");
    std::fs::write(&path, launch.to_json()).unwrap();
    // Another build of the agent, such as a release, can be put to the same tests.
    let other = std::env::var("CARTRIDGE_TEST_AGENT");
    let mut command = Command::new(other.as_deref().unwrap_or(env!("CARGO_BIN_EXE_cartridge-agent")));
    command
        .env("CARTRIDGE_LAUNCH_PARAMS", path)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("agent.log")).unwrap())
        .kill_on_drop(true);
    command
}

pub async fn start(desired: Desired, change: impl FnOnce(&Path, &mut LaunchParameters)) -> Member {
    start_at(Fake::start(desired).await, change)
}

pub fn start_at(fake: Fake, change: impl FnOnce(&Path, &mut LaunchParameters)) -> Member {
    start_as(fake, change, |_| {})
}

pub fn start_as(
    fake: Fake,
    change: impl FnOnce(&Path, &mut LaunchParameters),
    prepare: impl FnOnce(&mut Command),
) -> Member {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut launch = parameters(&fake, port, folder.path());
    change(folder.path(), &mut launch);
    let mut command = agent_command(folder.path(), &launch);
    prepare(&mut command);
    Member {
        agent: command.spawn().unwrap(),
        fake,
        port,
        folder,
    }
}

pub fn hook(folder: &Path, name: &str, script: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let hooks = folder.join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .mode(0o755)
        .open(hooks.join(format!("{name}.sh")))
        .unwrap();
    write!(file, "#!/bin/sh\n{script}\n").unwrap();
}

pub fn is_active(batch: &Batch) -> bool {
    batch.status.phase == Phase::Active
}

pub fn is_suspended(batch: &Batch) -> bool {
    matches!(batch.status.phase, Phase::Suspended { .. })
}

impl Member {
    /// The process number of the application, from the application itself.
    pub fn application(&self) -> i32 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.rsplit('\n').next().unwrap().parse().unwrap()
    }

    pub async fn exits(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(Duration::from_secs(20), self.agent.wait()).await;
        status
            .unwrap_or_else(|_| panic!("the agent does not exit:\n{}", self.log()))
            .unwrap()
            .code()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.log")).unwrap()
    }

    pub fn port_is_closed(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_err()
    }
}
