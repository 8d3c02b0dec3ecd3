//! How fast each kind of test gathers evidence, by the sums that it was designed by.

use super::{POWER_80, Service, Shape, Stretch};
use crate::analysis::buckets::{log_increment, scaled};
use crate::analysis::comparison::{
    LATENCY_OBJECTIVE_SHARE, SAFE_COMPARISON_SHARE, StableLatencies, UNSAFE_RATE, asks_for_level,
    entropy, gauge_ruled_out, slowdown_ruled_out,
};
use crate::analysis::dictionary::{Dictionary, dictionary};
use crate::analysis::dispersion::pod_margin;
use crate::analysis::effects::{growth, wald_requests};
use crate::analysis::level::Law;
use crate::analysis::plan::ComparisonPlan;

/// The smallest share of bad ones that is reckoned with.
const SHARE_MIN: f64 = 1e-5;
/// And the largest.
const SHARE_MAX: f64 = 1.0 - 1e-9;

/// A metric's tests in a stretch: what they need, in requests to the new version; of a gauge, in windows.
pub(super) enum Evidence<'a> {
    /// Counts against the stable version's.
    Counts {
        compared: &'a ComparisonPlan,
        ratio: f64,
        phi: f64,
        margin: f64,
        next_weight: i32,
    },
    /// Counts against a level.
    Level {
        compared: &'a ComparisonPlan,
        ratio: f64,
        level: f64,
    },
    /// Latencies.
    Latencies(Box<Latencies>),
    /// A gauge.
    Gauge(Gauge),
}

/// Latencies with what is bet on.
pub(super) struct Latencies {
    dictionary: Dictionary,
    shares: Vec<f64>,
    bounds: Vec<f64>,
    /// For each bet.
    phis: Vec<f64>,
    alpha: f64,
    /// Slower by this is tolerated.
    tolerated: f64,
    margin: f64,
    /// The share above the bound that shows safety best, and how many times as many are ruled out.
    safe: (f64, f64),
}

/// A gauge, in logarithms.
pub(super) struct Gauge {
    alpha: f64,
    tolerated: f64,
    ruled_out: f64,
    margin: f64,
    /// Of the difference of both versions, for one window.
    variance: f64,
    window_seconds: f64,
}

impl<'a> Evidence<'a> {
    /// None: the numbers are not those of this kind of metric, or there is nothing to bet on.
    pub fn of(compared: &'a ComparisonPlan, service: &Service, stretch: &Stretch) -> Option<Self> {
        let pods = (stretch.canary_pods, stretch.stable_pods);
        match &service.shape {
            Shape::Counts => Some(match compared.level {
                Some(level) => Self::Level {
                    compared,
                    ratio: service.ratio.max(SHARE_MIN),
                    level,
                },
                None => Self::Counts {
                    compared,
                    ratio: service.ratio.max(SHARE_MIN),
                    phi: service.phi,
                    margin: pod_margin(service.tau, pods.0, pods.1),
                    next_weight: stretch.next_weight,
                },
            }),
            Shape::Latencies {
                reference,
                bounds,
                dispersion,
                window_seconds,
                ..
            } => {
                let tolerated = 1.0 + compared.relative;
                // As in the test: of one pod, however many there are.
                let margin = pod_margin(service.tau, 1, pods.1);
                let stable = StableLatencies::of(reference, bounds);
                let limit = slowdown_ruled_out(stretch.next_weight, tolerated);
                let at = stable.safest(limit)?;
                let share = f64::from(stretch.weight.clamp(1, 99)) / 100.0;
                let window = service.rate * share * *window_seconds as f64;
                let each = window / pods.0.max(1) as f64;
                Some(Self::Latencies(Box::new(Latencies {
                    dictionary: dictionary(reference, bounds, tolerated * margin)?,
                    phis: dispersion.iter().map(|d| 1.0 + d * each).collect(),
                    alpha: match compared.measure.objective() {
                        // The objective has its part of the stake.
                        Some(_) => compared.alpha_main() * (1.0 - LATENCY_OBJECTIVE_SHARE),
                        None => compared.alpha_main(),
                    },
                    safe: (stable.above(at), stable.times(at, limit)),
                    shares: stable.shares,
                    bounds: bounds.clone(),
                    tolerated,
                    margin,
                })))
            }
            Shape::Gauge {
                variance,
                window_seconds,
            } => {
                let each = 1.0 / pods.0.max(1) as f64 + 1.0 / pods.1.max(1) as f64;
                Some(Self::Gauge(Gauge {
                    alpha: compared.alpha_main(),
                    tolerated: compared.relative.ln_1p(),
                    ruled_out: gauge_ruled_out(stretch.next_weight, compared.relative).ln(),
                    margin: pod_margin(service.tau, pods.0, pods.1),
                    variance: variance * each,
                    window_seconds: *window_seconds as f64,
                }))
            }
        }
    }

    /// How much of what it needs comes in a second, at a share of the traffic.
    pub fn per_second(&self, service: &Service, share: f64) -> f64 {
        match self {
            Self::Gauge(gauge) => 1.0 / gauge.window_seconds,
            _ => service.rate * share,
        }
    }

    /// A difference up to this factor is within what pods differ by.
    pub fn margin(&self) -> f64 {
        match self {
            Self::Counts { margin, .. } => *margin,
            // It does not look at the stable version's pods.
            Self::Level { .. } => 1.0,
            Self::Latencies(latencies) => latencies.margin,
            Self::Gauge(gauge) => gauge.margin,
        }
    }

