//! How long a regression that is there from the start goes on before it is found, beside the test
//! that knows it (table 3.2).

use tidegate::analysis::plan::Arms;

use crate::null::{HOUR, RATES, WEIGHTS, begun, hour};
use crate::oracle::{ALPHA, Oracle, seconds, wald_seconds};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median};
use crate::shipped::{Run, Shipped};
use crate::traffic::Traffic;

/// The stable version's ratio and how many times that the new one has.
const CHANGES: [(f64, f64); 4] = [(0.001, 2.0), (0.01, 2.0), (0.01, 1.2), (0.0001, 100.0)];

/// The design's median for p, times, requests per second and weight.
const DESIGN: [(f64, f64, f64, i32, f64); 14] = [
    (0.001, 2.0, 100.0, 5, 2542.0),
    (0.001, 2.0, 100.0, 20, 870.0),
    (0.001, 2.0, 100.0, 50, 630.0),
    (0.001, 2.0, 1000.0, 1, 1290.0),
    (0.001, 2.0, 1000.0, 5, 315.0),
    (0.01, 2.0, 100.0, 5, 330.0),
    (0.01, 2.0, 100.0, 20, 120.0),
    (0.01, 2.0, 1000.0, 1, 165.0),
    (0.01, 1.2, 100.0, 50, 1110.0),
    (0.01, 1.2, 1000.0, 1, 2505.0),
    (0.01, 1.2, 1000.0, 20, 210.0),
    (0.0001, 100.0, 10.0, 1, 1680.0),
    (0.0001, 100.0, 100.0, 1, 180.0),
    (0.0001, 100.0, 100.0, 20, 30.0),
];

/// Above this median of the oracle its multiple counts, below it the seconds beside it.
const LONG_S: f64 = 60.0;
const TIMES_MAX: f64 = 1.5;
const MORE_MAX_S: f64 = 30.0;
const TIMES_MEDIAN: f64 = 1.26;

/// When each of the tests was sure, in seconds after the first judged window began.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    oracle: Option<f64>,
    shipped: Option<f64>,
    /// The same tests, had they known the half hour before and the plan's requests.
    knowing: Option<f64>,
}

/// Two runs of the same windows, and the oracle.
fn one(shipped: &Shipped, traffic: &Traffic, times: f64, random: &mut Random) -> Found {
    let mut run = begun(shipped, traffic, random, times);
    let mut knowing = Run::new(shipped);
    let mean = traffic.mean();
    knowing.know(
        &mean,
        traffic.p,
        &[(traffic.canary() * 3600.0, traffic.kappa())],
    );
    let mut oracle = Oracle::new(times);
    let mut all = Found::default();
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    for k in 1..=HOUR {
        let w = traffic.window(random, times);
        let at = Some(seconds(k));
        if all.oracle.is_none() && oracle.judge(&w) {
            all.oracle = at;
        }
        if all.shipped.is_none() && run.judge(&w, targets) {
            all.shipped = at;
        }
        if all.knowing.is_none() && knowing.judge(&w, targets) {
            all.knowing = at;
        }
        if all.oracle.and(all.shipped).and(all.knowing).is_some() {
            break;
        }
    }
    all
}

/// One row of the table with what the goals need.
struct Row {
    cells: Vec<Cell>,
    oracle: Option<f64>,
    ours: Option<f64>,
    knowing: Option<f64>,
    name: String,
}

