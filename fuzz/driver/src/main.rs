//! Feeds one target, named by `FUZZ_TARGET`, with what libFuzzer finds.

#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        cartridge_fuzz::target(&name).unwrap_or_else(|| {
            let known: Vec<_> = cartridge_fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
            panic!("FUZZ_TARGET is {name:?}; accepted: {}", known.join(", "))
        })
    })(data);
});
