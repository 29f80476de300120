//! Ways in without a password at hand: sessions and signatures.

use super::*;
use crate::auth::{session, web_hook};
use crate::identity::hex;

const HOOK: &str = r#"{"repository": {"url": "https://git.test/shop.git"}}"#;

impl Server {
    async fn cookie(&self) -> String {
        let headers = [(header::AUTHORIZATION, self.header.as_str())];
        let (status, headers, answer) = self
            .exchange("GET", "/api/auth/cookie", &headers, Body::empty())
            .await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let set = headers[header::SET_COOKIE].to_str().unwrap().to_owned();
        for word in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=900"] {
            assert!(set.split("; ").any(|part| part == word), "{set}");
        }
        assert!(
            set.starts_with(session::COOKIE) && !set.contains("Domain"),
            "{set}"
        );
        set.split(';').next().unwrap().to_owned()
    }

    async fn with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> StatusCode {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), *value))
            .collect();
        let body = Body::from(body.to_owned());
        self.exchange(method, path, &headers, body).await.0
    }
}

#[tokio::test]
async fn a_cookie_stands_for_the_credentials_until_users_change() {
    let server = Server::start();
    let cookie = server.cookie().await;
    let with = |name, value| vec![("cookie", cookie.as_str()), (name, value)];
    let status = server.with("GET", "/api/session", &with("x", "y"), "").await;
    assert_eq!(status, StatusCode::OK);
    let ours = [with("sec-fetch-site", "same-origin"), with("x", "y")];
    for headers in &ours {
        let path = "/api/pause";
        let status = server.with("POST", path, headers, "").await;
        assert!(matches!(status.as_u16(), 200 | 409), "{headers:?}: {status}");
    }
    let foreign = with("origin", "https://evil.test");
    let status = server.with("POST", "/api/resume", &foreign, "").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a page of somebody else's");
    let status = server.with("GET", "/api/auth/cookie", &with("x", "y"), "").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a session opens no session");
    let wrong = format!("{cookie}x");
    let status = server
        .with("GET", "/api/session", &[("cookie", &wrong)], "")
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let user = r#"{"userName": "eve", "credential": "correct-horse"}"#;
    assert_eq!(
        server.ask("POST", "/api/users", user).await.0,
        StatusCode::CREATED
    );
    let status = server.with("GET", "/api/session", &with("x", "y"), "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "users changed");
}

#[tokio::test]
async fn a_signed_hook_needs_no_password_and_an_unsigned_one_does() {
    let server = Server::start();
    std::fs::write(server._data.path().join("installation.key"), [7; 32]).unwrap();
    let secret = web_hook::create(server._data.path()).unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hex(ring::hmac::sign(&key, HOOK.as_bytes()).as_ref());
    let github = format!("sha256={tag}");
    let path = "/api/repo/notify";
    let before = server.seq();
    // Nothing deployed has this repository: the signature was right, and may come again.
    for headers in [
        [("x-hub-signature-256", github.as_str())],
        [("x-gitea-signature", &tag)],
        [("x-gitlab-token", secret.expose())],
    ] {
        let status = server.with("POST", path, &headers, HOOK).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{headers:?}");
    }
    let other = HOOK.replace("shop", "other");
    for (name, value, body) in [
        ("x-hub-signature-256", github.as_str(), other.as_str()),
        ("x-hub-signature-256", "sha256=", HOOK),
        ("x-gitea-signature", &github, HOOK),
        ("x-gitlab-token", "guess", HOOK),
    ] {
        let status = server.with("POST", path, &[(name, value)], body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let status = server.with("POST", path, &[], HOOK).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let elsewhere = [("x-gitlab-token", secret.expose())];
    let status = server.with("POST", "/api/pause", &elsewhere, "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "it is good for one route");
    assert_eq!(server.seq(), before);
}

#[tokio::test]
async fn a_signed_hook_that_was_taken_is_not_taken_again() {
    let server = Server::start();
    std::fs::write(server._data.path().join("installation.key"), [7; 32]).unwrap();
    let secret = web_hook::create(server._data.path()).unwrap();
    for (collection, body) in SAMPLES {
        server.ask("POST", &format!("/api/{collection}"), body).await;
    }
    let policy =
        r#"{"id": "d", "networkPartitions": [{"id": "np", "partitions": [{"id": "a", "partitionMax": 3}]}]}"#;
    server.ask("POST", "/api/deploymentPolicies", policy).await;
    let application = json!({"applicationId": "a", "alias": "a", "components": {"cartridges": [{
        "type": "php", "cartridgeMin": 1, "cartridgeMax": 2, "subscribableInfo": {"alias": "web",
        "autoscalingPolicy": "p", "deploymentPolicy": "d",
        "artifactRepository": {"repoUrl": "https://git.test/shop.git"}}}]}});
    let (status, answer) = server
        .ask("POST", "/api/applications", &application.to_string())
        .await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (status, answer) = server.ask("POST", "/api/applications/a/deploy/ap", "").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = format!("sha256={}", hex(ring::hmac::sign(&key, HOOK.as_bytes()).as_ref()));
    let signed = [("x-hub-signature-256", tag.as_str())];
    for expected in [StatusCode::OK, StatusCode::CONFLICT, StatusCode::CONFLICT] {
        assert_eq!(
            server.with("POST", "/api/repo/notify", &signed, HOOK).await,
            expected
        );
    }
}

#[tokio::test]
async fn every_refusal_has_one_shape() {
    let server = Server::start();
    for (method, path, kind, body, code) in [
        ("GET", "/api/v4.0/cartridges", "", "", 410),
        ("POST", "/api/v4.0", "", "", 410),
        ("GET", "/api/v4.01", "", "", 404),
        ("PATCH", "/api/cartridges", "", "", 405),
        ("GET", "/api/cartridges/%ff", "", "", 400),
        ("GET", "/api/events?limit=many", "", "", 400),
        ("POST", "/api/cartridges", "text/plain", "{}", 415),
        (
            "POST",
            "/api/cartridges",
            "application/x-www-form-urlencoded",
            "a=b",
            415,
        ),
    ] {
        let (status, answer) = server.send(method, path, kind, body, true).await;
        assert_eq!(status.as_u16(), code, "{method} {path}: {answer}");
        assert_eq!(answer["status"], "error", "{method} {path}");
        assert!(
            answer["message"].as_str().is_some_and(|text| !text.is_empty()),
            "{answer}"
        );
    }
    let (status, answer) = server
        .send(
            "POST",
            "/api/cartridges",
            "application/json",
            vec![b'"', 0xff, b'"'],
            true,
        )
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
}
