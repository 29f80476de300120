//! Git over our own HTTP transport, against a real server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cartridge_agent::host::git::{self, GitError, Remote, Stop};
use cartridge_agent::host::shelf::{Shelf, ShelfError};
use cartridge_agent_plan::artifacts::{Addresses, Remotes, Rules};
use cartridge_protocol::{CommitId, Secret};
use support::{Repo, Server, remote, rules, settle};
use tempfile::TempDir;

#[test]
fn a_branch_is_asked_for_and_its_commit_becomes_the_current_release() {
    let repo = Repo::new();
    repo.write("index.html", "one");
    repo.write("bin/run", "#!/bin/sh\n");
    let commit = repo.commit();
    let server = Server::start(repo.path());
    let remote = remote(server.url(".git"));
    assert_eq!(git::head(&remote, &Stop::new()).unwrap(), commit);

    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &commit).unwrap();
    assert_eq!(shelf.state().unwrap().current.as_ref(), Some(&commit));
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&commit)
    );
}

#[test]
fn later_fetches_bring_only_what_changed_also_after_a_forced_push() {
    let repo = Repo::new();
    let noise: Vec<u8> = (0u32..200_000)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    repo.write("large", &noise);
    repo.write("small", "one");
    repo.commit();
    repo.write("small", "two");
    let first = repo.commit();
    let server = Server::start(repo.path());
    let remote = remote(server.url(".git"));
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &first).unwrap();
    let after_first = server.manners.sent.load(Ordering::SeqCst);
    assert!(after_first > 500_000);

    repo.write("small", "three");
    let second = repo.commit();
    settle(&shelf, &remote, &second).unwrap();
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&second)
    );

    repo.git(&["reset", "-q", "--hard", "HEAD~2"]);
    repo.write("small", "four");
    let third = repo.commit();
    settle(&shelf, &remote, &third).unwrap();
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&third)
    );
    let later = server.manners.sent.load(Ordering::SeqCst) - after_first;
    assert!(later < 20_000, "{later} bytes for two small changes");
}

#[test]
fn a_commit_behind_the_head_is_found() {
    let repo = Repo::new();
    let commits: Vec<CommitId> = (0..5)
        .map(|n| {
            repo.write("a", n.to_string());
            repo.commit()
        })
        .collect();
    let server = Server::start(repo.path());
    let remote = remote(server.url(".git"));
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &commits[1]).unwrap();
    assert_eq!(
        std::fs::read_to_string(shelf.current_path().join("a")).unwrap(),
        "1"
    );
    settle(&shelf, &remote, &commits[4]).unwrap();
    assert_eq!(
        std::fs::read_to_string(shelf.current_path().join("a")).unwrap(),
        "4"
    );

    let nowhere = CommitId::new("1".repeat(40)).unwrap();
    let error = settle(&shelf, &remote, &nowhere).unwrap_err();
    assert!(
        matches!(error, ShelfError::Git(GitError::UnknownCommit { .. })),
        "{error:?}"
    );
    assert_eq!(shelf.state().unwrap().current.as_ref(), Some(&commits[4]));
}

