//! No difference, clean traffic: how often is a good version aborted (table 3.1)?

use tidegate::analysis::plan::Arms;

use crate::parallel::Runs;
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

/// After a minute of warm-up, as the shipped run begins.
pub fn begun<'a>(
    shipped: &'a Shipped,
    traffic: &Traffic,
    random: &mut crate::random::Random,
    times: f64,
) -> Run<'a> {
    let lead: Vec<_> = (0..LEAD).map(|_| traffic.window(random, times)).collect();
    let mut run = Run::new(shipped);
    run.lead(&lead);
    run
}

pub fn measure(runs: Runs) -> Report {
    let mut rows = Vec::new();
    let (mut all, mut alone) = (Vec::new(), Vec::new());
    let targets = Arms {
        canary: 1,
        stable: 1,
    };
    for p in RATIOS {
        for rate in RATES {
            for weight in WEIGHTS {
                let share_ = f64::from(weight) / 100.0;
                let traffic = Traffic {
                    rate,
                    share: share_,
                    p,
                };
                let row = rows.len() as u64;
                let aborted = runs.of(
                    row,
                    || hour(weight),
                    |shipped, mut random| {
                        let mut run = begun(shipped, &traffic, &mut random, 1.0);
                        let (mut aborted, mut stable) = (false, false);
                        for _ in 0..HOUR {
                            let w = traffic.window(&mut random, 1.0);
                            aborted |= run.judge(&w, targets);
                            stable |= run.parts().stable;
                            if aborted && stable {
                                break;
                            }
                        }
                        (aborted, stable)
                    },
                );
                let (aborted, stable): (Vec<bool>, Vec<bool>) = aborted.into_iter().unzip();
                let stable = share(&stable);
                alone.push(stable * 100.0);
                let aborted = share(&aborted);
                all.push(aborted * 100.0);
                rows.push(vec![
                    Cell::Number(p * 100.0, 2),
                    Cell::Number(rate, 0),
                    Cell::Number(f64::from(weight), 0),
                    Cell::percent(aborted),
                    Cell::percent(stable),
                ]);
            }
        }
    }
    let spread = |all: &[f64]| {
        let largest = all.iter().copied().fold(0.0, f64::max);
        let middle = median(&all.iter().copied().map(Some).collect::<Vec<_>>());
        (largest, middle.unwrap_or(0.0))
    };
    let ((largest, middle), (alone_largest, alone_middle)) = (spread(&all), spread(&alone));
    let runs_each = usize::try_from(runs.count).unwrap_or(usize::MAX);
    Report {
        setting: "null",
        title: "false aborts with no difference, clean traffic, an hour".to_owned(),
        runs: runs.count,
        columns: vec![
            "p %",
            "requests/s",
            "weight %",
            "false aborts %",
            "stable alone %",
        ],
        rows,
        goals: vec![Goal::at_most(
            format!(
                "false aborts, the largest of {} settings (median {middle:.2} %)",
                all.len()
            ),
            largest,
            with_errors(1.0, runs_each),
            "%",
        )],
        notes: vec![
            format!(
                "main test at {:.2} % of the 1 %; the gross test, which has the rest, is not run",
                hour(5).alpha_main() * 100.0
            ),
            format!(
                "stable alone: had the level not been asked for too, {alone_largest:.2} % at most, {alone_middle:.2} % in the median"
            ),
            "the design had 0.00 to 0.92 %, median 0.60 %, at 1 %".to_owned(),
        ],
        seconds: 0.0,
    }
}
