//! Sees every record at the moment at which it becomes true, and what agents said, and judges by that alone. It shares no
//! line with the deciders, and none with the second reader.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cartridge_orchestrator_plan::record::Record;
use cartridge_orchestrator_plan::world::{
    ApplicationStatus, Cluster, Member, MemberPhase, Role, Standing, World,
};
use cartridge_protocol::{ClusterId, CommitId, MemberId, Millis, NetworkPartitionId};

use super::network::Said;
use super::orchestrator::By;
use super::{Holds, Violation, broken, demand, tenants};

const MINUTE: Millis = Millis::from_secs(60);
/// Three publishing intervals.
const FRESH: Millis = Millis::from_secs(15);
const GRACE: Millis = Millis::from_secs(20);

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// The first thing that should not have been.
    pub accusation: Option<Violation>,
    /// Lives that were planned, made and joined.
    lived: BTreeSet<(&'static str, MemberId, u64)>,
    planned: BTreeSet<MemberId>,
    /// Members that were told to stop.
    pub stopping: BTreeSet<MemberId>,
    /// Members that were ready once.
    pub activated: BTreeSet<MemberId>,
    drains: BTreeMap<ClusterId, VecDeque<Millis>>,
    /// The newest word of each, and when it came.
    heard: BTreeMap<MemberId, (u64, Millis)>,
    began: Millis,
    /// When the end of a member was confirmed last.
    confirmed: Option<Millis>,
    paused: bool,
    /// Commits that were rejected and not ordered since.
    rejected: BTreeSet<(ClusterId, CommitId)>,
    of_tenants: tenants::Judge,
    /// How many records were judged.
    pub judged: u64,
}

impl Witness {
    pub fn accuse(&mut self, invariant: &str, problem: String) {
        self.accusation.get_or_insert(broken(invariant, problem));
    }

    /// A new life of the orchestrator listens from here on.
    pub const fn starts_again(&mut self, now: Millis) {
        self.began = now;
    }

    pub fn hears(&mut self, said: &Said, now: Millis) {
        let sequence = said.batch.sequence;
        match self.heard.get_mut(&said.member) {
            Some((newest, _)) if sequence <= *newest => {}
            Some(known) => *known = (sequence, now),
            None => _ = self.heard.insert(said.member.clone(), (sequence, now)),
        }
    }

    /// All that a durable record ever planned.
    pub fn planned(&self) -> impl Iterator<Item = &MemberId> {
        self.planned.iter()
    }

    /// The newest word that came of each member.
    pub fn newest(&self) -> impl Iterator<Item = (&MemberId, u64)> {
        self.heard.iter().map(|(member, (newest, _))| (member, *newest))
    }

    pub fn silence(&self, member: &MemberId, now: Millis) -> Millis {
        let heard = self.heard.get(member).map_or(Millis::ZERO, |(_, at)| *at);
        now.since(heard.max(self.began))
    }

    /// Those who spoke once, and not for longer than that.
    pub fn silent(&self, now: Millis, limit: Millis) -> impl Iterator<Item = &MemberId> {
        let silent = move |at: Millis| now.since(at.max(self.began)) > limit;
        let all = self.heard.iter();
        all.filter(move |(_, (_, at))| silent(*at)).map(|(id, _)| id)
    }

    /// It was heard in this life of the orchestrator, within that time.
    pub fn heard_within(&self, member: &MemberId, now: Millis, time: Millis) -> bool {
        let heard = self.heard.get(member);
        heard.is_some_and(|(_, at)| *at > self.began && now.since(*at) <= time)
    }

    /// Nobody who serves was heard lately, and somebody serves.
    pub fn blind(&self, world: &World, now: Millis) -> bool {
        let mut serving = world.members.values().filter(|m| m.phase.serves()).peekable();
        serving.peek().is_some() && serving.all(|m| self.silence(&m.id, now) > FRESH)
    }

    /// `record` is durable, and `world` is what was before.
    pub fn sees(&mut self, world: &World, record: &Record, by: By, now: Millis) {
        self.judged += 1;
        if let Err(violation) = self.judge(world, record, by, now) {
            self.accusation.get_or_insert(violation);
        }
    }

