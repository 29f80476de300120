//! What each agent is told: the whole of it, newest wins. Refuses to know how it travels.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use cartridge_orchestrator_plan::desired::desired;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::link::Desired;
use cartridge_protocol::{ApplicationId, MemberId};
use tokio::sync::watch;

use super::{Engine, Shared};

/// How often agents measure and report, milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Between samples.
    pub sample_ms: u64,
    /// Between batches when nothing changes.
    pub publish_ms: u64,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            sample_ms: 1_000,
            publish_ms: 1_000,
        }
    }
}

/// Everybody who listens.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<HashMap<MemberId, Listener>>);

struct Listener {
    number: u64,
    tell: watch::Sender<Option<Arc<Desired>>>,
}

/// One who listens. Another ear of the same member ends this one.
pub struct Ear {
    shared: Arc<Shared>,
    member: MemberId,
    number: u64,
    heard: watch::Receiver<Option<Arc<Desired>>>,
}

impl Ear {
    /// What is wanted: at once the first time, then whenever it changes. None: this life of the member is over, or
    /// another ear took this one's place.
    pub async fn next(&mut self) -> Option<Arc<Desired>> {
        self.heard.changed().await.ok()?;
        self.heard.borrow_and_update().clone()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.shared.stats.streams.fetch_sub(1, Relaxed);
        let mut listeners = self
            .shared
            .listeners
            .0
            .lock()
            .expect("no holder of this lock panics");
        if listeners
            .get(&self.member)
            .is_some_and(|l| l.number == self.number)
        {
            listeners.remove(&self.member);
        }
    }
}

impl Engine {
    /// Listens to what is wanted of this life of a member.
    pub fn listen(&self, member: &MemberId, incarnation: u64) -> Ear {
        let number = self.shared.stats.streams_ever.fetch_add(1, Relaxed);
        self.shared.stats.streams.fetch_add(1, Relaxed);
        // Held while looking at the world, so that no change falls between looking and listening.
        let mut listeners = self
            .shared
            .listeners
            .0
            .lock()
            .expect("no holder of this lock panics");
        let current = self.shared.desired(member, incarnation).map(Arc::new);
        let (tell, mut heard) = watch::channel(current);
        heard.mark_changed();
        listeners.insert(member.clone(), Listener { number, tell });
        drop(listeners);
        Ear {
            shared: Arc::clone(&self.shared),
            member: member.clone(),
            number,
            heard,
        }
    }

    /// What is wanted of this life of a member now; None: it is over.
    pub fn desired(&self, member: &MemberId, incarnation: u64) -> Option<Desired> {
        self.shared.desired(member, incarnation)
    }
}

impl Shared {
    fn desired(&self, member: &MemberId, incarnation: u64) -> Option<Desired> {
        self.read(|state| {
            let known = state.world.members.get(member)?;
            if known.incarnation != incarnation {
                return None;
            }
            self.complete(&state.world, member)
        })
    }

    fn complete(&self, world: &World, member: &MemberId) -> Option<Desired> {
        let mut wanted = desired(world, member)?;
        wanted.sample_interval_ms = self.intervals.sample_ms;
        wanted.publish_interval_ms = self.intervals.publish_ms;
        if let Some(artifacts) = &mut wanted.artifacts {
            let cluster = world.clusters.get(&world.members.get(member)?.cluster)?;
            let sealed = world
                .sealed
                .get(&cluster.application)
                .and_then(|by| by.get(&cluster.alias));
            if let Some(sealed) = sealed.filter(|sealed| !sealed.is_empty()) {
                match self.identity.unseal(sealed) {
                    Ok(password) => artifacts.password = Some(password),
                    Err(e) => tracing::error!(cluster = %cluster.id, "{e}"),
                }
            }
        }
        Some(wanted)
    }

    /// Tells those of the given applications (None: all) whose orders changed.
    pub(crate) fn tell(&self, applications: Option<&BTreeSet<ApplicationId>>) {
        let listeners = self.listeners.0.lock().expect("no holder of this lock panics");
        self.read(|state| {
            for (member, listener) in listeners.iter() {
                let known = state.world.members.get(member);
                let application = known
                    .and_then(|m| state.world.clusters.get(&m.cluster))
                    .map(|c| &c.application);
                let concerned = match (application, applications) {
                    (Some(application), Some(concerned)) => concerned.contains(application),
                    _ => true,
                };
                if concerned {
                    let wanted = self.complete(&state.world, member);
                    listener.tell.send_if_modified(|told| {
                        let changed = told.as_deref() != wanted.as_ref();
                        if changed {
                            *told = wanted.map(Arc::new);
                        }
                        changed
                    });
                }
            }
        });
    }
}
