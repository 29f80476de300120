//! What is answered, as JSON schemas, and what is sent beside documents. Answers have exactly these fields: every answer in
//! the tests of the API is held against them.
//!
//! This file refuses to know how an answer is made.

use serde_json::{Map, Value, json};

/// All of them, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let all = [
        replies(), sent(), sharing(), cartridges(), policies(), places(), applications(), figures(), runtime(), happenings(),
    ];
    all.into_iter()
        .flatten()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}

type Named = Vec<(&'static str, Value)>;

/// An object with exactly these fields; those whose names end in `?` may be absent.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let needed: Vec<&str> = fields
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.ends_with('?'))
        .collect();
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "properties": properties, "required": needed, "additionalProperties": false})
}

/// The same with more fields.
fn with<const N: usize>(mut base: Value, fields: [(&str, Value); N]) -> Value {
    let mut more = object(fields);
    if let (Some(all), Some(new)) = (
        base["properties"].as_object_mut(),
        more["properties"].as_object_mut(),
    ) {
        all.append(new);
    }
    if let (Some(all), Some(new)) = (base["required"].as_array_mut(), more["required"].as_array_mut()) {
        all.append(new);
    }
    base
}

fn text() -> Value {
    json!({"type": "string"})
}

fn whole() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn number() -> Value {
    json!({"type": "number"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn map(of: Value) -> Value {
    json!({"type": "object", "additionalProperties": of})
}

fn or_null(of: Value) -> Value {
    json!({"anyOf": [of, {"type": "null"}]})
}

fn like(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn replies() -> Named {
    let fault = object([("field", text()), ("value", text()), ("message", text())]);
    vec![
        ("Anything", json!({})), ("Id", text()),
        (
            "Success",
            object([("status", word(&["success"])), ("message", text())])),
        ("Failure", object([
                ("status", word(&["error"])), ("message", text()), ("field?", text()), ("faults?", list(fault)),
            ])),
    ]
}

/// Bodies that are no documents; fields that are not named here are ignored.
fn sent() -> Named {
    let figure = json!({"anyOf": [{"type": "integer", "minimum": 0, "maximum": u32::MAX}, {"type": "string"}, {"type": "null"}]});
    let document = json!({"type": "object", "required": ["collection", "document"],
        "properties": {"collection": {"type": "string"}, "document": {"type": "object"}}});
    let tenant = |needed: Value| {
        json!({"type": "object", "required": needed, "additionalProperties": false, "properties": {
            "tenantDomain": {"type": ["string", "number", "boolean"], "pattern": "^[A-Za-z0-9]([A-Za-z0-9.\\-]*[A-Za-z0-9])?$", "maxLength": 100},
            "admin": {"type": ["string", "number", "boolean", "null"], "pattern": "^[A-Za-z0-9._@\\-]{3,64}$"},
            "adminPassword": {"type": ["string", "number", "boolean", "null"], "minLength": 6, "maxLength": 256, "writeOnly": true},
            "firstName": {}, "firstname": {}, "lastName": {}, "lastname": {}, "email": {}, "active": {},
            "tenantId": {}, "createdDate": {}, "usagePlan": {}, "originatedService": {}, "successKey": {}}})
    };
    vec![
        ("Tenant", tenant(json!(["tenantDomain", "admin", "adminPassword"]))),
        ("TenantChange", tenant(json!(["tenantDomain"]))),
        (
            "Pause",
            json!({"type": ["object", "null"], "properties": {"reason": {"type": ["string", "null"],
            "maxLength": 1000, "description": "Why, for the others."}}}),
        ),
        (
            "Size",
            json!({"type": "object", "required": ["size"], "properties": {"size": figure},
            "description": "How many members in all; null or `auto`: the scaler decides."}),
        ),
        (
            "Release",
            json!({"type": "object",
            "properties": {"commit": {"type": ["string", "null"], "description": "A full commit hash."},
                "follow": {"type": ["boolean", "null"], "description": "True: follow the branch."}}}),
        ),
        (
            "Notice",
            json!({"type": "object", "required": ["repository"],
            "properties": {"repository": {"type": "object", "properties": {"url": {"description": "Which one."}}}}}),
        ),
        (
            "Documents",
            json!({"type": "object", "required": ["documents"],
            "properties": {"documents": {"type": "array", "maxItems": 1000, "items": document}}}),
        ),
        (
            "User",
            json!({"type": "object", "required": ["userName"], "additionalProperties": false, "properties": {
            "userName": {"type": "string", "minLength": 3, "maxLength": 64, "pattern": "^[A-Za-z0-9._@\\-]+$"},
            "credential": {"type": ["string", "null"], "minLength": 6, "maxLength": 256, "writeOnly": true},
            "role": {"enum": ["admin", "viewer", "Internal/user", null]},
            "firstName": {}, "lastName": {}, "email": {}, "profileName": {}}}),
        ),
    ]
}

fn property() -> Value {
    list(object([("name", text()), ("value", text())]))
}

fn cartridges() -> Named {
    let port = object([
        ("name", text()), ("protocol", word(&["http", "https", "tcp"])), ("port", whole()), ("proxyPort", whole()),
    ]);
    let provider = object([("type", text()), ("imageId", text()), ("property", property())]);
    let process = object([
        ("command", list(text())), ("environment", map(text())), ("hooks", or_null(text())),
    ]);
    let probe = object([("http", object([("port", text()), ("path", text())]))]);
    let aliases = || list(object([("aliases", list(text()))]));
    vec![
        ("ShownCartridge", object([
            ("type", text()), ("category", text()), ("provider", text()), ("host", text()),
            ("displayName", text()), ("description", text()), ("version", text()), ("multiTenant", flag()),
            ("portMapping", list(port)), ("deployment", object([("baseDir?", text())])),
            ("iaasProvider", list(provider)), ("onRelease", word(&["nothing", "restart"])),
            ("metadataKeys", list(text())), ("property", property()), ("process?", process), ("health?", probe),
        ])),
        ("ShownCartridgeGroup", object([
            ("name", text()), ("cartridges", list(text())), ("groups", list(like("ShownCartridgeGroup"))),
            ("dependencies?", like("ShownDependencies")),
        ])),
        ("ShownDependencies", object([
            ("startupOrders", aliases()), ("scalingDependents", aliases()),
            ("terminationBehaviour", word(&["terminate-none", "terminate-dependents", "terminate-all"])),
        ])),
    ]
}

fn policies() -> Named {
    let threshold = || object([("threshold", number())]);
    let thresholds = object([
        ("requestsInFlight?", threshold()), ("memoryConsumption?", threshold()), ("loadAverage?", threshold()),
    ]);
    let arrivals = object([
        ("workers", whole()), ("waitSeconds", number()), ("serviceSeconds?", number()), ("violationPrice", number()),
    ]);
    let part = object([("id", text()), ("partitionMax", whole())]);
    let used = object([
        ("id", text()), ("partitionAlgo", word(&["one-after-another", "round-robin"])), ("partitions", list(part)),
    ]);
    vec![
        ("ShownAutoscalingPolicy", object([
            ("id", text()), ("loadThresholds", thresholds), ("horizonSeconds", number()),
            ("stabilizationSeconds", number()), ("arrivals?", arrivals),
        ])),
        ("ShownDeploymentPolicy", object([("id", text()), ("networkPartitions", list(used))])),
        ("ShownApplicationPolicy", object([
            ("id", text()), ("algorithm", word(&["one-after-another", "all-at-once"])),
            ("networkPartitions", list(text())), ("properties", property()),
        ])),
    ]
}

fn places() -> Named {
    let place = object([("id", text()), ("description", text()), ("property", property())]);
    let hidden = list(object([("name", text()), ("value?", text())]));
    vec![
        ("ShownNetworkPartition", object([
            ("id", text()), ("provider", text()), ("partitions", list(place)), ("properties", property()),
        ])),
        ("ShownKubernetesHost", object([
            ("hostId", text()), ("hostname?", text()), ("privateIPAddress", text()), ("publicIPAddress?", text()),
            ("property", property()),
        ])),
        ("ShownKubernetesCluster", object([
            ("clusterId", text()), ("description", text()), ("kubernetesMaster", like("ShownKubernetesHost")),
            ("kubernetesHosts", list(like("ShownKubernetesHost"))),
            ("portRange", object([("lower", whole()), ("upper", whole())])), ("property", hidden),
        ])),
    ]
}

fn repository() -> Value {
    object([
        ("repoUrl", text()), ("branch", text()), ("repoUsername", or_null(text())), ("pollSeconds", whole()),
    ])
}

fn domain_mapping() -> Value {
    object([
        ("domainName", text()), ("cartridgeAlias", text()), ("contextPath", text()),
        ("tenantId", json!({"type": "integer"})), ("tenantDomain", text()),
    ])
}

fn applications() -> Named {
    let info = object([
        ("alias", text()), ("autoscalingPolicy", text()), ("property", property()), ("deploymentPolicy?", text()),
        ("artifactRepository?", repository()),
    ]);
    let components = object([
        ("cartridges", list(like("ShownSubscription"))),
        ("groups?", list(like("ShownGroup"))),
        ("dependencies?", like("ShownDependencies")),
    ]);
    let files = object([
        ("commit", or_null(text())), ("members", whole()), ("have", whole()), ("rejected", verdicts()),
    ]);
    let signed = || with(repository(), [("alias", text()), ("privateRepo", flag())]);
    vec![
        ("ShownApplication", object([
                ("applicationId", text()), ("alias", text()), ("name", text()), ("description", text()),
                ("multiTenant", flag()), ("property", property()), ("components", components),
                ("status", word(&["Created", "Deployed", "Undeploying"])), ("applicationPolicyId", or_null(text())),
                ("revision", whole()), ("signUpsExist", flag()),
            ])),
        ("ShownSignUp", object([("artifactRepositories", list(signed()))])),
        ("ListedSignUp", object([
                ("application", text()), ("tenantId", json!({"type": "integer"})), ("tenantDomain", text()),
                ("artifactRepositories", list(with(signed(), [("release", or_null(files))]))),
            ])),
        ("ShownDomainMapping", domain_mapping()),
        ("ListedDomainMapping", with(domain_mapping(), [("application", text())])),
        ("ShownSubscription", object([
                ("type", text()), ("cartridgeMin", whole()), ("cartridgeMax", whole()), ("subscribableInfo", info),
            ])),
        ("ShownGroup", object([
                ("name", text()), ("alias", text()), ("groupMinInstances", whole()), ("groupMaxInstances", whole()),
                ("cartridges", list(like("ShownSubscription"))),
                ("groups", list(like("ShownGroup"))), ("deploymentPolicy?", text()),
                ("dependencies?", like("ShownDependencies")),
            ])),
        ("Endpoint", object([
                ("networkPartition", text()), ("address", text()), ("port", whole()), ("cluster", text()),
                ("members", whole()),
            ])),
    ]
}

fn verdicts() -> Value {
    list(object([("commit", text()), ("reason", text())]))
}

fn member() -> Value {
    let state = ["starting", "active", "suspended", "stopping", "stopped", "failed"];
    let tenant = object([
        ("tenantId", json!({"type": "integer"})), ("current", or_null(text())), ("head", or_null(text())),
        ("refused", verdicts()),
    ]);
    let agent = object([
        ("phase", object([("state", word(&state)), ("reason?", text())])), ("restarts", whole()),
        ("head", or_null(text())), ("staged", list(text())), ("refused", verdicts()), ("tenants", list(tenant)),
    ]);
    let phase = [
        "planned",
        "ensured",
        "starting",
        "active",
        "suspended",
        "updating",
        "draining",
        "stopping",
        "ended",
    ];
    object([
        ("member", text()), ("incarnation", whole()), ("kind", word(&["application", "balancer"])),
        ("application", or_null(text())), ("cluster", text()), ("networkPartition", text()), ("partition", text()),
        ("phase", word(&phase)), ("reason", or_null(text())), ("sinceSeconds", whole()), ("release", or_null(text())),
        ("orderedCommit", or_null(text())), ("address", or_null(text())), ("ports", map(whole())),
        ("instance", or_null(text())), ("loadAverage", or_null(number())), ("memoryConsumption", or_null(number())),
        ("inFlight", or_null(whole())), ("heardSecondsAgo", or_null(number())), ("agent", or_null(agent)),
    ])
}

fn cluster() -> Value {
    let decision = object([
        ("cluster", text()), ("inputs", text()), ("forecast", json!({})), ("required", whole()), ("factor", text()),
        ("target", whole()), ("frozen", or_null(text())), ("notes", list(text())),
    ]);
    let instance = object([
        ("networkPartition", text()), ("desired", whole()), ("active", whole()), ("ending", flag()),
        ("inFlight", or_null(whole())), ("members", list(text())),
    ]);
    let release = object([
        ("accepted", or_null(text())), ("proposed", or_null(text())), ("previous", or_null(text())),
        ("pinned", flag()), ("rejected", verdicts()),
    ]);
    object([
        ("cluster", text()), ("application", text()), ("alias", text()), ("cartridge", text()),
        ("kind", word(&["application", "balancer"])), ("min", whole()), ("max", whole()), ("active", whole()),
        ("desired", whole()), ("inFlight", or_null(whole())), ("served", whole()), ("failed", whole()),
        ("hosts", list(text())), ("autoscalingPolicy", or_null(text())), ("deploymentPolicy", or_null(text())),
        ("repository", or_null(repository())), ("orderedSize", or_null(whole())), ("release", release),
        ("instances", list(instance)), ("decision", or_null(decision)),
    ])
}

fn figures() -> Named {
    let notice = object([("number", whole()), ("kind", text()), ("text", text())]);
    let sample = or_null(
        json!({"type": "object", "description": "As the agent measured it (protocol/src/sample.rs)."}),
    );
    let durations = || {
        object([
            ("count", whole()),
            ("p50Ms", number()),
            ("p99Ms", number()),
            ("maxMs", number()),
        ])
    };
    let orphan = object([
        ("provider", text()), ("member", text()), ("incarnation", whole()), ("running", flag()),
    ]);
    vec![
        ("Member", member()),
        (
            "DescribedMember",
            with(member(), [("sample", sample), ("notices", list(notice))])),
        ("Cluster", cluster()), ("Explained", with(cluster(), [("because", text())])),
        ("Status", object([
                ("version", text()), ("installation", text()), ("epoch", whole()), ("seq", whole()),
                ("paused", or_null(object([("by", text()), ("reason", text())]))), ("applications", whole()),
                ("clusters", whole()), ("members", map(whole())), ("activeMembers", whole()),
                ("frozen", list(object([("cluster", text()), ("reason", text())]))), ("orphans", list(orphan)),
                ("pass", durations()), ("append", durations()),
            ])),
    ]
}

fn runtime() -> Named {
    let port = object([("name", text()), ("value", whole())]);
    let member = object([
        ("memberId", text()), ("serviceName", text()), ("clusterId", text()), ("clusterInstanceId", text()),
        ("networkPartitionId", text()), ("partitionId", text()), ("instanceId", or_null(text())), ("status", text()),
        ("defaultPrivateIP", text()), ("memberPrivateIPs", list(text())), ("defaultPublicIP", text()),
        ("memberPublicIPs", list(text())), ("lbClusterId", or_null(text())), ("ports", list(port)),
        ("property", property()),
    ]);
    let standing = || word(&["Created", "Active", "Inactive", "Terminating"]);
    let group = object([
        ("instanceId", text()), ("parentInstanceId", text()), ("groupId", text()), ("status", standing()),
        ("groupInstances", list(like("RuntimeGroup"))), ("clusterInstances", list(like("RuntimeCluster"))),
    ]);
    let instance = object([
        ("instanceId", text()), ("parentInstanceId", text()), ("applicationId", text()), ("status", standing()),
        ("groupInstances", list(like("RuntimeGroup"))), ("clusterInstances", list(like("RuntimeCluster"))),
    ]);
    vec![
        ("Runtime", object([
                ("id", text()), ("name", text()), ("description", text()),
                ("status", word(&["Created", "Deployed", "Undeploying"])), ("tenantDomain", text()),
                ("tenantAdminUsername", text()), ("applicationInstances", list(instance)),
            ])),
        ("RuntimeGroup", group),
        ("RuntimeCluster", object([
                ("instanceId", text()), ("parentInstanceId", text()), ("alias", text()), ("serviceName", text()),
                ("clusterId", text()), ("status", standing()), ("tenantRange", text()), ("hostNames", list(text())),
                ("accessUrls", list(text())), ("kubernetesServices", list(json!({}))),
                ("loadBalancerIps", list(text())), ("member", list(member)),
            ])),
    ]
}

fn sharing() -> Named {
    let values = || json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    let pairs = || list(object([("key", text()), ("values", values())]));
    let instance = || object([
        ("instanceId", or_null(text())), ("memberId", text()), ("clusterId", text()), ("networkPartitionId", text()),
        ("partitionId", text()), ("defaultPrivateIp", or_null(text())), ("defaultPublicIp", or_null(text())),
    ]);
    vec![
        ("Sharing", json!({"type": "object", "required": ["key", "values"],
            "properties": {"key": {"type": "string"}, "values": {"type": ["string", "number", "boolean", "array"],
                "items": {"type": ["string", "number", "boolean"]}}}})),
        ("Shared", object([("properties", pairs())])),
        ("SharedKey", object([("properties", pairs()), ("key", text()), ("values", values())])),
        ("SharedValue", object([
            ("application", text()), ("alias", or_null(text())), ("key", text()), ("values", list(text())),
        ])),
        ("Instance", instance()),
        ("InstancePayload", with(instance(), [("payload", text())])),
    ]
}

fn happenings() -> Named {
    let change = object([("field", text()), ("from", json!({})), ("to", json!({}))]);
    let row = object([
        ("collection", text()), ("id", text()), ("change", word(&["add", "change", "none"])),
        ("changes", list(change)),
    ]);
    vec![
        ("Event", object([
                ("seq", whole()), ("at", text()), ("kind", text()), ("application", or_null(text())),
                ("cluster", or_null(text())), ("member", or_null(text())), ("text", text()),
            ])),
        (
            "Line",
            object([("number", whole()), ("stream", text()), ("text", text())])),
        (
            "Diff",
            object([("documents", list(row)), ("plan", list(text())), ("decisions", list(text()))])),
        ("Provider", object([("name", text()), ("className", text())])),
        ("ShownTenant", object([
                ("tenantId", whole()), ("tenantDomain", text()), ("admin", text()), ("firstName", text()),
                ("lastName", text()), ("email", text()), ("active", flag()), ("createdDate", text()),
            ])),
        (
            "ShownUser",
            object([("userName", text()), ("role", word(&["admin", "viewer"]))])),
    ]
}
