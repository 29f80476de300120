//! One life of a plugin: its pipes, with a bound on everything that comes out of them.
//!
//! Refuses to know what the lines mean.

use std::io;
use std::time::Duration;

use cartridge_agent_plan::plugin::Fault;
use cartridge_protocol::plugin::{Call, Request, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Launch, words};
use crate::host::child::{self, Group};
use crate::host::clock::Clock;
use crate::host::logs::Logs;
use crate::host::orphans;

/// Longest wait for an end that was asked for.
const GRACE: Duration = Duration::from_secs(2);
/// Time between the end of the output and the end of the process, where one follows from the other.
const LAST_BREATH: Duration = Duration::from_millis(100);
/// Read at a time.
const CHUNK: usize = 4 << 10;

/// What a process said or did.
pub(super) enum Heard {
    /// A whole line, while something was asked.
    Line(Vec<u8>),
    /// What it has to be ended for.
    Fault(Fault),
}

pub(super) struct Session {
    child: Child,
    group: Group,
    mark: String,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// Read and not taken.
    heard: Vec<u8>,
    longest: usize,
    /// To be written, and how much of it is.
    outgoing: Vec<u8>,
    written: usize,
    question: u64,
    /// Ends when standard error does, or with the fault of writing too much there.
    noise: Option<JoinHandle<Option<Fault>>>,
}

impl Session {
    pub(super) fn start(launch: &Launch, logs: &Logs, clock: Clock) -> io::Result<Self> {
        let (mut child, group, mark) = launch.confined.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("has no pipes"))?;
        let noise = child.stderr.take().map(|pipe| {
            let stream = format!("plugin {}", launch.name);
            tokio::task::spawn_local(words::listen(pipe, stream, logs.clone(), clock))
        });
        Ok(Self {
            child,
            group,
            mark,
            input: Some(input),
            output,
            heard: Vec::new(),
            longest: launch.longest,
            outgoing: Vec::new(),
            written: 0,
            question: 0,
            noise,
        })
    }

    /// The number of the question that was asked last.
    pub(super) const fn question(&self) -> u64 {
        self.question
    }

    /// Asks; the question is written while the answer is listened for.
    pub(super) fn ask(&mut self, call: &Call) -> Result<(), Fault> {
        self.question += 1;
        let request = Request {
            id: self.question,
            call: call.clone(),
        };
        self.outgoing = encode(&request).map_err(|error| Fault::Deaf(error.to_string()))?;
        self.written = 0;
        Ok(())
    }

    /// The next line, where something was asked; otherwise returns only when something is wrong. May be dropped and
    /// called again.
    pub(super) async fn next(&mut self, asked: bool) -> Heard {
        loop {
            if let Some(heard) = self.look(asked) {
                return heard;
            }
            let mut chunk = [0; CHUNK];
            let rest = &self.outgoing[self.written..];
            tokio::select! {
                biased;
                fault = flooded(&mut self.noise) => return Heard::Fault(fault),
                read = self.output.read(&mut chunk) => match read {
                    Ok(0) => return Heard::Fault(self.ended(Fault::ClosedOutput).await),
                    Ok(count) => self.heard.extend_from_slice(&chunk[..count]),
                    Err(error) => return Heard::Fault(Fault::Unheard(error.to_string())),
                },
                wrote = write(self.input.as_mut(), rest), if !rest.is_empty() => match wrote {
                    Ok(count) => self.written += count,
                    Err(error) => return Heard::Fault(self.ended(Fault::Deaf(error.to_string())).await),
                },
                // Its children may keep the pipes open.
                status = self.child.wait() => return Heard::Fault(Fault::Ended(child::how(status))),
            }
        }
    }

    fn look(&mut self, asked: bool) -> Option<Heard> {
        if !asked {
            return (!self.heard.is_empty()).then_some(Heard::Fault(Fault::Unasked));
        }
        match self.heard.iter().position(|byte| *byte == b'\n') {
            Some(end) if end < self.longest => {
                let rest = self.heard.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.heard, rest);
                line.truncate(end);
                Some(Heard::Line(line))
            }
            None if self.heard.len() < self.longest => None,
            _ => Some(Heard::Fault(Fault::TooLong(self.longest))),
        }
    }

    /// A pipe broke: because the process ended, or not.
    async fn ended(&mut self, otherwise: Fault) -> Fault {
        match timeout(LAST_BREATH, self.child.wait()).await {
            Ok(status) => Fault::Ended(child::how(status)),
            Err(_) => otherwise,
        }
    }

    /// Ends it at once, and all that it started.
    pub(super) async fn kill(mut self) {
        self.group.kill();
        // It may have left its group.
        let _ = self.child.start_kill();
        let _ = timeout(GRACE, self.child.wait()).await;
        orphans::end_marked(&self.mark).await;
        if let Some(noise) = &mut self.noise {
            // Its last words.
            let _ = timeout(LAST_BREATH, noise).await;
        }
    }

    /// Ends it in order.
    pub(super) async fn end(mut self) {
        self.input = None;
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.group.term();
            let _ = timeout(GRACE, self.child.wait()).await;
        }
        self.kill().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(noise) = &self.noise {
            noise.abort();
        }
        // It was not awaited: the agent ends, or becomes another.
        if self.child.id().is_some() {
            self.group.kill();
        }
    }
}

async fn write(input: Option<&mut ChildStdin>, bytes: &[u8]) -> io::Result<usize> {
    match input {
        Some(input) => input.write(bytes).await,
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Returns when it has written too much to its standard error, and only then.
async fn flooded(noise: &mut Option<JoinHandle<Option<Fault>>>) -> Fault {
    if let Some(task) = noise {
        let ended = task.await;
        *noise = None;
        if let Ok(Some(fault)) = ended {
            return fault;
        }
    }
    std::future::pending().await
}
