//! What a plan can find before it begins: how small a regression each step shows, and how long it takes
//! until a good version is shown to be good enough.
//!
//! The sums are those by which the tests were designed: Wald's bound for the growth of the evidence
//! (equation 5), tempered as the tests are. A forecast is no promise: it reckons with steady traffic.

mod evidence;

use super::plan::{ComparisonPlan, Measure};
use evidence::Evidence;

/// So many times Wald's bound are reached by 80 % of the runs.
pub const POWER_80: f64 = 1.75;
/// A regression that every step should see: of errors and events ...
const PLAIN_COUNTS: f64 = 10.0;
/// ... and of latencies and levels.
const PLAIN: f64 = 3.0;
/// No ratio beyond this is looked for.
const RATIO_MAX: f64 = 1e6;
/// Halvings when a ratio is looked for: it is known to a part in a billion then.
const HALVINGS: usize = 35;
/// The longest time that is spoken of: nobody waits a year.
const SECONDS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// What is known of a service before a version goes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Requests a second of all versions together; of what has no requests, pod-seconds a second; of a
    /// gauge, samples.
    pub rate: f64,
    /// The stable version's share of bad ones (of slow ones), or events for each of these; of a gauge its
    /// mean.
    pub ratio: f64,
    /// By how much counts vary more than by chance.
    pub phi: f64,
    /// What pods persistently differ by.
    pub tau: f64,
    /// What only this kind of metric has.
    pub shape: Shape,
}

/// What is known of a service's metric beside its numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Ratios and events: nothing.
    Counts,
    /// Latencies.
    Latencies {
        /// The stable version's requests in each bucket.
        reference: Vec<f64>,
        /// The finite bounds of the buckets.
        bounds: Vec<f64>,
        /// How much counts vary beyond chance, for each bet and each request of a pod in a window.
        dispersion: Vec<f64>,
        /// The length of a window.
        window_seconds: i64,
        /// Requests that take longer than this, in seconds, are the slow ones.
        slow: f64,
    },
    /// A gauge.
    Gauge {
        /// Of the logarithm of one pod's mean in a window.
        variance: f64,
        /// The length of a window.
        window_seconds: i64,
    },
}

/// A stretch of a plan in which nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The new version's share of the traffic in percent.
    pub weight: i32,
    /// How long it lasts; none: until the evidence suffices.
    pub seconds: Option<i64>,
    /// It lasts at least so long, and at most so long.
    pub bounds: (i64, i64),
    /// The weight that comes after it.
    pub next_weight: i32,
    /// The new version's pods.
    pub canary_pods: usize,
    /// The stable version's.
    pub stable_pods: usize,
}

/// What a metric can do in a stretch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// How long the stretch lasts if the version is as good as stable, in seconds.
    pub seconds: i64,
    /// The new version's requests in it, if it is requests that the metric counts.
    pub requests: Option<f64>,
    /// The smallest regression that 80 % of the runs find in it, as a multiple of stable's: below 1 where
    /// fewer are the harm. Infinite: none.
    pub finds: f64,
    /// The same for as long as the stretch may last at most.
    pub finds_at_most: f64,
    /// When a good version is shown to be good enough for the next weight, in seconds.
    pub safe_after: Option<i64>,
    /// A difference up to this factor is within what pods differ by.
    pub margin: f64,
    /// What is wrong with it.
    pub warning: Option<Warning>,
}

/// What is wrong with a stretch, with what it would take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warning {
    /// Not even a plain regression is found: see [`Tests::plain`].
    Blind {
        /// So long it would have to last.
        seconds: Option<i64>,
        /// Or so much weight it would have to have, in percent.
        weight: Option<i32>,
    },
    /// It ends before a good version can be shown to be good enough.
    Undecided {
        /// So long it would have to last.
        seconds: Option<i64>,
        /// Or so much weight it would have to have, in percent.
        weight: Option<i32>,
    },
    /// Pods differ by so much that more of them are needed, and not more time.
    Pods,
}

/// The tests of a metric, as far as a forecast needs them.
#[derive(Debug, Clone, Copy)]
pub struct Tests<'a>(&'a ComparisonPlan);

