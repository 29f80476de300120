//! A small client of the orchestrator's API: JSON in and out over HTTPS, and the event stream as a collector in the
//! background that tests can wait on.
//!
//! It refuses to retry: whoever wants to live through a restart of the server says so by asking again.

mod events;
mod shapes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::git_server::WebHook;

pub use events::{Event, Events, NoEvent};
pub use shapes::{Endpoint, Member};

const DEADLINE: Duration = Duration::from_secs(15);
const MAX_BODY_BYTES: usize = 16 << 20;

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
pub enum ApiFault {
    /// The client's file cannot be used.
    #[error("cannot use {path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] crate::https::NoClient),
    /// No complete answer came.
    #[error("{method} {path}: {fault}")]
    NoAnswer {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// Why.
        fault: reqwest::Error,
    },
    /// The answer is larger than any this client expects.
    #[error("{path} answered more than {MAX_BODY_BYTES} bytes")]
    TooLarge {
        /// The path.
        path: String,
    },
    /// The server said no.
    #[error("{method} {path}: {status}: {said}")]
    Refused {
        /// The method.
        method: Method,
        /// The path.
        path: String,
        /// The status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// The answer has another shape.
    #[error("{path} answered something unexpected: {fault}")]
    Shape {
        /// The path.
        path: String,
        /// Why.
        fault: serde_json::Error,
    },
}

/// What `<data>/client.json` says.
#[derive(Deserialize)]
pub struct ClientFile {
    /// `https://host:port`.
    pub server: String,
    /// PEM text of the authority, or a file with it, relative to this one.
    pub ca: Option<String>,
    /// User name, with `password`.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Bearer token, instead of the two.
    pub token: Option<String>,
}

impl ClientFile {
    /// Reads the file that the server wrote, and the authority's.
    pub fn read(path: &Path) -> Result<Self, ApiFault> {
        let mut file: Self = serde_json::from_str(&read(path)?).map_err(|e| ApiFault::File {
            path: path.to_owned(),
            reason: format!("line {}, column {}", e.line(), e.column()),
        })?;
        if let Some(ca) = file.ca.take_if(|ca| !ca.starts_with("-----")) {
            file.ca = Some(read(&path.with_file_name("").join(ca))?);
        }
        Ok(file)
    }
}

fn read(path: &Path) -> Result<String, ApiFault> {
    std::fs::read_to_string(path).map_err(|e| ApiFault::File {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

/// The API of one server.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    server: String,
    user: Option<(String, String)>,
    token: Option<String>,
    authority: Option<String>,
}

impl Api {
    /// Talks to the server that the file names.
    pub fn new(file: ClientFile) -> Result<Self, ApiFault> {
        let http = crate::https::client(file.ca.as_deref())?;
        let authority = file.ca;
        let user = file.user.map(|user| (user, file.password.unwrap_or_default()));
        Ok(Self {
            http,
            server: file.server.trim_end_matches('/').to_owned(),
            user,
            token: file.token,
            authority,
        })
    }

    /// Talks to the server that wrote `path`.
    pub fn from_file(path: &Path) -> Result<Self, ApiFault> {
        Self::new(ClientFile::read(path)?)
    }

    /// `https://host:port`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The value of an `Authorization` header that this client would send. Secret.
    pub fn authorization(&self) -> Option<String> {
        use base64::Engine;
        match (&self.token, &self.user) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some((user, password))) => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {pair}"))
            }
            (None, None) => None,
        }
    }

    /// The web hook that a Git server needs in order to tell this server about pushes.
    pub fn web_hook(&self) -> WebHook {
        WebHook {
            url: format!("{}/api/repo/notify", self.server),
            authorization: self.authorization(),
            authority: self.authority.clone(),
        }
    }

    /// Begins a call of `path` below the server, such as `/api/members`.
    pub fn begin(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let call = self.http.request(method, format!("{}{path}", self.server));
        match self.authorization() {
            Some(value) => call.header(http::header::AUTHORIZATION, value),
            None => call,
        }
    }

    /// Calls `path` and answers the status and the body, whatever they are.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>), ApiFault> {
        let no_answer = |fault| ApiFault::NoAnswer {
            method: method.clone(),
            path: path.to_owned(),
            fault,
        };
        let mut call = self.begin(method.clone(), path).timeout(DEADLINE);
        if let Some(body) = body {
            call = call.json(body);
        }
        let mut answer = call.send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            whole.extend_from_slice(&chunk);
            if whole.len() > MAX_BODY_BYTES {
                return Err(ApiFault::TooLarge {
                    path: path.to_owned(),
                });
            }
        }
        Ok((status, whole))
    }

    async fn accepted(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Vec<u8>, ApiFault> {
        let (status, whole) = self.call(method.clone(), path, body).await?;
        if (200..300).contains(&status) {
            return Ok(whole);
        }
        let said = String::from_utf8_lossy(&whole).chars().take(500).collect();
        Err(ApiFault::Refused {
            method,
            path: path.to_owned(),
            status,
            said,
        })
    }

    /// Reads `path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiFault> {
        let whole = self.accepted(Method::GET, path, None).await?;
        serde_json::from_slice(&whole).map_err(|fault| ApiFault::Shape {
            path: path.to_owned(),
            fault,
        })
    }

    /// Posts `body`, or nothing, to `path`.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<(), ApiFault> {
        self.accepted(Method::POST, path, body).await.map(drop)
    }

    /// Puts `body` to `path`.
    pub async fn put(&self, path: &str, body: &Value) -> Result<(), ApiFault> {
        self.accepted(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// Deletes `path`.
    pub async fn delete(&self, path: &str) -> Result<(), ApiFault> {
        self.accepted(Method::DELETE, path, None).await.map(drop)
    }

    /// Whether the server says that it is well.
    pub async fn healthy(&self) -> bool {
        let asked = self
            .begin(Method::GET, "/healthz")
            .timeout(Duration::from_secs(2))
            .send();
        asked.await.is_ok_and(|answer| answer.status().is_success())
    }

    /// All members.
    pub async fn members(&self) -> Result<Vec<Member>, ApiFault> {
        self.get("/api/members").await
    }

    /// Where the application's clients connect.
    pub async fn endpoints(&self, application: &str) -> Result<Vec<Endpoint>, ApiFault> {
        self.get(&format!("/api/applications/{application}/endpoints"))
            .await
    }

    /// Collects events from number `after` on, in the background, until dropped.
    pub fn follow(&self, after: u64) -> Events {
        Events::follow(self.clone(), after)
    }
}
