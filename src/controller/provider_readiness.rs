//! Whether each `MetricsProvider` answers: its condition `Ready`. It is written when it changes, and
//! nothing is decided by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::PostParams;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::bodies;
use super::caches::Caches;
use super::calls::Calls;
use super::context::Clock;
use super::error::Error;
use super::object::{Kind, Object};
use super::providers::Providers;
use crate::analysis::run::Fault;
use crate::api::conditions::{Condition, ConditionStatus};
use crate::api::metrics_provider::MetricsProviderStatus;
use crate::traffic::FIELD_MANAGER;

/// Between two looks for providers that are new or changed.
const TICK: Duration = Duration::from_secs(1);
/// A provider is asked this often.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// Providers that are asked at the same time.
const CHECKS_AT_ONCE: usize = 8;
/// Longest message of a condition.
const MESSAGE_MAX: usize = 1000;

/// When a provider was last asked, and in which generation.
type Checked = BTreeMap<String, (Instant, String, Option<i64>)>;

/// Keeps the conditions, until `stop` says so.
pub async fn run(
    caches: Arc<Caches>,
    providers: Arc<Providers>,
    calls: Calls,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
) {
    let mut checked = Checked::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let present = caches.names(Kind::MetricsProvider);
        checked.retain(|name, _| present.iter().any(|(_, present)| present == name));
        providers.keep(&present);
        let due: Vec<Arc<Object>> = present
            .iter()
            .filter_map(|(namespace, name)| caches.get(Kind::MetricsProvider, namespace, name))
            .filter(|provider| {
                checked
                    .get(provider.name())
                    .is_none_or(|(at, uid, generation)| {
                        at.elapsed() >= CHECK_EVERY
                            || *uid != provider.uid()
                            || *generation != provider.generation()
                    })
            })
            .collect();
        for provider in &due {
            let now = (
                Instant::now(),
                provider.uid().to_owned(),
                provider.generation(),
            );
            checked.insert(provider.name().to_owned(), now);
        }
        let checks = futures::stream::iter(due);
        checks
            .for_each_concurrent(CHECKS_AT_ONCE, async |provider| {
                check(&providers, &calls, &clock, &provider).await;
            })
            .await;
    }
}

async fn check(providers: &Providers, calls: &Calls, clock: &Clock, provider: &Object) {
    let answer = match providers.of_provider(provider).await {
        Ok(source) => source.check().await,
        Err(fault) => Err(fault),
    };
    if let Some(status) = status(provider, answer.as_ref().err(), clock())
        && let Err(error) = write(calls, provider, &status).await
    {
        tracing::warn!(provider = provider.name(), error = %error.chain(), "its status was not written");
    }
}

/// The status after a look; `None`: it says so already.
fn status(
    provider: &Object,
    fault: Option<&Fault>,
    now: Timestamp,
) -> Option<MetricsProviderStatus> {
    let value = provider.value();
    let before = value.get("status").cloned().unwrap_or_default();
    let before = MetricsProviderStatus::deserialize(before).unwrap_or_default();
    let last = before.conditions.iter().find(|c| c.type_ == "Ready");
    let status = match fault {
        None => ConditionStatus::True,
        Some(_) => ConditionStatus::False,
    };
    let since = last.filter(|c| c.status == status);
    let message = fault.map_or("it answers", |f| f.message.as_str());
    let ready = Condition {
        type_: "Ready".to_owned(),
        status,
        reason: fault.map_or_else(|| "Answers".to_owned(), |f| f.reason.clone()),
        message: message.chars().take(MESSAGE_MAX).collect(),
        last_transition_time: since.map_or(now, |c| c.last_transition_time),
        observed_generation: provider.generation(),
    };
    let after = MetricsProviderStatus {
        observed_generation: provider.generation(),
        conditions: vec![ready],
    };
    (after != before).then_some(after)
}

async fn write(
    calls: &Calls,
    provider: &Object,
    status: &MetricsProviderStatus,
) -> Result<(), Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable {
        what: format!("status of MetricsProvider {}", provider.name()),
        reason: error.to_string(),
    };
    let kind = Kind::MetricsProvider;
    let status: Value = serde_json::to_value(status).map_err(unreadable)?;
    let body = Object::new(bodies::with_status(&provider.value(), status)).map_err(unreadable)?;
    let api = kind.api(calls.client(), None);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let call = api.replace_status(provider.name(), &params, &body);
    let answer = calls
        .call("update status of", kind, provider.name(), call)
        .await;
    match answer {
        // Changed meanwhile, or gone: the next look sees it.
        Err(Error::Conflict { .. }) => Ok(()),
        other => other.map(drop),
    }
}
