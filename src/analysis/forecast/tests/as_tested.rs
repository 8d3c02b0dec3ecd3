//! What is forecast is held against the tests themselves: they are given windows in which everything is as
//! it is on the average, and must decide about when it was said that they would.

use jiff::Timestamp;

use super::*;
use crate::analysis::buckets::scaled;
use crate::analysis::comparison::{decides, judge_window, watched};
use crate::analysis::forecast::evidence::Evidence;
use crate::analysis::plan::{Kind, Plan, parse};
use crate::analysis::scrapes::Observed;
use crate::api::analysis::AnalysisRunSpec;
use crate::api::analysis_status::{Calibration, Comparison, Origin, Sampler};

const START: i64 = 1_800_000_000;
const WINDOW_S: i64 = 15;
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Around 60 ms, with a long tail.
const SHARES: [f64; 12] = [
    0.003, 0.027, 0.13, 0.24, 0.27, 0.22, 0.07, 0.025, 0.01, 0.003, 0.001, 0.001,
];
/// Of a gauge's logarithm, for one pod and window.
const VARIANCE: f64 = 0.01;
/// Stakes are laid over the first windows, and windows are not divided.
const STARTING_S: f64 = 45.0;

fn plan(metric: &str) -> Plan {
    let yaml = format!("{{canaryHash: c, stableHash: s, nextWeight: 50, metrics: [{metric}]}}");
    let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).unwrap();
    parse(&spec, Timestamp::from_second(START).unwrap()).unwrap()
}

fn compared(plan: &Plan) -> &ComparisonPlan {
    match &plan.metrics[0].kind {
        Kind::Comparison(compared) => compared,
        Kind::Threshold(_) => panic!("compared"),
    }
}

/// How a test knows the stable version before the first window.
fn sampler(measure: &Measure, stretch: &Stretch) -> Sampler {
    let latencies = matches!(measure, Measure::Histogram { .. });
    let known = Calibration {
        origin: Origin::Pods,
        variance: VARIANCE,
        ..Calibration::default()
    };
    Sampler {
        scrape_seconds: WINDOW_S,
        window_seconds: WINDOW_S,
        cursor: START,
        canary_targets: stretch.canary_pods as i64,
        stable_targets: stretch.stable_pods as i64,
        bounds: if latencies {
            BOUNDS.to_vec()
        } else {
            Vec::new()
        },
        reference: if latencies {
            SHARES.map(|q| q * 1e5).to_vec()
        } else {
            Vec::new()
        },
        calibration: Some(known),
        ..Sampler::default()
    }
}

/// A window of a version that gets `requests` and is `times` as bad as the stable one.
fn numbers(measure: &Measure, service: &Service, requests: f64, times: f64) -> Vec<f64> {
    match measure {
        Measure::Ratio { .. } | Measure::Events { .. } => {
            vec![requests, requests * service.ratio * times]
        }
        Measure::Histogram { .. } => {
            let buckets = scaled(&SHARES, &BOUNDS, times);
            let buckets = buckets.into_iter().map(|share| share * requests);
            std::iter::once(requests).chain(buckets).collect()
        }
        Measure::Gauge { .. } => vec![10.0, 10.0 * service.ratio * times],
    }
}

/// After how many seconds harm, or safety, is shown to a version that is `times` as bad.
fn shown_after(
    plan: &Plan,
    service: &Service,
    stretch: &Stretch,
    times: f64,
    harm: bool,
) -> Option<i64> {
    let compared = compared(plan);
    let measure = &compared.measure;
    let mut status = Comparison {
        sampler: Some(sampler(measure, stretch)),
        ..Comparison::default()
    };
    let share = share_of(stretch.weight);
    let requests = service.rate * WINDOW_S as f64;
    let window = Observed(Arms {
        canary: numbers(measure, service, requests * share, times),
        stable: numbers(measure, service, requests * (1.0 - share), 1.0),
    });
    let targets = Arms {
        canary: stretch.canary_pods as i64,
        stable: stretch.stable_pods as i64,
    };
    for k in 1..=20_000 {
        let to = START + k * WINDOW_S;
        judge_window(plan, compared, &mut status, &window, targets, to);
        let decided = if harm {
            decides(&status.harm)
        } else {
            decides(&status.safe)
        };
        if decided {
            return Some(k * WINDOW_S);
        }
    }
    None
}

