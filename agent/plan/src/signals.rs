//! What the agent makes of the signals that it gets.
//!
//! Refuses to know how signals are caught and sent.

use cartridge_protocol::Millis;

/// Signals closer together than this are one: a terminal and whoever passes it on may both send one.
const ONE: Millis = Millis(500);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// That the member ends: SIGTERM, SIGINT, SIGQUIT.
    End,
    /// That what may have changed is looked at again: SIGHUP.
    Reload,
    /// Something of the application, by this number: SIGUSR1, SIGUSR2, SIGWINCH.
    Pass(i32),
}

/// Asked to end by a signal, when first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending(Option<(Millis, Millis)>);

impl Ending {
    /// Asked once more: the time that everything has from now on. Who asks a second time is in a hurry.
    pub fn asked(&mut self, now: Millis, allowed: Millis) -> Millis {
        match self.0 {
            None => {
                self.0 = Some((now, now.plus(allowed)));
                allowed
            }
            Some((first, by)) if now.since(first) < ONE => by.since(now),
            Some((first, _)) => {
                self.0 = Some((first, now));
                Millis::ZERO
            }
        }
    }

    /// When everything is to have ended, if a signal asked for it.
    pub fn by(&self) -> Option<Millis> {
        self.0.map(|(_, by)| by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_hurries_and_an_echo_of_the_first_does_not() {
        let mut ending = Ending::default();
        assert_eq!(ending.by(), None);
        assert_eq!(ending.asked(Millis(1_000), Millis(8_000)), Millis(8_000));
        assert_eq!(ending.asked(Millis(1_100), Millis(8_000)), Millis(7_900));
        assert_eq!(ending.by(), Some(Millis(9_000)));
        assert_eq!(ending.asked(Millis(2_000), Millis(8_000)), Millis::ZERO);
        assert_eq!(ending.by(), Some(Millis(2_000)));
        assert_eq!(ending.asked(Millis(60_000), Millis(8_000)), Millis::ZERO);
    }
}
