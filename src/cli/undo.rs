//! `undo`: the template of an earlier revision, from its ReplicaSet, becomes the one that the spec asks for.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

use super::args::{Output, Undo};
use super::change::{self, Change};
use super::client::Session;
use super::error::{CliError, Exit};
use super::objects::{REPLICA_SETS, REVERTS, REVISION_ANNOTATION, documents, rollout_selector};
use super::reverts;
use super::terminal::Terminal;
use crate::api::rollout::{BASELINE_LABEL, HASH_LABEL, Rollout};
use crate::core::{earlier, naming};

const COMMAND: &str = "undo";

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    args: &Undo,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let name = args.target.name().map_err(CliError::Usage)?;
    let rollout = Box::pin(session.rollout(name)).await?;
    change::possible(
        &rollout,
        COMMAND,
        "kubectl rollout undo deployment/DEPLOYMENT",
    )?;
    let of_rollout = ListParams::default().labels(&rollout_selector(name));
    let sets = documents::<ReplicaSet>(session, REPLICA_SETS, of_rollout.clone()).await?;
    let asked = session.asked("list", REVERTS);
    let rejected = session
        .ask(&asked, session.reverts().list(&of_rollout))
        .await?;
    let rejected: BTreeMap<String, String> = rejected
        .items
        .iter()
        .filter(|revert| revert.spec.rollout.name == name && reverts::rejects(revert))
        .map(|revert| (revert.spec.bad.hash.clone(), revert.name_any()))
        .collect();
    let versions = versions(&rollout, sets.values());
    let change = plan(&rollout, &versions, &rejected, args.to_revision)?;
    change.make(session, terminal, &args.change, output).await
}

/// A version that still has its ReplicaSet.
struct Version<'v> {
    revision: i64,
    hash: &'v str,
    template: &'v Value,
}

/// Those of the Rollout, newest first.
fn versions<'v>(rollout: &Rollout, sets: impl Iterator<Item = &'v Value>) -> Vec<Version<'v>> {
    let uid = rollout.metadata.uid.as_deref();
    let version = |set: &'v Value| {
        let metadata = set.get("metadata")?;
        let owners = metadata.get("ownerReferences")?.as_array()?;
        let own = owners.iter().any(|owner| {
            owner.get("controller") == Some(&Value::Bool(true))
                && owner.get("uid").and_then(Value::as_str) == uid
        });
        let labels = metadata.get("labels")?;
        let revision = metadata.get("annotations")?.get(REVISION_ANNOTATION)?;
        let found = Version {
            revision: revision.as_str()?.parse().ok()?,
            hash: labels.get(HASH_LABEL)?.as_str()?,
            template: set.pointer("/spec/template")?,
        };
        (own && uid.is_some() && labels.get(BASELINE_LABEL).is_none()).then_some(found)
    };
    let mut all: Vec<Version<'v>> = sets.filter_map(version).collect();
    all.sort_by_key(|version| std::cmp::Reverse(version.revision));
    all
}

