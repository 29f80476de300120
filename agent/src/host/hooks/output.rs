//! What a program wrote: the end of its standard error, for people who ask why it failed, and all of it, for somebody who
//! asked for the run and reads along. Refuses to conclude anything from it: a program that writes there has not failed.

use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use cartridge_agent_plan::text::one_line;
use tokio::io::{AsyncRead, ReadBuf};

use super::asked::Copied;

/// Bytes kept of the end.
const MOST: usize = 512;
/// Bytes of the last line that are told.
const MOST_TOLD: usize = 256;

/// The last bytes of a stream, shared with who reads it.
#[derive(Clone, Default)]
pub(super) struct End(Arc<Mutex<Vec<u8>>>);

impl End {
    /// The last line that was not empty.
    pub fn line(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let text = String::from_utf8_lossy(&bytes);
        let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        one_line(last.unwrap_or_default(), MOST_TOLD)
    }

    fn append(&self, bytes: &[u8]) {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(MOST)..];
        let over = (end.len() + bytes.len()).saturating_sub(MOST);
        end.drain(..over);
        end.extend_from_slice(bytes);
    }
}

/// A stream whose end is remembered, and which is shown, while somebody else reads it.
pub(super) struct Remembered<R> {
    pub pipe: R,
    pub end: End,
    pub shown: Option<Copied>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Remembered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buffer))?;
        let read = &buffer.filled()[before..];
        self.end.append(read);
        if let Some(shown) = &self.shown {
            shown.append(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsRawFd> AsRawFd for Remembered<R> {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn last_line(text: &[u8]) -> String {
        let end = End::default();
        let mut stream = Remembered {
            pipe: text,
            end: end.clone(),
            shown: None,
        };
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, text, "whoever reads gets all of it");
        end.line()
    }

    #[tokio::test]
    async fn the_last_line_that_says_something_is_remembered_whatever_came_before() {
        assert_eq!(last_line(b"").await, "");
        assert_eq!(last_line(b"first\nsecond \n\n").await, "second");
        assert_eq!(last_line(b"\x1b[31mred\xff").await, " [31mred\u{fffd}");
        let long = [vec![b'x'; 3 << 20], b"\nno such device\n".to_vec()].concat();
        assert_eq!(last_line(&long).await, "no such device");
        assert!(last_line(&vec![b'x'; 1 << 20]).await.len() <= MOST_TOLD);
    }
}
