//! OpenSSH's file of allowed signers: which keys may sign, for what, and when. Refuses to know signatures and clocks.
//!
//! ```text
//! deploy@example.org,ci@example.org namespaces="git",valid-before="20271231Z" ssh-ed25519 AAAA… words
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ssh_signature::NAMESPACE;

/// Longest file.
pub const MAX_BYTES: u64 = 1 << 20;

/// Why a key may not sign now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It is in no line.
    Unknown,
    /// Only lines for other things than Git have it.
    OtherPurpose,
    /// Its time has not come.
    NotYet,
    /// Its time is over.
    NoMore,
}

impl Denial {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "is by a key that is not in --allowed-signers",
            Self::OtherPurpose => "is by a key that may not sign for Git (namespaces)",
            Self::NotYet => "is by a key that may not sign yet (valid-after)",
            Self::NoMore => "is by a key that may not sign any more (valid-before)",
        }
    }
}

/// Who has this key, if it may sign now (seconds since 1970); or what is wrong with the file.
pub fn allows(text: &str, key: &[u8], now: u64) -> Result<Result<String, Denial>, String> {
    let (mut found, mut denial) = (None, Denial::Unknown);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The whole file, so that a mistake in it does not wait for the day on which it matters.
        let signer = Signer::parse(line).map_err(|why| format!("line {number}: {why}"))?;
        if signer.authority || signer.key != key {
            continue;
        }
        match signer.denies(now) {
            None => found = found.or(Some(signer.principals)),
            Some(reason) => denial = reason,
        }
    }
    Ok(found.map(str::to_owned).ok_or(denial))
}

/// One line.
struct Signer<'a> {
    principals: &'a str,
    /// It signs keys, not commits; certificates are not read here.
    authority: bool,
    namespaces: Option<&'a str>,
    after: u64,
    before: u64,
    key: Vec<u8>,
}

impl<'a> Signer<'a> {
    fn parse(line: &'a str) -> Result<Self, &'static str> {
        let (principals, rest) = word(line)?;
        let (second, after) = word(rest)?;
        let (options, rest) = if is_kind(second) {
            ("", rest)
        } else {
            (second, after)
        };
        let (kind, rest) = word(rest)?;
        let (encoded, _) = word(rest)?;
        let key = STANDARD.decode(encoded).map_err(|_| "its key is not Base64")?;
        let named = key.get(4..).is_some_and(|name| name.starts_with(kind.as_bytes()));
        if !is_kind(kind) || !named {
            return Err("no key where one should be");
        }
        let mut signer = Self {
            principals: principals.trim_matches('"'),
            authority: false,
            namespaces: None,
            after: 0,
            before: u64::MAX,
            key,
        };
        for option in split(options, ',') {
            signer.option(option)?;
        }
        Ok(signer)
    }

    fn option(&mut self, option: &'a str) -> Result<(), &'static str> {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        match (name.to_ascii_lowercase().as_str(), quoted) {
            ("", None) => {}
            ("cert-authority", None) => self.authority = true,
            ("namespaces", Some(list)) if self.namespaces.is_none() => self.namespaces = Some(list),
            ("valid-after", Some(date)) => self.after = self.after.max(time(date)?),
            ("valid-before", Some(date)) => self.before = self.before.min(time(date)?),
            _ => return Err("an option that is not known, or given twice, or without quotes"),
        }
        Ok(())
    }

    fn denies(&self, now: u64) -> Option<Denial> {
        if self.namespaces.is_some_and(|list| !listed(list, NAMESPACE)) {
            return Some(Denial::OtherPurpose);
        }
        if now < self.after {
            return Some(Denial::NotYet);
        }
        (now >= self.before).then_some(Denial::NoMore)
    }
}

fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|start| word.starts_with(start))
}

/// The first word, and what follows it; spaces in quotes part no words.
fn word(text: &str) -> Result<(&str, &str), &'static str> {
    let text = text.trim_start();
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == ' ' || c == '\t')
    });
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    match word {
        "" => Err("something is missing"),
        _ if quoted => Err("a quotation mark that is not closed"),
        word => Ok((word, rest)),
    }
}

fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        !quoted && c == at
    })
}

/// Whether a list of patterns names this, and none with `!` does.
fn listed(patterns: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => found |= fits(pattern.as_bytes(), name.as_bytes()),
        }
    }
    found
}

/// `*` is anything, `?` one letter.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // How much of the pattern can have been used, after each letter of the name.
    let mut used = vec![false; pattern.len() + 1];
    used[0] = true;
    let skip_stars = |used: &mut Vec<bool>| {
        for (at, letter) in pattern.iter().enumerate() {
            let reached = used[at] && *letter == b'*';
            used[at + 1] |= reached;
        }
    };
    skip_stars(&mut used);
    for letter in name {
        let mut next = vec![false; used.len()];
        for (at, expected) in pattern.iter().enumerate().filter(|(at, _)| used[*at]) {
            next[at] |= *expected == b'*';
            next[at + 1] |= *expected == b'?' || expected == letter;
        }
        used = next;
        skip_stars(&mut used);
    }
    used[pattern.len()]
}

