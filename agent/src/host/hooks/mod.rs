//! Runs hooks, one at a time, in order, each with a deadline. Refuses to know when.

mod asked;
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
use cartridge_agent_plan::hook::asked::shown;
use cartridge_agent_plan::hook::environment::{Environment, Own, environment, order};
use cartridge_agent_plan::hook::{Hook, Order, preparations};
use cartridge_agent_plan::settings::Settings;
use cartridge_agent_plan::sharing::variables;
use cartridge_protocol::surroundings::Surroundings;
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::values::ToldValues;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::account::account;
use super::logs::Logs;
pub use asked::Asked;
use asked::Reader;
use cartridge_protocol::local::{Answer, Variable};
pub use run::MOST_OUTPUT;
use run::{Outcome, Run};

/// Hooks that may wait.
const QUEUE: usize = 8;
/// Longest wait for a hook to be gone when the agent ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Runs that somebody asked for and that have not ended; the member's own must never find the queue full.
const MOST_ASKED: usize = 2;

/// A hook has ended.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub hook: Hook,
    /// The tenant whose files it was about, unless they are the member's own.
    pub tenant: Option<TenantId>,
    /// What went wrong.
    pub fault: Option<String>,
    /// The user who asked for the run; None: the member's life did.
    pub asked_by: Option<u32>,
}

struct Waiting {
    order: Order,
    cancel: CancellationToken,
    asked: Option<Asked>,
}

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
    shared: RefCell<ToldValues>,
    within: Duration,
    wanted: Cell<usize>,
    asked: Cell<usize>,
}

impl Keeper {
    fn new(settings: &Settings) -> Self {
        Self {
            root: settings.hooks.clone(),
            work: settings.state_dir.clone(),
            user: settings.hook_user.clone(),
            own: own(settings),
            around: RefCell::default(),
            shared: RefCell::default(),
            within: Duration::from_millis(settings.hook_within.0),
            wanted: Cell::new(0),
            asked: Cell::new(0),
        }
    }

    /// Runs what waits, unless nobody wants it any more.
    async fn take(&self, waiting: Waiting, logs: &Logs) -> Ended {
        let (hook, tenant) = (waiting.order.hook, waiting.order.tenant);
        let Some(Asked { reply, caller }) = waiting.asked else {
            let run = async { self.run(&waiting.order, &waiting.cancel, logs, None).await };
            let fault = match waiting.cancel.is_cancelled() {
                true => None,
                false => run.await.map_or_else(Some, |outcome| outcome.fault),
            };
            return Ended {
                hook,
                tenant,
                fault,
                asked_by: None,
            };
        };
        let reader = Reader::start(reply, logs);
        let began = Instant::now();
        let run = if waiting.cancel.is_cancelled() {
            Err("the member ends".to_owned())
        } else {
            self.run(&waiting.order, &waiting.cancel, logs, Some(&reader))
                .await
        };
        self.asked.set(self.asked.get() - 1);
        let fault = run
            .as_ref()
            .map_or_else(|why| Some(why.clone()), |o| o.fault.clone());
        reader.end(asked::answer(hook.name(), run, began.elapsed()));
        Ended {
            hook,
            tenant,
            fault,
            asked_by: Some(caller),
        }
    }

    /// What a run is told beside what all processes inherit.
    fn environment(&self, order: &Order) -> Environment {
        let around = self.around.borrow().clone();
        let mut order = order.clone();
        order.more.extend(variables(&self.shared.borrow()));
        environment(&self.own, around.as_deref(), &order)
    }

    async fn run(
        &self,
        order: &Order,
        cancel: &CancellationToken,
        logs: &Logs,
        reader: Option<&Reader>,
    ) -> Result<Outcome, String> {
        let Some(root) = self.root.as_deref() else {
            return Ok(Outcome::default());
        };
        let told = self.environment(order);
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
            reader,
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
        agent: std::env::current_exe().map_or_else(
            |_| "cartridge-agent".to_owned(),
            |path| path.to_string_lossy().into_owned(),
        ),
        state: settings.state_dir.to_string_lossy().into_owned(),
    }
}

impl Hooks {
    /// Begins with an empty queue; what ends is told to `ended`.
    pub fn start(settings: &Settings, logs: Logs, ended: impl AsyncFn(Ended) + 'static) -> Self {
        let (queue, mut orders) = mpsc::channel::<Waiting>(QUEUE);
        let keeper = Rc::new(Keeper::new(settings));
        let runner = Rc::clone(&keeper);
        tokio::task::spawn_local(async move {
            while let Some(waiting) = orders.recv().await {
                let run = runner.take(waiting, &logs).await;
                runner.wanted.set(runner.wanted.get() - 1);
                ended(run).await;
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
        self.enqueue(order, None)
    }

    /// The same for somebody who asks for it. False: too many wait.
    pub fn run_asked(&self, order: Order, asked: Asked) -> bool {
        let before = self.keeper.asked.get();
        if before == MOST_ASKED || !self.enqueue(order, Some(asked)) {
            return false;
        }
        self.keeper.asked.set(before + 1);
        true
    }

    fn enqueue(&self, order: Order, asked: Option<Asked>) -> bool {
        let waiting = Waiting {
            order,
            cancel: self.cancel.clone(),
            asked,
        };
        let taken = self.queue.try_send(waiting).is_ok();
        self.keeper
            .wanted
            .set(self.keeper.wanted.get() + usize::from(taken));
        taken
    }

    /// Tells what a run would be told, without secrets.
    pub fn show(&self, order: Order, reply: mpsc::Sender<Answer>) {
        let (keeper, user) = (Rc::clone(&self.keeper), self.keeper.user.clone());
        tokio::task::spawn_local(async move {
            let looked = tokio::task::spawn_blocking(move || account(user.as_ref())).await;
            let mut told = keeper.environment(&order).variables;
            match looked {
                Ok(Ok(account)) => told.extend(account.iter().flat_map(run::of_account)),
                Ok(Err(error)) => return drop(reply.send(Answer::NotRun(error.to_string())).await),
                Err(error) => return drop(reply.send(Answer::NotRun(error.to_string())).await),
            }
            for (name, value) in shown(&told) {
                let variable = Answer::Variable(Variable { name, value });
                if reply.send(variable).await.is_err() {
                    return;
                }
            }
        });
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

    /// What hooks are told from now on of what the application's cartridges share.
    pub fn tell_shared(&self, shared: ToldValues) {
        self.keeper.shared.replace(shared);
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
