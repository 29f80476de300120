//! The picture for a terminal of 80 columns: what stands there is short, and a name says what it is.

use cartridge_protocol::Millis;
use cartridge_protocol::link::{Phase, PluginState, Refused};
use cartridge_protocol::local::{HookIs, LinkIs, LinkState, Picture, SampleIs, Synced, Waiting};
use cartridge_protocol::sample::Scope;

use crate::text::{one_line, wrapped};

const WIDE: usize = 80;
/// Columns of the names.
const NAMES: usize = 13;
/// Longest text of one row, bytes.
const MOST: usize = 1024;

/// All of it.
pub fn text(picture: &Picture) -> String {
    let (status, agent) = (&picture.status, &picture.agent);
    let mut rows = Rows(String::new());
    let life = format!("{} (life {})", picture.member, picture.incarnation);
    rows.add("member", &life);
    rows.add("phase", &phase(&status.phase, picture.phase_ms));
    rows.add("application", &application(picture));
    let short =
        |commit: Option<&cartridge_protocol::CommitId>| commit.map_or("none", |c| c.short()).to_owned();
    rows.add("release", &short(status.release.as_ref()));
    if picture.previous.is_some() {
        rows.add("previous", &short(picture.previous.as_ref()));
    }
    if status.head.is_some() {
        rows.add("branch", &short(status.head.as_ref()));
    }
    if !status.staged.is_empty() {
        let staged: Vec<&str> = status.staged.iter().map(|c| c.short()).collect();
        rows.add("on the shelf", &staged.join(" "));
    }
    for Refused { commit, reason } in &status.refused {
        rows.add("refused", &format!("{}: {reason}", commit.short()));
    }
    for tenant in &status.tenants {
        let head = tenant.head.as_ref();
        let branch = head.map_or(String::new(), |head| format!(", branch {}", head.short()));
        let refused: String = tenant
            .refused
            .iter()
            .map(|r| format!(", refused {}", r.commit.short()))
            .collect();
        let current = short(tenant.current.as_ref());
        rows.add(
            "tenant",
            &format!("{}: {current}{branch}{refused}", tenant.tenant),
        );
    }
    if let Some(revision) = status.topology {
        rows.add("topology", &format!("revision {revision} is in force"));
    }
    rows.add(
        "load",
        &picture
            .sample
            .as_ref()
            .map_or_else(|| "not measured yet".to_owned(), load),
    );
    rows.add(
        "memory",
        &picture
            .sample
            .as_ref()
            .map_or_else(|| "not measured yet".to_owned(), memory),
    );
    rows.add("link", &link(&picture.link));
    rows.add("to be sent", &waiting(picture.waiting));
    for plugin in &status.plugins {
        rows.add("plugin", &format!("{} {}", plugin.name, standing(&plugin.state)));
    }
    for hook in &picture.hooks {
        rows.add("hook", &ran(hook));
    }
    let up = Millis(agent.up_ms);
    rows.add(
        "agent",
        &format!("{}, process {}, up {}", agent.version, agent.pid, span(up)),
    );
    for words in [&agent.upgrade, &agent.upgraded].into_iter().flatten() {
        rows.add("upgrade", words);
    }
    rows.0
}

/// What a look at the repository brought, in one line or two.
pub fn synced(synced: &Synced) -> String {
    let named = |commit: &Option<cartridge_protocol::CommitId>| {
        commit.as_ref().map_or("unknown", |c| c.short()).to_owned()
    };
    let head = named(&synced.head);
    let said = match (&synced.fault, &synced.head) {
        (Some(fault), _) => fault.clone(),
        (None, Some(_)) if synced.head == synced.current => {
            format!("the branch is at {head}, which is current")
        }
        (None, Some(_)) if synced.staged && synced.head == synced.wanted => {
            format!("the branch is at {head}, which is staged and will be current when the member may switch")
        }
        (None, Some(_)) if synced.staged => {
            format!("the branch is at {head}, which is staged; the orchestrator decides when it is current")
        }
        (None, _) => format!("the branch is at {head}, which is not on the shelf"),
    };
    wrapped(&one_line(&said, MOST), 0, WIDE)
}

struct Rows(String);

