//! `tidegate simulate`: as many simulated rollouts as one likes, each with its faults, held to the
//! invariants at every step. A seed that breaks one is told with the command that shows it again.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::history::History;
use super::jobs::{in_parallel, processors};
use super::minimise::minimise;
use super::mutants::{self, Mutant};
use super::play::{Outcome, play};

use super::scenario;
use super::sweep;

/// Failures that are told; one is enough to be sorry.
const FAILURES_MAX: usize = 20;
/// Seeds in which each mutant must be found.
const MUTANT_SEEDS: u64 = 1_000;
/// Lines of a trace that are told of a failure without `--trace`.
pub(super) const TAIL: usize = 40;

/// What is to be simulated.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many rollouts, each of the next seed.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub count: u64,
    /// Rollouts at the same time. Default: as many as there are processors.
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Faults of a rollout, in the median.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub faults: u64,
    /// Put this bug in.
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    pub mutant: Option<Mutant>,
    /// Find every bug that is known, and print in how many seeds.
    #[arg(long, conflicts_with_all = ["mutant", "minimise", "trace"])]
    pub mutants: bool,
    /// Let the controller die before and after every call of every rollout that goes as planned.
    #[arg(long, conflicts_with_all = ["mutant", "mutants", "minimise", "trace"])]
    pub crashes: bool,
    /// And in the five longest of them in pairs: before and after every two calls.
    #[arg(long, requires = "crashes")]
    pub pairs: bool,
    /// Leave out of a history that breaks an invariant whatever it does not need for it.
    #[arg(long)]
    pub minimise: bool,
    /// Play this scenario instead of what a seed says; chance is only how long things take.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["count", "jobs", "faults", "mutants", "minimise"])]
    pub scenario: Option<PathBuf>,
    /// Under how many seeds the scenario is played.
    #[arg(long, requires = "scenario", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub seeds: Option<u64>,
    /// Print all that happened.
    #[arg(long)]
    pub trace: bool,
    /// What is printed.
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Words.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

impl Options {
    fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(processors).max(1)
    }
}

fn mutant(name: &str) -> Result<Mutant, String> {
    Mutant::named(name).ok_or_else(|| {
        let names: Vec<&str> = mutants::ALL.iter().map(|mutant| mutant.name).collect();
        format!("there is no bug {name:?}; there are {}", names.join(", "))
    })
}

/// What came of all of them.
#[derive(Debug, Default)]
struct Sum {
    rollouts: u64,
    faults: u64,
    writes: u64,
    decisions: u64,
    breaks: u64,
    failures: Vec<Outcome>,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        self.rollouts += 1;
        self.faults += outcome.faults;
        self.writes += outcome.writes;
        self.decisions += outcome.decisions;
        if outcome.broken.is_some() {
            self.breaks += 1;
            self.failures.push(outcome);
            self.failures.sort_by_key(|failure| failure.seed);
            self.failures.truncate(FAILURES_MAX);
        }
    }
}

