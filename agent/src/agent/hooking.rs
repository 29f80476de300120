//! The member's hooks: what each is told beside what all are told, and the turn of those about what runs around it.
//!
//! Refuses to decide which hook is due: the member's life does, and what was told of its surroundings.

use std::sync::Arc;

use cartridge_agent_plan::around::Around;
use cartridge_agent_plan::blot::Blot;
use cartridge_agent_plan::hook::Order;
use cartridge_agent_plan::hook::asked::asked;
use cartridge_agent_plan::hook::environment::artifact_updated;
use cartridge_agent_plan::lifecycle::{self, Hook};
use cartridge_agent_plan::sharing::{Sharing, secrets};
use cartridge_protocol::MemberId;
use cartridge_protocol::launch::SECRET_KEYS;
use cartridge_protocol::link::Desired;
use cartridge_protocol::local::Answer;
use cartridge_protocol::surroundings::Surroundings;
use cartridge_protocol::values::ToldValues;

use super::{Agent, Event};
use crate::host::hooks::{Asked, Ended, Hooks};

/// What the member knows of its surroundings, and whether any hook wants to know.
pub(super) struct Hooking {
    around: Around,
    sharing: Sharing,
    pub(super) wants_surroundings: bool,
}

impl Hooking {
    pub(super) fn new(own: &MemberId, hooks: &Hooks) -> Self {
        Self {
            around: Around::new(own.clone()),
            sharing: Sharing::default(),
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
        if !self.effects.hooks.run(self.order(hook)) {
            self.effects.send_soon(Event::Hook(Ended {
                hook,
                tenant: None,
                fault: Some("too many hooks wait".to_owned()),
                asked_by: None,
            }));
        }
    }

    fn order(&self, hook: Hook) -> Order {
        let mut order = self.effects.hooks.order(hook);
        let artifacts = self.desired.as_ref().and_then(|d| d.artifacts.as_ref());
        if let (Hook::ArtifactUpdated, Some(artifacts)) = (hook, artifacts) {
            let again = self.life.activated;
            order
                .more
                .extend(artifact_updated(&self.settings.parameters, artifacts, again));
        }
        order
    }

    /// The run that somebody asks for, told what the member's own would be told.
    pub(super) fn asked_order(&self, name: &str, arguments: &[String]) -> Result<Order, String> {
        let asked = asked(name, arguments).map_err(|e| e.to_string())?;
        let mut order = self.order(asked.hook);
        order.more.extend(asked.more);
        order.arguments.extend(asked.arguments);
        self.hooking.around.asked(order).map_err(|e| e.to_string())
    }

    /// Runs a hook because somebody asks for it; what comes of it is told to them, and changes nothing in the life.
    pub(super) fn run_asked(&mut self, name: &str, arguments: &[String], by: Asked) {
        let reply = by.reply.clone();
        let run = if self.life.ends() {
            Err("the member ends".to_owned())
        } else {
            self.asked_order(name, arguments).and_then(|order| {
                let name = order.hook.name();
                let taken = self.effects.hooks.run_asked(order, by);
                taken
                    .then_some(name)
                    .ok_or_else(|| "too many wait for a hook already".to_owned())
            })
        };
        match run {
            Ok(name) => self.desk.ledger.hook_begun(name, self.clock.now()),
            Err(why) => drop(reply.try_send(Answer::NotRun(why))),
        }
    }

    /// A hook has ended.
    pub(super) fn hook_ended(&mut self, ended: Ended) {
        let Ended {
            hook,
            tenant,
            fault,
            asked_by,
        } = ended;
        if let (Some(tenant), None) = (tenant, asked_by) {
            return self.tenant_told(tenant, fault);
        }
        let ledger = &mut self.desk.ledger;
        ledger.hook_ended(hook.name(), fault.as_deref(), self.clock.now());
        let Some(user) = asked_by else {
            return self.step(lifecycle::Event::HookEnded { hook, fault });
        };
        let how = fault.unwrap_or_else(|| "went well".to_owned());
        self.tell(
            "hook",
            &format!("{}, for which user {user} asked: {how}", hook.name()),
        );
    }

    /// Hooks are told secrets, which may come back in what they write.
    pub(super) fn blot(&self, desired: &Desired) {
        let parameters = &self.settings.parameters;
        let told = SECRET_KEYS.iter().filter_map(|key| parameters.get(*key).cloned());
        let tenants = desired.tenants.iter().map(|tenant| &tenant.artifacts);
        let repositories = desired.artifacts.iter().chain(tenants);
        let passwords = repositories.filter_map(|of| Some(of.password.as_ref()?.expose().to_owned()));
        let shared = desired.values.iter().flat_map(|values| secrets(values));
        self.effects
            .logs
            .blot(Blot::new(told.chain(passwords).chain(shared)));
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

    /// What the application's cartridges share: processes that are started from now on are told it.
    pub(super) fn values_told(&mut self, told: ToldValues) {
        self.hooking.sharing.learn(told.clone());
        self.effects.tell_shared(told);
    }

    /// Runs the next hook about what happened around the member, when nothing else wants to run.
    pub(super) fn look_around(&mut self) {
        if !self.life.may_hear_changes() || !self.effects.hooks.is_idle() {
            return;
        }
        let Hooking { around, sharing, .. } = &mut self.hooking;
        let looks = self.life.may_look_around();
        let event = looks.then(|| around.next_event()).flatten();
        if let Some(order) = event.or_else(|| sharing.next_event()) {
            self.desk.ledger.hook_begun(order.hook.name(), self.clock.now());
            self.effects.hooks.run(order);
        }
    }
}
