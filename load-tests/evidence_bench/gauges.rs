//! Levels such as memory, whose values of one pod hang together over time (table 3.6).

use tidegate::analysis::comparison::{self, Past};
use tidegate::analysis::plan::Arms;
use tidegate::analysis::scrapes::Observed;
use tidegate::analysis::series::{Sample, Series};

use crate::null::HOUR;
use crate::oracle::seconds;
use crate::parallel::Runs;
use crate::pods::{Noise, Pod};
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, with_errors};
use crate::shipped::{Run, Shipped};

const METRIC: &str = "gauge: {query: 'memory{$(arm)}'}, tolerate: {relative: 0%}";

/// Noise of each pod, how many stable pods; what the design found with no difference in percent, and
/// with 10 and 34 % more in seconds.
type Case = ((f64, f64, f64), usize, [Option<f64>; 3]);

const CASES: [Case; 6] = [
    ((0.0, 0.1, 0.0), 10, [Some(0.4), Some(255.0), Some(30.0)]),
    ((0.0, 0.1, 0.8), 10, [Some(0.2), Some(1912.0), Some(225.0)]),
    ((0.0, 0.1, 0.95), 10, [Some(0.3), None, Some(735.0)]),
    ((0.0, 0.1, 0.99), 10, [Some(0.8), None, Some(1507.0)]),
    ((0.1, 0.1, 0.8), 10, [Some(0.3), None, None]),
    ((0.1, 0.1, 0.8), 4, [Some(2.3), None, None]),
];

/// The stable pods' past, at each step.
fn past(stable: &mut [Pod], past: &Past, random: &mut Random) -> Vec<Vec<Series>> {
    let moments = past.reach / past.step;
    let series = stable.iter_mut().enumerate().map(|(number, pod)| {
        let samples = (1..=moments).map(|k| Sample {
            at_ms: (past.until - past.reach + k * past.step) * 1000,
            value: pod.next(random),
        });
        Series {
            samples: samples.collect(),
            labels: [("pod".to_owned(), format!("s-{number}"))].into(),
            histograms: Vec::new(),
        }
    });
    vec![series.collect()]
}

fn one(shipped: &Shipped, case: &Case, times: f64, random: &mut Random) -> Option<f64> {
    let ((tau, sd, stays), pods, _) = *case;
    let noise = Noise { tau, sd, stays };
    let mut stable: Vec<Pod> = (0..pods).map(|_| Pod::new(noise, random)).collect();
    let mut canary = Pod::new(noise, random);
    let targets = Arms {
        canary: 1,
        stable: pods as i64,
    };
    let mut run = Run::new(shipped);
    let s = run.sampler();
    (s.canary_targets, s.stable_targets) = (targets.canary, targets.stable);
    if let Some(asked) = comparison::wanted(shipped.plan(), shipped.compared(), s) {
        let series = past(&mut stable, &asked, random);
        comparison::calibrate(shipped.compared(), s, &asked, &series);
    }
    let at = (1..=HOUR).find(|_| {
        let sum: f64 = stable.iter_mut().map(|pod| pod.next(random)).sum();
        let observed = Observed(Arms {
            canary: vec![1.0, times * canary.next(random)],
            stable: vec![pods as f64, sum],
        });
        run.observe(&observed, targets)
    });
    at.map(seconds)
}

pub fn measure(runs: Runs) -> Report {
    let fewer = runs.part(4, 200);
    let mut report = Report {
        setting: "gauges",
        title: "a level of one new pod against the stable ones, an hour".to_owned(),
        runs: runs.count,
        columns: vec![
            "tau / sd / stays",
            "stable pods",
            "false aborts %",
            "design %",
            "+10 % found %",
            "+10 % median s",
            "design s",
            "+34 % found %",
            "+34 % median s",
            "design s (+34 %)",
        ],
        notes: vec![format!(
            "nothing is tolerated; six hours of the stable pods are known; +10 and +34 %: {} runs each",
            fewer.count
        )],
        ..Report::default()
    };
    let (mut many, mut few) = (0.0_f64, 0.0_f64);
    for (number, case) in CASES.iter().enumerate() {
        let of = |runs: Runs, row: u64, times: f64| {
            runs.of(
                6000 + 10 * number as u64 + row,
                || Shipped::new(METRIC, &[(10, 3600)], 100),
                |shipped, mut random| one(shipped, case, times, &mut random),
            )
        };
        let none = found(&of(runs, 0, 1.0)) * 100.0;
        let (slightly, much) = (of(fewer, 1, 1.1), of(fewer, 2, 1.34));
        let ((tau, sd, stays), pods, design) = *case;
        let largest = if pods >= 10 { &mut many } else { &mut few };
        *largest = largest.max(none);
        report.rows.push(vec![
            Cell::text(format!("{tau} / {sd} / {stays}")),
            Cell::Number(pods as f64, 0),
            Cell::Number(none, 2),
            design[0].map_or(Cell::Nothing, |d| Cell::Number(d, 1)),
            Cell::percent(found(&slightly)),
            Cell::seconds(median(&slightly)),
            Cell::seconds(design[1]),
            Cell::percent(found(&much)),
            Cell::seconds(median(&much)),
            Cell::seconds(design[2]),
        ]);
    }
    let count = usize::try_from(runs.count).unwrap_or(usize::MAX);
    for (what, largest, percent) in [
        ("false aborts with 10 stable pods, the largest", many, 2.0),
        ("false aborts with 4 stable pods", few, 3.0),
    ] {
        let goal = Goal::at_most(what, largest, with_errors(percent, count), "%");
        report.goals.push(goal);
    }
    report
}
