//! The one writer of the journal, and everybody's handle to it.
//!
//! [`Engine`] is what the API, the link and the provisioners hold: orders and reports go in, facts come out. The
//! writer itself is in `writer.rs`. This file refuses to decide anything.

mod draft;
mod facts;
mod input;
mod learn;
mod observe;
pub mod ring;
mod sharing;
pub mod stats;
mod submit;
mod tell;
mod timers;
mod work;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, RwLock};

pub use cartridge_orchestrator_plan::answer::JoinRefused;
pub(crate) use cartridge_orchestrator_plan::answer::Joining;
use cartridge_orchestrator_plan::decide::Report;
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::order::Refusal;
use cartridge_orchestrator_plan::record::Entry;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::link::{LogLine, Notice};
use cartridge_protocol::{ClusterId, MemberId, Millis};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::input::Input;
pub use self::observe::Fence;
pub(crate) use self::ring::Places;
pub use self::ring::Ring;
pub use self::sharing::ShareError;
use self::sharing::Sharing;
pub use self::stats::{Stats, StatsReading};
use self::tell::Listeners;
pub use self::tell::{Ear, Intervals};
pub use self::work::LinkPlace;
use self::work::Work;
use self::writer::Writer;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::journal::{Journal, JournalError};
use crate::lines::{Kept, Lines, joined};
use crate::provision::Provisioners;
use crate::provision::takeover::Orphan;

/// Inputs that may wait for the writer.
const MAX_WAITING: usize = 4096;
/// Entries that a slow subscriber may be behind before it is told that it lost some.
const MAX_BEHIND: usize = 4096;
/// The same for batches of log lines or notices, each of which may be as large as a body of the link.
const MAX_BATCHES_BEHIND: usize = 64;

/// Why an order was not carried out. Nothing changed, unless the words say that it may.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The order itself.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal cannot be written, or the orchestrator is stopping.
    #[error("{0}")]
    Unavailable(String),
}

/// Lines or notices of one member, as they came in.
#[derive(Clone, Debug)]
pub struct FromMember<T> {
    /// Whose.
    pub member: MemberId,
    /// Of which life.
    pub incarnation: u64,
    /// Oldest first.
    pub rows: Arc<[T]>,
}

/// All that readers see, under one lock held shortly.
#[derive(Debug, Default)]
pub struct State {
    /// Facts.
    pub world: World,
    /// Measurements.
    pub seen: Observations,
    /// Why the last pass planned as it did, by cluster.
    pub report: Report,
}

pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) entries: broadcast::Sender<Arc<Entry>>,
    pub(crate) logs: Mutex<BTreeMap<MemberId, Ring<LogLine>>>,
    pub(crate) notices: Mutex<BTreeMap<MemberId, Ring<Notice>>>,
    pub(crate) fresh_logs: broadcast::Sender<FromMember<LogLine>>,
    pub(crate) fresh_notices: broadcast::Sender<FromMember<Notice>>,
    pub(crate) lines: Lines,
    pub(crate) journal: Journal,
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Clock,
    pub(crate) stats: Stats,
    pub(crate) intervals: Intervals,
    pub(crate) dirty: Mutex<BTreeSet<ClusterId>>,
    pub(crate) poke: Notify,
    pub(crate) listeners: Listeners,
    pub(crate) sharing: Sharing,
    pub(crate) stopping: CancellationToken,
    pub(crate) orphans: Mutex<BTreeMap<&'static str, Vec<Orphan>>>,
}

impl Shared {
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().expect("no holder of the state lock panics"))
    }
}

/// What an engine is made of.
pub struct Parts {
    /// The world as folded from the journal, and when listening began.
    pub state: State,
    /// Where facts go.
    pub journal: Journal,
    /// For join tokens and sealed passwords.
    pub identity: Arc<Identity>,
    /// The only one.
    pub clock: Clock,
    /// What agents are told.
    pub intervals: Intervals,
    /// Where lines of applications are kept beside memory.
    pub lines: Lines,
    /// Ends everything.
    pub stopping: CancellationToken,
}

/// Inputs that nobody has taken in yet; [`Engine::run`] does.
pub struct Waiting(mpsc::Receiver<Input>);

