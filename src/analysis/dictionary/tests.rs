use proptest::prelude::*;

use super::*;
use crate::analysis::buckets::tests::ln_expectation;

const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The histogram of latencies with a bell curve in ln(latency): its shares, `scale` times as slow.
fn bell(median: f64, sd: f64, scale: f64) -> Vec<f64> {
    let below = |le: f64| {
        let z = ((le / median / scale).ln()) / sd;
        statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2) / 2.0
    };
    let mut shares: Vec<f64> = Vec::new();
    let mut so_far = 0.0;
    for le in BOUNDS {
        shares.push(below(le) - so_far);
        so_far = below(le);
    }
    shares.push(1.0 - so_far);
    shares
}

/// The expectation of the mixture over one window.
fn gained(dictionary: &Dictionary, nc: f64, canary: &[f64], ns: f64, stable: &[f64]) -> f64 {
    let each = dictionary.elements.iter().map(|e| {
        let ln = ln_expectation((nc, canary), (ns, stable), &e.rho, &e.rho0);
        e.weight * ln.exp()
    });
    each.sum()
}

#[test]
fn the_weights_are_shared() {
    let reference = bell(0.06, 0.8, 1.0);
    let found = dictionary(&reference, &BOUNDS, 1.0).unwrap();
    assert_eq!(found.elements.len(), 13);
    let highest = |e: &Element| e.rho.last().copied().unwrap();
    assert!(found.elements[5..].iter().any(|e| highest(e) > 99.0));
    let sum: f64 = found.elements.iter().map(|e| e.weight).sum();
    assert!((sum - 1.0).abs() < 1e-12);
    let scales: f64 = found.elements[..5].iter().map(|e| e.weight).sum();
    assert!((scales - 0.6).abs() < 1e-12);
    // Where there is nothing to be slower at the end, the slowdowns have everything.
    let all_slow = dictionary(&[0.0, 9.0], &[1.0], 1.0).unwrap();
    assert_eq!(all_slow.elements.len(), 5);
    let sum: f64 = all_slow.elements.iter().map(|e| e.weight).sum();
    assert!((sum - 1.0).abs() < 1e-12);
}

#[test]
fn what_is_no_histogram_has_no_dictionary() {
    assert_eq!(dictionary(&[], &[], 1.0), None);
    assert_eq!(dictionary(&[0.0, 0.0], &[1.0], 1.0), None);
    assert_eq!(dictionary(&[1.0, 1.0, 1.0], &[1.0], 1.0), None);
    assert_eq!(dictionary(&[1.0, 1.0, 1.0], &[2.0, 1.0], 1.0), None);
    assert_eq!(dictionary(&[1.0, f64::NAN], &[1.0], 1.0), None);
    assert_eq!(safe_dictionary(&[1.0, 1.0], &[1.0], 1.0), None);
    // All in one bucket: everything beyond it never was.
    let found = dictionary(&[0.0, 9.0, 0.0], &[1.0, 2.0], 1.0).unwrap();
    let finite = |e: &Element| e.rho.iter().all(|r| r.is_finite() && *r > 0.0);
    assert!(found.elements.iter().all(finite));
}

#[test]
fn a_slower_version_is_found() {
    let reference = bell(0.06, 0.8, 1.0);
    let found = dictionary(&reference, &BOUNDS, 1.0).unwrap();
    let mut state = found.begin();
    let canary = bell(0.06, 0.8, 1.2);
    let window = |shares: &[f64], n: f64| shares.iter().map(|s| s * n).collect::<Vec<_>>();
    let mut e = found.step(&mut state, 1.0, &[], &[], &[], 0.01);
    assert!((e - 1.0).abs() < 1e-12);
    for _ in 0..20 {
        let (c, s) = (window(&canary, 300.0), window(&reference, 1200.0));
        e = found.step(&mut state, 0.0, &c, &s, &[], 0.01);
    }
    assert!(e > 100.0, "{e}");
    // Tempered by what pods differ, it takes longer.
    let mut tempered = found.begin();
    let phi = [50.0; 17];
    found.step(&mut tempered, 1.0, &[], &[], &phi, 0.01);
    let (c, s) = (window(&canary, 300.0), window(&reference, 1200.0));
    assert!(found.step(&mut tempered, 0.0, &c, &s, &phi, 0.01) < 2.0);
}

#[test]
fn a_tolerance_costs_time_and_not_all_power() {
    let reference = bell(0.06, 0.8, 1.0);
    let ln_gained = |tolerance: f64, slower: f64| {
        let found = dictionary(&reference, &BOUNDS, tolerance).unwrap();
        gained(&found, 300.0, &bell(0.06, 0.8, slower), 1200.0, &reference).ln()
    };
    assert!(ln_gained(1.0, 1.1) > 0.2 && ln_gained(1.0, 1.5) > 15.0);
    assert!(ln_gained(1.05, 1.2) > 0.2 && ln_gained(1.05, 1.5) > 10.0);
    assert!(ln_gained(1.05, 1.5) < ln_gained(1.0, 1.5));
    // Without a tolerance the bets are what they are: rising, and against 1.
    let found = dictionary(&reference, &BOUNDS, 1.0).unwrap();
    for element in &found.elements {
        assert!(element.rho.is_sorted() && element.rho0.iter().all(|r| (r - 1.0).abs() < 1e-12));
    }
}

