//! How the application ended, each time: what counts as a failure, how many ends are too many, what people are told.
//!
//! Refuses to know how an end was noticed, and what becomes of the member.

use std::collections::VecDeque;
use std::fmt;

use cartridge_protocol::Millis;
use serde::{Deserialize, Serialize};

use crate::text::{cut, one_line};

/// Ends remembered with everything that is known of them.
pub const MOST_ENDS: usize = 8;
/// Last lines of its standard error that are kept of one end.
pub const MOST_WORDS: usize = 3;
/// Longest such line, bytes.
pub const WORDS_BYTES: usize = 160;
/// Longest history for people, bytes: it fits into a reason beside everything else.
const HISTORY_BYTES: usize = 3000;
/// Times of ends remembered beyond what is remembered of them; the largest limit that is accepted is below it.
const MOST_TIMES: usize = 101;

/// Whether an application that has ended by itself is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    Always,
    /// Unless it ended with exit code 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// When it is started again, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRules {
    /// Which ends are followed by a start.
    pub restart: Restart,
    /// More ends than this within `window` mean that it will not stay up. 0: it is never given up.
    pub limit: u32,
    /// The time that is looked back; older ends no longer count.
    pub window: Millis,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// By itself.
    Code(i32),
    /// By a signal: its number and its name.
    Signal(i32, String),
    /// By the kernel, because the memory that the member may use was used up.
    OutOfMemory,
    /// It could not be started.
    NotStarted(String),
    /// Nobody can say.
    Unknown(String),
}

impl How {
    /// It ended as a program does whose work is done.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Code(0))
    }

    /// What a shell would return for it: 128 and the signal where there was one.
    pub fn exit_code(&self) -> u8 {
        let code = match self {
            Self::Code(code) => *code,
            Self::Signal(signal, _) => 128_i32.saturating_add(*signal),
            Self::OutOfMemory => 128 + 9,
            Self::NotStarted(_) => 127,
            Self::Unknown(_) => 1,
        };
        // Whatever else there may be, it is no success.
        u8::try_from(code).unwrap_or(1)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number, name) => write!(f, "signal {number} ({name})"),
            Self::OutOfMemory => f.write_str("killed, out of memory"),
            Self::NotStarted(why) => write!(f, "it could not be started: {why}"),
            Self::Unknown(why) => write!(f, "for an unknown reason: {why}"),
        }
    }
}

/// One end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: Millis,
    /// How.
    pub how: How,
    /// How long it had run.
    pub lived: Millis,
    /// The last lines that it wrote to its standard error.
    pub words: Vec<String>,
}

impl End {
    /// An end, with what it said cut to size.
    pub fn new(at: Millis, how: How, lived: Millis, words: &[String]) -> Self {
        let kept = words.len().saturating_sub(MOST_WORDS);
        Self {
            at,
            how,
            lived,
            words: words[kept..]
                .iter()
                .map(|line| one_line(line, WORDS_BYTES))
                .collect(),
        }
    }

    fn words(&self) -> String {
        if self.words.is_empty() {
            String::new()
        } else {
            format!(", saying {:?}", self.words.join(" / "))
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}{}", self.how, self.lived, self.words())
    }
}

/// The ends that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    newest: VecDeque<End>,
    times: VecDeque<Millis>,
}

/// What follows an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again; it ended so often within the window.
    Again(usize),
    /// It is not, and why.
    Over(String),
}

impl Ends {
    /// Remembers an end and says what follows.
    pub fn take(&mut self, end: End, rules: &RestartRules) -> Verdict {
        let now = end.at;
        let refusal = match rules.restart {
            Restart::Never => Some("it is never started again"),
            Restart::OnFailure if end.how.is_success() => Some("it is started again only after a failure"),
            Restart::OnFailure | Restart::Always => None,
        };
        self.times.push_back(now);
        while self.times.len() > MOST_TIMES
            || self.times.front().is_some_and(|at| now.since(*at) > rules.window)
        {
            self.times.pop_front();
        }
        let last = end.to_string();
        self.newest.push_back(end);
        while self.newest.len() > MOST_ENDS {
            self.newest.pop_front();
        }
        let count = self.times.len();
        if let Some(refusal) = refusal {
            return Verdict::Over(format!("the application ended: {last}; {refusal}"));
        }
        if rules.limit > 0 && count > rules.limit as usize {
            return Verdict::Over(format!(
                "the application ended {count} times within {}: {}",
                rules.window,
                self.history(now)
            ));
        }
        Verdict::Again(count)
    }

