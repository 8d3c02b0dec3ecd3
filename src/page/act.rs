//! What can be asked for, what it will do, and the asking: by the very code of `kubectl tidegate`, so that
//! checks, annotation and answer are the same. Decides nothing.

use std::time::Duration;

use kube::ResourceExt;
use serde::Deserialize;

use super::text::shown;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::{Phase, RolloutStatus};
use crate::cli::args::{Plain, Promote, Target, WaitArgs};
use crate::cli::client::Session;
use crate::cli::command::{self, Check, Verb};
use crate::cli::error::{CliError, Exit};
use crate::cli::header;
use crate::cli::terminal::{Screen, Terminal};
use crate::cli::{abort, pause, promote, resume, retry};

/// How long the controller's answer is waited for while a person looks.
const ANSWER: Duration = Duration::from_secs(15);

/// A command as a page asks for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Where the Rollout is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// What is asked for.
    pub verb: String,
    /// `revision/step` as the person saw it.
    pub seen: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is carried out.
    pub done: bool,
    /// In a sentence.
    pub text: String,
}

/// A button, and what its confirmation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The verb, as it is sent.
    pub verb: &'static str,
    /// What stands on the button.
    pub word: &'static str,
    /// What will happen.
    pub will: String,
    /// Whether it takes something away.
    pub is_grave: bool,
}

/// The verb of this word, of those that a page can ask for.
#[must_use]
pub fn verb(word: &str) -> Option<Verb> {
    let all = [
        Verb::Promote,
        Verb::PromoteFull,
        Verb::Abort,
        Verb::Retry,
        Verb::Pause,
        Verb::Resume,
    ];
    all.into_iter().find(|verb| verb.as_str() == word)
}

/// Revision and step that a page shows.
#[must_use]
pub fn place(status: Option<&RolloutStatus>) -> String {
    let canary = status.and_then(|s| s.canary.as_ref());
    let stable = status.and_then(|s| s.stable.as_ref());
    match (canary, stable) {
        (Some(canary), _) => format!("{}/{}", canary.revision, canary.step),
        (None, Some(stable)) => format!("{}/0", stable.revision),
        (None, None) => "0/0".to_owned(),
    }
}

/// What can be asked for now. Abort is always there: who needs it must not look for it.
#[must_use]
pub fn choices(rollout: &Rollout) -> Vec<Choice> {
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let goes_out = status.canary.is_some() && status.abort.is_none() && status.stable.is_some();
    let given_up = matches!(status.phase, Some(Phase::Aborted | Phase::Rejected));
    let mut out = Vec::new();
    let mut add = |verb: Verb, word, will: String, is_grave| {
        out.push(Choice {
            verb: verb.as_str(),
            word,
            will: shown(&will),
            is_grave,
        });
    };
    if goes_out && !given_up {
        add(Verb::Promote, "Promote", promotes(rollout, status), false);
        add(
            Verb::PromoteFull,
            "Promote in full",
            promotes_full(status),
            true,
        );
    }
    if given_up {
        let will =
            "The version is tried again from its first step, and its rejection is taken back.";
        add(Verb::Retry, "Retry", will.to_owned(), false);
    }
    if status.held_since.is_some() {
        let will = "What was held goes on from where it stands.";
        add(Verb::Resume, "Resume", will.to_owned(), false);
    } else if goes_out && !given_up {
        add(Verb::Pause, "Pause", pauses(status), false);
    }
    add(Verb::Abort, "Abort", aborts(rollout, status), true);
    out
}

fn weight(status: &RolloutStatus) -> i32 {
    status.traffic.as_ref().map_or(0, |t| t.accepted)
}

fn promotes(rollout: &Rollout, status: &RolloutStatus) -> String {
    let Some(canary) = &status.canary else {
        return String::new();
    };
    let steps = rollout.spec.strategy.canary.as_ref();
    let steps = steps.map_or(&[][..], |c| c.steps.as_slice());
    let at = usize::try_from(canary.step).unwrap_or(usize::MAX);
    let word = |at: usize| steps.get(at).map(header::describe);
    let now = match word(at) {
        Some(step) => format!("step {} of {} ({step})", canary.step, canary.steps),
        None => "what it waits for now".to_owned(),
    };
    let next = match at.checked_add(1).and_then(word) {
        Some(step) => format!("step {} ({step})", canary.step.saturating_add(1)),
        None => "the last analysis, if there is one, and the promotion".to_owned(),
    };
    let later = steps.iter().skip(at.saturating_add(1));
    let share = match later.filter_map(|s| s.set_weight).next() {
        Some(to) => format!(
            "The next weight is {to} %; it has {} % now.",
            weight(status)
        ),
        None => format!(
            "No weight follows but 100 %; it has {} % now.",
            weight(status)
        ),
    };
    let revision = canary.revision;
    format!("Revision {revision} ends {now} at once and goes on to {next}. {share}")
}

