//! The member's hooks: what each is told beside what all are told, and the turn of those about what runs around it.
//!
//! Refuses to decide which hook is due: the member's life does, and what was told of its surroundings.

use std::sync::Arc;

use cartridge_agent_plan::around::Around;
use cartridge_agent_plan::blot::Blot;
use cartridge_agent_plan::hook::environment::artifact_updated;
use cartridge_agent_plan::lifecycle::{self, Hook};
use cartridge_protocol::MemberId;
use cartridge_protocol::launch::SECRET_KEYS;
use cartridge_protocol::link::Desired;
use cartridge_protocol::surroundings::Surroundings;

use super::Agent;
use crate::host::hooks::Hooks;

/// What the member knows of its surroundings, and whether any hook wants to know.
pub(super) struct Hooking {
    around: Around,
    pub(super) wants_surroundings: bool,
}

impl Hooking {
    pub(super) fn new(own: &MemberId, hooks: &Hooks) -> Self {
        Self {
            around: Around::new(own.clone()),
            wants_surroundings: hooks.want_surroundings(),
        }
    }
}

impl Hooking {
    /// The agent before has told hooks all of this.
    pub(super) fn resume(&mut self, told: Arc<Surroundings>) {
        self.around.resume(told);
    }
}

impl Agent {
    pub(super) fn run_hook(&mut self, hook: Hook) {
        self.desk.ledger.hook_begun(hook.name(), self.clock.now());
        let hooks = &self.effects.hooks;
        let mut order = hooks.order(hook);
        let artifacts = self.desired.as_ref().and_then(|d| d.artifacts.as_ref());
        if let (Hook::ArtifactUpdated, Some(artifacts)) = (hook, artifacts) {
            let again = self.life.activated;
            order
                .more
                .extend(artifact_updated(&self.settings.parameters, artifacts, again));
        }
        if !hooks.run(order) {
            let fault = Some("too many hooks wait".to_owned());
            self.effects.send(lifecycle::Event::HookEnded { hook, fault });
        }
    }

    /// Hooks are told secrets, which may come back in what they write.
    pub(super) fn blot(&self, desired: &Desired) {
        let parameters = &self.settings.parameters;
        let told = SECRET_KEYS.iter().filter_map(|key| parameters.get(*key).cloned());
        let tenants = desired.tenants.iter().map(|tenant| &tenant.artifacts);
        let repositories = desired.artifacts.iter().chain(tenants);
        let passwords = repositories.filter_map(|of| Some(of.password.as_ref()?.expose().to_owned()));
        self.effects.logs.blot(Blot::new(told.chain(passwords)));
    }

    /// A release may bring hooks, or take them away.
    pub(super) fn hooks_changed(&mut self) {
        self.hooking.wants_surroundings = self.effects.hooks.want_surroundings();
    }

    pub(super) fn surroundings_told(&mut self, told: Arc<Surroundings>, newer_orchestrator: bool) {
        if self.hooking.around.learn(Arc::clone(&told), newer_orchestrator) {
            self.effects.hooks.tell(told);
            self.step(lifecycle::Event::Topology);
        }
    }

    /// Runs the next hook about what happened around the member, when nothing else wants to run.
    pub(super) fn look_around(&mut self) {
        if !self.life.may_look_around() || !self.effects.hooks.is_idle() {
            return;
        }
        if let Some(order) = self.hooking.around.next_event() {
            self.desk.ledger.hook_begun(order.hook.name(), self.clock.now());
            self.effects.hooks.run(order);
        }
    }
}
