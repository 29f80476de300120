//! Finds the files of a hook and looks whether they may be run. Refuses to know when, and what is fit: the plan knows.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use cartridge_agent_plan::hook::Hook;
use cartridge_agent_plan::hook::fitness::{self, BEGINNING, Facts, Kind, Unfit};

/// Folder of folders, one per hook.
const FOLDERS: &str = "hooks.d";
/// Where Stratos keeps hooks below its folder of extensions.
const STRATOS: &str = "bash";
/// Most programs of one hook.
const MOST: usize = 64;

/// Why a hook is not run.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// The file or its folder.
    #[error("{path} {unfit}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why.
        unfit: Unfit,
    },
    /// The file system refused.
    #[error("{path} cannot be read: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// More programs than anybody wants.
    #[error("{path} holds more than {MOST} programs")]
    TooMany {
        /// Which folder.
        path: PathBuf,
    },
}

/// Whether there is anything to run for this hook, fit or not.
pub fn is_there(root: &Path, hook: Hook) -> bool {
    file_of(root, hook).is_some() || std::fs::symlink_metadata(root.join(FOLDERS).join(hook.name())).is_ok()
}

/// The programs of a hook in the order in which they are run; none: the cartridge has none. All are looked at before
/// any is run.
pub fn programs(root: &Path, hook: Hook) -> Result<Vec<PathBuf>, NotRun> {
    let mut all = Vec::new();
    if let Some(file) = file_of(root, hook) {
        all.push(file);
    }
    let below = root.join(FOLDERS).join(hook.name());
    if std::fs::symlink_metadata(&below).is_ok() {
        all.extend(listed(&below)?);
    }
    if all.is_empty() {
        return Ok(all);
    }
    let within = canonical(root)?;
    fit_folder(root)?;
    for program in &all {
        fit(program, root, &within)?;
    }
    Ok(all)
}

/// `<name>.sh`, else the Java agent's name for it; beside the folders or where Stratos has it.
fn file_of(root: &Path, hook: Hook) -> Option<PathBuf> {
    let candidates = hook.names().flat_map(|name| {
        let file = format!("{name}.sh");
        [root.join(&file), root.join(STRATOS).join(&file)]
    });
    // A link that leads nowhere is there: it is told, not left out.
    candidates
        .into_iter()
        .find(|path| std::fs::symlink_metadata(path).is_ok())
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, NotRun> {
    fit_folder(folder)?;
    let io = |source| NotRun::Io {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if name.to_str().is_none_or(fitness::counts) {
            names.push(name);
        }
        if names.len() > MOST {
            return Err(NotRun::TooMany {
                path: folder.to_owned(),
            });
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn fit_folder(folder: &Path) -> Result<(), NotRun> {
    fitness::folder(&facts(folder)?, agent()).map_err(|unfit| not_run(folder, unfit))
}

fn fit(program: &Path, root: &Path, within: &Path) -> Result<(), NotRun> {
    let real = canonical(program)?;
    let unfit = |unfit| not_run(program, unfit);
    if !real.starts_with(within) {
        return Err(unfit(Unfit::LeadsOut(real.to_string_lossy().into_owned())));
    }
    // The folder that it really lies in, where that is not the one that was looked at.
    if let Some(folder) = real.parent().filter(|f| *f != within && *f != root) {
        fit_folder(folder)?;
    }
    fitness::file(&facts(&real)?, agent()).map_err(unfit)?;
    let named = fitness::interpreter(&beginning(&real)?).map_err(unfit)?;
    match named {
        Some(interpreter) if !Path::new(&interpreter).exists() => {
            Err(unfit(Unfit::InterpreterMissing(interpreter)))
        }
        _ => Ok(()),
    }
}

fn not_run(path: &Path, unfit: Unfit) -> NotRun {
    NotRun::Unfit {
        path: path.to_owned(),
        unfit,
    }
}

fn agent() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> NotRun {
    let path = path.to_owned();
    move |source| NotRun::Io { path, source }
}

fn canonical(path: &Path) -> Result<PathBuf, NotRun> {
    path.canonicalize().map_err(io(path))
}

fn facts(path: &Path) -> Result<Facts, NotRun> {
    let metadata = std::fs::metadata(path).map_err(io(path))?;
    let kind = if metadata.is_file() {
        Kind::File
    } else if metadata.is_dir() {
        Kind::Folder
    } else {
        Kind::Other
    };
    Ok(Facts {
        kind,
        mode: metadata.mode(),
        owner: metadata.uid(),
    })
}

fn beginning(path: &Path) -> Result<Vec<u8>, NotRun> {
    let file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(io(path))?;
    let mut bytes = Vec::with_capacity(BEGINNING);
    file.take(BEGINNING as u64)
        .read_to_end(&mut bytes)
        .map_err(io(path))?;
    Ok(bytes)
}
