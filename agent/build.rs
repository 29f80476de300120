//! Lays what an agent at rest runs next to each other in its binary.
//!
//! The kernel maps sixteen pages where one is used: scattered over the whole program, the same functions took 4.0 MiB; they
//! take 2.3 together.
//! Which they are is in `at_rest.names`; one that is gone is passed over, and one that is new lies with the others.

use std::fmt::Write as _;
use std::path::PathBuf;

const NAMES: &str = "at_rest.names";

fn main() {
    println!("cargo:rerun-if-changed={NAMES}");
    let names = std::fs::read_to_string(NAMES).expect("the list of names stands beside this program");
    let script = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo names a folder")).join("at_rest.ld");
    std::fs::write(&script, layout(&names)).expect("cargo's folder can be written");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
}

/// What the linker adds to its own layout.
fn layout(names: &str) -> String {
    let mut script = String::from("SECTIONS { .text.at_rest : {\n");
    for name in names.lines().filter(|line| !line.starts_with('#')) {
        let hash = if name.starts_with("_ZN") { "17h*" } else { "" };
        writeln!(script, "*(.text.{name}{hash} .text.unlikely.{name}{hash})")
            .expect("a string takes what is written");
    }
    script + "} } INSERT BEFORE .text;\n"
}
