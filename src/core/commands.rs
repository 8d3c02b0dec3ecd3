//! Commands are requests: an annotation names what is wanted, for which revision and step, and who
//! asked. Each is acted on once and acknowledged in the status; one that is meant for a moment that
//! has gone by is refused with the reason.

use super::draft::{Draft, cut};
use super::lifecycle::{self, Situation};
use super::plan::{Precondition, Write};
use super::steps;
use crate::api::rollout_status::{AbortReason, HandledCommand, PauseReason};

/// Every verb; abort comes first, because it wins over all others.
pub const VERBS: [&str; 7] = [
    "abort",
    "pause",
    "resume",
    "promote",
    "promote-full",
    "retry",
    "restart",
];
/// Longest annotation value that is read.
const VALUE_MAX: usize = 512;

/// The annotation of a verb.
#[must_use]
pub fn annotation(verb: &str) -> String {
    format!("tidegate.io/{verb}")
}

/// What an annotation asks for.
struct Command<'v> {
    /// The revision that it is meant for; `None`: whichever (abort alone).
    revision: Option<i64>,
    /// The step that it is meant for.
    step: Option<i32>,
    /// Who asked.
    who: &'v str,
}

/// Acts on every command that has not been acted on, and returns where the Rollout stands then.
pub(super) fn apply(
    draft: &mut Draft<'_>,
    desired: &str,
    mut situation: Situation,
    weight: i32,
) -> Situation {
    let annotations = &draft.o.rollout.annotations;
    // What is no longer there may be said anew.
    draft
        .status
        .handled_commands
        .retain(|verb, _| annotations.contains_key(&annotation(verb)));
    for verb in VERBS {
        let Some(value) = annotations.get(&annotation(verb)) else {
            continue;
        };
        let value = cut(value.clone(), VALUE_MAX);
        if draft.status.handled_commands.get(verb) == Some(&value) {
            continue;
        }
        let result = match parse(verb, &value) {
            Ok(command) => act(draft, verb, &command, desired, situation, weight),
            Err(refusal) => Err(refusal),
        };
        if result.is_ok() {
            situation = lifecycle::update(draft, desired);
        }
        let result = match result {
            Ok(()) => "Accepted".to_owned(),
            Err(refusal) => {
                draft.event(true, "CommandRefused", format!("{verb}: {refusal}"));
                cut(format!("Refused: {refusal}"), VALUE_MAX)
            }
        };
        let at = draft.now;
        draft
            .status
            .handled_commands
            .insert(verb.to_owned(), value.clone());
        draft.status.last_handled_command = Some(HandledCommand {
            command: verb.to_owned(),
            value,
            at,
            result,
        });
    }
    situation
}

/// Whether a command is acted on by this very decision: no status tells of it yet.
pub(super) fn are_new(draft: &Draft<'_>) -> bool {
    let before = &draft.o.rollout.status.handled_commands;
    let mut handled = draft.status.handled_commands.iter();
    handled.any(|(verb, value)| before.get(verb) != Some(value))
}

/// A bare `abort` names no revision, so it must not stay: it would meet the next rollout. It is taken
/// off once its acknowledgement is written.
pub(super) fn bare_abort_handled(draft: &Draft<'_>) -> Option<Write> {
    let value = draft.o.rollout.annotations.get(&annotation("abort"))?;
    let handled = draft.o.rollout.status.handled_commands.get("abort") == Some(value);
    let on: Precondition = draft.rollout();
    (handled && is_bare(value)).then(|| Write::RemoveAnnotation {
        on,
        key: annotation("abort"),
    })
}

fn is_bare(value: &str) -> bool {
    !value.contains('/')
}

/// `<revision>/<step> <RFC 3339 time> <who>`; anything without a slash is a bare abort.
fn parse<'v>(verb: &str, value: &'v str) -> Result<Command<'v>, String> {
    if is_bare(value) {
        return if verb == "abort" {
            Ok(Command {
                revision: None,
                step: None,
                who: "somebody",
            })
        } else {
            Err(format!(
                "{value:?} does not say what it is meant for: write \"<revision>/<step> <time> \
                 <who>\", or use kubectl tidegate {verb}"
            ))
        };
    }
    let mut parts = value.splitn(3, ' ');
    let place = parts.next().unwrap_or_default();
    let who = parts.nth(1).filter(|w| !w.is_empty()).unwrap_or("somebody");
    let numbers = place
        .split_once('/')
        .and_then(|(revision, step)| Some((revision.parse().ok()?, step.parse().ok()?)));
    match numbers {
        Some((revision, step)) => Ok(Command {
            revision: Some(revision),
            step: Some(step),
            who,
        }),
        None => Err(format!(
            "{place:?} is not <revision>/<step>, two whole numbers"
        )),
    }
}

