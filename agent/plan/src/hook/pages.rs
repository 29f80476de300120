//! What there is to know of hooks, as tables: for the command line, and for the documentation, which is these tables.
//!
//! Refuses to know how a hook is run. A test holds the variables against what hooks are really told.

use super::{Hook, Of};
use crate::text::wrapped;

const WIDE: usize = 80;

/// Which hooks are told a variable.
#[derive(Clone, Copy, Debug)]
enum To {
    All,
    Only(&'static [Hook]),
}

/// Variables that belong together; `<…>` stands for any text.
struct Row {
    names: &'static [&'static str],
    to: To,
    what: &'static str,
}

const fn row(names: &'static [&'static str], to: To, what: &'static str) -> Row {
    Row { names, to, what }
}

/// The hooks about another member.
const OF_MEMBERS: &[Hook] = &[
    Hook::MemberInitialized,
    Hook::MemberStarted,
    Hook::MemberActivated,
    Hook::MemberSuspended,
    Hook::MemberTerminated,
];
const OF_TENANTS: &[Hook] = &[
    Hook::DomainMappingAdded,
    Hook::DomainMappingRemoved,
    Hook::TenantSubscribed,
    Hook::ApplicationSignUpRemoved,
];
const OF_MAPPINGS: &[Hook] = &[Hook::DomainMappingAdded, Hook::DomainMappingRemoved];
const WITH_TOPOLOGY: &[Hook] = &[
    Hook::CompleteTopology,
    Hook::MemberInitialized,
    Hook::MemberStarted,
    Hook::MemberActivated,
    Hook::MemberSuspended,
    Hook::MemberTerminated,
    Hook::DomainMappingAdded,
    Hook::DomainMappingRemoved,
    Hook::TenantSubscribed,
    Hook::ApplicationSignUpRemoved,
];
const OF_FILES: &[Hook] = &[Hook::ArtifactUpdated];

/// The launch parameters.
const PARAMETERS: &str = "STRATOS_<launch parameter>";

