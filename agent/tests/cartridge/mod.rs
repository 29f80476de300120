//! A cartridge of `tests/cartridges`, installed as its README says, its life under the real agent, and what its hooks
//! recorded. Refuses to know what each cartridge expects.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cartridge_protocol::launch::key;
use cartridge_protocol::link::{Batch, Desired, DesiredArtifacts, Phase, Run};
use cartridge_protocol::surroundings::{DomainMapping, Neighbours, Peer, PeerPhase, Surroundings, Tenant};
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, CommitId, MemberId, NetworkPartitionId, PartitionId, Secret,
};
use tokio::process::Command;

use crate::harness::{Fake, Member, desired, free_port, is_active};
use crate::support::Repo;

/// The end of the other member's id.
pub const PEER: &str = "-another-member";

/// One cartridge, installed, with its repository.
pub struct Cartridge {
    pub name: &'static str,
    pub folder: tempfile::TempDir,
    pub repo: Repo,
    pub port: u16,
    /// As the agent and its hooks read them.
    pub parameters: BTreeMap<String, String>,
}

/// One run of a hook, as it recorded it.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub hook: String,
    pub values: BTreeMap<String, String>,
}

impl Recorded {
    pub fn at(&self, name: &str) -> &str {
        self.values
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not recorded: {self:?}"))
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Cartridge {
    pub fn source(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/cartridges")
            .join(self.name)
    }

    pub fn install(name: &'static str) -> Self {
        let repo = Repo::new();
        repo.git(&["checkout", "-q", "-b", "master"]);
        let mut cartridge = Self {
            name,
            folder: tempfile::tempdir().unwrap(),
            repo,
            port: free_port(),
            parameters: BTreeMap::new(),
        };
        std::fs::create_dir(cartridge.state()).unwrap();
        copy(
            &cartridge.source().join("extensions"),
            &cartridge.path("extensions/bash"),
        );
        let text = std::fs::read_to_string(cartridge.source().join("payload/launch-params")).unwrap();
        let text = text
            .replace("@STATE@", cartridge.state().to_str().unwrap())
            .replace("@PORT@", &cartridge.port.to_string())
            .replace("@REPO@", &cartridge.repo.file_url());
        std::fs::write(cartridge.path("launch-params"), &text).unwrap();
        let pairs = text.trim().split(',').map(|pair| pair.split_once('=').unwrap());
        cartridge.parameters = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        cartridge
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn state(&self) -> PathBuf {
        self.path("cartridge")
    }

    pub fn parameter(&self, name: &str) -> &str {
        &self.parameters[name]
    }

    /// The content of this folder becomes the next commit.
    pub fn commit(&self, version: &str) -> CommitId {
        self.repo.git(&["rm", "-r", "-q", "--ignore-unmatch", "."]);
        copy(&self.source().join(version), self.repo.path());
        self.repo.commit()
    }

    /// What the orchestrator wants: this commit of the branch that Stratos knows.
    pub fn serving(&self, commit: &CommitId) -> Desired {
        let artifacts = DesiredArtifacts {
            url: self.repo.file_url(),
            branch: "master".into(),
            commit: Some(commit.clone()),
            ordered: false,
            username: Some("reader".into()),
            password: Some(Secret::new("repository-password")),
            poll_interval_ms: 60_000,
            look: 0,
            sharing: 1,
        };
        Desired {
            artifacts: Some(artifacts),
            surroundings: Some(Arc::new(self.around(1, PeerPhase::Active))),
            ..desired()
        }
    }

    pub fn peer(&self, member: &str, phase: PeerPhase, last: u8) -> Peer {
        Peer {
            member: MemberId::new(member).unwrap(),
            incarnation: 1,
            cluster_instance: self.parameter("CLUSTER_INSTANCE_ID").to_owned(),
            network_partition: NetworkPartitionId::new("network-partition-1").unwrap(),
            partition: PartitionId::new("partition-1").unwrap(),
            phase,
            address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))),
            ports: BTreeMap::from([("http".to_owned(), self.port)]),
        }
    }

    /// The member, another one like it, the database that the PHP one depends on, and a balancer.
    pub fn around(&self, revision: u64, other: PeerPhase) -> Surroundings {
        let own = self.parameter("MEMBER_ID");
        let other = self.peer(&format!("{}{PEER}", self.parameter("CLUSTER_ID")), other, 12);
        let cluster = |id: &str, service: &str, balancer, members| Neighbours {
            cluster: ClusterId::new(id).unwrap(),
            service: CartridgeType::new(service).unwrap(),
            alias: service.to_owned(),
            hosts: vec![],
            balancer,
            members,
        };
        let mut clusters = vec![cluster(
            self.parameter("CLUSTER_ID"),
            self.parameter("SERVICE_NAME"),
            false,
            vec![self.peer(own, PeerPhase::Starting, 11), other],
        )];
        if self.name == "php-like" {
            let balancer = self.peer("wordpress.my-lb.haproxy.domain-1", PeerPhase::Active, 80);
            clusters.push(cluster("wordpress.my-mysql.mysql.domain", "mysql", false, vec![]));
            clusters.push(cluster(
                "wordpress.my-lb.haproxy.domain",
                "haproxy",
                true,
                vec![balancer],
            ));
        }
        Surroundings {
            revision,
            application: ApplicationId::new(self.parameter("APPLICATION_ID")).unwrap(),
            clusters,
            omitted: 0,
            service_properties: BTreeMap::new(),
            cluster_properties: BTreeMap::new(),
            member_properties: BTreeMap::new(),
            tenants: Some(vec![Tenant {
                tenant_id: -1234,
                tenant_domain: "carbon.super".into(),
            }]),
            sign_ups: None,
            domain_mappings: Some(vec![]),
        }
    }

