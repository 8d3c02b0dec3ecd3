//! How long a regression that is there from the start goes on before it is found, beside the test
//! that knows it (table 3.2).

use tidegate::analysis::effects::{self, Grid};
use tidegate::analysis::level::{Against, Law};
use tidegate::analysis::plan::Arms;
use tidegate::analysis::rho::{Bets, Window};
use tidegate::analysis::schedule::Schedule;
use tidegate::api::analysis_status::Masses;

use crate::null::{HOUR, RATES, WEIGHTS, begun, hour};
use crate::oracle::{ALPHA, Oracle, seconds, wald_seconds};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median};
use crate::shipped::{Run, Shipped, WINDOW_S};
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

/// The test against the level as it could be: it bets on what the planned requests can just show,
/// as the comparison does, instead of five fixed effects.
struct Tuned {
    grid: Grid,
    stakes: Schedule,
    alpha: f64,
    state: Masses,
}

impl Tuned {
    fn new(alpha: f64, requests: f64, p: f64) -> Self {
        // Next to a version with that much traffic the level is as good as known.
        let grid = effects::grid_for(&[(requests, 1e6)], p, alpha);
        let stakes = Schedule::new([3600], WINDOW_S);
        Self {
            grid,
            stakes,
            alpha,
            state: Masses::default(),
        }
    }

    /// Says whether it is sure, of a level that was known before the window.
    fn judge(&mut self, w: &Window, level: f64) -> bool {
        let bets = Bets {
            deltas: &self.grid.deltas,
            weights: &self.grid.weights,
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
        let stake = self.stakes.gamma(self.state.windows);
        let e = bets.step_level(&mut self.state, stake, w.nc, w.xc, against);
        e * self.alpha >= 1.0 - 1e-9
    }
}

/// When the shipped test was sure, in windows, and when its parts were.
#[derive(Debug, Default, Clone, Copy)]
struct Times {
    shipped: Option<f64>,
    /// The comparison with stable alone.
    stable: Option<f64>,
    /// The level alone.
    level: Option<f64>,
    /// The level alone, with better bets.
    tuned: Option<f64>,
}

impl Times {
    fn note(&mut self, run: &mut Run<'_>, tuned: &mut Tuned, w: &Window, at: f64) {
        if self.known() {
            return;
        }
        let level = run.stable_ratio().upper;
        if tuned.judge(w, level) {
            self.tuned.get_or_insert(at);
        }
        let targets = Arms {
            canary: 1,
            stable: 1,
        };
        if run.judge(w, targets) {
            self.shipped.get_or_insert(at);
        }
        let parts = run.parts();
        if parts.stable {
            self.stable.get_or_insert(at);
        }
        if parts.canary {
            self.level.get_or_insert(at);
        }
    }

    fn known(&self) -> bool {
        let parts = self.stable.and(self.level).and(self.tuned);
        self.shipped.and(parts).is_some()
    }

    /// The same with the better bets against the level.
    fn tuned(&self) -> Option<f64> {
        self.stable.zip(self.tuned).map(|(a, b)| a.max(b))
    }

    /// When each of the parts had been sure once, not necessarily in the same window.
    fn once(&self) -> Option<f64> {
        self.stable.zip(self.level).map(|(a, b)| a.max(b))
    }
}

/// What came of a run, in seconds after the first judged window began.
#[derive(Debug, Default, Clone, Copy)]
struct Found {
    oracle: Option<f64>,
    shipped: Times,
    /// The same tests, had they known the half hour before and the plan's requests.
    knowing: Times,
}

/// Two runs of the same windows, and the oracle.
fn one(shipped: &Shipped, traffic: &Traffic, times: f64, random: &mut Random) -> Found {
    let mut run = begun(shipped, traffic, random, times);
    let mut knowing = Run::new(shipped);
    let plan = [(traffic.canary() * 3600.0, traffic.kappa())];
    knowing.know(&traffic.mean(), traffic.p, &plan);
    let mut oracle = Oracle::new(times);
    let tuned = || Tuned::new(shipped.alpha_main(), traffic.canary() * 3600.0, traffic.p);
    let (mut tuned, mut tuned_knowing) = (tuned(), tuned());
    let mut all = Found::default();
    for k in 1..=HOUR {
        let w = traffic.window(random, times);
        let at = seconds(k);
        if all.oracle.is_none() && oracle.judge(&w) {
            all.oracle = Some(at);
        }
        all.shipped.note(&mut run, &mut tuned, &w, at);
        all.knowing.note(&mut knowing, &mut tuned_knowing, &w, at);
        if all.oracle.is_some() && all.shipped.known() && all.knowing.known() {
            break;
        }
    }
    all
}

/// A way to decide, and what it is called.
type Way = (&'static str, fn(&Found) -> Option<f64>);

/// The shipped one first; the others are to see what it pays for what.
const WAYS: [Way; 8] = [
    ("as shipped", |f| f.shipped.shipped),
    ("sure once", |f| f.shipped.once()),
    ("better bets", |f| f.shipped.tuned()),
    ("stable alone", |f| f.shipped.stable),
    ("knowing", |f| f.knowing.shipped),
    ("knowing, sure once", |f| f.knowing.once()),
    ("knowing, better bets", |f| f.knowing.tuned()),
    ("knowing, stable alone", |f| f.knowing.stable),
];

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
    let of = |which: fn(&Found) -> Option<f64>| all.iter().map(which).collect::<Vec<_>>();
    let oracle = median(&of(|f| f.oracle));
    let ways = WAYS.map(|(_, way)| median(&of(way)));
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
        Cell::percent(found(&of(WAYS[0].1))),
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
            "main test at {:.2} %, oracle and Wald at {:.2} %; delays count from the end of the warm-up, of which the shipped test only knows the traffic",
            hour(5).alpha_main() * 100.0,
            ALPHA * 100.0
        ),
        "knowing: the same with half an hour of the stable version before and effects made of its true ratio, as in the design".to_owned(),
        "stable alone: the comparison without the level; sure once: both parts, not necessarily in the same window; better bets: the same, and the level is bet on with effects made of the plan".to_owned(),
    ];
    let named = WAYS.iter().enumerate();
    notes.extend(named.map(|(way, (name, _))| Beside::of(&rows, way).note(name)));
    let mut columns = vec![
        "change, requests, weight",
        "Wald",
        "oracle",
        "shipped",
        "found %",
    ];
    columns.extend(WAYS.map(|w| w.0));
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
