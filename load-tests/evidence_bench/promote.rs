//! How soon a good version is known to be good enough, and how often one is taken for it that is
//! not (table 3.7).

use tidegate::analysis::comparison::UNSAFE_RATE;
use tidegate::analysis::plan::Arms;

use crate::null::{HOUR, begun};
use crate::oracle::{seconds, wald_seconds};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, with_errors};
use crate::shipped::{RATIO, Shipped};
use crate::traffic::Traffic;

/// The stable version's ratio, requests per second, weight, next weight, the design's median.
const ROWS: [(f64, f64, i32, i32, Option<f64>); 8] = [
    (0.01, 100.0, 5, 50, Some(225.0)),
    (0.01, 100.0, 20, 50, Some(75.0)),
    (0.01, 100.0, 5, 100, Some(742.0)),
    (0.01, 100.0, 50, 100, Some(150.0)),
    (0.01, 100.0, 5, 25, None),
    (0.01, 1000.0, 1, 5, None),
    (0.001, 1000.0, 5, 50, None),
    (0.001, 1000.0, 20, 100, None),
];

/// When it was shown to be good enough, if it was within the hour.
fn shown(shipped: &Shipped, traffic: &Traffic, times: f64, random: &mut Random) -> Option<f64> {
    let mut run = begun(shipped, traffic, random, times);
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    let at = (1..=HOUR).find(|_| {
        run.judge(&traffic.window(random, times), targets);
        run.safe()
    });
    at.map(seconds)
}

pub fn measure(runs: Runs) -> Report {
    let mut report = Report {
        setting: "promote",
        title: "seconds until a version without a difference is known to be good enough".to_owned(),
        runs: runs.count,
        columns: vec![
            "p %",
            "requests/s",
            "weight %",
            "next weight %",
            "at the edge: times",
            "Wald",
            "median",
            "times Wald",
            "shown %",
            "false safe %",
            "design",
        ],
        notes: vec![
            "the version at the edge is `times` as bad as stable; false safe: shown to be good enough within an hour, whatever the test of harm says".to_owned(),
            "the shipped test has 4 of the 5 % for the comparison with stable and 1 % for the level; Wald is at 5 %".to_owned(),
        ],
        ..Report::default()
    };
    let (mut worst, mut at) = (0.0_f64, String::new());
    let mut unsafe_most = 0.0_f64;
    for (number, (p, rate, weight, next, design)) in ROWS.into_iter().enumerate() {
        let traffic = Traffic {
            rate,
            share: f64::from(weight) / 100.0,
            p,
        };
        let plan = || Shipped::new(RATIO, &[(weight, 3600)], next);
        let required = plan().compared().required(next);
        let edge = required.times.max(1.0 + required.points / p);
        let row = 3000 + 2 * number as u64;
        let of = |row: u64, times: f64| {
            runs.of(row, plan, |shipped, mut random| {
                shown(shipped, &traffic, times, &mut random)
            })
        };
        let (good, bad) = (of(row, 1.0), of(row + 1, edge));
        let kappa = traffic.kappa();
        let wald = wald_seconds(UNSAFE_RATE, p, traffic.canary(), kappa, 1.0, edge);
        let middle = median(&good);
        unsafe_most = unsafe_most.max(found(&bad) * 100.0);
        // Wald's bound and a window: nothing is looked at in between.
        let times = middle.unwrap_or(f64::INFINITY) / wald;
        if (edge - 2.0).abs() < 1e-9 && times > worst {
            worst = times;
            at = format!("{rate} requests/s, {weight} %");
        }
        report.rows.push(vec![
            Cell::Number(p * 100.0, 2),
            Cell::Number(rate, 0),
            Cell::Number(f64::from(weight), 0),
            Cell::Number(f64::from(next), 0),
            Cell::Number(edge, 1),
            Cell::Number(wald, 0),
            Cell::seconds(middle),
            Cell::ratio(middle.map(|m| m / wald)),
            Cell::percent(found(&good)),
            Cell::percent(found(&bad)),
            Cell::seconds(design),
        ]);
    }
    let limit = with_errors(5.0, usize::try_from(runs.count).unwrap_or(usize::MAX));
    report.goals = vec![
        Goal::at_most(
            format!("median with a margin of 2, as a multiple of Wald's bound, the largest ({at})"),
            worst,
            1.3,
            "times",
        ),
        Goal::at_most(
            "false safe, the largest of the rows",
            unsafe_most,
            limit,
            "%",
        ),
    ];
    report
}
