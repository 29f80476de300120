//! Members, clusters and applications as figures: what is known, what was measured, and how old that is. The API, the
//! dashboard and the metrics all show these.
//!
//! This file refuses to know how they are shown. It reads; the caller holds the lock.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cartridge_orchestrator_plan::decide::{ClusterReport, Report};
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::world::{Cluster, Member, MemberPhase, Rejected, Role, World};
use cartridge_protocol::link::{Phase, Refused, TenantStatus};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{
    ApplicationId, CartridgeType, ClusterId, CommitId, MemberId, Millis, NetworkPartitionId, PartitionId,
    PolicyId,
};
use serde::Serialize;
use serde_json::Value;

use super::show;

/// All that is known at one instant, for reading.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Facts.
    pub world: &'a World,
    /// Measurements.
    pub seen: &'a Observations,
    /// Reasons of the last pass.
    pub report: &'a Report,
    /// Now.
    pub now: Millis,
}

/// One member.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberFigures {
    /// Which.
    pub member: MemberId,
    /// Which of its lives.
    pub incarnation: u64,
    /// `application` or `balancer`.
    pub kind: &'static str,
    /// Of which application.
    pub application: Option<ApplicationId>,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// Where.
    pub partition: PartitionId,
    /// Where it stands.
    pub phase: &'static str,
    /// Why, where there is a reason. Can hold words of the member.
    pub reason: Option<String>,
    /// For how long, seconds.
    pub since_seconds: u64,
    /// The commit it has.
    pub release: Option<CommitId>,
    /// The commit it was told to have.
    pub ordered_commit: Option<CommitId>,
    /// Where it listens.
    pub address: Option<IpAddr>,
    /// Ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The provisioner's name for it.
    pub instance: Option<String>,
    /// Percent of the cores.
    pub load_average: Option<f64>,
    /// Percent.
    pub memory_consumption: Option<f64>,
    /// Requests in flight now.
    pub in_flight: Option<u64>,
    /// How long ago it spoke, seconds; None: never since this server began.
    pub heard_seconds_ago: Option<f64>,
    /// What its agent says of it.
    pub agent: Option<AgentFigures>,
}

/// What an agent says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentFigures {
    /// Where it stands, as it sees it.
    pub phase: Phase,
    /// How often the application was restarted.
    pub restarts: u32,
    /// The head of the branch as last seen.
    pub head: Option<CommitId>,
    /// Releases on its shelf.
    pub staged: Vec<CommitId>,
    /// Commits that it refused.
    pub refused: Vec<Refused>,
    /// The files of tenants.
    pub tenants: Vec<TenantFigures>,
}

/// What an agent says of one tenant's files.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantFigures {
    /// Whose.
    pub tenant_id: TenantId,
    /// The commit whose files are there.
    pub current: Option<CommitId>,
    /// The head of the branch as last seen.
    pub head: Option<CommitId>,
    /// Commits that it refused.
    pub refused: Vec<Refused>,
}

impl TenantFigures {
    fn of(told: &TenantStatus) -> Self {
        Self {
            tenant_id: told.tenant,
            current: told.current.clone(),
            head: told.head.clone(),
            refused: told.refused.clone(),
        }
    }
}

/// One cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFigures {
    /// Which.
    pub cluster: ClusterId,
    /// Of which application.
    pub application: ApplicationId,
    /// Its alias there.
    pub alias: String,
    /// What it runs.
    pub cartridge: CartridgeType,
    /// `application` or `balancer`.
    pub kind: &'static str,
    /// Fewest members per network partition in use.
    pub min: u32,
    /// Most members per network partition in use.
    pub max: u32,
    /// Members that serve.
    pub active: u32,
    /// Members that there should be.
    pub desired: u32,
    /// Requests in flight now; None: no balancer says so.
    pub in_flight: Option<u64>,
    /// Requests answered since the balancers started.
    pub served: u64,
    /// Requests that got no answer since the balancers started.
    pub failed: u64,
    /// Host names that lead to it.
    pub hosts: Vec<String>,
    /// Its thresholds.
    pub autoscaling_policy: Option<PolicyId>,
    /// Its places.
    pub deployment_policy: Option<PolicyId>,
    /// Its files.
    pub repository: Option<Value>,
    /// An order fixed its size.
    pub ordered_size: Option<u32>,
    /// Its commits.
    pub release: ReleaseFigures,
    /// Network partition by network partition.
    pub instances: Vec<InstanceFigures>,
    /// Why it is as it is.
    #[serde(serialize_with = "decision")]
    pub decision: Option<ClusterReport>,
}

