//! Writes answers to standard output. Refuses to know what they say.

use std::io::{ErrorKind, Write};

/// Writes `text`; a reader that has gone, such as `head`, is no fault.
pub fn out(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
