//! What artifact plugins bring: good files become a release like Git's, everything else is refused by its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod misbehaving;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cartridge_agent::host::clock::Clock;
use cartridge_agent::host::git::Stop;
use cartridge_agent::host::logs::Logs;
use cartridge_agent::host::shelf::{Limits, Shelf};
use cartridge_agent::host::source::{Brought, Source};
use cartridge_agent::plugin::{Bounds, Confined, Launch, Plugin};
use cartridge_agent_plan::logs::{LogRules, Rate};
use cartridge_agent_plan::plugin::{Place, Rules};
use cartridge_agent_plan::release::Move;
use cartridge_protocol::plugin::{Origin, PluginName};
use cartridge_protocol::{CommitId, Millis};
use misbehaving::{binary, peak_kib, reset_peak};
use tempfile::TempDir;

/// Small, so that too much is soon there.
const LIMITS: fn() -> Limits = || Limits {
    entries: 1_000,
    bytes: 16 << 20,
    file_bytes: 8 << 20,
    depth: 64,
    ..Limits::default()
};
const MOST_KIB: u64 = 8 << 10;

fn revision() -> CommitId {
    CommitId::new("1".repeat(40)).unwrap()
}

struct Stand {
    folder: TempDir,
    shelf: Shelf,
}

impl Stand {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let shelf = Shelf::with_limits(&folder.path().join("shelf"), LIMITS()).unwrap();
        Self { folder, shelf }
    }

    fn release(&self) -> PathBuf {
        self.shelf.release_path(&revision())
    }

    /// Every path below, with its mode: what there is apart from releases.
    fn surroundings(&self) -> Vec<String> {
        let mut all = Vec::new();
        list(self.folder.path(), &mut all);
        all.retain(|path| !path.contains("shelf/releases/"));
        all
    }
}

fn list(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        into.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), into);
        }
    }
    into.sort();
}

fn start(mode: &str) -> Plugin {
    let launch = Launch {
        name: PluginName::new(mode).unwrap(),
        confined: Confined {
            words: vec![binary(), mode.to_owned()],
            directory: "/".into(),
            environment: BTreeMap::new(),
            bounds: Some(Bounds {
                memory: 64 << 20,
                account: None,
            }),
        },
        place: Place::Source,
        rules: Rules::DISPENSABLE,
        longest: 64 << 10,
    };
    let rules = LogRules {
        start: None,
        rate: Rate::default(),
    };
    Plugin::start(launch, Logs::new(0, rules, Clock::start()), async |_| {})
}

/// Looks, and stages what was seen: as the agent does. What went wrong, if anything did.
async fn bring(mode: &str, stand: &Stand, within: Millis) -> Result<(), String> {
    let plugin = start(mode);
    let brought = Brought {
        name: PluginName::new(mode).unwrap(),
        asker: Some(plugin.asker()),
        origin: Origin {
            url: "https://files.example.org".into(),
            branch: "main".into(),
            credentials: None,
        },
        owner: None,
        fetch_within: within,
    };
    let shelf = stand.shelf.clone();
    let staged = tokio::task::spawn_blocking(move || {
        let (source, stop) = (Source::Plugin(brought), Stop::within(Duration::from_secs(20)));
        let seen = source.look(&stop).map_err(|unseen| unseen.fault)?;
        let staged = source.carry_out(&shelf, &Move::Stage(seen), &stop);
        staged.map_err(|error| format!("{}{error}", if error.is_refusal() { "refused: " } else { "" }))
    });
    let staged = staged.await.unwrap();
    plugin.end().await;
    staged
}

const TABLE: &[(&str, &str)] = &[
    (
        "brings-a-way-out",
        "refused: commit 1111111111111111111111111111111111111111 is refused: \"out\" is a link that leaves the release",
    ),
    (
        "brings-an-absolute-link",
        "\"out\" is a link with an absolute target",
    ),
    ("brings-a-detour", "\"out\" is a link that goes down and up again"),
    (
        "brings-a-pipe",
        "\"pipe\" is neither a file nor a link nor a folder",
    ),
    ("brings-git", "\".GIT\" means '.git' to some file systems"),
    (
        "brings-git-attributes",
        "\".gitattributes\" is a link that Git would follow",
    ),
    ("brings-control-characters", "holds control characters"),
    ("brings-no-text", "is not UTF-8"),
    ("brings-twins", "differs from another name in its folder by case"),
    ("brings-depths", "has folders more than 64 deep"),
    ("brings-masses", "brings the release over 1000 files and folders"),
    ("brings-a-giant", "\"giant\" has more than 8388608 bytes"),
    ("brings-much", "brings the release over 16777216 bytes"),
    ("never-brings", "it does not answer fetch within 1 s"),
    (
        "refuses-to-bring",
        "does not bring 1111111111111111111111111111111111111111: the store is closed",
    ),
    ("knows-no-revision", "not a full commit hash"),
];

