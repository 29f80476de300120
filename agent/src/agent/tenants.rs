//! The files of tenants: one shelf and one place each, one piece of work at a time for all of them, beside the member's
//! own. Nothing of the member's life waits for them.
//!
//! Refuses to decide whose turn it is (the plan does), and to know what a tenant is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cartridge_agent_plan::artifacts::Rules;
use cartridge_agent_plan::handover::TenantFiles;
use cartridge_agent_plan::hook::environment::tenant_updated;
use cartridge_agent_plan::lifecycle::Hook;
use cartridge_agent_plan::settings::{FileSettings, Settings};
use cartridge_agent_plan::tenants::{next, roster};
use cartridge_agent_plan::text::one_line;
use cartridge_protocol::link::{
    Desired, MAX_TENANT_REASON, MAX_TENANT_REFUSED, MAX_TENANT_STAGED, Refused, Run, TenantStatus,
};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, Millis};

use super::Agent;
use super::files::{Done, Files, Site};

/// Below the state folder.
const FOLDER: &str = "tenants";

/// One tenant.
struct One {
    files: Files,
    /// The release that the hook was run for last.
    told: Option<CommitId>,
}

/// All of them.
pub(super) struct Tenants {
    root: PathBuf,
    files: FileSettings,
    all: BTreeMap<TenantId, One>,
    /// What an earlier agent left, until it is known who is wanted.
    found: Vec<TenantId>,
    /// Whose piece of work is under way.
    busy: Option<TenantId>,
    /// Who had the last turn: of work, and of the hook.
    last: (Option<TenantId>, Option<TenantId>),
    /// The hook that runs: for whom, and for which release.
    hook: Option<(TenantId, CommitId)>,
    /// What a person was told of the list.
    left_out: Option<String>,
}

impl Tenants {
    pub(super) fn open(settings: &Settings) -> Self {
        let root = settings.state_dir.join(FOLDER);
        Self {
            found: found(&root),
            root,
            files: settings.files.clone(),
            all: BTreeMap::new(),
            busy: None,
            last: (None, None),
            hook: None,
            left_out: None,
        }
    }

    fn site(&self, tenant: TenantId) -> Site {
        let application = self.files.application.as_deref();
        Site {
            tenant: Some(tenant),
            root: self.root.join(tenant.to_string()),
            place: application.map(|path| self.files.tenants.place(path, tenant)),
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Millis> {
        if self.busy.is_some() {
            return None;
        }
        self.all.values().filter_map(|one| one.files.due()).min()
    }

    /// Begins the next piece of work, if one is due and none is under way.
    pub(super) fn advance(&mut self, now: Millis) {
        if self.busy.is_some() {
            return;
        }
        let due = self
            .all
            .iter()
            .filter_map(|(tenant, one)| Some((*tenant, one.files.due()?)));
        let Some(tenant) = next(self.last.0, due, now) else {
            return;
        };
        self.last.0 = Some(tenant);
        if let Some(one) = self.all.get_mut(&tenant) {
            one.files.advance(now, true, true);
            self.busy = one.files.is_busy().then_some(tenant);
        }
    }

    pub(super) fn follow_rules(&mut self, rules: &Rules) {
        self.all
            .values_mut()
            .for_each(|one| one.files.follow_rules(rules));
    }

    pub(super) fn edited(&mut self, tenant: TenantId, now: Millis) {
        if let Some(one) = self.all.get_mut(&tenant) {
            one.files.edited(now);
        }
    }

    /// A piece of work is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// What is to be told of it.
    fn done(&mut self, tenant: TenantId, done: Done, now: Millis) -> Vec<String> {
        self.busy = None;
        let Some(one) = self.all.get_mut(&tenant) else {
            return Vec::new();
        };
        let outcome = one.files.done(done, now, false);
        if one.files.is_gone() {
            self.all.remove(&tenant);
            return vec![format!("tenant {tenant}: its files are gone")];
        }
        // Its files are the same, so there is nothing to tell the hook of.
        if outcome.adopted.is_some() {
            one.told = outcome.adopted;
        }
        let notices = outcome.notices.into_iter();
        notices.map(|text| format!("tenant {tenant}: {text}")).collect()
    }

    pub(super) fn status(&self) -> Vec<TenantStatus> {
        self.all
            .iter()
            .map(|(tenant, one)| TenantStatus {
                tenant: *tenant,
                current: one.files.current().cloned(),
                head: one.files.head().cloned(),
                staged: last(one.files.staged(), MAX_TENANT_STAGED),
                refused: last(one.files.refused(), MAX_TENANT_REFUSED)
                    .into_iter()
                    .map(|refused| Refused {
                        reason: one_line(&refused.reason, MAX_TENANT_REASON),
                        ..refused
                    })
                    .collect(),
            })
            .collect()
    }

    /// What another agent needs to know.
    pub(super) fn handed(&self) -> Vec<TenantFiles> {
        self.all
            .iter()
            .map(|(tenant, one)| TenantFiles {
                tenant: *tenant,
                files: one.files.handed(),
                told: one.told.clone(),
            })
            .collect()
    }

    pub(super) fn stop(&self) {
        for one in self.all.values() {
            one.files.stop();
        }
    }

    /// For whom the hook is due, and for which release.
    fn next_hook(&self) -> Option<(TenantId, CommitId)> {
        let due = self.all.iter().filter(|(_, one)| {
            let current = one.files.current();
            current.is_some() && one.files.wanted().is_some() && current != one.told.as_ref()
        });
        let due = due.map(|(tenant, _)| (*tenant, Millis::ZERO));
        let tenant = next(self.last.1, due, Millis::ZERO)?;
        Some((tenant, self.all.get(&tenant)?.files.current()?.clone()))
    }
}

/// The newest.
fn last<T>(mut all: Vec<T>, most: usize) -> Vec<T> {
    all.split_off(all.len().saturating_sub(most))
}

/// Whose shelves lie there.
fn found(root: &Path) -> Vec<TenantId> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| TenantId::new(entry.file_name().to_str()?.parse().ok()?).ok())
        .collect()
}

