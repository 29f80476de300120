//! Request bodies into JSON values: JSON (trailing commas tolerated) or YAML, bounded in length and depth.
//!
//! This file refuses to know what the documents mean.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use cartridge_orchestrator_plan::blueprint::parse::lenient_json;
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use serde::Deserialize as _;
use serde_json::Value;

use super::reply::Failure;

/// Longest body, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// How much of a body that is too long is read and thrown away, so that its sender hears the answer rather than a
/// broken pipe; whoever sends more is cut off.
const PATIENCE_BYTES: usize = 16 << 20;
/// For how long.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;

/// The body of a request; `null` if there was none.
#[derive(Clone, Debug)]
pub struct Document(pub Value);

impl<S: Send + Sync> FromRequest<S> for Document {
    type Rejection = Failure;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.map(|value| value.to_str().unwrap_or("?").to_owned());
        let bytes = bounded(request.into_body()).await?;
        if bytes.is_empty() {
            return Ok(Self(Value::Null));
        }
        let yaml = is_yaml(kind.as_deref())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Failure::body("the body is not UTF-8"))?;
        read(text, yaml).map(Self)
    }
}

/// Whether a body is YAML; without a word it is JSON.
fn is_yaml(kind: Option<&str>) -> Result<bool, Failure> {
    let kind = kind.unwrap_or("application/json");
    let essence = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let (_, name) = essence.split_once('/').unwrap_or(("", &essence));
    match name
        .rsplit('+')
        .next()
        .unwrap_or_default()
        .trim_start_matches("x-")
    {
        "json" => Ok(false),
        "yaml" => Ok(true),
        _ => {
            let short: String = kind.chars().take(100).collect();
            let text = format!(
                "Content-Type: {short:?} is not read here; application/json and application/yaml are"
            );
            Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
        }
    }
}

/// The whole body, if it is short enough.
pub(crate) async fn bounded(body: Body) -> Result<Vec<u8>, Failure> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut length) = (Vec::new(), 0_usize);
    let reading = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|fault| Failure::body(format!("the body broke off: {fault}")))?;
            length = length.saturating_add(chunk.len());
            if length > PATIENCE_BYTES {
                break;
            }
            if length <= MAX_BYTES {
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok::<(), Failure>(())
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await;
    if length > MAX_BYTES {
        let text = format!("the body is longer than {MAX_BYTES} bytes");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    match in_time {
        Ok(read) => read.map(|()| bytes),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time".to_owned(),
        )),
    }
}

/// Text into a value.
pub fn read(text: &str, yaml: bool) -> Result<Value, Failure> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    // Counted before parsing: neither parser's stack shall depend on what came.
    let brackets = deepest(text);
    if brackets > MAX_DEPTH {
        return Err(too_deep());
    }
    let value = if yaml {
        from_yaml(text)?
    } else {
        lenient_json(text).map_err(|f| Failure::body(f.to_string()))?
    };
    if depth(&value, 0) > MAX_DEPTH {
        Err(too_deep())
    } else {
        Ok(value)
    }
}

fn too_deep() -> Failure {
    Failure::body(format!("the body is nested deeper than {MAX_DEPTH} levels"))
}

fn from_yaml(text: &str) -> Result<Value, Failure> {
    let mut documents = serde_yaml_ng::Deserializer::from_str(text);
    let (Some(first), None) = (documents.next(), documents.next()) else {
        return Err(Failure::body("exactly one YAML document is accepted per request"));
    };
    Value::deserialize(first).map_err(|fault| Failure::body(format!("not YAML: {fault}")))
}

/// The deepest nesting of brackets outside JSON strings; an upper bound is all that is needed.
fn deepest(text: &str) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

fn depth(value: &Value, above: usize) -> usize {
    if above > MAX_DEPTH {
        return above;
    }
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| depth(item, above + 1))
            .max()
            .unwrap_or(above + 1),
        Value::Object(fields) => fields
            .values()
            .map(|item| depth(item, above + 1))
            .max()
            .unwrap_or(above + 1),
        _ => above,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_commas_and_yaml_are_read() {
        assert_eq!(
            read("{\"a\": [1, 2,],}", false).unwrap(),
            serde_json::json!({"a": [1, 2]})
        );
        assert_eq!(read("a:\n  - 1\n", true).unwrap(), serde_json::json!({"a": [1]}));
        assert_eq!(read("  ", false).unwrap(), Value::Null);
    }

    #[test]
    fn json_and_yaml_are_known_under_their_names() {
        for json in [
            None,
            Some("application/json; charset=utf-8"),
            Some("Application/problem+JSON"),
        ] {
            assert!(!is_yaml(json).unwrap(), "{json:?}");
        }
        for yaml in ["application/yaml", "text/x-yaml", "application/x-yaml"] {
            assert!(is_yaml(Some(yaml)).unwrap(), "{yaml}");
        }
        for other in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "yaml,json",
        ] {
            assert!(is_yaml(Some(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused_in_words() {
        for (text, yaml) in [
            ("{", false),
            ("a: b", false),
            ("a: [", true),
            ("a: 1\n---\nb: 2\n", true),
        ] {
            assert!(read(text, yaml).is_err(), "{text}");
        }
    }

    #[test]
    fn sixty_four_levels_are_enough() {
        let nested = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(MAX_DEPTH), false).is_ok());
        assert!(read(&nested(MAX_DEPTH + 1), false).is_err());
        assert!(read(&nested(100_000), false).is_err());
        assert!(read(&nested(MAX_DEPTH + 1), true).is_err());
        let indented: String = (0..70).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        assert!(read(&indented, true).is_err());
    }
}
