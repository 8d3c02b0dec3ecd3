//! What the analyses in play have found: verdict, effect with its interval, evidence against its limits, and
//! what is still needed. Pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::past::{Past, share};
use super::plots;
use super::text::{When, class, shown};
use crate::api::analysis::{AnalysisRun, RunMode};
use crate::api::analysis_status::{Comparison, Effect, MetricStatus};
use crate::cli::evidence as said;
use crate::cli::objects::Objects;
use crate::cli::words;

/// Plots of metrics on one page: with more nobody looks at any.
const PLOTS_MAX: usize = 6;
/// The ends of the drawn interval: an eighth of stable's, eight times as much.
const OCTAVES: f64 = 3.0;
/// Half the width of the drawn interval.
const HALF: f64 = 60.0;

/// An analysis in play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// `of step 2`, `in the background`.
    pub place: String,
    /// Symbol and word of its phase.
    pub phase: String,
    /// For the style.
    pub class: &'static str,
    /// When it began.
    pub began: When,
    /// Its reason in a sentence.
    pub message: String,
    /// What was found for each metric.
    pub metrics: Vec<Metric>,
    /// The curves of those that are compared, as HTML.
    pub plots: String,
}

/// What was found for a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Symbol and word of its verdict.
    pub verdict: String,
    /// For the style.
    pub class: &'static str,
    /// `0.63 times stable's (0.4 to 1.1)`
    pub effect: String,
    /// The interval as it is drawn, if there is one.
    pub interval: Vec<Interval>,
    /// `12 of 100`; empty: it has no such test.
    pub harm: String,
    /// In percent of its limit, for a meter.
    pub harm_share: String,
    /// The same of safety.
    pub safe: String,
    /// In percent of its limit.
    pub safe_share: String,
    /// What is still needed, or the message.
    pub text: String,
}

/// An interval in a drawing 120 units wide; 60 is as good as stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Where it begins.
    pub from: String,
    /// How long it is.
    pub width: String,
    /// Where the most likely value is.
    pub at: String,
}

