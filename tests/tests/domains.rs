//! Domains of tenants, with the real programs: a request for a mapped domain reaches its cluster below its path, any other
//! host does not, the hooks of members are told, and what is removed leads nowhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cartridge_tests::api::Api;
use cartridge_tests::stack::{self, Stack};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
const ADDRESS: &str = "127.0.34.1";
const PORT: u16 = 18_490;
const FIRST: &str = "many.front.front.domain-1";
const SHOP: &str = "many.shop.shop.domain-1";

async fn until<T>(stack: &Stack, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}\n{}", stack.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Which member answered a request for this host, and with which status.
async fn asked(host: &str, path: &str) -> Option<(String, u16)> {
    let address: SocketAddr = format!("{ADDRESS}:{PORT}").parse().unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header("host", host);
    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.ok()?;
    let status = answer.status().as_u16();
    let member = answer.headers().get("x-member")?.to_str().ok()?.to_owned();
    answer.into_body().collect().await.ok()?;
    Some((member, status))
}

fn hooks(folder: &Path, told: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, word) in [
        ("DomainMappingAddedEvent", "in"),
        ("DomainMappingRemovedEvent", "out"),
    ] {
        let path = folder.join(format!("{name}.sh"));
        let said = "$STRATOS_SUBSCRIPTION_DOMAIN_NAME $STRATOS_SUBSCRIPTION_TENANT_ID $STRATOS_SUBSCRIPTION_CONTEXT_PATH";
        std::fs::write(
            &path,
            format!("#!/bin/sh\necho \"{word} {said}\" >> {}\n", told.display()),
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Two cartridges behind one port; the first of them takes the requests that name no host.
async fn deploy(api: &Api, hooks: &Path) {
    let program = stack::bin_dir().join("cartridge-hello").display().to_string();
    let cartridge = |name: &str| {
        json!({"type": name, "category": "framework", "provider": "cartridge", "host": format!("{name}.test"),
            "version": "1", "multiTenant": true, "deployment": {},
            "portMapping": [{"name": "http", "protocol": "http", "port": 8080, "proxyPort": PORT}],
            "iaasProvider": [{"type": "process", "imageId": "hello"}],
            "process": {"command": [program], "environment": {"HELLO_ACCESS_LOG": "1"},
                "hooks": hooks.display().to_string()},
            "health": {"http": {"port": "http", "path": "/health"}}})
    };
    let part = |name: &str| {
        json!({"type": name, "cartridgeMin": 1, "cartridgeMax": 1, "subscribableInfo": {"alias": name,
            "autoscalingPolicy": "scaling", "deploymentPolicy": "where"}})
    };
    let documents = [
        (
            "networkPartitions",
            json!({"id": "np", "provider": "process", "partitions": [{"id": "p1"}],
            "properties": [{"name": "address", "value": ADDRESS}]}),
        ),
        ("cartridges", cartridge("front")),
        ("cartridges", cartridge("shop")),
        (
            "autoscalingPolicies",
            json!({"id": "scaling", "loadThresholds": {"loadAverage": {"threshold": 900}}}),
        ),
        (
            "deploymentPolicies",
            json!({"id": "where", "networkPartitions": [{"id": "np",
            "partitions": [{"id": "p1", "partitionMax": 8}]}]}),
        ),
        (
            "applicationPolicies",
            json!({"id": "policy", "algorithm": "one-after-another", "networkPartitions": ["np"]}),
        ),
        (
            "applications",
            json!({"applicationId": "many", "alias": "many", "multiTenant": true,
            "components": {"cartridges": [part("front"), part("shop")]}}),
        ),
    ];
    for (collection, document) in documents {
        let path = format!("/api/{collection}");
        api.post(&path, Some(&document))
            .await
            .unwrap_or_else(|fault| panic!("{path}: {fault}"));
    }
    api.post("/api/applications/many/deploy/policy", None)
        .await
        .unwrap();
}

/// The shop writes down which path it was asked for.
async fn wrote_its_path(stack: &Stack) {
    let wrote = format!("/api/logs/{SHOP}?tail=100");
    until(stack, "the shop wrote which path it was asked for", async || {
        let (_, log) = stack.api().call(http::Method::GET, &wrote, None).await.ok()?;
        String::from_utf8_lossy(&log)
            .contains("/t/one/cart")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_domain_leads_to_its_cluster_below_its_path_until_it_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    hooks(&folder.path().join("hooks"), &told);
    let mut stack = Stack::start(&folder.path().join("data"), &[])
        .await
        .expect("the server starts");
    deploy(stack.api(), &folder.path().join("hooks")).await;
    let one = stack.tenant("one.example").await;
    let first = Some((FIRST.to_owned(), 200));
    until(
        &stack,
        "the first cluster serves who names no host of anybody",
        async || (asked("www.one.test", "/").await == first).then_some(()),
    )
    .await;

    let mapped = "/api/applications/many/domainMappings";
    let body = |path: &str| json!({"domainMappings": [{"cartridgeAlias": "shop", "domainName": "www.one.test", "contextPath": path}]});
    let (status, _) = one
        .call(http::Method::POST, mapped, Some(&body("/t/one")))
        .await
        .unwrap();
    assert_eq!(status, 400, "it has not signed up");
    one.post("/api/applications/many/signup", Some(&json!({})))
        .await
        .unwrap();
    one.post(mapped, Some(&body("/t/one"))).await.unwrap();
    // The program serves `/` only: below the path there is nothing, and it says so itself.
    let shop = |status| Some((SHOP.to_owned(), status));
    until(&stack, "the domain leads to the shop", async || {
        (asked("www.one.test", "/cart").await == shop(404)).then_some(())
    })
    .await;
    assert_eq!(asked("other.test", "/").await, first, "any other host");
    assert_eq!(asked("www.one.test", "/../secret").await, None, "nobody is asked");
    wrote_its_path(&stack).await;
    let lines = || std::fs::read_to_string(&told).unwrap_or_default();
    until(&stack, "the hooks are told", async || {
        lines().contains("in www.one.test 1 /t/one").then_some(())
    })
    .await;
    let table = stack.cartridge(&["get", "domain-mappings"]);
    assert!(
        table.contains("www.one.test") && table.contains("one.example"),
        "{table}"
    );

    // It is in the journal, not in somebody's memory.
    stack.kill9().await.unwrap();
    stack.restart().await.expect("it starts again");
    assert_eq!(asked("www.one.test", "/cart").await, shop(404));
    stack.cartridge(&["unmap-domain", "many", "www.one.test"]);
    until(&stack, "the domain leads to the shop no more", async || {
        (asked("www.one.test", "/").await == first).then_some(())
    })
    .await;
    until(&stack, "the hooks are told again", async || {
        lines().contains("out www.one.test 1").then_some(())
    })
    .await;

    // Without a path it is the cluster itself; and it goes with the sign-up.
    one.post(mapped, Some(&body("/"))).await.unwrap();
    until(&stack, "the domain is the shop", async || {
        (asked("www.one.test", "/").await == shop(200)).then_some(())
    })
    .await;
    one.delete("/api/applications/many/signup").await.unwrap();
    until(&stack, "it went with the sign-up", async || {
        (asked("www.one.test", "/").await == first).then_some(())
    })
    .await;
    let left: Vec<Value> = stack.api().get("/api/domainMappings").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
