//! What the agent does, as one value: [`picture`] makes it of what the loop knows; [`text`] says it to people.
//!
//! Refuses to know who asks.

mod text;

use cartridge_protocol::link::{Phase, Status};
use cartridge_protocol::local::{AgentIs, HookIs, LinkIs, LinkState, Picture, SampleIs, VERSION, Waiting};
use cartridge_protocol::sample::Sample;
use cartridge_protocol::{CommitId, MemberId, Millis};

use crate::text::one_line;

pub use text::{synced, text};

/// Longest reason kept, bytes.
const MOST_REASON: usize = 512;
/// Most hooks remembered; there are fewer names than that.
const MOST_HOOKS: usize = 32;

/// What happened when, as far as nothing else remembers it.
#[derive(Debug)]
pub struct Ledger {
    phase: (Phase, Millis),
    link: (LinkState, Option<String>, Millis),
    sample: Option<(Sample, Millis)>,
    hooks: Vec<HookRun>,
}

#[derive(Debug)]
struct HookRun {
    name: String,
    begun: Millis,
    ended: Option<(Millis, Option<String>)>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            phase: (Phase::Starting, Millis::ZERO),
            link: (LinkState::New, None, Millis::ZERO),
            sample: None,
            hooks: Vec::new(),
        }
    }
}

impl Ledger {
    /// The member's phase now; only a change is news.
    pub fn phase(&mut self, phase: &Phase, now: Millis) {
        if self.phase.0 != *phase {
            self.phase = (phase.clone(), now);
        }
    }

    /// The orchestrator was reached, or was not.
    pub fn reached(&mut self, answer: &Result<(), String>, now: Millis) {
        let state = match (answer, self.link.0) {
            (_, LinkState::Fenced) => return,
            (Ok(()), _) => LinkState::Up,
            (Err(_), LinkState::New) => LinkState::New,
            (Err(_), _) => LinkState::Down,
        };
        let since = if state == self.link.0 { self.link.2 } else { now };
        let why = answer.as_ref().err().map(|why| one_line(why, MOST_REASON));
        self.link = (state, why, since);
    }

    /// This life of the member is over.
    pub fn fenced(&mut self, now: Millis) {
        if self.link.0 != LinkState::Fenced {
            self.link = (LinkState::Fenced, None, now);
        }
    }

    /// A measurement was made.
    pub fn sampled(&mut self, sample: &Sample, now: Millis) {
        self.sample = Some((sample.clone(), now));
    }

    /// A hook is to run.
    pub fn hook_begun(&mut self, name: &str, now: Millis) {
        self.hooks.retain(|run| run.name != name);
        if self.hooks.len() == MOST_HOOKS {
            self.hooks.remove(0);
        }
        self.hooks.push(HookRun {
            name: name.to_owned(),
            begun: now,
            ended: None,
        });
    }

    /// It has ended.
    pub fn hook_ended(&mut self, name: &str, fault: Option<&str>, now: Millis) {
        if let Some(run) = self.hooks.iter_mut().find(|run| run.name == name) {
            run.ended = Some((now, fault.map(|why| one_line(why, MOST_REASON))));
        }
    }
}

/// What the loop knows at one instant.
pub struct Facts<'a> {
    /// The agent's version.
    pub version: &'static str,
    /// The agent's process.
    pub pid: u32,
    /// Whose agent.
    pub member: &'a MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// Where the orchestrator is.
    pub server: &'a str,
    /// What the orchestrator is told.
    pub status: Status,
    /// The release before the current one.
    pub previous: Option<CommitId>,
    /// The application's process.
    pub application: Option<i32>,
    /// The agent's upgrade that is under way, and what came of the last one.
    pub upgrade: (Option<String>, Option<String>),
    /// What waits to be sent.
    pub waiting: Waiting,
    /// What happened when.
    pub ledger: &'a Ledger,
}

/// One value of it all. The agent's clock began at zero, so `now` is its age.
pub fn picture(facts: Facts<'_>, now: Millis) -> Picture {
    let ledger = facts.ledger;
    let hook = |run: &HookRun| HookIs {
        name: run.name.clone(),
        begun_ms: now.since(run.begun).0,
        took_ms: run.ended.as_ref().map(|(at, _)| at.since(run.begun).0),
        fault: run.ended.as_ref().and_then(|(_, fault)| fault.clone()),
    };
    Picture {
        version: VERSION,
        agent: AgentIs {
            version: facts.version.to_owned(),
            pid: facts.pid,
            up_ms: now.0,
            upgrade: facts.upgrade.0,
            upgraded: facts.upgrade.1,
        },
        member: facts.member.clone(),
        incarnation: facts.incarnation,
        status: facts.status,
        phase_ms: now.since(ledger.phase.1).0,
        previous: facts.previous,
        application_pid: facts.application,
        link: LinkIs {
            server: facts.server.to_owned(),
            state: ledger.link.0,
            since_ms: now.since(ledger.link.2).0,
            why: ledger.link.1.clone(),
        },
        sample: ledger.sample.as_ref().map(|(sample, at)| SampleIs {
            age_ms: now.since(*at).0,
            sample: sample.clone(),
        }),
        waiting: facts.waiting,
        hooks: ledger.hooks.iter().map(hook).collect(),
    }
}

#[cfg(test)]
mod tests;
