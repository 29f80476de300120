//! Journal entries as events for people: kind, what it concerns, and one line of text.
//!
//! This file refuses to know who reads it. Reasons can hold words of members: whoever shows them must not interpret
//! them.

use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::{ApplicationId, CommitId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Position in the journal.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The record's kind.
    pub kind: String,
    /// Which application it concerns.
    pub application: Option<String>,
    /// Which cluster.
    pub cluster: Option<String>,
    /// Which member.
    pub member: Option<String>,
    /// What happened.
    pub text: String,
}

/// Tells an entry. `world` knows which application a cluster belongs to; for a cluster that is gone its id says so.
pub fn tell(entry: &Entry, world: &World) -> Event {
    let fields = serde_json::to_value(&entry.record).unwrap_or_default();
    let field = |name: &str| fields[name].as_str().map(str::to_owned);
    let member = field("member");
    let cluster = field("cluster").or_else(|| member.as_deref().and_then(cluster_of));
    let application = match &entry.record {
        Record::ApplicationPut(put) => Some(put.application_id.to_string()),
        _ => {
            field("application").or_else(|| cluster.as_deref().map(|cluster| application_of(cluster, world)))
        }
    };
    Event {
        seq: entry.seq,
        at: rfc3339(entry.at_unix_ms),
        kind: kind(&fields),
        application,
        cluster,
        member,
        text: text(&entry.record),
    }
}

fn kind(fields: &Value) -> String {
    fields["kind"].as_str().unwrap_or("unknown").to_owned()
}

/// Milliseconds since 1970 as RFC 3339, to the millisecond.
pub fn rfc3339(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(|| "-".into(), |stamp| format!("{stamp:.3}"))
}

/// A member's id is its cluster's with a number.
fn cluster_of(member: &str) -> Option<String> {
    member.rsplit_once('-').map(|(cluster, _)| cluster.to_owned())
}

fn application_of(cluster: &str, world: &World) -> String {
    world.application_of(cluster).map_or_else(
        || cluster.split('.').next().unwrap_or_default().to_owned(),
        ToString::to_string,
    )
}

/// One line for people.
pub fn text(record: &Record) -> String {
    installation(record)
        .or_else(|| resource(record))
        .or_else(|| application(record))
        .or_else(|| values(record))
        .or_else(|| size(record))
        .or_else(|| groups(record))
        .or_else(|| member_before_service(record))
        .or_else(|| member_in_service(record))
        .or_else(|| release(record))
        .unwrap_or_else(|| kind(&serde_json::to_value(record).unwrap_or_default()))
}

fn installation(record: &Record) -> Option<String> {
    Some(match record {
        Record::InstallationCreated { installation } => format!("installation {installation} was created"),
        Record::OrchestratorStarted { epoch } => format!("orchestrator started (epoch {epoch})"),
        Record::AutomationPaused { by, reason } => format!("automation was paused by {by}: {reason}"),
        Record::AutomationResumed { by } => format!("automation was resumed by {by}"),
        _ => return None,
    })
}

fn resource(record: &Record) -> Option<String> {
    Some(match record {
        Record::CartridgePut(one) => format!("cartridge {} was put", one.cartridge_type),
        Record::CartridgeRemoved { cartridge_type } => format!("cartridge {cartridge_type} was removed"),
        Record::CartridgeGroupPut(one) => format!("cartridge group {} was put", one.name),
        Record::CartridgeGroupRemoved { name } => format!("cartridge group {name} was removed"),
        Record::AutoscalingPolicyPut(one) => format!("autoscaling policy {} was put", one.id),
        Record::AutoscalingPolicyRemoved { id } => format!("autoscaling policy {id} was removed"),
        Record::DeploymentPolicyPut(one) => format!("deployment policy {} was put", one.id),
        Record::DeploymentPolicyRemoved { id } => format!("deployment policy {id} was removed"),
        Record::ApplicationPolicyPut(one) => format!("application policy {} was put", one.id),
        Record::ApplicationPolicyRemoved { id } => format!("application policy {id} was removed"),
        Record::NetworkPartitionPut(one) => format!("network partition {} was put", one.id),
        Record::NetworkPartitionRemoved { id } => format!("network partition {id} was removed"),
        Record::KubernetesClusterPut(one) => format!("Kubernetes cluster {} was put", one.cluster_id),
        Record::KubernetesClusterRemoved { id } => format!("Kubernetes cluster {id} was removed"),
        Record::TenantPut(one) => format!("tenant {} of {} was put", one.tenant_id, one.tenant_domain),
        Record::TenantActivated { tenant } => format!("the users of tenant {tenant} may come in again"),
        Record::TenantDeactivated { tenant } => format!("the users of tenant {tenant} are refused"),
        _ => return None,
    })
}

