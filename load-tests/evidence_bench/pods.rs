//! Pods that differ and have bursts: false aborts and delays where the tests know the stable pods'
//! last six hours (table 3.4).

use std::collections::BTreeMap;

use tidegate::analysis::comparison::{self, Past};
use tidegate::analysis::plan::Arms;
use tidegate::analysis::rho::Window;
use tidegate::analysis::series::{Sample, Series};

use crate::oracle::seconds;
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, with_errors};
use crate::shipped::{LEAD, RATIO, Run, Shipped, WINDOW_S};

/// How pods' ratios vary: lognormal, with 1 in the mean.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// What a pod has for ever, as a standard deviation of the logarithm.
    pub tau: f64,
    /// What comes and goes.
    pub sd: f64,
    /// How much of that stays from window to window.
    pub stays: f64,
}

/// One pod's ratio over time, as a multiple.
pub struct Pod {
    always: f64,
    now: f64,
    noise: Noise,
}

impl Pod {
    pub fn new(noise: Noise, random: &mut Random) -> Self {
        let draw = |sd: f64, random: &mut Random| if sd > 0.0 { sd * random.normal() } else { 0.0 };
        Self {
            always: draw(noise.tau, random) - noise.tau * noise.tau / 2.0,
            now: draw(noise.sd, random),
            noise,
        }
    }

    /// The multiple in the next window.
    pub fn next(&mut self, random: &mut Random) -> f64 {
        let Noise { sd, stays, .. } = self.noise;
        if sd > 0.0 {
            self.now = stays * self.now + sd * (1.0 - stays * stays).sqrt() * random.normal();
        }
        (self.always + self.now - sd * sd / 2.0).exp()
    }
}

/// A service on pods.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Requests per second of each pod.
    pub rate: f64,
    pub p: f64,
    pub noise: Noise,
}

impl Service {
    /// Requests of a pod in a window, and the bad ones, where `times` as many are bad.
    pub fn pod(&self, pod: &mut Pod, times: f64, rate: f64, random: &mut Random) -> (f64, f64) {
        let n = rate * WINDOW_S as f64;
        let p = (self.p * times * pod.next(random)).min(1.0);
        let bad = random.poisson(n * p);
        (bad + random.poisson(n * (1.0 - p)), bad)
    }

    pub fn pods(&self, count: usize, random: &mut Random) -> Vec<Pod> {
        (0..count).map(|_| Pod::new(self.noise, random)).collect()
    }

    /// Both versions' pods in a window; `rates` are those of one pod of each.
    pub fn window(
        &self,
        (canary, stable): (&mut [Pod], &mut [Pod]),
        times: f64,
        rates: Arms<f64>,
        random: &mut Random,
    ) -> Window {
        let mut sum = |pods: &mut [Pod], times: f64, rate: f64| {
            pods.iter_mut().fold((0.0, 0.0), |(n, x), pod| {
                let (more, bad) = self.pod(pod, times, rate, random);
                (n + more, x + bad)
            })
        };
        let (nc, xc) = sum(canary, times, rates.canary);
        let (ns, xs) = sum(stable, 1.0, rates.stable);
        Window { nc, xc, ns, xs }
    }

    /// The pods' past as Prometheus would tell it: their counters, at each step.
    fn past(&self, stable: &mut [Pod], past: &Past, random: &mut Random) -> Vec<Vec<Series>> {
        let moments = past.reach / past.step;
        let windows = past.step / WINDOW_S;
        let mut selected = vec![Vec::new(), Vec::new()];
        for (number, pod) in stable.iter_mut().enumerate() {
            let mut sums = [0.0, 0.0];
            let mut samples = [Vec::new(), Vec::new()];
            for k in 0..=moments {
                for _ in 0..windows {
                    let (n, x) = self.pod(pod, 1.0, self.rate, random);
                    sums = [sums[0] + n, sums[1] + x];
                }
                let at_ms = (past.until - past.reach + k * past.step) * 1000;
                for (samples, value) in samples.iter_mut().zip(sums) {
                    samples.push(Sample { at_ms, value });
                }
            }
            let labels = BTreeMap::from([("pod".to_owned(), format!("s-{number}"))]);
            for (selected, samples) in selected.iter_mut().zip(samples) {
                selected.push(Series {
                    labels: labels.clone().into(),
                    samples,
                    histograms: Vec::new(),
                });
            }
        }
        selected
    }

    /// A run that knows `hours` of the stable pods' past, and has a minute of warm-up behind it.
    pub fn begun<'a>(
        &self,
        shipped: &'a Shipped,
        (canary, stable): (&mut [Pod], &mut [Pod]),
        times: f64,
        hours: i64,
        random: &mut Random,
    ) -> Run<'a> {
        let mut run = Run::new(shipped);
        let (plan, compared) = (shipped.plan(), shipped.compared());
        let targets = |pods: &[Pod]| pods.len() as i64;
        let (new, old) = (targets(canary), targets(stable));
        let s = run.sampler();
        (s.canary_targets, s.stable_targets) = (new, old);
        if let Some(mut past) = comparison::wanted(plan, compared, s) {
            past.reach = past.reach.min(hours * 3600);
            let series = self.past(stable, &past, random);
            comparison::calibrate(compared, s, &past, &series);
        }
        let rates = Arms {
            canary: self.rate,
            stable: self.rate,
        };
        let lead: Vec<Window> = (0..LEAD)
            .map(|_| self.window((canary, stable), times, rates, random))
            .collect();
        run.lead(&lead);
        run
    }
}

/// A row of the table: noise, pods, requests, what the design found.
struct Case {
    noise: (f64, f64, f64),
    pods: (usize, usize),
    hours: i64,
    rate: f64,
    p: f64,
    design: f64,
}

