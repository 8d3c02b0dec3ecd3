//! `status`: where a Rollout stands, in a word; `--wait` until it is settled, with an exit code that
//! a pipeline can act on.

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::advice;
use super::args::{Output, Status};
use super::client::{ROLLOUTS, Session, full_name, is_final};
use super::error::{CliError, Exit};
use super::header;
use super::style::{Line, Tone};
use super::terminal::Terminal;
use super::words;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Status,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let name = args.target.name().map_err(CliError::Usage)?;
    let rollout = session.rollout(name).await?;
    if !args.wait {
        print(terminal, &rollout, output)?;
        return Ok(Exit::Done);
    }
    let mut wait = Waiting {
        session,
        name,
        output,
        said: String::new(),
        last: rollout,
    };
    let settled = match wait.step(terminal)? {
        Some(exit) => Some(exit),
        None if args.timeout.is_zero() => wait.settle(terminal).await?,
        None => {
            let deadline = Instant::now() + args.timeout;
            match tokio::time::timeout_at(deadline, wait.settle(terminal)).await {
                Ok(settled) => settled?,
                Err(_) => None,
            }
        }
    };
    if output.is_some_and(|o| o != Output::Wide) {
        print(terminal, &wait.last, output)?;
    }
    settled.ok_or_else(|| not_settled(&wait.last, args))
}

/// The exit code of a phase that is an end, if the status speaks of the spec as it is now.
#[must_use]
pub fn settled(rollout: &Rollout) -> Option<Exit> {
    if advice::unseen(rollout).is_some() {
        return None;
    }
    match rollout.status.as_ref()?.phase? {
        Phase::Healthy => Some(Exit::Done),
        Phase::Aborted | Phase::Rejected => Some(Exit::Aborted),
        Phase::Degraded | Phase::Invalid => Some(Exit::Broken),
        Phase::Initializing | Phase::Progressing | Phase::Paused | Phase::Aborting => None,
    }
}

struct Waiting<'a> {
    session: &'a Session,
    name: &'a str,
    output: Option<Output>,
    said: String,
    last: Rollout,
}

impl Waiting<'_> {
    /// Says what is new, and whether it is over.
    fn step(&mut self, terminal: &mut Terminal<'_>) -> Result<Option<Exit>, CliError> {
        let line = sentence(&self.last);
        let text = line.render(false);
        if self.output.is_none_or(|o| o == Output::Wide) && text != self.said {
            terminal.line(&line)?;
            terminal.flush()?;
            self.said = text;
        }
        Ok(settled(&self.last))
    }

    async fn settle(&mut self, terminal: &mut Terminal<'_>) -> Result<Option<Exit>, CliError> {
        let watch = watcher::watch_object(self.session.rollouts(), self.name).default_backoff();
        let mut watch = std::pin::pin!(watch);
        while let Some(event) = watch.next().await {
            match event {
                Ok(Some(rollout)) => {
                    self.last = rollout;
                    if let Some(exit) = self.step(terminal)? {
                        return Ok(Some(exit));
                    }
                }
                Ok(None) => {
                    return Err(CliError::NotFound {
                        name: self.name.to_owned(),
                        namespace: self.session.namespace.clone(),
                        context: self.session.context.clone(),
                        hint: "It was deleted while it was waited for".to_owned(),
                    });
                }
                Err(watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e))
                    if is_final(&e) =>
                {
                    let asked = self.session.asked("watch", ROLLOUTS);
                    return Err(self.session.explain(&asked, &e));
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }
}

/// `✔ Healthy  revision 13 is stable`
fn sentence(rollout: &Rollout) -> Line {
    let status = rollout.status.as_ref();
    if let Some(unseen) = advice::unseen(rollout) {
        return Line::new()
            .with(Tone::Busy, "◌ Waiting")
            .with(Tone::Plain, format!("  {unseen}"));
    }
    let (word, tone) = header::phase(status.and_then(|s| s.phase));
    let mut line = Line::new().with(tone, word);
    let message = status.map(|s| s.message.as_str()).unwrap_or_default();
    if !message.is_empty() {
        line.push(Tone::Plain, format!("  {message}"));
    }
    line
}

fn print(
    terminal: &mut Terminal<'_>,
    rollout: &Rollout,
    output: Option<Output>,
) -> Result<(), CliError> {
    let status = rollout.status.clone().unwrap_or_default();
    match output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            terminal.document(format, &document(rollout))
        }
        Some(Output::Name) => terminal.say(Tone::Plain, full_name(rollout.name_any())),
        Some(Output::Wide) => terminal.line(&sentence(rollout)),
        // One word, so that a script can compare it.
        None => {
            let word = status
                .phase
                .map_or_else(|| "Unknown".to_owned(), |p| p.to_string());
            terminal.say(header::phase(status.phase).1, word)
        }
    }
}

/// What scripts read of a Rollout.
pub(super) fn document(rollout: &Rollout) -> Value {
    let status = rollout.status.clone().unwrap_or_default();
    json!({
        "rollout": rollout.name_any(),
        "namespace": rollout.namespace(),
        "phase": status.phase,
        "message": status.message,
        "current": advice::unseen(rollout).is_none(),
        "stable": status.stable.map(|s| json!({"revision": s.revision, "images": s.images})),
        "canary": status.canary.map(|c| json!({
            "revision": c.revision, "images": c.images, "attempt": c.attempt,
            "step": c.step, "steps": c.steps,
        })),
        "traffic": status.traffic.map(|t| json!({"desired": t.desired, "accepted": t.accepted})),
        "pause": status.pause,
        "abort": status.abort,
    })
}

fn not_settled(rollout: &Rollout, args: &Status) -> CliError {
    let time = words::length(i64::try_from(args.timeout.as_secs()).unwrap_or(i64::MAX));
    CliError::TimedOut(format!(
        "{} is not settled after {time}: {}. {} shows why; a longer wait is given by --timeout",
        full_name(rollout.name_any()),
        sentence(rollout).render(false),
        advice::command(rollout, "get")
    ))
}