/// The change back; `rejected` has the hashes of rejected versions, and the Reverts that say so.
fn plan<'c>(
    rollout: &'c Rollout,
    versions: &[Version<'_>],
    rejected: &BTreeMap<String, String>,
    to: Option<i64>,
) -> Result<Change<'c>, CliError> {
    let refused = |why: &str| Err(change::refused(rollout, COMMAND, why));
    let asked_for = &rollout.spec.template;
    let collisions = rollout.status.as_ref().map_or(0, |s| s.collision_count);
    let present = naming::template_hash(asked_for, collisions);
    let others = versions.iter().filter(|version| version.hash != present);
    let there_are = || {
        let all: Vec<String> = versions.iter().map(|v| v.revision.to_string()).collect();
        if all.is_empty() {
            "no revision has a ReplicaSet".to_owned()
        } else {
            format!("there are: {}", all.join(", "))
        }
    };
    let target = match to {
        Some(to) => versions.iter().find(|version| version.revision == to),
        None => others
            .clone()
            .find(|version| !rejected.contains_key(version.hash)),
    };
    let Some(target) = target else {
        return match to {
            Some(to) => refused(&format!(
                "revision {to} has no ReplicaSet (any more); {}. spec.revisionHistoryLimit says how many are kept",
                there_are()
            )),
            None if others.clone().next().is_some() => {
                refused("every other revision that there is is on record as rejected")
            }
            None => refused(&format!(
                "there is no other revision to go back to; {}",
                there_are()
            )),
        };
    };
    let namespace = rollout.namespace().unwrap_or_default();
    if let Some(revert) = rejected.get(target.hash) {
        return refused(&format!(
            "revision {} is on record as rejected, so stable would keep all traffic; `kubectl tidegate revert release {revert} -n {namespace}` takes that back",
            target.revision
        ));
    }
    let now = versions.iter().find(|version| version.hash == present);
    let template = earlier::template(asked_for, now.map(|v| v.template), target.template);
    let is_the_same = naming::template_hash(&template, collisions) == target.hash;
    let stable = rollout.status.as_ref().and_then(|s| s.stable.as_ref());
    let mut notes = vec![format!(
        "back to revision {} ({})",
        target.revision, target.hash
    )];
    if !is_the_same {
        notes.push(
            "it counts as a new version and goes its whole way: the API server's defaults stand in it, which the earlier one did not say"
                .to_owned(),
        );
    } else if stable.is_some_and(|stable| stable.hash == target.hash) {
        notes.push("that is the stable version: what goes out now is ended".to_owned());
    }
    Ok(Change {
        rollout,
        command: COMMAND,
        template,
        notes,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::fixtures::{merge, rollout};

    fn of(image: &str) -> Value {
        json!({"metadata": {"labels": {"app": "checkout"}},
            "spec": {"containers": [{"name": "app", "image": image}]}})
    }

    /// As it stands in the cluster.
    fn set(revision: i64, image: &str, with: Value) -> Value {
        let mut template = of(image);
        let hash = naming::template_hash(&template, 0);
        merge(
            &mut template,
            json!({"metadata": {"labels": {HASH_LABEL: hash}}, "spec": {"restartPolicy": "Always"}}),
        );
        let mut set = json!({
            "metadata": {"labels": {HASH_LABEL: hash}, "annotations": {REVISION_ANNOTATION: revision.to_string()},
                "ownerReferences": [{"uid": "u1", "controller": true}]},
            "spec": {"template": template},
        });
        merge(&mut set, with);
        set
    }

    #[test]
    fn which_revision_it_goes_back_to() {
        let rollout = rollout(json!({"spec": {"template": of("r/a:3")}}));
        let stranger =
            json!({"metadata": {"ownerReferences": [{"uid": "u2", "controller": true}]}});
        let baseline = json!({"metadata": {"labels": {BASELINE_LABEL: "true"}}});
        let sets = [
            set(11, "r/a:1", json!({})),
            set(13, "r/a:3", json!({})),
            set(12, "r/a:2", json!({})),
            set(20, "r/a:20", stranger),
            set(21, "r/a:21", baseline),
        ];
        let hash = |image: &str| naming::template_hash(&of(image), 0);
        let no = BTreeMap::new();
        let second: BTreeMap<String, String> = [(hash("r/a:2"), "checkout-b-1".to_owned())].into();
        let both: BTreeMap<String, String> = ["r/a:1", "r/a:2"]
            .map(|image| (hash(image), "r".to_owned()))
            .into();
        for (sets, rejected, to, image) in [
            (&sets[..], &no, None, Ok("r/a:2")),
            (&sets[..], &no, Some(11), Ok("r/a:1")),
            (&sets[..], &no, Some(13), Ok("r/a:3")),
            (&sets[..], &second, None, Ok("r/a:1")),
            (
                &sets[..],
                &second,
                Some(12),
                Err("revert release checkout-b-1 -n shop"),
            ),
            (
                &sets[..],
                &both,
                None,
                Err("every other revision that there is is on record"),
            ),
            (
                &sets[..],
                &no,
                Some(20),
                Err("revision 20 has no ReplicaSet (any more); there are: 13, 12, 11"),
            ),
            (
                &sets[1..2],
                &no,
                None,
                Err("no other revision to go back to; there are: 13"),
            ),
            (&sets[..0], &no, None, Err("no revision has a ReplicaSet")),
        ] {
            let versions = versions(&rollout, sets.iter());
            let found = plan(&rollout, &versions, rejected, to).map_err(|e| e.to_string());
            match (found, image) {
                (Ok(change), Ok(image)) => assert_eq!(change.template, of(image), "{to:?}"),
                (Err(error), Err(says)) => assert!(error.contains(says), "{says:?} in {error}"),
                (found, _) => panic!("{to:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_said_of_it() {
        let going_out = |now: &str, stable: &str| {
            rollout(json!({"spec": {"template": of(now)},
                "status": {"stable": {"hash": naming::template_hash(&of(stable), 0)}}}))
        };
        let sets = [set(13, "r/a:2", json!({})), set(12, "r/a:1", json!({}))];
        for (now, stable, sets, says) in [
            ("r/a:2", "r/a:1", &sets[..], "that is the stable version"),
            // The version that is asked for has no ReplicaSet to hold the other against.
            ("r/a:9", "r/a:7", &sets[..], "counts as a new version"),
        ] {
            let rollout = going_out(now, stable);
            let versions = versions(&rollout, sets.iter());
            let change = plan(&rollout, &versions, &BTreeMap::new(), None).unwrap();
            assert!(
                change.notes.iter().any(|note| note.contains(says)),
                "{:?}",
                change.notes
            );
        }
    }
}
