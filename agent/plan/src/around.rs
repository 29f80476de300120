//! What happened around the member, concluded from what it was told before and what it is told now.
//!
//! What is told is a state, not a history: states that were passed through between two tellings, or while a hook ran,
//! are skipped, and the newest is told. Nothing queues up: the next event is worked out when somebody is free to run
//! its hook. Refuses to know how it was told and how hooks are run.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cartridge_protocol::surroundings::{DomainMapping, MAX_PEERS, Neighbours, Peer, PeerPhase, Surroundings};
use cartridge_protocol::surroundings::{SignUp, Tenant};
use cartridge_protocol::{CartridgeType, ClusterId, MemberId};

use crate::hook::{Hook, Order};
pub use asked::NothingToTell;

/// Members remembered, should those told be cut again and again in another place.
const MOST_REMEMBERED: usize = 4 * MAX_PEERS;

/// Another member as last told to a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    cluster: ClusterId,
    service: CartridgeType,
    peer: Peer,
}

impl Known {
    fn of((cluster, peer): (&Neighbours, &Peer)) -> Self {
        Self {
            cluster: cluster.cluster.clone(),
            service: cluster.service.clone(),
            peer: peer.clone(),
        }
    }
}

/// One difference, and the hook that is to be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    hook: Option<Hook>,
    /// What is known afterwards; None: the member is gone.
    after: Option<Known>,
    /// Whom it is about.
    about: Known,
}

/// What was told, and what is known of it to hooks.
#[derive(Debug)]
pub struct Around {
    own: MemberId,
    newest: Option<Arc<Surroundings>>,
    peers: BTreeMap<MemberId, Known>,
    tenants_told: bool,
    sign_ups: BTreeSet<SignUp>,
    mappings: BTreeSet<DomainMapping>,
    /// Whom the last event was about: the others come first.
    last: Option<MemberId>,
}

impl Around {
    /// Nothing is known yet.
    pub const fn new(own: MemberId) -> Self {
        Self {
            own,
            newest: None,
            peers: BTreeMap::new(),
            tenants_told: false,
            sign_ups: BTreeSet::new(),
            mappings: BTreeSet::new(),
            last: None,
        }
    }

    /// What was told last.
    pub const fn newest(&self) -> Option<&Arc<Surroundings>> {
        self.newest.as_ref()
    }

    /// Takes in what is told. The members that are there the first time are known, and no events. True: it was not an
    /// older telling than the one before (S11).
    pub fn learn(&mut self, told: Arc<Surroundings>, newer_orchestrator: bool) -> bool {
        let before = self.newest.as_ref();
        if before.is_some_and(|b| told.revision < b.revision && !newer_orchestrator) {
            return false;
        }
        if before.is_none() {
            self.peers = others(&told, &self.own).collect();
        }
        self.newest = Some(told);
        true
    }

    /// Hooks know all of this: an agent before has told them.
    pub fn resume(&mut self, told: Arc<Surroundings>) {
        self.tenants_told = told.tenants.is_some();
        self.mappings = told.domain_mappings.iter().flatten().cloned().collect();
        self.sign_ups = told.sign_ups.iter().flatten().cloned().collect();
        self.learn(told, true);
    }

    /// Whether there is an event to be told.
    pub fn has_news(&self) -> bool {
        self.newest.as_deref().is_some_and(|newest| {
            self.of_tenants(newest).is_some() || self.changes(newest).iter().any(|c| c.hook.is_some())
        })
    }

    /// The next event, which counts as told from now on. Tenants come first, then members in the order of their ids,
    /// going round, so that one that comes and goes does not keep the others out.
    pub fn next_event(&mut self) -> Option<Order> {
        let newest = self.newest.clone()?;
        if let Some(order) = self.of_tenants(&newest) {
            self.told(&order, &newest);
            return Some(order);
        }
        let mut changes = self.changes(&newest);
        let first = changes.partition_point(|c| Some(&c.about.peer.member) <= self.last.as_ref());
        changes.rotate_left(first);
        for change in changes {
            let id = change.about.peer.member.clone();
            match change.after {
                Some(after) => self.peers.insert(id.clone(), after),
                None => self.peers.remove(&id),
            };
            if let Some(hook) = change.hook {
                self.last = Some(id);
                return Some(member_order(hook, &change.about));
            }
        }
        self.forget_most();
        None
    }

