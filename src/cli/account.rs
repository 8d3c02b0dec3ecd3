//! One Rollout's account, as `why` and `history` give it: lines for people, or a document for scripts,
//! which is whole or none. What stands in them is theirs.

use jiff::Timestamp;
use serde_json::Value;

use super::args::{Named, Output};
use super::client::{Session, full_name};
use super::error::{CliError, Exit};
use super::objects::Objects;
use super::style::{Line, Tone};
use super::terminal::Terminal;
use super::tree::View;

/// The Rollout's name, if more is asked for than that; otherwise it is said.
///
/// # Errors
/// See [`CliError`].
pub(super) async fn asked_for<'a>(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &'a Named,
    output: Option<Output>,
) -> Result<Option<&'a str>, CliError> {
    let name = args.target.name().map_err(CliError::Usage)?;
    if output == Some(Output::Name) {
        session.rollout(name).await?;
        terminal.say(Tone::Plain, full_name(name))?;
        return Ok(None);
    }
    Ok(Some(name))
}

/// Gives it. A script cannot tell what is not known from what it may not see, so it gets no document
/// then.
///
/// # Errors
/// See [`CliError`].
pub(super) fn give(
    all: &Objects,
    terminal: &mut Terminal<'_>,
    output: Option<Output>,
    document: impl Fn(&Objects, Timestamp) -> Value,
    lines: impl Fn(&Objects, &View) -> Vec<Line>,
) -> Result<Exit, CliError> {
    let now = Timestamp::now();
    if let Some(format @ (Output::Json | Output::Yaml)) = output {
        if !all.notes.is_empty() {
            return Err(CliError::Missing(all.notes.join("; ")));
        }
        terminal.document(format, &document(all, now))?;
        return Ok(Exit::Done);
    }
    let view = View {
        now,
        width: terminal.screen().width,
        wide: output == Some(Output::Wide),
    };
    for line in lines(all, &view) {
        terminal.line(&line)?;
    }
    terminal.flush()?;
    Ok(Exit::Done)
}
