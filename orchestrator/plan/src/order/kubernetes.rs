//! Kubernetes clusters and their machines: every change of one machine is a cluster put anew.
//!
//! It refuses to know what is started there.

use cartridge_protocol::{KubernetesClusterId, KubernetesHostId};

use super::{Code, Mode, Refusal, put};
use crate::blueprint::{KubernetesCluster, KubernetesHost, MAX_HOSTS, NetworkPartition};
use crate::record::Record;
use crate::world::World;

type Answer = Result<Vec<Record>, Refusal>;

/// What shall become of the machines of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum HostChange {
    /// There shall be one more.
    Add(KubernetesClusterId, KubernetesHost),
    /// This is the master from now on.
    Master(KubernetesClusterId, KubernetesHost),
    /// The machine of this id is so from now on, in whichever cluster it is.
    Replace(KubernetesHost),
    /// One fewer.
    Remove(KubernetesClusterId, KubernetesHostId),
}

/// A sealed value of empty text is the one that there is.
pub(super) fn put(world: &World, mut cluster: Box<KubernetesCluster>, mode: Mode) -> Answer {
    let id = cluster.cluster_id.clone();
    let present = world.kubernetes_clusters.get(&id);
    for (name, sealed) in cluster.sealed.iter_mut().filter(|(_, sealed)| sealed.is_empty()) {
        let kept = present.and_then(|present| present.sealed.get(name));
        sealed.clone_from(kept.unwrap_or(&String::new()));
    }
    if !put::fits(
        mode,
        "Kubernetes cluster",
        id.as_str(),
        "clusterId",
        present,
        &*cluster,
    )? {
        return Ok(Vec::new());
    }
    machines_are_its_own(world, &cluster)?;
    Ok(vec![Record::KubernetesClusterPut(cluster)])
}

fn machines_are_its_own(world: &World, cluster: &KubernetesCluster) -> Result<(), Refusal> {
    let field = |n: usize| match n.checked_sub(1) {
        None => "kubernetesMaster.hostId".to_owned(),
        Some(host) => format!("kubernetesHosts[{host}].hostId"),
    };
    let others = || {
        world
            .kubernetes_clusters
            .values()
            .filter(|other| other.cluster_id != cluster.cluster_id)
    };
    let taken = |(n, host): (usize, &KubernetesHost)| {
        let owner = others().find(|other| other.machines().any(|one| one.host_id == host.host_id))?;
        let message = format!(
            "host {:?} belongs to Kubernetes cluster {:?}",
            host.host_id.as_str(),
            owner.cluster_id.as_str()
        );
        Some((field(n), message))
    };
    Refusal::of(
        Code::Conflict,
        cluster.machines().enumerate().filter_map(taken).collect(),
    )
}

pub(super) fn change(world: &World, change: HostChange) -> Answer {
    let (cluster, changed) = match change {
        HostChange::Add(id, host) => {
            let cluster = known(world, &id)?;
            if cluster.kubernetes_hosts.len() >= MAX_HOSTS {
                let message = format!("kubernetesHosts: at most {MAX_HOSTS} are accepted");
                return Err(Refusal::new(Code::Invalid, "kubernetesHosts", message));
            }
            if cluster.machines().any(|one| one.host_id == host.host_id) {
                let message = format!("hostId: there is a host {:?} already", host.host_id.as_str());
                return Err(Refusal::new(Code::Conflict, "hostId", message));
            }
            let mut changed = cluster.clone();
            changed.kubernetes_hosts.push(host);
            (cluster, changed)
        }
        HostChange::Master(id, host) => {
            let cluster = known(world, &id)?;
            if cluster
                .kubernetes_hosts
                .iter()
                .any(|one| one.host_id == host.host_id)
            {
                let message = format!("hostId: host {:?} is not the master", host.host_id.as_str());
                return Err(Refusal::new(Code::Conflict, "hostId", message));
            }
            let mut changed = cluster.clone();
            changed.kubernetes_master = host;
            (cluster, changed)
        }
        HostChange::Replace(host) => {
            let has =
                |cluster: &&KubernetesCluster| cluster.machines().any(|one| one.host_id == host.host_id);
            let cluster = world.kubernetes_clusters.values().find(has);
            let cluster = cluster.ok_or_else(|| no_host(&host.host_id))?;
            let mut changed = cluster.clone();
            let mut machines =
                std::iter::once(&mut changed.kubernetes_master).chain(&mut changed.kubernetes_hosts);
            if let Some(place) = machines.find(|one| one.host_id == host.host_id) {
                *place = host;
            }
            (cluster, changed)
        }
        HostChange::Remove(id, host) => {
            let cluster = known(world, &id)?;
            if cluster.kubernetes_master.host_id == host {
                let message = format!("host {:?} is the master; put another one first", host.as_str());
                return Err(Refusal::new(Code::Conflict, "", message));
            }
            let mut changed = cluster.clone();
            changed.kubernetes_hosts.retain(|one| one.host_id != host);
            if changed.kubernetes_hosts.len() == cluster.kubernetes_hosts.len() {
                return Err(no_host(&host));
            }
            (cluster, changed)
        }
    };
    if *cluster == changed {
        return Ok(Vec::new());
    }
    machines_are_its_own(world, &changed)?;
    Ok(vec![Record::KubernetesClusterPut(Box::new(changed))])
}

pub(super) fn remove(world: &World, id: KubernetesClusterId) -> Answer {
    known(world, &id)?;
    let uses = |place: &&NetworkPartition| {
        let here = |properties: &std::collections::BTreeMap<String, String>| {
            properties
                .get("cluster")
                .is_some_and(|named| named == id.as_str())
        };
        place.provider == "kubernetes" && place.partitions.iter().any(|part| here(&part.properties))
    };
    if let Some(user) = world.network_partitions.values().find(uses) {
        let message = format!(
            "Kubernetes cluster {:?} is in use by network partition {:?}",
            id.as_str(),
            user.id.as_str()
        );
        return Err(Refusal::new(Code::Conflict, "", message));
    }
    Ok(vec![Record::KubernetesClusterRemoved { id }])
}

fn known<'a>(world: &'a World, id: &KubernetesClusterId) -> Result<&'a KubernetesCluster, Refusal> {
    world.kubernetes_clusters.get(id).ok_or_else(|| {
        let message = format!("there is no Kubernetes cluster {:?}", id.as_str());
        Refusal::new(Code::NotFound, "", message)
    })
}

fn no_host(id: &KubernetesHostId) -> Refusal {
    let message = format!("there is no Kubernetes host {:?}", id.as_str());
    Refusal::new(Code::NotFound, "", message)
}
