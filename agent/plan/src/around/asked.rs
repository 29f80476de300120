//! Whom a hook is told of that somebody asks for. Refuses to count it as told: the event itself is still to come.

use cartridge_protocol::surroundings::{PeerPhase, Surroundings};

use super::{Around, Known, mapped, member_order, others, tenant_order};
use crate::hook::{Hook, Of, Order};

/// Why there is no such run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NothingToTell {
    /// The member does not know what runs around it.
    #[error("the orchestrator has not said what runs around this member")]
    NothingKnown,
    /// There is no other member.
    #[error("no other member is known that it could be told of")]
    NoOtherMember,
    /// There are no tenants.
    #[error("no tenants are known that it could be told of")]
    NoTenants,
    /// There is no domain mapping.
    #[error("no domain mapping is known that it could be told of")]
    NoMapping,
    /// There is no sign-up.
    #[error("no sign-up is known that it could be told of")]
    NoSignUp,
}

impl Around {
    /// The run of a hook that somebody asks for: `order` with what it would be told of the application around the member.
    /// An event needs somebody it is about: of several, one that stands where the event leads, else the first.
    pub fn asked(&self, order: Order) -> Result<Order, NothingToTell> {
        let hook = order.hook;
        if hook.of() != Of::Surroundings || hook == Hook::ValuesChanged {
            return Ok(order);
        }
        let newest = self.newest().ok_or(NothingToTell::NothingKnown)?;
        let known = newest.tenants.as_deref().unwrap_or_default();
        match hook {
            Hook::CompleteTenant => {
                let list = newest.tenants.as_ref().ok_or(NothingToTell::NoTenants)?;
                let list = serde_json::to_string(list).expect("numbers and texts are always JSON");
                Ok(Order::new(hook).telling("STRATOS_TENANT_LIST_JSON", list))
            }
            Hook::DomainMappingAdded | Hook::DomainMappingRemoved => {
                let mapping = newest.domain_mappings.iter().flatten().next();
                let mapping = mapping.ok_or(NothingToTell::NoMapping)?;
                let order = mapped(tenant_order(hook, newest, known, mapping.tenant_id), mapping);
                let path = mapping.context_path.clone().unwrap_or_default();
                Ok(match hook {
                    Hook::DomainMappingAdded => order.telling("STRATOS_SUBSCRIPTION_CONTEXT_PATH", path),
                    _ => order,
                })
            }
            Hook::TenantSubscribed | Hook::ApplicationSignUpRemoved => {
                let one = newest.sign_ups.iter().flatten().next();
                let tenant = one.ok_or(NothingToTell::NoSignUp)?.tenant_id;
                Ok(tenant_order(hook, newest, known, tenant))
            }
            _ => {
                let about = self.somebody(newest, hook).ok_or(NothingToTell::NoOtherMember)?;
                Ok(member_order(hook, &about))
            }
        }
    }

    fn somebody(&self, newest: &Surroundings, hook: Hook) -> Option<Known> {
        let leads_to = match hook {
            Hook::MemberInitialized => PeerPhase::Initialized,
            Hook::MemberStarted => PeerPhase::Starting,
            Hook::MemberActivated => PeerPhase::Active,
            Hook::MemberSuspended => PeerPhase::Suspended,
            _ => PeerPhase::Terminated,
        };
        let all: Vec<Known> = others(newest, &self.own).map(|(_, known)| known).collect();
        let there = all.iter().find(|known| known.peer.phase == leads_to);
        there.or(all.first()).cloned()
    }
}
