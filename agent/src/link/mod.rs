//! The way to the orchestrator over HTTP: join, listen, post. What is said, others decide.
//!
//! Refuses to know about the member's life. Its loss is never an event for the application (S31).

mod down;
mod share;
mod tls;

use std::time::Duration;

use cartridge_agent_plan::settings::Settings;
use cartridge_protocol::link::{
    Acknowledged, Batch, INCARNATION_HEADER, Join, Joined, MAX_BODY_BYTES, MEMBER_HEADER,
};
use cartridge_protocol::{MemberId, Secret};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use crate::host::state::{State, hex};
use crate::version::{misbehaves, version};

pub use down::{Told, listen};
pub use tls::LinkSetupError;
pub(crate) use tls::public_client_config;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Silence on a connection before the kernel asks whether the other side is there. It wakes nobody here.
const QUIET: Duration = Duration::from_secs(3);
/// Time between such questions.
const AGAIN: Duration = Duration::from_secs(2);
/// Time without an answer, to these or to data, before the connection counts as gone.
const UNANSWERED: Duration = Duration::from_secs(7);
/// Longest wait for an answer that is not a stream.
const ANSWER: Duration = Duration::from_secs(10);

/// What can go wrong on the way.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// This life of the member is over.
    #[error("the orchestrator has fenced this life of the member (410)")]
    Fenced,
    /// It does not know us.
    #[error("the orchestrator does not accept the token or credential (401)")]
    Unauthorized,
    /// It refused what was said.
    #[error("the orchestrator answered {0}")]
    Status(StatusCode),
    /// What it said is not what it should say.
    #[error("the orchestrator's answer cannot be understood: {0}")]
    Answer(String),
    /// Nobody there.
    #[error("the orchestrator cannot be reached: {0}")]
    Unreachable(String),
}

impl LinkError {
    /// Sending the same again would be refused again.
    pub fn is_about_content(&self) -> bool {
        matches!(
            self,
            Self::Status(StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE)
        )
    }
}

impl From<reqwest::Error> for LinkError {
    fn from(error: reqwest::Error) -> Self {
        // The chain of causes says more than its head, and the address is known anyway.
        let mut text = String::new();
        let error = error.without_url();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(this) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&this.to_string());
            cause = this.source();
        }
        Self::Unreachable(text)
    }
}

fn client(settings: &Settings) -> Result<Client, LinkSetupError> {
    Client::builder()
        .tls_backend_preconfigured(tls::client_config(settings.link_ca.as_deref())?)
        .no_proxy()
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .tcp_keepalive(QUIET)
        .tcp_keepalive_interval(AGAIN)
        .tcp_user_timeout(UNANSWERED)
        .pool_max_idle_per_host(2)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(LinkSetupError::Client)
}

fn base(settings: &Settings) -> String {
    format!("{}/link/v1", settings.link)
}

/// Whether the orchestrator can be reached. Nothing is said: it answers that it does not know who asks.
pub async fn knock(settings: &Settings) -> Result<(), String> {
    let client = client(settings).map_err(|error| error.to_string())?;
    let request = client.get(format!("{}/stream", base(settings))).timeout(ANSWER);
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => Err(LinkError::from(error).to_string()),
    }
}

/// The way to one orchestrator.
#[derive(Clone)]
pub struct Link {
    client: Client,
    base: String,
    member: MemberId,
    incarnation: u64,
    token: Secret,
    credential: Secret,
    /// An earlier agent may have joined with this credential already.
    known: bool,
}

impl Link {
    /// Prepares; nothing is sent.
    pub fn new(settings: &Settings, state: &State) -> Result<Self, LinkSetupError> {
        Ok(Self {
            client: client(settings)?,
            base: if misbehaves("deaf") {
                "http://127.0.0.1:9".to_owned()
            } else {
                base(settings)
            },
            member: settings.member.clone(),
            incarnation: settings.incarnation,
            token: settings.token.clone(),
            credential: state.credential.clone(),
            known: state.known,
        })
    }

    fn as_member(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .bearer_auth(self.credential.expose())
            .header(MEMBER_HEADER, self.member.as_str())
            .header(INCARNATION_HEADER, self.incarnation)
    }

    /// Introduces the member.
    async fn join(&self) -> Result<Joined, LinkError> {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.credential.expose().as_bytes());
        let join = Join {
            member: self.member.clone(),
            incarnation: self.incarnation,
            token: self.token.clone(),
            credential_sha256: hex(digest.as_ref()),
            agent_version: version().to_owned(),
        };
        let request = self
            .client
            .post(format!("{}/join", self.base))
            .json(&join)
            .timeout(ANSWER);
        decode(&bounded(checked(request.send().await?)?).await?)
    }

    /// Sends one batch; a body that is too large goes without what can be missed.
    pub async fn post(&self, batch: Batch) -> Result<Acknowledged, LinkError> {
        let encode = |batch: &Batch| serde_json::to_vec(batch).map_err(|e| LinkError::Answer(e.to_string()));
        let mut body = encode(&batch)?;
        if body.len() > MAX_BODY_BYTES {
            body = encode(&Batch {
                balancer: None,
                logs: Vec::new(),
                ..batch
            })?;
        }
        let request = self
            .as_member(self.client.post(format!("{}/batch", self.base)))
            .header("content-type", "application/json")
            .body(body)
            .timeout(ANSWER);
        decode(&bounded(checked(request.send().await?)?).await?)
    }
}

fn checked(response: Response) -> Result<Response, LinkError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::GONE => Err(LinkError::Fenced),
        StatusCode::UNAUTHORIZED => Err(LinkError::Unauthorized),
        other => Err(LinkError::Status(other)),
    }
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, LinkError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(LinkError::Answer(format!("more than {MAX_BODY_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, LinkError> {
    // Only the place: the content may be secret.
    serde_json::from_slice(body)
        .map_err(|e| LinkError::Answer(format!("line {}, column {}", e.line(), e.column())))
}
