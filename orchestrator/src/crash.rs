//! Named places at which a test can make the orchestrator die (reliability.md F01). Without the feature `failpoints`
//! they cost nothing.

/// Ends the process with SIGKILL if `CARTRIDGE_CRASHPOINT` names this place.
#[cfg(feature = "failpoints")]
pub fn point(name: &str) {
    if std::env::var("CARTRIDGE_CRASHPOINT").is_ok_and(|armed| armed == name) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub fn point(_name: &str) {}
