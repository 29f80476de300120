//! How much may be written at a time: a store of units that fills up steadily, so that nobody floods the journal (S21).
//!
//! This file refuses to know who writes what, and to read a clock.

use cartridge_protocol::Millis;

/// What may be spent at once.
pub const MOST: u64 = 256;
/// Time for one unit to come back.
pub const EACH: Millis = Millis(500);
/// Bytes that cost one unit more.
pub const UNIT_BYTES: usize = 1024;

/// What may still be spent, and since when it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    left: u64,
    at: Millis,
}

/// There is not enough; so long until there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Millis);

/// What writing so many bytes costs. Nothing costs more than all there can be.
pub fn price(bytes: usize) -> u64 {
    u64::try_from(bytes / UNIT_BYTES + 1).unwrap_or(MOST).min(MOST)
}

impl Allowance {
    /// All of it, now.
    pub const fn full(now: Millis) -> Self {
        Self { left: MOST, at: now }
    }

    /// What came back until now. Time that is no whole unit is kept for the next look.
    fn filled(self, now: Millis) -> Self {
        let units = now.since(self.at).0 / EACH.0;
        if self.left.saturating_add(units) >= MOST {
            return Self::full(now);
        }
        Self {
            left: self.left + units,
            at: Millis(self.at.0 + units * EACH.0),
        }
    }

    /// Spends; the error says how long to wait, and nothing was spent.
    pub fn spend(&mut self, price: u64, now: Millis) -> Result<(), Wait> {
        let price = price.min(MOST);
        *self = self.filled(now);
        match self.left.checked_sub(price) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let ready = Millis(self.at.0.saturating_add((price - self.left) * EACH.0));
                Err(Wait(ready.since(now)))
            }
        }
    }

    /// Whether it says nothing that a new one would not say.
    pub fn is_full(&self, now: Millis) -> bool {
        self.filled(now).left == MOST
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_as_much_as_comes_back() {
        let mut allowance = Allowance::full(Millis::ZERO);
        for _ in 0..MOST {
            assert_eq!(allowance.spend(1, Millis(10)), Ok(()));
        }
        let Err(Wait(wait)) = allowance.spend(1, Millis(10)) else {
            panic!("more than all was spent")
        };
        assert!(allowance.spend(1, Millis(10 + wait.0 - 1)).is_err());
        assert_eq!(allowance.spend(1, Millis(10 + wait.0)), Ok(()));
    }

    #[test]
    fn what_is_long_costs_more_and_nothing_costs_more_than_there_can_be() {
        assert_eq!(price(0), 1);
        assert_eq!(price(UNIT_BYTES), 2);
        assert_eq!(price(usize::MAX), MOST);
        let mut allowance = Allowance::full(Millis::ZERO);
        assert_eq!(allowance.spend(u64::MAX, Millis::ZERO), Ok(()));
        assert!(!allowance.is_full(Millis(MOST * EACH.0 - 1)) && allowance.is_full(Millis(MOST * EACH.0)));
    }

    proptest! {
        #[test]
        fn however_somebody_asks_no_more_comes_through_than_came_back(
            asked in proptest::collection::vec((0_u64..2_000, 0_u64..40), 0..400)
        ) {
            let (mut allowance, mut now, mut spent) = (Allowance::full(Millis::ZERO), 0, 0);
            for (later, price) in asked {
                now += later;
                if allowance.spend(price, Millis(now)).is_ok() {
                    spent += price;
                }
                prop_assert!(spent <= MOST + now / EACH.0);
            }
        }

        #[test]
        fn who_waits_as_told_is_let_through(spent in 0..=MOST, price in 1..=MOST, now in 0_u64..10_000) {
            let mut allowance = Allowance::full(Millis::ZERO);
            allowance.spend(spent, Millis::ZERO).unwrap();
            if let Err(Wait(wait)) = allowance.spend(price, Millis(now)) {
                prop_assert_eq!(allowance.spend(price, Millis(now + wait.0)), Ok(()));
            }
        }
    }
}
