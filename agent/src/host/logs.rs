//! From a child's pipe into the ring of entries. Refuses to know who reads the ring.
//!
//! A pipe is always read on, or the application would stand still: what is over the rate is counted and told instead.
//! One that brings more than can be counted without effort is read in steps with a pause between them, so that nothing
//! else in the agent waits for it.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cartridge_agent_plan::blot::Blot;
use cartridge_agent_plan::logs::lines::CUT_MARK;
use cartridge_agent_plan::logs::ring::LogRing;
use cartridge_agent_plan::logs::{Entry, Flow, JOIN_WITHIN, LogRules, Over};
use cartridge_protocol::link::MAX_LINE_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout_at};

use super::clock::Clock;
use super::follow::Taken;

/// Read at once.
const BUFFER: usize = 8 << 10;
/// Most read of a stream over its rate before a pause.
const STEP: usize = 256 << 10;
/// The pause: 50 MiB a second at most.
const PAUSE: Duration = Duration::from_millis(5);

/// The ring and the streams that are read, shared by all readers.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Mutex<Inner>>,
    rules: Arc<Mutex<Arc<LogRules>>>,
    clock: Clock,
    taken: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    ring: LogRing,
    open: BTreeMap<u64, Open>,
    blot: Blot,
    last: u64,
}

/// A pipe that is read.
struct Open {
    stream: String,
    flow: Flow,
    /// Its descriptor, which whoever reads it keeps open as long as this entry is here.
    fd: Option<RawFd>,
}

/// A pipe that another agent is to read on.
pub struct Handed {
    /// Its name.
    pub stream: String,
    /// What was read of it.
    pub flow: serde_json::Value,
    /// The pipe, once more.
    pub pipe: OwnedFd,
}

