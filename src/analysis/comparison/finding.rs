//! What the state of a ratio means now, in a verdict and a sentence with numbers.

use super::wording::Words;
use super::{Judge, decides, presence, split};
use crate::analysis::plan::{ComparisonPlan, Plan};
use crate::analysis::scrapes::{Needs, PATIENCE_S};
use crate::analysis::words;
use crate::api::analysis_status::{Comparison, Forecast, Sampler, Verdict};

/// So long after the beginning there is nothing wrong with having no samples yet.
const GRACE_S: i64 = 60;
/// Without samples for so long beyond what is waited for, the data are stale.
const STALE_S: i64 = 30;
/// A version without requests is noticed after the time in which so many were to be expected ...
const EXPECTED_IN_GAP: f64 = 10.0;
/// ... but after this long in any case.
const GAP_MAX_S: f64 = 300.0;
/// No forecast beyond this: nobody waits a month.
const FORECAST_MAX: f64 = 1e12;

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The verdict.
    pub verdict: Verdict,
    /// Its reason in one word.
    pub reason: &'static str,
    /// Its reason in one sentence.
    pub message: String,
}

impl Finding {
    pub(in crate::analysis) fn new(
        verdict: Verdict,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            verdict,
            reason,
            message: message.into(),
        }
    }
}

/// What `status` means at `now`, and what is still needed.
#[must_use]
pub fn find(
    plan: &Plan,
    compared: &ComparisonPlan,
    status: &Comparison,
    now: i64,
) -> (Finding, Option<Forecast>) {
    let s = status.sampler.clone().unwrap_or_default();
    let judge = super::judge(plan, compared, &s);
    let judge = judge.as_ref();
    let said = Words {
        plan,
        compared,
        judge,
        status,
        sampler: &s,
    };
    if let Some(found) = judge.found(status, &s).filter(|_| status.look.is_some()) {
        return (found, None);
    }
    if status.harm_shown_at.is_some() {
        let reason = if decides(&status.gross) {
            "GrossHarm"
        } else {
            "Harm"
        };
        return (Finding::new(Verdict::Fail, reason, said.harm()), None);
    }
    if let Some(missing) = missing(plan, judge, status, &s, now) {
        return (missing, None);
    }
    let Some(s) = &status.sampler else {
        return (
            Finding::new(
                Verdict::Inconclusive,
                "Collecting",
                "waits for the first scrapes",
            ),
            None,
        );
    };
    if let Some(found) = judge.found(status, s) {
        return (found, None);
    }
    if s.harm.windows.max(s.harm_level.windows) == 0 {
        let left = s.first + s.window_seconds - s.cursor;
        let message = format!(
            "{}; nothing gross, and the pods are young for another {}",
            said.sofar(true),
            words::seconds(left)
        );
        return (Finding::new(Verdict::Inconclusive, "WarmUp", message), None);
    }
    let sofar = said.sofar(false);
    if decides(&status.safe) {
        let shown = format!("{sofar}; {}", said.good_enough());
        if let Some(withheld) = presence::withheld(s, &shown, now) {
            return (withheld, None);
        }
        return (Finding::new(Verdict::Pass, "Safe", shown), None);
    }
    let forecast = forecast(judge, status, s);
    let more = forecast.map_or_else(
        || "does not decide at this traffic".to_owned(),
        |f| {
            let requests = words::count(f.requests as f64);
            format!(
                "needs about {requests} more requests to it ({})",
                words::seconds(f.seconds)
            )
        },
    );
    (
        Finding::new(
            Verdict::Inconclusive,
            "Collecting",
            format!("{sofar}; {more}"),
        ),
        forecast,
    )
}

/// Whether there is nothing to judge.
fn missing(
    plan: &Plan,
    judge: &dyn Judge,
    status: &Comparison,
    s: &Sampler,
    now: i64,
) -> Option<Finding> {
    let no_data = |reason, message: String| Some(Finding::new(Verdict::NoData, reason, message));
    if s.scrape_seconds == 0 {
        let both = judge.needs() == Needs::Both;
        if now < plan.begin + GRACE_S {
            let of = if both {
                "both versions"
            } else {
                "the new version"
            };
            let message = format!("waits for two scrapes of {of}");
            return Some(Finding::new(Verdict::Inconclusive, "Collecting", message));
        }
        let which = match (s.canary_seen, s.stable_seen || !both) {
            (false, false) => "no series of either version: does the selector match anything?",
            (false, true) => {
                "no series of the new version: is it scraped, and does it get traffic?"
            }
            (true, false) => "no series of the stable version to compare with",
            (true, true) => "fewer than two scrapes of one of the versions",
        };
        return no_data("NoSeries", which.to_owned());
    }
    if let Some(reading) = judge.reading(s) {
        return Some(reading);
    }
    let behind = now - s.gross_cursor;
    if behind > s.scrape_seconds + PATIENCE_S.max(2 * s.scrape_seconds) + STALE_S {
        let message = format!("the newest samples are {} old", words::seconds(behind));
        return no_data("StaleData", message);
    }
    if let Some(message) = presence::gone(s) {
        return no_data("NoCanarySamples", message);
    }
    if let Some(quiet) = gap(plan, s, s.last_canary, status.canary_all.requests) {
        let message = format!(
            "no requests to the new version for {}",
            words::seconds(quiet)
        );
        return no_data("NoCanaryTraffic", message);
    }
    if let Some(message) = split::mismatch(plan, status) {
        return no_data("SplitMismatch", message);
    }
    judge.missing(plan, status, s)
}

/// For how long a version has had no requests, if that is longer than is usual for it: the last ones
/// were seen at `last`, and there were `requests` in all.
pub(super) fn gap(plan: &Plan, s: &Sampler, last: i64, requests: f64) -> Option<i64> {
    let start = super::up(plan.start, s.scrape_seconds);
    let since = last.max(start);
    let (elapsed, quiet) = (
        (s.gross_cursor - start) as f64,
        (s.gross_cursor - since) as f64,
    );
    let usual = EXPECTED_IN_GAP * elapsed / requests.max(1.0);
    let least = (2 * s.window_seconds) as f64;
    (quiet > usual.clamp(least, GAP_MAX_S.max(least))).then(|| s.gross_cursor - since)
}

/// About how many more requests decide, and how long they take, at the present rates.
fn forecast(judge: &dyn Judge, status: &Comparison, s: &Sampler) -> Option<Forecast> {
    let requests = judge.still_needed(status, s);
    let rate = status.canary.requests / (s.cursor - s.first).max(1) as f64;
    let seconds = requests / rate;
    if !(requests > 0.0 && requests < FORECAST_MAX && seconds < FORECAST_MAX) {
        return None;
    }
    Some(Forecast {
        requests: requests.ceil() as i64,
        seconds: seconds.ceil() as i64,
    })
}
