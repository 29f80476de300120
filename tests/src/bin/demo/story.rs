//! The story, step by step: deploy, scale, burst, release, refuse a bad release, heal, shrink.
//!
//! It refuses to go on after a step that did not happen: what follows would prove nothing.

use std::time::{Duration, Instant};

use cartridge_tests::api::Member;
use cartridge_tests::load::Pace;

use crate::healing;
use crate::stage::{APPLICATION, Fault, PATIENCE, Stage, unexpected};

/// Members that fit into `private`, as the blueprint says.
pub(crate) const IN_PRIVATE: usize = 2;
/// Requests in flight per member, as the blueprint says.
pub(crate) const PER_MEMBER: usize = 8;
/// Requests in flight.
const CALM: usize = 2;
const BUSY: usize = 11;
pub(crate) const CROWDED: usize = 19;
pub(crate) const PACKED: usize = 40;

macro_rules! blueprint {
    ($file:literal) => {
        include_str!(concat!("../../../../images/hello/blueprint/", $file))
    };
}

/// What is posted where, in the order in which one refers to another.
const BLUEPRINT: [(&str, &str); 7] = [
    ("networkPartitions", blueprint!("network-partition-private.json")),
    ("networkPartitions", blueprint!("network-partition-public.json")),
    ("autoscalingPolicies", blueprint!("autoscaling-policy.json")),
    ("deploymentPolicies", blueprint!("deployment-policy.json")),
    ("cartridges", blueprint!("cartridge.json")),
    ("applicationPolicies", blueprint!("application-policy.json")),
    ("applications", blueprint!("application.json")),
];

pub(crate) async fn tell(stage: &mut Stage) -> Result<(), Fault> {
    deploy(stage).await?;
    scale_out(stage).await?;
    burst(stage).await?;
    let good = release(stage).await?;
    bad_release(stage, &good).await?;
    healing::kill_application(stage, &good).await?;
    healing::kill_agent(stage, &good).await?;
    healing::kill_orchestrator(stage, &good).await?;
    scale_in(stage).await
}

async fn deploy(stage: &mut Stage) -> Result<(), Fault> {
    stage
        .narrator
        .step("Deploying `hello` from its Git repository: one member, behind a balancer, in `private`.");
    let since = Instant::now();
    stage
        .repository
        .publish(&[("index.html", "Hello, version 1\n")], "Say hello")
        .await?;
    for (kind, text) in BLUEPRINT {
        let body = stage.blueprint(text)?;
        stage.api().post(&format!("/api/{kind}"), Some(&body)).await?;
    }
    stage
        .api()
        .post(&format!("/api/applications/{APPLICATION}/deploy/burst"), None)
        .await?;
    stage.settled(1, 0..=0).await?;
    stage.load.set_pace(Pace::Concurrent(1));
    stage.traffic_goes_on(5).await?;
    stage.took("deployed: first request answered", since);
    Ok(())
}

async fn scale_out(stage: &mut Stage) -> Result<(), Fault> {
    stage.narrator.step(&format!(
        "Load rises from {CALM} to {BUSY} requests in flight; 8 per member are allowed, so a second one is needed."
    ));
    let after = stage.events.newest();
    let since = Instant::now();
    let watch = async {
        let event = stage.event(after, "cluster-resized", None).await?;
        Ok::<_, Fault>((event, stage.load.report().in_flight(), since.elapsed()))
    };
    let (resized, _) = tokio::join!(watch, stage.ramp(CALM, BUSY, Duration::from_secs(18)));
    let (event, in_flight, when) = resized?;
    let early = if in_flight <= 8 {
        "before the threshold was reached: on the forecast"
    } else {
        "after the threshold"
    };
    stage.narrator.fact(&format!(
        "decided after {:.1} s with {in_flight} in flight, {early} ({})",
        when.as_secs_f64(),
        event.text
    ));
    stage.settled(2, 0..=0).await?;
    stage.took("scaled out to 2 in private (load rises over 18 s)", since);
    Ok(())
}

async fn burst(stage: &mut Stage) -> Result<(), Fault> {
    stage.narrator.step(&format!(
        "Load rises to {CROWDED}. `private` has room for two members only: burst into `public`."
    ));
    let after = stage.events.newest();
    let since = Instant::now();
    let (started, _) = tokio::join!(
        stage.event(after, "burst-started", None),
        stage.ramp(BUSY, CROWDED, Duration::from_secs(16)),
    );
    started?;
    stage.settled(2, 1..=4).await?;
    let look = async || stage.load.report().balancers.len().ge(&2).then_some(());
    stage
        .until("requests through the balancer in public", look)
        .await?;
    stage.took("burst into public: requests answered there", since);
    Ok(())
}

