//! Precedence, origins, secrecy, and all faults at once.

use std::path::PathBuf;

use cartridge_protocol::launch::SECRET_KEYS;

use super::super::SIDECAR;
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
        user_data: map(&[(key::PORTS, "83"), (key::CLUSTER_ID, "a.b.php.domain")]),
        ..Sources::default()
    };
    let resolved = resolve(&sources);
    let origin = |k: &str| resolved.rows.iter().find(|r| r.key == k).unwrap().origin;
    assert_eq!(origin(key::ADDRESS), Origin::Flag);
    assert_eq!(origin(key::PORTS), Origin::Environment);
    assert_eq!(origin(STATE_DIR), Origin::File);
    assert_eq!(origin(key::MEMBER_ID), Origin::Launch);
    assert_eq!(origin(key::CLUSTER_ID), Origin::UserData);
    assert_eq!(origin(LOG), Origin::Default);
    assert_eq!(origin(key::HOOKS), Origin::Nobody);
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
fn every_option_refuses_nonsense_and_says_where_it_came_from_and_what_it_accepts() {
    const NONSENSE: &str = "?? \u{e4}/ 1";
    for option in OPTIONS.iter().filter(|o| !o.source) {
        let mut sources = Sources {
            environment: map(&[(option.key, NONSENSE)]),
            launch: launch(),
            ..Sources::default()
        };
        // A probe of a named port has no name to find where the ports are nonsense.
        sources.launch.remove(key::PROBE);
        let faults = resolve(&sources).settings.expect_err(option.key);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let told = faults[0].to_string();
        assert!(told.starts_with(option.key), "{told}");
        assert!(told.contains("(from the environment)"), "{told}");
        assert!(told.ends_with(&format!("accepted: {}", option.help)), "{told}");
        let quoted = told.contains(&format!("{NONSENSE:?}"));
        let secret = [key::JOIN_TOKEN, key::ENVIRONMENT].contains(&option.key);
        assert!(quoted || secret, "{told}");
    }
}

#[test]
fn names_of_stratos_set_options_and_an_own_name_beside_them_is_stronger() {
    let sources = Sources {
        environment: map(&[
            ("PORT_CHECK_TIMEOUT", "90001"),
            ("MB_URLS", "h:1883"),
            ("LOG_LEVEL", "chatty"),
        ]),
        file: map(&[
            ("listen.address", "localhost"),
            ("extensions.dir", "/old"),
            (key::HOOKS, "/new"),
        ]),
        launch: launch(),
        ..Sources::default()
    };
    let resolved = resolve(&sources);
    let row = |k: &str| resolved.rows.iter().find(|r| r.key == k).unwrap();
    assert_eq!(row(START_SECONDS).shown.as_deref(), Some("91"));
    assert_eq!(row(START_SECONDS).by, Some("PORT_CHECK_TIMEOUT"));
    assert_eq!(
        (row(key::ADDRESS).shown.as_deref(), row(key::ADDRESS).origin),
        (Some("127.0.0.1"), Origin::File)
    );
    assert_eq!(
        (row(key::HOOKS).shown.as_deref(), row(key::HOOKS).by),
        (Some("/new"), None)
    );
    let effect = |name: &str| &resolved.stratos.iter().find(|s| s.name == name).unwrap().effect;
    assert!(effect("MB_URLS").contains("no effect here: there is no message broker"));
    assert!(effect("LOG_LEVEL").contains("no effect here: its value"));
    assert_eq!(effect("PORT_CHECK_TIMEOUT"), "sets CARTRIDGE_START_SECONDS");
    assert!(resolved.settings.is_ok());
}

