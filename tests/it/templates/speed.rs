//! How fast a template finds what, in words of the README: computed with what the analysis itself reckons
//! with, or taken from the dry run.

use std::collections::BTreeMap;

use tidegate::analysis::effects::wald_requests;
use tidegate::analysis::plan::{ComparisonPlan, Kind, Measure, PlannedMetric};

use super::dry_run::{FAILING, plan_of};
use tidegate::api::analysis::RunMode;

/// Wald's bound is reached in half of the cases; in four of five it takes so many times as much.
const FOUR_OF_FIVE: f64 = 1.75;
/// Requests a second of both versions, and the new version's share of them.
const RATE: f64 = 100.0;
const WEIGHT: f64 = 0.1;
/// The stable version's share of bad ones, and how many times as many the new one has.
const BAD: f64 = 0.01;
const TIMES: f64 = 2.0;
/// Events a second of a stable pod, what is left of them, and the new version's share of the pods.
const EVENTS: f64 = 1.0;
const LEFT: f64 = 0.5;

/// Seconds until `times` as many bad ones as the stable version's `bad` are found, with `rate` requests a
/// second to the new version. They must be too many beside the stable version, and above the level that the
/// absolute tolerance and the floor make: the slower of the two.
fn ratio_seconds(compared: &ComparisonPlan, bad: f64, times: f64, rate: f64) -> f64 {
    let kappa = (1.0 - WEIGHT) / WEIGHT;
    let relative = wald_requests(compared.alpha, bad, kappa, times, 1.0 + compared.relative);
    let level = (bad + compared.absolute).max(compared.floor) / bad;
    // Against a level alone: as if the stable version's ratio were known.
    let absolute = wald_requests(compared.alpha, bad, 1e9, times, level);
    FOUR_OF_FIVE * relative.max(absolute) / rate
}

/// The same for events that must not become fewer: one new pod among ten.
fn fewer_seconds(compared: &ComparisonPlan) -> f64 {
    let kappa = (1.0 - WEIGHT) / WEIGHT;
    let r0 = 1.0 - compared.relative;
    FOUR_OF_FIVE * wald_requests(compared.alpha, EVENTS, kappa, LEFT, r0)
}

/// In words, and not sooner than the first window.
fn words(seconds: f64) -> String {
    match seconds.max(15.0) {
        s if s < 115.0 => format!("{:.0} s", (s / 5.0).ceil() * 5.0),
        s if s < 7200.0 => format!("{:.0} min", (s / 60.0).ceil()),
        s if s < 172_800.0 => format!("{:.0} h", (s / 3600.0).ceil()),
        s => format!("{:.0} d", (s / 86400.0).ceil()),
    }
}

fn after(metric: &PlannedMetric, warmup: i64, dry_run: &BTreeMap<String, i64>) -> String {
    let seconds = match &metric.kind {
        Kind::Threshold(t) => (i64::from(t.failure_limit) * t.interval) as f64,
        Kind::Comparison(compared) => match &compared.measure {
            Measure::Ratio { .. } => ratio_seconds(compared, BAD, TIMES, RATE * WEIGHT),
            Measure::Events { .. } => fewer_seconds(compared),
            Measure::Histogram { .. } | Measure::Gauge { .. } => {
                (dry_run[&metric.name] - warmup) as f64
            }
        },
    };
    match &metric.kind {
        Kind::Threshold(_) if seconds == 0.0 => format!("`{}` at once", metric.name),
        _ => format!("`{}` {}", metric.name, words(seconds)),
    }
}

/// What decides, with how fast, and what is shown only: two cells of the README's table.
pub fn cells(file: &str) -> [String; 2] {
    let plan = plan_of(file, RunMode::Step);
    let dry_run = &FAILING[file];
    let (shown, decides): (Vec<_>, Vec<_>) = plan.metrics.iter().partition(|m| m.dry_run);
    let decides: Vec<String> = decides
        .iter()
        .map(|m| after(m, plan.warmup, dry_run))
        .collect();
    let shown: Vec<String> = shown.iter().map(|m| format!("`{}`", m.name)).collect();
    let none = |cells: Vec<String>| match cells.as_slice() {
        [] => "–".to_owned(),
        some => some.join(", "),
    };
    [none(decides), none(shown)]
}

/// The README's table of errors: rows of stable's share and how many times as many, columns of requests a
/// second to the new version.
pub fn errors_table() -> Vec<String> {
    let plan = plan_of("application.yaml", RunMode::Step);
    let Kind::Comparison(errors) = &plan.metrics[0].kind else {
        panic!("errors are compared");
    };
    let mut rows = Vec::new();
    for (bad, times) in [
        (0.001, 2.0),
        (0.001, 5.0),
        (0.01, 1.5),
        (0.01, 2.0),
        (0.01, 5.0),
    ] {
        let seconds =
            [1.0, 10.0, 100.0, 1000.0].map(|rate| ratio_seconds(errors, bad, times, rate));
        let cells = seconds.map(words).join(" | ");
        rows.push(format!("| {}% | {times} times | {cells} |", bad * 100.0));
    }
    rows
}