fn application(record: &Record) -> Option<String> {
    Some(match record {
        Record::ApplicationPut(one) => format!("application {} was put", one.application_id),
        Record::RepositorySecretSealed {
            application,
            alias,
            sealed,
        } if sealed.is_empty() => {
            format!("{application}: the repository of {alias} needs no password now")
        }
        Record::RepositorySecretSealed {
            application, alias, ..
        } => {
            format!("{application}: the password of the repository of {alias} was sealed")
        }
        Record::ApplicationRemoved { application } => format!("application {application} was removed"),
        Record::ApplicationDeployed { application, policy } => {
            format!("application {application} was deployed under {policy}")
        }
        Record::ApplicationUndeploying {
            application,
            force: true,
        } => {
            format!("application {application} is being undeployed at once")
        }
        Record::ApplicationUndeploying { application, .. } => {
            format!("application {application} is being undeployed")
        }
        Record::ApplicationUndeployed { application } => format!("application {application} is undeployed"),
        Record::SignUpAdded {
            application,
            tenant,
            repositories,
        } => {
            let (count, noun) = (
                repositories.len(),
                if repositories.len() == 1 {
                    "repository"
                } else {
                    "repositories"
                },
            );
            format!("tenant {tenant} signed up for application {application} with {count} {noun}")
        }
        Record::SignUpRemoved { application, tenant } => {
            format!("the sign-up of tenant {tenant} for application {application} was removed")
        }
        Record::DomainMapped {
            application,
            domain,
            mapping,
        } => {
            let under = mapping.path.as_ref().map(|path| format!(" under {path}"));
            format!(
                "domain {domain} of tenant {} leads to {} of application {application}{}",
                mapping.tenant,
                mapping.alias,
                under.unwrap_or_default()
            )
        }
        Record::DomainUnmapped { application, domain } => {
            format!("domain {domain} does not lead into application {application} any more")
        }
        _ => return None,
    })
}

/// Never what is shared: it may be secret.
fn values(record: &Record) -> Option<String> {
    let place = |application: &ApplicationId, alias: &Option<String>| match alias {
        Some(alias) => format!("{application}: {alias}"),
        None => application.to_string(),
    };
    Some(match record {
        Record::ValuesShared {
            application,
            alias,
            key,
            values,
            added,
        } => {
            let (who, count) = (place(application, alias), values.len());
            let how = if *added { "more under" } else { "under" };
            let noun = if count == 1 { "value" } else { "values" };
            format!("{who} shares {count} {noun} {how} {key}")
        }
        Record::ValuesWithdrawn {
            application,
            alias,
            key,
            value,
        } => {
            let who = place(application, alias);
            match (key, value) {
                (Some(key), Some(_)) => format!("{who} shares a value under {key} no more"),
                (Some(key), None) => format!("{who} shares nothing under {key} any more"),
                (None, _) => format!("{who} shares nothing any more"),
            }
        }
        _ => return None,
    })
}

fn size(record: &Record) -> Option<String> {
    Some(match record {
        Record::BurstStarted {
            application,
            network_partition,
            reason,
        } => {
            format!("{application} uses {network_partition} now: {reason}")
        }
        Record::BurstEnding {
            application,
            network_partition,
            reason,
        } => {
            format!("{application} leaves {network_partition}: {reason}")
        }
        Record::BurstEnded {
            application,
            network_partition,
        } => {
            format!("{application} has left {network_partition}")
        }
        Record::ClusterResized {
            cluster,
            network_partition,
            from,
            to,
            factor,
            reason,
        } => {
            format!("{cluster} in {network_partition}: {from} -> {to} ({factor}): {reason}")
        }
        Record::ClusterRenewed { cluster, reason } => {
            format!("{cluster}: its members make way for new ones, one after another: {reason}")
        }
        Record::ClusterRetired { cluster } => format!("{cluster}: nothing is left of it"),
        Record::ClusterSizeOrdered {
            cluster,
            size: Some(size),
            by,
        } => {
            format!("{cluster}: {by} fixed the size at {size}")
        }
        Record::ClusterSizeOrdered {
            cluster,
            size: None,
            by,
        } => {
            format!("{cluster}: {by} lets the scaler decide again")
        }
        _ => return None,
    })
}

