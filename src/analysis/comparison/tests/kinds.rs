//! Events, histograms, gauges and fixed levels: each against pods whose truth is known.

use std::collections::BTreeMap;

use super::{Random, START, plan};
use crate::analysis::comparison::{Past, calibrate, find, next_question, question, take, wanted};
use crate::analysis::plan::{Arms, Plan};
use crate::analysis::series::{Answers, Sample, Series};
use crate::api::analysis_status::{Comparison, Origin, Verdict};

use super::ratio_of;

const SCRAPE_S: i64 = 15;
const BOUNDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What a pod's selectors say at a scrape: one list of numbers for each series.
type Scraped = Vec<(i64, Vec<f64>)>;

/// The pods of both versions.
struct Pods {
    /// In how many parts of a second the label `le` of each series is, where there is one.
    buckets: Option<f64>,
    canary: Vec<Scraped>,
    stable: Vec<Scraped>,
}

impl Pods {
    /// `of` says what a pod adds (or is at) for a scrape: its version, its number, the second after
    /// the start.
    fn scraped(
        seed: u64,
        [canary, stable]: [usize; 2],
        buckets: bool,
        of: impl Fn(&mut Random, usize, usize, i64) -> Vec<f64>,
        adds: bool,
    ) -> Self {
        let mut random = Random(seed * 7919 + 13);
        let mut pod = |version: usize, number: usize| -> Scraped {
            let mut sums: Vec<f64> = Vec::new();
            let mut all = Vec::new();
            let since = if version == 0 {
                START - 60
            } else {
                START - 9000
            };
            let mut at = since + (number as i64 % SCRAPE_S);
            while at <= START + 3600 {
                let more = of(&mut random, version, number, at - START);
                sums.resize(more.len(), 0.0);
                for (sum, more) in sums.iter_mut().zip(more) {
                    *sum = if adds { *sum + more } else { more };
                }
                all.push((at, sums.clone()));
                at += SCRAPE_S;
            }
            all
        };
        Self {
            buckets: buckets.then_some(1.0),
            canary: (0..canary).map(|n| pod(0, n)).collect(),
            stable: (0..stable).map(|n| pod(1, n)).collect(),
        }
    }

    fn labels(&self, version: &str, pod: usize, series: usize) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([("pod".to_owned(), format!("{version}-{pod}"))]);
        if let Some(parts) = self.buckets {
            let bound = BOUNDS.get(series).map(|bound| bound * parts);
            let le = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            labels.insert("le".to_owned(), le);
        }
        labels
    }

    fn series(
        &self,
        (version, pods): (&str, &[Scraped]),
        of: impl Fn(&Scraped) -> Vec<(i64, Vec<f64>)>,
    ) -> Vec<Series> {
        let mut all = Vec::new();
        for (number, pod) in pods.iter().enumerate() {
            let samples = of(pod);
            let width = pod.first().map_or(0, |(_, numbers)| numbers.len());
            for series in 0..width {
                let sample = |(at, numbers): &(i64, Vec<f64>)| Sample {
                    at_ms: at * 1000,
                    value: numbers[series],
                };
                all.push(Series {
                    labels: self.labels(version, number, series).into(),
                    samples: samples.iter().map(sample).collect(),
                    ..Series::default()
                });
            }
        }
        all
    }

    fn answers(&self, at: i64, reach: i64) -> Answers {
        let within = |pod: &Scraped| {
            let within = pod.iter().filter(|(t, _)| *t > at - reach && *t <= at);
            within.cloned().collect()
        };
        Answers {
            at,
            reach,
            selected: vec![Arms {
                canary: self.series(("c", &self.canary), within),
                stable: self.series(("s", &self.stable), within),
            }],
        }
    }

    /// The last value at or before each moment.
    fn past(&self, past: &Past) -> Vec<Vec<Series>> {
        let moments = |pod: &Scraped| {
            let moments =
                (1..=past.reach / past.step).map(|k| past.until - past.reach + k * past.step);
            moments
                .filter_map(|t| {
                    let at = pod.partition_point(|(at, _)| *at <= t).checked_sub(1)?;
                    Some((t, pod[at].1.clone()))
                })
                .collect()
        };
        vec![self.series(("s", &self.stable), moments)]
    }
}

/// Looks as a run does until a verdict that decides; the seconds it took, and what is said then.
fn judged(plan: &Plan, pods: &Pods) -> (Comparison, Verdict, i64, String) {
    let compared = ratio_of(plan);
    let mut status = Comparison::default();
    let (mut now, mut polled) = (START, None);
    while now <= START + 3600 {
        if next_question(plan, &status, polled) <= now {
            let s = status.sampler.as_ref();
            if let Some(past) = s.and_then(|s| wanted(plan, compared, s)) {
                let answer = pods.past(&past);
                calibrate(compared, status.sampler.as_mut().unwrap(), &past, &answer);
            }
            let (at, reach) = question(plan, &status, now);
            take(plan, compared, &mut status, &pods.answers(at, reach)).unwrap();
            polled = Some(now);
            let found = find(plan, compared, &status, now).0;
            if matches!(found.verdict, Verdict::Pass | Verdict::Fail) {
                return (status, found.verdict, now - START, found.message);
            }
        }
        now += 5;
    }
    let found = find(plan, compared, &status, START + 3600).0;
    (status, found.verdict, 3600, found.message)
}

