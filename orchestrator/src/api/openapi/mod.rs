//! The OpenAPI 3.1 document: every row of the roles' table with its parameters, bodies and answers.
//!
//! ```text
//! roles::TABLE ----\
//! routes::ROWS ------> document -> GET /openapi.json, `cartridge openapi`
//! parse::drawings --/
//! ```
//!
//! What is put is described by the readers themselves (`drawn`); what is answered by `shapes`, which the tests of the
//! API hold against every answer. This file refuses to know any resource.

mod drawn;
mod routes;
// Tables, several fields a line.
#[rustfmt::skip]
mod shapes;

use std::sync::OnceLock;

use axum::Json;
use axum::routing::get;
use http::Method;
use serde_json::{Map, Value, json};

use super::Routes;
use super::body::{MAX_BYTES, MAX_DEPTH};
use crate::auth::roles::{Access, TABLE};
use crate::auth::session::COOKIE;
use routes::{Answer, Row};

pub(super) fn mount(routes: &mut Routes) {
    routes.add(Method::GET, "/openapi.json", get(show));
}

async fn show() -> Json<&'static Value> {
    Json(document())
}

/// The document; made once.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let mut schemas = drawn::schemas();
        schemas.extend(shapes::schemas());
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Cartridge",
                "version": env!("CARGO_PKG_VERSION"),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                "description": format!(
                    "The same routes stand under /api/v4.1. Bodies are JSON or YAML of at most {MAX_BYTES} bytes and \
                     {MAX_DEPTH} levels. Numbers and booleans may come as texts and texts as numbers, one value stands \
                     for a list of one, and null for what is absent."
                ),
            },
            "paths": paths(),
            "components": {"schemas": schemas, "securitySchemes": schemes()},
        })
    })
}

fn schemes() -> Value {
    let header = |name: &str| json!({"type": "apiKey", "in": "header", "name": name});
    json!({
        "basic": {"type": "http", "scheme": "basic"},
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        "application": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The application's own token, a launch parameter of its members."},
        "signedAsGithub": header("X-Hub-Signature-256"),
        "signedAsGitea": header("X-Gitea-Signature"),
        "signedAsGitlab": header("X-Gitlab-Token"),
    })
}

/// Where a row of the table stands.
pub(crate) fn path(route: &str) -> String {
    let begins = ["/dashboard", "/metadata/api", "/mock-iaas/api"];
    let outside =
        matches!(route, "/" | "/healthz" | "/metrics") || begins.iter().any(|begin| route.starts_with(begin));
    if outside {
        route.to_owned()
    } else {
        format!("/api{route}")
    }
}

fn paths() -> Value {
    let mut paths = Map::new();
    for (method, route, access, _) in TABLE {
        let Some(row) = routes::row_of(method, route) else {
            continue; // A test names it.
        };
        let item = paths.entry(path(route)).or_insert_with(|| json!({}));
        item[method.to_ascii_lowercase()] = operation(row, *access);
    }
    Value::Object(paths)
}

fn operation(row: &Row, access: Access) -> Value {
    let mut parameters: Vec<Value> = row
        .route
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .collect();
    parameters.extend(row.query.iter().map(|query| query.parameter()));
    if row.if_match() {
        parameters.push(
            json!({"name": "If-Match", "in": "header", "schema": {"type": "string"},
            "description": "The ETag of what was read: refused with 409 if it was changed meanwhile."}),
        );
    }
    let mut operation = json!({
        "operationId": format!("{} {}", row.method, row.route),
        "summary": row.what,
        "parameters": parameters,
        "responses": responses(row, access),
        "security": security(access),
    });
    if let Some((schema, required)) = row.body.schema() {
        operation["requestBody"] = json!({"required": required, "content": {
            "application/json": {"schema": schema}, "application/yaml": {"schema": schema}}});
    }
    operation
}

fn security(access: Access) -> Value {
    let known = [json!({"basic": []}), json!({"token": []}), json!({"session": []})];
    let signed = ["signedAsGithub", "signedAsGitea", "signedAsGitlab"].map(|name| json!({name: []}));
    match access {
        Access::Open => json!([]),
        Access::From(_) => json!(known),
        Access::Sharing => known.into_iter().chain([json!({"application": []})]).collect(),
        Access::Signed(_) => known.into_iter().chain(signed).collect(),
    }
}

fn responses(row: &Row, access: Access) -> Value {
    let mut all = Map::new();
    for (status, answer) in row.done {
        all.insert(status.to_string(), done(row, *answer));
    }
    for status in row.refusals(access) {
        let mut answer = json!({
            "description": routes::refusal(status),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
        });
        match status {
            401 => answer["headers"] = json!({"WWW-Authenticate": {"schema": {"type": "string"}}}),
            429 => answer["headers"] = json!({"Retry-After": {"schema": {"type": "integer"}}}),
            _ => {}
        }
        all.insert(status.to_string(), answer);
    }
    Value::Object(all)
}

fn done(row: &Row, answer: Answer) -> Value {
    let mut shown = json!({"description": "Done.", "content": answer.content()});
    if row.tagged() {
        shown["headers"] = json!({"ETag": {"schema": {"type": "string"}, "required": true}});
    }
    shown
}

#[cfg(test)]
pub(crate) mod conforms;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_of_roles_is_described_and_no_other() {
        for (method, route, ..) in TABLE {
            assert!(
                routes::row_of(method, route).is_some(),
                "{method} {route} has no row in orchestrator/src/api/openapi/routes.rs: say there what it takes and \
                 answers"
            );
        }
        for row in routes::ROWS {
            let known = TABLE.iter().any(|(m, r, ..)| *m == row.method && *r == row.route);
            assert!(
                known,
                "{} {} has a row, but nobody may use it",
                row.method, row.route
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = document().to_string();
        let mut seen = 0;
        for rest in text.split("\"$ref\":\"#").skip(1) {
            let pointer = rest.split('"').next().unwrap();
            assert!(document().pointer(pointer).is_some(), "{pointer}");
            seen += 1;
        }
        assert!(seen > 100, "{seen}");
    }
}
