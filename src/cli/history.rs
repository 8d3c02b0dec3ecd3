//! `history`: what became of the last versions, and which ones there are now. The outcomes are in the
//! Rollout's status; images, sources and times come from what else is still there, and what nothing tells
//! is left out.

mod past;
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
    let all = Box::pin(Objects::load_without_runs(session, name)).await?;
    let now = Timestamp::now();
    if let Some(format @ (Output::Json | Output::Yaml)) = output {
        // A script could not tell what is not known from what it may not see.
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
    let rollout = &all.rollout;
    let status = rollout.status.as_ref();
    let canary = status.and_then(|s| s.canary.as_ref()).map(|c| {
        json!({
            "revision": c.revision, "hash": c.hash, "images": c.images, "source": c.source,
            "attempt": c.attempt, "startedAt": c.started_at,
        })
    });
    let history: Vec<Value> = past::of(all, now)
        .into_iter()
        .map(|past| {
            json!({
                "revision": past.entry.revision,
                "hash": past.entry.hash,
                "outcome": past.entry.outcome,
                "at": past.entry.at,
                "message": past.entry.message,
                "tookSeconds": past.took,
                "stableSeconds": past.stable,
                "images": past.images,
                "source": past.source,
                "revert": past.revert_name,
            })
        })
        .collect();
    json!({
        "rollout": rollout.name_any(),
        "namespace": rollout.namespace(),
        "phase": status.and_then(|s| s.phase),
        "stable": status.and_then(|s| s.stable.as_ref()),
        "canary": canary,
        "history": history,
    })
}