#[tokio::test]
async fn what_must_not_be_on_a_disk_is_refused_by_its_name_and_nothing_is_left() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            for (mode, why) in TABLE {
                let stand = Stand::new();
                let (before, began) = (reset_peak(), Instant::now());
                let within = if *mode == "never-brings" { 500 } else { 5_000 };
                let fault = bring(mode, &stand, Millis(within)).await.unwrap_err();
                let (took, grew) = (began.elapsed(), peak_kib().saturating_sub(before));
                println!("{mode:30} {:5} ms  {grew:5} KiB", took.as_millis());
                assert!(fault.contains(why), "{mode}: {fault}");
                assert!(!stand.release().exists(), "{mode} became a release");
                let left = stand.shelf.state().unwrap();
                assert_eq!((left.whole, left.parts), (Vec::new(), Vec::new()), "{mode}");
                assert!(
                    !stand
                        .folder
                        .path()
                        .join("shelf/incoming/1111111111111111111111111111111111111111")
                        .exists()
                );
                assert!(took < Duration::from_secs(5), "{mode} took {took:?}");
                assert!(grew < MOST_KIB, "{mode} took {grew} KiB");
            }
        })
        .await;
}

#[tokio::test]
async fn good_files_become_a_release_with_plain_owners_and_modes() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let stand = Stand::new();
            let before = stand.surroundings();
            bring("brings-files", &stand, Millis(5_000)).await.unwrap();
            let release = stand.release();
            assert_eq!(fs::read(release.join("index.html")).unwrap(), b"brought");
            let mode = |name: &str| fs::metadata(release.join(name)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(
                (mode("index.html"), mode("bin/run"), mode("bin")),
                (0o444, 0o555, 0o755)
            );
            let after: Vec<String> = stand.surroundings();
            let new: Vec<&String> = after.iter().filter(|path| !before.contains(path)).collect();
            assert_eq!(new.len(), 1, "only the folder for what comes in: {new:?}");

            let stand = Stand::new();
            bring("brings-rights", &stand, Millis(5_000)).await.unwrap();
            let tool = fs::metadata(stand.release().join("tool")).unwrap();
            assert_eq!(
                tool.permissions().mode() & 0o7777,
                0o555,
                "set-user-id was taken over"
            );
            assert_eq!(tool.uid(), nix::unistd::geteuid().as_raw());
        })
        .await;
}

#[tokio::test]
async fn a_folder_that_was_swapped_or_is_still_written_to_gives_nothing_from_outside() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let stand = Stand::new();
            bring("swaps-the-folder", &stand, Millis(5_000)).await.unwrap();
            assert_eq!(
                fs::read_dir(stand.release()).unwrap().count(),
                0,
                "the folder that was given is empty"
            );
            for _ in 0..20 {
                let stand = Stand::new();
                // Whatever it was at that moment; or that it changed under our eyes.
                match bring("writes-on", &stand, Millis(5_000)).await {
                    Ok(()) => {
                        let mut all = Vec::new();
                        list(&stand.release(), &mut all);
                        for path in all {
                            let about = fs::symlink_metadata(&path).unwrap();
                            assert!(!about.is_symlink(), "{path}");
                            assert!(path.ends_with("/file") || path.contains("/folder"), "{path}");
                        }
                    }
                    Err(why) => {
                        let expected = [
                            "absolute target",
                            "No such file",
                            "leads out",
                            "Invalid argument",
                            "changes while",
                        ];
                        assert!(expected.iter().any(|words| why.contains(words)), "{why}");
                        assert!(!stand.release().exists());
                    }
                }
            }
        })
        .await;
}

#[tokio::test]
async fn what_the_current_release_has_is_not_written_again() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let stand = Stand::new();
            let shelf = &stand.shelf;
            let stop = Stop::new();
            let place = |digit: &str, changed: &str| {
                let commit = CommitId::new(digit.repeat(64)).unwrap();
                let incoming = shelf.incoming(&commit, None).unwrap();
                fs::create_dir(incoming.path().join("d")).unwrap();
                fs::write(incoming.path().join("d/same"), vec![5; 100_000]).unwrap();
                fs::write(incoming.path().join("changed"), changed).unwrap();
                let placed = shelf.place(&commit, &incoming, &stop).unwrap();
                shelf.tidy(&Move::Switch(commit.clone())).unwrap();
                (commit, placed)
            };
            let (first, one) = place("a", "1");
            assert_eq!((one.entries, one.bytes, one.linked), (3, 100_001, 0));
            let (second, two) = place("b", "2");
            assert_eq!((two.entries, two.bytes, two.linked), (3, 100_001, 1));
            assert_ne!(one.digest, two.digest);
            let inode = |commit: &CommitId, name: &str| {
                fs::metadata(shelf.release_path(commit).join(name)).unwrap().ino()
            };
            assert_eq!(inode(&first, "d/same"), inode(&second, "d/same"));
            assert_ne!(inode(&first, "changed"), inode(&second, "changed"));
            // The same content has the same digest, wherever it comes from.
            let (_, again) = place("c", "2");
            assert_eq!(again.digest, two.digest);
        })
        .await;
}
