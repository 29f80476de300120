//! Whether anything happened in a cgroup since the last sample, as its two cheapest figures tell. Refuses to read them.

/// CPU time, seconds, that is used where nobody was started: the agent's own, between two reports. To start a process takes more.
const HARDLY_ANY: f64 = 0.000_5;
/// Samples for which it is believed.
const BELIEVED: u32 = 4;

/// What the last sample said.
#[derive(Debug, Default)]
pub struct Stillness {
    in_use: Option<u64>,
    used: Option<f64>,
    samples: u32,
}

impl Stillness {
    /// As many bytes in use as before and hardly any CPU time used: nobody came, and no memory changed hands. What is not
    /// known is not still; and after some samples one looks again. `in_use` in bytes, `used` in seconds since the cgroup began.
    pub fn lasts(&mut self, in_use: Option<u64>, used: Option<f64>) -> bool {
        let passed = self.used.zip(used).map(|(before, now)| now - before);
        let same = in_use.is_some() && in_use == self.in_use;
        let calm = passed.is_some_and(|passed| (0.0..HARDLY_ANY).contains(&passed));
        let lasts = same && calm && self.samples < BELIEVED;
        self.samples = if lasts { self.samples + 1 } else { 0 };
        (self.in_use, self.used) = (in_use, used);
        lasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_believed_for_some_samples_and_ends_with_memory_or_time() {
        let mut stillness = Stillness::default();
        let mut lasts = |in_use, used| stillness.lasts(in_use, used);
        assert!(!lasts(Some(7), Some(1.0)), "nothing was known before");
        for sample in 0..BELIEVED {
            assert!(lasts(Some(7), Some(1.000_1)), "sample {sample}");
        }
        assert!(!lasts(Some(7), Some(1.000_1)), "one looks again");
        assert!(lasts(Some(7), Some(1.000_2)));
        assert!(!lasts(Some(8), Some(1.000_2)), "memory");
        assert!(!lasts(Some(8), Some(1.001)), "time");
        assert!(
            !lasts(Some(8), Some(0.5)),
            "a figure that fell is another cgroup's"
        );
        assert!(!lasts(None, Some(0.5)));
        assert!(!lasts(None, Some(0.5)), "what is not known is not still");
        assert!(!lasts(Some(8), None));
    }
}
