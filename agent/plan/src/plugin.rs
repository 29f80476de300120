//! Plugins of the agent: what a process may do before it is ended, when it is started again, and what is made of
//! what it says. Refuses to know about processes and pipes.

mod found;
mod hear;
mod noise;
mod readings;
mod settings;
mod upkeep;

pub use found::{Found, Seen, SeenKind, choose, trusted};
pub use hear::{Expected, Fault, Place, described, hear};
pub use noise::Noise;
pub use readings::{Readings, Wish};
pub use settings::{FETCH_WITHIN, MAX_PLUGINS, PluginSettings, Plugins, parse};
pub use upkeep::{Action, Change, Event, Rules, Stage, Upkeep, step};
