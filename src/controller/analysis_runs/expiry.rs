//! The end of a run that belongs to nobody: who makes one by hand may say how long it is kept after it
//! is over. The runs of a Rollout are the planner's, which keeps the last ones of them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Preconditions};
use serde_json::Value;
use tokio::sync::Notify;

use super::RunContext;
use crate::controller::caches::Key;
use crate::controller::error::{Error, code};
use crate::controller::object::Kind;

/// When a run is to be deleted: it is over, it belongs to no Rollout, and somebody said how long it is
/// kept.
pub(super) fn at(run: &Value) -> Option<Timestamp> {
    let spec = run.get("spec")?;
    let kept = spec.get("ttlSecondsAfterFinished")?.as_i64()?;
    let over = run.pointer("/status/completedAt")?.as_str()?;
    let over: Timestamp = over.parse().ok()?;
    let at = over.checked_add(SignedDuration::from_secs(kept)).ok()?;
    spec.get("rollout").is_none().then_some(at)
}

/// Waits until the run of this uid is to be deleted, and deletes it; ends when it is not to be.
pub(super) async fn wait(
    ctx: &RunContext,
    key: &Key,
    uid: &str,
    changed: &Notify,
) -> Result<(), Error> {
    loop {
        let cached = ctx.caches.get(Kind::AnalysisRun, &key.0, &key.1);
        let Some(run) = cached.filter(|run| run.uid() == uid) else {
            return Ok(());
        };
        let Some(at) = at(&run.value()) else {
            return Ok(());
        };
        let left = at.duration_since((ctx.clock)());
        let left = Duration::try_from(left).unwrap_or_default();
        if !left.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = changed.notified() => {}
            }
            continue;
        }
        let params = DeleteParams {
            // Only this version of it: somebody may have said otherwise a moment ago.
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: Some(run.resource_version().to_owned()),
            }),
            ..DeleteParams::background()
        };
        let api = Kind::AnalysisRun.api(ctx.normal.client(), Some(&key.0));
        let call = api.delete(&key.1, &params);
        let call = ctx.normal.call("delete", Kind::AnalysisRun, &key.1, call);
        return match call.await {
            Err(error) if code(&error) == Some(404) => Ok(()),
            answer => answer.map(drop),
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_over_and_nobodys_and_has_a_term_goes() {
        let over = json!({"completedAt": "2026-01-01T00:00:00Z"});
        let rows = [
            (
                json!({"ttlSecondsAfterFinished": 60}),
                over.clone(),
                Some(60),
            ),
            (json!({"ttlSecondsAfterFinished": 0}), over.clone(), Some(0)),
            (json!({}), over.clone(), None),
            (
                json!({"ttlSecondsAfterFinished": 60}),
                json!({"phase": "Running"}),
                None,
            ),
            (
                json!({"ttlSecondsAfterFinished": 60, "rollout": {"name": "web", "uid": "1"}}),
                over,
                None,
            ),
        ];
        let end: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (spec, status, after) in rows {
            let run = json!({"spec": spec, "status": status});
            let expected = after.map(|s| end + SignedDuration::from_secs(s));
            assert_eq!(at(&run), expected, "{run}");
        }
    }
}
