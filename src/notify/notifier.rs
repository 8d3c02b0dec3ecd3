//! Where objects are shown as they stand, and what is new in them is handed on to those who want it.
//! It never waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::config::{Config, Receiver};
use super::counts::{Became, Counts};
use super::delivery::{self, QUEUE_MAX, Queue, RETRY};
use super::notice::{self, Notice, Object};
use super::told::Told;
use crate::api::revert::Revert;
use crate::api::rollout_status::RolloutStatus;
use crate::retry::Retry;

/// How long the last ones may take at the end, within what Kubernetes gives a pod.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Takes what happened. A clone is the same one; when the last is gone, what waits is sent and the
/// delivery ends.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    cluster: String,
    lanes: Vec<Lane>,
    told: Mutex<Told>,
    counts: Counts,
    /// Nothing is sent: its end says that nothing comes any more.
    _open: watch::Sender<()>,
}

#[derive(Debug)]
struct Lane {
    receiver: Arc<Receiver>,
    queue: Arc<Queue>,
}

/// The sending, beside everything else: whatever becomes of it, the process goes on.
#[derive(Debug)]
pub struct Delivery(Option<JoinHandle<()>>);

impl Delivery {
    /// Waits a little for what is still to be sent. The notifier has to be gone by then.
    pub async fn end(self) {
        if let Some(mut work) = self.0
            && tokio::time::timeout(END_LIMIT, &mut work).await.is_err()
        {
            tracing::warn!("stopped before all notifications were sent");
            work.abort();
        }
    }
}

/// The limits of delivery.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most that may wait for one receiver.
    pub queue: usize,
    /// When one that was not taken is sent again.
    pub retry: Retry,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: QUEUE_MAX,
            retry: RETRY,
        }
    }
}

impl Notifier {
    /// One for these receivers, and the sending, which ends when the notifier is gone; without any it
    /// does nothing. What happened before `began` was told by somebody else.
    #[must_use]
    pub fn start(
        config: Option<Config>,
        cluster: Option<String>,
        counts: Counts,
        limits: Limits,
        began: Timestamp,
    ) -> (Self, Delivery) {
        let Some(config) = config else {
            return (Self::default(), Delivery(None));
        };
        let (sender, open) = watch::channel(());
        let mut lanes = Vec::new();
        let mut work = Vec::new();
        for receiver in config.receivers {
            counts.begin(&receiver.name);
            let lane = Lane {
                receiver: Arc::new(receiver),
                queue: Arc::new(Queue::new(limits.queue)),
            };
            work.push(delivery::deliver(
                Arc::clone(&lane.receiver),
                Arc::clone(&lane.queue),
                limits.retry,
                counts.clone(),
                open.clone(),
            ));
            lanes.push(lane);
        }
        let inner = Inner {
            cluster: cluster.unwrap_or_default(),
            lanes,
            told: Mutex::new(Told::new(began)),
            counts,
            _open: sender,
        };
        let at_once = work.len().max(1);
        let work = stream::iter(work).for_each_concurrent(at_once, |one| one);
        let work = Delivery(Some(tokio::spawn(work)));
        (Self(Some(Arc::new(inner))), work)
    }

    /// Shows a Rollout as it stands.
    pub fn rollout(&self, object: Object<'_>, status: &RolloutStatus, now: Timestamp) {
        if let Some(inner) = &self.0 {
            let since = inner.since(now);
            inner.tell(
                notice::of_rollout(object, &inner.cluster, status, since),
                now,
            );
        }
    }

    /// Shows a Revert as it stands.
    pub fn revert(&self, revert: &Revert, now: Timestamp) {
        if let Some(inner) = &self.0 {
            let since = inner.since(now);
            inner.tell(notice::of_revert(revert, &inner.cluster, since), now);
        }
    }
}

impl Inner {
    fn since(&self, now: Timestamp) -> Timestamp {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.since(now)
    }

    fn tell(&self, found: impl IntoIterator<Item = Notice>, now: Timestamp) {
        for notice in found {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = told.is_new(&notice.key, now);
            drop(told);
            if !is_new {
                continue;
            }
            let notice = Arc::new(notice);
            for lane in &self.lanes {
                if lane.receiver.wants(&notice) && lane.queue.push(Arc::clone(&notice)) {
                    self.counts.count(&lane.receiver.name, Became::Dropped);
                }
            }
        }
    }
}

/// Tells each receiver (or the one of this name) a made-up notification, once, and says what came of it:
/// the receiver's name, and why it was not taken.
pub async fn test(
    config: &Config,
    only: Option<&str>,
    now: Timestamp,
) -> Vec<(String, Result<(), String>)> {
    let sample = notice::sample(now);
    let mut came_to = Vec::new();
    for receiver in config.receivers() {
        if only.is_none_or(|name| name == receiver.name) {
            let taken = delivery::once(receiver, &sample).await;
            came_to.push((receiver.name.clone(), taken.map_err(|not| not.why)));
        }
    }
    came_to
}