/// The commits of a cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseFigures {
    /// Every member had it.
    pub accepted: Option<CommitId>,
    /// Being brought to the members.
    pub proposed: Option<CommitId>,
    /// Where a roll-back goes.
    pub previous: Option<CommitId>,
    /// The branch is not followed.
    pub pinned: bool,
    /// Refused, newest last.
    pub rejected: Vec<Rejected>,
}

/// A cluster in one network partition.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceFigures {
    /// Where.
    pub network_partition: NetworkPartitionId,
    /// Members that there should be.
    pub desired: u32,
    /// Members that serve.
    pub active: u32,
    /// Being emptied.
    pub ending: bool,
    /// Requests in flight now.
    pub in_flight: Option<u64>,
    /// Its members, oldest first.
    pub members: Vec<MemberId>,
}

impl Known<'_> {
    /// One member.
    pub fn member(&self, member: &Member) -> MemberFigures {
        let cluster = self.world.clusters.get(&member.cluster);
        let balancer = cluster.is_some_and(is_balancer);
        let heard = self
            .seen
            .members
            .get(&member.id)
            .filter(|o| o.incarnation == member.incarnation);
        let (phase, reason) = phase_of(&member.phase);
        MemberFigures {
            member: member.id.clone(),
            incarnation: member.incarnation,
            kind: kind(balancer),
            application: cluster.map(|c| c.application.clone()),
            cluster: member.cluster.clone(),
            network_partition: member.network_partition.clone(),
            partition: member.partition.clone(),
            phase,
            reason,
            since_seconds: self.now.since(member.since).0 / 1000,
            release: member.release.clone(),
            ordered_commit: member.ordered_commit.clone(),
            address: member.instance.as_ref().map(|i| i.address),
            ports: member
                .instance
                .as_ref()
                .map(|i| i.ports.to_map())
                .unwrap_or_default(),
            instance: member.instance.as_ref().map(|i| i.name.clone()),
            load_average: heard.and_then(|o| o.load.last()).map(|(_, value)| value),
            memory_consumption: heard.and_then(|o| o.memory.last()).map(|(_, value)| value),
            in_flight: self.member_in_flight(member, cluster, balancer),
            heard_seconds_ago: heard.map(|o| self.now.since(o.heard).as_secs_f64()),
            agent: heard.map(|o| AgentFigures {
                phase: o.status.phase.clone(),
                restarts: o.status.restarts,
                head: o.status.head.clone(),
                staged: o.status.staged.clone(),
                refused: o.status.refused.clone(),
                tenants: o.status.tenants.iter().map(TenantFigures::of).collect(),
            }),
        }
    }

    /// A balancer has in flight what all clusters behind it have.
    fn member_in_flight(&self, member: &Member, cluster: Option<&Cluster>, balancer: bool) -> Option<u64> {
        if !balancer {
            let place = (member.cluster.clone(), member.network_partition.clone());
            return self.seen.clusters.get(&place)?.members.get(&member.id).copied();
        }
        let application = &cluster?.application;
        let behind = self.seen.clusters.iter().filter(|((id, place), _)| {
            *place == member.network_partition
                && self
                    .world
                    .clusters
                    .get(id)
                    .is_some_and(|c| c.application == *application)
        });
        behind
            .map(|(_, seen)| seen.in_flight_now)
            .reduce(u64::saturating_add)
    }

    /// All members in the order of their clusters and numbers.
    pub fn members(&self) -> Vec<MemberFigures> {
        let mut members: Vec<&Member> = self.world.members.values().collect();
        members.sort_by(|a, b| (&a.cluster, number(&a.id)).cmp(&(&b.cluster, number(&b.id))));
        members.into_iter().map(|member| self.member(member)).collect()
    }

    /// One cluster.
    pub fn cluster(&self, cluster: &Cluster) -> ClusterFigures {
        let instances: Vec<InstanceFigures> = cluster
            .instances
            .keys()
            .map(|np| self.instance(cluster, np))
            .collect();
        let readings = || {
            self.seen
                .clusters
                .iter()
                .filter(|((id, _), _)| *id == cluster.id)
                .map(|(_, seen)| seen)
        };
        let rows = || self.report.clusters.iter();
        ClusterFigures {
            cluster: cluster.id.clone(),
            application: cluster.application.clone(),
            alias: cluster.alias.clone(),
            cartridge: cluster.cartridge.clone(),
            kind: kind(is_balancer(cluster)),
            min: cluster.min,
            max: cluster.max,
            active: instances.iter().map(|i| i.active).sum(),
            desired: instances.iter().map(|i| i.desired).sum(),
            in_flight: readings().map(|r| r.in_flight_now).reduce(u64::saturating_add),
            served: readings().map(|r| r.served).fold(0, u64::saturating_add),
            failed: readings().map(|r| r.failed).fold(0, u64::saturating_add),
            hosts: cluster.hosts.clone(),
            autoscaling_policy: cluster.autoscaling_policy.clone(),
            deployment_policy: cluster.deployment_policy.clone(),
            repository: cluster.repository.as_ref().map(show::repository),
            ordered_size: cluster.ordered_size,
            release: ReleaseFigures {
                accepted: cluster.release.accepted.clone(),
                proposed: cluster.release.proposed.clone(),
                previous: cluster.release.previous.clone(),
                pinned: cluster.release.pinned,
                rejected: cluster.release.rejected.clone(),
            },
            instances,
            decision: rows().find(|row| row.cluster == cluster.id).cloned(),
        }
    }

    fn instance(&self, cluster: &Cluster, place: &NetworkPartitionId) -> InstanceFigures {
        let mut members: Vec<&Member> = cluster
            .members
            .iter()
            .filter_map(|id| self.world.members.get(id))
            .filter(|member| member.network_partition == *place)
            .collect();
        members.sort_by_key(|member| number(&member.id));
        let here = cluster.instances.get(place);
        let reading = self.seen.clusters.get(&(cluster.id.clone(), place.clone()));
        InstanceFigures {
            network_partition: place.clone(),
            desired: here.map_or(0, |i| i.desired),
            active: u32::try_from(members.iter().filter(|m| serves(&m.phase)).count()).unwrap_or(u32::MAX),
            ending: here.is_some_and(|i| i.ending.is_some()),
            in_flight: reading.map(|r| r.in_flight_now),
            members: members.into_iter().map(|m| m.id.clone()).collect(),
        }
    }

    /// All clusters.
    pub fn clusters(&self) -> Vec<ClusterFigures> {
        self.world
            .clusters
            .values()
            .map(|cluster| self.cluster(cluster))
            .collect()
    }
}