    fn judge(&mut self, world: &World, record: &Record, by: By, now: Millis) -> Holds {
        self.pause(record, by)?;
        self.of_tenants.sees(record)?;
        match record {
            Record::MemberPlanned {
                member, incarnation, ..
            } => {
                self.once("planned", member, *incarnation)?;
                self.planned.insert(member.clone());
                in_order(world, record)
            }
            Record::MemberEnsured {
                member, incarnation, ..
            } => self.once("made", member, *incarnation),
            Record::MemberJoined {
                member, incarnation, ..
            } => self.once("joined", member, *incarnation),
            Record::MemberActivated { member, .. } => {
                self.activated.insert(member.clone());
                Ok(())
            }
            Record::MemberDraining { member, .. } => self.drain(world, member, by, now),
            Record::MemberUpdating { member, live, .. } => self.update(world, member, *live, now),
            Record::MemberStopping { member, .. } => {
                self.stopping.insert(member.clone());
                Ok(())
            }
            Record::MemberFailed { member, reason, .. } => {
                self.stopping.insert(member.clone());
                self.loss(world, member, reason, now)
            }
            Record::ClusterResized {
                cluster,
                network_partition: np,
                from,
                to,
                ..
            } => self.resize(world, (cluster, np), *from, *to, now),
            Record::PartChanged {
                cluster,
                network_partition: np,
                group_instance,
                to: Standing::Starting,
                ..
            } => before_it_serves(world, cluster, np, *group_instance),
            Record::ClusterRetired { cluster } => {
                // It is another one when it is named again.
                self.drains.remove(cluster);
                self.rejected.retain(|(of, _)| of != cluster);
                Ok(())
            }
            Record::ApplicationUndeployed { application } => {
                // Its clusters are others when it runs again, and who orders that orders the head of the branch.
                self.rejected
                    .retain(|(cluster, _)| !cluster.as_str().starts_with(application.as_str()));
                self.drains
                    .retain(|cluster, _| !cluster.as_str().starts_with(application.as_str()));
                Ok(())
            }
            Record::GroupInstanceEnding { .. } => group_is_spare(world, record),
            Record::ReleaseRejected { cluster, commit, .. } => {
                self.rejected.insert((cluster.clone(), commit.clone()));
                Ok(())
            }
            Record::ReleaseProposed { cluster, commit, .. } => self.propose(cluster, commit, by),
            Record::ReleaseAccepted { cluster, commit } => all_have(world, cluster, commit),
            _ => Ok(()),
        }
    }

    /// S32.
    fn pause(&mut self, record: &Record, by: By) -> Holds {
        match record {
            Record::AutomationPaused { .. } => self.paused = true,
            Record::AutomationResumed { .. } => self.paused = false,
            _ => {}
        }
        let begins = matches!(
            record,
            Record::MemberPlanned { .. }
                | Record::MemberUpdating { .. }
                | Record::ClusterResized { .. }
                | Record::BurstStarted { .. }
                | Record::BurstEnding { .. }
                | Record::GroupInstanceStarted { .. }
                | Record::GroupInstanceEnding { .. }
                | Record::ReleaseProposed { .. }
        );
        let holds = !(begins && self.paused && by == By::Plan);
        demand(holds, "S32 pause is durable", || {
            format!("{record:?} while paused")
        })
    }

    /// S19.
    fn once(&mut self, what: &'static str, member: &MemberId, life: u64) -> Holds {
        let first = self.lived.insert((what, member.clone(), life));
        demand(first, "S19 at most once", || {
            format!("life {life} of {member} was {what} twice")
        })
    }

    /// S8: who is heard of those that serve.
    fn ignorant(&self, world: &World, cluster: &Cluster, now: Millis) -> Option<String> {
        let all = serving(world, cluster).count();
        let fresh = serving(world, cluster)
            .filter(|member| self.silence(&member.id, now) <= FRESH)
            .count();
        (fresh * 5 < all * 4).then(|| format!("{fresh} of {all} members of {} are heard", cluster.id))
    }

    /// S7, S8, S13.
    fn drain(&mut self, world: &World, id: &MemberId, by: By, now: Millis) -> Holds {
        let Some((member, cluster)) = found(world, id) else {
            return Ok(());
        };
        let ends = by == By::Person || ends_anyway(world, cluster, member);
        if ends || !member.phase.serves() || cluster.role != Role::Application {
            return Ok(());
        }
        if cluster.leaving.is_some() {
            return handed_over(world, cluster, member);
        }
        if cluster.is_outdated(member) {
            return self.replace(world, cluster, member, now);
        }
        if cluster.ordered_size.is_some() {
            return Ok(());
        }
        if let Some(problem) = self.ignorant(world, cluster, now) {
            return Err(broken(
                "S8 ignorance freezes",
                format!("{id} is drained, and {problem}"),
            ));
        }
        self.spend(world, cluster, id, now)?;
        another_serves(world, cluster, member)
    }

