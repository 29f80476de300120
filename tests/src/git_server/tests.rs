//! The Git server seen by the real `git` and by a listener on a real socket.

use std::time::Duration;

use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::repository::{GitFault, Repository, git};

struct Bench {
    folder: TempDir,
    server: GitServer,
    repository: Repository,
}

async fn bench(credentials: Option<(&str, &str)>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repositories");
    let repository = Repository::create(&root.join("hello.git"), &folder.path().join("work"))
        .await
        .unwrap();
    let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
    let settings = Settings {
        root,
        credentials,
        ..Settings::default()
    };
    let server = GitServer::start(settings).await.unwrap();
    Bench {
        folder,
        server,
        repository,
    }
}

impl Bench {
    async fn publish_to(&self, url: &str) -> String {
        self.repository.push_to(url).await.unwrap();
        let page = [("page.txt", "one\n")];
        self.repository.publish(&page, "first").await.unwrap()
    }

    async fn clone_to(&self, url: &str, name: &str) -> Result<std::path::PathBuf, GitFault> {
        git(self.folder.path(), &["clone", "--quiet", url, name]).await?;
        Ok(self.folder.path().join(name))
    }
}

/// A listener that passes on each body with its Authorization header, and answers with `status`.
async fn listener(status: u16) -> (String, mpsc::Receiver<(String, String)>, AbortOnDropHandle<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/repo/notify", socket.local_addr().unwrap());
    let (heard, news) = mpsc::channel(8);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let heard = heard.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let heard = heard.clone();
                async move {
                    let authorization = request
                        .headers()
                        .get("authorization")
                        .map_or("", |v| v.to_str().unwrap());
                    let authorization = authorization.to_owned();
                    let body = request.into_body().collect().await?.to_bytes();
                    heard
                        .send((String::from_utf8_lossy(&body).into_owned(), authorization))
                        .await
                        .unwrap();
                    Ok::<_, hyper::Error>(plain(StatusCode::from_u16(status).unwrap(), ""))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (url, news, AbortOnDropHandle::new(task))
}

async fn hear<T>(news: &mut mpsc::Receiver<T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(10), news.recv())
        .await
        .expect("no news within 10 s")
}

#[tokio::test]
async fn what_was_pushed_over_http_can_be_cloned_over_http() {
    let bench = bench(None).await;
    let url = bench.server.url("hello.git");
    let hash = bench.publish_to(&url).await;
    assert_eq!(bench.repository.published().await.unwrap(), hash);
    let clone = bench.clone_to(&url, "clone").await.unwrap();
    assert_eq!(std::fs::read_to_string(clone.join("page.txt")).unwrap(), "one\n");

    let second = bench
        .repository
        .publish(&[("page.txt", "two\n")], "second")
        .await
        .unwrap();
    git(&clone, &["pull", "--quiet"]).await.unwrap();
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]).await.unwrap(), second);
}

#[tokio::test]
async fn a_large_push_travels_in_chunks_and_arrives_whole() {
    let bench = bench(None).await;
    let url = bench.server.url("hello.git");
    bench.repository.push_to(&url).await.unwrap();
    bench.repository.fill(200, 6 << 20, 7).await.unwrap();
    let hash = bench.repository.commit("large").await.unwrap();
    bench.repository.push().await.unwrap();
    let clone = bench.clone_to(&url, "clone").await.unwrap();
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]).await.unwrap(), hash);
    git(&clone, &["fsck", "--full"]).await.unwrap();
}

#[tokio::test]
async fn nobody_gets_in_without_the_right_password() {
    let bench = bench(Some(("ada", "right"))).await;
    let address = bench.server.address();
    bench
        .publish_to(&format!("http://ada:right@{address}/hello.git"))
        .await;

    for url in [
        format!("http://{address}/hello.git"),
        format!("http://ada:wrong@{address}/hello.git"),
    ] {
        assert!(bench.clone_to(&url, "refused").await.is_err(), "{url} was served");
    }
    bench
        .clone_to(&format!("http://ada:right@{address}/hello.git"), "clone")
        .await
        .unwrap();
}

#[tokio::test]
async fn each_push_that_changes_something_is_told_once() {
    let bench = bench(None).await;
    let url = bench.server.url("hello.git");
    let (hook, mut news, _task) = listener(200).await;
    let authorization = Some("Bearer canary".to_owned());
    bench.server.set_hook(Some(WebHook {
        url: hook,
        authorization,
        authority: None,
    }));
    bench.publish_to(&url).await;

    let (body, authorization) = hear(&mut news).await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({ "repository": { "url": url } }));
    assert_eq!(authorization, "Bearer canary");

    bench.clone_to(&url, "clone").await.unwrap();
    bench.repository.push().await.unwrap();
    bench
        .repository
        .publish(&[("page.txt", "two\n")], "second")
        .await
        .unwrap();
    hear(&mut news).await.unwrap();
    assert!(news.try_recv().is_err(), "a clone or an empty push was told");
}

#[tokio::test]
async fn a_refused_web_hook_is_counted_and_does_not_fail_the_push() {
    let bench = bench(None).await;
    let (hook, mut news, _task) = listener(403).await;
    bench.server.set_hook(Some(WebHook {
        url: hook,
        authorization: None,
        authority: None,
    }));
    bench.publish_to(&bench.server.url("hello.git")).await;
    hear(&mut news).await.unwrap();
    let counted = async {
        while bench.server.deliveries().pushes == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted)
        .await
        .unwrap();
    let deliveries = bench.server.deliveries();
    assert_eq!(deliveries.delivered, 0);
    assert!(deliveries.faults[0].contains("403"), "{deliveries:?}");
}

#[tokio::test]
async fn faults_reach_the_client_and_end_when_told() {
    let bench = bench(None).await;
    bench.repository.fill(20, 1 << 20, 3).await.unwrap();
    bench
        .repository
        .publish(&[("page.txt", "one\n")], "first")
        .await
        .unwrap();
    let url = bench.server.url("hello.git");
    let faults = [
        Faults {
            refuse: true,
            ..Faults::default()
        },
        Faults {
            internal_errors: 100,
            ..Faults::default()
        },
        Faults {
            cut_after: Some(100_000),
            ..Faults::default()
        },
    ];
    for fault in faults {
        bench.server.set_faults(fault.clone());
        assert!(
            bench.clone_to(&url, "broken").await.is_err(),
            "{fault:?} did not reach the client"
        );
    }
    bench.server.set_faults(Faults {
        delay: Duration::from_millis(5),
        ..Faults::default()
    });
    bench.clone_to(&url, "clone").await.unwrap();
}
