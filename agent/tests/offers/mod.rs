//! Other versions of the agent under test, and signed statements about them.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "a test fails by panicking; each uses another part"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ring::signature::{Ed25519KeyPair, KeyPair};

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn signer(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

/// A file of keys with this one.
pub fn keys(seed: u8) -> String {
    format!("{} of the tests\n", hex(signer(seed).public_key().as_ref()))
}

/// Builds of one binary.
pub struct Builds {
    bytes: Vec<u8>,
}

impl Builds {
    /// Without what only a debugger reads.
    pub fn of(installed: &Path) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let done = std::process::Command::new("strip")
            .arg("-o")
            .arg(file.path())
            .arg(installed)
            .status();
        assert!(done.expect("strip is installed").success());
        Self {
            bytes: std::fs::read(file.path()).unwrap(),
        }
    }

    /// The same binary, saying that it is another version.
    fn build(&self, version: &str) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let mark = b"CARTRIDGE-AGENT-VERSION=";
        let places: Vec<usize> = bytes
            .windows(mark.len() + 1)
            .enumerate()
            .filter(|(_, w)| w.starts_with(mark) && w[mark.len()].is_ascii_digit())
            .map(|(at, _)| at + mark.len())
            .collect();
        let [place] = places[..] else {
            panic!("the place of the version is not there once: {places:?}")
        };
        let text = &mut bytes[place..place + 64];
        text.fill(0);
        text[..version.len()].copy_from_slice(version.as_bytes());
        bytes
    }

    /// Puts a binary with its statement into the folder.
    pub fn offer(
        &self,
        folder: &Path,
        version: &str,
        change: impl FnOnce(&mut serde_json::Value),
        signers: &[u8],
    ) -> PathBuf {
        let bytes = self.build(version);
        let file = folder.join(format!("agent-{version}"));
        std::fs::write(&file, &bytes).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let hash = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let mut statement = serde_json::json!({
            "product": "cartridge-agent", "version": version, "target": TARGET, "bytes": bytes.len(),
            "sha256": hex(hash.as_ref()),
        });
        change(&mut statement);
        let mut text = statement.to_string();
        let signatures: Vec<String> = signers
            .iter()
            .map(|seed| hex(signer(*seed).sign(text.as_bytes()).as_ref()))
            .collect();
        for signature in signatures {
            text.push('\n');
            text.push_str(&signature);
        }
        std::fs::write(folder.join(format!("agent-{version}.statement")), text).unwrap();
        file
    }

    /// One that is as it should be.
    pub fn good(&self, folder: &Path, version: &str) -> PathBuf {
        self.offer(folder, version, |_| {}, &[1])
    }
}
