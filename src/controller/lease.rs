//! Leader election by a Lease, as client-go does it: one pure step, and the calls around it.
//!
//! A candidate remembers when, on its own monotonic clock, it last saw the record change, and takes
//! over only when it has not changed for the holder's whole lease duration. No wall clock of another
//! machine is ever compared. Every write carries the resourceVersion: of two that want the lease one
//! gets a 409. A leader that could not renew for `renew_deadline` ends before the lease can pass on.
//!
//! This is not fencing: what keeps a late write from doing harm is its own precondition.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::context::Clock;
use crate::traffic::FIELD_MANAGER;

/// The times of the election; client-go's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long others wait after the last sign of the leader.
    pub lease: Duration,
    /// How long the leader goes on without renewing. Below `lease`, so that it ends before.
    pub renew_deadline: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its resourceVersion: changes with every renewal.
    pub resource_version: String,
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// For how long, after its last change.
    pub duration: Duration,
}

/// The record as it was last seen to change, and when that was, on the own monotonic clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    record: Record,
    at: Duration,
}

/// What is to be done with the Lease now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// There is none: create it.
    Create,
    /// It is free, or its holder is gone: take it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// Decides from what was read, and remembers it in `seen`. `now` is the own monotonic clock.
pub fn lease_step(
    seen: &mut Option<Seen>,
    read: Option<&Record>,
    identity: &str,
    now: Duration,
) -> LeaseAction {
    let Some(record) = read else {
        *seen = None;
        return LeaseAction::Create;
    };
    let last_change = match seen {
        Some(known) if known.record == *record => known.at,
        _ => {
            *seen = Some(Seen {
                record: record.clone(),
                at: now,
            });
            now
        }
    };
    if record.holder == identity {
        LeaseAction::Renew
    } else if record.holder.is_empty() || now.saturating_sub(last_change) >= record.duration {
        LeaseAction::Take
    } else {
        LeaseAction::Wait
    }
}

/// Where the Lease is and who wants it.
pub struct Election {
    /// A client without retries of its own and with a read timeout.
    pub client: Client,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease; it names the instance, so that two instances do not exclude each other.
    pub name: String,
    /// Who wants it; another one for every process.
    pub identity: String,
    /// The times.
    pub times: Times,
    /// For the times that people read in the Lease.
    pub clock: Clock,
}

/// The election of one process.
pub struct Candidate {
    election: Election,
    api: Api<Lease>,
    started: Instant,
    seen: Option<Seen>,
    /// When the last good renewal was begun.
    renewed: Option<Instant>,
}

impl Candidate {
    /// Nothing is held yet.
    #[must_use]
    pub fn new(election: Election) -> Self {
        let api = Api::namespaced(election.client.clone(), &election.namespace);
        Self {
            api,
            started: Instant::now(),
            seen: None,
            renewed: None,
            election,
        }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) {
        let mut said = String::new();
        while self.renewed.is_none() {
            match self.attempt().await {
                Ok(()) => {}
                Err(reason) if reason != said => {
                    tracing::info!(lease = self.election.name, reason, "not the leader yet");
                    said = reason;
                }
                Err(_) => {}
            }
            if self.renewed.is_none() {
                tokio::time::sleep(self.election.times.retry).await;
            }
        }
        tracing::info!(
            lease = self.election.name,
            identity = self.election.identity,
            "leads"
        );
    }

