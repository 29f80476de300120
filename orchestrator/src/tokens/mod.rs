//! Tokens that open one deployment of one application: JSON web tokens (RFC 7519) signed with RS256, as cartridges of Apache
//! Stratos expect them in the launch parameter `TOKEN`.
//!
//! A token is the same whenever it is asked for, so none is kept; what it opens ends with the deployment that it names. Only
//! the header that is made here is read: which algorithm counts is not the token's to say. This file refuses to know
//! what is deployed.

mod key;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cartridge_protocol::{ApplicationId, Secret};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::identity::{IdentityError, write_private};

const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;
/// Longest token that is looked at.
const MAX_BYTES: usize = 1024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// Stratos's claim: which application it opens.
    pub app_id: ApplicationId,
    /// Which deployment of it.
    pub deployment: u64,
    /// Of which installation.
    pub iss: String,
}

/// Signs and proves tokens.
pub struct Tokens(KeyPair);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(secret)")
    }
}

impl Tokens {
    /// Reads the key from `<data>/tokens.key`, or makes it there (mode 0600) at the first start.
    pub(crate) fn open(data: &Path) -> Result<Self, IdentityError> {
        let path = data.join("tokens.key");
        let fault = |source| IdentityError::File {
            path: path.display().to_string(),
            source,
        };
        let kept = match std::fs::read(&path) {
            Ok(kept) => kept,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let fresh = key::fresh().to_vec();
                write_private(&path, &fresh).map_err(fault)?;
                fresh
            }
            Err(e) => return Err(fault(e)),
        };
        let pair = key::pair(&kept).ok_or_else(|| IdentityError::NoTokenKey(path.display().to_string()))?;
        Ok(Self(pair))
    }

    /// A key of this process alone, for tests.
    pub(crate) fn of_this_process() -> Arc<Self> {
        static KEY: OnceLock<Arc<Tokens>> = OnceLock::new();
        let make = || Arc::new(Self(key::pair(&key::fresh()).expect("fresh primes make a key")));
        Arc::clone(KEY.get_or_init(make))
    }

    /// The token that opens what `claims` name.
    pub fn token(&self, claims: &Claims) -> Result<Secret, IdentityError> {
        let claims = serde_json::to_vec(claims).map_err(|_| IdentityError::Random)?;
        let mut text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(HEADER),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| IdentityError::Random)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(Secret::new(text))
    }

    /// What a token says, if it was signed here.
    pub fn claims(&self, token: &str) -> Option<Claims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.0.public().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        let (header, claims) = signed.split_once('.')?;
        if header != URL_SAFE_NO_PAD.encode(HEADER) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(application: &str, deployment: u64) -> Claims {
        Claims {
            app_id: ApplicationId::new(application).unwrap(),
            deployment,
            iss: "here".to_owned(),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_and_is_always_the_same() {
        let tokens = Tokens::of_this_process();
        let token = tokens.token(&claims("shop", 7)).unwrap();
        assert_eq!(token, tokens.token(&claims("shop", 7)).unwrap());
        assert_eq!(tokens.claims(token.expose()), Some(claims("shop", 7)));
        let parts: Vec<&str> = token.expose().split('.').collect();
        let decoded = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(decoded(parts[0]), HEADER);
        assert_eq!(
            decoded(parts[1]),
            r#"{"appId":"shop","deployment":7,"iss":"here"}"#
        );
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn no_other_key_header_or_text_counts() {
        let tokens = Tokens::of_this_process();
        let token = tokens.token(&claims("shop", 7)).unwrap();
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let (header, body) = signed.split_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims("till", 7)).unwrap());
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        for bad in [
            format!("{header}.{other}.{signature}"),
            format!("{none}.{body}.{signature}"),
            format!("{none}.{body}."),
            format!("{header}.{body}."),
            format!("{header}.{body}"),
            format!("{}x", token.expose()),
            String::new(),
            "..".to_owned(),
            "x".repeat(5000),
        ] {
            assert_eq!(tokens.claims(&bad), None, "{bad}");
        }
        let elsewhere = Tokens(key::pair(&key::fresh()).unwrap());
        assert_eq!(elsewhere.claims(token.expose()), None);
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let first = Tokens::open(data.path())
            .unwrap()
            .token(&claims("shop", 1))
            .unwrap();
        let again = Tokens::open(data.path()).unwrap();
        assert!(again.claims(first.expose()).is_some());
        let path = data.path().join("tokens.key");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(
            Tokens::open(data.path()),
            Err(IdentityError::NoTokenKey(_))
        ));
    }

    proptest! {
        #[test]
        fn no_text_whatever_ends_the_reader(text in ".{0,200}") {
            prop_assert_eq!(Tokens::of_this_process().claims(&text), None);
        }
    }
}