#[test]
fn what_is_wrong_is_told_apart_and_no_password_is_shown() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let server = Server::with(repo.path(), |manners| {
        manners.credentials = Some(("me".into(), "canary-7".into()));
    });
    let with = |password: &str| Remote {
        username: Some("me".into()),
        password: Some(Secret::new(password)),
        ..remote(server.url(".git"))
    };
    let head = |remote: &Remote| git::head(remote, &Stop::within(Duration::from_secs(10)));
    assert_eq!(head(&with("canary-7")).unwrap(), commit);

    let wrong = head(&with("canary-8")).unwrap_err();
    assert!(
        matches!(wrong, GitError::Credentials { given: true, .. }),
        "{wrong:?}"
    );
    let none = head(&remote(server.url(".git"))).unwrap_err();
    assert!(
        matches!(none, GitError::Credentials { given: false, .. }),
        "{none:?}"
    );
    let branch = head(&Remote {
        branch: "nope".into(),
        ..with("canary-7")
    })
    .unwrap_err();
    assert!(matches!(branch, GitError::UnknownBranch { .. }), "{branch:?}");
    assert!(branch.to_string().contains("nope"));
    let elsewhere = head(&Remote {
        url: server.url("x/.git"),
        ..with("canary-7")
    })
    .unwrap_err();
    assert!(
        matches!(elsewhere, GitError::NotARepository { .. }),
        "{elsewhere:?}"
    );
    let silent = head(&remote("http://127.0.0.1:1/x")).unwrap_err();
    assert!(matches!(silent, GitError::Unreachable { .. }), "{silent:?}");
    let https_only = Remote::new(repo.file_url(), "main");
    let file = head(&https_only).unwrap_err();
    assert!(matches!(file, GitError::Address { .. }), "{file:?}");
    for error in [wrong, none, branch, elsewhere, silent, file] {
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[test]
fn credentials_in_the_address_are_used_and_hidden() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let server = Server::with(repo.path(), |m| {
        m.credentials = Some(("me".into(), "p@ss".into()))
    });
    let url = format!("http://me:p%40ss@127.0.0.1:{}/.git", server.port);
    assert_eq!(git::head(&remote(url.clone()), &Stop::new()).unwrap(), commit);
    let error = git::head(
        &Remote {
            branch: "x".into(),
            ..remote(url)
        },
        &Stop::new(),
    )
    .unwrap_err();
    assert!(!error.to_string().contains("p%40ss"));
}

#[test]
fn redirects_stay_on_the_host_and_are_remembered() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let server = Server::with(repo.path(), |m| m.redirect = Some(("/old/".into(), "/".into())));
    let moved = remote(server.url("old/.git"));
    let root = TempDir::new().unwrap();
    settle(&Shelf::open(root.path()).unwrap(), &moved, &commit).unwrap();

    let target = server.url("");
    let rogue = Server::with(repo.path(), |m| m.redirect = Some(("/".into(), target)));
    let before = server.manners.connections.load(Ordering::SeqCst);
    let error = git::head(&remote(rogue.url(".git")), &Stop::new()).unwrap_err();
    assert!(matches!(error, GitError::NotARepository { .. }), "{error:?}");
    assert_eq!(
        server.manners.connections.load(Ordering::SeqCst),
        before,
        "it went to another place"
    );
}

/// Cuts of what a server answers, spread over all of it.
const CUTS: usize = 2000;

#[test]
fn a_connection_cut_anywhere_in_a_pack_leaves_the_old_release_and_the_next_try_succeeds() {
    let lanes = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for lane in 0..lanes {
            scope.spawn(move || cut_everywhere(lane, lanes));
        }
    });
}

/// Each so many-th cut, on a shelf of its own.
fn cut_everywhere(lane: usize, lanes: usize) {
    let repo = Repo::new();
    repo.write("a", "one");
    let first = repo.commit();
    let server = Server::start(repo.path());
    let remote = remote(server.url(".git"));
    let root = TempDir::new().unwrap();
    let shelf = Shelf::open(root.path()).unwrap();
    settle(&shelf, &remote, &first).unwrap();

    let noise: Vec<u8> = (0u32..40_000)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    repo.write("noise", &noise);
    repo.write("a", "two");
    let second = repo.commit();
    // The pack has 160,000 bytes that cannot be made smaller.
    let cuts = (1..=CUTS).map(|n| if n <= 400 { n } else { n * 80 - 31_600 });
    for cut in cuts.skip(lane).step_by(lanes) {
        server.manners.cut.store(cut, Ordering::SeqCst);
        let error = settle(&shelf, &remote, &second).expect_err("half a pack was accepted");
        assert!(matches!(error, ShelfError::Git(_)), "{error:?}");
        let state = shelf.state().unwrap();
        assert_eq!((state.current.as_ref(), state.parts.len()), (Some(&first), 0));
    }
    server.manners.cut.store(usize::MAX, Ordering::SeqCst);
    settle(&shelf, &remote, &second).unwrap();
    assert_eq!(
        repo.tree_of_folder(&shelf.current_path()),
        repo.tree_of_commit(&second)
    );
}

