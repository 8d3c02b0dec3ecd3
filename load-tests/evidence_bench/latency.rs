//! Latencies by buckets: slower versions, and versions of which only some requests are slower
//! (table 3.5).

use statrs::function::erf::erfc;
use tidegate::analysis::buckets::log_increment;
use tidegate::analysis::dictionary::{Dictionary, dictionary};
use tidegate::analysis::plan::Arms;
use tidegate::analysis::schedule::Schedule;
use tidegate::analysis::scrapes::Observed;

use crate::oracle::{ALPHA, seconds};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, with_errors};
use crate::shipped::{Run, Shipped, WINDOW_S};

/// What most client libraries export where nothing is said.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const BUCKETS: usize = BOUNDS.len() + 1;
/// Half an hour.
const WINDOWS: usize = 120;
const METRIC: &str = "histogram: {buckets: 'b{$(arm)}'}, tolerate: {slower: 0%}";
const MEDIAN_S: f64 = 0.06;
const SPREAD: f64 = 0.8;
/// The stable version's past that the bets are made of.
const PAST_S: f64 = 6.0 * 3600.0;

/// A slowdown: of all requests, or of some of them much more.
#[derive(Debug, Clone, Copy)]
struct Slower {
    all: f64,
    some: f64,
    some_times: f64,
}

const NONE: Slower = all(1.0);

const fn all(times: f64) -> Slower {
    Slower {
        all: times,
        some: 0.0,
        some_times: 1.0,
    }
}

const fn some(share: f64, times: f64) -> Slower {
    Slower {
        all: 1.0,
        some: share,
        some_times: times,
    }
}

/// What it is, requests per second, weight, the design's oracle and dictionary in seconds.
const ROWS: [(&str, Slower, f64, i32, f64, f64); 5] = [
    ("+10 % all", all(1.1), 100.0, 20, 45.0, 120.0),
    ("+20 % all", all(1.2), 100.0, 5, 45.0, 90.0),
    ("+50 % all", all(1.5), 100.0, 5, 15.0, 30.0),
    ("1 % of them x10", some(0.01, 10.0), 100.0, 20, 60.0, 165.0),
    (
        "0.3 % of them x30",
        some(0.003, 30.0),
        100.0,
        20,
        90.0,
        240.0,
    ),
];

/// Shares of the requests in each bucket.
fn shares(slower: Slower) -> [f64; BUCKETS] {
    let below = |bound: f64, times: f64| {
        let z = (bound / (MEDIAN_S * times)).ln() / SPREAD;
        0.5 * erfc(-z / std::f64::consts::SQRT_2)
    };
    let mut last = 0.0;
    let mut bounds = BOUNDS.iter();
    std::array::from_fn(|_| {
        let until = bounds.next().map_or(1.0, |bound| {
            let usual = below(*bound, slower.all);
            let slow = below(*bound, slower.all * slower.some_times);
            (1.0 - slower.some) * usual + slower.some * slow
        });
        let share = until - last;
        last = until;
        share
    })
}

fn buckets(requests: f64, shares: &[f64; BUCKETS], random: &mut Random) -> [f64; BUCKETS] {
    shares.map(|share| random.poisson(requests * share))
}

/// The number of requests and the buckets, as a scrape has them.
fn numbers(buckets: &[f64; BUCKETS]) -> Vec<f64> {
    let all: f64 = buckets.iter().sum();
    std::iter::once(all)
        .chain(buckets.iter().copied())
        .collect()
}

/// The shipped dictionary with the weights that it had: a tenth for each slowdown.
fn reweighted(reference: &[f64]) -> Dictionary {
    const SCALES: [f64; 5] = [0.1; 5];
    let found = dictionary(reference, &BOUNDS, 1.0);
    let mut found = found.expect("the reference has requests");
    let tails = found.elements.len().saturating_sub(SCALES.len()).max(1);
    let rest = (1.0 - SCALES.iter().sum::<f64>()) / tails as f64;
    let weights = SCALES.into_iter().chain(std::iter::repeat(rest));
    for (element, weight) in found.elements.iter_mut().zip(weights) {
        element.weight = weight;
    }
    found
}

/// When each of the tests was sure.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    oracle: Option<f64>,
    shipped: Option<f64>,
    reweighted: Option<f64>,
}

