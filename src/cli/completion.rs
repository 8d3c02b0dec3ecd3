//! `completion`: scripts for shells, and the helper that kubectl calls for its plugins.

use clap::CommandFactory;
use clap_complete::aot;

use super::args::{Cli, Completion, Shell};
use super::error::{CliError, Exit};
use super::terminal::Terminal;

/// The name of the plugin's binary.
const BINARY: &str = "kubectl-tidegate";

/// kubectl looks for an executable of the name `kubectl_complete-<plugin>` and hands it the words.
const KUBECTL_HELPER: &str = "#!/bin/sh
# kubectl_complete-tidegate: put it on the PATH and make it executable.
exec kubectl-tidegate __complete \"$@\"
";

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub fn run(terminal: &mut Terminal<'_>, args: &Completion) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    let mut generate = |shell: aot::Shell| {
        aot::generate(shell, &mut Cli::command(), BINARY, &mut script);
    };
    match args.shell {
        Shell::Bash => generate(aot::Shell::Bash),
        Shell::Zsh => generate(aot::Shell::Zsh),
        Shell::Fish => generate(aot::Shell::Fish),
        Shell::PowerShell => generate(aot::Shell::PowerShell),
        Shell::Elvish => generate(aot::Shell::Elvish),
        Shell::Kubectl => script.extend_from_slice(KUBECTL_HELPER.as_bytes()),
    }
    terminal.raw(&script)?;
    Ok(Exit::Done)
}
