//! A status is all that a run goes on from: it is never too large, and whoever reads it back at any
//! instant comes to the same bits.

use super::*;
use crate::analysis::comparison::Past;
use crate::analysis::run::size::STATUS_MAX;
use crate::api::analysis_status::{Masses, MetricStatus, Origin};

const SCRAPE_S: i64 = 15;
/// Since when there are samples, before the start.
const BEFORE_S: i64 = 4500;

/// A metrics store for any plan of comparisons: pods of both versions that count what nobody could
/// foresee, and always the same.
struct Store {
    /// For each metric, version, pod and series of its selectors: what it said at each scrape.
    said: Vec<[Vec<Vec<Vec<f64>>>; 2]>,
    /// The bounds of histograms.
    bounds: usize,
}

/// Something between 0 and 1 that hangs on nothing but these numbers.
fn noise(seed: &[usize]) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for part in seed {
        state = (state ^ *part as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 29;
    }
    (state >> 11) as f64 / (1_u64 << 53) as f64
}

/// Selectors of a metric, and series of each for one target.
fn width(plan: &Plan, metric: usize, bounds: usize) -> (usize, usize) {
    match &plan.metrics[metric].kind {
        Kind::Comparison(compared) => {
            let selectors = compared.measure.selectors().len();
            let buckets = matches!(compared.measure, plan::Measure::Histogram { .. });
            (selectors, if buckets { bounds } else { 1 })
        }
        Kind::Threshold(_) => (0, 0),
    }
}

impl Store {
    fn new(plan: &Plan, pods: [usize; 2], bounds: usize, until: i64) -> Self {
        let scrapes = ((until + BEFORE_S) / SCRAPE_S) as usize;
        let gauge = |metric: usize| plan.metrics[metric].kind.word() == "gauge";
        let of_pod = |metric: usize, version: usize, pod: usize| {
            let (selectors, series) = width(plan, metric, bounds);
            let mut sums = vec![0.0; selectors * series];
            let mut said = vec![Vec::with_capacity(scrapes); selectors * series];
            for scrape in 0..scrapes {
                let new = 400.0 + (200.0 * noise(&[metric, version, pod, scrape])).floor();
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum = if gauge(metric) {
                        new
                    } else if series > 1 {
                        // Cumulative: the more the larger the bound, all of them the last.
                        *sum + (new * (i + 1) as f64 / series as f64).floor()
                    } else if i + 1 == selectors && selectors > 1 {
                        *sum + (new * 0.01 * noise(&[scrape, pod, metric, version])).round()
                    } else {
                        *sum + new
                    };
                    said[i].push(*sum);
                }
            }
            said
        };
        let metrics = 0..plan.metrics.len();
        let said = metrics.map(|metric| {
            [0, 1].map(|version| {
                (0..pods[version])
                    .map(|pod| of_pod(metric, version, pod))
                    .collect()
            })
        });
        Self {
            said: said.collect(),
            bounds,
        }
    }

    /// The series of one selector of a version, at these moments.
    fn series(
        &self,
        plan: &Plan,
        metric: usize,
        version: usize,
        selector: usize,
        moments: &[i64],
    ) -> Vec<Series> {
        let (_, width) = width(plan, metric, self.bounds);
        let mut all = Vec::new();
        for (pod, said) in self.said[metric][version].iter().enumerate() {
            for i in 0..width {
                let values = &said[selector * width + i];
                let sample = |at: &i64| {
                    let scrape = (at - (START - BEFORE_S)) / SCRAPE_S;
                    let value = values.get(usize::try_from(scrape).ok()?)?;
                    Some(Sample {
                        at_ms: at * 1000,
                        value: *value,
                    })
                };
                let mut labels = BTreeMap::from([("pod".to_owned(), format!("{version}-{pod}"))]);
                if width > 1 {
                    let bound = 0.012_345_678_9 * (1.0 + i as f64).powi(3);
                    let le = if i + 1 == width {
                        "+Inf".into()
                    } else {
                        bound.to_string()
                    };
                    labels.insert("le".to_owned(), le);
                }
                all.push(Series {
                    labels: labels.into(),
                    samples: moments.iter().filter_map(sample).collect(),
                    histograms: Vec::new(),
                });
            }
        }
        all
    }

    fn answer(&self, plan: &Plan, question: &Question) -> Result<Answer, Fault> {
        let metric = question.metric;
        let (selectors, _) = width(plan, metric, self.bounds);
        if selectors == 0 {
            return Ok(Answer::Points(vec![Point {
                at_ms: question.at * 1000,
                value: 1.5,
            }]));
        }
        if let Some(Past { until, reach, step }) = question.past {
            let moments: Vec<i64> = (1..=reach / step)
                .map(|k| until - reach + k * step)
                .collect();
            let of = |selector| self.series(plan, metric, 1, selector, &moments);
            return Ok(Answer::Past((0..selectors).map(of).collect()));
        }
        let scraped = (question.at - question.reach + 1..=question.at)
            .filter(|at| (at - (START - BEFORE_S)) % SCRAPE_S == 0);
        let moments: Vec<i64> = scraped.collect();
        let both = |selector| Arms {
            canary: self.series(plan, metric, 0, selector, &moments),
            stable: self.series(plan, metric, 1, selector, &moments),
        };
        Ok(Answer::Samples(Answers {
            at: question.at,
            reach: question.reach,
            selected: (0..selectors).map(both).collect(),
        }))
    }

    fn look(&self, plan: &Plan, status: &mut AnalysisRunStatus, pace: &mut Pace, now: i64) {
        for _ in 0..50 {
            let mut behind = false;
            for question in questions(plan, status, pace, now) {
                let answer = self.answer(plan, &question);
                behind |= take(plan, status, pace, &question, answer, at(now));
            }
            if !behind {
                break;
            }
            *pace = Pace::default();
        }
        conclude(plan, status, false, at(now));
        fit(status);
    }
}

