//! Runs the programs of one hook, one after the other, within one deadline. Refuses to know why it is run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cartridge_agent_plan::account::{Account, Wish};
use cartridge_agent_plan::ends::How;
use cartridge_agent_plan::hook::Hook;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::asked::Reader;
use super::find;
use super::output::{End, Remembered};
use super::warden::{self, CUT_SHORT, END, END_SOON, FORCE, GRACE};
use crate::host::account::account;
use crate::host::child::{self, Program};
use crate::host::logs::Logs;

/// Bytes kept of each of the two streams of one program.
pub const MOST_OUTPUT: usize = 64 << 10;
/// Time that the last lines of a hook that failed have to arrive.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The same for a hook that went well, where somebody reads along: a server that it started may keep the pipe.
const REST: Duration = Duration::from_millis(500);

/// All that a run needs.
pub(super) struct Run<'a> {
    pub hook: Hook,
    pub root: &'a Path,
    pub work: &'a Path,
    pub user: Option<&'a Wish>,
    pub environment: BTreeMap<String, String>,
    pub arguments: &'a [String],
    pub within: Duration,
    pub cancel: &'a CancellationToken,
    pub logs: &'a Logs,
    /// Who asked for the run and reads along.
    pub reader: Option<&'a Reader>,
}

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Programs that were run, the one that failed included.
    pub programs: usize,
    /// Exit code of the last of them; None: it ended in another way.
    pub exit: Option<i32>,
    /// What went wrong.
    pub fault: Option<String>,
}

/// Why one program failed.
enum Failed {
    /// In these words, with this exit code.
    How(String, Option<i32>),
    TookTooLong,
    Cancelled,
}

