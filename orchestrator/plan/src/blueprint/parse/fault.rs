//! What is wrong with a document, said so that a person can mend it without looking anything up.
//!
//! It refuses to show secrets and long values.

use serde_json::Value;

/// So many faults of one document are told.
pub const MAX_FAULTS: usize = 50;
/// So many characters of a value are shown.
const SHOWN: usize = 60;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// Where, such as `components.cartridges[0].cartridgeMin`.
    pub field: String,
    /// What stands there, shortened; secrets are masked. Empty when nothing does.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// All that is wrong with a document; never empty.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// A reader gave nothing and named no fault: a defect of the reader, but no reason to accept the document.
    pub(super) fn unnamed() -> Self {
        Self(vec![Fault {
            field: "document".to_owned(),
            value: String::new(),
            message: "could not be read".to_owned(),
        }])
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = if self.field.is_empty() {
            "document"
        } else {
            &self.field
        };
        write!(f, "{field}: {}", self.message)?;
        if !self.value.is_empty() {
            write!(f, ", got {}", self.value)?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A value as messages show it: JSON, so that control characters are escaped; lists and objects by their size only.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("an object with {} fields", fields.len()),
        Value::String(text) => {
            let short: String = text.chars().take(SHOWN).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("{}{more}", Value::String(short))
        }
        other => other.to_string(),
    }
}

/// Whether the value of a field of this name must not be shown, even if the name is mistyped.
pub fn is_secret(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    let named = ["pass", "pw", "secret", "token", "credential"]
        .iter()
        .any(|word| field.contains(word));
    named || field.ends_with("key")
}
