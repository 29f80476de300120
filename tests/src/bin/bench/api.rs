//! How long the API takes while ten thousand members report: one client that looks about and one that writes, at a pace.

use std::time::{Duration, Instant};

use cartridge_tests::api::Api;
use http::Method;
use serde_json::{Value, json};

use crate::{Failure, Row, row};

/// Reads of one thing each.
const READS: u32 = 3000;
/// Writes, each flushed before it is answered.
const WRITES: u32 = 600;
/// Reads of all ten thousand members.
const LISTS: u32 = 30;
/// Between the beginnings of two requests of one client.
const PACE: Duration = Duration::from_millis(10);
/// The same of long lists.
const SLOW_PACE: Duration = Duration::from_secs(1);

/// How long the requests took, shortest first.
struct Taken(Vec<Duration>);

impl Taken {
    /// Asks `count` times at the pace; a request that is late is begun at once, and counts from when it was due.
    async fn of(
        api: &Api,
        count: u32,
        pace: Duration,
        request: impl Fn(u32) -> (Method, String, Option<Value>),
    ) -> Result<Self, Failure> {
        let mut taken = Vec::new();
        let begun = Instant::now();
        for n in 0..count {
            let due = begun + pace * n;
            tokio::time::sleep_until(due.into()).await;
            let (method, path, body) = request(n);
            let (status, answer) = api.call(method.clone(), &path, body.as_ref()).await?;
            if !(200..300).contains(&status) {
                let said = String::from_utf8_lossy(&answer)
                    .chars()
                    .take(200)
                    .collect::<String>();
                return Err(format!("{method} {path}: {status}: {said}").into());
            }
            taken.push(due.elapsed());
        }
        taken.sort_unstable();
        Ok(Self(taken))
    }

    fn row(&self, what: &str, aim: &str) -> Row {
        let at = |percent: usize| {
            let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
            self.0.get(place).copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        row(
            what,
            format!("{:.1} ms", at(99)),
            format!("(median {:.1} ms)", at(50)),
            aim,
        )
    }
}

/// Reads and writes by themselves, then both at the same time.
pub async fn figures(api: &Api) -> Result<Vec<Row>, Failure> {
    let clusters: Vec<Value> = api.get("/api/clusters").await?;
    let members: Vec<Value> = api.get("/api/members").await?;
    let named = |of: &[Value], field: &str, n: u32| {
        let place = (n as usize * 7919) % of.len().max(1);
        of[place][field].as_str().unwrap_or_default().to_owned()
    };
    let read = |n: u32| {
        let path = match n % 5 {
            0 => "/api/status".to_owned(),
            1 => format!("/api/clusters/{}", named(&clusters, "cluster", n)),
            2 => format!("/api/members/{}", named(&members, "member", n)),
            3 => format!("/api/explain/{}", named(&clusters, "cluster", n)),
            _ => format!("/api/applications/{}", named(&clusters, "application", n)),
        };
        (Method::GET, path, None)
    };
    let write = |n: u32| {
        let policy = json!({"id": "written", "loadThresholds": {"loadAverage": 50 + n % 40}});
        let path = "/api/autoscalingPolicies?mode=either".to_owned();
        (Method::PUT, path, Some(policy))
    };
    let list = |_| (Method::GET, "/api/members".to_owned(), None);
    let reads = Taken::of(api, READS, PACE, read).await?;
    let writes = Taken::of(api, WRITES, PACE, write).await?;
    let (busy, meanwhile) = tokio::join!(
        Taken::of(api, READS, PACE, read),
        Taken::of(api, WRITES, PACE, write)
    );
    let lists = Taken::of(api, LISTS, SLOW_PACE, list).await?;
    Ok(vec![
        reads.row("p99 of reads of one thing, 100 a second", "under 20 ms"),
        writes.row("p99 of durable writes, 100 a second", "under 50 ms"),
        busy?.row("p99 of reads, with writes beside", "under 20 ms"),
        meanwhile?.row("p99 of writes, with reads beside", "under 50 ms"),
        lists.row("p99 of a list of all members, one a second", ""),
    ])
}
