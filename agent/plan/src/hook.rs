//! The hooks: every name that a cartridge may answer to, when each is run, and what it may leave behind.
//!
//! Refuses to know how a hook is run. The names, the older file names and the order are Apache Stratos's.

pub mod asked;
pub mod environment;
pub mod fitness;
pub mod pages;
mod stratos;

use std::collections::BTreeMap;

use cartridge_protocol::tenant::TenantId;

/// Launch parameter: the virtual address of a balancer, `address` or `address|netmask`.
pub const LVS_VIRTUAL_IP: &str = "LVS_VIRTUAL_IP";
/// Launch parameter: volumes, `device|volume id|folder|device|…`.
pub const PERSISTENCE_MAPPING: &str = "PERSISTENCE_MAPPING";

/// A hook. The order is that of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// A balancer's virtual address is wanted on this machine.
    CreateLvsDummyInterface,
    /// Volumes are to be mounted.
    VolumeMount,
    /// The first topology of the application is there.
    CompleteTopology,
    /// The first list of tenants is there.
    CompleteTenant,
    /// The instance is up.
    InstanceStarted,
    /// Start servers that are not the agent's child.
    StartServers,
    /// Content that a tenant begins with is to be copied.
    CopyArtifacts,
    /// Another release is current.
    ArtifactUpdated,
    /// The member takes traffic.
    InstanceActivated,
    /// Another member has an instance and addresses.
    MemberInitialized,
    /// Another member's agent has begun.
    MemberStarted,
    /// Another member takes traffic.
    MemberActivated,
    /// Another member took traffic and does not now.
    MemberSuspended,
    /// Another member is gone.
    MemberTerminated,
    /// A domain leads to a cluster now.
    DomainMappingAdded,
    /// It no longer does.
    DomainMappingRemoved,
    /// A tenant has signed up.
    TenantSubscribed,
    /// A tenant's sign-up is gone.
    ApplicationSignUpRemoved,
    /// What the application's cartridges share has changed. Stratos had no hook for it.
    ValuesChanged,
    /// The member ends.
    Clean,
}

/// Whose occasion a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// This member's life waits for its end.
    Life,
    /// The application around the member; nothing waits for its end.
    Surroundings,
    /// Run where somebody asks for it.
    Request,
}

/// One run of a hook that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub hook: Hook,
    /// What it is told beside what every hook is told; names are complete.
    pub more: BTreeMap<String, String>,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The tenant whose files it is about, unless they are the member's own.
    pub tenant: Option<TenantId>,
}

impl Order {
    /// A run that needs no more words.
    pub const fn new(hook: Hook) -> Self {
        Self {
            hook,
            more: BTreeMap::new(),
            arguments: Vec::new(),
            tenant: None,
        }
    }

