//! Artifact sources that bring what nobody should take. Refuses to harm what it finds: what it writes elsewhere is new.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode as Permissions;
use nix::unistd::mkfifo;

use super::Mode;
use crate::talk::Talk;

/// What every one of them says is the newest.
const REVISION: &str = "1111111111111111111111111111111111111111";

pub(crate) const MODES: &[Mode] = &[
    ("brings-files", |talk| brings(&talk, |_| ())),
    ("brings-nothing", |talk| serve(&talk, |_| ())),
    ("brings-a-way-out", |talk| {
        brings(&talk, |into| link("../../../../etc/passwd", into, "out"))
    }),
    ("brings-an-absolute-link", |talk| {
        brings(&talk, |into| link("/etc/passwd", into, "out"))
    }),
    ("brings-a-detour", |talk| {
        brings(&talk, |into| link("a/../../../etc", into, "out"))
    }),
    ("brings-a-pipe", |talk| {
        brings(&talk, |into| {
            let _ = mkfifo(&into.join("pipe"), Permissions::S_IRWXU);
        });
    }),
    ("brings-git", |talk| {
        brings(&talk, |into| {
            file(into, ".GIT/hooks/post-checkout", b"#!/bin/sh\n")
        })
    }),
    ("brings-git-attributes", |talk| {
        brings(&talk, |into| link("a", into, ".gitattributes"))
    }),
    ("brings-control-characters", |talk| {
        brings(&talk, |into| file(into, "\u{1b}[31m", b"x"))
    }),
    ("brings-no-text", |talk| {
        brings(&talk, |into| {
            let _ = fs::write(into.join(OsStr::from_bytes(b"\xff\xfe")), "x");
        });
    }),
    ("brings-twins", |talk| {
        brings(&talk, |into| {
            file(into, "Readme", b"x");
            file(into, "README", b"y");
        });
    }),
    ("brings-depths", |talk| {
        brings(&talk, |into| {
            let deep: PathBuf = std::iter::repeat_n("d", 200).collect();
            let _ = fs::create_dir_all(into.join(deep));
        });
    }),
    ("brings-masses", |talk| {
        brings(&talk, |into| {
            (0..1_200).for_each(|n| file(into, &format!("many/{n}"), b""))
        });
    }),
    ("brings-a-giant", |talk| {
        brings(&talk, |into| {
            if let Ok(giant) = File::create(into.join("giant")) {
                let _ = giant.set_len(1 << 40);
            }
        });
    }),
    ("brings-much", |talk| {
        brings(&talk, |into| {
            (0..20).for_each(|n| file(into, &format!("big{n}"), &[7; 1 << 20]))
        });
    }),
    ("brings-rights", |talk| {
        brings(&talk, |into| {
            file(into, "tool", b"#!/bin/sh\n");
            let _ = fs::set_permissions(into.join("tool"), fs::Permissions::from_mode(0o6777));
        });
    }),
    ("swaps-the-folder", |talk| {
        serve(&talk, |into| {
            let _ = fs::remove_dir(into);
            let _ = symlink("/etc", into);
        });
    }),
    // Goes on for as long as the process lives.
    ("writes-on", |talk| {
        serve(&talk, |into| {
            let into = into.to_owned();
            file(&into, "file", b"0");
            std::thread::spawn(move || {
                for turn in 0_u64.. {
                    file(&into, "file", &turn.to_le_bytes().repeat(1_000));
                    let _ = fs::remove_file(into.join("folder"));
                    let _ = symlink("/etc", into.join("folder"));
                    let _ = fs::remove_file(into.join("folder"));
                    file(&into, "folder/inside", b"x");
                    let _ = fs::remove_dir_all(into.join("folder"));
                }
            });
        });
    }),
    ("never-brings", |talk| {
        talk.describe("artifact");
        while let Some(asked) = talk.next() {
            if asked.call == "look" {
                talk.ok(
                    asked.id,
                    &format!("{{\"looked\":{{\"revision\":\"{REVISION}\"}}}}"),
                );
            }
        }
    }),
    ("refuses-to-bring", |talk| {
        talk.describe("artifact");
        while let Some(asked) = talk.next() {
            if asked.call == "look" {
                talk.ok(
                    asked.id,
                    &format!("{{\"looked\":{{\"revision\":\"{REVISION}\"}}}}"),
                );
            } else {
                talk.say(&format!(
                    "{{\"id\":{},\"error\":\"the store is closed\"}}",
                    asked.id
                ));
            }
        }
    }),
    ("knows-no-revision", |talk| {
        talk.describe("artifact");
        while let Some(asked) = talk.next() {
            talk.ok(asked.id, "{\"looked\":{\"revision\":\"../../../etc\"}}");
        }
    }),
];

/// Two files as they should be, and `more`.
fn brings(talk: &Talk, more: fn(&Path)) {
    serve(talk, |into| {
        file(into, "index.html", b"brought");
        file(into, "bin/run", b"#!/bin/sh\n");
        let _ = fs::set_permissions(into.join("bin/run"), fs::Permissions::from_mode(0o755));
        more(into);
    });
}

fn serve(talk: &Talk, fill: impl Fn(&Path)) {
    talk.describe("artifact");
    while let Some(asked) = talk.next() {
        match (asked.call.as_str(), asked.with["into"].as_str()) {
            ("fetch", Some(into)) => {
                fill(Path::new(into));
                talk.ok(asked.id, "{\"fetched\":{}}");
            }
            _ => talk.ok(
                asked.id,
                &format!("{{\"looked\":{{\"revision\":\"{REVISION}\"}}}}"),
            ),
        }
    }
}

fn file(into: &Path, name: &str, content: &[u8]) {
    let path = into.join(name);
    if let Some(folder) = path.parent() {
        let _ = fs::create_dir_all(folder);
    }
    let _ = File::create(path).and_then(|mut file| file.write_all(content));
}

fn link(target: &str, into: &Path, name: &str) {
    let _ = symlink(target, into.join(name));
}
