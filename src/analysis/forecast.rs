//! What a plan can find before it begins: how small a regression each step shows, and how long it takes
//! until a good version is shown to be good enough.
//!
//! The sums are those by which the tests were designed: Wald's bound for the growth of the evidence
//! (equation 5), tempered as the tests are. A forecast is no promise: it reckons with steady traffic.

use super::comparison::{UNSAFE_RATE, asks_for_level};
use super::effects::{growth, wald_requests};
use super::level::Law;
use super::plan::{ComparisonPlan, Measure};

/// So many times Wald's bound are reached by 80 % of the runs.
pub const POWER_80: f64 = 1.75;
/// A regression that every step should see.
pub const PLAIN: f64 = 10.0;
/// The part of the risk of a wrong promotion that goes to the comparison, as in the tests.
const SAFE_COMPARISON_SHARE: f64 = 0.8;
/// No ratio beyond this is looked for.
const RATIO_MAX: f64 = 1e6;
/// The smallest share of bad ones that is reckoned with.
const SHARE_MIN: f64 = 1e-5;
/// And the largest.
const SHARE_MAX: f64 = 1.0 - 1e-9;
/// Halvings when a ratio is looked for.
const HALVINGS: usize = 200;
/// The longest time that is spoken of: nobody waits a year.
const SECONDS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// What is known of a service before a version goes out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service {
    /// Requests a second of all versions together; of what has no requests, pod-seconds a second.
    pub rate: f64,
    /// The stable version's share of bad ones, or events for each of these.
    pub ratio: f64,
    /// By how much counts vary more than by chance.
    pub phi: f64,
    /// What pods persistently differ by.
    pub tau: f64,
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
    /// The new version's requests in it.
    pub requests: f64,
    /// The smallest regression that 80 % of the runs find in it, as a multiple of stable's.
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
    /// Not even ten times as many bad ones are found.
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
pub struct Tests<'a> {
    compared: &'a ComparisonPlan,
    law: Law,
}

impl<'a> Tests<'a> {
    /// Of ratios and events against the stable version; of the others nothing is forecast.
    #[must_use]
    pub fn of(compared: &'a ComparisonPlan) -> Option<Self> {
        let law = match compared.measure {
            Measure::Ratio { .. } if compared.level.is_none() => Law::Bernoulli,
            Measure::Events { .. } if !compared.measure.fewer_is_harm() => Law::Poisson,
            _ => return None,
        };
        Some(Self { compared, law })
    }

    fn alpha(&self) -> f64 {
        self.compared.alpha_main()
    }

    /// The requests after which 80 % of the runs have found a ratio of `r` times stable's.
    fn found_after(&self, service: &Service, kappa: f64, margin: f64, r: f64) -> f64 {
        let p = service.ratio.max(SHARE_MIN);
        let r0 = (1.0 + self.compared.relative) * margin;
        if r <= r0 {
            return f64::INFINITY;
        }
        let against_stable = wald_requests(self.alpha(), p, kappa, r, r0);
        let needed = match self.law {
            Law::Bernoulli if asks_for_level(self.compared, p) => {
                let level = (p + self.compared.absolute).max(self.compared.floor) * margin;
                let bad = (p * r).min(SHARE_MAX);
                if bad <= level {
                    return f64::INFINITY;
                }
                against_stable.max((1.0 / self.alpha()).ln() / entropy(bad, level))
            }
            _ => against_stable,
        };
        needed * service.phi * POWER_80
    }

    /// The requests after which half of the runs of a good version have shown it, for a weight.
    fn safe_after(&self, service: &Service, kappa: f64, next_weight: i32) -> f64 {
        let p = service.ratio.max(SHARE_MIN);
        let required = self.compared.required(next_weight);
        let risk = match self.law {
            Law::Bernoulli => UNSAFE_RATE * SAFE_COMPARISON_SHARE,
            Law::Poisson => UNSAFE_RATE,
        };
        let times = match self.law {
            Law::Bernoulli => required.times.max(1.0 + required.points / p),
            Law::Poisson => required.times,
        };
        let compared = (1.0 / risk).ln() / growth(p, kappa, 1.0, 1.0, times);
        let level = match self.law {
            Law::Bernoulli if p < required.level => {
                (1.0 / (UNSAFE_RATE - risk)).ln() / entropy(p, required.level)
            }
            _ => f64::INFINITY,
        };
        compared.min(level) * service.phi
    }

