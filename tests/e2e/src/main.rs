//! Rollouts on a real node under load (`cargo xtask e2e`): starts a cluster, runs the scenarios in
//! it one after the other, prints the table, and leaves nothing behind.
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

use stage::Stage;

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
    let chosen: Vec<_> = scenarios::ALL
        .iter()
        .filter(|scenario| (scenario.quick || !arguments.quick) && wanted(scenario.name))
        .collect();
    if chosen.is_empty() {
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
        let mut outcomes = Vec::new();
        let mut over = None;
        eprintln!("\n{}", table::head());
        for pass in 0..arguments.passes {
            for scenario in &chosen {
                // The pods of the one before end while this one's begin.
                let before = over.take();
                let ends = async {
                    if let Some(name) = before {
                        stage.forget(name).await;
                    }
                };
                let run = table::run(&stage, scenario, pass, &arguments.saved);
                let (outcome, ()) = tokio::join!(run, ends);
                eprintln!("{}", table::line(&outcome));
                over = Some(outcome.name());
                outcomes.push(outcome);
            }
        }
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
