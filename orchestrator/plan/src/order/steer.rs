//! Orders to what runs: sizes, releases, drains, looks, and the brake on all automation.
//!
//! It refuses to carry anything out: an order becomes a record, the plan does the rest.

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ClusterId, CommitId, MemberId};

use super::{Code, Refusal};
use crate::blueprint::Repository;
use crate::record::Record;
use crate::world::{ApplicationStatus, Cluster, MemberPhase, Role, World};

type Answer = Result<Vec<Record>, Refusal>;

/// Longest text about who and why that is kept, characters.
const WORDS: usize = 500;

/// Texts of people end up in the journal and in terminals: one line, bounded.
fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORDS).collect()
}

/// The cluster, if it belongs to a running application.
fn running<'a>(world: &'a World, id: &ClusterId) -> Result<&'a Cluster, Refusal> {
    let name = id.as_str();
    let Some(cluster) = world.clusters.get(id) else {
        return Err(Refusal::new(
            Code::NotFound,
            "cluster",
            format!("there is no cluster {name:?}"),
        ));
    };
    let status = world
        .applications
        .get(&cluster.application)
        .map(|state| &state.status);
    if matches!(status, Some(ApplicationStatus::Deployed { .. })) {
        return Ok(cluster);
    }
    let message = format!(
        "application {:?} of cluster {name:?} is being undeployed",
        cluster.application.as_str()
    );
    Err(Refusal::new(Code::Conflict, "cluster", message))
}

pub(super) fn scale(world: &World, id: ClusterId, size: Option<u32>, by: &str) -> Answer {
    let cluster = running(world, &id)?;
    if cluster.role != Role::Application {
        let message = format!("cluster: {:?} is a balancer; it is not scaled", id.as_str());
        return Err(Refusal::new(Code::Invalid, "cluster", message));
    }
    if let Some(size) = size {
        let places = network_partitions(world, cluster);
        let each = cluster.max.saturating_mul(world.most_copies(cluster));
        let most = each.saturating_mul(places);
        if size < cluster.min || size > most {
            let message = format!(
                "size: must be from {} (cartridgeMin) to {most} (cartridgeMax {} in {places} network partitions), \
                 got {size}",
                cluster.min, cluster.max
            );
            return Err(Refusal::new(Code::Invalid, "size", message));
        }
    }
    Ok(vec![Record::ClusterSizeOrdered {
        cluster: id,
        size,
        by: words(by),
    }])
}

/// How many network partitions the cluster may come to use.
fn network_partitions(world: &World, cluster: &Cluster) -> u32 {
    let state = world.applications.get(&cluster.application);
    let policy = state.and_then(|state| world.policy_of(state));
    let usable = policy.map_or(0, |policy| {
        policy
            .groups
            .iter()
            .flatten()
            .filter(|np| world.may_use(cluster, np))
            .count()
    });
    u32::try_from(usable).unwrap_or(u32::MAX).max(1)
}

fn with_repository<'a>(world: &'a World, id: &ClusterId) -> Result<&'a Cluster, Refusal> {
    let cluster = running(world, id)?;
    if cluster.repository.is_some() {
        return Ok(cluster);
    }
    let message = format!(
        "cluster: {:?} has no artifactRepository, so it has no releases",
        id.as_str()
    );
    Err(Refusal::new(Code::Invalid, "cluster", message))
}

pub(super) fn propose(world: &World, id: ClusterId, commit: CommitId, by: &str) -> Answer {
    with_repository(world, &id)?;
    Ok(vec![Record::ReleaseProposed {
        cluster: id,
        commit,
        by: words(by),
        pinned: true,
    }])
}

/// While a commit is being brought to the members: back to the accepted one. Else: to the one accepted before.
pub(super) fn roll_back(world: &World, id: ClusterId, by: &str) -> Answer {
    let release = &with_repository(world, &id)?.release;
    let target = match (&release.proposed, &release.accepted) {
        (Some(proposed), Some(accepted)) if proposed != accepted => Some(accepted),
        _ => release.previous.as_ref(),
    };
    let Some(commit) = target.cloned() else {
        let message = format!(
            "cluster {:?} has had no other release; there is nothing to go back to",
            id.as_str()
        );
        return Err(Refusal::new(Code::Conflict, "cluster", message));
    };
    Ok(vec![Record::ReleaseProposed {
        cluster: id,
        commit,
        by: words(&format!("roll-back by {by}")),
        pinned: true,
    }])
}