fn groups(record: &Record) -> Option<String> {
    Some(match record {
        Record::GroupInstanceStarted {
            network_partition,
            group,
            instance,
            reason,
            ..
        } => {
            format!("{group}-{instance} begins in {network_partition}: {reason}")
        }
        Record::GroupInstanceEnding {
            network_partition,
            group,
            instance,
            reason,
            ..
        } => {
            format!("{group}-{instance} is being emptied in {network_partition}: {reason}")
        }
        Record::GroupInstanceEnded {
            network_partition,
            group,
            instance,
            ..
        } => {
            format!("{group}-{instance} has left {network_partition}")
        }
        Record::PartChanged {
            cluster,
            network_partition,
            group_instance,
            to,
            reason,
        } => {
            let to = serde_json::to_value(to).unwrap_or_default();
            let of = if *group_instance == 0 {
                String::new()
            } else {
                format!(" for instance {group_instance} of its group")
            };
            let to = to.as_str().unwrap_or_default();
            format!("{cluster} is {to} in {network_partition}{of}: {reason}")
        }
        _ => return None,
    })
}

fn member_before_service(record: &Record) -> Option<String> {
    Some(match record {
        Record::MemberPlanned {
            member,
            incarnation,
            network_partition,
            partition,
            reason,
            ..
        } => {
            let life = if *incarnation > 1 {
                format!(", life {incarnation}")
            } else {
                String::new()
            };
            format!("{member} is planned in {network_partition}/{partition}{life}: {reason}")
        }
        Record::MemberEnsured {
            member,
            instance,
            address,
            ..
        } => {
            format!("{member} was made as {instance} at {address}")
        }
        Record::MemberEnsureFailed {
            member,
            attempt,
            reason,
            ..
        } => {
            format!("{member} could not be made (attempt {attempt}): {reason}")
        }
        Record::MemberJoined { member, .. } => format!("{member} joined"),
        _ => return None,
    })
}

fn member_in_service(record: &Record) -> Option<String> {
    Some(match record {
        Record::MemberActivated { member, .. } => format!("{member} is active"),
        Record::MemberSuspended { member, reason, .. } => format!("{member} is suspended: {reason}"),
        Record::MemberUpdating {
            member, commit, live, ..
        } => {
            let how = if *live {
                "while it serves"
            } else {
                "out of its balancers"
            };
            format!("{member} is to switch to {}, {how}", commit.short())
        }
        Record::MemberCleared { member, .. } => format!("{member} has nothing in flight and may switch"),
        Record::MemberSwitched { member, commit, .. } => format!("{member} has release {}", commit.short()),
        Record::MemberDraining { member, reason, .. } => format!("{member} is draining: {reason}"),
        Record::MemberStopping { member, reason, .. } => format!("{member} is stopping: {reason}"),
        Record::MemberStopped { member, .. } => format!("{member} stopped"),
        Record::MemberFailed { member, reason, .. } => format!("{member} failed: {reason}"),
        Record::MemberRemoved { member, .. } => format!("{member} was removed"),
        _ => return None,
    })
}

fn release(record: &Record) -> Option<String> {
    let short = |commit: &CommitId| commit.short().to_owned();
    Some(match record {
        Record::RepositoryAnnounced {
            cluster,
            tenant: None,
        } => format!("{cluster}: its repository has news"),
        Record::RepositoryAnnounced {
            cluster,
            tenant: Some(tenant),
        } => format!("{cluster}: the repository of tenant {tenant} has news"),
        Record::TenantReleaseOrdered {
            cluster,
            tenant,
            commit,
        } => format!(
            "{cluster}: release {} of tenant {tenant} is being brought to every member",
            short(commit)
        ),
        Record::TenantReleaseRejected {
            cluster,
            tenant,
            commit,
            reason,
        } => format!(
            "{cluster}: release {} of tenant {tenant} is rejected: {reason}",
            short(commit)
        ),
        Record::ReleaseProposed {
            cluster,
            commit,
            by,
            pinned,
        } => {
            let pin = if *pinned {
                "; the branch is not followed any more"
            } else {
                ""
            };
            format!(
                "{cluster}: release {} is being brought to every member ({by}){pin}",
                short(commit)
            )
        }
        Record::ReleaseAccepted { cluster, commit } => {
            format!("{cluster}: every member has release {}", short(commit))
        }
        Record::ReleaseRejected {
            cluster,
            commit,
            reason,
        } => {
            format!("{cluster}: release {} is rejected: {reason}", short(commit))
        }
        Record::ReleaseUnpinned { cluster, by } => format!("{cluster}: {by} follows the branch again"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
