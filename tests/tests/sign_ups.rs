//! Tenants share an application, with the real programs: each signs up with a repository of its own on a real Git server, sees
//! its files in its folder of the member, and is nothing to the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cartridge_tests::api::Api;
use cartridge_tests::git_server::{GitServer, Settings};
use cartridge_tests::repository::Repository;
use cartridge_tests::stack::{self, Stack};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const USER: &str = "reader";
const PASSWORD: &str = "canary-password-7d1e44ab";

/// Waits until something is there.
async fn until<T>(stack: &Stack, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}\n{}", stack.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Hooks that write down what they were told of.
fn hooks(folder: &Path, told: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let line = |words: &str| format!("#!/bin/sh\nset -e\necho \"{words}\" >> {}\n", told.display());
    let page = "$(cat \"${CARTRIDGE_TENANT_FOLDER:-$CARTRIDGE_RELEASE}/page\")";
    let scripts = [
        (
            "ArtifactUpdatedEvent.sh",
            format!(
                "{}case {page} in bad*) exit 3;; esac\n",
                line(&format!("files $STRATOS_ARTIFACT_UPDATED_TENANT_ID {page}"))
            ),
        ),
        (
            "TenantSubscribedEvent.sh",
            line("in $STRATOS_SUBSCRIPTION_TENANT_ID $STRATOS_SUBSCRIPTION_TENANT_DOMAIN"),
        ),
        (
            "ApplicationSignUpRemovedEvent.sh",
            line("out $STRATOS_SUBSCRIPTION_TENANT_ID $STRATOS_SUBSCRIPTION_TENANT_DOMAIN"),
        ),
    ];
    for (name, script) in scripts {
        let path = folder.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// One member of an application that tenants share, its own files from the repository `own`.
async fn deploy(api: &Api, hooks: &Path, files: &Path, own: &str) {
    let program = stack::bin_dir().join("cartridge-hello").display().to_string();
    let documents = [
        (
            "networkPartitions",
            json!({"id": "np", "provider": "process", "partitions": [{"id": "p1"}],
            "properties": [{"name": "address", "value": "127.0.33.1"}]}),
        ),
        (
            "cartridges",
            json!({"type": "php", "category": "framework", "provider": "cartridge", "host": "many.test",
            "version": "1", "multiTenant": true, "deployment": {"baseDir": files.display().to_string()},
            "portMapping": [{"name": "http", "protocol": "http", "port": 8080, "proxyPort": 0}],
            "iaasProvider": [{"type": "process", "imageId": "hello"}],
            "process": {"command": [program], "hooks": hooks.display().to_string()},
            "health": {"http": {"port": "http", "path": "/health"}}}),
        ),
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
            json!({"applicationId": "many", "alias": "many", "multiTenant": true, "components": {"cartridges": [{
            "type": "php", "cartridgeMin": 1, "cartridgeMax": 1, "subscribableInfo": {"alias": "web",
            "autoscalingPolicy": "scaling", "deploymentPolicy": "where", "artifactRepository":
            {"repoUrl": own, "repoUsername": USER, "repoPassword": PASSWORD}}}]}}),
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

/// Looked at when the web hook says so, not before.
fn document(url: &str) -> Value {
    json!({"artifactRepositories": [{"alias": "web", "privateRepo": true, "repoUrl": url, "repoUsername": USER,
        "repoPassword": PASSWORD, "pollSeconds": 3600}]})
}

/// A member's files, and what its hooks were told.
struct Place {
    files: PathBuf,
    told: PathBuf,
}

impl Place {
    fn page(&self, tenant: u32) -> Option<String> {
        let path = self.files.join(format!("repository/tenants/{tenant}/page"));
        std::fs::read_to_string(path).ok()
    }

    fn lines(&self, words: &str) -> usize {
        let told = std::fs::read_to_string(&self.told).unwrap_or_default();
        told.lines().filter(|line| line.trim() == words).count()
    }
}

/// Repositories with a first page each, and the server that they are on.
async fn served(folder: &Path) -> (Vec<Repository>, GitServer) {
    let served = folder.join("git");
    let mut repositories = Vec::new();
    for name in ["own", "one", "two"] {
        let bare = served.join(format!("{name}.git"));
        let work = folder.join(format!("work-{name}"));
        let repository = Repository::create(&bare, &work).await.unwrap();
        repository
            .publish(&[("page", name), ("status", "200 OK")], "First page")
            .await
            .unwrap();
        repositories.push(repository);
    }
    let git = GitServer::start(Settings {
        root: served,
        listen: None,
        credentials: Some((USER.to_owned(), PASSWORD.to_owned())),
        hook: None,
    })
    .await
    .unwrap();
    (repositories, git)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenant_has_its_own_files_in_the_members_until_it_signs_off() {
    let folder = tempfile::tempdir().unwrap();
    let (repositories, git) = served(folder.path()).await;
    let place = Place {
        files: folder.path().join("files"),
        told: folder.path().join("told"),
    };
    let own_hooks = folder.path().join("hooks");
    hooks(&own_hooks, &place.told);
    let stack = Stack::start(&folder.path().join("data"), &[])
        .await
        .expect("the server starts");
    git.set_hook(Some(stack.api().web_hook()));
    let (one, two) = (
        stack.tenant("one.example").await,
        stack.tenant("two.example").await,
    );
    deploy(stack.api(), &own_hooks, &place.files, &git.url("own.git")).await;

    signed_up(&stack, &git, &one, &place).await;
    for (repository, name) in repositories.iter().zip(["own.git", "one.git", "two.git"]) {
        let url = git.url(name);
        let url = url.replace("http://", &format!("http://{USER}:{PASSWORD}@"));
        repository.push_to(&url).await.unwrap();
    }
    pushed(&stack, &repositories, &two, &place).await;
    shown(&stack).await;
    signed_off(&stack, &one, &place).await;
}

/// One signs up itself, the other is signed up.
async fn signed_up(stack: &Stack, git: &GitServer, one: &Api, place: &Place) {
    let path = "/api/applications/many/signup";
    one.post(path, Some(&document(&git.url("one.git"))))
        .await
        .unwrap();
    let of_two = format!("{path}/two.example");
    stack
        .api()
        .post(&of_two, Some(&document(&git.url("two.git"))))
        .await
        .unwrap();
    for (number, page) in [(1, "one"), (2, "two")] {
        until(stack, page, || {
            (place.page(number).as_deref() == Some(page)).then_some(())
        })
        .await;
    }
    let told = [
        "files 1 one",
        "files 2 two",
        "in 1 one.example",
        "in 2 two.example",
    ];
    for line in told {
        until(stack, line, || (place.lines(line) > 0).then_some(())).await;
    }
}

/// A push of one changes its own files only; what its hook refuses is taken back, and nothing else is touched.
async fn pushed(stack: &Stack, repositories: &[Repository], two: &Api, place: &Place) {
    let push = async |repository: &Repository, page: &str| {
        repository.publish(&[("page", page)], page).await.unwrap();
    };
    push(&repositories[1], "one-more").await;
    until(stack, "the page that was pushed", || {
        (place.page(1).as_deref() == Some("one-more")).then_some(())
    })
    .await;
    assert_eq!(place.page(2).as_deref(), Some("two"));

    push(&repositories[2], "bad").await;
    until(stack, "the bad page", || {
        (place.lines("files 2 bad") > 0).then_some(())
    })
    .await;
    until(stack, "the page before", || {
        (place.page(2).as_deref() == Some("two")).then_some(())
    })
    .await;
    let rejected = async || {
        let rows: Vec<Value> = two.get("/api/signups").await.unwrap();
        assert_eq!(rows.len(), 1, "it sees its own only: {rows:?}");
        rows[0]["artifactRepositories"][0]["release"]["rejected"][0]["reason"].clone()
    };
    let end = Instant::now() + PATIENCE;
    while !rejected().await.is_string() {
        assert!(Instant::now() < end, "never rejected\n{}", stack.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(place.page(1).as_deref(), Some("one-more"));
}

/// What the command line shows of it, and that no password is shown.
async fn shown(stack: &Stack) {
    let table = stack.cartridge(&["get", "signups"]);
    assert!(
        table.contains("one.example") && table.contains("two.example"),
        "{table}"
    );
    let described = stack.cartridge(&["describe", "application", "many"]);
    assert!(described.contains("two.example"), "{described}");
    for path in [
        "/api/signups",
        "/api/events?after=0&limit=1000",
        "/api/applications/many",
    ] {
        let answer: Value = stack.api().get(path).await.unwrap();
        assert!(!answer.to_string().contains(PASSWORD), "{path}");
    }
}

async fn signed_off(stack: &Stack, one: &Api, place: &Place) {
    let undeploy = "/api/applications/many/undeploy";
    let (status, _) = stack
        .api()
        .call(http::Method::POST, undeploy, None)
        .await
        .unwrap();
    assert_eq!(status, 409, "tenants have files there");
    one.delete("/api/applications/many/signup").await.unwrap();
    until(stack, "its folder is gone", || {
        let left = place.files.join("repository/tenants/1");
        std::fs::symlink_metadata(left).is_err().then_some(())
    })
    .await;
    until(stack, "the hook is told", || {
        (place.lines("out 1 one.example") > 0).then_some(())
    })
    .await;
    assert_eq!(place.page(2).as_deref(), Some("two"));
    stack.cartridge(&["sign-off", "many", "--tenant", "two.example"]);
    stack.api().post(undeploy, None).await.unwrap();
}
