//! Reads the sample payloads of Apache Stratos 4.1, unmodified.

#![allow(clippy::disallowed_methods, reason = "a test of files reads files")]

use std::path::{Path, PathBuf};

use cartridge_orchestrator_plan::blueprint::parse;
use serde_json::Value;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/samples")
}

fn documents(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|ending| ending == "json") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let value =
                parse::lenient_json(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path, value));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn all_read<T>(
    documents: &[(PathBuf, Value)],
    name: &str,
    read: fn(&Value) -> Result<T, parse::Faults>,
) -> usize {
    let named = |path: &Path| path.to_string_lossy().contains(name);
    let chosen: Vec<_> = documents.iter().filter(|(path, _)| named(path)).collect();
    for (path, document) in &chosen {
        if let Err(faults) = read(document) {
            panic!("{}: {faults}", path.display());
        }
    }
    chosen.len()
}

#[test]
fn every_sample_of_stratos_is_read() {
    let all = documents(&samples());
    assert_eq!(all_read(&all, "/cartridges/", parse::cartridge), 14);
    assert_eq!(all_read(&all, "/cartridge-groups/", parse::cartridge_group), 18);
    assert_eq!(all_read(&all, "autoscaling-polic", parse::autoscaling_policy), 6);
    assert_eq!(all_read(&all, "deployment-polic", parse::deployment_policy), 6);
    assert_eq!(
        all_read(&all, "application-policies", parse::application_policy),
        6
    );
    assert_eq!(all_read(&all, "network-partition-", parse::network_partition), 4);
    assert_eq!(all_read(&all, "application.json", parse::application), 7);
    assert_eq!(all_read(&all, "application-signup.json", parse::sign_up), 2);
}
