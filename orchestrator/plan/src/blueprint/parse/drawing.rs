//! What documents may look like, drawn by the readers themselves: each is shown documents with one field after the
//! other filled in, and what it looks for there is noted. So the drawing cannot say anything else than the reader does.
//!
//! It refuses to know any field. What depends on other fields (an alias that is unique, a minimum below its maximum, a
//! reference) is not in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::look::{Look, Looks};
use super::read::{Object, Reader};
use super::{
    application, cartridge, domain_mappings, groups, kubernetes, network_partition, policies, sign_up,
};

/// One place in a document.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// Where, such as `portMapping[0].port`.
    pub path: String,
    /// Whether it must be there.
    pub needed: bool,
    /// What is accepted; any of them will do. Nothing: anything is accepted and ignored.
    pub looks: Vec<Look>,
    /// The fields of an object.
    pub fields: BTreeMap<String, Field>,
    /// The items of a list.
    pub item: Option<Box<Field>>,
    /// It is like the place around it of this path, and so on without end.
    pub again: Option<String>,
}

/// How a reader looks at a document.
type Watch = fn(&Value) -> Looks;

/// The readers, by the collection of the API that takes the documents (`host`, `signup`, `domainMappings`: what is said of one of it).
const READERS: &[(&str, Watch)] = &[
    ("cartridges", |v| watch(v, cartridge::FIELDS, cartridge::read)),
    ("cartridgeGroups", |v| {
        watch(v, groups::DEFINITION, groups::definition)
    }),
    ("networkPartitions", |v| {
        watch(v, network_partition::FIELDS, network_partition::read)
    }),
    ("deploymentPolicies", |v| {
        watch(v, policies::DEPLOYMENT, policies::deployment)
    }),
    ("autoscalingPolicies", |v| {
        watch(v, policies::AUTOSCALING, policies::autoscaling)
    }),
    ("applicationPolicies", |v| {
        watch(v, policies::APPLICATION, policies::application)
    }),
    ("applications", |v| {
        watch(v, application::FIELDS, application::read)
    }),
    ("applications/signup", |v| {
        watch(v, sign_up::FIELDS, sign_up::read)
    }),
    ("applications/domainMappings", |v| {
        watch(v, domain_mappings::FIELDS, domain_mappings::read)
    }),
    ("kubernetesClusters", |v| {
        watch(v, kubernetes::FIELDS, kubernetes::read)
    }),
    ("kubernetesClusters/host", |v| {
        watch(v, kubernetes::HOST, kubernetes::host)
    }),
];

fn watch<T>(
    document: &Value,
    fields: &'static [&'static str],
    read: fn(&mut Reader, &Object<'_>) -> Option<T>,
) -> Looks {
    let mut reader = Reader::watched();
    if let Some(object) = reader.object("", document, fields) {
        read(&mut reader, &object);
    }
    reader.looks()
}

/// All documents, by the collection of the API that takes them.
pub fn drawings() -> Vec<(&'static str, Field)> {
    let draw = |(name, watch): &(&'static str, Watch)| {
        let mut around = Vec::new();
        let whole = Pencil { watch: *watch }.draw(&json!({}), "", &mut around);
        (*name, whole)
    };
    READERS.iter().map(draw).collect()
}

/// Draws what one reader looks for.
struct Pencil {
    watch: Watch,
}

/// Objects that a place stands in: their paths and fields.
type Around = Vec<(String, &'static [&'static str])>;

