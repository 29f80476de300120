//! Typed looks into a JSON object that note every fault and go on.
//!
//! It refuses to know any resource. A look that failed answers None after noting why; a missing optional field
//! answers None without.

use std::str::FromStr;

use cartridge_protocol::InvalidId;
use serde_json::{Map, Value};

use super::fault::{Fault, Faults, MAX_FAULTS, is_secret, shown};
use super::look::{Look, Looks};
use super::spelling::nearest;

/// Longest name, in bytes.
pub(super) const NAME: usize = 256;
/// Longest free text, in bytes.
pub(super) const TEXT: usize = 16 << 10;

/// Collects faults, and what was looked for where somebody wants to know.
#[derive(Default)]
pub(super) struct Reader {
    faults: Vec<Fault>,
    more: usize,
    looks: Option<Looks>,
}

/// A JSON object and where it stands.
#[derive(Clone)]
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The path of one of its fields.
    pub(super) fn path(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    /// A field's value; `null` is absent.
    pub(super) fn get(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }
}

impl Reader {
    /// One that notes every look, for [`super::drawing`].
    pub(super) fn watched() -> Self {
        Self {
            looks: Some(Looks::new()),
            ..Self::default()
        }
    }

    /// What was looked for, and where.
    pub(super) fn looks(self) -> Looks {
        self.looks.unwrap_or_default()
    }

    /// Notes a look. Each kind of look says so itself: what is noted is what is accepted.
    pub(super) fn look(&mut self, path: &str, look: impl FnOnce() -> Look) {
        if let Some(looks) = &mut self.looks {
            looks.push((path.to_owned(), look()));
        }
    }

    /// All faults, if any.
    pub(super) fn finish(mut self) -> Option<Faults> {
        if self.more > 0 {
            self.faults.push(Fault {
                field: String::new(),
                value: String::new(),
                message: format!("{} more faults are not listed", self.more),
            });
        }
        (!self.faults.is_empty()).then_some(Faults(self.faults))
    }

    /// Notes a fault about a value.
    pub(super) fn fault(&mut self, path: &str, value: Option<&Value>, message: impl Into<String>) {
        if self.faults.len() >= MAX_FAULTS {
            self.more += 1;
            return;
        }
        let name = path.rsplit('.').next().unwrap_or(path);
        self.faults.push(Fault {
            field: path.to_owned(),
            value: match value {
                Some(_) if is_secret(name) => "(hidden)".to_owned(),
                Some(value) => shown(value),
                None => String::new(),
            },
            message: message.into(),
        });
    }