/// The analyses that are waited for, or the one that failed.
#[must_use]
pub fn of(all: &Objects, past: Option<&Past>, now: Timestamp) -> Vec<Run> {
    let status = all.rollout.status.as_ref();
    let canary = status.and_then(|s| s.canary.as_ref());
    let abort = status.and_then(|s| s.abort.as_ref());
    let names = [
        abort.and_then(|a| a.analysis_run.as_ref()),
        canary.and_then(|c| c.analysis_run.as_ref()),
        canary.and_then(|c| c.background_run.as_ref()),
    ];
    let mut known: Vec<&String> = Vec::new();
    for name in names.into_iter().flatten() {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let runs = known.into_iter().enumerate();
    runs.filter_map(|(at, name)| {
        let run = all.runs.iter().find(|run| run.name_any() == *name)?;
        Some(shown_run(at, run, past, now))
    })
    .collect()
}

fn shown_run(at: usize, run: &AnalysisRun, past: Option<&Past>, now: Timestamp) -> Run {
    let status = run.status.as_ref();
    let (phase, tone) = said::phase(status.and_then(|s| s.phase));
    let name = run.name_any();
    let metrics = status.map_or(&[][..], |s| s.metrics.as_slice());
    let curves = metrics.iter().enumerate().filter_map(|(place, metric)| {
        let curve = past?.metric(&name, &metric.name)?;
        let id = format!("evidence-{at}-{place}");
        plots::evidence(&id, &shown(&metric.name), &curve.evidence, now)
    });
    Run {
        plots: plots::html(&curves.take(PLOTS_MAX).collect::<Vec<_>>()),
        place: match (run.spec.mode, run.spec.step) {
            (RunMode::Background, _) => "in the background".to_owned(),
            (RunMode::Step, Some(step)) => format!("of step {step}"),
            (RunMode::Step, None) => String::new(),
        },
        phase: phase.to_owned(),
        class: class(tone),
        began: When::of(status.and_then(|s| s.started_at), now),
        message: status.map(|s| shown(&s.message)).unwrap_or_default(),
        metrics: metrics.iter().map(|m| metric(m, now)).collect(),
        name: shown(&name),
    }
}

fn metric(metric: &MetricStatus, now: Timestamp) -> Metric {
    let (word, tone) = said::verdict(metric.verdict);
    let comparison = metric.comparison.as_ref();
    let effect = comparison.and_then(|c| c.effect.as_ref());
    let evidence = |evidence: Option<&crate::api::analysis_status::Evidence>| {
        let evidence = evidence.filter(|e| e.limit > 0.0);
        evidence.map_or_else(Default::default, |e| {
            let text = format!("{} of {}", words::odds(e.log), words::odds(e.limit));
            (text, format!("{:.0}", share(e).min(100.0)))
        })
    };
    let (harm, harm_share) = evidence(comparison.map(|c| &c.harm));
    let (safe, safe_share) = evidence(comparison.map(|c| &c.safe));
    let mut verdict = word.to_owned();
    if metric.dry_run {
        verdict.push_str(" (dry run)");
    }
    Metric {
        name: shown(&metric.name),
        kind: match metric.kind.as_str() {
            "" => "ratio".to_owned(),
            kind => shown(kind),
        },
        verdict,
        class: class(tone),
        effect: effect.map(in_words).unwrap_or_default(),
        interval: effect.and_then(drawn).into_iter().collect(),
        harm,
        harm_share,
        safe,
        safe_share,
        text: text(metric, comparison, now),
    }
}

fn in_words(effect: &Effect) -> String {
    let [times, lower, upper] = [effect.times, effect.lower, effect.upper].map(words::digits);
    format!("{times} times stable's ({lower} to {upper})")
}

/// On a logarithmic scale, cut at its ends.
fn drawn(effect: &Effect) -> Option<Interval> {
    let place = |times: f64| {
        let octaves = times.max(1e-9).log2().clamp(-OCTAVES, OCTAVES);
        HALF + HALF * octaves / OCTAVES
    };
    let all = [effect.times, effect.lower, effect.upper];
    if all.iter().any(|n| n.is_nan()) {
        return None;
    }
    let [at, from, to] = all.map(place);
    Some(Interval {
        from: format!("{from:.1}"),
        width: format!("{:.1}", (to - from).max(1.0)),
        at: format!("{at:.1}"),
    })
}

fn text(metric: &MetricStatus, comparison: Option<&Comparison>, now: Timestamp) -> String {
    if let Some(trouble) = &metric.trouble {
        let text = format!(
            "{}, {} in a row: {}; asked again in {}",
            trouble.reason,
            words::plural(trouble.count.into(), "time"),
            trouble.message,
            words::until(trouble.retry_at, now)
        );
        return shown(&text);
    }
    let mut text = shown(&metric.message);
    if let Some(forecast) = comparison.and_then(|c| c.forecast.as_ref()) {
        let more = format!(
            "about {} more requests ({}) decide",
            words::count(forecast.requests as f64),
            words::length(forecast.seconds)
        );
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&more);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_drawn_on_a_logarithmic_scale_and_cut_at_its_ends() {
        let drawn = |times, lower, upper| {
            drawn(&Effect {
                times,
                lower,
                upper,
                points: 0.0,
            })
        };
        let one = drawn(1.0, 0.5, 2.0).unwrap();
        assert_eq!(
            (one.at.as_str(), one.from.as_str(), one.width.as_str()),
            ("60.0", "40.0", "40.0")
        );
        let huge = drawn(f64::INFINITY, 0.0, f64::INFINITY).unwrap();
        assert_eq!(
            (huge.at.as_str(), huge.from.as_str(), huge.width.as_str()),
            ("120.0", "0.0", "120.0")
        );
        assert!(drawn(f64::NAN, 0.0, 1.0).is_none());
    }
}
