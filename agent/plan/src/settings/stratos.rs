//! Names that Stratos's agent was configured by: those of its `agent.conf`, of its container's environment, and of its
//! launch parameters. What they set here, or why they have no effect.
//!
//! Refuses to know which of them anybody has set.

use cartridge_protocol::launch::key;

use super::values::boolean;
use super::{EXISTING_FILES, LOG, LOG_FILES, PUSH_BACK, START_SECONDS, SUPER_TENANT_PATH, TENANT_PATH};

/// What a name of Stratos means here.
#[derive(Debug)]
pub enum Meaning {
    /// It sets an option, where the value can be understood; None: that value has no effect here.
    Sets(&'static str, fn(&str) -> Result<Option<String>, String>),
    /// It is told to hooks by another name.
    Tells(&'static str),
    /// It has no effect, and why.
    Nothing(&'static str),
}

/// One name of Stratos.
#[derive(Debug)]
pub struct Known {
    /// In the environment of a container, and among launch parameters.
    pub name: &'static str,
    /// In `agent.conf`.
    pub ini: &'static str,
    /// What it means here.
    pub meaning: Meaning,
    /// What is accepted, where something is.
    pub accepts: &'static str,
}

const fn nothing(name: &'static str, ini: &'static str, why: &'static str) -> Known {
    Known {
        name,
        ini,
        meaning: Meaning::Nothing(why),
        accepts: "",
    }
}

const fn sets(
    name: &'static str,
    ini: &'static str,
    option: &'static str,
    read: fn(&str) -> Result<Option<String>, String>,
    accepts: &'static str,
) -> Known {
    Known {
        name,
        ini,
        meaning: Meaning::Sets(option, read),
        accepts,
    }
}

const BROKER: &str = "there is no message broker: CARTRIDGE_LINK says where the orchestrator is";
const STATISTICS: &str = "samples go to the orchestrator, over CARTRIDGE_LINK";
const ARTIFACTS: &str = "the orchestrator says which repository, which commit and how often to look";
const LOGS: &str = "lines of logs go to the orchestrator, over CARTRIDGE_LINK";

/// All of them.
pub const KNOWN: &[Known] = &[
    sets(
        "LISTEN_ADDR",
        "listen.address",
        key::ADDRESS,
        address,
        "An IP address, or localhost",
    ),
    sets(
        "PORT_CHECK_TIMEOUT",
        "port.check.timeout",
        START_SECONDS,
        milliseconds,
        "Milliseconds until the first answer of the application: 1 to 86400000",
    ),
    sets(
        "EXTENSIONS_DIR",
        "extensions.dir",
        key::HOOKS,
        as_it_is,
        "Folder with the hooks: an absolute path",
    ),
    sets("LOG_LEVEL", "log.level", LOG, level, "ERROR, WARN, INFO or DEBUG"),
    sets(
        "LOG_FILE_PATHS",
        "log.file.paths",
        LOG_FILES,
        as_it_is,
        "Files to follow: absolute paths, parted by |",
    ),
    Known {
        name: "LB_PRIVATE_IP",
        ini: "lb.private.ip",
        meaning: Meaning::Tells("LB_IP"),
        accepts: "",
    },
    Known {
        name: "LB_PUBLIC_IP",
        ini: "lb.public.ip",
        meaning: Meaning::Tells("LB_PUBLIC_IP"),
        accepts: "",
    },
    nothing("MB_URLS", "mb.urls", BROKER),
    nothing("MB_IP", "mb.ip", BROKER),
    nothing("MB_PORT", "mb.port", BROKER),
    nothing("MB_USERNAME", "mb.username", BROKER),
    nothing("MB_PASSWORD", "mb.password", BROKER),
    nothing("MB_PUBLISHER_TIMEOUT", "mb.publisher.timeout", BROKER),
    nothing("CEP_URLS", "thrift.receiver.urls", STATISTICS),
    nothing("CEP_USERNAME", "thrift.server.admin.username", STATISTICS),
    nothing("CEP_PASSWORD", "thrift.server.admin.password", STATISTICS),
    nothing(
        "ENABLE_HEALTH_PUBLISHER",
        "cep.stats.publisher.enabled",
        "samples are always taken: scaling and healing need them",
    ),
    nothing(
        "STATS_NOTIFIER_INTERVAL",
        "stats.notifier.interval",
        "the orchestrator says how often",
    ),
    nothing("ENABLE_ARTFCT_UPDATE", "enable.artifact.update", ARTIFACTS),
    nothing("CHECKOUT_ENABLED", "auto.checkout", ARTIFACTS),
    sets(
        "COMMIT_ENABLED",
        "auto.commit",
        PUSH_BACK,
        yes_or_no,
        "true or false",
    ),
    nothing("ARTFCT_UPDATE_INT", "artifact.update.interval", ARTIFACTS),
    nothing(
        "ARTFCT_CLONE_RETRIES",
        "artifact.clone.retries",
        "a fetch is tried until it succeeds, at longer and longer intervals",
    ),
    nothing(
        "ARTFCT_CLONE_INT",
        "artifact.clone.interval",
        "a fetch is tried until it succeeds, at longer and longer intervals",
    ),
    sets(
        "ENABLE_ARTIFACT_BACKUP",
        "enable.initial.artifact.backup",
        EXISTING_FILES,
        backup,
        "true or false",
    ),
    sets(
        "SUPER_TENANT_REPOSITORY_PATH",
        "super.tenant.repository.path",
        SUPER_TENANT_PATH,
        as_it_is,
        "A path below the application's",
    ),
    sets(
        "TENANT_REPOSITORY_PATH",
        "tenant.repository.path",
        TENANT_PATH,
        as_it_is,
        "A path below the application's",
    ),
    nothing("ENABLE_DATA_PUBLISHER", "enable.data.publisher", LOGS),
    nothing("MONITORING_SERVER_IP", "monitoring.server.ip", LOGS),
    nothing("MONITORING_SERVER_PORT", "monitoring.server.port", LOGS),
    nothing(
        "MONITORING_SERVER_SECURE_PORT",
        "monitoring.server.secure.port",
        LOGS,
    ),
    nothing(
        "MONITORING_SERVER_ADMIN_USERNAME",
        "monitoring.server.admin.username",
        LOGS,
    ),
    nothing(
        "MONITORING_SERVER_ADMIN_PASSWORD",
        "monitoring.server.admin.password",
        LOGS,
    ),
    nothing(
        "METADATA_SERVICE_URL",
        "metadata.service.url",
        "the orchestrator shares data between cartridges",
    ),
    nothing(
        "PARAM_FILE_PATH",
        "param.file.path",
        "CARTRIDGE_LAUNCH_PARAMS names the file; hooks find the state folder in STRATOS_PARAM_FILE_PATH",
    ),
    nothing(
        "PLUGINS_DIR",
        "plugins.dir",
        "plugins are programs of their own, not Python modules",
    ),
];

/// Launch parameters of Stratos that hooks are told, wherever they come from.
pub const FOR_HOOKS: &[&str] = &[
    key::APPLICATION_ID,
    "GROUP_NAME",
    key::SERVICE_NAME,
    key::CLUSTER_ID,
    key::CLUSTER_INSTANCE_ID,
    key::MEMBER_ID,
    "INSTANCE_ID",
    key::CARTRIDGE_ALIAS,
    key::HOST_NAME,
    key::PORTS,
    key::PORT_MAPPINGS,
    key::MULTITENANT,
    key::TENANT_ID,
    key::TENANT_RANGE,
    "CARTRIDGE_KEY",
    key::REPO_URL,
    key::APPLICATION_PATH,
    "PROVIDER",
    "DEPLOYMENT",
    "DEPENDENCY_ALIASES",
    "DEPENDENCY_CLUSTER_IDS",
    "EXPORTING_PROPERTIES",
    "EXPORT_METADATA_KEYS",
    "IMPORT_METADATA_KEYS",
    "LB_CLUSTER_ID",
    key::NETWORK_PARTITION_ID,
    key::PARTITION_ID,
    key::MIN_COUNT,
    "SCALING_DECISION_ID",
    "EC2_REGION",
    "EC2_AVAILABILITY_ZONE",
    "INTERNAL",
    "PERSISTENCE_MAPPING",
    "LVS_VIRTUAL_IP",
    "TOKEN",
    "PUPPET_IP",
    "PUPPET_HOSTNAME",
    "PUPPET_DNS_AVAILABLE",
    "PUPPET_ENV",
    "KUBERNETES_CLUSTER_ID",
    "CLUSTERING",
    "SERIVCE_GROUP",
    "PRIMARY",
    "MANAGER_SERVICE_TYPE",
    "WORKER_SERVICE_TYPE",
    "CARTRIDGE_INSTALLATION",
];

/// What a name is known as.
pub fn known(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.name == name || k.ini == name)
}

/// The port check's address could be the word that everybody has in /etc/hosts.
fn address(text: &str) -> Result<Option<String>, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Some("127.0.0.1".to_owned()));
    }
    match text.parse::<std::net::IpAddr>() {
        Ok(ip) => Ok(Some(ip.to_string())),
        Err(_) => Err("not an IP address".to_owned()),
    }
}

