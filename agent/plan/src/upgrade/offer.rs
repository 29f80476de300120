//! What is offered: a statement about a binary, signed, and whether it is accepted.
//!
//! Refuses to compute hashes and to check signatures itself; both come as values or functions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::record::{Record, Slot};
use crate::text::cut;

/// Largest binary that is accepted.
pub const MOST_BYTES: u64 = 64 << 20;
/// Longest statement with all its signatures, bytes.
pub const MOST_OFFER_BYTES: usize = 8 << 10;
/// Most signatures that are looked at.
const MOST_SIGNATURES: usize = 8;
/// Most keys that are trusted.
const MOST_KEYS: usize = 16;
/// The only thing that is accepted.
const PRODUCT: &str = "cartridge-agent";

/// A version, ordered by its three numbers; what follows `+` is not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    numbers: [u64; 3],
    text: String,
}

impl Version {
    /// `1.2.3` or `1.2.3+build`.
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, build) = text.split_once('+').map_or((text, "x"), |(n, b)| (n, b));
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        if build.is_empty() || text.len() > 64 || !build.bytes().all(fits) {
            return None;
        }
        let mut parts = numbers.split('.').map(|part| {
            let plain = part == "0" || !part.starts_with('0');
            part.parse::<u64>()
                .ok()
                .filter(|_| plain && part.bytes().all(|b| b.is_ascii_digit()))
        });
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then(|| Self {
            numbers,
            text: text.to_owned(),
        })
    }

    /// Newer by its numbers.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.numbers > other.numbers
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{:?} is no version such as 1.2.3", cut(&text, 64)))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

/// What is signed, as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `cartridge-agent`.
    pub product: String,
    /// Its version.
    pub version: Version,
    /// What it runs on: `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// Its length.
    pub bytes: u64,
    /// Its hash, lower-case hexadecimal.
    pub sha256: String,
}

/// A statement and its signatures, not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What was signed, byte by byte.
    pub signed: String,
    /// What it says.
    pub statement: Statement,
    signatures: Vec<[u8; 64]>,
}

/// Why an offer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no offer.
    #[error("the offer cannot be understood: {0}")]
    Unreadable(String),
    /// The keys are none.
    #[error("the keys of --upgrade-keys cannot be used: {0}")]
    Keys(String),
    /// Not enough of those who are trusted have signed it.
    #[error("{valid} of the {needed} signatures that --upgrade-keys asks for are valid")]
    Unsigned {
        /// Valid ones, each by another key.
        valid: usize,
        /// As many are needed.
        needed: usize,
    },
    /// It is something else.
    #[error("it is {found:?}; {wanted:?} is wanted")]
    Other {
        /// What is offered.
        found: String,
        /// What would be accepted.
        wanted: String,
    },
    /// Too large or empty.
    #[error("{0} bytes are offered; 1 to {MOST_BYTES} are accepted")]
    Size(u64),
    /// It would be a step back.
    #[error("{offered} is offered; only what is newer than {than} is accepted ({why})")]
    NotNewer {
        /// What is offered.
        offered: Version,
        /// The newest that was here.
        than: Version,
        /// Which of both: what runs, or what ran before.
        why: &'static str,
    },
    /// It was tried.
    #[error("{version} was tried here before: {reason}")]
    Tried {
        /// Which.
        version: Version,
        /// What came of it.
        reason: String,
    },
}

