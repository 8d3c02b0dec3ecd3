//! What a window costs.

use std::hint::black_box;
use std::time::Instant;

use tidegate::analysis::plan::Arms;
use tidegate::analysis::rho::Window;

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

/// Microseconds for each window of a run of an hour, on one core.
fn micros(traffic: &Traffic, number: u64, runs: Runs) -> f64 {
    let shipped = hour(20);
    let mut random = Random::new(runs.seed, 8000 + number, 0);
    let mut run = begun(&shipped, traffic, &mut random, 1.0);
    let windows: Vec<Window> = (0..HOUR)
        .map(|_| traffic.window(&mut random, 1.0))
        .collect();
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    let begun = Instant::now();
    for w in &windows {
        black_box(run.judge(black_box(w), targets));
    }
    begun.elapsed().as_secs_f64() * 1e6 / HOUR as f64
}

pub fn measure(runs: Runs) -> Report {
    let rounds = usize::try_from(runs.count.min(50)).unwrap_or(50);
    let mut report = Report {
        setting: "cost",
        title: "microseconds for each window of a ratio at 20 %, one core".to_owned(),
        runs: rounds as u64,
        columns: vec!["requests/s", "p %", "least", "median"],
        notes: vec!["an hour of windows in a row, all tests of the metric; least and median over hours: what else the machine does is in them".to_owned()],
        ..Report::default()
    };
    for (number, (rate, p, goal)) in ROWS.into_iter().enumerate() {
        let traffic = Traffic {
            rate,
            share: 0.2,
            p,
        };
        let mut all: Vec<f64> = (0..rounds)
            .map(|_| micros(&traffic, number as u64, runs))
            .collect();
        all.sort_unstable_by(f64::total_cmp);
        let least = all.first().copied().unwrap_or(0.0);
        let middle = all.get(all.len() / 2).copied().unwrap_or(0.0);
        if let Some(goal) = goal {
            let what = format!("a window at {rate} requests/s, median");
            report.goals.push(Goal::at_most(what, middle, goal, "µs"));
        }
        report.rows.push(vec![
            Cell::Number(rate, 0),
            Cell::Number(p * 100.0, 2),
            Cell::Number(least, 1),
            Cell::Number(middle, 1),
        ]);
    }
    report
}
