//! What a window costs.

use std::hint::black_box;
use std::time::Instant;

use tidegate::analysis::plan::Arms;

use crate::null::{HOUR, begun, hour};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report};
use crate::traffic::Traffic;

/// Requests per second, stable's ratio, the goal in microseconds.
const ROWS: [(f64, f64, Option<f64>); 5] = [
    (100.0, 0.0001, None),
    (100.0, 0.001, None),
    (100.0, 0.01, Some(10.0)),
    (1000.0, 0.01, None),
    (10_000.0, 0.01, Some(200.0)),
];

/// Microseconds of each window of a run of an hour, on one core.
fn micros(traffic: &Traffic, random: Random) -> Vec<f64> {
    let (shipped, mut random) = (hour(20), random);
    let mut run = begun(&shipped, traffic, &mut random, 1.0);
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    let windows = (0..HOUR).map(|_| {
        let w = traffic.window(&mut random, 1.0);
        let begun = Instant::now();
        black_box(run.judge(black_box(&w), targets));
        begun.elapsed().as_secs_f64() * 1e6
    });
    windows.collect()
}

pub fn measure(runs: Runs) -> Report {
    let rounds = runs.count.min(50);
    let mut report = Report {
        setting: "cost",
        title: "microseconds for each window of a ratio at 20 %, one core".to_owned(),
        runs: rounds,
        columns: vec!["requests/s", "p %", "median", "99th percentile"],
        notes: vec!["each window by itself, all tests of the metric (harm and safety, against stable and the level); at most 50 hours of windows for each row".to_owned()],
        ..Report::default()
    };
    for (number, (rate, p, goal)) in ROWS.into_iter().enumerate() {
        let traffic = Traffic {
            rate,
            share: 0.2,
            p,
        };
        let mut all: Vec<f64> = (0..rounds)
            .flat_map(|hour| {
                let random = Random::new(runs.seed, 8000 + number as u64, hour);
                micros(&traffic, random)
            })
            .collect();
        all.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| all.get(all.len() * part / 100).copied().unwrap_or(0.0);
        let middle = at(50);
        if let Some(goal) = goal {
            let what = format!("a window at {rate} requests/s, median");
            report.goals.push(Goal::at_most(what, middle, goal, "µs"));
        }
        report.rows.push(vec![
            Cell::Number(rate, 0),
            Cell::Number(p * 100.0, 2),
            Cell::Number(middle, 1),
            Cell::Number(at(99), 1),
        ]);
    }
    report
}
