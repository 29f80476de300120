//! Git over SSH, against a real server: what works, whom the agent does not believe, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cartridge_agent::host::git::{self, GitError, Remote, Stop};
use cartridge_agent::host::shelf::{Shelf, ShelfError};
use cartridge_agent_plan::artifacts::{Addresses, Limits, Remotes, Rules};
use cartridge_protocol::CommitId;
use support::keys::{public, ssh_key};
use support::sshd::{Between, Sshd, processes};
use support::{Repo, id, settle};
use tempfile::TempDir;

fn head(remote: &Remote) -> Result<CommitId, GitError> {
    git::head(remote, &Stop::within(Duration::from_secs(20)))
}

fn with(remote: &Remote, change: impl FnOnce(&mut Rules)) -> Remote {
    let mut rules = (*remote.rules).clone();
    change(&mut rules);
    Remote {
        rules: Arc::new(rules),
        ..remote.clone()
    }
}

fn noise(seed: u32) -> Vec<u8> {
    (0u32..50_000)
        .flat_map(|n| (n + seed).wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

#[test]
fn a_branch_is_looked_at_and_fetched_and_later_only_what_changed() {
    let (repo, sshd) = (Repo::new(), Sshd::start());
    repo.write("large", noise(0));
    repo.write("it's a name!", "one");
    let first = repo.commit();
    // A name that a shell would read otherwise.
    let (odd, bare) = (TempDir::new().unwrap(), "it's $(here)! ü.git");
    let bare = odd.path().join(bare);
    repo.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    repo.git(&["remote", "add", "there", bare.to_str().unwrap()]);
    let between = Between::start(sshd.port);
    let remote = sshd.remote(&bare, between.port);
    let remote = Remote {
        url: remote
            .url
            .replace("$(here)! ü", "%24(here)!%20%C3%BC")
            .replace(' ', "%20"),
        ..remote
    };
    assert_eq!(head(&remote).unwrap(), first, "{}", sshd.log());

    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &first).unwrap();
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&first)
    );
    let whole = between.passed.swap(0, Ordering::SeqCst);
    assert!(whole > 100_000, "{whole}");

    // Incremental, also over a forced push, behind the head, and by hash.
    let second = (0..3)
        .map(|n| {
            repo.write("small", n.to_string());
            repo.commit()
        })
        .fold(None, |_, commit| Some(commit))
        .unwrap();
    repo.git(&["push", "-q", "-f", "there", "main"]);
    settle(&shelf, &remote, &second).unwrap();
    let behind = id(&repo.git(&["rev-parse", "HEAD~1"]));
    settle(&shelf, &remote, &behind).unwrap();
    repo.git(&["reset", "-q", "--hard", first.as_str()]);
    repo.write("small", "forced");
    let forced = repo.commit();
    repo.git(&["push", "-q", "-f", "there", "main"]);
    settle(&shelf, &remote, &forced).unwrap();
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&forced)
    );
    let later = between.passed.load(Ordering::SeqCst);
    println!("{whole} bytes for the first release, {later} for the next three");
    assert!(later < 60_000, "{later} bytes");

    let nowhere = CommitId::new("1".repeat(40)).unwrap();
    let error = settle(&shelf, &remote, &nowhere).unwrap_err();
    assert!(
        matches!(error, ShelfError::Git(GitError::UnknownCommit { .. })),
        "{error:?}"
    );
    let error = head(&Remote {
        branch: "nope".into(),
        ..remote.clone()
    })
    .unwrap_err();
    assert!(matches!(error, GitError::UnknownBranch { .. }), "{error:?}");
    assert!(
        processes(&format!("Port={}", between.port)).is_empty(),
        "ssh was left behind"
    );
}

