//! Sign-ups over the real router: who signs whom up, what is shown of it, and that no password is.

use super::rights::{COMMON, SHOP};
use super::*;

fn document(name: &str) -> Value {
    json!({"artifactRepositories": [{"alias": "web", "privateRepo": "true", "repoUsername": "u",
        "repoUrl": format!("https://git.test/{name}.git"), "repoPassword": "canary"}]})
}

#[tokio::test]
async fn tenants_sign_up_themselves_or_by_the_super_tenant_and_nobody_else() {
    let server = Server::start();
    let [own, other] = server.two_tenants().await;
    server.application(&own, SHOP).await;
    server.common().await;
    let path = format!("/api/applications/{COMMON}/signup");
    let of_another = format!("{path}/own.example");
    let null = Value::Null;

    let exist = async || {
        let (_, shown) = server
            .ask("GET", &format!("/api/applications/{COMMON}"), "")
            .await;
        shown["signUpsExist"].clone()
    };
    assert_eq!(exist().await, json!(false));
    let (status, _) = server.order_as(&own, "GET", &path, &null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, answer) = server.order_as(&own, "POST", &path, &document("one")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (status, answer) = server.order_as(&own, "POST", &path, &document("one")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(exist().await, json!(true));
    let (status, shown) = server.order_as(&own, "GET", &path, &null).await;
    assert_eq!(status, StatusCode::OK);
    let repository = json!({"alias": "web", "privateRepo": true, "repoUrl": "https://git.test/one.git",
        "branch": "main", "repoUsername": "u", "pollSeconds": 15});
    assert_eq!(shown, json!({"artifactRepositories": [repository]}));

    for (method, body) in [("POST", document("x")), ("DELETE", Value::Null)] {
        let (status, answer) = server.order_as(&other, method, &of_another, &body).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{answer}");
    }
    let (status, answer) = server.ask("DELETE", &of_another, "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (status, answer) = server
        .ask("POST", &of_another, &document("two").to_string())
        .await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let (status, _) = server
        .ask(
            "POST",
            &format!("{path}/none.example"),
            &document("x").to_string(),
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    // The owner sees all of them, each tenant its own.
    let (_, all) = server.ask("GET", "/api/signups", "").await;
    assert_eq!(
        (&all[0]["application"], &all[0]["tenantDomain"]),
        (&json!(COMMON), &json!("own.example"))
    );
    let (_, mine) = server.order_as(&own, "GET", "/api/signups", &null).await;
    assert_eq!(mine, all);
    let (_, theirs) = server.order_as(&other, "GET", "/api/signups", &null).await;
    assert_eq!(theirs, json!([]));
    let (_, events) = server.ask("GET", "/api/events?after=0&limit=1000", "").await;
    let events = events.to_string();
    assert!(
        events.contains("sign-up-added") && !events.contains("canary"),
        "{events}"
    );
    assert!(!all.to_string().contains("canary"));
}

#[tokio::test]
async fn each_tenant_hears_of_its_own_sign_up_only() {
    let server = Server::start();
    let [own, other] = server.two_tenants().await;
    server.common().await;
    let path = format!("/api/applications/{COMMON}/signup");
    for (method, body) in [("POST", document("one")), ("DELETE", Value::Null)] {
        let (status, answer) = server.order_as(&own, method, &path, &body).await;
        assert!(status.is_success(), "{answer}");
    }
    for (who, told) in [(&own, &["sign-up-added", "sign-up-removed"][..]), (&other, &[])] {
        let all = format!("/api/events?application={COMMON}&after=0");
        let (_, events) = server.order_as(who, "GET", &all, &Value::Null).await;
        let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
        let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
        assert_eq!(kinds, told);
    }
}

#[tokio::test]
async fn one_tenants_application_is_no_matter_of_sign_ups_and_anothers_does_not_exist() {
    let server = Server::start();
    let [own, other] = server.two_tenants().await;
    server.application(&own, SHOP).await;
    for (who, code) in [(&own, 400), (&other, 404)] {
        for method in ["POST", "GET", "DELETE"] {
            let path = format!("/api/applications/{SHOP}/signup");
            let (status, answer) = server.order_as(who, method, &path, &document("x")).await;
            assert_eq!(status.as_u16(), code, "{method} {answer}");
        }
    }
}

#[tokio::test]
async fn samples_of_stratos_are_refused_because_those_applications_are_one_tenants() {
    let server = Server::start();
    server.documents().await;
    let body = json!({"applicationId": "single", "alias": "single", "components": {"cartridges": [{"type": "php",
        "cartridgeMin": 1, "cartridgeMax": 3, "subscribableInfo": {"alias": "my-php",
        "autoscalingPolicy": "p", "deploymentPolicy": "dp"}}]}});
    let (status, _) = server.ask("POST", "/api/applications", &body.to_string()).await;
    assert_eq!(status, StatusCode::CREATED);
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/samples/applications");
    for name in ["simple/single-cartridge-app", "scaling/app-bursting-pattern"] {
        let sample = std::fs::read_to_string(format!("{samples}/{name}/application-signup.json")).unwrap();
        let (status, answer) = server
            .ask("POST", "/api/applications/single/signup", &sample)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            answer["message"].as_str().unwrap().contains("is for one tenant"),
            "{answer}"
        );
    }
}
