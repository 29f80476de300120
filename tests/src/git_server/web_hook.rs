//! Tells a URL that a push changed a repository, in the shape that Git servers' web hooks have.
//!
//! The references are compared before and after, so a refused push tells nobody and no script needs to be
//! installed. It refuses to know what the listener does with the news.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;

use super::{Shared, lock};

const DEADLINE: Duration = Duration::from_secs(10);
const KEPT_FAULTS: usize = 16;

/// Whom to tell, and how.
#[derive(Clone)]
pub struct WebHook {
    /// Where the news is posted.
    pub url: String,
    /// Value of the `Authorization` header. Secret.
    pub authorization: Option<String>,
    /// PEM text of the authority that signed the listener's certificate, for `https`.
    pub authority: Option<String>,
}

/// What became of the calls.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// Pushes that changed something while a hook was set.
    pub pushes: u64,
    /// Calls answered with 2xx.
    pub delivered: u64,
    /// Why others were not, newest last.
    pub faults: VecDeque<String>,
}

/// A push under way, remembered with what the references were before.
pub(super) struct Push {
    shared: Arc<Shared>,
    hook: WebHook,
    repository: PathBuf,
    url: String,
    before: Vec<u8>,
}

/// Begins to watch, if `request` is a push and somebody wants to know.
pub(super) async fn watch(request: &Request<Incoming>, shared: &Arc<Shared>) -> Option<Push> {
    let path = request.uri().path().strip_suffix("/git-receive-pack")?;
    if request.method() != Method::POST || path.split('/').any(|part| part == "..") {
        return None;
    }
    let hook = lock(&shared.hook).clone()?;
    let repository = shared.root.join(path.trim_start_matches('/'));
    let before = references(&repository).await;
    let url = format!("http://{}{path}", shared.address);
    Some(Push {
        shared: Arc::clone(shared),
        hook,
        repository,
        url,
        before,
    })
}

impl Push {
    /// The back end has ended: tells the listener once, if anything changed.
    pub(super) async fn ended(self) {
        if references(&self.repository).await == self.before {
            return;
        }
        let told = tell(&self.hook, &self.url).await;
        let mut deliveries = lock(&self.shared.deliveries);
        deliveries.pushes += 1;
        match told {
            Ok(()) => deliveries.delivered += 1,
            Err(fault) => {
                deliveries.faults.push_back(fault);
                if deliveries.faults.len() > KEPT_FAULTS {
                    deliveries.faults.pop_front();
                }
            }
        }
    }
}

async fn references(repository: &Path) -> Vec<u8> {
    let listing = tokio::process::Command::new("git")
        .args(["-c", "safe.directory=*", "--git-dir"])
        .arg(repository)
        .arg("for-each-ref")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(DEADLINE, listing).await {
        Ok(Ok(output)) => output.stdout,
        _ => Vec::new(),
    }
}

async fn tell(hook: &WebHook, repository_url: &str) -> Result<(), String> {
    let client = crate::https::client(hook.authority.as_deref()).map_err(|e| e.to_string())?;
    let body = serde_json::json!({ "repository": { "url": repository_url } });
    let mut call = client.post(&hook.url).timeout(DEADLINE).json(&body);
    if let Some(value) = &hook.authorization {
        call = call.header(http::header::AUTHORIZATION, value);
    }
    let answer = call.send().await.map_err(|e| e.to_string())?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(format!("{} answered {}", hook.url, answer.status()))
    }
}
