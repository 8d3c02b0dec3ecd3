//! Reports of `backtest` in lines for people. Pure.

use super::{Found, Report};
use crate::analysis::backtest::summary::{Share, Summary};
use crate::analysis::replay::Moment;
use crate::cli::analyze::{self, time};
use crate::cli::layout::{labelled, table};
use crate::cli::style::{Line, Tone};
use crate::cli::words;

/// Rows of a table that people read.
const ROWS_MAX: usize = 40;
/// The heads of the columns of regressions.
pub(in crate::cli) const HEAD: [&str; 5] = ["regression", "in", "found", "median", "passed"];

/// What came of the rollouts that never were.
pub(super) fn lines(report: &Report, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    let runs = report.placebo.aborted.of;
    let each = words::plural(i64::try_from(report.pods).unwrap_or(i64::MAX), "pod");
    for (label, text) in [
        (
            "Backtest",
            format!(
                "{}: {runs} rollouts that never were, {each} for the new version, {} to {}, seed {}",
                report.template,
                time(report.stretch.from),
                time(report.stretch.to),
                report.seed
            ),
        ),
        ("Versions", report.versions.clone()),
        ("Metrics", report.source.clone()),
    ] {
        labelled(&mut lines, label, &text, width);
    }
    for note in &report.notes {
        labelled(&mut lines, "Note", note, width);
    }
    lines.push(Line::new());
    for (label, text) in conclusions(report) {
        labelled(&mut lines, label, &text, width);
    }
    lines.push(Line::new());
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(report.regressions.iter().map(row));
    lines.extend(table(&rows, width));
    lines
}

/// What the runs without a regression say, each with its label.
pub(in crate::cli) fn conclusions(report: &Report) -> Vec<(&'static str, String)> {
    let of = &report.placebo;
    let allowed = words::percent(report.false_abort_rate, 1.0);
    let mut aborts = format!("{}; one run may do so in {allowed}", share(&of.aborted));
    if of.aborted.lower > report.false_abort_rate {
        aborts.push_str(
            ". That is more than it says: the pods differ by more than their past shows. More pods, a wider tolerance, or a control group",
        );
    }
    if !of.aborting.is_empty() {
        aborts.push_str(&format!(" (by {})", tally(&of.aborting)));
    }
    let mut none = share(&of.undecided);
    if !of.reasons.is_empty() {
        none.push_str(&format!(" (last: {})", tally(&of.reasons)));
    }
    let longest = words::length(report.horizon);
    vec![
        ("Aborted", aborts),
        (
            "Passed",
            format!(
                "{}; {}",
                share(&of.passed),
                median(of.median_pass, &longest)
            ),
        ),
        ("No verdict", format!("{none} within {longest}")),
    ]
}

fn median(seconds: Option<i64>, longest: &str) -> String {
    seconds.map_or_else(
        || format!("fewer than half of them within {longest}"),
        |s| format!("half of all within {}", words::length(s)),
    )
}

/// `2 of 200 (1 %, 0.12 to 3.6 % with 95 %)`
fn share(share: &Share) -> String {
    format!(
        "{} of {} ({}, {} to {} with 95 %)",
        share.count,
        share.of,
        words::percent(share.share(), 1.0),
        words::percent(share.lower, 1.0).trim_end_matches(" %"),
        words::percent(share.upper, 1.0)
    )
}

fn tally(all: &[(String, usize)]) -> String {
    let each: Vec<String> = all.iter().map(|(name, n)| format!("{name} {n}")).collect();
    each.join(", ")
}

/// A regression's row, of five cells.
pub(in crate::cli) fn row(found: &Found) -> Vec<String> {
    let factor = format!("{} times", words::digits(found.factor));
    let Some(Summary {
        aborted,
        passed,
        median_abort,
        ..
    }) = &found.summary
    else {
        let why = "cannot be that bad".to_owned();
        return vec![
            factor,
            found.metric.clone(),
            why,
            String::new(),
            String::new(),
        ];
    };
    vec![
        factor,
        found.metric.clone(),
        format!("{} of {}", aborted.count, aborted.of),
        median_abort.map_or_else(|| "-".to_owned(), words::length),
        format!("{} of {}", passed.count, passed.of),
    ]
}

/// A replay, window by window, with what was known after each.
pub(super) fn windows(report: &analyze::Report, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (metric, beside) in report.status.metrics.iter().zip(&report.metrics) {
        if beside.moments.is_empty() {
            continue;
        }
        lines.push(Line::new());
        lines.push(Line::new().with(Tone::Strong, format!("{}, as it went", metric.name)));
        let head = [
            "after", "canary", "stable", "harm", "gross", "safe", "effect",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let every = beside.moments.len().div_ceil(ROWS_MAX).max(1);
        let last = beside.moments.len() - 1;
        let shown = beside.moments.iter().enumerate();
        let shown = shown.filter(|(i, _)| i % every == last % every);
        rows.extend(shown.map(|(_, m)| moment(m, report.from)));
        lines.extend(table(&rows, width));
    }
    lines
}

fn moment(m: &Moment, from: i64) -> Vec<String> {
    let counts = |c: &crate::api::analysis_status::Counts| {
        format!("{}/{}", words::count(c.bad), words::count(c.requests))
    };
    let effect = m.effect.map_or_else(String::new, |e| {
        let [times, lower, upper] = [e.times, e.lower, e.upper].map(words::digits);
        format!("{times} ({lower} to {upper})")
    });
    vec![
        words::length(m.at - from),
        counts(&m.canary),
        counts(&m.stable),
        words::odds(m.harm.log),
        words::odds(m.gross.log),
        words::odds(m.safe.log),
        effect,
    ]
}