fn metric(kind: &str) -> Plan {
    plan(&format!(
        "promote: {{maxDuration: 60m}}\nmetrics: [{{name: m, {kind}}}]"
    ))
}

/// Requests by latency: lognormal with a median of 60 ms, `slower` times as long, cumulative.
fn latencies(random: &mut Random, rate: f64, slower: f64, tail: f64) -> Vec<f64> {
    let n = random.events(rate * SCRAPE_S as f64) as usize;
    let mut buckets = vec![0.0; BOUNDS.len() + 1];
    for _ in 0..n {
        let slow = if random.next() < tail { 10.0 } else { 1.0 };
        let seconds = 0.06 * slower * slow * (0.8 * random.normal()).exp();
        for (bucket, bound) in buckets
            .iter_mut()
            .zip(BOUNDS.iter().chain([&f64::INFINITY]))
        {
            if seconds <= *bound {
                *bucket += 1.0;
            }
        }
    }
    buckets
}

const LATENCY: &str = "histogram: {buckets: 'b{$(arm)}'}, tolerate: {slower: 0%}";

#[test]
fn slow_versions_are_aborted_and_others_pass() {
    use Verdict::{Fail, Pass};
    // What it is, how much slower and how many of them ten times, what is asked, and what comes of it.
    type Row<'a> = (&'a str, [f64; 2], &'a str, Verdict, &'a str, i64);
    let rows: [Row<'_>; 5] = [
        ("as fast", [1.0, 0.0], LATENCY, Pass, "less than", 3600),
        (
            "half as slow again",
            [1.5, 0.0],
            LATENCY,
            Fail,
            "took longer than",
            300,
        ),
        (
            "three percent of them ten times",
            [1.0, 0.03],
            LATENCY,
            Fail,
            "p99",
            420,
        ),
        (
            "eight times",
            [8.0, 0.0],
            LATENCY,
            Fail,
            "3 times as long",
            90,
        ),
        (
            "tolerated",
            [1.04, 0.0],
            "histogram: {buckets: 'b{$(arm)}'}, tolerate: {slower: 20%}",
            Pass,
            "slower",
            3600,
        ),
    ];
    for (name, [slower, tail], kind, verdict, says, within) in rows {
        let plan = metric(kind);
        let pods = Pods::scraped(
            3,
            [1, 4],
            true,
            |random, version, _, _| {
                let (slower, tail) = if version == 0 {
                    (slower, tail)
                } else {
                    (1.0, 0.0)
                };
                latencies(random, 5.0, slower, tail)
            },
            true,
        );
        let (_, found, after, message) = judged(&plan, &pods);
        assert_eq!(found, verdict, "{name}: {message}");
        assert!(after <= within, "{name}: after {after} s");
        assert!(message.contains(says), "{name}: {message}");
    }
}

#[test]
fn latencies_that_all_are_in_one_bucket_are_named_and_show_nothing() {
    let plan = metric(LATENCY);
    for (slower, says) in [(1e-4, "up to 10 ms"), (1e4, "longer than 5 s")] {
        let of = move |random: &mut Random, _: usize, _: usize, _: i64| {
            latencies(random, 5.0, slower, 0.0)
        };
        let pods = Pods::scraped(3, [1, 4], true, of, true);
        let (status, found, _, message) = judged(&plan, &pods);
        let reason = find(&plan, ratio_of(&plan), &status, START + 3600).0.reason;
        assert_eq!((found, reason), (Verdict::NoData, "OneBucket"), "{message}");
        assert!(message.contains(says), "{says}: {message}");
    }
}

#[test]
fn an_objective_that_is_missed_is_harm() {
    let kind = "histogram: {buckets: 'b{$(arm)}'}, tolerate: {slower: 60%}, objective: {quantile: 99%, below: 1s}";
    let plan = metric(kind);
    let pods = |tail: f64| {
        Pods::scraped(
            5,
            [1, 4],
            true,
            move |random, version, _, _| {
                latencies(random, 5.0, 1.0, if version == 0 { tail } else { 0.0 })
            },
            true,
        )
    };
    let (_, verdict, _, message) = judged(&plan, &pods(0.15));
    assert_eq!(verdict, Verdict::Fail, "{message}");
    assert!(message.contains("longer than 1 s"), "{message}");
    let (_, verdict, _, message) = judged(&plan, &pods(0.0));
    assert_eq!(verdict, Verdict::Pass, "{message}");
}

