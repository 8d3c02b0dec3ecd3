//! A report of `analyze` in lines for people. Pure.

use jiff::Timestamp;

use super::{Beside, Report, time};
use crate::api::analysis_status::{Comparison, MetricStatus, Origin, Verdict};
use crate::cli::evidence;
use crate::cli::layout::{labelled, paragraph};
use crate::cli::style::{Line, Tone};
use crate::cli::words;

/// Pods that differ by less are as good as alike.
const MARGIN_SHOWN: f64 = 1.001;

/// All lines.
pub(super) fn lines(report: &Report, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    let stretch = words::length(report.to - report.from);
    for (label, text) in [
        (
            "Analysis",
            format!(
                "{} on {stretch} of metrics, {} to {}",
                report.template,
                time(report.from),
                time(report.to)
            ),
        ),
        ("Versions", report.versions.clone()),
        ("Metrics", report.source.clone()),
        (
            "Pass",
            format!("would allow {} % of the traffic", report.weight),
        ),
    ] {
        labelled(&mut lines, label, &text, width);
    }
    for note in &report.notes {
        labelled(&mut lines, "Note", note, width);
    }
    lines.push(Line::new());
    let (word, tone) = evidence::verdict(report.status.verdict.unwrap_or(Verdict::Inconclusive));
    lines.push(Line::new().with(tone, word));
    paragraph(&mut lines, 2, Tone::Plain, &report.status.message, width);
    paragraph(&mut lines, 2, Tone::Plain, &ended(report), width);
    for (metric, beside) in report.status.metrics.iter().zip(&report.metrics) {
        lines.push(Line::new());
        of_metric(&mut lines, metric, beside, width);
    }
    lines
}

/// When a run would have ended, and how.
pub(in crate::cli) fn ended(report: &Report) -> String {
    match &report.decision {
        None => "A run that began then would still be looking.".to_owned(),
        Some(decision) => format!(
            "A run that began then would have ended after {}: {:?}, {}.",
            words::length(decision.at - report.from),
            decision.phase,
            decision.reason
        ),
    }
}

fn of_metric(lines: &mut Vec<Line>, metric: &MetricStatus, beside: &Beside, width: Option<usize>) {
    let (word, tone) = evidence::verdict(metric.verdict);
    let mut line = Line::new().with(Tone::Strong, &metric.name);
    line.push(Tone::Plain, "  ");
    line.push(tone, word);
    let dry_run = if metric.dry_run { ", dry run" } else { "" };
    line.push(Tone::Faint, format!("  ({}{dry_run})", metric.kind));
    lines.push(line);
    paragraph(lines, 2, Tone::Plain, &metric.message, width);
    if let Some(compared) = &metric.comparison {
        for line in evidence_lines(compared) {
            lines.push(line);
        }
        for text in of_comparison(compared, beside) {
            paragraph(lines, 2, Tone::Plain, &text, width);
        }
    }
    if let Some(trouble) = &metric.trouble {
        let text = format!("{}: {}", trouble.reason, trouble.message);
        paragraph(lines, 2, Tone::Warn, &text, width);
    }
    for (name, query) in &beside.queries {
        paragraph(lines, 2, Tone::Faint, &format!("{name}: {query}"), width);
    }
}

/// Evidence against its limit, in both directions, one below the other.
fn evidence_lines(compared: &Comparison) -> Vec<Line> {
    let each = [
        ("harm", &compared.harm, "aborts", Tone::Bad),
        ("gross harm", &compared.gross, "aborts", Tone::Bad),
        ("safe", &compared.safe, "passes", Tone::Good),
    ];
    let shown = each.iter().filter(|(_, e, ..)| e.limit > 0.0);
    shown
        .map(|(name, e, does, full)| {
            let mut line = Line::new().with(Tone::Plain, "  ");
            line.push(Tone::Plain, *name);
            line.pad_to(14);
            let tone = if e.log >= e.limit { *full } else { Tone::Plain };
            line.push(tone, words::meter(e.log, e.limit));
            let (odds, limit) = (words::odds(e.log), words::odds(e.limit));
            line.push(Tone::Plain, format!(" {odds} of {limit}, where it {does}"));
            line
        })
        .collect()
}

/// What else is known of a comparison, a sentence each.
pub(in crate::cli) fn of_comparison(compared: &Comparison, beside: &Beside) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(count) = beside.aborts_at {
        all.push(format!(
            "aborts at {} bad ones by the end of the next window (so far {})",
            words::count(count),
            words::count(compared.canary.bad)
        ));
    }
    if let Some(effect) = &compared.effect {
        let [times, lower, upper] = [effect.times, effect.lower, effect.upper].map(words::digits);
        all.push(format!(
            "effect: {times} times stable's, {lower} to {upper} with 95 % at any time"
        ));
    }
    if let Some(forecast) = &compared.forecast {
        all.push(format!(
            "forecast: about {} more requests to the new version decide, {} at this rate",
            words::count(forecast.requests as f64),
            words::length(forecast.seconds)
        ));
    }
    let Some(sampler) = &compared.sampler else {
        return all;
    };
    if sampler.scrape_seconds > 0 {
        all.push(format!(
            "samples: {} of the new version and {} of stable, scraped every {} s; {} windows of {} s judged",
            words::plural(sampler.canary_targets, "target"),
            sampler.stable_targets,
            sampler.scrape_seconds,
            windows(compared),
            sampler.window_seconds,
        ));
    }
    if let Some(calibration) = &sampler.calibration {
        all.push(format!("pods: {}", evidence::noise(calibration)));
    }
    let tempered = beside.tempered.filter(|t| t.origin != Origin::None);
    if let Some(t) = tempered.filter(|t| t.phi > 1.0 || t.margin > MARGIN_SHOWN) {
        all.push(format!(
            "tempered by phi {} (bursts) and tau {}, so {} times stable's is within what pods differ by",
            words::digits(t.phi),
            words::digits(t.tau),
            words::digits(t.margin)
        ));
    }
    if let Some(at) = compared.harm_shown_at {
        let at = Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string());
        all.push(format!("harm was shown by the window that ended {at}"));
    }
    all
}

fn windows(compared: &Comparison) -> i64 {
    let Some(s) = &compared.sampler else { return 0 };
    s.harm.windows.max(s.harm_level.windows)
}
