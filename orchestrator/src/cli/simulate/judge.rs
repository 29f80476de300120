//! The scaler for somebody else's judge: JSON lines in, the wanted size out, one line for each.
//!
//! This file refuses to know how the judge counts. The first line says what is judged:
//!
//! ```text
//! {"kind":"config","min":1,"max":80,"start_delay_s":10,"interval_s":5,"workers":5,"service_time_s":0.1,
//!  "slo_wait_s":0.1,"start_instances":4}                                       -> {"ready": true}
//! {"kind":"tick","t":5,"ready":4,"starting":0,"rps":120.2,"in_flight":12.1,"load_average":48,"memory":35,
//!  "utilisation":0.6}                                                          -> {"desired": 5}
//! ```

use std::io::{BufRead, Write};

use cartridge_orchestrator_plan::blueprint::{ArrivalPolicy, AutoscalingPolicy};
use serde::Deserialize;

use super::pilot::{Pilot, Seen};

/// Longest line read, bytes.
const MAX_LINE: u64 = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    Config(Config),
    Tick(Tick),
}

#[derive(Debug, Deserialize)]
struct Config {
    min: u32,
    max: u32,
    start_delay_s: f64,
    workers: u32,
    service_time_s: f64,
    slo_wait_s: f64,
}

#[derive(Debug, Deserialize)]
struct Tick {
    t: f64,
    ready: u32,
    starting: u32,
    rps: f64,
    in_flight: f64,
    load_average: f64,
    memory: f64,
}

/// Answers until the input ends. `policy` says everything but what the judge says.
pub fn serve(
    policy: &AutoscalingPolicy,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), String> {
    let mut pilot: Option<Pilot> = None;
    let (mut line, mut number) = (String::new(), 0_u64);
    loop {
        line.clear();
        number += 1;
        let read = std::io::Read::take(&mut *input, MAX_LINE).read_line(&mut line);
        let wrong = |why: String| format!("line {number}: {why}");
        if read.map_err(|fault| wrong(fault.to_string()))? == 0 {
            return Ok(());
        }
        let asked = serde_json::from_str(&line).map_err(|fault| wrong(fault.to_string()))?;
        let answer = match (asked, &mut pilot) {
            (Line::Config(config), pilot) => {
                *pilot = Some(begin(policy, &config).map_err(wrong)?);
                "{\"ready\": true}".to_owned()
            }
            (Line::Tick(tick), Some(pilot)) => {
                format!("{{\"desired\": {}}}", pilot.decide(&seen(&tick)).target)
            }
            (Line::Tick(_), None) => return Err(wrong("a tick came before the config".into())),
        };
        writeln!(output, "{answer}")
            .and_then(|()| output.flush())
            .map_err(|fault| fault.to_string())?;
    }
}

fn begin(policy: &AutoscalingPolicy, config: &Config) -> Result<Pilot, String> {
    let figures = [config.start_delay_s, config.service_time_s, config.slo_wait_s];
    if figures.iter().any(|figure| !figure.is_finite() || *figure < 0.0) {
        return Err("a figure of the config is negative or no number".into());
    }
    if config.min > config.max {
        return Err(format!("min {} is more than max {}", config.min, config.max));
    }
    let price = policy
        .arrivals
        .map_or(cartridge_orchestrator_plan::forecast::PRICE, |a| {
            a.violation_price
        });
    let policy = AutoscalingPolicy {
        arrivals: Some(ArrivalPolicy {
            workers: config.workers.max(1),
            wait_seconds: config.slo_wait_s,
            service_seconds: Some(config.service_time_s),
            violation_price: price,
        }),
        ..policy.clone()
    };
    Ok(Pilot::new(policy, config.start_delay_s, (config.min, config.max)))
}

fn seen(tick: &Tick) -> Seen {
    Seen {
        at: tick.t,
        ready: tick.ready,
        starting: tick.starting,
        rate: tick.rps,
        in_flight: tick.in_flight,
        load_average: tick.load_average,
        memory: tick.memory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"kind":"config","min":1,"max":80,"start_delay_s":10,"interval_s":5,"workers":5,
        "service_time_s":0.1,"slo_wait_s":0.1,"start_instances":4}"#;

    fn answers(text: &str) -> Result<String, String> {
        let mut output = Vec::new();
        serve(&super::super::default_policy(), &mut text.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output).unwrap())
    }

    fn tick(t: u32, rps: f64) -> String {
        format!(
            r#"{{"kind":"tick","t":{t},"ready":4,"starting":0,"rps":{rps},"in_flight":{},"load_average":50,"memory":35,"utilisation":0.6}}"#,
            rps / 10.0
        )
    }

    #[test]
    fn each_line_gets_one_answer_and_more_load_more_members() {
        let mut text = CONFIG.replace('\n', "") + "\n";
        for n in 1..=60 {
            text += &(tick(5 * n, 100.0) + "\n");
        }
        text += &(tick(305, 900.0) + "\n");
        let answers = answers(&text).unwrap();
        let lines: Vec<&str> = answers.lines().collect();
        assert_eq!(lines.len(), 62);
        let desired = |line: &str| -> u32 {
            line.trim_start_matches("{\"desired\": ")
                .trim_end_matches('}')
                .parse()
                .unwrap()
        };
        assert!((3..=5).contains(&desired(lines[60])), "{}", lines[60]);
        assert!(desired(lines[61]) >= 10, "{}", lines[61]);
    }

    #[test]
    fn what_is_no_question_is_told_with_its_line() {
        let said = answers("{}\n").unwrap_err();
        assert!(said.starts_with("line 1:"), "{said}");
        let said = answers(&(tick(5, 1.0) + "\n")).unwrap_err();
        assert!(said.contains("before the config"), "{said}");
        let odd = CONFIG.replace('\n', "").replace("\"min\":1", "\"min\":90") + "\n";
        assert!(answers(&odd).unwrap_err().contains("more than max"));
    }
}
