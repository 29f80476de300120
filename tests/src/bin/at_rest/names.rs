//! The Rust functions of a binary and their addresses, as `nm` tells them. C is left out: its sections are those of
//! whole files.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;

use crate::Failure;

/// Where each function begins in the file that is linked, and its names without their hashes.
pub async fn of(binary: &Path) -> Result<BTreeMap<u64, Vec<String>>, Failure> {
    let listed = Command::new("nm")
        .arg("--defined-only")
        .arg(binary)
        .output()
        .await?;
    let mut functions = BTreeMap::<u64, Vec<String>>::new();
    for line in String::from_utf8(listed.stdout)?.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some("t" | "T"), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if let Some(name) = without_hash(name) {
            functions
                .entry(u64::from_str_radix(address, 16)?)
                .or_default()
                .push(name);
        }
    }
    if functions.is_empty() {
        return Err(format!(
            "{} has no names: build it with CARGO_PROFILE_RELEASE_STRIP=none",
            binary.display()
        )
        .into());
    }
    Ok(functions)
}

/// `_ZN4core3fmt5write17h0123456789abcdefE` is `_ZN4core3fmt5write`; of newer names, what stands for a hash is `*`.
fn without_hash(name: &str) -> Option<String> {
    if name.starts_with("_ZN") {
        return name.rfind("17h").map(|at| name[..at].to_owned());
    }
    let name = name.strip_prefix("_R")?;
    let mut pieces = name.split("Cs");
    let mut whole = format!("_R{}", pieces.next()?);
    for piece in pieces {
        whole.push_str("Cs*");
        whole.push_str(&piece[piece.find('_')?..]);
    }
    Some(whole)
}
