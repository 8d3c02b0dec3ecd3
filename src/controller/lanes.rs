//! Two lanes: everyday work, and aborts.
//!
//! Every trigger goes to both. The lane for aborts looks at the caches alone, unless traffic has to
//! go back to stable; then it does the work itself, with concurrency and a call budget that nobody
//! else uses, and takes the Rollout from everyday work if that is busy with it. So an abort never
//! waits behind other Rollouts, however slow they are.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Action, ReconcileRequest};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tracing::Instrument;

use super::caches::Key;
use super::context::Context;
use super::reconcile::reconcile;
use crate::api::rollout::Rollout;

/// Events for one Rollout that come within this time are one: a ReplicaSet that comes up makes many.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// Aborts at the same time. Each waits for calls most of the time.
pub const URGENT_SLOTS: usize = 16;
/// Looks at the caches at the same time: all of them, because they wait for nothing. What waits for
/// calls waits for a slot first, in the order of asking.
const LOOKS: u16 = 0;

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Everyday work.
    Normal,
    /// Traffic goes back to stable.
    Urgent,
}

impl Lane {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Urgent => "urgent",
        }
    }
}

/// A Rollout as the scheduler knows it: by name.
pub type Named = PartialObjectMeta<Rollout>;

/// Brings triggers to the lanes. Before they run there is nobody to bring them to.
#[derive(Debug, Default)]
pub struct Triggers(RwLock<Vec<UnboundedSender<Key>>>);

impl Triggers {
    /// A new listener. Its queue is drained at once into a set, so it stays short.
    pub fn listen(&self) -> (UnboundedSender<Key>, UnboundedReceiver<Key>) {
        let (sender, receiver) = unbounded_channel();
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender.clone());
        (sender, receiver)
    }

    /// Asks for a look at a Rollout.
    pub fn send(&self, key: &Key) {
        for listener in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            // A lane that has ended needs no triggers.
            let _ = listener.send(key.clone());
        }
    }
}

/// Runs a lane until `stop` says so; then it begins nothing new and ends what it has begun.
pub async fn run(
    ctx: Arc<Context>,
    lane: Lane,
    store: Store<Named>,
    queue: UnboundedReceiver<Key>,
    mut stop: watch::Receiver<bool>,
) {
    let stopped = async move {
        // The sender is dropped only when everything ends.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    controller::applier(
        move |object: Arc<Named>, ctx: Arc<Context>| look(ctx, lane, &object),
        |_, never: &Infallible, _| match *never {},
        ctx,
        store,
        requests(queue).take_until(stopped.boxed()),
        controller::Config::default()
            .concurrency(LOOKS)
            .debounce(DEBOUNCE),
    )
    .for_each(|done| async move {
        if let Err(error) = done {
            // A trigger for a Rollout that is gone.
            tracing::debug!(%error, lane = lane.as_str(), "not looked at");
        }
    })
    .await;
}

fn requests(
    queue: UnboundedReceiver<Key>,
) -> impl Stream<Item = Result<ReconcileRequest<Named>, Infallible>> {
    futures::stream::unfold(queue, |mut queue| async move {
        let (namespace, name) = queue.recv().await?;
        Some((Ok(ObjectRef::new(&name).within(&namespace).into()), queue))
    })
}

/// One look in a task of its own, which ends with the lane.
fn look(
    ctx: Arc<Context>,
    lane: Lane,
    object: &Named,
) -> futures::future::BoxFuture<'static, Result<Action, Infallible>> {
    let metadata = &object.metadata;
    let key = (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    );
    let span = tracing::info_span!(
        "rollout",
        namespace = key.0,
        name = key.1,
        lane = lane.as_str()
    );
    let task = tokio::spawn(async move { reconcile(&ctx, &key, lane).await }.instrument(span));
    let mut task = AbortOnDrop(task);
    async move {
        // A look that panicked is taken up again like one that failed.
        let next = (&mut task.0).await.unwrap_or(Some(AFTER_PANIC));
        Ok(next.map_or_else(Action::await_change, Action::requeue))
    }
    .boxed()
}

/// After a panic outside of the decision.
const AFTER_PANIC: Duration = Duration::from_secs(60);

struct AbortOnDrop(tokio::task::JoinHandle<Option<Duration>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