/// Why each bucket has its own tolerated ratios: with those of the tolerated slowdown everywhere,
/// raised where they must rise, a version that is as fast as the other would be aborted in minutes.
#[test]
fn one_null_for_all_buckets_would_not_do() {
    let reference = bell(0.06, 0.8, 1.0);
    let rho0 = scale_rho(&reference, &BOUNDS, 1.2);
    let most = SCALES.map(|(s, _)| {
        let rho = scale_rho(&reference, &BOUNDS, s);
        let rho: Vec<f64> = rho.iter().zip(&rho0).map(|(r, r0)| r.max(*r0)).collect();
        ln_expectation((300.0, &reference), (1200.0, &reference), &rho, &rho0)
    });
    assert!(most.iter().any(|ln| *ln > 0.5), "{most:?}");
    let found = dictionary(&reference, &BOUNDS, 1.2).unwrap();
    assert!(gained(&found, 300.0, &reference, 1200.0, &reference) <= 1.0 + 1e-9);
}

#[test]
fn a_version_as_fast_as_the_other_is_found_safe() {
    let reference = bell(0.06, 0.8, 1.0);
    let found = safe_dictionary(&reference, &BOUNDS, 1.2).unwrap();
    let expected = gained(&found, 2000.0, &reference, 8000.0, &reference);
    assert!(expected > 20.0, "{expected}");
}

fn reference() -> impl Strategy<Value = Vec<f64>> {
    let two = (0.01..0.5_f64, 0.3..1.2_f64, 1.0..30.0_f64, 0.0..0.3_f64);
    two.prop_map(|(median, sd, apart, second)| {
        let (first, other) = (bell(median, sd, 1.0), bell(median, sd, apart));
        let mix = |(a, b): (&f64, &f64)| (1.0 - second) * a + second * b;
        first.iter().zip(&other).map(mix).collect()
    })
}

proptest! {
    /// Without a tolerance the stable distribution may be any other than the reference.
    #[test]
    fn nothing_is_gained_without_harm(
        reference in reference(), stable in reference(), faster in 0.1..1.0_f64,
        nc in 1.0..3000.0_f64, ns in 1.0..3000.0_f64,
    ) {
        let found = dictionary(&reference, &BOUNDS, 1.0).unwrap();
        let canary = scaled(&stable, &BOUNDS, faster);
        let e = gained(&found, nc, &canary, ns, &stable);
        prop_assert!(e <= 1.0 + 1e-6, "{e}");
        prop_assert!(found.elements.len() <= 21);
    }

    /// With a tolerance: no gain from the same, from faster, from slower within the tolerance.
    #[test]
    fn nothing_is_gained_within_the_tolerance(
        reference in reference(), slower in 0.1..1.0_f64, tolerance in 1.01..1.5_f64,
        nc in 1.0..3000.0_f64, ns in 1.0..3000.0_f64,
    ) {
        let found = dictionary(&reference, &BOUNDS, tolerance).unwrap();
        for scale in [slower, 1.0, 1.0 + (tolerance - 1.0) * slower, tolerance] {
            let canary = scaled(&reference, &BOUNDS, scale);
            let e = gained(&found, nc, &canary, ns, &reference);
            prop_assert!(e <= 1.0 + 1e-6, "scale {scale} of {tolerance}: {e}");
        }
    }

    /// With a tolerance and any other stable distribution: no gain from the same.
    #[test]
    fn nothing_is_gained_from_the_same(
        reference in reference(), stable in reference(), tolerance in 1.01..1.5_f64,
        nc in 1.0..3000.0_f64, ns in 1.0..3000.0_f64,
    ) {
        let found = dictionary(&reference, &BOUNDS, tolerance).unwrap();
        let e = gained(&found, nc, &stable, ns, &stable);
        prop_assert!(e <= 1.0 + 1e-9, "{e}");
    }

    /// No version that is slower than the limit is found safe.
    #[test]
    fn nothing_is_safe_beyond_the_limit(
        reference in reference(), slower in 0.0..2.0_f64, limit in 1.05..1.5_f64,
        nc in 1.0..3000.0_f64, ns in 1.0..3000.0_f64,
    ) {
        let found = safe_dictionary(&reference, &BOUNDS, limit).unwrap();
        let canary = scaled(&reference, &BOUNDS, limit * (1.0 + slower));
        let e = gained(&found, nc, &canary, ns, &reference);
        prop_assert!(e <= 1.0 + 1e-6, "{e}");
    }
}