#[test]
fn a_server_that_never_answers_is_given_up_when_told_to() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    let begun = Instant::now();
    let error = git::head(&remote(url.clone()), &Stop::within(Duration::from_millis(200))).unwrap_err();
    assert!(matches!(error, GitError::Stopped { .. }), "{error:?}");
    let stop = Stop::new();
    let raiser = stop.clone();
    let waiting = std::thread::spawn(move || git::head(&remote(url), &stop));
    raiser.raise();
    assert!(matches!(waiting.join().unwrap(), Err(GitError::Stopped { .. })));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn looking_at_a_branch_again_reuses_the_connection() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let server = Server::start(repo.path());
    let remote = remote(server.url(".git"));
    for _ in 0..10 {
        assert_eq!(git::head(&remote, &Stop::new()).unwrap(), commit);
    }
    // Not always one: other tests keep the shared runtime busy while a connection is handed back.
    let connections = server.manners.connections.load(Ordering::SeqCst);
    assert!(connections <= 4, "{connections} connections for ten looks");
}

#[tokio::test]
async fn it_works_from_a_blocking_thread_of_a_runtime() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let server = Server::start(repo.path());
    let remote = remote(server.url(".git"));
    let head = tokio::task::spawn_blocking(move || git::head(&remote, &Stop::new()))
        .await
        .unwrap();
    assert_eq!(head.unwrap(), commit);
}

/// A server certificate for 127.0.0.1, and its PEM text.
fn certified() -> (std::sync::Arc<rustls::ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a matching key");
    (std::sync::Arc::new(config), made.cert.pem())
}

#[test]
fn https_works_with_a_named_authority_and_not_without() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let (config, pem) = certified();
    let server = Server::with(repo.path(), |manners| manners.tls = Some(config));
    let url = format!("https://127.0.0.1:{}/.git", server.port);
    let error = git::head(&remote(url.clone()), &Stop::new()).unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    assert!(
        error.to_string().to_lowercase().contains("certificate"),
        "{error}"
    );

    let root = TempDir::new().unwrap();
    let roots = root.path().join("authority.pem");
    std::fs::write(&roots, pem).unwrap();
    let trusting = |authority| Remote {
        rules: Arc::new(Rules {
            authority: Some(authority),
            ..rules()
        }),
        ..remote(url.clone())
    };
    settle(
        &Shelf::open(&root.path().join("shelf")).unwrap(),
        &trusting(roots),
        &commit,
    )
    .unwrap();
    let empty = root.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let error = git::head(&trusting(empty), &Stop::new()).unwrap_err();
    assert!(error.to_string().contains("empty.pem"), "{error}");
}

#[test]
fn a_name_that_leads_where_it_must_not_is_not_connected_to() {
    let repo = Repo::new();
    repo.write("a", "a");
    let commit = repo.commit();
    let server = Server::start(repo.path());
    let by_name = |addresses: &str| Remote {
        rules: Arc::new(Rules {
            addresses: Addresses::parse(addresses).unwrap(),
            remotes: Remotes::parse("http").unwrap(),
            ..rules()
        }),
        ..remote(format!("http://localhost:{}/.git", server.port))
    };
    let error = git::head(&by_name("public|private"), &Stop::new()).unwrap_err();
    assert!(error.to_string().contains("is this machine"), "{error}");
    assert_eq!(server.manners.connections.load(Ordering::SeqCst), 0);
    assert_eq!(git::head(&by_name("loopback"), &Stop::new()).unwrap(), commit);
}
