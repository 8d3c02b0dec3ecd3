//! Development tasks: `cargo xtask test` runs everything that can be checked on a machine with
//! Rust, Go and git; `cargo xtask list` says what else there is.
//!
//! Tasks only start other programs and add up their results. What is tested, and how, stands in
//! the tests.

// A task speaks to the person who started it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod cluster;
mod e2e;
mod generate;
mod page;
mod process;
mod steps;
mod summary;
mod tools;
mod without;

use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::ExitCode;

const COMMANDS: &[(&str, &str)] = &[
    (
        "test [--only STEP]... [--skip STEP]...",
        "check everything; the steps stand below",
    ),
    (
        "tools",
        "build the programs that the cluster tests need, and print their folder",
    ),
    (
        "generate",
        "write crds/ and the chart's copies anew from src/api",
    ),
    (
        "cluster up|down|status [NAME]",
        "start a Kubernetes with a real node and Tidegate in it, remove it, list them",
    ),
    (
        "cluster enter NAME [PROGRAM [ARGUMENT]...]",
        "run a program, or a shell, in a cluster's network, with kubectl",
    ),
    (
        "cluster play",
        "keep the control plane's tests running, with pods on paper, until Ctrl-C",
    ),
    (
        "e2e [--quick] [--only NAME,...] [--passes N] [--output json]",
        "roll versions out on a real node under load: what was lost, and how fast it was",
    ),
    ("list", "this text"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("list", arguments),
    };
    match command {
        "test" => steps::test(&repository()?, &steps::Selection::parse(rest)?),
        "cluster" => cluster::run(&repository()?, rest),
        "e2e" => e2e::run(&repository()?, rest),
        "generate" => {
            generate::generate(&repository()?)?;
            Ok(ExitCode::SUCCESS)
        }
        "tools" => {
            println!(
                "{}",
                tools::Tools::build_all(&repository()?, tools::Level::Node)?.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        "list" | "help" | "--help" | "-h" => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("{other:?} is not a task; `cargo xtask list` shows them"),
    }
}

fn list() {
    println!("Tasks (cargo xtask ...):\n");
    for (usage, about) in COMMANDS {
        println!("  {usage}\n      {about}");
    }
    println!("\nSteps of `test`, in their order:\n");
    for step in steps::STEPS {
        println!("  {:<14} {}", step.name, step.about);
    }
}

/// The repository's root: the folder above this package's.
fn repository() -> Result<PathBuf> {
    match PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent() {
        Some(root) => Ok(root.to_path_buf()),
        None => bail!("xtask stands in no repository"),
    }
}
