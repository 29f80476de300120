//! The real agent binary trusts exactly the authority it was given.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use cartridge_protocol::launch::key;
use harness::{Fake, desired, is_active, start_at};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// An authority, as PEM, and a server for 127.0.0.1 that it signed for.
fn authority_and_server() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_member_joins_over_tls_with_the_authority_it_was_given() {
    let (authority, acceptor) = authority_and_server();
    let fake = Fake::start_with(desired(), Some(acceptor)).await;
    let member = start_at(fake, |folder, launch| {
        std::fs::write(folder.join("ca.pem"), authority).unwrap();
        launch.set(key::LINK_CA, folder.join("ca.pem").to_str().unwrap());
        let link = launch.get(key::LINK).unwrap().replace("http://", "https://");
        launch.set(key::LINK, link);
    });
    member.fake.hear(0, "Active", is_active).await;
}

#[tokio::test]
async fn a_server_of_another_authority_learns_nothing() {
    let (_, acceptor) = authority_and_server();
    let (other_authority, _) = authority_and_server();
    let fake = Fake::start_with(desired(), Some(acceptor)).await;
    let member = start_at(fake, |folder, launch| {
        std::fs::write(folder.join("ca.pem"), other_authority).unwrap();
        launch.set(key::LINK_CA, folder.join("ca.pem").to_str().unwrap());
        let link = launch.get(key::LINK).unwrap().replace("http://", "https://");
        launch.set(key::LINK, link);
    });
    let refused = async {
        while !member.log().contains("certificate") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();
    assert_eq!(member.fake.joins(), 0);
}