fn act(
    draft: &mut Draft<'_>,
    verb: &str,
    command: &Command<'_>,
    desired: &str,
    situation: Situation,
    weight: i32,
) -> Result<(), String> {
    let current = draft
        .status
        .canary
        .as_ref()
        .map(|c| c.revision)
        .or(draft.status.stable.as_ref().map(|s| s.revision))
        .unwrap_or(0);
    if let Some(revision) = command.revision.filter(|r| *r != current) {
        return Err(format!(
            "it was meant for revision {revision}; this is revision {current}"
        ));
    }
    match verb {
        "abort" => match situation {
            Situation::InProgress => {
                let message = format!("{} asked for it", command.who);
                lifecycle::abort(draft, AbortReason::Manual, message, None, weight);
                Ok(())
            }
            Situation::Aborted => Ok(()),
            _ => Err("no rollout is in progress; nothing is changed".to_owned()),
        },
        "pause" => {
            let now = draft.now;
            draft.status.held_since.get_or_insert(now);
            Ok(())
        }
        "resume" => resume(draft),
        "promote" => promote(draft, command, situation),
        "promote-full" => match (situation, &mut draft.status.canary) {
            (Situation::InProgress, Some(canary)) => {
                canary.full = true;
                draft.status.held_since = None;
                Ok(())
            }
            _ => Err(not_in_progress(situation)),
        },
        "retry" => retry(draft, desired, situation, command.who),
        "restart" => {
            let now = draft.now;
            draft.status.restart_at = Some(now);
            Ok(())
        }
        _ => Err(format!(
            "{verb} is not a command; there are {}",
            VERBS.join(", ")
        )),
    }
}

fn resume(draft: &mut Draft<'_>) -> Result<(), String> {
    if draft.status.held_since.take().is_none() {
        return Err(if draft.spec.paused {
            "spec.paused is true: set it to false where the spec comes from".to_owned()
        } else {
            "the rollout is not held; a pause step is ended by promote".to_owned()
        });
    }
    // Being held is not a lack of progress.
    let now = draft.now;
    if let Some(canary) = &mut draft.status.canary {
        canary.progress_at = Some(now);
    }
    Ok(())
}

/// Ends the present step, whatever it waits for.
fn promote(
    draft: &mut Draft<'_>,
    command: &Command<'_>,
    situation: Situation,
) -> Result<(), String> {
    let Some(canary) = draft.status.canary.clone() else {
        return Err(not_in_progress(situation));
    };
    if situation != Situation::InProgress {
        return Err(not_in_progress(situation));
    }
    if let Some(step) = command.step.filter(|s| *s != canary.step) {
        return Err(format!(
            "it was meant for step {step}; the rollout is at step {} of {}",
            canary.step, canary.steps
        ));
    }
    let inconclusive = draft
        .status
        .pause
        .as_ref()
        .is_some_and(|p| p.reason == PauseReason::Inconclusive);
    if usize::try_from(canary.step).unwrap_or(0) < draft.spec.steps.len() {
        // The weight of 100 waits for the background analysis: this person's word stands for it.
        if steps::all_traffic_withheld(draft).is_some() {
            steps::grant_all_traffic(draft, true);
            return Ok(());
        }
        steps::enter(draft, canary.step + 1);
        return Ok(());
    }
    match &mut draft.status.canary {
        Some(canary) if inconclusive => {
            canary.full = true;
            Ok(())
        }
        _ => Err("all steps are done already; the rollout ends by itself".to_owned()),
    }
}

/// Tries a version again that was given up or rejected. Explicit, and a new attempt.
fn retry(
    draft: &mut Draft<'_>,
    desired: &str,
    situation: Situation,
    who: &str,
) -> Result<(), String> {
    if !matches!(situation, Situation::Aborted | Situation::Rejected) {
        return Err("the version was not aborted; there is nothing to retry".to_owned());
    }
    let note = format!("{} {who}", draft.now);
    let records: Vec<_> = draft
        .o
        .reverts
        .iter()
        .filter(|r| r.hash == desired && !r.released)
        .collect();
    for record in records {
        draft.write(Write::ReleaseRevert {
            name: record.name.clone(),
            on: Precondition {
                uid: record.uid.clone(),
                resource_version: record.resource_version.clone(),
            },
            note: note.clone(),
        });
    }
    lifecycle::begin(draft, desired);
    let attempt = draft.status.canary.as_ref().map_or(1, |c| c.attempt);
    draft.event(
        false,
        "RolloutRetried",
        format!("attempt {attempt}, asked for by {who}"),
    );
    Ok(())
}

fn not_in_progress(situation: Situation) -> String {
    match situation {
        Situation::Initial => "the first deployment has no steps".to_owned(),
        Situation::Settled => "no rollout is in progress".to_owned(),
        Situation::Aborted => "the version was aborted; retry tries it again".to_owned(),
        Situation::Rejected => "the version was rejected; retry tries it again".to_owned(),
        Situation::InProgress => "there is nothing to promote".to_owned(),
    }
}
