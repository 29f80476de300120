//! Holds answers against the document: the part of JSON Schema that it uses.

use serde_json::Value;

use super::document;
use crate::auth::roles::TABLE;

/// What an answer does that the document does not say; None: nothing, or the route is none of ours.
pub(crate) fn strays(method: &str, uri: &str, status: u16, kind: &str, body: &Value) -> Option<String> {
    let path = uri
        .split('?')
        .next()
        .unwrap_or_default()
        .replacen("/api/v4.1", "/api", 1);
    let fits = |route: &str| {
        let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
        route.len() == path.len() && route.iter().zip(&path).all(same)
    };
    let routes = TABLE
        .iter()
        .filter(|(m, route, ..)| *m == method && fits(&super::path(route)));
    // The one with the most fixed parts, as the router takes it.
    let (_, route, ..) = routes.min_by_key(|(_, route, ..)| route.matches('{').count())?;
    let operation = &document()["paths"][super::path(route)][method.to_ascii_lowercase()];
    let answer = &operation["responses"][status.to_string()];
    if answer.is_null() {
        return Some(format!("{method} {route}: status {status} is not described"));
    }
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let content = &answer["content"][kind];
    if content.is_null() {
        return Some(format!("{method} {route}: {status}: {kind:?} is not described"));
    }
    if kind != "application/json" {
        return None;
    }
    let fault = fault(&content["schema"], body, "answer")?;
    Some(format!("{method} {route}: {status}: {fault}"))
}

/// Why a value does not fit a schema.
pub(crate) fn fault(schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.trim_start_matches('#');
        return fault(
            document().pointer(pointer).expect("references lead somewhere"),
            value,
            at,
        );
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let faults: Vec<Option<String>> = options.iter().map(|option| fault(option, value, at)).collect();
        return faults
            .iter()
            .all(Option::is_some)
            .then(|| faults[0].clone())
            .flatten();
    }
    let known = schema["enum"].as_array();
    if known.is_some_and(|known| !known.contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        return Some(format!("{at} is {value}"));
    }
    if !of_type(&schema["type"], value) {
        return Some(format!("{at} is {value}, no {}", schema["type"]));
    }
    out_of_range(schema, value, at)
        .or_else(|| fields(schema, value, at))
        .or_else(|| {
            let items = value.as_array()?.iter().enumerate();
            items
                .into_iter()
                .find_map(|(n, item)| fault(&schema["items"], item, &format!("{at}[{n}]")))
        })
}

fn of_type(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.as_f64().is_some_and(|figure| figure.fract() == 0.0),
        "number" => value.is_number(),
        _ => true,
    };
    match types {
        Value::Array(all) => all.iter().any(is),
        one => is(one),
    }
}

fn out_of_range(schema: &Value, value: &Value, at: &str) -> Option<String> {
    let figure = value.as_f64().unwrap_or_default();
    let outside = value.is_number()
        && (schema["minimum"].as_f64().is_some_and(|least| figure < least)
            || schema["maximum"].as_f64().is_some_and(|most| figure > most));
    let most = |name: &str| schema[name].as_u64().unwrap_or(u64::MAX);
    let long = value
        .as_str()
        .is_some_and(|text| text.chars().count() as u64 > most("maxLength"))
        || value
            .as_array()
            .is_some_and(|items| items.len() as u64 > most("maxItems"));
    (outside || long).then(|| format!("{at} is {value:.60}, out of range"))
}

fn fields(schema: &Value, value: &Value, at: &str) -> Option<String> {
    let fields = value.as_object()?;
    let needed = schema["required"].as_array().into_iter().flatten();
    if let Some(absent) = needed
        .filter_map(Value::as_str)
        .find(|name| !fields.contains_key(*name))
    {
        return Some(format!("{at}.{absent} is absent"));
    }
    fields.iter().find_map(|(name, inner)| {
        let at = format!("{at}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => fault(schema, inner, &at),
            (None, Value::Bool(false)) => Some(format!("{at} is not described")),
            (None, others) => fault(others, inner, &at),
        }
    })
}
