//! Domains of tenants over the real router: who maps what, what is shown of it, and what is nobody else's matter.

use super::rights::{COMMON, SHOP, blueprint};
use super::*;

fn document(domain: &str) -> Value {
    json!({"domainMappings": [{"cartridgeAlias": "web", "domainName": domain, "contextPath": "/t/own"}]})
}

#[tokio::test]
async fn a_tenant_maps_its_domains_sees_them_and_removes_them_and_nobody_elses() {
    let server = Server::start();
    let [own, other] = server.two_tenants().await;
    server.application(&own, SHOP).await;
    server.common().await;
    let path = format!("/api/applications/{COMMON}/domainMappings");
    let one = format!("{path}/OWN.test");
    let null = Value::Null;

    let (status, answer) = server.order_as(&own, "POST", &path, &document("own.test")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "it has not signed up: {answer}");
    for who in [&own, &other] {
        let sign_up = format!("/api/applications/{COMMON}/signup");
        let (status, answer) = server.order_as(who, "POST", &sign_up, &json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
    let (status, answer) = server.order_as(&own, "POST", &path, &document("own.test")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (status, answer) = server
        .order_as(&other, "POST", &path, &document("own.test"))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["field"], "domainMappings[0].domainName", "{answer}");

    let row = json!({"domainName": "own.test", "cartridgeAlias": "web", "contextPath": "/t/own",
        "tenantId": 1, "tenantDomain": "own.example"});
    let mut listed = row.clone();
    listed["application"] = json!(COMMON);
    let (status, shown) = server.order_as(&own, "GET", &path, &null).await;
    assert_eq!((status, shown), (StatusCode::OK, json!([row])));
    assert_eq!(
        server.ask("GET", "/api/domainMappings", "").await.1,
        json!([listed])
    );
    assert_eq!(
        server.order_as(&own, "GET", "/api/domainMappings", &null).await.1,
        json!([listed])
    );
    for path in [path.as_str(), "/api/domainMappings"] {
        assert_eq!(
            server.order_as(&other, "GET", path, &null).await,
            (StatusCode::OK, json!([]))
        );
    }
    let (_, events) = server.ask("GET", "/api/events?after=0&limit=1000", "").await;
    assert!(
        events
            .to_string()
            .contains("domain own.test of tenant 1 leads to web"),
        "{events}"
    );

    let (status, _) = server.order_as(&other, "DELETE", &one, &null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, answer) = server.order_as(&own, "DELETE", &one, &null).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (status, _) = server.order_as(&own, "DELETE", &one, &null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    // One tenant's application has no sign-ups, so no domains; and another's does not exist.
    let single = format!("/api/applications/{SHOP}/domainMappings");
    for (who, code) in [(&own, 400), (&other, 404)] {
        let (status, answer) = server.order_as(who, "POST", &single, &document("x.test")).await;
        assert_eq!(status.as_u16(), code, "{answer}");
    }
    let (status, _) = server
        .ask("GET", "/api/applications/moon/domainMappings", "")
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn samples_of_stratos_are_read_and_refused_because_nobody_signed_up() {
    let server = Server::start();
    server.documents().await;
    let single = blueprint("single").to_string();
    let (status, answer) = server.ask("POST", "/api/applications", &single).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/samples/applications");
    for name in ["simple/single-cartridge-app", "scaling/app-bursting-pattern"] {
        let sample = std::fs::read_to_string(format!("{samples}/{name}/domain-mappings.json")).unwrap();
        let path = "/api/applications/single/domainMappings";
        let (status, answer) = server.ask("POST", path, &sample).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("has not signed up"), "{answer}");
    }
}
