//! Slows down whoever guesses: after some free attempts each failure doubles the wait, per source address.
//!
//! This file refuses to know a clock; the caller says how late it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Failures before the first wait.
pub const FREE_ATTEMPTS: u32 = 5;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// Most sources remembered; beyond that the one that failed longest ago is forgotten.
const MAX_SOURCES: usize = 1024;

/// Failed attempts by source.
#[derive(Debug, Default)]
pub struct Backoff {
    sources: BTreeMap<IpAddr, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Backoff {
    /// How long this source still has to wait.
    pub fn remaining(&self, source: IpAddr, now: Duration) -> Option<Duration> {
        let failures = self.sources.get(&source)?;
        (failures.last + failures.wait())
            .checked_sub(now)
            .filter(|left| !left.is_zero())
    }

    /// Notes a failure.
    pub fn failed(&mut self, source: IpAddr, now: Duration) {
        if self.sources.len() >= MAX_SOURCES && !self.sources.contains_key(&source) {
            let oldest = self
                .sources
                .iter()
                .min_by_key(|(_, f)| f.last)
                .map(|(source, _)| *source);
            oldest.and_then(|source| self.sources.remove(&source));
        }
        let failures = self
            .sources
            .entry(source)
            .or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Forgets the failures of a source.
    pub fn succeeded(&mut self, source: IpAddr) {
        self.sources.remove(&source);
    }
}

impl Failures {
    fn wait(self) -> Duration {
        match self.count.checked_sub(FREE_ATTEMPTS) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(10)).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_end() {
        let source = IpAddr::from([127, 0, 0, 1]);
        let mut backoff = Backoff::default();
        let now = Duration::from_secs(100);
        for _ in 0..FREE_ATTEMPTS {
            assert_eq!(backoff.remaining(source, now), None);
            backoff.failed(source, now);
        }
        assert_eq!(backoff.remaining(source, now), Some(Duration::from_secs(1)));
        for _ in 0..40 {
            backoff.failed(source, now);
        }
        assert_eq!(backoff.remaining(source, now), Some(LONGEST));
        assert_eq!(backoff.remaining(source, now + LONGEST), None);
        backoff.succeeded(source);
        assert_eq!(backoff.remaining(source, now), None);
    }

    #[test]
    fn a_thousand_sources_are_all_that_is_remembered() {
        let mut backoff = Backoff::default();
        for n in 0..5000_u32 {
            backoff.failed(IpAddr::from(n.to_be_bytes()), Duration::from_secs(u64::from(n)));
        }
        assert_eq!(backoff.sources.len(), MAX_SOURCES);
    }
}
