//! Real keys that sign real commits: `ssh-keygen`, and `gpg` in a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cartridge_protocol::CommitId;
use tempfile::TempDir;

use super::{Repo, id};

/// Runs a program that has to succeed; what it says.
pub fn run(command: &mut Command) -> String {
    let done = command
        .stdin(Stdio::null())
        .output()
        .expect("it is installed (tests/install test)");
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {words}");
    String::from_utf8(done.stdout).expect("text").trim().to_owned()
}

/// A new SSH key of this kind; the path of its private half.
pub fn ssh_key(folder: &Path, name: &str, kind: &[&str]) -> PathBuf {
    let path = folder.join(name);
    run(Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", name, "-t"])
        .args(kind)
        .arg("-f")
        .arg(&path));
    path
}

/// The public half, as files of allowed signers and authorized keys have it.
pub fn public(key: &Path) -> String {
    std::fs::read_to_string(key.with_extension("pub"))
        .expect("a public key")
        .trim()
        .to_owned()
}

/// Commits everything, signed with an SSH key.
pub fn commit_signed(repo: &Repo, key: &Path) -> CommitId {
    commit_with(repo, "ssh", "ssh-keygen", &public_path(key))
}

fn public_path(key: &Path) -> String {
    key.with_extension("pub")
        .to_str()
        .expect("a plain path")
        .to_owned()
}

fn commit_with(repo: &Repo, format: &str, program: &str, key: &str) -> CommitId {
    repo.git(&["add", "-A"]);
    let (format, program, key) = (
        format!("gpg.format={format}"),
        format!(
            "gpg.{}program={program}",
            if format == "ssh" { "ssh." } else { "" }
        ),
        format!("user.signingkey={key}"),
    );
    let settings = ["-c", &format, "-c", &program, "-c", &key];
    let commit = ["commit", "-q", "-S", "--allow-empty", "-m", "signed"];
    repo.git(&[settings.as_slice(), &commit].concat());
    id(&repo.git(&["rev-parse", "HEAD"]))
}

/// A home of gpg, its agent ended with it.
pub struct Gpg {
    home: TempDir,
    program: PathBuf,
}

impl Gpg {
    pub fn new() -> Self {
        // Short: gpg-agent's socket is in it.
        let home = tempfile::Builder::new()
            .prefix("g")
            .tempdir_in("/tmp")
            .expect("a home");
        let program = home.path().join("gpg");
        let script = format!(
            "#!/bin/sh\nexec gpg --homedir {} --batch --pinentry-mode loopback --passphrase '' \"$@\"\n",
            home.path().display()
        );
        std::fs::write(&program, script).expect("a script");
        run(Command::new("chmod").args(["755", program.to_str().expect("a plain path")]));
        Self { home, program }
    }

    pub fn gpg(&self, arguments: &[&str]) -> String {
        run(Command::new(&self.program).arg("--quiet").args(arguments))
    }

    /// A new key of this user, which expires then.
    pub fn key(&self, user: &str, kind: &str, expires: &str) {
        self.gpg(&["--quick-gen-key", user, kind, "sign", expires]);
    }

    /// From now on it is another time for gpg, such as 20200101T000000.
    pub fn travel(&self, time: &str) {
        std::fs::write(
            self.home.path().join("gpg.conf"),
            format!("faked-system-time {time}!\n"),
        )
        .expect("a setting");
    }

    /// Revokes all keys there are.
    pub fn revoke(&self) {
        let folder = self.home.path().join("openpgp-revocs.d");
        for made in std::fs::read_dir(folder)
            .expect("certificates made with the keys")
            .flatten()
        {
            let text = std::fs::read_to_string(made.path()).expect("a certificate");
            std::fs::write(made.path(), text.replace("\n:---", "\n---")).expect("a certificate");
            self.gpg(&["--import", made.path().to_str().expect("a plain path")]);
        }
    }

    /// A keyring for gpgv, of these users.
    pub fn ring(&self, into: &Path, users: &[&str]) {
        let into = into.to_str().expect("a plain path");
        self.gpg(&[&["--yes", "--output", into, "--export"], users].concat());
    }

    /// Commits everything, signed by this user.
    pub fn commit(&self, repo: &Repo, user: &str) -> CommitId {
        commit_with(
            repo,
            "openpgp",
            self.program.to_str().expect("a plain path"),
            user,
        )
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .output();
    }
}
