//! What an AnalysisRun has found, in lines: evidence against its limit, counts, effect, forecast.
//! Pure.

use jiff::Timestamp;

use super::style::{Line, Tone};
use super::words;
use crate::api::analysis::AnalysisRun;
use crate::api::analysis_status::{
    Calibration, Comparison, Evidence, MetricStatus, Origin, RunPhase, ThresholdStatus, Verdict,
};

/// Evidence of gross harm is worth a place on the line from here on (odds of 2 to 1): below it only
/// says that nothing is wrong, which the test of harm says already.
const GROSS_SHOWN_FROM: f64 = std::f64::consts::LN_2;

/// Symbol, word and tone of a run's phase.
#[must_use]
pub fn phase(phase: Option<RunPhase>) -> (&'static str, Tone) {
    match phase {
        None => ("◌ New", Tone::Busy),
        Some(RunPhase::Pending) => ("◌ Pending", Tone::Busy),
        Some(RunPhase::Running) => ("◌ Running", Tone::Busy),
        Some(RunPhase::Successful) => ("✔ Successful", Tone::Good),
        Some(RunPhase::Failed) => ("✖ Failed", Tone::Bad),
        Some(RunPhase::Inconclusive) => ("? Inconclusive", Tone::Warn),
        Some(RunPhase::Terminated) => ("• Terminated", Tone::Faint),
    }
}

/// Symbol, word and tone of a verdict.
#[must_use]
pub fn verdict(verdict: Verdict) -> (&'static str, Tone) {
    match verdict {
        Verdict::Pass => ("✔ Pass", Tone::Good),
        Verdict::Fail => ("✖ Fail", Tone::Bad),
        Verdict::Inconclusive => ("? Inconclusive", Tone::Warn),
        Verdict::NoData => ("? NoData", Tone::Warn),
        Verdict::SourceError => ("⚠ SourceError", Tone::Warn),
    }
}

/// The run's reason, unless it was `said` before, and one or two lines for each metric.
#[must_use]
pub fn lines(run: &AnalysisRun, said: &str, now: Timestamp) -> Vec<Line> {
    let Some(status) = &run.status else {
        return vec![Line::new().with(Tone::Faint, "not looked at yet")];
    };
    let mut lines = Vec::new();
    if !said.contains(&status.message) {
        lines.push(Line::new().with(Tone::Plain, &status.message));
    }
    let names = status
        .metrics
        .iter()
        .map(|m| m.name.len())
        .max()
        .unwrap_or(0);
    for metric in &status.metrics {
        metric_lines(metric, names, now, &mut lines);
    }
    lines
}

/// ```text
/// error-ratio  ? Inconclusive  0.63 times stable's (0.4 to 1.1)
///   harm 1.2 of 100 ▰▱▱▱▱▱▱▱▱▱  safe 10 of 100 ▰▰▰▰▰▱▱▱▱▱
///   23 of 9,400 bad (0.24 %), stable 310 of 80,000 (0.39 %); about 1,900 more requests (2m)
/// ```
fn metric_lines(metric: &MetricStatus, names: usize, now: Timestamp, lines: &mut Vec<Line>) {
    let (word, tone) = verdict(metric.verdict);
    let mut line = Line::new().with(Tone::Plain, &metric.name);
    line.pad_to(names + 2);
    line.push(tone, word);
    line.push(Tone::Plain, "  ");
    if metric.dry_run {
        line.push(Tone::Faint, "(dry run) ");
    }
    if let Some(threshold) = &metric.threshold {
        line.append(measurements(threshold));
    }
    if let Some(effect) = metric.comparison.as_ref().and_then(|r| r.effect.as_ref()) {
        let [times, lower, upper] = [effect.times, effect.lower, effect.upper].map(words::digits);
        line.push(
            Tone::Plain,
            format!("{times} times stable's ({lower} to {upper})"),
        );
    }
    lines.push(line);
    if let Some(ratio) = &metric.comparison {
        let mut meters = Line::new().with(Tone::Plain, "  ");
        meters.append(odds(ratio));
        lines.push(meters);
        if is_ratio(metric) {
            lines.extend(counts(ratio).map(|text| indented(Tone::Faint, text)));
        }
        let calibration = ratio.sampler.as_ref().and_then(|s| s.calibration.as_ref());
        lines.extend(calibration.map(|c| indented(Tone::Faint, noise(c))));
    }
    match &metric.trouble {
        Some(trouble) => {
            let since = words::since(trouble.since, now);
            let again = words::until(trouble.retry_at, now);
            let text = format!(
                "{}, {} in a row since {since}: {}; asked again in {again}",
                trouble.reason,
                words::plural(trouble.count.into(), "time"),
                trouble.message,
            );
            lines.push(indented(Tone::Warn, text));
        }
        // A ratio's sentence repeats its numbers; without numbers it is all there is to say.
        None if !metric.message.is_empty() && !says_it_all(metric) => {
            lines.push(indented(Tone::Faint, &metric.message));
        }
        None => {}
    }
}

