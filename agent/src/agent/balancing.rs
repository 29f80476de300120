//! A balancer's side of the member: its plugin, the topology in force, and when its readings are wanted.
//!
//! Refuses to know what a member that is no balancer does.

use cartridge_agent_plan::leaving::Leaving;
use cartridge_agent_plan::plugin::{Place, Rules};
use cartridge_protocol::Millis;
use cartridge_protocol::plugin::{MAX_LINE_BYTES, PluginName};
use cartridge_protocol::topology::Topology;

use super::{Agent, Event};
use crate::host::child::Program;
use crate::plugin::balancer::{Balancer, Told};
use crate::plugin::{Confined, Launch};

/// Longest time that a batch waits for the reading that was asked for at the same beat.
const ANSWER: Millis = Millis(50);

/// Nothing, for a member that is no balancer.
#[derive(Default)]
pub(super) struct Balancing {
    plugin: Option<Balancer>,
    /// The revision in force.
    pub(super) revision: Option<u64>,
    /// Why the newest topology is not in force.
    refusal: Option<String>,
    leaving: Leaving,
    last_reading: Millis,
}

impl Balancing {
    /// When a reading is wanted before the next beat.
    pub(super) fn due(&self) -> Option<Millis> {
        self.leaving.due()
    }

    /// Why it does not balance yet.
    pub(super) fn missing(&self) -> String {
        match &self.refusal {
            Some(why) => format!("cannot serve its topology: {why}"),
            None => "has no topology in force yet".to_owned(),
        }
    }

    pub(super) async fn end(self) {
        if let Some(plugin) = self.plugin {
            plugin.end().await;
        }
    }

    fn in_force(&mut self, revision: u64, wanted: Option<&Topology>, now: Millis) {
        self.revision = Some(revision);
        self.refusal = None;
        if let Some(topology) = wanted.filter(|t| t.revision == revision) {
            self.leaving.applied(topology, now);
        }
    }

    /// How long ago the reading before was, and whether this one is news.
    fn take(&mut self, reading: &cartridge_protocol::sample::BalancerReading, now: Millis) -> (Millis, bool) {
        let lasted = now.since(self.last_reading);
        self.last_reading = now;
        (lasted, self.leaving.read(reading, now))
    }
}

/// The member is there for it: it is started again for ever, and may do what the agent may.
fn launch(program: Program) -> Launch {
    Launch {
        name: PluginName::new("balancer").expect("a word of lower-case letters"),
        confined: Confined {
            words: program.words,
            directory: program.directory,
            environment: program.environment,
            bounds: None,
        },
        place: Place::Balancer,
        rules: Rules::INDISPENSABLE,
        longest: MAX_LINE_BYTES,
    }
}

impl Agent {
    pub(super) fn topology_wanted(&mut self, topology: &Topology) {
        let Some(command) = &self.settings.balancer else {
            return;
        };
        let (effects, events) = (&self.effects, &self.events);
        let plugin = self.balancing.plugin.get_or_insert_with(|| {
            let told = events.clone();
            Balancer::start(
                launch(effects.program(command.clone(), false)),
                effects.logs.clone(),
                async move |t| {
                    let _ = told.send(Event::Balancer(t)).await;
                },
            )
        });
        plugin.serve(topology.clone());
    }

    pub(super) fn balancer_told(&mut self, told: Told) {
        match told {
            Told::Applied(revision, reading) => {
                let wanted = self.desired.as_ref().and_then(|d| d.topology.as_ref());
                self.balancing.in_force(revision, wanted, self.clock.now());
                self.reading(reading);
            }
            Told::Refused(why) => {
                // It is tried again and again; people want to read it once.
                if self.balancing.refusal.as_ref() != Some(&why) {
                    self.tell("plugin", &format!("the balancer refused a topology: {why}"));
                    self.balancing.refusal = Some(why);
                }
            }
            Told::Reading(reading) => self.reading(reading),
            Told::Down(why) => {
                self.balancing.revision = None;
                self.balancing.leaving = Leaving::default();
                self.tell("plugin", &format!("the balancer plugin {why}"));
            }
        }
    }

    fn reading(&mut self, reading: cartridge_protocol::sample::BalancerReading) {
        let now = self.clock.now();
        let (lasted, news) = self.balancing.take(&reading, now);
        self.uplink.outbox.read(reading, lasted);
        self.uplink.measured(news);
    }

    /// At each beat, and more often while somebody leaves. The batch of this beat waits shortly for the answer.
    pub(super) fn ask_for_reading(&mut self, now: Millis, beat: bool) {
        let early = self.balancing.due().is_some_and(|at| at <= now);
        let Some(plugin) = self.balancing.plugin.as_ref().filter(|_| beat || early) else {
            return;
        };
        plugin.read();
        self.balancing.leaving.asked();
        if beat && self.balancing.revision.is_some() {
            self.uplink.wait_until(now.plus(ANSWER));
        }
    }
}
