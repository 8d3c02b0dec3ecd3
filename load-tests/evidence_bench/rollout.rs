//! Whole rollouts: 5, 20, 50 and 100 %, at least five minutes each, with the pods that belong to it
//! (table 3.7, end to end).

use tidegate::analysis::plan::Arms;
use tidegate::analysis::rho::Window;

use crate::oracle::seconds;
use crate::parallel::Runs;
use crate::pods::{Noise, Pod, Service};
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, share, with_errors};
use crate::shipped::{LEAD, RATIO, Run, Shipped};

const RATE: f64 = 200.0;
const P: f64 = 0.005;
const STABLE: usize = 20;
/// Weight, the new version's pods at it, the weight that comes next.
const STEPS: [(i32, usize, i32); 3] = [(5, 1, 20), (20, 4, 50), (50, 10, 100)];
/// Five minutes in windows.
const BAKE: usize = 20;
/// What is not decided after two hours stays so.
const WINDOWS_MAX: usize = 480;
const CLEAN: Noise = Noise {
    tau: 0.0,
    sd: 0.0,
    stays: 0.0,
};
const NOISY: Noise = Noise {
    tau: 0.1,
    sd: 0.3,
    stays: 0.9,
};

/// How many times as many bad ones; the design's aborts in percent, seconds and excess errors, clean
/// and noisy.
type Row = (f64, [Option<[f64; 3]>; 2]);

const ROWS: [Row; 5] = [
    (1.0, [None, None]),
    (
        1.5,
        [Some([99.8, 570.0, 43.0]), Some([64.0, 1065.0, 132.0])],
    ),
    (
        2.0,
        [Some([100.0, 345.0, 21.0]), Some([100.0, 712.0, 68.0])],
    ),
    (5.0, [Some([100.0, 45.0, 10.0]), Some([100.0, 120.0, 25.0])]),
    (50.0, [Some([100.0, 15.0, 37.0]), Some([100.0, 15.0, 36.0])]),
];

/// The plans: of the whole rollout, which watches for harm, and of each step, which asks whether it
/// is good enough for the next.
struct Plans {
    whole: Shipped,
    steps: Vec<Shipped>,
}

impl Plans {
    fn new() -> Self {
        let steps = STEPS.map(|(weight, ..)| (weight, 300));
        Self {
            whole: Shipped::new(RATIO, &steps, 100),
            steps: STEPS
                .iter()
                .map(|(weight, _, next)| Shipped::new(RATIO, &[(*weight, 300)], *next))
                .collect(),
        }
    }
}

/// How a rollout ended.
#[derive(Debug, Default, Clone, Copy)]
struct Ended {
    aborted: Option<f64>,
    promoted: Option<f64>,
    /// Bad ones beyond those that the stable version would have had.
    excess: f64,
}

/// Both versions' pods with the requests of each.
struct Pods {
    service: Service,
    canary: Vec<Pod>,
    stable: Vec<Pod>,
}

impl Pods {
    fn window(&mut self, step: usize, times: f64, random: &mut Random) -> (Window, Arms<i64>) {
        let (weight, count, _) = STEPS.get(step).copied().unwrap_or((50, 10, 100));
        let share = f64::from(weight) / 100.0;
        let rates = Arms {
            canary: RATE * share / count as f64,
            stable: RATE * (1.0 - share) / STABLE as f64,
        };
        let new = self.canary.get_mut(..count).unwrap_or_default();
        let window = self
            .service
            .window((new, &mut self.stable), times, rates, random);
        let targets = Arms {
            canary: count as i64,
            stable: STABLE as i64,
        };
        (window, targets)
    }
}

fn one(plans: &Plans, noise: Noise, times: f64, random: &mut Random) -> Ended {
    let service = Service {
        rate: RATE / STABLE as f64,
        p: P,
        noise,
    };
    let mut pods = Pods {
        service,
        canary: service.pods(10, random),
        stable: service.pods(STABLE, random),
    };
    let mut whole = {
        let first = pods.canary.get_mut(..1).unwrap_or_default();
        service.begun(&plans.whole, (first, &mut pods.stable), times, 6, random)
    };
    let calibration = whole.sampler().calibration.clone();
    let mut last: Vec<Window> = Vec::new();
    let mut ended = Ended::default();
    let mut windows = 0;
    for (number, shipped) in plans.steps.iter().enumerate() {
        let mut step = Run::new(shipped);
        step.sampler().calibration.clone_from(&calibration);
        step.lead(&last);
        for k in 1.. {
            let (w, targets) = pods.window(number, times, random);
            windows += 1;
            ended.excess += w.xc - w.nc * P;
            if whole.judge(&w, targets) {
                ended.aborted = Some(seconds(windows));
                return ended;
            }
            step.judge(&w, targets);
            last.push(w);
            last.drain(
                ..last
                    .len()
                    .saturating_sub(usize::try_from(LEAD).unwrap_or(4)),
            );
            if k >= BAKE && step.safe() {
                break;
            }
            if windows >= WINDOWS_MAX {
                return ended;
            }
        }
    }
    ended.promoted = Some(seconds(windows));
    ended
}

