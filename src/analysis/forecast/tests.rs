mod as_tested;

use super::*;
use crate::analysis::plan::Arms;
use crate::api::metric::Direction;
use proptest::prelude::*;

/// A ratio that has all of a rollout's rate, with the tolerances that nobody has to write.
fn ratio(relative: f64, absolute: f64) -> ComparisonPlan {
    ComparisonPlan {
        measure: Measure::Ratio {
            total: Arms::default(),
            bad: Arms::default(),
        },
        relative,
        absolute,
        floor: 0.0,
        level: None,
        alpha: 0.01 / 0.9,
    }
}

fn service(rate: f64, ratio: f64) -> Service {
    Service {
        rate,
        ratio,
        phi: 1.0,
        tau: 0.0,
        shape: Shape::Counts,
    }
}

/// What a stretch can do, of which it is known that there is something to say.
fn outlook(compared: &ComparisonPlan, service: &Service, stretch: &Stretch) -> Outlook {
    Tests::of(compared)
        .unwrap()
        .outlook(service, stretch)
        .unwrap()
}

fn stretch(weight: i32, seconds: Option<i64>) -> Stretch {
    Stretch {
        weight,
        seconds,
        bounds: (300, 3600),
        next_weight: 25,
        canary_pods: 1,
        stable_pods: 10,
    }
}

/// The figures for a step of ten minutes without any tolerance: what was published for this test.
#[test]
fn the_smallest_regression_of_a_step() {
    let compared = ratio(0.0, 0.0);
    for (rate, weight, expected) in [
        (100.0, 1, 9.9),
        (100.0, 5, 4.3),
        (100.0, 20, 2.6),
        (100.0, 50, 2.3),
        (1000.0, 1, 3.1),
        (1000.0, 5, 1.9),
        (1000.0, 20, 1.4),
        (1000.0, 50, 1.4),
    ] {
        let o = outlook(
            &compared,
            &service(rate, 0.001),
            &stretch(weight, Some(600)),
        );
        assert!(
            (o.finds - expected).abs() < 0.08,
            "{rate} {weight}: {}",
            o.finds
        );
    }
}

#[test]
fn tolerances_widen_what_is_not_found() {
    let strict = ratio(0.0, 0.0);
    let usual = ratio(0.1, 0.0005);
    let finds = |compared: &ComparisonPlan| {
        let step = stretch(20, Some(3600));
        outlook(compared, &service(10_000.0, 0.001), &step).finds
    };
    assert!(finds(&strict) < 1.2, "{}", finds(&strict));
    // Half a tenth of a point above a tenth is half as many again.
    assert!((1.5..1.7).contains(&finds(&usual)), "{}", finds(&usual));
}

#[test]
fn a_step_that_sees_nothing_says_what_it_would_take() {
    let compared = ratio(0.1, 0.0005);
    let slow = service(2.0, 0.001);
    let o = outlook(&compared, &slow, &stretch(5, Some(600)));
    assert!(o.finds > PLAIN_COUNTS, "{o:?}");
    let Some(Warning::Blind {
        seconds: Some(seconds),
        weight: None,
    }) = o.warning
    else {
        panic!("{o:?}");
    };
    let longer = outlook(&compared, &slow, &stretch(5, Some(seconds)));
    assert!(
        longer.warning.is_none(),
        "what is said is enough: {longer:?}"
    );
    let shorter = outlook(&compared, &slow, &stretch(5, Some(seconds - 60)));
    assert!(shorter.warning.is_some(), "and no more than enough");
    let o = outlook(&compared, &service(60.0, 0.001), &stretch(1, Some(300)));
    let Some(Warning::Blind {
        weight: Some(weight),
        ..
    }) = o.warning
    else {
        panic!("{o:?}");
    };
    let more = outlook(
        &compared,
        &service(60.0, 0.001),
        &stretch(weight, Some(300)),
    );
    assert!(more.warning.is_none(), "{weight} %: {more:?}");
}

#[test]
fn an_analysis_that_cannot_decide_in_its_time_is_named() {
    let compared = ratio(0.1, 0.0005);
    let o = outlook(&compared, &service(3.0, 0.002), &stretch(20, None));
    let Some(Warning::Undecided { seconds, .. }) = o.warning else {
        panic!("{o:?}");
    };
    assert_eq!(seconds, o.safe_after);
    assert!(o.safe_after.is_some_and(|s| s > 3600), "{o:?}");
    assert_eq!(o.seconds, 3600);
    let quick = outlook(&compared, &service(1000.0, 0.002), &stretch(20, None));
    assert_eq!(
        (quick.seconds, quick.warning),
        (300, None),
        "never before minBake"
    );
}

#[test]
fn what_pods_differ_by_bounds_what_can_be_attributed() {
    let compared = ratio(0.1, 0.0005);
    let calm = service(1000.0, 0.01);
    let noisy = Service {
        tau: 0.2,
        ..calm.clone()
    };
    let of = |s: &Service| outlook(&compared, s, &stretch(20, Some(3600)));
    assert!((of(&calm).margin - 1.0).abs() < 1e-12);
    assert!(of(&noisy).margin > 1.4 && of(&noisy).finds > of(&noisy).margin);
    let wild = Service { tau: 2.0, ..calm };
    assert_eq!(of(&wild).warning, Some(Warning::Pods));
}

#[test]
fn of_a_judge_that_looks_once_nothing_is_forecast() {
    let gauge = |kayenta| ComparisonPlan {
        measure: Measure::Gauge {
            query: Arms::default(),
            kayenta,
        },
        ..ratio(0.1, 0.0)
    };
    assert!(Tests::of(&gauge(Some(Direction::Increase))).is_none());
    let gauge = gauge(None);
    let step = stretch(20, Some(600));
    let one_bucket = Service {
        shape: Shape::Latencies {
            reference: vec![1000.0, 0.0, 0.0],
            bounds: vec![0.1, 1.0],
            dispersion: Vec::new(),
            window_seconds: 15,
            slow: 0.1,
        },
        ..service(100.0, 0.0)
    };
    assert_eq!(Tests::of(&gauge).unwrap().outlook(&one_bucket, &step), None);
}

proptest! {
    #[test]
    fn more_traffic_and_more_time_never_find_less(
        rate in 0.1..1e5_f64, p in 0.0..0.5_f64, weight in 1..99, seconds in 60..86_400_i64,
        phi in 1.0..50.0_f64, tau in 0.0..1.0_f64,
    ) {
        let compared = ratio(0.1, 0.0005);
            let less = Service { rate, ratio: p, phi, tau, shape: Shape::Counts };
        let more = Service { rate: 2.0 * rate, ..less.clone() };
        let at = stretch(weight, Some(seconds));
        let (a, b) = (outlook(&compared, &less, &at), outlook(&compared, &more, &at));
        prop_assert!(b.finds <= a.finds * (1.0 + 1e-9), "{a:?} {b:?}");
        prop_assert!(a.finds >= a.margin && a.finds_at_most <= a.finds * (1.0 + 1e-9));
        if let (Some(a), Some(b)) = (a.safe_after, b.safe_after) {
            prop_assert!(b <= a);
        }
        let open = outlook(&compared, &less, &stretch(weight, None));
        prop_assert!((300..=3600).contains(&open.seconds));
    }
}
