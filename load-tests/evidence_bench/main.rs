//! How good the evidence is: false aborts, delays and promotions of the shipped tests in simulated
//! rollouts, beside tests that know the truth and beside the goals.
//!
//! `cargo run --release --locked --example evidence_bench -- SETTING… [--runs N] [--seed S] [--output json]`

mod alt;
mod arguments;
mod cost;
mod fleet;
mod gauges;
mod latency;
mod null;
mod oracle;
mod parallel;
mod pods;
mod promote;
mod random;
mod report;
mod rollout;
mod shipped;
mod steps;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use arguments::{Arguments, Output};
use parallel::Runs;
use report::Report;

/// A setting's name and what measures it.
type Setting = (&'static str, fn(Runs) -> Report);

/// What can be measured, in the order of the tables.
const SETTINGS: [Setting; 11] = [
    ("null", null::measure),
    ("alt", alt::measure),
    ("steps", steps::measure),
    ("late-onset", steps::late),
    ("promote", promote::measure),
    ("pods", pods::measure),
    ("rollout", rollout::measure),
    ("latency", latency::measure),
    ("gauges", gauges::measure),
    ("cost", cost::measure),
    ("fleet", fleet::measure),
];

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the result")]
fn main() -> ExitCode {
    let names = SETTINGS.map(|s| s.0);
    let arguments = match Arguments::read(std::env::args().skip(1), &names) {
        Ok(arguments) => arguments,
        Err(reason) => {
            eprintln!("evidence_bench: {reason}");
            return ExitCode::from(2);
        }
    };
    let mut all = Vec::new();
    for (_, measure) in SETTINGS
        .iter()
        .filter(|s| arguments.settings.iter().any(|a| a == s.0))
    {
        let report = timed(*measure, arguments.runs);
        match arguments.output {
            Output::Text => println!("{}", report.text()),
            Output::Json => all.push(report.json()),
        }
    }
    if arguments.output == Output::Json {
        let document = serde_json::json!({
            "runs": arguments.runs.count, "seed": arguments.runs.seed, "settings": all,
        });
        println!("{document:#}");
    }
    ExitCode::SUCCESS
}

fn timed(measure: fn(Runs) -> Report, runs: Runs) -> Report {
    let begun = Instant::now();
    let report = measure(runs);
    Report {
        seconds: begun.elapsed().as_secs_f64(),
        ..report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting makes a whole table, the same for the same seed.
    #[test]
    fn settings_make_whole_tables() {
        for (name, measure) in SETTINGS {
            let report = measure(Runs { count: 2, seed: 1 });
            assert_eq!(report.setting, name);
            assert!(
                !report.rows.is_empty() && !report.goals.is_empty(),
                "{name}"
            );
            for row in &report.rows {
                assert_eq!(row.len(), report.columns.len(), "{name}");
            }
            if name != "cost" {
                let again = measure(Runs { count: 2, seed: 1 });
                assert_eq!(report.json()["rows"], again.json()["rows"], "{name}");
            }
            assert!(report.text().contains(name));
        }
    }
}