    /// The newest one.
    pub fn last(&self) -> Option<&End> {
        self.newest.back()
    }

    /// All that are remembered, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &End> {
        self.newest.iter()
    }

    /// For people, newest first, so that what is cut off is what matters least.
    pub fn history(&self, now: Millis) -> String {
        let all: Vec<String> = self
            .newest
            .iter()
            .rev()
            .map(|end| format!("{} ago: {end}", now.since(end.at)))
            .collect();
        cut(&all.join("; "), HISTORY_BYTES).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(restart: Restart, limit: u32) -> RestartRules {
        RestartRules {
            restart,
            limit,
            window: Millis(60_000),
        }
    }

    fn end(at: u64, how: How) -> End {
        End::new(Millis(at), how, Millis(10), &[])
    }

    #[test]
    fn every_policy_says_what_follows_every_kind_of_end() {
        let ways = [
            How::Code(0),
            How::Code(3),
            How::Signal(11, "SIGSEGV".into()),
            How::OutOfMemory,
            How::NotStarted("no such file".into()),
            How::Unknown("nobody saw it".into()),
        ];
        for how in ways {
            for (policy, again) in [
                (Restart::Always, true),
                (Restart::OnFailure, !how.is_success()),
                (Restart::Never, false),
            ] {
                let verdict = Ends::default().take(end(5, how.clone()), &rules(policy, 5));
                assert_eq!(matches!(verdict, Verdict::Again(1)), again, "{policy:?} {how}");
                if let Verdict::Over(reason) = verdict {
                    assert!(reason.contains(&how.to_string()), "{reason}");
                }
            }
        }
    }

    #[test]
    fn ends_older_than_the_window_no_longer_count_and_a_limit_of_zero_never_gives_up() {
        let mut ends = Ends::default();
        for n in 0..40 {
            let verdict = ends.take(end(n * 20_000, How::Code(1)), &rules(Restart::Always, 5));
            assert!(matches!(verdict, Verdict::Again(1..=4)), "{verdict:?}");
        }
        let mut ends = Ends::default();
        for n in 0..500 {
            let verdict = ends.take(end(n, How::Code(1)), &rules(Restart::Always, 0));
            assert!(matches!(verdict, Verdict::Again(_)));
        }
        assert!(ends.times.len() <= MOST_TIMES && ends.newest.len() <= MOST_ENDS);
    }

    #[test]
    fn the_history_tells_age_manner_life_and_words_newest_first_and_stays_bounded() {
        let mut ends = Ends::default();
        let long = vec!["x".repeat(5000), "\u{1b}[31mport taken".to_owned()];
        for n in 0..20u64 {
            let one = End::new(Millis(n * 1000), How::Code(7), Millis(90), &long);
            ends.take(one, &rules(Restart::Always, 100));
        }
        assert_eq!(ends.iter().count(), MOST_ENDS);
        let history = ends.history(Millis(20_000));
        assert!(history.len() <= HISTORY_BYTES, "{}", history.len());
        assert!(
            history.starts_with("1 s ago: exit code 7 after 90 ms, saying \"xxx")
                || history.starts_with("1.0 s ago: exit code 7 after 90 ms, saying \"xxx"),
            "{history}"
        );
        assert!(history.contains(" [31mport taken") && !history.contains('\u{1b}'));
    }

    #[test]
    fn exit_codes_are_what_a_shell_would_return() {
        let signal = How::Signal(15, "SIGTERM".into());
        let all = [
            How::Code(0),
            How::Code(42),
            signal,
            How::OutOfMemory,
            How::Code(-1),
        ];
        assert_eq!(all.map(|how| how.exit_code()), [0, 42, 143, 137, 1]);
    }
}
