//! `get`: one look at a Rollout, or (`--watch`) every change of it.

use jiff::Timestamp;

use super::args::{Get, Output};
use super::client::{Session, full_name};
use super::error::{CliError, Exit};
use super::objects::{self, Objects};
use super::style::Tone;
use super::terminal::Terminal;
use super::tree::{self, View};
use super::watch;

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Get,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let name = args.target.name().map_err(CliError::Usage)?;
    match output {
        Some(Output::Json | Output::Yaml | Output::Name) if args.watch => Err(CliError::Usage(
            "--watch is for people; for scripts: kubectl get rollouts.tidegate.io NAME -w -o json"
                .to_owned(),
        )),
        Some(Output::Name) => {
            session.rollout(name).await?;
            terminal.say(Tone::Plain, full_name(name))?;
            Ok(Exit::Done)
        }
        Some(format @ (Output::Json | Output::Yaml)) => {
            let rollout = session.rollout(name).await?;
            let document = Box::pin(objects::raw(session, &rollout)).await?;
            terminal.document(format, &document)?;
            Ok(Exit::Done)
        }
        None | Some(Output::Wide) => {
            let wide = output == Some(Output::Wide);
            let all = Box::pin(Objects::load(session, name)).await?;
            if args.watch {
                return Box::pin(watch::run(session, terminal, all, wide)).await;
            }
            let view = View {
                now: Timestamp::now(),
                width: terminal.screen().width,
                wide,
            };
            for line in tree::render(&all, &view) {
                terminal.line(&line)?;
            }
            terminal.flush()?;
            Ok(Exit::Done)
        }
    }
}
