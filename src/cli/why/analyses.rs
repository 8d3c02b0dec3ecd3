//! What an AnalysisRun has found, and how long it may still look, as a sentence with its evidence. Pure.

use jiff::Timestamp;
use kube::ResourceExt;

use super::reason::Finding;
use crate::analysis::plan::MAX_DURATION;
use crate::api::analysis::{AnalysisRun, OnInconclusive, RunMode};
use crate::api::analysis_status::{AnalysisRunStatus, RunPhase, Verdict};
use crate::cli::evidence;
use crate::cli::words;
use crate::core::duration;

/// A run with the metrics that its verdict hangs on: those that failed, or else those that have not
/// passed.
pub fn finding(run: &AnalysisRun, said: &str, now: Timestamp) -> Finding {
    let status = run.status.as_ref();
    let phase = status.and_then(|s| s.phase);
    let (word, tone) = evidence::phase(phase);
    let place = match (run.spec.mode, run.spec.step) {
        (RunMode::Background, _) => " in the background".to_owned(),
        (RunMode::Step, Some(step)) => format!(" of step {step}"),
        (RunMode::Step, None) => String::new(),
    };
    let mut text = format!("AnalysisRun {}{place} is {word}", run.name_any());
    let runs = matches!(phase, Some(RunPhase::Running));
    if let Some(verdict) = status.and_then(|s| s.verdict).filter(|_| runs) {
        let (word, _) = evidence::verdict(verdict);
        text.push_str(&format!(", {word} so far"));
    }
    if let Some(times) = status.and_then(|status| times(run, status, now)) {
        text.push_str(&format!("; {times}"));
    }
    let (telling, passed) = telling(run);
    if passed > 0 {
        let metrics = words::plural(passed, "metric");
        let verb = if passed == 1 { "has" } else { "have" };
        text.push_str(&format!("; {metrics} {verb} passed"));
    }
    Finding {
        tone,
        text,
        shown: evidence::lines(&telling, said, now),
    }
}

/// The run with the metrics that tell alone, and how many of the others have passed.
fn telling(run: &AnalysisRun) -> (AnalysisRun, i64) {
    let mut telling = run.clone();
    let mut all = Vec::new();
    if let Some(status) = &mut telling.status {
        all = std::mem::take(&mut status.metrics);
    }
    let failed = all.iter().any(|m| m.verdict == Verdict::Fail && !m.dry_run);
    let tells = |verdict: Verdict| match failed {
        true => verdict == Verdict::Fail,
        false => verdict != Verdict::Pass,
    };
    let (told, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|m| tells(m.verdict));
    let passed = if failed { 0 } else { others.len() };
    if let Some(status) = &mut telling.status {
        status.metrics = told;
    }
    (telling, i64::try_from(passed).unwrap_or(i64::MAX))
}

/// `looks for 10m of at most 60m, then it waits for a person`
fn times(run: &AnalysisRun, status: &AnalysisRunStatus, now: Timestamp) -> Option<String> {
    let promote = &run.spec.promote;
    match (status.phase?, run.spec.mode) {
        (RunPhase::Pending, _) => {
            let start = run.spec.start_at.filter(|start| *start > now)?;
            Some(format!("it begins in {}", words::until(start, now)))
        }
        (RunPhase::Running, RunMode::Step) => {
            let began = status.started_at?;
            let seconds = |since: Timestamp| now.duration_since(since).as_secs().max(0);
            // Time without data is not part of what it has.
            let held = status.held_seconds + status.held_since.map_or(0, seconds);
            let looked = (seconds(began) - held).max(0);
            let most = promote.max_duration.as_deref().unwrap_or(MAX_DURATION);
            let then = match promote.on_inconclusive.unwrap_or_default() {
                OnInconclusive::Pause => "it waits for a person",
                OnInconclusive::Abort => "it aborts",
            };
            let mut text = format!("it has looked for {}", words::length(looked));
            if let Ok(most) = duration::parse(most) {
                let most = words::length(most.as_secs());
                text.push_str(&format!(" of at most {most}, then {then}"));
            }
            if held > 0 {
                let held = words::length(held);
                text.push_str(&format!("; {held} without data do not count"));
            }
            let bake = promote.min_bake.as_deref();
            let bake = bake.and_then(|text| duration::parse(text).ok());
            let bake = bake.map(|bake| bake.as_secs());
            if let Some(bake) = bake.filter(|bake| *bake > looked) {
                let bake = words::length(bake);
                text.push_str(&format!("; it passes no sooner than after {bake}"));
            }
            Some(text)
        }
        (RunPhase::Running, RunMode::Background) => {
            let began = status.started_at?;
            let since = words::since(began, now);
            Some(format!("it has looked for {since} and looks on to the end"))
        }
        _ => None,
    }
}
