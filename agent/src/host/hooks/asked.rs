//! A run that somebody asked for at the local socket: what they read along, bounded and without secrets, and how it went.
//!
//! Who reads slowly or not at all holds up neither the hook nor those that wait behind it. Refuses to know why they ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cartridge_protocol::local::{Answer, MAX_OUTPUT_BYTES, Output, OutputStream, Ran};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::run::{MOST_OUTPUT, Outcome};
use crate::host::logs::Logs;

/// What stands where more was written than is shown.
const CUT: &str = "(more was left out)\n";
/// In the order of their numbers.
const STREAMS: [OutputStream; 2] = [OutputStream::Out, OutputStream::Err];

/// Somebody who asked for a run.
pub struct Asked {
    /// For the answers.
    pub reply: mpsc::Sender<Answer>,
    /// Their user id.
    pub caller: u32,
}

/// They read along.
pub(super) struct Reader {
    shared: Arc<Shared>,
    reply: mpsc::Sender<Answer>,
    carrying: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    news: Notify,
}

#[derive(Default)]
struct Written {
    streams: [Stream; 2],
    /// Whole lines that wait to be sent.
    ready: Vec<(OutputStream, String)>,
    closed: bool,
}

struct Stream {
    /// A line that has not ended: a secret may stand in it.
    part: Vec<u8>,
    /// What may still come.
    left: usize,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            part: Vec::new(),
            left: MOST_OUTPUT,
        }
    }
}

/// Takes a copy of one stream of one program.
pub(super) struct Copied {
    shared: Arc<Shared>,
    stream: usize,
}

impl Copied {
    pub fn append(&self, bytes: &[u8]) {
        self.shared.change(|written| written.append(self.stream, bytes));
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Written)) {
        change(&mut self.written.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_one();
    }

    fn take(&self) -> (Vec<(OutputStream, String)>, bool) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut written.ready), written.closed)
    }
}

impl Written {
    fn append(&mut self, at: usize, bytes: &[u8]) {
        let stream = &mut self.streams[at];
        if self.closed || stream.left == 0 {
            return;
        }
        let taken = &bytes[..bytes.len().min(stream.left)];
        stream.left -= taken.len();
        stream.part.extend_from_slice(taken);
        let whole = stream
            .part
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let lines: Vec<u8> = stream.part.drain(..whole).collect();
        let is_cut = stream.left == 0;
        self.say(at, &lines);
        if is_cut {
            self.end_line(at);
            self.ready.push((STREAMS[at], CUT.to_owned()));
        }
    }

    /// What has no end of line by now has none.
    fn end_line(&mut self, at: usize) {
        let mut part = std::mem::take(&mut self.streams[at].part);
        if !part.is_empty() {
            part.push(b'\n');
            self.say(at, &part);
        }
    }

    fn say(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.ready.push((STREAMS[at], text));
        }
    }

    fn end_lines(&mut self) {
        for at in 0..STREAMS.len() {
            self.end_line(at);
        }
    }
}

impl Reader {
    pub fn start(reply: mpsc::Sender<Answer>, logs: &Logs) -> Self {
        let shared = Arc::<Shared>::default();
        let carrying = carry(Arc::clone(&shared), reply.clone(), logs.clone());
        Self {
            carrying: tokio::task::spawn_local(carrying),
            shared,
            reply,
        }
    }

    /// Copies of the next program's standard output and error.
    pub fn of_program(&self) -> [Copied; 2] {
        self.shared.change(Written::end_lines);
        [0, 1].map(|stream| Copied {
            shared: Arc::clone(&self.shared),
            stream,
        })
    }

    /// Tells how it went, after all that was written; nobody waits for that.
    pub fn end(self, answer: Answer) {
        self.shared.change(|written| {
            written.end_lines();
            written.closed = true;
        });
        tokio::task::spawn_local(async move {
            let _ = self.carrying.await;
            let _ = self.reply.send(answer).await;
        });
    }
}

async fn carry(shared: Arc<Shared>, reply: mpsc::Sender<Answer>, logs: Logs) {
    loop {
        let (ready, closed) = shared.take();
        for (stream, text) in ready {
            let text = logs.shown(text);
            for text in pieces(&text) {
                let text = text.to_owned();
                if reply.send(Answer::Output(Output { stream, text })).await.is_err() {
                    return;
                }
            }
        }
        if closed {
            return;
        }
        shared.news.notified().await;
    }
}

fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(MAX_OUTPUT_BYTES));
        text = rest;
        Some(piece).filter(|piece| !piece.is_empty())
    })
}

/// What is answered of a run.
pub(super) fn answer(hook: &str, run: Result<Outcome, String>, took: Duration) -> Answer {
    match run {
        Ok(Outcome { programs: 0, .. }) => Answer::NotRun(format!("this cartridge has no {hook}")),
        Ok(outcome) => Answer::Ran(Ran {
            hook: hook.to_owned(),
            programs: outcome.programs,
            exit: outcome.exit,
            fault: outcome.fault,
            took_ms: took.as_millis().try_into().unwrap_or(u64::MAX),
        }),
        Err(why) => Answer::NotRun(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(written: &mut Written) -> Vec<String> {
        written.ready.drain(..).map(|(_, text)| text).collect()
    }

    #[test]
    fn whole_lines_are_shown_as_they_come_and_the_rest_at_the_end() {
        let mut written = Written::default();
        written.append(0, b"one\ntw");
        written.append(1, b"other\n");
        assert_eq!(said(&mut written), ["one\n", "other\n"]);
        written.append(0, b"o\nthree");
        assert_eq!(said(&mut written), ["two\n"]);
        written.end_lines();
        assert_eq!(said(&mut written), ["three\n"]);
    }

    #[test]
    fn no_more_is_kept_than_of_any_hook_and_that_is_told() {
        let mut written = Written::default();
        for _ in 0..100 {
            written.append(0, &[b'x'; 4096]);
        }
        let said = said(&mut written);
        assert_eq!(said.len(), 2);
        assert_eq!((said[0].len(), said[1].as_str()), (MOST_OUTPUT + 1, CUT));
        written.append(1, b"still\n");
        assert_eq!(written.ready.len(), 1, "the other stream has its own bound");
    }

    #[test]
    fn pieces_are_short_and_nothing_is_lost_between_them() {
        let text = "ä".repeat(3 * MAX_OUTPUT_BYTES);
        let all: Vec<&str> = pieces(&text).collect();
        assert!(all.iter().all(|piece| piece.len() <= MAX_OUTPUT_BYTES));
        assert_eq!(all.concat(), text);
    }
}
