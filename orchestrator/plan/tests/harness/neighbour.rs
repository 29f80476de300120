//! S21: whatever another tenant has beside an application, what is decided for that application is the same, word for
//! word: records, report, what is remembered, when to look again.
//!
//! The other tenant's names are such that a comparison by the beginning of a name would take them for ours. Its members
//! do not serve: those who serve count, on purpose, when it is to be told whether it is we who are deaf (S8, S9).

use std::collections::BTreeSet;

use cartridge_orchestrator_plan::blueprint::Application;
use cartridge_orchestrator_plan::decide::{Planned, Scope, View, decide};
use cartridge_orchestrator_plan::record::{Entry, Record};
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, ClusterId};

use super::fixture::{self, Shape};
use super::{Holds, demand};

/// `planned`: what was decided from `view` for all that there is.
pub fn changes_nothing(view: &View<'_>, planned: &Planned, shape: &Shape) -> Holds {
    let mut world = view.world.clone();
    for name in ["shop-2", "shopping"] {
        settle_in(&mut world, name, shape, view);
    }
    let crowded = View {
        world: &world,
        ..*view
    };
    let ours = BTreeSet::from([fixture::app()]);
    let beside = decide(&crowded, Scope::Applications(&ours));
    demand(beside == *planned, "S21 non-interference", || {
        format!("{planned:?} without another tenant, {beside:?} with one")
    })
}

/// It is deployed; one member starts, one is ready to stop, one is planned.
fn settle_in(world: &mut World, name: &str, shape: &Shape, view: &View<'_>) {
    let application = ApplicationId::new(name).unwrap();
    let tenant = TenantId::new(7).unwrap();
    let mut blueprint: Application = fixture::application(shape);
    blueprint.application_id = application.clone();
    blueprint.tenant = tenant;
    let alias = blueprint.cartridges[0].alias.clone();
    let mut records = vec![
        fixture::tenant(tenant.get(), "other.example"),
        Record::ApplicationPut(Box::new(blueprint)),
        Record::ApplicationDeployed {
            application: application.clone(),
            policy: fixture::policy("where"),
        },
        Record::BurstStarted {
            application: application.clone(),
            network_partition: fixture::np(1),
            reason: "deployed".into(),
        },
    ];
    let cluster = ClusterId::of(&application, &alias, &fixture::cartridge(shape).cartridge_type).unwrap();
    for number in 1..=3 {
        records.push(Record::MemberPlanned {
            member: cluster.member(number).unwrap(),
            incarnation: 1,
            cluster: cluster.clone(),
            network_partition: fixture::np(1),
            partition: "a".parse().unwrap(),
            group_instance: 0,
            reason: String::new(),
        });
    }
    records.push(Record::MemberJoined {
        member: cluster.member(1).unwrap(),
        incarnation: 1,
        credential_sha256: "hash".into(),
    });
    records.push(Record::MemberDraining {
        member: cluster.member(2).unwrap(),
        incarnation: 1,
        reason: String::new(),
    });
    for record in records {
        let entry = Entry {
            seq: world.seq + 1,
            at_unix_ms: 0,
            record,
        };
        if let Err(fault) = world.apply(&entry, view.now) {
            panic!("{fault}: {:?}", entry.record);
        }
    }
}
