use proptest::prelude::*;

use super::*;

const BOUNDS: [f64; 5] = [0.01, 0.03, 0.1, 0.3, 1.0];

/// The expected e-value of `nc` and `ns` independent requests: A^nc B^ns.
pub(in crate::analysis) fn ln_expectation(
    (nc, canary): (f64, &[f64]),
    (ns, stable): (f64, &[f64]),
    rho: &[f64],
    rho0: &[f64],
) -> f64 {
    let ratio = |r: f64, r0: f64| (nc * r + ns) / (nc * r0 + ns);
    let (mut a, mut b) = (0.0, 0.0);
    for k in 0..rho.len() {
        a += canary[k] * rho[k] / rho0[k] / ratio(rho[k], rho0[k]);
        b += stable[k] / ratio(rho[k], rho0[k]);
    }
    nc * a.ln() + ns * b.ln()
}

/// All ways to put `n` requests into three buckets, with their chance.
fn outcomes(n: u32, shares: &[f64]) -> Vec<([f64; 3], f64)> {
    let factorial = |k: u32| (1..=k).map(f64::from).product::<f64>();
    let mut found = Vec::new();
    for i in 0..=n {
        for j in 0..=n - i {
            let counts = [i, j, n - i - j];
            let mut chance = factorial(n);
            for (count, share) in counts.iter().zip(shares) {
                chance *= share.powi(count.cast_signed()) / factorial(*count);
            }
            found.push((counts.map(f64::from), chance));
        }
    }
    found
}

/// The expected e-value by enumeration of all that can happen.
fn enumerated(nc: u32, canary: &[f64], ns: u32, stable: &[f64], rho: &[f64], rho0: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (xc, pc) in outcomes(nc, canary) {
        for (xs, ps) in outcomes(ns, stable) {
            sum += pc * ps * log_increment(&xc, &xs, rho, rho0).exp();
        }
    }
    sum
}

fn normalised(values: &[f64]) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    values.iter().map(|v| v / sum).collect()
}

proptest! {
    /// The closed form that the other tests use is the enumeration.
    #[test]
    fn the_expectation_is_what_enumeration_says(
        c in prop::array::uniform3(0.01..1.0_f64), s in prop::array::uniform3(0.01..1.0_f64),
        rho in prop::array::uniform3(0.1..5.0_f64), rho0 in prop::array::uniform3(0.5..2.0_f64),
        nc in 1..5_u32, ns in 1..6_u32,
    ) {
        let (c, s) = (normalised(&c), normalised(&s));
        let all = enumerated(nc, &c, ns, &s, &rho, &rho0);
        let closed = ln_expectation((nc.into(), &c), (ns.into(), &s), &rho, &rho0).exp();
        prop_assert!((all / closed - 1.0).abs() < 1e-9, "{all} {closed}");
    }

    /// Without a tolerance: nothing is gained from any version that is not slower, whatever the
    /// stable distribution is and whatever rising ratios are bet on.
    #[test]
    fn nothing_is_gained_from_what_is_not_slower(
        stable in prop::array::uniform6(0.0..1.0_f64), moved in prop::array::uniform6(0.0..1.0_f64),
        steps in prop::array::uniform6(0.0..3.0_f64), nc in 1.0..5000.0_f64, ns in 1.0..5000.0_f64,
    ) {
        let stable = normalised(&stable.map(|s| s + 1e-6));
        // Part of each bucket's requests become faster by one bucket.
        let mut canary = stable.clone();
        for k in 1..6 {
            let faster = canary[k] * moved[k];
            canary[k] -= faster;
            canary[k - 1] += faster;
        }
        let mut rho = steps.to_vec();
        for k in 1..6 {
            rho[k] += rho[k - 1];
        }
        let rho: Vec<f64> = rho.iter().map(|r| r + 0.02).collect();
        let gained = ln_expectation((nc, &canary), (ns, &stable), &rho, &[1.0; 6]);
        prop_assert!(gained <= 1e-9, "{gained}");
    }

    /// With any null: nothing is gained where every bucket that is bet up (down) has at most (at
    /// least) what is tolerated, normalised or not.
    #[test]
    fn nothing_is_gained_from_what_is_tolerated(
        stable in prop::array::uniform6(0.01..1.0_f64), rho0 in prop::array::uniform6(0.2..1.5_f64),
        bet in prop::array::uniform6(0.2..5.0_f64), used in prop::array::uniform6(0.0..1.0_f64),
        nc in 1.0..5000.0_f64, ns in 1.0..5000.0_f64,
    ) {
        let stable = normalised(&stable);
        let mut canary: Vec<f64> = (0..6).map(|k| {
            let limit = rho0[k] * stable[k];
            if bet[k] > 1.0 { limit * used[k] } else { limit * (1.0 + used[k] / 2.0) }
        }).collect();
        // The first bucket, on which there is no bet, takes the rest.
        let rest: f64 = 1.0 - canary[1..].iter().sum::<f64>();
        prop_assume!(rest >= 0.0);
        canary[0] = rest;
        let mut rho: Vec<f64> = (0..6).map(|k| rho0[k] * bet[k]).collect();
        rho[0] = rho0[0];
        let gained = ln_expectation((nc, &canary), (ns, &stable), &rho, &rho0);
        prop_assert!(gained <= 1e-9, "{gained}");
    }

    #[test]
    fn ratios_rise_with_the_latency_and_are_cut(
        reference in prop::array::uniform6(0.0..1.0_f64), scale in 0.2..5.0_f64,
    ) {
        prop_assume!(reference.iter().sum::<f64>() > 0.0);
        let rho = scale_rho(&normalised(&reference), &BOUNDS, scale);
        prop_assert!(rho.iter().all(|r| (RHO_MIN..=RHO_MAX).contains(r)), "{rho:?}");
        let rising = rho.is_sorted();
        let falling = rho.is_sorted_by(|a, b| a >= b);
        prop_assert!(if scale >= 1.0 { rising } else { falling }, "{rho:?}");
    }

    #[test]
    fn a_quantile_lies_within_the_bounds(
        counts in prop::array::uniform6(0.0..9.0_f64), q in 0.0..1.0_f64,
    ) {
        let mut cumulative = counts;
        for k in 1..6 {
            cumulative[k] += cumulative[k - 1];
        }
        let bounds = [0.01, 0.03, 0.1, 0.3, 1.0, f64::INFINITY];
        let value = histogram_quantile(q, &bounds, &cumulative);
        prop_assert!((0.0..=1.0).contains(&value), "{value}");
    }
}

