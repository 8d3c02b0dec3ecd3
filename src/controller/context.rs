//! What every look at a Rollout needs, and what is remembered from look to look: how often it
//! failed in a row, what was refused, and who works on it right now. All of it may be lost at any
//! instant; the state of a rollout is in the cluster alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::caches::{Caches, Key};
use super::calls::Calls;
use super::events::Events;
use super::lanes::{Lane, URGENT_SLOTS};
use super::telemetry::Metrics;
use crate::core::failures::{self, Cause, Follows};
use crate::core::observed::{Refusal, Settings};
use crate::notify::Notifier;
use crate::retry::Retry;

/// What time it is. The simulator and the tests bring their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What every look at a Rollout needs.
pub struct Context {
    /// What the watches have brought.
    pub caches: Arc<Caches>,
    /// The way to the API server for everyday work.
    pub normal: Calls,
    /// The way to the API server for aborts.
    pub urgent: Calls,
    /// What time it is.
    pub clock: Clock,
    /// What the administrator set.
    pub settings: Settings,
    /// The cluster's name, for the record of a rejected version.
    pub cluster_name: Option<String>,
    /// False: cluster-scoped kinds are not read.
    pub cluster_wide: bool,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Takes Events.
    pub events: Events,
    /// Is shown each Rollout as it stands, and tells people what is new.
    pub notifier: Notifier,
    /// Hands a Rollout over to the lane for aborts.
    pub hand_over: UnboundedSender<Key>,
    /// Rollouts worked on at the same time, by everyday work and by aborts.
    pub slots: Slots,
    /// Failures in a row.
    pub failures: Failures,
    /// Who works on what.
    pub claims: Claims,
}

impl Context {
    /// The way to the API server in a lane.
    #[must_use]
    pub fn calls(&self, lane: Lane) -> &Calls {
        match lane {
            Lane::Normal => &self.normal,
            Lane::Urgent => &self.urgent,
        }
    }

    /// Forgets a Rollout that is gone.
    pub fn forget(&self, key: &Key) {
        self.failures.clear(key);
        self.metrics.forget(key);
    }
}

/// How many Rollouts are worked on at the same time. Who asks first gets the next free slot, so that
/// a few that are slow can not starve the rest.
#[derive(Debug)]
pub struct Slots {
    normal: Semaphore,
    urgent: Semaphore,
}

impl Slots {
    /// So many for everyday work, at least one; aborts have their own.
    #[must_use]
    pub fn new(normal: u16) -> Self {
        Self {
            normal: Semaphore::new(normal.max(1).into()),
            urgent: Semaphore::new(URGENT_SLOTS),
        }
    }

    /// Waits for a free slot of a lane.
    pub async fn take(&self, lane: Lane) -> Option<SemaphorePermit<'_>> {
        let slots = match lane {
            Lane::Normal => &self.normal,
            Lane::Urgent => &self.urgent,
        };
        // Nobody closes them.
        slots.acquire().await.ok()
    }
}

/// Failures in a row, by Rollout, by the time that this process has run.
#[derive(Debug)]
pub struct Failures {
    begun: Instant,
    last: Mutex<failures::Failures<Key>>,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            last: Mutex::default(),
        }
    }
}

impl Failures {
    fn with<T>(&self, act: impl FnOnce(&mut failures::Failures<Key>, SignedDuration) -> T) -> T {
        let now = SignedDuration::try_from(self.begun.elapsed()).unwrap_or(SignedDuration::MAX);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut last, now)
    }

    /// Notes one that happened with this version of the Rollout; `urgent`: to an abort.
    pub fn note(&self, key: &Key, version: &str, cause: Cause, urgent: bool) -> Follows {
        self.with(|last, now| last.note(key, version, cause, (urgent, chance()), now))
    }

    /// How long a Rollout that failed is still left alone. A change of the Rollout ends that.
    #[must_use]
    pub fn backing_off(&self, key: &Key, version: &str) -> Option<Duration> {
        let wait = self.with(|last, now| last.backing_off(key, version, now))?;
        wait.try_into().ok()
    }

    /// A refusal that was heard only just now, and for how long it counts: after that it is tried again.
    #[must_use]
    pub fn refusal(&self, key: &Key) -> Option<(Refusal, Duration)> {
        let (refusal, left) = self.with(|last, now| last.refusal(key, now))?;
        Some((refusal, left.try_into().ok()?))
    }

    /// It went well: forgets them, but for a refusal that counts.
    pub fn went_well(&self, key: &Key) {
        self.with(|last, now| last.went_well(key, now));
    }

    /// Forgets them.
    pub fn clear(&self, key: &Key) {
        self.with(|last, _| last.clear(key));
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    const SECOND: Duration = Duration::from_secs(1);
    let drawn = Retry::new(SECOND, 2 * SECOND, 1.0).jitter(1.0).after(1);
    drawn.map_or(0.5, |drawn| drawn.as_secs_f64() / 2.0)
}

/// Who works on which Rollout: one at a time, and an abort takes it from everyday work.
#[derive(Debug, Default)]
pub struct Claims(Mutex<HashMap<Key, (Lane, Arc<Notify>)>>);

/// The right to work on a Rollout, until it is dropped.
#[derive(Debug)]
pub struct Claim<'a> {
    claims: &'a Claims,
    key: Key,
    taken_away: Arc<Notify>,
}

impl Claims {
    /// Claims a Rollout; `None`: somebody works on it. Everyday work is told to let go of it when
    /// the lane for aborts asks.
    #[must_use]
    pub fn claim(&self, key: &Key, lane: Lane) -> Option<Claim<'_>> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((holder, taken_away)) = claims.get(key) {
            if lane == Lane::Urgent && *holder == Lane::Normal {
                taken_away.notify_one();
            }
            return None;
        }
        let taken_away = Arc::new(Notify::new());
        claims.insert(key.clone(), (lane, Arc::clone(&taken_away)));
        Some(Claim {
            claims: self,
            key: key.clone(),
            taken_away,
        })
    }
}

impl Claim<'_> {
    /// Returns when the Rollout is wanted for an abort.
    pub async fn taken_away(&self) {
        self.taken_away.notified().await;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_abort_takes_a_rollout_from_everyday_work_and_not_the_other_way_round() {
        let claims = Claims::default();
        let key = ("shop".to_owned(), "web".to_owned());
        let everyday = claims.claim(&key, Lane::Normal).unwrap();
        assert!(claims.claim(&key, Lane::Normal).is_none());
        assert!(claims.claim(&key, Lane::Urgent).is_none());
        everyday.taken_away().await;
        drop(everyday);
        let abort = claims.claim(&key, Lane::Urgent).unwrap();
        assert!(claims.claim(&key, Lane::Normal).is_none());
        let waits = tokio::time::timeout(std::time::Duration::ZERO, abort.taken_away());
        assert!(waits.await.is_err(), "everyday work takes nothing away");
    }
}
