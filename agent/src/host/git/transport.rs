//! Git's smart HTTP protocol for libgit2: requests go out over reqwest and rustls, so no C library talks TLS.
//!
//! Redirects are followed by hand, on the same host only and never from https to http; later requests go to
//! where the first was redirected. It refuses to know packs and refs, and never pushes.

use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};

use super::MAX_FETCH_BYTES;
use super::fault::{Fault, plain};
use super::operation::Talk;
use super::wire;

/// Most bytes that the list of branches and tags may take.
const MAX_REFS_BYTES: usize = 32 << 20;
/// Most bytes that we send to say what we have and want.
const MAX_REQUEST_BYTES: usize = 8 << 20;
/// Most redirects followed.
const MAX_REDIRECTS: usize = 5;
/// The user name where only a token is given: the large forges ignore it.
const TOKEN_USER: &str = "git";

/// Makes libgit2 use this transport for http and https. Once per process, before other calls into libgit2.
pub(super) fn register() {
    for scheme in ["http", "https"] {
        let make = |remote: &git2::Remote<'_>| {
            let talk = Talk::current().ok_or_else(|| git2::Error::from_str("no operation on this thread"))?;
            Transport::smart(
                remote,
                true,
                Smart {
                    talk,
                    base: Mutex::new(None),
                },
            )
        };
        // SAFETY: called from within `prepare`'s `Once`, before any transport can be made.
        unsafe { git2::transport::register(scheme, make) }.expect("the schemes are registered once");
    }
}

struct Smart {
    talk: Arc<Talk>,
    /// Where the repository is after redirects.
    base: Mutex<Option<Url>>,
}

impl SmartSubtransport for Smart {
    fn action(&self, url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let begun = match service {
            Service::UploadPackLs => self
                .list(url)
                .map(|list| Box::new(list) as Box<dyn SmartSubtransportStream>),
            Service::UploadPack => self
                .exchange(url)
                .map(|talk| Box::new(talk) as Box<dyn SmartSubtransportStream>),
            Service::ReceivePackLs | Service::ReceivePack => {
                Err(Fault::Damaged("nothing is ever pushed".to_owned()))
            }
        };
        begun.map_err(|fault| {
            let text = format!("{fault:?}");
            self.talk.note(fault);
            git2::Error::from_str(&plain(&text))
        })
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

impl Smart {
    /// What the server has: read whole, so that the connection can be used again.
    fn list(&self, url: &str) -> Result<Cursor<Vec<u8>>, Fault> {
        let mut at = suffixed(url, "info/refs?service=git-upload-pack")?;
        for _ in 0..=MAX_REDIRECTS {
            let mut answer = send(&self.talk, Method::GET, &at, None)?;
            if answer.status().is_redirection() {
                at = redirected(&at, &answer)?;
                continue;
            }
            accept(&self.talk, &answer, "application/x-git-upload-pack-advertisement")?;
            *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(base_of(&at)?);
            let mut list = Vec::new();
            while let Some(chunk) = wire::wait(&self.talk.stop, answer.chunk())? {
                if list.len() + chunk.len() > MAX_REFS_BYTES {
                    return Err(Fault::TooMuch(format!(
                        "a list of refs over {MAX_REFS_BYTES} bytes"
                    )));
                }
                list.extend_from_slice(&chunk);
            }
            return Ok(Cursor::new(list));
        }
        Err(Fault::NotARepository(format!(
            "more than {MAX_REDIRECTS} redirects"
        )))
    }

    fn exchange(&self, url: &str) -> Result<Exchange, Fault> {
        let base = self.base.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let base = match base {
            Some(base) => base,
            None => suffixed(url, "")?,
        };
        let url = suffixed(base.as_str(), "git-upload-pack")?;
        Ok(Exchange {
            talk: self.talk.clone(),
            url,
            request: Vec::new(),
            answer: None,
            chunk: Bytes::new(),
            received: 0,
        })
    }
}

/// One request that libgit2 writes and one answer that it reads.
struct Exchange {
    talk: Arc<Talk>,
    url: Url,
    request: Vec<u8>,
    answer: Option<Response>,
    chunk: Bytes,
    received: u64,
}

impl Exchange {
    /// Makes sure that `chunk` holds something, unless the answer is over.
    fn fill(&mut self) -> Result<(), Fault> {
        if self.answer.is_none() {
            let request = std::mem::take(&mut self.request);
            let answer = send(&self.talk, Method::POST, &self.url, Some(request))?;
            accept(&self.talk, &answer, "application/x-git-upload-pack-result")?;
            self.answer = Some(answer);
        }
        let answer = self.answer.as_mut().expect("it was made above");
        while self.chunk.is_empty() {
            match wire::wait(&self.talk.stop, answer.chunk())? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(()),
            }
        }
        self.received += self.chunk.len() as u64;
        if self.received > MAX_FETCH_BYTES {
            return Err(Fault::TooMuch(format!("more than {MAX_FETCH_BYTES} bytes")));
        }
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.fill().map_err(|fault| {
                let text = plain(&format!("{fault:?}"));
                self.talk.note(fault);
                io::Error::other(text)
            })?;
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.request.len() + bytes.len() > MAX_REQUEST_BYTES {
            return Err(io::Error::other("the request grew too large"));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn send(talk: &Talk, method: Method, url: &Url, body: Option<Vec<u8>>) -> Result<Response, Fault> {
    let client = talk
        .client
        .as_ref()
        .ok_or_else(|| Fault::Damaged("a folder was left for the network".into()))?;
    let mut request = client
        .request(method, url.clone())
        .header(CACHE_CONTROL, "no-cache");
    if let Some(body) = body {
        request = request
            .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header(ACCEPT, "application/x-git-upload-pack-result")
            .body(body);
    }
    if talk.username.is_some() || talk.password.is_some() {
        let user = talk.username.as_deref().unwrap_or(TOKEN_USER);
        request = request.basic_auth(user, talk.password.as_ref().map(|word| word.expose()));
    }
    let exchange = async {
        wire::catch_up().await;
        request.send().await
    };
    wire::wait(&talk.stop, exchange)
}

/// Whether the answer is Git's, and if not, whose fault that is.
fn accept(talk: &Talk, answer: &Response, kind: &str) -> Result<(), Fault> {
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(Fault::Credentials {
                given: talk.username.is_some() || talk.password.is_some(),
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

fn suffixed(base: &str, suffix: &str) -> Result<Url, Fault> {
    let text = if suffix.is_empty() {
        base.to_owned()
    } else {
        format!("{}/{suffix}", base.trim_end_matches('/'))
    };
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