    /// All differences between what hooks know and what is so, one per member, in the order of their ids.
    fn changes(&self, newest: &Surroundings) -> Vec<Change> {
        let now: BTreeMap<MemberId, Known> = others(newest, &self.own).collect();
        let cut = newest.omitted > 0;
        let ids: BTreeSet<&MemberId> = self.peers.keys().chain(now.keys()).collect();
        ids.into_iter()
            .filter_map(|id| change(self.peers.get(id), now.get(id), cut))
            .collect()
    }

    fn forget_most(&mut self) {
        while self.peers.len() > MOST_REMEMBERED {
            self.peers.pop_last();
        }
    }

    fn of_tenants(&self, newest: &Surroundings) -> Option<Order> {
        let tenants = newest.tenants.as_deref();
        if let Some(tenants) = tenants.filter(|_| !self.tenants_told) {
            let list = serde_json::to_string(tenants).expect("numbers and texts are always JSON");
            return Some(Order::new(Hook::CompleteTenant).telling("STRATOS_TENANT_LIST_JSON", list));
        }
        let known = tenants.unwrap_or_default();
        let about = |hook, tenant: i64| tenant_order(hook, newest, known, tenant);
        if let Some(mappings) = newest.domain_mappings.as_deref() {
            if let Some(gone) = self.mappings.iter().find(|m| !mappings.contains(m)) {
                return Some(mapped(about(Hook::DomainMappingRemoved, gone.tenant_id), gone));
            }
            if let Some(new) = mappings.iter().find(|m| !self.mappings.contains(*m)) {
                let order = mapped(about(Hook::DomainMappingAdded, new.tenant_id), new);
                let path = new.context_path.clone().unwrap_or_default();
                return Some(order.telling("STRATOS_SUBSCRIPTION_CONTEXT_PATH", path));
            }
        }
        let sign_ups = newest.sign_ups.as_deref()?;
        if let Some(gone) = self.sign_ups.iter().find(|s| !sign_ups.contains(s)) {
            return Some(about(Hook::ApplicationSignUpRemoved, gone.tenant_id));
        }
        let new = sign_ups.iter().find(|s| !self.sign_ups.contains(*s))?;
        Some(about(Hook::TenantSubscribed, new.tenant_id))
    }

    /// Remembers what [`Self::of_tenants`] found first.
    fn told(&mut self, order: &Order, newest: &Surroundings) {
        let mappings = newest.domain_mappings.as_deref().unwrap_or_default();
        let sign_ups = newest.sign_ups.as_deref().unwrap_or_default();
        match order.hook {
            Hook::CompleteTenant => self.tenants_told = true,
            Hook::DomainMappingRemoved => drop_first(&mut self.mappings, mappings),
            Hook::DomainMappingAdded => add_first(&mut self.mappings, mappings),
            Hook::ApplicationSignUpRemoved => drop_first(&mut self.sign_ups, sign_ups),
            Hook::TenantSubscribed => add_first(&mut self.sign_ups, sign_ups),
            _ => {}
        }
    }
}

fn drop_first<T: Ord + Clone>(known: &mut BTreeSet<T>, now: &[T]) {
    let gone = known.iter().find(|one| !now.contains(one)).cloned();
    gone.inspect(|one| _ = known.remove(one));
}

fn add_first<T: Ord + Clone>(known: &mut BTreeSet<T>, now: &[T]) {
    let new = now.iter().find(|one| !known.contains(*one)).cloned();
    known.extend(new);
}

fn others<'a>(told: &'a Surroundings, own: &'a MemberId) -> impl Iterator<Item = (MemberId, Known)> + 'a {
    told.peers()
        .filter(move |(_, peer)| peer.member != *own)
        .map(|pair| (pair.1.member.clone(), Known::of(pair)))
}

