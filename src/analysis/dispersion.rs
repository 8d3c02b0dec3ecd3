//! How much the stable pods differ, from their own history: `phi` for bursts, `tau` for pods that
//! stay different (statistics, section 2f, equations 7 and 8).
//!
//! Requests of one pod come and fail together. A test that takes them for independent gives false
//! alarms in most rollouts. The history must end before the window that the result is used on.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Block lengths, in windows, at which bursts are looked for.
pub const SCALES: [usize; 4] = [1, 4, 20, 80];
/// Below this, a `phi` is taken for chance.
const PHI_MIN: f64 = 1.1;
/// The level of the quantile in the pod margin: where pods differ for good and traffic is plenty, a new
/// pod that is beyond it is found, and so often is a good version aborted.
const MARGIN_LEVEL: f64 = 0.975;

/// The history of pods: events and requests (or exposure), per pod and window.
///
/// All series are aligned; one that is shorter than the longest lacks its last windows, a window
/// without requests counts for nothing.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// Events, per pod and window.
    pub events: &'a [Vec<f64>],
    /// Requests, of the same shape.
    pub requests: &'a [Vec<f64>],
}

/// What a pod did in some windows.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    x: f64,
    n: f64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            x: self.x + other.x,
            n: self.n + other.n,
        }
    }
}

impl History<'_> {
    /// How many windows there are.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.requests.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// What each pod did from one window to before another.
    fn sums(&self, from: usize, to: usize) -> Vec<Sums> {
        let pods = self.events.iter().zip(self.requests);
        pods.map(|(events, requests)| {
            let both = events.iter().zip(requests);
            both.take(to)
                .skip(from)
                .filter(|(x, n)| **n > 0.0 && **x >= 0.0 && x.is_finite() && n.is_finite())
                .fold(Sums::default(), |sums, (x, n)| {
                    sums.plus(Sums { x: *x, n: *n })
                })
        })
        .collect()
    }

    /// Each pod's rate relative to all of them, over the whole history, drawn a little towards 1.
    /// 0 for a pod without requests.
    fn relative_rates(&self) -> Vec<f64> {
        let pods = self.sums(0, usize::MAX);
        let served = pods.iter().filter(|p| p.n > 0.0).count() as f64;
        let all = total(&pods);
        let rate = |p: &Sums| (p.x + 1.0) / p.n / ((all.x + served) / all.n);
        pods.iter()
            .map(|p| if p.n > 0.0 { rate(p) } else { 0.0 })
            .collect()
    }

    /// The squared coefficient of variation that pods' counts have beyond chance, in blocks of
    /// `block` windows, after what persistently differs is taken out. 0 with fewer than two pods
    /// or two blocks.
    #[must_use]
    pub fn cv2(&self, block: usize) -> f64 {
        let blocks = self.windows().checked_div(block).unwrap_or(0);
        if blocks < 2 {
            return 0.0;
        }
        let rates = self.relative_rates();
        let (mut squares, mut by_chance, mut scale) = (0.0, 0.0, 0.0);
        for k in 0..blocks {
            let pods = self.sums(k * block, (k + 1) * block);
            let events = total(&pods).x;
            let shares: Vec<f64> = pods.iter().zip(&rates).map(|(p, r)| p.n * r).collect();
            let all: f64 = shares.iter().sum();
            if all <= 0.0 {
                continue;
            }
            for (pod, share) in pods.iter().zip(&shares) {
                let q = share / all;
                let expected = events * q;
                squares += (pod.x - expected).powi(2);
                by_chance += expected * (1.0 - q);
                scale += expected * expected * (1.0 - q);
            }
        }
        // The relative rates are fitted to the same blocks, which takes one of them away.
        let unbiased = blocks as f64 / (blocks - 1) as f64;
        let found = (unbiased * squares - by_chance) / scale;
        if scale > 0.0 && found > 0.0 {
            found
        } else {
            0.0
        }
    }

    /// Equation 7: by how much larger the variance of a pod's events is than chance, where
    /// `expected` events are expected per new pod and window. Depends on the step's number of pods:
    /// compute it anew at its start.
    #[must_use]
    pub fn phi(&self, scales: &[usize], expected: f64) -> f64 {
        phi(scales.iter().map(|b| (*b, self.cv2(*b))), expected)
    }

    /// Equation 8: the standard deviation of what pods persistently differ by, relative to their
    /// rate: the root of the covariance of relative rates in the first and second half. 0 with
    /// fewer than two pods in both.
    #[must_use]
    pub fn tau(&self) -> f64 {
        let half = self.windows() / 2;
        let (first, second) = (self.sums(0, half), self.sums(half, usize::MAX));
        let (all_first, all_second) = (total(&first), total(&second));
        if all_first.x <= 0.0 || all_second.x <= 0.0 {
            return 0.0;
        }
        let relative = |pod: &Sums, all: &Sums| (pod.x / pod.n) / (all.x / all.n);
        let pairs: Vec<(f64, f64)> = first
            .iter()
            .zip(&second)
            .filter(|(a, b)| a.n > 0.0 && b.n > 0.0)
            .map(|(a, b)| (relative(a, &all_first), relative(b, &all_second)))
            .collect();
        let n = pairs.len() as f64;
        if n < 2.0 {
            return 0.0;
        }
        let (a, b) = pairs
            .iter()
            .fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
        let covariance: f64 = pairs.iter().map(|(x, y)| (x - a) * (y - b)).sum();
        (covariance / (n - 1.0)).max(0.0).sqrt()
    }

    /// The dispersion for fewer than two pods: of all pods together, by differences of successive
    /// windows (von Neumann). It includes drift that both versions would share, so it is too large
    /// rather than too small. At least 1.
    #[must_use]
    pub fn successive(&self) -> f64 {
        let windows: Vec<Sums> = (0..self.windows())
            .map(|k| total(&self.sums(k, k + 1)))
            .filter(|w| w.n > 0.0)
            .collect();
        let all = total(&windows);
        let rate = all.x / all.n;
        if windows.len() < 2 || rate.is_nan() || rate <= 0.0 {
            return 1.0;
        }
        let off = |w: &Sums| (w.x - rate * w.n) / (rate * w.n).sqrt();
        let squares: f64 = windows
            .windows(2)
            .map(|pair| match pair {
                [a, b] => (off(b) - off(a)).powi(2),
                _ => 0.0,
            })
            .sum();
        beyond_chance(squares / (2.0 * (windows.len() - 1) as f64))
    }
}