impl Offer {
    /// The first line is what is signed; each other line is one signature, 128 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let unreadable = |why: &str| Refusal::Unreadable(why.to_owned());
        if text.len() > MOST_OFFER_BYTES {
            return Err(unreadable("it is too long"));
        }
        let mut lines = text.lines();
        let signed = lines.next().unwrap_or_default();
        let statement: Statement =
            serde_json::from_str(signed).map_err(|e| Refusal::Unreadable(e.to_string()))?;
        let mut signatures = Vec::new();
        for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
            if signatures.len() == MOST_SIGNATURES {
                return Err(unreadable("it has too many signatures"));
            }
            signatures.push(hex(line).ok_or_else(|| unreadable("a signature is 128 hexadecimal digits"))?);
        }
        if hex::<32>(&statement.sha256).is_none() || statement.sha256.bytes().any(|b| b.is_ascii_uppercase())
        {
            return Err(unreadable("sha256 is 64 hexadecimal digits, lower case"));
        }
        Ok(Self {
            signed: signed.to_owned(),
            statement,
            signatures,
        })
    }

    /// Whether those who are trusted stand behind it: it may be run, were it new.
    pub fn believed(
        &self,
        keys: &Keys,
        target: &str,
        valid: impl Fn(&[u8; 32], &[u8], &[u8; 64]) -> bool,
    ) -> Result<Slot, Refusal> {
        let signed = |key: &&[u8; 32]| {
            self.signatures
                .iter()
                .any(|s| valid(key, self.signed.as_bytes(), s))
        };
        let count = keys.keys.iter().filter(signed).count();
        if count < keys.needed {
            return Err(Refusal::Unsigned {
                valid: count,
                needed: keys.needed,
            });
        }
        let statement = &self.statement;
        for (found, wanted) in [(&statement.product, PRODUCT), (&statement.target, target)] {
            if found != wanted {
                return Err(Refusal::Other {
                    found: cut(found, 100).to_owned(),
                    wanted: wanted.to_owned(),
                });
            }
        }
        if statement.bytes == 0 || statement.bytes > MOST_BYTES {
            return Err(Refusal::Size(statement.bytes));
        }
        Ok(Slot {
            version: statement.version.clone(),
            sha256: statement.sha256.clone(),
        })
    }
}

impl Slot {
    /// Whether it is a step forward from what runs here and from all that ever proved itself here. A person who
    /// `insists` may try once more what did not.
    pub fn accepted(&self, record: &Record, running: &Version, insists: bool) -> Result<(), Refusal> {
        let not_newer = |than: &Version, why| Refusal::NotNewer {
            offered: self.version.clone(),
            than: than.clone(),
            why,
        };
        if !self.version.is_newer_than(running) {
            return Err(not_newer(running, "it runs"));
        }
        if let Some(floor) = record
            .floor
            .as_ref()
            .filter(|floor| floor.is_newer_than(&self.version))
        {
            return Err(not_newer(floor, "it ran here before"));
        }
        match record.tried(self) {
            Some(tried) if !insists => Err(Refusal::Tried {
                version: self.version.clone(),
                reason: tried.reason.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// Who is trusted to sign, and how many of them it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    keys: Vec<[u8; 32]>,
    needed: usize,
}

impl Keys {
    /// One public key per line, 64 hexadecimal digits, and words for people behind it; `threshold 2` asks for two
    /// signatures; lines that begin with `#` are for people.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut keys: Vec<[u8; 32]> = Vec::new();
        let mut needed = 1;
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: &str| Refusal::Keys(format!("line {}: {what}", number + 1));
            let mut words = line.split_whitespace();
            match words.next() {
                None => {}
                Some(word) if word.starts_with('#') => {}
                Some("threshold") => {
                    let count = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                    needed = count.ok_or_else(|| wrong("a threshold is a number from 1"))?;
                }
                Some(word) => {
                    let key = hex(word).ok_or_else(|| wrong("a key is 64 hexadecimal digits"))?;
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
        }
        if keys.len() > MOST_KEYS {
            return Err(Refusal::Keys(format!("more than {MOST_KEYS} keys")));
        }
        if keys.len() < needed {
            let text = format!("{} keys cannot give {needed} signatures", keys.len());
            return Err(Refusal::Keys(text));
        }
        Ok(Self { keys, needed })
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |d: u8| (d as char).to_digit(16);
        *byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
    }
    Some(bytes)
}
