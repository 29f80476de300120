//! Whether the kernel has killed something of this member because its memory was used up.
//!
//! Refuses to know who was killed.

use std::fs::File;
use std::io::Read;

use cartridge_agent_plan::oom;

/// Longest file read, bytes.
const MOST: u64 = 16 << 10;

/// The kernel's counter, where there is one.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    path: Option<String>,
}

impl Counter {
    /// Looks for it once.
    pub fn find() -> Self {
        let cgroup = read("/proc/self/cgroup").unwrap_or_default();
        let path = oom::counters(&cgroup)
            .into_iter()
            .find(|path| read(path).is_some_and(|text| oom::kills(&text).is_some()));
        Self { path }
    }

    /// How many were killed so far.
    pub fn read(&self) -> Option<u64> {
        oom::kills(&read(self.path.as_deref()?)?)
    }
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}
