//! The installation's keys, and what is derived from them: join tokens, sealed secrets, and tokens of applications.
//!
//! This file refuses to know who asks. Nothing here prints.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cartridge_protocol::{MemberId, Secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::tokens::Tokens;

const KEY_BYTES: usize = 32;
/// Binds a sealed text to its purpose.
const SEAL_CONTEXT: &[u8] = b"cartridge repository password 1";

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error(
        "{0} holds no key of {KEY_BYTES} bytes; restore it from a backup: without it sealed passwords are lost"
    )]
    NotAKey(String),
    /// The file of the key that signs tokens holds something else.
    #[error(
        "{0} holds no key that could sign tokens; restore it from a backup, or remove it: running members' tokens are void then"
    )]
    NoTokenKey(String),
    /// The system gave no randomness.
    #[error("the system's random source failed")]
    Random,
    /// A sealed text was made with another key, or altered.
    #[error("a sealed password does not open with this installation's key; enter the password again")]
    Sealed,
}

/// The installation's keys.
pub struct Identity {
    seal: LessSafeKey,
    join: ring::hmac::Key,
    random: SystemRandom,
    tokens: OnceLock<Arc<Tokens>>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(secret)")
    }
}

impl Identity {
    /// Reads the key from `<data>/installation.key`, or makes it there (mode 0600) at the first start.
    pub fn open(data: &Path) -> Result<Self, IdentityError> {
        let path = data.join("installation.key");
        let fault = |source| IdentityError::File {
            path: path.display().to_string(),
            source,
        };
        let random = SystemRandom::new();
        let key = match std::fs::read(&path) {
            Ok(key) => key,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let mut key = vec![0; KEY_BYTES];
                random.fill(&mut key).map_err(|_| IdentityError::Random)?;
                write_private(&path, &key).map_err(fault)?;
                key
            }
            Err(e) => return Err(fault(e)),
        };
        let own = Self::from_key(&key).ok_or_else(|| IdentityError::NotAKey(path.display().to_string()))?;
        let _ = own.tokens.set(Arc::new(Tokens::open(data)?));
        Ok(own)
    }

    /// Signs and proves tokens of applications.
    pub fn tokens(&self) -> &Tokens {
        self.tokens.get_or_init(Tokens::of_this_process)
    }

    /// For tests and for [`Identity::open`]. Without a folder the key of tokens is of this process alone.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        if key.len() != KEY_BYTES {
            return None;
        }
        let master = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        let derive = |purpose: &str| ring::hmac::sign(&master, purpose.as_bytes());
        let seal = UnboundKey::new(&AES_256_GCM, derive("seal").as_ref()).ok()?;
        Some(Self {
            seal: LessSafeKey::new(seal),
            join: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, derive("join").as_ref()),
            random: SystemRandom::new(),
            tokens: OnceLock::new(),
        })
    }

    /// The join token of one life of a member. Derived, so that nothing has to be stored.
    pub fn join_token(&self, member: &MemberId, incarnation: u64) -> Secret {
        let tag = ring::hmac::sign(&self.join, format!("join|{member}|{incarnation}").as_bytes());
        Secret::new(hex(tag.as_ref()))
    }

    /// Seals a secret: nonce and ciphertext, base64.
    pub fn seal(&self, text: &str) -> Result<String, IdentityError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| IdentityError::Random)?;
        let mut sealed = text.as_bytes().to_vec();
        self.seal
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(SEAL_CONTEXT),
                &mut sealed,
            )
            .map_err(|_| IdentityError::Random)?;
        let mut whole = nonce.to_vec();
        whole.append(&mut sealed);
        Ok(STANDARD.encode(whole))
    }

    /// Opens what [`Identity::seal`] made.
    pub fn unseal(&self, sealed: &str) -> Result<Secret, IdentityError> {
        let mut whole = STANDARD.decode(sealed).map_err(|_| IdentityError::Sealed)?;
        if whole.len() < NONCE_LEN {
            return Err(IdentityError::Sealed);
        }
        let mut rest = whole.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&whole).map_err(|_| IdentityError::Sealed)?;
        let clear = self
            .seal
            .open_in_place(nonce, Aad::from(SEAL_CONTEXT), &mut rest)
            .map_err(|_| IdentityError::Sealed)?;
        let clear = std::str::from_utf8(clear).map_err(|_| IdentityError::Sealed)?;
        Ok(Secret::new(clear))
    }
}

/// SHA-256 of a text, lower-case hexadecimal.
pub fn sha256_hex(text: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}

/// A fresh random name of `bytes` bytes, lower-case hexadecimal.
pub fn random_hex(bytes: usize) -> Result<String, IdentityError> {
    let mut buffer = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut buffer)
        .map_err(|_| IdentityError::Random)?;
    Ok(hex(&buffer))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
}

/// Writes a file that only its owner may read: beside it, flushed, renamed, the folder flushed.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = std::path::PathBuf::from(part);
    match std::fs::remove_file(&part) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_with_the_same_key() {
        let ours = Identity::from_key(&[1; 32]).unwrap();
        let sealed = ours.seal("canary").unwrap();
        assert!(!sealed.contains("canary"));
        assert_eq!(ours.unseal(&sealed).unwrap().expose(), "canary");
        assert!(Identity::from_key(&[2; 32]).unwrap().unseal(&sealed).is_err());
        assert!(ours.unseal("").is_err() && ours.unseal("AAAA").is_err());
    }

    #[test]
    fn the_key_is_made_once_and_only_the_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let first = Identity::open(data.path()).unwrap();
        let again = Identity::open(data.path()).unwrap();
        let member = MemberId::new("m-1").unwrap();
        assert!(first.join_token(&member, 1) == again.join_token(&member, 1));
        assert!(first.join_token(&member, 1) != again.join_token(&member, 2));
        let mode = std::fs::metadata(data.path().join("installation.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(data.path().join("installation.key"), b"short").unwrap();
        assert!(matches!(
            Identity::open(data.path()),
            Err(IdentityError::NotAKey(_))
        ));
    }
}
