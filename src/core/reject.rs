//! The record of a version that was given up: what was rejected, why, and what is to be taken out of
//! Git. It is written when the traffic is already on its way back, never before.

use std::collections::BTreeMap;

use serde_json::Value;

use super::draft::{Draft, cut};
use super::observed::RevertObserved;
use super::plan::Write;
use crate::api::revert::{
    CHANGE_VALUE_BYTES_MAX, CHANGES_MAX, RevertMode, RevertReason, RevertRollout, RevertSource,
    RevertSpec, RevertVersion, TemplateChange, revert_name,
};
use crate::api::rollout::{GitRevertMode, HASH_LABEL, RevertCause};
use crate::api::rollout_status::{AbortReason, CanaryStatus, SourceStatus};

/// Writes the Revert of the present abort unless it is there.
pub(super) fn record(draft: &mut Draft<'_>) {
    let (Some(abort), Some(canary), Some(stable)) = (
        draft.status.abort.clone(),
        draft.status.canary.clone(),
        draft.status.stable.clone(),
    ) else {
        return;
    };
    let reverts = &draft.o.reverts;
    // This abort's own stays its own, whatever became of it: a person may have released it.
    let is_known = |name: &String| reverts.iter().any(|r| r.name == *name);
    if abort.revert.as_ref().is_some_and(is_known) {
        return;
    }
    let (own, attempt) = of_attempt(reverts, &canary);
    let name = match own {
        Some(own) => own.name.clone(),
        None => revert_name(&draft.o.rollout.name, &canary.hash, attempt),
    };
    if let Some(abort) = &mut draft.status.abort {
        abort.revert = Some(name.clone());
    }
    if own.is_some() {
        return;
    }
    let mode = if draft.spec.revert_on.contains(&cause(abort.reason)) {
        match draft.spec.revert_mode {
            GitRevertMode::Off => RevertMode::Off,
            GitRevertMode::DryRun => RevertMode::DryRun,
            GitRevertMode::PullRequest => RevertMode::PullRequest,
            GitRevertMode::Push => RevertMode::Push,
        }
    } else {
        RevertMode::Off
    };
    let source = canary
        .source
        .clone()
        .filter(|s| !s.repo.is_empty())
        .map(|s| RevertSource {
            repo: s.repo,
            branch: s.branch,
            path: s.path,
        });
    let version =
        |revision, hash: &str, images: &[String], source: &Option<SourceStatus>| RevertVersion {
            revision,
            hash: hash.to_owned(),
            images: images.to_vec(),
            source_revision: source
                .as_ref()
                .map(|s| s.revision.clone())
                .filter(|revision| !revision.is_empty()),
        };
    let spec = RevertSpec {
        mode,
        rollout: RevertRollout {
            name: draft.o.rollout.name.clone(),
            uid: draft.o.rollout.uid.clone(),
        },
        cluster: None,
        source: source.filter(|s| !s.branch.is_empty() && !s.path.is_empty()),
        stable: version(
            stable.revision,
            &stable.hash,
            &stable.images,
            &stable.source,
        ),
        bad: version(
            canary.revision,
            &canary.hash,
            &canary.images,
            &canary.source,
        ),
        attempt,
        changes: draft
            .replica_set(&stable.hash)
            .map(|rs| template_changes(&rs.template, &draft.spec.template))
            .unwrap_or_default(),
        step: (canary.steps > 0).then_some(abort.step),
        steps: (canary.steps > 0).then_some(canary.steps),
        weight: Some(abort.weight),
        reason: match abort.reason {
            AbortReason::AnalysisFailed => RevertReason::AnalysisFailed,
            AbortReason::Manual => RevertReason::Manual,
            AbortReason::ProgressDeadlineExceeded => RevertReason::ProgressDeadlineExceeded,
            AbortReason::PauseTimeout => RevertReason::PauseTimeout,
        },
        message: Some(abort.message.clone()),
        analysis_run: abort.analysis_run.clone(),
        aborted_at: abort.at,
    };
    draft.write(Write::CreateRevert {
        name,
        spec: Box::new(spec),
    });
}

