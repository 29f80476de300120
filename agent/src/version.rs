//! Which version this is. Refuses to know what for.

/// The version of this build.
const PACKAGE: &str = env!("CARGO_PKG_VERSION");

/// This agent's version.
#[cfg(not(feature = "failpoints"))]
pub fn version() -> &'static str {
    PACKAGE
}

/// What runs on: the target that it was built for.
pub fn target() -> String {
    let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-unknown-linux-{environment}", std::env::consts::ARCH)
}

/// Whether this is a build for tests that misbehaves like this: its version ends with `+name`.
#[cfg(not(feature = "failpoints"))]
pub fn misbehaves(_: &str) -> bool {
    false
}

#[cfg(feature = "failpoints")]
pub use patched::{misbehaves, version};

/// In builds for tests: tests make other versions of one binary by writing over this place in the file.
#[cfg(feature = "failpoints")]
mod patched {
    use std::sync::OnceLock;

    use super::PACKAGE;

    const MARK: &[u8] = b"CARTRIDGE-AGENT-VERSION=";
    const LENGTH: usize = 96;

    #[used]
    static PLACE: [u8; LENGTH] = place();

    const fn place() -> [u8; LENGTH] {
        let mut place = [0; LENGTH];
        let mut at = 0;
        while at < MARK.len() {
            place[at] = MARK[at];
            at += 1;
        }
        let text = PACKAGE.as_bytes();
        while at - MARK.len() < text.len() {
            place[at] = text[at - MARK.len()];
            at += 1;
        }
        place
    }

    /// This agent's version.
    pub fn version() -> &'static str {
        static READ: OnceLock<String> = OnceLock::new();
        READ.get_or_init(|| {
            // SAFETY: a static of this very type; volatile, so that what the file holds is read and nothing else.
            let place = unsafe { std::ptr::read_volatile(&raw const PLACE) };
            let text = place[MARK.len()..].split(|byte| *byte == 0).next();
            String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
        })
    }

    /// Whether it misbehaves like this: its version ends with `+name`.
    pub fn misbehaves(name: &str) -> bool {
        version().split_once('+').is_some_and(|(_, build)| build == name)
    }
}
