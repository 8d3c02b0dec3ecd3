//! What the metrics of a run mean together, and what is foreseen of one that is not decided yet.

use super::held;
use crate::analysis::comparison::Finding;
use crate::analysis::plan::{Kind, Plan};
use crate::analysis::words;
use crate::api::analysis::{OnInconclusive, RunMode};
use crate::api::analysis_status::{
    AnalysisRunStatus, Comparison, MetricStatus, TOO_LITTLE_TRAFFIC, Verdict,
};

/// A forecast of so many times the time that is left says that it will not be enough ...
const HOPELESS: f64 = 2.0;
/// ... once so many windows were judged: the first ones say little.
const FORECAST_WINDOWS: i64 = 8;
/// The reason of a run that ends for want of evidence.
pub(super) const TIME_IS_OVER: &str = "TimeIsOver";
/// The reason of what has not enough evidence yet.
pub(super) const COLLECTING: &str = "Collecting";

/// Harm goes before missing data, missing data before everything that promotes, and evidence before
/// the time that is over: a run that was not looked at for a while is judged by what it finds.
pub(super) fn verdict(plan: &Plan, status: &AnalysisRunStatus, at: i64) -> Finding {
    let judged: Vec<&MetricStatus> = status.metrics.iter().filter(|m| !m.dry_run).collect();
    let of = |verdict: Verdict| judged.iter().filter(move |m| m.verdict == verdict);
    for (verdict, reason) in [
        (Verdict::Fail, "Fail"),
        (Verdict::SourceError, "SourceError"),
        (Verdict::NoData, "NoData"),
    ] {
        if let Some(first) = of(verdict).next() {
            return Finding::new(verdict, reason, said(first, of(verdict).count()));
        }
    }
    let open = judged.iter().filter(|m| m.verdict != Verdict::Pass);
    let left = plan.begin + plan.min_bake - at;
    if let Some(first) = judged.first()
        && open.clone().next().is_none()
    {
        if left > 0 {
            let message = format!(
                "good so far, watched for another {}; {}",
                words::seconds(left),
                said(first, judged.len())
            );
            return Finding::new(Verdict::Inconclusive, "Baking", message);
        }
        return Finding::new(Verdict::Pass, "Pass", said(first, judged.len()));
    }
    let count = open.clone().count();
    let lacks = open.clone().find(|m| m.reason == TOO_LITTLE_TRAFFIC);
    let reason = lacks.map_or(COLLECTING, |_| TOO_LITTLE_TRAFFIC);
    let message = lacks
        .or_else(|| open.clone().next())
        .map_or_else(String::new, |first| said(first, count));
    let elapsed = at - plan.begin - held(status, at);
    if plan.mode == RunMode::Background || elapsed < plan.max_duration {
        return Finding::new(Verdict::Inconclusive, reason, message);
    }
    let waited = words::seconds(plan.max_duration);
    if open.clone().all(|m| nearly_safe(plan, m)) {
        let message = format!(
            "not shown to be good enough within {waited}, but more than twice as bad is ruled out with 95 %; {message}"
        );
        return Finding::new(Verdict::Pass, "PassWithWarning", message);
    }
    let message = format!("not enough evidence within {waited}; {message}");
    match plan.on_inconclusive {
        OnInconclusive::Pause => Finding::new(Verdict::Inconclusive, TIME_IS_OVER, message),
        OnInconclusive::Abort => Finding::new(Verdict::Fail, "TooLittleEvidence", message),
    }
}

/// Whether the interval rules out twice what would be too bad for the next weight (statistics,
/// section 2g). What waits for something else than evidence is not.
fn nearly_safe(plan: &Plan, status: &MetricStatus) -> bool {
    if ![COLLECTING, TOO_LITTLE_TRAFFIC].contains(&status.reason.as_str()) {
        return false;
    }
    let planned = plan.metrics.iter().find(|m| m.name == status.name);
    let effect = status.comparison.as_ref().and_then(|r| r.effect);
    match (planned.map(|m| &m.kind), effect) {
        (Some(Kind::Comparison(ratio)), Some(effect)) => {
            effect.upper < 2.0 * ratio.required(plan.next_weight).times
        }
        _ => false,
    }
}

fn said(metric: &MetricStatus, count: usize) -> String {
    let more = match count {
        0 | 1 => String::new(),
        2 => " (and one more metric)".to_owned(),
        n => format!(" (and {} more metrics)", n - 1),
    };
    format!("{}: {}{more}", metric.name, metric.message)
}

/// What there is to say when more is needed than comes in the time that is `left`. Said once, it stays
/// until there is time enough for certain: a forecast goes up and down.
pub(super) fn too_little_traffic(
    plan: &Plan,
    status: &Comparison,
    left: i64,
    said: bool,
) -> Option<String> {
    let (forecast, s) = status.forecast.as_ref().zip(status.sampler.as_ref())?;
    let judged = s.cursor - s.first >= FORECAST_WINDOWS * s.window_seconds;
    let times = if said { 1.0 } else { HOPELESS };
    let lacks = forecast.seconds as f64 > times * left as f64;
    (plan.mode == RunMode::Step && judged && left > 0 && lacks).then(|| {
        format!(
            "will not decide at this traffic within the step: {} are left",
            words::seconds(left)
        )
    })
}
