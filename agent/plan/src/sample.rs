//! From the text of procfs and cgroup files to figures, or to a fault that names the file.
//!
//! Refuses to know where the files lie and when they were read. Formats: proc(5), cgroups(7), the kernel's
//! `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/` and `Documentation/accounting/psi.rst`.

pub mod cpu;
pub mod machine;
pub mod memory;
pub mod pressure;
pub mod scope;
pub mod stillness;
pub mod task;

/// A text that is not what its file should hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} holds no {field}")]
pub struct Fault {
    /// Which file.
    pub file: &'static str,
    /// What was looked for.
    pub field: &'static str,
}

pub(crate) const fn fault(file: &'static str, field: &'static str) -> Fault {
    Fault { file, field }
}

/// The kernel's damping: each average moves towards `active` by the share of its time that `seconds` is.
pub fn damped(before: [f64; 3], active: f64, seconds: f64) -> [f64; 3] {
    let mut after = before;
    for (average, minutes) in after.iter_mut().zip([1.0, 5.0, 15.0]) {
        let kept = (-seconds.max(0.0) / (minutes * 60.0)).exp();
        *average = *average * kept + active * (1.0 - kept);
    }
    after
}

/// A share of the allowed CPU time, percent.
pub fn cpu_percent(used_seconds: f64, passed_seconds: f64, cores: f64) -> Option<f64> {
    (passed_seconds > 0.0 && cores > 0.0).then(|| (used_seconds / (passed_seconds * cores) * 100.0).min(1e5))
}

/// A line `name value` of a flat keyed file such as `cpu.stat` and `memory.stat`.
pub fn keyed(text: &str, name: &'static str, file: &'static str) -> Result<u64, Fault> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
        .ok_or(fault(file, name))
}

/// A file with a single number.
pub fn number(text: &str, file: &'static str) -> Result<u64, Fault> {
    text.trim().parse().map_err(|_| fault(file, "number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_averages_follow_the_kernels_damping() {
        let mut load = [0.0; 3];
        for _ in 0..60 {
            load = damped(load, 2.0, 1.0);
        }
        // After one time constant: 2 × (1 - 1/e).
        assert!((load[0] - 1.2642).abs() < 1e-3, "{load:?}");
        assert!(load[0] > load[1] && load[1] > load[2]);
        assert_eq!(damped(load, 5.0, 0.0), load);
    }

    #[test]
    fn a_name_is_a_whole_word_and_its_fault_names_the_file() {
        let text = "usage_usec_more 1\nusage_usec 12\nuser_usec 5\n";
        assert_eq!(keyed(text, "usage_usec", "cpu.stat"), Ok(12));
        assert_eq!(
            keyed(text, "system_usec", "cpu.stat").unwrap_err().to_string(),
            "cpu.stat holds no system_usec"
        );
        assert_eq!(
            number("-1", "cpuacct.usage").unwrap_err().to_string(),
            "cpuacct.usage holds no number"
        );
    }
}
