//! Commits signed with real keys, and everything that is not: what is accepted, and what is left lying.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cartridge_agent::host::git::{Remote, Stop};
use cartridge_agent::host::shelf::{Shelf, ShelfError};
use cartridge_agent_plan::artifacts::{Rules, Signatures};
use cartridge_agent_plan::release::Move;
use cartridge_protocol::CommitId;
use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use support::keys::{Gpg, commit_signed, public, run, ssh_key};
use support::{Repo, Server, id, remote, rules, settle};
use tempfile::TempDir;

/// Only stages.
fn stage(shelf: &Shelf, remote: &Remote, commit: &CommitId) -> Result<(), ShelfError> {
    shelf.carry_out(
        &Move::Stage(commit.clone()),
        remote,
        &Stop::within(Duration::from_secs(60)),
    )
}

struct Place {
    folder: TempDir,
    repo: Repo,
    server: Server,
}

impl Place {
    fn new() -> Self {
        let repo = Repo::new();
        let server = Server::start(repo.path());
        let folder = TempDir::new().unwrap();
        Self { folder, repo, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signers(&self, text: &str) {
        std::fs::write(self.path("signers"), text).unwrap();
    }

    fn shelf(&self) -> Shelf {
        Shelf::open(&self.path("shelf"))
            .unwrap()
            .with_fresh(Duration::ZERO)
    }

    fn remote(&self, signatures: Signatures) -> Remote {
        Remote {
            rules: Arc::new(Rules {
                signatures,
                ..rules()
            }),
            ..remote(self.server.url(".git"))
        }
    }

    fn ssh(&self) -> Remote {
        self.remote(Signatures::Ssh(self.path("signers")))
    }

    fn openpgp(&self) -> Remote {
        self.remote(Signatures::OpenPgp(self.path("ring")))
    }

    /// A commit object of these bytes, made the head.
    fn raw(&self, bytes: &[u8]) -> CommitId {
        let arguments = ["hash-object", "--literally", "-w", "-t", "commit", "--stdin"];
        let commit = support::git_in(self.repo.path(), &arguments, bytes);
        self.repo.git(&["update-ref", "refs/heads/main", &commit]);
        id(&commit)
    }

    fn bytes(&self, commit: &CommitId) -> String {
        // Its last line end was cut off.
        self.repo.git(&["cat-file", "commit", commit.as_str()]) + "\n"
    }
}

/// It is refused for good, with these words, and what is current stays.
fn refused(shelf: &Shelf, remote: &Remote, commit: &CommitId, words: &str) {
    let before = shelf.state().unwrap();
    let error = settle(shelf, remote, commit).expect_err(words);
    assert!(error.is_refusal(), "{words}: {error:?}");
    let told = error.to_string();
    assert!(told.contains(words) && told.contains(commit.as_str()), "{told}");
    assert_eq!(shelf.state().unwrap(), before, "{words}");
}

#[test]
fn only_commits_of_allowed_signers_become_releases() {
    let place = Place::new();
    let [mine, other] = ["mine", "other"].map(|name| ssh_key(place.folder.path(), name, &["ed25519"]));
    place.signers(&format!(
        "# who deploys\nme@example.org namespaces=\"git\" {}\n",
        public(&mine)
    ));
    let (shelf, remote) = (place.shelf(), place.ssh());
    place.repo.write("a", "one");
    let good = commit_signed(&place.repo, &mine);
    settle(&shelf, &remote, &good).unwrap();

    place.repo.write("a", "two");
    let unsigned = place.repo.commit();
    refused(&shelf, &remote, &unsigned, "is not signed");
    let others = commit_signed(&place.repo, &other);
    refused(&shelf, &remote, &others, "key that is not in --allowed-signers");

    // The same signature over other words, another tree, another parent.
    let text = place.bytes(&good);
    let tree = place.repo.tree_of_commit(&unsigned);
    let before = place.repo.tree_of_commit(&good);
    for changed in [
        text.replace("\n\nsigned", "\n\nsigneD"),
        text.replacen(&before, &tree, 1),
    ] {
        assert_ne!(text, changed);
        refused(&shelf, &remote, &place.raw(changed.as_bytes()), "does not fit it");
    }
    let two = text.replacen("gpgsig ", "gpgsig x\ngpgsig ", 1);
    refused(&shelf, &remote, &place.raw(two.as_bytes()), "two signatures");
    let hollow = text.replacen(
        "-----BEGIN SSH SIGNATURE-----",
        "-----BEGIN PGP SIGNATURE-----",
        1,
    );
    refused(
        &shelf,
        &remote,
        &place.raw(hollow.as_bytes()),
        "not an SSH signature",
    );

    // A signature for something else than Git.
    let data = place.path("data");
    std::fs::write(&data, "x").unwrap();
    run(Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "file", "-f"])
        .arg(&mine)
        .arg(&data));
    let made = std::fs::read_to_string(place.path("data.sig")).unwrap();
    let made = made.trim().replace('\n', "\n ");
    let head = place
        .bytes(&unsigned)
        .replacen("\n\n", &format!("\ngpgsig {made}\n\n"), 1);
    refused(
        &shelf,
        &remote,
        &place.raw(head.as_bytes()),
        "something else than Git",
    );
    assert_eq!(shelf.state().unwrap().current, Some(good));
}

