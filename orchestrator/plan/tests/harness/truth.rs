//! What must hold in the simulated world itself, whatever the orchestrator believes.

use std::collections::BTreeMap;

use cartridge_orchestrator_plan::decide::{Scope, View, decide};
use cartridge_orchestrator_plan::observe::{MAX_POINTS, Window};
use cartridge_orchestrator_plan::outstanding::outstanding;
use cartridge_orchestrator_plan::placement;
use cartridge_orchestrator_plan::world::{
    ApplicationStatus, Cluster, ClusterInstance, MAX_CHANGES, MAX_COMMITS, MAX_DEPARTED, MAX_DRAINS,
    MemberPhase, Role, Standing, World,
};
use cartridge_protocol::topology::{Endpoint, EndpointState};
use cartridge_protocol::{ClusterId, MemberId, Millis, NetworkPartitionId};

use super::agent::Agent;
use super::liveness;
use super::sim::Sim;
use super::witness::Witness;
use super::{Holds, Violation, demand, tenants};

/// What was injected, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub counts: BTreeMap<&'static str, u64>,
    /// What liars would have said.
    pub honest: BTreeMap<MemberId, Vec<(Millis, f64)>>,
}

impl Tally {
    pub fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }
}

/// Every check by its name, for docs/simulation.md.
pub type Check = fn(&Sim) -> Holds;

/// Checked after every second.
pub const EACH_SECOND: [(&str, Check); 13] = [
    ("intent_came_first", intent_came_first),
    ("one_life_each", one_life_each),
    ("no_foreign_harm", no_foreign_harm),
    ("bounds", bounds),
    ("agents_only_go_forward", agents_only_go_forward),
    ("endpoints_are_sound", endpoints_are_sound),
    ("drained_before_stopped", drained_before_stopped),
    ("newest_word_counts", newest_word_counts),
    ("nobody_stops_unasked", nobody_stops_unasked),
    ("nothing_is_stuck", nothing_is_stuck),
    ("ignorance_is_told", ignorance_is_told),
    ("silence_is_noticed", liveness::silence_is_noticed),
    ("who_hears_decides_again", liveness::who_hears_decides_again),
];

/// Checked once in a while: they look at everything.
pub const ONCE_IN_A_WHILE: [(&str, Check); 3] = [
    ("reconciling_again_does_nothing", reconciling_again_does_nothing),
    ("everything_is_bounded", everything_is_bounded),
    ("liars_move_little", liars_move_little),
];

/// All of it, in a story.
pub fn holds(sim: &Sim) {
    if let Err(violation) = check(sim) {
        panic!("{violation}\n{}", sim.picture());
    }
}

/// All of it.
pub fn check(sim: &Sim) -> Holds {
    let witness = sim.orchestrator.witness.as_ref();
    if let Some(accusation) = witness.and_then(|witness| witness.accusation.clone()) {
        return Err(accusation);
    }
    for (_, check) in EACH_SECOND {
        check(sim)?;
    }
    // Who died in this second has not decided yet.
    if sim.now > sim.down && (sim.now.0 / 1000).is_multiple_of(10) {
        for (_, check) in ONCE_IN_A_WHILE {
            check(sim)?;
        }
    }
    Ok(())
}

/// S3: no instance without a durable record that planned it.
fn intent_came_first(sim: &Sim) -> Holds {
    let Some(witness) = &sim.orchestrator.witness else {
        return Ok(());
    };
    // Both stand in the order of ids: a walk, as this is asked each second.
    let mut planned = witness.planned();
    let unplanned = sim
        .agents
        .keys()
        .find(|member| !planned.any(|one| one == *member));
    demand(unplanned.is_none(), "S3 intent first", || {
        format!("{unplanned:?} runs, nobody planned it")
    })
}

/// S4: one instance for each life, one life in service.
fn one_life_each(sim: &Sim) -> Holds {
    let doubled = sim.provisioner.lives.iter().find(|(_, lives)| lives.len() > 1);
    demand(doubled.is_none(), "S4 no duplicates", || {
        format!("instances of one member: {doubled:?}")
    })
}

