//! Changes of what runs: which are refused because nobody could carry them out without losing requests, and what
//! follows at once from those that are not.
//!
//! This file refuses to carry anything out: members come and go by decisions.

use cartridge_protocol::{ApplicationId, ClusterId, Millis};

use super::{Code, Refusal, deploy, put};
use crate::blueprint::{Application, Cartridge, MAX_CARTRIDGES, PortMapping};
use crate::launch;
use crate::record::{Entry, Record};
use crate::world::{ApplicationState, ApplicationStatus, Cluster, World};

/// Whether a running application may become this one.
pub(super) fn may_change(
    world: &World,
    state: &ApplicationState,
    blueprint: &Application,
) -> Result<(), Refusal> {
    let id = blueprint.application_id.as_str();
    let conflict = |field: &str, message: String| Err(Refusal::new(Code::Conflict, field, message));
    match state.status {
        ApplicationStatus::Created => return Ok(()),
        ApplicationStatus::Undeploying { .. } => {
            let message = format!("application {id:?} is being undeployed; change it when that is done");
            return conflict("applicationId", message);
        }
        ApplicationStatus::Deployed { .. } => {}
    }
    if state.blueprint.multi_tenant != blueprint.multi_tenant {
        let message = format!(
            "multiTenant: application {id:?} is deployed, and every address of it would change; undeploy it first"
        );
        return conflict("multiTenant", message);
    }
    let leaving = world
        .clusters_of(&blueprint.application_id)
        .filter(|cluster| cluster.leaving.is_some());
    let leaving = leaving.count();
    if leaving >= MAX_CARTRIDGES {
        let message = format!(
            "components: {leaving} cartridges that application {id:?} does not name any more are still being removed; \
             change it when they are gone"
        );
        return conflict("components", message);
    }
    cartridges_stay(world, blueprint)?;
    groups_stay(&state.blueprint, blueprint)
}

/// The members of a cluster stand for instances of its group: they cannot stand for others.
fn cartridges_stay(world: &World, blueprint: &Application) -> Result<(), Refusal> {
    for located in blueprint.located() {
        let one = located.subscription;
        let id = ClusterId::of(&blueprint.application_id, &one.alias, &one.cartridge_type);
        let Some(cluster) = id.ok().and_then(|id| world.clusters.get(&id)) else {
            continue;
        };
        let wanted = located.groups.last().map(|group| group.alias.as_str());
        let now = cluster.group.as_deref();
        if wanted != now && !(cluster.leaving.is_some() && cluster.members.is_empty()) {
            let place = |group: Option<&str>| {
                group.map_or_else(|| "the top level".to_owned(), |alias| format!("group {alias:?}"))
            };
            let field = format!("{}.subscribableInfo.alias", located.field);
            let message = format!(
                "{field}: cartridge {:?} runs at {}, it cannot move to {} while application {:?} is deployed; remove it, \
                 and add it again when it is gone, or under another alias",
                one.alias,
                place(now),
                place(wanted),
                blueprint.application_id.as_str()
            );
            return Err(Refusal::new(Code::Conflict, &field, message));
        }
    }
    Ok(())
}

fn groups_stay(before: &Application, after: &Application) -> Result<(), Refusal> {
    let groups = before.all_groups();
    for (outer, group) in after.all_groups() {
        let known = groups.iter().find(|(_, known)| known.alias == group.alias);
        if let Some((was, _)) = known.filter(|(was, _)| *was != outer) {
            let place = |outer: Option<&str>| {
                outer.map_or_else(|| "the top level".to_owned(), |alias| format!("group {alias:?}"))
            };
            let message = format!(
                "components.groups: group {:?} runs at {}, it cannot move to {} while application {:?} is deployed; give \
                 it another alias there",
                group.alias,
                place(*was),
                place(outer),
                after.application_id.as_str()
            );
            return Err(Refusal::new(Code::Conflict, "components.groups", message));
        }
    }
    Ok(())
}

/// What follows from a changed blueprint, or why it does not fit.
pub(super) fn follow(world: &World, id: &ApplicationId, put: &Record) -> Result<Vec<Record>, Refusal> {
    let after = with(world, put);
    deploy::all_still_fit(world, &after, "components.cartridges")?;
    let Some(state) = after.applications.get(id) else {
        return Ok(Vec::new());
    };
    let Some(policy) = after.policy_of(state) else {
        return Ok(Vec::new());
    };
    deploy::ports_are_free(&after, &state.blueprint, policy, "components.cartridges")?;
    let mut records = renewed(world, &after, id);
    for cluster in after.clusters_of(id).filter(|cluster| cluster.leaving.is_some()) {
        let was = world.clusters.get(&cluster.id);
        if was.is_some_and(|was| was.leaving.is_none()) {
            records.extend(sizes_of_successor(&after, cluster));
        }
    }
    Ok(records)
}