/// Equation 7 from variations that are known: pairs of block length and squared coefficient of
/// variation. A result below 1.1 is taken for 1.
#[must_use]
pub fn phi(cv2: impl IntoIterator<Item = (usize, f64)>, expected: f64) -> f64 {
    let each = cv2
        .into_iter()
        .map(|(b, cv2)| 1.0 + cv2 * b as f64 * expected);
    beyond_chance(each.fold(1.0, f64::max))
}

fn beyond_chance(phi: f64) -> f64 {
    if phi < PHI_MIN { 1.0 } else { phi }
}

/// By which factor `canary` new pods may differ from `stable` ones though nothing changed, given
/// the `tau` of [`History::tau`]: the t quantile, with one degree of freedom less than stable pods,
/// of the difference of their means. At least 1; with fewer than two stable pods, or none new, no
/// margin is known and it is 1.
#[must_use]
pub fn pod_margin(tau: f64, canary: usize, stable: usize) -> f64 {
    if canary == 0 || stable < 2 || tau.is_nan() || tau <= 0.0 {
        return 1.0;
    }
    let Ok(t) = StudentsT::new(0.0, 1.0, (stable - 1) as f64) else {
        return 1.0;
    };
    let spread = (1.0 / canary as f64 + 1.0 / stable as f64).sqrt();
    (t.inverse_cdf(MARGIN_LEVEL) * tau * spread).exp()
}

fn total(pods: &[Sums]) -> Sums {
    pods.iter().copied().fold(Sums::default(), Sums::plus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn even(pods: usize, windows: usize, n: f64) -> Vec<Vec<f64>> {
        vec![vec![n; windows]; pods]
    }

    proptest! {
        #[test]
        fn no_numbers_make_it_less_than_chance(
            events in prop::collection::vec(prop::collection::vec(0.0..9.0_f64, 0..12), 0..4),
            requests in prop::collection::vec(prop::collection::vec(0.0..9.0_f64, 0..12), 0..4),
        ) {
            let history = History { events: &events, requests: &requests };
            let phi = history.phi(&SCALES, 3.0);
            prop_assert!(phi >= 1.0 && phi.is_finite(), "{phi}");
            prop_assert!(history.tau() >= 0.0 && history.tau().is_finite());
            prop_assert!(history.successive() >= 1.0 && history.successive().is_finite());
        }
    }

    #[test]
    fn bursts_make_phi_and_differences_make_tau() {
        // Both pods have 5 in the mean; bursts of 10 alternate between them.
        let burst = |first: usize| {
            (0..40)
                .map(|k| if k % 2 == first { 10.0 } else { 0.0 })
                .collect::<Vec<f64>>()
        };
        let (events, requests) = ([burst(0), burst(1)], even(2, 40, 100.0));
        let history = History {
            events: &events,
            requests: &requests,
        };
        assert!(history.cv2(1) > 0.8 && history.cv2(2).abs() < 1e-12);
        assert!(history.phi(&[1], 5.0) > 5.0);
        assert!(history.tau() < 1e-9);
        // One pod fails twice as much as the other, always.
        let events = [vec![4.0; 40], vec![8.0; 40]];
        let history = History {
            events: &events,
            requests: &requests,
        };
        assert!((history.phi(&SCALES, 5.0) - 1.0).abs() < 1e-12);
        assert!((history.tau() - (2.0 / 9.0_f64).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn the_margin_is_a_t_quantile() {
        // t with 4 degrees of freedom at 97.5 %: 2.776445.
        let margin = pod_margin(0.1, 1, 5);
        let expected = (2.776_445_105 * 0.1 * 1.2_f64.sqrt()).exp();
        assert!((margin - expected).abs() < 1e-6, "{margin} {expected}");
        for none in [
            pod_margin(0.0, 1, 5),
            pod_margin(0.1, 0, 5),
            pod_margin(0.1, 1, 1),
        ] {
            assert!((none - 1.0).abs() < 1e-12);
        }
        assert!((pod_margin(f64::NAN, 1, 5) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_pod_is_measured_by_its_jumps() {
        let requests = even(1, 40, 100.0);
        let calm = [vec![5.0; 40]];
        let history = History {
            events: &calm,
            requests: &requests,
        };
        assert!((history.successive() - 1.0).abs() < 1e-12);
        let jumps = [(0..40)
            .map(|k| if k % 2 == 0 { 20.0 } else { 0.0 })
            .collect()];
        let history = History {
            events: &jumps,
            requests: &requests,
        };
        assert!(history.successive() > 10.0);
    }
}
