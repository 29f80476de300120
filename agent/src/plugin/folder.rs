//! Looks into the folder of plugins. Which of its files are plugins, the plan knows.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cartridge_agent_plan::plugin::{Found, MAX_PLUGINS, Seen, SeenKind, choose, trusted};

/// Most entries looked at.
const MOST_ENTRIES: usize = 1024;

/// The plugins in a folder, in lexical order, and a line for people about everything that is left out.
pub fn look(folder: &Path) -> (Vec<Found>, Vec<String>) {
    let agent = nix::unistd::geteuid().as_raw();
    match entries(folder, agent) {
        Ok(seen) => {
            let (mut found, mut left) = choose(seen, agent);
            for (name, _) in found.drain(MAX_PLUGINS.min(found.len())..) {
                left.push(format!(
                    "{name} is left out: there are {MAX_PLUGINS} plugins before it"
                ));
            }
            (found, left)
        }
        Err(error) => (
            Vec::new(),
            vec![format!("{} is left out: {error}", folder.display())],
        ),
    }
}

fn entries(folder: &Path, agent: u32) -> io::Result<Vec<Seen>> {
    let about = std::fs::metadata(folder)?;
    trusted(about.mode(), about.uid(), agent).map_err(io::Error::other)?;
    std::fs::read_dir(folder)?
        .take(MOST_ENTRIES)
        .map(|entry| {
            let entry = entry?;
            let about = entry.metadata()?;
            let kind = about.file_type();
            Ok(Seen {
                name: entry.file_name().to_string_lossy().into_owned(),
                kind: if kind.is_file() {
                    SeenKind::File
                } else if kind.is_symlink() {
                    SeenKind::Link
                } else {
                    SeenKind::Other
                },
                mode: about.mode(),
                owner: about.uid(),
            })
        })
        .collect()
}
