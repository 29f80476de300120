//! Whom the agent trusts: the authority it was given, otherwise the bundled public ones.
//!
//! Refuses to look at the machine's own store: an agent behaves the same in every image.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Largest file of certificates.
const MOST: u64 = 1 << 20;

/// Why there is no way to the orchestrator at all.
#[derive(Debug, thiserror::Error)]
pub enum LinkSetupError {
    /// The authority's file cannot be read.
    #[error("CARTRIDGE_LINK_CA: cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no certificate.
    #[error("CARTRIDGE_LINK_CA: {path} holds no usable certificate in PEM form: {why}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}

pub(super) fn client_config(authority: Option<&Path>) -> Result<ClientConfig, LinkSetupError> {
    let roots = match authority {
        Some(path) => from_file(path)?,
        None => RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// For a client that speaks no TLS, which cannot be had without.
pub(crate) fn public_client_config() -> Result<ClientConfig, LinkSetupError> {
    client_config(None)
}

fn from_file(path: &Path) -> Result<RootCertStore, LinkSetupError> {
    let mut text = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST).read_to_end(&mut text))
        .map_err(|source| LinkSetupError::Read {
            path: path.to_path_buf(),
            source,
        })?;
    let wrong = |why: String| LinkSetupError::Certificate {
        path: path.to_path_buf(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() {
        Err(wrong("none found".to_owned()))
    } else {
        Ok(roots)
    }
}
