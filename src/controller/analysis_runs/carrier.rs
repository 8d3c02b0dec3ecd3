//! One AnalysisRun from its creation to its end.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::Notify;

use super::{RunContext, expiry, pacing};
use crate::analysis::plan::{self, Plan, Problem};
use crate::analysis::run::{self, Answer, Fault, Pace, Question};
use crate::api::analysis::AnalysisRunSpec;
use crate::api::analysis_status::{AnalysisRunStatus, RunPhase, Verdict};
use crate::controller::bodies;
use crate::controller::caches::Key;
use crate::controller::error::{Error, gone_is_conflict};
use crate::controller::object::{Kind, Object};
use crate::retry::Retry;
use crate::traffic::FIELD_MANAGER;

/// Evidence that changes neither phase nor verdict is written for people who watch, soon after a
/// change and then more and more seldom: every write costs the API server and everybody who watches.
const EVIDENCE: [SignedDuration; 2] = [SignedDuration::from_secs(10), SignedDuration::from_mins(1)];
/// Longest wait after a failure of the API server.
const FAILURE_MAX: Duration = Duration::from_secs(60);
/// After a conflict or another failure of the API server.
const FAILURE: Retry = Retry::new(Duration::from_millis(200), FAILURE_MAX, 2.0).jitter(0.3);

/// Carries the run of this uid until it is over or gone; if it is not to be kept, until it is gone.
pub(super) async fn carry(ctx: Arc<RunContext>, key: Key, uid: String, changed: Arc<Notify>) {
    let mut failures = 0;
    loop {
        let followed = match follow(&ctx, &key, &uid, &changed, &mut failures).await {
            Ok(()) => expiry::wait(&ctx, &key, &uid, &changed).await,
            failed => failed,
        };
        let Err(error) = followed else {
            return;
        };
        failures += 1;
        let wait = FAILURE.after(failures).unwrap_or(FAILURE_MAX);
        match &error {
            Error::Conflict { .. } => tracing::debug!(error = %error.chain(), "read anew"),
            _ => tracing::warn!(error = %error.chain(), again_in = ?wait, "failed"),
        }
        tokio::time::sleep(wait).await;
    }
}

/// Reads the run and follows it until it is over or gone, or until it must be read anew.
async fn follow(
    ctx: &RunContext,
    key: &Key,
    uid: &str,
    changed: &Notify,
    failures: &mut u32,
) -> Result<(), Error> {
    let api = Kind::AnalysisRun.api(ctx.normal.client(), Some(&key.0));
    let read = api.get_opt(&key.1);
    let read = ctx
        .normal
        .call("get", Kind::AnalysisRun, &key.1, read)
        .await?;
    let Some(object) = read.filter(|object| object.uid() == uid) else {
        return Ok(());
    };
    let mut carrier = Carrier::new(ctx, key, object);
    let plan = match carrier.plan() {
        _ if run::is_over(&carrier.status) => return Ok(()),
        Ok(plan) => plan,
        Err(problems) => {
            carrier.status = run::invalid(&problems, (ctx.clock)());
            return carrier.write().await;
        }
    };
    carrier.status = run::resume(&plan, Some(carrier.status.clone()));
    loop {
        let next = carrier.look(&plan).await?;
        *failures = 0;
        if run::is_over(&carrier.status) {
            return Ok(());
        }
        let wait = Duration::try_from(next.duration_since((ctx.clock)())).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = changed.notified() => {
                let cached = ctx.caches.get(Kind::AnalysisRun, &key.0, &key.1);
                let Some(cached) = cached.filter(|cached| cached.uid() == uid) else {
                    return Ok(());
                };
                // Somebody wants it to end: the version that says so is to be written on.
                if terminates(&cached.value()) && !carrier.terminate {
                    return Err(Error::Conflict { what: format!("AnalysisRun {}", key.1) });
                }
            }
        }
    }
}

fn terminates(run: &Value) -> bool {
    run.pointer("/spec/terminate") == Some(&Value::Bool(true))
}

struct Carrier<'a> {
    ctx: &'a RunContext,
    key: &'a Key,
    object: Object,
    spec: Result<AnalysisRunSpec, String>,
    terminate: bool,
    status: AnalysisRunStatus,
    written: Written,
    written_at: Option<Timestamp>,
    /// So long after that evidence alone is written again.
    pause: SignedDuration,
    pace: Pace,
}

/// What is kept of a status that stands in the API server: all of it again would be most of what a
/// run takes.
struct Written {
    phase: Option<RunPhase>,
    verdict: Option<Verdict>,
    /// Of the whole text.
    hash: Option<u64>,
}

impl Written {
    fn of(status: &AnalysisRunStatus) -> Self {
        Self {
            phase: status.phase,
            verdict: status.verdict,
            hash: Self::hash(status),
        }
    }

    fn hash(status: &AnalysisRunStatus) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        hasher.write(&serde_json::to_vec(status).ok()?);
        Some(hasher.finish())
    }
}

