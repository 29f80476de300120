//! Faults strike: each of them by itself, so that any part of a schedule can be lived through.

use cartridge_protocol::{MemberId, Millis};

use super::disk::Point;
use super::faults::{Fault, Way};
use super::fixture;
use super::orchestrator::Death;
use super::provisioner::{Stranger, Trouble};
use super::sim::Sim;

const fn seconds(count: u64) -> Millis {
    Millis(1000 * count)
}

impl Sim {
    /// Now.
    pub fn strike(&mut self, fault: &Fault) {
        self.tally.add(fault.kind(), 1);
        match fault {
            Fault::Loss { seconds: s, .. }
            | Fault::Delay { seconds: s, .. }
            | Fault::Doubling { seconds: s, .. }
            | Fault::ProvisionerApart { seconds: s }
            | Fault::NoCapacity { seconds: s, .. }
            | Fault::TimeOutAfterSuccess { seconds: s, .. }
            | Fault::SlowProvisioner { seconds: s, .. }
            | Fault::RemovalFails { seconds: s, .. }
            | Fault::SlowList { seconds: s, .. }
            | Fault::PartialList { seconds: s, .. }
            | Fault::UnnoticedEnds { seconds: s, .. } => {
                self.windows.push((self.now.plus(seconds(*s)), fault.clone()));
            }
            Fault::Split { seconds: s } => self.split = self.split.max(self.now.plus(seconds(*s))),
            Fault::Crash { .. } | Fault::Overtaken { .. } | Fault::Order { .. } => {
                self.strike_orchestrator(fault)
            }
            Fault::Stranger { ours } => self.stranger(*ours),
            Fault::WallClock { ms } => {
                self.orchestrator.wall_ms = self.orchestrator.wall_ms.saturating_add_signed(*ms);
            }
            Fault::Demand { level } => self.demand = *level as f64,
            Fault::Push { bad } => self.push_commit(*bad),
            Fault::Tenant { tenant, deed } => self.deed(*tenant, *deed),
            _ => self.strike_members(fault),
        }
    }

    fn strike_orchestrator(&mut self, fault: &Fault) {
        if self.now < self.down || self.orchestrator.dies.is_some() {
            return;
        }
        match fault {
            Fault::Crash { at, skip, seconds } => {
                self.orchestrator.dies = Some(Death {
                    at: *at,
                    skip: *skip,
                    seconds: *seconds,
                    overtaken: false,
                });
            }
            Fault::Overtaken { seconds } => {
                self.orchestrator.dies = Some(Death {
                    at: Point::BeforeAppend,
                    skip: 0,
                    seconds: *seconds,
                    overtaken: true,
                });
            }
            Fault::Order { wish } if self.wish(*wish).is_err() => self.fall(),
            _ => {}
        }
    }

    fn strike_members(&mut self, fault: &Fault) {
        let now = self.now;
        for member in self.victims(fault) {
            let Some(agent) = self.agents.get_mut(&member) else {
                continue;
            };
            match fault {
                Fault::Death { .. } | Fault::MassDeath { .. } => self.kill(&member),
                Fault::Silence { seconds: s, .. } | Fault::MassSilence { seconds: s, .. } => {
                    agent.paused = agent.paused.max(now.plus(seconds(*s)));
                }
                Fault::Reboot { seconds: s, .. } => agent.reboot(now.plus(seconds(*s))),
                Fault::Hang { seconds: s, .. } => agent.hangs = now.plus(seconds(*s)),
                Fault::Lie {
                    percent, seconds: s, ..
                } if !agent.balancer => {
                    agent.lies = Some((now.plus(seconds(*s)), *percent));
                }
                Fault::SplitSome { way, seconds: s, .. } => {
                    if *way != Way::Down {
                        agent.cut_up = now.plus(seconds(*s));
                    }
                    if *way != Way::Up {
                        agent.cut_down = now.plus(seconds(*s));
                    }
                }
                _ => {}
            }
        }
    }

    fn victims(&mut self, fault: &Fault) -> Vec<MemberId> {
        let all: Vec<MemberId> = self.agents.keys().cloned().collect();
        match fault {
            Fault::Death { member }
            | Fault::Silence { member, .. }
            | Fault::Reboot { member, .. }
            | Fault::Hang { member, .. }
            | Fault::Lie { member, .. } => {
                let place = *member as usize % all.len().max(1);
                all.get(place).cloned().into_iter().collect()
            }
            Fault::MassDeath { per_mille }
            | Fault::MassSilence { per_mille, .. }
            | Fault::SplitSome { per_mille, .. } => {
                let chance = &mut self.chance;
                all.into_iter().filter(|_| chance.per_mille(*per_mille)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn stranger(&mut self, ours: bool) {
        let number = 900 + self.provisioner.strangers.len() as u64;
        let Ok(member) = fixture::cluster().member(number) else {
            return;
        };
        let began = self.now;
        self.provisioner
            .strangers
            .insert(member, Stranger { began, ours });
    }

    pub(super) fn trouble(&self) -> Trouble {
        let mut all = self.faults.provisioner;
        for (_, fault) in &self.windows {
            match fault {
                Fault::ProvisionerApart { .. } => all.apart = true,
                Fault::NoCapacity { per_mille, .. } => all.fails = all.fails.max(*per_mille),
                Fault::TimeOutAfterSuccess { per_mille, .. } => {
                    all.loses_answer = all.loses_answer.max(*per_mille);
                }
                Fault::SlowProvisioner { ms, .. } => all.slow_ms = all.slow_ms.max(*ms),
                Fault::RemovalFails { per_mille, .. } => {
                    all.removal_fails = all.removal_fails.max(*per_mille)
                }
                Fault::SlowList { ms, .. } => all.list_ms = all.list_ms.max(*ms),
                Fault::PartialList { per_mille, .. } => all.list_lacks = all.list_lacks.max(*per_mille),
                _ => {}
            }
        }
        all
    }

    pub(super) fn exit_notices_lost(&self) -> u64 {
        let windows = self.windows.iter().filter_map(|(_, fault)| match fault {
            Fault::UnnoticedEnds { per_mille, .. } => Some(*per_mille),
            _ => None,
        });
        windows.fold(self.faults.exit_notice_lost, u64::max)
    }
}
