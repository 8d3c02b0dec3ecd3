//! `tidegate simulate` alone, for the tests: see the feature `cluster` in `Cargo.toml`.

use std::process::ExitCode;

use clap::Parser;
use tidegate::sim::simulate::{self, Options};

/// Simulate rollouts under faults, and hold each to what must never happen.
#[derive(Parser)]
#[command(name = "tidegate-simulate", version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    simulate::run(&Cli::parse().options)
}
