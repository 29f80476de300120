//! What cgroup files say of memory.

use super::{Fault, fault, keyed, number};

/// Version 1 says "no limit" with a number close to 2^63.
const NO_LIMIT: u64 = 1 << 62;

/// `memory.max`: `max` means no limit; and version 1's `memory.limit_in_bytes`.
pub fn limit(text: &str, file: &'static str) -> Result<Option<u64>, Fault> {
    match text.trim() {
        "max" => Ok(None),
        other => number(other, file).map(|bytes| Some(bytes).filter(|b| *b < NO_LIMIT)),
    }
}

/// `memory.stat`: file cache that can be given up. `name` is `inactive_file`, or version 1's `total_inactive_file`.
pub fn given_up(text: &str, name: &'static str) -> Result<u64, Fault> {
    keyed(text, name, "memory.stat")
}

/// Version 1's `memory.stat` knows the least limit of all cgroups above, those too that cannot be seen.
pub fn limit_above(text: &str) -> Result<Option<u64>, Fault> {
    let bytes = keyed(text, "hierarchical_memory_limit", "memory.stat")?;
    Ok(Some(bytes).filter(|b| *b < NO_LIMIT))
}

/// Memory in use as Kubernetes counts it: without the file cache that can be given up.
pub const fn working_set(usage: u64, inactive_file: u64) -> u64 {
    usage.saturating_sub(inactive_file)
}

/// A row of `/proc/meminfo`, bytes.
pub fn meminfo(text: &str, name: &'static str) -> Result<u64, Fault> {
    text.lines()
        .find_map(|line| {
            let kib = line.strip_prefix(name)?.strip_prefix(':')?.trim();
            kib.strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map(|kib| kib.saturating_mul(1024))
        .ok_or(fault("meminfo", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_said_in_two_ways() {
        assert_eq!(limit("max\n", "memory.max"), Ok(None));
        assert_eq!(limit("9223372036854771712\n", "memory.limit_in_bytes"), Ok(None));
        assert_eq!(limit("1048576\n", "memory.max"), Ok(Some(1 << 20)));
        assert_eq!(limit("", "memory.max").unwrap_err().file, "memory.max");
        let text = "cache 1\nhierarchical_memory_limit 4096\ntotal_inactive_file 7\n";
        assert_eq!(limit_above(text), Ok(Some(4096)));
        assert_eq!(given_up(text, "total_inactive_file"), Ok(7));
    }

    #[test]
    fn a_working_set_is_never_negative() {
        assert_eq!(working_set(10, 30), 0);
    }

    #[test]
    fn a_row_that_is_missing_is_named() {
        assert_eq!(meminfo("MemTotal:  16 kB\n", "MemTotal"), Ok(16 << 10));
        assert_eq!(
            meminfo("MemFree: 1 kB\n", "MemTotal").unwrap_err().to_string(),
            "meminfo holds no MemTotal"
        );
    }
}
