//! How much a plugin may write to its standard error. Refuses to know where the words go.

use cartridge_protocol::Millis;

use super::Fault;
use crate::logs::Rate;

/// The time that the bound is about.
const WINDOW: Millis = Millis(60_000);
/// Most bytes in that time: more is a fault.
const MOST_BYTES: u64 = 256 << 10;

/// What one plugin wrote lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    began: Millis,
    bytes: u64,
}

impl Noise {
    /// What of it is kept for people: little, so that the application's lines stay.
    pub const KEPT: Rate = Rate {
        lines: 5,
        bytes: 8 << 10,
    };

    /// It wrote so many bytes more.
    pub fn wrote(&mut self, bytes: usize, now: Millis) -> Result<(), Fault> {
        if now.since(self.began) >= WINDOW {
            *self = Self { began: now, bytes: 0 };
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > MOST_BYTES {
            return Err(Fault::Floods {
                kib: MOST_BYTES >> 10,
                seconds: WINDOW.0 / 1000,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_in_a_minute_is_a_fault_and_the_next_minute_begins_anew() {
        let mut noise = Noise::default();
        noise.wrote(200 << 10, Millis(59_999)).unwrap();
        let flood = noise.wrote(57 << 10, Millis(59_999)).unwrap_err();
        assert_eq!(
            flood.to_string(),
            "floods its standard error: more than 256 KiB in 60 s"
        );
        noise.wrote(200 << 10, Millis(60_000)).unwrap();
    }
}
