//! What the readers of documents look for, as JSON schemas. A schema accepts whatever its reader accepts; what depends
//! on other fields or documents, the reader refuses beyond it.
//!
//! This file refuses to know any field.

use std::collections::BTreeSet;

use cartridge_orchestrator_plan::blueprint::parse::{Field, Look, drawings, is_secret};
use serde_json::{Map, Value, json};

/// Names of the schemas, by the collection that takes the documents.
const NAMES: [(&str, &str); 11] = [
    ("cartridges", "Cartridge"),
    ("cartridgeGroups", "CartridgeGroup"),
    ("networkPartitions", "NetworkPartition"),
    ("deploymentPolicies", "DeploymentPolicy"),
    ("autoscalingPolicies", "AutoscalingPolicy"),
    ("applicationPolicies", "ApplicationPolicy"),
    ("applications", "Application"),
    ("applications/signup", "SignUp"),
    ("applications/domainMappings", "DomainMappings"),
    ("kubernetesClusters", "KubernetesCluster"),
    ("kubernetesClusters/host", "KubernetesHost"),
];

/// Letters, digits, `.`, `_` and `-`, beginning with a letter or digit; white space around them does not count.
const ID: &str = r"^\s*[A-Za-z0-9][A-Za-z0-9._\-]{0,199}\s*$";
/// A number as a text.
const FIGURE: &str = r"^\s*[+\-]?[0-9.]+([eE][+\-]?[0-9]+)?\s*$";

/// One schema for each kind of document, and those of places that hold themselves.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    for (collection, whole) in drawings() {
        let name = NAMES.iter().find(|(known, _)| *known == collection);
        let Some((_, name)) = name else { continue };
        let mut again = BTreeSet::new();
        repeated(&whole, &mut again);
        let mut sketch = Sketch {
            name,
            again,
            apart: Map::new(),
        };
        let schema = sketch.object(&whole);
        all.insert((*name).to_owned(), schema);
        all.append(&mut sketch.apart);
    }
    all
}

/// The paths of places that stand in themselves.
fn repeated(field: &Field, found: &mut BTreeSet<String>) {
    found.extend(field.again.clone());
    let items = field.item.iter().map(|item| &**item);
    for inner in field.fields.values().chain(items) {
        repeated(inner, found);
    }
}

/// The schemas of one kind of document.
struct Sketch {
    name: &'static str,
    again: BTreeSet<String>,
    apart: Map<String, Value>,
}

impl Sketch {
    /// The name of a place that is described apart, and a reference to it.
    fn reference(&self, path: &str) -> (String, Value) {
        let path = path.replace("[0]", "");
        let name = if path.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{path}", self.name)
        };
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        (name, reference)
    }

    /// A field of an object.
    fn field(&mut self, field: &Field) -> Value {
        let empty = |look: &Look| matches!(look, Look::Object(_) | Look::List { .. });
        let mut options = self.options(field);
        if options.is_empty() {
            return json!({"description": "Accepted and ignored."});
        }
        if field.looks.iter().any(empty) {
            options.push(json!({"const": "", "description": "Absent."}));
        }
        if !field.needed {
            options.push(json!({"type": "null"}));
        }
        let mut schema = any_of(options);
        let name = field.path.rsplit('.').next().unwrap_or_default();
        if is_secret(name) {
            schema["writeOnly"] = true.into();
        }
        schema
    }

    fn options(&mut self, field: &Field) -> Vec<Value> {
        let mut options: Vec<Value> = Vec::new();
        let is_id = field.looks.contains(&Look::Id);
        for look in &field.looks {
            match look {
                Look::Needed | Look::Unique => {}
                Look::Text { .. } if is_id => {}
                Look::Object(_) => options.push(self.place(field)),
                Look::List { most } => {
                    let item = field.item.as_deref();
                    let inner = item.map_or_else(Vec::new, |item| self.options(item));
                    // One value stands for a list of one.
                    options.extend(inner.iter().cloned());
                    options.push(json!({"type": "array", "items": any_of(inner), "maxItems": most}));
                }
                plain => options.extend(self::plain(plain, field.needed)),
            }
        }
        options.dedup();
        options
    }

    /// An object, here or apart. What stands in a list is described apart: it may stand there without the list, too.
    fn place(&mut self, field: &Field) -> Value {
        if let Some(path) = &field.again {
            return self.reference(path).1;
        }
        if !self.again.contains(&field.path) && !field.path.ends_with(']') {
            return self.object(field);
        }
        let (name, reference) = self.reference(&field.path);
        if !self.apart.contains_key(&name) {
            let schema = self.object(field);
            self.apart.insert(name, schema);
        }
        reference
    }

    fn object(&mut self, field: &Field) -> Value {
        let mut properties = Map::new();
        for (name, inner) in &field.fields {
            properties.insert(name.clone(), self.field(inner));
        }
        let needed: Vec<&String> = field
            .fields
            .iter()
            .filter(|(_, inner)| inner.needed)
            .map(|(name, _)| name)
            .collect();
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !needed.is_empty() {
            schema["required"] = json!(needed);
        }
        schema
    }
}