    /// Keeps the lease; returns why it was lost.
    pub async fn keep(&mut self) -> String {
        loop {
            tokio::time::sleep(self.election.times.retry).await;
            let deadline = self
                .renewed
                .map(|at| at + self.election.times.renew_deadline);
            let Some(deadline) = deadline else {
                return "it was never held".to_owned();
            };
            let outcome = tokio::time::timeout_at(deadline, self.attempt()).await;
            let reason = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(reason)) if self.renewed.is_some() => reason,
                Ok(Err(reason)) => return reason,
                Err(_) => "the API server does not answer".to_owned(),
            };
            if Instant::now() >= deadline {
                self.renewed = None;
                let seconds = self.election.times.renew_deadline.as_secs();
                return format!("it could not be renewed for {seconds} s: {reason}");
            }
            tracing::warn!(lease = self.election.name, reason, "not renewed");
        }
    }

    /// Gives the lease up, so that the next one need not wait.
    pub async fn release(&mut self) {
        if self.renewed.take().is_none() {
            return;
        }
        let released = async {
            let mut lease = self.api.get_opt(&self.election.name).await.ok()??;
            let spec = lease.spec.as_mut()?;
            if spec.holder_identity.as_deref() != Some(self.election.identity.as_str()) {
                return None;
            }
            spec.holder_identity = Some(String::new());
            self.replace(&lease).await.ok()
        };
        let limit = self.election.times.retry;
        let done = tokio::time::timeout(limit, released)
            .await
            .ok()
            .flatten()
            .is_some();
        tracing::info!(lease = self.election.name, done, "lease given up");
    }

    /// Reads the lease and takes or renews it. `Err`: why it is not ours now; if it is certain that
    /// somebody else has it, `renewed` is `None` afterwards.
    async fn attempt(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let found = self
            .api
            .get_opt(&self.election.name)
            .await
            .map_err(|e| e.to_string())?;
        let record = found.as_ref().map(record);
        let now = begun.saturating_duration_since(self.started);
        let identity = self.election.identity.clone();
        let action = lease_step(&mut self.seen, record.as_ref(), &identity, now);
        let leads = self.renewed.is_some();
        let outcome = match action {
            LeaseAction::Wait => {
                self.renewed = None;
                return Err(format!("held by {}", record.unwrap_or_default().holder));
            }
            // Who led and finds it in other hands has to win it anew.
            LeaseAction::Take if leads => {
                self.renewed = None;
                return Err("somebody took it away".to_owned());
            }
            LeaseAction::Create => {
                let lease = self.lease(None);
                let params = PostParams {
                    field_manager: Some(FIELD_MANAGER.into()),
                    ..Default::default()
                };
                self.api.create(&params, &lease).await.map(drop)
            }
            LeaseAction::Take | LeaseAction::Renew => {
                let lease = self.lease(found);
                self.replace(&lease).await
            }
        };
        match outcome {
            Ok(()) => {
                self.renewed = Some(begun);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 409 && leads => {
                // Somebody wrote it in between; the next try sees who.
                Err("it was changed while it was renewed".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn replace(&self, lease: &Lease) -> Result<(), kube::Error> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..Default::default()
        };
        self.api
            .replace(&self.election.name, &params, lease)
            .await
            .map(drop)
    }

    /// The Lease with us as its holder from now on.
    fn lease(&self, found: Option<Lease>) -> Lease {
        let now = MicroTime((self.election.clock)());
        let metadata = found.as_ref().map_or_else(
            || ObjectMeta {
                name: Some(self.election.name.clone()),
                namespace: Some(self.election.namespace.clone()),
                ..ObjectMeta::default()
            },
            |lease| lease.metadata.clone(),
        );
        let before = found.and_then(|lease| lease.spec).unwrap_or_default();
        let identity = &self.election.identity;
        let ours = before.holder_identity.as_ref() == Some(identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        let seconds = i32::try_from(self.election.times.lease.as_secs()).unwrap_or(i32::MAX);
        let spec = LeaseSpec {
            holder_identity: Some(identity.clone()),
            lease_duration_seconds: Some(seconds.max(1)),
            acquire_time: if ours {
                before.acquire_time
            } else {
                Some(now.clone())
            },
            renew_time: Some(now),
            lease_transitions: Some(transitions.saturating_add(i32::from(!ours))),
            ..LeaseSpec::default()
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|s| u64::try_from(s).ok())
        .unwrap_or(0);
    Record {
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests;
