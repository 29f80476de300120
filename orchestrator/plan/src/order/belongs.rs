//! Whose an order's object is: what is somebody else's is answered as if it did not exist, and what concerns the
//! installation is the super tenant's. Asked by the writer, so nothing can change between the question and the order.
//!
//! This file refuses to know roles and routes.

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, ClusterId, MemberId};

use super::{Code, Order, Refusal};
use crate::world::World;

/// What an order is about, as far as whose it is.
enum About<'a> {
    /// The installation.
    Installation,
    /// An application that may not exist yet: its name must be nobody else's.
    Name(&'a ApplicationId),
    /// An application.
    Application(&'a ApplicationId),
    /// A tenant's sign-up for an application, or what it has by it.
    SignUp(&'a ApplicationId, TenantId),
    /// A cluster.
    Cluster(&'a ClusterId),
    /// A member.
    Member(&'a MemberId),
    /// Whatever of the tenant's fits it; the order looks at nothing else.
    Own,
}

const fn about(order: &Order) -> About<'_> {
    match order {
        Order::PutCartridge(..)
        | Order::PutCartridgeGroup(..)
        | Order::PutAutoscalingPolicy(..)
        | Order::PutDeploymentPolicy(..)
        | Order::PutApplicationPolicy(..)
        | Order::PutNetworkPartition(..)
        | Order::RemoveCartridge(_)
        | Order::RemoveCartridgeGroup(_)
        | Order::RemoveAutoscalingPolicy(_)
        | Order::RemoveDeploymentPolicy(_)
        | Order::RemoveApplicationPolicy(_)
        | Order::RemoveNetworkPartition(_)
        | Order::PutKubernetesCluster(..)
        | Order::ChangeKubernetesHost(_)
        | Order::RemoveKubernetesCluster(_)
        | Order::PutTenant { .. }
        | Order::ActivateTenant(..)
        | Order::Pause { .. }
        | Order::Resume { .. } => About::Installation,
        Order::PutApplication { blueprint, .. } => About::Name(&blueprint.application_id),
        Order::RemoveApplication(application)
        | Order::Deploy { application, .. }
        | Order::Undeploy { application, .. } => About::Application(application),
        Order::SignUp {
            application, tenant, ..
        }
        | Order::MapDomains {
            application, tenant, ..
        }
        | Order::UnmapDomain {
            application, tenant, ..
        }
        | Order::RemoveSignUp { application, tenant } => About::SignUp(application, *tenant),
        Order::Scale { cluster, .. }
        | Order::ProposeRelease { cluster, .. }
        | Order::Rollback { cluster, .. }
        | Order::Unpin { cluster, .. } => About::Cluster(cluster),
        Order::ShareValues { whose, .. } | Order::WithdrawValues { whose, .. } => {
            About::Application(&whose.application)
        }
        Order::Drain { member, .. } => About::Member(member),
        Order::Announce { .. } => About::Own,
    }
}

/// Refuses what is not this tenant's.
pub(super) fn check(world: &World, tenant: TenantId, order: &Order) -> Result<(), Refusal> {
    let (what, name, owner) = match about(order) {
        About::Own => return Ok(()),
        About::Name(application) => return name_is_free(world, tenant, application),
        About::Installation if tenant.is_super() => return Ok(()),
        About::Installation => {
            let message = "this concerns the whole installation: only users of the super tenant order it";
            return Err(Refusal::new(Code::Forbidden, "", message));
        }
        About::SignUp(_, whose) if !tenant.is_super() && whose != tenant => {
            let message =
                "another tenant's sign-ups and domains are ordered by users of the super tenant only";
            return Err(Refusal::new(Code::Forbidden, "tenantDomain", message));
        }
        About::SignUp(id, _) if world.may_sign_up(tenant, id.as_str()) => return Ok(()),
        About::SignUp(id, _) | About::Application(id) => {
            ("application", id.as_str(), world.owner_of(id.as_str()))
        }
        About::Cluster(id) => ("cluster", id.as_str(), world.owner_of_cluster(id.as_str())),
        About::Member(id) => ("member", id.as_str(), world.owner_of_member(id.as_str())),
    };
    // The super tenant may order everything: it owns the machines, and somebody must be able to stop what runs wild.
    if tenant.is_super() || owner == Some(tenant) {
        return Ok(());
    }
    let message = format!("there is no {what} {name:?}");
    Err(Refusal::new(Code::NotFound, what, message))
}

/// Ids of clusters and members begin with the name of their application: a name that continues another tenant's, or
/// that another tenant's continues, would make theirs ambiguous.
fn name_is_free(world: &World, tenant: TenantId, application: &ApplicationId) -> Result<(), Refusal> {
    let name = application.as_str();
    let mine =
        |owner: TenantId| owner == tenant || tenant.is_super() && world.applications.contains_key(name);
    let owner = world.owner_of(name);
    let continues =
        |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('.'));
    let near = || {
        let living = world
            .applications
            .iter()
            .map(|(id, state)| (id, state.blueprint.tenant));
        let former = world.former.iter().map(|(id, owner)| (id, *owner));
        living.chain(former).any(|(id, owner)| {
            owner != tenant && (continues(name, id.as_str()) || continues(id.as_str(), name))
        })
    };
    let taken = match owner {
        Some(owner) => !mine(owner),
        None => near(),
    };
    if !taken {
        return Ok(());
    }
    let message = format!("applicationId: {name:?} is taken, or too like one that is; choose another");
    Err(Refusal::new(Code::Conflict, "applicationId", message))
}