impl<'a> Tests<'a> {
    /// Of everything that evidence is gathered of; of a judge that looks once nothing is forecast.
    #[must_use]
    pub fn of(compared: &'a ComparisonPlan) -> Option<Self> {
        (!compared.measure.is_looked_at_once()).then_some(Self(compared))
    }

    /// A regression that every step should see, in times as bad: so many more errors; so many times as
    /// slow, or as much of something.
    #[must_use]
    pub fn plain(&self) -> f64 {
        match self.0.measure {
            Measure::Ratio { .. } | Measure::Events { .. } => PLAIN_COUNTS,
            Measure::Histogram { .. } | Measure::Gauge { .. } => PLAIN,
        }
    }

    /// Times as bad as a multiple of stable's.
    fn multiple(&self, times: f64) -> f64 {
        if times.is_finite() {
            self.0.worse_by(times)
        } else {
            times
        }
    }

    /// What a stretch can do. None: the numbers of the service are not those of this kind of metric, or say
    /// too little (all latencies in one bucket).
    #[must_use]
    pub fn outlook(&self, service: &Service, stretch: &Stretch) -> Option<Outlook> {
        let evidence = Evidence::of(self.0, service, stretch)?;
        let share = share_of(stretch.weight);
        let per_second = evidence.per_second(service, share);
        let kappa = split(share);
        let good = evidence.safe_after(kappa) / per_second;
        let safe_after = (good.is_finite() && good < SECONDS_MAX).then(|| good.ceil() as i64);
        let (least, most) = stretch.bounds;
        let waits = safe_after.unwrap_or(i64::MAX).clamp(least, most.max(least));
        let seconds = stretch.seconds.unwrap_or(waits);
        let longest = stretch.seconds.unwrap_or(most);
        let finds = |seconds: i64| smallest(&evidence, kappa, per_second * seconds as f64);
        let at_most = finds(longest);
        Some(Outlook {
            seconds,
            requests: self
                .0
                .measure
                .counts_requests()
                .then_some(per_second * seconds as f64),
            finds: self.multiple(finds(seconds)),
            finds_at_most: self.multiple(at_most),
            safe_after,
            margin: evidence.margin(),
            warning: self.warning(&evidence, service, stretch, (at_most, safe_after, longest)),
        })
    }

    fn warning(
        &self,
        evidence: &Evidence<'_>,
        service: &Service,
        stretch: &Stretch,
        (at_most, safe_after, longest): (f64, Option<i64>, i64),
    ) -> Option<Warning> {
        let plain = self.plain();
        if evidence.tolerated() >= plain {
            return Some(Warning::Pods);
        }
        let seconds = |needed: f64| {
            let seconds = needed / evidence.per_second(service, share_of(stretch.weight));
            (seconds.is_finite() && seconds < SECONDS_MAX).then(|| seconds.ceil() as i64)
        };
        let weight = |needed: &dyn Fn(f64) -> f64| {
            let enough = |w: &i32| {
                let share = share_of(*w);
                evidence.per_second(service, share) * longest as f64 >= needed(split(share))
            };
            (stretch.weight + 1..=99).find(|w| enough(w))
        };
        let found = |kappa: f64| evidence.found_after(kappa, plain);
        if at_most > plain {
            return Some(Warning::Blind {
                seconds: seconds(found(split(share_of(stretch.weight)))),
                weight: weight(&found),
            });
        }
        if stretch.seconds.is_none() && safe_after.is_none_or(|s| s > longest) {
            return Some(Warning::Undecided {
                seconds: safe_after,
                weight: weight(&|kappa| evidence.safe_after(kappa)),
            });
        }
        None
    }
}

fn share_of(weight: i32) -> f64 {
    f64::from(weight.clamp(1, 99)) / 100.0
}

/// The stable version's requests for each of the new one's.
fn split(share: f64) -> f64 {
    (1.0 - share) / share
}

/// The smallest regression, in times as bad, that so much finds.
fn smallest(evidence: &Evidence<'_>, kappa: f64, known: f64) -> f64 {
    let (mut low, mut high) = (1.0_f64, RATIO_MAX);
    if evidence.found_after(kappa, high) > known {
        return f64::INFINITY;
    }
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        if evidence.found_after(kappa, middle) > known {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests;
