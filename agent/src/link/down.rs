//! The stream of what is wanted: dial, greet, listen, back off, for ever.

use std::time::Duration;

use cartridge_agent_plan::backoff::{LINK_CAP, jittered};
use cartridge_protocol::Millis;
use cartridge_protocol::link::{Desired, Down, MAX_BODY_BYTES, PING_SECONDS};
use tokio::time::{sleep, timeout};

use super::{ANSWER, Link, LinkError, checked, decode};
use crate::host::clock::chance;

/// Silence that means that something between here and there swallows lines: that the other side is gone, the kernel
/// notices sooner, and that it hangs, the batches do.
const SILENCE: Duration = Duration::from_secs(PING_SECONDS + 5);

/// What the stream tells the agent.
#[derive(Debug)]
pub enum Told {
    /// This is wanted.
    Desired(Box<Desired>),
    /// The orchestrator can be reached, or could be and no longer can, and why.
    Reachable(Result<(), String>),
}

/// Listens until this life of the member is over. Every other fault is a reason to try again.
pub async fn listen(link: Link, tell: impl AsyncFn(Told)) {
    let mut joined = link.known;
    let mut tries = 0;
    loop {
        let ended = session(&link, &tell, &mut joined, &mut tries).await;
        match ended {
            LinkError::Fenced => return,
            // The token is tried again: the orchestrator may have been restored from elsewhere.
            LinkError::Unauthorized => joined = false,
            _ => {}
        }
        let wait = jittered(Millis(200), LINK_CAP, tries, chance());
        tries += 1;
        tracing::warn!(reason = %ended, %wait, "no link to the orchestrator; the application goes on");
        tell(Told::Reachable(Err(ended.to_string()))).await;
        sleep(Duration::from_millis(wait.0)).await;
    }
}

async fn session(link: &Link, tell: &impl AsyncFn(Told), joined: &mut bool, tries: &mut u32) -> LinkError {
    if !*joined {
        match link.join().await {
            Ok(answer) => {
                *joined = true;
                tell(Told::Reachable(Ok(()))).await;
                tell(Told::Desired(Box::new(answer.desired))).await;
            }
            Err(error) => return error,
        }
    }
    match stream(link, tell, tries).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn stream(link: &Link, tell: &impl AsyncFn(Told), tries: &mut u32) -> Result<Never, LinkError> {
    let request = link.as_member(link.client.get(format!("{}/stream", link.base)));
    let response = timeout(ANSWER, request.send())
        .await
        .map_err(|_| silent(ANSWER))??;
    let mut response = checked(response)?;
    tell(Told::Reachable(Ok(()))).await;
    let mut lines = BoundedLines::default();
    loop {
        // What has no end within the time is as good as silent, however many bytes drip.
        let line = timeout(SILENCE, lines.next(&mut response))
            .await
            .map_err(|_| silent(SILENCE))??;
        *tries = 0;
        match decode::<Down>(&line)? {
            Down::Ping => {}
            Down::Desired(desired) => tell(Told::Desired(desired)).await,
        }
    }
}

enum Never {}

fn silent(time: Duration) -> LinkError {
    LinkError::Unreachable(format!("it said nothing for {} s", time.as_secs()))
}

/// Lines of a body, each of bounded length.
#[derive(Default)]
struct BoundedLines {
    buffer: Vec<u8>,
    searched: usize,
}

impl BoundedLines {
    async fn next(&mut self, response: &mut reqwest::Response) -> Result<Vec<u8>, LinkError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                self.searched = 0;
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > MAX_BODY_BYTES {
                return Err(LinkError::Answer(format!(
                    "a line of more than {MAX_BODY_BYTES} bytes"
                )));
            }
            match response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Err(LinkError::Unreachable("it ended the stream".to_owned())),
            }
        }
    }
}
