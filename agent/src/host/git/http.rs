//! Git's smart HTTP protocol, spoken by the agent: requests go out over reqwest and rustls, so no C library talks TLS
//! and none is near a credential.
//!
//! Redirects are followed by hand, on the same host only and never from https to http; later requests go to
//! where the first was redirected. It refuses to know packs and refs.

use bytes::Bytes;
use cartridge_agent_plan::artifacts::advertisement::Reader;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::carrier::Meter;
use super::credentials::Login;
use super::fault::{Fault, plain};
use super::wire::{self, Patience};

/// Most redirects followed.
const MAX_REDIRECTS: usize = 5;
/// Most bytes read after the end of a list, for the sake of the connection.
const MOST_AFTER: usize = 256 << 10;
/// The user name where only a token is given: the large forges ignore it.
const TOKEN_USER: &str = "git";

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// To give.
    Fetch,
    /// To take.
    Push,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Fetch => "git-upload-pack",
            Self::Push => "git-receive-pack",
        }
    }
}

/// One repository on a server.
pub(super) struct Http {
    service: Service,
    client: Client,
    url: Url,
    login: Login,
    patience: Patience,
    /// Where the repository is after redirects.
    base: Option<Url>,
    request: Vec<u8>,
    answer: Option<Response>,
}

impl Http {
    pub(super) fn new(client: Client, url: Url, login: Login, patience: Patience) -> Self {
        Self {
            service: Service::Fetch,
            client,
            url,
            login,
            patience,
            base: None,
            request: Vec::new(),
            answer: None,
        }
    }

    /// The same, to give commits to.
    pub(super) fn that_takes(mut self) -> Self {
        self.service = Service::Push;
        self
    }

    /// Reads what the server has: to the end, so that the connection can be used again.
    pub(super) fn list(&mut self, reader: &mut Reader, meter: &mut Meter) -> Result<(), Fault> {
        let service = self.service.name();
        let mut at = suffixed(&self.url, &format!("info/refs?service={service}"))?;
        for _ in 0..=MAX_REDIRECTS {
            let mut answer = self.send_off(Method::GET, &at, None)?;
            if answer.status().is_redirection() {
                at = redirected(&at, &answer)?;
                continue;
            }
            self.accept(&answer, &format!("application/x-{service}-advertisement"))?;
            self.base = Some(base_of(&at)?);
            let mut after = 0;
            while let Some(piece) = wire::wait(&self.patience, answer.chunk())? {
                if after > 0 || reader.feed(&piece)? {
                    // What follows the end of the list is none of ours.
                    after += piece.len();
                }
                if after > MOST_AFTER {
                    break;
                }
                meter.came(piece.len())?;
            }
            return Ok(());
        }
        Err(Fault::NotARepository(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    /// Begins or continues a request; an answer that was being read is given up.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.answer = None;
        self.request.extend_from_slice(bytes);
    }

    /// The next piece of the answer; none is its end.
    pub(super) fn take(&mut self) -> Result<Bytes, Fault> {
        if self.answer.is_none() {
            let request = std::mem::take(&mut self.request);
            let base = self.base.as_ref().unwrap_or(&self.url);
            let service = self.service.name();
            let url = suffixed(base, service)?;
            let answer = self.send_off(Method::POST, &url, Some(request))?;
            self.accept(&answer, &format!("application/x-{service}-result"))?;
            self.answer = Some(answer);
        }
        let answer = self.answer.as_mut().expect("it was made above");
        loop {
            match wire::wait(&self.patience, answer.chunk())? {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => return Ok(piece),
                None => return Ok(Bytes::new()),
            }
        }
    }

    fn send_off(&self, method: Method, url: &Url, body: Option<Vec<u8>>) -> Result<Response, Fault> {
        let mut request = self
            .client
            .request(method, url.clone())
            .header(CACHE_CONTROL, "no-cache");
        if let Some(body) = body {
            request = request
                .header(
                    CONTENT_TYPE,
                    format!("application/x-{}-request", self.service.name()),
                )
                .header(ACCEPT, format!("application/x-{}-result", self.service.name()))
                .body(body);
        }
        if self.login.is_given() {
            let user = self.login.username.as_deref().unwrap_or(TOKEN_USER);
            request = request.basic_auth(user, self.login.password.as_ref().map(|word| word.expose()));
        }
        let exchange = async {
            wire::catch_up().await;
            request.send().await
        };
        wire::wait(&self.patience, exchange)
    }

    /// Whether the answer is Git's, and if not, whose fault that is.
    fn accept(&self, answer: &Response, kind: &str) -> Result<(), Fault> {
        let status = answer.status();
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(Fault::Credentials {
                    given: self.login.is_given(),
                });
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(Fault::NotARepository(format!("the server answered {status}")));
            }
            _ => return Err(Fault::Unreachable(format!("the server answered {status}"))),
        }
        let found = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("nothing");
        if found == kind {
            return Ok(());
        }
        Err(Fault::NotARepository(format!("the server sent {}", plain(found))))
    }
}

/// Where an answer sends us, if we may go there.
fn redirected(from: &Url, answer: &Response) -> Result<Url, Fault> {
    let location = answer
        .headers()
        .get(LOCATION)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let to = from
        .join(location)
        .map_err(|_| Fault::NotARepository("a redirect to nowhere".to_owned()))?;
    let upgrade =
        from.scheme() == "http" && to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    let same_place =
        to.scheme() == from.scheme() && to.port_or_known_default() == from.port_or_known_default();
    if to.host_str() != from.host_str() || !(same_place || upgrade) {
        return Err(Fault::NotARepository(format!(
            "it redirects to {}, another place; name that address in the blueprint if you trust it",
            super::address::shown(to.as_str())
        )));
    }
    Ok(to)
}

fn suffixed(base: &Url, suffix: &str) -> Result<Url, Fault> {
    let text = format!("{}/{suffix}", base.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|error| Fault::NotARepository(error.to_string()))
}

/// The repository, given where its list of refs was found.
fn base_of(list: &Url) -> Result<Url, Fault> {
    let mut base = list.clone();
    base.set_query(None);
    let path = base.path().strip_suffix("/info/refs").map(str::to_owned);
    let path = path.ok_or_else(|| Fault::NotARepository("it redirects to something else".to_owned()))?;
    base.set_path(&path);
    Ok(base)
}
