//! What people and clouds write: launch parameters, options, user-data. Refuses to know who reads it.

use std::collections::BTreeMap;

use cartridge_agent_plan::artifacts::Signatures;
use cartridge_agent_plan::artifacts::addresses::Addresses;
use cartridge_agent_plan::artifacts::limits::Limits;
use cartridge_agent_plan::artifacts::names;
use cartridge_agent_plan::logs::pattern::Start;
use cartridge_agent_plan::probe::Probe;
use cartridge_agent_plan::settings::{Sources, report, resolve};
use cartridge_agent_plan::{plugin, text, user_data};
use cartridge_protocol::launch::{LaunchParameters, MAX_PARAMETERS, MAX_VALUE_BYTES, key};

/// What is accepted is within the limits and survives being written down and read again.
pub(crate) fn launch_parameters(data: &[u8]) {
    let Ok(words) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(parameters) = LaunchParameters::parse(words) else {
        return;
    };
    let all: BTreeMap<String, String> =
        serde_json::from_str(&parameters.to_json()).expect("it is written as JSON");
    assert!(all.len() <= MAX_PARAMETERS);
    assert!(all.values().all(|value| value.len() <= MAX_VALUE_BYTES));
    // Written down it may be longer than the limit: quotes and control characters take more room in JSON.
    if let Ok(again) = LaunchParameters::parse(&parameters.to_json()) {
        assert_eq!(again, parameters);
    }
}

/// Whatever is configured: settings or faults, never both, never neither; and no secret is shown.
pub(crate) fn settings(data: &[u8]) {
    let Ok(words) = std::str::from_utf8(data) else {
        return;
    };
    let mut launch = BTreeMap::new();
    for line in words.lines() {
        if let Some((name, value)) = line.split_once('=') {
            launch.insert(name.to_owned(), value.to_owned());
        }
    }
    let secret = "canary-3f9a1c";
    launch.insert(key::JOIN_TOKEN.to_owned(), secret.to_owned());
    let resolved = resolve(&Sources {
        launch,
        ..Sources::default()
    });
    assert!(!report::text(&resolved).contains(secret));
    if let Err(faults) = &resolved.settings {
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|fault| !fault.to_string().contains(secret)));
    }
}

/// Names out of a repository's trees: what is accepted stays in its folder, and can be shown.
pub(crate) fn tree_names(data: &[u8]) {
    for name in data.split(|byte| *byte == 0) {
        if names::fault(name).is_none() {
            let accepted = std::str::from_utf8(name).expect("an accepted name is text");
            assert!(!accepted.is_empty() && accepted.len() <= 255 && !accepted.contains('/'));
            assert!(accepted != "." && accepted != ".." && !accepted.eq_ignore_ascii_case(".git"));
            assert!(!accepted.chars().any(char::is_control));
        }
        let _ = (names::folded(name), names::is_obeyed_by_git(name));
    }
}

/// User-data of any cloud.
pub(crate) fn user_data(data: &[u8]) {
    let _ = user_data::content(data);
    if let Ok(words) = std::str::from_utf8(data) {
        let _ = user_data::dhcp_server(words);
    }
}

/// Single values of options.
pub(crate) fn values(data: &[u8]) {
    let Ok(words) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Limits::parse(words);
    let _ = Addresses::parse(words);
    let _ = Signatures::parse(words, None);
    let _ = Probe::parse(words, &[80, 443], &BTreeMap::from([("http".to_owned(), 80)]));
    let _ = plugin::parse(words);
    if let Ok(start) = Start::parse(words) {
        let _ = start.matches(words);
    }
    assert!(text::cut(words, 16).len() <= 16);
    let line = text::one_line(words, 64);
    assert!(
        line.len() <= 64 && !line.chars().any(char::is_control),
        "{line:?}"
    );
    let as_json = serde_json::to_string(words).unwrap_or_default();
    assert!(
        text::json_cost(words) + 2 >= as_json.len(),
        "a cost that is too low overfills a batch"
    );
}