fn row(runs: Runs, number: u64, change: (f64, f64), rate: f64, weight: i32) -> Row {
    let (p, times) = change;
    let traffic = Traffic {
        rate,
        share: f64::from(weight) / 100.0,
        p,
    };
    let all = runs.of(
        number,
        || hour(weight),
        |shipped, mut random| one(shipped, &traffic, times, &mut random),
    );
    let of = |which: fn(&Found) -> Option<f64>| all.iter().map(which).collect::<Vec<_>>();
    let (oracle, ours, knowing) = (of(|f| f.oracle), of(|f| f.shipped), of(|f| f.knowing));
    let (best, median_ours, known) = (median(&oracle), median(&ours), median(&knowing));
    let wald = wald_seconds(ALPHA, p, traffic.canary(), traffic.kappa(), times, 1.0);
    let design = DESIGN.iter().find(|d| {
        (d.0 - p).abs() < 1e-9
            && (d.1 - times).abs() < 1e-9
            && (d.2 - rate).abs() < 1e-9
            && d.3 == weight
    });
    let name = format!(
        "{} -> {} %, {rate}/s, {weight} %",
        p * 100.0,
        p * times * 100.0
    );
    Row {
        cells: vec![
            Cell::text(name.clone()),
            Cell::Number(wald, 0),
            Cell::seconds(best),
            Cell::seconds(median_ours),
            Cell::percent(found(&ours)),
            Cell::ratio(best.zip(median_ours).map(|(best, ours)| ours / best)),
            Cell::seconds(known),
            Cell::ratio(best.zip(known).map(|(best, ours)| ours / best)),
            Cell::seconds(design.map(|d| d.4)),
        ],
        oracle: best,
        ours: median_ours,
        knowing: known,
        name,
    }
}

/// The goals for one of the two ways to begin.
fn goals(rows: &[Row], how: &str, of: impl Fn(&Row) -> Option<f64>) -> Vec<Goal> {
    let horizon = seconds(HOUR);
    let (mut times, mut more) = (Vec::new(), Vec::new());
    for row in rows {
        let Some(oracle) = row.oracle else { continue };
        // What may take longer than the hour that was looked at is no miss.
        let ours = of(row).or((oracle * TIMES_MAX <= horizon).then_some(f64::INFINITY));
        let Some(ours) = ours else { continue };
        if oracle >= LONG_S {
            times.push((ours / oracle, row.name.as_str()));
        } else {
            more.push((ours - oracle, row.name.as_str()));
        }
    }
    times.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    more.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let last = |all: &[(f64, &str)]| {
        all.last()
            .map_or((0.0, String::new()), |l| (l.0, l.1.into()))
    };
    let ((worst, at), (most, most_at)) = (last(&times), last(&more));
    let middle = times.get(times.len() / 2).map_or(0.0, |t| t.0);
    vec![
        Goal::at_most(
            format!(
                "{how}: median delay as a multiple of the oracle's, the median of {} settings with {LONG_S} s or more",
                times.len()
            ),
            middle,
            TIMES_MEDIAN,
            "times",
        ),
        Goal::at_most(
            format!("{how}: the largest of them ({at})"),
            worst,
            TIMES_MAX,
            "times",
        ),
        Goal::at_most(
            format!(
                "{how}: seconds beside the oracle, the most of {} other settings ({most_at})",
                more.len()
            ),
            most,
            MORE_MAX_S,
            "s",
        ),
    ]
}

pub fn measure(runs: Runs) -> Report {
    let mut rows = Vec::new();
    for change in CHANGES {
        for rate in RATES {
            for weight in WEIGHTS {
                rows.push(row(runs, 1000 + rows.len() as u64, change, rate, weight));
            }
        }
    }
    let mut all = goals(&rows, "as shipped", |row| row.ours);
    all.extend(goals(&rows, "with the half hour before", |row| row.knowing));
    Report {
        setting: "alt",
        title: "median delay of a regression from the start, an hour, seconds".to_owned(),
        runs: runs.count,
        columns: vec![
            "change, requests, weight",
            "Wald",
            "oracle",
            "shipped",
            "found %",
            "times oracle",
            "knowing",
            "times oracle (knowing)",
            "design",
        ],
        rows: rows.into_iter().map(|r| r.cells).collect(),
        goals: all,
        notes: vec![
            format!(
                "main test at {:.2} %, oracle and Wald at {:.2} %; delays count from the end of the warm-up, of which the shipped test only knows the traffic",
                hour(5).alpha_main() * 100.0,
                ALPHA * 100.0
            ),
            "knowing: the same test with half an hour of the stable version and the plan's true requests, as in the design".to_owned(),
        ],
        seconds: 0.0,
    }
}