/// The record of the present attempt, where one was written and the status that names it was not; and
/// the attempt's number. One that was released is of an attempt before, and its name is taken: also
/// where a status counts less than the records do.
fn of_attempt<'a>(
    reverts: &'a [RevertObserved],
    canary: &CanaryStatus,
) -> (Option<&'a RevertObserved>, i32) {
    let of_version: Vec<_> = reverts.iter().filter(|r| r.hash == canary.hash).collect();
    let own = of_version
        .iter()
        .copied()
        .filter(|r| !r.released && r.attempt >= canary.attempt)
        .max_by_key(|r| r.attempt);
    let last = of_version.iter().map(|r| r.attempt).max().unwrap_or(0);
    let next = canary.attempt.max(last.saturating_add(1));
    (own, own.map_or(next, |own| own.attempt))
}

fn cause(reason: AbortReason) -> RevertCause {
    match reason {
        AbortReason::AnalysisFailed => RevertCause::Failed,
        AbortReason::Manual => RevertCause::Manual,
        AbortReason::ProgressDeadlineExceeded | AbortReason::PauseTimeout => RevertCause::Deadline,
    }
}

/// The scalars that the bad template says and the stable one says otherwise. What only stable says
/// is left out: it may be a default of the API server's.
fn template_changes(stable: &Value, bad: &Value) -> Vec<TemplateChange> {
    let old = leaves(stable);
    leaves(bad)
        .into_iter()
        .filter(|(path, new)| old.get(path) != Some(new) && !path.contains(HASH_LABEL))
        .map(|(path, new)| TemplateChange {
            old: old
                .get(&path)
                .map(|v| cut(v.clone(), CHANGE_VALUE_BYTES_MAX)),
            new: Some(cut(new, CHANGE_VALUE_BYTES_MAX)),
            path: cut(path, 1024),
        })
        .take(CHANGES_MAX)
        .collect()
}

/// Every scalar by its path: `spec.containers[app].image`, list items by name where they have one.
#[must_use]
pub fn leaves(template: &Value) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    walk(template, String::new(), &mut out);
    out
}

fn walk(value: &Value, path: String, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, child) in map {
                let key = quoted(key);
                let path = if path.is_empty() {
                    key
                } else {
                    format!("{path}.{key}")
                };
                walk(child, path, out);
            }
        }
        Value::Array(items) => {
            for (i, child) in items.iter().enumerate() {
                let name = child.get("name").and_then(Value::as_str);
                let key = name.map_or_else(|| i.to_string(), quoted);
                walk(child, format!("{path}[{key}]"), out);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            out.insert(path, text.clone());
        }
        scalar => {
            out.insert(path, scalar.to_string());
        }
    }
}

fn quoted(key: &str) -> String {
    if key.contains(['.', '[', ']', '"']) {
        format!("\"{}\"", key.replace('"', "\\\""))
    } else {
        key.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changed_is_named_by_path_and_defaults_are_not() {
        let stable = json!({"metadata": {"labels": {"app": "a", "rollouts-pod-template-hash": "x"}},
            "spec": {"restartPolicy": "Always", "containers": [
                {"name": "app", "image": "r/a:v1", "env": [{"name": "A.B", "value": "1"}]}]}});
        let bad = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [
            {"name": "app", "image": "r/a:v2", "env": [{"name": "A.B", "value": "1"}], "tty": true}]}});
        let changes: Vec<_> = template_changes(&stable, &bad)
            .into_iter()
            .map(|c| (c.path, c.old, c.new))
            .collect();
        let text = |s: &str| Some(s.to_owned());
        assert_eq!(
            changes,
            [
                (
                    "spec.containers[app].image".to_owned(),
                    text("r/a:v1"),
                    text("r/a:v2")
                ),
                ("spec.containers[app].tty".to_owned(), None, text("true")),
            ]
        );
        assert!(leaves(&stable).contains_key("spec.containers[app].env[\"A.B\"].value"));
    }
}
