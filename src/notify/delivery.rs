//! Sends what was told: a queue and a task for each receiver, so that one that is dead holds up no other.
//! A queue that is full lets go of its oldest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::config::Receiver;
use super::counts::{Became, Counts};
use super::http::NotTaken;
use super::notice::Notice;
use crate::retry::Retry;

/// Most that may wait for one receiver: what a large cluster does within the minutes that the tries
/// for one take.
pub const QUEUE_MAX: usize = 200;
/// How often and when a receiver that does not take one is asked again: for about two minutes.
pub const RETRY: Retry = Retry::new(Duration::from_secs(2), Duration::from_secs(60), 3.0)
    .jitter(0.2)
    .tries(6);

/// What waits for a receiver.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Arc<Notice>>>,
    came: Notify,
    max: usize,
}

impl Queue {
    pub(super) fn new(max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            came: Notify::new(),
            max,
        }
    }

    /// Puts one in; says whether the oldest had to go for it.
    pub(super) fn push(&self, notice: Arc<Notice>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.len() >= self.max;
        if full {
            waiting.pop_front();
        }
        waiting.push_back(notice);
        self.came.notify_one();
        full
    }

    fn pop(&self) -> Option<Arc<Notice>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    }

    /// The next one; `None`: there is none, and nobody puts any in any more.
    async fn next(&self, open: &mut watch::Receiver<()>) -> Option<Arc<Notice>> {
        loop {
            if let Some(notice) = self.pop() {
                return Some(notice);
            }
            tokio::select! {
                () = self.came.notified() => {}
                // Nothing is ever sent: it ends when the notifier is gone.
                _ = open.changed() => return self.pop(),
            }
        }
    }
}

/// Sends what waits, one after the other, until nobody puts any in any more. At the end each gets one
/// try, and after the first that fails no more.
pub(super) async fn deliver(
    receiver: Arc<Receiver>,
    queue: Arc<Queue>,
    retry: Retry,
    counts: Counts,
    mut open: watch::Receiver<()>,
) {
    let mut given_up = false;
    while let Some(notice) = queue.next(&mut open).await {
        let became = if given_up {
            Became::Failed
        } else {
            match send(&receiver, &notice, retry, &mut open).await {
                Ok(()) => Became::Sent,
                Err(why) => {
                    tracing::warn!(
                        receiver = receiver.name,
                        kind = notice.kind.as_str(),
                        id = notice.id,
                        why,
                        "a notification was not taken"
                    );
                    given_up = is_over(&open);
                    Became::Failed
                }
            }
        };
        counts.count(&receiver.name, became);
    }
}

/// Whether the notifier is gone.
fn is_over(open: &watch::Receiver<()>) -> bool {
    open.has_changed().is_err()
}

async fn send(
    receiver: &Receiver,
    notice: &Notice,
    retry: Retry,
    open: &mut watch::Receiver<()>,
) -> Result<(), String> {
    let mut delays = retry.delays();
    loop {
        let NotTaken { why, again, after } = match once(receiver, notice).await {
            Ok(()) => return Ok(()),
            Err(not_taken) => not_taken,
        };
        let delay = delays.next().filter(|_| again && !is_over(open));
        let Some(delay) = delay else {
            return Err(why);
        };
        tracing::debug!(receiver = receiver.name, why, "again later");
        tokio::select! {
            () = tokio::time::sleep(delay.max(after.unwrap_or_default())) => {}
            _ = open.changed() => return Err(why),
        }
    }
}

/// One try.
pub(super) async fn once(receiver: &Receiver, notice: &Notice) -> Result<(), NotTaken> {
    let request = receiver.format.request(notice, Timestamp::now());
    receiver.target.send(&request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notice::sample;

    #[test]
    fn a_full_queue_lets_go_of_its_oldest() {
        let queue = Queue::new(2);
        let named = |id: &str| {
            let mut notice = sample(Timestamp::UNIX_EPOCH);
            notice.id = id.to_owned();
            Arc::new(notice)
        };
        let full: Vec<bool> = ["a", "b", "c"]
            .into_iter()
            .map(|id| queue.push(named(id)))
            .collect();
        assert_eq!(full, [false, false, true]);
        let left: Vec<String> = std::iter::from_fn(|| queue.pop().map(|n| n.id.clone())).collect();
        assert_eq!(left, ["b", "c"]);
    }

    #[tokio::test]
    async fn what_waits_at_the_end_is_still_handed_out() {
        let queue = Queue::new(2);
        let (sender, mut open) = watch::channel(());
        queue.push(Arc::new(sample(Timestamp::UNIX_EPOCH)));
        drop(sender);
        assert!(queue.next(&mut open).await.is_some());
        assert!(queue.next(&mut open).await.is_none());
    }
}
