//! The balancer as the plugin contract sees it: take a topology, tell what is in flight, end in order.
//!
//! This file refuses to know about single requests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use cartridge_plugin_sdk::Balancer;
use cartridge_protocol::ClusterId;
use cartridge_protocol::sample::{ClusterReading, MemberReading};
use cartridge_protocol::topology::Topology;
use tokio::net::TcpListener;

use crate::limits::Limits;
use crate::listener::{OpenListener, Shared};
use crate::table::ServedCluster;

/// Why a topology cannot be served; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Somebody else has the address, or it is none of this machine.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Only `http` is spoken here.
    #[error("cluster {cluster}, port {port}: protocol {protocol:?} is not spoken here, only http")]
    Protocol {
        /// Whose listener.
        cluster: ClusterId,
        /// Which one.
        port: u16,
        /// What it asks for.
        protocol: String,
    },
    /// Clients could not know where to connect.
    #[error("cluster {0}: a listener needs a port other than 0")]
    NoPort(ClusterId),
}

/// An HTTP/1.1 reverse proxy.
#[derive(Debug)]
pub struct HttpBalancer {
    shared: Arc<Shared>,
    open: BTreeMap<SocketAddr, OpenListener>,
}

impl HttpBalancer {
    /// A balancer that serves nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            shared: Shared::new(limits),
            open: BTreeMap::new(),
        }
    }

    /// Listens where it does not yet, all or nothing.
    async fn bind(&self, wanted: &BTreeSet<SocketAddr>) -> Result<Vec<(SocketAddr, TcpListener)>, Refused> {
        let mut bound = Vec::new();
        for address in wanted.iter().filter(|a| !self.open.contains_key(a)) {
            let socket = TcpListener::bind(address).await;
            let socket = socket.map_err(|source| Refused::Bind {
                address: *address,
                source,
            })?;
            bound.push((*address, socket));
        }
        Ok(bound)
    }
}

/// The addresses to listen on.
fn wanted(topology: &Topology) -> Result<BTreeSet<SocketAddr>, Refused> {
    let mut wanted = BTreeSet::new();
    for cluster in &topology.clusters {
        for listener in &cluster.listeners {
            if !listener.protocol.eq_ignore_ascii_case("http") {
                return Err(Refused::Protocol {
                    cluster: cluster.cluster.clone(),
                    port: listener.port,
                    protocol: listener.protocol.clone(),
                });
            }
            if listener.port == 0 {
                return Err(Refused::NoPort(cluster.cluster.clone()));
            }
            wanted.insert(SocketAddr::new(topology.listen, listener.port));
        }
    }
    Ok(wanted)
}

fn reading(served: &ServedCluster, now: Instant) -> ClusterReading {
    let load = served.load.read(now);
    let mut members: BTreeMap<_, u64> = served.members.iter().map(|member| (member, 0)).collect();
    members.extend(load.members.iter().map(|(member, count)| (member, *count)));
    ClusterReading {
        cluster: served.cluster.clone(),
        in_flight_average: load.average,
        in_flight: load.in_flight,
        arrived: Some(load.arrived),
        served: load.served,
        failed: load.failed,
        members: members
            .into_iter()
            .map(|(member, in_flight)| MemberReading {
                member: member.as_ref().clone(),
                in_flight,
            })
            .collect(),
    }
}

impl Balancer for HttpBalancer {
    type Error = Refused;

    fn name(&self) -> &str {
        "http"
    }

    async fn set_members(&mut self, topology: &Topology) -> Result<(), Refused> {
        let wanted = wanted(topology)?;
        let bound = self.bind(&wanted).await?;
        let next = self.shared.table.get().next(topology, Instant::now());
        self.shared.table.set(next);
        for (address, socket) in bound {
            let listener = OpenListener::serve(socket, address.port(), &self.shared);
            self.open.insert(address, listener);
        }
        let vanished: Vec<_> = self
            .open
            .keys()
            .filter(|a| !wanted.contains(a))
            .copied()
            .collect();
        for address in vanished {
            if let Some(listener) = self.open.remove(&address) {
                listener.close().await;
                tracing::info!(%address, "no longer listening");
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<ClusterReading>, Refused> {
        let table = self.shared.table.get();
        for upstream in table.upstreams() {
            upstream.sweep(&self.shared.limits);
        }
        let now = Instant::now();
        Ok(table.clusters.iter().map(|served| reading(served, now)).collect())
    }

    async fn stop(mut self) {
        while let Some((_, listener)) = self.open.pop_first() {
            listener.close().await;
        }
        self.shared.tasks.close();
        let drained = tokio::time::timeout(self.shared.limits.stop_drain, self.shared.tasks.wait()).await;
        if drained.is_err() {
            tracing::warn!(
                connections = self.shared.tasks.len(),
                "ended with requests in flight"
            );
        }
    }
}
