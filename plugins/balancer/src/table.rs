//! Which request goes to which members: a value, built from a topology and swapped as a whole.
//!
//! What must survive a change (counters, idle connections, ejections) is carried over by identity. This file
//! refuses to know about sockets.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use cartridge_protocol::topology::{EndpointState, Listener, Topology, TopologyCluster};
use cartridge_protocol::{ClusterId, ContextPath, MemberId};

use crate::headers::host_name;
use crate::load::ClusterLoad;
use crate::upstream::{Upstream, UpstreamKey};

/// Everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Table {
    ports: BTreeMap<u16, Port>,
    upstreams: BTreeMap<UpstreamKey, Arc<Upstream>>,
    /// In the topology's order.
    pub(crate) clusters: Vec<ServedCluster>,
}

/// One cluster, as far as it is measured.
#[derive(Debug)]
pub(crate) struct ServedCluster {
    pub(crate) cluster: ClusterId,
    pub(crate) load: Arc<ClusterLoad>,
    pub(crate) members: BTreeSet<Arc<MemberId>>,
}

/// What one port leads to.
#[derive(Debug, Default)]
pub(crate) struct Port {
    routes: Vec<Arc<Route>>,
    by_host: HashMap<String, Lead>,
}

/// Where a host leads.
#[derive(Debug)]
struct Lead {
    route: usize,
    /// What is put in front of the paths of its requests.
    path: Option<ContextPath>,
    /// It is a tenant's domain, not the cluster's own name.
    mapped: bool,
}

/// Where requests of one cluster on one port go.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) cluster: ClusterId,
    pub(crate) load: Arc<ClusterLoad>,
    pub(crate) ready: Vec<Arc<Upstream>>,
}

impl Port {
    /// The cluster that has this host, else the first; and what is to be put in front of the path.
    pub(crate) fn route(&self, host: Option<&str>) -> Option<(&Arc<Route>, Option<&ContextPath>)> {
        let lead = host.and_then(|host| self.by_host.get(&host_name(host)));
        let route = self.routes.get(lead.map_or(0, |lead| lead.route))?;
        Some((route, lead.and_then(|lead| lead.path.as_ref())))
    }

    /// A host is the first cluster's that names it; but nobody takes a cluster's own name away by mapping it.
    fn add(&mut self, route: Route, cluster: &TopologyCluster) {
        let index = self.routes.len();
        self.routes.push(Arc::new(route));
        for host in &cluster.hosts {
            let own = Lead {
                route: index,
                path: None,
                mapped: false,
            };
            match self.by_host.entry(host_name(host)) {
                Entry::Occupied(mut taken) if taken.get().mapped => drop(taken.insert(own)),
                Entry::Occupied(_) => {}
                Entry::Vacant(free) => drop(free.insert(own)),
            }
        }
        for mapped in &cluster.mapped {
            self.by_host
                .entry(mapped.host.as_str().to_owned())
                .or_insert_with(|| Lead {
                    route: index,
                    path: mapped.path.clone(),
                    mapped: true,
                });
        }
    }
}

impl Route {
    /// The members to try, in turn: the next one first, those that lately could not be reached last.
    pub(crate) fn candidates(&self, now: Instant) -> Vec<Arc<Upstream>> {
        let first = self.load.turn(self.ready.len());
        let (tail, head) = self.ready.split_at(first.min(self.ready.len()));
        let in_turn = head.iter().chain(tail).cloned();
        let (mut able, ejected): (Vec<_>, Vec<_>) = in_turn.partition(|u| !u.is_ejected(now));
        able.extend(ejected);
        able
    }
}

impl Table {
    /// What a port leads to.
    pub(crate) fn port(&self, port: u16) -> Option<&Port> {
        self.ports.get(&port)
    }

    /// Every member that may have something in flight.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// The table for `topology`, keeping what this one knows of clusters and members that stay.
    pub(crate) fn next(&self, topology: &Topology, now: Instant) -> Self {
        let mut next = Self::default();
        for cluster in &topology.clusters {
            next.add_cluster(cluster, self, now);
        }
        next
    }

    fn add_cluster(&mut self, cluster: &TopologyCluster, before: &Self, now: Instant) {
        let known = before.clusters.iter().find(|c| c.cluster == cluster.cluster);
        let load = known.map_or_else(|| Arc::new(ClusterLoad::new(now)), |known| known.load.clone());
        let mut members = BTreeSet::new();
        for listener in &cluster.listeners {
            let ready = self.add_endpoints(cluster, listener, before, &mut members);
            let route = Route {
                cluster: cluster.cluster.clone(),
                load: load.clone(),
                ready,
            };
            self.ports.entry(listener.port).or_default().add(route, cluster);
        }
        self.clusters.push(ServedCluster {
            cluster: cluster.cluster.clone(),
            load,
            members,
        });
    }

    /// Notes every endpoint of a listener and returns those that take new requests.
    fn add_endpoints(
        &mut self,
        cluster: &TopologyCluster,
        listener: &Listener,
        before: &Self,
        members: &mut BTreeSet<Arc<MemberId>>,
    ) -> Vec<Arc<Upstream>> {
        let mut ready = Vec::new();
        for endpoint in &cluster.endpoints {
            let Some(port) = endpoint.ports.get(&listener.name) else {
                continue;
            };
            let key = UpstreamKey {
                cluster: cluster.cluster.clone(),
                member: endpoint.member.clone(),
                incarnation: endpoint.incarnation,
                address: SocketAddr::new(endpoint.address, *port),
            };
            let kept = before.upstreams.get(&key).cloned();
            let upstream = self
                .upstreams
                .entry(key)
                .or_insert_with_key(|key| kept.unwrap_or_else(|| Arc::new(Upstream::new(key))))
                .clone();
            members.insert(upstream.member.clone());
            if endpoint.state == EndpointState::Ready {
                ready.push(upstream);
            }
        }
        ready
    }

    /// Members that take new requests.
    fn ready(&self) -> BTreeSet<SocketAddr> {
        let routes = self.ports.values().flat_map(|port| &port.routes);
        routes
            .flat_map(|route| &route.ready)
            .map(|upstream| upstream.address)
            .collect()
    }
}

/// The table in force; requests take it as it is when they arrive.
#[derive(Debug, Default)]
pub(crate) struct TableInForce(RwLock<Arc<Table>>);

impl TableInForce {
    pub(crate) fn get(&self) -> Arc<Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts `next` in force. Idle connections to members that take no new requests are closed, and members
    /// that are gone altogether are told so.
    pub(crate) fn set(&self, next: Table) {
        let next = Arc::new(next);
        let ready = next.ready();
        for upstream in next.upstreams() {
            upstream.keep_idle_connections(ready.contains(&upstream.address));
        }
        let before = {
            let mut in_force = self.0.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *in_force, next.clone())
        };
        for (key, upstream) in &before.upstreams {
            if !next.upstreams.contains_key(key) {
                upstream.leave();
            }
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
