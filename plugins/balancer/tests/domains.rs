//! Domains of tenants: they lead to a cluster, perhaps to a place within it, as long as they are mapped.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use cartridge_plugin_balancer::Limits;
use http::{Method, StatusCode};
use support::{Client, Member, Reply, Running, cluster, mapped, until};

async fn get(client: &mut Client, host: &str, target: &str) -> Reply {
    client.send(Method::GET, target, host, None).await.unwrap()
}

#[tokio::test]
async fn a_domain_leads_to_a_place_in_its_cluster_and_answers_speak_of_it_as_the_client_does() {
    let (blog, shop) = (Member::start("blog").await, Member::start("shop").await);
    let mut running = Running::start(Limits::default()).await;
    let port = running.address.port();
    let shops = cluster("shop", &["shop.example"], port, vec![shop.ready()]);
    let blogs = || cluster("blog", &["blog.example"], port, vec![blog.ready()]);
    let with_path = mapped(shops.clone(), "acme.example", Some("/t/acme/shop"));
    running.set(vec![blogs(), with_path]).await.unwrap();
    let mut client = running.client().await;

    let reply = get(&mut client, "ACME.example:81", "/here?a=1").await;
    assert_eq!(reply.text, "shop /t/acme/shop/here?a=1");
    assert_eq!(reply.headers["location"], "/there?a=1");
    assert_eq!(reply.headers["set-cookie"], "id=1; Path=/");

    let reply = get(&mut client, "shop.example", "/t/acme/shop/here").await;
    assert_eq!(
        reply.text, "shop /t/acme/shop/here",
        "the cluster's own name has no path"
    );
    assert_eq!(reply.headers["location"], "/t/acme/shop/there");
    assert_eq!(reply.headers["set-cookie"], "id=1; Path=/t/acme/shop");

    let reply = get(&mut client, "acme.example", "/../bolt/secret").await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.text.contains("'..'"), "{}", reply.text);
    assert_eq!(shop.hits(), 2, "nobody was asked");

    let without_path = mapped(shops.clone(), "acme.example", None);
    running.set(vec![blogs(), without_path]).await.unwrap();
    let reply = get(&mut client, "acme.example", "/t/acme/shop/here").await;
    assert_eq!(reply.text, "shop /t/acme/shop/here");
    assert_eq!(reply.headers["location"], "/t/acme/shop/there");

    running.set(vec![blogs(), shops]).await.unwrap();
    assert_eq!(
        get(&mut client, "acme.example", "/").await.text,
        "blog",
        "as any unknown host"
    );
}

#[tokio::test]
async fn members_see_the_domain_that_was_asked_for() {
    let member = Member::start("a").await;
    let mut running = Running::start(Limits::default()).await;
    let web = cluster("web", &[], running.address.port(), vec![member.ready()]);
    let web = mapped(web, "acme.example", None);
    running.set(vec![web]).await.unwrap();
    let reply = get(&mut running.client().await, "acme.example", "/head").await;
    for seen in [
        r#""host": "acme.example""#,
        r#""x-forwarded-host": "acme.example""#,
    ] {
        assert!(reply.text.contains(seen), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_request_is_not_tried_again_at_a_place_where_its_domain_does_not_lead_any_more() {
    let (a, b) = (Member::start("a").await, Member::start("b").await);
    b.open_gate();
    let mut running = Running::start(Limits::default()).await;
    let web = cluster("web", &[], running.address.port(), vec![a.ready(), b.ready()]);
    let before = mapped(web.clone(), "acme.example", Some("/t/acme"));
    running.set(vec![before]).await.unwrap();
    let mut client = running.client().await;
    let waiting = tokio::spawn(async move { get(&mut client, "acme.example", "/gate").await });
    until("the request arrives", async || (a.hits() == 1).then_some(())).await;
    let after = mapped(web, "acme.example", Some("/t/bolt"));
    running.set(vec![after]).await.unwrap();
    a.kill().await;
    assert_eq!(waiting.await.unwrap().status, StatusCode::BAD_GATEWAY);
    assert_eq!(b.hits(), 0);
}