    pub fn mapping(&self) -> DomainMapping {
        DomainMapping {
            tenant_id: -1234,
            service_name: CartridgeType::new(self.parameter("SERVICE_NAME")).unwrap(),
            cluster_id: ClusterId::new(self.parameter("CLUSTER_ID")).unwrap(),
            domain_name: "shop.example".into(),
            context_path: Some("/shop".into()),
        }
    }

    /// The agent, told what every agent is told beside the payload; all else is the payload's.
    pub async fn start(self, desired: Desired) -> Running {
        let fake = Fake::start(desired).await;
        let (agent, log) = (self.path("agent"), self.path("agent.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_cartridge-agent"));
        command
            .env(key::LINK, format!("http://{}", fake.address))
            .env(key::JOIN_TOKEN, "a-join-token")
            .env(key::INCARNATION, "1")
            .env("CARTRIDGE_STATE_DIR", agent)
            .env("CARTRIDGE_LAUNCH_PARAMS", self.path("launch-params"))
            .env("EXTENSIONS_DIR", self.path("extensions"))
            .env(key::ALLOW_FILE_REPOSITORIES, "true")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap())
            .kill_on_drop(true);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.log"), "").unwrap();
        let member = Member {
            agent: command.spawn().unwrap(),
            fake,
            port: self.port,
            folder,
        };
        Running {
            cartridge: self,
            member,
        }
    }
}

/// A cartridge whose agent runs.
pub struct Running {
    pub cartridge: Cartridge,
    pub member: Member,
}

impl Running {
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.cartridge.path("agent.log")).unwrap_or_default()
    }

    pub fn recorded(&self) -> Vec<Recorded> {
        let text = std::fs::read_to_string(self.cartridge.state().join("record.tsv")).unwrap_or_default();
        let whole = text.lines().map(|line| {
            let mut parts = line.split('\t');
            Recorded {
                hook: parts.next().unwrap().to_owned(),
                values: parts
                    .filter_map(|part| part.split_once('='))
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect(),
            }
        });
        whole.collect()
    }

    pub fn hooks(&self) -> Vec<String> {
        self.recorded().into_iter().map(|run| run.hook).collect()
    }

    /// The last run of this hook.
    pub fn run(&self, hook: &str) -> Recorded {
        let run = self.recorded().into_iter().rev().find(|run| run.hook == hook);
        run.unwrap_or_else(|| panic!("{hook} was not run: {:?}\n{}", self.hooks(), self.log()))
    }

    pub async fn until_run(&self, hook: &str, count: usize) {
        let so = async {
            while self.hooks().iter().filter(|name| *name == hook).count() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), so).await;
        assert!(waited.is_ok(), "{hook}: {:?}\n{}", self.hooks(), self.log());
    }

    pub async fn until_serves(&self, commit: &CommitId) {
        let serves = |b: &Batch| is_active(b) && b.status.release.as_ref() == Some(commit);
        self.member.fake.hear(0, "the release", serves).await;
    }

    pub fn want_commit(&self, commit: &CommitId) {
        self.member.fake.want(|d| {
            let artifacts = d.artifacts.as_mut().unwrap();
            artifacts.commit = Some(commit.clone());
            artifacts.look += 1;
        });
    }

    pub fn tell(&self, told: Surroundings) {
        self.member.fake.want(|d| d.surroundings = Some(Arc::new(told)));
    }

    /// What the application answers: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.member.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Maintenance: it is taken out of the balancers elsewhere, then stopped. Nothing of it is left.
    pub async fn stop(&mut self) {
        self.member.fake.want(|d| d.run = Run::Stop { within_ms: 20_000 });
        let stopped = |b: &Batch| b.status.phase == Phase::Stopped;
        self.member.fake.hear(0, "Stopped", stopped).await;
        assert_eq!(self.member.exits().await, Some(0), "{}", self.log());
        assert_eq!(self.hooks().last().map(String::as_str), Some("clean"));
        assert!(self.member.port_is_closed());
        assert_eq!(self.left(), Vec::<String>::new());
    }

    /// Processes that this cartridge's hooks or agent have started.
    pub fn left(&self) -> Vec<String> {
        let mark = self.cartridge.folder.path().to_str().unwrap().to_owned();
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
        });
        let of_ours = |path: PathBuf| {
            let both = ["environ", "cmdline"].map(|name| std::fs::read(path.join(name)).unwrap_or_default());
            let text = String::from_utf8_lossy(&both.concat()).replace('\0', " ");
            text.contains(&mark).then_some(text)
        };
        processes.filter_map(|entry| of_ours(entry.path())).collect()
    }

    /// Every launch parameter arrived whole in a hook's environment, as the payload has it.
    pub fn told_as_in_the_payload(&self, run: &Recorded, names: &[&str]) {
        for name in names {
            let expected = self.cartridge.parameter(name);
            let expected = if expected == "null" || expected.is_empty() {
                "<unset>"
            } else {
                expected
            };
            let told = run.at(&format!("STRATOS_{name}"));
            assert_eq!(told, expected, "{} is told {name}", run.hook);
        }
    }
}
