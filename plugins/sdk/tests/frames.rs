//! A balancer that only remembers, served over a pair of pipes as an agent would.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cartridge_plugin_sdk::{Balancer, serve_balancer_on};
use cartridge_protocol::plugin::MAX_LINE_BYTES;
use cartridge_protocol::sample::ClusterReading;
use cartridge_protocol::topology::Topology;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};

#[derive(Default)]
struct Seen {
    revisions: Vec<u64>,
    stopped: bool,
}

struct Remembers(Arc<Mutex<Seen>>);

impl Balancer for Remembers {
    type Error = String;

    fn name(&self) -> &str {
        "remembers"
    }

    async fn set_members(&mut self, topology: &Topology) -> Result<(), String> {
        if topology.revision == 13 {
            return Err("13 is unlucky".into());
        }
        self.0.lock().unwrap().revisions.push(topology.revision);
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<ClusterReading>, String> {
        Ok(Vec::new())
    }

    async fn stop(self) {
        self.0.lock().unwrap().stopped = true;
    }
}

struct Agent {
    to: WriteHalf<DuplexStream>,
    from: BufReader<ReadHalf<DuplexStream>>,
    seen: Arc<Mutex<Seen>>,
    plugin: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Agent {
    fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (input, output) = tokio::io::split(theirs);
        let plugin = tokio::spawn(serve_balancer_on(
            Remembers(seen.clone()),
            input,
            output,
            std::future::pending(),
        ));
        let (from, to) = tokio::io::split(ours);
        Self {
            to,
            from: BufReader::new(from),
            seen,
            plugin,
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.to.write_all(line.as_bytes()).await.unwrap();
        self.to.write_all(b"\n").await.unwrap();
        let mut answer = String::new();
        let read = self.from.read_line(&mut answer);
        tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .expect("an answer")
            .unwrap();
        answer.trim_end().to_owned()
    }

    async fn set(&mut self, revision: u64, clusters: &str) -> String {
        self.ask(&format!(
            r#"{{"id":{revision},"call":"set-members","with":{{"revision":{revision},"network_partition":"np","listen":"127.0.0.1","clusters":[{clusters}]}}}}"#
        ))
        .await
    }
}

const READY: &str = r#"{"cluster":"web","hosts":[],"listeners":[],"endpoints":[{"member":"web-1","incarnation":1,"address":"127.0.0.1","ports":{"http":1},"state":"ready"}]}"#;
const EMPTY: &str = r#"{"cluster":"web","hosts":[],"listeners":[],"endpoints":[]}"#;

#[tokio::test]
async fn describes_itself_and_refuses_another_version() {
    let mut agent = Agent::start();
    assert_eq!(
        agent
            .ask(r#"{"id":1,"call":"describe","with":{"version":1}}"#)
            .await,
        r#"{"id":1,"ok":{"described":{"name":"remembers","version":1,"kind":"balancer"}}}"#
    );
    let refused = agent
        .ask(r#"{"id":2,"call":"describe","with":{"version":9}}"#)
        .await;
    assert!(refused.starts_with(r#"{"id":2,"error":"version 9 "#), "{refused}");
}

#[tokio::test]
async fn what_is_not_understood_is_answered_with_an_error_and_the_next_call_works() {
    let mut agent = Agent::start();
    let unknown = agent.ask(r#"{"id":7,"call":"dance"}"#).await;
    assert!(
        unknown.starts_with(r#"{"id":7,"error":"call \"dance\" "#),
        "{unknown}"
    );
    let noise = agent.ask("noise").await;
    assert!(noise.starts_with(r#"{"id":0,"error":"#), "{noise}");
    let endless = agent.ask(&"x".repeat(MAX_LINE_BYTES + 1)).await;
    assert!(endless.starts_with(r#"{"id":0,"error":"line of "#), "{endless}");
    assert_eq!(
        agent.ask(r#"{"id":8,"call":"read"}"#).await,
        r#"{"id":8,"ok":{"read":{"revision":0,"clusters":[]}}}"#
    );
}

#[tokio::test]
async fn refused_topologies_never_reach_the_balancer() {
    let mut agent = Agent::start();
    assert_eq!(
        agent.set(5, READY).await,
        r#"{"id":5,"ok":{"applied":{"revision":5}}}"#
    );
    assert_eq!(
        agent.set(5, READY).await,
        r#"{"id":5,"ok":{"applied":{"revision":5}}}"#
    );
    assert!(agent.set(4, READY).await.contains("older than revision 5"));
    assert!(
        agent
            .set(6, EMPTY)
            .await
            .contains("cluster web would be left without")
    );
    assert!(agent.set(6, "").await.contains("cluster web would be removed"));
    assert_eq!(agent.seen.lock().unwrap().revisions, [5]);
    assert!(
        agent
            .ask(r#"{"id":9,"call":"read"}"#)
            .await
            .contains(r#""revision":5"#)
    );
}

#[tokio::test]
async fn a_revision_that_the_balancer_refused_is_not_in_force() {
    let mut agent = Agent::start();
    assert!(agent.set(13, READY).await.contains("13 is unlucky"));
    assert!(agent.set(12, READY).await.contains("applied"));
}

#[tokio::test]
async fn the_end_of_stdin_stops_the_balancer_and_returns() {
    let mut agent = Agent::start();
    agent.set(1, READY).await;
    agent.to.shutdown().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), agent.plugin).await;
    ended.expect("the plugin ends").unwrap().unwrap();
    assert!(agent.seen.lock().unwrap().stopped);
}
