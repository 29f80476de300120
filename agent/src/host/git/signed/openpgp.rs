//! OpenPGP signatures, checked by gpgv in a confined process: without network, without anything to write to, as another
//! user where the agent is root, and with an end. It refuses to know keys.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use cartridge_agent_plan::artifacts::Confinement;
use cartridge_agent_plan::artifacts::commit::Signed;
use cartridge_agent_plan::artifacts::openpgp;

use super::super::confined::{self, Room, Running};
use super::super::fault::plain;
use super::super::patient::Patient;
use super::super::{Stop, process};
use super::{Unsigned, read_trusted, unusable};

const PROGRAM: &str = "gpgv";
/// Longest keyring.
const MAX_KEYRING: u64 = 16 << 20;
/// Longest check.
const WITHIN: Duration = Duration::from_secs(20);
/// Most processor time that it may use, seconds.
const PROCESSOR: u64 = 10;
/// Most memory.
const MEMORY: u64 = 128 << 20;
/// Most that it may say.
const MOST_WORDS: u64 = 64 << 10;

/// The fingerprint of the key that has signed.
pub(super) fn signer(
    signed: &Signed,
    keyring: &Path,
    confinement: Confinement,
    stop: &Stop,
) -> Result<String, Unsigned> {
    let keys = read_trusted(keyring, MAX_KEYRING).map_err(unusable(keyring))?;
    if keys.starts_with(b"-----BEGIN") {
        let why = "it is armoured, which gpgv does not read; `gpg --dearmor` makes a keyring of it";
        return Err(unusable(keyring)(why.to_owned()));
    }
    let program = confined::find(PROGRAM).ok_or_else(|| {
        let why = "gpgv is not installed, and without it OpenPGP signatures cannot be checked";
        Unsigned::Unknown(why.to_owned())
    })?;
    let broken = |error: io::Error| {
        if stop.is_raised() {
            return Unsigned::Stopped;
        }
        Unsigned::Unknown(plain(&format!("gpgv does not answer: {error}")))
    };
    let asked = ask(&program, signed, &keys, confinement, &stop.at_most(WITHIN));
    let (status, ended_well, words) = asked.map_err(broken)?;
    match openpgp::judge(&status, ended_well) {
        Ok(fingerprint) => Ok(plain(&fingerprint)),
        // Without a word about signatures it did not get as far as that.
        Err(_) if !status.contains("[GNUPG:]") && !ended_well && !words.contains("gpgv: ") => Err(
            Unsigned::Unknown(plain(&format!("gpgv does not work: {}", words.trim()))),
        ),
        Err(why) => Err(Unsigned::Commit(plain(&format!("has a signature that {why}")))),
    }
}

/// What gpgv says, whether it ended well, and its words for people.
fn ask(
    program: &Path,
    signed: &Signed,
    keys: &[u8],
    confinement: Confinement,
    stop: &Stop,
) -> io::Result<(String, bool, String)> {
    let mut command = confined::command(
        program,
        &Room {
            port: None,
            user: Some(confinement.user).filter(|id| *id != 0 && process::may_become_another()),
            memory: MEMORY,
            processor: PROCESSOR,
            required: confinement.required,
        },
    );
    command
        .args(["--homedir", "/nonexistent", "--status-fd", "1", "--keyring"])
        .args([confined::given(0), confined::given(1), "-".to_owned()]);
    let files = [
        confined::memory(keys)?,
        confined::memory(signed.signature.as_bytes())?,
    ];
    confined::give(&mut command, files);
    let (ours, theirs) = UnixStream::pair()?;
    command
        .stdin(Stdio::from(confined::memory(&signed.payload)?))
        .stdout(Stdio::from(OwnedFd::from(theirs)));
    let mut running = Running::start(command)?;
    let mut status = Vec::new();
    let mut said = Patient::new(ours, stop, WITHIN)?.take(MOST_WORDS);
    said.read_to_end(&mut status)?;
    let ended_well = running.wait().is_some_and(|status| status.success());
    let words = running.words(MOST_WORDS);
    Ok((String::from_utf8_lossy(&status).into_owned(), ended_well, words))
}
