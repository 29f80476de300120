//! One way to make an HTTP client that trusts exactly one authority, whatever the machine has installed.
//!
//! It refuses to know what is asked of whom.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The authority's file cannot be used.
    #[error("cannot read certificates from {path}: {reason}")]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Cryptography refused the settings.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client could not be built.
    #[error("cannot build an HTTP client: {0}")]
    Build(#[from] reqwest::Error),
}

/// A client that trusts the authority in `ca` and nobody else; without one it can speak plain HTTP only.
pub fn client(ca: Option<&Path>) -> Result<reqwest::Client, NoClient> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = ca {
        let fault = |reason: String| NoClient::Authority {
            path: path.to_owned(),
            reason,
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fault(e.to_string()))? {
            let certificate = certificate.map_err(|e| fault(e.to_string()))?;
            roots.add(certificate).map_err(|e| fault(e.to_string()))?;
        }
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .connect_timeout(Duration::from_secs(3))
        .build()?)
}
