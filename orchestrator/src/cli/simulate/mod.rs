//! `cartridge simulate`: a trace of requests, a model of members, and the product's own decisions in virtual time.
//!
//! This file refuses to know a server: nothing is asked of one, nothing is changed anywhere.

mod demand;
mod judge;
mod model;
mod pilot;
mod plot;
mod report;
mod rivals;
mod run;
mod trace;

use std::path::{Path, PathBuf};

use cartridge_orchestrator_plan::blueprint::parse;
use cartridge_orchestrator_plan::blueprint::{ArrivalPolicy, AutoscalingPolicy};
use cartridge_orchestrator_plan::forecast::PRICE;
use cartridge_orchestrator_plan::forecast::queue::{Limits, MOST_MEMBERS, Server};
use cartridge_protocol::PolicyId;
use clap::{Args, ValueEnum};
use serde_json::Value;

use self::model::Setting;
use self::rivals::Rival;
use self::run::{Brake, Rule};
use super::client::Fault;
use super::{Global, Kind, Output, document, show};

/// Options of `simulate`.
#[derive(Clone, Debug, Args)]
pub struct SimulateOptions {
    /// CSV `seconds,requests_per_second` with a constant step
    #[arg(
        required_unless_present = "judge",
        conflicts_with = "judge",
        value_name = "TRACE.csv"
    )]
    pub trace: Option<PathBuf>,
    /// Blueprint with the autoscaling policy to try; may be repeated [default: sizing by arrivals]
    #[arg(long = "file", short, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Which autoscaling policy of the blueprint
    #[arg(long, value_name = "NAME", requires = "files")]
    pub policy: Option<String>,
    /// Whose rule; may be repeated, for a table
    #[arg(
        long,
        value_enum,
        default_value = "cartridge",
        conflicts_with = "judge",
        value_name = "RULE"
    )]
    pub rule: Vec<RuleName>,
    /// Seconds from launch until a member serves
    #[arg(long, default_value_t = 10.0, value_parser = seconds, value_name = "SECONDS", help_heading = "Members")]
    pub start_delay: f64,
    /// Requests that a member serves at a time
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "COUNT", help_heading = "Members")]
    pub workers: u32,
    /// Mean seconds that a request takes while nothing waits
    #[arg(long, default_value_t = 0.1, value_parser = positive, value_name = "SECONDS", help_heading = "Members")]
    pub service_time: f64,
    /// Mean wait that is promised, seconds
    #[arg(long, default_value_t = 0.1, value_parser = positive, value_name = "SECONDS", help_heading = "Members")]
    pub wait: f64,
    /// Fewest members
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "COUNT", help_heading = "Members")]
    pub min: u32,
    /// Most members [default: half as many again as the trace needs at most]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "COUNT", help_heading = "Members")]
    pub max: Option<u32>,
    /// What a second of a broken promise is worth, in seconds of a cluster of mean size
    /// [default: 130, or what the policy says]
    #[arg(long, value_parser = seconds, value_name = "PRICE")]
    pub price: Option<f64>,
    /// Scale the trace so that its busiest thousandth needs nine tenths of so many members
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "MEMBERS")]
    pub peak_members: Option<u32>,
    /// Take members out at once, not at most a tenth of them a minute as the server does
    #[arg(long, conflicts_with = "judge")]
    pub no_brake: bool,
    /// Of the chance in arrivals: the same seed, the same arrivals
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Write one row per five seconds there
    #[arg(long, value_name = "FILE", conflicts_with = "judge")]
    pub csv: Option<PathBuf>,
    /// Draw demand, members, decisions and violations there
    #[arg(long, value_name = "FILE.svg", conflicts_with = "judge")]
    pub plot: Option<PathBuf>,
    /// List the decisions and their reasons
    #[arg(long, conflicts_with = "judge")]
    pub decisions: bool,
    /// Answer a judge's JSON lines instead
    #[arg(long)]
    pub judge: bool,
}

