use super::*;
use crate::analysis::plan;
use crate::analysis::series::{Bucket, Histogram};
use crate::api::analysis::AnalysisRunSpec;
use jiff::Timestamp;

/// A moment on the grid of 15 s.
pub const START: i64 = 1_800_000_000;
/// Seconds between scrapes.
const EVERY: i64 = 15;

/// A run of a ratio that began at `start`.
pub fn plan_of(yaml: &str, start: i64) -> Plan {
    let spec = spec_of(yaml);
    plan::parse(&spec, Timestamp::from_second(start).unwrap()).unwrap()
}

pub fn spec_of(yaml: &str) -> AnalysisRunSpec {
    let yaml = format!("canaryHash: c\nstableHash: s\n{yaml}");
    serde_saphyr::from_str(&yaml).unwrap()
}

pub const RATIO: &str = "metrics: [{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}]";

/// The counter of a pod, which grows by `grows(scrape)` at each scrape.
pub fn counter(pod: &str, from: i64, to: i64, grows: impl Fn(i64) -> f64) -> Series {
    let mut value = 0.0;
    let scrapes = (from / EVERY..=to / EVERY).map(|k| {
        value += grows(k);
        Sample {
            at_ms: k * EVERY * 1000 + 1_234,
            value,
        }
    });
    Series {
        labels: [("pod".to_owned(), pod.to_owned())].into(),
        samples: scrapes.collect(),
        histograms: Vec::new(),
    }
}

/// Ten a second and pod; each pod's share of bad ones is `bad`.
pub fn ratio_of(pods: &[(&str, f64)], from: i64, to: i64) -> Vec<Arms<Vec<Series>>> {
    let of = |grows: &dyn Fn(f64, i64) -> f64| Arms {
        canary: Vec::new(),
        stable: pods
            .iter()
            .map(|(pod, bad)| counter(pod, from, to, |k| grows(*bad, k)))
            .collect(),
    };
    let total = of(&|_, _| 150.0);
    // Whole numbers, spread over the scrapes.
    let bad = of(&|bad, k| {
        let upto = |k: i64| (k as f64 * 150.0 * bad).floor();
        upto(k) - upto(k - 1)
    });
    vec![total, bad]
}

#[test]
fn pieces_are_joined_and_answered_as_the_source_would_have() {
    let plan = plan_of(RATIO, START);
    let whole = ratio_of(&[("a", 0.01)], START, START + 600);
    let mut recording = Recording::of(&plan);
    let piece = |from: i64, to: i64| {
        let cut = |series: &Series| Series {
            samples: series
                .samples
                .iter()
                .filter(|s| s.at_ms > from * 1000 && s.at_ms <= to * 1000)
                .copied()
                .collect(),
            labels: series.labels.clone(),
            histograms: Vec::new(),
        };
        Answers {
            at: to,
            reach: to - from,
            selected: whole
                .iter()
                .map(|arms| Arms {
                    canary: Vec::new(),
                    stable: arms.stable.iter().map(cut).collect(),
                })
                .collect(),
        }
    };
    recording.add(0, &piece(START - 1, START + 300)).unwrap();
    // What overlaps counts once.
    recording.add(0, &piece(START + 200, START + 620)).unwrap();
    assert_eq!(recording.samples(), 2 * 41);
    let question = Question {
        metric: 0,
        at: START + 420,
        reach: 100,
        past: None,
    };
    let Some(Answer::Samples(answers)) = recording.answer(&plan, &question) else {
        panic!("no samples");
    };
    assert_eq!(answers, piece(START + 320, START + 420));
}