    /// Nothing up to this factor is ever found.
    pub fn tolerated(&self) -> f64 {
        let margin = self.margin();
        match self {
            Self::Counts { compared, .. } if compared.measure.fewer_is_harm() => {
                margin / (1.0 - compared.relative)
            }
            Self::Counts { compared, .. } => (1.0 + compared.relative) * margin,
            Self::Level { .. } => 1.0,
            Self::Latencies(latencies) => latencies.tolerated * margin,
            Self::Gauge(gauge) => gauge.tolerated.exp() * margin,
        }
    }

    /// What is needed until 80 % of the runs have found a version that is `times` as bad as stable, which
    /// gets `kappa` times the requests.
    pub fn found_after(&self, kappa: f64, times: f64) -> f64 {
        let tolerated = self.tolerated();
        if times <= tolerated {
            return f64::INFINITY;
        }
        let needed = match self {
            Self::Counts {
                compared,
                ratio: p,
                phi,
                margin,
                ..
            } => {
                let (r, r0) = if compared.measure.fewer_is_harm() {
                    (1.0 / times, 1.0 / tolerated)
                } else {
                    (times, tolerated)
                };
                let against_stable = wald_requests(compared.alpha_main(), *p, kappa, r, r0);
                let needed = if compared.law() == Law::Bernoulli && asks_for_level(compared, *p) {
                    let level = (p + compared.absolute).max(compared.floor) * margin;
                    let alone = beyond(Law::Bernoulli, p * r, level, 1.0);
                    against_stable.max((1.0 / compared.alpha_main()).ln() / alone)
                } else {
                    against_stable
                };
                needed * phi
            }
            Self::Level {
                compared,
                ratio,
                level,
            } => {
                let harm = level.max(compared.floor);
                let worse = compared.worse();
                let bad = if worse > 0.0 {
                    ratio * times
                } else {
                    ratio / times
                };
                let growth = beyond(compared.law(), bad, harm, worse);
                (1.0 / compared.alpha_main()).ln() / growth
            }
            Self::Latencies(latencies) => latencies.found_after(kappa, times),
            Self::Gauge(gauge) => {
                let beyond = times.ln() - gauge.tolerated - gauge.margin.ln();
                (1.0 / gauge.alpha).ln() * 2.0 * gauge.variance / beyond.powi(2)
            }
        };
        needed * POWER_80
    }

    /// What is needed until half of the runs of a good version have shown that it is one.
    pub fn safe_after(&self, kappa: f64) -> f64 {
        match self {
            Self::Counts {
                compared,
                ratio: p,
                phi,
                next_weight,
                ..
            } => {
                let required = compared.required(*next_weight);
                let risk = match compared.law() {
                    Law::Bernoulli => UNSAFE_RATE * SAFE_COMPARISON_SHARE,
                    Law::Poisson => UNSAFE_RATE,
                };
                let times = match compared.law() {
                    Law::Bernoulli => required.times.max(1.0 + required.points / p),
                    Law::Poisson => compared.worse_by(required.times),
                };
                let against_stable = (1.0 / risk).ln() / growth(*p, kappa, 1.0, 1.0, times);
                let level = match compared.law() {
                    Law::Bernoulli => {
                        let alone = beyond(Law::Bernoulli, *p, required.level, -1.0);
                        (1.0 / (UNSAFE_RATE - risk)).ln() / alone
                    }
                    Law::Poisson => f64::INFINITY,
                };
                against_stable.min(level) * phi
            }
            Self::Level {
                compared,
                ratio,
                level,
            } => {
                (1.0 / UNSAFE_RATE).ln() / beyond(compared.law(), *ratio, *level, -compared.worse())
            }
            Self::Latencies(latencies) => {
                let (above, times) = latencies.safe;
                let phi = latencies.phis.iter().copied().fold(1.0, f64::max);
                (1.0 / UNSAFE_RATE).ln() / growth(above, kappa, 1.0, 1.0, times) * phi
            }
            Self::Gauge(gauge) => {
                let below = gauge.ruled_out + gauge.margin.ln();
                (1.0 / UNSAFE_RATE).ln() * 2.0 * gauge.variance / below.powi(2)
            }
        }
    }
}

impl Latencies {
    /// By the bet that is right soonest. What is staked on the others is lost until then.
    fn found_after(&self, kappa: f64, slower: f64) -> f64 {
        let canary = scaled(&self.shares, &self.bounds, slower);
        let stable: Vec<f64> = self.shares.iter().map(|q| q * kappa).collect();
        let phis = self.phis.iter().copied().chain(std::iter::repeat(1.0));
        let each = self.dictionary.elements.iter().zip(phis).map(|(bet, phi)| {
            let growth = log_increment(&canary, &stable, &bet.rho, &bet.rho0) / phi;
            let needed = (1.0 / (self.alpha * bet.weight)).ln();
            if growth > 0.0 {
                needed / growth
            } else {
                f64::INFINITY
            }
        });
        each.fold(f64::INFINITY, f64::min)
    }
}

/// The growth of the evidence that a chance or rate of `q` is beyond `level`, on its `side` of it; 0 where it
/// is not.
fn beyond(law: Law, q: f64, level: f64, side: f64) -> f64 {
    let q = match law {
        Law::Bernoulli => q.min(SHARE_MAX),
        Law::Poisson => q,
    };
    if side * (q - level) > 0.0 {
        entropy(law, q, level)
    } else {
        0.0
    }
}