fn size(status: &AnalysisRunStatus) -> usize {
    serde_json::to_vec(status).unwrap().len()
}

fn read_back(plan: &Plan, status: &AnalysisRunStatus) -> AnalysisRunStatus {
    let text = serde_json::to_string(status).unwrap();
    resume(plan, Some(serde_json::from_str(&text).unwrap()))
}

/// Every kind beside each other, and what is held against a weight.
fn mixed() -> Plan {
    let metrics = [
        "{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}",
        "{name: level, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}, compareTo: {objective: 3%}}",
        "{name: restarts, events: {count: 'r{$(arm)}'}}",
        "{name: orders, events: {count: 'o{$(arm)}', exposure: Requests, requests: 't{$(arm)}', harm: Fewer}}",
        "{name: latency, histogram: {buckets: 'l{$(arm)}'}, objective: {quantile: 50%, below: 1s}}",
        "{name: memory, gauge: {query: 'm{$(arm)}'}}",
        LOAD,
    ];
    let split = "split: {weight: 40, since: 1970-01-12T13:46:40Z}";
    plan(&format!(
        "{split}\npromote: {{minBake: 1h, maxDuration: 2h}}\nmetrics: [{}]",
        metrics.join(", ")
    ))
}

/// Looks at times of its own from the start to `until`, and is stopped and read back whenever `stops`
/// says so.
fn followed(
    plan: &Plan,
    store: &Store,
    until: i64,
    pause: impl Fn(usize) -> i64,
    stops: impl Fn(usize) -> bool,
) -> Vec<MetricStatus> {
    let (mut status, mut pace) = (begin(plan), Pace::default());
    let (mut now, mut looks) = (START, 0);
    loop {
        store.look(plan, &mut status, &mut pace, now);
        assert!(size(&status) <= STATUS_MAX);
        if stops(looks) {
            status = read_back(plan, &status);
            pace = Pace::default();
        }
        if now == START + until {
            break;
        }
        now = (now + pause(looks)).min(START + until);
        looks += 1;
    }
    // A last time, whenever the last one was.
    store.look(plan, &mut status, &mut Pace::default(), now);
    // When a threshold is asked depends on who asks.
    let compared = status
        .metrics
        .into_iter()
        .filter(|m| m.comparison.is_some());
    compared.collect()
}

