//! Precedence, origins, secrecy, and all faults at once.

use std::path::PathBuf;

use super::*;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn launch() -> BTreeMap<String, String> {
    map(&[
        (key::MEMBER_ID, "a.b.php.domain-1"),
        (key::INCARNATION, "3"),
        (key::LINK, "http://127.0.0.1:7000/"),
        (key::JOIN_TOKEN, "canary"),
        (key::PORTS, "8080|22"),
        (
            key::PORT_MAPPINGS,
            "NAME:http|PROTOCOL:http|PORT:8080|PROXY_PORT:80;",
        ),
        (key::PROBE, r#"{"http":{"port":"http","path":"/health"}}"#),
        (key::COMMAND, r#"["/bin/app","-v"]"#),
        ("EXTRA", "kept"),
    ])
}

#[test]
fn the_stronger_source_wins_and_its_origin_is_shown() {
    let sources = Sources {
        flags: map(&[(key::ADDRESS, "127.0.0.5")]),
        environment: map(&[(key::ADDRESS, "127.0.0.6"), (key::PORTS, "81")]),
        file: map(&[(key::PORTS, "82"), (STATE_DIR, "/s")]),
        launch: launch(),
    };
    let resolved = resolve(&sources);
    let origin = |k: &str| resolved.rows.iter().find(|r| r.key == k).unwrap().origin;
    assert_eq!(origin(key::ADDRESS), "a flag");
    assert_eq!(origin(key::PORTS), "the environment");
    assert_eq!(origin(key::MEMBER_ID), "the launch parameters");
    assert_eq!(origin(key::HOOKS), "nobody");
    let settings = resolved.settings.unwrap();
    assert_eq!((settings.port, settings.incarnation), (Some(81), 3));
    assert_eq!(settings.shelf, PathBuf::from("/s/shelf"));
    assert_eq!(
        settings.probe,
        Probe::Http {
            port: 8080,
            path: "/health".into()
        }
    );
    assert_eq!(settings.parameters.get("EXTRA").map(String::as_str), Some("kept"));
}

#[test]
fn secrets_are_neither_shown_nor_passed_on() {
    let resolved = resolve(&Sources {
        launch: launch(),
        ..Sources::default()
    });
    let settings = resolved.settings.unwrap();
    let shown = format!("{:?} {settings:?}", resolved.rows);
    assert!(!shown.contains("canary"), "{shown}");
    assert!(
        OPTIONS
            .iter()
            .all(|o| o.flag.is_none() || !SECRET_KEYS.contains(&o.key))
    );
}

#[test]
fn all_faults_are_told_at_once_with_field_value_and_what_is_accepted() {
    let mut launch = launch();
    launch.remove(key::MEMBER_ID);
    launch.extend(map(&[
        (key::LINK, "http://10.0.0.1:7000"),
        (key::PORTS, "80|x"),
        (key::COMMAND, "not json"),
        (key::ON_RELEASE, "explode"),
        (STATE_DIR, "relative"),
    ]));
    let faults = resolve(&Sources {
        launch,
        ..Sources::default()
    })
    .settings
    .unwrap_err();
    let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for expected in [
        "MEMBER_ID is missing",
        "loopback",
        "\"x\" is no port",
        "CARTRIDGE_COMMAND",
        "explode",
        "relative",
    ] {
        assert!(
            all.iter().any(|f| f.contains(expected)),
            "{expected} is not in {all:#?}"
        );
    }
    assert_eq!(faults.len(), 6, "{all:#?}");
    assert!(all.iter().all(|f| f.contains("accepted: ")));
}

#[test]
fn plain_http_is_for_loopback_only() {
    for good in [
        "http://127.3.2.1:1",
        "http://[::1]:1",
        "http://localhost:1",
        "https://o.example:1",
    ] {
        assert!(link(good).is_ok(), "{good}");
    }
    for bad in [
        "http://10.0.0.1:1",
        "nats://127.0.0.1:4222",
        "http://127.0.0.1@evil:1",
        "http://",
        "x",
    ] {
        assert!(link(bad).is_err(), "{bad}");
    }
}
