//! libgit2 as it is used here, and the repository that it keeps. It refuses to know where objects come from.

use std::fs;
use std::sync::Once;

use cartridge_agent_plan::artifacts::object::ObjectId;
use git2::{ConfigLevel, ErrorCode, ObjectType, Repository};

use super::Wrong;

/// How much of a pack is mapped at a time, and in all.
const WINDOW: usize = 1 << 20;
const WINDOWS: usize = 8 << 20;

/// Once, before any other call into libgit2: no configuration from outside takes part, and memory is not spent on
/// what is looked at once.
pub(super) fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for level in [
            ConfigLevel::ProgramData,
            ConfigLevel::System,
            ConfigLevel::XDG,
            ConfigLevel::Global,
        ] {
            // SAFETY: this process has one thread.
            unsafe { git2::opts::set_search_path(level, "") }.expect("a search path can be emptied");
        }
        // SAFETY: as above. The repository is the agent's, but this process is another user.
        unsafe { git2::opts::set_verify_owner_validation(false) }.expect("libgit2 knows this option");
        git2::opts::enable_caching(false);
        // The agent takes every hash itself; what arrives from a server is hashed when it is indexed.
        git2::opts::strict_hash_verification(false);
        // SAFETY: as above.
        unsafe {
            git2::opts::set_mwindow_size(WINDOW).expect("libgit2 knows this option");
            git2::opts::set_mwindow_mapped_limit(WINDOWS).expect("libgit2 knows this option");
        }
    });
}

/// The bare repository in the working directory, made where there is none.
pub(super) fn open_bare() -> Result<Repository, Wrong> {
    match Repository::open_bare(".") {
        Ok(repository) => Ok(repository),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(Repository::init_bare(".")?),
        Err(error) => Err(local(&error)),
    }
}

/// Our own copy is in the way.
fn local(error: &git2::Error) -> Wrong {
    let kind = cartridge_agent_plan::artifacts::talk::FaultKind::Local;
    Wrong::new(kind, super::plain(error.message()))
}

/// The commit that a full name means, if there is such a name.
pub(super) fn commit_of(repository: &Repository, name: &str) -> Result<Option<ObjectId>, Wrong> {
    let reference = match repository.find_reference(name) {
        Ok(reference) => reference,
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let commit = reference.peel(ObjectType::Commit)?.id();
    Ok(commit.as_bytes().try_into().ok().map(ObjectId::from_bytes))
}

/// Removes what interrupted fetches left among the packs; says how many packs there are.
pub(super) fn packs(repository: &Repository) -> u64 {
    let Ok(entries) = fs::read_dir(repository.path().join("objects/pack")) else {
        return 0;
    };
    let mut count = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        match path.extension().and_then(|word| word.to_str()) {
            Some("pack") => count += 1,
            Some("idx" | "keep" | "rev" | "bitmap" | "mtimes") => {}
            // A leftover that cannot be removed only takes room.
            _ => drop(fs::remove_file(&path)),
        }
    }
    count
}