/// What is no object and no list.
fn plain(look: &Look, needed: bool) -> Vec<Value> {
    let empty = (!needed).then(|| json!({"const": ""}));
    let texts = json!(["string", "number", "boolean"]);
    let mut options = match look {
        Look::Text { most } => return vec![json!({"type": texts, "maxLength": most})],
        Look::HostName => vec![json!({"type": texts, "description": "A host name."})],
        Look::ContextPath => vec![json!({
            "type": "string", "pattern": r"^\s*/",
            "description": "A path of at most 255 bytes: letters, digits and any of -._~@:+= between slashes.",
        })],
        Look::Address => vec![json!({"type": "string", "description": "An IP address."})],
        Look::Id => vec![json!({"type": texts, "pattern": ID})],
        Look::Number { least, most } => vec![
            json!({"type": "number", "minimum": least, "maximum": most}),
            json!({"type": "string", "pattern": FIGURE}),
        ],
        Look::Whole { least, most } => vec![
            json!({"type": "integer", "minimum": least, "maximum": most}),
            json!({"type": "string", "pattern": FIGURE}),
        ],
        Look::Flag => vec![json!({"type": ["boolean", "string"]})],
        Look::Word(words) => {
            let words: Vec<&String> = words.iter().collect();
            return vec![json!({"enum": words})];
        }
        Look::Map { most, longest } => {
            return vec![json!({
                "type": "object",
                "maxProperties": most,
                "additionalProperties": {"type": texts, "maxLength": longest},
            })];
        }
        Look::Needed | Look::Unique | Look::Object(_) | Look::List { .. } => Vec::new(),
    };
    options.extend(empty);
    options
}

fn any_of(mut options: Vec<Value>) -> Value {
    match options.len() {
        0 => json!({}),
        1 => options.swap_remove(0),
        _ => json!({"anyOf": options}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place that is looked at, with the name of its field.
    fn looked_at<'a>(field: &'a Field, found: &mut Vec<&'a Field>) {
        for inner in field.fields.values() {
            found.push(inner);
            looked_at(inner, found);
        }
        if let Some(item) = &field.item {
            looked_at(item, found);
        }
    }

    /// `10000000` and `10,000,000`.
    fn written(figure: u64) -> [String; 2] {
        let digits = figure.to_string();
        let grouped = digits
            .chars()
            .rev()
            .enumerate()
            .fold(String::new(), |text, (n, digit)| {
                let comma = if n > 0 && n % 3 == 0 { "," } else { "" };
                format!("{digit}{comma}{text}")
            });
        [digits, grouped]
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are whole"
    )]
    fn limit(look: &Look) -> Option<u64> {
        match look {
            Look::List { most } => Some(*most as u64),
            Look::Whole { most, .. } => Some(u64::from(*most)),
            Look::Number { most, .. } => Some(*most as u64),
            _ => None,
        }
    }

    #[test]
    fn every_field_and_its_limit_stand_in_the_page_on_blueprints() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/blueprint.md");
        let page = std::fs::read_to_string(page).unwrap();
        let names = |line: &str, name: &str| {
            let quoted = line.split('`').skip(1).step_by(2);
            quoted
                .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
                .any(|word| word == name)
        };
        let (mut missing, mut tried) = (Vec::new(), 0);
        for (collection, whole) in drawings() {
            let mut all = Vec::new();
            looked_at(&whole, &mut all);
            for field in all {
                let name = field.path.rsplit('.').next().unwrap();
                let free = field.looks.iter().any(|look| matches!(look, Look::Map { .. }));
                if field.looks.is_empty() || matches!(name, "value" | "property" | "properties") {
                    continue;
                }
                tried += 1;
                let lines: Vec<&str> = page.lines().filter(|line| names(line, name)).collect();
                let limits = field.looks.iter().filter(|_| !free).filter_map(limit);
                let told = |most: u64| {
                    written(most)
                        .iter()
                        .any(|text| lines.iter().any(|line| line.contains(text)))
                };
                if lines.is_empty() {
                    missing.push(format!("{collection}: {} is not named", field.path));
                }
                missing.extend(
                    limits
                        .filter(|most| !told(*most))
                        .map(|most| format!("{collection}: {}: {most} is not named", field.path)),
                );
            }
        }
        assert!(missing.is_empty(), "docs/blueprint.md: {missing:#?}");
        assert!(tried > 100, "{tried}");
    }
}
