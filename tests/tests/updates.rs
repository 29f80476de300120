//! A running application is changed under load, with real processes: clusters come and go, members are replaced, another
//! cartridge takes an alias over, and no request of who stays fails, the orchestrator's death included.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use cartridge_tests::api::Member;
use cartridge_tests::blueprint::Plan;
use cartridge_tests::load::{Balancer, Load, Pace, Target};
use cartridge_tests::stack::{self, Stack};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(120);
const ADDRESS: &str = "127.0.30.9";
const PORT: u16 = 18_480;
/// Who takes the alias over.
const OTHER: &str = "shop.web.other.domain";

async fn until(stack: &Stack, what: &str, is_so: impl Fn(&[Member]) -> bool) -> Vec<Member> {
    let began = Instant::now();
    loop {
        let members = stack.api().members().await.unwrap_or_default();
        if is_so(&members) {
            return members;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{what}: {members:#?}\n{}",
            stack.log_end()
        );
        sleep(Duration::from_millis(50)).await;
    }
}

fn of<'a>(members: &'a [Member], cluster: &'a str) -> impl Iterator<Item = &'a Member> {
    members
        .iter()
        .filter(move |one| one.cluster.as_deref() == Some(cluster))
}

fn active(members: &[Member], cluster: &str) -> usize {
    of(members, cluster).filter(|one| one.is_active()).count()
}

fn ids(members: &[Member], cluster: &str) -> BTreeSet<String> {
    of(members, cluster).map(|one| one.member.clone()).collect()
}

/// The blueprint with these cartridges, the first one from the plan.
fn blueprint(plan: &Plan, others: &[&str], chain: &[&str]) -> Value {
    let mut document = plan.blueprint();
    let first = document["components"]["cartridges"][0].clone();
    let all = document["components"]["cartridges"]
        .as_array_mut()
        .expect("a list");
    for alias in others {
        let mut one = first.clone();
        one["subscribableInfo"]["alias"] = json!(alias);
        one["cartridgeMin"] = json!(1);
        all.push(one);
    }
    if !chain.is_empty() {
        let chain: Vec<String> = chain.iter().map(|alias| format!("cartridge.{alias}")).collect();
        document["components"]["dependencies"] = json!({"startupOrders": [{"aliases": chain}]});
    }
    document
}

async fn put(stack: &Stack, document: &Value) {
    let put = stack.api().put("/api/applications", document).await;
    put.unwrap_or_else(|fault| panic!("{fault}"));
}

async fn plan_of(stack: &Stack, document: &Value) -> Vec<String> {
    let asked = json!({"documents": [{"collection": "applications", "document": document}]});
    let answer = stack
        .api()
        .begin(http::Method::POST, "/api/diff")
        .json(&asked)
        .send()
        .await
        .expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    serde_json::from_value(answer["plan"].clone()).unwrap_or_else(|fault| panic!("{fault}: {answer}"))
}

fn load_on_web() -> Load {
    let load = Load::start(
        Target::get("shop.web.hello.test", "/?wait_ms=20"),
        Pace::Concurrent(8),
    );
    let address: SocketAddr = format!("{ADDRESS}:{PORT}").parse().expect("an address");
    load.set_balancers(vec![Balancer { address, weight: 1 }]);
    load
}

/// Two clusters come, in order, as the plan says; then they go, and the orchestrator dies meanwhile.
async fn come_and_go(stack: &mut Stack, plan: &Plan, first: &BTreeSet<String>) {
    let web = plan.cluster();
    let job = "shop.job.shop-cartridge.domain";
    let cache = "shop.cache.shop-cartridge.domain";
    let more = blueprint(plan, &["cache", "job"], &["web", "cache", "job"]);
    let told = plan_of(stack, &more).await;
    for line in [
        format!("{job} comes after web, cache, with 1 to 4 members"),
        format!("{web} stays as it is, with its 2 members"),
    ] {
        assert!(told.contains(&line), "{told:#?}");
    }
    put(stack, &more).await;
    let now = until(stack, "both stand", |all| {
        active(all, cache) == 1 && active(all, job) == 1
    })
    .await;
    assert_eq!(ids(&now, &web), *first, "nobody else was touched");

    put(stack, &plan.blueprint()).await;
    stack.kill9().await.expect("the server can be killed");
    stack.restart().await.expect("it starts again");
    let now = until(stack, "both are gone", |all| {
        of(all, cache).count() + of(all, job).count() == 0 && active(all, &web) == 2
    })
    .await;
    assert_eq!(ids(&now, &web), *first, "nobody else was touched");
    let began = Instant::now();
    let path = format!("/api/clusters/{cache}");
    while stack.api().get::<Value>(&path).await.is_ok() {
        assert!(began.elapsed() < DEADLINE, "the cluster is never forgotten");
        sleep(Duration::from_millis(50)).await;
    }
}

/// What members are started with changes, then another cartridge takes the alias over.
async fn replaced_and_taken_over(stack: &Stack, plan: &Plan, first: &BTreeSet<String>) {
    let web = plan.cluster();
    let shown = stack.api().get("/api/cartridges/shop-cartridge").await;
    let mut cartridge: Value = shown.expect("it is shown");
    cartridge["process"]["environment"]["COLOUR"] = json!("green");
    let put_cartridge = stack.api().put("/api/cartridges", &cartridge).await;
    put_cartridge.expect("it may change");
    until(stack, "both were replaced", |all| {
        active(all, &web) == 2 && of(all, &web).count() == 2 && ids(all, &web).is_disjoint(first)
    })
    .await;
    cartridge["type"] = json!("other");
    let added = stack.api().post("/api/cartridges", Some(&cartridge)).await;
    added.expect("it is new");
    let mut other = plan.blueprint();
    other["components"]["cartridges"][0]["type"] = json!("other");
    put(stack, &other).await;
    until(stack, "the other one serves alone", |all| {
        active(all, OTHER) == 2 && of(all, &web).count() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_stays_loses_a_request_while_an_application_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stack = Stack::start(folder.path(), &[]).await.expect("the server starts");
    let mut plan = Plan::hello(&stack::bin_dir(), "shop");
    ADDRESS.clone_into(&mut plan.partitions[0].1);
    (plan.min, plan.max, plan.proxy_port) = (2, 4, PORT);
    plan.deploy(stack.api())
        .await
        .expect("the application is deployed");
    let web = plan.cluster();
    let first = until(&stack, "two members and a balancer stand", |all| {
        active(all, &web) == 2 && all.iter().any(|one| one.is_balancer() && one.is_active())
    })
    .await;
    let first = ids(&first, &web);
    // Members are known to be active a moment before the balancer knows it.
    let warm_up = load_on_web();
    assert!(warm_up.wait_for(DEADLINE, |report| report.ok > 0).await);
    drop(warm_up);
    let load = load_on_web();
    assert!(load.wait_for(DEADLINE, |report| report.ok > 50).await);

    come_and_go(&mut stack, &plan, &first).await;
    replaced_and_taken_over(&stack, &plan, &first).await;

    let served = load.report().ok;
    assert!(load.wait_for(DEADLINE, |report| report.ok > served + 50).await);
    let report = load.finish().await;
    println!(
        "{} requests, {} failed; {} members served",
        report.sent,
        report.failed,
        report.members.len()
    );
    assert_eq!(report.failed, 0, "{:#?}", report.failures);
    let taken_over = report.members.keys().any(|member| member.contains(OTHER));
    assert!(taken_over, "{:?}", report.members);
}