/// Waits until `private` is full and at least `public` members serve outside, each once, nobody between two releases, and
/// all have `commit`.
pub(crate) async fn on_release(stage: &Stage, public: usize, commit: &str) -> Result<Vec<Member>, Fault> {
    let look = async || {
        let members = stage.settled(IN_PRIVATE, public..=4).await.ok()?;
        members
            .iter()
            .all(|m| m.release.as_deref() == Some(commit))
            .then_some(members)
    };
    stage.until(&format!("every member on {commit}"), look).await
}

async fn release(stage: &mut Stage) -> Result<String, Fault> {
    stage
        .narrator
        .step("Pushing a new commit; the Git server's web hook tells, members switch one after another.");
    let after = stage.events.newest();
    let since = Instant::now();
    let commit = stage
        .repository
        .publish(&[("index.html", "Hello, version 2\n")], "Say hello again")
        .await?;
    stage.event(after, "release-accepted", None).await?;
    on_release(stage, 1, &commit).await?;
    let seen = |releases: &std::collections::BTreeMap<std::sync::Arc<str>, u64>| {
        releases
            .keys()
            .any(|r| !r.is_empty() && (commit.starts_with(&**r) || r.starts_with(&commit)))
    };
    if !stage
        .load
        .wait_for(PATIENCE, |report| seen(&report.releases))
        .await
    {
        return unexpected("no answer came out of the new release");
    }
    stage.took("rolling update: every member on the new commit", since);
    Ok(commit)
}

async fn bad_release(stage: &mut Stage, good: &str) -> Result<(), Fault> {
    stage
        .narrator
        .step("Pushing a commit that makes the application unhealthy: it must stop at the first member.");
    let after = stage.events.newest();
    let since = Instant::now();
    let files = [("index.html", "Hello, version 3\n"), ("unhealthy", "")];
    let bad = stage.repository.publish(&files, "Break it").await?;
    let rejected = stage.event(after, "release-rejected", None).await?;
    on_release(stage, 1, good).await?;
    let events = stage.events.after(after);
    let tried: std::collections::BTreeSet<_> = events
        .iter()
        .filter(|e| e.kind == "member-updating")
        .filter_map(|e| e.member.clone())
        .collect();
    if tried.len() > 1 {
        return unexpected(format!(
            "the bad commit reached {} members: {tried:?}",
            tried.len()
        ));
    }
    let short: String = bad.chars().take(8).collect();
    stage.narrator.fact(&format!(
        "{short} is marked rejected after {} member: {}",
        tried.len(),
        rejected.text
    ));
    stage.took("bad commit: stopped, rolled back, rejected", since);
    Ok(())
}

async fn scale_in(stage: &mut Stage) -> Result<(), Fault> {
    stage.narrator.step(
        "Load falls to one request at a time: `public` is emptied first, then `private` down to its minimum.",
    );
    let (since, after) = (Instant::now(), stage.events.newest());
    let before = stage.serving().await?;
    stage.load.set_pace(Pace::Concurrent(1));
    let ended = stage.event(after, "burst-ended", None).await?;
    let look = async || {
        let members = stage.api().members().await.ok()?;
        let gone =
            |m: &Member| m.network_partition != "public" || matches!(m.phase.as_str(), "ended" | "removed");
        members.iter().all(gone).then_some(())
    };
    stage
        .until("no member and no balancer left in public", look)
        .await?;
    stage.took("public emptied, its balancer gone", since);
    stage.settled(1, 0..=0).await?;
    let events = stage.events.after(after);
    let early = events.iter().find(|e| {
        let drained = e.kind == "member-draining" && e.seq < ended.seq;
        drained
            && before
                .iter()
                .any(|m| Some(&m.member) == e.member.as_ref() && m.network_partition == "private")
    });
    if let Some(early) = early {
        return unexpected(format!(
            "a member of private went before public was empty: {}",
            early.text
        ));
    }
    stage.took("private back at its minimum", since);
    stage.traffic_goes_on(20).await?;
    stage.load.set_pace(Pace::Concurrent(0));
    if !stage
        .load
        .wait_for(PATIENCE, |report| report.in_flight() == 0)
        .await
    {
        return unexpected("requests were still in flight after the load stopped");
    }
    Ok(())
}