#[test]
fn what_ssh_keygen_accepts_is_accepted_and_nothing_else() {
    let place = Place::new();
    let kinds: [(&str, &[&str]); 5] = [
        ("ed", &["ed25519"]),
        ("p256", &["ecdsa", "-b", "256"]),
        ("p384", &["ecdsa", "-b", "384"]),
        ("rsa2048", &["rsa", "-b", "2048"]),
        ("rsa3072", &["rsa", "-b", "3072"]),
    ];
    let keys = kinds.map(|(name, kind)| ssh_key(place.folder.path(), name, kind));
    let commits: Vec<(CommitId, usize)> = (0..3)
        .flat_map(|_| {
            (0..keys.len())
                .map(|n| (commit_signed(&place.repo, &keys[n]), n))
                .collect::<Vec<_>>()
        })
        .collect();
    let year = |after: bool| {
        if after {
            "valid-after=\"20200101Z\","
        } else {
            "valid-before=\"20200101Z\","
        }
    };
    let mut accepted = 0;
    for (line, start) in [
        "* ".to_owned(),
        "a@example.org,b ".to_owned(),
        "a namespaces=\"git\" ".to_owned(),
        "a namespaces=\"file,g?t\" ".to_owned(),
        "a namespaces=\"file\" ".to_owned(),
        "a namespaces=\"!git,*\" ".to_owned(),
        "a cert-authority ".to_owned(),
        format!("a {}namespaces=\"git\" ", year(true)),
        format!("a {}namespaces=\"git\" ", year(false)),
        "\"a b\" NAMESPACES=\"git\" ".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let allowed = [0, 1, 2, 3, 4].iter().filter(|n| (*n + line) % 4 != 0);
        let text: String = allowed
            .map(|n| format!("{start}{}\n", public(&keys[*n])))
            .collect();
        place.signers(&text);
        let shelf = Shelf::open(&place.path(&format!("shelf{line}"))).unwrap();
        for (commit, key) in &commits[line % 3 * keys.len()..][..keys.len()] {
            place
                .repo
                .git(&["update-ref", "refs/heads/main", commit.as_str()]);
            let ours = stage(&shelf, &place.ssh(), commit);
            let theirs = git_accepts(&place, commit);
            assert_eq!(ours.is_ok(), theirs, "{start} {:?}: {ours:?}", kinds[*key].0);
            accepted += usize::from(theirs);
        }
    }
    println!("{accepted} of 50 accepted, the same as by ssh-keygen");
    assert!((15..45).contains(&accepted), "{accepted}");
}

/// What git and ssh-keygen think of a commit, now.
fn git_accepts(place: &Place, commit: &CommitId) -> bool {
    let signers = format!("gpg.ssh.allowedSignersFile={}", place.path("signers").display());
    let done = Command::new("git")
        .current_dir(place.repo.path())
        .args([
            "-c",
            &signers,
            "-c",
            "gpg.format=ssh",
            "verify-commit",
            commit.as_str(),
        ])
        .output()
        .unwrap();
    done.status.success()
}

