//! Carries out steps: each in its own task, a limited number at once, never two for one member.
//!
//! This file refuses to know what is due: that is asked of the plan in every pass, so nothing is queued here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use cartridge_orchestrator_plan::answer::{Outcome, StepEnded};
use cartridge_orchestrator_plan::outstanding::steps;
use cartridge_orchestrator_plan::step::Step;
use cartridge_orchestrator_plan::world::{Member, Role, World};
use cartridge_protocol::{ApplicationId, MemberId, Millis};
use tokio::time::timeout;

use super::input::Input;
use super::{Engine, Shared};
use crate::crash;
use crate::provision::{LinkInfo, ProvisionError, Provisioners};

/// Most steps at once.
const MAX_AT_ONCE: usize = 32;
/// For one step.
const STEP: Duration = Duration::from_secs(60);
/// Longest pause before a removal is tried again.
const MAX_PAUSE: Millis = Millis::from_secs(30);

type Key = (MemberId, u64);

/// Steps that run, and removals that wait.
pub(crate) struct Work {
    engine: Engine,
    provisioners: Arc<Provisioners>,
    link: LinkPlace,
    running: BTreeSet<Key>,
    paused: BTreeMap<Key, (u32, Millis)>,
}

/// Where agents find us.
#[derive(Clone, Debug)]
pub struct LinkPlace {
    /// `https://host:port`.
    pub url: String,
    /// PEM file of the authority.
    pub ca: std::path::PathBuf,
}

impl Work {
    pub(crate) fn new(engine: Engine, provisioners: Arc<Provisioners>, link: LinkPlace) -> Self {
        Self {
            engine,
            provisioners,
            link,
            running: BTreeSet::new(),
            paused: BTreeMap::new(),
        }
    }

    /// Begins what is due and not running yet.
    pub(crate) fn begin(&mut self, world: &World, now: Millis) {
        let free = MAX_AT_ONCE.saturating_sub(self.running.len());
        let idle = |member: &Member| {
            let key = (member.id.clone(), member.incarnation);
            let paused = self.paused.get(&key).is_some_and(|(_, until)| now < *until);
            !paused && !self.running.contains(&key)
        };
        let due: Vec<Step> = steps(world, now, idle).take(free).collect();
        for step in due {
            let key = key(&step);
            self.running.insert(key.clone());
            let (engine, provisioners) = (self.engine.clone(), Arc::clone(&self.provisioners));
            let application = opens(world, &key.0);
            let mut link = LinkInfo {
                url: self.link.url.clone(),
                ca: self.link.ca.clone(),
                token: engine.shared.identity.join_token(&key.0, key.1),
                sharing: None,
            };
            tokio::spawn(async move {
                engine.shared.stats.steps_running.fetch_add(1, Relaxed);
                link.sharing = application.and_then(|application| engine.token_of(&application));
                let outcome = carry_out(&engine, &provisioners, step, link).await;
                engine.shared.stats.steps_running.fetch_sub(1, Relaxed);
                let ended = Input::StepEnded(StepEnded {
                    member: key.0,
                    incarnation: key.1,
                    outcome,
                });
                let _ = engine.shared.inputs.send(ended).await;
            });
        }
    }

    /// A step ended; the pass that learns it asks what is due next.
    pub(crate) fn ended(&mut self, ended: &StepEnded, now: Millis) {
        let key = (ended.member.clone(), ended.incarnation);
        self.running.remove(&key);
        match &ended.outcome {
            Outcome::RemoveFailed(reason) => {
                tracing::warn!(member = %ended.member, "could not be removed: {reason}");
                let tries = self.paused.get(&key).map_or(0, |(tries, _)| *tries) + 1;
                let pause = Millis(500 << tries.min(6)).min(MAX_PAUSE);
                self.paused.insert(key, (tries, now.plus(pause)));
            }
            _ => _ = self.paused.remove(&key),
        }
    }
}

/// The application of a member that is about to be made.
fn opens(world: &World, member: &MemberId) -> Option<ApplicationId> {
    let cluster = world.clusters.get(&world.members.get(member)?.cluster)?;
    let serves = cluster.role == Role::Application;
    serves.then(|| cluster.application.clone())
}

fn key(step: &Step) -> Key {
    match step {
        Step::Ensure(spec) => (spec.member.clone(), spec.incarnation),
        Step::Remove {
            member, incarnation, ..
        } => (member.clone(), *incarnation),
    }
}

async fn carry_out(engine: &Engine, provisioners: &Provisioners, step: Step, link: LinkInfo) -> Outcome {
    let stats = &engine.shared.stats;
    match step {
        Step::Ensure(spec) => {
            crash::point("before_ensure");
            let (member, incarnation, provider) =
                (spec.member.clone(), spec.incarnation, spec.provider.clone());
            let made = within(async { provisioners.of(&provider)?.ensure(*spec, link).await }).await;
            crash::point("after_ensure");
            match made {
                Ok(made) => {
                    engine.instance_runs(&member, incarnation);
                    Outcome::Ensured(made)
                }
                Err(e) => {
                    stats.steps_failed.fetch_add(1, Relaxed);
                    Outcome::EnsureFailed(e.to_string())
                }
            }
        }
        Step::Remove {
            provider,
            member,
            incarnation,
        } => {
            crash::point("before_remove");
            let gone = within(async { provisioners.of(&provider)?.remove(&member, incarnation).await }).await;
            crash::point("after_remove");
            match gone {
                Ok(()) => Outcome::Removed,
                Err(e) => {
                    stats.steps_failed.fetch_add(1, Relaxed);
                    Outcome::RemoveFailed(e.to_string())
                }
            }
        }
    }
}

async fn within<T>(step: impl Future<Output = Result<T, ProvisionError>>) -> Result<T, ProvisionError> {
    match timeout(STEP, step).await {
        Ok(result) => result,
        Err(_) => Err(ProvisionError(format!("no answer within {} s", STEP.as_secs()))),
    }
}

impl Shared {
    /// Marks a cluster as changed and wakes the writer.
    pub(crate) fn soil(&self, cluster: cartridge_protocol::ClusterId) {
        self.dirty
            .lock()
            .expect("no holder of this lock panics")
            .insert(cluster);
        self.poke.notify_one();
    }

    /// The clusters that changed since last asked.
    pub(crate) fn take_dirty(&self) -> std::collections::BTreeSet<cartridge_protocol::ClusterId> {
        std::mem::take(&mut *self.dirty.lock().expect("no holder of this lock panics"))
    }
}
