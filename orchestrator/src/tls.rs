//! The installation's own certificate authority, and the server's certificate.
//!
//! The authority is made once and is what clients and agents trust (`ca.pem`). The server's key and certificate are made
//! at every start and live in memory only: nothing to renew, nothing to steal. This file refuses to know sockets.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::identity::write_private;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A key or certificate cannot be made or read.
    #[error("the certificate authority: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refuses them.
    #[error("the server's certificate: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What the listener needs.
#[derive(Clone)]
pub struct Tls {
    /// For the acceptor.
    pub config: Arc<rustls::ServerConfig>,
    /// PEM file of the authority.
    pub ca: PathBuf,
}

/// Opens the authority in `data` or makes it, and signs a certificate for `names` and `addresses`.
pub fn open(
    data: &Path,
    installation: &str,
    names: &[String],
    addresses: &[IpAddr],
) -> Result<Tls, TlsError> {
    let ca = data.join("ca.pem");
    let issuer = authority(data, &ca, installation)?;
    let mut subject = names.to_vec();
    subject.extend(addresses.iter().map(ToString::to_string));
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(subject)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "cartridge orchestrator");
    params.use_authority_key_identifier_extension = true;
    params.insert_extended_key_usage(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let certificate = params.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls {
        config: Arc::new(config),
        ca,
    })
}

fn authority(data: &Path, ca: &Path, installation: &str) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let key_path = data.join("ca.key");
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |source| TlsError::File { path, source }
    };
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Cartridge {installation}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = match std::fs::read_to_string(&key_path) {
        Ok(text) => KeyPair::from_pem(&text)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !ca.exists() => {
            let key = KeyPair::generate()?;
            write_private(&key_path, key.serialize_pem().as_bytes()).map_err(at(&key_path))?;
            key
        }
        Err(e) => return Err(at(&key_path)(e)),
    };
    if !ca.exists() {
        let certificate = params.self_signed(&key)?;
        write_private(ca, certificate.pem().as_bytes()).map_err(at(ca))?;
        let public = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(ca, public).map_err(at(ca))?;
    }
    Ok(Issuer::new(params, key))
}