#[test]
fn the_past_is_summed_as_a_subquery_sums_it() {
    let plan = plan_of(RATIO, START);
    let mut recording = Recording::of(&plan);
    let mut both = ratio_of(&[("a", 0.01), ("b", 0.02)], START - 3600, START);
    // Two series of one target.
    let mut twin = both[0].stable[0].clone();
    twin.labels = twin.labels.with("code", "200");
    // It ended ten minutes ago: after five more it has no value.
    twin.samples.retain(|s| s.at_ms <= (START - 600) * 1000);
    both[0].stable.push(twin.clone());
    let answers = Answers {
        at: START,
        reach: 3600,
        selected: both.clone(),
    };
    recording.add(0, &answers).unwrap();
    let past = crate::analysis::comparison::Past {
        until: START,
        reach: 1800,
        step: 60,
    };
    let question = Question {
        metric: 0,
        at: past.until,
        reach: past.reach,
        past: Some(past),
    };
    let Some(Answer::Past(sums)) = recording.answer(&plan, &question) else {
        panic!("no past");
    };
    assert_eq!(sums.len(), 2);
    let a = sums[0]
        .iter()
        .find(|s| s.labels.get("pod") == Some("a"))
        .unwrap();
    assert_eq!(a.labels.iter().count(), 1, "summed by target");
    assert_eq!(a.samples.len(), 30);
    let value = |series: &Series, at: i64| {
        let known = series.samples.iter().rev().find(|s| s.at_ms <= at);
        known
            .filter(|s| s.at_ms > at - LOOKBACK_MS)
            .map_or(0.0, |s| s.value)
    };
    for sample in &a.samples {
        let expected = value(&both[0].stable[0], sample.at_ms) + value(&twin, sample.at_ms);
        assert!(
            (sample.value - expected).abs() < 1e-9,
            "{sample:?} {expected}"
        );
    }
    let last = a.samples.last().unwrap();
    assert_eq!(last.at_ms, START * 1000);
}

#[test]
fn pods_are_divided_and_none_is_lost() {
    let plan = plan_of(RATIO, START);
    let mut recording = Recording::of(&plan);
    let selected = ratio_of(&[("a", 0.01), ("b", 0.02), ("c", 0.0)], START, START + 600);
    let answers = Answers {
        at: START + 600,
        reach: 700,
        selected,
    };
    recording.add(0, &answers).unwrap();
    let names = |metric: usize, at: i64| recording.targets(metric, at);
    assert_eq!(names(0, START + 600).len(), 3);
    assert!(names(0, START + 1_000).is_empty(), "gone for five minutes");
    let canary = vec![names(0, START + 600).into_iter().take(1).collect()];
    let divided = recording.divided(START - 100, START + 600, &canary);
    let count = |held: &Held| held.0.len();
    for arms in &divided.metrics[0] {
        assert_eq!((count(&arms.canary), count(&arms.stable)), (1, 2));
    }
    // Without the sample after the end.
    assert_eq!(divided.samples(), recording.samples() - 6);
}

#[test]
fn native_histograms_are_kept_at_the_bounds_of_the_first_piece() {
    let plan = plan_of(
        "metrics: [{name: slow, histogram: {buckets: 'h{$(arm)}'}}]",
        START,
    );
    let mut recording = Recording::of(&plan);
    let piece = |at: i64, edges: &[f64]| {
        let buckets = edges.windows(2).map(|pair| Bucket {
            lower: pair[0],
            upper: pair[1],
            count: 10.0,
        });
        let histogram = Histogram {
            at_ms: at * 1000,
            count: 10.0 * (edges.len() - 1) as f64,
            buckets: buckets.collect(),
        };
        let series = Series {
            labels: [("pod".to_owned(), "a".to_owned())].into(),
            histograms: vec![histogram],
            ..Series::default()
        };
        Answers {
            at,
            reach: 60,
            selected: vec![Arms {
                canary: Vec::new(),
                stable: vec![series],
            }],
        }
    };
    recording.add(0, &piece(START, &[0.1, 0.2, 0.4])).unwrap();
    recording
        .add(0, &piece(START + 60, &[0.1, 0.2, 0.4]))
        .unwrap();
    let question = Question {
        metric: 0,
        at: START + 60,
        reach: 120,
        past: None,
    };
    let Some(Answer::Samples(answers)) = recording.answer(&plan, &question) else {
        panic!("no samples");
    };
    let at_or_below = |le: &str| {
        let mut series = answers.selected[0].stable.iter();
        let found = series.find(|s| s.labels.get(BUCKET) == Some(le));
        found.map(|s| s.samples.iter().map(|s| s.value).collect::<Vec<_>>())
    };
    assert_eq!(at_or_below("0.2"), Some(vec![10.0, 10.0]), "{answers:?}");
    assert_eq!(at_or_below("+Inf"), Some(vec![20.0, 20.0]));
    // A pod of another version has a bucket across one of the bounds, and the others do not.
    let mut mixed = piece(START + 120, &[0.1, 0.2, 0.4]);
    let mut other = piece(START + 120, &[0.15, 0.3, 0.4]).selected[0]
        .stable
        .remove(0);
    other.labels = other.labels.with("pod", "b");
    mixed.selected[0].stable.push(other);
    let changed = recording.add(0, &mixed);
    assert_eq!(changed.unwrap_err().reason(), "BucketsChanged");
}