/// What is known of the service, as a forecast has it.
fn known(plan: &Plan, stretch: &Stretch, rate: f64, ratio: f64) -> Service {
    let compared = compared(plan);
    let sampler = sampler(&compared.measure, stretch);
    let shape = match compared.measure {
        Measure::Ratio { .. } | Measure::Events { .. } => Shape::Counts,
        Measure::Histogram { .. } => Shape::Latencies {
            slow: watched(plan, compared, &sampler).unwrap(),
            reference: sampler.reference,
            bounds: sampler.bounds,
            dispersion: Vec::new(),
            window_seconds: WINDOW_S,
        },
        Measure::Gauge { .. } => Shape::Gauge {
            variance: VARIANCE,
            window_seconds: WINDOW_S,
        },
    };
    Service {
        shape,
        ..service(rate, ratio)
    }
}

const RATIO: &str = "{name: m, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}";
const LEVEL: &str =
    "{name: m, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}, compareTo: {objective: '1%'}}";
const MORE: &str = "{name: m, events: {count: 'c{$(arm)}', requests: 't{$(arm)}'}}";
const FEWER: &str = "{name: m, events: {count: 'c{$(arm)}', requests: 't{$(arm)}', harm: Fewer}}";
const LATENCY: &str = "{name: m, histogram: {buckets: 'b{$(arm)}'}}";
const GAUGE: &str = "{name: m, gauge: {query: 'm{$(arm)}'}}";

#[test]
fn the_tests_decide_when_it_is_forecast() {
    let mut off = Vec::new();
    // What is looked at, requests a second, the stable ratio, weight, and how bad the version is in times.
    for (metric, rate, ratio, weight, times) in [
        (RATIO, 100.0, 0.005, 20, 3.0),
        (RATIO, 1000.0, 0.01, 5, 2.0),
        (LEVEL, 100.0, 0.004, 20, 5.0),
        (MORE, 100.0, 0.01, 20, 2.0),
        (FEWER, 100.0, 0.05, 20, 2.0),
        (LATENCY, 100.0, 0.0, 20, 1.3),
        (LATENCY, 100.0, 0.0, 5, 2.0),
        (LATENCY, 20.0, 0.0, 10, 1.3),
        (GAUGE, 1.0, 100.0, 20, 1.3),
        (GAUGE, 1.0, 100.0, 20, 1.2),
    ] {
        let plan = plan(metric);
        let stretch = Stretch {
            next_weight: 50,
            canary_pods: 2,
            stable_pods: 8,
            ..stretch(weight, Some(600))
        };
        let service = known(&plan, &stretch, rate, ratio);
        let evidence = Evidence::of(compared(&plan), &service, &stretch).unwrap();
        let share = share_of(weight);
        let seconds = |needed: f64| needed / evidence.per_second(&service, share);
        let multiple = compared(&plan).worse_by(times);
        let mut near = |said: f64, seen: Option<i64>, what: &str| {
            let seen = seen.map_or(f64::INFINITY, |s| s as f64);
            if seen < 0.6 * said || seen > 1.5 * said + STARTING_S {
                let of = format!("{metric} at {weight} %, {times} times");
                off.push(format!("{of}: {what} after {seen} s, forecast {said:.0} s"));
            }
        };
        let found = seconds(evidence.found_after(split(share), times)) / POWER_80;
        let seen = shown_after(&plan, &service, &stretch, multiple, true);
        near(found, seen, "harm");
        let safe = seconds(evidence.safe_after(split(share)));
        let seen = shown_after(&plan, &service, &stretch, 1.0, false);
        near(safe, seen, "safety");
    }
    assert!(off.is_empty(), "{}", off.join("\n"));
}