fn milliseconds(text: &str) -> Result<Option<String>, String> {
    match text.parse::<u64>() {
        Ok(n @ 1..=86_400_000) => Ok(Some(n.div_ceil(1000).to_string())),
        _ => Err("not a whole number from 1 to 86400000".to_owned()),
    }
}

fn backup(text: &str) -> Result<Option<String>, String> {
    Ok(boolean(text)?.then(|| "backup".to_owned()))
}

fn yes_or_no(text: &str) -> Result<Option<String>, String> {
    Ok(Some(boolean(text)?.to_string()))
}

fn as_it_is(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text.to_owned()))
}

/// Many programs read a variable of this name: what is no level is not meant for us.
fn level(text: &str) -> Result<Option<String>, String> {
    let word = match text.to_ascii_uppercase().as_str() {
        "ERROR" | "CRITICAL" | "FATAL" => "error",
        "WARN" | "WARNING" => "warn",
        "INFO" => "info",
        "DEBUG" => "debug",
        _ => return Ok(None),
    };
    Ok(Some(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::OPTIONS;

    #[test]
    fn every_name_sets_an_option_or_says_why_not_and_is_no_option_itself() {
        for (index, known) in KNOWN.iter().enumerate() {
            assert!(OPTIONS.iter().all(|o| o.key != known.name), "{}", known.name);
            assert!(
                KNOWN[..index]
                    .iter()
                    .all(|k| k.name != known.name && k.ini != known.ini)
            );
            match known.meaning {
                Meaning::Sets(option, _) => {
                    assert!(OPTIONS.iter().any(|o| o.key == option), "{option}");
                    assert!(!known.accepts.is_empty(), "{}", known.name);
                }
                Meaning::Tells(name) => assert!(!name.is_empty()),
                Meaning::Nothing(why) => assert!(why.len() > 10, "{}", known.name),
            }
        }
    }

    #[test]
    fn values_are_translated() {
        assert_eq!(address("localhost"), Ok(Some("127.0.0.1".into())));
        assert_eq!(milliseconds("600000"), Ok(Some("600".into())));
        assert_eq!(milliseconds("1"), Ok(Some("1".into())));
        assert!(milliseconds("0").is_err() && milliseconds("soon").is_err() && address("here").is_err());
        assert_eq!(level("Warning"), Ok(Some("warn".into())));
        assert_eq!(level("chatty"), Ok(None));
    }
}
