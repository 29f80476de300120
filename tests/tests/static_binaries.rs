//! What is shipped runs on any Linux of its architecture: no interpreter, no shared library. What an agent at rest
//! runs lies together in it.

use std::path::Path;
use std::process::Command;

use cartridge_tests::stack;

const PROGRAM_HEADER_INTERPRETER: u32 = 3;
/// Far less than there is, far more than the few names that any list would happen to share with any program.
const AT_REST: u64 = 400_000;

fn little<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the file is an ELF file of full length")
}

/// The types of the program headers of a 64-bit little-endian ELF file.
fn program_headers(file: &Path) -> Vec<u32> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    assert_eq!(
        &bytes[..6],
        b"\x7fELF\x02\x01",
        "{} is no 64-bit little-endian ELF file",
        file.display()
    );
    let offset = usize::try_from(u64::from_le_bytes(little(&bytes, 32)))
        .expect("an offset in a file that fits in memory");
    let size = usize::from(u16::from_le_bytes(little(&bytes, 54)));
    let count = usize::from(u16::from_le_bytes(little(&bytes, 56)));
    (0..count)
        .map(|index| u32::from_le_bytes(little(&bytes, offset + index * size)))
        .collect()
}

#[test]
fn every_binary_that_is_shipped_is_static() {
    for name in [
        "cartridge",
        "cartridge-agent",
        "cartridge-plugin-balancer",
        "cartridge-hello",
    ] {
        let file = stack::binary(name).expect("built before the tests run");
        let headers = program_headers(&file);
        assert!(
            !headers.contains(&PROGRAM_HEADER_INTERPRETER),
            "{name} asks for a dynamic loader"
        );
    }
}

#[test]
fn a_dynamic_binary_would_be_noticed() {
    // The shell of the machine is dynamic: the check above can fail.
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    assert!(program_headers(&shell).contains(&PROGRAM_HEADER_INTERPRETER));
}

#[test]
fn what_an_agent_at_rest_runs_lies_together() {
    let bytes = section(
        &stack::binary("cartridge-agent").expect("built before the tests run"),
        ".text.at_rest",
    )
    .expect("agent/build.rs asks the linker for it");
    assert!(
        bytes > AT_REST,
        "only {bytes} bytes are laid together: agent/at_rest.names is of another program (make at-rest)"
    );
}

/// The size of a section, as `readelf` tells it.
fn section(file: &Path, name: &str) -> Option<u64> {
    let told = Command::new("readelf")
        .arg("-SW")
        .arg(file)
        .output()
        .expect("installed with the compiler");
    let told = String::from_utf8(told.stdout).expect("names of sections are words");
    let line = told
        .lines()
        .find(|line| line.split_whitespace().any(|word| word == name))?;
    // Name, type, address, offset, size.
    let size = line.split_once(name)?.1.split_whitespace().nth(3)?;
    u64::from_str_radix(size, 16).ok()
}