const VARIABLES: [Row; 24] = [
    row(
        &[PARAMETERS],
        To::All,
        "each of them as it came, the join token excepted; wins over all below but the path, the event and the balancer",
    ),
    row(
        &["STRATOS_EVENT"],
        To::All,
        "the hook's name, in the first column above",
    ),
    row(
        &["STRATOS_APPLICATION_PATH", "STRATOS_APP_PATH"],
        To::All,
        "where the application's files are",
    ),
    row(
        &["STRATOS_PARAM_FILE_PATH"],
        To::All,
        "the file of --launch-params, where there is one",
    ),
    row(
        &["STRATOS_PERSISTENCE_MAPPINGS"],
        To::All,
        "PERSISTENCE_MAPPING once more, as the agents of Stratos named it",
    ),
    row(&["STRATOS_MB_IP"], To::All, "the first host of MB_URLS"),
    row(
        &["STRATOS_LB_IP", "STRATOS_LB_PUBLIC_IP"],
        To::All,
        "a balancer that serves: of LB_CLUSTER_ID, else of the same network partition; else what was configured",
    ),
    row(
        &[
            "STRATOS_SERVICE_PROPERTY_<name>",
            "STRATOS_CLUSTER_PROPERTY_<name>",
            "STRATOS_MEMBER_PROPERTY_<name>",
        ],
        To::All,
        "free properties of the member's cartridge, cluster and own, once it is told what runs around it",
    ),
    row(
        &["CARTRIDGE_RELEASE", "CARTRIDGE_MEMBER"],
        To::All,
        "the folder of the current release; the member's id",
    ),
    row(
        &["CARTRIDGE_SHARED_<key>"],
        To::All,
        "what the application shares, with the alias before the key what a cartridge of it does: in capitals, other characters as _; several values are lines",
    ),
    row(
        &["CARTRIDGE_AGENT", "CARTRIDGE_STATE_DIR"],
        To::All,
        "the agent's program and folder: `$CARTRIDGE_AGENT share KEY VALUE` finds the agent that runs here",
    ),
    row(
        &["HOME", "USER", "LOGNAME"],
        To::All,
        "of the account of --hook-user, where it is given",
    ),
    row(
        &["STRATOS_LVS_DUMMY_VIRTUAL_IP", "STRATOS_LVS_SUBNET_MASK"],
        To::Only(&[Hook::CreateLvsDummyInterface]),
        "both parts of LVS_VIRTUAL_IP; the mask is 255.255.255.255 where it has one part",
    ),
    row(
        &["STRATOS_VALUE1", "CARTRIDGE_VOLUMES"],
        To::Only(&[Hook::VolumeMount]),
        "PERSISTENCE_MAPPING, which is the first argument, too; the same as device|folder|…",
    ),
    row(
        &["STRATOS_SOURCE", "STRATOS_DEST"],
        To::Only(&[Hook::CopyArtifacts]),
        "where from and where to; the two arguments, too",
    ),
    row(
        &[
            "STRATOS_ARTIFACT_UPDATED_CLUSTER_ID",
            "STRATOS_ARTIFACT_UPDATED_TENANT_ID",
            "STRATOS_ARTIFACT_UPDATED_REPO_URL",
            "STRATOS_ARTIFACT_UPDATED_REPO_USERNAME",
            "STRATOS_ARTIFACT_UPDATED_REPO_PASSWORD",
            "STRATOS_ARTIFACT_UPDATED_STATUS",
        ],
        To::Only(OF_FILES),
        "the repository; the password as it is, not encrypted; what there is none of is empty, the status always",
    ),
    row(
        &["STRATOS_ARTIFACT_UPDATED_SCHEDULER"],
        To::Only(OF_FILES),
        "true where the member served from another release before",
    ),
    row(
        &[
            "CARTRIDGE_TENANT",
            "CARTRIDGE_TENANT_FOLDER",
            "CARTRIDGE_TENANT_RELEASE",
        ],
        To::Only(OF_FILES),
        "the tenant whose files they are, unless they are the member's own; where they appear; the link to the release",
    ),
    row(
        &["STRATOS_TOPOLOGY_JSON", "STRATOS_MEMBER_LIST_JSON"],
        To::Only(WITH_TOPOLOGY),
        "what runs in the application, in Stratos's shape; of it the members of the own cluster; 128 KiB each at most",
    ),
    row(
        &["CARTRIDGE_MEMBERS_OMITTED"],
        To::Only(WITH_TOPOLOGY),
        "how many members there was no room for, where there were any",
    ),
    row(
        &["STRATOS_TENANT_LIST_JSON"],
        To::Only(&[Hook::CompleteTenant]),
        "all tenants: tenantId and tenantDomain of each",
    ),
    row(
        &[
            "STRATOS_MEMBER_<event>_MEMBER_ID",
            "STRATOS_MEMBER_<event>_MEMBER_IP",
            "STRATOS_MEMBER_<event>_PORTS",
            "STRATOS_MEMBER_<event>_CLUSTER_ID",
            "STRATOS_MEMBER_<event>_SERVICE_NAME",
            "STRATOS_MEMBER_<event>_NETWORK_PARTITION_ID",
            "STRATOS_MEMBER_<event>_PARTITION_ID",
        ],
        To::Only(OF_MEMBERS),
        "the other member; <event> is INITIALIZED, STARTED, ACTIVATED, SUSPENDED or TERMINATED",
    ),
    row(
        &[
            "STRATOS_SUBSCRIPTION_APPLICATION_ID",
            "STRATOS_SUBSCRIPTION_TENANT_ID",
            "STRATOS_SUBSCRIPTION_TENANT_DOMAIN",
        ],
        To::Only(OF_TENANTS),
        "whose sign-up or domain it is",
    ),
    row(
        &[
            "STRATOS_SUBSCRIPTION_SERVICE_NAME",
            "STRATOS_SUBSCRIPTION_CLUSTER_ID",
            "STRATOS_SUBSCRIPTION_DOMAIN_NAME",
            "STRATOS_SUBSCRIPTION_CONTEXT_PATH",
        ],
        To::Only(OF_MAPPINGS),
        "the domain and where it leads; the path only of one that is added",
    ),
];

