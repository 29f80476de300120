//! The socket in the state folder: who may ask, how much, and for how long. Refuses to know the answers.
//!
//! It belongs to its owner alone, and who asks must be that user or root. Nothing here runs while nobody asks.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cartridge_protocol::local::{Answer, Ask, InvalidRequest, MAX_REQUEST_BYTES, Request, SOCKET};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// Callers at one time; others wait to be accepted.
const MOST_CALLERS: usize = 8;
/// Time for a caller to ask, and to take one line of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer as a whole.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Lines that may wait for a slow caller.
const QUEUE: usize = 64;

/// A question, and where its answers go. When all senders are gone the conversation is over.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub ask: Ask,
    /// User id of who asks.
    pub caller: u32,
    /// For the answers.
    pub reply: mpsc::Sender<Answer>,
}

/// Opens the socket and serves it: questions go to `asked`, which answers false when nobody takes them any more.
pub fn serve(folder: &Path, asked: impl AsyncFn(Asked) -> bool + 'static) -> io::Result<()> {
    let listener = bind(folder)?;
    let callers = Arc::new(Semaphore::new(MOST_CALLERS));
    let asked = std::rc::Rc::new(asked);
    tokio::task::spawn_local(async move {
        loop {
            let Ok(permit) = Arc::clone(&callers).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a caller at the local socket cannot be accepted");
                    tokio::time::sleep(PATIENCE).await;
                    continue;
                }
            };
            let asked = std::rc::Rc::clone(&asked);
            tokio::task::spawn_local(async move {
                if let Err(error) = talk(stream, &*asked).await {
                    tracing::debug!(%error, "a caller at the local socket has gone");
                }
                drop(permit);
            });
        }
    });
    Ok(())
}

/// The folder's socket, however long the folder's name is.
pub fn address(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// The folder, only to name what is in it.
pub fn open(folder: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(nix::libc::O_PATH | nix::libc::O_DIRECTORY)
        .open(folder)
}

/// Nobody else can reach it at any instant: it is made aside, closed to others, and renamed over what an agent that was
/// killed has left.
fn bind(folder: &Path) -> io::Result<UnixListener> {
    let folder = open(folder)?;
    let path = address(&folder);
    let aside = path.with_extension("new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, &path)?;
    Ok(listener)
}

async fn talk(stream: UnixStream, asked: &impl AsyncFn(Asked) -> bool) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    if !may_ask(caller, nix::unistd::geteuid().as_raw()) {
        return refuse(
            &mut writer,
            format!("user {caller} may not ask: only root and the agent's user may"),
        )
        .await;
    }
    let mut line = Vec::new();
    // One more byte than accepted tells that there are more.
    let mut reader = BufReader::new(reader).take(MAX_REQUEST_BYTES as u64 + 1);
    timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() <= MAX_REQUEST_BYTES {
        let fault = InvalidRequest::Unreadable("the line has no end".to_owned());
        return refuse(&mut writer, format!("the request {fault}")).await;
    }
    let request = match Request::parse(&line) {
        Ok(request) => request,
        Err(fault) => return refuse(&mut writer, format!("the request {fault}")).await,
    };
    let within = match request.ask {
        Ask::Sync { within_ms } | Ask::RunHook { within_ms, .. } | Ask::Share { within_ms, .. } => {
            Duration::from_millis(within_ms).min(LONGEST)
        }
        Ask::Upgrade { .. } => LONGEST,
        Ask::Status | Ask::HookEnvironment { .. } => PATIENCE,
    };
    let (reply, mut answers) = mpsc::channel(QUEUE);
    if !asked(Asked {
        ask: request.ask,
        caller,
        reply,
    })
    .await
    {
        return refuse(&mut writer, "the agent ends".to_owned()).await;
    }
    let answered = timeout(within, async {
        while let Some(answer) = answers.recv().await {
            write(&mut writer, &answer).await?;
        }
        Ok(())
    });
    match answered.await {
        Ok(written) => written,
        Err(_) => refuse(&mut writer, format!("nothing came of it within {within:?}")).await,
    }
}

const fn may_ask(caller: u32, agent: u32) -> bool {
    caller == 0 || caller == agent
}

async fn refuse(writer: &mut (impl AsyncWriteExt + Unpin), why: String) -> io::Result<()> {
    write(writer, &Answer::Refused(why)).await
}

async fn write(writer: &mut (impl AsyncWriteExt + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    timeout(PATIENCE, writer.write_all(&line)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_agents_user_may_ask_and_nobody_else() {
        assert!(may_ask(0, 1000) && may_ask(1000, 1000) && may_ask(0, 0));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0) && !may_ask(65_534, 1000));
    }
}
