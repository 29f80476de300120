//! What procfs says of the machine as a whole.

use super::{Fault, fault};

/// `/proc/loadavg`: the kernel's own three averages.
pub fn loadavg(text: &str) -> Result<[f64; 3], Fault> {
    let mut words = text.split_ascii_whitespace();
    let mut next = |field| {
        words
            .next()
            .and_then(|word| word.parse::<f64>().ok())
            .filter(|load| load.is_finite() && *load >= 0.0)
            .ok_or(fault("loadavg", field))
    };
    Ok([next("1 minute")?, next("5 minutes")?, next("15 minutes")?])
}

/// The first line of `/proc/stat`: clock ticks that all cores were busy: all but idle and waiting for disks.
pub fn busy_ticks(text: &str) -> Result<u64, Fault> {
    let line = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .ok_or(fault("stat", "line of all cores"))?;
    let mut ticks = [0_u64; 8];
    let mut words = line.split_ascii_whitespace();
    for slot in &mut ticks {
        let word = words.next().ok_or(fault("stat", "eight times"))?;
        *slot = word.parse().map_err(|_| fault("stat", "eight times"))?;
    }
    let [user, nice, system, _idle, _waiting, interrupts, soft, stolen] = ticks;
    Ok([user, nice, system, interrupts, soft, stolen]
        .into_iter()
        .fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_averages_or_a_fault() {
        assert_eq!(loadavg("0.20 1.18 0.12 1/80 11206\n"), Ok([0.2, 1.18, 0.12]));
        assert_eq!(loadavg("0.20 inf").unwrap_err().field, "5 minutes");
        assert_eq!(loadavg("-1 2 3").unwrap_err().field, "1 minute");
    }

    #[test]
    fn idle_and_waiting_are_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 8 16 32 64 128 0 0\ncpu0 9"), Ok(231));
        assert_eq!(busy_ticks("cpu0 1 2 4 8 16 32 64 128").unwrap_err().file, "stat");
        assert!(busy_ticks("cpu  1 2 3").is_err());
    }
}
