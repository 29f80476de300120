//! The fetching process: the only place where libgit2 reads what strangers sent.
//!
//! The agent starts itself again under this name and talks to it over a pipe. Before the process reads a byte from a
//! stranger it gives up the network, other programs, other files and most memory; it is told neither addresses nor
//! credentials. The agent believes it nothing: every object is checked against its hash. It refuses to know
//! releases.

mod library;
mod objects;
mod packed;
mod pipe;
mod thrift;

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use cartridge_agent_plan::artifacts::talk::{Ask, FaultKind, Open, Say};
use git2::{AutotagOption, FetchOptions, Oid, RemoteCallbacks, Repository};

use super::channel::Channel;
use super::fault::plain;
use crate::host::sandbox::{self, Confinement, Reach};
use objects::Objects;
use pipe::Budget;

/// The first argument of a fetching process.
pub const NAME: &str = "fetching-process";
/// Room for what a fetch writes besides the pack itself.
const BESIDES: u64 = 64 << 20;
/// Longest that the process may use the processor in all its life.
const MOST_PROCESSOR: u64 = 3600;

pub(super) type Pipe = Rc<RefCell<Channel<File, File>>>;

/// What went wrong, to be told.
pub(super) struct Wrong(FaultKind, String);

impl Wrong {
    pub(super) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self(kind, text.into())
    }
}

impl From<git2::Error> for Wrong {
    fn from(error: git2::Error) -> Self {
        let kind = match (error.class(), error.code()) {
            (git2::ErrorClass::NoMemory, _) => FaultKind::TooMuch,
            (git2::ErrorClass::Os, _) => FaultKind::Local,
            _ => FaultKind::Damaged,
        };
        Self(kind, plain(error.message()))
    }
}

/// Serves the agent, if this process was started for that. To be asked first of all in `main`.
pub fn asked() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let called = words.next().as_deref() == Some(OsStr::new(NAME));
    called.then(|| match serve(words.next()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

fn serve(folder: Option<OsString>) -> io::Result<()> {
    // SAFETY: a plain call. Nothing but the standard streams is wanted here, whatever was inherited.
    unsafe { libc::close_range(3, u32::MAX, 0) };
    std::env::set_current_dir(folder.ok_or_else(|| io::Error::other("no folder to work in"))?)?;
    // SAFETY: plain calls, before any other allocation of note. Large blocks are given back at once.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
    }
    // Not through the buffers of the standard streams: they wait for the ends of lines.
    let from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let pipe: Pipe = Rc::new(RefCell::new(Channel::new(from, to)));
    let Ask::Open(open) = pipe.borrow_mut().hear()? else {
        return Err(io::Error::other("something else came before the opening"));
    };
    match begin(&open) {
        Ok((repository, confined)) => {
            // A folder of somebody else's is read and not tidied.
            let packs = if open.folder.is_none() {
                library::packs(&repository)
            } else {
                0
            };
            pipe.borrow_mut().say(&Say::Ready { confined, packs })?;
            answer(&repository, &open, &pipe)
        }
        Err(wrong) => tell(&pipe, wrong),
    }
}

fn tell(pipe: &Pipe, Wrong(kind, text): Wrong) -> io::Result<()> {
    pipe.borrow_mut().say(&Say::Fault { kind, text })
}

fn begin(open: &Open) -> Result<(Repository, Vec<String>), Wrong> {
    if open.folder.as_ref().is_some_and(|folder| !folder.is_dir()) {
        return Err(Wrong::new(FaultKind::NotARepository, "there is no such folder"));
    }
    thrift::prepare();
    let confined = sandbox::confine(&Confinement {
        folder: open.folder.as_deref().unwrap_or(Path::new(".")),
        reach: if open.folder.is_none() {
            Reach::Write
        } else {
            Reach::Read
        },
        user: open.user,
        memory: open.memory,
        processor: MOST_PROCESSOR,
        file_bytes: open.pack_bytes.saturating_add(BESIDES),
        required: open.required,
    });
    let confined = confined.map_err(|error| Wrong::new(FaultKind::Unconfined, error.to_string()))?;
    if let Err(error) = thrift::begin() {
        eprintln!("what was read is not given back: {error}");
    }
    library::prepare();
    let repository = match &open.folder {
        Some(folder) => Repository::open(folder)
            .map_err(|error| Wrong::new(FaultKind::NotARepository, plain(error.message())))?,
        None => library::open_bare()?,
    };
    Ok((repository, confined))
}

/// Answers until the agent is gone.
fn answer(repository: &Repository, open: &Open, pipe: &Pipe) -> io::Result<()> {
    let mut objects = Objects::new(repository, open)?;
    loop {
        let ask = match pipe.borrow_mut().hear() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let answered = match ask {
            Ask::Has(id) => {
                let known = Oid::from_bytes(id.as_bytes()).is_ok_and(|id| repository.find_commit(id).is_ok());
                pipe.borrow_mut().say(&Say::Answer(known))
            }
            Ask::Name(name) => match library::commit_of(repository, &name) {
                Ok(commit) => pipe.borrow_mut().say(&Say::Commit(commit)),
                Err(wrong) => tell(pipe, wrong),
            },
            Ask::Fetch {
                refspec,
                depth,
                stateless,
            } => match fetch(repository, open, pipe, (&refspec, depth), stateless) {
                Ok(()) => {
                    objects = Objects::new(repository, open)?;
                    pipe.borrow_mut().say(&Say::Fetched)
                }
                Err(wrong) => tell(pipe, wrong),
            },
            Ask::Object { id, most } => objects.answer(id, most, &mut pipe.borrow_mut()),
            Ask::Open(_) | Ask::Bytes(_) | Ask::Broken => Err(io::Error::other("nothing was asked for")),
        };
        answered?;
    }
}

fn fetch(
    repository: &Repository,
    open: &Open,
    pipe: &Pipe,
    (refspec, depth): (&str, i32),
    stateless: bool,
) -> Result<(), Wrong> {
    let budget = Rc::new(RefCell::new(Budget::new(open, pipe.clone())));
    pipe::register(pipe, &budget, stateless);
    let watched = budget.clone();
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(move |progress| {
        watched
            .borrow_mut()
            .goes_on(progress.received_bytes() as u64, progress.total_objects() as u64)
    });
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks)
        .download_tags(AutotagOption::None)
        .update_fetchhead(false)
        .depth(depth);
    let mut run = || {
        let mut there = repository.remote_anonymous(pipe::ADDRESS)?;
        there.fetch(&[refspec], Some(&mut options), Some("cartridge"))
    };
    let done = run();
    match budget.borrow_mut().wrong() {
        Some(wrong) => Err(wrong),
        None => Ok(done?),
    }
}
