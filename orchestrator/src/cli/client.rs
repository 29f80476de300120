//! Talks to the server's API: address, credentials, TLS, and what each failure means for the exit code.
//!
//! This file refuses to know what the commands are.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use cartridge_protocol::Secret;
use reqwest::{Method, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Global, clean};

/// Longest answer read, bytes; streams are read line by line.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The server says no.
    #[error("refused: {0}")]
    Refused(String),
    /// Mistyped, or a file that cannot be read.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers, or not what a server would.
    #[error("{0}")]
    Unreachable(String),
    /// No such thing.
    #[error("{0}")]
    NotFound(String),
    /// Standard output is gone.
    #[error("cannot write: {0}")]
    Write(#[from] std::io::Error),
}

impl Fault {
    /// As `--help` says.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Refused(_) | Self::Write(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::NotFound(_) => 4,
        })
    }
}

/// The file that `cartridge serve` writes at its first start (mode 0600).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClientFile {
    /// `https://host:port`.
    pub server: String,
    /// The authority's certificate: PEM text, or a file relative to this one. Absent: no certificate is trusted.
    #[serde(default)]
    pub ca: Option<String>,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
}

/// A way to the server.
pub struct Client {
    http: reqwest::Client,
    server: String,
    user: String,
    password: Secret,
}

impl Client {
    /// Puts options, file and defaults together; nothing is sent yet.
    pub fn open(global: &Global) -> Result<Self, Fault> {
        let (file, folder) = read_file(global)?;
        let server = address(&global.server.clone().unwrap_or(file.server))?;
        let authority = match (&global.ca, file.ca) {
            (Some(path), _) => Some(read(path)?),
            (None, Some(pem)) if pem.starts_with("-----") => Some(pem.into_bytes()),
            (None, Some(path)) => Some(read(&folder.join(path))?),
            (None, None) => None,
        };
        let password = match &global.password_file {
            Some(path) => {
                let text = String::from_utf8_lossy(&read(path)?).into_owned();
                Secret::new(text.lines().next().unwrap_or_default())
            }
            None => file.password.unwrap_or_else(|| Secret::new("")),
        };
        let user = global.user.clone().unwrap_or(file.user);
        Ok(Self {
            http: http(authority.as_deref())?,
            server,
            user,
            password,
        })
    }

    /// Asks, and reads the JSON answer. `path` begins after `/api/`.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Fault> {
        let mut request = self.request(method, path).timeout(Duration::from_secs(30));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|fault| self.unreachable(&fault))?;
        let status = response.status();
        let text = self.read(response).await?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        if status.is_success() {
            let odd =
                || Fault::Unreachable(format!("{} answers, but not as a cartridge server", self.server));
            return value.ok_or_else(odd);
        }
        Err(self.refusal(status, value.as_ref()))
    }

    /// Asks for a thing.
    pub async fn get(&self, path: &str) -> Result<Value, Fault> {
        self.ask(Method::GET, path, None).await
    }

    /// Asks for a stream of events, which the caller reads.
    pub async fn stream(&self, path: &str) -> Result<reqwest::Response, Fault> {
        let request = self.request(Method::GET, path);
        let response = request.send().await.map_err(|fault| self.unreachable(&fault))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = self.read(response).await?;
        Err(self.refusal(status, serde_json::from_str(&text).ok().as_ref()))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/api/{path}", self.server);
        self.http
            .request(method, url)
            .basic_auth(&self.user, Some(self.password.expose()))
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|fault| self.unreachable(&fault))? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Fault::Unreachable("the answer is longer than 64 MiB".into()));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn refusal(&self, status: StatusCode, body: Option<&Value>) -> Fault {
        let message = body.and_then(|b| b["message"].as_str()).map(clean::line);
        match status {
            StatusCode::NOT_FOUND => Fault::NotFound(message.unwrap_or_else(|| "no such thing".into())),
            StatusCode::UNAUTHORIZED => Fault::Refused(format!(
                "{} does not accept these credentials of {:?} (see --client, --user, --password-file)",
                self.server, self.user
            )),
            _ => Fault::Refused(message.unwrap_or_else(|| format!("the server answers {status}"))),
        }
    }

    fn unreachable(&self, fault: &reqwest::Error) -> Fault {
        let mut cause: &dyn std::error::Error = fault;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Fault::Unreachable(format!(
            "cannot reach {}: {}",
            self.server,
            clean::line(&cause.to_string())
        ))
    }
}

/// The server's address. Only TLS: credentials never travel in the clear.
fn address(text: &str) -> Result<String, Fault> {
    let server = text.trim_end_matches('/');
    if server.starts_with("https://") {
        return Ok(server.to_owned());
    }
    let text = format!("{server:?} is no server address; the form is https://host:port");
    Err(Fault::Usage(text))
}

/// A path segment, so that no name can change the meaning of a URL.
pub fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    // The two names that URL readers resolve.
    if out == "." || out == ".." {
        out.replace('.', "%2E")
    } else {
        out
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|fault| Fault::Usage(format!("{}: {fault}", path.display())))
}

/// The client file and its folder; empty if everything needed was given otherwise.
fn read_file(global: &Global) -> Result<(ClientFile, PathBuf), Fault> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let defaults = [
        Some(PathBuf::from("cartridge-data/client.json")),
        home.map(|home| home.join(".config/cartridge/client.json")),
    ];
    let found = defaults.into_iter().flatten().find(|path| path.exists());
    let Some(path) = global.client.clone().or(found) else {
        if global.server.is_some() {
            return Ok((ClientFile::default(), PathBuf::new()));
        }
        let text = "no client file: neither ./cartridge-data/client.json nor ~/.config/cartridge/client.json exists; \
                    name one with --client, or a server with --server";
        return Err(Fault::Usage(text.into()));
    };
    // The message of serde_json could quote the password.
    let file = serde_json::from_slice(&read(&path)?).map_err(|fault| {
        Fault::Usage(format!(
            "{}: no client file (line {})",
            path.display(),
            fault.line()
        ))
    })?;
    Ok((file, path.parent().map(Path::to_owned).unwrap_or_default()))
}

fn http(authority: Option<&[u8]>) -> Result<reqwest::Client, Fault> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(pem) = authority {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|fault| Fault::Usage(format!("authority: {fault}")))?;
            roots
                .add(certificate)
                .map_err(|fault| Fault::Usage(format!("authority: {fault}")))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .build()
        .map_err(|fault| Fault::Usage(format!("cannot set up TLS: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("hello.web.php.domain-1"), "hello.web.php.domain-1");
        assert_eq!(segment("../a?b#c%"), "..%2Fa%3Fb%23c%25");
        assert_eq!(segment(".."), "%2E%2E");
    }

    #[test]
    fn credentials_are_sent_over_tls_only() {
        assert_eq!(address("https://[::1]:9443/").unwrap(), "https://[::1]:9443");
        for bad in ["http://127.0.0.1:9443", "127.0.0.1:9443", ""] {
            assert!(matches!(address(bad), Err(Fault::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn faults_have_the_documented_exit_codes() {
        let codes = [
            (Fault::Refused(String::new()), 1),
            (Fault::Usage(String::new()), 2),
            (Fault::Unreachable(String::new()), 3),
            (Fault::NotFound(String::new()), 4),
        ];
        for (fault, code) in codes {
            assert_eq!(
                format!("{:?}", fault.exit_code()),
                format!("{:?}", ExitCode::from(code))
            );
        }
    }
}