/// Whose rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RuleName {
    /// This product's
    Cartridge,
    /// Kubernetes' HorizontalPodAutoscaler at 80 % processor use
    Hpa,
    /// Apache Stratos 4.1 as shipped
    Stratos,
    /// The highest demand's members all the time
    Static,
}

impl RuleName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cartridge => "cartridge",
            Self::Hpa => "hpa",
            Self::Stratos => "stratos",
            Self::Static => "static",
        }
    }
}

/// Sizing by arrivals and nothing else; what a member can do is filled in by who asks.
fn default_policy() -> AutoscalingPolicy {
    AutoscalingPolicy {
        id: PolicyId::new("default").expect("it is a name"),
        requests_in_flight: None,
        memory_consumption: None,
        load_average: None,
        horizon_seconds: 15.0,
        stabilization_seconds: 120.0,
        arrivals: Some(ArrivalPolicy {
            workers: 5,
            wait_seconds: 0.1,
            service_seconds: None,
            violation_price: PRICE,
        }),
    }
}

/// Carries out `simulate`.
pub fn simulate(options: &SimulateOptions, global: &Global) -> Result<(), Fault> {
    let policy = policy(options)?;
    if options.judge {
        let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
        return judge::serve(&policy, &mut input, &mut output).map_err(Fault::Usage);
    }
    let path = options.trace.as_deref().unwrap_or(Path::new("-"));
    let trace = trace::read(path).map_err(|fault| Fault::Usage(format!("{}: {fault}", path.display())))?;
    let server = Server {
        workers: options.workers,
        service_seconds: options.service_time,
        wait_seconds: options.wait,
    };
    let arrivals = demand::arrivals(
        &trace,
        options.seed,
        options.peak_members.map(|peak| (peak, &server)),
    );
    let setting = setting(options, server, &arrivals)?;
    let mut summaries = Vec::new();
    for (number, name) in options.rule.iter().enumerate() {
        let rule = rule(*name, &policy, &setting, &arrivals, options);
        let outcome = run::run(&arrivals, setting, rule);
        if number == 0 {
            written(options, &trace.name, *name, &outcome)?;
        }
        summaries.push((name.as_str(), report::Summary::of(&outcome, &setting)));
        if options.decisions {
            list(&outcome)?;
        }
    }
    if global.output == Output::Json {
        let rows: Vec<Value> = summaries
            .iter()
            .map(|(name, summary)| summary.json(name))
            .collect();
        return show::json(&serde_json::json!({"trace": trace.name, "rules": rows}));
    }
    let rows: Vec<Vec<String>> = summaries
        .iter()
        .map(|(name, summary)| summary.cells(name))
        .collect();
    show::line(&format!(
        "{}: {:.1} h, members serve {:.1} requests/s each and start in {} s",
        super::clean::line(&trace.name),
        arrivals.len() as f64 * model::TICK / 3_600.0,
        server.capacity(),
        setting.start_delay
    ))?;
    show::table(&COLUMNS, &rows, "nothing was simulated")
}

const COLUMNS: [show::Column; 8] = [
    show::words("RULE", 0),
    show::figures("BROKEN", 0),
    show::figures("LOST", 3),
    show::figures("HOURS", 0),
    show::figures("X CLAIRVOYANT", 0),
    show::figures("MEAN", 2),
    show::figures("MOST", 2),
    show::figures("CHANGES", 1),
];

/// The blueprint's, completed by what the options say.
fn policy(options: &SimulateOptions) -> Result<AutoscalingPolicy, Fault> {
    let mut policy = if options.files.is_empty() {
        let mut policy = default_policy();
        if let Some(arrivals) = &mut policy.arrivals {
            arrivals.workers = options.workers;
            arrivals.wait_seconds = options.wait;
        }
        policy
    } else {
        of_blueprint(options)?
    };
    if let (Some(arrivals), Some(price)) = (&mut policy.arrivals, options.price) {
        arrivals.violation_price = price;
    }
    Ok(policy)
}