    /// S8, S13 for one that makes way for a newer one; S7 where fewer serve meanwhile.
    fn replace(&mut self, world: &World, cluster: &Cluster, member: &Member, now: Millis) -> Holds {
        if let Some(problem) = self.ignorant(world, cluster, now) {
            let problem = format!("{} is replaced, and {problem}", member.id);
            return Err(broken("S8 ignorance freezes", problem));
        }
        another_serves(world, cluster, member)?;
        let np = &member.network_partition;
        let wanted = cluster.instances.get(np).map_or(0, |instance| instance.desired);
        let others = world
            .members_in(cluster, np)
            .filter(|other| other.id != member.id && other.phase == MemberPhase::Active);
        let fewer = member.phase == MemberPhase::Active && others.count() < wanted as usize;
        if fewer && cluster.ordered_size.is_none() {
            return self.spend(world, cluster, &member.id, now);
        }
        Ok(())
    }

    /// S7.
    fn spend(&mut self, world: &World, cluster: &Cluster, id: &MemberId, now: Millis) -> Holds {
        let count = serving(world, cluster).count();
        let most = (count / 10).max(1);
        let drains = self.drains.entry(cluster.id.clone()).or_default();
        drains.retain(|at| now.since(*at) < MINUTE);
        drains.push_back(now);
        demand(drains.len() <= most, "S7 destruction budget", || {
            format!("{id} is number {} of {most} within a minute", drains.len())
        })
    }

    /// S8, S13.
    fn update(&self, world: &World, id: &MemberId, live: bool, now: Millis) -> Holds {
        let Some((member, cluster)) = found(world, id) else {
            return Ok(());
        };
        if matches!(member.phase, MemberPhase::Updating { .. }) {
            return Ok(()); // It is out already, and sent elsewhere.
        }
        if let Some(problem) = self.ignorant(world, cluster, now) {
            return Err(broken(
                "S8 ignorance freezes",
                format!("{id} is updated, and {problem}"),
            ));
        }
        if live {
            Ok(())
        } else {
            another_serves(world, cluster, member)
        }
    }

    /// S8 (a full grace period after the start), S9.
    fn loss(&mut self, world: &World, id: &MemberId, reason: &str, now: Millis) -> Holds {
        let Some((_, cluster)) = found(world, id) else {
            return Ok(());
        };
        if !reason.starts_with("it was not heard") {
            self.confirmed = Some(now);
            return Ok(());
        }
        demand(now.since(self.began) > GRACE, "S8 ignorance freezes", || {
            format!("{id} is lost {} after the start", now.since(self.began))
        })?;
        let silent = |members: &mut dyn Iterator<Item = &Member>| {
            members.fold((0, 0), |(silent, all), member| {
                (
                    silent + usize::from(self.silence(&member.id, now) > FRESH),
                    all + 1,
                )
            })
        };
        let (of_cluster, all) = silent(&mut serving(world, cluster));
        demand(
            of_cluster <= 2 || of_cluster * 10 <= all * 3,
            "S9 meltdown",
            || {
                format!(
                    "{id} is replaced, {of_cluster} of {all} members of {} are silent",
                    cluster.id
                )
            },
        )?;
        // Of whom the end is told in the same second, others were heard.
        let blind = self.blind(world, now) && self.confirmed != Some(now);
        demand(!blind, "S8 ignorance freezes", || {
            format!("{id} is replaced, and nobody at all is heard")
        })
    }