pub(super) fn unpin(world: &World, id: ClusterId, by: &str) -> Answer {
    let cluster = with_repository(world, &id)?;
    if !cluster.release.pinned {
        let message = format!("cluster {:?} follows the head of its branch already", id.as_str());
        return Err(Refusal::new(Code::Conflict, "cluster", message));
    }
    Ok(vec![Record::ReleaseUnpinned {
        cluster: id,
        by: words(by),
    }])
}

pub(super) fn drain(world: &World, id: MemberId, by: &str) -> Answer {
    let Some(member) = world.members.get(&id) else {
        return Err(Refusal::new(
            Code::NotFound,
            "member",
            format!("there is no member {:?}", id.as_str()),
        ));
    };
    let going = match member.phase {
        MemberPhase::Draining { .. } => "is draining already",
        MemberPhase::Stopping => "is stopping already",
        MemberPhase::Ended { .. } => "has ended already",
        _ => "",
    };
    if !going.is_empty() {
        return Err(Refusal::new(
            Code::Conflict,
            "member",
            format!("member {:?} {going}", id.as_str()),
        ));
    }
    Ok(vec![Record::MemberDraining {
        incarnation: member.incarnation,
        member: id,
        reason: words(&format!("ordered by {by}")),
    }])
}

pub(super) fn announce(world: &World, tenant: TenantId, repo_url: &str) -> Answer {
    let wanted = same_repository(repo_url);
    let is_it = |repository: &Repository| same_repository(&repository.repo_url) == wanted;
    let mut records = Vec::new();
    for cluster in world.clusters.values() {
        let announced = |whose| Record::RepositoryAnnounced {
            cluster: cluster.id.clone(),
            tenant: whose,
        };
        let application = cluster.application.as_str();
        let own = tenant.is_super() || world.owner_of(application) == Some(tenant);
        let repository = cluster.repository.as_ref().filter(|_| own);
        records.extend(repository.filter(|one| is_it(one)).map(|_| announced(None)));
        for whose in cluster.tenants.keys() {
            let mine = tenant.is_super() || *whose == tenant;
            let repository = world.repository_of(cluster, *whose).filter(|_| mine);
            let told = repository.filter(|one| is_it(&one.repository));
            records.extend(told.map(|_| announced(Some(*whose))));
        }
    }
    if records.is_empty() {
        let shown: String = wanted.chars().take(200).collect();
        let message = format!("repoUrl: no deployed cartridge has the repository {shown:?}");
        return Err(Refusal::new(Code::NotFound, "repoUrl", message));
    }
    Ok(records)
}

/// A URL without what does not tell repositories apart: scheme, user and password, `.git`, a slash at the end, the
/// case of the host.
fn same_repository(url: &str) -> String {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority
        .rsplit('@')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let host = match scheme {
        "https" => host.strip_suffix(":443").unwrap_or(&host),
        "http" => host.strip_suffix(":80").unwrap_or(&host),
        _ => &host,
    };
    let path = path.trim_end_matches('/');
    format!("{host}/{}", path.strip_suffix(".git").unwrap_or(path))
}

pub(super) fn pause(world: &World, by: &str, reason: &str) -> Answer {
    if let Some(paused) = &world.paused {
        let message = format!(
            "automation is paused already, by {} ({})",
            paused.by, paused.reason
        );
        return Err(Refusal::new(Code::Conflict, "", message));
    }
    Ok(vec![Record::AutomationPaused {
        by: words(by),
        reason: words(reason),
    }])
}

pub(super) fn resume(world: &World, by: &str) -> Answer {
    if world.paused.is_none() {
        return Err(Refusal::new(Code::Conflict, "", "automation is not paused"));
    }
    Ok(vec![Record::AutomationResumed { by: words(by) }])
}
