//! What the commands have in common: an annotation is written that names the revision and step it
//! is meant for, and its acknowledgement in the status is waited for.

use futures::StreamExt;
use jiff::{Timestamp, Unit};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::advice;
use super::args::{Output, Plain, WaitArgs};
use super::client::{ROLLOUTS, Session, full_name, is_final};
use super::error::{CliError, Exit};
use super::style::Tone;
use super::terminal::Terminal;
use super::words;
use crate::api::rollout::Rollout;
use crate::api::rollout_status::RolloutStatus;

/// Who writes, as `metadata.managedFields` shows it.
pub const FIELD_MANAGER: &str = "kubectl-tidegate";
/// What `lastHandledCommand.result` says of a command that is carried out.
const ACCEPTED: &str = "Accepted";

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// End the present step.
    Promote,
    /// Skip all that is left.
    PromoteFull,
    /// Give the version up.
    Abort,
    /// Try it again.
    Retry,
    /// Hold.
    Pause,
    /// Go on.
    Resume,
    /// Replace the pods.
    Restart,
}

impl Verb {
    /// As it stands in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Promote => "promote",
            Verb::PromoteFull => "promote-full",
            Verb::Abort => "abort",
            Verb::Retry => "retry",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Restart => "restart",
        }
    }

    /// Its annotation.
    #[must_use]
    pub fn annotation(self) -> String {
        format!("tidegate.io/{}", self.as_str())
    }
}

/// What a check before the write came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Write the request.
    Go,
    /// It is so already; there is nothing to write.
    AlreadySo(String),
}

/// The status that a command is checked against.
///
/// # Errors
/// Refused where there is none, or where the Rollout is going away.
pub fn status_for(rollout: &Rollout, verb: Verb) -> Result<&RolloutStatus, CliError> {
    if rollout.metadata.deletion_timestamp.is_some() {
        return Err(refused(rollout, verb, "the Rollout is being deleted"));
    }
    rollout.status.as_ref().filter(|s| s.phase.is_some()).ok_or_else(|| {
        let why = "the controller has not looked at the Rollout yet, so there is no revision that \
                   the command could be meant for. See whether it runs: kubectl get pods -A -l \
                   app.kubernetes.io/name=tidegate";
        refused(rollout, verb, why)
    })
}

/// Refuses a command that goes forward while the status speaks of an earlier spec: the person has
/// seen another version than the one that the command would meet.
///
/// # Errors
/// Refused, with both generations.
pub fn seen(rollout: &Rollout, verb: Verb) -> Result<(), CliError> {
    match advice::unseen(rollout) {
        Some(why) => Err(refused(
            rollout,
            verb,
            &format!("{why}; look again in a moment"),
        )),
        None => Ok(()),
    }
}

/// A refusal before anything was written.
#[must_use]
pub fn refused(rollout: &Rollout, verb: Verb, why: &str) -> CliError {
    CliError::Refused(format!(
        "{}: {} is refused, nothing was written: {why}",
        full_name(rollout.name_any()),
        verb.as_str()
    ))
}

/// Revision, step, and how many steps there are.
fn place(status: &RolloutStatus) -> (i64, i32, i32) {
    match (&status.canary, &status.stable) {
        (Some(canary), _) => (canary.revision, canary.step, canary.steps),
        (None, Some(stable)) => (stable.revision, 0, 0),
        (None, None) => (0, 0, 0),
    }
}

/// `<revision>/<step> <RFC 3339 time> <who>`
#[must_use]
pub fn value(status: &RolloutStatus, now: Timestamp, who: &str) -> String {
    let (revision, step, _) = place(status);
    // Milliseconds: two commands of one second are two commands.
    let now = now.round(Unit::Millisecond).unwrap_or(now);
    format!("{revision}/{step} {now} {who}")
}

/// A command without flags of its own: reads the Rollout, checks, gives the command.
///
/// # Errors
/// See [`CliError`].
pub async fn plain(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Plain,
    output: Option<Output>,
    verb: Verb,
    check: fn(&Rollout) -> Result<Check, CliError>,
) -> Result<Exit, CliError> {
    let name = args.target.name().map_err(CliError::Usage)?;
    let rollout = session.rollout(name).await?;
    let check = check(&rollout)?;
    give(session, terminal, &rollout, verb, check, args.wait, output).await
}