/// The forecast is JSON where the scaler wrote it so: it is shown as such, not as a text in a text.
fn decision<S: serde::Serializer>(row: &Option<ClusterReport>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut shown = serde_json::to_value(row).unwrap_or_default();
    if let Some(forecast) = row
        .as_ref()
        .and_then(|row| serde_json::from_str::<Value>(&row.forecast).ok())
    {
        shown["forecast"] = forecast;
    }
    shown.serialize(serializer)
}

/// Stands in front of others.
pub fn is_balancer(cluster: &Cluster) -> bool {
    matches!(cluster.role, Role::Balancer { .. })
}

fn kind(balancer: bool) -> &'static str {
    if balancer { "balancer" } else { "application" }
}

/// Takes new requests.
pub fn serves(phase: &MemberPhase) -> bool {
    matches!(
        phase,
        MemberPhase::Active | MemberPhase::Updating { live: true, .. }
    )
}

/// The number that its cluster gave it; ids count up, so `-10` comes after `-9`.
fn number(member: &MemberId) -> u64 {
    member
        .as_str()
        .rsplit('-')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// A phase as one word, and its reason.
pub fn phase_of(phase: &MemberPhase) -> (&'static str, Option<String>) {
    match phase {
        MemberPhase::Planned { attempts: 0 } => ("planned", None),
        MemberPhase::Planned { attempts } => {
            ("planned", Some(format!("{attempts} attempts to start it failed")))
        }
        MemberPhase::Ensured => ("ensured", None),
        MemberPhase::Starting => ("starting", None),
        MemberPhase::Active => ("active", None),
        MemberPhase::Suspended { reason } => ("suspended", Some(reason.clone())),
        MemberPhase::Updating { commit, live, .. } => {
            let how = if *live { ", while it serves" } else { "" };
            ("updating", Some(format!("to {}{how}", commit.short())))
        }
        MemberPhase::Draining { reason } => ("draining", Some(reason.clone())),
        MemberPhase::Stopping => ("stopping", None),
        MemberPhase::Ended { failure } => ("ended", failure.clone()),
    }
}
