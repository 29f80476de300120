//! Kubernetes clusters over the API.

use super::*;

fn cluster() -> Value {
    json!({
        "clusterId": "k", "description": "ours",
        "kubernetesMaster": {"hostId": "m", "hostname": "master.test", "privateIPAddress": "10.0.0.1"},
        "kubernetesHosts": [{"hostId": "h1", "privateIPAddress": "10.0.0.2", "publicIPAddress": "192.0.2.2"}],
        "portRange": {"lower": "30000", "upper": "32767"},
        "property": [{"name": "payload_parameter.MB_IP", "value": "10.0.0.9"},
            {"name": "payload_parameter.CEP_ADMIN_PASSWORD", "value": "canary-7"}],
    })
}

#[tokio::test]
async fn a_cluster_and_its_machines_come_change_and_go() {
    let server = Server::start();
    let path = "/api/v4.1/kubernetesClusters";
    let text = cluster().to_string();
    #[rustfmt::skip]
    let steps = [
        ("POST", "", text.as_str(), 201),
        ("POST", "", text.as_str(), 409),
        ("PUT", "", text.as_str(), 200),
        ("GET", "/k", "", 200),
        ("GET", "/none", "", 404),
        ("POST", "/k/minion", r#"{"hostId": "h2", "privateIPAddress": "10.0.0.3"}"#, 201),
        ("POST", "/k/minion", r#"{"hostId": "h2", "privateIPAddress": "10.0.0.3"}"#, 409),
        ("POST", "/k/minion", r#"{"hostId": "h3", "privateIPAddress": "ten"}"#, 400),
        ("POST", "/none/minion", r#"{"hostId": "h3", "privateIPAddress": "10.0.0.3"}"#, 404),
        ("PUT", "/host", r#"{"hostId": "h2", "privateIPAddress": "10.0.0.4"}"#, 200),
        ("PUT", "/host", r#"{"hostId": "none", "privateIPAddress": "10.0.0.4"}"#, 404),
        ("PUT", "/k/master", r#"{"hostId": "h2", "privateIPAddress": "10.0.0.4"}"#, 409),
        ("PUT", "/k/master", r#"{"hostId": "m2", "privateIPAddress": "10.0.0.5"}"#, 200),
        ("DELETE", "/k/hosts/h1", "", 200),
        ("DELETE", "/k/hosts/h1", "", 404),
        ("DELETE", "/k/hosts/m2", "", 409),
    ];
    for (method, at, body, code) in steps {
        let (status, answer) = server.ask(method, &format!("{path}{at}"), body).await;
        assert_eq!(status.as_u16(), code, "{method} {at}: {answer}");
    }
    let (_, master) = server.ask("GET", "/api/kubernetesClusters/k/master", "").await;
    assert_eq!(master["privateIPAddress"], "10.0.0.5");
    let (_, hosts) = server.ask("GET", "/api/kubernetesClusters/k/hosts", "").await;
    assert_eq!(
        hosts,
        json!([{"hostId": "h2", "privateIPAddress": "10.0.0.4", "property": []}])
    );
    let other =
        json!({"clusterId": "l", "kubernetesMaster": {"hostId": "h2", "privateIPAddress": "10.0.0.1"}});
    let (status, answer) = server.ask("POST", path, &other.to_string()).await;
    assert_eq!(
        (status, &answer["field"]),
        (StatusCode::CONFLICT, &json!("kubernetesMaster.hostId"))
    );

    let place = json!({"id": "kube", "provider": "kubernetes",
        "partitions": [{"id": "p", "property": [{"name": "cluster", "value": "k"}]}]});
    server
        .ask("POST", "/api/networkPartitions", &place.to_string())
        .await;
    let (status, _) = server.ask("DELETE", "/api/kubernetesClusters/k", "").await;
    assert_eq!(status, StatusCode::CONFLICT);
    server.ask("DELETE", "/api/networkPartitions/kube", "").await;
    let (status, _) = server.ask("DELETE", "/api/kubernetesClusters/k", "").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_property_is_sealed_shown_by_name_only_and_kept_when_put_without_value() {
    let server = Server::start();
    let path = "/api/kubernetesClusters";
    server.ask("POST", path, &cluster().to_string()).await;
    let sealed = || {
        server.engine.read(|world, _, _| {
            let kept = world.kubernetes_clusters.get("k").unwrap();
            kept.sealed["payload_parameter.CEP_ADMIN_PASSWORD"].clone()
        })
    };
    let first = sealed();
    assert_eq!(server.engine.unseal(&first).unwrap().expose(), "canary-7");
    let (_, shown) = server.ask("GET", "/api/kubernetesClusters/k", "").await;
    assert!(!shown.to_string().contains("canary") && !shown.to_string().contains(&first));
    assert!(
        shown["property"]
            .as_array()
            .unwrap()
            .contains(&json!({"name": "payload_parameter.CEP_ADMIN_PASSWORD"}))
    );
    let (status, answer) = server.ask("PUT", path, &shown.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(sealed(), first);
    let (_, events) = server.ask("GET", "/api/events?after=0", "").await;
    assert!(!events.to_string().contains("canary"));

    let mut wrong = cluster();
    wrong["kubernetesHosts"][0]["property"] = json!([{"name": "password", "value": "canary-8"}]);
    wrong["kubernetesMaster"]["hostId"] = json!("h1");
    wrong["portRange"]["lower"] = json!(65_000);
    let (status, answer) = server.ask("POST", path, &wrong.to_string()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let text = answer.to_string();
    assert!(!text.contains("canary"), "{text}");
    for field in [
        "kubernetesHosts[0].property.password",
        "kubernetesHosts[0].hostId",
        "portRange.lower",
    ] {
        assert!(text.contains(field), "{field}: {text}");
    }
}
