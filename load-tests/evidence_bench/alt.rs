//! How long a regression that is there from the start goes on before it is found, beside the test
//! that knows it (table 3.2).

use tidegate::analysis::effects::{self, Grid};
use tidegate::analysis::level::{Against, Law};
use tidegate::analysis::plan::Arms;
use tidegate::analysis::rho::{Bets, Boost, Window};
use tidegate::analysis::schedule::Schedule;
use tidegate::api::analysis_status::Masses;

use crate::null::{HOUR, RATES, WEIGHTS, both, hour};
use crate::oracle::{ALPHA, Oracle, seconds, wald_seconds};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median};
use crate::shipped::{Shipped, WINDOW_S};
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

/// Stakes as they were: half at the start, and the rest on every fourth window of the hour.
fn half_at_the_start(k: i64) -> f64 {
    match k {
        0 => 0.5,
        k if k < HOUR as i64 && k % 4 == 0 => 0.45 / 59.0,
        _ => 0.0,
    }
}

/// Stakes as they are.
fn shipped_stakes(k: i64) -> f64 {
    Schedule::new([3600], WINDOW_S).gamma(k)
}

/// The comparison with stable by other bets than the shipped ones.
struct Compared {
    grid: Grid,
    stakes: fn(i64) -> f64,
    alpha: f64,
    state: Masses,
    sure: bool,
}

impl Compared {
    fn new(grid: Grid, stakes: fn(i64) -> f64, alpha: f64) -> Self {
        Self {
            grid,
            stakes,
            alpha,
            state: Masses::default(),
            sure: false,
        }
    }

    fn judge(&mut self, w: &Window) -> bool {
        let bets = Bets {
            deltas: &self.grid.deltas,
            weights: &self.grid.weights,
            alpha: self.alpha,
        };
        if self.state.bets.is_empty() {
            self.state = bets.begin();
        }
        let stake = (self.stakes)(self.state.windows);
        let e = bets.step(&mut self.state, stake, w, 1.0, 1.0, Boost::On);
        self.sure = e * self.alpha >= 1.0 - 1e-9;
        self.sure
    }
}

/// The test against the level as it was: five fixed effects of equal weight.
struct Level {
    alpha: f64,
    state: Masses,
}

impl Level {
    /// Says whether it is sure, of a level that was known before the window.
    fn judge(&mut self, w: &Window, level: f64) -> bool {
        let grid = Grid::uniform(&effects::LEVEL);
        let bets = Bets {
            deltas: &grid.deltas,
            weights: &grid.weights,
            alpha: self.alpha,
        };
        if self.state.bets.is_empty() {
            self.state = bets.begin();
        }
        let against = Against {
            level,
            law: Law::Bernoulli,
            phi: 1.0,
        };
        let stake = half_at_the_start(self.state.windows);
        let e = bets.step_level(&mut self.state, stake, w.nc, w.xc, against);
        e * self.alpha >= 1.0 - 1e-9
    }
}

/// In how many ways it is decided, the oracle's first.
const DECIDERS: usize = 1 + WAYS.len();
/// The shipped one first; the others are to see what is gained by what.
const WAYS: [&str; 6] = [
    "as shipped",
    "nothing known",
    "with the level",
    "coarser effects",
    "half at the start",
    "as it was",
];

/// When each was sure, in seconds after the first judged window began.
type Found = [Option<f64>; DECIDERS];

/// The same windows for all of them.
fn one(shipped: &Shipped, traffic: &Traffic, times: f64, random: &mut Random) -> Found {
    let [mut knowing, mut new] = both(shipped, traffic, random, times);
    let alpha = shipped.alpha_main();
    let plan = [(traffic.canary() * 3600.0, traffic.kappa())];
    let (known, guessed) = (knowing.stable_ratio().estimate, new.stable_ratio().estimate);
    let coarse = |p: f64| effects::grid_for(&plan, p, alpha);
    let mut coarser = Compared::new(coarse(known), shipped_stakes, alpha);
    let fine = effects::looked_for(&plan, known, alpha);
    let mut half = Compared::new(fine, half_at_the_start, alpha);
    let mut before = Compared::new(coarse(guessed), half_at_the_start, alpha);
    let [mut level, mut level_before] = [0, 1].map(|_| Level {
        alpha,
        state: Masses::default(),
    });
    let mut oracle = Oracle::new(times);
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    let mut all = [None; DECIDERS];
    for k in 1..=HOUR {
        let w = traffic.window(random, times);
        let (known, guessed) = (knowing.stable_ratio().upper, new.stable_ratio().upper);
        let knows = knowing.judge(&w, targets);
        let level = level.judge(&w, known);
        let level_before = level_before.judge(&w, guessed);
        let sure = [
            oracle.judge(&w),
            knows,
            new.judge(&w, targets),
            knows && level,
            coarser.judge(&w),
            half.judge(&w),
            before.judge(&w) && level_before,
        ];
        for (at, _) in all.iter_mut().zip(sure).filter(|(_, sure)| *sure) {
            at.get_or_insert(seconds(k));
        }
        if all.iter().all(Option::is_some) {
            break;
        }
    }
    all
}

