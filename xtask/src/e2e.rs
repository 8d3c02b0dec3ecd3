//! `cargo xtask e2e`: rollouts on a real node under load. What is tried stands in `tests/e2e`; here
//! its program and those that it starts are built.

use crate::cluster;
use crate::process;
use crate::summary::Outcome;
use crate::tools::{Level, Tools};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs it with these arguments.
pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let missing = cluster::missing(root)?;
    if !missing.is_empty() {
        bail!("a node cannot be started here:\n{missing}");
    }
    let tools = Tools::build_all(root, Level::Node)?;
    let status = command(root, &tools)?.args(arguments).status()?;
    cluster::code(status)
}

/// The short set, as a step of `cargo xtask test`.
pub fn test(root: &Path, tools: &Path) -> Result<Outcome> {
    process::run(command(root, tools)?.arg("--quick"))
}

/// Its program; what fails is saved beside it.
fn command(root: &Path, tools: &Path) -> Result<Command> {
    let mut command = cluster::program(root, tools, "tidegate-e2e", &[])?;
    command
        // What failed stands in the table; where in the runner is no news.
        .env("RUST_BACKTRACE", "0")
        .arg("--saved")
        .arg(process::built(root).join("e2e"));
    Ok(command)
}
