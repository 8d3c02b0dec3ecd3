//! What a comparison found, in sentences with numbers: each kind has its own words for what it counts.

use super::{Judge, Required, decides};
use crate::analysis::buckets::histogram_quantile;
use crate::analysis::plan::{ComparisonPlan, Measure, Plan};
use crate::analysis::words;
use crate::api::analysis_status::{Comparison, Counts, Sampler};

/// The quantiles that people know.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];

/// What there is to say with.
pub(super) struct Words<'a> {
    pub plan: &'a Plan,
    pub compared: &'a ComparisonPlan,
    pub judge: &'a dyn Judge,
    pub status: &'a Comparison,
    pub sampler: &'a Sampler,
}

impl Words<'_> {
    /// What was counted so far, and what was to be expected; of the `young` pods too or not.
    pub fn sofar(&self, young: bool) -> String {
        let (canary, stable) = self.counts(young);
        if matches!(self.compared.measure, Measure::Gauge { .. }) {
            return format!(
                "{} in the mean of the new version's pods, {} of stable's",
                words::number(mean(&canary)),
                words::number(mean(&stable)),
            );
        }
        let counted = self.counted(&canary);
        if let Some(level) = self.compared.level {
            let share = words::percent(mean(&canary));
            let level = words::percent(level);
            return format!("{counted} to the new version ({share}), {level} is allowed");
        }
        let expected = canary.requests * mean(&stable);
        let expected = if expected < 10.0 {
            format!("{expected:.1}")
        } else {
            words::count(expected)
        };
        format!(
            "{counted} {}, {expected} expected if it behaved like stable{}",
            self.of_whom(),
            self.judge.when()
        )
    }

    fn counts(&self, young: bool) -> (Counts, Counts) {
        let canary = if young {
            self.status.canary_all
        } else {
            self.status.canary
        };
        (canary, self.judge.counts(self.status, young))
    }

    /// `18 bad of 300 requests`, with the words of its kind.
    fn counted(&self, counts: &Counts) -> String {
        let (x, n) = (words::count(counts.bad), words::count(counts.requests));
        match &self.compared.measure {
            Measure::Ratio { .. } => format!("{x} bad of {n} requests"),
            Measure::Events {
                requests: Some(_), ..
            } => format!("{x} events in {n} requests"),
            Measure::Events { .. } => {
                let seconds = words::seconds(counts.requests as i64);
                format!("{x} events in {seconds} of pods")
            }
            Measure::Histogram { .. } => format!("{x} of {n} requests{}", self.longer()),
            Measure::Gauge { .. } => words::number(mean(counts)),
        }
    }

    fn of_whom(&self) -> &'static str {
        match &self.compared.measure {
            Measure::Events { requests: None, .. } => "of the new version",
            _ => "to the new version",
        }
    }

    /// ` that took longer than 250 ms`, once the bound is known.
    fn longer(&self) -> String {
        let bound = self.judge.bound(self.sampler);
        bound.map_or_else(String::new, |seconds| {
            format!(" that took longer than {}", words::latency(seconds))
        })
    }

    /// What was shown to be harm.
    pub fn harm(&self) -> String {
        let gross = decides(&self.status.gross);
        let (canary, stable) = self.counts(gross);
        let (own, others) = (mean(&canary), mean(&stable));
        let when = self.judge.when();
        let beside = match &self.compared.measure {
            Measure::Ratio { .. } if self.compared.level.is_some() => {
                format!(
                    "{} of {} requests to the new version were bad ({})",
                    words::count(canary.bad),
                    words::count(canary.requests),
                    words::percent(own)
                )
            }
            Measure::Ratio { .. } => format!(
                "{} of {} requests to the new version were bad ({}), of stable's {}{when}",
                words::count(canary.bad),
                words::count(canary.requests),
                words::percent(own),
                words::percent(others),
            ),
            Measure::Events { .. } => format!(
                "{} {}, {} of stable's{when}",
                self.counted(&canary),
                self.of_whom(),
                self.counted(&stable),
            ),
            Measure::Histogram { .. } => format!(
                "{} of {} requests to the new version took longer than {} ({}), of stable's {}{when}{}",
                words::count(canary.bad),
                words::count(canary.requests),
                words::latency(self.judge.bound(self.sampler).unwrap_or(0.0)),
                words::percent(own),
                words::percent(others),
                self.quantiles(),
            ),
            Measure::Gauge { .. } => format!(
                "{} in the mean of the new version's pods, {} of stable's",
                words::number(own),
                words::number(others),
            ),
        };
        if gross {
            return format!("{beside}: {}", self.gross());
        }
        let interval = self.status.effect.map_or_else(String::new, |e| {
            let [likely, lower, upper] = [e.times, e.lower, e.upper].map(words::times);
            format!(", {likely} times as many ({lower} to {upper} with 95 %)")
        });
        let interval = if matches!(self.compared.measure, Measure::Gauge { .. }) {
            interval.replace(" as many", " as much")
        } else {
            interval
        };
        format!("{beside}{interval}: {}", self.tolerated())
    }

    fn gross(&self) -> String {
        let times = words::times(self.plan.gross_times);
        match &self.compared.measure {
            Measure::Ratio { .. } => {
                let level = self.plan.gross_level.max(self.compared.floor);
                let level = words::percent(level);
                format!("more than {times} times as many and more than {level}")
            }
            Measure::Events { .. } if self.compared.measure.fewer_is_harm() => {
                format!("fewer than one in {times}")
            }
            Measure::Events { .. } => format!("more than {times} times as many"),
            Measure::Histogram { .. } => {
                let times = words::times(super::latency::GROSS_SLOWER);
                format!("more than if all of them took {times} times as long")
            }
            Measure::Gauge { .. } => format!("more than {times} times as much"),
        }
    }

    fn tolerated(&self) -> String {
        let times = words::times(self.compared.tolerated());
        match (&self.compared.measure, self.compared.level) {
            (_, Some(level)) => {
                format!(
                    "more than the {} that are allowed",
                    words::percent(level.max(self.compared.floor))
                )
            }
            (Measure::Ratio { .. }, None) => format!(
                "more than the tolerated {times} times and {} points",
                words::percent(self.compared.absolute).replace(" %", "")
            ),
            (Measure::Histogram { .. }, None) => {
                let slower = words::percent(self.compared.relative);
                format!("more than the tolerated {slower} slower")
            }
            _ if self.compared.measure.fewer_is_harm() => {
                format!("fewer than the tolerated {times} times")
            }
            _ => format!("more than the tolerated {times} times"),
        }
    }

    /// What was shown to be good enough.
    pub fn good_enough(&self) -> String {
        let required: Required = self.compared.required(self.plan.next_weight);
        let weight = self.plan.next_weight;
        let within = self.status.effect.map_or_else(String::new, |e| {
            let end = if self.compared.measure.fewer_is_harm() {
                format!("at least {}", words::times(e.lower))
            } else {
                format!("at most {}", words::times(e.upper))
            };
            format!(", {end} times stable's with 95 %")
        });
        let limit = match (&self.compared.measure, self.compared.level) {
            (_, Some(level)) => format!("below {}", words::percent(level)),
            (Measure::Ratio { .. }, None) => format!(
                "below {} times stable's or {}",
                words::times(required.times),
                words::percent(required.level)
            ),
            (Measure::Events { .. }, None) if self.compared.measure.fewer_is_harm() => {
                format!(
                    "above {} times stable's",
                    words::times(1.0 / required.times)
                )
            }
            (Measure::Events { .. }, None) => {
                format!("below {} times stable's", words::times(required.times))
            }
            (Measure::Histogram { .. }, None) => {
                let limit = super::latency::ruled_out(weight, 1.0 + self.compared.relative);
                let slower = words::percent(limit - 1.0);
                format!("less than {slower} slower{}", self.quantiles())
            }
            (Measure::Gauge { .. }, None) => {
                let limit = super::gauge::ruled_out(weight, self.compared.relative);
                format!("below {} times stable's", words::times(limit))
            }
        };
        format!("good enough for {weight} % of the traffic ({limit}{within})")
    }

    /// `; p50 40 ms (stable 38 ms), p99 ...`, where buckets were counted.
    fn quantiles(&self) -> String {
        let s = self.sampler;
        if s.canary_buckets.is_empty() || s.stable_buckets.is_empty() {
            return String::new();
        }
        let bounds: Vec<f64> = s.bounds.iter().copied().chain([f64::INFINITY]).collect();
        let of = |buckets: &[f64], q: f64| {
            let mut sum = 0.0;
            let cumulative: Vec<f64> = buckets
                .iter()
                .map(|n| {
                    sum += n;
                    sum
                })
                .collect();
            let bound = histogram_quantile(q, &bounds, &cumulative);
            words::latency(self.compared.measure.seconds(bound))
        };
        let each = QUANTILES.map(|(q, name)| {
            let (canary, stable) = (of(&s.canary_buckets, q), of(&s.stable_buckets, q));
            format!("{name} {canary} (stable {stable})")
        });
        format!("; {}", each.join(", "))
    }
}

/// A ratio, a rate or the mean of a gauge.
fn mean(counts: &Counts) -> f64 {
    if counts.requests > 0.0 {
        counts.bad / counts.requests
    } else {
        0.0
    }
}