/// When a hook is run.
const fn when(hook: Hook) -> &'static str {
    match hook {
        Hook::CreateLvsDummyInterface => "first, where LVS_VIRTUAL_IP is among the launch parameters",
        Hook::VolumeMount => {
            "next, where PERSISTENCE_MAPPING is; before files and servers; its failure is the member's"
        }
        Hook::CompleteTopology => {
            "once it is told what runs around the member; waited for 5 s before the member begins"
        }
        Hook::CompleteTenant => "once it is told which tenants there are",
        Hook::InstanceStarted => "the member is up; its files are there",
        Hook::StartServers => "right after that: start servers that are not the agent's child",
        Hook::CopyArtifacts => "when somebody asks: cartridge-agent run-hook CopyArtifacts FROM TO",
        Hook::ArtifactUpdated => {
            "another release is current, the first one included; a failure refuses a release that replaces another"
        }
        Hook::InstanceActivated => "the member takes requests, for the first time in this life",
        Hook::MemberInitialized => "another member of the application has an instance and an address",
        Hook::MemberStarted => "another member's agent has begun",
        Hook::MemberActivated => "another member takes requests",
        Hook::MemberSuspended => "another member took requests and does not now",
        Hook::MemberTerminated => "another member is gone",
        Hook::DomainMappingAdded => "a domain leads to a cluster of the application",
        Hook::DomainMappingRemoved => "it no longer does",
        Hook::TenantSubscribed => "a tenant has signed up for the application",
        Hook::ApplicationSignUpRemoved => "a tenant's sign-up is gone",
        Hook::ValuesChanged => "what the application's cartridges share is not what it was any more",
        Hook::Clean => {
            "the member ends: before the application is asked to end; half of the time that is left"
        }
    }
}

const fn who_waits(hook: Hook) -> &'static str {
    match hook.of() {
        Of::Life => "the member",
        Of::Surroundings => "nobody",
        Of::Request => "who asks",
    }
}

const fn survivors(hook: Hook) -> &'static str {
    if hook.leaves_servers() { "yes" } else { "no" }
}

/// Both tables of the documentation.
pub fn markdown() -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('<', "&lt;");
    let mut page =
        "| hook | Java agent | when | who waits | may leave servers |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for hook in Hook::all() {
        let java = hook.names().nth(1).map(|name| format!("`{name}`"));
        page += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            hook.name(),
            java.unwrap_or_default(),
            cell(when(hook)),
            who_waits(hook),
            survivors(hook)
        );
    }
    page += "\n| variable | told to | value |\n| --- | --- | --- |\n";
    for row in VARIABLES.iter() {
        let names: Vec<String> = row.names.iter().map(|name| format!("`{name}`")).collect();
        page += &format!(
            "| {} | {} | {} |\n",
            names.join(", "),
            told_to(row.to),
            cell(row.what)
        );
    }
    page
}

fn told_to(to: To) -> String {
    match to {
        To::All => "all".to_owned(),
        To::Only(hooks) if hooks.len() > 5 => {
            "`CompleteTopologyEvent`, and all about others and tenants".to_owned()
        }
        To::Only(hooks) => hooks
            .iter()
            .map(|hook| format!("`{}`", hook.name()))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// The same for a terminal.
pub fn help() -> String {
    let entry = |hook: Hook| {
        let java = hook
            .names()
            .nth(1)
            .map(|name| format!("  ({name})"))
            .unwrap_or_default();
        format!("{}{java}\n{}", hook.name(), wrapped(when(hook), 4, WIDE))
    };
    let hooks: Vec<String> = Hook::all().map(entry).collect();
    let rows = VARIABLES.iter().map(|row| {
        let to = match row.to {
            To::All => String::new(),
            To::Only(hooks) => {
                let names: Vec<&str> = hooks.iter().map(|hook| hook.name()).collect();
                wrapped(&format!("to {}", names.join(", ")), 4, WIDE)
            }
        };
        format!("{}\n{}{to}", row.names.join("\n"), wrapped(row.what, 4, WIDE))
    });
    let rows: Vec<String> = rows.collect();
    format!("{}\nWhat they are told:\n\n{}", hooks.join("\n"), rows.join("\n"))
}

#[cfg(test)]
mod tests;
