//! What `increase()` of Prometheus makes of a counter (promql, `extrapolatedRate`).
//!
//! The result is stretched to the edges of the range and is not a count: no test here may be fed
//! with it. It is there to show why.

/// A gap of this many mean intervals is one in which the series did not exist.
const GAP: f64 = 1.1;

/// `increase()` at time `t` over `range`, both in the unit of the samples' times; samples are
/// (time, value), ascending. Those in `(t - range, t]` count, as since Prometheus 3. Nothing with
/// fewer than two.
#[must_use]
pub fn increase(samples: &[(f64, f64)], t: f64, range: f64) -> Option<f64> {
    let inside: Vec<(f64, f64)> = samples
        .iter()
        .copied()
        .filter(|(at, _)| *at > t - range && *at <= t)
        .collect();
    let [(first_at, first), .., (last_at, last)] = inside.as_slice() else {
        return None;
    };
    // What a counter had before it started anew is added.
    let restarts: f64 = inside
        .windows(2)
        .map(|pair| match pair {
            [(_, a), (_, b)] if b < a => *a,
            _ => 0.0,
        })
        .sum();
    let increase = last - first + restarts;
    let sampled = last_at - first_at;
    let interval = sampled / (inside.len() - 1) as f64;
    let reach = |gap: f64| {
        if gap >= interval * GAP {
            interval / 2.0
        } else {
            gap
        }
    };
    let mut before = reach(first_at - (t - range));
    if increase > 0.0 && *first >= 0.0 {
        // A counter cannot have been below zero.
        before = before.min(sampled * (first / increase));
    }
    let after = reach(t - last_at);
    Some(increase * ((sampled + before + after) / sampled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_counter_is_stretched_to_the_range() {
        let samples: Vec<(f64, f64)> = (0..20)
            .map(|k| (f64::from(k) * 15.0 + 3.0, f64::from(k) * 2.0 + 100.0))
            .collect();
        let found = increase(&samples, 240.0, 120.0).unwrap();
        assert!((found - 16.0).abs() < 1e-9, "{found}");
        // The sample at the left edge is not in the range.
        let at_edge = increase(&samples, 123.0, 60.0).unwrap();
        assert!((at_edge - 6.0 * 60.0 / 45.0).abs() < 1e-9, "{at_edge}");
    }

    #[test]
    fn restarts_and_gaps() {
        let found = increase(&[(0.0, 10.0), (10.0, 12.0), (20.0, 3.0)], 20.0, 30.0).unwrap();
        // 2, then 3 after the restart; 10 before the first sample are within 1.1 intervals.
        assert!((found - 5.0 * 30.0 / 20.0).abs() < 1e-9, "{found}");
        let late = increase(&[(50.0, 100.0), (55.0, 101.0)], 60.0, 60.0).unwrap();
        assert!((late - (5.0 + 2.5 + 5.0) / 5.0).abs() < 1e-9, "{late}");
        assert_eq!(increase(&[(5.0, 1.0)], 10.0, 60.0), None);
        assert_eq!(increase(&[(-60.0, 1.0), (5.0, 1.0)], 10.0, 60.0), None);
    }
}
