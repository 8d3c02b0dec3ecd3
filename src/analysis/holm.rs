//! Which of several metrics are to blame, from their e-values (statistics, section 2h).
//!
//! Valid under any dependence. Only for e-values that were not boosted: what was handed back at
//! 1/alpha is not there to be averaged.

/// Closed averaging (Vovk and Wang, Annals of Statistics 2021, algorithm 1): for each e-value the
/// smallest mean of it with any others, in the order given. A metric is to blame at level alpha
/// where its own is at least 1/alpha; never larger than the e-value itself.
#[must_use]
pub fn e_holm(e: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<(usize, f64)> = e.iter().copied().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let adjusted = |(own, value): (usize, &f64)| {
        // The mean falls as long as what is added is below it: the smallest ones, in order.
        let (mut sum, mut n) = (*value, 1.0);
        for (other, smaller) in &sorted {
            if *other != own {
                if smaller * n >= sum {
                    break;
                }
                sum += smaller;
                n += 1.0;
            }
        }
        sum / n
    };
    e.iter().enumerate().map(adjusted).collect()
}

/// The mean: the e-value of "nothing is wrong with any of them". 1 without e-values.
#[must_use]
pub fn merged(e: &[f64]) -> f64 {
    if e.is_empty() {
        return 1.0;
    }
    e.iter().sum::<f64>() / e.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: the smallest mean over all sets with the one.
    fn by_sets(e: &[f64]) -> Vec<f64> {
        let sets = 1_u32 << e.len();
        let mean = |set: u32| {
            let chosen = e.iter().enumerate().filter(|(k, _)| set >> k & 1 == 1);
            chosen.map(|(_, v)| v).sum::<f64>() / f64::from(set.count_ones())
        };
        (0..e.len())
            .map(|k| {
                let with = (0..sets).filter(|set| set >> k & 1 == 1);
                with.map(mean).fold(f64::INFINITY, f64::min)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn it_is_the_smallest_mean(e in prop::collection::vec(0.0..200.0_f64, 1..8)) {
            for (ours, sets) in e_holm(&e).iter().zip(by_sets(&e)) {
                prop_assert!((ours - sets).abs() <= 1e-9 * sets, "{ours} {sets}");
            }
        }

        #[test]
        fn more_evidence_never_lowers_any(
            e in prop::collection::vec(0.0..200.0_f64, 1..8), more in 0.0..100.0_f64, at in 0..8_usize,
        ) {
            let mut larger = e.clone();
            larger[at % e.len()] += more;
            for (before, after) in e_holm(&e).iter().zip(e_holm(&larger)) {
                prop_assert!(after >= before - 1e-9);
            }
        }
    }

    #[test]
    fn one_and_none() {
        assert_eq!(e_holm(&[7.0]), [7.0]);
        assert!(e_holm(&[]).is_empty());
        assert!((merged(&[]) - 1.0).abs() < 1e-12);
    }
}