/// Istio, Linkerd and Envoy count milliseconds: what is found and said is the same to the letter.
#[test]
fn the_unit_of_a_histogram_makes_no_difference() {
    let kind = |unit: &str, rest: &str| {
        format!("histogram: {{buckets: 'b{{$(arm)}}'{unit}}}, tolerate: {{slower: 60%}}{rest}")
    };
    // A bucket of its own, the next above, and one that no histogram has.
    for below in ["1s", "700ms", "70ms", "1m"] {
        let objective = format!(", objective: {{quantile: 99%, below: {below}}}");
        let found = ["", ", unit: Milliseconds"].map(|unit| {
            let mut pods = Pods::scraped(
                5,
                [1, 4],
                true,
                move |random, version, _, _| {
                    latencies(random, 5.0, 1.0, if version == 0 { 0.15 } else { 0.0 })
                },
                true,
            );
            if !unit.is_empty() {
                pods.buckets = Some(1000.0);
            }
            let (_, verdict, after, message) = judged(&metric(&kind(unit, &objective)), &pods);
            (verdict, after, message)
        });
        let [seconds, milliseconds] = found;
        assert_eq!(seconds, milliseconds, "{below}");
    }
}

#[test]
fn pods_that_differ_by_themselves_are_no_harm() {
    // Each stable pod has its own speed; the new one is as slow as one of them.
    let own = |number: usize| 1.0 + 0.08 * ((number * 7 % 10) as f64 - 4.5) / 4.5;
    let plan = metric(LATENCY);
    let pods = |slower: f64| {
        Pods::scraped(
            11,
            [1, 10],
            true,
            move |random, version, number, _| {
                let speed = if version == 0 { slower } else { own(number) };
                latencies(random, 4.0, speed, 0.0)
            },
            true,
        )
    };
    let (status, verdict, _, message) = judged(&plan, &pods(1.08));
    assert_ne!(verdict, Verdict::Fail, "{message}");
    let sampler = status.sampler.unwrap();
    let calibration = sampler.calibration.unwrap();
    assert_eq!(
        (calibration.origin, calibration.targets),
        (Origin::Pods, 10)
    );
    assert!(
        (0.02..0.12).contains(&calibration.tau),
        "{}",
        calibration.tau
    );
    let (_, verdict, _, message) = judged(&plan, &pods(2.0));
    assert_eq!(verdict, Verdict::Fail, "{message}");
}

#[test]
fn events_are_counted_for_the_time_of_pods() {
    let plan = metric("events: {count: 'restarts{$(arm)}'}");
    let rows = [
        ("none", 0.0, Verdict::Inconclusive, "expected"),
        ("crashing", 0.02, Verdict::Fail, "of pods"),
    ];
    for (name, rate, verdict, says) in rows {
        let pods = Pods::scraped(
            2,
            [2, 8],
            false,
            move |random, version, _, _| {
                let rate = if version == 0 { rate } else { 0.0 };
                vec![random.events(rate * SCRAPE_S as f64)]
            },
            true,
        );
        let (_, found, _, message) = judged(&plan, &pods);
        assert_eq!(found, verdict, "{name}: {message}");
        assert!(message.contains(says), "{name}: {message}");
    }
}

#[test]
fn fewer_orders_are_harm_where_that_is_said() {
    let kind = "events: {count: 'orders{$(arm)}', harm: Fewer}, tolerate: {relative: 20%}";
    let plan = metric(kind);
    let rows = [
        ("as many", 1.0, Verdict::Pass),
        ("more", 1.4, Verdict::Pass),
        ("half", 0.5, Verdict::Fail),
        ("none", 0.0, Verdict::Fail),
    ];
    for (name, times, verdict) in rows {
        let pods = Pods::scraped(
            4,
            [2, 8],
            false,
            move |random, version, _, _| {
                let times = if version == 0 { times } else { 1.0 };
                vec![random.events(0.5 * times * SCRAPE_S as f64)]
            },
            true,
        );
        let (_, found, _, message) = judged(&plan, &pods);
        assert_eq!(found, verdict, "{name}: {message}");
    }
}

#[test]
fn a_gauge_is_compared_pod_by_pod() {
    let plan = metric("gauge: {query: 'memory{$(arm)}'}");
    // Memory that goes up and down for minutes, by itself.
    let level = |times: f64| {
        move |random: &mut Random, version: usize, number: usize, second: i64| {
            let wave = (second as f64 / 400.0 + number as f64).sin() * 0.05;
            let noise = 0.03 * random.normal();
            let times = if version == 0 { times } else { 1.0 };
            vec![4e8 * times * (wave + noise).exp()]
        }
    };
    let rows = [
        ("the same", 1.0, Verdict::Pass, "times stable's"),
        ("half as much again", 1.5, Verdict::Fail, "as much"),
        ("ten times", 10.0, Verdict::Fail, "5 times as much"),
    ];
    for (name, times, verdict, says) in rows {
        let pods = Pods::scraped(6, [2, 8], false, level(times), false);
        let (_, found, _, message) = judged(&plan, &pods);
        assert_eq!(found, verdict, "{name}: {message}");
        assert!(message.contains(says), "{name}: {message}");
    }
    // Without a past only means of five minutes say something.
    let mut pods = Pods::scraped(6, [2, 8], false, level(1.5), false);
    for pod in &mut pods.stable {
        pod.retain(|(at, _)| *at >= START - 120);
    }
    let (_, verdict, after, message) = judged(&plan, &pods);
    assert_eq!(verdict, Verdict::Fail, "{message}");
    assert!(after > 5 * 300, "{after}");
}
