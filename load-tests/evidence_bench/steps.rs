//! Three steps of ten minutes, 5, 20 and 50 %: regressions from the start, and ones that begin after
//! a quarter of an hour of good behaviour (table 3.3).

use tidegate::analysis::plan::Arms;

use crate::null::begun;
use crate::oracle::seconds;
use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, found, median, share, with_errors};
use crate::shipped::{RATIO, Run, Shipped, WINDOW_S};
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

/// When harm was shown, in windows; the run is the shipped one or one that knew the plan and the
/// stable version.
fn one(shipped: &Shipped, case: &Case, knows: bool, random: &mut Random) -> Option<usize> {
    let times = |k: usize| if k >= case.from { case.times } else { 1.0 };
    let mut run = begun(shipped, &traffic(0), random, times(0));
    if knows {
        let steps = STEPS.map(|(weight, seconds)| {
            let share = f64::from(weight) / 100.0;
            (RATE * share * seconds as f64, (1.0 - share) / share)
        });
        run = Run::new(shipped);
        run.know(&traffic(0).mean(), P, &steps);
    }
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    (0..WINDOWS).find(|k| run.judge(&traffic(*k).window(random, times(*k)), targets))
}

/// Share of the runs that were aborted too soon, and the delays of the others.
struct Outcome {
    soon: f64,
    delays: Vec<Option<f64>>,
}

fn measured(runs: Runs, row: u64, case: &Case, knows: bool) -> Outcome {
    let all = runs.of(
        row,
        || Shipped::new(RATIO, &STEPS, 100),
        |shipped, mut random| one(shipped, case, knows, &mut random),
    );
    let soon: Vec<bool> = all
        .iter()
        .map(|k| k.is_some_and(|k| k < case.from))
        .collect();
    let delay = |k: &Option<usize>| k.and_then(|k| (k + 1).checked_sub(case.from)).map(seconds);
    Outcome {
        soon: share(&soon),
        delays: all
            .iter()
            .zip(&soon)
            .map(|(k, soon)| if *soon { None } else { delay(k) })
            .collect(),
    }
}

/// A row of the table; says what was found in percent.
fn row(runs: Runs, number: u64, case: &Case, report: &mut Report) -> (f64, Option<f64>) {
    let ours = measured(runs, number, case, false);
    let knowing = measured(runs, number, case, true);
    let from = case.from as i64 * WINDOW_S / 60;
    report.rows.push(vec![
        Cell::Number(case.times, 1),
        Cell::Number(from as f64, 0),
        Cell::percent(ours.soon),
        Cell::percent(found(&ours.delays)),
        Cell::seconds(median(&ours.delays)),
        Cell::percent(found(&knowing.delays)),
        Cell::seconds(median(&knowing.delays)),
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
            "found % (knowing)",
            "median delay s (knowing)",
            "design %",
            "design s",
        ],
        notes: vec![format!(
            "100 requests/s, p = 1 %, main test at {:.2} %; knowing: with half an hour of the stable version before",
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