/// `YYYYMMDD[HHMM[SS]][Z]`, in UTC, as seconds since 1970.
fn time(text: &str) -> Result<u64, &'static str> {
    const BAD: &str = "a time that is not YYYYMMDD or YYYYMMDDHHMMSS";
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BAD);
    }
    let number = |from: usize, to: usize| {
        digits
            .get(from..to)
            .map_or(Ok(0), str::parse::<u64>)
            .map_err(|_| BAD)
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return Err(BAD);
    }
    // Years begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let since = days.checked_sub(719_468).ok_or(BAD)?;
    Ok(((since * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blob(last: u8) -> Vec<u8> {
        [b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[last; 32]].concat()
    }

    fn line(start: &str, last: u8) -> String {
        format!(
            "{start} ssh-ed25519 {} words of any kind\n",
            STANDARD.encode(blob(last))
        )
    }

    fn asked(text: &str, last: u8, now: u64) -> Result<String, Denial> {
        allows(text, &blob(last), now).unwrap()
    }

    #[test]
    fn a_key_signs_if_a_line_allows_it() {
        let text = format!(
            "# those who deploy\n\n{}{}{}",
            line("a@example.org,b@example.org", 1),
            line("\"with space\" namespaces=\"file,git\"", 2),
            line("*\tnamespaces=\"g*,!git\"", 3),
        );
        assert_eq!(asked(&text, 1, 0), Ok("a@example.org,b@example.org".into()));
        assert_eq!(asked(&text, 2, 0), Ok("with space".into()));
        assert_eq!(asked(&text, 3, 0), Err(Denial::OtherPurpose));
        assert_eq!(asked(&text, 4, 0), Err(Denial::Unknown));
        assert_eq!(asked("", 1, 0), Err(Denial::Unknown));
    }

    #[test]
    fn an_authority_of_certificates_signs_no_commits_itself() {
        assert_eq!(asked(&line("* cert-authority", 1), 1, 0), Err(Denial::Unknown));
        let both = line("* cert-authority,namespaces=\"git\"", 1) + &line("a namespaces=\"git\"", 1);
        assert_eq!(asked(&both, 1, 0), Ok("a".into()));
    }

    #[test]
    fn times_begin_and_end_in_utc() {
        let text = line("a valid-after=\"20240229\",Valid-Before=\"202403010000Z\"", 1);
        let leap_day = 1_709_164_800;
        assert_eq!(asked(&text, 1, leap_day - 1), Err(Denial::NotYet));
        assert_eq!(asked(&text, 1, leap_day), Ok("a".into()));
        assert_eq!(asked(&text, 1, leap_day + 86_399), Ok("a".into()));
        assert_eq!(asked(&text, 1, leap_day + 86_400), Err(Denial::NoMore));
        assert_eq!(time("19700101"), Ok(0));
        assert_eq!(time("20380119031408Z"), Ok(1 << 31));
    }

    #[test]
    fn a_file_with_a_mistake_allows_nobody() {
        let key = STANDARD.encode(blob(1));
        for bad in [
            "a".to_owned(),
            format!("a {key}"),
            format!("a ssh-rsa {key}"),
            format!("a ssh-ed25519 !{key}"),
            format!("a namespace=\"git\" ssh-ed25519 {key}"),
            format!("a namespaces=git ssh-ed25519 {key}"),
            format!("a namespaces=\"git ssh-ed25519 {key}"),
            format!("a namespaces=\"git\",namespaces=\"x\" ssh-ed25519 {key}"),
            format!("a valid-before=\"2024\" ssh-ed25519 {key}"),
            format!("a valid-before=\"20241301\" ssh-ed25519 {key}"),
            format!("a no-touch-required ssh-ed25519 {key}"),
        ] {
            let text = line("good", 1) + &bad;
            let why = allows(&text, &blob(1), 0).unwrap_err();
            assert!(why.starts_with("line 2: "), "{bad}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\t\n\u{e9}]{0,200}") {
            let _ = allows(&text, &blob(1), 0);
            let _ = Signer::parse(&text);
        }

        #[test]
        fn a_pattern_without_stars_fits_itself_only(name in "[a-z]{0,6}", other in "[a-z]{0,6}") {
            let both = name.clone() + &other;
            prop_assert!(fits(name.as_bytes(), name.as_bytes()));
            prop_assert_eq!(fits(name.as_bytes(), other.as_bytes()), name == other);
            for pattern in ["*".to_owned(), name + "*", "*".to_owned() + &other, "?".repeat(both.len())] {
                prop_assert!(fits(pattern.as_bytes(), both.as_bytes()), "{}", pattern);
            }
        }
    }
}