    /// With one more variable.
    pub fn telling(mut self, name: &str, value: impl Into<String>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

/// One row of the table.
struct Row {
    hook: Hook,
    name: &'static str,
    /// What the Java agent of Stratos called the file, without `.sh`.
    java: Option<&'static str>,
    of: Of,
    leaves_servers: bool,
}

const fn row(hook: Hook, name: &'static str, java: &'static str, of: Of) -> Row {
    Row {
        hook,
        name,
        java: Some(java),
        of,
        leaves_servers: false,
    }
}

const fn starts_servers(row: Row) -> Row {
    Row {
        leaves_servers: true,
        ..row
    }
}

const fn without_java_name(row: Row) -> Row {
    Row { java: None, ..row }
}

use Of::{Life, Request, Surroundings};

const TABLE: [Row; 20] = [
    without_java_name(row(
        Hook::CreateLvsDummyInterface,
        "CreateLVSDummyInterface",
        "",
        Life,
    )),
    // A file system in user space is served by a process that the mount leaves behind.
    starts_servers(row(Hook::VolumeMount, "VolumeMount", "mount_volumes", Life)),
    row(
        Hook::CompleteTopology,
        "CompleteTopologyEvent",
        "complete-topology",
        Life,
    ),
    row(
        Hook::CompleteTenant,
        "CompleteTenantEvent",
        "complete-tenant",
        Surroundings,
    ),
    starts_servers(row(
        Hook::InstanceStarted,
        "InstanceStartedEvent",
        "instance-started",
        Life,
    )),
    starts_servers(row(Hook::StartServers, "StartServers", "start-servers", Life)),
    row(Hook::CopyArtifacts, "CopyArtifacts", "artifacts-copy", Request),
    starts_servers(row(
        Hook::ArtifactUpdated,
        "ArtifactUpdatedEvent",
        "artifacts-updated",
        Life,
    )),
    row(
        Hook::InstanceActivated,
        "InstanceActivatedEvent",
        "instance-activated",
        Life,
    ),
    without_java_name(row(
        Hook::MemberInitialized,
        "MemberInitializedEvent",
        "",
        Surroundings,
    )),
    row(
        Hook::MemberStarted,
        "MemberStartedEvent",
        "member-started",
        Surroundings,
    ),
    row(
        Hook::MemberActivated,
        "MemberActivatedEvent",
        "member-activated",
        Surroundings,
    ),
    row(
        Hook::MemberSuspended,
        "MemberSuspendedEvent",
        "member-suspended",
        Surroundings,
    ),
    row(
        Hook::MemberTerminated,
        "MemberTerminatedEvent",
        "member-terminated",
        Surroundings,
    ),
    row(
        Hook::DomainMappingAdded,
        "DomainMappingAddedEvent",
        "domain-mapping-added",
        Surroundings,
    ),
    row(
        Hook::DomainMappingRemoved,
        "DomainMappingRemovedEvent",
        "domain-mapping-removed",
        Surroundings,
    ),
    row(
        Hook::TenantSubscribed,
        "TenantSubscribedEvent",
        "tenant-subscribed",
        Surroundings,
    ),
    row(
        Hook::ApplicationSignUpRemoved,
        "ApplicationSignUpRemovedEvent",
        "tenant-unsubscribed",
        Surroundings,
    ),
    without_java_name(row(Hook::ValuesChanged, "ValuesChangedEvent", "", Surroundings)),
    row(Hook::Clean, "clean", "clean", Life),
];

impl Hook {
    /// All, in the order of a life.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.hook)
    }

    const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Stratos's name, which is the file's name without `.sh`.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The names of its file, without `.sh`; the first that is there counts.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let java = self.row().java.filter(|java| *java != self.name());
        [Some(self.name()), java].into_iter().flatten()
    }

    /// Whose occasion it is.
    pub const fn of(self) -> Of {
        self.row().of
    }

    /// Processes that it leaves behind when it succeeds are servers, and live on. Everything else that a hook leaves
    /// behind is ended with it.
    pub const fn leaves_servers(self) -> bool {
        self.row().leaves_servers
    }

    /// Whether it can be run only by a member that is told what runs around it.
    pub fn wants_surroundings(self) -> bool {
        self == Self::CompleteTopology || self.of() == Surroundings && self != Self::ValuesChanged
    }

    /// The hook of this name, in either spelling, with or without `.sh`.
    pub fn named(text: &str) -> Option<Self> {
        let stem = text.strip_suffix(".sh").unwrap_or(text);
        Self::all().find(|hook| hook.names().any(|name| name == stem))
    }
}

