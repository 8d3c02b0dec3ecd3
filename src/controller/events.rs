//! Events for people who look at a Rollout. Best effort: losing one loses nothing, and nothing ever
//! waits for one.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::budget::Bucket;
use super::calls::CALL_TIMEOUT;
use super::telemetry::Metrics;
use crate::core::naming;
use crate::core::plan::PlannedEvent;
use crate::traffic::{FIELD_MANAGER, Owner};

/// Events that may wait: a few for each Rollout of a large cluster that changes at once.
const QUEUE_MAX: usize = 1_000;

/// Where Events are handed in.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<Value>,
    metrics: Arc<Metrics>,
    instance: String,
}

impl Events {
    /// A queue, and its other end for [`publish`].
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, instance: String) -> (Self, mpsc::Receiver<Value>) {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        (
            Self {
                queue,
                metrics,
                instance,
            },
            receiver,
        )
    }

    /// Hands an Event in; when too many wait, it is dropped.
    pub fn send(&self, owner: Owner<'_>, event: &PlannedEvent, now: Timestamp) {
        if self
            .queue
            .try_send(body(owner, event, &self.instance, now))
            .is_err()
        {
            self.metrics.event_lost();
        }
    }
}

/// Publishes what is handed in, one after the other, until nobody hands in any more.
pub async fn publish(
    mut queue: mpsc::Receiver<Value>,
    client: kube::Client,
    bucket: Arc<Bucket>,
    metrics: Arc<Metrics>,
) {
    while let Some(event) = queue.recv().await {
        bucket.acquire().await;
        let namespace = event.pointer("/metadata/namespace").and_then(Value::as_str);
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events?fieldManager={FIELD_MANAGER}",
            namespace.unwrap_or_default()
        );
        let request = http::Request::post(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(event.to_string().into_bytes());
        let Ok(request) = request else { continue };
        let outcome = tokio::time::timeout(CALL_TIMEOUT, client.request::<Value>(request)).await;
        if !matches!(outcome, Ok(Ok(_))) {
            metrics.event_lost();
            tracing::debug!(?outcome, "an event could not be published");
        }
    }
}

fn body(owner: Owner<'_>, event: &PlannedEvent, instance: &str, now: Timestamp) -> Value {
    let text = format!("{}{}{}{now}", owner.uid, event.reason, event.note);
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": naming::join(&[owner.name, &naming::hex(&text, 10)]),
            "namespace": owner.namespace,
        },
        "eventTime": format!("{now:.6}"),
        "type": if event.warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "note": event.note,
        "action": event.reason,
        "reportingController": "tidegate.io/controller",
        "reportingInstance": instance,
        "regarding": {
            "apiVersion": "tidegate.io/v1alpha1",
            "kind": "Rollout",
            "namespace": owner.namespace,
            "name": owner.name,
            "uid": owner.uid,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_what_the_api_asks_for() {
        let owner = Owner {
            namespace: "shop",
            name: "web",
            uid: "u1",
        };
        let event = PlannedEvent {
            warning: true,
            reason: "RolloutAborted",
            note: "why".into(),
        };
        let body = body(
            owner,
            &event,
            "pod-1",
            "2026-01-01T00:00:00.5Z".parse().unwrap(),
        );
        assert_eq!(body["eventTime"], "2026-01-01T00:00:00.500000Z");
        assert_eq!(body["type"], "Warning");
        let typed: k8s_openapi::api::events::v1::Event = serde_json::from_value(body).unwrap();
        assert!(typed.regarding.unwrap().uid.is_some() && typed.action.is_some());
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_never_waits() {
        let metrics = Arc::new(Metrics::default());
        let (events, mut queue) = Events::new(Arc::clone(&metrics), "pod-1".into());
        let owner = Owner {
            namespace: "shop",
            name: "web",
            uid: "u1",
        };
        let event = PlannedEvent {
            warning: false,
            reason: "R",
            note: String::new(),
        };
        for _ in 0..=QUEUE_MAX {
            events.send(owner, &event, Timestamp::UNIX_EPOCH);
        }
        assert!(metrics.text().contains("tidegate_events_lost_total 1"));
        assert!(queue.recv().await.is_some());
    }
}
