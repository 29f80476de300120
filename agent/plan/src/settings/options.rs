//! The table of options: one entry each, from which flags, help, `check` and the documentation's table come.
//!
//! Refuses to know what the values mean.

use cartridge_protocol::launch::key;

use super::{EXISTING_FILES, PUSH_BACK, RELEASE_FILES, SUPER_TENANT_PATH, TENANT_PATH};
use super::{LOG_BYTES, LOG_FILES, LOG_LINES, LOG_START};

/// A file with options.
pub const CONFIG: &str = "CARTRIDGE_CONFIG";
/// A file with launch parameters.
pub const LAUNCH_PARAMS: &str = "CARTRIDGE_LAUNCH_PARAMS";
/// Whether the cloud's user-data is read.
pub const USER_DATA: &str = "CARTRIDGE_USER_DATA";
/// Who is asked for it.
pub const USER_DATA_SERVER: &str = "CARTRIDGE_USER_DATA_SERVER";
/// How long.
pub const USER_DATA_SECONDS: &str = "CARTRIDGE_USER_DATA_SECONDS";
/// Where the agent keeps its own files.
pub const STATE_DIR: &str = "CARTRIDGE_STATE_DIR";
/// Seconds that a hook may take.
pub const HOOK_SECONDS: &str = "CARTRIDGE_HOOK_SECONDS";
/// Whom hooks run as.
pub const HOOK_USER: &str = "CARTRIDGE_HOOK_USER";
/// Seconds that the application has for its first answer.
pub const START_SECONDS: &str = "CARTRIDGE_START_SECONDS";
/// Seconds that it has after a switch of the release.
pub const RELEASE_SECONDS: &str = "CARTRIDGE_RELEASE_SECONDS";

/// Folder with plugins.
pub const PLUGINS: &str = "CARTRIDGE_PLUGINS";
/// What is special about some plugins.
pub const PLUGIN_SETTINGS: &str = "CARTRIDGE_PLUGIN_SETTINGS";
/// Whom plugins run as.
pub const PLUGIN_USER: &str = "CARTRIDGE_PLUGIN_USER";
/// The plugin that brings the files.
pub const ARTIFACT_SOURCE: &str = "CARTRIDGE_ARTIFACT_SOURCE";

/// How much the agent writes.
pub const LOG: &str = "CARTRIDGE_LOG";
/// Kinds of repository addresses that are accepted.
pub const ALLOW_REMOTES: &str = "CARTRIDGE_ALLOW_REMOTES";
/// Classes of addresses that repositories may be reached at.
pub const ALLOW_ADDRESSES: &str = "CARTRIDGE_ALLOW_ADDRESSES";
/// Authorities for repositories.
pub const GIT_CA: &str = "CARTRIDGE_GIT_CA";
/// Credentials for repositories.
pub const GIT_CREDENTIALS: &str = "CARTRIDGE_GIT_CREDENTIALS";
/// Keys of SSH servers.
pub const KNOWN_HOSTS: &str = "CARTRIDGE_KNOWN_HOSTS";
/// Whether commits must be signed.
pub const SIGNATURES: &str = "CARTRIDGE_SIGNATURES";
/// By whom.
pub const ALLOWED_SIGNERS: &str = "CARTRIDGE_ALLOWED_SIGNERS";
/// What commits must descend from.
pub const HISTORY: &str = "CARTRIDGE_HISTORY";
/// How many of a hundred files a commit must keep.
pub const LEAST_PERCENT: &str = "CARTRIDGE_LEAST_PERCENT";
/// How much is accepted from a repository.
pub const ARTIFACT_LIMITS: &str = "CARTRIDGE_ARTIFACT_LIMITS";
/// Whether fetching needs a confined process.
pub const FETCH_SANDBOX: &str = "CARTRIDGE_FETCH_SANDBOX";
/// The user that fetching runs as.
pub const FETCH_USER: &str = "CARTRIDGE_FETCH_USER";
/// Whether the application is started again when it ends.
pub const RESTART: &str = "CARTRIDGE_RESTART";
/// How many ends are too many.
pub const RESTART_LIMIT: &str = "CARTRIDGE_RESTART_LIMIT";
/// Within which time.
pub const RESTART_SECONDS: &str = "CARTRIDGE_RESTART_SECONDS";
/// Time for everything to end when a signal asks for it.
pub const STOP_SECONDS: &str = "CARTRIDGE_STOP_SECONDS";
/// Who may sign a new agent.
pub const UPGRADE_KEYS: &str = "CARTRIDGE_UPGRADE_KEYS";
/// How long a new agent has to prove itself.
pub const UPGRADE_SECONDS: &str = "CARTRIDGE_UPGRADE_SECONDS";
/// Whether the application is somebody else's.
pub const SIDECAR: &str = "CARTRIDGE_SIDECAR";
/// The application's place when memory runs out.
pub const OOM_SCORE_ADJ: &str = "CARTRIDGE_OOM_SCORE_ADJ";

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Its name in the environment, in files and among the launch parameters.
    pub key: &'static str,
    /// Its flag. Secrets have none: arguments are public.
    pub flag: Option<&'static str>,
    /// What it takes when nobody says anything.
    pub default: Option<&'static str>,
    /// It must be given.
    pub required: bool,
    /// It names a source of options, so it is read from flags and environment only.
    pub source: bool,
    /// What it is for, and what is accepted.
    pub help: &'static str,
}

