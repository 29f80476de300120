//! Named places to die at, for the crash table; nothing at all unless the feature `failpoints` is on.
//!
//! It refuses to know what happens there.

/// Ends this process, as a power cut would, if `CARTRIDGE_FAILPOINT` names this place.
#[cfg(feature = "failpoints")]
pub(super) fn point(name: &str) {
    if std::env::var("CARTRIDGE_FAILPOINT").is_ok_and(|wanted| wanted == name) {
        // SAFETY: raising a signal in oneself touches no memory.
        unsafe { libc::raise(libc::SIGKILL) };
    }
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(super) fn point(_: &str) {}
