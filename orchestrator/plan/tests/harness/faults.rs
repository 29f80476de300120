//! Everything that can go wrong or be ordered, as values: a schedule of them is a whole run, and any part of it is one.

use serde::{Deserialize, Serialize};

use super::Chance;
use super::disk::Point;
use super::people::Wish;
use super::tenants::Deed;

/// One fault, or one order. Members are chosen by number among those that there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Fault {
    /// The orchestrator dies at that point of the write after `skip` others, and is back after so many seconds.
    Crash {
        #[serde(rename = "point")]
        at: Point,
        skip: u64,
        seconds: u64,
    },
    /// It is held up while it writes; another one takes over, and then it goes on.
    Overtaken { seconds: u64 },
    /// So many of a thousand messages are lost, both ways.
    Loss { per_mille: u64, seconds: u64 },
    /// Messages take up to so long; one may overtake another.
    Delay { ms: u64, seconds: u64 },
    /// So many of a thousand messages arrive twice, the second one much later.
    Doubling { per_mille: u64, seconds: u64 },
    /// Nobody reaches the orchestrator.
    Split { seconds: u64 },
    /// So many of a thousand members are cut off, up, down or both.
    SplitSome { per_mille: u64, way: Way, seconds: u64 },
    /// The orchestrator does not reach the provisioner.
    ProvisionerApart { seconds: u64 },
    /// So many of a thousand starts find no capacity.
    NoCapacity { per_mille: u64, seconds: u64 },
    /// So many of a thousand calls succeed, and nobody learns of it before the time is out.
    TimeOutAfterSuccess { per_mille: u64, seconds: u64 },
    /// Calls take up to so long.
    SlowProvisioner { ms: u64, seconds: u64 },
    /// So many of a thousand removals fail.
    RemovalFails { per_mille: u64, seconds: u64 },
    /// A list takes so long: it tells what was.
    SlowList { ms: u64, seconds: u64 },
    /// Lists lack so many of a thousand instances.
    PartialList { per_mille: u64, seconds: u64 },
    /// So many of a thousand ends are noticed by nobody but the lists.
    UnnoticedEnds { per_mille: u64, seconds: u64 },
    /// An instance ends.
    Death { member: u64 },
    /// So many of a thousand instances end at once.
    MassDeath { per_mille: u64 },
    /// A member says and does nothing for so long.
    Silence { member: u64, seconds: u64 },
    /// So many of a thousand members do.
    MassSilence { per_mille: u64, seconds: u64 },
    /// A member's machine stops and starts again.
    Reboot { member: u64, seconds: u64 },
    /// A member's application does not answer its probe for so long.
    Hang { member: u64, seconds: u64 },
    /// A member lies about its load, percent.
    Lie { member: u64, percent: f64, seconds: u64 },
    /// Somebody else's instance stands where ours do, or one of ours of which the journal knows nothing.
    Stranger { ours: bool },
    /// The wall clock jumps.
    WallClock { ms: i64 },
    /// So many requests are in flight from here on.
    Demand { level: u64 },
    /// Somebody pushes a commit, which breaks the application or not.
    Push { bad: bool },
    /// Somebody orders something.
    Order { wish: Wish },
    /// A tenant does something.
    Tenant { tenant: i64, deed: Deed },
}

/// Which way a line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// What members say is lost.
    Up,
    /// What they are told is lost.
    Down,
    /// Both.
    Both,
}

/// A fault in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Injected {
    /// Seconds after the start.
    pub at: u64,
    #[serde(flatten)]
    pub fault: Fault,
}

/// All kinds that strike any application, by name.
pub const KINDS: [&str; 27] = [
    "crash",
    "overtaken",
    "loss",
    "delay",
    "doubling",
    "split",
    "split-some",
    "provisioner-apart",
    "no-capacity",
    "time-out-after-success",
    "slow-provisioner",
    "removal-fails",
    "slow-list",
    "partial-list",
    "unnoticed-ends",
    "death",
    "mass-death",
    "silence",
    "mass-silence",
    "reboot",
    "hang",
    "lie",
    "stranger",
    "wall-clock",
    "demand",
    "push",
    "order",
];

/// How often each kind strikes at most, per mille and second. Each run takes a share of that of its own.
const MOST: [u64; KINDS.len()] = [
    30, 8, 12, 15, 12, 12, 12, 10, 12, 12, 12, 8, 6, 6, 10, 30, 3, 25, 5, 12, 15, 12, 4, 8, 60, 30, 60,
];

/// The faults of a run of so many seconds, from its seed.
pub fn schedule(seconds: u64, chance: &mut Chance) -> Vec<Injected> {
    // Not every kind in every run: what few kinds do together would drown in the rest.
    let rates = MOST.map(|most| {
        if chance.per_mille(600) {
            chance.below(most + 1)
        } else {
            0
        }
    });
    let mut all = Vec::new();
    for at in 1..=seconds {
        for (kind, rate) in KINDS.into_iter().zip(rates) {
            if chance.per_mille(rate) {
                let fault = of_kind(kind, chance);
                all.push(Injected { at, fault });
            }
        }
    }
    all
}