#[test]
fn the_short_way_to_write_an_address_names_a_path_below_the_home() {
    const ADDRESS: &str = "127.77.0.22";
    if std::net::TcpListener::bind((ADDRESS, 22)).is_err() {
        println!("nobody but another may listen on port 22 here");
        return;
    }
    let (repo, sshd) = (Repo::new(), Sshd::start_at(ADDRESS, 22));
    repo.write("a", "a");
    let commit = repo.commit();
    let remote = sshd.remote(repo.path(), 22);
    std::fs::write(
        sshd.path("known"),
        format!("{ADDRESS} {}\n", public(&sshd.path("host"))),
    )
    .unwrap();
    let credentials = format!(
        "{{\"{ADDRESS}:22\": {{\"key\": \"{}\"}}}}",
        sshd.path("user").display()
    );
    std::fs::write(sshd.path("credentials"), credentials).unwrap();
    let up = std::env::var("HOME").unwrap().matches('/').count();
    let url = format!(
        "{}@{ADDRESS}:{}{}",
        Sshd::user(),
        "../".repeat(up),
        &repo.path().to_str().unwrap()[1..]
    );
    println!("{url}");
    let short = Remote { url, ..remote };
    assert_eq!(head(&short).unwrap(), commit, "{}", sshd.log());
    let root = TempDir::new().unwrap();
    settle(&Shelf::open(root.path()).unwrap(), &short, &commit).unwrap();
}

#[test]
fn a_server_whose_key_is_not_known_is_not_spoken_to_and_its_fingerprint_is_told() {
    let (repo, sshd) = (Repo::new(), Sshd::start());
    repo.write("a", "a");
    let commit = repo.commit();
    let remote = sshd.remote(repo.path(), sshd.port);
    let other = ssh_key(sshd.folder.path(), "other", &["ed25519"]);
    let mine = sshd.known("127.0.0.1", sshd.port);
    let fingerprint = {
        let shown = support::keys::run(
            std::process::Command::new("ssh-keygen")
                .arg("-lf")
                .arg(sshd.path("host.pub")),
        );
        shown.split(' ').nth(1).unwrap().to_owned()
    };
    let line = |key: &str| format!("[127.0.0.1]:{} {key}\n", sshd.port);
    let revoked = format!("@revoked {mine}{mine}");
    for (known, words) in [
        (String::new(), "is not in --known-hosts"),
        (
            sshd.known("127.0.0.1", 22).replace(":22 ", ":23 "),
            "is not in --known-hosts",
        ),
        (sshd.known("elsewhere", sshd.port), "is not in --known-hosts"),
        (line(&public(&other)), "is not the one in --known-hosts"),
        (revoked, "is revoked"),
    ] {
        std::fs::write(sshd.path("known"), &known).unwrap();
        let error = head(&remote).unwrap_err();
        assert!(matches!(error, GitError::HostKey { .. }), "{known}: {error:?}");
        let told = error.to_string();
        assert!(told.contains(words) && told.contains(&fingerprint), "{told}");
        assert_eq!(
            std::fs::read_to_string(sshd.path("known")).unwrap(),
            known,
            "it was written to"
        );
    }
    assert!(!sshd.log().contains("Accepted publickey"), "{}", sshd.log());
    std::fs::write(sshd.path("known"), mine).unwrap();
    assert_eq!(head(&remote).unwrap(), commit);
    let error = head(&with(&remote, |rules| rules.known_hosts = None)).unwrap_err();
    assert!(error.to_string().contains("--known-hosts"), "{error}");
}

