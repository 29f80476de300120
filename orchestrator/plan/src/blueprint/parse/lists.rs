//! Looks at lists, free properties and maps, and for what is named twice.
//!
//! It refuses to know any resource.

use std::collections::BTreeMap;

use serde_json::Value;

use super::look::Look;
use super::read::{NAME, Object, Reader, TEXT};

/// Most free properties of one thing.
const PROPERTIES: usize = 256;

impl Reader {
    /// The items of a list with their paths; one value stands for a list of one, nothing for an empty one.
    pub(super) fn list<'a>(
        &mut self,
        object: &Object<'a>,
        field: &str,
        most: usize,
    ) -> Vec<(String, &'a Value)> {
        let path = object.path(field);
        self.look(&path, || Look::List { most });
        let items: &[Value] = match object.get(field) {
            None => &[],
            Some(Value::String(text)) if text.is_empty() => &[],
            Some(Value::Array(items)) => items,
            Some(one) => std::slice::from_ref(one),
        };
        if items.len() > most {
            self.fault(&path, object.get(field), format!("at most {most} are accepted"));
        }
        let named = items.iter().take(most).enumerate();
        named.map(|(i, item)| (format!("{path}[{i}]"), item)).collect()
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, object: &Object<'_>, field: &str, most: usize) -> Vec<String> {
        let items = self.list(object, field, most);
        items
            .into_iter()
            .filter_map(|(path, item)| self.value_text(&path, item, TEXT))
            .collect()
    }

    /// Free properties: a list of `{"name", "value"}`, or an object. The last of a name wins.
    pub(super) fn properties(&mut self, object: &Object<'_>, field: &str) -> BTreeMap<String, String> {
        const FIELDS: &[&str] = &["name", "value"];
        if let Some(Value::Object(fields)) = object.get(field)
            && !fields.contains_key("name")
        {
            return self.map(object, field);
        }
        let mut found = BTreeMap::new();
        for (path, item) in self.list(object, field, PROPERTIES) {
            let Some(pair) = self.object(&path, item, FIELDS) else {
                continue;
            };
            let name = self.needed(&pair, "name", |reader, o, f| reader.text(o, f, NAME));
            let value = match pair.get("value") {
                None => Some(String::new()),
                Some(value) => self.value_text(&pair.path("value"), value, TEXT),
            };
            if let (Some(name), Some(value)) = (name, value) {
                found.insert(name, value);
            }
        }
        found
    }

    /// An object of texts.
    pub(super) fn map(&mut self, object: &Object<'_>, field: &str) -> BTreeMap<String, String> {
        let Some(value) = object.get(field) else {
            return BTreeMap::new();
        };
        let path = object.path(field);
        self.look(&path, || Look::Map {
            most: PROPERTIES,
            longest: TEXT,
        });
        let Some(fields) = value.as_object() else {
            self.fault(&path, Some(value), "must be an object of texts");
            return BTreeMap::new();
        };
        if fields.len() > PROPERTIES {
            self.fault(&path, Some(value), format!("at most {PROPERTIES} are accepted"));
        }
        let mut found = BTreeMap::new();
        for (name, value) in fields.iter().take(PROPERTIES) {
            if name.is_empty() || name.len() > NAME {
                self.fault(
                    &path,
                    None,
                    format!("holds a name of {} bytes; 1 to {NAME} are accepted", name.len()),
                );
            } else if let Some(value) = self.value_text(&format!("{path}.{name}"), value, TEXT) {
                found.insert(name.clone(), value);
            }
        }
        found
    }

    /// Notes each key that was there before.
    pub(super) fn unique<'k>(&mut self, keys: impl Iterator<Item = (String, &'k str)>, what: &str) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (path, key) in keys {
            self.look(&path, || Look::Unique);
            match seen.get(key) {
                Some(first) => {
                    let message = format!("{what} is used twice, first at {first}");
                    self.fault(&path, Some(&Value::String(key.to_owned())), message);
                }
                None => {
                    seen.insert(key, path);
                }
            }
        }
    }
}
