//! Runs hooks, one at a time, in order, each with a deadline. Refuses to know when.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cartridge_agent_plan::lifecycle::Hook;
use cartridge_agent_plan::settings::Settings;
use cartridge_protocol::launch::key;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::child::{self, Group, Program};
use super::logs::Logs;

/// Output kept of one run.
const MOST_OUTPUT: usize = 64 << 10;
/// Time between asking a hook to end and ending it.
const GRACE: Duration = Duration::from_secs(5);
/// Hooks that may wait.
const QUEUE: usize = 8;

/// A hook has ended: which, and what went wrong.
pub type Ended = (Hook, Option<String>);

struct Order {
    hook: Hook,
    more: BTreeMap<String, String>,
    cancel: CancellationToken,
}

/// The queue of hooks.
pub struct Hooks {
    queue: mpsc::Sender<Order>,
    cancel: CancellationToken,
}

struct Runner {
    directory: Option<PathBuf>,
    work: PathBuf,
    environment: BTreeMap<String, String>,
    deadline: Duration,
    logs: Logs,
}

impl Hooks {
    /// Begins with an empty queue; what ends is told to `ended`.
    pub fn start(settings: &Settings, logs: Logs, ended: impl AsyncFn(Ended) + 'static) -> Self {
        let (queue, mut orders) = mpsc::channel::<Order>(QUEUE);
        let runner = Runner {
            directory: settings.hooks.clone(),
            work: settings.state_dir.clone(),
            environment: environment(settings),
            deadline: Duration::from_millis(settings.hook_within.0),
            logs,
        };
        let task = async move {
            while let Some(order) = orders.recv().await {
                let fault = runner.run(&order).await.err();
                ended((order.hook, fault)).await;
            }
        };
        tokio::task::spawn_local(task);
        Self {
            queue,
            cancel: CancellationToken::new(),
        }
    }

    /// Runs a hook after those that wait. False: too many wait.
    pub fn run(&self, hook: Hook, more: BTreeMap<String, String>) -> bool {
        self.queue
            .try_send(Order {
                hook,
                more,
                cancel: self.cancel.clone(),
            })
            .is_ok()
    }

    /// Ends the hook that runs and those that wait.
    pub fn cancel(&mut self) {
        self.cancel.cancel();
        self.cancel = CancellationToken::new();
    }
}

impl Runner {
    async fn run(&self, order: &Order) -> Result<(), String> {
        let Some(file) = self
            .directory
            .as_ref()
            .map(|d| d.join(format!("{}.sh", order.hook.name())))
        else {
            return Ok(());
        };
        if order.cancel.is_cancelled() || !file.exists() {
            return Ok(());
        }
        let mut environment = self.environment.clone();
        environment.insert("STRATOS_EVENT".to_owned(), order.hook.name().to_owned());
        environment.extend(order.more.clone());
        let program = Program {
            words: vec![file.to_string_lossy().into_owned()],
            directory: self.work.clone(),
            environment,
        };
        let (mut child, group) = child::spawn(&program, Stdio::null())
            .map_err(|e| format!("cannot be started: {e} (it needs a first line #! and the execute bit)"))?;
        self.read(&mut child, order.hook);
        let ended = tokio::select! {
            status = child.wait() => Some(child::how(status)),
            () = tokio::time::sleep(self.deadline) => None,
            () = order.cancel.cancelled() => {
                end(&mut child, group).await;
                return Err("was ended because the member ends".to_owned());
            }
        };
        match ended.as_deref() {
            Some("exit code 0") => Ok(()),
            Some(how) => Err(format!("ended with {how}")),
            None => {
                end(&mut child, group).await;
                Err(format!(
                    "took longer than {} s and was ended",
                    self.deadline.as_secs()
                ))
            }
        }
    }

    /// The readers outlive the hook: a server that it started may keep the pipe for ever, and nobody waits.
    fn read(&self, child: &mut tokio::process::Child, hook: Hook) {
        if let Some(pipe) = child.stdout.take() {
            tokio::spawn(self.logs.clone().pump(pipe, hook.name().to_owned(), MOST_OUTPUT));
        }
        if let Some(pipe) = child.stderr.take() {
            tokio::spawn(self.logs.clone().pump(pipe, hook.name().to_owned(), MOST_OUTPUT));
        }
    }
}

async fn end(child: &mut tokio::process::Child, group: Group) {
    group.term();
    let _ = timeout(GRACE, child.wait()).await;
    // Those that ignored the first signal, grandchildren too.
    group.kill();
    let _ = timeout(GRACE, child.wait()).await;
}

/// Stratos's names and ours: every launch parameter but the join token.
fn environment(settings: &Settings) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = settings
        .parameters
        .iter()
        .map(|(k, v)| (format!("STRATOS_{k}"), v.clone()))
        .collect();
    let path = settings.shelf.join("current").to_string_lossy().into_owned();
    all.insert(format!("STRATOS_{}", key::APPLICATION_PATH), path.clone());
    all.insert("STRATOS_APP_PATH".to_owned(), path.clone());
    all.insert("CARTRIDGE_RELEASE".to_owned(), path);
    all.insert(
        "STRATOS_PARAM_FILE_PATH".to_owned(),
        settings.state_dir.to_string_lossy().into_owned(),
    );
    all.insert("CARTRIDGE_MEMBER".to_owned(), settings.member.to_string());
    all
}