/// S5.
fn no_foreign_harm(sim: &Sim) -> Holds {
    let harmed = sim.provisioner.harmed.first();
    demand(harmed.is_none(), "S5 no foreign harm", || {
        format!("{harmed:?} was removed, nobody knows whose it is")
    })
}

/// S6: never more members, those that leave not counted, than the maximum; sizes and groups within bounds.
fn bounds(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    for cluster in world
        .clusters
        .values()
        .filter(|cluster| cluster.role == Role::Application && cluster.leaving.is_none())
    {
        for (np, instance) in &cluster.instances {
            let stay = world
                .members_in(cluster, np)
                .filter(|member| !member.phase.is_leaving())
                .count();
            let standing = match &cluster.group {
                None => 1,
                // Those of an instance that is being emptied leave in the next second.
                Some(alias) => world.group_instances(&cluster.application, np, alias).count(),
            };
            // A maximum that was lowered is kept by draining, within the budget.
            let most = sim.tally.counts.get("lowered").map_or(cluster.max, |_| u32::MAX);
            // Who takes the place of one that is replaced stands beside it for a while.
            let replaced = world
                .members_in(cluster, np)
                .filter(|member| cluster.is_outdated(member));
            let beside = replaced.count().min((instance.desired as usize / 10).max(1));
            let most = (most as usize)
                .saturating_mul(standing.max(1))
                .saturating_add(beside);
            demand(stay <= most, "S6 bounds", || {
                format!("{stay} members of {} in {np}, at most {most} may be", cluster.id)
            })?;
        }
    }
    groups(sim)
}

