//! What a change of documents means for what runs, in words: who comes, who goes after whom, whose members are replaced,
//! and what takes effect where nobody is touched.
//!
//! This file refuses to decide anything: it compares two worlds.

use crate::world::{Cluster, Role, World};

/// One line for each cluster of every application in which something changes, in the order of their ids. Empty: nothing
/// that runs changes.
pub fn outlook(before: &World, after: &World) -> Vec<String> {
    let application = |cluster: &&Cluster| cluster.role == Role::Application;
    let mut lines = Vec::new();
    for state in after.applications.values() {
        let clusters = after
            .clusters_of(&state.blueprint.application_id)
            .filter(application);
        let told: Vec<(bool, String)> = clusters
            .map(|is| line(before, after, before.clusters.get(&is.id), is))
            .collect();
        if told.iter().any(|(changes, _)| *changes) {
            lines.extend(told.into_iter().map(|(_, line)| line));
        }
    }
    lines
}

/// Whether something changes, and what.
fn line(before: &World, after: &World, was: Option<&Cluster>, is: &Cluster) -> (bool, String) {
    let (id, members) = (&is.id, is.members.len());
    match (was, &is.leaving) {
        (None, _) => (true, comes(after, is)),
        (Some(was), None) if was.leaving.is_some() => (true, format!("{id} stays after all")),
        (Some(was), Some(_)) if was.leaving.is_none() => (true, goes(after, is)),
        (Some(_), Some(_)) => (false, format!("{id} is going already")),
        (Some(was), None) if is.renewed > was.renewed => {
            let how = "are replaced one after another by new ones";
            (true, format!("{id}: its {members} members {how}"))
        }
        (Some(was), None) => {
            let changes = changes(before, after, was, is);
            let how = changes.join(", ");
            match changes.is_empty() {
                true => (false, format!("{id} stays as it is, with its {members} members")),
                false => (true, format!("{id}: {how}; its {members} members stay")),
            }
        }
    }
}

fn goes(after: &World, is: &Cluster) -> String {
    let first: Vec<String> = is
        .leaving
        .iter()
        .flat_map(|leaving| &leaving.after)
        .map(ToString::to_string)
        .collect();
    let when = if first.is_empty() {
        String::new()
    } else {
        format!(" after {}", first.join(", "))
    };
    let place = after.successor(is).map_or_else(String::new, |successor| {
        format!("; {} takes its place and serves before", successor.id)
    });
    let members = is.members.len();
    format!(
        "{} goes{when}, its {members} members finish their requests{place}",
        is.id
    )
}

fn comes(after: &World, is: &Cluster) -> String {
    let state = after.applications.get(&is.application);
    let earlier: Vec<String> = state
        .into_iter()
        .flat_map(|state| {
            let all = state.blueprint.subscriptions();
            let earlier = all.filter(|one| state.blueprint.starts_after(&is.alias, &one.alias));
            earlier.map(|one| one.alias.clone()).collect::<Vec<_>>()
        })
        .collect();
    let when = if earlier.is_empty() {
        String::new()
    } else {
        format!(" after {}", earlier.join(", "))
    };
    format!("{} comes{when}, with {} to {} members", is.id, is.min, is.max)
}

/// What takes effect without touching anybody.
fn changes(before: &World, after: &World, was: &Cluster, is: &Cluster) -> Vec<String> {
    let mut found = Vec::new();
    let mut number = |name: &str, was: u32, is: u32| {
        if was != is {
            found.push(format!("{name} {was} -> {is}"));
        }
    };
    number("cartridgeMin", was.min, is.min);
    number("cartridgeMax", was.max, is.max);
    let group = |world: &World, cluster: &Cluster| {
        let state = world.applications.get(&cluster.application)?;
        let group = *state.blueprint.path_to(cluster.group.as_deref()?).last()?;
        Some((group.min_instances, group.max_instances))
    };
    if let (Some(was), Some(is)) = (group(before, was), group(after, is)) {
        number("groupMinInstances", was.0, is.0);
        number("groupMaxInstances", was.1, is.1);
    }
    let mut other = |name: &str, differs: bool| {
        if differs {
            found.push(format!("{name} changes"));
        }
    };
    other(
        "autoscalingPolicy",
        was.autoscaling_policy != is.autoscaling_policy,
    );
    other("deploymentPolicy", was.deployment_policy != is.deployment_policy);
    other("artifactRepository", was.repository != is.repository);
    other("host name", was.hosts != is.hosts);
    found
}
