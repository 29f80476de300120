//! The binary by its pipes, as an agent runs it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Stdio;

use cartridge_protocol::plugin::{self, Answer, Call, Outcome, Request, Response, Versions};
use cartridge_protocol::topology::{Topology, TopologyCluster};
use support::{Client, DEADLINE, Member, cluster, free_address, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

struct Plugin {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    id: u64,
}

impl Plugin {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cartridge-plugin-balancer"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            to: child.stdin.take(),
            from: BufReader::new(child.stdout.take().unwrap()),
            child,
            id: 0,
        }
    }

    async fn ask(&mut self, call: Call) -> Outcome {
        self.id += 1;
        let line = plugin::encode(&Request { id: self.id, call }).unwrap();
        self.to.as_mut().unwrap().write_all(&line).await.unwrap();
        let mut answer = String::new();
        let read = self.from.read_line(&mut answer);
        tokio::time::timeout(DEADLINE, read)
            .await
            .expect("an answer")
            .unwrap();
        let response: Response = plugin::decode(answer.as_bytes()).unwrap();
        assert_eq!(response.id, self.id);
        response.outcome
    }

    async fn set(
        &mut self,
        revision: u64,
        listen: std::net::IpAddr,
        clusters: Vec<TopologyCluster>,
    ) -> Outcome {
        self.ask(Call::SetMembers(Topology {
            revision,
            network_partition: "np".parse().unwrap(),
            listen,
            clusters,
        }))
        .await
    }
}

fn refused(outcome: &Outcome, words: &str) {
    match outcome {
        Outcome::Error(why) => assert!(why.contains(words), "{why}"),
        Outcome::Ok(answer) => panic!("was accepted: {answer:?}"),
    }
}

#[tokio::test]
async fn serves_by_its_pipes_refuses_what_is_wrong_and_ends_in_order() {
    let member = Member::start("a").await;
    let address = free_address().await;
    let (ip, port) = (address.ip(), address.port());
    let web = |endpoints| vec![cluster("web", &[], port, endpoints)];
    let mut plugin = Plugin::start();

    let described = plugin.ask(Call::Describe(Versions::OURS)).await;
    assert!(
        matches!(&described, Outcome::Ok(Answer::Described(said)) if said.kind == "balancer"),
        "{described:?}"
    );
    refused(
        &plugin.ask(Call::Describe(Versions::only(99))).await,
        "version 99",
    );
    let applied = Outcome::Ok(Answer::Applied { revision: 7 });
    assert_eq!(plugin.set(7, ip, web(vec![member.ready()])).await, applied);
    assert_eq!(
        plugin.set(7, ip, web(vec![member.ready()])).await,
        applied,
        "again"
    );
    refused(
        &plugin.set(6, ip, web(vec![member.ready()])).await,
        "older than revision 7",
    );
    refused(&plugin.set(8, ip, web(vec![])).await, "cluster web");
    refused(&plugin.set(8, ip, vec![]).await, "cluster web");

    let mut client = Client::connect(address).await;
    assert_eq!(
        client.get("/").await.unwrap().text,
        "a",
        "the last good set serves"
    );
    until("the request is counted", async || {
        let Outcome::Ok(Answer::Read(reading)) = plugin.ask(Call::Read).await else {
            panic!("no reading");
        };
        assert_eq!(reading.revision, 7);
        (reading.clusters[0].served == 1).then_some(())
    })
    .await;

    let waiting = tokio::spawn(async move { client.get("/gate").await });
    until("the slow request arrives", async || {
        (member.hits() == 2).then_some(())
    })
    .await;
    drop(plugin.to.take());
    until("it stops listening", async || {
        tokio::net::TcpStream::connect(address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    member.open_gate();
    assert_eq!(
        waiting.await.unwrap().unwrap().text,
        "a",
        "what was in flight is finished"
    );
    let ended = tokio::time::timeout(DEADLINE, plugin.child.wait()).await;
    assert!(ended.expect("the process ends").unwrap().success());
}

#[tokio::test]
async fn ends_in_order_on_sigterm_while_stdin_stays_open() {
    let mut plugin = Plugin::start();
    assert!(matches!(plugin.ask(Call::Read).await, Outcome::Ok(_)));
    let id = i32::try_from(plugin.child.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(DEADLINE, plugin.child.wait()).await;
    assert!(ended.expect("the process ends").unwrap().success());
}

#[test]
fn help_is_printed_and_what_is_unknown_is_refused() {
    let run = |flag: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_cartridge-plugin-balancer"))
            .arg(flag)
            .output()
            .unwrap()
    };
    let help = run("--help");
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(
        help.status.success() && text.contains("Usage: cartridge-plugin-balancer\n"),
        "{text}"
    );
    let refused = run("--port");
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("unknown flag \"--port\""), "{text}");
}