impl Run<'_> {
    /// Runs all programs up to the first that fails. An error: none was run.
    pub async fn all(mut self) -> Result<Outcome, String> {
        let (root, hook, user) = (self.root.to_owned(), self.hook, self.user.cloned());
        let looked = tokio::task::spawn_blocking(move || {
            let programs = find::programs(&root, hook).map_err(|e| e.to_string())?;
            let needed = user.filter(|_| !programs.is_empty());
            let account = account(needed.as_ref()).map_err(|e| e.to_string())?;
            Ok::<_, String>((programs, account))
        });
        let (programs, account) = looked
            .await
            .unwrap_or_else(|e| Err(format!("looking for it was cut short: {e}")))?;
        if let Some(account) = &account {
            self.environment.extend(of_account(account));
        }
        let deadline = Instant::now() + self.within;
        for (before, program) in programs.iter().enumerate() {
            let failed = match self.one(program, account.as_ref(), deadline).await {
                Ok(()) => continue,
                Err(failed) => failed,
            };
            let (what, exit) = match failed {
                Failed::How(how, exit) => (how, exit),
                Failed::Cancelled => ("was ended because the member ends".to_owned(), None),
                Failed::TookTooLong => {
                    let within = self.within.as_secs();
                    (format!("took longer than {within} s and was ended"), None)
                }
            };
            let fault = if programs.len() > 1 || !named_after(program, hook) {
                format!("{} {what}", program.display())
            } else {
                what
            };
            return Ok(Outcome {
                programs: before + 1,
                exit,
                fault: Some(fault),
            });
        }
        Ok(Outcome {
            programs: programs.len(),
            exit: (!programs.is_empty()).then_some(0),
            fault: None,
        })
    }

    async fn one(&self, program: &Path, account: Option<&Account>, deadline: Instant) -> Result<(), Failed> {
        if self.cancel.is_cancelled() {
            return Err(Failed::Cancelled);
        }
        let words = warden::words(
            self.hook.leaves_servers(),
            &account.into(),
            program,
            self.arguments,
        );
        let program = Program {
            words,
            directory: directory(self.work, account),
            environment: self.environment.clone(),
        };
        let (mut warden, group) = child::spawn(&program, Stdio::null())
            .map_err(|e| Failed::How(format!("cannot be started: {e}"), None))?;
        let last = End::default();
        let reading = self.read(&mut warden, &last);
        let in_time = tokio::select! {
            status = warden.wait() => Ok(status),
            () = sleep_until(deadline) => Err(Failed::TookTooLong),
            () = self.cancel.cancelled() => Err(Failed::Cancelled),
        };
        let status = match in_time {
            Ok(status) => status,
            Err(why) => {
                let ended = self.end(&mut warden, &why).await;
                // A warden that does not answer takes nobody along, but must not stay either.
                group.kill();
                match ended {
                    // The hook was in time; only what it left behind was not.
                    Some(Ok(status)) if status.code() != Some(CUT_SHORT.into()) => Ok(status),
                    _ => return Err(why),
                }
            }
        };
        let how = child::ended(status);
        if how == How::Code(0) {
            if self.reader.is_some() {
                let _ = timeout(REST, reading).await;
            }
            return Ok(());
        }
        let _ = timeout(LAST_WORDS, reading).await;
        let line = self.logs.shown(last.line());
        let exit = match how {
            How::Code(code) => Some(code),
            _ => None,
        };
        let said = if line.is_empty() {
            format!("ended with {how}")
        } else {
            format!("ended with {how}: {line}")
        };
        Err(Failed::How(said, exit))
    }

    /// Asks the warden to end everything, and waits for that: how it ended. A stop that comes meanwhile hurries it.
    async fn end(&self, warden: &mut Child, why: &Failed) -> Option<std::io::Result<ExitStatus>> {
        let tell = |warden: &Child, signal: Signal| {
            if let Some(pid) = warden.id().and_then(|pid| i32::try_from(pid).ok()) {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        };
        let soon = matches!(why, Failed::Cancelled);
        tell(warden, if soon { END_SOON } else { END });
        let patience = Instant::now() + GRACE + FORCE;
        tokio::select! {
            status = warden.wait() => return Some(status),
            () = self.cancel.cancelled(), if !soon => tell(warden, END_SOON),
            () = sleep_until(patience) => return None,
        }
        tokio::select! {
            status = warden.wait() => Some(status),
            () = sleep_until(patience) => None,
        }
    }

    /// The readers outlive the hook: a server that it started may keep the pipe for ever, and nobody waits.
    fn read(&self, warden: &mut Child, last: &End) -> impl Future<Output = ()> + use<> {
        let shown = self.reader.map(Reader::of_program);
        let [shown_out, shown_err] = shown.map_or([None, None], |both| both.map(Some));
        let out = warden.stdout.take().map(|pipe| Remembered {
            pipe,
            end: End::default(),
            shown: shown_out,
        });
        let err = warden.stderr.take().map(|pipe| Remembered {
            pipe,
            end: last.clone(),
            shown: shown_err,
        });
        let name = self.hook.name();
        let logs = || self.logs.clone();
        let reading = [
            out.map(|pipe| tokio::spawn(logs().pump_pipe(pipe, name.to_owned(), MOST_OUTPUT))),
            err.map(|pipe| tokio::spawn(logs().pump_pipe(pipe, name.to_owned(), MOST_OUTPUT))),
        ];
        async move {
            for task in reading.into_iter().flatten() {
                let _ = task.await;
            }
        }
    }
}

fn named_after(program: &Path, hook: Hook) -> bool {
    let stem = program.file_stem().and_then(|stem| stem.to_str());
    stem == Some(hook.name())
}

/// The agent's folder is not for others.
fn directory(work: &Path, account: Option<&Account>) -> PathBuf {
    match account {
        None => work.to_owned(),
        Some(_) => PathBuf::from("/"),
    }
}

pub(super) fn of_account(account: &Account) -> impl Iterator<Item = (String, String)> + use<> {
    let name = account.name.clone().unwrap_or_else(|| account.uid.to_string());
    [
        ("HOME", account.home.clone()),
        ("USER", name.clone()),
        ("LOGNAME", name),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
}
