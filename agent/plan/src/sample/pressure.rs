//! Pressure stall information, from `/proc/pressure/*` and the `*.pressure` files of version 2 cgroups.

use cartridge_protocol::sample::Stall;

use super::{Fault, fault};

/// Shares of the last ten seconds. Older kernels have no `full` row for the CPU.
pub fn stall(text: &str) -> Result<Stall, Fault> {
    let row = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let share = line.split(' ').find_map(|word| word.strip_prefix("avg10="))?;
        let share: f64 = share.parse().ok()?;
        (0.0..=100.0).contains(&share).then_some(share)
    };
    Ok(Stall {
        some: row("some ").ok_or(fault("pressure", "some avg10"))?,
        full: row("full "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_rows_are_shares() {
        let text = "some avg10=18.32 avg60=40.56 avg300=72.53 total=1\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n";
        let (some, full) = (18.32, Some(0.25));
        assert_eq!(stall(text), Ok(Stall { some, full }));
        let older = stall(text.lines().next().unwrap()).unwrap();
        assert_eq!(older.full, None);
    }

    #[test]
    fn what_is_no_share_is_absent() {
        assert!(stall("some avg10=101 avg60=0").is_err());
        assert!(stall("some avg10=NaN").is_err());
        assert_eq!(stall("").unwrap_err().to_string(), "pressure holds no some avg10");
    }
}
