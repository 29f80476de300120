//! What comes into the loop, and whom it concerns.
//!
//! Refuses to know what follows from it.

use cartridge_agent_plan::lifecycle::{self, Stage};
use cartridge_agent_plan::probe::Outcome;
use cartridge_agent_plan::settings::{Fault, Settings};
use cartridge_agent_plan::signals::Asked;
use cartridge_agent_plan::upgrade;
use cartridge_protocol::plugin::PluginName;
use cartridge_protocol::tenant::TenantId;

use super::{Agent, files, plugins};
use crate::host::{follow, hooks, local};
use crate::link::{LinkError, Told};
use crate::plugin::balancer;

/// What comes into the loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the member's life.
    Life(lifecycle::Event),
    /// A hook has ended.
    Hook(hooks::Ended),
    /// From the stream.
    Link(Told),
    /// The stream has ended for good.
    Fenced,
    /// A batch was answered, or was not.
    Posted(Result<u64, LinkError>),
    /// Work on the member's own files, or on a tenant's, has ended.
    Files(Option<TenantId>, files::Done),
    /// Files of the current release may have been changed: the member's own, or a tenant's.
    Edited(Option<TenantId>),
    /// The newest order was written down, or could not be.
    Remembered(Result<(), String>),
    /// A file that settings came from has changed.
    SettingsChanged,
    /// All settings were read again.
    Reread(Box<Result<Settings, Vec<Fault>>>),
    /// The followed files are to be followed by other settings now.
    FollowAnew,
    /// A signal.
    Asked(Asked),
    /// From the balancer.
    Balancer(balancer::Told),
    /// From another plugin.
    Plugin(PluginName, plugins::Told),
    /// Work for the agent's upgrade has ended.
    Upgrade(upgrade::Event),
    /// At the local socket.
    Local(local::Asked),
    /// From the followed log files.
    Logs(follow::Told),
}

impl Agent {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Life(event) => {
                if matches!(event, lifecycle::Event::AppEnded { .. }) {
                    self.effects.app_ended();
                }
                if let lifecycle::Event::Probed {
                    outcome: Outcome::Healthy,
                    ..
                } = event
                {
                    self.upgrade(upgrade::Event::Answered);
                }
                let event = self.judged(event);
                self.step(event);
            }
            Event::Hook(ended) => self.hook_ended(ended),
            Event::Link(Told::Desired(desired)) => self.wanted(*desired),
            Event::Link(Told::Reachable(answer)) => self.reached(answer),
            Event::Fenced => self.fenced(),
            Event::Posted(Err(LinkError::Fenced)) => {
                self.uplink.posted(Err(LinkError::Fenced), self.clock.now());
                self.fenced();
            }
            Event::Posted(answer) => {
                if answer.is_ok() {
                    self.upgrade(upgrade::Event::Acknowledged);
                }
                self.uplink.posted(answer, self.clock.now());
            }
            Event::Files(None, done) => self.files_done(done),
            Event::Files(Some(tenant), done) => self.tenant_files_done(tenant, done),
            Event::Edited(None) => self.files.edited(self.clock.now()),
            Event::Edited(Some(tenant)) => self.tenants.edited(tenant, self.clock.now()),
            Event::Remembered(written) => self.remembered(written),
            Event::SettingsChanged => self.reread(),
            Event::Reread(read) => self.settings_read(*read),
            Event::FollowAnew => self.followed_to_end(),
            Event::Asked(asked) => self.asked(asked),
            Event::Balancer(told) => self.balancer_told(told),
            Event::Plugin(name, told) => self.plugin_told(&name, told),
            Event::Upgrade(event) => self.upgrade(event),
            Event::Local(question) => self.answer(question),
            Event::Logs(told) => self.logs_told(told),
        }
    }

    pub(super) fn tell(&mut self, kind: &str, text: &str) {
        tracing::info!(kind, "{text}");
        self.uplink.outbox.notice(kind, text);
    }

    pub(super) fn reached(&mut self, answer: Result<(), String>) {
        let now_reachable = answer.is_ok();
        self.desk.ledger.reached(&answer, self.clock.now());
        if now_reachable {
            self.uplink.retry_now(self.clock.now());
        }
        if self.reachable.replace(now_reachable) == Some(!now_reachable) {
            match answer {
                Ok(()) => self.tell("link", "the orchestrator is there again"),
                Err(why) => self.tell("link", &why),
            }
        }
    }

    pub(super) fn fenced(&mut self) {
        self.fenced = true;
        self.desk.ledger.fenced(self.clock.now());
        self.step(lifecycle::Event::Fenced);
    }

    pub(super) fn files_done(&mut self, done: files::Done) {
        let fetching = matches!(self.life.stage, Stage::Fetching) || self.life.returning().is_some();
        let outcome = self.files.done(done, self.clock.now(), fetching);
        for text in outcome.notices {
            self.tell("artifact", &text);
        }
        if let Some(to) = outcome.adopted {
            self.step(lifecycle::Event::Adopted { to });
        }
        if let Some((to, back)) = outcome.switched {
            self.hooks_changed();
            self.step(lifecycle::Event::Switched { to, back });
        }
    }
}
