//! What the agent and its fetching process say to each other: lines of JSON, some followed by as many bytes as they
//! announce. The process is taken for hostile: every line has a bound, and nothing it says is believed that cannot be
//! checked. Refuses to know the pipe.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::object::{ObjectId, ObjectKind};

/// Longest line, its end included.
pub const MAX_LINE: usize = 8 << 10;
/// Most bytes that the process may want to send to a server at once.
pub const MAX_REQUEST: u64 = 8 << 20;
/// Most bytes of an answer that are passed on at once.
pub const MAX_PIECE: u64 = 256 << 10;

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// First of all: where the objects are, and how to be confined.
    Open(Open),
    /// Whether this commit is there.
    Has(ObjectId),
    /// What a branch or other name means; for folders of this machine.
    Name(String),
    /// Fetch; what the server says is passed on by the agent.
    Fetch {
        /// What to fetch, and under which name to keep it.
        refspec: String,
        /// How many generations. 0: no bound; the largest number: all that were cut off before, too.
        depth: i32,
        /// Each request stands for itself, as over HTTP.
        stateless: bool,
    },
    /// Answers [`Say::Take`] and [`Say::List`]: so many bytes follow. None are the end.
    Bytes(u64),
    /// Answers the same: there is a fault.
    Broken,
    /// Hand over an object.
    Object {
        /// Which.
        id: ObjectId,
        /// Most bytes that are accepted.
        most: u64,
    },
}

/// Where the objects are, and how the process is confined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// A repository to read as it is. None: the bare one in the working directory, made if it is not there.
    pub folder: Option<PathBuf>,
    /// The user to become. None: stay.
    pub user: Option<u32>,
    /// End where the kernel cannot confine.
    pub required: bool,
    /// Most bytes of memory.
    pub memory: u64,
    /// Seconds of processor time, besides one per mebibyte that comes in.
    pub work: u64,
    /// Most bytes of one fetch.
    pub pack_bytes: u64,
    /// Most objects of one fetch.
    pub objects: u64,
}

/// What the fetching process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Say {
    /// Confined, and the repository is open.
    Ready {
        /// What confines it.
        confined: Vec<String>,
        /// How many packs there are.
        packs: u64,
    },
    /// Answers [`Ask::Has`].
    Answer(bool),
    /// Answers [`Ask::Name`].
    Commit(Option<ObjectId>),
    /// Wants the server's list of branches.
    List,
    /// So many bytes follow, to be sent to the server.
    Send(u64),
    /// Wants at most so many bytes of the server's answer.
    Take(u64),
    /// Is at work.
    Alive,
    /// The fetch is over.
    Fetched,
    /// Answers [`Ask::Object`]: the object follows.
    Object {
        /// What it is.
        kind: ObjectKind,
        /// How many bytes follow.
        bytes: u64,
    },
    /// Answers [`Ask::Object`]: it is larger than accepted.
    Larger(u64),
    /// Answers [`Ask::Object`]: there is none.
    Missing,
    /// It did not work.
    Fault {
        /// Whose fault.
        kind: FaultKind,
        /// What, for people.
        text: String,
    },
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The server's: it sent something damaged.
    Damaged,
    /// The server's: it sent more than is accepted, or what takes too long.
    TooMuch,
    /// This machine's: the repository on disk, or the disk.
    Local,
    /// This machine's: it cannot be confined as required.
    Unconfined,
    /// There is no repository.
    NotARepository,
}

/// A line, its end included.
pub fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages have no maps with odd keys");
    line.push(b'\n');
    line
}

/// Reads a line.
pub fn read<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    if line.len() > MAX_LINE {
        return Err("its line is too long".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| format!("its line is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = "a".repeat(40).parse().unwrap();
        for ask in [
            Ask::Has(id),
            Ask::Name("refs/heads/ä".into()),
            Ask::Fetch {
                refspec: "+refs/heads/main:refs/x".into(),
                depth: i32::MAX,
                stateless: true,
            },
            Ask::Bytes(0),
            Ask::Broken,
            Ask::Object { id, most: u64::MAX },
        ] {
            assert_eq!(read::<Ask>(&line(&ask)), Ok(ask));
        }
        let fault = Say::Fault {
            kind: FaultKind::TooMuch,
            text: "a\nb".into(),
        };
        let text = line(&fault);
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(read::<Say>(&text), Ok(fault));
    }

    #[test]
    fn nonsense_is_an_error() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"answer":1}"#,
            r#"{"send":-1}"#,
            r#""list" "list""#,
            r#"{"object":{}}"#,
        ] {
            assert!(read::<Say>(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read::<Say>(&vec![b' '; MAX_LINE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<Say>(&bytes);
            let _ = read::<Ask>(&bytes);
        }
    }
}
