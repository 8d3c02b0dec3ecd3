//! The loop of AnalysisRuns: ask the metrics source, let the pure analysis judge, write what it says.
//!
//! Every run that is not over has a task of its own, because each has times of its own; so has one
//! that is to be deleted some time after its end. What a task
//! knows beyond the status that it wrote is found again from the same samples, so it may end at any
//! instant. Nothing in here decides anything: what is asked, what answers mean and when to look
//! again is `analysis::run`.

mod carrier;
mod expiry;
mod pacing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument;

use super::caches::{Caches, Key};
use super::calls::Calls;
use super::context::Clock;
use super::object::{Kind, Object};
use super::providers::Providers;
use super::telemetry::Metrics;
use crate::api::analysis_status::{AnalysisRunStatus, RunPhase};

/// How long the caches have to learn that a run is gone.
const AFTER_END: Duration = Duration::from_secs(1);
/// How long a run is left alone whose task panicked.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// What every run needs.
pub struct RunContext {
    /// What the watches have brought.
    pub caches: Arc<Caches>,
    /// The way to the API server for everyday work.
    pub normal: Calls,
    /// The way to the API server for a verdict that aborts.
    pub urgent: Calls,
    /// What time it is.
    pub clock: Clock,
    /// Where metrics come from.
    pub providers: Arc<Providers>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Carries every run that is not over, until `stop` says so.
pub async fn run(
    ctx: Arc<RunContext>,
    mut queue: UnboundedReceiver<Key>,
    mut stop: watch::Receiver<bool>,
) {
    let mut carried = Carried::default();
    loop {
        tokio::select! {
            Some(key) = queue.recv() => carried.look(&ctx, key),
            Some(ended) = carried.tasks.join_next_with_id() => carried.ended(&ctx, &ended),
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    // The status holds all that the next one needs to go on.
    carried.tasks.shutdown().await;
}

/// The tasks, by the run that they carry.
#[derive(Default)]
struct Carried {
    tasks: JoinSet<()>,
    by_key: BTreeMap<Key, Task>,
    by_id: BTreeMap<Id, Key>,
}

struct Task {
    uid: String,
    /// The run was changed or deleted.
    changed: Arc<Notify>,
}

impl Carried {
    /// A run was made, changed or deleted.
    fn look(&mut self, ctx: &Arc<RunContext>, key: Key) {
        if let Some(task) = self.by_key.get(&key) {
            task.changed.notify_one();
            return;
        }
        let run = ctx.caches.get(Kind::AnalysisRun, &key.0, &key.1);
        if let Some(run) = run.filter(|run| !is_over(run) || expiry::at(&run.value()).is_some()) {
            self.begin(ctx, key, run.uid().to_owned(), Duration::ZERO);
        }
    }

    fn begin(&mut self, ctx: &Arc<RunContext>, key: Key, uid: String, after: Duration) {
        let changed = Arc::new(Notify::new());
        let span = tracing::info_span!("analysis", namespace = key.0, name = key.1);
        let task = carrier::carry(
            Arc::clone(ctx),
            key.clone(),
            uid.clone(),
            Arc::clone(&changed),
        );
        let task = async move {
            tokio::time::sleep(after).await;
            task.await;
        };
        let id = self.tasks.spawn(task.instrument(span)).id();
        self.by_id.insert(id, key.clone());
        self.by_key.insert(key, Task { uid, changed });
    }

    fn ended(&mut self, ctx: &Arc<RunContext>, ended: &Result<(Id, ()), JoinError>) {
        let (id, panicked) = match ended {
            Ok((id, ())) => (*id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(key) = self.by_id.remove(&id) else {
            return;
        };
        let before = self.by_key.remove(&key);
        let run = ctx.caches.get(Kind::AnalysisRun, &key.0, &key.1);
        let Some(run) = run.filter(|run| !is_over(run) || expiry::at(&run.value()).is_some())
        else {
            return;
        };
        if panicked {
            tracing::error!(
                namespace = key.0,
                name = key.1,
                "the analysis panicked; this is a defect of Tidegate, please report it"
            );
            self.begin(ctx, key, run.uid().to_owned(), AFTER_PANIC);
        } else if before.is_none_or(|task| task.uid != run.uid()) {
            // Another run of the same name came while this one was being ended.
            self.begin(ctx, key, run.uid().to_owned(), Duration::ZERO);
        } else if is_over(&run) {
            // That it is not to be kept was said, or came to be known, while the task ended.
            self.begin(ctx, key, run.uid().to_owned(), AFTER_END);
        }
    }
}

/// Whether a run as it is in the caches is over. One that cannot be read is not: it is read live.
fn is_over(run: &Object) -> bool {
    let phase = run.value().pointer("/status/phase").cloned();
    let phase = phase.and_then(|phase: Value| serde_json::from_value::<RunPhase>(phase).ok());
    crate::analysis::run::is_over(&AnalysisRunStatus {
        phase,
        ..AnalysisRunStatus::default()
    })
}
