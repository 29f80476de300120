//! The two shapes of every answer that is no document: `{"status":"success",…}` and `{"status":"error",…}`.
//!
//! This file refuses to know what was asked.

use axum::Json;
use axum::response::{IntoResponse, Response};
use cartridge_orchestrator_plan::blueprint::parse::Faults;
use cartridge_orchestrator_plan::order::{Code, Refusal};
use http::StatusCode;
use http::header;
use serde_json::{Value, json};

use crate::engine::SubmitError;
use crate::journal::JournalError;

/// It was done (or will be: 202).
#[derive(Clone, Debug)]
pub struct Success {
    status: StatusCode,
    message: String,
}

impl Success {
    /// Done, in one line for people.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        (
            self.status,
            Json(json!({"status": "success", "message": self.message})),
        )
            .into_response()
    }
}

/// It was not done, and nothing changed.
#[derive(Clone, Debug)]
pub struct Failure {
    status: StatusCode,
    message: String,
    field: Option<String>,
    faults: Value,
}

impl Failure {
    /// Not done, and why.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: None,
            faults: Value::Null,
        }
    }

    /// Nothing has this name.
    pub fn unknown(what: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} {name:?}"))
    }

    /// The body cannot be used; nothing of it was.
    pub fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: faults.to_string(),
            field: faults.0.first().map(|fault| fault.field.clone()),
            faults: serde_json::to_value(&faults.0).unwrap_or_default(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            Code::Invalid | Code::InUse => StatusCode::BAD_REQUEST,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Conflict => StatusCode::CONFLICT,
        };
        Self {
            status,
            message: refusal.message,
            field: refusal.field,
            faults: Value::Null,
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(fault: SubmitError) -> Self {
        match fault {
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::Unavailable(why) => Self::new(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(fault: JournalError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, fault.to_string())
    }
}

/// Longest refusal in plain words, bytes.
const MAX_WORDS: usize = 4096;

/// The framework refuses paths and queries that it cannot read in plain words: they get the shape of all refusals.
pub async fn in_shape(response: Response, head: bool) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !plain || head {
        return response;
    }
    let status = response.status();
    let words = axum::body::to_bytes(response.into_body(), MAX_WORDS).await;
    let words = String::from_utf8_lossy(&words.unwrap_or_default()).into_owned();
    Failure::new(status, words).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"status": "error", "message": self.message});
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        if !self.faults.is_null() {
            body["faults"] = self.faults;
        }
        (self.status, Json(body)).into_response()
    }
}
