//! The split check (statistics, section 1): whether the versions get the requests that the route
//! gives them. Sticky sessions, pods that crash, a Service that selects something else, or metrics of
//! a part of the pods make the new version look as it is not. It is told by a name and holds; it
//! never aborts, and nothing is promoted meanwhile.

use super::{Bets, evidence, guard};
use crate::analysis::plan::{ComparisonPlan, Kind, Plan, SplitPlan, Version};
use crate::analysis::rho::{Boost, Window};
use crate::analysis::schedule::Schedule;
use crate::analysis::scrapes::{Age, Scrapes};
use crate::analysis::words;
use crate::api::analysis::Reference;
use crate::api::analysis_status::{Comparison, Masses, Sampler};

/// A share is as planned while the requests to one version, relative to those to the other, are no
/// more than this many times what the route says, and no less than one such part of it.
const MARGIN: f64 = 1.25;
/// How often a run may be held though the split is as planned; the metrics share it, and more and less.
const RATE: f64 = 0.001;
/// So many metrics of a run are held against it, the first ones: most count the same requests, and the
/// status has to hold what is known of them.
const METRICS_MAX: usize = 4;
/// Requests come in connections and sessions: they vary at least so much more than chance.
const PHI_MIN: f64 = 10.0;
/// Effects beyond the margin that are looked for, as logarithms.
const EFFECTS: [f64; 4] = [0.2, 0.6, 1.3, 2.6];
/// Requests of so many seconds ago count for a third of those of now, in what is shown.
const REMEMBERED_S: f64 = 120.0;

/// The metrics whose requests are held against what is planned: where both versions are counted in the
/// same minutes, by requests.
fn held(plan: &Plan) -> impl Iterator<Item = &ComparisonPlan> {
    let kinds = plan.metrics.iter().map(|metric| &metric.kind);
    let compared = kinds.filter_map(|kind| match kind {
        Kind::Comparison(compared) => Some(compared),
        Kind::Threshold(_) => None,
    });
    let counted = compared.filter(|c| c.measure.counts_requests() && c.level.is_none());
    counted.take(METRICS_MAX)
}

/// What is planned for this metric, if it is one of them.
fn planned<'a>(plan: &'a Plan, compared: &ComparisonPlan) -> Option<&'a SplitPlan> {
    let both = plan.reference == Reference::Stable;
    let split = plan.split.as_ref().filter(|_| both)?;
    held(plan).any(|held| held == compared).then_some(split)
}

/// Takes a short window in, that ends at `to`.
pub(super) fn note(
    plan: &Plan,
    compared: &ComparisonPlan,
    status: &mut Comparison,
    s: &mut Sampler,
    scrapes: &Scrapes,
    to: i64,
) {
    let from = to - s.scrape_seconds;
    // What the first scrape in a window adds may have come up to a scrape before the window.
    let counts = |split: &&SplitPlan| from - s.scrape_seconds >= split.since;
    let Some(split) = planned(plan, compared).filter(counts) else {
        return;
    };
    // Of a target that was just born, or began anew, nobody knows what it counted before: who has
    // one in this window would seem to get less.
    let whole = |version| {
        let all = scrapes.targets(version, from, to, Age::Any);
        all > 0 && all == scrapes.targets(version, from, to, Age::Grown(0))
    };
    if !(whole(Version::Canary) && whole(Version::Stable)) {
        return;
    }
    let observed = scrapes.window(from, to, Age::Any);
    let requests = [Version::Canary, Version::Stable].map(|v| observed.number(v, 0));
    count(plan, split, status, s, requests);
}

/// Takes the requests of a window in: those to the new version, and those to the stable one.
fn count(
    plan: &Plan,
    split: &SplitPlan,
    status: &mut Comparison,
    s: &mut Sampler,
    [canary, stable]: [f64; 2],
) {
    let window = Window {
        nc: split.share,
        xc: canary,
        ns: 1.0 - split.share,
        xs: stable,
    };
    let alpha = RATE / 2.0 / held(plan).count().max(1) as f64;
    let stakes = super::stakes(plan, s.scrape_seconds);
    let phi = guard::phi(&s.split_guard).max(PHI_MIN);
    let more = Direction::More.step(&mut s.split_more, &stakes, &window, alpha, phi);
    let less = Direction::Less.step(&mut s.split_less, &stakes, &window, alpha, phi);
    guard::note(&mut s.split_guard, canary + stable, canary);

    let shown = status.split.get_or_insert_default();
    let kept = (-(s.scrape_seconds as f64) / REMEMBERED_S).exp();
    shown.canary = shown.canary * kept + canary;
    shown.stable = shown.stable * kept + stable;
    (shown.more, shown.less) = (evidence(more, alpha), evidence(less, alpha));
}

#[derive(Clone, Copy)]
enum Direction {
    More,
    Less,
}

impl Direction {
    /// One window of the test in this direction; the e-value after it.
    fn step(
        self,
        state: &mut Masses,
        stakes: &Schedule,
        window: &Window,
        alpha: f64,
        phi: f64,
    ) -> f64 {
        let (sign, r0) = match self {
            Self::More => (1.0, MARGIN),
            Self::Less => (-1.0, 1.0 / MARGIN),
        };
        let weights = [1.0 / EFFECTS.len() as f64; EFFECTS.len()];
        let bets = Bets {
            deltas: &EFFECTS.map(|effect| sign * effect),
            weights: &weights,
            alpha,
        };
        super::begun(state, &bets);
        let stake = stakes.gamma(state.windows);
        bets.step(state, stake, window, r0, phi, Boost::Off)
    }
}

/// What there is to say while the requests are split otherwise than planned.
pub(super) fn mismatch(plan: &Plan, status: &Comparison) -> Option<String> {
    let planned = plan.split.as_ref().filter(|split| split.holds)?;
    let split = status.split.as_ref()?;
    let look = if super::decides(&split.less) {
        "does it crash, do sessions stick to the stable version, is only a part of its pods scraped, \
         does the canary Service select them, do callers reach the stable version around the route?"
    } else if super::decides(&split.more) {
        "is only a part of the stable version's pods scraped, do sessions stick to the new version, \
         do callers reach it around the route?"
    } else {
        return None;
    };
    let all = split.canary + split.stable;
    Some(format!(
        "{} of the requests were to go to the new version, {} did in the last minutes ({} of {}): {look}",
        words::percent(planned.share),
        words::percent(split.canary / all.max(1.0)),
        words::count(split.canary),
        words::count(all),
    ))
}

#[cfg(test)]
mod tests;
