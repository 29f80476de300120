//! Lines of bounded length from a pipe.
//!
//! A line that is too long is skipped without being stored. This file refuses to know what a line says.

use cartridge_protocol::plugin::MAX_LINE_BYTES;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What the pipe gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line, without its newline.
    Whole(Vec<u8>),
    /// A line of so many bytes, skipped.
    TooLong(usize),
    /// The other side closed the pipe. What came after the last newline was cut and is no line.
    End,
}

/// Reads the next line.
pub(crate) async fn next_line<R: AsyncBufRead + Unpin>(input: &mut R) -> std::io::Result<Line> {
    let mut line = Vec::new();
    let mut length = 0_usize;
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::End);
        }
        let newline = available.iter().position(|b| *b == b'\n');
        let taken = newline.unwrap_or(available.len());
        length = length.saturating_add(taken);
        if length < MAX_LINE_BYTES {
            line.extend_from_slice(&available[..taken]);
        } else {
            line = Vec::new();
        }
        input.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(if length < MAX_LINE_BYTES {
                Line::Whole(line)
            } else {
                Line::TooLong(length)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        let mut text = vec![b'x'; MAX_LINE_BYTES];
        text.extend_from_slice(b"\nnext\ncut");
        let mut input = tokio::io::BufReader::new(text.as_slice());
        assert_eq!(
            next_line(&mut input).await.unwrap(),
            Line::TooLong(MAX_LINE_BYTES)
        );
        assert_eq!(
            next_line(&mut input).await.unwrap(),
            Line::Whole(b"next".to_vec())
        );
        assert_eq!(next_line(&mut input).await.unwrap(), Line::End);
    }
}
