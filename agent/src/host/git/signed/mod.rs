//! Whether a commit is signed by somebody who may: read from the commit's own bytes and the operator's file, anew each
//! time, so that a change of the file counts at once. It refuses to know what follows from the answer.

mod openpgp;
mod ssh;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cartridge_agent_plan::artifacts::commit::Commit;
use cartridge_agent_plan::artifacts::{Confinement, Signatures};

use super::Stop;

/// Why a commit does not count as signed.
#[derive(Debug)]
pub(crate) enum Unsigned {
    /// It is the commit. Trying again cannot help.
    Commit(String),
    /// It cannot be found out here: a program or a file is missing or wrong.
    Unknown(String),
    /// Told to give up.
    Stopped,
}

/// Who has signed this commit; none where nobody has to.
pub(crate) fn signer(
    commit: &Commit,
    wanted: &Signatures,
    confinement: Confinement,
    stop: &Stop,
) -> Result<Option<String>, Unsigned> {
    let signed = || {
        let none = || Unsigned::Commit("is not signed, and --signatures wants it to be".to_owned());
        commit.signed.as_ref().ok_or_else(none)
    };
    match wanted {
        Signatures::None => Ok(None),
        Signatures::Ssh(signers) => ssh::signer(signed()?, signers).map(Some),
        Signatures::OpenPgp(keyring) => openpgp::signer(signed()?, keyring, confinement, stop).map(Some),
    }
}

/// A file that says whom to trust: nobody but its owner may write to it, and that is root or the agent.
fn read_trusted(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let about = file.metadata().map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is not a file".to_owned());
    }
    if about.mode() & 0o022 != 0 {
        return Err(format!(
            "its mode is {:o}, and others than its owner may change it; make it 644",
            about.mode() & 0o7777
        ));
    }
    let owner = about.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(format!(
            "it belongs to user {owner}, who is neither root nor this agent"
        ));
    }
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it is longer than {most} bytes"));
    }
    Ok(bytes)
}

fn unusable(path: &Path) -> impl Fn(String) -> Unsigned + '_ {
    move |why| Unsigned::Unknown(format!("{} cannot be used: {why}", path.display()))
}
