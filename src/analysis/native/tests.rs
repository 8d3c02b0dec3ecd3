use std::collections::BTreeMap;

use super::*;
use crate::analysis::scrapes::{Needs, common_bounds};

const EXP: &[[f64; 3]] = &[
    // Schema 1, that is two buckets an octave, and the zero bucket.
    [-0.001, 0.001, 2.0],
    [0.25, 0.353_553_390_593_273_8, 5.0],
    [0.353_553_390_593_273_8, 0.5, 7.0],
    [1.0, std::f64::consts::SQRT_2, 1.0],
];

fn histogram(at: i64, count: f64, buckets: &[[f64; 3]]) -> Histogram {
    let bucket = |[lower, upper, count]: &[f64; 3]| Bucket {
        lower: *lower,
        upper: *upper,
        count: *count,
    };
    Histogram {
        at_ms: at * 1000,
        count,
        buckets: buckets.iter().map(bucket).collect(),
    }
}

fn labels(pod: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("pod".to_owned(), pod.to_owned())])
}

fn native(pod: &str, histograms: Vec<Histogram>) -> Series {
    Series {
        labels: labels(pod).into(),
        histograms,
        ..Series::default()
    }
}

/// A pod whose histogram has these buckets and nothing beside them.
fn with(pod: &str, buckets: &[[f64; 3]]) -> Series {
    let count = buckets.iter().map(|b| b[2]).sum();
    native(pod, vec![histogram(1, count, buckets)])
}

fn le(pod: &str, bound: &str, value: f64) -> Series {
    let mut labels = labels(pod);
    labels.insert("le".to_owned(), bound.to_owned());
    Series {
        labels: labels.into(),
        samples: vec![Sample { at_ms: 1000, value }],
        ..Series::default()
    }
}

fn answers(canary: Vec<Series>, stable: Vec<Series>) -> Answers {
    Answers {
        at: 60,
        reach: 60,
        selected: vec![Arms { canary, stable }],
    }
}

/// The bounds that both have, and each series of the canary as `bound: values`.
fn read(answers: &Answers, bounds: &[f64], objective: Option<f64>) -> (Vec<f64>, Vec<String>) {
    let read = classic(answers, bounds, objective).unwrap();
    let said = |s: &Series| {
        let values: Vec<String> = s.samples.iter().map(|s| s.value.to_string()).collect();
        format!("{}: {}", s.labels.get("le").unwrap(), values.join(" "))
    };
    let canary = &read.selected[0].canary;
    let bounds = common_bounds(&read, Needs::Both)
        .unwrap()
        .unwrap_or_default();
    (bounds, canary.iter().map(said).collect())
}

#[test]
fn exponential_buckets_are_counted_at_bounds_that_all_of_them_have() {
    // The second scrape comes after the client took the next coarser schema.
    let coarser = [[-0.002, 0.002, 4.0], [0.25, 0.5, 13.0], [1.0, 2.0, 3.0]];
    let pod = native(
        "c",
        vec![histogram(1, 15.0, EXP), histogram(2, 21.0, &coarser)],
    );
    let stable = with(
        "s",
        &[[0.0625, 0.125, 9.0], [0.125, 0.25, 3.0], [2.0, 4.0, 1.0]],
    );
    let (bounds, canary) = read(&answers(vec![pod], vec![stable]), &[], None);
    let infinite = f64::INFINITY;
    assert_eq!(
        bounds,
        [
            0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, infinite
        ]
    );
    // One observation that is no number is in no bucket, but one of all.
    let expected = [
        "0.0625: 2 4",
        "0.125: 2 4",
        "0.25: 2 4",
        "0.5: 14 17",
        "1: 14 17",
        "2: 15 20",
        "4: 15 20",
        "8: 15 20",
        "16: 15 20",
        "32: 15 20",
        "64: 15 20",
        "+Inf: 15 21",
    ];
    assert_eq!(canary, expected);
}

#[test]
fn one_step_of_resolution_is_kept_in_hand() {
    // Eight buckets an octave; what is compared are four, and an end for the objective.
    let end = |k: f64| (k / 8.0).exp2();
    let pods = |step: f64| {
        let bucket = |k: i32| [end(f64::from(k) * step), end(f64::from(k + 1) * step), 1.0];
        let buckets: Vec<[f64; 3]> = (0..(16.0 / step) as i32).map(bucket).collect();
        answers(vec![with("c", &buckets)], vec![with("s", &buckets)])
    };
    let (bounds, _) = read(&pods(1.0), &[], Some(1000.0));
    let expected: Vec<f64> = (0..=8).map(|k| (f64::from(k) / 4.0).exp2()).collect();
    assert_eq!(bounds[..9], expected);
    assert_eq!(bounds[9..], [8.0, 16.0, 32.0, 64.0, 1024.0, f64::INFINITY]);
    let chosen = &bounds[..bounds.len() - 1];
    assert!(classic(&pods(2.0), chosen, None).is_ok());
    // The next one after that changes the meaning of a bound while both are seen.
    let mut both = pods(1.0);
    both.selected[0].stable = pods(4.0).selected[0].stable.clone();
    let error = classic(&both, chosen, None).unwrap_err();
    assert!(matches!(error, DataError::BucketsChanged(pod, _) if pod == "///s"));
    // When everybody has it, the bound stands for the end above it.
    let coarse = pods(4.0);
    let all = classic(&coarse, chosen, None).unwrap();
    let at = |le: f64| {
        let of = |s: &&Series| s.labels.get("le").unwrap() == le.to_string();
        all.selected[0].canary.iter().find(of).unwrap().samples[0].value
    };
    assert_eq!(
        (at(expected[0]), at(expected[1]), at(expected[2])),
        (0.0, 1.0, 1.0)
    );
}