#[test]
fn only_the_named_key_is_shown_and_what_is_wrong_with_it_is_told() {
    let (repo, sshd) = (Repo::new(), Sshd::start());
    repo.write("a", "a");
    repo.commit();
    let remote = sshd.remote(repo.path(), sshd.port);
    let wrong = ssh_key(sshd.folder.path(), "wrong", &["ed25519"]);
    sshd.credentials(&wrong);
    let error = head(&remote).unwrap_err();
    assert!(matches!(error, GitError::Key { given: true, .. }), "{error:?}");
    let error = head(&with(&remote, |rules| rules.credentials = None)).unwrap_err();
    assert!(matches!(error, GitError::Key { given: false, .. }), "{error:?}");

    sshd.credentials(&sshd.path("user"));
    let open = |mode| std::fs::set_permissions(sshd.path("user"), PermissionsExt::from_mode(mode)).unwrap();
    open(0o644);
    let error = head(&remote).unwrap_err();
    assert!(
        matches!(error, GitError::Setting { .. }) && error.to_string().contains("600"),
        "{error:?}"
    );
    open(0o600);
    sshd.credentials(&sshd.path("nothing"));
    let error = head(&remote).unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
    std::fs::write(sshd.path("nothing"), "nonsense").unwrap();
    std::fs::set_permissions(sshd.path("nothing"), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(head(&remote).is_err());
    sshd.credentials(&sshd.path("user"));
    assert!(head(&remote).is_ok(), "{}", sshd.log());

    let elsewhere = Remote {
        url: format!("{}/nowhere", remote.url),
        ..remote.clone()
    };
    let error = head(&elsewhere).unwrap_err();
    assert!(matches!(error, GitError::NotARepository { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("does not appear to be a git repository"),
        "{error}"
    );
    let kinds = with(&remote, |rules| rules.remotes = Remotes::default());
    let error = head(&kinds).unwrap_err();
    assert!(error.to_string().contains("--allow-remotes"), "{error}");
}

#[test]
fn the_rule_about_addresses_holds_for_names_too() {
    let (repo, sshd) = (Repo::new(), Sshd::start());
    repo.write("a", "a");
    let commit = repo.commit();
    let between = Between::start(sshd.port);
    let remote = sshd.remote(repo.path(), between.port);
    std::fs::write(sshd.path("known"), sshd.known("localhost", between.port)).unwrap();
    let by_name = Remote {
        url: remote.url.replace("127.0.0.1", "localhost"),
        ..remote
    };
    let strict = with(&by_name, |rules| {
        rules.addresses = Addresses::parse("public|private").unwrap()
    });
    let error = head(&strict).unwrap_err();
    assert!(error.to_string().contains("is this machine"), "{error}");
    assert_eq!(between.passed.load(Ordering::SeqCst), 0, "it was connected to");
    assert_eq!(head(&by_name).unwrap(), commit, "{}", sshd.log());
}

#[test]
fn a_server_that_hangs_is_given_up_and_nothing_is_left_behind() {
    let sshd = Sshd::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let remote = sshd.remote(sshd.folder.path(), port);
    let begun = Instant::now();
    let stop = Stop::within(Duration::from_secs(10));
    let (waiting, raised) = (remote.clone(), stop.clone());
    let waiting = std::thread::spawn(move || git::head(&waiting, &raised));
    confined_and_alone(port);
    stop.raise();
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, GitError::Stopped { .. }), "{error:?}");
    let hasty = with(&remote, |rules| {
        rules.limits = Limits {
            patience: 1,
            ..Limits::default()
        };
    });
    let error = head(&hasty).unwrap_err();
    assert!(error.to_string().contains("said nothing for 1 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(
        processes(&format!("Port={port}")).is_empty(),
        "ssh was left behind"
    );
}

#[test]
fn a_connection_cut_anywhere_leaves_the_old_release_and_the_next_try_succeeds() {
    let (repo, sshd) = (Repo::new(), Sshd::start());
    repo.write("a", "one");
    let first = repo.commit();
    let between = Between::start(sshd.port);
    let remote = sshd.remote(repo.path(), between.port);
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &first).unwrap();
    repo.write("noise", noise(1));
    let second = repo.commit();
    let cuts: Vec<usize> = [
        0, 20, 1_000, 2_000, 3_000, 3_500, 4_000, 5_000, 20_000, 100_000, 150_000,
    ]
    .into();
    for cut in cuts {
        between.cut.store(cut, Ordering::SeqCst);
        let error = settle(&shelf, &remote, &second).expect_err("half a pack was accepted");
        assert!(
            matches!(error, ShelfError::Git(_)) && !error.is_refusal(),
            "{cut}: {error:?}"
        );
        let state = shelf.state().unwrap();
        assert_eq!((state.current.as_ref(), state.parts.len()), (Some(&first), 0));
    }
    between.cut.store(usize::MAX, Ordering::SeqCst);
    settle(&shelf, &remote, &second).unwrap();
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&second)
    );
}

/// The `ssh` that talks to this port can do no more than it has to, and was told nothing of the agent's surroundings.
fn confined_and_alone(port: u16) {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "no ssh was seen");
        for process in processes(&format!("Port={port}")) {
            let program = std::fs::read_link(process.join("exe")).unwrap_or_default();
            if program.file_name().is_none_or(|name| name != "ssh") {
                continue;
            }
            let status = std::fs::read_to_string(process.join("status")).unwrap();
            for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
                assert!(status.contains(line), "{status}");
            }
            let environment = std::fs::read_to_string(process.join("environ")).unwrap();
            let mut names: Vec<&str> = environment
                .split('\0')
                .filter_map(|pair| pair.split('=').next())
                .collect();
            names.sort_unstable();
            assert_eq!(names, ["", "HOME", "LC_ALL", "PATH"], "{environment}");
            return;
        }
        std::thread::yield_now();
    }
}