/// S6: instances of groups; a network partition that is in use has its minimum of them.
fn groups(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    // Who died in this second has not decided yet.
    if world.paused.is_some() || sim.now <= sim.down {
        return Ok(());
    }
    for state in world.applications.values() {
        if !matches!(state.status, ApplicationStatus::Deployed { .. }) {
            continue;
        }
        let id = &state.blueprint.application_id;
        for (np, here) in &state.groups {
            for (_, group) in state.blueprint.all_groups() {
                let all = here.get(&group.alias).into_iter().flatten();
                let stand = all.filter(|(_, one)| !one.ending).count();
                let least = group.min_instances as usize;
                let in_use = world.standing(id, np) == Some(false);
                demand(stand >= least || !in_use, "S6 bounds", || {
                    format!(
                        "{stand} instances of {} in {np}, {least} is the minimum",
                        group.alias
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// S10, S11, as agents see it.
fn agents_only_go_forward(sim: &Sim) -> Holds {
    match sim.agents.values().find_map(|agent| agent.guilt.as_ref()) {
        Some((invariant, problem)) => Err(super::broken(invariant, problem.clone())),
        None => Ok(()),
    }
}

/// S12: who gets requests was ready once, and is of that cluster and place.
fn endpoints_are_sound(sim: &Sim) -> Holds {
    let Some(witness) = &sim.orchestrator.witness else {
        return Ok(());
    };
    for balancer in sim
        .agents
        .values()
        .filter(|agent| agent.balancer && agent.runs(sim.now))
    {
        for row in balancer.table.iter().flat_map(|table| &table.clusters) {
            let ready = row.endpoints.iter().filter(|e| e.state == EndpointState::Ready);
            all_may_serve(sim, witness, balancer, &row.cluster, ready)?;
        }
    }
    Ok(())
}

/// `ready`: in the order of ids, as are those that it looks at beside them.
fn all_may_serve<'a>(
    sim: &Sim,
    witness: &Witness,
    balancer: &Agent,
    cluster: &ClusterId,
    mut ready: impl Iterator<Item = &'a Endpoint>,
) -> Holds {
    let Some(first) = ready.next() else {
        return Ok(());
    };
    let mut activated = witness.activated.range::<MemberId, _>(&first.member..).peekable();
    let mut agents = sim.agents.range::<MemberId, _>(&first.member..).peekable();
    for endpoint in std::iter::once(first).chain(ready) {
        let member = &endpoint.member;
        while activated.next_if(|other| *other < member).is_some() {}
        while agents.next_if(|(other, _)| *other < member).is_some() {}
        let elsewhere =
            |agent: &Agent| agent.member == *member && agent.network_partition != balancer.network_partition;
        let sound = activated.peek() == Some(&member)
            && member.as_str().starts_with(cluster.as_str())
            && !agents.peek().is_some_and(|(_, agent)| elsewhere(agent));
        demand(sound, "S12 balancer soundness", || {
            format!("{} sends requests of {cluster} to {member}", balancer.member)
        })?;
    }
    Ok(())
}

/// S14: who is told to stop in order gets no new requests any more and has none, or had its time to finish.
fn drained_before_stopped(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    let forced = world
        .applications
        .values()
        .any(|state| matches!(state.status, ApplicationStatus::Undeploying { force: true }));
    for agent in sim.agents.values().filter(|agent| !agent.balancer && !forced) {
        let Some(told) = agent.told_to_stop.filter(|told| *told == sim.now) else {
            continue;
        };
        let Some(member) = world.members.get(&agent.member) else {
            continue;
        };
        let drained = sim.drained.get(&agent.member).copied().unwrap_or(told);
        let in_order = matches!(member.phase, MemberPhase::Stopping);
        if !in_order || told.since(drained) >= Millis::from_secs(30) {
            continue;
        }
        let busy = |other: &&Agent| {
            other.balancer
                && other.runs(sim.now)
                && other.network_partition == agent.network_partition
                && (other.sends_to(&agent.member) || other.keeps(&agent.member, sim.now))
        };
        let sender = sim.agents.values().find(busy).map(|sender| &sender.member);
        demand(sender.is_none(), "S14 drain", || {
            format!(
                "{} is told to stop, {sender:?} still has requests there",
                agent.member
            )
        })?;
    }
    Ok(())
}

/// S19, as the orchestrator hears: what is doubled or overtaken changes nothing.
fn newest_word_counts(sim: &Sim) -> Holds {
    let Some(witness) = &sim.orchestrator.witness else {
        return Ok(());
    };
    let mut all = witness.newest();
    for (member, said) in sim.orchestrator.seen.members.iter() {
        let newest = all
            .find(|(other, _)| *other == member)
            .map_or(0, |(_, newest)| newest);
        demand(said.sequence == newest, "S19 at most once", || {
            format!(
                "word {} of {member} counts, {newest} is the newest",
                said.sequence
            )
        })?;
    }
    Ok(())
}

/// S31: applications end because a record says so, or by themselves.
fn nobody_stops_unasked(sim: &Sim) -> Holds {
    let Some(witness) = &sim.orchestrator.witness else {
        return Ok(());
    };
    let told = |agent: &&Agent| agent.told_to_stop.is_some() && !witness.stopping.contains(&agent.member);
    let unasked = sim.agents.values().find(told).map(|agent| &agent.member);
    demand(unasked.is_none(), "S31 fail static", || {
        format!("{unasked:?} stops, no record says so")
    })
}

/// L6, L7: nothing stands where it is for longer than its limit.
fn nothing_is_stuck(sim: &Sim) -> Holds {
    if sim.now < sim.down {
        return Ok(());
    }
    let world = &sim.orchestrator.world;
    for member in world.members.values() {
        let stands = sim.now.since(member.since);
        let (name, limit) = match &member.phase {
            MemberPhase::Draining { .. } => ("L6 drain ends", 40),
            MemberPhase::Stopping => ("L6 drain ends", 30),
            MemberPhase::Updating { cleared: false, .. } => ("L7 no stuck work", 40),
            MemberPhase::Updating { cleared: true, .. } if world.paused.is_none() => {
                ("L7 no stuck work", 130)
            }
            MemberPhase::Planned { .. } | MemberPhase::Ensured => ("L7 no stuck work", 130),
            _ => continue,
        };
        demand(stands <= Millis::from_secs(limit), name, || {
            format!("{} is {:?} for {stands}", member.id, member.phase)
        })?;
    }
    Ok(())
}

/// L13: when nobody is heard, the report says why nothing happens.
fn ignorance_is_told(sim: &Sim) -> Holds {
    let witness = sim.orchestrator.witness.as_ref();
    if sim.now < sim.down || !witness.is_some_and(|w| w.blind(&sim.orchestrator.world, sim.now)) {
        return Ok(());
    }
    let rows = &sim.orchestrator.last.report.clusters;
    let world = &sim.orchestrator.world;
    let silent = rows.iter().find(|row| {
        let cluster = world.clusters.get(&row.cluster);
        let scaled = cluster.is_some_and(|cluster| {
            cluster.role == Role::Application
                && cluster.leaving.is_none()
                && cluster.ordered_size.is_none()
                && !world.is_undeploying(&cluster.application)
        });
        scaled && row.frozen.is_none() && row.notes.is_empty()
    });
    demand(silent.is_none(), "L13 honesty", || {
        format!("nobody is heard, and the report says only {silent:?}")
    })
}

/// S26.
fn reconciling_again_does_nothing(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    let steps = outstanding(world, sim.now);
    demand(steps == outstanding(world, sim.now), "S26 fixpoint", || {
        "asked again, steps differ".to_owned()
    })?;
    let view = View {
        world,
        seen: &sim.orchestrator.seen,
        now: sim.now,
    };
    let again = decide(&view, Scope::All).records;
    demand(again.is_empty(), "S26 fixpoint", || {
        format!("decided again: {again:?}")
    })
}

/// S29.
fn everything_is_bounded(sim: &Sim) -> Holds {
    let (world, seen) = (&sim.orchestrator.world, &sim.orchestrator.seen);
    let unknown = seen
        .members
        .keys()
        .find(|member| !world.members.contains_key(*member));
    let cluster = world.clusters.values().all(|cluster| {
        cluster.drains.len() <= MAX_DRAINS
            && cluster.release.rejected.len() <= MAX_COMMITS
            && cluster.release.passed.len() <= MAX_COMMITS
    });
    let members = world
        .members
        .values()
        .all(|member| member.changes.len() <= MAX_CHANGES);
    let windows = seen
        .members
        .values()
        .all(|said| said.load.points().count() <= MAX_POINTS);
    let all = unknown.is_none() && cluster && members && windows && world.departed.len() <= MAX_DEPARTED;
    demand(all, "S29 bounded resources", || {
        format!("something grows; {unknown:?} is remembered in vain")
    })
}

/// S25: what liars ask for differs from what they would have asked for by four members each at most.
fn liars_move_little(sim: &Sim) -> Holds {
    if sim.tally.honest.is_empty() {
        return Ok(());
    }
    let world = &sim.orchestrator.world;
    let mut honest = sim.orchestrator.seen.clone();
    let mut liars = 0;
    for (member, points) in &sim.tally.honest {
        if let Some(said) = honest.members.get_mut(member) {
            liars += 1;
            said.load = corrected(&said.load, points);
        }
    }
    let report = |seen| {
        let view = View {
            world,
            seen,
            now: sim.now,
        };
        decide(&view, Scope::All).report
    };
    let (lied, told) = (report(&sim.orchestrator.seen), report(&honest));
    for lied in &lied.clusters {
        // Some have a row only where there is something to say of them.
        let Some(told) = told.clusters.iter().find(|row| row.cluster == lied.cluster) else {
            continue;
        };
        let moved = lied.required.abs_diff(told.required);
        demand(moved <= 4 * liars, "S25 liar bound", || {
            format!(
                "{liars} liars move {} from {} to {}",
                lied.cluster, told.required, lied.required
            )
        })?;
    }
    Ok(())
}

/// The same points, with what would have been said.
fn corrected(window: &Window, honest: &[(Millis, f64)]) -> Window {
    let mut right = Window::default();
    for (at, value) in window.points() {
        let known = honest.iter().find(|(when, _)| *when == at);
        right.push(at, known.map_or(value, |(_, honest)| *honest));
    }
    right
}

impl Sim {
    /// For failure messages.
    pub fn picture(&self) -> String {
        let world = &self.orchestrator.world;
        let mut text = format!("at {}\n", self.now);
        for member in world.members.values() {
            text.push_str(&format!(
                "  {} {:?} since {} release {:?}\n",
                member.id,
                member.phase,
                member.since,
                member.release.as_ref().map(|c| c.short())
            ));
        }
        for cluster in world.clusters.values() {
            text.push_str(&format!(
                "  {} {:?}\n    {:?}\n",
                cluster.id, cluster.instances, cluster.release
            ));
        }
        for agent in self.agents.values() {
            text.push_str(&format!(
                "  agent {} exited {} {:?}\n",
                agent.member, agent.exited, agent.status
            ));
        }
        for report in &self.orchestrator.last.report.clusters {
            text.push_str(&format!("  {report:?}\n"));
        }
        text
    }
}

/// L1, L3, L11: as many members as wanted, all ready, nothing else; one commit everywhere.
pub fn converged(sim: &Sim) -> Holds {
    let world = &sim.orchestrator.world;
    for cluster in world.clusters.values() {
        for (np, instance) in &cluster.instances {
            demand(instance.ending.is_none(), "L11 burst heals", || {
                format!("{np} is being emptied without end")
            })?;
            let active = world
                .members_in(cluster, np)
                .filter(|m| m.phase == MemberPhase::Active)
                .count();
            let room = placement::room(world, cluster, np);
            // Who stood already when the room became smaller than the minimum, stays.
            let wanted = instance.desired.min(room) as usize;
            demand(
                (wanted..=instance.desired as usize).contains(&active) || waits_for_room(world, cluster, np),
                "L1 convergence",
                || format!("{active} of {wanted} members of {} in {np} are ready", cluster.id),
            )?;
            let stuck = instance.parts.values().any(|part| *part == Standing::Terminating);
            demand(!stuck, "L1 convergence", || {
                format!("a part of {} ends without end", cluster.id)
            })?;
        }
    }
    let other = world
        .members
        .values()
        .find(|member| member.phase != MemberPhase::Active);
    demand(other.is_none(), "L1 convergence", || {
        format!("{other:?} is not ready")
    })?;
    let running = sim.agents.values().filter(|agent| !agent.exited).count();
    demand(running == world.members.len(), "L3 collection", || {
        format!(
            "{running} instances run, {} members are known",
            world.members.len()
        )
    })?;
    liveness::as_described(sim)?;
    liveness::as_large_as_asked(sim)?;
    tenants::as_signed_up(sim)?;
    one_commit(sim)
}

/// It waits for another one to serve, which cannot have as many members as that takes.
fn waits_for_room(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> bool {
    let waits = |instance: &ClusterInstance| {
        let mut parts = world.parts(cluster, np).into_iter();
        parts.any(|part| instance.standing(part) == Standing::Waiting)
    };
    let short = |other: &Cluster| {
        let least = other.min.saturating_mul(world.copies(other, np));
        other.role == Role::Application && placement::room(world, other, np) < least
    };
    cluster.instances.get(np).is_some_and(waits) && world.clusters_of(&cluster.application).any(short)
}

/// L10.
fn one_commit(sim: &Sim) -> Result<(), Violation> {
    let world = &sim.orchestrator.world;
    let with_files = |cluster: &&Cluster| cluster.role == Role::Application && cluster.repository.is_some();
    for cluster in world.clusters.values().filter(with_files) {
        let accepted = cluster.release.accepted.as_ref();
        let same = world
            .members_of(cluster)
            .all(|member| member.release.as_ref() == accepted);
        demand(
            cluster.release.proposed.is_none() && same,
            "L10 one commit",
            || format!("members of {} differ: {:?}", cluster.id, cluster.release),
        )?;
    }
    Ok(())
}
