//! How often a server is asked that refuses who asks: rarely, but at once when the credentials are others. Refuses to know
//! servers and files.

use cartridge_protocol::Millis;

/// Time until the same credentials are tried again: the server may have learned of them.
pub const AGAIN: Millis = Millis(60_000);
/// Time between looks at whether the credentials are others.
pub const GLANCE: Millis = Millis(5_000);

/// A refusal, and what the credentials looked like then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied<Mark> {
    since: Millis,
    with: Mark,
}

impl<Mark: PartialEq> Denied<Mark> {
    /// Refused now.
    pub const fn new(since: Millis, with: Mark) -> Self {
        Self { since, with }
    }

    /// Whether the server is to be asked, given what the credentials look like now.
    pub fn may_ask(&self, now: Millis, with: &Mark) -> bool {
        *with != self.with || now.since(self.since) >= AGAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_credentials_wait_a_minute_and_others_do_not() {
        let denied = Denied::new(Millis(1_000), "old");
        assert!(!denied.may_ask(Millis(1_000), &"old"));
        assert!(!denied.may_ask(Millis(60_999), &"old"));
        assert!(denied.may_ask(Millis(61_000), &"old"));
        assert!(denied.may_ask(Millis(1_001), &"new"));
    }
}