/// Simulates. The exit code says whether every invariant held.
pub fn run(options: &Options) -> ExitCode {
    if let Some(file) = &options.scenario {
        return scenario::run(options, file);
    }
    if options.mutants {
        return find_mutants(options);
    }
    if options.crashes {
        return sweep::run(options.output, options.pairs, options.jobs());
    }
    let begun = Instant::now();
    let sum = simulate(options);
    let seconds = begun.elapsed().as_secs_f64();
    match options.output {
        Output::Json => anstream::println!("{:#}", summary(&sum, seconds)),
        Output::Text => tell(options, &sum, seconds),
    }
    match sum.breaks {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn simulate(options: &Options) -> Sum {
    let sum = Mutex::new(Sum::default());
    in_parallel(options.jobs(), options.count, |at| {
        let history = History::of(options.seed.wrapping_add(at), options.faults);
        let outcome = play(&history, options.mutant, false);
        let mut sum = sum.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        sum.add(outcome);
        None::<()>
    });
    sum.into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn summary(sum: &Sum, seconds: f64) -> serde_json::Value {
    let failures: Vec<_> = sum
        .failures
        .iter()
        .filter_map(|failure| {
            let broken = failure.broken.as_ref()?;
            Some(json!({
                "seed": failure.seed,
                "invariant": broken.invariant,
                "message": broken.message,
            }))
        })
        .collect();
    json!({
        "rollouts": sum.rollouts,
        "faults": sum.faults,
        "writes": sum.writes,
        "decisions": sum.decisions,
        "invariantBreaks": sum.breaks,
        "failures": failures,
        "seconds": (seconds * 1000.0).round() / 1000.0,
    })
}

fn tell(options: &Options, sum: &Sum, seconds: f64) {
    if options.trace && options.count == 1 {
        let history = History::of(options.seed, options.faults);
        for line in play(&history, options.mutant, true).trace {
            anstream::println!("{line}");
        }
    }
    for failure in &sum.failures {
        let Some(broken) = &failure.broken else {
            continue;
        };
        anstream::println!("seed {}: {broken}", failure.seed);
    }
    if let Some(first) = sum.failures.first() {
        explain(options, first.seed);
    }
    anstream::println!(
        "{} rollouts with {} faults, {} decisions and {} writes in {seconds:.1} s: {} broke an invariant",
        sum.rollouts,
        sum.faults,
        sum.decisions,
        sum.writes,
        sum.breaks
    );
}

/// What led to it, and how it is seen again.
fn explain(options: &Options, seed: u64) {
    let history = History::of(seed, options.faults);
    let (history, outcome) = match options.minimise {
        true => match minimise(&history, options.mutant) {
            Some(least) => least,
            None => return,
        },
        false => (history.clone(), play(&history, options.mutant, true)),
    };
    let part = |name: &str| history.spec.get(name).cloned().unwrap_or_default();
    anstream::println!("\nseed {seed}, {} replicas", part("replicas"));
    anstream::println!("strategy {}", part("strategy"));
    for (after, what) in &history.happenings {
        anstream::println!("  after {after:#}: {what:?}");
    }
    let from = outcome.trace.len().saturating_sub(TAIL);
    for line in outcome.trace.get(from..).unwrap_or_default() {
        anstream::println!("    {line}");
    }
    let bug = options
        .mutant
        .map(|mutant| format!(" --mutant {}", mutant.name))
        .unwrap_or_default();
    anstream::println!(
        "again: tidegate simulate --seed {seed} --faults {}{bug} --minimise\n",
        options.faults
    );
}

/// In how many seeds each bug is found.
fn find_mutants(options: &Options) -> ExitCode {
    let mutants = mutants::ALL;
    let rows = in_parallel(options.jobs(), mutants.len() as u64, |at| {
        let mutant = mutants.get(usize::try_from(at).ok()?)?;
        let found = (0..MUTANT_SEEDS).find_map(|at| {
            let history = History::of(options.seed.wrapping_add(at), options.faults);
            // Others may find it sooner; this one has to find it, too.
            let broken = play(&history, Some(*mutant), false).broken?;
            (broken.invariant == mutant.breaks).then_some((at + 1, broken))
        });
        Some((mutant, found))
    });
    let all = rows.iter().all(|(mutant, found)| {
        found
            .as_ref()
            .is_some_and(|(_, broken)| broken.invariant == mutant.breaks)
    });
    match options.output {
        Output::Json => {
            let rows: Vec<_> = rows
                .iter()
                .map(|(mutant, found)| {
                    json!({
                        "mutant": mutant.name,
                        "about": mutant.about,
                        "breaks": mutant.breaks,
                        "seeds": found.as_ref().map(|(seeds, _)| seeds),
                        "found": found.as_ref().map(|(_, broken)| broken.invariant),
                        "message": found.as_ref().map(|(_, broken)| &broken.message),
                    })
                })
                .collect();
            anstream::println!("{:#}", json!({"mutants": rows}));
        }
        Output::Text => {
            for (mutant, found) in &rows {
                let (seeds, by) = match found {
                    Some((seeds, broken)) => (seeds.to_string(), broken.to_string()),
                    None => ("-".to_owned(), "NOT FOUND".to_owned()),
                };
                anstream::println!("{:4} {:26} {seeds:>5}  {by}", mutant.breaks, mutant.name);
            }
        }
    }
    match all {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