/// Whether the counts that are shown are all that there is to say.
fn says_it_all(metric: &MetricStatus) -> bool {
    let counted = metric.comparison.as_ref();
    is_ratio(metric) && counted.is_some_and(|c| c.canary.requests > 0.0)
}

/// The other kinds count in words of their own, which are in the message.
fn is_ratio(metric: &MetricStatus) -> bool {
    metric.kind.is_empty() || metric.kind == "ratio"
}

/// `10 stable pods over 6h differ by 4 %`
pub(super) fn noise(calibration: &Calibration) -> String {
    let over = words::length(calibration.seconds);
    match calibration.origin {
        Origin::None => format!("independent events: {}", calibration.why),
        Origin::Stable => format!(
            "stable over {over}: bursts count {} times ({})",
            words::digits(calibration.phi),
            calibration.why
        ),
        Origin::Pods => {
            let pods = words::plural(calibration.targets.into(), "stable pod");
            // What is less than nobody can measure is rounding.
            let tau = (calibration.tau * 1e6).round() / 1e6;
            let differ = words::percent(tau, 1.0);
            format!("{pods} over {over} differ by {differ}")
        }
    }
}

fn indented(tone: Tone, text: impl AsRef<str>) -> Line {
    Line::new().with(Tone::Plain, "  ").with(tone, text)
}

/// `harm 1.2 of 100 ▰▱▱▱▱▱▱▱▱▱  safe 8.0 of 20 ▰▰▰▰▰▱▱▱▱▱`
fn odds(ratio: &Comparison) -> Line {
    let mut line = Line::new();
    let mut meter = |name: &str, evidence: &Evidence, full: Tone| {
        if evidence.limit <= 0.0 {
            return;
        }
        if !line.spans.is_empty() {
            line.push(Tone::Plain, "  ");
        }
        let (log, limit) = (evidence.log, evidence.limit);
        line.push(
            Tone::Plain,
            format!("{name} {} of {} ", words::odds(log), words::odds(limit)),
        );
        let tone = if log >= limit { full } else { Tone::Plain };
        line.push(tone, words::meter(log, limit));
    };
    meter("harm", &ratio.harm, Tone::Bad);
    if ratio.gross.log >= GROSS_SHOWN_FROM {
        meter("gross harm", &ratio.gross, Tone::Bad);
    }
    meter("safe", &ratio.safe, Tone::Good);
    line
}

/// `23 of 9,400 bad (0.24 %), stable 310 of 80,000 (0.39 %); about 1,900 more requests (2m)`
fn counts(ratio: &Comparison) -> Option<String> {
    let warm = ratio.canary.requests > 0.0;
    let (canary, beside) = if warm {
        (&ratio.canary, &ratio.stable)
    } else {
        (&ratio.canary_all, &ratio.stable_all)
    };
    let (stable, when) = match &ratio.baseline {
        Some(baseline) => (baseline, " in the hour before"),
        None => (beside, ""),
    };
    if !(canary.requests > 0.0 || stable.requests > 0.0) {
        return None;
    }
    let arm = |c: &crate::api::analysis_status::Counts| {
        let (bad, all) = (words::count(c.bad), words::count(c.requests));
        (format!("{bad} of {all}"), words::percent(c.bad, c.requests))
    };
    let ((canary, canary_share), (stable, stable_share)) = (arm(canary), arm(stable));
    let mut text = format!("{canary} bad ({canary_share}), stable{when} {stable} ({stable_share})");
    if !warm {
        text.push_str("; warming up");
    }
    if let Some(forecast) = &ratio.forecast {
        text.push_str(&format!(
            "; about {} more requests ({})",
            words::count(forecast.requests as f64),
            words::length(forecast.seconds)
        ));
    }
    Some(text)
}

/// `8 of 10 successes, 1 failure (limit 2), last 0.42`
fn measurements(threshold: &ThresholdStatus) -> Line {
    let mut line = Line::new().with(
        Tone::Plain,
        format!("{} of {} successes", threshold.successes, threshold.needed),
    );
    let failures = format!(
        ", {} (limit {})",
        words::plural(threshold.failures.into(), "failure"),
        threshold.failure_limit
    );
    line.push(
        if threshold.failures > 0 {
            Tone::Warn
        } else {
            Tone::Plain
        },
        failures,
    );
    for (number, what) in [
        (threshold.undecided, "undecided"),
        (threshold.unanswered, "unanswered"),
    ] {
        if number > 0 {
            line.push(Tone::Plain, format!(", {number} {what}"));
        }
    }
    if let Some(last) = threshold.recent.last() {
        line.push(Tone::Plain, format!(", last {}", words::digits(last.value)));
    }
    line
}
