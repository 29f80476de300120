//! A whole installation in one value: orchestrator (the product's decisions), provisioner, agents, balancers,
//! network. Time is a number; chance is a seed. The same seed gives the same journal.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "constants of tests")]

pub mod agent;
pub mod disk;
pub mod faults;
pub mod fixture;
pub mod liveness;
pub mod neighbour;
pub mod network;
pub mod orchestrator;
pub mod people;
pub mod provisioner;
pub mod sim;
pub mod strike;
pub mod tenants;
pub mod truth;
pub mod updates;
pub mod witness;

use std::fmt;

/// Faults of the shell around the decisions that are planted on purpose, to see them found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShellBug {
    /// What is written is acknowledged before it is flushed.
    LostFsync,
    /// A batch of records is not written whole or not at all.
    TornBatch,
    /// Steps are begun before their records are durable.
    EffectBeforeRecord,
    /// The journal takes entries of an orchestrator that another one replaced.
    NoFence,
    /// An agent takes orders that are older than what it saw.
    OldOrders,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which, as docs/simulation.md names it: `S7 destruction budget`.
    pub invariant: String,
    /// What is so, and should not be.
    pub problem: String,
}

/// What a check comes to.
pub type Holds = Result<(), Violation>;

pub fn broken(invariant: &str, problem: impl Into<String>) -> Violation {
    Violation {
        invariant: invariant.to_owned(),
        problem: problem.into(),
    }
}

pub fn demand(holds: bool, invariant: &str, problem: impl FnOnce() -> String) -> Holds {
    if holds {
        Ok(())
    } else {
        Err(broken(invariant, problem()))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not hold: {}", self.invariant, self.problem)
    }
}

/// Splitmix64: small, even, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// True so many times in a thousand.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }
}
