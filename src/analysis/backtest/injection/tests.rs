use super::super::chance::tests::Seeded;
use super::super::recording::tests::{START, counter};
use super::*;
use crate::analysis::plan::Arms;
use crate::analysis::series::Series;
use crate::api::metric::{Harm, TimeUnit};
use proptest::prelude::*;

fn recording(selected: Vec<Vec<Series>>) -> Recording {
    let held = |series: Vec<Series>| Arms {
        canary: Held(series.into_iter().map(|s| (s.labels, s.samples)).collect()),
        stable: Held::default(),
    };
    Recording {
        metrics: vec![selected.into_iter().map(held).collect()],
        ..Recording::default()
    }
}

fn arms() -> Arms<String> {
    Arms::default()
}

fn ratio() -> Measure {
    Measure::Ratio {
        total: arms(),
        bad: arms(),
    }
}

fn of(recording: &Recording, selected: usize) -> f64 {
    increase(&recording.metrics[0][selected].canary)
}

#[test]
fn errors_become_so_many_times_as_many_and_requests_stay() {
    let total = counter("a", START, START + 36_000, |_| 1_000.0);
    let bad = counter("a", START, START + 36_000, |k| (k % 3) as f64);
    for factor in [1.5, 2.0, 5.0] {
        let mut changed = recording(vec![vec![total.clone()], vec![bad.clone()]]);
        let before = of(&changed, 1);
        assert!(inject(
            &mut changed,
            0,
            &ratio(),
            factor,
            &mut Seeded::new(3)
        ));
        let times = of(&changed, 1) / before;
        assert!((times - factor).abs() < 0.05, "{factor}: {times}");
        assert!((of(&changed, 0) - 2_400.0 * 1_000.0).abs() < 1e-6);
        let samples = changed.metrics[0][1].canary.0.values().next().unwrap();
        assert!(
            samples.windows(2).all(|p| p[1].value >= p[0].value),
            "a counter"
        );
    }
    let mut same = recording(vec![vec![total.clone()], vec![total]]);
    let unchanged = same.clone();
    assert!(!inject(&mut same, 0, &ratio(), 2.0, &mut Seeded::new(3)));
    assert_eq!(same, unchanged, "all of them are bad already");
}

#[test]
fn fewer_is_the_harm_of_orders() {
    let measure = Measure::Events {
        count: arms(),
        requests: None,
        harm: Harm::Fewer,
    };
    let mut changed = recording(vec![vec![counter("a", START, START + 36_000, |_| 30.0)]]);
    let before = of(&changed, 0);
    assert!(inject(&mut changed, 0, &measure, 2.0, &mut Seeded::new(3)));
    let times = of(&changed, 0) / before;
    assert!((times - 0.5).abs() < 0.01, "{times}");
}

#[test]
fn a_restart_stays_a_restart() {
    let mut bad = counter("a", START, START + 3_000, |_| 3.0);
    for sample in bad.samples.iter_mut().skip(100) {
        sample.value -= 300.0;
    }
    let total = counter("a", START, START + 3_000, |_| 1_000.0);
    let mut changed = recording(vec![vec![total], vec![bad]]);
    assert!(inject(&mut changed, 0, &ratio(), 2.0, &mut Seeded::new(3)));
    let samples = changed.metrics[0][1].canary.0.values().next().unwrap();
    let falls = samples.windows(2).filter(|p| p[1].value < p[0].value);
    assert_eq!(falls.count(), 1);
}

fn histogram(counts: &[f64], bounds: &[&str]) -> Vec<Series> {
    let mut below = 0.0;
    let each = counts.iter().zip(bounds).map(|(count, le)| {
        below += count;
        let at = below;
        let mut series = counter("a", START, START + 15_000, |_| at);
        series.labels = series.labels.with("le", le);
        series
    });
    each.collect()
}

const BOUNDS: [&str; 4] = ["0.1", "0.2", "0.4", "+Inf"];

fn shares(recording: &Recording) -> Vec<f64> {
    let held = &recording.metrics[0][0].canary;
    let upto = |le: &str| {
        let one = held
            .0
            .iter()
            .find(|(labels, _)| labels.get("le").unwrap() == le)
            .unwrap();
        steps(one.1).skip(1).map(|(_, more, _)| more).sum::<f64>()
    };
    let all = upto("+Inf");
    BOUNDS.iter().map(|le| upto(le) / all).collect()
}

#[test]
fn slower_requests_move_up_through_the_buckets() {
    let measure = Measure::Histogram {
        buckets: arms(),
        objective: None,
        unit: TimeUnit::Seconds,
    };
    let mut changed = recording(vec![histogram(&[0.0, 100.0, 0.0, 0.0], &BOUNDS)]);
    assert!(inject(&mut changed, 0, &measure, 2.0, &mut Seeded::new(3)));
    // All were between 0.1 and 0.2: twice as slow they are between 0.2 and 0.4.
    for (share, expected) in shares(&changed).iter().zip([0.0, 0.0, 1.0, 1.0]) {
        assert!((share - expected).abs() < 1e-9, "{share} {expected}");
    }
    let mut half = recording(vec![histogram(&[0.0, 100.0, 0.0, 0.0], &BOUNDS)]);
    assert!(inject(
        &mut half,
        0,
        &measure,
        2.0_f64.sqrt(),
        &mut Seeded::new(3)
    ));
    let share = shares(&half)[1];
    assert!(
        (share - 0.5).abs() < 0.01,
        "half of them by half of the way: {share}"
    );
}

proptest! {
    #[test]
    fn whatever_is_made_up_could_have_been_scraped(
        counts in prop::collection::vec(0_u32..50, 4), factor in 1.0..6.0_f64, seed in 0_u64..100,
    ) {
        let counts: Vec<f64> = counts.into_iter().map(f64::from).collect();
        let measure = Measure::Histogram { buckets: arms(), objective: None, unit: TimeUnit::Seconds };
        let before = recording(vec![histogram(&counts, &BOUNDS)]);
        let mut after = before.clone();
        prop_assert!(inject(&mut after, 0, &measure, factor, &mut Seeded::new(seed)));
        let value = |of: &Recording, le: &str| -> Vec<f64> {
            let held = &of.metrics[0][0].canary;
            let one = held.0.iter().find(|(labels, _)| labels.get("le").unwrap() == le).unwrap();
            one.1.iter().map(|s| s.value).collect()
        };
        prop_assert_eq!(value(&before, "+Inf"), value(&after, "+Inf"), "as many requests");
        for pair in BOUNDS.windows(2) {
            let (low, high) = (value(&after, pair[0]), value(&after, pair[1]));
            prop_assert!(low.iter().zip(&high).all(|(a, b)| a <= b), "cumulative");
            prop_assert!(low.windows(2).all(|p| p[0] <= p[1]), "a counter");
            let was = value(&before, pair[0]);
            prop_assert!(low.iter().zip(&was).all(|(a, b)| a <= b), "no request became quicker");
        }
    }
}
