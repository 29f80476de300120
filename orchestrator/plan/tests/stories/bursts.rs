//! One network partition is full; the next comes into use, and goes again.

use cartridge_orchestrator_plan::desired::endpoints;
use cartridge_orchestrator_plan::record::Record;

use crate::harness::fixture::{self, Shape};
use crate::harness::sim::Sim;
use crate::harness::truth;
use crate::{count, running};

fn listed(sim: &Sim) -> Vec<String> {
    let points = endpoints(&sim.orchestrator.world, &fixture::app());
    points
        .into_iter()
        .map(|point| point.network_partition.to_string())
        .collect()
}

fn used(sim: &Sim) -> usize {
    sim.orchestrator.world.clusters[&fixture::cluster()]
        .instances
        .len()
}

#[test]
fn a_full_network_partition_bursts_into_the_next_and_back_and_again() {
    let mut sim = running(&Shape {
        min: 1,
        ..Shape::default()
    });
    for round in 0..2 {
        sim.demand = 58.0;
        sim.until("six stand in two network partitions", 120, |sim| {
            sim.active() == 6
        });
        assert_eq!(listed(&sim), ["np1", "np2"], "round {round}");
        sim.demand = 5.0;
        let begun = sim.orchestrator.journal.len();
        for _ in 0..900 {
            sim.second();
            truth::holds(&sim);
            if count(&sim, begun, |record| matches!(record, Record::BurstEnding { .. })) == 1
                && used(&sim) == 2
            {
                assert_eq!(
                    listed(&sim),
                    ["np1"],
                    "not listed from the moment that it is emptied"
                );
            }
            if used(&sim) == 1 {
                break;
            }
        }
        assert_eq!(used(&sim), 1, "{}", sim.picture());
        let order: Vec<&str> = crate::since(&sim, begun)
            .filter_map(|record| match record {
                Record::BurstEnding { .. } => Some("ending"),
                Record::MemberDraining { member, .. } if member.as_str().contains("lb-np2") => {
                    Some("balancer")
                }
                Record::BurstEnded { .. } => Some("ended"),
                _ => None,
            })
            .collect();
        assert_eq!(order, ["ending", "balancer", "ended"]);
    }
}

#[test]
fn balancer_and_members_of_a_burst_start_together() {
    let mut sim = running(&Shape {
        min: 1,
        ..Shape::default()
    });
    let begun = sim.orchestrator.journal.len();
    sim.demand = 58.0;
    sim.until("the burst begins", 30, used_two);
    let planned: Vec<&str> = crate::since(&sim, begun)
        .filter_map(|record| match record {
            Record::MemberPlanned {
                member,
                network_partition,
                ..
            } if network_partition.as_str() == "np2" => Some(member.as_str()),
            _ => None,
        })
        .collect();
    assert!(
        planned.iter().any(|member| member.contains("lb-np2")),
        "{planned:?}"
    );
    assert!(planned.iter().any(|member| member.contains("web")), "{planned:?}");
}

fn used_two(sim: &Sim) -> bool {
    used(sim) == 2
}

#[test]
fn all_at_once_uses_every_network_partition_from_the_start_and_keeps_them() {
    let shape = Shape {
        min: 1,
        everywhere: true,
        network_partitions: 3,
        ..Shape::default()
    };
    let mut sim = Sim::new(&shape, 1);
    sim.until("one in each", 60, |sim| sim.active() == 3);
    sim.seconds(300);
    assert_eq!(used(&sim), 3);
    assert_eq!(sim.active(), 3);
}

#[test]
fn with_no_network_partition_left_the_report_says_so() {
    let mut sim = running(&Shape {
        min: 1,
        network_partitions: 1,
        ..Shape::default()
    });
    sim.demand = 500.0;
    sim.until("all room is used", 60, |sim| sim.active() == 4);
    sim.seconds(5);
    let text = format!("{:?}", sim.orchestrator.last.report);
    assert!(text.contains("there is room for 4"), "{text}");
}