/// Writes the request, waits for the answer, and says what came of it.
///
/// # Errors
/// When the request cannot be written, is refused by the controller, or is not answered in time.
pub async fn give(
    session: &Session,
    terminal: &mut Terminal<'_>,
    rollout: &Rollout,
    verb: Verb,
    check: Check,
    wait: WaitArgs,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let name = rollout.name_any();
    let status = status_for(rollout, verb)?;
    let mut report = Report::new(session, &name, verb, output);
    if let Check::AlreadySo(why) = check {
        report.result = Some(format!("Nothing to do: {why}"));
        report.print(terminal, Tone::Plain)?;
        return Ok(Exit::Done);
    }
    let value = value(status, Timestamp::now(), &session.who);
    let patch = json!({"metadata": {"annotations": {verb.annotation(): value}}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..Default::default()
    };
    let api = session.rollouts();
    session
        .ask(
            &session.asked("patch", ROLLOUTS),
            api.patch_metadata(&name, &params, &Patch::Merge(&patch)),
        )
        .await?;
    report.value = Some(value.clone());
    if report.is_for_people() {
        let (revision, step, steps) = place(status);
        let at = if steps > 0 {
            format!(", step {step}/{steps}")
        } else {
            String::new()
        };
        let asked = format!(
            "{}: {} asked for by {} (revision {revision}{at})",
            full_name(&name),
            verb.as_str(),
            session.who
        );
        terminal.say(Tone::Plain, asked)?;
    }
    if wait.no_wait {
        if !report.is_for_people() {
            report.print(terminal, Tone::Plain)?;
        }
        return Ok(Exit::Done);
    }
    match answer(session, &name, verb, &value, wait).await? {
        Some(result) => {
            let accepted = !result.starts_with("Refused");
            report.result = Some(result);
            report.print(terminal, if accepted { Tone::Good } else { Tone::Bad })?;
            if accepted {
                return Ok(Exit::Done);
            }
            // People have read it above; a script's document holds it.
            Ok(Exit::Refused)
        }
        None => {
            if !report.is_for_people() {
                report.print(terminal, Tone::Plain)?;
            }
            Err(not_answered(session, rollout, verb, wait))
        }
    }
}

/// The controller's answer to exactly this value; none when it does not come in time.
async fn answer(
    session: &Session,
    name: &str,
    verb: Verb,
    value: &str,
    wait: WaitArgs,
) -> Result<Option<String>, CliError> {
    let watch = watcher::watch_object(session.rollouts(), name).default_backoff();
    let mut watch = std::pin::pin!(watch);
    let deadline = (!wait.timeout.is_zero()).then(|| Instant::now() + wait.timeout);
    loop {
        let next = match deadline {
            Some(deadline) => match tokio::time::timeout_at(deadline, watch.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(None),
            },
            None => watch.next().await,
        };
        match next {
            Some(Ok(Some(rollout))) => {
                if let Some(result) = handled(&rollout, verb, value) {
                    return Ok(Some(result));
                }
            }
            Some(Ok(None)) => {
                return Err(CliError::NotFound {
                    name: name.to_owned(),
                    namespace: session.namespace.clone(),
                    context: session.context.clone(),
                    hint: "It was deleted while the answer was waited for".to_owned(),
                });
            }
            Some(Err(
                watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e),
            )) if is_final(&e) => {
                return Err(session.explain(&session.asked("watch", ROLLOUTS), &e));
            }
            // The watch begins anew by itself.
            Some(Err(_)) => {}
            None => return Ok(None),
        }
    }
}

/// What the status says of this value.
fn handled(rollout: &Rollout, verb: Verb, value: &str) -> Option<String> {
    let status = rollout.status.as_ref()?;
    if let Some(last) = status.last_handled_command.as_ref()
        && last.command == verb.as_str()
        && last.value == value
    {
        return Some(last.result.clone());
    }
    let seen = status
        .handled_commands
        .get(verb.as_str())
        .is_some_and(|seen| seen == value);
    seen.then(|| "Handled; a later command's result has taken its place in the status".to_owned())
}

fn not_answered(session: &Session, rollout: &Rollout, verb: Verb, wait: WaitArgs) -> CliError {
    let (name, namespace) = (rollout.name_any(), &session.namespace);
    let verb_name = verb.as_str();
    let time = words::length(i64::try_from(wait.timeout.as_secs()).unwrap_or(i64::MAX));
    CliError::TimedOut(format!(
        "{}: no answer to {verb_name} within {time}. The request is written and will be handled as \
         soon as the controller looks at it. See whether the controller runs (kubectl get pods -A \
         -l app.kubernetes.io/name=tidegate), whether it may see namespace {namespace}, and what \
         it logs. To take the request back: kubectl annotate rollout.tidegate.io {name} -n \
         {namespace} {}-",
        full_name(&name),
        verb.annotation()
    ))
}

/// What is printed of a command.
struct Report<'r> {
    session: &'r Session,
    name: &'r str,
    verb: Verb,
    output: Option<Output>,
    value: Option<String>,
    result: Option<String>,
}

impl<'r> Report<'r> {
    fn new(session: &'r Session, name: &'r str, verb: Verb, output: Option<Output>) -> Self {
        Self {
            session,
            name,
            verb,
            output,
            value: None,
            result: None,
        }
    }

    fn is_for_people(&self) -> bool {
        matches!(self.output, None | Some(Output::Wide))
    }

    fn print(&self, terminal: &mut Terminal<'_>, tone: Tone) -> Result<(), CliError> {
        let result = self.result.as_deref();
        match self.output {
            Some(format @ (Output::Json | Output::Yaml)) => {
                let document: Value = json!({
                    "rollout": self.name,
                    "namespace": self.session.namespace,
                    "command": self.verb.as_str(),
                    "value": self.value,
                    "result": result,
                    "accepted": result.map(|r| r == ACCEPTED),
                });
                terminal.document(format, &document)
            }
            Some(Output::Name) => terminal.say(Tone::Plain, full_name(self.name)),
            None | Some(Output::Wide) => {
                let mut text = format!("{}: {}", full_name(self.name), result.unwrap_or_default());
                if let (Some(Output::Wide), Some(value)) = (self.output, &self.value) {
                    text.push_str(&format!(" ({}={value})", self.verb.annotation()));
                }
                terminal.say(tone, text)
            }
        }
    }
}