/// What became of one member.
fn change(before: Option<&Known>, now: Option<&Known>, cut: bool) -> Option<Change> {
    match (before, now) {
        (None, None) => None,
        (Some(before), Some(now)) if before == now => None,
        // It may be among those that are left out.
        (Some(_), None) if cut => None,
        (Some(before), None) => Some(gone(before)),
        (Some(before), Some(now)) if before.peer.incarnation != now.peer.incarnation => {
            let gone = gone(before);
            Some(if gone.hook.is_some() {
                gone
            } else {
                stands(None, now)
            })
        }
        (before, Some(now)) => Some(stands(before.map(|b| b.peer.phase), now)),
    }
}

fn stands(before: Option<PeerPhase>, now: &Known) -> Change {
    Change {
        hook: reached(before, now.peer.phase),
        after: Some(now.clone()),
        about: now.clone(),
    }
}

/// Its end is told unless it was told already, or nothing ever was.
fn gone(before: &Known) -> Change {
    let silent = matches!(before.peer.phase, PeerPhase::Created | PeerPhase::Terminated);
    Change {
        hook: (!silent).then_some(Hook::MemberTerminated),
        after: None,
        about: before.clone(),
    }
}

/// The hook for a member that stood in `before` and stands in `now`.
const fn reached(before: Option<PeerPhase>, now: PeerPhase) -> Option<Hook> {
    use PeerPhase::{Active, Created, InMaintenance, Initialized, Starting, Suspended, Terminated};
    match (before, now) {
        (None | Some(Created), Initialized) => Some(Hook::MemberInitialized),
        (Some(Starting), Starting) | (Some(Active), Active) | (Some(Suspended), Suspended) => None,
        (_, Starting) => Some(Hook::MemberStarted),
        (_, Active) => Some(Hook::MemberActivated),
        (_, Suspended) => Some(Hook::MemberSuspended),
        (None | Some(Created | Terminated), Terminated) => None,
        (_, Terminated) => Some(Hook::MemberTerminated),
        // Stratos has no hook for these.
        (_, Created | Initialized | InMaintenance) => None,
    }
}

/// Beside the topology, what agents of Stratos before 4.1 told of the member that an event is about.
fn member_order(hook: Hook, about: &Known) -> Order {
    let kind = match hook {
        Hook::MemberInitialized => "INITIALIZED",
        Hook::MemberStarted => "STARTED",
        Hook::MemberActivated => "ACTIVATED",
        Hook::MemberSuspended => "SUSPENDED",
        _ => "TERMINATED",
    };
    let name = |what: &str| format!("STRATOS_MEMBER_{kind}_{what}");
    let peer = &about.peer;
    let ports: String = peer
        .ports
        .iter()
        .map(|(name, port)| format!("{name},{port},{port}|"))
        .collect();
    let address = peer.address.map(|address| address.to_string());
    Order::new(hook)
        .telling(&name("MEMBER_ID"), peer.member.as_str())
        .telling(&name("MEMBER_IP"), address.unwrap_or_default())
        .telling(&name("CLUSTER_ID"), about.cluster.as_str())
        .telling(&name("SERVICE_NAME"), about.service.as_str())
        .telling(&name("NETWORK_PARTITION_ID"), peer.network_partition.as_str())
        .telling(&name("PARTITION_ID"), peer.partition.as_str())
        .telling(&name("PORTS"), ports)
}

fn tenant_order(hook: Hook, around: &Surroundings, known: &[Tenant], tenant: i64) -> Order {
    let domain = known.iter().find(|t| t.tenant_id == tenant);
    Order::new(hook)
        .telling("STRATOS_SUBSCRIPTION_APPLICATION_ID", around.application.as_str())
        .telling("STRATOS_SUBSCRIPTION_TENANT_ID", tenant.to_string())
        .telling(
            "STRATOS_SUBSCRIPTION_TENANT_DOMAIN",
            domain.map_or("", |t| t.tenant_domain.as_str()),
        )
}

fn mapped(order: Order, mapping: &DomainMapping) -> Order {
    order
        .telling("STRATOS_SUBSCRIPTION_SERVICE_NAME", mapping.service_name.as_str())
        .telling("STRATOS_SUBSCRIPTION_CLUSTER_ID", mapping.cluster_id.as_str())
        .telling("STRATOS_SUBSCRIPTION_DOMAIN_NAME", mapping.domain_name.clone())
}

#[cfg(test)]
mod tests;