#[test]
fn whoever_reads_it_back_at_any_instant_comes_to_the_same_bits() {
    let plan = mixed();
    let until = 600;
    let store = Store::new(&plan, [2, 3], 9, until);
    let text = |metrics: &[MetricStatus]| serde_json::to_string(metrics).unwrap();
    let steady = followed(&plan, &store, until, |_| 5, |_| false);
    let sampler = steady[0]
        .comparison
        .as_ref()
        .unwrap()
        .sampler
        .as_ref()
        .unwrap();
    assert_eq!(sampler.calibration.as_ref().unwrap().origin, Origin::Pods);
    assert!(
        sampler.split_more.windows > 20 && sampler.harm.windows > 20,
        "{sampler:?}"
    );
    for seed in 0..4 {
        let pause = |look: usize| 1 + (noise(&[seed, look]) * [12.0, 90.0][seed % 2]) as i64;
        let stops = |look: usize| noise(&[look, seed]) < 0.4;
        let cut = followed(&plan, &store, until, pause, stops);
        for (steady, cut) in steady.iter().zip(&cut) {
            assert_eq!(
                text(std::slice::from_ref(steady)),
                text(std::slice::from_ref(cut)),
                "seed {seed}"
            );
        }
    }
}

/// Twenty metrics, eight histograms of as many buckets as there may be among them, with the longest
/// names and queries.
#[test]
fn a_status_is_never_too_large() {
    let long = |i: usize| format!("m{i:02}-{}", "x".repeat(59));
    let label = |i: usize| format!("a{i}=\"{}\", $(arm)", "x".repeat(1900));
    let metrics: Vec<String> = (0..20)
        .map(|i| {
            let (name, label) = (long(i), label(i));
            let kind = if i < 8 {
                format!("histogram: {{buckets: 'l{{{label}}}'}}, objective: {{quantile: 50%, below: 1s}}")
            } else {
                format!("ratio: {{bad: 'b{{{label}}}', total: 't{{{label}}}'}}")
            };
            format!("{{name: {name}, {kind}}}")
        })
        .collect();
    let split = "split: {weight: 33, since: 1970-01-12T13:46:40Z}";
    let plan = plan(&format!(
        "{split}\npromote: {{minBake: 1h, maxDuration: 2h}}\nmetrics: [{}]",
        metrics.join(", ")
    ));
    let until = 420;
    let store = Store::new(&plan, [1, 2], 48, until);
    let (mut status, mut pace) = (begin(&plan), Pace::default());
    for now in (START..=START + until).step_by(60) {
        store.look(&plan, &mut status, &mut pace, now);
        assert!(size(&status) <= STATUS_MAX, "{} bytes", size(&status));
    }
    for metric in &status.metrics {
        let comparison = metric.comparison.as_ref().unwrap();
        let sampler = comparison.sampler.as_ref().unwrap();
        assert!(
            comparison.canary.requests > 0.0 && sampler.harm.windows > 10,
            "{metric:?}"
        );
    }
    // Whatever else there may be in it, at the worst instant: what the run goes on from fits.
    for metric in &mut status.metrics {
        metric.message = "x".repeat(MESSAGE_MAX);
        let fault = Fault {
            reason: "Unreachable".to_owned(),
            message: "x".repeat(500),
            retry_after: None,
        };
        metric.trouble = Some(trouble(None, &fault, at(START)));
        let sampler = metric
            .comparison
            .as_mut()
            .unwrap()
            .sampler
            .as_mut()
            .unwrap();
        for masses in widest(sampler) {
            masses
                .bets
                .iter_mut()
                .for_each(|bet| *bet = 1.234_567_890_123_456_7e-123);
        }
    }
    fit(&mut status);
    assert!(size(&status) <= STATUS_MAX, "{} bytes", size(&status));
}

fn widest(s: &mut crate::api::analysis_status::Sampler) -> [&mut Masses; 8] {
    [
        &mut s.harm,
        &mut s.harm_level,
        &mut s.gross,
        &mut s.gross_level,
        &mut s.safe,
        &mut s.safe_level,
        &mut s.split_more,
        &mut s.split_less,
    ]
}
