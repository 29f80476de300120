//! Makes text that came from members, repositories or people harmless on a terminal (T19): escape sequences,
//! control characters and marks that reorder or hide text do not get through.
//!
//! This file refuses to know what the text means.

/// One line: line ends and tabs become spaces.
pub fn line(text: &str) -> String {
    strip(text, |c| if matches!(c, '\n' | '\t') { Some(' ') } else { None })
}

/// Several lines: line ends and tabs stay.
pub fn lines(text: &str) -> String {
    strip(text, |c| matches!(c, '\n' | '\t').then_some(c))
}

/// JSON text, whose strings may hold what is no control character to JSON but is one to a terminal: it is escaped,
/// so the value stays the same.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !dangerous(c) {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// Control characters, marks that change the direction of text, and invisible ones.
fn dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn strip(text: &str, keep: impl Fn(char) -> Option<char>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\u{1b}' => after_escape(after),
            '\u{9b}' => after_control_sequence(after),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => after_string(after),
            _ => {
                match keep(c) {
                    Some(kept) => out.push(kept),
                    None if dangerous(c) => {}
                    None => out.push(c),
                }
                after
            }
        };
    }
    out
}

/// What follows ESC and the sequence that it begins.
fn after_escape(rest: &str) -> &str {
    let mut chars = rest.chars();
    match chars.next() {
        Some('[') => after_control_sequence(chars.as_str()),
        Some('P' | 'X' | ']' | '^' | '_') => after_string(chars.as_str()),
        // Intermediates, then one final: `ESC ( 0` chooses a character set.
        Some(' '..='/') => {
            let rest = rest.trim_start_matches(|c| matches!(c, ' '..='/'));
            rest.strip_prefix(|c| matches!(c, '0'..='~')).unwrap_or(rest)
        }
        Some('0'..='~') => chars.as_str(),
        _ => rest,
    }
}

/// What follows parameters, intermediates and the final of a control sequence.
fn after_control_sequence(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c| matches!(c, ' '..='?'));
    rest.strip_prefix(|c| matches!(c, '@'..='~')).unwrap_or(rest)
}

/// What follows the end of an operating-system command or the like; if it does not end, nothing is lost but its
/// beginning: a member cannot hide its own later words, nor ours.
fn after_string(rest: &str) -> &str {
    let end = rest.find(['\u{7}', '\u{9c}', '\u{1b}', '\n']);
    match end {
        Some(at) if rest[at..].starts_with('\n') => rest,
        Some(at) if rest[at..].starts_with("\u{1b}\\") => &rest[at + 2..],
        Some(at) if rest[at..].starts_with('\u{1b}') => &rest[at..],
        Some(at) => {
            let end = rest[at..].chars().next().map_or(0, char::len_utf8);
            &rest[at + end..]
        }
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every introducer with every kind of body and end: more than 200 sequences.
    fn corpus() -> Vec<String> {
        let mut all: Vec<String> = (0..=0x9f_u32)
            .filter_map(char::from_u32)
            .map(|c| format!("a{c}b"))
            .collect();
        let introducers = [
            "\u{1b}[", "\u{9b}", "\u{1b}]", "\u{9d}", "\u{1b}P", "\u{90}", "\u{1b}_", "\u{1b}^", "\u{1b}X",
        ];
        let bodies = [
            "31m",
            "2J",
            "8;;http://evil/",
            "52;c;ZXZpbA==",
            "0;title",
            "?1049h",
            "6n",
            "$q\"p",
            "",
        ];
        let ends = ["", "\u{7}", "\u{1b}\\", "\u{9c}", "\u{1b}", "\r"];
        for introducer in introducers {
            for body in bodies {
                for end in ends {
                    all.push(format!("a{introducer}{body}{end}b"));
                }
            }
        }
        for mark in [
            '\u{202e}',
            '\u{2066}',
            '\u{200f}',
            '\u{feff}',
            '\u{2028}',
            '\u{e0041}',
        ] {
            all.push(format!("a{mark}b"));
        }
        all.extend(["\u{1b}(0x", "\u{1b}c", "\u{1b}#8", "a\u{8}\u{8}b", "a\rb"].map(str::to_owned));
        all
    }

    #[test]
    fn nothing_of_the_corpus_reaches_the_terminal() {
        let corpus = corpus();
        assert!(corpus.len() > 200);
        for text in corpus {
            for cleaned in [line(&text), lines(&text), json(&text)] {
                let bad = cleaned
                    .chars()
                    .find(|c| dangerous(*c) && !matches!(c, '\n' | '\t'));
                assert_eq!(bad, None, "{text:?} became {cleaned:?}");
            }
        }
    }

    #[test]
    fn sequences_go_as_a_whole_and_words_stay() {
        assert_eq!(line("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(line("a\u{1b}]0;title\u{7}b"), "ab");
        assert_eq!(
            line("a\u{1b}]8;;http://x/\u{1b}\\link\u{1b}]8;;\u{1b}\\b"),
            "alinkb"
        );
        assert_eq!(line("one\ntwo\tthree"), "one two three");
        assert_eq!(lines("one\ntwo\tthree\r"), "one\ntwo\tthree");
        assert_eq!(line("Grüße, 世界 🎉"), "Grüße, 世界 🎉");
        assert_eq!(line("a\u{1b}]never ends"), "anever ends");
    }

    #[test]
    fn cleaned_json_is_the_same_value() {
        let value = serde_json::json!({"text": "a\u{9b}31m\u{202e}\u{e0041}\u{1b}\u{7f}b"});
        let cleaned = json(&value.to_string());
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&cleaned).unwrap(),
            value
        );
    }
}
