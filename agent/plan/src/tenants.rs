//! The repositories of tenants: which are kept, whose turn it is, and how long one may keep the others waiting.
//!
//! One tenant's files are brought at a time, beside the member's own. Refuses to know shelves and servers.

use std::collections::BTreeMap;

use cartridge_protocol::Millis;
use cartridge_protocol::link::{DesiredArtifacts, MAX_TENANT_REPOSITORIES, TenantArtifacts};
use cartridge_protocol::tenant::TenantId;

use crate::backoff::doubled;
use crate::settings::FileSettings;

/// Longest first try of one piece of work.
const SLICE: Millis = Millis(60_000);
/// Longest later try.
const LONGEST: Millis = Millis(600_000);
/// Longest wait between two tries that failed at once.
const RETRY_CAP: Millis = Millis(30_000);
/// A failed try is followed by a pause so many times as long.
const REST: u64 = 4;

/// What came of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Whose files are kept.
    pub kept: BTreeMap<TenantId, DesiredArtifacts>,
    /// What a person should know of the others.
    pub left_out: Option<String>,
}

/// Whose files are kept; `own`: the member has a repository itself.
pub fn roster(told: &[TenantArtifacts], files: &FileSettings, own: bool) -> Roster {
    let mut all = Roster::default();
    if told.is_empty() {
        return all;
    }
    if !files.multi_tenant {
        all.left_out = Some(
            "repositories of tenants are left out: this member is not multi-tenant (--multitenant)"
                .to_owned(),
        );
        return all;
    }
    let mut beyond = 0;
    for TenantArtifacts { tenant, artifacts } in told {
        if own && *tenant == files.tenant {
            all.left_out = Some(format!(
                "a repository of tenant {tenant} is left out: the member's own is that tenant's (--tenant-id)"
            ));
        } else if all.kept.len() == MAX_TENANT_REPOSITORIES && !all.kept.contains_key(tenant) {
            beyond += 1;
        } else {
            all.kept.entry(*tenant).or_insert_with(|| artifacts.clone());
        }
    }
    if beyond > 0 {
        all.left_out = Some(format!(
            "repositories of {beyond} tenants are left out: a member keeps those of {MAX_TENANT_REPOSITORIES}"
        ));
    }
    all
}

/// Whose turn it is: of those for whom something is due the next after the one that had it last, going round.
pub fn next(
    last: Option<TenantId>,
    due: impl IntoIterator<Item = (TenantId, Millis)>,
    now: Millis,
) -> Option<TenantId> {
    let ready = due.into_iter().filter(|(_, at)| *at <= now);
    // Who comes after the last comes before all others.
    ready
        .map(|(tenant, _)| tenant)
        .min_by_key(|tenant| (last.is_some_and(|last| *tenant <= last), *tenant))
}

/// How long one piece of work may take after so many failed ones: a stalling server ends its first try soon, and a
/// large repository has time in the end.
pub fn slice(tries: u32) -> Millis {
    doubled(SLICE, LONGEST, tries)
}

/// How long the tenant waits after a try that failed: the others have most of the time, however long it took.
pub fn pause(tries: u32, took: Millis) -> Millis {
    let short = doubled(Millis(500), RETRY_CAP, tries);
    short.max(Millis(took.0.saturating_mul(REST)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::layout::{Existing, TenantPaths};
    use crate::release::ReleaseFiles;
    use proptest::prelude::*;

    fn tenant(number: i64) -> TenantId {
        TenantId::new(number).unwrap()
    }

    fn settings(multi_tenant: bool) -> FileSettings {
        FileSettings {
            kind: ReleaseFiles::Shared,
            application: Some(PathBuf::from("/opt/app")),
            existing: Existing::Beside,
            push_back: false,
            multi_tenant,
            tenant: TenantId::SUPER,
            tenants: TenantPaths {
                super_tenant: "repository/deployment/server".into(),
                tenants: "repository/tenants".into(),
            },
        }
    }

    fn repository(number: i64, url: &str) -> TenantArtifacts {
        TenantArtifacts {
            tenant: tenant(number),
            artifacts: DesiredArtifacts {
                url: url.to_owned(),
                branch: "main".to_owned(),
                commit: None,
                ordered: false,
                username: None,
                password: None,
                poll_interval_ms: 1000,
                look: 0,
                sharing: 1,
            },
        }
    }

    fn kept(roster: &Roster) -> Vec<i64> {
        roster.kept.keys().map(|tenant| tenant.get()).collect()
    }

    #[test]
    fn each_tenant_has_one_repository_and_the_members_own_stays_its_own() {
        let told = [
            repository(2, "https://a/x"),
            repository(2, "https://a/y"),
            repository(-1234, "https://a/z"),
        ];
        let all = roster(&told, &settings(true), true);
        assert_eq!(kept(&all), [2]);
        assert_eq!(all.kept[&tenant(2)].url, "https://a/x");
        assert!(all.left_out.unwrap().contains("tenant -1234"));
        // Without a repository of its own, the member has room for that tenant's.
        let all = roster(&told, &settings(true), false);
        assert_eq!((kept(&all), all.left_out), (vec![-1234, 2], None));
    }

    #[test]
    fn a_member_of_one_tenant_keeps_no_others_and_says_so() {
        let all = roster(&[repository(2, "https://a/x")], &settings(false), true);
        assert!(all.kept.is_empty() && all.left_out.unwrap().contains("--multitenant"));
        assert_eq!(roster(&[], &settings(false), true), Roster::default());
    }

    #[test]
    fn a_list_that_is_too_long_is_cut() {
        let told: Vec<TenantArtifacts> = (1..=70).map(|n| repository(n, "https://a/x")).collect();
        let all = roster(&told, &settings(true), false);
        assert_eq!(all.kept.len(), MAX_TENANT_REPOSITORIES);
        assert!(all.left_out.unwrap().contains("of 6 tenants"));
    }

    #[test]
    fn a_server_that_stalls_costs_the_others_less_and_less_of_the_time() {
        assert_eq!(slice(0), Millis(60_000));
        assert_eq!(slice(30), Millis(600_000));
        assert_eq!(pause(1, Millis(60_000)), Millis(240_000));
        assert!(pause(0, Millis(5)) >= Millis(500));
    }

    proptest! {
        #[test]
        fn everybody_has_a_turn_before_anybody_has_a_second(numbers in proptest::collection::btree_set(1i64..100, 1..20)) {
            let due: Vec<(TenantId, Millis)> = numbers.iter().map(|n| (tenant(*n), Millis::ZERO)).collect();
            let mut last = None;
            let mut served = std::collections::BTreeSet::new();
            for _ in 0..due.len() {
                last = next(last, due.clone(), Millis(1));
                prop_assert!(served.insert(last.unwrap()));
            }
            let later: Vec<_> = due.iter().map(|(tenant, _)| (*tenant, Millis(2))).collect();
            prop_assert_eq!(next(last, later, Millis(1)), None);
        }
    }
}