impl Rows {
    fn add(&mut self, name: &str, value: &str) {
        let text = wrapped(&one_line(value, MOST), NAMES, WIDE);
        self.0 += &format!("{name:NAMES$}");
        self.0 += text.get(NAMES..).unwrap_or_default();
    }
}

fn phase(phase: &Phase, lasts: u64) -> String {
    let (word, reason) = match phase {
        Phase::Starting => ("Starting", None),
        Phase::Active => ("Active", None),
        Phase::Suspended { reason } => ("Suspended", Some(reason)),
        Phase::Stopping => ("Stopping", None),
        Phase::Stopped => ("Stopped", None),
        Phase::Failed { reason } => ("Failed", Some(reason)),
    };
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{word} for {}{reason}", span(Millis(lasts)))
}

fn application(picture: &Picture) -> String {
    let pid = picture.application_pid;
    let runs = pid.map_or("no process of the agent's".to_owned(), |pid| {
        format!("process {pid}")
    });
    format!("{runs}, {} restarts", picture.status.restarts)
}

fn standing(state: &PluginState) -> String {
    match state {
        PluginState::Starting => "has not said yet who it is".to_owned(),
        PluginState::Ready { kind } => format!("is ready, as {kind}"),
        PluginState::Down { reason } => format!("is down: {reason}"),
        PluginState::LeftOut { reason } => format!("is left out: {reason}"),
    }
}

fn link(link: &LinkIs) -> String {
    let since = span(Millis(link.since_ms));
    let state = match link.state {
        LinkState::New => format!("not reached yet, for {since}"),
        LinkState::Up => format!("up for {since}"),
        LinkState::Down => format!("down for {since}"),
        LinkState::Fenced => format!("fenced for {since}: this life of the member is over"),
    };
    let why = link
        .why
        .as_ref()
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    format!("{} {state}{why}", link.server)
}

fn waiting(waiting: Waiting) -> String {
    format!(
        "{} notices, {} lines; dropped since the start: {} notices, {} lines",
        waiting.notices, waiting.lines, waiting.notices_dropped, waiting.lines_dropped
    )
}

fn ran(hook: &HookIs) -> String {
    let began = span(Millis(hook.begun_ms));
    match (hook.took_ms, &hook.fault) {
        (None, _) => format!("{} runs or waits for {began}", hook.name),
        (Some(took), None) => format!("{} went well in {}, {began} ago", hook.name, span(Millis(took))),
        (Some(took), Some(fault)) => {
            format!(
                "{} failed after {}, {began} ago: {fault}",
                hook.name,
                span(Millis(took))
            )
        }
    }
}

fn load(measured: &SampleIs) -> String {
    let sample = &measured.sample;
    let load = sample.load.map_or("unknown".to_owned(), |[one, five, fifteen]| {
        format!("{one:.2} {five:.2} {fifteen:.2}")
    });
    let cpu = sample
        .cpu_percent
        .map_or("unknown".to_owned(), |c| format!("{c:.1} %"));
    let scope = match sample.scope {
        Scope::Machine => "of the machine",
        Scope::CgroupV2 => "of its cgroup (v2)",
        Scope::CgroupV1 => "of its cgroup (v1)",
        Scope::Descendants => "of the agent and its descendants",
        Scope::Reader => "as a plugin measures it",
    };
    let age = span(Millis(measured.age_ms));
    format!(
        "{load} on {:.2} cores, CPU {cpu}; {scope}, {age} ago",
        sample.cores
    )
}

#[allow(clippy::cast_precision_loss, reason = "for people; 2^53 bytes is 8 PiB")]
fn memory(measured: &SampleIs) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let sample = &measured.sample;
    let used = sample
        .memory_used
        .map_or("unknown".to_owned(), |b| format!("{:.1} MiB", mib(b)));
    let limit = sample
        .memory_limit
        .map_or("unknown".to_owned(), |b| format!("{:.1} MiB", mib(b)));
    format!("{used} of {limit}")
}

/// `350 ms`, `12.3 s`, `5 min`, `3 h 20 min`, `12 d`.
fn span(time: Millis) -> String {
    let seconds = time.0 / 1000;
    match seconds {
        0..120 => time.to_string(),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}