impl Logs {
    /// Numbers begin after `base`.
    pub fn new(base: u64, rules: LogRules, clock: Clock) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                ring: LogRing::new(base),
                ..Inner::default()
            })),
            rules: Arc::new(Mutex::new(Arc::new(rules))),
            clock,
            taken: Arc::default(),
        }
    }

    /// Looks into the ring, or changes it. Nothing waits inside.
    pub fn with<T>(&self, look: impl FnOnce(&mut LogRing) -> T) -> T {
        self.look(|inner| look(&mut inner.ring))
    }

    /// These secrets are struck out of what pipes bring from now on: hooks are told some, and may say them.
    pub fn blot(&self, secrets: Blot) {
        self.look(|inner| inner.blot = secrets);
    }

    /// What may be shown of a text that came through a pipe.
    pub fn shown(&self, text: String) -> String {
        self.look(|inner| inner.blot.over(&text, true)).unwrap_or(text)
    }

    /// Other rules count from now on, also for what is read already.
    pub fn follow_rules(&self, rules: LogRules) {
        self.look(|inner| {
            for open in inner.open.values_mut() {
                open.flow.change_rate(rules.rate);
            }
        });
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<LogRules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The clock that all readers go by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Entries may have left the ring: whoever follows files wants to know.
    pub fn tell_taken(&self) {
        if self.with(|ring| ring.has_taken()) {
            self.taken.notify_one();
        }
    }

    /// Waits until entries have left the ring since this was last asked.
    pub async fn taken(&self) {
        self.taken.notified().await;
    }

    /// Keeps what was read of files; tells whether much waits.
    pub fn keep(&self, taken: Vec<Taken>) -> bool {
        self.look(|inner| {
            for entry in taken {
                let text = blotted(&inner.blot, entry.text);
                inner.ring.push_file(&entry.stream, entry.sequence, &text);
            }
            inner.ring.is_much()
        })
    }

    /// Reads `pipe` to its end, however much comes: beyond `most` bytes nothing is kept but a mark.
    pub async fn pump(self, pipe: impl AsyncRead + Unpin, stream: String, most: usize) {
        let flow = Flow::new(self.rules().rate, Over::Dropped, JOIN_WITHIN, 0);
        self.pump_on(pipe, stream, most, flow).await;
    }

    /// The same for a pipe that another agent may have to read on.
    pub async fn pump_pipe(self, pipe: impl AsyncRead + AsRawFd + Unpin, stream: String, most: usize) {
        let flow = Flow::new(self.rules().rate, Over::Dropped, JOIN_WITHIN, 0);
        let fd = Some(pipe.as_raw_fd());
        self.follow(pipe, Open { stream, flow, fd }, most).await;
    }

    /// The same for a stream that somebody else read before, as far as `flow` says.
    pub async fn pump_on(self, pipe: impl AsyncRead + Unpin, stream: String, most: usize, flow: Flow) {
        let fd = None;
        self.follow(pipe, Open { stream, flow, fd }, most).await;
    }

    /// Reads on what another agent has read so far; the result ends with the pipe.
    pub fn go_on(&self, handed: Handed, most: usize) -> std::io::Result<JoinHandle<()>> {
        let pipe = Receiver::from_owned_fd(handed.pipe)?;
        let fresh = || Flow::new(self.rules().rate, Over::Dropped, JOIN_WITHIN, 0);
        let open = Open {
            stream: handed.stream,
            flow: serde_json::from_value(handed.flow).unwrap_or_else(|_| fresh()),
            fd: Some(pipe.as_raw_fd()),
        };
        let logs = self.clone();
        Ok(tokio::spawn(async move { logs.follow(pipe, open, most).await }))
    }

    /// Every pipe that another agent has to read on.
    pub fn handed(&self) -> std::io::Result<Vec<Handed>> {
        self.look(|inner| {
            let pipes = inner.open.values().filter_map(|open| Some((open, open.fd?)));
            let handed = |(open, fd): (&Open, RawFd)| {
                // SAFETY: whoever reads it has removed the entry before it closes the pipe, on this very thread.
                let pipe = unsafe { BorrowedFd::borrow_raw(fd) };
                Ok(Handed {
                    stream: open.stream.clone(),
                    flow: serde_json::to_value(&open.flow)?,
                    pipe: pipe.try_clone_to_owned()?,
                })
            };
            pipes.map(handed).collect()
        })
    }

    async fn follow(self, mut pipe: impl AsyncRead + Unpin, open: Open, most: usize) {
        let id = self.look(|inner| {
            inner.last += 1;
            inner.open.insert(inner.last, open);
            inner.last
        });
        self.read(&mut pipe, id, most).await;
        let (rules, now) = (self.rules(), self.clock.now());
        let start = rules.start.as_ref();
        self.flow(id, |flow, entries| flow.finish(now, start, entries));
        self.look(|inner| inner.open.remove(&id));
        drop(pipe);
    }

    /// Every pipe that is read, and how far.
    pub fn flows(&self) -> Vec<(String, Flow)> {
        self.look(|inner| {
            let open = inner.open.values();
            open.map(|open| (open.stream.clone(), open.flow.clone()))
                .collect()
        })
    }

    async fn read(&self, mut pipe: impl AsyncRead + Unpin, id: u64, most: usize) {
        let mut buffer = vec![0; BUFFER];
        let (mut left, mut step) = (most, 0);
        loop {
            let due = self.look(|inner| inner.open.get(&id).and_then(|open| open.flow.due()));
            let read = pipe.read(&mut buffer);
            let read = match due {
                None => Some(read.await),
                Some(at) => timeout_at(self.clock.instant(at), read).await.ok(),
            };
            let now = self.clock.now();
            self.flow(id, |flow, entries| flow.tick(now, entries));
            let count = match read {
                None => continue,
                Some(Ok(count @ 1..)) => count,
                Some(_) => return,
            };
            let kept = count.min(left);
            left -= kept;
            let over = self.take(id, &buffer[..kept]);
            if left == 0 && kept > 0 {
                self.look(|inner| {
                    let Inner { ring, open, .. } = inner;
                    let stream = open.get(&id).map_or("", |open| &open.stream);
                    ring.push(stream, "(more output was not kept)");
                });
            }
            step += count;
            if step >= STEP {
                step = 0;
                if over || left == 0 {
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether more comes than the rate allows.
    fn take(&self, id: u64, bytes: &[u8]) -> bool {
        let (rules, now) = (self.rules(), self.clock.now());
        let start = rules.start.as_ref();
        let mut over = false;
        self.flow(id, |flow, entries| {
            flow.take(bytes, now, start, usize::MAX, entries);
            over = flow.is_over_rate();
        });
        over
    }

    fn flow(&self, id: u64, change: impl FnOnce(&mut Flow, &mut Vec<Entry>)) {
        let mut entries = Vec::new();
        self.look(|inner| {
            let Some(open) = inner.open.get_mut(&id) else {
                return;
            };
            change(&mut open.flow, &mut entries);
            for entry in entries {
                let text = blotted(&inner.blot, entry.text);
                inner.ring.push(&open.stream, &text);
            }
        });
    }

    fn look<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The text without secrets; where a line was cut, one may have been cut too.
fn blotted(blot: &Blot, text: String) -> String {
    match text.rfind(CUT_MARK) {
        Some(at) if text.len() + CUT_MARK.len() + 64 > MAX_LINE_BYTES => {
            let (kept, mark) = text.split_at(at);
            blot.over(kept, true)
                .map_or_else(|| text.clone(), |kept| kept + mark)
        }
        _ => blot.over(&text, false).unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cartridge_agent_plan::logs::Rate;
    use tokio::io::AsyncWriteExt;

    fn logs() -> Logs {
        let rules = LogRules {
            start: None,
            rate: Rate {
                lines: 10,
                bytes: 100_000,
            },
        };
        Logs::new(0, rules, Clock::start())
    }

    fn texts(logs: &Logs) -> Vec<String> {
        logs.with(|ring| ring.begin().into_iter().map(|line| line.text).collect())
    }

    #[tokio::test]
    async fn an_entry_is_there_soon_after_its_last_line_and_the_end_of_the_pipe_ends_it_at_once() {
        let logs = logs();
        let (mut writer, reader) = tokio::io::duplex(1 << 16);
        let pump = tokio::spawn(logs.clone().pump(reader, "out".to_owned(), usize::MAX));
        writer.write_all(b"boom\n\tat a\n\tat b\nne").await.unwrap();
        let there = async {
            while logs.with(|ring| ring.len()) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), there).await.unwrap();
        assert_eq!(texts(&logs), ["boom\n\tat a\n\tat b"]);
        assert_eq!(logs.flows().len(), 1);
        writer.write_all(b"xt").await.unwrap();
        drop(writer);
        pump.await.unwrap();
        assert_eq!(texts(&logs)[1..], ["next"]);
        assert!(logs.flows().is_empty());
    }

    #[tokio::test]
    async fn a_stream_goes_on_where_another_reader_stopped() {
        let (first, second) = (logs(), logs());
        let (mut writer, reader) = tokio::io::duplex(1 << 16);
        let pump = tokio::spawn(first.clone().pump(reader, "out".to_owned(), usize::MAX));
        writer.write_all(b"half a ").await.unwrap();
        let read = async {
            while first.flows().first().is_none_or(|(_, flow)| flow.position() < 7) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), read).await.unwrap();
        let (stream, flow) = first.flows().remove(0);
        pump.abort();
        second
            .clone()
            .pump_on(&b"line\n"[..], stream, usize::MAX, flow)
            .await;
        assert_eq!(texts(&second), ["half a line"]);
    }

    #[tokio::test]
    async fn output_beyond_the_most_is_read_and_not_kept() {
        let logs = logs();
        let text = "x".repeat(100) + "\n" + &"y".repeat(1 << 20);
        logs.clone().pump(text.as_bytes(), "hook".to_owned(), 101).await;
        assert_eq!(texts(&logs).len(), 2);
        assert!(texts(&logs).contains(&"(more output was not kept)".to_owned()));
    }
}
