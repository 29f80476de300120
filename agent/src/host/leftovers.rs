//! What an agent that was killed has left running. Every process that an agent starts carries a tag of this life of
//! the member in its environment; whoever has it when the next agent begins is nobody's.
//!
//! The kernel ends the agent's own children with it; this is for theirs. Refuses to touch what has no tag.

use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// The tag's name in the environment of everything that the agent starts.
pub const NAME: &str = "CARTRIDGE_LIFE";
/// Longest environment that is looked through, bytes.
const MOST: u64 = 256 << 10;
/// Longest wait for them to be gone.
const WITHIN: Duration = Duration::from_secs(2);

static TAG: OnceLock<String> = OnceLock::new();

/// Everything that is started from now on carries this tag.
pub fn tag_with(tag: &str) {
    let _ = TAG.set(tag.to_owned());
}

/// The tag, where there is one.
pub fn tag() -> Option<&'static str> {
    TAG.get().map(String::as_str)
}

/// Ends everything with the tag, and says how many there were. To be called before anything is started.
pub async fn end(tag: &str) -> usize {
    let (mut most, deadline) = (0, Instant::now() + WITHIN);
    loop {
        let left = tagged(tag);
        if left.is_empty() || Instant::now() >= deadline {
            return most;
        }
        most = most.max(left.len());
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn tagged(tag: &str) -> Vec<Pid> {
    let wanted = format!("{NAME}={tag}");
    let own = Pid::this();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .filter(|pid| *pid != own && carries(*pid, wanted.as_bytes()))
        .collect()
}

fn carries(pid: Pid, wanted: &[u8]) -> bool {
    let mut all = Vec::new();
    let read = File::open(format!("/proc/{pid}/environ")).and_then(|f| f.take(MOST).read_to_end(&mut all));
    read.is_ok() && all.split(|byte| *byte == 0).any(|one| one == wanted)
}
