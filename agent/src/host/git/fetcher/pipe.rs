//! libgit2's way to a server: over the pipe to the agent, which has the network. It refuses to know addresses,
//! credentials and protocols below Git's own, and never pushes.

use std::cell::RefCell;
use std::io::{self, Cursor, Read, Write};
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use cartridge_agent_plan::artifacts::talk::{Ask, FaultKind, MAX_PIECE, MAX_REQUEST, Open, Say};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use nix::time::{ClockId, clock_gettime};

use super::{Pipe, Wrong};

/// What libgit2 is told to fetch from.
pub(super) const ADDRESS: &str = "cartridge://agent/";
const SCHEME: &str = "cartridge";
/// Processor time between two signs of life.
const SIGN: Duration = Duration::from_millis(500);

/// What the fetch under way may still use.
pub(super) struct Budget {
    pipe: Pipe,
    work: Duration,
    pack_bytes: u64,
    objects: u64,
    begun: Duration,
    said: Duration,
    bytes: u64,
    wrong: Option<Wrong>,
}

impl Budget {
    pub(super) fn new(open: &Open, pipe: Pipe) -> Self {
        let begun = used();
        Self {
            pipe,
            work: Duration::from_secs(open.work),
            pack_bytes: open.pack_bytes,
            objects: open.objects,
            begun,
            said: begun,
            bytes: 0,
            wrong: None,
        }
    }

    /// Called again and again; false ends the fetch.
    pub(super) fn goes_on(&mut self, bytes: u64, objects: u64) -> bool {
        self.bytes = self.bytes.max(bytes);
        let now = used();
        let work = self.work + Duration::from_secs(self.bytes >> 20);
        let reason = if objects > self.objects {
            format!(
                "{objects} objects in one fetch; at most {} are accepted",
                self.objects
            )
        } else if self.bytes > self.pack_bytes {
            format!("more than {} bytes in one fetch", self.pack_bytes)
        } else if now.saturating_sub(self.begun) > work {
            format!("what takes more than {} s of work to read", work.as_secs())
        } else {
            if now.saturating_sub(self.said) > SIGN {
                self.said = now;
                return self.pipe.borrow_mut().say(&Say::Alive).is_ok();
            }
            return true;
        };
        self.wrong.get_or_insert(Wrong::new(FaultKind::TooMuch, reason));
        false
    }

    /// What ended the fetch, if it was ended from here.
    pub(super) fn wrong(&mut self) -> Option<Wrong> {
        self.wrong.take()
    }
}

/// Processor time that this process has used.
fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

thread_local! {
    /// libgit2 makes transports without telling them for whom.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

#[derive(Clone)]
struct Current {
    pipe: Pipe,
    budget: Rc<RefCell<Budget>>,
    stateless: bool,
}

/// From now on libgit2 fetches over this pipe.
pub(super) fn register(pipe: &Pipe, budget: &Rc<RefCell<Budget>>, stateless: bool) {
    CURRENT.set(Some(Current {
        pipe: pipe.clone(),
        budget: budget.clone(),
        stateless,
    }));
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let make = |remote: &git2::Remote<'_>| Transport::smart(remote, current()?.stateless, OverPipe);
        // SAFETY: this process has one thread, and no transport exists yet.
        unsafe { git2::transport::register(SCHEME, make) }.expect("the scheme is registered once");
    });
}

fn current() -> Result<Current, git2::Error> {
    CURRENT
        .with_borrow(Clone::clone)
        .ok_or_else(|| git2::Error::from_str("no fetch is under way"))
}

struct OverPipe;

impl SmartSubtransport for OverPipe {
    fn action(&self, _: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let current = current()?;
        match service {
            Service::UploadPackLs => {
                let list = ask(&current, &Say::List).map_err(|e| git2::Error::from_str(&e.to_string()))?;
                Ok(Box::new(Stream::new(list, !current.stateless)))
            }
            Service::UploadPack => Ok(Box::new(Stream::new(Vec::new(), true))),
            Service::ReceivePackLs | Service::ReceivePack => {
                Err(git2::Error::from_str("nothing is ever pushed from here"))
            }
        }
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// What the server says, after `there` is used up only if there is `more`; and what is to be said to it.
struct Stream {
    there: Cursor<Vec<u8>>,
    request: Vec<u8>,
    more: bool,
}

impl Stream {
    fn new(there: Vec<u8>, more: bool) -> Self {
        Self {
            there: Cursor::new(there),
            request: Vec::new(),
            more,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.there.read(buffer)?;
        if count > 0 || !self.more || buffer.is_empty() {
            return Ok(count);
        }
        let current = current().map_err(io::Error::other)?;
        if !self.request.is_empty() {
            let request = std::mem::take(&mut self.request);
            let message = Say::Send(request.len() as u64);
            current.pipe.borrow_mut().give(&message, &request)?;
        }
        let piece = ask(&current, &Say::Take(MAX_PIECE))?;
        let mut budget = current.budget.borrow_mut();
        let bytes = budget.bytes + piece.len() as u64;
        if !budget.goes_on(bytes, 0) {
            return Err(io::Error::other("the fetch is ended"));
        }
        self.there = Cursor::new(piece);
        self.there.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.request.len() + bytes.len()) as u64 > MAX_REQUEST {
            return Err(io::Error::other("the request grew too large"));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ask(current: &Current, message: &Say) -> io::Result<Vec<u8>> {
    let mut pipe = current.pipe.borrow_mut();
    pipe.say(message)?;
    match pipe.hear()? {
        Ask::Bytes(bytes) if bytes <= MAX_PIECE => pipe.take(bytes),
        Ask::Broken => Err(io::Error::other("the agent has ended the fetch")),
        _ => Err(io::Error::other("the agent answered something else")),
    }
}
