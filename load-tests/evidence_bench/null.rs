//! No difference, clean traffic: how often is a good version aborted (table 3.1)?

use tidegate::analysis::plan::Arms;
use tidegate::analysis::rho::Window;

use crate::parallel::Runs;
use crate::random::Random;
use crate::report::{Cell, Goal, Report, median, share, with_errors};
use crate::shipped::{LEAD, RATIO, Run, Shipped};
use crate::traffic::Traffic;

/// An hour.
pub const HOUR: usize = 240;
/// Shares of the new version, in percent.
pub const WEIGHTS: [i32; 4] = [1, 5, 20, 50];
/// Requests in a second.
pub const RATES: [f64; 3] = [10.0, 100.0, 1000.0];
/// The stable version's ratios of bad requests.
const RATIOS: [f64; 3] = [0.0001, 0.001, 0.01];

/// A service that a canary of `weight` percent has an hour in.
pub fn hour(weight: i32) -> Shipped {
    Shipped::new(RATIO, &[(weight, 3600)], 100)
}

/// After a minute of warm-up, as the shipped run begins where nothing is known of the past.
pub fn begun<'a>(
    shipped: &'a Shipped,
    traffic: &Traffic,
    random: &mut Random,
    times: f64,
) -> Run<'a> {
    let lead: Vec<_> = (0..LEAD).map(|_| traffic.window(random, times)).collect();
    let mut run = Run::new(shipped);
    run.lead(&lead);
    run
}

/// The same where the stable version's last six hours are known, and where they are not.
pub fn both<'a>(
    shipped: &'a Shipped,
    traffic: &Traffic,
    random: &mut Random,
    times: f64,
) -> [Run<'a>; 2] {
    let new = begun(shipped, traffic, random, times);
    let mut knowing = new.clone();
    knowing.know(traffic, random);
    [knowing, new]
}

/// When each of the two shows harm, in windows, within `windows` of them, which are the same.
pub fn found_in(
    runs: &mut [Run<'_>; 2],
    windows: usize,
    mut next: impl FnMut(usize) -> Window,
) -> [Option<usize>; 2] {
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    let mut found = [None; 2];
    for k in 0..windows {
        let w = next(k);
        for (run, found) in runs.iter_mut().zip(&mut found) {
            if found.is_none() && run.judge(&w, targets) {
                *found = Some(k);
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found
}

pub fn measure(runs: Runs) -> Report {
    let mut rows = Vec::new();
    let (mut all, mut unknown) = (Vec::new(), Vec::new());
    for p in RATIOS {
        for rate in RATES {
            for weight in WEIGHTS {
                let traffic = Traffic {
                    rate,
                    share: f64::from(weight) / 100.0,
                    p,
                };
                let found = runs.of(
                    rows.len() as u64,
                    || hour(weight),
                    |shipped, mut random| {
                        let mut runs = both(shipped, &traffic, &mut random, 1.0);
                        found_in(&mut runs, HOUR, |_| traffic.window(&mut random, 1.0))
                    },
                );
                let [knowing, new] = [0, 1].map(|which: usize| {
                    let aborted = found
                        .iter()
                        .map(|f| f.get(which).is_some_and(Option::is_some));
                    share(&aborted.collect::<Vec<bool>>())
                });
                all.push(knowing * 100.0);
                unknown.push(new * 100.0);
                rows.push(vec![
                    Cell::Number(p * 100.0, 2),
                    Cell::Number(rate, 0),
                    Cell::Number(f64::from(weight), 0),
                    Cell::percent(knowing),
                    Cell::percent(new),
                ]);
            }
        }
    }
    let spread = |all: &[f64]| {
        let largest = all.iter().copied().fold(0.0, f64::max);
        let middle = median(&all.iter().copied().map(Some).collect::<Vec<_>>());
        (largest, middle.unwrap_or(0.0))
    };
    let runs_each = usize::try_from(runs.count).unwrap_or(usize::MAX);
    let goals = [("six hours known", &all), ("nothing known", &unknown)];
    let goals = goals.map(|(what, all)| {
        let (largest, middle) = spread(all);
        Goal::at_most(
            format!(
                "false aborts, {what}, the largest of {} settings (median {middle:.2} %)",
                all.len()
            ),
            largest,
            with_errors(1.0, runs_each),
            "%",
        )
    });
    Report {
        setting: "null",
        title: "false aborts with no difference, clean traffic, an hour".to_owned(),
        runs: runs.count,
        columns: vec![
            "p %",
            "requests/s",
            "weight %",
            "false aborts %",
            "nothing known before %",
        ],
        rows,
        goals: goals.into(),
        notes: vec![
            format!(
                "main test at {:.2} % of the 1 %; the gross test, which has the rest, is not run",
                hour(5).alpha_main() * 100.0
            ),
            "the design had 0.00 to 0.92 %, median 0.60 %, at 1 %".to_owned(),
        ],
        seconds: 0.0,
    }
}
