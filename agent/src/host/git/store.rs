//! A repository's objects, handed over by a fetching process and checked against their hashes: whatever became of
//! that process, what comes out of here is what the commit says. It refuses to know what is done with objects.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::time::Duration;

use cartridge_agent_plan::artifacts::object::{ObjectId, ObjectKind};
use cartridge_agent_plan::artifacts::talk::{Ask, FaultKind, MAX_PIECE, MAX_REQUEST, Open, Say};
use cartridge_protocol::CommitId;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::address::{self, Address};
use super::carrier::Carrier;
use super::fault::{Fault, GitError, plain};
use super::process::{self, Process};
use super::{BRANCH_REF, COMMIT_REF, Remote, Stop};

/// Least patience with a silent process.
const LEAST_SILENCE: Duration = Duration::from_secs(30);
/// Objects that are asked for before the first of them was answered. So many questions fit into the pipe many times.
const AHEAD: usize = 32;
/// libgit2's word for "the whole history, also where it was cut off before".
pub(crate) const UNSHALLOW: i32 = i32::MAX;

/// Why an object was not had.
#[derive(Debug)]
pub(crate) enum NoObject {
    /// It is not there.
    Missing,
    /// It has so many bytes.
    Larger(u64),
    /// Its bytes are not those of its hash.
    Forged,
    /// It could not be written on.
    Unwritten(io::Error),
    /// The fetching process, or the stop.
    Git(GitError),
}

/// The objects that are at hand.
pub(crate) struct Store {
    process: RefCell<Process>,
    packs: u64,
}

impl Store {
    /// Starts a fetching process for the bare repository in `folder`, or for the folder that the remote is.
    pub(crate) fn open(folder: &Path, remote: &Remote, stop: &Stop) -> Result<Self, GitError> {
        let rules = &remote.rules;
        let address = address::accept(remote)?;
        let limits = rules.limits;
        let there = (address.url.scheme() == "file")
            .then(|| address.url.to_file_path())
            .and_then(Result::ok);
        let user = match there {
            Some(_) => None,
            None => process::prepare(folder, rules.confinement.user)?,
        };
        let silence = LEAST_SILENCE.max(Duration::from_secs(limits.patience + limits.work));
        let working = if there.is_some() { Path::new("/") } else { folder };
        let mut process = Process::start(working, stop, silence, address::shown(address.url.as_str()))?;
        let is_there = there.is_some();
        process.say(&Ask::Open(Open {
            folder: there,
            user,
            required: rules.confinement.required,
            memory: limits.memory,
            work: limits.work,
            pack_bytes: limits.pack_bytes,
            objects: limits.objects,
        }))?;
        match process.hear()? {
            Say::Ready { confined, packs } => {
                process::tell_once(&confined, is_there);
                Ok(Self {
                    process: RefCell::new(process),
                    packs,
                })
            }
            other => Err(process.unexpected(other)),
        }
    }

    /// How many packs there are.
    pub(crate) fn packs(&self) -> u64 {
        self.packs
    }

    /// Whether this commit is at hand.
    pub(crate) fn knows(&self, commit: &CommitId, remote: &Remote) -> Result<bool, GitError> {
        self.has(object_id(commit, &address::accept(remote)?)?)
    }

    fn has(&self, commit: ObjectId) -> Result<bool, GitError> {
        let mut process = self.process.borrow_mut();
        process.say(&Ask::Has(commit))?;
        match process.hear()? {
            Say::Answer(known) => Ok(known),
            other => Err(process.unexpected(other)),
        }
    }

    /// The commit that a full name means.
    pub(super) fn named(&self, name: String) -> Result<Option<ObjectId>, GitError> {
        let mut process = self.process.borrow_mut();
        process.say(&Ask::Name(name))?;
        match process.hear()? {
            Say::Commit(commit) => Ok(commit),
            other => Err(process.unexpected(other)),
        }
    }