/// Everybody's handle; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// Makes a handle. Nothing happens until [`Engine::run`].
    pub fn new(parts: Parts) -> (Self, Waiting) {
        let (inputs, waiting) = mpsc::channel(MAX_WAITING);
        let shared = Shared {
            state: RwLock::new(parts.state),
            inputs,
            entries: broadcast::channel(MAX_BEHIND).0,
            logs: Mutex::default(),
            notices: Mutex::default(),
            fresh_logs: broadcast::channel(MAX_BATCHES_BEHIND).0,
            fresh_notices: broadcast::channel(MAX_BATCHES_BEHIND).0,
            lines: parts.lines,
            journal: parts.journal,
            identity: parts.identity,
            clock: parts.clock,
            stats: Stats::default(),
            intervals: parts.intervals,
            dirty: Mutex::default(),
            poke: Notify::new(),
            listeners: Listeners::default(),
            sharing: Sharing::default(),
            stopping: parts.stopping,
            orphans: Mutex::default(),
        };
        let engine = Self {
            shared: Arc::new(shared),
        };
        (engine, Waiting(waiting))
    }

    /// The writer: works until the engine is stopped. An error means that the journal can no longer be written and that
    /// the orchestrator must end.
    pub async fn run(
        &self,
        waiting: Waiting,
        provisioners: Arc<Provisioners>,
        link: LinkPlace,
    ) -> Result<(), JournalError> {
        // Taking over may have lasted: silence counts from when agents could be heard (S8).
        let now = self.now();
        self.shared
            .state
            .write()
            .expect("no holder of the state lock panics")
            .seen
            .began = now;
        let work = Work::new(self.clone(), provisioners, link);
        let writer = Writer::new(Arc::clone(&self.shared), waiting.0, work);
        writer.run(self.shared.stopping.clone()).await
    }

    /// Instances with our tag of which the journal knows nothing, as last listed.
    pub fn orphans(&self) -> Vec<Orphan> {
        let orphans = self.shared.orphans.lock().expect("no holder of this lock panics");
        orphans.values().flatten().cloned().collect()
    }

    pub(crate) fn show_orphans(&self, provider: &'static str, found: Vec<Orphan>) {
        let mut orphans = self.shared.orphans.lock().expect("no holder of this lock panics");
        orphans.insert(provider, found);
    }

    /// How often agents measure and report.
    pub fn intervals(&self) -> Intervals {
        self.shared.intervals
    }

    /// Cancelled when the orchestrator stops: long answers end then.
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    /// A member introduces itself with this hash of its credential. Done when that is durable.
    pub(crate) async fn join(&self, joining: Joining) -> Result<(), JoinRefused> {
        let (reply, answer) = oneshot::channel();
        let input = Input::Join(joining, reply);
        self.shared
            .inputs
            .send(input)
            .await
            .map_err(|_| JoinRefused::NotYet)?;
        answer.await.unwrap_or(Err(JoinRefused::NotYet))
    }

    /// Looks at everything known. Keep it short: the writer waits meanwhile; never call it from inside itself.
    pub fn read<T>(&self, look: impl FnOnce(&World, &Observations, &Report) -> T) -> T {
        let state = self
            .shared
            .state
            .read()
            .expect("no holder of the state lock panics");
        look(&state.world, &state.seen, &state.report)
    }

    /// Every entry from now on, once durable and applied. A receiver that lags is told so by the channel and reads
    /// what it missed with [`Engine::entries`].
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.shared.entries.subscribe()
    }

    /// Entries after position `after`, oldest first, at most `limit` (and at most 1,000).
    pub async fn entries(&self, after: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
        self.shared.journal.entries(after, limit).await
    }

    /// Log lines of a member that are still kept, with numbers above `after`, oldest first.
    pub fn logs(&self, member: &MemberId, after: u64) -> Vec<LogLine> {
        let logs = self.shared.logs.lock().expect("no holder of the log lock panics");
        logs.get(member).map_or_else(Vec::new, |ring| ring.after(after))
    }

    /// All log lines of a member that are still kept, of this server and those before it, oldest first, each with its life.
    pub async fn all_logs(&self, member: &MemberId) -> Vec<Kept> {
        let kept = self.shared.lines.read(member).await;
        let logs = self.shared.logs.lock().expect("no holder of the log lock panics");
        match logs.get(member) {
            Some(ring) => joined(kept, ring.incarnation(), ring.after(0)),
            None => kept,
        }
    }

    /// Log lines of all members from now on.
    pub fn subscribe_logs(&self) -> broadcast::Receiver<FromMember<LogLine>> {
        self.shared.fresh_logs.subscribe()
    }

    /// Notices of a member that are still kept, with numbers above `after`, oldest first.
    pub fn notices(&self, member: &MemberId, after: u64) -> Vec<Notice> {
        let notices = self
            .shared
            .notices
            .lock()
            .expect("no holder of the notice lock panics");
        notices
            .get(member)
            .map_or_else(Vec::new, |ring| ring.after(after))
    }

    /// Notices of all members from now on.
    pub fn subscribe_notices(&self) -> broadcast::Receiver<FromMember<Notice>> {
        self.shared.fresh_notices.subscribe()
    }

    /// Seals a repository password for an order that puts an application.
    pub fn seal(&self, text: &str) -> Result<String, crate::identity::IdentityError> {
        self.shared.identity.seal(text)
    }

    /// Opens what [`Engine::seal`] sealed.
    pub fn unseal(&self, sealed: &str) -> Result<cartridge_protocol::Secret, crate::identity::IdentityError> {
        self.shared.identity.unseal(sealed)
    }

    /// Now, on the clock that `since` and `heard` fields are of.
    pub fn now(&self) -> Millis {
        self.shared.clock.now()
    }

    /// Wall clock, milliseconds since 1970: for people only.
    pub fn unix_ms(&self) -> u64 {
        self.shared.clock.unix_ms()
    }

    /// Figures about the engine itself.
    pub fn stats(&self) -> StatsReading {
        let waiting = MAX_WAITING - self.shared.inputs.capacity();
        self.shared.stats.read(waiting, self.shared.lines.lost())
    }
}
