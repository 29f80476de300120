//! Runs hooks, one at a time, in order, each with a deadline. Refuses to know when.

mod find;
mod output;
mod run;
pub mod warden;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cartridge_agent_plan::account::Wish;
use cartridge_agent_plan::hook::environment::{Own, environment, order};
use cartridge_agent_plan::hook::{Hook, Order, preparations};
use cartridge_agent_plan::settings::Settings;
use cartridge_protocol::surroundings::Surroundings;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::logs::Logs;
pub use run::MOST_OUTPUT;
use run::Run;

/// Hooks that may wait.
const QUEUE: usize = 8;
/// Longest wait for a hook to be gone when the agent ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// A hook has ended: which, and what went wrong.
pub type Ended = (Order, Option<String>);

type Waiting = (Order, CancellationToken);

/// The queue of hooks.
pub struct Hooks {
    queue: mpsc::Sender<Waiting>,
    cancel: CancellationToken,
    keeper: Rc<Keeper>,
}

/// What every run needs, and how many runs are wanted.
struct Keeper {
    root: Option<PathBuf>,
    work: PathBuf,
    user: Option<Wish>,
    own: Own,
    around: RefCell<Option<Arc<Surroundings>>>,
    within: Duration,
    wanted: Cell<usize>,
}

impl Keeper {
    fn new(settings: &Settings) -> Self {
        Self {
            root: settings.hooks.clone(),
            work: settings.state_dir.clone(),
            user: settings.hook_user.clone(),
            own: own(settings),
            around: RefCell::default(),
            within: Duration::from_millis(settings.hook_within.0),
            wanted: Cell::new(0),
        }
    }

    /// How many programs were run.
    async fn run(
        &self,
        order: &Order,
        cancel: &CancellationToken,
        logs: Option<&Logs>,
    ) -> Result<usize, String> {
        let Some(root) = self.root.as_deref() else {
            return Ok(0);
        };
        let around = self.around.borrow().clone();
        let told = environment(&self.own, around.as_deref(), order);
        if !told.left_out.is_empty() {
            let names = told.left_out.join(", ");
            tracing::warn!(
                hook = order.hook.name(),
                "cannot be told {names}: too long, or with a NUL"
            );
        }
        let run = Run {
            hook: order.hook,
            root,
            work: &self.work,
            user: self.user.as_ref(),
            environment: told.variables,
            arguments: &order.arguments,
            within: self.within,
            cancel,
            logs,
        };
        run.all().await
    }
}

fn own(settings: &Settings) -> Own {
    let current = settings.shelf.join("current");
    Own {
        member: settings.member.clone(),
        parameters: settings.parameters.clone(),
        application: settings.files.told(&current).to_string_lossy().into_owned(),
        release: current.to_string_lossy().into_owned(),
        parameter_file: settings.parameter_file.clone(),
    }
}

impl Hooks {
    /// Begins with an empty queue; what ends is told to `ended`.
    pub fn start(settings: &Settings, logs: Logs, ended: impl AsyncFn(Ended) + 'static) -> Self {
        let (queue, mut orders) = mpsc::channel::<Waiting>(QUEUE);
        let keeper = Rc::new(Keeper::new(settings));
        let runner = Rc::clone(&keeper);
        tokio::task::spawn_local(async move {
            while let Some((order, cancel)) = orders.recv().await {
                let fault = if cancel.is_cancelled() {
                    None
                } else {
                    runner.run(&order, &cancel, Some(&logs)).await.err()
                };
                runner.wanted.set(runner.wanted.get() - 1);
                ended((order, fault)).await;
            }
        });
        Self {
            queue,
            cancel: CancellationToken::new(),
            keeper,
        }
    }

    /// Runs a hook after those that wait. False: too many wait.
    pub fn run(&self, order: Order) -> bool {
        let taken = self.queue.try_send((order, self.cancel.clone())).is_ok();
        self.keeper
            .wanted
            .set(self.keeper.wanted.get() + usize::from(taken));
        taken
    }

    /// The run that a step of the life asks for.
    pub fn order(&self, hook: Hook) -> Order {
        order(hook, &self.keeper.own.parameters)
    }

    /// No hook runs, and none waits.
    pub fn is_idle(&self) -> bool {
        self.keeper.wanted.get() == 0
    }

    /// Ends the hook that runs and those that wait.
    pub fn cancel(&mut self) {
        self.cancel.cancel();
        self.cancel = CancellationToken::new();
    }

    /// What hooks are told from now on of what runs around the member.
    pub fn tell(&self, around: Arc<Surroundings>) {
        self.keeper.around.replace(Some(around));
    }

    /// The hooks that come before files and servers.
    pub fn preparations(&self) -> Vec<Hook> {
        preparations(&self.keeper.own.parameters, |hook| self.is_there(hook))
    }

    /// Whether a hook is there that can be run only by a member that is told what runs around it.
    pub fn want_surroundings(&self) -> bool {
        Hook::all().any(|hook| hook.wants_surroundings() && self.is_there(hook))
    }

    fn is_there(&self, hook: Hook) -> bool {
        let root = self.keeper.root.as_deref();
        root.is_some_and(|root: &Path| find::is_there(root, hook))
    }

    /// Ends what runs, and waits until it is gone.
    pub async fn end(mut self) {
        self.cancel();
        let gone = async {
            while !self.is_idle() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, gone).await;
    }
}

/// Runs one hook by itself, outside a member's life: with the environment that it would have, as far as it is known
/// without an orchestrator, and `more`. What it writes goes to standard output and error. Answers how many programs were
/// run, or what went wrong.
pub async fn run_once(
    settings: &Settings,
    hook: Hook,
    more: std::collections::BTreeMap<String, String>,
) -> Result<usize, String> {
    let keeper = Keeper::new(settings);
    let mut order = order(hook, &settings.parameters);
    order.more.extend(more);
    keeper.run(&order, &CancellationToken::new(), None).await
}
