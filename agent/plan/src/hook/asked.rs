//! A run of a hook that somebody asks for: what may be asked, and what may be shown of what it is told.
//!
//! Refuses to run anything.

use std::collections::BTreeMap;

use cartridge_protocol::launch::{SECRET_KEYS, key};

use super::{Hook, Order};
use crate::blot::Blot;

/// Stands where a secret would.
const SECRET: &str = "(secret)";
/// Parts of a name that say that its value is nobody's business.
const TELLING: [&str; 6] = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "_KEY"];

/// Why it cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchRun {
    /// There is no hook of that name.
    #[error("{0:?} is no hook; accepted: {all}", all = names().join(", "))]
    Unknown(String),
    /// It takes none.
    #[error("{0} takes no arguments: what it is told is in its environment")]
    NoArguments(&'static str),
    /// It cannot be run without.
    #[error("CopyArtifacts takes two arguments, both absolute paths: where to copy from, and where to")]
    TwoPaths,
}

/// The names of all hooks, in the order of a life.
pub fn names() -> Vec<&'static str> {
    Hook::all().map(Hook::name).collect()
}

/// The hook that is meant, with what only the caller can tell it.
pub fn asked(name: &str, arguments: &[String]) -> Result<Order, NoSuchRun> {
    let hook = Hook::named(name).ok_or_else(|| NoSuchRun::Unknown(name.to_owned()))?;
    match (hook, arguments) {
        (Hook::CopyArtifacts, [from, to]) if from.starts_with('/') && to.starts_with('/') => {
            let mut order = Order::new(hook)
                .telling("STRATOS_SOURCE", from)
                .telling("STRATOS_DEST", to);
            order.arguments = arguments.to_vec();
            Ok(order)
        }
        (Hook::CopyArtifacts, _) => Err(NoSuchRun::TwoPaths),
        (_, []) => Ok(Order::new(hook)),
        _ => Err(NoSuchRun::NoArguments(hook.name())),
    }
}

/// What may be shown of a hook's environment: no value that is a secret by its name, and none that holds a secret.
pub fn shown(variables: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let secrets = variables.iter().filter(|(name, _)| is_secret(name));
    let blot = Blot::new(secrets.map(|(_, value)| value.clone()));
    let row = |(name, value): (&String, &String)| {
        let value = if is_secret(name) {
            SECRET.to_owned()
        } else {
            blot.over(value, false).unwrap_or_else(|| value.clone())
        };
        (name.clone(), value)
    };
    variables.iter().map(row).collect()
}

/// Whether its value is nobody's business, by its name.
pub fn is_secret(name: &str) -> bool {
    let parameter = name.strip_prefix("STRATOS_").unwrap_or(name);
    SECRET_KEYS.contains(&parameter)
        || parameter == key::ENVIRONMENT
        || TELLING
            .iter()
            .any(|part| parameter.to_ascii_uppercase().contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_can_be_asked_for_in_either_spelling() {
        for hook in Hook::all().filter(|hook| *hook != Hook::CopyArtifacts) {
            for name in hook.names() {
                assert_eq!(asked(name, &[]), Ok(Order::new(hook)));
                assert_eq!(asked(&format!("{name}.sh"), &[]), Ok(Order::new(hook)));
            }
            let some = ["x".to_owned()];
            assert_eq!(
                asked(hook.name(), &some),
                Err(NoSuchRun::NoArguments(hook.name()))
            );
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_all_that_are_accepted() {
        let said = asked("StartServer", &[]).unwrap_err().to_string();
        for hook in Hook::all() {
            assert!(said.contains(hook.name()), "{said}");
        }
    }

    #[test]
    fn copying_is_told_where_from_and_where_to_as_variables_and_as_arguments() {
        let paths = ["/from".to_owned(), "/to".to_owned()];
        let order = asked("artifacts-copy.sh", &paths).unwrap();
        assert_eq!(order.arguments, paths);
        let told: Vec<&str> = order.more.values().map(String::as_str).collect();
        assert_eq!(told, ["/to", "/from"], "STRATOS_DEST, STRATOS_SOURCE");
        for arguments in [&[][..], &paths[..1], &["from".to_owned(), "/to".to_owned()]] {
            assert_eq!(asked("CopyArtifacts", arguments), Err(NoSuchRun::TwoPaths));
        }
    }

    #[test]
    fn no_secret_is_shown_by_its_name_or_inside_another_value() {
        let variables: BTreeMap<String, String> = [
            ("STRATOS_CARTRIDGE_KEY", "canary-key"),
            ("STRATOS_TOKEN", "canary-token"),
            ("STRATOS_MYSQL_PASSWORD", "canary-password"),
            ("STRATOS_CARTRIDGE_ENVIRONMENT", "{\"A\":\"canary\"}"),
            ("STRATOS_URL", "mysql://u:canary-password@db/"),
            ("STRATOS_PORTS", "80|22"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let shown = shown(&variables);
        assert_eq!(shown.len(), variables.len());
        assert!(!format!("{shown:?}").contains("canary"), "{shown:?}");
        assert!(shown.contains(&("STRATOS_PORTS".into(), "80|22".into())));
    }
}
