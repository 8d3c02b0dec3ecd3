//! Three steps of ten minutes, 5, 20 and 50 %: regressions from the start, and ones that begin after
//! a quarter of an hour of good behaviour (table 3.3).

use tidegate::analysis::rho::Window;

use crate::null::{both, found_in};
use crate::oracle::{Oracle, seconds};
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, share, with_errors};
use crate::shipped::{RATIO, Shipped, WINDOW_S};
use crate::traffic::Traffic;

const STEPS: [(i32, i64); 3] = [(5, 600), (20, 600), (50, 600)];
const STEP_WINDOWS: usize = 40;
const WINDOWS: usize = 120;
/// A late regression begins with this window: after a quarter of an hour.
const LATE: usize = 60;
const RATE: f64 = 100.0;
const P: f64 = 0.01;

/// A regression: how many times as many bad ones, from which window on; what the design found in
/// percent and seconds.
struct Case {
    times: f64,
    from: usize,
    design: (Option<f64>, Option<f64>),
}

fn traffic(window: usize) -> Traffic {
    let step = STEPS.get(window / STEP_WINDOWS).map_or(50, |s| s.0);
    Traffic {
        rate: RATE,
        share: f64::from(step) / 100.0,
        p: P,
    }
}

/// When harm was shown, in windows: by the test that knows the ratio and when it begins, by the shipped
/// one that knows six hours of the stable version, and by the one that does not.
fn one(shipped: &Shipped, case: &Case, random: &mut Random) -> [Option<usize>; 3] {
    let times = |k: usize| if k >= case.from { case.times } else { 1.0 };
    let mut runs = both(shipped, &traffic(0), random, times(0));
    let windows: Vec<Window> = (0..WINDOWS)
        .map(|k| traffic(k).window(random, times(k)))
        .collect();
    let mut oracle = Oracle::new(case.times);
    let late = windows.iter().enumerate().skip(case.from);
    let best = late
        .filter(|_| case.times > 1.0)
        .find(|(_, w)| oracle.judge(w));
    let [knowing, new] = found_in(&mut runs, WINDOWS, |k| {
        windows.get(k).copied().unwrap_or_default()
    });
    [best.map(|(k, _)| k), knowing, new]
}

/// Share of the runs that were aborted too soon, and the delays of the others.
struct Outcome {
    soon: f64,
    delays: Vec<Option<f64>>,
}

impl Outcome {
    fn of(case: &Case, all: impl Iterator<Item = Option<usize>> + Clone) -> Self {
        let too_soon = |k: &Option<usize>| k.is_some_and(|k| k < case.from);
        let soon: Vec<bool> = all.clone().map(|k| too_soon(&k)).collect();
        let delay = |k: usize| seconds(k + 1 - case.from);
        let later = all.map(|k| k.filter(|k| *k >= case.from));
        Self {
            soon: share(&soon),
            delays: later.map(|k| k.map(delay)).collect(),
        }
    }
}

/// A row of the table; says what was found in percent.
fn row(runs: Runs, number: u64, case: &Case, report: &mut Report) -> (f64, Option<f64>) {
    let all = runs.of(
        number,
        || Shipped::new(RATIO, &STEPS, 100),
        |shipped, mut random| one(shipped, case, &mut random),
    );
    let [oracle, ours, new] = [0, 1, 2].map(|which: usize| {
        let each = all.iter();
        Outcome::of(case, each.map(|a| a.get(which).copied().flatten()))
    });
    let from = case.from as i64 * WINDOW_S / 60;
    report.rows.push(vec![
        Cell::Number(case.times, 1),
        Cell::Number(from as f64, 0),
        Cell::percent(ours.soon),
        Cell::percent(found(&ours.delays)),
        Cell::seconds(median(&ours.delays)),
        Cell::percent(found(&new.delays)),
        Cell::seconds(median(&new.delays)),
        Cell::percent(found(&oracle.delays)),
        Cell::seconds(median(&oracle.delays)),
        case.design.0.map_or(Cell::Nothing, |d| Cell::Number(d, 1)),
        Cell::seconds(case.design.1),
    ]);
    (found(&ours.delays) * 100.0, median(&ours.delays))
}

fn begin(setting: &'static str, title: &str, runs: Runs) -> Report {
    Report {
        setting,
        title: title.to_owned(),
        runs: runs.count,
        columns: vec![
            "times",
            "from minute",
            "aborted before %",
            "found %",
            "median delay s",
            "nothing known: found %",
            "nothing known: s",
            "oracle: found %",
            "oracle: s",
            "design %",
            "design s",
        ],
        notes: vec![format!(
            "100 requests/s, p = 1 %, main test at {:.2} %; six hours of the stable version are known, or nothing; oracle: the test at 1 % that knows the ratio and when it begins",
            Shipped::new(RATIO, &STEPS, 100).alpha_main() * 100.0
        )],
        ..Report::default()
    }
}

pub fn measure(runs: Runs) -> Report {
    let mut report = begin("steps", "5, 20 and 50 %, ten minutes each", runs);
    let none = Case {
        times: 1.0,
        from: 0,
        design: (Some(0.7), None),
    };
    let (aborted, _) = row(runs, 2000, &none, &mut report);
    let limit = with_errors(1.0, usize::try_from(runs.count).unwrap_or(usize::MAX));
    let goal = Goal::at_most("false aborts with no difference", aborted, limit, "%");
    report.goals.push(goal);
    for (number, times, design) in [
        (2001, 1.3, (Some(95.0), Some(1140.0))),
        (2002, 2.0, (None, Some(315.0))),
    ] {
        let case = Case {
            times,
            from: 0,
            design,
        };
        row(runs, number, &case, &mut report);
    }
    report
}

pub fn late(runs: Runs) -> Report {
    let title = "5, 20 and 50 %, ten minutes each; it begins after a quarter of an hour";
    let mut report = begin("late-onset", title, runs);
    for (number, times, design) in [
        (2100, 1.3, (Some(71.0), Some(712.0))),
        (2101, 1.5, (None, None)),
        (2102, 2.0, (None, Some(165.0))),
    ] {
        let case = Case {
            times,
            from: LATE,
            design,
        };
        let (found, _) = row(runs, number, &case, &mut report);
        if number == 2100 {
            let what = "1.3 times as many from minute 15 on: found by minute 30";
            report.goals.push(Goal::at_least(what, found, 65.0, "%"));
        }
    }
    report
}