/// Whatever the umask says: the application may run as somebody else.
fn open_to_readers(folder: &Path) {
    if !folder.is_dir() {
        let made = fs::create_dir_all(folder);
        let opened = made.and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o755)));
        if let Err(error) = opened {
            tracing::warn!(%error, "the folder of the tenants' files cannot be made");
        }
    }
}

impl Agent {
    /// Whose files are wanted: the whole list, each time.
    pub(super) fn tenants_wanted(&mut self, desired: &Desired) {
        if desired.run != Run::Serve {
            return;
        }
        let own = desired.artifacts.is_some();
        let roster = roster(&desired.tenants, &self.settings.files, own);
        for tenant in roster
            .kept
            .keys()
            .copied()
            .chain(std::mem::take(&mut self.tenants.found))
        {
            self.tenant_known(tenant);
        }
        for (tenant, one) in &mut self.tenants.all {
            match roster.kept.get(tenant) {
                Some(artifacts) => one.files.want(artifacts, desired.revision),
                None => one.files.leave(),
            }
        }
        if self.tenants.left_out != roster.left_out {
            self.tenants.left_out.clone_from(&roster.left_out);
            if let Some(text) = roster.left_out {
                self.tell("artifact", &text);
            }
        }
    }

    fn tenant_known(&mut self, tenant: TenantId) {
        if self.tenants.all.contains_key(&tenant) {
            return;
        }
        open_to_readers(&self.tenants.root);
        let source = self.plugins.source(&self.settings);
        let site = self.tenants.site(tenant);
        let files = Files::open(&self.settings, site, source, self.events.clone(), &self.watcher);
        self.tenants.all.insert(tenant, One { files, told: None });
    }

    /// What the agent before knew; it comes before what is wanted.
    pub(super) fn tenants_resume(&mut self, handed: Vec<TenantFiles>) {
        for TenantFiles { tenant, files, told } in handed {
            self.tenant_known(tenant);
            if let Some(one) = self.tenants.all.get_mut(&tenant) {
                one.files.resume(files);
                one.told = told;
            }
        }
    }

    pub(super) fn tenant_files_done(&mut self, tenant: TenantId, done: Done) {
        for text in self.tenants.done(tenant, done, self.clock.now()) {
            self.tell("artifact", &text);
        }
    }

    /// Runs the next hook about a tenant's release, when nothing else wants to run and the member serves.
    pub(super) fn tell_tenants(&mut self) {
        if !self.life.serves() || !self.effects.hooks.is_idle() {
            return;
        }
        let Some((tenant, commit)) = self.tenants.next_hook() else {
            return;
        };
        let Some(one) = self.tenants.all.get(&tenant) else {
            return;
        };
        let Some(artifacts) = one.files.wanted() else {
            return;
        };
        let link = one.files.link();
        let folders = (link.as_path(), one.files.place().unwrap_or(&link));
        let again = one.told.is_some();
        let order = tenant_updated(&self.settings.parameters, (tenant, artifacts), folders, again);
        if self.effects.hooks.run(order) {
            let name = Hook::ArtifactUpdated.name();
            self.desk.ledger.hook_begun(name, self.clock.now());
            self.tenants.last.1 = Some(tenant);
            self.tenants.hook = Some((tenant, commit));
        }
    }

    /// The hook about a tenant's release has ended. A release that it refuses makes way for the one before.
    pub(super) fn tenant_told(&mut self, tenant: TenantId, fault: Option<String>) {
        let name = Hook::ArtifactUpdated.name();
        self.desk
            .ledger
            .hook_ended(name, fault.as_deref(), self.clock.now());
        let Some((_, commit)) = self.tenants.hook.take().filter(|(whose, _)| *whose == tenant) else {
            return;
        };
        // What was cut short because the member ends says nothing of the release.
        if self.life.ends() {
            return;
        }
        let Some(one) = self.tenants.all.get_mut(&tenant) else {
            return;
        };
        one.told = Some(commit.clone());
        let Some(fault) = fault else { return };
        let refused = one.files.refused();
        let way_back = one
            .files
            .previous()
            .is_some_and(|back| *back != commit && refused.iter().all(|r| r.commit != *back));
        if way_back {
            one.files.refuse(commit.clone(), &format!("hook: {fault}"), None);
        }
        let text = format!("tenant {tenant}: {name} for {}: {fault}", commit.short());
        self.tell("hook", &text);
    }
}