const fn case(noise: (f64, f64, f64), pods: (usize, usize), hours: i64, design: f64) -> Case {
    Case {
        noise,
        pods,
        hours,
        rate: 1000.0,
        p: 0.01,
        design,
    }
}

/// The design gave a range for 10 canary pods, for 5 pods, and for the rare errors: its upper end.
const CASES: [Case; 17] = [
    case((0.0, 0.0, 0.0), (1, 20), 6, 0.3),
    case((0.0, 0.3, 0.9), (1, 20), 6, 0.3),
    case((0.0, 0.6, 0.9), (1, 20), 6, 1.3),
    case((0.0, 0.3, 0.98), (1, 20), 6, 0.9),
    case((0.1, 0.0, 0.0), (1, 20), 6, 0.6),
    case((0.2, 0.3, 0.9), (1, 20), 6, 0.4),
    case((0.0, 0.3, 0.9), (10, 20), 6, 0.8),
    case((0.0, 0.6, 0.9), (10, 20), 6, 0.8),
    case((0.2, 0.3, 0.9), (10, 20), 6, 0.8),
    Case {
        rate: 100.0,
        p: 0.001,
        ..case((0.2, 0.3, 0.9), (4, 20), 6, 0.5)
    },
    case((0.0, 0.3, 0.9), (1, 5), 6, 2.6),
    case((0.0, 0.6, 0.9), (1, 5), 6, 2.6),
    case((0.0, 0.3, 0.98), (1, 5), 6, 2.6),
    case((0.1, 0.0, 0.0), (1, 5), 6, 2.6),
    case((0.2, 0.3, 0.9), (1, 5), 6, 2.6),
    case((0.0, 0.3, 0.9), (1, 5), 1, 2.8),
    case((0.2, 0.3, 0.9), (1, 5), 1, 2.8),
];

/// Windows of an hour.
const HOUR: usize = 240;

fn plan(case: &Case) -> Shipped {
    let (new, old) = (case.pods.0 as f64, case.pods.1 as f64);
    let weight = (100.0 * new / (new + old)).round().max(1.0);
    Shipped::new(RATIO, &[(weight as i32, 3600)], 100)
}

fn one(shipped: &Shipped, case: &Case, times: f64, random: &mut Random) -> Option<f64> {
    let (new, old) = case.pods;
    let service = Service {
        rate: case.rate / (new + old) as f64,
        p: case.p,
        noise: Noise {
            tau: case.noise.0,
            sd: case.noise.1,
            stays: case.noise.2,
        },
    };
    let (mut canary, mut stable) = (service.pods(new, random), service.pods(old, random));
    let both = (canary.as_mut_slice(), stable.as_mut_slice());
    let mut run = service.begun(shipped, both, times, case.hours, random);
    let targets = Arms {
        canary: new as i64,
        stable: old as i64,
    };
    let rates = Arms {
        canary: service.rate,
        stable: service.rate,
    };
    let at = (1..=HOUR).find(|_| {
        let both = (canary.as_mut_slice(), stable.as_mut_slice());
        let w = service.window(both, times, rates, random);
        run.judge(&w, targets)
    });
    at.map(seconds)
}

pub fn measure(runs: Runs) -> Report {
    // Power needs fewer runs than a rate of one in a hundred.
    let fewer = runs.part(5, 200);
    let mut report = Report {
        setting: "pods",
        title: "pods that differ and have bursts, an hour".to_owned(),
        runs: runs.count,
        columns: vec![
            "tau / sd / stays",
            "new, old pods",
            "known h",
            "requests/s, p %",
            "false aborts %",
            "design %",
            "2x found %",
            "2x median s",
            "4x found %",
            "4x median s",
        ],
        notes: vec![
            format!("columns 2x and 4x: {} runs each", fewer.count),
            "errors follow each pod's own ratio, lognormal and AR(1) over windows; the new pods draw from the same law".to_owned(),
        ],
        ..Report::default()
    };
    let (mut many, mut few, mut short) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (number, case) in CASES.iter().enumerate() {
        let of = |runs: Runs, row: u64, times: f64| {
            runs.of(
                4000 + 10 * number as u64 + row,
                || plan(case),
                |shipped, mut random| one(shipped, case, times, &mut random),
            )
        };
        let none = found(&of(runs, 0, 1.0)) * 100.0;
        let (double, fourfold) = (of(fewer, 1, 2.0), of(fewer, 2, 4.0));
        let largest = match (case.pods.1, case.hours) {
            (20.., _) => &mut many,
            (_, 6..) => &mut few,
            _ => &mut short,
        };
        *largest = largest.max(none);
        let (tau, sd, stays) = case.noise;
        report.rows.push(vec![
            Cell::text(format!("{tau} / {sd} / {stays}")),
            Cell::text(format!("{}, {}", case.pods.0, case.pods.1)),
            Cell::Number(case.hours as f64, 0),
            Cell::text(format!("{}, {}", case.rate, case.p * 100.0)),
            Cell::Number(none, 2),
            Cell::Number(case.design, 1),
            Cell::percent(found(&double)),
            Cell::seconds(median(&double)),
            Cell::percent(found(&fourfold)),
            Cell::seconds(median(&fourfold)),
        ]);
    }
    let count = usize::try_from(runs.count).unwrap_or(usize::MAX);
    let goal = |what: &str, largest: f64, percent: f64| {
        Goal::at_most(what, largest, with_errors(percent, count), "%")
    };
    report.goals = vec![
        goal(
            "false aborts, 20 pods and six hours, the largest",
            many,
            2.0,
        ),
        goal("false aborts, 5 pods and six hours, the largest", few, 3.0),
    ];
    report.notes.push(format!(
        "5 pods with one hour known: {short:.2} % at most; no goal is set for it"
    ));
    report
}