#[test]
fn a_change_of_the_signers_counts_at_the_next_release_and_leaves_the_way_back() {
    let place = Place::new();
    let [mine, other] = ["mine", "other"].map(|name| ssh_key(place.folder.path(), name, &["ed25519"]));
    let line = |key: &Path| format!("x {}\n", public(key));
    place.signers(&(line(&mine) + &line(&other)));
    let (shelf, remote) = (place.shelf(), place.ssh());
    let commits = [&mine, &other, &mine].map(|key| {
        place.repo.write("a", key.to_str().unwrap());
        commit_signed(&place.repo, key)
    });
    let [first, second, third] = &commits;
    place.repo.git(&["update-ref", "refs/heads/main", first.as_str()]);
    settle(&shelf, &remote, first).unwrap();
    place.repo.git(&["update-ref", "refs/heads/main", third.as_str()]);
    stage(&shelf, &remote, second).unwrap();
    stage(&shelf, &remote, third).unwrap();

    // Whoever signed the staged release may not any more before it is current.
    place.signers(&line(&other));
    refused(&shelf, &remote, third, "not in --allowed-signers");
    settle(&shelf, &remote, second).unwrap();
    // What was current may be again: the way back needs nobody's permission.
    settle(&shelf, &remote, first).unwrap();
    // But once it is gone from the shelf, it is a release like any other.
    settle(&shelf, &remote, second).unwrap();
    shelf.tidy(&Move::Prune(first.clone())).unwrap();
    refused(&shelf, &remote, first, "not in --allowed-signers");
}

#[test]
fn releases_from_before_signatures_were_wanted_are_checked_before_they_are_current() {
    let place = Place::new();
    let key = ssh_key(place.folder.path(), "mine", &["ed25519"]);
    place.signers(&format!("x {}\n", public(&key)));
    let shelf = place.shelf();
    place.repo.write("a", "one");
    let unsigned = place.repo.commit();
    settle(&shelf, &place.remote(Signatures::None), &unsigned).unwrap();
    place.repo.write("a", "two");
    let later = place.repo.commit();
    stage(&shelf, &place.remote(Signatures::None), &later).unwrap();
    refused(&shelf, &place.ssh(), &later, "is not signed");
    // What is current stays, and a signed one follows it.
    settle(&shelf, &place.ssh(), &unsigned).unwrap();
    let good = commit_signed(&place.repo, &key);
    settle(&shelf, &place.ssh(), &good).unwrap();
    // Also when what was fetched is gone meanwhile.
    std::fs::remove_dir_all(place.path("shelf/repository")).unwrap();
    refused(&shelf, &place.ssh(), &later, "is not signed");
    refused(&shelf, &place.ssh(), &unsigned, "is not signed");
}

