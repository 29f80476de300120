//! Runs a test of the same binary by itself, in a mount namespace of its own where a folder is a fresh file system.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a test fails by panicking; each uses another part"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the fresh file system to the inner test.
const MOUNTED: &str = "CARTRIDGE_TEST_MOUNTED";

/// Runs the ignored test `name` where `folder` was mounted by `mount` (its words, without the folder).
pub fn run(name: &str, folder: &Path, mount: &str) {
    let me = std::env::current_exe().unwrap();
    let script = format!(
        "{mount} {folder} && exec {me} --exact {name} --ignored --nocapture",
        folder = folder.display(),
        me = me.display()
    );
    let mut command = Command::new("unshare");
    if !nix::unistd::Uid::effective().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let done = command
        .args(["--mount", "--propagation", "private", "sh", "-ec", &script])
        .env(MOUNTED, folder)
        .output()
        .expect("unshare is installed");
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{name}: {text}");
    assert!(text.contains("1 passed"), "{name} did not run: {text}");
    println!("{text}");
}

/// In the inner test: the fresh file system.
pub fn here() -> PathBuf {
    PathBuf::from(std::env::var_os(MOUNTED).expect("is run by the test that mounts"))
}