const fn opt(key: &'static str, flag: &'static str, help: &'static str) -> Opt {
    Opt {
        key,
        flag: Some(flag),
        default: None,
        required: false,
        source: false,
        help,
    }
}

const fn required(key: &'static str, flag: &'static str, help: &'static str) -> Opt {
    Opt {
        required: true,
        ..opt(key, flag, help)
    }
}

const fn source(key: &'static str, flag: &'static str, help: &'static str) -> Opt {
    Opt {
        source: true,
        ..opt(key, flag, help)
    }
}

const fn default(key: &'static str, flag: &'static str, default: &'static str, help: &'static str) -> Opt {
    Opt {
        default: Some(default),
        ..opt(key, flag, help)
    }
}

/// All options. Launch parameters that are not in it go to the hooks unread.
pub const OPTIONS: &[Opt] = &[
    source(
        CONFIG,
        "config",
        "File with options: a JSON object, or lines KEY=VALUE",
    ),
    source(
        LAUNCH_PARAMS,
        "launch-params",
        "File with launch parameters: a JSON object, lines KEY=VALUE, or Stratos's KEY=VALUE,KEY=VALUE",
    ),
    default(
        USER_DATA,
        "user-data",
        "none",
        "Whose user-data holds launch parameters too: none, ec2, openstack, cloudstack, or auto (who answers)",
    ),
    opt(
        USER_DATA_SERVER,
        "user-data-server",
        "Who serves it: http:// and an address that is loopback, link-local or private; without it, as the cloud has it",
    ),
    default(
        USER_DATA_SECONDS,
        "user-data-seconds",
        "60",
        "Seconds to wait for it, since networks of clouds come up late: 1 to 3600",
    ),
    required(key::MEMBER_ID, "member-id", "This member's id"),
    required(
        key::INCARNATION,
        "incarnation",
        "Which life of the member this is: a number from 1",
    ),
    required(
        key::LINK,
        "link",
        "The orchestrator: https://host:port, or http://127.x.y.z:port on this machine",
    ),
    Opt {
        flag: None,
        ..required(
            key::JOIN_TOKEN,
            "",
            "The single-use join token; never a flag, because arguments are public",
        )
    },
    opt(
        key::LINK_CA,
        "link-ca",
        "PEM file of the authority that signed the orchestrator's certificate",
    ),
    default(
        STATE_DIR,
        "state-dir",
        "/var/lib/cartridge-agent",
        "Folder for the agent's own files: an absolute path",
    ),
    default(
        key::ADDRESS,
        "address",
        "127.0.0.1",
        "The address that the application listens on",
    ),
    opt(
        key::PORTS,
        "ports",
        "Ports that must answer before the member is Active: 80|22",
    ),
    opt(
        key::PORT_MAPPINGS,
        "port-mappings",
        "Named ports: NAME:http|PROTOCOL:http|PORT:8080|PROXY_PORT:80;...",
    ),
    opt(
        key::COMMAND,
        "command",
        "The application's command: a JSON array of strings; without it, hooks start the application",
    ),
    opt(
        key::ENVIRONMENT,
        "environment",
        "Its extra environment: a JSON object of strings",
    ),
    opt(
        key::PROBE,
        "probe",
        r#"What the application must answer: {"http":{"port":"http","path":"/health"}} or {"tcp":{}}; without it, all ports must accept"#,
    ),
    default(
        key::ON_RELEASE,
        "on-release",
        "restart",
        "What a new release does to the application: nothing or restart",
    ),
    default(
        SIDECAR,
        "sidecar",
        "false",
        "true: the application is somebody else's; start and stop nothing, only probe, measure, fetch and report",
    ),
    default(
        RESTART,
        "restart",
        "always",
        "When the application is started again after it ended: always, on-failure or never",
    ),
    default(
        RESTART_LIMIT,
        "restart-limit",
        "5",
        "Ends within --restart-seconds after which it is given up: 0 (never) to 100",
    ),
    default(
        RESTART_SECONDS,
        "restart-seconds",
        "60",
        "Seconds after which an end no longer counts: 1 to 86400",
    ),
    default(
        STOP_SECONDS,
        "stop-seconds",
        "8",
        "Seconds for everything to end when a signal asks the agent to: 1 to 86400",
    ),
    opt(
        UPGRADE_KEYS,
        "upgrade-keys",
        "File with the keys that may sign a new agent, one per line; without it, none is taken",
    ),
    default(
        UPGRADE_SECONDS,
        "upgrade-seconds",
        "45",
        "Seconds that a new agent has to prove itself before the old one returns: 2 to 3600",
    ),
    default(
        OOM_SCORE_ADJ,
        "oom-score-adj",
        "500",
        "Kernel's oom_score_adj of what the agent starts, at least: inherit, or 0 to 1000",
    ),
    opt(
        key::HOOKS,
        "hooks",
        "Folder with the hooks, such as InstanceStartedEvent.sh: an absolute path",
    ),
    opt(
        key::BALANCER,
        "balancer",
        "The balancer plugin's command: a JSON array of strings; makes this member a balancer",
    ),
    opt(
        PLUGINS,
        "plugins",
        "Folder with plugins, each an executable: an absolute path",
    ),
    opt(
        PLUGIN_SETTINGS,
        "plugin-settings",
        r#"What is special about some plugins: a JSON object by name, {"queue":{"every_seconds":30,"required":true}}"#,
    ),
    opt(
        PLUGIN_USER,
        "plugin-user",
        "Whom plugins run as: a user's name, or numbers such as 1000:1000; needs an agent that is root",
    ),
    opt(
        ARTIFACT_SOURCE,
        "artifact-source",
        "The plugin that brings the application's files, by name; without it, Git does",
    ),
    default(
        key::ALLOW_FILE_REPOSITORIES,
        "allow-file-repositories",
        "false",
        "Accept file:// repositories, as --allow-remotes file does: true or false",
    ),
    default(
        ALLOW_REMOTES,
        "allow-remotes",
        "https",
        "Kinds of repositories: any of https|ssh|http|file (http:// to loopback needs only --allow-addresses loopback)",
    ),
    opt(
        ALLOW_ADDRESSES,
        "allow-addresses",
        "Where repositories may be: any of public|private|loopback; without it, public|private, and loopback where the link is loopback",
    ),
    opt(
        GIT_CA,
        "git-ca",
        "PEM file of authorities to trust for repositories, besides the machine's: an absolute path",
    ),
    opt(
        GIT_CREDENTIALS,
        "git-credentials",
        "File of credentials per host, for its owner only: an absolute path",
    ),
    opt(
        KNOWN_HOSTS,
        "known-hosts",
        "Keys of SSH servers, as OpenSSH keeps them, needed for ssh: an absolute path",
    ),
    default(
        SIGNATURES,
        "signatures",
        "none",
        "Who must have signed a commit: none, or somebody in --allowed-signers with ssh or openpgp",
    ),
    opt(
        ALLOWED_SIGNERS,
        "allowed-signers",
        "OpenSSH's file of allowed signers, or a keyring for gpgv; only its owner may write to it: an absolute path",
    ),
    default(
        HISTORY,
        "history",
        "descend",
        "What a commit must descend from: descend (the current release, unless a person ordered this commit) or any",
    ),
    default(
        LEAST_PERCENT,
        "least-percent",
        "50",
        "Of a hundred files in the current release, how many a new one must have unless a person ordered it; asked from 20 files on: 0 to 100",
    ),
    opt(
        ARTIFACT_LIMITS,
        "artifact-limits",
        r#"How much is accepted: a JSON object with any of the limits, {"file_bytes":1000000}"#,
    ),
    default(
        FETCH_SANDBOX,
        "fetch-sandbox",
        "best-effort",
        "How fetching is confined: required (or not done at all) or best-effort",
    ),
    default(
        FETCH_USER,
        "fetch-user",
        "65534",
        "The user id that fetching takes where the agent is root; 0 keeps root",
    ),
    default(
        key::SCOPE,
        "scope",
        "auto",
        "What samples are about: member (its cgroup, or what descends from the agent), machine, or auto",
    ),
    opt(
        key::APPLICATION_PATH,
        "application-path",
        "Where the files appear: an absolute path, made a link to the current release; without it, below the state folder",
    ),
    default(
        EXISTING_FILES,
        "existing-files",
        "beside",
        "Files that are there before the first release: beside (they stay), backup (the folder is renamed) or refuse",
    ),
    default(
        key::MULTITENANT,
        "multitenant",
        "false",
        "Whether tenants have repositories of their own, below --application-path: true or false",
    ),
    default(
        key::TENANT_ID,
        "tenant-id",
        "-1234",
        "Whose the member's own repository is: a tenant's number, or -1234 (the super tenant)",
    ),
    opt(
        SUPER_TENANT_PATH,
        "super-tenant-path",
        "Where the super tenant's files appear, below --application-path; without it, repository/deployment/server",
    ),
    default(
        TENANT_PATH,
        "tenant-path",
        "repository/tenants",
        "Where other tenants' files appear, below --application-path: their number follows",
    ),
    default(
        RELEASE_FILES,
        "release-files",
        "shared",
        "Whether releases share what is the same in both: shared, or own (each has all its files to itself)",
    ),
    default(
        PUSH_BACK,
        "push-back",
        "false",
        "Whether what the application changes in its release goes back to the branch as a commit: true or false",
    ),
    opt(
        key::APPLICATION_ID,
        "application-id",
        "The application, for hooks",
    ),
    opt(key::CLUSTER_ID, "cluster-id", "The cluster, for hooks"),
    opt(
        HOOK_USER,
        "hook-user",
        "Whom hooks run as: a user's name, or numbers such as 1000:1000; needs an agent that is root",
    ),
    default(
        HOOK_SECONDS,
        "hook-seconds",
        "60",
        "Seconds that a hook may take: 1 to 86400",
    ),
    default(
        START_SECONDS,
        "start-seconds",
        "600",
        "Seconds until the first answer of the application: 1 to 86400",
    ),
    default(
        RELEASE_SECONDS,
        "release-seconds",
        "10",
        "Seconds until it answers from a new release: 1 to 86400",
    ),
    opt(
        LOG_FILES,
        "log-files",
        "Files to follow, beside the output: absolute paths, parted by |, with * in the last part: /var/log/app/*.log",
    ),
    opt(
        LOG_START,
        "log-start",
        "What the first line of a log entry begins with: # is a digit, @ a letter, ? anything, \\ quotes: ####-##-##",
    ),
    default(
        LOG_LINES,
        "log-lines",
        "500",
        "Lines a second that one stream of output may bring: 1 to 100000",
    ),
    default(
        LOG_BYTES,
        "log-bytes",
        "262144",
        "Bytes a second that one stream of output may bring: 1000 to 100000000",
    ),
    default(
        LOG,
        "log",
        "info",
        "How much the agent writes to standard error: off, error, warn, info, debug, trace, or module=level,...",
    ),
];
