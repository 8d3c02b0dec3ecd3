//! `cargo xtask cluster`: clusters for a person to play with. What is done stands in `tests/lab`;
//! here its program and those that it starts are built.

use crate::process::{built, cargo, run_tests_as, words};
use crate::steps::TOOLS_VARIABLE;
use crate::summary::Outcome;
use crate::tools::{Level, Tools};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

/// Does what the words after `cluster` say.
pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => bail!("cluster: up, down, status, enter or play?"),
    };
    match command {
        "play" if rest.is_empty() => play(root),
        "up" => up(root, rest),
        "down" | "status" | "enter" => {
            let program = build(root, LAB)?.join("tidegate-lab");
            code(Command::new(program).args(arguments).status()?)
        }
        other => bail!("cluster: {other:?} is not known; there are up, down, status, enter, play"),
    }
}

fn up(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let missing = missing(root)?;
    if !missing.is_empty() {
        bail!("a node cannot be started here:\n{missing}");
    }
    let tools = Tools::build_all(root, Level::Node)?;
    let mut command = program(root, &tools, "tidegate-lab", &["up"])?;
    code(command.args(arguments).status()?)
}

/// One of the programs that start a node, which is built, with all that it needs to know of where
/// things are.
pub fn program(root: &Path, tools: &Path, name: &str, words: &[&str]) -> Result<Command> {
    let folder = binaries(root)?;
    let mut command = Command::new(folder.join(name));
    command
        .args(words)
        .arg("--tools")
        .arg(tools)
        .arg("--repository")
        .arg(root)
        .arg("--binaries")
        .arg(&folder);
    Ok(command)
}

/// Whether it is worth while to build what only a node needs.
pub fn is_root() -> bool {
    let said = Command::new("id").arg("-u").output();
    said.is_ok_and(|said| said.stdout.trim_ascii() == b"0")
}

/// The node level's own tests.
pub fn test(root: &Path, tools: &Path) -> Result<Outcome> {
    let binaries = binaries(root)?;
    let mut command = cargo(root);
    words(&mut command, "test --locked");
    words(&mut command, PACKAGES);
    // One cluster after the other: a machine for tests is small.
    words(&mut command, "--test node -- --nocapture --test-threads=1");
    run_tests_as(
        "node: ",
        command
            .env(TOOLS_VARIABLE, tools)
            .env("TIDEGATE_NODE_BINARIES", binaries)
            .env("RUST_BACKTRACE", "0"),
    )
}

/// What is built together, always: another selection would have other features, and build what
/// they share once more.
const PACKAGES: &str = "--workspace";

/// The program that starts and ends clusters.
const LAB: &str = "--bin tidegate-lab";

/// That, and what a node runs.
const ALL: &str = "--bins";

/// Builds every program; returns the folder that has them.
fn binaries(root: &Path) -> Result<PathBuf> {
    build(root, ALL)
}

/// What this machine lacks for a node, a line each; empty where it lacks nothing.
pub fn missing(root: &Path) -> Result<String> {
    let folder = build(root, LAB)?;
    let output = Command::new(folder.join("tidegate-lab"))
        .arg("missing")
        .output()
        .context("tidegate-lab does not start")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Builds programs; returns the folder that has them.
fn build(root: &Path, programs: &str) -> Result<PathBuf> {
    let mut command = cargo(root);
    words(&mut command, "build --quiet --locked");
    words(&mut command, PACKAGES);
    if !words(&mut command, programs).status()?.success() {
        bail!("the cluster's programs do not build");
    }
    Ok(built(root))
}

/// Keeps a control plane running, with all that the scenarios have, until it is interrupted.
fn play(root: &Path) -> Result<ExitCode> {
    let tools = Tools::build_all(root, Level::ControlPlane)?;
    let mut command = cargo(root);
    words(
        &mut command,
        "test --quiet --locked --workspace --test it control_plane_scenarios -- --nocapture",
    );
    let status = command
        .env(TOOLS_VARIABLE, tools)
        .env("TIDEGATE_CLUSTER_KEEP", "1")
        .status()?;
    code(status)
}

/// A program's exit code as this one's.
pub fn code(status: ExitStatus) -> Result<ExitCode> {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
