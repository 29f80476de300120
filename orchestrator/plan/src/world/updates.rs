//! How a running application follows a changed blueprint: what it does not name any more leaves, what it names anew
//! comes to every network partition in use.
//!
//! This file refuses to know when members go.

use std::collections::BTreeSet;

use cartridge_protocol::{ApplicationId, CartridgeType, ClusterId, MemberId, Millis, NetworkPartitionId};
use serde::{Deserialize, Serialize};

use super::{ApplicationStatus, Cluster, Role, World};
use crate::blueprint::{Application, Cartridge};

/// A cluster that its application does not name any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Clusters that left with it and started after it: they go first.
    #[serde(default)]
    pub after: BTreeSet<ClusterId>,
}

impl Cluster {
    /// Serves the application, and is named by its blueprint.
    pub fn is_wanted(&self) -> bool {
        self.role == Role::Application && self.leaving.is_none()
    }

    /// Whether a member was planned before what members are started with changed.
    pub const fn is_outdated(&self, member: &super::Member) -> bool {
        member.planned < self.renewed
    }
}

impl World {
    /// The blueprint changed from `before`, and its clusters are described already.
    pub(super) fn follow_blueprint(
        &mut self,
        application: &ApplicationId,
        before: &Application,
        now: Millis,
    ) {
        let Some(state) = self.applications.get(application) else {
            return;
        };
        let named: BTreeSet<ClusterId> = state
            .blueprint
            .subscriptions()
            .filter_map(|one| ClusterId::of(application, &one.alias, &one.cartridge_type).ok())
            .collect();
        let goes = |cluster: &Cluster| {
            cluster.application == *application && cluster.is_wanted() && !named.contains(&cluster.id)
        };
        let leaving: Vec<(ClusterId, String)> = self
            .clusters_of(application)
            .filter(|cluster| goes(cluster))
            .map(|cluster| (cluster.id.clone(), cluster.alias.clone()))
            .collect();
        let revision = self.seq;
        self.clusters.change(goes, |cluster| {
            let later = leaving
                .iter()
                .filter(|(_, alias)| before.starts_after(alias, &cluster.alias));
            cluster.leaving = Some(Leaving {
                after: later.map(|(id, _)| id.clone()).collect(),
            });
            cluster.revision = revision;
        });
        self.end_unnamed_groups(application);
        self.settle(application, now);
    }

    /// A cartridge changed: host names and balancers follow where it is in use.
    pub(super) fn follow_cartridge(&mut self, cartridge: &CartridgeType, now: Millis) {
        let users: BTreeSet<ApplicationId> = self
            .clusters
            .values()
            .filter(|cluster| cluster.cartridge == *cartridge)
            .map(|cluster| cluster.application.clone())
            .collect();
        for application in users {
            self.describe_clusters(&application);
            self.settle(&application, now);
        }
    }

    /// Balancers find the ports of members by name: a proxied port that has another name now is known by both.
    pub(super) fn rename_ports(&mut self, after: &Cartridge) {
        let Some(before) = self.cartridges.get(&after.cartridge_type) else {
            return;
        };
        let mut renamed: Vec<(String, String)> = Vec::new();
        for was in before.port_mapping.iter().filter(|was| was.proxy_port > 0) {
            let is = after
                .port_mapping
                .iter()
                .find(|is| is.proxy_port == was.proxy_port);
            renamed.extend(
                is.filter(|is| is.name != was.name)
                    .map(|is| (was.name.clone(), is.name.clone())),
            );
        }
        if renamed.is_empty() {
            return;
        }
        let of = |cluster: &&Cluster| cluster.cartridge == after.cartridge_type;
        let members: Vec<MemberId> = self
            .clusters
            .values()
            .filter(of)
            .flat_map(|cluster| cluster.members.iter().cloned())
            .collect();
        for member in members {
            self.members.change(&member, |member| {
                let Some(instance) = &mut member.instance else {
                    return;
                };
                for (was, is) in &renamed {
                    if let Some(port) = instance.ports.get(was) {
                        instance.ports.insert(is, port);
                    }
                }
            });
        }
    }

    /// Every network partition in use has what is to be there.
    fn settle(&mut self, application: &ApplicationId, now: Millis) {
        let state = self.applications.get(application);
        if !state.is_some_and(|state| matches!(state.status, ApplicationStatus::Deployed { .. })) {
            return;
        }
        let places: BTreeSet<NetworkPartitionId> = self
            .clusters_of(application)
            .flat_map(|cluster| &cluster.instances)
            .filter(|(_, instance)| instance.ending.is_none())
            .map(|(np, _)| np.clone())
            .collect();
        for np in places {
            self.start_burst(application, &np, now);
        }
    }

    /// Instances of groups that the blueprint does not name any more are emptied.
    fn end_unnamed_groups(&mut self, application: &ApplicationId) {
        let Some(state) = self.applications.get_mut(application) else {
            return;
        };
        let all = state.blueprint.all_groups();
        let named: BTreeSet<String> = all.iter().map(|(_, group)| group.alias.clone()).collect();
        for here in state.groups.values_mut() {
            let unnamed = here.iter_mut().filter(|(alias, _)| !named.contains(*alias));
            unnamed
                .flat_map(|(_, instances)| instances.values_mut())
                .for_each(|instance| instance.ending = true);
        }
    }

    /// The cluster that takes the place of one that leaves: it has the same alias.
    pub fn successor<'a>(&'a self, leaving: &'a Cluster) -> Option<&'a Cluster> {
        self.clusters_of(&leaving.application)
            .find(|other| other.is_wanted() && other.alias == leaving.alias)
    }

    /// Whether a cluster that leaves still needs a balancer.
    pub(super) fn leaving_is_balanced(&self, application: &ApplicationId) -> bool {
        let leaves = |cluster: &&Cluster| cluster.role == Role::Application && cluster.leaving.is_some();
        self.clusters_of(application)
            .filter(leaves)
            .any(|cluster| self.is_balanced(&cluster.id))
    }

    /// Nothing is left to balance there.
    pub(super) fn dismiss_balancer(&mut self, balancer: &ClusterId) {
        let revision = self.seq;
        if let Some(cluster) = self.clusters.get_mut(balancer) {
            cluster.leaving.get_or_insert_default();
            cluster.revision = revision;
        }
    }

    pub(super) fn renew(&mut self, cluster: &ClusterId) {
        let revision = self.seq;
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            cluster.renewed = revision;
            cluster.revision = revision;
        }
    }

    /// The last member of a cluster that leaves is gone.
    pub(super) fn retire(&mut self, cluster: &ClusterId, now: Millis) {
        let Some(gone) = self.clusters.remove(cluster) else {
            return;
        };
        self.retired.insert(cluster.clone(), gone.next_member);
        let revision = self.seq;
        // What is told of the others must not look older without it (S11).
        self.clusters.change(
            |other| other.application == gone.application,
            |other| {
                other.revision = revision;
                other.told = revision;
            },
        );
        self.settle(&gone.application, now);
    }
}
