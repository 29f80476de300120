//! `cartridge get`: one table per kind.
//!
//! This file refuses to know where the figures come from.

use serde_json::Value;

use super::client::{Client, Fault, segment};
use super::show::{self, Column, figures, words};
use super::{GetOptions, Kind, Output};

const POLICIES: [Kind; 3] = [
    Kind::AutoscalingPolicies,
    Kind::DeploymentPolicies,
    Kind::ApplicationPolicies,
];

/// Carries out `get`.
pub async fn get(client: &Client, options: &GetOptions, output: Output) -> Result<(), Fault> {
    let found = fetch(client, options).await?;
    if output == Output::Json {
        return show::json(&found);
    }
    let rows = match found {
        Value::Array(rows) => rows,
        one => vec![one],
    };
    let (columns, cells) = table_of(options.kind);
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    show::table(columns, &rows, "none")
}

async fn fetch(client: &Client, options: &GetOptions) -> Result<Value, Fault> {
    match (options.kind, &options.name) {
        (Kind::Endpoints, name) => {
            endpoints(client, name.as_deref().or(options.application.as_deref())).await
        }
        (Kind::Metadata, name) => {
            let name = name.as_deref().or(options.application.as_deref());
            let usage = || Fault::Usage("whose? `cartridge get metadata APPLICATION`".to_owned());
            let name = name.ok_or_else(usage)?;
            client
                .get(&format!("applications/{}/values", segment(name)))
                .await
        }
        (Kind::Policies, name) => policies(client, name.as_deref()).await,
        (Kind::DomainMappings, Some(name)) => domain_mapping(client, name).await,
        (Kind::Users, Some(name)) => user(client, name).await,
        (Kind::SignUps, Some(name)) => sign_ups(client, name).await,
        (kind, Some(name)) => {
            client
                .get(&format!("{}/{}", collection(kind), segment(name)))
                .await
        }
        (kind, None) => {
            let mut all = client.get(collection(kind)).await?;
            if let (Some(wanted), Some(rows)) = (&options.application, all.as_array_mut()) {
                rows.retain(|row| row["application"] == **wanted || row["applicationId"] == **wanted);
            }
            Ok(all)
        }
    }
}

/// The API lists users only.
async fn user(client: &Client, name: &str) -> Result<Value, Fault> {
    let all = client.get(collection(Kind::Users)).await?;
    let mut users = all.as_array().into_iter().flatten();
    let found = users.find(|user| user["userName"] == *name).cloned();
    found.ok_or_else(|| Fault::NotFound(format!("no user is called {name:?}")))
}

/// Who signed up for an application; the API lists all.
pub(super) async fn sign_ups(client: &Client, application: &str) -> Result<Value, Fault> {
    let mut all = client.get(collection(Kind::SignUps)).await?;
    if let Some(rows) = all.as_array_mut() {
        rows.retain(|row| row["application"] == *application);
    }
    Ok(all)
}

/// One of them, by its domain; the API lists all.
pub(super) async fn domain_mapping(client: &Client, domain: &str) -> Result<Value, Fault> {
    let all = client.get(collection(Kind::DomainMappings)).await?;
    let mut rows = all.as_array().into_iter().flatten();
    let found = rows.find(|row| row["domainName"] == *domain.to_ascii_lowercase());
    found
        .cloned()
        .ok_or_else(|| Fault::NotFound(format!("no domain {domain:?} is mapped")))
}

fn collection(kind: Kind) -> &'static str {
    kind.collection()
        .expect("endpoints, metadata and policies are fetched otherwise")
}

async fn endpoints(client: &Client, application: Option<&str>) -> Result<Value, Fault> {
    let names = match application {
        Some(name) => vec![name.to_owned()],
        None => {
            let all = client.get("applications").await?;
            let rows = all.as_array().cloned().unwrap_or_default();
            rows.iter()
                .filter_map(|row| row["applicationId"].as_str().map(str::to_owned))
                .collect()
        }
    };
    let mut found = Vec::new();
    for name in names {
        let points = client
            .get(&format!("applications/{}/endpoints", segment(&name)))
            .await?;
        for mut point in points.as_array().cloned().unwrap_or_default() {
            point["application"] = Value::from(name.clone());
            found.push(point);
        }
    }
    Ok(Value::Array(found))
}