#[test]
fn a_file_of_signers_that_cannot_be_trusted_accepts_nobody_and_may_be_mended() {
    let place = Place::new();
    let key = ssh_key(place.folder.path(), "mine", &["ed25519"]);
    let commit = commit_signed(&place.repo, &key);
    let line = format!("x {}\n", public(&key));
    let (shelf, remote) = (place.shelf(), place.ssh());
    let unknown = |words: &str| {
        let error = settle(&shelf, &remote, &commit).expect_err(words);
        assert!(!error.is_refusal(), "it is not the commit's fault: {error:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(shelf.state().unwrap().whole.is_empty());
    };
    unknown("No such file");
    place.signers(&format!("{line}nonsense\n"));
    unknown("line 2");
    place.signers(&line);
    let open =
        |mode| std::fs::set_permissions(place.path("signers"), PermissionsExt::from_mode(mode)).unwrap();
    open(0o666);
    unknown("others than its owner");
    open(0o644);
    settle(&shelf, &remote, &commit).unwrap();
}

#[test]
fn openpgp_signatures_are_checked_by_gpgv() {
    let place = Place::new();
    let gpg = Gpg::new();
    for user in ["a@example.org", "b@example.org"] {
        gpg.key(user, "ed25519", "never");
    }
    gpg.key("c@example.org", "rsa3072", "never");
    gpg.ring(&place.path("ring"), &["a@example.org", "c@example.org"]);
    let (shelf, remote) = (place.shelf(), place.openpgp());
    for user in ["a@example.org", "c@example.org"] {
        place.repo.write("a", user);
        let good = gpg.commit(&place.repo, user);
        settle(&shelf, &remote, &good).unwrap();
    }
    let good = shelf.state().unwrap().current.unwrap();
    let unsigned = place.repo.commit();
    refused(&shelf, &remote, &unsigned, "is not signed");
    let others = gpg.commit(&place.repo, "b@example.org");
    refused(&shelf, &remote, &others, "who is not in --allowed-signers");
    let text = place.bytes(&good);
    let changed = text.replace("\n\nsigned", "\n\nsigneD");
    refused(&shelf, &remote, &place.raw(changed.as_bytes()), "does not fit it");

    // Signature and words in one piece, an empty one, and two.
    let data = place.path("data");
    std::fs::write(&data, "words of its own").unwrap();
    let whole = gpg.gpg(&[
        "--armor",
        "--sign",
        "-u",
        "a@example.org",
        "-o",
        "-",
        data.to_str().unwrap(),
    ]);
    let start = text.find("gpgsig ").unwrap();
    let end = text.find("-----END PGP SIGNATURE-----\n").unwrap() + 28;
    let with = |signature: &str| {
        let signature = signature.trim().replace('\n', "\n ");
        let commit = format!("{}gpgsig {signature}\n{}", &text[..start], &text[end..]);
        place.raw(commit.as_bytes())
    };
    refused(&shelf, &remote, &with(&whole), "a signature that");
    refused(&shelf, &remote, &with("x"), "none that gpgv understands");
    let own = text[start + 7..end].replace("\n ", "\n");
    assert_eq!(with(&own), good, "the same put together again");
    refused(
        &shelf,
        &remote,
        &with(&format!("{own}\n{own}")),
        "a signature that",
    );
    let ssh = place.remote(Signatures::Ssh(place.path("none")));
    assert!(settle(&shelf, &ssh, &others).is_err());
}

#[test]
fn keys_that_are_expired_or_revoked_do_not_sign_and_armour_is_no_keyring() {
    let place = Place::new();
    let gpg = Gpg::new();
    gpg.travel("20200101T000000");
    gpg.key("a@example.org", "ed25519", "never");
    gpg.key("b@example.org", "ed25519", "1d");
    let users = ["a@example.org", "b@example.org"];
    gpg.ring(&place.path("ring"), &users);
    let (shelf, remote) = (place.shelf(), place.openpgp());
    let commits = users.map(|user| {
        place.repo.write("a", user);
        gpg.commit(&place.repo, user)
    });
    refused(&shelf, &remote, &commits[1], "is by an expired key");
    gpg.revoke();
    gpg.ring(&place.path("ring"), &users);
    refused(&shelf, &remote, &commits[0], "is by a revoked key");

    let armoured = gpg.gpg(&["--armor", "--export", users[0]]);
    std::fs::write(place.path("ring"), armoured).unwrap();
    let error = settle(&shelf, &remote, &commits[0]).unwrap_err();
    assert!(
        !error.is_refusal() && error.to_string().contains("gpg --dearmor"),
        "{error}"
    );
}

/// SSH's way of writing a string.
fn wire(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// What a security key does, without one: its public line, and a signature over a commit's payload.
fn by_security_key(payload: &[u8], flags: u8) -> (String, String) {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let (kind, application) = (b"sk-ssh-ed25519@openssh.com".as_slice(), b"ssh:".as_slice());
    let blob = [wire(kind), wire(key.public_key().as_ref()), wire(application)].concat();
    let message = digest(&SHA512, payload);
    let signed = [
        b"SSHSIG".to_vec(),
        wire(b"git"),
        wire(b""),
        wire(b"sha512"),
        wire(message.as_ref()),
    ]
    .concat();
    let state = [flags, 0, 0, 0, 9];
    let [application, inner] = [application, &signed].map(|part| digest(&SHA256, part));
    let made = key.sign(&[application.as_ref(), &state, inner.as_ref()].concat());
    let last = [wire(kind), wire(made.as_ref()), state.to_vec()].concat();
    let whole = [
        b"SSHSIG\0\0\0\x01".to_vec(),
        wire(&blob),
        wire(b"git"),
        wire(b""),
        wire(b"sha512"),
        wire(&last),
    ]
    .concat();
    let digits = STANDARD.encode(whole);
    let lines: Vec<&str> = digits
        .as_bytes()
        .chunks(70)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let text = format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----",
        lines.join("\n")
    );
    (
        format!("x sk-ssh-ed25519@openssh.com {}\n", STANDARD.encode(blob)),
        text,
    )
}

#[test]
fn security_keys_sign_when_they_are_touched() {
    let place = Place::new();
    place.repo.write("a", "one");
    let unsigned = place.repo.commit();
    let payload = place.bytes(&unsigned);
    let shelf = place.shelf();
    for (flags, good) in [(0, false), (1, true)] {
        let (line, signature) = by_security_key(payload.as_bytes(), flags);
        place.signers(&line);
        let signature = signature.replace('\n', "\n ");
        let commit = place.raw(
            payload
                .replacen("\n\n", &format!("\ngpgsig {signature}\n\n"), 1)
                .as_bytes(),
        );
        if good {
            settle(&shelf, &place.ssh(), &commit).unwrap();
            assert!(git_accepts(&place, &commit), "ssh-keygen thinks otherwise");
        } else {
            refused(&shelf, &place.ssh(), &commit, "without anybody touching");
        }
    }
}
