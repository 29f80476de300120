//! Ten thousand lives in which everything that may come comes at any moment: stops, releases, fences, ends, silence.
//!
//! The world around a life is played: hooks that take their time one after the other, an application that dies or does not
//! want to, probes. What must hold is checked at each action (F28: S18, S19, S20). Refuses to know how `step` decides.

use std::collections::VecDeque;

use super::tests::{commit, rules};
use super::*;

/// How many lives.
const SEEDS: u64 = 10_000;
/// Events in each, at most.
const EVENTS: u32 = 120;

/// A small generator of numbers (SplitMix64), so that a seed is all that a life depends on.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// What happens next by itself, and when.
#[derive(Clone, Debug)]
struct Coming {
    at: Millis,
    event: Event,
}

struct Played {
    seed: u64,
    dice: Dice,
    now: Millis,
    life: Life,
    rules: Rules,
    /// The hook that runs, with its end; those that wait.
    hook: Option<(Hook, Millis)>,
    waiting: VecDeque<Hook>,
    /// The application's end, if one is on its way; it runs where this is there at all.
    app: Option<Option<Millis>>,
    probe: Option<Coming>,
    /// Hooks that were begun, and those of them that ended, each as often as it happened.
    begun: Vec<Hook>,
    ended: Vec<Hook>,
    /// By when the member must have ended, once it was asked.
    over_by: Option<Millis>,
    story: Vec<String>,
}

