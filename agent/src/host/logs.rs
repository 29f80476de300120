//! From a child's pipe into the ring of lines. Refuses to know who reads the ring.

use std::sync::{Arc, Mutex, PoisonError};

use cartridge_agent_plan::outbox::LogRing;
use cartridge_agent_plan::text::Lines;
use cartridge_protocol::link::MAX_TEXT_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The ring, shared by all readers of pipes.
#[derive(Clone)]
pub struct Logs(Arc<Mutex<LogRing>>);

impl Logs {
    /// Numbers begin after `base`.
    pub fn new(base: u64) -> Self {
        Self(Arc::new(Mutex::new(LogRing::new(base))))
    }

    /// Looks into the ring, or changes it. Nothing waits inside.
    pub fn with<T>(&self, look: impl FnOnce(&mut LogRing) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads `pipe` to its end, however much comes: beyond `most` bytes nothing is kept but a mark.
    pub async fn pump(self, pipe: impl AsyncRead + Unpin, stream: String, most: usize) {
        let mut pipe = pipe;
        let mut buffer = vec![0; 8 << 10];
        let mut lines = Lines::new(MAX_TEXT_BYTES);
        let mut left = most;
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let kept = count.min(left);
            if kept == 0 {
                continue;
            }
            left -= kept;
            self.with(|ring| {
                lines.take(&buffer[..kept], |line| ring.push(&stream, &line));
                if left == 0 {
                    ring.push(&stream, "(more output was not kept)");
                }
            });
        }
        if let Some(line) = lines.finish() {
            self.with(|ring| ring.push(&stream, &line));
        }
    }
}
