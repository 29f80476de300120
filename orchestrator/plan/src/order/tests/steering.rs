//! Orders to what runs.

use super::*;

#[test]
fn an_ordered_size_keeps_the_bounds() {
    let mut world = deployed();
    let scale = |cluster: &str, size| Order::Scale {
        cluster: id(cluster),
        size,
        by: "eve\u{1b}[2J".to_owned(),
    };
    let refusal = refused(&world, scale(WEB, Some(7)));
    assert_eq!(
        refusal.message,
        "size: must be from 1 (cartridgeMin) to 6 (cartridgeMax 3 in 2 network partitions), got 7"
    );
    assert_eq!(refused(&world, scale(WEB, Some(0))).code, Code::Invalid);
    assert_eq!(refused(&world, scale("none", Some(1))).code, Code::NotFound);
    assert_eq!(
        refused(&world, scale("shop.lb-near.cartridge-balancer.domain", Some(1))).code,
        Code::Invalid
    );
    let records = ordered(&mut world, scale(WEB, Some(6)));
    assert!(
        matches!(&records[0], Record::ClusterSizeOrdered { by, .. } if by == "eve[2J"),
        "{records:?}"
    );
}

#[test]
fn releases_need_a_repository_and_something_to_go_back_to() {
    let mut world = deployed();
    let commit = |digit: &str| id::<CommitId>(&digit.repeat(40));
    let propose = |cluster: &str, commit| Order::ProposeRelease {
        cluster: id(cluster),
        commit,
        by: "eve".to_owned(),
    };
    let rollback = || Order::Rollback {
        cluster: id(WEB),
        by: "eve".to_owned(),
    };
    assert_eq!(refused(&world, rollback()).code, Code::Conflict);
    let bare = refused(
        &world,
        propose("shop.lb-near.cartridge-balancer.domain", commit("a")),
    );
    assert_eq!(bare.code, Code::Invalid);

    let accepted = |commit: CommitId| Record::ReleaseAccepted {
        cluster: id(WEB),
        commit,
    };
    for digit in ["a", "b"] {
        ordered(&mut world, propose(WEB, commit(digit)));
        apply(&mut world, &[accepted(commit(digit))]);
    }
    let target = |records: Vec<Record>| match &records[0] {
        Record::ReleaseProposed {
            commit, pinned: true, ..
        } => commit.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        target(admit(&world, rollback()).unwrap()),
        commit("a"),
        "the one before"
    );
    ordered(&mut world, propose(WEB, commit("c")));
    assert_eq!(
        target(admit(&world, rollback()).unwrap()),
        commit("b"),
        "an unfinished roll-out is given up"
    );
    let rejected = Record::ReleaseRejected {
        cluster: id(WEB),
        commit: commit("c"),
        reason: "hook failed".to_owned(),
    };
    apply(&mut world, &[rejected]);
    assert_eq!(
        target(ordered(&mut world, propose(WEB, commit("c")))),
        commit("c"),
        "may be ordered again"
    );
    let unpin = || Order::Unpin {
        cluster: id(WEB),
        by: "eve".to_owned(),
    };
    ordered(&mut world, unpin());
    assert_eq!(refused(&world, unpin()).code, Code::Conflict);
}

#[test]
fn a_repository_is_found_however_its_url_is_written() {
    let world = deployed();
    let announce = |url: &str| Order::Announce {
        repo_url: url.to_owned(),
    };
    for url in [
        "https://git.example.org/shop",
        "http://x:y@GIT.example.org/shop.git/",
        "https://git.example.org:443/shop.git",
    ] {
        assert_eq!(admit(&world, announce(url)).unwrap().len(), 1, "{url}");
    }
    let refusal = refused(&world, announce("https://eve:canary@git.example.org/other\u{1b}"));
    assert_eq!(refusal.code, Code::NotFound);
    assert!(
        !refusal.message.contains("canary") && !refusal.message.contains('\u{1b}'),
        "{}",
        refusal.message
    );
}

#[test]
fn draining_pausing_and_resuming_fit_the_state() {
    let mut world = deployed();
    let drain = |member: &str| Order::Drain {
        member: id(member),
        by: "eve".to_owned(),
    };
    assert_eq!(
        refused(&world, drain("shop.web.php.domain-9")).code,
        Code::NotFound
    );
    let member = id::<ClusterId>(WEB).member(1).unwrap();
    let planned = Record::MemberPlanned {
        group_instance: 0,
        member: member.clone(),
        incarnation: 1,
        cluster: id(WEB),
        network_partition: id("near"),
        partition: id("p1"),
        reason: "test".to_owned(),
    };
    apply(&mut world, &[planned]);
    ordered(&mut world, drain(member.as_str()));
    assert_eq!(refused(&world, drain(member.as_str())).code, Code::Conflict);

    let pause = || Order::Pause {
        by: "eve".to_owned(),
        reason: "upgrade".to_owned(),
    };
    let resume = || Order::Resume { by: "eve".to_owned() };
    assert_eq!(refused(&world, resume()).code, Code::Conflict);
    ordered(&mut world, pause());
    assert_eq!(
        refused(&world, pause()).message,
        "automation is paused already, by eve (upgrade)"
    );
    ordered(&mut world, resume());
}