impl<'a> Carrier<'a> {
    fn new(ctx: &'a RunContext, key: &'a Key, object: Object) -> Self {
        let value = object.value();
        let part = |name: &str| value.get(name).cloned().unwrap_or_default();
        let spec = AnalysisRunSpec::deserialize(part("spec")).map_err(|error| error.to_string());
        // A status that cannot be read holds nothing from which the run could go on.
        let status = AnalysisRunStatus::deserialize(part("status")).unwrap_or_default();
        let terminate = terminates(&value);
        drop(value);
        Self {
            ctx,
            key,
            object,
            spec,
            terminate,
            written: Written::of(&status),
            status,
            written_at: None,
            pause: EVIDENCE[0],
            pace: Pace::default(),
        }
    }

    fn plan(&self) -> Result<Plan, Vec<Problem>> {
        let spec = self
            .spec
            .as_ref()
            .map_err(|error| vec![Problem::new("spec", "", error)])?;
        let created = self.object.created().unwrap_or(Timestamp::UNIX_EPOCH);
        plan::parse(spec, created)
    }

    /// Asks what is due, judges, writes what is worth it; when to look again.
    async fn look(&mut self, plan: &Plan) -> Result<Timestamp, Error> {
        let now = (self.ctx.clock)();
        let questions = if self.terminate {
            Vec::new()
        } else {
            let due = run::questions(plan, &self.status, &self.pace, now.as_second());
            let due = due.into_iter();
            due.map(|q| pacing::on_the_grid(plan, q)).collect()
        };
        let answers = self.ask(plan, &questions).await;
        let now = (self.ctx.clock)();
        let mut behind = false;
        for (question, answer) in questions.iter().zip(answers) {
            behind |= run::take(
                plan,
                &mut self.status,
                &mut self.pace,
                question,
                answer,
                now,
            );
        }
        run::conclude(plan, &mut self.status, self.terminate, now);
        if self.is_worth_writing(now) {
            self.write().await?;
        }
        if behind {
            self.pace = Pace::default();
            return Ok(now);
        }
        let next = run::next_look(plan, &self.status, &self.pace, now.as_second());
        Ok(pacing::at_its_moment(next, self.object.uid()).unwrap_or(now))
    }

    async fn ask(&self, plan: &Plan, questions: &[Question]) -> Vec<Result<Answer, Fault>> {
        if questions.is_empty() {
            return Vec::new();
        }
        let provider = self
            .spec
            .as_ref()
            .ok()
            .and_then(|spec| spec.provider.as_deref());
        let source = match self.ctx.providers.source(provider, &self.key.0).await {
            Ok(source) => source,
            Err(fault) => return questions.iter().map(|_| Err(fault.clone())).collect(),
        };
        let asked = questions.iter().map(|question| async {
            let Some(metric) = plan.metrics.get(question.metric) else {
                return Err(Fault {
                    reason: "WrongAnswer".to_owned(),
                    message: "there is no such metric".to_owned(),
                    retry_after: None,
                });
            };
            source.ask(&metric.kind, question).await
        });
        let answers = futures::future::join_all(asked).await;
        for answer in &answers {
            self.ctx.metrics.metrics_question(answer.as_ref().err());
        }
        answers
    }

    fn is_worth_writing(&self, now: Timestamp) -> bool {
        let (new, old) = (&self.status, &self.written);
        let said = new.phase != old.phase || new.verdict != old.verdict;
        let long_ago = |at| now.duration_since(at) >= self.pause;
        said || (self.written_at.is_none_or(long_ago) && Written::hash(new) != old.hash)
    }

    /// The whole status on the version that was read: a 409 means to read it anew.
    async fn write(&mut self) -> Result<(), Error> {
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            what: format!("status of AnalysisRun {}", self.key.1),
            reason: error.to_string(),
        };
        run::fit(&mut self.status);
        self.status.observed_generation = self.object.generation();
        let status = serde_json::to_value(&self.status).map_err(unreadable)?;
        let body = bodies::with_status(&self.object.value(), status);
        let body = Object::new(body).map_err(unreadable)?;
        // A failure takes traffic away from a bad version: it waits behind nothing.
        let calls = match self.status.phase {
            Some(RunPhase::Failed) => &self.ctx.urgent,
            _ => &self.ctx.normal,
        };
        let api = Kind::AnalysisRun.api(calls.client(), Some(&self.key.0));
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let call = api.replace_status(&self.key.1, &params, &body);
        let answer = calls
            .call("update status of", Kind::AnalysisRun, &self.key.1, call)
            .await;
        self.object = answer.map_err(gone_is_conflict)?;
        let [least, most] = EVIDENCE;
        self.pause = (self.pause * 2).min(most);
        if self.status.phase != self.written.phase || self.status.verdict != self.written.verdict {
            self.pause = least;
            tracing::info!(
                phase = ?self.status.phase,
                verdict = ?self.status.verdict,
                reason = self.status.reason,
                message = self.status.message,
            );
        }
        self.written = Written::of(&self.status);
        self.written_at = Some((self.ctx.clock)());
        Ok(())
    }
}
