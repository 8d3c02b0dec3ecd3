//! `kubectl tidegate`: one file per command, and the tree view.
//!
//! The plugin reads the status that the controller writes and asks for things by annotations. It
//! decides nothing about a rollout and never imports the controller: the API is all they share.

pub mod abort;
mod account;
pub mod advice;
pub mod analyze;
pub mod args;
pub mod backtest;
pub mod change;
pub mod client;
pub mod command;
pub mod complete;
pub mod completion;
pub mod create;
pub mod error;
pub mod evidence;
#[cfg(test)]
mod fixtures;
pub mod forecast;
pub mod get;
pub mod header;
pub mod history;
mod layout;
pub mod lint;
pub mod list;
pub mod man;
pub mod objects;
mod page;
pub mod pause;
mod prometheus;
pub mod promote;
mod reading;
pub mod restart;
pub mod resume;
pub mod retry;
pub mod revert;
pub mod reverts;
mod service_proxy;
pub mod set_image;
pub mod status;
pub mod style;
mod subject;
pub mod terminal;
pub mod tree;
pub mod undo;
pub mod version;
pub mod watch;
pub mod why;
pub mod words;

use std::ffi::OsString;
use std::io;

use clap::Parser;

use args::{Cli, Command};
use client::Session;
use command::Verb;
use error::{CliError, Exit};
use terminal::{Screen, Terminal};

/// The whole plugin: reads the arguments, finds the cluster, runs the command on standard output.
pub async fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come this way, too; a closed pipe is nobody's fault.
            let _ = e.print();
            return if e.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
        }
    };
    let screen = Screen::of_stdout(cli.global.no_color);
    let always = |colour| {
        if colour {
            anstream::ColorChoice::AlwaysAnsi
        } else {
            anstream::ColorChoice::Never
        }
    };
    let mut out = io::BufWriter::new(anstream::AutoStream::new(
        io::stdout(),
        always(screen.colour),
    ));
    let mut err = anstream::AutoStream::auto(io::stderr());
    let measure = || Screen::of_stdout(false);
    let mut terminal = Terminal::new(&mut out, &mut err, screen).measured_by(measure);
    let session = match &cli.command {
        Command::Completion(_) => Err(CliError::Usage("completion asks no cluster".to_owned())),
        Command::Lint(_) | Command::Man(_) => {
            Err(CliError::Usage("this command asks no cluster".to_owned()))
        }
        Command::Version(version) if version.client => Err(CliError::Usage(
            "version --client asks no cluster".to_owned(),
        )),
        Command::Complete(words) => {
            Session::connect(&complete::global(&words.words, &cli.global)).await
        }
        _ => Session::connect(&cli.global).await,
    };
    run(&cli, session, &mut terminal).await
}

/// Runs one command. Output, errors and exit code are all that comes of it.
pub async fn run(
    cli: &Cli,
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
) -> Exit {
    match dispatch(cli, session, terminal).await {
        Ok(exit) => exit,
        // Who reads no further has seen enough of a picture (`… | head`), but nothing has told that
        // a rollout ended well.
        Err(e) if e.is_closed_pipe() => match &cli.command {
            Command::Get(_)
            | Command::List(_)
            | Command::Why(_)
            | Command::History(_)
            | Command::Version(_)
            | Command::Completion(_)
            | Command::Complete(_) => Exit::Done,
            Command::Revert(args) if args.what.only_looks() => Exit::Done,
            _ => Exit::NoAnswer,
        },
        Err(e) => {
            terminal.note(format!("error: {e}"));
            e.exit()
        }
    }
}

async fn dispatch(
    cli: &Cli,
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, CliError> {
    let output = cli.global.output;
    let (args, verb, check): (_, _, fn(&_) -> _) = match &cli.command {
        Command::Get(args) => return get::run(&session?, terminal, args, output).await,
        Command::List(args) => return list::run(&session?, terminal, args, output).await,
        Command::Why(args) => return why::run(&session?, terminal, args, output).await,
        Command::History(args) => return history::run(&session?, terminal, args, output).await,
        Command::Status(args) => return status::run(&session?, terminal, args, output).await,
        Command::Promote(args) => return promote::run(&session?, terminal, args, output).await,
        Command::Revert(args) => {
            return Box::pin(revert::run(&session?, terminal, args, output)).await;
        }
        Command::Undo(args) => {
            return Box::pin(undo::run(&session?, terminal, args, output)).await;
        }
        Command::Set(args) => {
            return Box::pin(set_image::run(&session?, terminal, args, output)).await;
        }
        Command::Create(args) => {
            return Box::pin(create::run(&session?, terminal, args, output)).await;
        }
        Command::Analyze(args) => {
            return Box::pin(analyze::run(session, terminal, args, &cli.global)).await;
        }
        Command::Backtest(args) => {
            return Box::pin(backtest::run(session, terminal, args, &cli.global)).await;
        }
        Command::Forecast(args) => {
            return Box::pin(forecast::run(session, terminal, args, &cli.global)).await;
        }
        Command::Lint(args) => {
            return lint::run(terminal, args, cli.global.namespace.as_deref(), output);
        }
        Command::Version(args) => return version::run(session, terminal, args, output).await,
        Command::Dashboard(args) => {
            let namespace = cli.global.namespace.clone();
            return Box::pin(crate::page::run(session?, terminal, args, namespace)).await;
        }
        Command::Completion(args) => return completion::run(terminal, args),
        Command::Man(args) => return man::run(terminal, args),
        Command::Complete(args) => return complete::run(session, terminal, args).await,
        Command::Abort(args) => (args, Verb::Abort, abort::check),
        Command::Retry(args) => (args, Verb::Retry, retry::check),
        Command::Pause(args) => (args, Verb::Pause, pause::check),
        Command::Resume(args) => (args, Verb::Resume, resume::check),
        Command::Restart(args) => (args, Verb::Restart, restart::check),
    };
    command::plain(&session?, terminal, args, output, verb, check).await
}
