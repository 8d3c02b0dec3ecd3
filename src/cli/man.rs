//! `man`: the manual pages, one for each command, as files. They follow from the definition of the
//! commands, so that they cannot differ from it.

use clap::CommandFactory;

use super::args::{Cli, Man};
use super::error::{CliError, Exit};
use super::terminal::Terminal;

/// Runs the command.
///
/// # Errors
/// When the folder is none, or a file or the output cannot be written.
pub fn run(terminal: &mut Terminal<'_>, args: &Man) -> Result<Exit, CliError> {
    let shown = args.folder.display();
    if !args.folder.is_dir() {
        return Err(CliError::Usage(format!(
            "{shown} is no folder; create it first"
        )));
    }
    clap_mangen::generate_to(Cli::command(), &args.folder)?;
    terminal.note(format!("manual pages are in {shown}"));
    Ok(Exit::Done)
}
