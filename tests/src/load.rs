//! An honest load generator: requests over keep-alive connections to a set of balancers that may change while it
//! runs, at a pace that may change while it runs, and never a second try.
//!
//! It refuses to know what a member is: it only repeats what answers say of themselves (`x-member`, `x-release`).

mod connection;
mod histogram;
mod tally;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use connection::Pool;
pub use connection::Target;
pub use histogram::Histogram;
use tally::Tally;
pub use tally::{Failure, Kill, Record, Report, Second};

/// Most requests in flight, whatever the pace asks for.
pub const MAX_IN_FLIGHT: usize = 2048;
/// A place that saw a failure rests so long before its next, new request, so that a refused connection does not
/// become a busy loop.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Where requests may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balancer {
    /// Its address.
    pub address: SocketAddr,
    /// Its share of the requests, relative to the others'; zero means none.
    pub weight: u32,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Closed loop: so many in flight, each answer makes room for the next.
    Concurrent(usize),
    /// Open loop: so many per second, however long the answers take.
    PerSecond(f64),
}

#[derive(Clone)]
struct Orders {
    balancers: Vec<Balancer>,
    pace: Pace,
    target: Arc<Target>,
}

/// A running generator. Dropping it stops it at once; [`Load::finish`] lets requests in flight end.
pub struct Load {
    orders: watch::Sender<Orders>,
    tally: Arc<Mutex<Tally>>,
    began: Instant,
    running: AbortOnDropHandle<()>,
}

impl Load {
    /// Begins with no balancer, which means: waits.
    pub fn start(target: Target, pace: Pace) -> Self {
        let began = Instant::now();
        let tally = Arc::new(Mutex::new(Tally::new(began)));
        let orders = Orders {
            balancers: Vec::new(),
            pace,
            target: Arc::new(target),
        };
        let (orders, seen) = watch::channel(orders);
        let running = AbortOnDropHandle::new(tokio::spawn(drive(seen, Arc::clone(&tally))));
        Self {
            orders,
            tally,
            began,
            running,
        }
    }

    /// The balancers from now on. One that left gets no new request; what is in flight there may end.
    pub fn set_balancers(&self, balancers: Vec<Balancer>) {
        self.orders.send_if_modified(|orders| {
            let differs = orders.balancers != balancers;
            orders.balancers = balancers;
            differs
        });
    }

    /// The pace from now on.
    pub fn set_pace(&self, pace: Pace) {
        self.orders.send_modify(|orders| orders.pace = pace);
    }

    /// What is asked from now on.
    pub fn set_target(&self, target: Target) {
        self.orders.send_modify(|orders| orders.target = Arc::new(target));
    }

    /// Says that a process was killed at an instant: a failed request that was in flight at that time (and, where
    /// both are known, at that member) is counted as such, not as a fault of the platform.
    pub fn note_kill(&self, kill: Kill) {
        self.lock().note_kill(kill);
    }

    /// When it began; the clock of [`Report`]'s times.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// What has been counted so far.
    pub fn report(&self) -> Report {
        self.lock().report()
    }

    /// Waits until `enough` holds for what has been counted, at most `within`; answers whether it did.
    pub async fn wait_for(&self, within: Duration, enough: impl Fn(&Report) -> bool) -> bool {
        let reached = async {
            while !enough(&self.report()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(within, reached).await.is_ok()
    }

    /// Sends nothing more, lets requests in flight end within the target's deadline, and answers the final count.
    pub async fn finish(self) -> Report {
        let patience = self.orders.borrow().target.deadline + Duration::from_secs(1);
        drop(self.orders);
        let _ = tokio::time::timeout(patience, self.running).await;
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).report()
    }

    /// Every request so far, oldest first; at most `MAX_RECORDS` are kept.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends until the orders' owner is gone, then waits for what is in flight.
async fn drive(mut orders: watch::Receiver<Orders>, tally: Arc<Mutex<Tally>>) {
    let pool = Arc::new(Pool::default());
    let mut in_flight = JoinSet::new();
    let mut turns = Turns::default();
    let mut due = Instant::now();
    let mut now = orders.borrow().clone();
    let mut fresh = true;
    loop {
        if std::mem::take(&mut fresh) {
            now = orders.borrow_and_update().clone();
            turns.keep(&now.balancers);
            pool.keep(now.balancers.iter().map(|b| b.address));
        }
        let mut room = room(now.pace, in_flight.len(), &mut due);
        while room > 0 {
            let Some(address) = turns.next() else { break };
            room -= 1;
            let (pool, target, tally) = (Arc::clone(&pool), Arc::clone(&now.target), Arc::clone(&tally));
            in_flight.spawn(ask(pool, target, address, tally));
        }
        let idle = turns.is_empty();
        tokio::select! {
            changed = orders.changed() => match changed {
                Ok(()) => fresh = true,
                Err(_) => break,
            },
            Some(_) = in_flight.join_next() => {}
            () = tokio::time::sleep_until(due.into()), if !idle && matches!(now.pace, Pace::PerSecond(_)) => {}
        }
        while in_flight.try_join_next().is_some() {}
    }
    while in_flight.join_next().await.is_some() {}
}

/// How many requests may begin now; moves `due` on for the open loop.
fn room(pace: Pace, in_flight: usize, due: &mut Instant) -> usize {
    let free = MAX_IN_FLIGHT.saturating_sub(in_flight);
    match pace {
        Pace::Concurrent(wanted) => wanted.saturating_sub(in_flight).min(free),
        Pace::PerSecond(rate) if rate > 0.0 => {
            let now = Instant::now();
            let gap = Duration::from_secs_f64((1.0 / rate).min(60.0));
            // After a pause (no balancer, a busy machine) the missed requests are not made up for all at once.
            *due = (*due).max(now.checked_sub(Duration::from_millis(250)).unwrap_or(now));
            let mut count = 0;
            while *due <= now {
                *due += gap;
                count += 1;
            }
            count.min(free)
        }
        Pace::PerSecond(_) => {
            *due = Instant::now() + Duration::from_millis(250);
            0
        }
    }
}

async fn ask(pool: Arc<Pool>, target: Arc<Target>, address: SocketAddr, tally: Arc<Mutex<Tally>>) {
    let began = Instant::now();
    let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    lock().sent();
    let outcome = pool.ask(&target, address).await;
    let failed = outcome.fault.is_some();
    lock().ended(began, Instant::now(), address, outcome);
    if failed {
        tokio::time::sleep(REST_AFTER_FAILURE).await;
    }
}

/// Whose turn it is: smooth weighted round robin, so that shares are exact and nothing is drawn by lot.
#[derive(Default)]
struct Turns(Vec<(Balancer, i64)>);

impl Turns {
    fn keep(&mut self, balancers: &[Balancer]) {
        let credit = |b: &Balancer| {
            self.0
                .iter()
                .find(|(known, _)| known == b)
                .map_or(0, |(_, credit)| *credit)
        };
        self.0 = balancers
            .iter()
            .filter(|b| b.weight > 0)
            .map(|b| (b.clone(), credit(b)))
            .collect();
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self) -> Option<SocketAddr> {
        let total: i64 = self.0.iter().map(|(b, _)| i64::from(b.weight)).sum();
        for (balancer, credit) in &mut self.0 {
            *credit += i64::from(balancer.weight);
        }
        let (balancer, credit) = self.0.iter_mut().max_by_key(|(_, credit)| *credit)?;
        *credit -= total;
        Some(balancer.address)
    }
}

#[cfg(test)]
mod tests;
