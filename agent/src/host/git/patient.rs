//! A socket to another process, read and written with patience that ends. It refuses to know who is at the other end.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::Stop;

/// How often a stop is looked for while nothing happens.
const SLICE: Duration = Duration::from_millis(200);

/// Ends with `TimedOut` after a silence, and with another error at a stop.
pub(super) struct Patient {
    stream: UnixStream,
    stop: Stop,
    silence: Duration,
}

impl Patient {
    pub(super) fn new(stream: UnixStream, stop: &Stop, silence: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(SLICE))?;
        Ok(Self {
            stream,
            stop: stop.clone(),
            silence,
        })
    }

    /// The same socket again, for the other direction.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            stop: self.stop.clone(),
            silence: self.silence,
        })
    }

    fn wait<T>(&mut self, mut what: impl FnMut(&mut UnixStream) -> io::Result<T>) -> io::Result<T> {
        let begun = Instant::now();
        loop {
            match what(&mut self.stream) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.stop.is_raised() {
                        return Err(io::Error::other("told to stop"));
                    }
                    if begun.elapsed() >= self.silence {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(|stream| stream.read(buffer))
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