impl Played {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let prepare = [Hook::VolumeMount, Hook::CompleteTopology];
        let mut rules = rules();
        rules.prepare = prepare.into_iter().filter(|_| dice.one_in(3)).collect();
        rules.command = !dice.one_in(4);
        rules.restart_on_release = !dice.one_in(3);
        Self {
            seed,
            dice,
            now: Millis::ZERO,
            life: Life::new(),
            rules,
            hook: None,
            waiting: VecDeque::new(),
            app: None,
            probe: None,
            begun: Vec::new(),
            ended: Vec::new(),
            over_by: None,
            story: Vec::new(),
        }
    }

    fn holds(&self, law: &str, holds: bool) {
        assert!(holds, "seed {}: {law}\n{}", self.seed, self.story.join("\n"));
    }

    fn count(list: &[Hook], hook: Hook) -> usize {
        list.iter().filter(|h| **h == hook).count()
    }

    /// What comes by itself, the nearest first.
    fn next(&self) -> Option<Coming> {
        let hook = self.hook.map(|(hook, at)| Coming {
            at,
            event: Event::HookEnded { hook, fault: None },
        });
        let app = self.app.flatten().map(|at| Coming {
            at,
            event: Event::AppEnded {
                how: How::Code(1),
                words: Vec::new(),
            },
        });
        let due = self.life.due().map(|at| Coming {
            at,
            event: Event::Tick,
        });
        let all = [hook, app, self.probe.clone(), due];
        all.into_iter().flatten().min_by_key(|coming| coming.at)
    }

    /// Something from outside.
    fn outside(&mut self) -> Event {
        let letter = |dice: &mut Dice| commit(['a', 'b', 'c', 'd'][dice.below(4) as usize]);
        match self.dice.below(12) {
            0 => Event::Stop {
                within: Millis(100 + self.dice.below(10_000)),
            },
            1 if self.dice.one_in(4) => Event::Fenced,
            2 => Event::Topology,
            3..=6 if self.life.may_switch() => {
                let back = self.dice.one_in(2).then(|| letter(&mut self.dice));
                let to = match self.life.returning() {
                    Some(back) => back.clone(),
                    None => letter(&mut self.dice),
                };
                Event::Switched { to, back }
            }
            // An answer that comes too late.
            7 => Event::Probed {
                number: self.life.probe.saturating_sub(1),
                outcome: Outcome::Healthy,
            },
            8 => Event::Tick,
            _ => Event::Serve {
                files: self.dice.one_in(2),
            },
        }
    }

    fn turn(&mut self) {
        let event = match self.next() {
            Some(coming) if !self.dice.one_in(5) => {
                self.now = self.now.max(coming.at);
                coming.event
            }
            _ => {
                self.now = self.now.plus(Millis(self.dice.below(500)));
                self.outside()
            }
        };
        self.happens(event);
    }

    fn happens(&mut self, event: Event) {
        self.forget(&event);
        let before = self.life.clone();
        self.asked_to_end(&before, &event);
        let (life, actions) = step(before.clone(), event.clone(), self.now, &self.rules);
        self.story.push(format!(
            "{} {:?} + {event:?} -> {:?}: {actions:?}",
            self.now.0, before.stage, life.stage
        ));
        self.life = life;
        for action in &actions {
            self.check(action, &actions, &before);
            self.carry_out(action);
        }
        self.next_hook();
    }

    /// What has come does not come again.
    fn forget(&mut self, event: &Event) {
        match event {
            Event::HookEnded { hook, .. } => {
                self.hook = None;
                self.ended.push(*hook);
            }
            Event::AppEnded { .. } => self.app = None,
            Event::Probed { number, .. } if *number == self.life.probe => self.probe = None,
            _ => {}
        }
    }

    fn asked_to_end(&mut self, before: &Life, event: &Event) {
        let within = match event {
            Event::Stop { within } => *within,
            Event::Fenced => self.rules.end_within,
            _ => return,
        };
        if before.stage != Stage::Stopped && (!before.ends() || matches!(event, Event::Stop { .. })) {
            let by = self.now.plus(within);
            self.over_by = Some(self.over_by.map_or(by, |other| other.min(by)));
        }
    }

    fn check(&self, action: &Action, all: &[Action], before: &Life) {
        let asked = self.over_by.is_some();
        match action {
            Action::RunHook(Hook::Clean) => {
                self.holds("it cleans up once", Self::count(&self.begun, Hook::Clean) == 0);
                let cancelled = all.iter().position(|a| *a == Action::CancelHooks);
                let clean = all.iter().position(|a| a == action);
                self.holds("a stop wins over hooks", cancelled.is_some() && cancelled < clean);
            }
            Action::RunHook(hook) => {
                self.holds("no other hook once it has to end", !asked);
                self.in_order(*hook, before);
            }
            Action::StartApp => {
                self.holds("one application at a time", self.app.is_none());
                self.holds("none is started once it has to end", !asked);
                let served = Self::count(&self.ended, Hook::StartServers);
                self.holds("servers before the application", served == 1);
            }
            Action::Probe(_) => {
                self.holds("no probes once it has to end", !asked);
                let updated = Self::count(&self.begun, Hook::ArtifactUpdated)
                    == Self::count(&self.ended, Hook::ArtifactUpdated);
                self.holds("new files are told before anything is probed", updated);
            }
            Action::Refuse { .. } => self.holds("nothing is refused once it has to end", !asked),
            Action::CancelHooks | Action::TermApp | Action::KillApp | Action::Tell(..) => {}
        }
    }

    fn in_order(&self, hook: Hook, before: &Life) {
        let ended = |other| Self::count(&self.ended, other) > 0;
        let first = Self::count(&self.begun, hook) == 0;
        match hook {
            Hook::InstanceStarted => {
                self.holds("it begins once", first);
                let prepared = self
                    .rules
                    .prepare
                    .iter()
                    .all(|h| *h == Hook::CompleteTopology || ended(*h));
                self.holds("volumes before files and servers", prepared);
            }
            Hook::StartServers => self.holds("in order, once", first && ended(Hook::InstanceStarted)),
            Hook::InstanceActivated => {
                self.holds("in order, once", first && ended(Hook::StartServers));
                self.holds(
                    "after an answer",
                    matches!(before.stage, Stage::Probing { .. } | Stage::Suspended { .. }),
                );
            }
            Hook::ArtifactUpdated => self.holds("after the servers", ended(Hook::StartServers)),
            _ => self.holds("preparations and introductions come once", first),
        }
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::RunHook(hook) => {
                self.begun.push(*hook);
                self.waiting.push_back(*hook);
            }
            Action::CancelHooks => {
                // Who waited is not heard of; who runs is ended and says so.
                for hook in std::mem::take(&mut self.waiting) {
                    self.ended.push(hook);
                }
                if let Some((_, at)) = &mut self.hook {
                    *at = self.now.plus(Millis(1));
                }
            }
            Action::StartApp => {
                let dies = self
                    .dice
                    .one_in(3)
                    .then(|| self.now.plus(Millis(self.dice.below(20_000))));
                self.app = Some(dies);
            }
            // One in three does not listen.
            Action::TermApp if self.dice.one_in(3) => {}
            Action::TermApp => self.app_ends_in(self.now.plus(Millis(1))),
            Action::KillApp => self.app_ends_in(self.now.plus(Millis(1))),
            Action::Probe(number) => {
                let outcome = match self.dice.below(4) {
                    0 => Outcome::Silent("refused".into()),
                    1 => Outcome::Unwell("500".into()),
                    _ => Outcome::Healthy,
                };
                self.probe = Some(Coming {
                    at: self.now.plus(Millis(self.dice.below(50))),
                    event: Event::Probed {
                        number: *number,
                        outcome,
                    },
                });
            }
            Action::Refuse { .. } | Action::Tell(..) => {}
        }
    }

    fn app_ends_in(&mut self, at: Millis) {
        if let Some(end) = &mut self.app {
            *end = Some(end.map_or(at, |other| other.min(at)));
        }
    }

    /// One hook at a time, in the order in which they were asked for.
    fn next_hook(&mut self) {
        if self.hook.is_none()
            && let Some(hook) = self.waiting.pop_front()
        {
            self.hook = Some((hook, self.now.plus(Millis(self.dice.below(3_000)))));
        }
    }

    /// Lets what was begun come to its end, without anything from outside.
    fn end(&mut self) {
        let Some(by) = self.over_by else { return };
        while self.life.stage != Stage::Stopped {
            self.holds("it ends in time", self.now <= by.plus(Millis(1_010)));
            let Some(coming) = self.next() else {
                return self.holds("nothing is waited for in vain", false);
            };
            self.now = self.now.max(coming.at);
            self.happens(coming.event);
        }
        self.holds("no application is left", self.app.is_none());
    }
}

#[test]
fn whatever_comes_during_a_hook_the_order_holds_and_a_stop_wins() {
    let (mut stopped, mut during) = (0, 0);
    for seed in 0..SEEDS {
        let mut played = Played::new(seed);
        for _ in 0..EVENTS {
            let (asked, hook) = (played.over_by.is_some(), played.hook.is_some());
            played.turn();
            during += u32::from(!asked && played.over_by.is_some() && hook);
            if played.life.stage == Stage::Stopped {
                break;
            }
        }
        played.end();
        stopped += u32::from(played.life.stage == Stage::Stopped);
    }
    println!("{SEEDS} lives, {stopped} were stopped, {during} of them while a hook ran");
    assert!(stopped > 5_000 && during > 1_000, "{stopped} {during}");
}
