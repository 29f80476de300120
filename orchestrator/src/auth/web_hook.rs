//! Web hooks that are signed with a secret of the installation, as GitHub, Gitea and GitLab do it. Whoever signs needs
//! no other credentials, and may do nothing else.
//!
//! The secret stands sealed in `<data>/web-hook.secret`. This file refuses to know what the news is.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cartridge_protocol::Secret;
use http::HeaderMap;
use ring::hmac;

use super::password::{random_text, sha256};
use super::store::AuthFault;
use crate::identity::{Identity, write_private};

/// Length of the secret.
const LENGTH: usize = 40;
/// So many signed bodies are remembered; one of them does not count twice.
const REMEMBERED: usize = 4096;
/// Headers that carry a signature of the body, and what stands before it.
const SIGNATURES: [(&str, &str); 2] = [("x-hub-signature-256", "sha256="), ("x-gitea-signature", "")];
/// The header that carries the secret itself.
const TOKEN: &str = "x-gitlab-token";

/// Where the sealed secret stands.
fn path(data: &Path) -> PathBuf {
    data.join("web-hook.secret")
}

/// Makes a new secret in the place of the one before; it is shown once. A running server notices it.
pub fn create(data: &Path) -> Result<Secret, AuthFault> {
    let path = path(data);
    let fault = |source: std::io::Error| AuthFault::File {
        path: path.clone(),
        source,
    };
    if !data.join("installation.key").is_file() {
        let text = "there is no installation here yet: start the server first, or name its folder";
        return Err(fault(std::io::Error::new(std::io::ErrorKind::NotFound, text)));
    }
    let identity = Identity::open(data).map_err(|e| fault(std::io::Error::other(e)))?;
    let secret = random_text(LENGTH)?;
    let sealed = identity
        .seal(secret.expose())
        .map_err(|e| fault(std::io::Error::other(e)))?;
    write_private(&path, sealed.as_bytes()).map_err(fault)?;
    Ok(secret)
}

/// Why a signed hook is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The signature or the secret is wrong, or there is no secret here.
    Wrong,
    /// The same signed body came before.
    Again,
}

/// Checks signatures.
pub struct WebHooks {
    path: PathBuf,
    seen: Mutex<VecDeque<[u8; 32]>>,
}

/// A signed body that was taken; forgotten again unless it could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken([u8; 32]);

impl WebHooks {
    /// Of the installation in this folder.
    pub fn new(data: &Path) -> Self {
        Self {
            path: path(data),
            seen: Mutex::default(),
        }
    }

    /// Whether a request claims to be signed.
    pub fn claims(headers: &HeaderMap) -> bool {
        let names = SIGNATURES.iter().map(|(name, _)| *name).chain([TOKEN]);
        names.into_iter().any(|name| headers.contains_key(name))
    }

    /// Whether it is signed with our secret, and for the first time. One right signature among several is enough
    /// (Gitea sends GitHub's too); a secret that stands in a header signs nothing and may come again.
    pub fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        unseal: impl FnOnce(&str) -> Option<Secret>,
    ) -> Result<Option<Taken>, NotTaken> {
        let sealed = std::fs::read_to_string(&self.path).map_err(|_| NotTaken::Wrong)?;
        let secret = unseal(sealed.trim()).ok_or(NotTaken::Wrong)?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let signed = SIGNATURES.iter().any(|(name, before)| {
            text(name)
                .and_then(|value| value.strip_prefix(before))
                .and_then(bytes)
                .is_some_and(|tag| hmac::verify(&key, body, &tag).is_ok())
        });
        if signed {
            return self.take(sha256(body)).map(Some);
        }
        let named = text(TOKEN).is_some_and(|given| secret.matches(given));
        if named { Ok(None) } else { Err(NotTaken::Wrong) }
    }

    fn take(&self, digest: [u8; 32]) -> Result<Taken, NotTaken> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&digest) {
            return Err(NotTaken::Again);
        }
        if seen.len() >= REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(digest);
        Ok(Taken(digest))
    }

    /// It could not be used: the server may send it again.
    pub fn forget(&self, taken: Taken) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|digest| *digest != taken.0);
    }
}

/// Hexadecimal digits as bytes.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::hex;
    use http::HeaderValue;

    const BODY: &[u8] = br#"{"repository": {"url": "https://git.test/a"}}"#;

    struct Scene {
        data: tempfile::TempDir,
        secret: Secret,
        hooks: WebHooks,
    }

    impl Scene {
        fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            assert!(create(data.path()).is_err(), "there is no installation yet");
            Identity::open(data.path()).unwrap();
            let secret = create(data.path()).unwrap();
            let hooks = WebHooks::new(data.path());
            Self { data, secret, hooks }
        }

        fn check(&self, name: &'static str, value: &str, body: &[u8]) -> Result<Option<Taken>, NotTaken> {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            let identity = Identity::open(self.data.path()).unwrap();
            self.hooks
                .check(&headers, body, |sealed| identity.unseal(sealed).ok())
        }

        fn signature(&self, body: &[u8]) -> String {
            let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
            hex(hmac::sign(&key, body).as_ref())
        }
    }

    #[test]
    fn the_signatures_of_three_servers_are_known() {
        let scene = Scene::new();
        let github = format!("sha256={}", scene.signature(b"1"));
        assert!(scene.check("x-hub-signature-256", &github, b"1").is_ok());
        assert!(
            scene
                .check("x-gitea-signature", &scene.signature(b"2"), b"2")
                .is_ok()
        );
        assert!(scene.check("x-gitlab-token", scene.secret.expose(), b"3").is_ok());
        let text = std::fs::read_to_string(path(scene.data.path())).unwrap();
        assert!(!text.contains(scene.secret.expose()), "it is sealed");
    }

    #[test]
    fn what_is_wrong_or_was_seen_is_not_taken() {
        let scene = Scene::new();
        let right = format!("sha256={}", scene.signature(BODY));
        assert_eq!(
            scene.check("x-hub-signature-256", &right, b"other"),
            Err(NotTaken::Wrong)
        );
        let taken = scene.check("x-hub-signature-256", &right, BODY).unwrap().unwrap();
        assert_eq!(
            scene.check("x-hub-signature-256", &right, BODY),
            Err(NotTaken::Again)
        );
        let gitea = scene.signature(BODY);
        assert_eq!(
            scene.check("x-gitea-signature", &gitea, BODY),
            Err(NotTaken::Again),
            "under another header neither"
        );
        scene.hooks.forget(taken);
        assert!(scene.check("x-hub-signature-256", &right, BODY).is_ok());
        for (name, value) in [
            ("x-hub-signature-256", "sha256="),
            ("x-hub-signature-256", gitea.as_str()),
            ("x-gitea-signature", "zz"),
            ("x-gitea-signature", "\u{e9}"),
            ("x-gitlab-token", ""),
            ("x-gitlab-token", "guess"),
        ] {
            assert_eq!(
                scene.check(name, value, BODY),
                Err(NotTaken::Wrong),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn a_new_secret_takes_the_place_of_the_old_one() {
        let scene = Scene::new();
        create(scene.data.path()).unwrap();
        let old = scene.check("x-gitlab-token", scene.secret.expose(), BODY);
        assert_eq!(old, Err(NotTaken::Wrong));
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        let data = tempfile::tempdir().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(TOKEN, HeaderValue::from_static(""));
        let checked = WebHooks::new(data.path()).check(&headers, BODY, |_| Some(Secret::new("")));
        assert_eq!(checked, Err(NotTaken::Wrong));
    }
}
