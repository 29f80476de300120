//! One way to make an HTTP client that trusts exactly one authority, whatever the machine has installed.
//!
//! It refuses to know what is asked of whom.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoClient {
    /// The authority's certificate cannot be used.
    #[error("the authority's certificate is no PEM text: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// Cryptography refused the settings.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client could not be built.
    #[error("cannot build an HTTP client: {0}")]
    Build(#[from] reqwest::Error),
}

/// A client that trusts the authority whose certificate `authority` holds as PEM text, and nobody else; without one
/// it can speak plain HTTP only.
pub fn client(authority: Option<&str>) -> Result<reqwest::Client, NoClient> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.unwrap_or_default().as_bytes()) {
        roots.add(certificate?)?;
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