    /// Opens an object; fields outside `known` are faults.
    pub(super) fn object<'a>(
        &mut self,
        path: &str,
        value: &'a Value,
        known: &'static [&'static str],
    ) -> Option<Object<'a>> {
        self.look(path, || Look::Object(known));
        let Some(fields) = value.as_object() else {
            self.fault(path, Some(value), "must be an object");
            return None;
        };
        let object = Object {
            path: path.to_owned(),
            fields,
        };
        for (name, value) in fields {
            if !known.contains(&name.as_str()) {
                let short: String = name.chars().take(NAME).collect();
                let hint = nearest(name, known).map(|near| format!(" (did you mean {near:?}?)"));
                let message = format!("unknown field {short:?}{}", hint.unwrap_or_default());
                // Beside a secret field, an unknown one may be its mistyped name.
                let guarded = Value::String("(hidden)".to_owned());
                let value = if known.iter().any(|name| is_secret(name)) {
                    &guarded
                } else {
                    value
                };
                self.fault(&object.path(&short), Some(value), message);
            }
        }
        Some(object)
    }

    /// An object in a field.
    pub(super) fn child<'a>(
        &mut self,
        object: &Object<'a>,
        field: &str,
        known: &'static [&'static str],
    ) -> Option<Object<'a>> {
        let value = object.get(field)?;
        if value.as_str() == Some("") {
            return None;
        }
        self.object(&object.path(field), value, known)
    }

    /// A field that must be there.
    pub(super) fn needed<T>(
        &mut self,
        object: &Object<'_>,
        field: &str,
        read: impl FnOnce(&mut Self, &Object<'_>, &str) -> Option<T>,
    ) -> Option<T> {
        self.look(&object.path(field), || Look::Needed);
        self.needed_here(object, field, read)
    }

    /// A field that must be there in this document, because of what else is in it or is not.
    pub(super) fn needed_here<T>(
        &mut self,
        object: &Object<'_>,
        field: &str,
        read: impl FnOnce(&mut Self, &Object<'_>, &str) -> Option<T>,
    ) -> Option<T> {
        let empty = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
        let absent = object.get(field).is_none_or(empty);
        if absent {
            self.fault(&object.path(field), None, "is required");
            return None;
        }
        read(self, object, field)
    }

    /// A text, also where a number or a boolean stands.
    pub(super) fn text(&mut self, object: &Object<'_>, field: &str, longest: usize) -> Option<String> {
        let value = object.get(field)?;
        self.value_text(&object.path(field), value, longest)
    }

    /// The same of any value.
    pub(super) fn value_text(&mut self, path: &str, value: &Value, longest: usize) -> Option<String> {
        self.look(path, || Look::Text { most: longest });
        self.plain_text(path, value, longest)
    }

    /// The text of something that is more than a text.
    pub(super) fn plain_text(&mut self, path: &str, value: &Value, longest: usize) -> Option<String> {
        let text = match value {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => {
                self.fault(path, Some(value), "must be a text");
                return None;
            }
        };
        if text.len() > longest {
            self.fault(
                path,
                None,
                format!("is {} bytes long; at most {longest} are accepted", text.len()),
            );
            return None;
        }
        Some(text)
    }

    /// An identifier.
    pub(super) fn id<T: FromStr<Err = InvalidId>>(&mut self, object: &Object<'_>, field: &str) -> Option<T> {
        let value = object.get(field)?;
        self.value_id(&object.path(field), value)
    }

    /// The same of any value.
    pub(super) fn value_id<T: FromStr<Err = InvalidId>>(&mut self, path: &str, value: &Value) -> Option<T> {
        self.look(path, || Look::Id);
        let text = self.plain_text(path, value, TEXT)?;
        match text.parse() {
            Ok(id) => Some(id),
            Err(reason) => {
                self.fault(path, Some(value), format!("is no identifier: it {reason}"));
                None
            }
        }
    }

    /// A finite number, also as text.
    pub(super) fn number(&mut self, object: &Object<'_>, field: &str, least: f64, most: f64) -> Option<f64> {
        let value = object.get(field)?;
        self.value_number(&object.path(field), value, least, most)
    }

    /// The same of any value.
    pub(super) fn value_number(&mut self, path: &str, value: &Value, least: f64, most: f64) -> Option<f64> {
        self.look(path, || Look::Number { least, most });
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= least && number <= most => Some(number),
            _ => {
                self.fault(
                    path,
                    Some(value),
                    format!("must be a number from {least} to {most}"),
                );
                None
            }
        }
    }

    /// A whole number, also as text.
    pub(super) fn whole(&mut self, object: &Object<'_>, field: &str, least: u32, most: u32) -> Option<u32> {
        let value = object.get(field)?;
        self.look(&object.path(field), || Look::Whole { least, most });
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(n) if n.fract() == 0.0 && n >= f64::from(least) && n <= f64::from(most) => Some(n as u32),
            _ => {
                let message = format!("must be a whole number from {least} to {most}");
                self.fault(&object.path(field), Some(value), message);
                None
            }
        }
    }

    /// True or false, also as text; absent is false.
    pub(super) fn flag(&mut self, object: &Object<'_>, field: &str) -> bool {
        self.look(&object.path(field), || Look::Flag);
        match object.get(field) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) if text.trim().eq_ignore_ascii_case("true") => true,
            Some(Value::String(text)) if matches!(text.trim(), "" | "false" | "False" | "FALSE") => false,
            Some(value) => {
                self.fault(&object.path(field), Some(value), "must be true or false");
                false
            }
        }
    }

    /// One of the words given.
    pub(super) fn word<T: Copy>(
        &mut self,
        object: &Object<'_>,
        field: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let value = object.get(field)?;
        let path = object.path(field);
        self.look(&path, || {
            Look::Word(words.iter().map(|(word, _)| (*word).to_owned()).collect())
        });
        let text = self.plain_text(&path, value, TEXT)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(
                &object.path(field),
                Some(value),
                format!("must be {}", names.join(" or ")),
            );
        }
        found
    }
}
