//! Rollouts on a real node under load (`cargo xtask e2e`): starts a cluster, runs the scenarios in
//! it, prints the table, and leaves nothing behind.
//!
//! Nothing is asserted about speed; times stand in the table. What is asserted is what users would
//! notice: no request lost, no version with more traffic than it was authorised to, no traffic to a
//! version that was given up.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod bench;
mod delivery;
mod fresh;
mod judge;
mod lanes;
mod scenarios;
mod shop;
mod stage;
mod table;
mod timeline;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tidegate_lab::node::cluster::{Attached, enter};
use tidegate_lab::node::state::Options;

use lanes::Lanes;
use stage::Stage;
use table::Run;

/// Roll versions out on a real node under load.
#[derive(Parser)]
struct Arguments {
    /// Only the short set.
    #[arg(long)]
    quick: bool,
    /// Only scenarios whose name has one of these in it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often all of it is done.
    #[arg(long, default_value_t = 1)]
    passes: usize,
    /// How many scenarios run beside each other; those that take away what all share run alone.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    lanes: u8,
    /// What is printed at the end.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// The folder with the built programs.
    #[arg(long)]
    tools: PathBuf,
    /// The repository.
    #[arg(long)]
    repository: PathBuf,
    /// The folder with `tidegate`, `tidegate-lab` and `app`.
    #[arg(long)]
    binaries: PathBuf,
    /// Where logs and objects of failed scenarios go.
    #[arg(long)]
    saved: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The table.
    Text,
    /// The same as JSON; the table goes to standard error.
    Json,
}

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let wanted = |name: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| name.contains(part.trim()))
    };
    let chosen = scenarios::ALL
        .iter()
        .filter(|scenario| (scenario.quick || !arguments.quick) && wanted(scenario.name));
    let passes = (0..arguments.passes).flat_map(|pass| {
        let run = move |scenario| Run { scenario, pass };
        chosen.clone().map(run)
    });
    let (alone, beside): (Vec<_>, Vec<_>) = passes.partition(|run| run.scenario.alone);
    if alone.is_empty() && beside.is_empty() {
        return Err(format!("no scenario has {:?} in its name", arguments.only));
    }
    let options = Options {
        program: arguments.binaries.join("tidegate-lab"),
        tools: arguments.tools.clone(),
        repository: arguments.repository.clone(),
        binaries: arguments.binaries.clone(),
        tidegate: true,
    };
    let cluster = Attached::up(&format!("e2e-{}", std::process::id()), &options)?;
    eprintln!(
        "the cluster is ready after {:.1} s",
        cluster.ready().seconds
    );
    // Before there is a runtime: its threads are in the cluster's network because this one is.
    enter(cluster.state())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let outcomes = runtime.block_on(async {
        let stage = Stage::enter(cluster.state()).await?;
        eprintln!("\n{}", table::head());
        let mut lanes = Lanes::new(&stage, &arguments.saved);
        lanes.run(&beside, arguments.lanes.into()).await;
        lanes.run(&alone, 1).await;
        let outcomes = lanes.end();
        Ok::<_, String>(outcomes)
    })?;
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.is_passed())
        .count();
    match arguments.output {
        Output::Json => println!("{:#}", table::summary(&outcomes)),
        Output::Text => {
            println!("\n{}", table::head());
            for outcome in &outcomes {
                println!("{}", table::line(outcome));
            }
            println!(
                "{} scenarios passed, {failed} failed",
                outcomes.len() - failed
            );
        }
    }
    Ok(failed == 0)
}