#[test]
fn a_wrong_value_of_a_name_of_stratos_is_told_by_that_name_and_only_where_it_counts() {
    let mut sources = Sources {
        environment: map(&[("PORT_CHECK_TIMEOUT", "soon"), ("EXTENSIONS_DIR", "here")]),
        launch: launch(),
        ..Sources::default()
    };
    let told: Vec<String> = resolve(&sources)
        .settings
        .unwrap_err()
        .iter()
        .map(Fault::to_string)
        .collect();
    assert!(
        told.iter()
            .any(|t| t.starts_with("PORT_CHECK_TIMEOUT is \"soon\"") && t.contains("Milliseconds"))
    );
    assert!(told.iter().any(|t| t.contains("as EXTENSIONS_DIR")), "{told:?}");
    sources.flags = map(&[(START_SECONDS, "5"), (key::HOOKS, "/h")]);
    assert!(resolve(&sources).settings.is_ok());
}

#[test]
fn hooks_are_told_what_stratos_would_have_told_them() {
    let sources = Sources {
        environment: map(&[
            ("SERVICE_NAME", "php"),
            ("CARTRIDGE_TYPO", "x"),
            ("LB_PRIVATE_IP", "10.0.0.9"),
        ]),
        file: map(&[("EXTRA", "stronger"), ("ODD NAME", "x"), ("NONE", "null")]),
        launch: launch(),
        ..Sources::default()
    };
    let resolved = resolve(&sources);
    let told = resolved.settings.unwrap().parameters;
    let get = |name: &str| told.get(name).map(String::as_str);
    assert_eq!(
        (get("SERVICE_NAME"), get("EXTRA"), get("LB_IP")),
        (Some("php"), Some("stronger"), Some("10.0.0.9"))
    );
    assert_eq!(
        (
            get("ODD NAME"),
            get("NONE"),
            get("CARTRIDGE_TYPO"),
            get(key::JOIN_TOKEN)
        ),
        (None, None, None, None)
    );
    let notes = resolved.notes.join("\n");
    assert!(
        notes.contains("ODD NAME") && notes.contains("CARTRIDGE_TYPO"),
        "{notes}"
    );
}

#[test]
fn where_a_source_cannot_be_read_nobody_says_what_is_missing() {
    let fault = Fault {
        key: super::super::CONFIG,
        problem: "/x: gone".into(),
        origin: Some(Origin::Flag),
        by: None,
        accepts: "a file",
    };
    let sources = Sources {
        faults: vec![fault.clone()],
        ..Sources::default()
    };
    assert_eq!(resolve(&sources).settings.unwrap_err(), [fault]);
    assert_eq!(resolve(&Sources::default()).settings.unwrap_err().len(), 4);
}

