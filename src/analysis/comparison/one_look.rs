//! One look by Kayenta's judge, for teams that come from there (statistics, sections 2d and 2h).
//!
//! The two versions' values, one a minute, are kept until the time that the run watches in any case
//! (`minBake`) is over. Then they are judged, once; what was found stands in the status and is never
//! looked for again: a rank test that is asked again and again calls every version bad in the end.
//! That it found no difference is what it calls a pass; it is not shown that there is none.

use super::finding::gap;
use super::{Finding, Judge, add, limit, note_window};
use crate::analysis::peers::kayenta::{self, Missing, Thresholds};
use crate::analysis::plan::{Arms, ComparisonPlan, Plan, Version};
use crate::analysis::scrapes::{Age, Needs, Observed, Scrapes};
use crate::analysis::words;
use crate::api::analysis_status::{
    Classification, Comparison, Counts, Look, Sampler, Shift, Values, Verdict,
};
use crate::api::metric::Direction;

/// A value is the mean of so many seconds, as Kayenta's are by default ...
const VALUE_S: i64 = 60;
/// ... or of more, where there would be more than so many of them: they stand in the status.
const VALUES_MAX: i64 = 120;
/// With fewer values of a version there is nothing to rank, and the look waits for them.
const VALUES_MIN: usize = 5;
/// Kayenta's: the part of the shift that its interval must exceed.
const TOLERANCE: f64 = 0.25;
/// Kayenta's: the level of the interval.
const CONFIDENCE: f64 = 0.98;

/// The one look, and when it is due.
pub(super) struct OneLook<'a> {
    plan: &'a Plan,
    compared: &'a ComparisonPlan,
    direction: Direction,
}

impl<'a> OneLook<'a> {
    pub fn new(plan: &'a Plan, compared: &'a ComparisonPlan, direction: Direction) -> Self {
        Self {
            plan,
            compared,
            direction,
        }
    }

    /// When the look is due, in Unix seconds.
    fn due(&self) -> i64 {
        self.plan.begin + self.plan.min_bake
    }

    /// For how many seconds a value stands.
    fn value_seconds(&self, window: i64) -> i64 {
        let watched = self.plan.min_bake.max(1);
        let times = (watched + VALUE_S * VALUES_MAX - 1).div_euclid(VALUE_S * VALUES_MAX);
        super::up(VALUE_S * times.max(1), window.max(1))
    }

    /// Kayenta's level, or a stricter one where this metric's share of the false aborts is smaller
    /// than what that level gives away.
    fn confidence(&self) -> f64 {
        let sides = if self.direction == Direction::Either {
            1.0
        } else {
            2.0
        };
        (1.0 - sides * self.compared.alpha).max(CONFIDENCE)
    }

    fn judge(&self) -> kayenta::Judge {
        let direction = match self.direction {
            Direction::Increase => kayenta::Direction::Increase,
            Direction::Decrease => kayenta::Direction::Decrease,
            Direction::Either => kayenta::Direction::Either,
        };
        let fails = Thresholds {
            decrease: 1.0 - self.compared.relative,
            increase: 1.0 + self.compared.relative,
        };
        kayenta::Judge {
            tolerance: TOLERANCE,
            confidence: self.confidence(),
            direction,
            missing: Missing::Remove,
            effect: kayenta::Effect::MeanRatio,
            fails,
            fails_all: fails,
            critical: false,
            must_have_data: false,
        }
    }

    /// Looks at what there is. It is Kayenta's own root finder, which stops at 1e-4 whatever the unit
    /// is; so the values are brought to a size for which that is nothing.
    fn look(&self, values: &Values, at: i64) -> Look {
        let size = size(values.canary.iter().chain(&values.stable));
        let sized = |all: &[f64]| -> Vec<f64> { all.iter().map(|v| v / size).collect() };
        let (canary, stable) = (sized(&values.canary), sized(&values.stable));
        let judge = self.judge();
        let classification = match judge.classify(&canary, &stable).classification {
            kayenta::Classification::High => Classification::High,
            kayenta::Classification::Low => Classification::Low,
            // Without data there is no look.
            _ => Classification::Pass,
        };
        let shift = kayenta::shift(&canary, &stable, judge.confidence);
        let count = |all: &[f64]| i32::try_from(all.len()).unwrap_or(i32::MAX);
        Look {
            at,
            classification,
            canary: count(&canary),
            stable: count(&stable),
            confidence: judge.confidence,
            shift: shift.map(|s| Shift {
                estimate: s.estimate * size,
                lower: s.lower * size,
                upper: s.upper * size,
            }),
        }
    }

    /// `410 in the mean of the new version's pods, 400 of stable's`.
    fn means(status: &Comparison) -> String {
        let mean = |c: &Counts| words::number(c.bad / c.requests.max(1.0));
        format!(
            "{} in the mean of the new version's pods, {} of stable's",
            mean(&status.canary),
            mean(&status.stable)
        )
    }
}

/// A power of ten by which the values become numbers of about 1 to 100.
fn size<'v>(values: impl Iterator<Item = &'v f64>) -> f64 {
    let largest = values.map(|v| v.abs()).fold(0.0, f64::max);
    if largest > 0.0 {
        10.0_f64.powi(largest.log10().floor() as i32 - 1)
    } else {
        1.0
    }
}