#[allow(clippy::too_many_lines, reason = "one arm for each kind of fault")]
fn of_kind(kind: &str, chance: &mut Chance) -> Fault {
    let member = chance.next() % 1000;
    let seconds = 1 + chance.below(45);
    let share = 100 + chance.below(500);
    match kind {
        "crash" => crash(chance),
        "overtaken" => Fault::Overtaken {
            seconds: chance.below(10),
        },
        "loss" => Fault::Loss {
            per_mille: share,
            seconds,
        },
        "delay" => Fault::Delay {
            ms: 500 + chance.below(6000),
            seconds,
        },
        "doubling" => Fault::Doubling {
            per_mille: share,
            seconds,
        },
        "split" => Fault::Split {
            seconds: 1 + chance.below(60),
        },
        "split-some" => {
            let way = [Way::Up, Way::Down, Way::Both][chance.below(3) as usize];
            Fault::SplitSome {
                per_mille: share,
                way,
                seconds,
            }
        }
        "provisioner-apart" => Fault::ProvisionerApart { seconds },
        "no-capacity" => Fault::NoCapacity {
            per_mille: 300 + share,
            seconds,
        },
        "time-out-after-success" => Fault::TimeOutAfterSuccess {
            per_mille: 300 + share,
            seconds,
        },
        "slow-provisioner" => Fault::SlowProvisioner {
            ms: chance.below(20_000),
            seconds,
        },
        "removal-fails" => Fault::RemovalFails {
            per_mille: 300 + share,
            seconds,
        },
        "slow-list" => Fault::SlowList {
            ms: chance.below(30_000),
            seconds: 60 + seconds,
        },
        "partial-list" => Fault::PartialList {
            per_mille: share,
            seconds: 60 + seconds,
        },
        "unnoticed-ends" => Fault::UnnoticedEnds {
            per_mille: 300 + share,
            seconds,
        },
        "death" => Fault::Death { member },
        "mass-death" => Fault::MassDeath {
            per_mille: 300 + chance.below(701),
        },
        "silence" => Fault::Silence { member, seconds },
        "mass-silence" => Fault::MassSilence {
            per_mille: 300 + chance.below(701),
            seconds,
        },
        "reboot" => Fault::Reboot {
            member,
            seconds: 2 + chance.below(15),
        },
        "hang" => Fault::Hang {
            member,
            seconds: 1 + chance.below(20),
        },
        "lie" => {
            let percent = [0.0, 100.0, 1e4, 9.9e7][chance.below(4) as usize];
            Fault::Lie {
                member,
                percent,
                seconds: 10 + seconds,
            }
        }
        "stranger" => Fault::Stranger {
            ours: chance.per_mille(500),
        },
        "wall-clock" => Fault::WallClock {
            ms: chance.below(172_800_000) as i64 - 86_400_000,
        },
        "demand" => Fault::Demand {
            level: chance.below(90),
        },
        "push" => Fault::Push {
            bad: chance.per_mille(300),
        },
        _ => Fault::Order {
            wish: Wish::any(chance),
        },
    }
}

fn crash(chance: &mut Chance) -> Fault {
    let points = [
        Point::Idle,
        Point::BeforeAppend,
        Point::MidAppend,
        Point::AfterAppend,
        Point::DuringEffects,
    ];
    Fault::Crash {
        at: points[chance.below(5) as usize],
        skip: chance.below(3),
        seconds: chance.below(20),
    }
}

impl Fault {
    /// The name of its kind, as [`KINDS`] has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Overtaken { .. } => "overtaken",
            Self::Loss { .. } => "loss",
            Self::Delay { .. } => "delay",
            Self::Doubling { .. } => "doubling",
            Self::Split { .. } => "split",
            Self::SplitSome { .. } => "split-some",
            Self::ProvisionerApart { .. } => "provisioner-apart",
            Self::NoCapacity { .. } => "no-capacity",
            Self::TimeOutAfterSuccess { .. } => "time-out-after-success",
            Self::SlowProvisioner { .. } => "slow-provisioner",
            Self::RemovalFails { .. } => "removal-fails",
            Self::SlowList { .. } => "slow-list",
            Self::PartialList { .. } => "partial-list",
            Self::UnnoticedEnds { .. } => "unnoticed-ends",
            Self::Death { .. } => "death",
            Self::MassDeath { .. } => "mass-death",
            Self::Silence { .. } => "silence",
            Self::MassSilence { .. } => "mass-silence",
            Self::Reboot { .. } => "reboot",
            Self::Hang { .. } => "hang",
            Self::Lie { .. } => "lie",
            Self::Stranger { .. } => "stranger",
            Self::WallClock { .. } => "wall-clock",
            Self::Demand { .. } => "demand",
            Self::Push { .. } => "push",
            Self::Order { .. } => "order",
            Self::Tenant { .. } => "tenant",
        }
    }
}