#[test]
fn a_wide_histogram_becomes_coarser_and_not_longer() {
    let end = |k: i32| (f64::from(k) / 8.0).exp2();
    let buckets: Vec<[f64; 3]> = (-120..120).map(|k| [end(k), end(k + 1), 1.0]).collect();
    let (bounds, _) = read(
        &answers(vec![with("c", &buckets)], vec![with("s", &buckets)]),
        &[],
        None,
    );
    assert!((30..=BOUNDS_MAX + 1).contains(&bounds.len()), "{bounds:?}");
    assert!(bounds.contains(&1.0) && bounds.contains(&2.0) && bounds.contains(&4.0));
}

#[test]
fn custom_buckets_are_counted_at_their_own_ends() {
    let infinite = f64::INFINITY;
    let canary = with(
        "c",
        &[
            [-infinite, 0.1, 4.0],
            [0.1, 0.25, 1.0],
            [5.0, infinite, 2.0],
        ],
    );
    let stable = with("s", &[[0.1, 0.25, 70.0], [0.25, 0.5, 9.0]]);
    let both = answers(vec![canary], vec![stable]);
    let (bounds, said) = read(&both, &[], None);
    assert_eq!(bounds, [0.1, 0.25, 0.5, 5.0, infinite]);
    assert_eq!(said, ["0.1: 4", "0.25: 5", "0.5: 5", "5: 5", "+Inf: 7"]);
    // Where nothing was ever so slow, the objective is the only name for a bound above.
    let fast = || with("c", &[[0.1, 0.25, 1.0]]);
    let (bounds, _) = read(&answers(vec![fast()], vec![fast()]), &[], Some(2.0));
    assert_eq!(bounds, [0.1, 0.25, 2.0, infinite]);
    let (bounds, _) = read(&answers(vec![fast()], vec![fast()]), &[], Some(0.2));
    assert_eq!(bounds, [0.1, 0.25, infinite], "0.25 is the one for it");
}

#[test]
fn negative_observations_are_below_every_bound() {
    let buckets = [
        [-2.0, -1.0, 3.0],
        [1.0, 2.0, 1.0],
        [2.0, 4.0, 1.0],
        [4.0, 8.0, 1.0],
    ];
    let pod = || vec![with("p", &buckets)];
    let (_, said) = read(&answers(pod(), pod()), &[], None);
    assert_eq!(said[..2], ["1: 3", "2: 4"]);
}

#[test]
fn a_target_with_both_kinds_is_read_by_its_native_one() {
    let bucket = [[0.1, 0.25, 6.0]];
    let both = vec![
        with("a", &bucket),
        le("a", "0.25", 1000.0),
        le("a", "+Inf", 1000.0),
    ];
    let classic_only = ["0.1", "0.25", "+Inf"].map(|bound| le("b", bound, 7.0));
    let (bounds, said) = read(&answers(both, classic_only.to_vec()), &[], None);
    assert_eq!(bounds, [0.1, 0.25, f64::INFINITY]);
    assert_eq!(said, ["0.1: 0", "0.25: 6", "+Inf: 6"]);
}

#[test]
fn what_cannot_be_counted_is_refused_by_name() {
    let pods = |canary: &[[f64; 3]], stable: &[[f64; 3]]| {
        answers(vec![with("c", canary)], vec![with("s", stable)])
    };
    let apart = pods(&[[0.1, 0.3, 1.0]], &[[0.05, 0.2, 1.0], [0.2, 0.5, 1.0]]);
    // 0.05 and 0.5 are left, and between them there is nothing to compare.
    assert_eq!(read(&apart, &[], None).0, [0.05, 0.5, f64::INFINITY]);
    let nothing = pods(&[[0.1, 0.3, 1.0]], &[[-1.0, 5.0, 1.0]]);
    let error = classic(&nothing, &[], None).unwrap_err();
    assert!(matches!(error, DataError::NoCommonBuckets(1)), "{error}");
    let error = classic(&apart, &[0.25], None).unwrap_err();
    assert!(matches!(error, DataError::BucketsChanged(pod, _) if pod == "///c"));
    for odd in [-1.0, f64::INFINITY] {
        let error = classic(&pods(&[[0.1, 0.3, odd]], &[]), &[], None).unwrap_err();
        assert!(
            matches!(error, DataError::NotACounter("buckets", _)),
            "{error}"
        );
    }
    // Nothing was counted yet: there is nothing to choose from, and nothing wrong.
    let none = pods(&[], &[]);
    let read = classic(&none, &[], None).unwrap();
    assert!(read.selected[0].canary.is_empty() && read.selected[0].stable.is_empty());
    assert!(common_bounds(&read, Needs::Both).unwrap().is_none());
}

#[test]
fn of_the_past_only_what_has_other_buckets_is_left_out() {
    let then = histogram(1, 9.0, &[[0.1, 0.5, 9.0]]);
    let now = histogram(2, 12.0, &[[0.1, 0.25, 8.0], [0.25, 0.5, 4.0]]);
    let selected = [vec![native("s", vec![then, now])]];
    let read = past(&selected, &[0.25]);
    let values: Vec<(i64, f64)> = read[0]
        .iter()
        .flat_map(|s| s.samples.iter().map(|s| (s.at_ms, s.value)))
        .collect();
    assert_eq!(values, [(2000, 8.0), (2000, 12.0)]);
}
