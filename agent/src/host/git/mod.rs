//! The agent's only use of Git: ask a branch for its head, and fetch a commit into a bare repository.
//!
//! It refuses to know working trees: nothing is ever checked out, no hook, filter, submodule or user
//! configuration of Git takes part (reliability T09). What a commit holds is written out by `shelf`.

mod address;
mod fault;
mod operation;
mod stop;
mod transport;
mod trust;
mod wire;

use std::path::PathBuf;
use std::sync::Once;

use cartridge_protocol::{CommitId, Secret};
use git2::{AutotagOption, ConfigLevel, Direction, FetchOptions, Oid, RemoteCallbacks, Repository};

pub use fault::GitError;
pub use stop::Stop;

use operation::Operation;

/// Most bytes that one fetch may bring.
const MAX_FETCH_BYTES: u64 = 4 << 30;
/// Most objects that one pack may announce.
const MAX_PACK_OBJECTS: usize = 2_000_000;
/// How much of a pack is mapped at a time.
const WINDOW_BYTES: usize = 16 << 20;
/// libgit2's word for "the whole history, also where it was cut off before".
const UNSHALLOW: i32 = i32::MAX;
/// Where the branch is kept in the bare repository.
const BRANCH_REF: &str = "refs/cartridge/branch";

/// A repository as the orchestrator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `https://`, `http://`, or `file://` where `allow_file` says so.
    pub url: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// User name, where the repository wants one.
    pub username: Option<String>,
    /// Password or token, where the repository wants one.
    pub password: Option<Secret>,
    /// Accept `file://`: for tests and one-machine set-ups only.
    pub allow_file: bool,
    /// A PEM file of certificate authorities to trust besides the machine's.
    pub roots: Option<PathBuf>,
}

/// The commit that the branch names now. Blocks: call it where blocking is allowed.
pub fn head(remote: &Remote, stop: &Stop) -> Result<CommitId, GitError> {
    prepare();
    let operation = Operation::begin(remote, stop)?;
    let run = || -> Result<Option<Oid>, git2::Error> {
        let mut there = git2::Remote::create_detached(operation.url())?;
        let connection = there.connect_auth(Direction::Fetch, None, None)?;
        let name = format!("refs/heads/{}", remote.branch);
        Ok(connection
            .list()?
            .iter()
            .find(|head| head.name() == name)
            .map(|head| head.oid()))
    };
    match run() {
        Ok(Some(oid)) => Ok(commit_id(oid)),
        Ok(None) => Err(GitError::UnknownBranch {
            url: operation.shown(),
            branch: remote.branch.clone(),
        }),
        Err(error) => Err(operation.explain(&error)),
    }
}

/// Opens the bare repository at `path`, making it where there is none.
pub(crate) fn open_bare(path: &std::path::Path) -> Result<Repository, GitError> {
    prepare();
    let local = |error: git2::Error| GitError::Local {
        path: path.to_path_buf(),
        reason: fault::plain(error.message()),
    };
    match Repository::open_bare(path) {
        Ok(repository) => Ok(repository),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Repository::init_bare(path).map_err(local),
        Err(error) => Err(local(error)),
    }
}

/// Brings `commit` into `repository`, with as little history as the server allows. Blocks.
///
/// The head of the branch is asked for first, then the commit by its hash, then the branch's whole history.
pub(crate) fn fetch(
    repository: &Repository,
    remote: &Remote,
    commit: &CommitId,
    stop: &Stop,
) -> Result<(), GitError> {
    prepare();
    let operation = Operation::begin(remote, stop)?;
    let branch = format!("+refs/heads/{}:{BRANCH_REF}", remote.branch);
    let hash = format!("+{commit}:refs/cartridge/commit");
    let shallow = if operation.is_file() { 0 } else { 1 };
    download(repository, &operation, &branch, shallow)?;
    if has(repository, commit) {
        return Ok(());
    }
    match download(repository, &operation, &hash, shallow) {
        Ok(()) => {}
        Err(error) if error.is_about_access() => return Err(error),
        Err(error) => tracing::debug!(%error, "the server gives no commits by hash"),
    }
    if !has(repository, commit) {
        download(
            repository,
            &operation,
            &branch,
            if operation.is_file() { 0 } else { UNSHALLOW },
        )?;
    }
    if has(repository, commit) {
        return Ok(());
    }
    Err(GitError::UnknownCommit {
        url: operation.shown(),
        branch: remote.branch.clone(),
        commit: commit.clone(),
    })
}

/// Whether `repository` holds this commit.
pub(crate) fn has(repository: &Repository, commit: &CommitId) -> bool {
    Oid::from_str(commit.as_str()).is_ok_and(|oid| repository.find_commit(oid).is_ok())
}

fn download(
    repository: &Repository,
    operation: &Operation,
    refspec: &str,
    depth: i32,
) -> Result<(), GitError> {
    let mut callbacks = RemoteCallbacks::new();
    callbacks.transfer_progress(|progress| {
        operation.goes_on(progress.received_bytes() as u64, progress.total_objects())
    });
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks)
        .download_tags(AutotagOption::None)
        .update_fetchhead(false)
        .depth(depth);
    let mut run = || {
        let mut there = repository.remote_anonymous(operation.url())?;
        there.fetch(&[refspec], Some(&mut options), Some("cartridge"))
    };
    run().map_err(|error| operation.explain(&error))?;
    if refspec.contains("refs/heads/") && repository.find_reference(BRANCH_REF).is_err() {
        return Err(GitError::UnknownBranch {
            url: operation.shown(),
            branch: operation.branch().to_owned(),
        });
    }
    Ok(())
}

fn commit_id(oid: Oid) -> CommitId {
    CommitId::new(oid.to_string()).expect("libgit2 prints full lower-case hashes")
}

/// Once, before any other call into libgit2: our transport for http and https, and no configuration from
/// outside (`url.*.insteadOf`, proxies and the like would undo the allow-list of addresses).
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for level in [
            ConfigLevel::ProgramData,
            ConfigLevel::System,
            ConfigLevel::XDG,
            ConfigLevel::Global,
        ] {
            // SAFETY: `Once` keeps every other call into libgit2 waiting: all go through `prepare`.
            unsafe { git2::opts::set_search_path(level, "") }.expect("a search path can be emptied");
        }
        // SAFETY: as above. The repositories are ours, but a sidecar may run under another user id.
        unsafe { git2::opts::set_verify_owner_validation(false) }.expect("libgit2 knows this option");
        // Every object is read once: a cache would only make the agent large. Packs are looked at through
        // windows, so that their size does not become the agent's.
        git2::opts::enable_caching(false);
        for set in [git2::opts::set_mwindow_size, git2::opts::set_mwindow_mapped_limit] {
            // SAFETY: as above.
            unsafe { set(WINDOW_BYTES) }.expect("libgit2 knows this option");
        }
        transport::register();
    });
}
