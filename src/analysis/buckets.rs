//! Latency as bucket counts: what a slowdown does to a histogram, and the evidence of one window
//! (statistics, section 2c and equation 3).
//!
//! Buckets here are not cumulative and ascend in latency; there is one more of them than finite
//! upper bounds. Only the counts decide: a quantile is for people, no test may read one.

/// No bet on a density ratio below this.
const RHO_MIN: f64 = 0.02;
/// No bet on a density ratio above this.
const RHO_MAX: f64 = 50.0;
/// The share that a bucket of the reference counts for at least: what was never seen is rare.
const SHARE_MIN: f64 = 1e-9;
/// The first bucket is taken to begin, and the last one to end, so far from its bound in ln(le).
const EDGE: f64 = 2.0;

/// The distribution function of a histogram, linear in the logarithm of the latency.
struct Cdf {
    /// Points (ln latency, share at or below), ascending.
    points: Vec<(f64, f64)>,
}

impl Cdf {
    fn new(shares: &[f64], bounds: &[f64]) -> Self {
        let mut points = Vec::with_capacity(bounds.len() + 2);
        let mut below = 0.0;
        for (share, bound) in shares.iter().zip(bounds) {
            below += share;
            let at = bound.ln();
            if points.is_empty() {
                points.push((at - EDGE, 0.0));
            }
            points.push((at, below));
        }
        if let Some((at, _)) = points.last().copied() {
            points.push((at + EDGE, 1.0));
        }
        Self { points }
    }

    fn at(&self, t: f64) -> f64 {
        let after = self.points.partition_point(|(x, _)| *x <= t);
        let before = after.checked_sub(1).and_then(|k| self.points.get(k));
        match (before, self.points.get(after)) {
            (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (t - x0) / (x1 - x0),
            (Some((_, y)), None) | (None, Some((_, y))) => *y,
            (None, None) => 1.0,
        }
    }
}

/// The shares of the histogram whose latencies are `scale` times the reference's.
pub(super) fn scaled(reference: &[f64], bounds: &[f64], scale: f64) -> Vec<f64> {
    let cdf = Cdf::new(reference, bounds);
    let shift = scale.ln();
    let mut below = 0.0;
    let mut shares = Vec::with_capacity(reference.len());
    for k in 0..reference.len() {
        let upto = bounds.get(k).map_or(1.0, |le| cdf.at(le.ln() - shift));
        shares.push(upto - below);
        below = upto;
    }
    shares
}

/// A density ratio within what is bet on.
fn cut(rho: f64) -> f64 {
    if rho.is_nan() {
        return RHO_MIN;
    }
    rho.clamp(RHO_MIN, RHO_MAX)
}

/// What the new version's buckets are to the stable version's, bucket by bucket, if its latencies
/// are `scale` times as long (statistics, section 2c).
///
/// `reference` are the shares of the stable version's buckets, which sum to 1; `bounds` their
/// finite upper bounds in any unit, positive and ascending, one fewer. Ratios never fall with the
/// latency for a scale above 1, and never rise for one below, so that a test which bets on them
/// errs for nobody on the other side of its null. They are between 0.02 and 50.
#[must_use]
pub fn scale_rho(reference: &[f64], bounds: &[f64], scale: f64) -> Vec<f64> {
    let slower = scale >= 1.0;
    let mut so_far = if slower { 0.0 } else { f64::INFINITY };
    scaled(reference, bounds, scale)
        .into_iter()
        .zip(reference)
        .map(|(then, now)| {
            let ratio = then / now.max(SHARE_MIN);
            so_far = if slower {
                ratio.max(so_far)
            } else {
                ratio.min(so_far)
            };
            cut(so_far)
        })
        .collect()
}

/// Equation 3: the logarithm of the e-value of one window's bucket counts, for a bet on the density
/// ratios `rho` against `rho0`. All four have the same length; counts may be fractions. 0 where a
/// version has no request.
///
/// The expected e-value is at most 1 for any stable distribution and any split when `rho0` is 1
/// everywhere, `rho` never falls, and the new version is not stochastically slower. Otherwise it is
/// at most 1 where, in every bucket with `rho` above (below) `rho0`, the new version's share is at
/// most (at least) `rho0` times the stable version's: the argument of Turner, Ly and Grünwald
/// (arXiv 2106.02693) bucket by bucket. No normalisation is needed for that.
#[must_use]
pub fn log_increment(canary: &[f64], stable: &[f64], rho: &[f64], rho0: &[f64]) -> f64 {
    let (nc, ns): (f64, f64) = (canary.iter().sum(), stable.iter().sum());
    if !(nc > 0.0 && ns > 0.0) {
        return 0.0;
    }
    let counts = canary.iter().zip(stable);
    let ratios = rho.iter().zip(rho0);
    counts
        .zip(ratios)
        .filter(|((xc, xs), (rho, rho0))| *xc + *xs > 0.0 && **rho > 0.0 && **rho0 > 0.0)
        .map(|((xc, xs), (rho, rho0))| {
            // ln((nc rho + ns) / (nc rho0 + ns)) as ln(1 + y): exact for small effects.
            let y = nc * (rho - rho0) / (nc * rho0 + ns);
            xc * (rho / rho0).ln() - (xc + xs) * y.ln_1p()
        })
        .sum()
}

/// The quantile `q` of a classic histogram as Prometheus' `histogram_quantile` has it: linear
/// within a bucket, from 0 in the first one, and the last finite bound for what is above it.
///
/// `bounds` ascend and end with infinity; `cumulative` are the counts at or below each, of the same
/// length. Not a number without observations or without an infinite bucket; -inf and +inf for a `q`
/// below 0 and above 1.
#[must_use]
pub fn histogram_quantile(q: f64, bounds: &[f64], cumulative: &[f64]) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if q.is_nan() {
        return f64::NAN;
    }
    // Buckets of the same bound are one; a count that falls is a scrape in between two increments.
    let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(bounds.len());
    let mut most = 0.0_f64;
    for (bound, count) in bounds.iter().zip(cumulative) {
        match buckets.last_mut() {
            Some((last, merged)) if *last >= *bound => *merged += count,
            _ => buckets.push((*bound, *count)),
        }
    }
    for (_, count) in &mut buckets {
        most = most.max(*count);
        *count = most;
    }
    let total = match buckets.as_slice() {
        [_, .., (bound, total)] if *bound == f64::INFINITY && *total > 0.0 => *total,
        _ => return f64::NAN,
    };
    let rank = q * total;
    let finite = buckets.len() - 1;
    let (mut start, mut before) = (0.0, 0.0);
    for (k, (end, count)) in buckets.iter().take(finite).enumerate() {
        if *count >= rank {
            if k == 0 && *end <= 0.0 {
                return *end;
            }
            return start + (end - start) * ((rank - before) / (count - before));
        }
        (start, before) = (*end, *count);
    }
    start
}

#[cfg(test)]
pub(in crate::analysis) mod tests;
