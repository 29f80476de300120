//! Every row of the table of rights, asked by everybody: roles, tenants, credentials that are none, over the real router
//! with real objects.

use std::sync::atomic::{AtomicU16, Ordering};

use cartridge_protocol::tenant::TenantId;

use super::*;
use crate::auth::roles::{Access, Relation, Role, Row, TABLE};

/// What the tenant has whose objects are asked for; in no answer to anybody else.
pub(super) const SHOP: &str = "own-shop";
/// What the super tenant has for all.
pub(super) const COMMON: &str = "common";

impl Server {
    /// Only whether one may: bodies of streams do not end.
    pub(super) async fn status(&self, method: &str, path: &str, authorization: Option<&str>) -> StatusCode {
        self.answer(method, path, authorization).await.status()
    }

    async fn answer(&self, method: &str, path: &str, authorization: Option<&str>) -> Response {
        static SOURCE: AtomicU16 = AtomicU16::new(1);
        let mut request = Request::builder().method(method).uri(path);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        // From somewhere else each time: nobody is slowed down.
        let [high, low] = SOURCE.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([127, 0, high, low], 1))));
        let service = TowerToHyperService::new(self.router.clone());
        let answer = hyper::service::Service::call(&service, request);
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        answer.expect("an answer in time").unwrap()
    }

    /// All of an answer; of a stream, what comes first.
    async fn seen(&self, path: &str, authorization: &str) -> String {
        use futures_util::StreamExt as _;
        let answer = self.answer("GET", path, Some(authorization)).await;
        let endless = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "text/event-stream");
        if endless {
            let mut frames = answer.into_body().into_data_stream();
            let first = tokio::time::timeout(Duration::from_secs(20), frames.next());
            let first = first.await.expect("a frame in time").unwrap().unwrap();
            return String::from_utf8(first.to_vec()).unwrap();
        }
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 24).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    async fn user(&self, name: &str, role: &str) -> String {
        let body = json!({"userName": name, "credential": "correct-horse", "role": role}).to_string();
        let (status, answer) = self.ask("POST", "/api/users", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        basic(name)
    }

    pub(super) fn token(&self, tenant: i64, owner: &str, role: Role) -> String {
        let tenant = TenantId::new(tenant).unwrap();
        let token = crate::auth::create_token(self._data.path(), tenant, owner, role).unwrap();
        format!("Bearer {}", token.expose())
    }

    pub(super) async fn tenant(&self, domain: &str) {
        let body = json!({"tenantDomain": domain, "admin": "boss", "adminPassword": "correct-horse",
            "firstName": "B", "lastName": "Oss", "email": "boss@mail.test"});
        let (status, answer) = self.ask("POST", "/api/tenants", &body.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    pub(super) async fn order_as(
        &self,
        who: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let headers = [(header::AUTHORIZATION, who)];
        let body = Body::from(body.to_string());
        let (status, _, answer) = self.exchange(method, path, &headers, body).await;
        (status, answer)
    }

    /// The documents that applications need.
    pub(super) async fn documents(&self) {
        let deployment = r#"{"id": "dp", "networkPartitions": [{"id": "np", "partitions": [{"id": "a", "partitionMax": 5}]}]}"#;
        for (collection, body) in SAMPLES.into_iter().chain([("deploymentPolicies", deployment)]) {
            let (status, answer) = self.ask("POST", &format!("/api/{collection}"), body).await;
            assert_eq!(status, StatusCode::CREATED, "{collection}: {answer}");
        }
    }

    /// What applications need, and two tenants; the tokens of their administrators.
    pub(super) async fn two_tenants(&self) -> [String; 2] {
        self.documents().await;
        self.tenant("own.example").await;
        self.tenant("other.example").await;
        [1, 2].map(|tenant| self.token(tenant, "boss", Role::Admin))
    }

    /// Puts an application that several tenants share.
    pub(super) async fn common(&self) {
        let mut body = blueprint(COMMON);
        body["multiTenant"] = json!(true);
        let (status, answer) = self.ask("POST", "/api/applications", &body.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    /// Puts and deploys an application, and waits for its first member; its cluster and that member.
    pub(super) async fn application(&self, who: &str, name: &str) -> (String, String) {
        let (status, answer) = self
            .order_as(who, "POST", "/api/applications", &blueprint(name))
            .await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let path = format!("/api/applications/{name}/deploy/ap");
        let (status, answer) = self.order_as(who, "POST", &path, &Value::Null).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let cluster = format!("{name}.web.php.domain");
        for _ in 0..400 {
            let member = self.engine.read(|world, _, _| {
                let cluster = world.clusters.get(cluster.as_str())?;
                cluster.members.first().map(ToString::to_string)
            });
            if let Some(member) = member {
                return (cluster, member);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no member of {name} was planned");
    }
}

pub(super) fn blueprint(name: &str) -> Value {
    json!({"applicationId": name, "alias": name, "components": {"cartridges": [{"type": "php",
        "cartridgeMin": 1, "cartridgeMax": 3, "subscribableInfo": {"alias": "web",
        "autoscalingPolicy": "p", "deploymentPolicy": "dp"}}]}})
}

fn basic(login: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{login}:correct-horse"));
    format!("Basic {pair}")
}

fn outside(route: &str) -> bool {
    let begins = ["/dashboard", "/metadata/api", "/mock-iaas/api"];
    matches!(route, "/" | "/healthz" | "/metrics") || begins.iter().any(|begin| route.starts_with(begin))
}

/// Whose credentials somebody shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Nobody,
    Deleted,
    Deactivated,
    Super,
    Own,
    Other,
}

struct Caller {
    of: Of,
    role: Role,
    header: Option<String>,
}

/// What the table says they get: None: whatever the handler says, but that it is not theirs.
fn refusal((_, _, access, relation): &Row, of: Of, role: Role) -> Option<StatusCode> {
    let least = match access {
        Access::Open => return None,
        Access::From(least) | Access::Signed(least) => least,
        Access::Sharing => &Role::Admin,
    };
    match of {
        Of::Nobody | Of::Deleted => return Some(StatusCode::UNAUTHORIZED),
        Of::Deactivated => return Some(StatusCode::FORBIDDEN),
        _ if role < *least => return Some(StatusCode::FORBIDDEN),
        Of::Super => return None,
        Of::Own | Of::Other => {}
    }
    match relation {
        Relation::Installation => Some(StatusCode::FORBIDDEN),
        Relation::OnBehalf => Some(StatusCode::METHOD_NOT_ALLOWED),
        Relation::Application | Relation::Cluster | Relation::Member if of == Of::Other => {
            Some(StatusCode::NOT_FOUND)
        }
        _ => None,
    }
}

/// The route with names of things that the tenant has.
fn path((_, route, _, relation): &Row, cluster: &str, member: &str) -> String {
    let id = match relation {
        Relation::Application => SHOP,
        Relation::Cluster => cluster,
        Relation::Member => member,
        Relation::SignUp | Relation::OnBehalf => COMMON,
        _ => "np",
    };
    let names = [
        ("{id}", id),
        ("{domain}", "own.example"),
        ("{policy}", "ap"),
        ("{filter}", "singleTenant"),
        ("{host}", "h"),
        ("{alias}", "web"),
        ("{key}", "k"),
        ("{value}", "v"),
    ];
    names.iter().fold((*route).to_owned(), |path, (place, name)| {
        path.replace(place, name)
    })
}

/// Refused first: nothing has changed yet. What ends things comes last.
fn harm((method, route, ..): &Row) -> u8 {
    match *route {
        "/tenants/deactivate/{domain}" => 1,
        "/tenants/activate/{domain}" => 2,
        "/members/{id}/drain" => 4,
        "/applications/{id}/undeploy" => 5,
        _ => u8::from(*method == "DELETE") * 3,
    }
}

/// One of every kind.
async fn callers(server: &Server, own: &str) -> Vec<Caller> {
    let mut callers = vec![Caller {
        of: Of::Nobody,
        role: Role::Viewer,
        header: None,
    }];
    for (of, tenant) in [
        (Of::Super, -1234),
        (Of::Own, 1),
        (Of::Other, 2),
        (Of::Deactivated, 3),
    ] {
        for role in [Role::Viewer, Role::Admin] {
            let header = Some(server.token(tenant, "ci", role));
            callers.push(Caller { of, role, header });
        }
    }
    let user = json!({"userName": "leaver", "credential": "correct-horse", "role": "admin"});
    let (status, answer) = server.order_as(own, "POST", "/api/users", &user).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    callers.push(Caller {
        of: Of::Deleted,
        role: Role::Admin,
        header: Some(server.token(1, "leaver", Role::Admin)),
    });
    let gone = server
        .order_as(own, "DELETE", "/api/users/leaver", &Value::Null)
        .await;
    assert_eq!(gone.0, StatusCode::OK);
    callers
}

#[tokio::test]
async fn whoever_asks_gets_what_the_table_says() {
    let server = Server::start();
    server.documents().await;
    for domain in ["own.example", "other.example", "kept.example"] {
        server.tenant(domain).await;
    }
    let own = server.token(1, "boss", Role::Admin);
    let other = server.token(2, "boss", Role::Admin);
    let (cluster, member) = server.application(&own, SHOP).await;
    server.application(&other, "other-shop").await;
    server.common().await;
    let (status, _) = server
        .ask("PUT", "/api/tenants/deactivate/kept.example", "")
        .await;
    assert_eq!(status, StatusCode::OK);

    let callers = callers(&server, &own).await;
    let mut rows: Vec<&Row> = TABLE.iter().collect();
    rows.sort_by_key(|row| harm(row));
    let mut asked = 0;
    for allowed in [false, true] {
        for row in &rows {
            for caller in &callers {
                let refused = refusal(row, caller.of, caller.role);
                if refused.is_none() != allowed {
                    continue;
                }
                let mounts: &[&str] = if outside(row.1) {
                    &[""]
                } else {
                    &["/api", "/api/v4.1"]
                };
                for mount in mounts {
                    let path = format!("{mount}{}", path(row, &cluster, &member));
                    let status = server.status(row.0, &path, caller.header.as_deref()).await;
                    let mut wrong = vec![
                        StatusCode::UNAUTHORIZED,
                        StatusCode::FORBIDDEN,
                        StatusCode::METHOD_NOT_ALLOWED,
                    ];
                    if matches!(
                        row.3,
                        Relation::Application | Relation::Cluster | Relation::Member
                    ) && (refused.is_some() || !row.1.starts_with("/metadata"))
                    {
                        // Where nothing is shared, there is nothing.
                        wrong.push(StatusCode::NOT_FOUND);
                    }
                    let got = wrong.contains(&status).then_some(status);
                    let who = (caller.of, caller.role);
                    assert_eq!(got, refused, "{} {path} as {who:?}: {status}", row.0);
                    asked += 1;
                }
            }
        }
    }
    println!(
        "{} rows, {} callers: {asked} answers as the table says",
        TABLE.len(),
        callers.len()
    );
    assert!(asked > 2 * 10 * 70, "{asked} cells");
}

#[tokio::test]
async fn no_answer_to_one_tenant_names_anything_of_another() {
    let server = Server::start();
    let [own, other] = server.two_tenants().await;
    let (cluster, member) = server.application(&own, SHOP).await;
    server.common().await;
    let signed =
        json!({"artifactRepositories": [{"alias": "web", "repoUrl": format!("https://git.test/{SHOP}")}]});
    let common = format!("/api/applications/{COMMON}/signup");
    let (status, answer) = server.order_as(&own, "POST", &common, &signed).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let mut looked = 0;
    for row in TABLE
        .iter()
        .filter(|row| row.0 == "GET" && row.3 != Relation::Installation)
    {
        let mount = if outside(row.1) { "" } else { "/api" };
        let path = format!("{mount}{}", path(row, &cluster, &member));
        let mine = server.seen(&path, &own).await;
        let theirs = server.seen(&path, &other).await;
        let others = |word: &&str| theirs.contains(word) && !path.contains(*word);
        if let Some(word) = [SHOP, "own.example"].iter().find(|word| others(word)) {
            panic!("{path} tells another tenant of {word}: {theirs}");
        }
        looked += usize::from(mine.contains(SHOP));
    }
    assert!(looked >= 12, "only {looked} routes show anything of one's own");

    // The names of things that are gone stay their tenant's.
    let (status, answer) = server
        .order_as(&other, "POST", "/api/applications", &blueprint(SHOP))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    let near = format!("{SHOP}.web");
    let (status, answer) = server
        .order_as(&other, "POST", "/api/applications", &blueprint(&near))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    let notify = json!({"repository": {"url": "https://git.example.org/shop.git"}});
    let (status, _) = server.order_as(&other, "POST", "/api/repo/notify", &notify).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn users_of_a_tenant_log_in_with_its_domain_until_it_is_deactivated() {
    let server = Server::start();
    server.tenant("shop.example").await;
    let boss = basic("boss@shop.example");
    assert_eq!(
        server.status("GET", "/api/users", Some(&boss)).await,
        StatusCode::OK
    );
    for wrong in [
        "boss",
        "boss@other.example",
        "boss@carbon.super",
        "admin@shop.example",
    ] {
        let status = server.status("GET", "/api/users", Some(&basic(wrong))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let (_, users) = server.order_as(&boss, "GET", "/api/users", &Value::Null).await;
    assert_eq!(users, json!([{"userName": "boss", "role": "admin"}]));
    let (_, session) = server.order_as(&boss, "GET", "/api/session", &Value::Null).await;
    assert!(
        session["message"]
            .as_str()
            .unwrap()
            .starts_with("boss@shop.example ")
    );

    // The same name is another user there.
    let admin = json!({"userName": "admin", "credential": "another-horse", "role": "viewer"});
    let (status, _) = server.order_as(&boss, "POST", "/api/users", &admin).await;
    assert_eq!(status, StatusCode::CREATED);
    let (_, users) = server.ask("GET", "/api/users", "").await;
    assert_eq!(users, json!([{"userName": "admin", "role": "admin"}]));
    let alike = json!({"userName": "boss@shop.example", "credential": "correct-horse"});
    let (status, _) = server.ask("POST", "/api/users", &alike.to_string()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let (status, tenant) = server.ask("GET", "/api/tenants/shop.example", "").await;
    assert_eq!((status, &tenant["tenantId"]), (StatusCode::OK, &json!(1)));
    let (_, found) = server.ask("GET", "/api/tenants/search/SHOP", "").await;
    assert_eq!(found, json!([tenant]));
    let (status, _) = server.ask("DELETE", "/api/tenants/shop.example", "").await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);

    for (what, status) in [
        ("deactivate", StatusCode::FORBIDDEN),
        ("activate", StatusCode::OK),
    ] {
        let path = format!("/api/tenants/{what}/shop.example");
        assert_eq!(server.ask("PUT", &path, "").await.0, StatusCode::OK);
        assert_eq!(
            server.status("GET", "/api/users", Some(&boss)).await,
            status,
            "{what}"
        );
    }
    // A lost password is replaced by the super tenant.
    let changed =
        json!({"tenantDomain": "shop.example", "adminPassword": "another-horse", "email": "x@y.test"});
    let (status, answer) = server.ask("PUT", "/api/tenants", &changed.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        server.status("GET", "/api/users", Some(&boss)).await,
        StatusCode::UNAUTHORIZED
    );
    let text = std::fs::read_to_string(server._data.path().join("users.json")).unwrap();
    assert!(!text.contains("horse"));
    let (_, events) = server.ask("GET", "/api/events?after=0", "").await;
    assert!(!events.to_string().contains("horse"));
}

#[tokio::test]
async fn what_is_said_of_tenants_is_checked() {
    let server = Server::start();
    server.tenant("shop.example").await;
    let before = server.seq();
    let whole = json!({"tenantDomain": "a.example", "admin": "boss", "adminPassword": "correct-horse"});
    for (field, value, code) in [
        ("tenantDomain", json!("shop.example"), 409),
        ("tenantDomain", json!("carbon.super"), 400),
        ("tenantDomain", json!("a/b"), 400),
        ("tenantDomain", json!(""), 400),
        ("tenantDomain", Value::Null, 400),
        ("admin", json!("x"), 400),
        ("admin", Value::Null, 400),
        ("adminPassword", json!("short"), 400),
        ("adminPassword", json!(["correct-horse"]), 400),
        ("adminPassword", Value::Null, 400),
        ("moon", json!("full"), 400),
    ] {
        let mut body = whole.clone();
        body[field] = value.clone();
        let (status, answer) = server.ask("POST", "/api/tenants", &body.to_string()).await;
        assert_eq!(status.as_u16(), code, "{field} {value}: {answer}");
        assert!(!answer.to_string().contains("horse"), "{answer}");
    }
    for (method, path) in [
        ("PUT", "/api/tenants/activate/none.example"),
        ("GET", "/api/tenants/none.example"),
    ] {
        assert_eq!(server.ask(method, path, "").await.0, StatusCode::NOT_FOUND);
    }
    let (status, _) = server.ask("PUT", "/api/tenants", &whole.to_string()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(server.seq(), before);
}

#[tokio::test]
async fn users_come_change_and_go_but_somebody_stays_who_may_order() {
    let server = Server::start();
    let eve = server.user("eve", "viewer").await;
    assert_eq!(
        server.status("POST", "/api/pause", Some(&eve)).await,
        StatusCode::FORBIDDEN
    );
    let (status, _) = server
        .ask("PUT", "/api/users", r#"{"userName": "eve", "role": "admin"}"#)
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        server.status("POST", "/api/pause", Some(&eve)).await,
        StatusCode::OK
    );
    let (status, listed) = server.ask("GET", "/api/users", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!listed.to_string().contains("correct-horse"));
    assert_eq!(listed[1], json!({"userName": "eve", "role": "admin"}));

    let own = server.status("DELETE", "/api/users/eve", Some(&eve)).await;
    assert_eq!(own, StatusCode::BAD_REQUEST, "nobody removes themselves");
    for (body, code) in [
        (r#"{"userName": "eve", "credential": "longer-than-six"}"#, 409),
        (r#"{"userName": "ev", "credential": "longer-than-six"}"#, 400),
        (r#"{"userName": "../x", "credential": "longer-than-six"}"#, 400),
        (r#"{"userName": "carl", "credential": "short"}"#, 400),
        (r#"{"userName": "carl"}"#, 400),
        (
            r#"{"userName": "carl", "credential": "longer-than-six", "role": "god"}"#,
            400,
        ),
        (
            r#"{"userName": "carl", "credential": "longer-than-six", "roll": "admin"}"#,
            400,
        ),
        (r#"[]"#, 400),
    ] {
        let (status, answer) = server.ask("POST", "/api/users", body).await;
        assert_eq!(status.as_u16(), code, "{body}: {answer}");
        assert!(!answer.to_string().contains("longer-than-six"), "{answer}");
    }
    let (status, _) = server.ask("DELETE", "/api/users/eve", "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        server.status("GET", "/api/members", Some(&eve)).await,
        StatusCode::UNAUTHORIZED
    );
    let (status, _) = server
        .ask("PUT", "/api/users", r#"{"userName": "admin", "role": "viewer"}"#)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "the last administrator");
    let (status, _) = server.ask("DELETE", "/api/users/eve", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
