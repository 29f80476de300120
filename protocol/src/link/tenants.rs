//! The repositories of tenants: which files of whom are wanted, and what became of them.
//!
//! This file refuses to know where their files appear.

use serde::{Deserialize, Serialize};

use super::{DesiredArtifacts, InvalidBatch, Refused};
use crate::id::CommitId;
use crate::tenant::TenantId;

/// Most tenants with a repository of their own in one member.
pub const MAX_TENANT_REPOSITORIES: usize = 64;
/// Most releases of one tenant that a status names.
pub const MAX_TENANT_STAGED: usize = 4;
/// Most refused commits of one tenant that a status names.
pub const MAX_TENANT_REFUSED: usize = 2;
/// Longest reason among them, bytes.
pub const MAX_TENANT_REASON: usize = 256;

/// Which files of one tenant are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantArtifacts {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub artifacts: DesiredArtifacts,
}

/// What became of one tenant's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Whose.
    pub tenant: TenantId,
    /// The commit whose release is current.
    pub current: Option<CommitId>,
    /// The head of the branch as last seen.
    pub head: Option<CommitId>,
    /// Complete releases, current or not; at most [`MAX_TENANT_STAGED`], newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staged: Vec<CommitId>,
    /// Commits that were tried and refused; at most [`MAX_TENANT_REFUSED`], newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// Checks every limit that decoding does not.
pub(super) fn check(tenants: &[TenantStatus]) -> Result<(), InvalidBatch> {
    let too_many = |field, count, most| {
        (count > most)
            .then_some(InvalidBatch::TooMany { field, count, most })
            .map_or(Ok(()), Err)
    };
    too_many("status.tenants", tenants.len(), MAX_TENANT_REPOSITORIES)?;
    for tenant in tenants {
        too_many("status.tenants.staged", tenant.staged.len(), MAX_TENANT_STAGED)?;
        too_many("status.tenants.refused", tenant.refused.len(), MAX_TENANT_REFUSED)?;
        let reasons = tenant.refused.iter().map(|refused| refused.reason.len());
        if let Some(bytes) = reasons.max().filter(|bytes| *bytes > MAX_TENANT_REASON) {
            return Err(InvalidBatch::TooLong {
                field: "status.tenants.refused",
                bytes,
                most: MAX_TENANT_REASON,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Desired, Status};
    use super::*;

    fn commit(digit: char) -> CommitId {
        CommitId::new(digit.to_string().repeat(40)).unwrap()
    }

    fn status(tenant: i64) -> TenantStatus {
        TenantStatus {
            tenant: TenantId::new(tenant).unwrap(),
            current: Some(commit('a')),
            head: None,
            staged: vec![commit('a')],
            refused: Vec::new(),
        }
    }

    #[test]
    fn who_knows_nothing_of_tenants_is_understood_and_understands() {
        let old = r#"{"revision":1,"epoch":1,"run":"serve","artifacts":null,"topology":null,
            "sample_interval_ms":1000,"publish_interval_ms":1000}"#;
        let desired: Desired = serde_json::from_str(old).unwrap();
        assert!(desired.tenants.is_empty());
        assert!(!serde_json::to_string(&desired).unwrap().contains("tenants"));
        let said = serde_json::to_string(&Status::starting()).unwrap();
        assert!(!said.contains("tenants"));
        assert!(serde_json::from_str::<Status>(&said).unwrap().tenants.is_empty());
    }

    #[test]
    fn what_is_told_of_tenants_has_bounds() {
        assert_eq!(check(&[status(1), status(2)]), Ok(()));
        let many: Vec<TenantStatus> = (1..=65).map(status).collect();
        assert!(matches!(
            check(&many),
            Err(InvalidBatch::TooMany { count: 65, .. })
        ));
        let mut wordy = status(1);
        wordy.refused.push(Refused {
            commit: commit('b'),
            reason: "x".repeat(MAX_TENANT_REASON + 1),
        });
        assert!(matches!(check(&[wordy]), Err(InvalidBatch::TooLong { .. })));
    }
}
