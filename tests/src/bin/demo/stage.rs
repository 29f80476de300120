//! What the story plays on: the server, the Git server with its repository, the load, and ways to look and wait.
//!
//! It refuses to know the order of the story.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cartridge_tests::api::{Api, ApiFault, Event, Events, Member, NoEvent};
use cartridge_tests::git_server::{GitServer, Settings};
use cartridge_tests::load::{Load, Pace, Target};
use cartridge_tests::process::MemberProcess;
use cartridge_tests::repository::{GitFault, Repository};
use cartridge_tests::stack::{NoStack, Stack, bin_dir, binary};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

use crate::following;
use crate::narrator::Narrator;

/// The application's id.
pub(crate) const APPLICATION: &str = "hello";
/// How long anything that the story waits for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// What the load asks for: a request that keeps a member busy for a while.
const WORK: &str = "/?wait_ms=100";
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why the story cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Api(#[from] ApiFault),
    #[error(transparent)]
    Stack(#[from] NoStack),
    #[error(transparent)]
    Git(#[from] GitFault),
    #[error(transparent)]
    Event(#[from] NoEvent),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Unexpected(String),
}

/// Says that something is not as the story tells it.
pub(crate) fn unexpected<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Unexpected(text.into()))
}

pub(crate) struct Stage {
    pub(crate) narrator: Arc<Narrator>,
    /// What each step took.
    pub(crate) times: Vec<(&'static str, Duration)>,
    pub(crate) load: Arc<Load>,
    pub(crate) events: Events,
    pub(crate) repository: Repository,
    pub(crate) git: GitServer,
    _following: [AbortOnDropHandle<()>; 2],
    pub(crate) stack: Stack,
    folder: TempDir,
}

impl Stage {
    /// Starts the server and the Git server in a new folder; nothing is deployed.
    pub(crate) async fn set(narrator: Arc<Narrator>) -> Result<Self, Fault> {
        for needed in [
            "cartridge",
            "cartridge-agent",
            "cartridge-plugin-balancer",
            "cartridge-hello",
        ] {
            binary(needed)?;
        }
        let folder = tempfile::Builder::new().prefix("cartridge-demo-").tempdir()?;
        let repositories = folder.path().join("repositories");
        narrator.step("Starting an orchestrator and a Git server; nothing is installed, everything stays in one folder.");
        let repository =
            Repository::create(&repositories.join("hello.git"), &folder.path().join("work")).await?;
        let git = GitServer::start(Settings {
            root: repositories,
            ..Settings::default()
        })
        .await?;
        repository.push_to(&git.url("hello.git")).await?;
        let stack = Stack::start(&folder.path().join("data"), &[]).await?;
        narrator.fact(&format!(
            "orchestrator at {}, repository at {}",
            stack.api().server(),
            git.url("hello.git")
        ));
        git.set_hook(Some(stack.api().web_hook()));
        let load = Arc::new(Load::start(
            Target::get("web.hello.test", WORK),
            Pace::Concurrent(0),
        ));
        let following = [
            tokio::spawn(following::endpoints(stack.api().clone(), Arc::clone(&load))),
            tokio::spawn(following::events(stack.api().clone(), Arc::clone(&narrator))),
        ];
        let events = stack.api().follow(0);
        let following = following.map(AbortOnDropHandle::new);
        Ok(Self {
            narrator,
            times: Vec::new(),
            load,
            events,
            repository,
            git,
            _following: following,
            stack,
            folder,
        })
    }

    pub(crate) fn api(&self) -> &Api {
        self.stack.api()
    }

    /// One of the blueprint's files, with this machine's folder and repository in place.
    pub(crate) fn blueprint(&self, text: &str) -> Result<Value, Fault> {
        let text = text
            .replace("@BIN@", &bin_dir().to_string_lossy())
            .replace("@REPOSITORY@", &self.git.url("hello.git"));
        serde_json::from_str(&text).map_err(|e| Fault::Unexpected(format!("blueprint: {e}")))
    }

    /// Notes what a step took.
    pub(crate) fn took(&mut self, step: &'static str, since: Instant) {
        let took = since.elapsed();
        self.narrator
            .fact(&format!("{step}: {:.1} s", took.as_secs_f64()));
        self.times.push((step, took));
    }

    /// The first event after number `after` of this kind (and this member, if one is named).
    pub(crate) async fn event(&self, after: u64, kind: &str, member: Option<&str>) -> Result<Event, Fault> {
        let wanted = |event: &Event| {
            event.kind == kind && member.is_none_or(|member| event.member.as_deref() == Some(member))
        };
        Ok(self.events.wait_after(after, kind, PATIENCE, wanted).await?)
    }

    /// Waits until `look` finds something; a server that is away for a moment is looked at again.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T, Fault> {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(found) => Ok(found),
            Err(_) => unexpected(format!(
                "{what}: not within {PATIENCE:?}; members: {}",
                self.members_in_words().await
            )),
        }
    }

    /// Waits until so many application members serve in each network partition, each with one agent and every agent
    /// one of theirs: none lost, none twice. A forecast may have asked for more in `public` than the load needs.
    pub(crate) async fn settled(
        &self,
        private: usize,
        public: RangeInclusive<usize>,
    ) -> Result<Vec<Member>, Fault> {
        let what = format!("{private} members in private and {public:?} in public, each once");
        let look = async || {
            let members: Vec<_> = self.api().members().await.ok()?;
            let serving = serving(&members);
            let at = |place: &str| serving.iter().filter(|m| m.network_partition == place).count();
            let whole = at("private") == private && public.contains(&at("public"));
            (whole && each_once(&members, &self.stack.processes())).then_some(serving)
        };
        self.until(&what, look).await
    }

    /// The application members that serve now.
    pub(crate) async fn serving(&self) -> Result<Vec<Member>, Fault> {
        Ok(serving(&self.api().members().await?))
    }

    async fn members_in_words(&self) -> String {
        let members = self.api().members().await.unwrap_or_default();
        let word = |m: &Member| {
            format!(
                "{}/{} {} {} {}",
                m.member, m.incarnation, m.kind, m.network_partition, m.phase
            )
        };
        members.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// Begins to raise or lower the number of requests in flight evenly; await it to wait for the end.
    pub(crate) fn ramp(&self, from: usize, to: usize, over: Duration) -> AbortOnDropHandle<()> {
        AbortOnDropHandle::new(tokio::spawn(following::ramp(
            Arc::clone(&self.load),
            from,
            to,
            over,
        )))
    }

    /// Waits until so many further requests were answered well.
    pub(crate) async fn traffic_goes_on(&self, further: u64) -> Result<(), Fault> {
        let before = self.load.report().ok;
        if self
            .load
            .wait_for(PATIENCE, |report| report.ok >= before + further)
            .await
        {
            return Ok(());
        }
        let report = self.load.report();
        let last = report.failures.last().map_or("none", |f| f.reason.as_str());
        unexpected(format!(
            "traffic stopped: {} answered, the last failure was: {last}",
            report.ok - before
        ))
    }

    pub(crate) fn how_to_look(&self) {
        let (bin, file) = (bin_dir().join("cartridge"), self.stack.client_file());
        let (bin, file) = (bin.display(), file.display());
        let server = self.stack.api().server();
        let work = self.repository.work().display();
        self.narrator.plain(&format!(
            "\nIt stays up. To look at it:\n\
             \x20 dashboard     {server}/   (user and password: {file})\n\
             \x20 members       {bin} --client {file} get members\n\
             \x20 events        {bin} --client {file} events -f\n\
             \x20 new release   edit {work}/index.html; git -C {work} commit -am change; git -C {work} push origin main\n\
             \x20 server's log  {}\n\
             Ctrl-C stops everything and removes the folder.",
            self.stack.log().display()
        ));
    }

    /// Leaves the folder behind, for whoever wants to know why.
    pub(crate) fn keep_files(&mut self) {
        self.folder.disable_cleanup(true);
        self.narrator
            .fact(&format!("the files stay in {}", self.folder.path().display()));
    }
}

/// The application members that serve.
fn serving(members: &[Member]) -> Vec<Member> {
    members
        .iter()
        .filter(|m| m.is_active() && !m.is_balancer())
        .cloned()
        .collect()
}

/// Every member that serves has exactly one agent, in its present life; no agent belongs to anybody else.
fn each_once(members: &[Member], processes: &[MemberProcess]) -> bool {
    let mut agents: Vec<_> = processes
        .iter()
        .filter(|p| p.is_agent())
        .map(|p| (p.tag.member.as_str(), p.tag.incarnation))
        .collect();
    let mut wanted: Vec<_> = members
        .iter()
        .filter(|m| m.is_active())
        .map(|m| (m.member.as_str(), m.incarnation))
        .collect();
    agents.sort_unstable();
    wanted.sort_unstable();
    agents == wanted
}
