//! One row for each route: what it is for, what it takes and what it answers. A route without a row fails a test.
//!
//! This file refuses to know who may use a route: the roles' table says so.

use serde_json::{Value, json};

use crate::auth::roles::Access;

/// One route.
pub(super) struct Row {
    pub method: &'static str,
    pub route: &'static str,
    /// In one line, for people.
    pub what: &'static str,
    pub query: &'static [Query],
    pub body: Body,
    pub done: &'static [(u16, Answer)],
}

/// A parameter after the `?`.
#[derive(Clone, Copy)]
pub(super) enum Query {
    /// True or false.
    Flag(&'static str),
    /// A whole number from 0 on.
    Figure(&'static str),
    /// Any text.
    Text(&'static str),
    /// One of these.
    Word(&'static str, &'static [&'static str]),
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body {
    None,
    /// Of this schema.
    Needed(&'static str),
    /// Of this schema, or nothing.
    Optional(&'static str),
}

/// What comes back when all is well.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// `{"status": "success", …}`.
    Done,
    /// One of this schema.
    One(&'static str),
    /// A list of them.
    List(&'static str),
    /// A list, or a stream of the same as server-sent events.
    ListOrStream(&'static str),
    /// One, or text for who does not accept JSON.
    OneOrText(&'static str),
    /// Of this media type.
    Text(&'static str),
}

use Answer::{Done, List, ListOrStream, One, OneOrText, Text};
use Body::{Needed, None as Nothing, Optional};

const fn row(
    method: &'static str,
    route: &'static str,
    what: &'static str,
    query: &'static [Query],
    body: Body,
    done: &'static [(u16, Answer)],
) -> Row {
    Row {
        method,
        route,
        what,
        query,
        body,
        done,
    }
}

const fn get(route: &'static str, what: &'static str, done: &'static [(u16, Answer)]) -> Row {
    row("GET", route, what, &[], Nothing, done)
}

const fn post(route: &'static str, what: &'static str, body: Body, done: &'static [(u16, Answer)]) -> Row {
    row("POST", route, what, &[], body, done)
}

const fn put(route: &'static str, what: &'static str, body: Body, done: &'static [(u16, Answer)]) -> Row {
    row("PUT", route, what, MODE, body, done)
}

const fn delete(route: &'static str, what: &'static str) -> Row {
    row("DELETE", route, what, &[], Nothing, OK)
}

const MODE: &[Query] = &[Query::Word("mode", &["either"])];
const CRITERIA: &[Query] = &[Query::Text("criteria")];
const EVENTS: &[Query] = &[
    Query::Text("application"),
    Query::Figure("after"),
    Query::Figure("limit"),
    Query::Flag("follow"),
];
const OK: &[(u16, Answer)] = &[(200, Done)];
const CREATED: &[(u16, Answer)] = &[(201, Done)];
const ACCEPTED: &[(u16, Answer)] = &[(202, Done)];
const SHARED: &[(u16, Answer)] = &[(200, One("Shared"))];
const SHARED_KEY: &[(u16, Answer)] = &[(200, One("SharedKey"))];
const STREAM: &str = "text/event-stream";

/// All of them.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    get("/healthz", "Whether the server answers.", &[(200, Text("text/plain"))]),
    get("/metrics", "Figures as OpenMetrics text.", &[(200, Text("application/openmetrics-text"))]),
    get("/", "The dashboard.", &[(200, Text("text/html"))]),
    get("/dashboard/app.js", "Its script.", &[(200, Text("text/javascript"))]),
    get("/dashboard/style.css", "Its style.", &[(200, Text("text/css"))]),
    get("/dashboard/stream", "Everything that it shows, as server-sent events.", &[(200, Text(STREAM))]),
    get("/openapi.json", "This document.", &[(200, One("Anything"))]),
    get("/init", "What Stratos's clients ask first.", OK),
    get("/session", "Who the credentials are.", OK),
    get("/auth/cookie", "Opens a session: a cookie that stands for the credentials.", OK),
    get("/iaasProviders", "The provisioners.", &[(200, List("Provider"))]),
    get("/status", "How the server is.", &[(200, One("Status"))]),
    post("/pause", "Stops all automation.", Optional("Pause"), OK),
    post("/resume", "Lets automation work again.", Nothing, OK),
    post("/cartridges", "Adds a cartridge.", Needed("Cartridge"), CREATED),
    put("/cartridges", "Replaces a cartridge.", Needed("Cartridge"), OK),
    get("/cartridges", "All cartridges.", &[(200, List("ShownCartridge"))]),
    get("/cartridges/{id}", "One cartridge.", &[(200, One("ShownCartridge"))]),
    delete("/cartridges/{id}", "Removes a cartridge that nothing uses."),
    row("GET", "/cartridges/filter/{filter}", "Cartridges of a kind, in Stratos's words.", CRITERIA, Nothing, &[(200, List("ShownCartridge"))]),
    row("GET", "/cartridges/{id}/filter/{filter}", "One cartridge, if it is of that kind.", CRITERIA, Nothing, &[(200, One("ShownCartridge"))]),
    post("/cartridgeGroups", "Adds the definition of a group.", Needed("CartridgeGroup"), CREATED),
    put("/cartridgeGroups", "Replaces the definition of a group.", Needed("CartridgeGroup"), OK),
    get("/cartridgeGroups", "All definitions of groups.", &[(200, List("ShownCartridgeGroup"))]),
    get("/cartridgeGroups/{id}", "One definition of a group.", &[(200, One("ShownCartridgeGroup"))]),
    delete("/cartridgeGroups/{id}", "Removes a definition that nothing uses."),
    post("/networkPartitions", "Adds a network partition.", Needed("NetworkPartition"), CREATED),
    put("/networkPartitions", "Replaces a network partition.", Needed("NetworkPartition"), OK),
    get("/networkPartitions", "All network partitions.", &[(200, List("ShownNetworkPartition"))]),
    get("/networkPartitions/{id}", "One network partition.", &[(200, One("ShownNetworkPartition"))]),
    delete("/networkPartitions/{id}", "Removes a network partition that nothing uses."),
    post("/deploymentPolicies", "Adds a deployment policy.", Needed("DeploymentPolicy"), CREATED),
    put("/deploymentPolicies", "Replaces a deployment policy.", Needed("DeploymentPolicy"), OK),
    get("/deploymentPolicies", "All deployment policies.", &[(200, List("ShownDeploymentPolicy"))]),
    get("/deploymentPolicies/{id}", "One deployment policy.", &[(200, One("ShownDeploymentPolicy"))]),
    delete("/deploymentPolicies/{id}", "Removes a deployment policy that nothing uses."),
    post("/autoscalingPolicies", "Adds an autoscaling policy.", Needed("AutoscalingPolicy"), CREATED),
    put("/autoscalingPolicies", "Replaces an autoscaling policy.", Needed("AutoscalingPolicy"), OK),
    get("/autoscalingPolicies", "All autoscaling policies.", &[(200, List("ShownAutoscalingPolicy"))]),
    get("/autoscalingPolicies/{id}", "One autoscaling policy.", &[(200, One("ShownAutoscalingPolicy"))]),
    delete("/autoscalingPolicies/{id}", "Removes an autoscaling policy that nothing uses."),
    post("/applicationPolicies", "Adds an application policy.", Needed("ApplicationPolicy"), CREATED),
    put("/applicationPolicies", "Replaces an application policy.", Needed("ApplicationPolicy"), OK),
    get("/applicationPolicies", "All application policies.", &[(200, List("ShownApplicationPolicy"))]),
    get("/applicationPolicies/{id}", "One application policy.", &[(200, One("ShownApplicationPolicy"))]),
    delete("/applicationPolicies/{id}", "Removes an application policy that nothing uses."),
    post("/kubernetesClusters", "Adds a Kubernetes cluster.", Needed("KubernetesCluster"), CREATED),
    put("/kubernetesClusters", "Replaces a Kubernetes cluster.", Needed("KubernetesCluster"), OK),
    get("/kubernetesClusters", "All Kubernetes clusters.", &[(200, List("ShownKubernetesCluster"))]),
    row("PUT", "/kubernetesClusters/host", "Replaces a machine, in whichever cluster it is.", &[], Needed("KubernetesHost"), OK),
    get("/kubernetesClusters/{id}", "One Kubernetes cluster.", &[(200, One("ShownKubernetesCluster"))]),
    delete("/kubernetesClusters/{id}", "Removes a Kubernetes cluster that nothing names."),
    get("/kubernetesClusters/{id}/hosts", "Its machines, the master left out.", &[(200, List("ShownKubernetesHost"))]),
    delete("/kubernetesClusters/{id}/hosts/{host}", "Removes a machine that is not the master."),
    get("/kubernetesClusters/{id}/master", "Its master.", &[(200, One("ShownKubernetesHost"))]),
    row("PUT", "/kubernetesClusters/{id}/master", "This is the master from now on.", &[], Needed("KubernetesHost"), OK),
    post("/kubernetesClusters/{id}/minion", "Adds a machine.", Needed("KubernetesHost"), CREATED),
    post("/users", "Adds a user.", Needed("User"), CREATED),
    row("PUT", "/users", "Changes the role or password of a user.", &[], Needed("User"), OK),
    get("/users", "All users, without passwords.", &[(200, List("ShownUser"))]),
    delete("/users/{id}", "Removes a user and its tokens."),
    post("/tenants", "Adds a tenant with its first user.", Needed("Tenant"), CREATED),
    row("PUT", "/tenants", "Changes a tenant, or gives its administrator another password.", MODE, Needed("TenantChange"), OK),
    get("/tenants", "All tenants.", &[(200, List("ShownTenant"))]),
    get("/tenants/{domain}", "A tenant.", &[(200, One("ShownTenant"))]),
    get("/tenants/search/{domain}", "Tenants whose domain has this in it.", &[(200, List("ShownTenant"))]),
    row("PUT", "/tenants/activate/{domain}", "Lets the users of a tenant in.", &[], Nothing, OK),
    row("PUT", "/tenants/deactivate/{domain}", "Refuses the users of a tenant.", &[], Nothing, OK),
    row("DELETE", "/tenants/{domain}", "Refused: tenants are not removed.", &[], Nothing, OK),
    post("/diff", "What documents would change and what would be decided then; nothing is written.", Needed("Documents"), &[(200, One("Diff"))]),
    post("/applications", "Adds a blueprint.", Needed("Application"), CREATED),
    put("/applications", "Replaces a blueprint.", Needed("Application"), CREATED),
    get("/applications", "All blueprints, and where they stand.", &[(200, List("ShownApplication"))]),
    get("/applications/{id}", "One blueprint, and where it stands.", &[(200, One("ShownApplication"))]),
    delete("/applications/{id}", "Removes a blueprint that does not run."),
    row("POST", "/applications/{id}/deploy/{policy}", "Runs an application.", &[Query::Flag("unchecked")], Nothing, ACCEPTED),
    row("POST", "/applications/{id}/undeploy", "Stops an application.", &[Query::Flag("force")], Nothing, ACCEPTED),
    get("/applications/{id}/runtime", "What runs of it, in Stratos's shape.", &[(200, One("Runtime"))]),
    get("/applications/{id}/networkPartitions", "Where it runs.", &[(200, List("Id"))]),
    get("/applications/{id}/endpoints", "Where clients reach it.", &[(200, List("Endpoint"))]),
    get("/applications/{id}/values", "All that it and its clusters share.", &[(200, List("SharedValue"))]),
    post("/applications/{id}/signup", "Signs the caller's tenant up for an application that several tenants share.", Needed("SignUp"), CREATED),
    get("/applications/{id}/signup", "The sign-up of the caller's tenant.", &[(200, One("ShownSignUp"))]),
    delete("/applications/{id}/signup", "Ends the sign-up of the caller's tenant."),
    post("/applications/{id}/signup/{domain}", "Signs another tenant up; for the super tenant.", Needed("SignUp"), CREATED),
    delete("/applications/{id}/signup/{domain}", "Ends the sign-up of another tenant; for the super tenant."),
    post("/applications/{id}/domainMappings", "Has domains of the caller's tenant lead into an application for which it signed up.", Needed("DomainMappings"), CREATED),
    get("/applications/{id}/domainMappings", "The domains that lead there: of the caller's tenant, and all of its own application.", &[(200, List("ShownDomainMapping"))]),
    delete("/applications/{id}/domainMappings/{domain}", "Has a domain of the caller's tenant lead there no more."),
    get("/domainMappings", "Domains that lead into the caller's applications, and those of the caller's tenant.", &[(200, List("ListedDomainMapping"))]),
    get("/signups", "Who signed up for the caller's applications, and for what the caller's tenant did.", &[(200, List("ListedSignUp"))]),
    get("/cluster/{id}", "A cluster in Stratos's shape.", &[(200, One("RuntimeCluster"))]),
    get("/clusters", "All clusters, with sizes, releases and the last decision.", &[(200, List("Cluster"))]),
    get("/clusters/{id}", "One cluster.", &[(200, One("Cluster"))]),
    post("/clusters/{id}/scale", "Fixes its size, or lets the scaler decide again.", Needed("Size"), OK),
    post("/clusters/{id}/release", "Brings a commit to every member, or follows the branch again.", Needed("Release"), ACCEPTED),
    post("/clusters/{id}/rollback", "Brings the commit before.", Nothing, ACCEPTED),
    get("/explain/{id}", "Why a cluster has its size, or why nothing happens.", &[(200, One("Explained"))]),
    get("/members", "All members.", &[(200, List("Member"))]),
    get("/members/{id}", "One member, with its newest sample and notices.", &[(200, One("DescribedMember"))]),
    post("/members/{id}/drain", "Takes a member out in order.", Nothing, ACCEPTED),
    row("GET", "/events", "What happened.", EVENTS, Nothing, &[(200, ListOrStream("Event"))]),
    row("GET", "/logs/{id}", "What a member's application wrote.", &[Query::Figure("tail"), Query::Flag("follow")], Nothing, &[(200, ListOrStream("Line"))]),
    post("/repo/notify", "A Git server has news.", Needed("Notice"), OK),
    get("/metadata/api/applications/{id}/properties", "What an application shares.", SHARED),
    get("/metadata/api/applications/{id}/properties/{key}", "One key of it.", SHARED_KEY),
    post("/metadata/api/applications/{id}/properties", "Adds values.", Needed("Sharing"), CREATED),
    delete("/metadata/api/applications/{id}/properties", "Shares nothing any more."),
    delete("/metadata/api/applications/{id}/properties/{key}", "Shares nothing under a key any more."),
    delete("/metadata/api/applications/{id}/properties/{key}/value/{value}", "Shares one value no more."),
    get("/metadata/api/applications/{id}/clusters/{alias}/properties", "What a cartridge shares.", SHARED),
    get("/metadata/api/applications/{id}/clusters/{alias}/properties/{key}", "One key of it.", SHARED_KEY),
    post("/metadata/api/applications/{id}/clusters/{alias}/properties", "Replaces what it shares under a key.", Needed("Sharing"), CREATED),
    get("/metadata/api/applications/{id}/cluster/{alias}/properties", "The same in Stratos's other spelling.", SHARED),
    get("/metadata/api/applications/{id}/cluster/{alias}/properties/{key}", "The same.", SHARED_KEY),
    post("/metadata/api/applications/{id}/cluster/{alias}/properties", "The same.", Needed("Sharing"), CREATED),
    get("/mock-iaas/api/instances", "Simulated instances.", &[(200, List("Instance"))]),
    get("/mock-iaas/api/instances/{id}", "The launch parameters of one, as a line of text for who does not accept JSON.", &[(200, OneOrText("InstancePayload"))]),
    delete("/mock-iaas/api/instances/{id}", "Ends one as if it had died."),
];

/// The row of a route.
pub(super) fn row_of(method: &str, route: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.method == method && row.route == route)
}

/// What a refusal means.
pub(super) const fn refusal(status: u16) -> &'static str {
    match status {
        400 => "It cannot be read, refers to what is not there, or is in use.",
        401 => "Nobody known.",
        403 => "Known, but not allowed to.",
        404 => "There is no such thing.",
        405 => "Only users of the super tenant order this.",
        406 => "Tenants are not removed.",
        408 => "The body did not arrive in time.",
        409 => "It does not fit what is there, or was changed meanwhile.",
        413 => "The body is too long.",
        415 => "The body is neither JSON nor YAML.",
        429 => "Too many wrong passwords.",
        503 => "The journal cannot be written.",
        _ => "Not done.",
    }
}

impl Row {
    /// The statuses with which it refuses.
    pub fn refusals(&self, access: Access) -> Vec<u16> {
        let mut all = vec![400];
        if access != Access::Open {
            all.extend([401, 403, 429]);
        }
        let orders = self.method != "GET";
        if orders || self.route.contains('{') || !self.query.is_empty() {
            all.push(404);
        }
        if !matches!(self.body, Nothing) {
            all.extend([408, 413, 415]);
        }
        if orders {
            all.extend([409, 503]);
        }
        if self.method == "DELETE" && self.route == "/tenants/{domain}" {
            all.push(406);
        }
        if self.route == "/applications/{id}/signup/{domain}" {
            all.push(405);
        }
        if matches!(self.route, "/events" | "/logs/{id}") {
            all.push(503);
        }
        all
    }

    /// Documents of collections: one that is shown can be put again.
    fn collection(&self) -> Option<&'static str> {
        let Needed(name) = self.body else {
            return None;
        };
        (self.method == "PUT" && self.query.len() == MODE.len() && self.route != "/tenants").then_some(name)
    }

    /// Whether it takes `If-Match`.
    pub fn if_match(&self) -> bool {
        self.collection().is_some()
    }

    /// Whether what it shows has an `ETag`.
    pub fn tagged(&self) -> bool {
        let collection = self.route.strip_suffix("/{id}");
        self.method == "GET"
            && collection
                .and_then(|route| row_of("PUT", route))
                .is_some_and(Row::if_match)
    }
}

impl Query {
    pub fn parameter(self) -> Value {
        let (name, schema) = match self {
            Self::Flag(name) => (name, json!({"type": "boolean"})),
            Self::Figure(name) => (name, json!({"type": "integer", "minimum": 0})),
            Self::Text(name) => (name, json!({"type": "string"})),
            Self::Word(name, words) => (name, json!({"type": "string", "enum": words})),
        };
        json!({"name": name, "in": "query", "schema": schema})
    }
}

impl Body {
    /// The schema, and whether there must be a body.
    pub fn schema(self) -> Option<(Value, bool)> {
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        match self {
            Nothing => None,
            Needed(name) => Some((reference(name), true)),
            Optional(name) => Some((reference(name), false)),
        }
    }
}

impl Answer {
    /// By media type.
    pub fn content(self) -> Value {
        let one = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let list = |name: &str| json!({"type": "array", "items": one(name)});
        let plain = json!({"schema": {"type": "string"}});
        match self {
            Done => json!({"application/json": {"schema": one("Success")}}),
            One(name) => json!({"application/json": {"schema": one(name)}}),
            List(name) => json!({"application/json": {"schema": list(name)}}),
            ListOrStream(name) => json!({"application/json": {"schema": list(name)}, STREAM: plain}),
            OneOrText(name) => json!({"application/json": {"schema": one(name)}, "text/plain": plain}),
            Text(kind) => json!({kind: plain}),
        }
    }
}
