//! `why`: the reason of the present state in a few sentences, with the numbers, and what to do next. It
//! says what `get` says, of what matters now alone.

mod analyses;
mod reason;
#[cfg(test)]
mod tests;
mod text;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::args::{Named, Output};
use super::client::{Session, full_name};
use super::error::{CliError, Exit};
use super::objects::Objects;
use super::style::Tone;
use super::terminal::Terminal;
use super::tree::View;
use reason::Finding;

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Named,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let name = args.target.name().map_err(CliError::Usage)?;
    if output == Some(Output::Name) {
        session.rollout(name).await?;
        terminal.say(Tone::Plain, full_name(name))?;
        return Ok(Exit::Done);
    }
    let all = Box::pin(Objects::load(session, name)).await?;
    let now = Timestamp::now();
    if let Some(format @ (Output::Json | Output::Yaml)) = output {
        // A reason without what could not be read may be the wrong one, and a script cannot tell.
        if !all.notes.is_empty() {
            return Err(CliError::Missing(all.notes.join("; ")));
        }
        terminal.document(format, &document(&all, now))?;
        return Ok(Exit::Done);
    }
    let view = View {
        now,
        width: terminal.screen().width,
        wide: output == Some(Output::Wide),
    };
    for line in text::lines(&all, &view) {
        terminal.line(&line)?;
    }
    terminal.flush()?;
    Ok(Exit::Done)
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(all: &Objects, now: Timestamp) -> Value {
    let status = all.rollout.status.as_ref();
    let reason = reason::of(all, now);
    let finding = |finding: &Finding| {
        let shown = finding.shown.iter();
        let shown: Vec<String> = shown.map(|line| line.render(false)).collect();
        json!({"text": finding.text, "shown": shown})
    };
    json!({
        "rollout": all.rollout.name_any(),
        "namespace": all.rollout.namespace(),
        "phase": status.and_then(|s| s.phase),
        "message": status.map(|s| s.message.as_str()),
        "why": reason.found.iter().map(finding).collect::<Vec<_>>(),
        "next": reason.next,
    })
}
