//! Where the plugins that misbehave are, what is left of them, and how much memory it took.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a test fails by panicking; each uses another part"
)]

use std::path::Path;

/// The binary, built beside the agent's.
pub fn binary() -> String {
    let path =
        Path::new(env!("CARGO_BIN_EXE_cartridge-agent")).with_file_name("cartridge-plugin-misbehaving");
    assert!(
        path.exists(),
        "{} is not there; build it first: cargo build -p cartridge-plugin-misbehaving",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

/// Processes of that binary that this process has started, wherever they went: number and mode.
pub fn descendants() -> Vec<(i32, String)> {
    of(std::process::id().try_into().unwrap())
}

/// The same of another agent.
pub fn of(agent: i32) -> Vec<(i32, String)> {
    let own = agent.to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let (program, mode) = words.trim_end_matches('\0').split_once('\0')?;
            if !program.ends_with("cartridge-plugin-misbehaving") {
                return None;
            }
            // Those of another run of the tests are not ours: the mark begins with the agent's process number.
            let environ = std::fs::read_to_string(entry.path().join("environ")).ok()?;
            let mark = environ
                .split('\0')
                .find_map(|v| v.strip_prefix("CARTRIDGE_PLUGIN_LIFE="))?;
            (mark.split('-').next() == Some(&own)).then(|| (pid, mode.to_owned()))
        })
        .collect()
}

/// The memory that this process takes now, KiB; the peak begins there.
pub fn reset_peak() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    status("self", "VmRSS:")
}

/// The most that it took since.
pub fn peak_kib() -> u64 {
    status("self", "VmHWM:")
}

/// A figure of a process, KiB.
pub fn status(pid: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
