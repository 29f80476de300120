//! How instances of groups come and go, and parts change.
//!
//! This file refuses to know why.

use cartridge_protocol::{ApplicationId, NetworkPartitionId};

use super::{ApplicationStatus, GroupInstance, Standing, World};
use crate::record::Record;

impl World {
    /// `record` is about groups and fits.
    pub(super) fn change_group(&mut self, record: &Record) {
        match record {
            Record::GroupInstanceStarted {
                application,
                network_partition,
                group,
                instance,
                parent,
                ..
            } => {
                let started = GroupInstance {
                    parent: *parent,
                    ending: false,
                };
                if let Some(state) = self.applications.get_mut(application) {
                    let here = state.groups.entry(network_partition.clone()).or_default();
                    here.entry(group.clone()).or_default().insert(*instance, started);
                }
            }
            Record::GroupInstanceEnding {
                application,
                network_partition,
                group,
                instance,
                ..
            } => {
                for (alias, number) in self.inside(application, network_partition, group, *instance) {
                    let here = self.applications.get_mut(application).and_then(|state| {
                        state
                            .groups
                            .get_mut(network_partition)?
                            .get_mut(&alias)?
                            .get_mut(&number)
                    });
                    if let Some(one) = here {
                        one.ending = true;
                    }
                }
            }
            Record::GroupInstanceEnded {
                application,
                network_partition,
                group,
                instance,
            } => self.forget_group(application, network_partition, (group, *instance)),
            Record::PartChanged {
                cluster,
                network_partition,
                group_instance,
                to,
                ..
            } => {
                let revision = self.seq;
                if let Some(cluster) = self.clusters.get_mut(cluster) {
                    if let Some(instance) = cluster.instances.get_mut(network_partition) {
                        match to {
                            Standing::Waiting => _ = instance.parts.remove(group_instance),
                            to => _ = instance.parts.insert(*group_instance, *to),
                        }
                    }
                    cluster.revision = revision;
                }
            }
            other => unreachable!("no record of groups: {other:?}"),
        }
    }

    /// An application left a network partition.
    pub(super) fn forget_groups_in(&mut self, application: &ApplicationId, np: &NetworkPartitionId) {
        if let Some(state) = self.applications.get_mut(application) {
            state.groups.remove(np);
        }
    }

    fn forget_group(
        &mut self,
        application: &ApplicationId,
        np: &NetworkPartitionId,
        (alias, number): (&str, u32),
    ) {
        let gone = self.inside(application, np, alias, number);
        if let Some(here) = self
            .applications
            .get_mut(application)
            .and_then(|state| state.groups.get_mut(np))
        {
            for (alias, number) in &gone {
                here.entry(alias.clone()).or_default().remove(number);
            }
            here.retain(|_, instances| !instances.is_empty());
        }
        let of = |cluster: &super::Cluster| cluster.application == *application && cluster.group.is_some();
        self.clusters.change(of, |cluster| {
            let own = cluster.group.clone().unwrap_or_default();
            if let Some(instance) = cluster.instances.get_mut(np) {
                instance
                    .parts
                    .retain(|number, _| !gone.contains(&(own.clone(), *number)));
            }
        });
    }

    /// Whether a record about groups could be the next entry.
    pub(super) fn group_fits(&self, record: &Record) -> Result<(), String> {
        match record {
            Record::GroupInstanceStarted {
                application,
                network_partition,
                group,
                instance,
                parent,
                ..
            } => self.start_fits(application, network_partition, (group, *instance), *parent),
            Record::GroupInstanceEnding {
                application,
                network_partition,
                group,
                instance,
                ..
            } => match self.known_group(application, network_partition, (group, *instance))? {
                GroupInstance { ending: false, .. } => Ok(()),
                _ => Err(format!("instance {instance} of {group} is being emptied already")),
            },
            Record::GroupInstanceEnded {
                application,
                network_partition,
                group,
                instance,
            } => {
                if !self
                    .known_group(application, network_partition, (group, *instance))?
                    .ending
                {
                    return Err(format!("instance {instance} of {group} is not being emptied"));
                }
                match self.first_member(application, network_partition, (group, *instance)) {
                    None => Ok(()),
                    Some(left) => Err(format!("{left} is still there")),
                }
            }
            Record::PartChanged {
                cluster,
                network_partition,
                group_instance,
                to,
                ..
            } => {
                let known = self.clusters.get(cluster);
                let Some(instance) = known.and_then(|cluster| cluster.instances.get(network_partition))
                else {
                    return Err(format!("{cluster} does not use {network_partition}"));
                };
                let from = instance.standing(*group_instance);
                if from.leads_to(*to) {
                    return Ok(());
                }
                Err(format!("{cluster} is {from:?}, which does not lead to {to:?}"))
            }
            _ => Ok(()),
        }
    }

    fn start_fits(
        &self,
        application: &ApplicationId,
        np: &NetworkPartitionId,
        (group, instance): (&str, u32),
        parent: u32,
    ) -> Result<(), String> {
        let Some(state) = self.applications.get(application) else {
            return Err(format!("there is no application {application}"));
        };
        if !matches!(state.status, ApplicationStatus::Deployed { .. })
            || self.standing(application, np) != Some(false)
        {
            return Err(format!("{application} does not use {np}"));
        }
        let path = state.blueprint.path_to(group);
        let taken = state
            .groups
            .values()
            .any(|here| here.get(group).is_some_and(|all| all.contains_key(&instance)));
        let stands = match path.as_slice() {
            [] => return Err(format!("{application} has no group {group}")),
            [_] => parent == 0,
            [.., outer, _] => self
                .known_group(application, np, (&outer.alias, parent))
                .is_ok_and(|outer| !outer.ending),
        };
        match (taken || instance == 0, stands) {
            (true, _) => Err(format!("{group} has an instance {instance} already")),
            (_, false) => Err(format!(
                "{group} cannot stand in instance {parent} of what is around it"
            )),
            _ => Ok(()),
        }
    }

    fn known_group(
        &self,
        application: &ApplicationId,
        np: &NetworkPartitionId,
        (group, instance): (&str, u32),
    ) -> Result<&GroupInstance, String> {
        let mut all = self.group_instances(application, np, group);
        all.find(|(number, _)| *number == instance)
            .map(|(_, one)| one)
            .ok_or_else(|| format!("{group} has no instance {instance} in {np}"))
    }

    fn first_member(
        &self,
        application: &ApplicationId,
        np: &NetworkPartitionId,
        (group, instance): (&str, u32),
    ) -> Option<cartridge_protocol::MemberId> {
        let inside = self.inside(application, np, group, instance);
        let of = |cluster: &&super::Cluster| cluster.group.is_some();
        self.clusters_of(application)
            .filter(of)
            .flat_map(|cluster| self.members_in(cluster, np).map(move |member| (cluster, member)))
            .find(|(cluster, member)| {
                let alias = cluster.group.clone().unwrap_or_default();
                inside.contains(&(alias, member.group_instance))
            })
            .map(|(_, member)| member.id.clone())
    }
}
