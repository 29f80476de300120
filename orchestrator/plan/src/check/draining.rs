//! Drain (S14): a member is told to stop, or to switch releases, only after its balancers let go of it.

use cartridge_protocol::{MemberId, Millis};

use super::{Broken, Moment, broken};
use crate::record::Record;
use crate::world::{ApplicationStatus, Cluster, Member, MemberPhase, Role, World};

/// The time that a member gets to finish its requests.
const LIMIT: Millis = Millis::from_secs(30);

pub(super) fn order(moment: &Moment<'_>) -> Result<(), Broken> {
    let (Record::MemberStopping { member: id, .. } | Record::MemberCleared { member: id, .. }) =
        moment.record
    else {
        return Ok(());
    };
    let found = moment.world.members.get(id);
    let Some((member, cluster)) =
        found.and_then(|member| Some((member, moment.world.clusters.get(&member.cluster)?)))
    else {
        return Err(broken("S14 drain", format!("{id} is not known")));
    };
    if exempt(moment.world, cluster, member) || moment.now.since(member.since) >= LIMIT {
        return Ok(());
    }
    for balancer in balancers(moment.world, cluster, member) {
        released(moment, member, balancer)?;
    }
    Ok(())
}

/// Nobody sends it requests, or an order says not to wait.
fn exempt(world: &World, cluster: &Cluster, member: &Member) -> bool {
    let forced = world
        .applications
        .get(&cluster.application)
        .is_some_and(|state| matches!(state.status, ApplicationStatus::Undeploying { force: true }));
    let proxied = world.cartridges.get(&cluster.cartridge).is_some_and(|cartridge| {
        cartridge
            .port_mapping
            .iter()
            .any(|mapping| mapping.proxy_port > 0)
    });
    forced || !proxied || cluster.role != Role::Application || member.credential_sha256.is_none()
}

/// Balancers of its network partition that may send requests.
fn balancers<'a>(world: &'a World, cluster: &'a Cluster, member: &'a Member) -> Vec<&'a MemberId> {
    let stands = |m: &&Member| {
        let of = world.clusters.get(&m.cluster);
        let role = of.is_some_and(|of| {
            of.application == cluster.application && matches!(of.role, Role::Balancer { .. })
        });
        let sends = !matches!(
            m.phase,
            MemberPhase::Planned { .. }
                | MemberPhase::Ensured
                | MemberPhase::Starting
                | MemberPhase::Ended { .. }
        );
        role && sends && m.network_partition == member.network_partition
    };
    let all = world
        .clusters
        .values()
        .filter(|of| of.application == cluster.application);
    all.flat_map(|of| &of.members)
        .filter_map(|id| world.members.get(id))
        .filter(stands)
        .map(|m| &m.id)
        .collect()
}

fn released(moment: &Moment<'_>, member: &Member, balancer: &MemberId) -> Result<(), Broken> {
    let key = (member.cluster.clone(), member.network_partition.clone());
    let fault = |problem: String| Err(broken("S14 drain", problem));
    let Some(reading) = moment.seen.clusters.get(&key) else {
        return fault(format!(
            "{balancer} never said whether it lets go of {}",
            member.id
        ));
    };
    if reading.revision < member.revision || reading.heard < member.since {
        return fault(format!(
            "{balancer} runs revision {}, {} went out with {}",
            reading.revision, member.id, member.revision
        ));
    }
    match reading.members.get(&member.id) {
        Some(in_flight) if *in_flight > 0 => {
            fault(format!("{in_flight} requests are in flight at {}", member.id))
        }
        _ => Ok(()),
    }
}