    /// S6, S8.
    fn resize(
        &self,
        world: &World,
        at: (&ClusterId, &NetworkPartitionId),
        from: u32,
        to: u32,
        now: Millis,
    ) -> Holds {
        let Some(cluster) = world.clusters.get(at.0).filter(|c| c.role == Role::Application) else {
            return Ok(());
        };
        let copies = world.copies(cluster, at.1);
        let (least, most) = (
            cluster.min.saturating_mul(copies),
            cluster.max.saturating_mul(copies),
        );
        demand((least..=most).contains(&to), "S6 bounds", || {
            format!("{to} members of {}, {least} to {most} may be", cluster.id)
        })?;
        let automatic = to < from && cluster.ordered_size.is_none() && from <= most;
        match self.ignorant(world, cluster, now).filter(|_| automatic) {
            Some(problem) => {
                let problem = format!("{} shrinks from {from} to {to}, and {problem}", cluster.id);
                Err(broken("S8 ignorance freezes", problem))
            }
            None => Ok(()),
        }
    }

    /// What was rejected is not tried again by itself.
    fn propose(&mut self, cluster: &ClusterId, commit: &CommitId, by: By) -> Holds {
        let key = (cluster.clone(), commit.clone());
        if by == By::Person {
            self.rejected.remove(&key);
        }
        demand(!self.rejected.contains(&key), "S17 provenance", || {
            format!("{} was rejected, and is proposed again", commit.short())
        })
    }
}

fn found<'a>(world: &'a World, member: &MemberId) -> Option<(&'a Member, &'a Cluster)> {
    let member = world.members.get(member)?;
    Some((member, world.clusters.get(&member.cluster)?))
}

fn serving<'a>(world: &'a World, cluster: &'a Cluster) -> impl Iterator<Item = &'a Member> {
    world.members_of(cluster).filter(|member| member.phase.serves())
}

/// Its application, its network partition, its group or its part ends.
fn ends_anyway(world: &World, cluster: &Cluster, member: &Member) -> bool {
    let application = world.applications.get(&cluster.application);
    let undeploying =
        application.is_some_and(|state| matches!(state.status, ApplicationStatus::Undeploying { .. }));
    let instance = cluster.instances.get(&member.network_partition);
    undeploying
        || instance.is_none_or(|instance| instance.ending.is_some())
        || world.group_is_ending(member)
        || world.part_is_terminating(member)
}

/// S13: where some are wanted, one other is ready.
fn another_serves(world: &World, cluster: &Cluster, member: &Member) -> Holds {
    let np = &member.network_partition;
    let wanted = cluster.instances.get(np).map_or(0, |instance| instance.desired);
    let other = world
        .members_in(cluster, np)
        .any(|other| other.id != member.id && other.phase == MemberPhase::Active);
    demand(other || wanted == 0, "S13 balancers are not emptied", || {
        format!("{} is the last one ready of {} in {np}", member.id, cluster.id)
    })
}

/// S13: the last one that is ready of a cluster that its application does not name any more stays until one is ready
/// of the cluster that takes its place, where one does.
fn handed_over(world: &World, cluster: &Cluster, member: &Member) -> Holds {
    let np = &member.network_partition;
    let comes = world.clusters_of(&cluster.application).find(|other| {
        let here = other.instances.get(np).is_some_and(|one| one.ending.is_none());
        other.alias == cluster.alias && other.leaving.is_none() && here
    });
    let ready = |of: &Cluster| {
        let mut members = world.members_in(of, np);
        members.any(|other| other.id != member.id && other.phase == MemberPhase::Active)
    };
    let last = member.phase == MemberPhase::Active && !ready(cluster);
    let holds = !last || comes.is_none_or(ready);
    demand(holds, "S13 balancers are not emptied", || {
        format!(
            "{} goes, and nobody is ready in the place of {}",
            member.id, cluster.id
        )
    })
}

/// S20: nobody is planned for a part that waits.
fn in_order(world: &World, record: &Record) -> Holds {
    let Record::MemberPlanned {
        member,
        cluster,
        network_partition,
        group_instance,
        ..
    } = record
    else {
        return Ok(());
    };
    let Some(cluster) = world.clusters.get(cluster) else {
        return Ok(());
    };
    let state = world.applications.get(&cluster.application);
    let composite = state.is_some_and(|state| state.blueprint.is_composite());
    let standing = cluster
        .instances
        .get(network_partition)
        .map_or(Standing::Waiting, |instance| instance.standing(*group_instance));
    let holds = !composite
        || cluster.role != Role::Application
        || !matches!(standing, Standing::Waiting | Standing::Terminating);
    demand(holds, "S20 dependency order", || {
        format!("{member} is planned, its part is {standing:?}")
    })
}

