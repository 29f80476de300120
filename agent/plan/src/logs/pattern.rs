//! Two small languages: what the first line of an entry looks like, and which files of a folder are meant.
//!
//! Refuses to know files and lines. (A library of regular expressions would be larger than everything here together.)

/// What the first line of an entry begins with: `#` is a digit, `@` a letter, `?` any character, `\` makes the next
/// one mean itself; everything else means itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start(Vec<Piece>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Digit,
    Letter,
    Any,
    This(char),
}

/// Longest pattern, characters.
const MOST: usize = 200;

impl Start {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > MOST {
            return Err(format!("longer than {MOST} characters"));
        }
        let mut pieces = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '#' => Piece::Digit,
                '@' => Piece::Letter,
                '?' => Piece::Any,
                '\\' => Piece::This(chars.next().ok_or("ends with a \\ that quotes nothing")?),
                c => Piece::This(c),
            });
        }
        match pieces.first() {
            None => Err("empty".to_owned()),
            Some(Piece::Any) => Err("begins with ?, which tells no line from another".to_owned()),
            Some(_) => Ok(Self(pieces)),
        }
    }

    /// Whether the line begins so.
    pub fn matches(&self, line: &str) -> bool {
        let mut chars = line.chars();
        self.0.iter().all(|piece| {
            chars.next().is_some_and(|c| match piece {
                Piece::Digit => c.is_ascii_digit(),
                Piece::Letter => c.is_alphabetic(),
                Piece::Any => true,
                Piece::This(this) => c == *this,
            })
        })
    }
}

/// Whether `name` is meant by `pattern`, in which `*` is any text and everything else means itself.
pub fn is_meant(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    // The leftmost place for each piece leaves the most for those after it.
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether `name` is what a rotation makes of `base`: `app.log.1`, `app.log-20260101`, `app.log.2.gz`.
pub fn is_rotation_of(name: &str, base: &str) -> bool {
    let Some(rest) = name.strip_prefix(base) else {
        return false;
    };
    let words = rest.split(['.', '-', '_', 'T', 'Z', ':', '+']);
    let known = |word: &str| {
        word.is_empty()
            || word.bytes().all(|b| b.is_ascii_digit())
            || matches!(word, "old" | "bak" | "orig" | "prev")
            || is_packed(word)
    };
    rest.starts_with(['.', '-', '_']) && rest.len() > 1 && words.into_iter().all(known)
}

fn is_packed(ending: &str) -> bool {
    matches!(ending, "gz" | "bz2" | "xz" | "zst" | "lz4" | "zip")
}

/// Whether a file of this name holds packed data, which is never followed.
pub fn holds_packed_data(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| is_packed(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_start_is_looked_for_at_the_beginning_only() {
        let start = Start::parse(r"[####-##-## @\#?").unwrap();
        assert!(start.matches("[2026-01-02 ä#! more"));
        assert!(!start.matches(" [2026-01-02 ä#!"));
        assert!(!start.matches("[2026-01-02 ä#"), "too short");
        assert!(!start.matches("[2026-01-02 1#!"));
        assert!(Start::parse("?a").is_err());
        assert!(Start::parse("").is_err() && Start::parse("a\\").is_err());
        assert!(Start::parse(&"#".repeat(201)).is_err());
    }

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, meant) in [
            ("app.log", "app.log", true),
            ("app.log", "app.log.1", false),
            ("*.log", "app.log", true),
            ("*.log", ".log", true),
            ("*.log", "app.log.1", false),
            ("app*", "app", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("**x", "yx", true),
        ] {
            assert_eq!(is_meant(pattern, name), meant, "{pattern} {name}");
        }
    }

    /// Tries everything; slow and obviously right.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=name.len()).any(|at| slow(rest, &name[at..])),
            (Some((p, pattern)), Some((n, name))) => p == n && slow(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_one_that_tries_everything(pattern in "[ab*]{0,7}", name in "[ab]{0,8}") {
            prop_assert_eq!(is_meant(&pattern, &name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn rotations_are_known_by_their_names() {
        for name in [
            "a.log.1",
            "a.log-20260101",
            "a.log.old",
            "a.log-2026-01-01T10:00:00Z",
            "a.log.3.gz",
            "a.log-1.xz",
        ] {
            assert!(is_rotation_of(name, "a.log"), "{name}");
        }
        for name in ["a.log", "a.log.", "a.log.err", "b.log.1", "a.logs", "a.log1"] {
            assert!(!is_rotation_of(name, "a.log"), "{name}");
        }
        assert!(holds_packed_data("a.log.1.gz") && !holds_packed_data("a.gzip") && !holds_packed_data("gz"));
    }
}
