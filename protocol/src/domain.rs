//! Domains that lead to clusters, and the paths in front of which they are put: valid by construction.
//!
//! This file refuses to know whose they are and who answers there.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// Longest domain name, in bytes (RFC 1035, without the final dot).
pub const MAX_DOMAIN_NAME_BYTES: usize = 253;
/// Longest word between the dots of a domain name, in bytes.
const MAX_LABEL_BYTES: usize = 63;
/// Longest context path, in bytes.
pub const MAX_CONTEXT_PATH_BYTES: usize = 255;

/// Why a text is no domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomain {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_DOMAIN_NAME_BYTES`].
    #[error("is {0} bytes long; at most {MAX_DOMAIN_NAME_BYTES} are accepted")]
    TooLong(usize),
    /// A word of it is none of DNS.
    #[error(
        "{0:?} is no word of a domain name: 1 to 63 letters, digits and '-', neither first nor last a '-'; \
         other scripts in their xn-- form"
    )]
    Label(String),
    /// An address.
    #[error("ends in the number {0:?}: an address is no domain name")]
    Address(String),
}

/// Why a text is no context path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContextPath {
    /// Longer than [`MAX_CONTEXT_PATH_BYTES`].
    #[error("is {0} bytes long; at most {MAX_CONTEXT_PATH_BYTES} are accepted")]
    TooLong(usize),
    /// It would be relative to something.
    #[error("must begin with '/', got {0:?}")]
    Start(char),
    /// Outside the alphabet: what needs no encoding, in a path as in a cookie.
    #[error("holds {0:?}; letters, digits, '/' and any of -._~@:+= are accepted")]
    Character(char),
    /// It would lead out of itself.
    #[error("holds the step {0:?}; '.', '..' and empty steps are not accepted")]
    Step(String),
    /// The root is said by leaving the path out.
    #[error("must name a path below '/'")]
    Root,
}

/// A DNS name that requests may come for, in lower case, without final dot. Copies share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DomainName(Arc<str>);

/// A path in front of which a domain is put, such as `/t/acme/shop`: never `/` itself and without a `/` at its end.
/// Copies share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ContextPath(Arc<str>);

impl DomainName {
    /// Accepts a DNS name, in whatever case.
    pub fn new(text: &str) -> Result<Self, InvalidDomain> {
        if text.is_empty() {
            return Err(InvalidDomain::Empty);
        }
        if text.len() > MAX_DOMAIN_NAME_BYTES {
            return Err(InvalidDomain::TooLong(text.len()));
        }
        let mut last = "";
        for label in text.split('.') {
            let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let ends = label.starts_with('-') || label.ends_with('-');
            if label.is_empty() || label.len() > MAX_LABEL_BYTES || ends || !label.chars().all(fine) {
                return Err(InvalidDomain::Label(shown(label)));
            }
            last = label;
        }
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidDomain::Address(shown(last)));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContextPath {
    /// Accepts a path below `/`, with or without a `/` at its end.
    pub fn new(text: &str) -> Result<Self, InvalidContextPath> {
        if text.len() > MAX_CONTEXT_PATH_BYTES {
            return Err(InvalidContextPath::TooLong(text.len()));
        }
        let Some(steps) = text.strip_prefix('/') else {
            return Err(text
                .chars()
                .next()
                .map_or(InvalidContextPath::Root, InvalidContextPath::Start));
        };
        let steps = steps.strip_suffix('/').unwrap_or(steps);
        if steps.is_empty() {
            return Err(InvalidContextPath::Root);
        }
        let fine = |c: char| c.is_ascii_alphanumeric() || "/-._~@:+=".contains(c);
        if let Some(other) = steps.chars().find(|c| !fine(*c)) {
            return Err(InvalidContextPath::Character(other));
        }
        if let Some(step) = steps.split('/').find(|step| matches!(*step, "" | "." | "..")) {
            return Err(InvalidContextPath::Step(step.to_owned()));
        }
        Ok(Self(format!("/{steps}").into()))
    }

    /// The same, where nothing and `/` mean that no path is put in front.
    pub fn or_root(text: &str) -> Result<Option<Self>, InvalidContextPath> {
        match text {
            "" | "/" => Ok(None),
            path => Self::new(path).map(Some),
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As much of a text as an error shows.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! text {
    ($name:ident, $error:ident) => {
        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
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

text!(DomainName, InvalidDomain);
text!(ContextPath, InvalidContextPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_name_is_what_dns_takes_and_is_kept_in_lower_case() {
        let label = "x".repeat(63);
        for good in [
            "abc.com",
            "Shop.Example",
            "intranet",
            "xn--mnchen-3ya.de",
            "1a.2b",
            &label,
        ] {
            assert_eq!(DomainName::new(good).unwrap().as_str(), good.to_ascii_lowercase());
        }
        let long = format!("{}a", "a.".repeat(127));
        for bad in [
            "",
            "a..b",
            ".a",
            "a.",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b",
            "a/b",
            "*.example",
            "shop.example:80",
            "münchen.de",
            "10.0.0.1",
            "a.7",
            &"x".repeat(64),
            &long,
        ] {
            assert!(DomainName::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_context_path_stays_below_itself() {
        for (given, kept) in [
            ("/t/acme/shop", "/t/acme/shop"),
            ("/a/", "/a"),
            ("/.well/x~1", "/.well/x~1"),
        ] {
            assert_eq!(ContextPath::new(given).unwrap().as_str(), kept);
        }
        let long = format!("/{}", "x".repeat(255));
        for bad in [
            "", "/", "//", "a", "/a//b", "/..", "/a/../b", "/.", "/a?b", "/a#b", "/a;b", "/%2e", "/a b",
            "/a\r\n", "/ä", &long,
        ] {
            assert!(ContextPath::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn no_path_and_the_root_are_the_same() {
        assert_eq!(ContextPath::or_root(""), Ok(None));
        assert_eq!(ContextPath::or_root("/"), Ok(None));
        assert_eq!(ContextPath::or_root("/a"), ContextPath::new("/a").map(Some));
    }

    #[test]
    fn decoding_validates() {
        assert!(serde_json::from_str::<DomainName>("\"a b\"").is_err());
        assert!(serde_json::from_str::<ContextPath>("\"/a/..\"").is_err());
        assert_eq!(
            serde_json::from_str::<DomainName>("\"ABC.com\"")
                .unwrap()
                .as_str(),
            "abc.com"
        );
    }
}
