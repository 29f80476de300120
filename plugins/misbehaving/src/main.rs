//! `cartridge-plugin-misbehaving`: every way that is known in which a plugin can go wrong, by name.
//!
//! Each is what a bug could do, or somebody with bad intentions. This file refuses to be an example.

mod artifact;
mod process;
mod reader;
mod talk;

use std::process::ExitCode;

use cartridge_plugin_sdk::arguments;
use talk::Talk;

/// A name, and what it does.
type Mode = (&'static str, fn(Talk));

const ABOUT: &str = "Misbehaves as a plugin of cartridge-agent, for tests.";

fn main() -> ExitCode {
    let [wanted] = match arguments(ABOUT, ["MODE"]) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let modes = reader::MODES.iter().chain(process::MODES).chain(artifact::MODES);
    let Some((_, misbehave)) = modes.clone().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = modes.map(|(name, _)| *name).collect();
        eprintln!("{wanted:?} is no mode; these are: {}", names.join(" "));
        return ExitCode::from(2);
    };
    misbehave(Talk::new());
    ExitCode::SUCCESS
}
