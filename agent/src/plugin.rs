//! Plugins: long-lived children that are asked one thing at a time, each with a deadline.
//!
//! What a plugin may do before it is ended, and when it is started again, the plan knows
//! (`agent_plan::plugin`); here are the process, its pipes, and the questions that wait. Refuses to know what is done
//! with the answers.

pub mod balancer;
pub mod confine;
pub mod folder;
mod keeper;
mod session;
mod words;

use std::time::Duration;

use cartridge_agent_plan::plugin::{Change, Place, Rules};
use cartridge_protocol::Millis;
use cartridge_protocol::plugin::{Answer, Call, PluginName};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::host::logs::Logs;
pub use confine::{Bounds, Confined};
use keeper::Keeper;

/// Questions that may wait for one plugin.
const QUEUE: usize = 4;
/// Longest that the end of a plugin may take.
const LONGEST_END: Duration = Duration::from_secs(8);

/// What to start, and how it is treated.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What the agent calls it.
    pub name: PluginName,
    /// The process.
    pub confined: Confined,
    /// What it has to be.
    pub place: Place,
    /// How patient the agent is.
    pub rules: Rules,
    /// Longest answer, bytes.
    pub longest: usize,
}

/// Why a question got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The plugin refused, with these words.
    #[error("{0}")]
    Refused(String),
    /// There is no plugin to ask, or it was ended over this question.
    #[error("{0}")]
    Absent(String),
}

/// A question that waits.
struct Order {
    call: Call,
    within: Millis,
    reply: oneshot::Sender<Result<Answer, NoAnswer>>,
}

/// Asks one plugin. Clones ask the same.
#[derive(Clone, Debug)]
pub struct Asker {
    name: PluginName,
    orders: mpsc::Sender<Order>,
}

impl Asker {
    /// Asks; the answer comes within the plugin's turn, or none does and why.
    pub async fn ask(&self, call: Call, within: Millis) -> Result<Answer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let order = Order { call, within, reply };
        self.orders.send(order).await.map_err(|_| over())?;
        answer.await.unwrap_or_else(|_| Err(over()))
    }

    /// The same, for where blocking is allowed.
    pub fn ask_blocking(&self, call: Call, within: Millis) -> Result<Answer, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let order = Order { call, within, reply };
        self.orders.blocking_send(order).map_err(|_| over())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(over()))
    }

    /// Which.
    pub fn name(&self) -> &PluginName {
        &self.name
    }
}

fn over() -> NoAnswer {
    NoAnswer::Absent("the agent ends".to_owned())
}

/// A plugin that runs, or is about to be started again.
pub struct Plugin {
    asker: Asker,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Plugin {
    /// Starts it; what others have to know of it is told to `tell`.
    pub fn start(launch: Launch, logs: Logs, tell: impl AsyncFn(Change) + 'static) -> Self {
        let (orders, waiting) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let name = launch.name.clone();
        let keeper = Keeper::new(launch, logs, waiting, stop.clone());
        Self {
            asker: Asker { name, orders },
            stop,
            task: tokio::task::spawn_local(keeper.keep(tell)),
        }
    }

    /// Whoever has this may ask.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Ends it: closes its input, then asks, then forces; at most some seconds.
    pub async fn end(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(LONGEST_END, self.task).await;
    }
}