    /// The smallest ratio that `requests` find.
    fn smallest(&self, service: &Service, kappa: f64, margin: f64, requests: f64) -> f64 {
        let (mut low, mut high) = (1.0_f64, RATIO_MAX);
        if self.found_after(service, kappa, margin, high) > requests {
            return f64::INFINITY;
        }
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            if self.found_after(service, kappa, margin, middle) > requests {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// What a stretch can do.
    #[must_use]
    pub fn outlook(&self, service: &Service, stretch: &Stretch) -> Outlook {
        let share = f64::from(stretch.weight.clamp(1, 99)) / 100.0;
        let margin =
            super::dispersion::pod_margin(service.tau, stretch.canary_pods, stretch.stable_pods);
        let per_second = service.rate * share;
        let kappa = (1.0 - share) / share;
        let good = self.safe_after(service, kappa, stretch.next_weight) / per_second;
        let safe_after = (good.is_finite() && good < SECONDS_MAX).then(|| good.ceil() as i64);
        let (least, most) = stretch.bounds;
        let waits = safe_after.unwrap_or(i64::MAX).clamp(least, most.max(least));
        let seconds = stretch.seconds.unwrap_or(waits);
        let requests = per_second * seconds as f64;
        let longest = stretch.seconds.unwrap_or(most);
        let at_most = per_second * longest as f64;
        let mut outlook = Outlook {
            seconds,
            requests,
            finds: self.smallest(service, kappa, margin, requests),
            finds_at_most: self.smallest(service, kappa, margin, at_most),
            safe_after,
            margin,
            warning: None,
        };
        outlook.warning = self.warning(service, stretch, &outlook, longest);
        outlook
    }

    fn warning(
        &self,
        service: &Service,
        stretch: &Stretch,
        outlook: &Outlook,
        longest: i64,
    ) -> Option<Warning> {
        let margin = outlook.margin;
        if (1.0 + self.compared.relative) * margin >= PLAIN {
            return Some(Warning::Pods);
        }
        let share_of = |weight: i32| f64::from(weight) / 100.0;
        let split = |weight: i32| (1.0 - share_of(weight)) / share_of(weight);
        let seconds = |requests: f64| {
            let seconds = requests / (service.rate * share_of(stretch.weight.clamp(1, 99)));
            (seconds.is_finite() && seconds < SECONDS_MAX).then(|| seconds.ceil() as i64)
        };
        let weight = |needed: &dyn Fn(f64) -> f64| {
            let enough =
                |w: &i32| service.rate * share_of(*w) * longest as f64 >= needed(split(*w));
            (stretch.weight + 1..=99).find(|w| enough(w))
        };
        let plain = |kappa: f64| self.found_after(service, kappa, margin, PLAIN);
        if outlook.finds_at_most > PLAIN {
            return Some(Warning::Blind {
                seconds: seconds(plain(split(stretch.weight.clamp(1, 99)))),
                weight: weight(&plain),
            });
        }
        if stretch.seconds.is_none() && outlook.safe_after.is_none_or(|s| s > longest) {
            let good = |kappa: f64| self.safe_after(service, kappa, stretch.next_weight);
            return Some(Warning::Undecided {
                seconds: outlook.safe_after,
                weight: weight(&good),
            });
        }
        None
    }
}

/// The relative entropy of a chance of `q` to one of `p`.
fn entropy(q: f64, p: f64) -> f64 {
    let part = |q: f64, p: f64| if q > 0.0 { q * (q / p).ln() } else { 0.0 };
    part(q, p) + part(1.0 - q, 1.0 - p)
}

#[cfg(test)]
mod tests;