    /// Brings `commit`, with as little history as the server allows.
    ///
    /// The head of the branch if that is it, else the commit by its hash, else the branch's whole history.
    pub(crate) fn fetch(&self, remote: &Remote, commit: &CommitId, stop: &Stop) -> Result<(), GitError> {
        let address = address::accept(remote)?;
        let id = object_id(commit, &address)?;
        let unknown = || GitError::UnknownCommit {
            url: address::shown(address.url.as_str()),
            branch: remote.branch.clone(),
            commit: commit.clone(),
        };
        if address.url.scheme() == "file" {
            return if self.has(id)? { Ok(()) } else { Err(unknown()) };
        }
        let shown = || address::shown(address.url.as_str());
        let mut carrier = Carrier::new(remote, &address, stop)?;
        let list = carrier.list().map_err(|fault| fault.at(shown()))?;
        let (tip, by_hash) = (list.tip(), list.gives_by_hash());
        let branch = format!("+{}:{BRANCH_REF}", list.name());
        if tip == Some(id) {
            self.download(&mut carrier, &branch, 1, &address)?;
        } else if by_hash {
            match self.download(&mut carrier, &format!("+{commit}:{COMMIT_REF}"), 1, &address) {
                Err(error) if error.is_about_access() => return Err(error),
                Err(error) => tracing::debug!(%error, "the server does not give out this commit by its hash"),
                Ok(()) => {}
            }
        }
        if self.has(id)? {
            return Ok(());
        }
        if tip.is_none() {
            return Err(super::no_such_branch(remote, &address, carrier.is_empty()));
        }
        self.download(&mut carrier, &branch, UNSHALLOW, &address)?;
        if self.has(id)? { Ok(()) } else { Err(unknown()) }
    }

    /// Brings so many generations of this commit's history; the largest number: all of it.
    pub(crate) fn deepen(
        &self,
        remote: &Remote,
        commit: &CommitId,
        depth: i32,
        stop: &Stop,
    ) -> Result<(), GitError> {
        let address = address::accept(remote)?;
        if address.url.scheme() == "file" {
            return Ok(());
        }
        let id = object_id(commit, &address)?;
        let mut carrier = Carrier::new(remote, &address, stop)?;
        let list = carrier
            .list()
            .map_err(|fault| fault.at(address::shown(address.url.as_str())))?;
        let refspec = match list.tip() == Some(id) || !list.gives_by_hash() {
            true => format!("+{}:{BRANCH_REF}", list.name()),
            false => format!("+{commit}:{COMMIT_REF}"),
        };
        self.download(&mut carrier, &refspec, depth, &address)
    }

    fn download(
        &self,
        carrier: &mut Carrier,
        refspec: &str,
        depth: i32,
        address: &Address,
    ) -> Result<(), GitError> {
        let mut process = self.process.borrow_mut();
        process.say(&Ask::Fetch {
            refspec: refspec.to_owned(),
            depth,
            stateless: carrier.is_stateless(),
        })?;
        let mut fault: Option<Fault> = None;
        loop {
            match process.hear()? {
                Say::Alive => {}
                Say::List => pass_on(&mut process, &mut fault, carrier.list_again())?,
                Say::Send(bytes) if bytes <= MAX_REQUEST => {
                    let request = process.take(bytes)?;
                    if let Err(error) = carrier.send(&request) {
                        fault.get_or_insert(error);
                    }
                }
                Say::Take(most) => {
                    let most = usize::try_from(most.min(MAX_PIECE)).unwrap_or(usize::MAX);
                    pass_on(&mut process, &mut fault, carrier.take(most).map(Vec::from))?;
                }
                Say::Fetched => return Ok(()),
                other => {
                    let said = process.unexpected(other);
                    // What the server did wrong is the cause, what the process makes of it the consequence.
                    return Err(fault.map_or(said, |fault| fault.at(address::shown(address.url.as_str()))));
                }
            }
        }
    }