fn of_blueprint(options: &SimulateOptions) -> Result<AutoscalingPolicy, Fault> {
    let documents = document::read_all(&options.files)?;
    let wanted = |name: &str| options.policy.as_ref().is_none_or(|policy| policy == name);
    let mut found = documents
        .iter()
        .filter(|one| one.kind == Kind::AutoscalingPolicies && wanted(&one.name));
    let (one, another) = (found.next(), found.next());
    match (one, another) {
        (Some(one), None) => parse::autoscaling_policy(&one.body)
            .map_err(|fault| Fault::Usage(format!("{}: {fault}", one.name))),
        (None, _) => Err(Fault::Usage(match &options.policy {
            Some(name) => format!("no autoscaling policy {name:?} in these files"),
            None => "no autoscaling policy in these files".into(),
        })),
        (Some(_), Some(_)) => Err(Fault::Usage(
            "several autoscaling policies in these files: say which with --policy".into(),
        )),
    }
}

fn setting(options: &SimulateOptions, server: Server, arrivals: &[f64]) -> Result<Setting, Fault> {
    let mut limits = Limits::default();
    limits.serve(&server);
    let highest = limits.needed(arrivals.iter().fold(0.0, |most, rate| f64::max(most, *rate)));
    if highest >= MOST_MEMBERS {
        return Err(Fault::Usage(format!(
            "the trace needs {MOST_MEMBERS} members or more at {:.1} requests/s each: try --peak-members, or larger \
             members",
            server.capacity()
        )));
    }
    let max = options
        .max
        .unwrap_or((highest + highest.div_ceil(2)).max(options.min).min(MOST_MEMBERS));
    if max < options.min {
        return Err(Fault::Usage(format!(
            "--max {max} is less than --min {}",
            options.min
        )));
    }
    Ok(Setting {
        server,
        start_delay: options.start_delay,
        min: options.min,
        max,
    })
}

fn rule(
    name: RuleName,
    policy: &AutoscalingPolicy,
    setting: &Setting,
    arrivals: &[f64],
    options: &SimulateOptions,
) -> Rule {
    let brake = if options.no_brake { Brake::Off } else { Brake::On };
    match name {
        RuleName::Cartridge => run::cartridge(policy.clone(), setting, brake),
        RuleName::Hpa => Rule::Rival(Rival::Hpa {
            recommended: std::collections::VecDeque::new(),
        }),
        RuleName::Stratos => Rule::Rival(Rival::Stratos { quiet: 0 }),
        RuleName::Static => {
            let mut limits = Limits::default();
            limits.serve(&setting.server);
            let most = arrivals.iter().map(|rate| limits.needed(*rate)).max();
            Rule::Rival(Rival::Static(most.unwrap_or(1)))
        }
    }
}

/// The files that were asked for: of the first rule.
fn written(
    options: &SimulateOptions,
    trace: &str,
    name: RuleName,
    outcome: &run::Outcome,
) -> Result<(), Fault> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).map_err(|fault| Fault::Usage(format!("{}: {fault}", path.display())))
    };
    if let Some(path) = &options.csv {
        write(path, report::csv(outcome))?;
    }
    if let Some(path) = &options.plot {
        let title = format!(
            "{trace}, rule {}, members start in {} s",
            name.as_str(),
            options.start_delay
        );
        write(path, plot::svg(outcome, &title))?;
    }
    Ok(())
}

fn list(outcome: &run::Outcome) -> Result<(), Fault> {
    for decision in &outcome.decisions {
        show::line(&format!(
            "{:>9.0} s  {} -> {}  {}",
            decision.at,
            decision.from,
            decision.to,
            if decision.reason.is_empty() {
                decision.factor
            } else {
                &decision.reason
            }
        ))?;
    }
    Ok(())
}

fn seconds(text: &str) -> Result<f64, String> {
    figure(text, 0.0)
}

fn positive(text: &str) -> Result<f64, String> {
    figure(text, 1e-4)
}

fn figure(text: &str, least: f64) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if value.is_finite() && (least..=3_600.0).contains(&value) {
        Ok(value)
    } else {
        Err(format!("it must be from {least} to 3600"))
    }
}

#[cfg(test)]
mod tests;
