//! The configurations for CoreOS hosts: what people read (Butane) and what machines take (Ignition) are the same, and
//! Ignition's own checker accepts it.
//!
//! `UPDATE_IGNITION=1 cargo test -p cartridge-tests --test coreos` writes the machines' files anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

/// Butane's translation of a file's contents.
fn contents(butane: &Value) -> Value {
    match &butane["inline"] {
        Value::String(text) => json!({ "source": data_url(text) }),
        _ => butane.clone(),
    }
}

fn data_url(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b);
    let encoded = text.bytes().map(|b| match b {
        b if plain(b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    });
    format!("data:,{}", encoded.collect::<String>())
}

/// As much of Butane as these files use; a key that it does not know fails the test.
fn ignition(butane: &Value) -> Value {
    let known = |value: &Value, keys: &[&str]| {
        for key in value.as_object().unwrap().keys() {
            assert!(
                keys.contains(&key.as_str()),
                "{key} is not translated by this test"
            );
        }
    };
    known(butane, &["variant", "version", "passwd", "storage", "systemd"]);
    let users = butane["passwd"]["users"].as_array().unwrap().iter().map(|user| {
        known(user, &["name", "system", "home_dir", "no_create_home", "shell"]);
        json!({
            "name": user["name"], "system": user["system"], "homeDir": user["home_dir"],
            "noCreateHome": user["no_create_home"], "shell": user["shell"],
        })
    });
    let files = butane["storage"]["files"].as_array().unwrap().iter().map(|file| {
        known(file, &["path", "mode", "group", "contents"]);
        let mut made =
            json!({ "path": file["path"], "mode": file["mode"], "contents": contents(&file["contents"]) });
        if !file["group"].is_null() {
            made["group"] = file["group"].clone();
        }
        made
    });
    let units = butane["systemd"]["units"].as_array().unwrap().iter().map(|unit| {
        known(unit, &["name", "enabled", "contents_local", "dropins"]);
        let text =
            std::fs::read_to_string(packaging().join(unit["contents_local"].as_str().unwrap())).unwrap();
        json!({
            "name": unit["name"], "enabled": unit["enabled"], "contents": text, "dropins": unit["dropins"],
        })
    });
    json!({
        "ignition": { "version": "3.3.0" },
        "passwd": { "users": users.collect::<Vec<_>>() },
        "storage": { "files": files.collect::<Vec<_>>() },
        "systemd": { "units": units.collect::<Vec<_>>() },
    })
}

/// YAML by Debian's python3-yaml, which reads `0755` as the octal number that Butane takes it for.
fn read(file: &Path) -> Value {
    let done = Command::new("/usr/bin/python3")
        .args([
            "-c",
            "import json,sys,yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)",
        ])
        .arg(file)
        .output()
        .expect("python3 is installed (tests/install test)");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn check(name: &str) {
    let folder = packaging().join("coreos");
    let wanted =
        serde_json::to_string_pretty(&ignition(&read(&folder.join(format!("{name}.bu"))))).unwrap() + "\n";
    let file = folder.join(format!("{name}.ign"));
    if std::env::var_os("UPDATE_IGNITION").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap_or_default(),
        wanted,
        "{} is not the translation of {name}.bu",
        file.display()
    );
    let said = Command::new("ignition-validate")
        .arg(&file)
        .output()
        .expect("ignition-validate is installed (tests/install test)");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn a_fedora_coreos_host_is_configured_by_what_ignition_accepts() {
    check("fcos");
}

#[test]
fn a_flatcar_host_is_configured_by_what_ignition_accepts() {
    check("flatcar");
}

#[test]
fn ignitions_checker_refuses_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.ign");
    let text = std::fs::read_to_string(packaging().join("coreos/fcos.ign")).unwrap();
    std::fs::write(&file, text.replace("sha256-", "md5-")).unwrap();
    let said = Command::new("ignition-validate").arg(&file).output().unwrap();
    assert!(!said.status.success());
}
