//! Every record has words of its own.

use serde_json::json;

use super::*;

/// One of each kind; a new kind makes `every_kind_is_here` fail.
#[allow(clippy::too_many_lines, reason = "one row per kind")]
fn all() -> Vec<Record> {
    let commit = "a".repeat(40);
    let member = |kind: &str, more: Value| {
        let mut fields = json!({"kind": kind, "member": "app.web.php.domain-1", "incarnation": 1});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    let cluster = |kind: &str, more: Value| {
        let mut fields = json!({"kind": kind, "cluster": "app.web.php.domain"});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        fields
    };
    let np = "np-1";
    let because = json!({"reason": "because"});
    let rows = [
        json!({"kind": "installation-created", "installation": "i"}),
        json!({"kind": "orchestrator-started", "epoch": 2}),
        json!({"kind": "automation-paused", "by": "admin", "reason": "because"}),
        json!({"kind": "automation-resumed", "by": "admin"}),
        json!({"kind": "cartridge-removed", "cartridgeType": "php"}),
        json!({"kind": "autoscaling-policy-removed", "id": "p"}),
        json!({"kind": "deployment-policy-removed", "id": "p"}),
        json!({"kind": "application-policy-removed", "id": "p"}),
        json!({"kind": "network-partition-removed", "id": np}),
        json!({"kind": "deployment-policy-put", "id": "p", "networkPartitions": []}),
        json!({"kind": "application-policy-put", "id": "p", "algorithm": "all-at-once", "groups": [], "properties": {}}),
        json!({"kind": "network-partition-put", "id": np, "provider": "mock", "partitions": [], "properties": {}}),
        json!({"kind": "repository-secret-sealed", "application": "app", "alias": "web", "sealed": "canary"}),
        json!({"kind": "application-removed", "application": "app"}),
        json!({"kind": "application-deployed", "application": "app", "policy": "p"}),
        json!({"kind": "application-undeploying", "application": "app", "force": false}),
        json!({"kind": "application-undeployed", "application": "app"}),
        json!({"kind": "burst-started", "application": "app", "networkPartition": np, "reason": "because"}),
        json!({"kind": "burst-ending", "application": "app", "networkPartition": np, "reason": "because"}),
        json!({"kind": "burst-ended", "application": "app", "networkPartition": np}),
        cluster(
            "cluster-resized",
            json!({"networkPartition": np, "from": 1, "to": 2, "factor": "order", "reason": "because"}),
        ),
        cluster("cluster-renewed", json!({"reason": "because"})),
        cluster("cluster-retired", json!({})),
        cluster("cluster-size-ordered", json!({"size": 3, "by": "admin"})),
        cluster("repository-announced", json!({})),
        cluster(
            "release-proposed",
            json!({"commit": commit, "by": "admin", "pinned": true}),
        ),
        cluster("release-accepted", json!({"commit": commit})),
        cluster("release-rejected", json!({"commit": commit, "reason": "because"})),
        cluster("release-unpinned", json!({"by": "admin"})),
        member(
            "member-planned",
            json!({"cluster": "app.web.php.domain", "networkPartition": np, "partition": "p", "reason": "because"}),
        ),
        member(
            "member-ensured",
            json!({"instance": "pid 1", "address": "127.0.0.1", "ports": {}}),
        ),
        member("member-ensure-failed", json!({"attempt": 1, "reason": "because"})),
        member("member-joined", json!({"credentialSha256": "canary"})),
        member("member-activated", json!({})),
        member("member-suspended", because.clone()),
        member("member-updating", json!({"commit": commit, "live": false})),
        member("member-cleared", json!({})),
        member("member-switched", json!({"commit": commit})),
        member("member-draining", because.clone()),
        member("member-stopping", because.clone()),
        member("member-stopped", json!({})),
        member("member-failed", because),
        member("member-removed", json!({})),
    ];
    rows.into_iter()
        .map(|row| serde_json::from_value(row.clone()).unwrap_or_else(|e| panic!("{row}: {e}")))
        .collect()
}

#[test]
fn every_record_has_words_a_time_and_no_secret() {
    for (n, record) in all().into_iter().enumerate() {
        let said = tell(
            &Entry {
                seq: n as u64 + 1,
                at_unix_ms: 1_700_000_000_123,
                record,
            },
            &World::default(),
        );
        assert_eq!(said.at, "2023-11-14T22:13:20.123Z");
        assert_ne!(said.text, said.kind, "{} has no words", said.kind);
        assert!(
            !said.text.contains("canary") && !said.text.contains('\n'),
            "{}",
            said.text
        );
    }
}

#[test]
fn an_event_says_what_it_concerns() {
    for record in all() {
        let said = tell(
            &Entry {
                seq: 1,
                at_unix_ms: 0,
                record,
            },
            &World::default(),
        );
        if said.kind.starts_with("member-") {
            assert_eq!(
                said.member.as_deref(),
                Some("app.web.php.domain-1"),
                "{}",
                said.kind
            );
            assert_eq!(
                said.cluster.as_deref(),
                Some("app.web.php.domain"),
                "{}",
                said.kind
            );
        }
        if said.cluster.is_some() || said.kind.starts_with("application-un") {
            assert_eq!(said.application.as_deref(), Some("app"), "{}", said.kind);
        }
    }
}

#[test]
fn no_two_kinds_look_alike() {
    let mut kinds: Vec<String> = all()
        .iter()
        .map(|record| kind(&serde_json::to_value(record).unwrap()))
        .collect();
    kinds.sort();
    kinds.dedup();
    // With cartridge-put, autoscaling-policy-put and application-put, which are told in `resource`.
    assert_eq!(kinds.len() + 3, 46);
}
