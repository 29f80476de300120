//! A member's files of tenants, as an agent keeps them.
//!
//! It refuses to know which commit should be there.

use std::collections::BTreeMap;

use cartridge_protocol::link::{MAX_TENANT_REFUSED, Refused, TenantArtifacts, TenantStatus};
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{CommitId, Millis};

use super::super::Chance;
use super::super::agent::Repository;

/// What is under way; what is done is in its status.
#[derive(Clone, Debug, Default)]
pub struct Files {
    looks: Millis,
    switching: BTreeMap<TenantId, (Millis, CommitId)>,
}

impl Files {
    /// Its machine stopped: what is on its disk is still there.
    pub fn stop(&mut self) {
        self.switching.clear();
    }

    pub fn is_busy(&self) -> bool {
        !self.switching.is_empty()
    }

    /// When it looks again, if it keeps any.
    pub fn due(&self, wanted: &[TenantArtifacts]) -> Millis {
        if wanted.is_empty() {
            Millis(u64::MAX)
        } else {
            self.looks
        }
    }

    /// One second of following what is wanted.
    pub fn follow(
        &mut self,
        now: Millis,
        wanted: &[TenantArtifacts],
        repositories: &BTreeMap<TenantId, Repository>,
        said: &mut Vec<TenantStatus>,
        chance: &mut Chance,
    ) {
        let keeps = |tenant: &TenantId| wanted.iter().any(|one| one.tenant == *tenant);
        said.retain(|one| keeps(&one.tenant));
        self.switching.retain(|tenant, _| keeps(tenant));
        let looks = now >= self.looks && !wanted.is_empty();
        if looks {
            self.looks = now.plus(Millis(3000));
        }
        for one in wanted {
            let Some(repository) = repositories.get(&one.tenant) else {
                continue;
            };
            let at = said.iter().position(|said| said.tenant == one.tenant);
            let at = at.unwrap_or_else(|| {
                said.push(TenantStatus {
                    tenant: one.tenant,
                    current: None,
                    head: None,
                    staged: Vec::new(),
                    refused: Vec::new(),
                });
                said.len() - 1
            });
            if looks {
                said[at].head.clone_from(&repository.head);
            }
            self.switch(now, one, repository, &mut said[at], chance);
        }
    }

    fn switch(
        &mut self,
        now: Millis,
        wanted: &TenantArtifacts,
        repository: &Repository,
        said: &mut TenantStatus,
        chance: &mut Chance,
    ) {
        if let Some((done, commit)) = self.switching.get(&said.tenant).cloned() {
            if now < done {
                return;
            }
            self.switching.remove(&said.tenant);
            if repository.bad.contains(&commit) {
                said.refused.push(Refused {
                    commit,
                    reason: "its hook failed".into(),
                });
                let surplus = said.refused.len().saturating_sub(MAX_TENANT_REFUSED);
                said.refused.drain(..surplus);
            } else {
                said.current = Some(commit);
            }
        }
        let refused = |commit: &CommitId| said.refused.iter().any(|one| one.commit == *commit);
        let next = wanted.artifacts.commit.as_ref();
        if let Some(commit) = next.filter(|next| said.current.as_ref() != Some(next) && !refused(next)) {
            let done = now.plus(Millis(1000 + chance.below(3000)));
            self.switching.insert(said.tenant, (done, commit.clone()));
        }
    }
}