    /// An object of at most so many bytes.
    pub(crate) fn object(&self, id: ObjectId, most: u64) -> Result<(ObjectKind, Vec<u8>), NoObject> {
        let mut all = Vec::new();
        let kind = self.copy(id, most, |piece, size| {
            all.reserve_exact(if all.is_empty() { size } else { 0 });
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok((kind, all))
    }

    /// An object of at most so many bytes, piece by piece; `piece` is told the size of the whole, too. What was
    /// passed on is worth nothing unless this succeeds.
    pub(crate) fn copy(
        &self,
        id: ObjectId,
        most: u64,
        piece: impl FnMut(&[u8], usize) -> io::Result<()>,
    ) -> Result<ObjectKind, NoObject> {
        let mut process = self.process.borrow_mut();
        process.say(&Ask::Object { id, most }).map_err(NoObject::Git)?;
        answer(&mut process, (id, most), piece)
    }

    /// Objects of at most so many bytes each, in this order, each asked for before those ahead of it were answered: the
    /// process reads one while another is looked at. What cannot be had is left out; who asks for it alone is told why.
    /// `take` says whether more are wanted.
    pub(crate) fn objects(
        &self,
        ids: &[ObjectId],
        most: u64,
        mut take: impl FnMut(ObjectId, ObjectKind, &[u8]) -> bool,
    ) {
        let mut process = self.process.borrow_mut();
        let (mut asked, mut wanted) = (0, true);
        for (answered, id) in ids.iter().enumerate() {
            while wanted && asked < ids.len().min(answered + AHEAD) {
                if process
                    .say_with_others(&Ask::Object { id: ids[asked], most })
                    .is_err()
                {
                    return;
                }
                asked += 1;
            }
            if answered == asked {
                return;
            }
            // What was asked for has to be heard, whether it is wanted or not.
            let mut all = Vec::new();
            let kind = answer(&mut process, (*id, most), |piece, size| {
                if wanted {
                    all.reserve_exact(if all.is_empty() { size } else { 0 });
                    all.extend_from_slice(piece);
                }
                Ok(())
            });
            wanted = wanted && kind.is_ok_and(|kind| take(*id, kind, &all));
        }
    }
}

/// Hears what was asked for last; who is gone has been noticed by then.
fn answer(
    process: &mut Process,
    (id, most): (ObjectId, u64),
    mut piece: impl FnMut(&[u8], usize) -> io::Result<()>,
) -> Result<ObjectKind, NoObject> {
    let (kind, bytes) = match process.hear().map_err(NoObject::Git)? {
        Say::Object { kind, bytes } if bytes <= most => (kind, bytes),
        Say::Object { bytes, .. } | Say::Larger(bytes) => return Err(NoObject::Larger(bytes)),
        Say::Missing => return Err(NoObject::Missing),
        other => return Err(NoObject::Git(process.unexpected(other))),
    };
    let size = usize::try_from(bytes).map_err(|_| NoObject::Larger(bytes))?;
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(format!("{} {bytes}\0", kind.name()).as_bytes());
    let mut unwritten = None;
    process
        .stream(bytes, |part| {
            hash.update(part);
            if unwritten.is_none()
                && let Err(error) = piece(part, size)
            {
                unwritten = Some(error);
            }
            Ok(())
        })
        .map_err(NoObject::Git)?;
    match unwritten {
        Some(error) => Err(NoObject::Unwritten(error)),
        None if hash.finish().as_ref() == id.as_bytes() => Ok(kind),
        None => Err(NoObject::Forged),
    }
}

fn pass_on(
    process: &mut Process,
    fault: &mut Option<Fault>,
    piece: Result<Vec<u8>, Fault>,
) -> Result<(), GitError> {
    match piece {
        Ok(piece) => process.give(&Ask::Bytes(piece.len() as u64), &piece),
        Err(error) => {
            fault.get_or_insert(error);
            process.say(&Ask::Broken)
        }
    }
}

/// Only SHA-1: what Git calls objects everywhere but in experiments.
fn object_id(commit: &CommitId, address: &Address) -> Result<ObjectId, GitError> {
    commit.as_str().parse().map_err(|_| GitError::NotARepository {
        url: address::shown(address.url.as_str()),
        reason: "its commits are not named by SHA-1, and others are not read".to_owned(),
    })
}

/// What a process says went wrong.
pub(super) fn told(url: String, kind: FaultKind, text: &str) -> GitError {
    let reason = plain(text);
    match kind {
        FaultKind::Damaged => GitError::Damaged { url, reason },
        FaultKind::TooMuch => GitError::TooMuch { url, reason },
        FaultKind::NotARepository => GitError::NotARepository { url, reason },
        FaultKind::Local => GitError::Local {
            path: "repository".into(),
            reason,
        },
        FaultKind::Unconfined => GitError::Unconfined { reason },
    }
}