async fn policies(client: &Client, name: Option<&str>) -> Result<Value, Fault> {
    let mut found = Vec::new();
    for kind in POLICIES {
        for mut policy in client
            .get(collection(kind))
            .await?
            .as_array()
            .cloned()
            .unwrap_or_default()
        {
            if name.is_none_or(|name| policy["id"] == name) {
                policy["kind"] = Value::from(collection(kind).replace("Policies", ""));
                found.push(policy);
            }
        }
    }
    if let (Some(name), true) = (name, found.is_empty()) {
        return Err(Fault::NotFound(format!("no policy is called {name:?}")));
    }
    Ok(Value::Array(found))
}

type Cells = fn(&Value) -> Vec<String>;

const MEMBER: &[Column] = &[
    words("MEMBER", 0),
    words("PHASE", 0),
    figures("SINCE", 3),
    words("WHERE", 5),
    words("RELEASE", 2),
    figures("LOAD", 1),
    figures("MEM", 1),
    figures("FLIGHT", 1),
    words("ADDRESS", 6),
];
const GROUP: &[Column] = &[
    words("GROUP", 0),
    words("CARTRIDGES", 1),
    words("GROUPS", 1),
    words("TERMINATION", 2),
];
const CLUSTER: &[Column] = &[
    words("CLUSTER", 0),
    figures("ACTIVE", 0),
    figures("WANTED", 0),
    words("MIN-MAX", 3),
    figures("FLIGHT", 2),
    words("RELEASE", 1),
    words("STATE", 2),
];
const APPLICATION: &[Column] = &[
    words("APPLICATION", 0),
    words("STATUS", 0),
    words("POLICY", 1),
    words("CARTRIDGES", 2),
    figures("REVISION", 3),
];
const ENDPOINT: &[Column] = &[
    words("APPLICATION", 2),
    words("ADDRESS", 0),
    words("CLUSTER", 0),
    figures("MEMBERS", 0),
    words("NETWORK PARTITION", 1),
];
const METADATA: &[Column] = &[words("CARTRIDGE", 0), words("KEY", 0), words("VALUES", 0)];
const CARTRIDGE: &[Column] = &[
    words("CARTRIDGE", 0),
    words("CATEGORY", 2),
    words("PROVIDERS", 0),
    words("PORTS", 1),
    words("VERSION", 3),
];
const AUTOSCALING: &[Column] = &[
    words("POLICY", 0),
    figures("IN FLIGHT", 0),
    figures("LOAD %", 0),
    figures("MEMORY %", 0),
    figures("HORIZON", 1),
    figures("STABLE", 1),
];
const DEPLOYMENT: &[Column] = &[words("POLICY", 0), words("PARTITIONS", 0)];
const APPLICATION_POLICY: &[Column] = &[
    words("POLICY", 0),
    words("ALGORITHM", 0),
    words("NETWORK PARTITIONS", 0),
];
const TENANT: &[Column] = &[
    words("TENANT", 0),
    figures("NUMBER", 0),
    words("ADMIN", 0),
    words("ACTIVE", 0),
    words("SINCE", 2),
    words("EMAIL", 1),
];
const SIGN_UP: &[Column] = &[
    words("APPLICATION", 0),
    words("TENANT", 0),
    figures("NUMBER", 1),
    words("FILES", 0),
];
const DOMAIN_MAPPING: &[Column] = &[
    words("DOMAIN", 0),
    words("APPLICATION", 0),
    words("CARTRIDGE", 0),
    words("PATH", 1),
    words("TENANT", 2),
];
const USER: &[Column] = &[words("USER", 0), words("ROLE", 0)];
const POLICY: &[Column] = &[words("POLICY", 0), words("KIND", 0)];
const NETWORK: &[Column] = &[
    words("NETWORK PARTITION", 0),
    words("PROVIDER", 0),
    words("PARTITIONS", 1),
];

