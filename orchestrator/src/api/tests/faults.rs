//! Every field of every document with every fault that it can have: 400 with the field and a reason, and the journal stays
//! as it was. The fields and what they accept come from the readers themselves.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::blueprint::parse::{Field, Look, drawings};

use super::*;

/// Where each kind of document is put.
fn path(collection: &str) -> (&'static str, String) {
    match collection {
        "kubernetesClusters/host" => ("PUT", format!("/api/{collection}")),
        "applications/domainMappings" => ("POST", "/api/applications/shop/domainMappings".to_owned()),
        "applications/signup" => ("POST", "/api/applications/shop/signup".to_owned()),
        _ => ("POST", format!("/api/{collection}")),
    }
}

/// A value that a place accepts.
fn right(field: &Field) -> Value {
    if field.again.is_some() {
        return json!("");
    }
    let has = |wanted: fn(&Look) -> bool| field.looks.iter().any(wanted);
    if !field.fields.is_empty() && !has(|look| matches!(look, Look::Number { .. } | Look::Map { .. })) {
        return whole(field);
    }
    if has(|look| matches!(look, Look::List { .. })) {
        return json!([field.item.as_deref().map(right).unwrap_or_default()]);
    }
    for look in &field.looks {
        return match look {
            Look::Needed | Look::Unique => continue,
            Look::Text { .. } | Look::Id => json!("a"),
            Look::Number { least, .. } => json!(least + 1.0),
            Look::Whole { least, .. } => json!(least + 1),
            Look::Flag => json!(true),
            Look::Word(words) => json!(words[0]),
            Look::HostName => json!("a.test"),
            Look::ContextPath => json!("/a"),
            Look::Address => json!("10.0.0.1"),
            Look::Map { .. } => json!({}),
            Look::Object(_) => json!({}),
            Look::List { .. } => json!([]),
        };
    }
    json!("ignored")
}

/// An object with every field filled in.
fn whole(field: &Field) -> Value {
    let pairs = field
        .fields
        .iter()
        .map(|(name, inner)| (name.clone(), right(inner)));
    Value::Object(pairs.collect())
}

/// Values that a place does not accept, each with a word for people.
fn wrong(field: &Field, objects: bool) -> Vec<(&'static str, Value)> {
    let has = |wanted: fn(&Look) -> bool| field.looks.iter().any(wanted);
    let (object, list) = (
        has(|look| matches!(look, Look::Object(_) | Look::Map { .. })),
        has(|look| matches!(look, Look::List { .. })),
    );
    let mut found = Vec::new();
    if !field
        .looks
        .iter()
        .any(|look| !matches!(look, Look::Needed | Look::Unique))
    {
        return found; // Anything is accepted and ignored.
    }
    if !object && !list {
        found.push(("an object", json!({"a": 1})));
        found.push(("a list", json!([[1]])));
    }
    for look in &field.looks {
        match look {
            Look::Needed if objects => found.push(("nothing", Value::Null)),
            Look::Text { most } => found.push(("too long", json!("x".repeat(most + 1)))),
            Look::Id => {
                found.push(("too long", json!("x".repeat(201))));
                found.push(("no identifier", json!("../x")));
            }
            Look::Number { least, most } => {
                found.push(("too large", json!(most + 1.0)));
                found.push(("too small", json!(least - 1.0)));
                found.push(("no number", json!("many")));
            }
            Look::Whole { least, most } => {
                found.push(("too large", json!(u64::from(*most) + 1)));
                found.push(("too small", json!(i64::from(*least) - 1)));
                found.push(("no whole number", json!(1.5)));
                found.push(("no number", json!("many")));
            }
            Look::Flag => found.push(("neither true nor false", json!("perhaps"))),
            Look::Word(_) => found.push(("another word", json!("moon"))),
            Look::HostName => found.push(("no host name", json!("a b"))),
            Look::ContextPath => {
                found.push(("too long", json!(format!("/{}", "x".repeat(255)))));
                found.push(("no path below the root", json!("/a/../b")));
                found.push(("no path", json!("a")));
            }
            Look::Address => found.push(("no address", json!("10.0.0.256"))),
            Look::Object(_) if !list => found.push(("no object", json!([7]))),
            Look::List { most } => {
                let item = field.item.as_deref().map(right).unwrap_or_default();
                found.push(("too many", json!(vec![item; most + 1])));
            }
            Look::Map { most, longest } => {
                let many: BTreeMap<String, u8> = (0..=*most).map(|n| (format!("k{n}"), 1)).collect();
                found.push(("too many", json!(many)));
                found.push(("a long text", json!({"k": "x".repeat(longest + 1)})));
            }
            _ => {}
        }
    }
    found
}