/// One row of the table with what the goals need.
struct Row {
    cells: Vec<Cell>,
    name: String,
    oracle: Option<f64>,
    ways: [Option<f64>; WAYS.len()],
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
    let of = |which: usize| -> Vec<Option<f64>> {
        let each = all.iter().map(|found| found.get(which).copied().flatten());
        each.collect()
    };
    let oracle = median(&of(0));
    let ways = std::array::from_fn(|way| median(&of(way + 1)));
    let times_oracle = |way: &Option<f64>| Cell::ratio(way.zip(oracle).map(|(w, o)| w / o));
    let wald = wald_seconds(ALPHA, p, traffic.canary(), traffic.kappa(), times, 1.0);
    let design = DESIGN.iter().find(|d| {
        let same = [d.0 - p, d.1 - times, d.2 - rate];
        same.iter().all(|d| d.abs() < 1e-9) && d.3 == weight
    });
    let (from, to) = (p * 100.0, p * times * 100.0);
    let name = format!("{from} -> {to} %, {rate}/s, {weight} %");
    let mut cells = vec![
        Cell::text(name.clone()),
        Cell::Number(wald, 0),
        Cell::seconds(oracle),
        Cell::seconds(ways[0]),
        Cell::percent(found(&of(1))),
    ];
    cells.extend(ways.iter().map(times_oracle));
    cells.push(Cell::seconds(design.map(|d| d.4)));
    Row {
        cells,
        name,
        oracle,
        ways,
    }
}

/// How a way compares with the oracle over all rows.
struct Beside {
    /// Multiples where the oracle needs a minute or more, ascending.
    times: Vec<(f64, String)>,
    /// Seconds beside it elsewhere.
    more: Vec<(f64, String)>,
}

impl Beside {
    fn of(rows: &[Row], way: usize) -> Self {
        let (mut times, mut more) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(oracle) = row.oracle else { continue };
            let ours = row.ways.get(way).copied().flatten();
            // What may take longer than the hour that was looked at is no miss.
            let within = oracle * TIMES_MAX <= seconds(HOUR);
            let Some(ours) = ours.or(within.then_some(f64::INFINITY)) else {
                continue;
            };
            if oracle >= LONG_S {
                times.push((ours / oracle, row.name.clone()));
            } else {
                more.push((ours - oracle, row.name.clone()));
            }
        }
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        more.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { times, more }
    }

    fn middle(&self) -> f64 {
        self.times.get(self.times.len() / 2).map_or(0.0, |t| t.0)
    }

    fn goals(&self) -> Vec<Goal> {
        let last = |all: &[(f64, String)]| all.last().cloned().unwrap_or_default();
        let ((worst, at), (most, most_at)) = (last(&self.times), last(&self.more));
        let (long, short) = (self.times.len(), self.more.len());
        let middle = format!(
            "median delay as a multiple of the oracle's, the median of {long} settings where that is {LONG_S} s or more"
        );
        vec![
            Goal::at_most(middle, self.middle(), TIMES_MEDIAN, "times"),
            Goal::at_most(
                format!("the largest of them ({at})"),
                worst,
                TIMES_MAX,
                "times",
            ),
            Goal::at_most(
                format!("seconds beside the oracle, the most of {short} others ({most_at})"),
                most,
                MORE_MAX_S,
                "s",
            ),
        ]
    }

    fn note(&self, name: &str) -> String {
        let beyond = self.times.iter().filter(|t| t.0 > TIMES_MAX).count();
        let largest = self.times.last().map_or(0.0, |t| t.0);
        let (long, most) = (self.times.len(), self.more.last().map_or(0.0, |m| m.0));
        format!(
            "{name}: {:.2} times the oracle in the median of {long} settings, {largest:.2} at most, more than {TIMES_MAX} in {beyond}; elsewhere {most:.0} s beside it at most",
            self.middle()
        )
    }
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
    let mut notes = vec![
        format!(
            "main test at {:.2} %, oracle and Wald at {:.2} %; delays count from the end of the warm-up",
            hour(5).alpha_main() * 100.0,
            ALPHA * 100.0
        ),
        "as shipped: six hours of the stable version are known; nothing known: only the warm-up; the others are as shipped but for what they are called by; as it was: with the level, nothing known, coarser effects, half at the start".to_owned(),
    ];
    let named = WAYS.iter().enumerate();
    notes.extend(named.map(|(way, name)| Beside::of(&rows, way).note(name)));
    let mut columns = vec![
        "change, requests, weight",
        "Wald",
        "oracle",
        "shipped",
        "found %",
    ];
    columns.extend(WAYS);
    columns.push("design");
    Report {
        setting: "alt",
        title: "median delay of a regression from the start, an hour, seconds; and as multiples of the oracle's".to_owned(),
        runs: runs.count,
        columns,
        goals: Beside::of(&rows, 0).goals(),
        rows: rows.into_iter().map(|r| r.cells).collect(),
        notes,
        seconds: 0.0,
    }
}
