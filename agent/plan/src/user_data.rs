//! Launch parameters from a cloud's user-data: what is asked of its metadata service, and what an answer means.
//!
//! Refuses to know sockets and time: the shell asks, with a deadline and a limit, and says what came of it.

mod content;
mod lease;
mod server;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use cartridge_protocol::launch::MAX_BYTES;
use serde::Deserialize;

pub use content::{NotOurs, content};
pub use lease::dhcp_server;
pub use server::{DATA_SERVER, LINK_LOCAL, Server, is_near};

/// Longest token, bytes.
const MAX_TOKEN_BYTES: usize = 1024;
/// How long a token of EC2 is good for, seconds.
const TOKEN_SECONDS: &str = "300";

/// Who serves the user-data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon EC2, and who imitates its metadata service of version 2.
    Ec2,
    /// OpenStack.
    OpenStack,
    /// CloudStack's virtual router.
    CloudStack,
}

/// Whose user-data is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nobody is asked.
    Nothing,
    /// Whoever answers first, each asked once.
    Auto,
    /// This cloud's, however late its network comes up.
    From(Cloud),
}

/// In which order clouds are looked for. OpenStack imitates EC2, so it is asked first.
pub const ORDER: [Cloud; 3] = [Cloud::OpenStack, Cloud::Ec2, Cloud::CloudStack];

impl Cloud {
    /// As the option names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::OpenStack => "openstack",
            Self::CloudStack => "cloudstack",
        }
    }
}

impl Wish {
    /// As the option has it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nothing),
            "auto" => Ok(Self::Auto),
            _ => {
                let cloud = ORDER.into_iter().find(|cloud| cloud.name() == text);
                cloud.map(Self::From).ok_or_else(|| "is no such cloud".to_owned())
            }
        }
    }
}

/// One request. Every answer is taken up to [`MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// PUT instead of GET.
    pub put: bool,
    /// The path.
    pub path: &'static str,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An answer.
    Got {
        /// Its status.
        status: u16,
        /// Its body.
        body: Vec<u8>,
    },
    /// An answer that is longer than [`MAX_BYTES`].
    TooLong,
    /// None, or no whole one, in time.
    Silent,
    /// Nobody there.
    Unreachable(String),
}

/// Where a conversation stands: what is asked next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// EC2: a token.
    Token,
    /// EC2: the user-data, with the token.
    Ec2(String),
    /// OpenStack: the metadata, in which there are pairs too.
    Meta,
    /// OpenStack: the user-data, with those pairs.
    OpenStack(Found),
    /// CloudStack: the user-data.
    CloudStack,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Another question.
    Next(Stage),
    /// Everything that the cloud knows.
    Done(Found),
    /// The same again from the beginning, later: it may come up.
    Later(String),
    /// It will not be better.
    Never(String),
}

/// What a cloud knows of this member.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Pairs of OpenStack's metadata.
    pub meta: BTreeMap<String, String>,
    /// The user-data; empty where there is none.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Found {
    /// There is a join token in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Found({} pairs, {} bytes)", self.meta.len(), self.data.len())
    }
}

impl Stage {
    /// Where a conversation begins.
    pub const fn first(cloud: Cloud) -> Self {
        match cloud {
            Cloud::Ec2 => Self::Token,
            Cloud::OpenStack => Self::Meta,
            Cloud::CloudStack => Self::CloudStack,
        }
    }

    /// What is to be asked.
    pub fn ask(&self) -> Ask {
        let get = |path| Ask {
            put: false,
            path,
            headers: Vec::new(),
        };
        match self {
            Self::Token => Ask {
                put: true,
                path: "/latest/api/token",
                headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS.to_owned())],
            },
            Self::Ec2(token) => Ask {
                headers: vec![("x-aws-ec2-metadata-token", token.clone())],
                ..get("/latest/user-data")
            },
            Self::Meta => get("/openstack/latest/meta_data.json"),
            Self::OpenStack(_) => get("/openstack/latest/user_data"),
            Self::CloudStack => get("/latest/user-data"),
        }
    }

    /// What follows from the answer.
    pub fn answered(self, answer: Answer) -> Turn {
        let path = self.ask().path;
        let (status, body) = match answer {
            Answer::Got { status, body } => (status, body),
            Answer::TooLong => return Turn::Never(format!("{path} is longer than {MAX_BYTES} bytes")),
            Answer::Unreachable(why) => return Turn::Later(why),
            Answer::Silent if self == Self::Token => {
                return Turn::Later(format!(
                    "no answer to PUT {path} in time; from within a container the instance's hop limit must be 2"
                ));
            }
            Answer::Silent => return Turn::Later(format!("no whole answer to GET {path} in time")),
        };
        match status {
            200 => self.got(body),
            404 => self.missing(),
            401 if matches!(self, Self::Ec2(_)) => {
                Turn::Later("the token is no longer good (401)".to_owned())
            }
            429 | 500..=599 => Turn::Later(format!("{path} answers {status}")),
            300..=399 => Turn::Never(format!(
                "{path} leads elsewhere ({status}), which is not followed"
            )),
            403 if self == Self::Token => {
                Turn::Never("the instance's metadata service is switched off (403)".to_owned())
            }
            _ => Turn::Never(format!("{path} answers {status}")),
        }
    }

    fn got(self, body: Vec<u8>) -> Turn {
        match self {
            Self::Token => match String::from_utf8(body) {
                Ok(token) if is_token(&token) => Turn::Next(Self::Ec2(token)),
                _ => Turn::Never("what should be a token is none".to_owned()),
            },
            Self::Meta => match meta(&body) {
                Ok(meta) => Turn::Next(Self::OpenStack(Found {
                    meta,
                    data: Vec::new(),
                })),
                Err(why) => Turn::Never(why),
            },
            Self::OpenStack(found) => Turn::Done(Found { data: body, ..found }),
            Self::Ec2(_) | Self::CloudStack => Turn::Done(Found {
                meta: BTreeMap::new(),
                data: body,
            }),
        }
    }

    fn missing(self) -> Turn {
        match self {
            Self::Token => Turn::Never("there is no metadata service of EC2, version 2 (404)".to_owned()),
            Self::Meta => Turn::Never("there is no metadata service of OpenStack (404)".to_owned()),
            Self::OpenStack(found) => Turn::Done(found),
            Self::Ec2(_) | Self::CloudStack => Turn::Done(Found::default()),
        }
    }
}

/// It becomes a header.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn meta(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        meta: BTreeMap<String, String>,
    }
    let read: Result<Meta, _> = serde_json::from_slice(body);
    // The message of serde_json can quote a value.
    read.map(|read| read.meta).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        format!("meta_data.json is not as expected at line {line}, column {column}")
    })
}
