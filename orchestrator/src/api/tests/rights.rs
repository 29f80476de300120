//! Every row of the table of rights, asked by everybody.

use super::*;
use crate::auth::roles::{Access, Role, TABLE};

impl Server {
    /// Only whether one may: bodies of streams do not end.
    async fn status(&self, method: &str, path: &str, authorization: Option<&str>) -> StatusCode {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let service = TowerToHyperService::new(self.router.clone());
        let answer = hyper::service::Service::call(&service, request);
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        answer.expect("an answer in time").unwrap().status()
    }

    async fn user(&self, name: &str, role: &str) -> String {
        let body = json!({"userName": name, "credential": "correct-horse", "role": role}).to_string();
        let (status, answer) = self.ask("POST", "/api/users", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:correct-horse"));
        format!("Basic {pair}")
    }
}

fn outside(route: &str) -> bool {
    matches!(route, "/" | "/healthz" | "/metrics") || route.starts_with("/dashboard")
}

#[tokio::test]
async fn whoever_asks_gets_what_the_table_says() {
    let server = Server::start();
    let viewer = server.user("eve", "Internal/user").await;
    let admin = server.user("adam", "admin").await;
    let token = crate::auth::create_token(server._data.path(), "ci", Role::Viewer).unwrap();
    let token = format!("Bearer {}", token.expose());
    for (method, route, access) in TABLE {
        let path = route.replace(['{', '}'], "");
        let mounts: &[&str] = if outside(route) {
            &[""]
        } else {
            &["/api", "/api/v4.1"]
        };
        for mount in mounts {
            let path = format!("{mount}{path}");
            for (who, role) in [
                (None, None),
                (Some(&viewer), Some(Role::Viewer)),
                (Some(&token), Some(Role::Viewer)),
                (Some(&admin), Some(Role::Admin)),
            ] {
                let status = server.status(method, &path, who.map(String::as_str)).await;
                let refused = match (access, role) {
                    (Access::Open, _) => None,
                    (Access::From(_), None) => Some(StatusCode::UNAUTHORIZED),
                    (Access::From(least), Some(role)) if role < *least => Some(StatusCode::FORBIDDEN),
                    _ => None,
                };
                let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                assert_eq!(
                    denied.then_some(status),
                    refused,
                    "{method} {path} as {role:?}: {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn users_come_change_and_go_but_somebody_stays_who_may_order() {
    let server = Server::start();
    let eve = server.user("eve", "viewer").await;
    assert_eq!(
        server.status("POST", "/api/pause", Some(&eve)).await,
        StatusCode::FORBIDDEN
    );
    let (status, _) = server
        .ask("PUT", "/api/users", r#"{"userName": "eve", "role": "admin"}"#)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        server.status("POST", "/api/pause", Some(&eve)).await,
        StatusCode::OK
    );
    let (status, listed) = server.ask("GET", "/api/users", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!listed.to_string().contains("correct-horse"));
    assert_eq!(listed[1], json!({"userName": "eve", "role": "admin"}));

    let own = server.status("DELETE", "/api/users/eve", Some(&eve)).await;
    assert_eq!(own, StatusCode::BAD_REQUEST, "nobody removes themselves");
    for (body, code) in [
        (r#"{"userName": "eve", "credential": "longer-than-six"}"#, 409),
        (r#"{"userName": "ev", "credential": "longer-than-six"}"#, 400),
        (r#"{"userName": "../x", "credential": "longer-than-six"}"#, 400),
        (r#"{"userName": "carl", "credential": "short"}"#, 400),
        (r#"{"userName": "carl"}"#, 400),
        (
            r#"{"userName": "carl", "credential": "longer-than-six", "role": "god"}"#,
            400,
        ),
        (
            r#"{"userName": "carl", "credential": "longer-than-six", "roll": "admin"}"#,
            400,
        ),
        (r#"[]"#, 400),
    ] {
        let (status, answer) = server.ask("POST", "/api/users", body).await;
        assert_eq!(status.as_u16(), code, "{body}: {answer}");
        assert!(!answer.to_string().contains("longer-than-six"), "{answer}");
    }
    let (status, _) = server.ask("DELETE", "/api/users/eve", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        server.status("GET", "/api/members", Some(&eve)).await,
        StatusCode::UNAUTHORIZED
    );
    let (status, _) = server
        .ask("PUT", "/api/users", r#"{"userName": "admin", "role": "viewer"}"#)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "the last administrator");
    let (status, _) = server.ask("DELETE", "/api/users/eve", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
