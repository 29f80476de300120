//! One life of a plugin: its pipes, and one question at a time.

use std::process::Stdio;
use std::time::Duration;

use cartridge_agent_plan::text::cut;
use cartridge_protocol::plugin::{
    Answer, Call, MAX_LINE_BYTES, Outcome, Request, Response, VERSION, decode, encode,
};
use cartridge_protocol::sample::BalancerReading;
use cartridge_protocol::topology::Topology;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::host::child::{self, Group, Program};
use crate::host::logs::Logs;

/// Longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait for an end that was asked for.
const GRACE: Duration = Duration::from_secs(2);

pub(super) struct Session {
    child: Child,
    group: Group,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Session {
    pub(super) fn start(program: &Program, logs: &Logs) -> std::io::Result<Self> {
        let (mut child, group) = child::spawn(program, Stdio::piped())?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or_else(|| std::io::Error::other("has no output"))?;
        if let Some(pipe) = child.stderr.take() {
            tokio::spawn(logs.clone().pump(pipe, "plugin".to_owned(), usize::MAX));
        }
        Ok(Self {
            child,
            group,
            input,
            output: BufReader::new(output),
            last: 0,
        })
    }

    pub(super) async fn describe(&mut self) -> Result<(), String> {
        match self.call("describe", Call::Describe { version: VERSION }).await? {
            Outcome::Ok(Answer::Described { version, .. }) if version != VERSION => {
                Err(format!("speaks version {version}; version {VERSION} is needed"))
            }
            Outcome::Ok(Answer::Described { kind, .. }) if kind != "balancer" => {
                Err(format!("is a {:?}; a balancer is needed", cut(&kind, 40)))
            }
            Outcome::Ok(Answer::Described { .. }) => Ok(()),
            other => Err(unexpected("describe", other)),
        }
    }

    /// The revision in force, or why it was refused.
    pub(super) async fn set_members(&mut self, topology: Topology) -> Result<Result<u64, String>, String> {
        let wanted = topology.revision;
        match self.call("set-members", Call::SetMembers(topology)).await? {
            Outcome::Ok(Answer::Applied { revision }) if revision >= wanted => Ok(Ok(revision)),
            Outcome::Error(refusal) => Ok(Err(cut(&refusal, 500).to_owned())),
            other => Err(unexpected("set-members", other)),
        }
    }

    pub(super) async fn read(&mut self) -> Result<BalancerReading, String> {
        match self.call("read", Call::Read).await? {
            Outcome::Ok(Answer::Read(reading)) => Ok(reading),
            other => Err(unexpected("read", other)),
        }
    }

    /// Returns when the plugin says something that nobody asked for, or ends.
    pub(super) async fn unasked(&mut self) -> String {
        match self.output.fill_buf().await {
            Ok([]) => "ended".to_owned(),
            Ok(_) => "speaks without being asked".to_owned(),
            Err(error) => format!("cannot be heard: {error}"),
        }
    }

    async fn call(&mut self, name: &str, call: Call) -> Result<Outcome, String> {
        self.last += 1;
        let id = self.last;
        let line = encode(&Request { id, call }).map_err(|e| e.to_string())?;
        let talk = async {
            let input = self.input.as_mut().ok_or("has no input")?;
            input
                .write_all(&line)
                .await
                .map_err(|e| format!("does not listen: {e}"))?;
            let mut answer = Vec::new();
            let mut limited = (&mut self.output).take(MAX_LINE_BYTES as u64 + 1);
            limited
                .read_until(b'\n', &mut answer)
                .await
                .map_err(|e| format!("cannot be heard: {e}"))?;
            if answer.is_empty() {
                return Err("ended".to_owned());
            }
            let response: Response = decode(&answer).map_err(|e| format!("babbles: {e}"))?;
            if response.id != id {
                return Err(format!("answers question {} instead of {id}", response.id));
            }
            Ok(response.outcome)
        };
        match timeout(DEADLINE, talk).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(fault)) => Err(format!("{fault} (asked to {name})")),
            Err(_) => Err(format!("does not answer {name} within {} s", DEADLINE.as_secs())),
        }
    }

    /// Ends it at once; tells how it ended if that was before.
    pub(super) async fn kill(mut self) -> Option<String> {
        let before = self
            .child
            .try_wait()
            .ok()
            .flatten()
            .map(|status| child::how(Ok(status)));
        self.group.kill();
        let _ = timeout(GRACE, self.child.wait()).await;
        before
    }

    /// Ends it in order.
    pub(super) async fn end(mut self) {
        self.input = None;
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.group.term();
            let _ = timeout(GRACE, self.child.wait()).await;
        }
        self.group.kill();
        let _ = timeout(GRACE, self.child.wait()).await;
    }
}

fn unexpected(asked: &str, outcome: Outcome) -> String {
    match outcome {
        Outcome::Error(why) => format!("refuses {asked}: {}", cut(&why, 500)),
        Outcome::Ok(_) => format!("gives another answer than {asked} asks for"),
    }
}