fn one(shipped: &Shipped, slower: Slower, rate: f64, share: f64, random: &mut Random) -> Found {
    let (usual, now) = (shares(NONE), shares(slower));
    let mut rho = [1.0; BUCKETS];
    for (rho, (now, usual)) in rho.iter_mut().zip(now.iter().zip(&usual)) {
        *rho = now / usual;
    }
    let (new, old) = (rate * share, rate * (1.0 - share));
    let mut run = Run::new(shipped);
    let s = run.sampler();
    s.bounds = BOUNDS.to_vec();
    s.reference = buckets(old * PAST_S, &usual, random).to_vec();
    s.last_requests = new * WINDOW_S as f64;
    let other = reweighted(&s.reference);
    let stakes = Schedule::new([1800], WINDOW_S);
    let (mut state, alpha) = (other.begin(), shipped.alpha_main());
    let (mut log, mut all) = (0.0, Found::default());
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    for k in 1..=WINDOWS {
        let canary = buckets(new * WINDOW_S as f64, &now, random);
        let stable = buckets(old * WINDOW_S as f64, &usual, random);
        log += log_increment(&canary, &stable, &rho, &[1.0; BUCKETS]);
        if log >= -ALPHA.ln() {
            all.oracle.get_or_insert(seconds(k));
        }
        let stake = stakes.gamma(state.windows);
        if other.step(&mut state, stake, &canary, &stable, &[], alpha) >= 1.0 / alpha {
            all.reweighted.get_or_insert(seconds(k));
        }
        let observed = Observed(Arms {
            canary: numbers(&canary),
            stable: numbers(&stable),
        });
        if all.shipped.is_none() && run.observe(&observed, targets) {
            all.shipped = Some(seconds(k));
        }
        let differs = slower.all * slower.some_times > 1.0;
        if all.shipped.and(all.reweighted).is_some() && (all.oracle.is_some() || !differs) {
            break;
        }
    }
    all
}

fn measured(runs: Runs, row: u64, slower: Slower, rate: f64, weight: i32) -> [Vec<Option<f64>>; 3] {
    let share = f64::from(weight) / 100.0;
    let all = runs.of(
        row,
        || Shipped::new(METRIC, &[(weight, 1800)], 100),
        |shipped, mut random| one(shipped, slower, rate, share, &mut random),
    );
    let of = |which: fn(&Found) -> Option<f64>| all.iter().map(which).collect();
    [of(|f| f.oracle), of(|f| f.shipped), of(|f| f.reweighted)]
}

pub fn measure(runs: Runs) -> Report {
    let fewer = runs.part(4, 200);
    let mut report = Report {
        setting: "latency",
        title: "lognormal latencies, half an hour".to_owned(),
        runs: runs.count,
        columns: vec![
            "what",
            "requests/s",
            "weight %",
            "aborted %",
            "median s",
            "oracle s",
            "times oracle",
            "even weights: aborted %",
            "even weights: s",
            "design s",
            "design's oracle s",
        ],
        notes: vec![format!(
            "main test at {:.2} %; median 60 ms, sd 0.8 of the logarithm, 11 bounds from 5 ms to 10 s; the bets are made of six hours of the stable version; rows with a difference: {} runs; even weights: as it was, a tenth for each slowdown",
            Shipped::new(METRIC, &[(20, 1800)], 100).alpha_main() * 100.0,
            fewer.count
        )],
        ..Report::default()
    };
    let mut largest = 0.0_f64;
    for rate in [10.0, 100.0, 1000.0] {
        for weight in [5, 20] {
            let row = 5000 + report.rows.len() as u64;
            let [_, ours, others] = measured(runs, row, NONE, rate, weight);
            largest = largest.max(found(&ours) * 100.0);
            report.rows.push(vec![
                Cell::text("none"),
                Cell::Number(rate, 0),
                Cell::Number(f64::from(weight), 0),
                Cell::percent(found(&ours)),
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
                Cell::percent(found(&others)),
                Cell::Nothing,
                Cell::Nothing,
                Cell::Nothing,
            ]);
        }
    }
    let count = usize::try_from(runs.count).unwrap_or(usize::MAX);
    report.goals.push(Goal::at_most(
        "false aborts with no difference, the largest",
        largest,
        with_errors(1.0, count),
        "%",
    ));
    for (number, (what, slower, rate, weight, oracle_design, design)) in
        ROWS.into_iter().enumerate()
    {
        let [oracle, ours, others] = measured(fewer, 5100 + number as u64, slower, rate, weight);
        let (best, middle) = (median(&oracle), median(&ours));
        if number == 0 {
            let measured = middle.unwrap_or(f64::INFINITY);
            let what = "10 % slower at 100 requests/s and 20 %, median";
            report.goals.push(Goal::at_most(what, measured, 120.0, "s"));
        }
        report.rows.push(vec![
            Cell::text(what),
            Cell::Number(rate, 0),
            Cell::Number(f64::from(weight), 0),
            Cell::percent(found(&ours)),
            Cell::seconds(middle),
            Cell::seconds(best),
            Cell::ratio(middle.zip(best).map(|(ours, best)| ours / best)),
            Cell::percent(found(&others)),
            Cell::seconds(median(&others)),
            Cell::Number(design, 0),
            Cell::Number(oracle_design, 0),
        ]);
    }
    report
}