impl Pencil {
    /// The place at `path`, in a document that holds everything around it.
    fn draw(&self, document: &Value, path: &str, around: &mut Around) -> Field {
        let mut field = Field {
            path: path.to_owned(),
            ..Field::default()
        };
        // A text as a number, an object and a list: each finds other looks.
        for filling in [json!(0), json!({}), json!([0])] {
            let document = with(document, path, &filling);
            let looks = (self.watch)(&document);
            let here = || looks.iter().filter(|(p, _)| p == path).map(|(_, look)| look);
            for look in here() {
                match look {
                    Look::Needed => field.needed = true,
                    look if !field.looks.contains(look) => field.looks.push(look.clone()),
                    _ => {}
                }
            }
            let known = here().find_map(|look| match look {
                Look::Object(known) => Some(*known),
                _ => None,
            });
            if let (Some(known), true) = (known, filling.is_object()) {
                self.fields(&document, &mut field, known, around);
            }
            let list = here().any(|look| matches!(look, Look::List { .. }));
            if list && filling.is_array() {
                field.item = Some(Box::new(self.draw(&document, &format!("{path}[0]"), around)));
            }
        }
        field
    }

    fn fields(
        &self,
        document: &Value,
        field: &mut Field,
        known: &'static [&'static str],
        around: &mut Around,
    ) {
        if let Some((path, _)) = around.iter().find(|(_, fields)| *fields == known) {
            field.again = Some(path.clone());
            return;
        }
        let filled: Map<String, Value> = known.iter().map(|name| ((*name).to_owned(), json!(0))).collect();
        let document = with(document, &field.path, &Value::Object(filled));
        around.push((field.path.clone(), known));
        for name in known {
            let path = if field.path.is_empty() {
                (*name).to_owned()
            } else {
                format!("{}.{name}", field.path)
            };
            let inner = self.draw(&document, &path, around);
            field.fields.insert((*name).to_owned(), inner);
        }
        around.pop();
    }
}

/// The document with something else at a path, the places around which are there.
fn with(document: &Value, path: &str, filling: &Value) -> Value {
    let mut document = document.clone();
    let pointer: String = path
        .split(['.', '['])
        .filter(|part| !part.is_empty())
        .map(|part| format!("/{}", part.trim_end_matches(']')))
        .collect();
    if let Some(place) = document.pointer_mut(&pointer) {
        *place = filling.clone();
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(collection: &str) -> Field {
        let all = drawings();
        let found = all.into_iter().find(|(name, _)| *name == collection);
        found.expect("every collection is drawn").1
    }

    #[test]
    fn what_a_reader_looks_for_is_drawn() {
        let cartridge = drawn("cartridges");
        assert!(cartridge.fields["type"].needed);
        assert_eq!(cartridge.fields["type"].looks, [Look::Id]);
        assert!(!cartridge.fields["version"].needed);
        let ports = &cartridge.fields["portMapping"];
        assert!(ports.looks.contains(&Look::List { most: 64 }), "{ports:?}");
        let port = &ports.item.as_ref().unwrap().fields["port"];
        assert_eq!(port.path, "portMapping[0].port");
        assert_eq!(
            (port.needed, &port.looks[..]),
            (
                true,
                &[Look::Whole {
                    least: 1,
                    most: 65_535
                }][..]
            )
        );
        assert!(cartridge.fields["uuid"].looks.is_empty(), "known and ignored");
    }

    #[test]
    fn what_may_be_written_in_two_ways_is_drawn_in_both() {
        let thresholds = &drawn("autoscalingPolicies").fields["loadThresholds"];
        let load = &thresholds.fields["loadAverage"];
        assert!(
            load.looks.contains(&Look::Number {
                least: 0.0,
                most: 1000.0
            }),
            "{load:?}"
        );
        assert!(load.fields["threshold"].needed);
        let property = &drawn("cartridges").fields["property"];
        assert!(property.looks.iter().any(|look| matches!(look, Look::Map { .. })));
        assert!(property.item.as_ref().unwrap().fields["name"].needed);
    }

    #[test]
    fn groups_in_groups_are_drawn_once() {
        let groups = &drawn("applications").fields["components"].fields["groups"];
        let inner = &groups.item.as_ref().unwrap().fields["groups"];
        let again = inner.item.as_ref().unwrap().again.as_deref();
        assert_eq!(again, Some("components.groups[0]"));
        let definition = drawn("cartridgeGroups");
        let inner = definition.fields["groups"].item.as_ref().unwrap();
        assert_eq!(inner.again.as_deref(), Some(""));
    }
}