/// The world after this record.
fn with(world: &World, record: &Record) -> World {
    let mut after = world.clone();
    let entry = Entry {
        seq: world.seq + 1,
        at_unix_ms: 0,
        record: record.clone(),
    };
    after
        .apply(&entry, Millis::ZERO)
        .expect("a resource that is put fits any world");
    after
}

/// Who takes the place of another one begins with its size, within its own bounds: the scaler goes on from there.
fn sizes_of_successor(after: &World, leaving: &Cluster) -> Vec<Record> {
    let Some(successor) = after.successor(leaving) else {
        return Vec::new();
    };
    let places = leaving.instances.iter();
    let begins = places.filter_map(|(np, instance)| {
        let from = successor
            .instances
            .get(np)
            .filter(|one| one.ending.is_none())?
            .desired;
        let copies = after.copies(successor, np);
        let (least, most) = (
            successor.min.saturating_mul(copies),
            successor.max.saturating_mul(copies),
        );
        let to = instance.desired.clamp(least, most.max(least));
        (to > from).then(|| Record::ClusterResized {
            cluster: successor.id.clone(),
            network_partition: np.clone(),
            from,
            to,
            factor: "order".into(),
            reason: format!("it takes the place of {}", leaving.id),
        })
    });
    begins.collect()
}

/// Clusters whose members are started with other launch parameters now.
fn renewed(before: &World, after: &World, id: &ApplicationId) -> Vec<Record> {
    let (Some(was), Some(is)) = (before.applications.get(id), after.applications.get(id)) else {
        return Vec::new();
    };
    let payload = |application: &Application, alias: &str| {
        application
            .subscriptions()
            .find(|one| one.alias == alias)
            .map(|one| launch::payload_of(&one.property))
    };
    let changed = after.clusters_of(id).filter(|cluster| {
        let stays = cluster.is_wanted() && !cluster.members.is_empty();
        stays && payload(&was.blueprint, &cluster.alias) != payload(&is.blueprint, &cluster.alias)
    });
    changed
        .map(|cluster| Record::ClusterRenewed {
            cluster: cluster.id.clone(),
            reason: "subscribableInfo.property changed".into(),
        })
        .collect()
}

/// What follows from a changed cartridge, or why it cannot change while it runs.
pub(super) fn cartridge(
    world: &World,
    before: Option<&Cartridge>,
    after: &Cartridge,
) -> Result<Vec<Record>, Refusal> {
    let Some(before) = before else {
        return Ok(Vec::new());
    };
    let id = &after.cartridge_type;
    let users = |state: &&ApplicationState| {
        put::runs(&state.status)
            && state
                .blueprint
                .subscriptions()
                .any(|one| one.cartridge_type == *id)
    };
    for state in world.applications.values().filter(users) {
        let application = state.blueprint.application_id.as_str();
        if let Some((field, problem)) = moved_port(before, after) {
            let message = format!(
                "{field}: {problem} while application {application:?} is deployed: its members would lose requests; add \
                 a port with another proxyPort, or use another cartridge type"
            );
            return Err(Refusal::new(Code::InUse, &field, message));
        }
        let changed = with(world, &Record::CartridgePut(Box::new(after.clone())));
        if let Some(policy) = world.policy_of(state) {
            deploy::ports_are_free(&changed, &state.blueprint, policy, "portMapping")?;
        }
    }
    let Some(field) = launch::differing(before, after) else {
        return Ok(Vec::new());
    };
    let runs =
        |cluster: &&Cluster| cluster.cartridge == *id && cluster.is_wanted() && !cluster.members.is_empty();
    let clusters = world.clusters.values().filter(runs);
    let renewed = clusters.map(|cluster| Record::ClusterRenewed {
        cluster: cluster.id.clone(),
        reason: format!("{field} of cartridge {id} changed"),
    });
    Ok(renewed.collect())
}

/// A proxied port that running members could not serve as it would be.
fn moved_port(before: &Cartridge, after: &Cartridge) -> Option<(String, String)> {
    let proxied = |one: &&PortMapping| one.proxy_port > 0;
    for (i, was) in before
        .port_mapping
        .iter()
        .enumerate()
        .filter(|(_, one)| proxied(one))
    {
        let same = after
            .port_mapping
            .iter()
            .find(|one| one.proxy_port == was.proxy_port);
        if let Some(is) = same.filter(|is| is.protocol != was.protocol) {
            let problem = format!(
                "proxyPort {} cannot change from {:?} to {:?}",
                was.proxy_port, was.protocol, is.protocol
            );
            return Some((format!("portMapping[{i}].protocol"), problem));
        }
    }
    let balanced = |cartridge: &Cartridge| cartridge.port_mapping.iter().any(|one| proxied(&one));
    (balanced(before) && !balanced(after)).then(|| {
        let problem = "the last proxyPort cannot be taken away";
        ("portMapping".to_owned(), problem.to_owned())
    })
}
