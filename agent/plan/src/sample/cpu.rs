//! What cgroup files say of CPU time: the allowance, what was used, and what was held back.

use cartridge_protocol::sample::Throttled;

use super::{Fault, fault, keyed};

/// `cpu.max`: quota and period in microseconds, or `max`. Cores; None: no quota.
pub fn cpu_max(text: &str) -> Result<Option<f64>, Fault> {
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next().and_then(|w| w.parse::<u64>().ok())) {
        (Some("max"), _) => Ok(None),
        (Some(quota), Some(period)) => quota
            .parse::<u64>()
            .ok()
            .and_then(|quota| cores(quota, period))
            .map(Some)
            .ok_or(fault("cpu.max", "quota")),
        _ => Err(fault("cpu.max", "quota and period")),
    }
}

/// `cpu.cfs_quota_us` (-1: no quota) and `cpu.cfs_period_us`. Cores.
pub fn cfs(quota: &str, period: &str) -> Result<Option<f64>, Fault> {
    let quota: i64 = quota
        .trim()
        .parse()
        .map_err(|_| fault("cpu.cfs_quota_us", "number"))?;
    let Ok(quota) = u64::try_from(quota) else {
        return Ok(None);
    };
    let period: u64 = period
        .trim()
        .parse()
        .map_err(|_| fault("cpu.cfs_period_us", "number"))?;
    cores(quota, period)
        .map(Some)
        .ok_or(fault("cpu.cfs_period_us", "period above zero"))
}

#[allow(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn cores(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// Version 2's `cpu.stat`: seconds used.
#[allow(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
pub fn used_v2(text: &str) -> Result<f64, Fault> {
    keyed(text, "usage_usec", "cpu.stat").map(|used| used as f64 / 1e6)
}

/// Version 1's `cpuacct.usage`: seconds used.
#[allow(
    clippy::cast_precision_loss,
    reason = "a double loses less than a microsecond in 285 years"
)]
pub fn used_v1(text: &str) -> Result<f64, Fault> {
    super::number(text, "cpuacct.usage").map(|used| used as f64 / 1e9)
}

/// Version 2's `cpu.stat`, where the controller is passed down.
pub fn throttled_v2(text: &str) -> Result<Throttled, Fault> {
    Ok(Throttled {
        periods: keyed(text, "nr_throttled", "cpu.stat")?,
        milliseconds: keyed(text, "throttled_usec", "cpu.stat")? / 1000,
    })
}

/// Version 1's `cpu.stat`.
pub fn throttled_v1(text: &str) -> Result<Throttled, Fault> {
    Ok(Throttled {
        periods: keyed(text, "nr_throttled", "cpu.stat")?,
        milliseconds: keyed(text, "throttled_time", "cpu.stat")? / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_read_in_both_versions() {
        assert_eq!(cpu_max("150000 100000\n"), Ok(Some(1.5)));
        assert_eq!(cpu_max("max 100000\n"), Ok(None));
        assert_eq!(cfs("50000\n", "100000\n"), Ok(Some(0.5)));
        assert_eq!(cfs("-1\n", "100000\n"), Ok(None));
        for bad in ["", "max", "1", "x 1", "1 0", "0 100000", "-5 100000"] {
            assert!(bad == "max" || cpu_max(bad).is_err(), "{bad}");
        }
        assert_eq!(cfs("1", "0").unwrap_err().file, "cpu.cfs_period_us");
        assert_eq!(cfs("max", "1").unwrap_err().file, "cpu.cfs_quota_us");
    }

    #[test]
    fn what_was_held_back_is_absent_where_the_controller_is() {
        let throttled = Throttled {
            periods: 3,
            milliseconds: 250,
        };
        let v2 = "usage_usec 12\nnr_periods 9\nnr_throttled 3\nthrottled_usec 250999\n";
        assert_eq!(throttled_v2(v2), Ok(throttled));
        assert_eq!(
            throttled_v1("nr_periods 9\nnr_throttled 3\nthrottled_time 250999999\n"),
            Ok(throttled)
        );
        assert_eq!(throttled_v2("usage_usec 12\n").unwrap_err().field, "nr_throttled");
    }
}
