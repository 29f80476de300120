//! What may be shown of a value. Refuses to know who looks.

use std::collections::BTreeMap;

use cartridge_protocol::launch::{SECRET_KEYS, key};
use serde::de::IgnoredAny;

/// Whether a fault may quote the value.
pub(super) fn is_secret(name: &str) -> bool {
    SECRET_KEYS.contains(&name) || name == key::ENVIRONMENT
}

/// The value as `check` shows it. Of the application's environment only names: passwords often stand in there.
pub(super) fn masked(name: &str, value: &str) -> String {
    if SECRET_KEYS.contains(&name) {
        return "(secret)".to_owned();
    }
    if name == key::ENVIRONMENT {
        let names = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(value);
        return match names {
            Ok(names) if names.is_empty() => "{}".to_owned(),
            Ok(names) => {
                let names: Vec<&str> = names.keys().map(String::as_str).collect();
                format!("{} (values are not shown)", names.join(", "))
            }
            Err(_) => "(not shown)".to_owned(),
        };
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_environment_only_names_are_shown_and_of_a_token_nothing() {
        let shown = masked(key::ENVIRONMENT, r#"{"DB_PASSWORD":"canary","A":"canary"}"#);
        assert_eq!(shown, "A, DB_PASSWORD (values are not shown)");
        assert_eq!(masked(key::ENVIRONMENT, "canary"), "(not shown)");
        assert_eq!(masked(key::JOIN_TOKEN, "canary"), "(secret)");
        assert_eq!(masked(key::PORTS, "80"), "80");
    }
}