fn promotes_full(status: &RolloutStatus) -> String {
    let revision = status.canary.as_ref().map_or(0, |c| c.revision);
    let share = weight(status);
    format!(
        "All steps and analyses that are left are skipped. Revision {revision} gets all traffic (it has \
         {share} % now) as soon as its pods can take it, and becomes stable."
    )
}

fn pauses(status: &RolloutStatus) -> String {
    let share = weight(status);
    format!(
        "The rollout stays where it is, with {share} % of the traffic, until somebody resumes it. An \
         analysis that fails still aborts it."
    )
}

fn aborts(rollout: &Rollout, status: &RolloutStatus) -> String {
    let (Some(canary), Some(stable)) = (&status.canary, &status.stable) else {
        return "Nothing goes out now: there is nothing to give up, and the request will be refused."
            .to_owned();
    };
    if status.abort.is_some() {
        return "The version is given up already; the request will change nothing.".to_owned();
    }
    let git = match &rollout.spec.git_revert {
        Some(_) => " What becomes of its change in Git is said by spec.gitRevert.",
        None => "",
    };
    format!(
        "Revision {} is given up now: its {} % of the traffic go back to revision {}, and it is on record \
         as rejected.{git}",
        canary.revision,
        weight(status),
        stable.revision
    )
}

/// Asks for it as the plugin would, and waits for the answer. What is no longer as the person saw it is not
/// written.
///
/// # Errors
/// Refused, forbidden, not reached, not in time: see [`CliError`].
pub async fn give(session: Session, wish: Wish, verb: Verb) -> Result<Answer, CliError> {
    let runtime = tokio::runtime::Handle::current();
    // A terminal is made for one task; this one's lines become the answer.
    let asked = tokio::task::spawn_blocking(move || -> Result<Answer, CliError> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = {
            let mut terminal = Terminal::new(&mut out, &mut err, Screen::default());
            runtime.block_on(Box::pin(ask(&session, &mut terminal, &wish, verb)))?
        };
        let said = [out, err].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(Answer {
            done: exit == Exit::Done,
            text: shown(&said.trim_end().replace('\n', ". ")),
        })
    });
    asked
        .await
        .map_err(|e| CliError::Missing(format!("the command was broken off: {e}")))?
}

async fn ask(
    session: &Session,
    terminal: &mut Terminal<'_>,
    wish: &Wish,
    verb: Verb,
) -> Result<Exit, CliError> {
    let name = wish.name.as_str();
    let rollout = session.rollout(name).await?;
    if let Some(why) = moved(&rollout, verb, &wish.seen) {
        return Err(CliError::Refused(why));
    }
    let (target, wait) = (
        Target::named(name),
        WaitArgs {
            timeout: ANSWER,
            no_wait: false,
        },
    );
    let check: fn(&Rollout) -> Result<Check, CliError> = match verb {
        Verb::Promote | Verb::PromoteFull => {
            let full = verb == Verb::PromoteFull;
            let args = Promote { target, full, wait };
            return promote::run(session, terminal, &args, None).await;
        }
        Verb::Abort => abort::check,
        Verb::Retry => retry::check,
        Verb::Pause => pause::check,
        Verb::Resume => resume::check,
        Verb::Restart => crate::cli::restart::check,
    };
    let args = Plain { target, wait };
    command::plain(session, terminal, &args, None, verb, check).await
}

/// Why what the person saw is no longer so, if it is not. An abort is meant for a version, whatever its step.
fn moved(rollout: &Rollout, verb: Verb, seen: &str) -> Option<String> {
    let now = place(rollout.status.as_ref());
    let revision = |place: &str| place.split('/').next().map(str::to_owned);
    let same = match verb {
        Verb::Abort | Verb::Pause | Verb::Resume => revision(&now) == revision(seen),
        _ => now == seen,
    };
    (!same).then(|| {
        format!(
            "{}: it has moved on from revision/step {} to {now} since the page showed it; nothing was \
             written. Look again, and decide anew",
            rollout.name_any(),
            shown(seen)
        )
    })
}

#[cfg(test)]
mod tests;
