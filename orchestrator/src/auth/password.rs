//! Random secrets, slow hashes for passwords, fast ones for secrets that are random already.
//!
//! This file refuses to know whose they are.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cartridge_protocol::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, pbkdf2};
use serde::{Deserialize, Serialize};

/// Rounds of PBKDF2-HMAC-SHA256. The password is random (142 bits), so this only protects one that a person chose.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("not zero");
/// Letters and digits that nobody confuses.
const ALPHABET: &[u8; 56] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

/// The system has no random numbers.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

/// A password as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hashed {
    rounds: NonZeroU32,
    salt: String,
    hash: String,
}

impl Hashed {
    /// Hashes with a new salt.
    pub fn of(password: &Secret) -> Result<Self, NoRandom> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| NoRandom)?;
        let mut hash = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &salt,
            password.expose().as_bytes(),
            &mut hash,
        );
        Ok(Self {
            rounds: ROUNDS,
            salt: STANDARD.encode(salt),
            hash: STANDARD.encode(hash),
        })
    }

    /// Whether `password` is the one; takes tens of milliseconds.
    pub fn is(&self, password: &Secret) -> bool {
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(&self.salt), STANDARD.decode(&self.hash)) else {
            return false;
        };
        let given = password.expose().as_bytes();
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, self.rounds, &salt, given, &hash).is_ok()
    }
}

/// A random text of `length` letters and digits.
pub fn random_text(length: usize) -> Result<Secret, NoRandom> {
    let random = SystemRandom::new();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_| NoRandom)?;
        // 4 * 56 = 224: larger bytes would favour the first letters.
        if byte[0] < 224 {
            text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(Secret::new(text))
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-256 in base64.
pub fn sha256_text(text: &str) -> String {
    STANDARD.encode(sha256(text.as_bytes()))
}
