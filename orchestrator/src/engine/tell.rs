//! What each agent is told: the whole of it, newest wins. Refuses to know how it travels.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};

use cartridge_orchestrator_plan::around::surroundings;
use cartridge_orchestrator_plan::desired::{PUBLISH_INTERVAL_MS, SAMPLE_INTERVAL_MS, desired};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::{Role, World, member_of};
use cartridge_protocol::link::Desired;
use cartridge_protocol::{ApplicationId, ClusterId, MemberId, Secret};
use tokio::sync::watch;

use super::draft::{Touched, touched};
use super::{Engine, Shared, State};

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
            sample_ms: SAMPLE_INTERVAL_MS,
            publish_ms: PUBLISH_INTERVAL_MS,
        }
    }
}

/// Everybody who listens.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<Listening>);

#[derive(Default)]
struct Listening {
    all: HashMap<MemberId, Listener>,
    /// Those of them that want to know what runs around them.
    curious: BTreeMap<ApplicationId, BTreeSet<MemberId>>,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Listening> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Listening {
    /// True: this was not known before.
    fn note_curious(&mut self, application: &ApplicationId, member: &MemberId) -> bool {
        let of_it = self.curious.entry(application.clone()).or_default();
        of_it.insert(member.clone())
    }

    fn remove(&mut self, member: &MemberId) {
        self.all.remove(member);
        self.curious.retain(|_, members| {
            members.remove(member);
            !members.is_empty()
        });
    }
}

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
        let mut listeners = self.shared.listeners.lock();
        let is_own = |listener: &Listener| listener.number == self.number;
        if listeners.all.get(&self.member).is_some_and(is_own) {
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
        let mut listeners = self.shared.listeners.lock();
        let current = self.shared.desired(member, incarnation).map(Arc::new);
        let around = current.as_ref().and_then(|desired| desired.surroundings.as_ref());
        if let Some(around) = around {
            listeners.note_curious(&around.application, member);
        }
        let (tell, mut heard) = watch::channel(current);
        heard.mark_changed();
        listeners.all.insert(member.clone(), Listener { number, tell });
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
            self.complete(state, member)
        })
    }

    fn complete(&self, state: &State, member: &MemberId) -> Option<Desired> {
        let world = &state.world;
        let mut wanted = desired(world, member)?;
        if is_curious(state, member) {
            wanted.surroundings = surroundings(world, member).map(Arc::new);
        }
        wanted.sample_interval_ms = self.intervals.sample_ms;
        wanted.publish_interval_ms = wanted.publish_interval_ms.min(self.intervals.publish_ms);
        if let Some(artifacts) = &mut wanted.artifacts {
            let cluster = world.clusters.get(&world.members.get(member)?.cluster)?;
            let sealed = world
                .sealed
                .get(&cluster.application)
                .and_then(|by| by.get(&cluster.alias));
            artifacts.password = sealed.and_then(|sealed| self.opened(&cluster.id, sealed));
        }
        for told in &mut wanted.tenants {
            let cluster = world.clusters.get(&world.members.get(member)?.cluster)?;
            let one = world.repository_of(cluster, told.tenant);
            told.artifacts.password = one.and_then(|one| self.opened(&cluster.id, &one.sealed));
        }
        Some(wanted)
    }

    /// The password of a repository; None: it has none.
    fn opened(&self, cluster: &ClusterId, sealed: &str) -> Option<Secret> {
        if sealed.is_empty() {
            return None;
        }
        let password = self.identity.unseal(sealed);
        password.inspect_err(|e| tracing::error!(%cluster, "{e}")).ok()
    }

    /// Tells those whose orders these entries may have changed; `old` is the world before them.
    pub(crate) fn tell(&self, old: &World, entries: &[Entry]) {
        let listeners = self.listeners.lock();
        self.read(
            |state| match concerned(&state.world, old, entries, &listeners.curious) {
                None => listeners
                    .all
                    .iter()
                    .for_each(|(member, listener)| self.tell_one(state, member, listener)),
                Some(members) => {
                    for member in members {
                        if let Some(listener) = listeners.all.get(&member) {
                            self.tell_one(state, &member, listener);
                        }
                    }
                }
            },
        );
    }

    /// A member has said that it wants to know what runs around it.
    pub(crate) fn tell_curious(&self, member: &MemberId) {
        let mut listeners = self.listeners.lock();
        self.read(|state| {
            let known = state.world.members.get(member);
            let cluster = known.and_then(|known| state.world.clusters.get(&known.cluster));
            let Some(cluster) = cluster.filter(|_| listeners.all.contains_key(member)) else {
                return;
            };
            if listeners.note_curious(&cluster.application, member)
                && let Some(listener) = listeners.all.get(member)
            {
                self.tell_one(state, member, listener);
            }
        });
    }

    fn tell_one(&self, state: &State, member: &MemberId, listener: &Listener) {
        let wanted = self.complete(state, member);
        listener.tell.send_if_modified(|told| {
            let changed = told.as_deref() != wanted.as_ref();
            if changed {
                *told = wanted.map(Arc::new);
            }
            changed
        });
    }
}