fn of(ended: &[Ended], which: fn(&Ended) -> Option<f64>) -> Vec<Option<f64>> {
    ended.iter().map(which).collect()
}

pub fn measure(runs: Runs) -> Report {
    let fewer = runs.part(4, 200);
    let mut report = Report {
        setting: "rollout",
        title: "200 requests/s, p = 0.5 %, 5, 20, 50, 100 %, at least five minutes each".to_owned(),
        runs: runs.count,
        columns: vec![
            "times",
            "pods",
            "aborted %",
            "median s",
            "excess errors",
            "promoted %",
            "promoted, median s",
            "undecided %",
            "design %",
            "design s",
            "design excess",
        ],
        notes: vec![
            format!("rows with a difference: {} runs; a step goes on when it had five minutes and its evidence shows the next weight safe; undecided: two hours were not enough", fewer.count),
            "noisy: tau 0.1, sd 0.3, AR 0.9; six hours of 20 pods are known; no warm-up and no gross test, as in the design".to_owned(),
        ],
        ..Report::default()
    };
    for (number, (times, design)) in ROWS.into_iter().enumerate() {
        for (kind, (noise, name)) in [(CLEAN, "clean"), (NOISY, "noisy")].into_iter().enumerate() {
            let runs = if times > 1.0 { fewer } else { runs };
            let row = 7000 + 10 * number as u64 + kind as u64;
            let all = runs.of(row, Plans::new, |plans, mut random| {
                one(plans, noise, times, &mut random)
            });
            let (aborted, promoted) = (of(&all, |e| e.aborted), of(&all, |e| e.promoted));
            let undecided: Vec<bool> = all
                .iter()
                .map(|e| e.aborted.or(e.promoted).is_none())
                .collect();
            let found_after: Vec<_> = aborted.iter().filter(|a| a.is_some()).copied().collect();
            let done_after: Vec<_> = promoted.iter().filter(|a| a.is_some()).copied().collect();
            let excess = all.iter().map(|e| e.excess).sum::<f64>() / all.len().max(1) as f64;
            let design = design.get(kind).copied().flatten();
            let designed = |i: usize| {
                design
                    .and_then(|d| d.get(i).copied())
                    .map_or(Cell::Nothing, |d| Cell::Number(d, 0))
            };
            let count = usize::try_from(runs.count).unwrap_or(usize::MAX);
            if number == 0 {
                let (percent, what) = if kind == 0 {
                    (1.0, "false aborts of whole rollouts, clean")
                } else {
                    (2.0, "false aborts of whole rollouts, noisy pods")
                };
                let measured = found(&aborted) * 100.0;
                let goal = Goal::at_most(what, measured, with_errors(percent, count), "%");
                report.goals.push(goal);
            }
            if number == ROWS.len() - 1 {
                let middle = median(&aborted).unwrap_or(f64::INFINITY);
                let what = format!("50 times as many errors, {name}: median");
                report.goals.push(Goal::at_most(what, middle, 15.0, "s"));
                let what = format!("50 times as many errors, {name}: excess errors");
                // About 37: what the first window has, and one more in a few runs.
                report
                    .goals
                    .push(Goal::at_most(what, excess, 39.0, "errors"));
            }
            report.rows.push(vec![
                Cell::Number(times, 1),
                Cell::text(name),
                Cell::percent(found(&aborted)),
                Cell::seconds(median(&found_after)),
                Cell::Number(excess, 1),
                Cell::percent(found(&promoted)),
                Cell::seconds(median(&done_after)),
                Cell::percent(share(&undecided)),
                designed(0),
                designed(1),
                designed(2),
            ]);
        }
    }
    report
}