fn table_of(kind: Kind) -> (&'static [Column], Cells) {
    match kind {
        Kind::Members => (MEMBER, member),
        Kind::Clusters => (CLUSTER, cluster),
        Kind::Applications => (APPLICATION, application),
        Kind::Endpoints => (ENDPOINT, endpoint),
        Kind::Metadata => (METADATA, |row| {
            let whose = row["alias"].as_str().unwrap_or("(application)").to_owned();
            vec![whose, text(&row["key"]), names(&row["values"], text)]
        }),
        Kind::Cartridges => (CARTRIDGE, cartridge),
        Kind::CartridgeGroups => (GROUP, cartridge_group),
        Kind::Policies => (POLICY, |row| vec![text(&row["id"]), text(&row["kind"])]),
        Kind::AutoscalingPolicies => (AUTOSCALING, autoscaling),
        Kind::DeploymentPolicies => (DEPLOYMENT, deployment),
        Kind::ApplicationPolicies => (APPLICATION_POLICY, application_policy),
        Kind::NetworkPartitions => (NETWORK, network),
        Kind::Tenants => (TENANT, tenant),
        Kind::SignUps => (SIGN_UP, sign_up),
        Kind::DomainMappings => (DOMAIN_MAPPING, domain_row),
        Kind::Users => (USER, |row| vec![text(&row["userName"]), text(&row["role"])]),
    }
}

fn member(row: &Value) -> Vec<String> {
    vec![
        text(&row["member"]),
        text(&row["phase"]),
        row["sinceSeconds"].as_u64().map(age).unwrap_or_default(),
        format!("{}/{}", text(&row["networkPartition"]), text(&row["partition"])),
        short(&row["release"]),
        percent(&row["loadAverage"]),
        percent(&row["memoryConsumption"]),
        text(&row["inFlight"]),
        address(row),
    ]
}

fn address(row: &Value) -> String {
    let ports = row["ports"].as_object().cloned().unwrap_or_default();
    match ports.values().next().and_then(Value::as_u64) {
        Some(port) => format!("{}:{port}", text(&row["address"])),
        None => text(&row["address"]),
    }
}

fn cluster(row: &Value) -> Vec<String> {
    vec![
        text(&row["cluster"]),
        text(&row["active"]),
        text(&row["desired"]),
        format!("{}-{}", text(&row["min"]), text(&row["max"])),
        text(&row["inFlight"]),
        short(&row["release"]["accepted"]),
        cluster_state(row),
    ]
}

fn cluster_state(row: &Value) -> String {
    if row["decision"]["frozen"].is_string() {
        "frozen".into()
    } else if row["orderedSize"].is_u64() {
        "ordered".into()
    } else if row["release"]["proposed"].is_string() {
        "updating".into()
    } else {
        "auto".into()
    }
}

fn application(row: &Value) -> Vec<String> {
    let aliases = aliases(&row["components"]).join(", ");
    let policy = text(&row["applicationPolicyId"]);
    vec![
        text(&row["applicationId"]),
        text(&row["status"]),
        policy,
        aliases,
        text(&row["revision"]),
    ]
}

/// The cartridges of an application or a group, then those in its groups.
fn aliases(within: &Value) -> Vec<String> {
    let list = |field: &str| within[field].as_array().map_or(&[][..], Vec::as_slice);
    let own = list("cartridges")
        .iter()
        .map(|c| text(&c["subscribableInfo"]["alias"]));
    own.chain(list("groups").iter().flat_map(aliases)).collect()
}

fn endpoint(row: &Value) -> Vec<String> {
    vec![
        text(&row["application"]),
        format!("{}:{}", text(&row["address"]), text(&row["port"])),
        text(&row["cluster"]),
        text(&row["members"]),
        text(&row["networkPartition"]),
    ]
}

