//! What is written down about agents: the newest that proved itself, what is about to begin, what did not.
//!
//! Refuses to know where. A start looks here first, so that a binary that cannot even begin is not begun for ever.

use serde::{Deserialize, Serialize};

use super::offer::Version;
use crate::text::one_line;

/// Starts that a binary has to prove itself in. More than one: the first may have been ended by somebody else.
const MOST_BOOTS: u32 = 2;
/// The same for one that has proved itself before.
const MOST_BOOTS_OF_KNOWN: u32 = 4;
/// Most binaries remembered that did not prove themselves.
const MOST_TRIED: usize = 8;
/// Longest reason, bytes.
const REASON_BYTES: usize = 400;

/// A binary on disk: which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its version.
    pub version: Version,
    /// Its hash, by which it is found.
    pub sha256: String,
}

/// A binary that did not prove itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub slot: Slot,
    /// Why.
    pub reason: String,
}

/// A binary and how often it was begun since it was healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// Which.
    pub slot: Slot,
    /// How often.
    pub boots: u32,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The newest version that ever proved itself here; nothing older is accepted.
    pub floor: Option<Version>,
    /// The binary that took the place of the installed one.
    pub current: Option<Booted>,
    /// The binary that is about to begin, or has begun and not proved itself.
    pub trial: Option<Booted>,
    /// Those that did not, oldest first.
    #[serde(default)]
    pub tried: Vec<Tried>,
}

/// What a start begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// The binary that was started.
    Own,
    /// That one.
    Other(Slot),
}

impl Record {
    /// What came of that binary here, if it did not prove itself.
    pub fn tried(&self, slot: &Slot) -> Option<&Tried> {
        self.tried.iter().find(|tried| tried.slot.sha256 == slot.sha256)
    }

    /// Every binary that may still be begun.
    pub fn kept(&self) -> impl Iterator<Item = &Slot> {
        self.current.iter().chain(&self.trial).map(|booted| &booted.slot)
    }

    /// It is about to begin.
    pub fn intend(&mut self, slot: &Slot) {
        self.tried.retain(|tried| tried.slot.sha256 != slot.sha256);
        self.trial = Some(Booted {
            slot: slot.clone(),
            boots: 1,
        });
    }

    /// It has proved itself.
    pub fn confirm(&mut self, slot: &Slot) {
        if self
            .floor
            .as_ref()
            .is_none_or(|floor| slot.version.is_newer_than(floor))
        {
            self.floor = Some(slot.version.clone());
        }
        self.trial = self.trial.take().filter(|trial| trial.slot != *slot);
        self.current = Some(Booted {
            slot: slot.clone(),
            boots: 0,
        });
    }

    /// It did not begin, or did not prove itself; with a reason it is not tried again unless somebody insists.
    pub fn forget(&mut self, slot: &Slot, blame: Option<&str>) {
        self.trial = self.trial.take().filter(|trial| trial.slot != *slot);
        self.current = self.current.take().filter(|current| current.slot != *slot);
        let Some(reason) = blame else { return };
        self.tried.retain(|tried| tried.slot.sha256 != slot.sha256);
        self.tried.push(Tried {
            slot: slot.clone(),
            reason: one_line(reason, REASON_BYTES),
        });
        let over = self.tried.len().saturating_sub(MOST_TRIED);
        self.tried.drain(..over);
    }

    /// What a start of the installed binary begins. The record is to be written down before that is.
    pub fn boot(&mut self, installed: &Version) -> Boot {
        if let Some(trial) = &mut self.trial {
            if trial.boots < MOST_BOOTS {
                trial.boots += 1;
                return Boot::Other(trial.slot.clone());
            }
            let slot = trial.slot.clone();
            self.forget(
                &slot,
                Some("it was begun twice and ended each time before it proved itself"),
            );
        }
        let Some(current) = &mut self.current else {
            return Boot::Own;
        };
        // Somebody has installed what is at least as new.
        if !current.slot.version.is_newer_than(installed) {
            return Boot::Own;
        }
        if current.boots < MOST_BOOTS_OF_KNOWN {
            current.boots += 1;
            return Boot::Other(current.slot.clone());
        }
        let slot = current.slot.clone();
        self.forget(
            &slot,
            Some("it proved itself once, and later ended again and again at its start"),
        );
        Boot::Own
    }
}
