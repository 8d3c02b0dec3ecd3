//! A report of `forecast` in lines for people. Pure.

use super::{OfMetric, Planned, Report};
use crate::analysis::forecast::{Outlook, Shape, Warning};
use crate::analysis::words::latency;
use crate::cli::layout::{labelled, paragraph, table};
use crate::cli::style::{Line, Tone};
use crate::cli::words;

/// A difference between pods up to this is not worth a word.
const MARGIN_SHOWN: f64 = 1.05;

/// All lines.
pub(super) fn lines(report: &Report, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (label, text) in [
        ("Forecast", &report.template),
        ("Plan", &report.plan),
        ("Numbers", &report.source),
    ] {
        labelled(&mut lines, label, text, width);
    }
    for note in &report.notes {
        labelled(&mut lines, "Note", note, width);
    }
    for metric in &report.metrics {
        lines.push(Line::new());
        let mut head = Line::new().with(Tone::Strong, &metric.name);
        head.push(Tone::Plain, format!("  {}", numbers(metric)));
        lines.push(head.fit(width));
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        let steps = report.stretches.iter().zip(&metric.outlooks);
        rows.extend(steps.clone().map(|(planned, o)| row(planned, o)));
        lines.extend(table(&rows, width));
        for (planned, o) in steps {
            for (tone, text) in remarks(metric, planned, o) {
                let text = format!("{}: {text}", planned.step);
                paragraph(&mut lines, 2, tone, &text, width);
            }
        }
    }
    lines.push(Line::new());
    let legend = "finds: the smallest regression, in times stable's (of latencies, so many times as long), that 80 % of the runs find in that time; with a regression an analysis goes on for as long as it may, which finds what stands in parentheses. safe: after how long half of the runs of a good version pass.";
    paragraph(&mut lines, 0, Tone::Faint, legend, width);
    lines
}

/// The heads of the columns.
pub(in crate::cli) const HEAD: [&str; 6] = ["step", "weight", "time", "requests", "finds", "safe"];

/// `80 requests/s, 0.1 % bad, phi 1.3, pods differ by 4 %`
pub(in crate::cli) fn numbers(metric: &OfMetric) -> String {
    let s = &metric.service;
    let (rate, ratio) = (words::digits(s.rate), words::percent(s.ratio, 1.0));
    let what = match &s.shape {
        Shape::Counts => format!(
            "{rate} requests/s, {ratio} bad, phi {}",
            words::digits(s.phi)
        ),
        Shape::Latencies { slow, .. } => format!(
            "{rate} requests/s, {ratio} take longer than {}, phi {}",
            latency(*slow),
            words::digits(s.phi)
        ),
        Shape::Gauge {
            variance,
            window_seconds,
        } => format!(
            "a mean of {}, which varies by {} from one {} to the next",
            words::digits(s.ratio),
            words::percent(variance.sqrt(), 1.0),
            words::length(*window_seconds)
        ),
    };
    format!("{what}, pods differ by {}", words::percent(s.tau, 1.0))
}

/// A step's row, of six cells.
pub(in crate::cli) fn row(planned: &Planned, o: &Outlook) -> Vec<String> {
    let mut finds = times(o.finds);
    let beyond = (o.finds_at_most / o.finds).ln().abs();
    if beyond > 0.01 || o.finds.is_infinite() && o.finds_at_most.is_finite() {
        finds.push_str(&format!(" ({})", times(o.finds_at_most)));
    }
    vec![
        planned.step.clone(),
        format!("{} %", planned.stretch.weight),
        words::length(o.seconds),
        o.requests.map_or_else(|| "-".to_owned(), words::count),
        finds,
        o.safe_after
            .map_or_else(|| "never".to_owned(), words::length),
    ]
}

fn times(n: f64) -> String {
    if n.is_finite() {
        words::digits(n)
    } else {
        "nothing".to_owned()
    }
}

/// A regression that every step should see.
fn plain(metric: &OfMetric) -> String {
    let times = words::digits(metric.plain);
    match metric.service.shape {
        Shape::Counts if metric.fewer => format!("one in {times}"),
        Shape::Counts => format!("{times} times as many"),
        Shape::Latencies { .. } => format!("requests that take {times} times as long"),
        Shape::Gauge { .. } => format!("{times} times as much"),
    }
}

/// What is wrong with a step, and what bounds it, in sentences.
pub(in crate::cli) fn remarks(
    metric: &OfMetric,
    planned: &Planned,
    o: &Outlook,
) -> Vec<(Tone, String)> {
    let mut all = Vec::new();
    let instead = |seconds: Option<i64>, weight: Option<i32>| match (seconds, weight) {
        (Some(s), Some(w)) => format!(
            "it would take {} at this weight, or {w} % in the same time",
            words::length(s)
        ),
        (Some(s), None) => format!("it would take {} at this weight", words::length(s)),
        (None, Some(w)) => format!("it would take {w} % in the same time"),
        (None, None) => "there is too little traffic for any weight".to_owned(),
    };
    match o.warning {
        Some(Warning::Blind { seconds, weight }) => all.push((
            Tone::Warn,
            format!(
                "cannot see even {}: {}",
                plain(metric),
                instead(seconds, weight)
            ),
        )),
        Some(Warning::Undecided { seconds, weight }) => all.push((
            Tone::Warn,
            format!(
                "ends after {} before a good version can be shown to be good enough for {} %: {}",
                words::length(planned.stretch.bounds.1),
                planned.stretch.next_weight,
                instead(seconds, weight)
            ),
        )),
        Some(Warning::Pods) => all.push((
            Tone::Warn,
            "stable pods differ by so much that a regression cannot be told from a pod; more pods help, more time does not".to_owned(),
        )),
        None => {}
    }
    if o.margin > MARGIN_SHOWN {
        let pods = i64::try_from(planned.stretch.canary_pods).unwrap_or(i64::MAX);
        all.push((
            Tone::Faint,
            format!(
                "with {} of the new version, up to {} times stable's is within what pods differ by",
                words::plural(pods, "pod"),
                words::digits(o.margin)
            ),
        ));
    }
    all
}
