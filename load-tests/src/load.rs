//! A load in open loop: requests are sent at their times whether or not earlier ones were answered,
//! and an answer's latency is counted from the time at which its request was due. So a server that
//! stands still for a second is charged for all who would have come in that second.

mod exchange;
mod report;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use exchange::{Http, Target};
pub use report::{Counts, Failure, Latency, Report, Second, Version};

/// More requests than this are never under way; what would be beyond is written down as not sent.
const UNDER_WAY_MAX: usize = 20_000;

/// Whether a request comes over a connection that is kept, or over one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Connection {
    /// Over one that earlier requests used, if there is any.
    Kept,
    /// Over a new one that is closed afterwards.
    Fresh,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// There was an answer.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// Which version it says that it comes from.
        version: Option<String>,
    },
    /// There was none.
    Failed {
        /// Why.
        cause: String,
    },
}

/// Sends one request and waits for its answer.
pub trait Exchange: Send + Sync + 'static {
    /// Sends it. Ends within a bounded time.
    fn send(&self, connection: Connection) -> impl Future<Output = Outcome> + Send;
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rhythm {
    /// Requests per second, above 0.
    pub rate: f64,
    /// Share of them that get a connection of their own, from 0 to 1.
    pub fresh: f64,
}

impl Rhythm {
    /// When the request with this number is due, from the beginning.
    fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Over which connection the request with this number comes: evenly spread.
    fn connection(&self, number: u64) -> Connection {
        let fresh = |n: u64| (n as f64 * self.fresh).floor();
        if fresh(number + 1) > fresh(number) {
            Connection::Fresh
        } else {
            Connection::Kept
        }
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Load {
    report: Arc<Mutex<Report>>,
    stop: tokio::sync::oneshot::Sender<()>,
    sender: tokio::task::JoinHandle<()>,
}

impl Load {
    /// Begins to send, until it is ended.
    #[must_use]
    pub fn start(rhythm: Rhythm, exchange: impl Exchange) -> Self {
        let report = Arc::new(Mutex::new(Report::begin(Timestamp::now(), rhythm.rate)));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let sender = send(rhythm, Arc::new(exchange), Arc::clone(&report), stopped);
        Self {
            report,
            stop,
            sender: tokio::spawn(sender),
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn so_far(&self) -> Report {
        let report = self.report.lock();
        report.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends no more, waits for the answers that are still to come, and says what was seen.
    pub async fn end(self) -> Report {
        // Where the sender has ended already there is nobody to tell.
        let _ = self.stop.send(());
        let _ = self.sender.await;
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        report.finish(Timestamp::now());
        report.clone()
    }
}

async fn send(
    rhythm: Rhythm,
    exchange: Arc<impl Exchange>,
    report: Arc<Mutex<Report>>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let begin = Instant::now();
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let mut under_way = JoinSet::new();
    tokio::pin!(stopped);
    for number in 0.. {
        let due = begin + rhythm.due(number);
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            () = tokio::time::sleep_until(due) => {}
        }
        while under_way.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.not_sent();
            continue;
        };
        let (exchange, report) = (Arc::clone(&exchange), Arc::clone(&report));
        let connection = rhythm.connection(number);
        under_way.spawn(async move {
            // The moment it was due, by the wall clock.
            let late = due.elapsed();
            let at = Timestamp::now() - jiff::SignedDuration::try_from(late).unwrap_or_default();
            let outcome = exchange.send(connection).await;
            drop(place);
            let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
            report.add(at, connection, due.elapsed(), outcome);
        });
    }
    while under_way.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
