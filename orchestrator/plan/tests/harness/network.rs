//! What lies between agents and the orchestrator: it loses, delays, doubles and reorders, both ways.

use cartridge_protocol::link::{Batch, Desired};
use cartridge_protocol::{MemberId, Millis};

use super::Chance;

/// What an agent sends.
#[derive(Clone, Debug)]
pub struct Said {
    pub member: MemberId,
    pub incarnation: u64,
    pub credential: String,
    pub batch: Batch,
    /// The load that it would have told, were it honest.
    pub honest: Option<f64>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub lost: u64,
    pub delay_ms: u64,
    pub doubled: u64,
}

/// What became of messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub sent: u64,
    pub lost: u64,
    pub delayed: u64,
    pub doubled: u64,
    pub overtaken: u64,
}

/// See above.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Boxed: each is moved from hand to hand.
    up: Vec<(Millis, Box<Said>)>,
    down: Vec<(Millis, MemberId, Desired)>,
    pub counts: Counts,
}

impl Network {
    /// Takes a message, or loses it: false.
    pub fn say(&mut self, said: Box<Said>, now: Millis, weather: Weather, chance: &mut Chance) -> bool {
        let Some((at, again)) = self.ways(now, weather, chance) else {
            return false;
        };
        let copy = again.map(|again| (again, said.clone()));
        for (at, said) in [(at, said)].into_iter().chain(copy) {
            if self.up.last().is_some_and(|(last, _)| *last > at) {
                self.counts.overtaken += 1;
            }
            self.up.push((at, said));
        }
        true
    }

    /// The same downwards.
    pub fn tell(
        &mut self,
        member: MemberId,
        desired: Desired,
        now: Millis,
        weather: Weather,
        chance: &mut Chance,
    ) -> bool {
        let Some((at, again)) = self.ways(now, weather, chance) else {
            return false;
        };
        let copy = again.map(|again| (again, member.clone(), desired.clone()));
        self.down.push((at, member, desired));
        self.down.extend(copy);
        true
    }

    /// When it arrives, and when once more; None: never.
    fn ways(
        &mut self,
        now: Millis,
        weather: Weather,
        chance: &mut Chance,
    ) -> Option<(Millis, Option<Millis>)> {
        self.counts.sent += 1;
        if weather.lost > 0 && chance.per_mille(weather.lost) {
            self.counts.lost += 1;
            return None;
        }
        let delay = if weather.delay_ms > 0 {
            chance.below(1 + weather.delay_ms)
        } else {
            0
        };
        self.counts.delayed += u64::from(delay >= 1000);
        let again = (weather.doubled > 0 && chance.per_mille(weather.doubled)).then(|| {
            self.counts.doubled += 1;
            now.plus(Millis(delay + chance.below(60_000)))
        });
        Some((now.plus(Millis(delay)), again))
    }

    /// What arrives at the orchestrator, with when it was to arrive.
    pub fn heard(&mut self, now: Millis) -> Vec<(Millis, Box<Said>)> {
        due(&mut self.up, |(at, _)| *at <= now)
    }

    /// What arrives at agents.
    pub fn told(&mut self, now: Millis) -> Vec<(MemberId, Desired)> {
        due(&mut self.down, |(at, ..)| *at <= now)
            .into_iter()
            .map(|(_, member, desired)| (member, desired))
            .collect()
    }

    /// Nobody listens: what is under way is lost.
    pub fn deaf(&mut self) {
        self.up.clear();
    }
}

fn due<T>(queue: &mut Vec<T>, is: impl Fn(&T) -> bool) -> Vec<T> {
    if queue.iter().all(&is) {
        let as_many = Vec::with_capacity(queue.capacity());
        return std::mem::replace(queue, as_many);
    }
    if !queue.iter().any(&is) {
        return Vec::new();
    }
    let (due, later) = std::mem::take(queue).into_iter().partition(is);
    *queue = later;
    due
}
