//! `tidegate simulate --scenario FILE`: plays a file under as many seeds of chance as are asked for.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use super::{Outcome, Scenario, play};
use crate::sim::simulate::{Options, Output, TAIL};

/// Plays the scenario that the options name. The exit code says whether all was as it should be.
pub fn run(options: &Options, file: &Path) -> ExitCode {
    let scenario = match Scenario::read(file) {
        Ok(scenario) => scenario,
        Err(error) => {
            anstream::eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let outcomes: Vec<Outcome> = (0..options.seeds.unwrap_or(1))
        .map(|at| {
            let seed = options.seed.wrapping_add(at);
            play(&scenario, seed, options.mutant, options.trace)
        })
        .collect();
    let seconds = begun.elapsed().as_secs_f64();
    match options.output {
        Output::Json => {
            anstream::println!("{:#}", summary(&scenario, options, &outcomes, seconds));
        }
        Output::Text => tell(&scenario, options, &outcomes, seconds),
    }
    match outcomes.iter().all(Outcome::is_good) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The command that shows the same again.
fn again(scenario: &Scenario, options: &Options, seed: u64) -> String {
    let bug = options
        .mutant
        .map(|mutant| format!(" --mutant {}", mutant.name))
        .unwrap_or_default();
    format!(
        "tidegate simulate --scenario {} --seed {seed}{bug} --trace",
        scenario.file
    )
}

fn summary(
    scenario: &Scenario,
    options: &Options,
    outcomes: &[Outcome],
    seconds: f64,
) -> serde_json::Value {
    let mut failures = Vec::new();
    for outcome in outcomes {
        let replay = again(scenario, options, outcome.seed);
        if let Some(broken) = &outcome.broken {
            failures.push(json!({
                "seed": outcome.seed,
                "invariant": broken.invariant,
                "message": broken.message,
                "replay": replay,
            }));
        }
        for unmet in &outcome.unmet {
            failures.push(json!({
                "seed": outcome.seed,
                "line": unmet.line,
                "expected": unmet.expected,
                "seen": unmet.seen,
                "afterSeconds": unmet.at.as_secs_f64(),
                "because": unmet.because,
                "replay": replay,
            }));
        }
    }
    let breaks = outcomes.iter().filter(|o| o.broken.is_some()).count();
    let unmet: usize = outcomes.iter().map(|o| o.unmet.len()).sum();
    json!({
        "scenario": scenario.file,
        "title": scenario.title,
        "source": scenario.source,
        "cases": scenario.cases,
        "invariants": scenario.invariants,
        "seeds": outcomes.len(),
        "writes": outcomes.iter().map(|o| o.writes).sum::<u64>(),
        "decisions": outcomes.iter().map(|o| o.decisions).sum::<u64>(),
        "invariantBreaks": breaks,
        "unmetExpectations": unmet,
        "failures": failures,
        "seconds": (seconds * 1000.0).round() / 1000.0,
    })
}

fn tell(scenario: &Scenario, options: &Options, outcomes: &[Outcome], seconds: f64) {
    for outcome in outcomes {
        let lines = outcome.trace.as_slice();
        // One run is told whole, of several the end of those that failed.
        let from = match outcomes.len() {
            1 => 0,
            _ if outcome.is_good() => lines.len(),
            _ => lines.len().saturating_sub(TAIL),
        };
        for line in lines.get(from..).unwrap_or_default() {
            anstream::println!("{line}");
        }
        if let Some(broken) = &outcome.broken {
            anstream::println!("{}: seed {}: {broken}", scenario.file, outcome.seed);
        }
        for unmet in &outcome.unmet {
            let (file, line) = (&scenario.file, unmet.line);
            anstream::println!("{file}:{line}: seed {}: {unmet}", outcome.seed);
        }
        if !outcome.is_good() {
            let command = again(scenario, options, outcome.seed);
            anstream::println!("again: {command}\n");
        }
    }
    let good = outcomes.iter().filter(|o| o.is_good()).count();
    let cases = scenario.cases.join(", ");
    anstream::println!(
        "{} ({cases}): {good} of {} as expected, {} writes, {seconds:.1} s",
        scenario.title,
        outcomes.len(),
        outcomes.iter().map(|o| o.writes).sum::<u64>(),
    );
}