/// Takes the sums of a window in, and the value before it where that is over.
fn note(values: &mut Values, number: i64, sums: Arms<[f64; 2]>) {
    if values.number != number {
        close(values);
        values.number = number;
    }
    for (sum, more) in [
        (&mut values.canary_sum, sums.canary),
        (&mut values.stable_sum, sums.stable),
    ] {
        for (sum, more) in sum.iter_mut().zip(more) {
            *sum += more;
        }
    }
}

/// The present value is over.
fn close(values: &mut Values) {
    for (all, [scrapes, sum]) in [
        (&mut values.canary, std::mem::take(&mut values.canary_sum)),
        (&mut values.stable, std::mem::take(&mut values.stable_sum)),
    ] {
        if scrapes > 0.0 {
            all.push(sum / scrapes);
            // A look that waits for one version keeps the other's last values.
            let old = all.len().saturating_sub(VALUES_MAX as usize);
            all.drain(..old);
        }
    }
}

impl Judge for OneLook<'_> {
    fn needs(&self) -> Needs {
        Needs::Both
    }

    fn begin(&self, status: &mut Comparison, _: &mut Sampler) {
        // All or nothing: what is found is worth the whole limit.
        status.harm.limit = limit(self.compared.alpha);
    }

    fn short(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        let w = w.counts();
        add(&mut status.stable_all, w.ns, w.xs);
        if w.ns > 0.0 {
            s.last_stable = to;
        }
    }

    fn window(&mut self, status: &mut Comparison, s: &mut Sampler, w: &Observed, to: i64) {
        if status.look.is_some() {
            return;
        }
        let w = w.counts();
        add(&mut status.canary, w.nc, w.xc);
        add(&mut status.stable, w.ns, w.xs);
        let every = self.value_seconds(s.window_seconds);
        let sums = Arms {
            canary: [w.nc, w.xc],
            stable: [w.ns, w.xs],
        };
        note(&mut s.values, (to - 1).div_euclid(every), sums);
        let before = status.harm.log;
        let value_is_over = to.rem_euclid(every) == 0;
        if value_is_over && to >= self.due() {
            close(&mut s.values);
            let enough = |all: &Vec<f64>| all.len() >= VALUES_MIN;
            if enough(&s.values.canary) && enough(&s.values.stable) {
                let look = self.look(&s.values, to);
                if look.classification != Classification::Pass {
                    status.harm.log = status.harm.limit;
                }
                status.look = Some(look);
                // They have been looked at, and will not be again.
                s.values = Values::default();
            }
        }
        note_window(status, &w, to, before);
    }

    fn long(&mut self, status: &mut Comparison, s: &mut Sampler, scrapes: &Scrapes, to: i64) {
        let (from, grown) = (s.cursor, Age::Grown(self.plan.warmup));
        if from >= s.first {
            let w = scrapes.window(from, to, grown);
            self.window(status, s, &w, to);
        }
        let count = |version| {
            let targets = scrapes.targets(version, from, to, grown);
            i64::try_from(targets).unwrap_or(i64::MAX)
        };
        s.canary_targets = count(Version::Canary);
        s.stable_targets = count(Version::Stable).max(1);
    }

    fn found(&self, status: &Comparison, s: &Sampler) -> Option<Finding> {
        let Some(look) = &status.look else {
            let values = |all: &[f64]| all.len().to_string();
            let left = self.due() - s.cursor;
            let when = if left > 0 {
                format!("in {}", words::seconds(left))
            } else {
                format!("as soon as there are {VALUES_MIN} values of either")
            };
            let message = format!(
                "Kayenta's judge looks once, {when}; {} values of the new version so far, {} of stable",
                values(&s.values.canary),
                values(&s.values.stable),
            );
            return Some(Finding::new(Verdict::Inconclusive, "LooksOnce", message));
        };
        let means = Self::means(status);
        let shift = look.shift.map_or_else(String::new, |s| {
            let [estimate, lower, upper] = [s.estimate, s.lower, s.upper].map(words::number);
            let level = words::percent(look.confidence);
            format!(", shifted by {estimate} ({lower} to {upper} with {level})")
        });
        let seen = format!("in its one look Kayenta's judge saw {means}{shift}");
        let tolerated = words::percent(self.compared.relative);
        Some(match look.classification {
            Classification::Pass => Finding::new(
                Verdict::Pass,
                "KayentaPass",
                format!(
                    "{seen}: Pass, that is no difference beyond the tolerated {tolerated} was found, not that there is none"
                ),
            ),
            Classification::High => Finding::new(
                Verdict::Fail,
                "KayentaHigh",
                format!("{seen}: High, more than the tolerated {tolerated} above stable"),
            ),
            Classification::Low => Finding::new(
                Verdict::Fail,
                "KayentaLow",
                format!("{seen}: Low, more than the tolerated {tolerated} below stable"),
            ),
        })
    }

    fn missing(&self, plan: &Plan, status: &Comparison, s: &Sampler) -> Option<Finding> {
        let quiet = gap(plan, s, s.last_stable, status.stable_all.requests)?;
        let message = format!(
            "nothing of the stable version to compare with for {}",
            words::seconds(quiet)
        );
        Some(Finding::new(Verdict::NoData, "NoStableTraffic", message))
    }

    fn counts(&self, status: &Comparison, young: bool) -> Counts {
        if young {
            status.stable_all
        } else {
            status.stable
        }
    }

    fn still_needed(&self, _: &Comparison, _: &Sampler) -> f64 {
        // Nothing that comes before or after the look decides.
        f64::INFINITY
    }
}