/// Every place of a document, those around it first.
fn places<'a>(field: &'a Field, found: &mut Vec<&'a Field>) {
    for inner in field.fields.values().chain(field.item.as_deref()) {
        found.push(inner);
        places(inner, found);
    }
}

fn put(document: &mut Value, path: &str, value: Value) -> bool {
    let pointer: String = path
        .split(['.', '['])
        .map(|part| format!("/{}", part.trim_end_matches(']')))
        .collect();
    match document.pointer_mut(&pointer) {
        Some(place) => {
            *place = value;
            true
        }
        None => false,
    }
}

/// Whether one of the faults told is about this place, or about something in it.
fn names(answer: &Value, path: &str) -> bool {
    names_more(answer, &Value::Null, path)
}

/// The same of faults that were not told before.
fn names_more(answer: &Value, before: &Value, path: &str) -> bool {
    let before = before["faults"].as_array();
    let told = answer["faults"].as_array().into_iter().flatten();
    let mut new = told.filter(|fault| !before.is_some_and(|before| before.contains(fault)));
    new.any(|fault| {
        fault["field"]
            .as_str()
            .is_some_and(|field| field.starts_with(path))
    })
}

#[tokio::test]
async fn every_fault_of_every_field_is_told_and_changes_nothing() {
    let server = Server::start();
    let (mut tried, mut fields) = (0, 0);
    for (collection, drawing) in drawings() {
        let (method, path) = path(collection);
        let document = whole(&drawing);
        let (_, right) = server.ask(method, &path, &document.to_string()).await;
        let mut all = Vec::new();
        places(&drawing, &mut all);
        fields += all.len();
        for place in all {
            let item = place.path.ends_with(']');
            for (what, value) in wrong(place, !item) {
                let mut bad = document.clone();
                if !put(&mut bad, &place.path, value) {
                    continue; // What is around it is written in its other way.
                }
                tried += 1;
                let before = server.seq();
                let (status, answer) = server.ask(method, &path, &bad.to_string()).await;
                let about = format!("{collection}: {} is {what}: {status} {answer:.400}", place.path);
                assert!(
                    matches!(status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE),
                    "{about}"
                );
                assert_eq!(server.seq(), before, "{about}: something was written");
                assert!(
                    status == StatusCode::PAYLOAD_TOO_LARGE || names_more(&answer, &right, &place.path),
                    "{about}"
                );
            }
        }
        let mut unknown = document.clone();
        unknown["moon"] = json!(1);
        let (status, answer) = server.ask(method, &path, &unknown.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(names(&answer, "moon"), "{collection}: {answer}");
    }
    println!("{tried} faults of {fields} fields");
    assert!(tried > 500 && fields > 200, "{tried} faults of {fields} fields");
}

/// Lists in which nothing may stand twice.
const LISTS: [(&str, &str); 9] = [
    ("cartridges", "/portMapping"),
    ("cartridges", "/iaasProvider"),
    ("networkPartitions", "/partitions"),
    ("deploymentPolicies", "/networkPartitions"),
    ("deploymentPolicies", "/networkPartitions/0/partitions"),
    ("applicationPolicies", "/networkPartitions"),
    ("cartridgeGroups", "/groups"),
    ("kubernetesClusters", "/kubernetesHosts"),
    ("applications", "/components/cartridges"),
];

/// What documents refer to.
const REFERENCES: [(&str, &str); 7] = [
    ("deploymentPolicies", "/networkPartitions/0/id"),
    ("deploymentPolicies", "/networkPartitions/0/partitions/0/id"),
    ("cartridgeGroups", "/cartridges/0"),
    ("applications", "/components/cartridges/0/type"),
    (
        "applications",
        "/components/cartridges/0/subscribableInfo/autoscalingPolicy",
    ),
    (
        "applications",
        "/components/cartridges/0/subscribableInfo/deploymentPolicy",
    ),
    ("applications", "/components/groups/0/name"),
];

/// `/a/0/b` as `a[0].b`.
fn dotted(pointer: &str) -> String {
    let parts = pointer.split('/').skip(1);
    parts.fold(String::new(), |path, part| match part.parse::<usize>() {
        Ok(place) => format!("{path}[{place}]"),
        Err(_) if path.is_empty() => part.to_owned(),
        Err(_) => format!("{path}.{part}"),
    })
}

#[tokio::test]
async fn what_stands_twice_or_refers_to_nothing_is_told_and_changes_nothing() {
    let server = Server::start();
    let mut documents = BTreeMap::new();
    for (collection, _, mut document, _) in edits::kinds() {
        let (status, answer) = server
            .ask("POST", &format!("/api/{collection}"), &document.to_string())
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        match collection {
            "cartridgeGroups" => document["groups"] = json!([{"name": "inner", "cartridges": ["php"]}]),
            "kubernetesClusters" => {
                document["kubernetesHosts"] = json!([{"hostId": "h", "privateIPAddress": "10.0.0.2"}]);
            }
            "applications" => {
                let mut held = document["components"]["cartridges"][0].clone();
                held["subscribableInfo"]["alias"] = json!("other");
                document["components"]["groups"] = json!([{"name": "g", "alias": "g", "cartridges": [held]}]);
            }
            _ => {}
        }
        let (status, answer) = server
            .ask("PUT", &format!("/api/{collection}"), &document.to_string())
            .await;
        assert!(status.is_success(), "{collection}: {answer}");
        documents.insert(collection, document);
    }
    let before = server.seq();
    let refused = async |collection: &str, document: &Value, path: &str| {
        let (status, answer) = server
            .ask("PUT", &format!("/api/{collection}"), &document.to_string())
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{collection} {path}: {answer}");
        let named = answer["field"]
            .as_str()
            .is_some_and(|field| field.starts_with(path));
        assert!(named || names(&answer, path), "{collection} {path}: {answer}");
    };
    for (collection, pointer) in LISTS {
        let mut document = documents[collection].clone();
        let list = document
            .pointer_mut(pointer)
            .and_then(Value::as_array_mut)
            .unwrap();
        list.push(list[0].clone());
        refused(collection, &document, &format!("{}[1]", dotted(pointer))).await;
    }
    for (collection, pointer) in REFERENCES {
        let mut document = documents[collection].clone();
        *document.pointer_mut(pointer).unwrap() = json!("nowhere");
        refused(collection, &document, &dotted(pointer)).await;
    }
    assert_eq!(server.seq(), before, "nothing was written");
}

#[tokio::test]
async fn a_whole_document_of_right_values_has_none_of_these_faults() {
    let server = Server::start();
    for (collection, drawing) in drawings() {
        let (method, path) = path(collection);
        let (_, answer) = server.ask(method, &path, &whole(&drawing).to_string()).await;
        let told: Vec<&str> = answer["faults"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|fault| fault["field"].as_str())
            .collect();
        assert!(
            told.len() < 12,
            "{collection}: faults tried may hide behind {told:?}"
        );
    }
}