#[test]
fn against_what_is_slower_something_is_gained() {
    let stable = [0.1, 0.3, 0.4, 0.15, 0.04, 0.01];
    let rho = scale_rho(&stable, &BOUNDS, 1.5);
    let canary = scaled(&stable, &BOUNDS, 1.5);
    assert!((canary.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let gained = ln_expectation((100.0, &canary), (400.0, &stable), &rho, &[1.0; 6]);
    assert!(gained > 3.0, "{gained}");
}

#[test]
fn bad_numbers_say_nothing() {
    let none = 0.0_f64.to_bits();
    let say = |c: &[f64], s: &[f64]| log_increment(c, s, &[1.0, 2.0], &[1.0, 1.0]).to_bits();
    assert_eq!(say(&[0.0, 0.0], &[1.0, 2.0]), none);
    assert_eq!(say(&[1.0, 0.0], &[0.0, 0.0]), none);
    assert_eq!(say(&[f64::NAN, 0.0], &[1.0, 2.0]), none);
    assert_eq!(say(&[], &[]), none);
    assert!(scale_rho(&[], &[], 2.0).is_empty());
    assert!(
        scale_rho(&[0.5, 0.5], &[1.0], f64::NAN)
            .iter()
            .all(|r| r.is_finite())
    );
}

#[test]
fn quantiles_without_an_answer() {
    let inf = f64::INFINITY;
    assert!(histogram_quantile(0.5, &[1.0, inf], &[0.0, 0.0]).is_nan());
    assert!(histogram_quantile(0.5, &[1.0, 2.0], &[1.0, 2.0]).is_nan());
    assert!(histogram_quantile(0.5, &[], &[]).is_nan());
    assert!(histogram_quantile(-0.1, &[1.0, inf], &[1.0, 2.0]) < 0.0);
    assert!(histogram_quantile(1.1, &[1.0, inf], &[1.0, 2.0]) > 1.0);
    assert!(histogram_quantile(f64::NAN, &[1.0, inf], &[1.0, 2.0]).is_nan());
}
