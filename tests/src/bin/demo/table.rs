//! The figures at the end, and what they say against the verdict.
//!
//! It refuses to round a failure away.

use std::time::Duration;

use cartridge_tests::load::Report;

use crate::narrator::Narrator;
use crate::stage::Fault;

const SHOWN_FAILURES: usize = 10;

pub(crate) fn show(narrator: &Narrator, times: &[(&'static str, Duration)], report: &Report) {
    narrator.step("Figures");
    let row = |name: &str, value: String| narrator.plain(&format!("  {name:<52} {value:>12}"));
    for (step, took) in times {
        row(step, format!("{:.1} s", took.as_secs_f64()));
    }
    row("requests sent", report.sent.to_string());
    row("  answered", report.ok.to_string());
    row("  failed", report.failed.to_string());
    row(
        "  failed, in flight on a process that was killed",
        report.failed_on_killed.to_string(),
    );
    let millis = |value: Duration| format!("{:.1} ms", value.as_secs_f64() * 1000.0);
    row("time to answer, half of them within", millis(report.p50));
    row("time to answer, 99 of 100 within", millis(report.p99));
    row("time to answer, longest", millis(report.longest));
    for (balancer, answered) in &report.balancers {
        row(&format!("answered through {balancer}"), answered.to_string());
    }
    for (release, answered) in &report.releases {
        let short: String = release.chars().take(8).collect();
        row(&format!("answered by release {short}"), answered.to_string());
    }
    for failure in report
        .failures
        .iter()
        .filter(|f| !f.in_flight_on_killed)
        .take(SHOWN_FAILURES)
    {
        let (began, ended) = (failure.began.as_secs_f64(), failure.ended.as_secs_f64());
        let member = failure.member.as_deref().unwrap_or("-");
        narrator.plain(&format!(
            "  failed {began:.2}..{ended:.2} s at {} ({member}): {}",
            failure.peer, failure.reason
        ));
    }
}

/// Everything that speaks against success.
pub(crate) fn reasons(story: Option<&Fault>, report: &Report) -> Vec<String> {
    let mut reasons: Vec<_> = story.map(ToString::to_string).into_iter().collect();
    if report.failed > 0 {
        reasons.push(format!(
            "{} requests failed without a killed process as the cause",
            report.failed
        ));
    }
    if report.ok == 0 {
        reasons.push("no request was answered".to_owned());
    }
    reasons
}