/// Of each cartridge with files of the tenant: which commit, and how many members have it.
fn sign_up(row: &Value) -> Vec<String> {
    let files = |one: &Value| {
        let release = &one["release"];
        let commit = match short(&release["commit"]) {
            commit if commit.is_empty() => "no commit".to_owned(),
            commit => commit,
        };
        let rejected = release["rejected"].as_array().is_some_and(|all| !all.is_empty());
        let note = if rejected { ", a later one rejected" } else { "" };
        match release {
            Value::Null => format!("{}: not running", text(&one["alias"])),
            release => format!(
                "{}: {commit} in {} of {} members{note}",
                text(&one["alias"]),
                text(&release["have"]),
                text(&release["members"])
            ),
        }
    };
    vec![
        text(&row["application"]),
        text(&row["tenantDomain"]),
        text(&row["tenantId"]),
        names(&row["artifactRepositories"], files),
    ]
}

fn domain_row(row: &Value) -> Vec<String> {
    vec![
        text(&row["domainName"]),
        text(&row["application"]),
        text(&row["cartridgeAlias"]),
        text(&row["contextPath"]),
        text(&row["tenantDomain"]),
    ]
}

fn cartridge(row: &Value) -> Vec<String> {
    vec![
        text(&row["type"]),
        text(&row["category"]),
        names(&row["iaasProvider"], |p| text(&p["type"])),
        names(&row["portMapping"], |p| {
            format!("{}>{}", text(&p["proxyPort"]), text(&p["port"]))
        }),
        text(&row["version"]),
    ]
}

fn cartridge_group(row: &Value) -> Vec<String> {
    vec![
        text(&row["name"]),
        names(&row["cartridges"], text),
        names(&row["groups"], |g| text(&g["name"])),
        text(&row["dependencies"]["terminationBehaviour"]),
    ]
}

fn autoscaling(row: &Value) -> Vec<String> {
    let limits = &row["loadThresholds"];
    vec![
        text(&row["id"]),
        text(&limits["requestsInFlight"]["threshold"]),
        text(&limits["loadAverage"]["threshold"]),
        text(&limits["memoryConsumption"]["threshold"]),
        format!("{} s", text(&row["horizonSeconds"])),
        format!("{} s", text(&row["stabilizationSeconds"])),
    ]
}

fn deployment(row: &Value) -> Vec<String> {
    let places = names(&row["networkPartitions"], |np| {
        let inner = names(&np["partitions"], |p| {
            format!("{} {}", text(&p["id"]), text(&p["partitionMax"]))
        });
        format!("{} ({inner})", text(&np["id"]))
    });
    vec![text(&row["id"]), places]
}

fn application_policy(row: &Value) -> Vec<String> {
    vec![
        text(&row["id"]),
        text(&row["algorithm"]),
        names(&row["networkPartitions"], text),
    ]
}

fn network(row: &Value) -> Vec<String> {
    vec![
        text(&row["id"]),
        text(&row["provider"]),
        names(&row["partitions"], |p| text(&p["id"])),
    ]
}

fn tenant(row: &Value) -> Vec<String> {
    [
        "tenantDomain",
        "tenantId",
        "admin",
        "active",
        "createdDate",
        "email",
    ]
    .iter()
    .map(|field| text(&row[*field]))
    .collect()
}

fn names(list: &Value, each: impl Fn(&Value) -> String) -> String {
    let all: Vec<String> = list.as_array().into_iter().flatten().map(each).collect();
    all.join(", ")
}

/// A value as a cell; what is absent is a dash.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => show::figure(value),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn percent(value: &Value) -> String {
    value
        .as_f64()
        .map_or_else(|| "-".into(), |value| format!("{}%", show::figure(value.round())))
}

fn short(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| "-".into(), |hash| hash.chars().take(8).collect())
}

/// A length of time, shortened.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_cell_per_column_even_for_nothing() {
        use clap::ValueEnum as _;
        for kind in Kind::value_variants() {
            let (columns, cells) = table_of(*kind);
            assert_eq!(cells(&Value::Null).len(), columns.len(), "{kind:?}");
        }
    }

    #[test]
    fn times_are_short() {
        assert_eq!([59, 120, 7200, 200_000].map(age), ["59s", "2m", "2h", "2d"]);
    }
}