#[test]
fn what_check_prints_fits_a_terminal_and_hides_secrets_in_both_forms() {
    let mut launch = launch();
    launch.extend(map(&[
        (key::ENVIRONMENT, r#"{"DB_PASSWORD":"canary"}"#),
        ("CARTRIDGE_KEY", "canary"),
        ("DB_PWD", "canary"),
        ("mb.password", "canary"),
        ("LONG", &"x".repeat(300)),
        (key::COMMAND, &format!(r#"["/bin/{}"]"#, "y".repeat(300))),
        (key::ADDRESS, "nonsense\u{1b}[31m"),
    ]));
    let resolved = resolve(&Sources {
        launch,
        ..Sources::default()
    });
    let text = super::super::report::text(&resolved);
    let json = super::super::report::json(&resolved).to_string();
    assert!(
        !text.contains("canary") && !json.contains("canary"),
        "{text}\n{json}"
    );
    assert!(!text.contains('\u{1b}'));
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for expected in [
        "DB_PASSWORD (values",
        "CARTRIDGE_HOOKS",
        "mb.password (from",
        "DB_PWD",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(json.contains(r#""faults":[{"accepted":"The address"#), "{json}");
}

#[test]
fn the_state_folder_is_found_where_nothing_else_is_right() {
    let sources = Sources {
        environment: map(&[(key::PORTS, "x")]),
        launch: map(&[(STATE_DIR, "/s")]),
        ..Sources::default()
    };
    assert_eq!(state_dir(&sources).unwrap(), PathBuf::from("/s"));
    let wrong = Sources {
        flags: map(&[(STATE_DIR, "s")]),
        ..Sources::default()
    };
    assert!(
        state_dir(&wrong)
            .unwrap_err()
            .to_string()
            .contains("not an absolute path")
    );
    assert_eq!(
        state_dir(&Sources::default()).unwrap(),
        PathBuf::from("/var/lib/cartridge-agent")
    );
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

#[test]
fn loopback_repositories_come_with_a_loopback_link_unless_addresses_are_named() {
    let artifacts = |more: &[(&str, &str)]| {
        let mut flags = launch();
        flags.extend(map(more));
        let resolved = resolve(&Sources {
            flags,
            ..Sources::default()
        });
        resolved
            .settings
            .map(|s| s.artifacts)
            .map_err(|faults| faults.len())
    };
    assert!(artifacts(&[]).unwrap().addresses.loopback);
    let far = artifacts(&[(key::LINK, "https://orchestrator:7000")]).unwrap();
    assert!(far.addresses.private && !far.addresses.loopback && !far.remotes.http);
    let named = artifacts(&[("CARTRIDGE_ALLOW_ADDRESSES", "public")]).unwrap();
    assert!(!named.addresses.loopback && !named.addresses.private);
    let old = artifacts(&[(key::ALLOW_FILE_REPOSITORIES, "true")]).unwrap();
    assert!(old.remotes.file && old.remotes.https);
    let wrong = [
        ("CARTRIDGE_ALLOW_REMOTES", "ext"),
        ("CARTRIDGE_SIGNATURES", "ssh"),
        ("CARTRIDGE_HISTORY", "x"),
        ("CARTRIDGE_LEAST_PERCENT", "101"),
        ("CARTRIDGE_ARTIFACT_LIMITS", "{"),
        ("CARTRIDGE_FETCH_SANDBOX", "no"),
    ];
    assert_eq!(artifacts(&wrong).unwrap_err(), wrong.len());
    // What needs something else that is not there, or cannot be upheld.
    let signed = [
        ("CARTRIDGE_SIGNATURES", "ssh"),
        ("CARTRIDGE_ALLOWED_SIGNERS", "/signers"),
    ];
    assert!(artifacts(&signed).is_ok());
    assert_eq!(
        artifacts(&[signed.as_slice(), &[("CARTRIDGE_ARTIFACT_SOURCE", "mine")]].concat()),
        Err(1)
    );
    let ssh = [
        ("CARTRIDGE_ALLOW_REMOTES", "https|ssh"),
        ("CARTRIDGE_KNOWN_HOSTS", "/hosts"),
    ];
    assert!(artifacts(&ssh).unwrap().remotes.ssh);
    assert_eq!(artifacts(&ssh[..1]), Err(1));
}

#[test]
fn a_sidecar_starts_nothing_and_who_has_nothing_to_start_is_one() {
    let with = |pairs: &[(&str, &str)]| {
        let mut launch = launch();
        launch.extend(map(pairs));
        resolve(&Sources {
            launch,
            ..Sources::default()
        })
        .settings
    };
    assert!(!with(&[]).unwrap().duty.sidecar);
    assert!(with(&[(key::COMMAND, "")]).unwrap().duty.sidecar);
    assert!(
        with(&[(key::COMMAND, ""), (SIDECAR, "true")])
            .unwrap()
            .duty
            .sidecar
    );
    let faults = with(&[(SIDECAR, "true")]).unwrap_err();
    let text = faults[0].to_string();
    assert!(
        text.contains(SIDECAR) && text.contains("CARTRIDGE_COMMAND is set"),
        "{text}"
    );
    let hooks = with(&[(key::COMMAND, ""), (key::HOOKS, "/hooks"), (SIDECAR, "true")]);
    assert_eq!(hooks.unwrap_err().len(), 1);
}
