//! What is accepted from a repository: which remotes, which addresses, how much, signed by whom, and after what.
//!
//! Values in, values out. Refuses to know Git's objects, sockets and disks.

pub mod addresses;
pub mod advertisement;
pub mod commit;
pub mod credentials;
pub mod denied;
pub mod history;
pub mod keep;
pub mod limits;
pub mod names;
pub mod object;
pub mod openpgp;
pub mod pace;
pub mod sharing;
pub mod signers;
pub mod ssh_place;
pub mod ssh_signature;
pub mod ssh_words;
pub mod talk;
pub mod tree;

use std::path::PathBuf;

pub use addresses::Addresses;
pub use limits::Limits;

/// Everything that the operator decided about repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which kinds of address are accepted.
    pub remotes: Remotes,
    /// Which addresses may be connected to.
    pub addresses: Addresses,
    /// A PEM file of certificate authorities to trust besides the machine's.
    pub authority: Option<PathBuf>,
    /// A file of credentials, one entry per host.
    pub credentials: Option<PathBuf>,
    /// The host keys that SSH servers must show.
    pub known_hosts: Option<PathBuf>,
    /// Who must have signed a commit.
    pub signatures: Signatures,
    /// What a commit must descend from.
    pub history: History,
    /// How many of a hundred files a commit must keep.
    pub least_percent: u8,
    /// How much is accepted.
    pub limits: Limits,
    /// How the process that reads what strangers send is confined.
    pub confinement: Confinement,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            remotes: Remotes::default(),
            addresses: Addresses::default(),
            authority: None,
            credentials: None,
            known_hosts: None,
            signatures: Signatures::None,
            history: History::Any,
            least_percent: 0,
            limits: Limits::default(),
            confinement: Confinement::default(),
        }
    }
}

/// Kinds of remote addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remotes {
    /// `https://`
    pub https: bool,
    /// `ssh://` and `user@host:path`
    pub ssh: bool,
    /// `http://` to anywhere; to loopback it is accepted wherever loopback addresses are.
    pub http: bool,
    /// `file://`: folders of this machine.
    pub file: bool,
}

impl Default for Remotes {
    fn default() -> Self {
        Self {
            https: true,
            ssh: false,
            http: false,
            file: false,
        }
    }
}

impl Remotes {
    /// Reads `https|ssh|http|file`, any of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut remotes = Self {
            https: false,
            ..Self::default()
        };
        for word in text.split('|').map(str::trim) {
            match word {
                "https" => remotes.https = true,
                "ssh" => remotes.ssh = true,
                "http" => remotes.http = true,
                "file" => remotes.file = true,
                other => return Err(format!("{other:?} is no kind of remote")),
            }
        }
        Ok(remotes)
    }
}

/// Who must have signed a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Nobody.
    None,
    /// Somebody in this file of allowed signers, with an SSH key.
    Ssh(PathBuf),
    /// Somebody in this keyring, with an OpenPGP key.
    OpenPgp(PathBuf),
}

impl Signatures {
    /// Reads `none`, `ssh` or `openpgp`; the last two need a file.
    pub fn parse(text: &str, signers: Option<PathBuf>) -> Result<Self, String> {
        match (text, signers) {
            ("none", _) => Ok(Self::None),
            ("ssh", Some(file)) => Ok(Self::Ssh(file)),
            ("openpgp", Some(file)) => Ok(Self::OpenPgp(file)),
            ("ssh" | "openpgp", None) => Err("it needs --allowed-signers too".to_owned()),
            _ => Err("none of the three".to_owned()),
        }
    }
}

/// What a commit must descend from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Anything.
    Any,
    /// The current release, unless a person ordered this very commit.
    Descend,
}

impl History {
    /// Reads `any` or `descend`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Any),
            "descend" => Ok(Self::Descend),
            _ => Err("neither any nor descend".to_owned()),
        }
    }
}

/// How the process that reads what strangers send is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Work only where the kernel can confine it.
    pub required: bool,
    /// The user that it becomes where the agent is root. 0: it stays root.
    pub user: u32,
}

impl Default for Confinement {
    fn default() -> Self {
        Self {
            required: false,
            user: NOBODY,
        }
    }
}

/// `nobody` on every distribution that matters.
pub const NOBODY: u32 = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_those_that_are_named() {
        assert_eq!(Remotes::parse("https"), Ok(Remotes::default()));
        let both = Remotes::parse("ssh|file").unwrap();
        assert!(both.ssh && both.file && !both.https && !both.http);
        for bad in ["", "ext", "https,ssh", "git", "https|"] {
            assert!(Remotes::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_signature_policy_needs_its_signers() {
        assert_eq!(Signatures::parse("none", None), Ok(Signatures::None));
        assert!(Signatures::parse("ssh", None).is_err());
        assert!(Signatures::parse("gpg", Some("/k".into())).is_err());
        let file = PathBuf::from("/k");
        assert_eq!(
            Signatures::parse("openpgp", Some(file.clone())),
            Ok(Signatures::OpenPgp(file))
        );
    }
}
