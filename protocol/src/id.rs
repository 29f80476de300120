//! Identifiers, one type per kind of thing, valid by construction.
//!
//! An identifier can be a path segment, a label and a host-name part without quoting: that is the point of the
//! alphabet. This file refuses to know what the things are.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest identifier accepted, in bytes.
pub const MAX_ID_BYTES: usize = 200;

/// Longest name of shared values, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_ID_BYTES`].
    #[error("is {0} bytes long; at most {MAX_ID_BYTES} are accepted")]
    TooLong(usize),
    /// Longer than [`MAX_KEY_BYTES`].
    #[error("is {0} bytes long; at most {MAX_KEY_BYTES} are accepted")]
    LongKey(usize),
    /// Begins with a character that only may follow.
    #[error("must begin with a letter or digit, got {0:?}")]
    Start(char),
    /// Holds a character outside the alphabet.
    #[error("holds {0:?}; letters, digits, '.', '_' and '-' are accepted")]
    Character(char),
    /// Not the domain of a tenant.
    #[error(
        "{0:?} is no domain: lower-case letters, digits and '-' in words joined by '.', at most 100 characters"
    )]
    Domain(String),
    /// Not a full commit hash.
    #[error("{0:?} is not a full commit hash (40 or 64 lower-case hexadecimal digits)")]
    Commit(String),
}

fn check(text: &str) -> Result<(), InvalidId> {
    let Some(first) = text.chars().next() else {
        return Err(InvalidId::Empty);
    };
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong(text.len()));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(InvalidId::Start(first));
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(other) => Err(InvalidId::Character(other)),
        None => Ok(()),
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        /// Copies share the text.
        #[derive(Clone, Debug, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        // Most of what is compared are copies of one id: those need not be read.
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                if Arc::ptr_eq(&self.0, &other.0) {
                    std::cmp::Ordering::Equal
                } else {
                    self.0.cmp(&other.0)
                }
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $name {
            /// Accepts a valid identifier.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

identifier!(/// A deployed blueprint.
    ApplicationId, check);
identifier!(/// All members of one cartridge alias in one application: `<application>.<alias>.<cartridge>.domain`.
    ClusterId, check);
identifier!(/// One running instance of a cartridge, over all its incarnations: `<cluster>-<number>`.
    MemberId, check);
identifier!(/// A packaged runtime, such as `php`.
    CartridgeType, check);
identifier!(/// A place where members are started; unique within its network partition.
    PartitionId, check);
identifier!(/// Partitions sharing one network and its balancers: one cloud, one region.
    NetworkPartitionId, check);
identifier!(/// An autoscaling, deployment or application policy.
    PolicyId, check);
identifier!(/// A definition of a group of cartridges.
    GroupName, check);
identifier!(/// The name of values that cartridges share; at most [`MAX_KEY_BYTES`] long.
    ValueKey, check_key);
identifier!(/// A Kubernetes cluster that members may be started in.
    KubernetesClusterId, check);
identifier!(/// A machine of a Kubernetes cluster; unique over all of them.
    KubernetesHostId, check);
identifier!(/// The name of a tenant, such as `shop.example`: what stands behind the `@` of its users' login names.
    TenantDomain, check_domain);
identifier!(/// A full commit hash, lower-case hexadecimal.
    CommitId, check_commit);

fn check_key(text: &str) -> Result<(), InvalidId> {
    if text.len() > MAX_KEY_BYTES {
        return Err(InvalidId::LongKey(text.len()));
    }
    check(text)
}

/// Longest domain of a tenant, in bytes.
const MAX_DOMAIN_BYTES: usize = 100;

fn check_domain(text: &str) -> Result<(), InvalidId> {
    check(text)?;
    if text.len() > MAX_DOMAIN_BYTES {
        return Err(InvalidId::Domain(text.chars().take(80).collect()));
    }
    let label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if text.chars().all(fine) && text.split('.').all(label) {
        Ok(())
    } else {
        Err(InvalidId::Domain(text.chars().take(80).collect()))
    }
}

impl TenantDomain {
    /// The super tenant's.
    pub const SUPER: &'static str = "carbon.super";
}

fn check_commit(text: &str) -> Result<(), InvalidId> {
    let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if hex && matches!(text.len(), 40 | 64) {
        Ok(())
    } else {
        Err(InvalidId::Commit(text.chars().take(80).collect()))
    }
}

impl CommitId {
    /// The first eight digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl ClusterId {
    /// Stratos's form of a cluster id.
    pub fn of(
        application: &ApplicationId,
        alias: &str,
        cartridge: &CartridgeType,
    ) -> Result<Self, InvalidId> {
        Self::new(format!("{application}.{alias}.{cartridge}.domain"))
    }

    /// The id of this cluster's member number `number`.
    pub fn member(&self, number: u64) -> Result<MemberId, InvalidId> {
        MemberId::new(format!("{self}-{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_be_a_path_an_option_or_a_control_character() {
        for bad in ["", "..", ".git", "-rf", "a/b", "a b", "a\u{1b}", "ä"] {
            assert!(MemberId::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(MemberId::new("x".repeat(201)), Err(InvalidId::TooLong(201)));
    }

    #[test]
    fn accepts_the_ids_that_stratos_payloads_use() {
        for good in ["php", "network-partition-1", "app.my-php.php.domain-1", "1a"] {
            assert_eq!(MemberId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_commit_is_a_full_lower_case_hash() {
        assert!(CommitId::new("a".repeat(40)).is_ok());
        assert!(CommitId::new("a".repeat(64)).is_ok());
        assert!(CommitId::new("A".repeat(40)).is_err());
        assert!(CommitId::new("a".repeat(39)).is_err());
    }

    #[test]
    fn a_tenants_domain_is_lower_case_words_joined_by_dots() {
        for good in ["shop.example", "shop", "a-b.c1"] {
            assert_eq!(TenantDomain::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "Shop.example",
            "a..b",
            "a.",
            "-a",
            "a-.b",
            "a_b",
            "a@b",
            &"x".repeat(101),
        ] {
            assert!(TenantDomain::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn decoding_validates() {
        assert!(serde_json::from_str::<ClusterId>("\"../x\"").is_err());
        assert!(serde_json::from_str::<ClusterId>("\"x\"").is_ok());
    }
}