/// S6: the minimum of instances stands without it.
fn group_is_spare(world: &World, record: &Record) -> Holds {
    let Record::GroupInstanceEnding {
        application,
        network_partition: np,
        group,
        instance,
        ..
    } = record
    else {
        return Ok(());
    };
    let all: Vec<_> = world.group_instances(application, np, group).collect();
    let parent = all
        .iter()
        .find(|(own, _)| own == instance)
        .map_or(0, |(_, one)| one.parent);
    let others = all
        .iter()
        .filter(|(own, one)| own != instance && one.parent == parent && !one.ending);
    let state = world.applications.get(application);
    let least = state
        .and_then(|state| {
            state
                .blueprint
                .path_to(group)
                .last()
                .map(|group| group.min_instances as usize)
        })
        .unwrap_or(0);
    let left = others.count();
    demand(left >= least, "S6 bounds", || {
        format!("instance {instance} of {group} ends in {np}, {left} are left, {least} is the minimum")
    })
}

/// S20: what comes before a part serves with its minimum: `db` before `front`, `web` before `side` in the same instance.
fn before_it_serves(world: &World, id: &ClusterId, np: &NetworkPartitionId, number: u32) -> Holds {
    let Some(cluster) = world.clusters.get(id) else {
        return Ok(());
    };
    after_those_before(world, cluster, np)?;
    // Other stories put other orders.
    let state = world.applications.get(&cluster.application);
    let known = ["cartridge.db", "group.front"];
    let ordered = state.is_some_and(|state| {
        let dependencies = state.blueprint.dependencies.iter();
        let mut chains = dependencies.flat_map(|all| &all.startup_orders);
        chains.any(|chain| *chain == known)
    });
    if !ordered {
        return Ok(());
    }
    let front = |number: u32| match cluster.alias.as_str() {
        "web" => Some(number),
        "mem" => world
            .group_instances(&cluster.application, np, "side")
            .find(|(own, _)| *own == number)
            .map(|(_, side)| side.parent),
        _ => None,
    };
    let Some(front) = front(number) else {
        return Ok(());
    };
    let mut needed = vec![("db", 0)];
    if cluster.alias == "mem" {
        needed.push(("web", front));
    }
    for (alias, part) in needed {
        let before = world
            .clusters_of(&cluster.application)
            .find(|one| one.alias == alias && one.leaving.is_none());
        let Some(before) = before else { continue };
        let serve = world
            .members_in(before, np)
            .filter(|member| member.group_instance == part && member.phase.serves())
            .count();
        demand(serve >= before.min as usize, "S20 dependency order", || {
            format!("{id} starts, {serve} of {} members of {alias} serve", before.min)
        })?;
    }
    Ok(())
}

/// S20 at the top level: the cartridges before it in any chain serve with their minimum.
fn after_those_before(world: &World, cluster: &Cluster, np: &NetworkPartitionId) -> Holds {
    let Some(state) = world.applications.get(&cluster.application) else {
        return Ok(());
    };
    if cluster.group.is_some() || cluster.leaving.is_some() {
        return Ok(());
    }
    let own = format!("cartridge.{}", cluster.alias);
    let chains = state
        .blueprint
        .dependencies
        .iter()
        .flat_map(|all| &all.startup_orders);
    for chain in chains.filter(|chain| chain.contains(&own)) {
        for component in chain.iter().take_while(|component| **component != own) {
            let before = component.strip_prefix("cartridge.").and_then(|alias| {
                let mut all = world.clusters_of(&cluster.application);
                all.find(|one| one.alias == alias && one.leaving.is_none() && one.instances.contains_key(np))
            });
            let Some(before) = before else { continue };
            let serve = world
                .members_in(before, np)
                .filter(|one| one.phase.serves())
                .count();
            demand(serve >= before.min as usize, "S20 dependency order", || {
                format!(
                    "{} starts, {serve} of {} members of {component} serve",
                    cluster.id, before.min
                )
            })?;
        }
    }
    Ok(())
}

/// Accepted is what all that serve have.
fn all_have(world: &World, cluster: &ClusterId, commit: &CommitId) -> Holds {
    let Some(cluster) = world.clusters.get(cluster) else {
        return Ok(());
    };
    let lacks = serving(world, cluster).find(|member| member.release.as_ref() != Some(commit));
    demand(lacks.is_none(), "S11 monotone apply", || {
        format!("{} is accepted, {lacks:?} has another", commit.short())
    })
}
