//! Text to JSON, tolerating a trailing comma as Stratos does. It refuses to know what the JSON means.

use serde_json::Value;

/// Longest document accepted, bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// Why a text is no JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: line {line}, column {column}: {message}")]
pub struct NotJson {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What was wrong there.
    pub message: String,
}

/// Reads JSON; one comma before `]` or `}` and a byte-order mark are tolerated.
pub fn lenient_json(text: &str) -> Result<Value, NotJson> {
    if text.len() > MAX_BYTES {
        return Err(NotJson {
            line: 1,
            column: 1,
            message: format!("{} bytes long; at most {MAX_BYTES} are accepted", text.len()),
        });
    }
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(&without_trailing_commas(text)).map_err(|error| {
        let whole = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        NotJson {
            line: error.line(),
            column: error.column().max(1),
            message: whole.strip_suffix(&place).unwrap_or(&whole).to_owned(),
        }
    })
}

/// Each trailing comma becomes a blank, so that lines and columns stay what they are.
fn without_trailing_commas(text: &str) -> String {
    let mut kept = text.as_bytes().to_vec();
    let (mut in_string, mut escaped) = (false, false);
    // The last comma with nothing but white space since, if something that it may follow came before it.
    let (mut comma, mut before): (Option<usize>, u8) = (None, b'{');
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b',' => comma = (!matches!(before, b'{' | b'[' | b',' | b':')).then_some(at),
            b'}' | b']' => {
                if let Some(at) = comma.take() {
                    kept[at] = b' ';
                }
            }
            _ => {
                comma = None;
                in_string = byte == b'"';
            }
        }
        before = byte;
    }
    // Only ASCII commas became ASCII blanks.
    String::from_utf8(kept).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_trailing_comma_is_tolerated_and_no_more() {
        assert_eq!(
            lenient_json("{\"a\": [1, 2,\n ], }").unwrap(),
            json!({"a": [1, 2]})
        );
        for bad in ["[,]", "{,}", "[1,,]", "[1,,2]", "{\"a\":,}", "1,"] {
            assert!(lenient_json(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn commas_and_brackets_in_texts_stay() {
        let text = r#"{"a": "x,]", "b": "\",}", "ä,}": "\\"}"#;
        assert_eq!(
            lenient_json(text).unwrap(),
            json!({"a": "x,]", "b": "\",}", "ä,}": "\\"})
        );
    }

    #[test]
    fn a_fault_is_named_by_line_and_column() {
        let error = lenient_json("{\n  \"a\": 1,\n  \"b\": ?\n}").unwrap_err();
        assert_eq!((error.line, error.column), (3, 8), "{error}");
        assert!(!error.message.contains("line"), "{error}");
    }

    #[test]
    fn endless_nesting_is_refused() {
        assert!(lenient_json(&"[".repeat(100_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(text in "[\\[\\]{}:,\"\\\\ a1ä]{0,24}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                proptest::prop_assert_eq!(lenient_json(&text).unwrap(), value);
            }
        }
    }
}