/// The hooks that come before files and servers: those that have an occasion and are there.
pub fn preparations(parameters: &BTreeMap<String, String>, is_there: impl Fn(Hook) -> bool) -> Vec<Hook> {
    let occasion = |hook: &Hook| match hook {
        Hook::CreateLvsDummyInterface => parameters.contains_key(LVS_VIRTUAL_IP),
        Hook::VolumeMount => parameters.contains_key(PERSISTENCE_MAPPING),
        Hook::CompleteTopology => true,
        _ => false,
    };
    Hook::all()
        .filter(|hook| occasion(hook) && is_there(*hook))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preparations_are_those_that_have_an_occasion_and_a_file() {
        let parameters = |names: &[&str]| names.iter().map(|n| ((*n).to_owned(), "x".to_owned())).collect();
        let all = parameters(&[PERSISTENCE_MAPPING, LVS_VIRTUAL_IP]);
        let order = [
            Hook::CreateLvsDummyInterface,
            Hook::VolumeMount,
            Hook::CompleteTopology,
        ];
        assert_eq!(preparations(&all, |_| true), order);
        assert_eq!(
            preparations(&all, |hook| hook == Hook::VolumeMount),
            [Hook::VolumeMount]
        );
        assert_eq!(preparations(&parameters(&[]), |_| true), [Hook::CompleteTopology]);
    }

    /// The contract's table (stratos-contract §2.4), row by row: the name and the Java agent's file.
    const CONTRACT: [(&str, &str); 19] = [
        ("CreateLVSDummyInterface", ""),
        ("CompleteTopologyEvent", "complete-topology.sh"),
        ("CompleteTenantEvent", "complete-tenant.sh"),
        ("MemberInitializedEvent", ""),
        ("InstanceStartedEvent", "instance-started.sh"),
        ("StartServers", "start-servers.sh"),
        ("ArtifactUpdatedEvent", "artifacts-updated.sh"),
        ("InstanceActivatedEvent", "instance-activated.sh"),
        ("VolumeMount", "mount_volumes.sh"),
        ("MemberStartedEvent", "member-started.sh"),
        ("MemberActivatedEvent", "member-activated.sh"),
        ("MemberSuspendedEvent", "member-suspended.sh"),
        ("MemberTerminatedEvent", "member-terminated.sh"),
        ("DomainMappingAddedEvent", "domain-mapping-added.sh"),
        ("DomainMappingRemovedEvent", "domain-mapping-removed.sh"),
        ("ApplicationSignUpRemovedEvent", "tenant-unsubscribed.sh"),
        ("TenantSubscribedEvent", "tenant-subscribed.sh"),
        ("CopyArtifacts", "artifacts-copy.sh"),
        ("clean", "clean.sh"),
    ];

    #[test]
    fn every_name_of_the_contract_is_a_hook_and_every_hook_but_one_is_in_the_contract() {
        for (name, java) in CONTRACT {
            let hook = Hook::named(name).unwrap_or_else(|| panic!("{name} is no hook"));
            assert_eq!(hook.name(), name);
            if !java.is_empty() {
                assert_eq!(Hook::named(java), Some(hook), "{java}");
            }
            let files = hook.names().count();
            assert_eq!(
                files,
                if matches!(java, "" | "clean.sh") { 1 } else { 2 },
                "{name}"
            );
        }
        let ours = Hook::all().filter(|hook| !CONTRACT.iter().any(|(name, _)| *name == hook.name()));
        assert_eq!(ours.collect::<Vec<_>>(), [Hook::ValuesChanged]);
    }

    #[test]
    fn each_row_of_the_table_stands_where_its_hook_says() {
        for (index, hook) in Hook::all().enumerate() {
            assert_eq!((hook as usize, hook.row().hook), (index, hook));
        }
    }

    #[test]
    fn only_what_starts_servers_or_mounts_may_leave_processes_behind() {
        let leaving: Vec<&str> = Hook::all()
            .filter(|h| h.leaves_servers())
            .map(Hook::name)
            .collect();
        assert_eq!(
            leaving,
            [
                "VolumeMount",
                "InstanceStartedEvent",
                "StartServers",
                "ArtifactUpdatedEvent"
            ]
        );
    }

    #[test]
    fn no_other_name_is_a_hook() {
        for text in [
            "",
            ".sh",
            "Clean",
            "clean.py",
            "../clean",
            "StartServers.sh.sh",
            "ArtifactUpdateSchedulerEvent",
        ] {
            assert_eq!(Hook::named(text), None, "{text}");
        }
    }
}