/// It has said so, in the life that it is in.
fn is_curious(state: &State, member: &MemberId) -> bool {
    let said = state.seen.members.get(member);
    let known = state.world.members.get(member);
    let of_this_life = said
        .zip(known)
        .filter(|(said, known)| said.incarnation == known.incarnation);
    of_this_life.is_some_and(|(said, _)| said.status.wants_surroundings)
}

/// Whose orders these entries may have changed; None: perhaps everybody's.
fn concerned(
    world: &World,
    old: &World,
    entries: &[Entry],
    curious: &BTreeMap<ApplicationId, BTreeSet<MemberId>>,
) -> Option<BTreeSet<MemberId>> {
    let mut members = BTreeSet::new();
    let mut whole: BTreeSet<ApplicationId> = BTreeSet::new();
    let mut balancers: BTreeSet<ApplicationId> = BTreeSet::new();
    for entry in entries {
        let application = match touched(world, old, &entry.record) {
            Touched::Application(application) => application,
            Touched::Users(applications) => {
                for application in &applications {
                    members.extend(curious.get(application).into_iter().flatten().cloned());
                }
                whole.extend(applications);
                continue;
            }
            Touched::All => return None,
        };
        // These are told of all that happens in it.
        members.extend(curious.get(&application).into_iter().flatten().cloned());
        match (&entry.record, member_of(&entry.record)) {
            // What a member is told follows from itself and its cluster; what balancers are told, from all.
            (_, Some((member, _))) => {
                members.insert(member.clone());
                balancers.insert(application);
            }
            (Record::ClusterResized { cluster, .. }, None) => {
                balancers.insert(application);
                // How many share the looks at the repository may have changed with the size.
                let now = world.clusters.get(cluster);
                if now.map(|c| c.told) != old.clusters.get(cluster).map(|c| c.told) {
                    members.extend(now.into_iter().flat_map(|c| c.members.iter().cloned()));
                }
            }
            // A tenant's push is told to those who keep its files.
            (
                Record::TenantReleaseOrdered { cluster, .. } | Record::TenantReleaseRejected { cluster, .. },
                None,
            ) => {
                let cluster = world.clusters.get(cluster);
                members.extend(cluster.into_iter().flat_map(|c| c.members.iter().cloned()));
            }
            _ => _ = whole.insert(application),
        }
    }
    for (worlds, application, all) in [world, old]
        .into_iter()
        .flat_map(|w| whole.iter().map(move |a| (w, a, true)))
        .chain(balancers.iter().map(|a| (world, a, false)))
    {
        let clusters = worlds.clusters_of(application);
        let told = clusters.filter(|c| all || matches!(c.role, Role::Balancer { .. }));
        members.extend(told.flat_map(|c| c.members.iter().cloned()));
    }
    Some(members)
}
