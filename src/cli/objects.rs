//! A Rollout and everything that belongs to it, as read from the API: what the views are made of.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition};
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, Resource};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::client::{ROLLOUTS, Session};
use super::error::CliError;
use crate::api::analysis::AnalysisRun;
use crate::api::revert::{ROLLOUT_LABEL, Revert};
use crate::api::rollout::{HASH_LABEL, Rollout};

/// `replicasets.apps`
pub const REPLICA_SETS: &str = "replicasets.apps";
/// `analysisruns.tidegate.io`
pub const RUNS: &str = "analysisruns.tidegate.io";
/// `reverts.tidegate.io`
pub const REVERTS: &str = "reverts.tidegate.io";
/// The annotation with a ReplicaSet's revision.
pub const REVISION_ANNOTATION: &str = "tidegate.io/revision";

/// A Rollout and what belongs to it.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The Rollout.
    pub rollout: Rollout,
    /// Its ReplicaSets.
    pub replica_sets: Vec<ReplicaSet>,
    /// Its AnalysisRuns.
    pub runs: Vec<AnalysisRun>,
    /// The Reverts of its name, also those of an earlier object of that name.
    pub reverts: Vec<Revert>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

impl Objects {
    /// A Rollout alone.
    #[must_use]
    pub fn of(rollout: Rollout) -> Self {
        Self {
            rollout,
            replica_sets: vec![],
            runs: vec![],
            reverts: vec![],
            notes: vec![],
        }
    }

    /// Reads them all. Only the Rollout itself is required: what else may not be read is noted.
    ///
    /// # Errors
    /// When the Rollout cannot be read.
    pub async fn load(session: &Session, name: &str) -> Result<Self, CliError> {
        Box::pin(Self::read(session, name, true)).await
    }

    /// The same without the AnalysisRuns, which are by far the largest of them.
    ///
    /// # Errors
    /// When the Rollout cannot be read.
    pub async fn load_without_runs(session: &Session, name: &str) -> Result<Self, CliError> {
        Box::pin(Self::read(session, name, false)).await
    }

    async fn read(session: &Session, name: &str, with_runs: bool) -> Result<Self, CliError> {
        let of_rollout = ListParams::default().labels(&rollout_selector(name));
        let (replica_sets, runs, reverts) =
            (replica_sets(session), session.runs(), session.reverts());
        let (asked_sets, asked_runs, asked_reverts) = (
            session.asked("list", REPLICA_SETS),
            session.asked("list", RUNS),
            session.asked("list", REVERTS),
        );
        let runs = async {
            match with_runs {
                true => session
                    .ask(&asked_runs, runs.list(&of_rollout))
                    .await
                    .map(|list| list.items),
                false => Ok(Vec::new()),
            }
        };
        let (rollout, sets, runs, reverts) = tokio::join!(
            session.rollout(name),
            session.ask(&asked_sets, replica_sets.list(&of_rollout)),
            runs,
            session.ask(&asked_reverts, reverts.list(&of_rollout)),
        );
        let mut all = Self::of(rollout?);
        match sets {
            Ok(list) => all.replica_sets = list.items,
            Err(e) => all.notes.push(format!("ReplicaSets are not shown: {e}")),
        }
        match runs {
            Ok(runs) => all.runs = runs,
            Err(e) => all.notes.push(format!("AnalysisRuns are not shown: {e}")),
        }
        match reverts {
            Ok(list) => all.reverts = list.items,
            Err(e) => all.notes.push(format!("Reverts are not shown: {e}")),
        }
        all.keep_own();
        Ok(all)
    }

    /// Leaves out what only looks as if it belonged to this Rollout.
    pub fn keep_own(&mut self) {
        let uid = self.rollout.uid();
        let name = self.rollout.name_any();
        let owned = |owner: Option<String>| owner.is_some() && owner == uid;
        self.replica_sets.retain(|rs| owned(controller_uid(rs)));
        self.runs.retain(|run| match &run.spec.rollout {
            Some(of) => Some(&of.uid) == uid.as_ref(),
            None => owned(controller_uid(run)),
        });
        self.reverts
            .retain(|revert| revert.spec.rollout.name == name);
    }
}

/// The namespace's ReplicaSets.
pub fn replica_sets(session: &Session) -> Api<ReplicaSet> {
    Api::namespaced(session.client.clone(), &session.namespace)
}

/// Selects the ReplicaSets, AnalysisRuns and Reverts of a Rollout: each carries its name as a label.
#[must_use]
pub fn rollout_selector(name: &str) -> String {
    format!("{ROLLOUT_LABEL}={name}")
}

/// Uid of the object that an object is controlled by.
#[must_use]
pub fn controller_uid<K: ResourceExt>(object: &K) -> Option<String> {
    let owners = object.owner_references();
    owners
        .iter()
        .find(|o| o.controller == Some(true))
        .map(|o| o.uid.clone())
}

/// Hash of a ReplicaSet's version.
#[must_use]
pub fn hash_of(rs: &ReplicaSet) -> String {
    rs.labels().get(HASH_LABEL).cloned().unwrap_or_default()
}

/// Revision of a ReplicaSet, 0 if it has none.
#[must_use]
pub fn revision_of(rs: &ReplicaSet) -> i64 {
    rs.annotations()
        .get(REVISION_ANNOTATION)
        .and_then(|r| r.parse().ok())
        .unwrap_or(0)
}

/// Pods of a ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// How many there are to be.
    pub desired: i32,
    /// How many there are.
    pub current: i32,
    /// Those that are ready.
    pub ready: i32,
    /// Those that have been ready for long enough.
    pub available: i32,
}

impl Counts {
    /// As the ReplicaSet says.
    #[must_use]
    pub fn of(rs: &ReplicaSet) -> Self {
        let status = rs.status.as_ref();
        Self {
            // An API server fills in 1 where nothing is said.
            desired: rs.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1),
            current: status.map_or(0, |s| s.replicas),
            ready: status.and_then(|s| s.ready_replicas).unwrap_or(0),
            available: status.and_then(|s| s.available_replicas).unwrap_or(0),
        }
    }
}

/// Why pods of a ReplicaSet cannot be created, if they cannot.
#[must_use]
pub fn failure(rs: &ReplicaSet) -> Option<&ReplicaSetCondition> {
    let conditions = rs.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .find(|c| c.type_ == "ReplicaFailure" && c.status == "True")
}

/// The same objects with every field that the server sent, as one document for scripts.
///
/// # Errors
/// When any of them cannot be read: a script is better told than given half.
pub async fn raw(session: &Session, rollout: &Rollout) -> Result<Value, CliError> {
    let name = rollout.name_any();
    let of_rollout = ListParams::default().labels(&rollout_selector(&name));
    let all = ListParams::default().fields(&format!("metadata.name={name}"));
    let (rollouts, sets, runs, reverts) = tokio::try_join!(
        documents::<Rollout>(session, ROLLOUTS, all),
        documents::<ReplicaSet>(session, REPLICA_SETS, of_rollout.clone()),
        documents::<AnalysisRun>(session, RUNS, of_rollout.clone()),
        documents::<Revert>(session, REVERTS, of_rollout),
    )?;
    let mut typed = Objects::of(rollout.clone());
    typed.replica_sets = parse(&sets);
    typed.runs = parse(&runs);
    typed.keep_own();
    let kept = |names: Vec<String>, from: BTreeMap<String, Value>| -> Vec<Value> {
        from.into_iter()
            .filter(|(name, _)| names.contains(name))
            .map(|(_, v)| v)
            .collect()
    };
    let names = |list: &[ReplicaSet]| list.iter().map(ResourceExt::name_any).collect();
    Ok(json!({
        "rollout": rollouts.into_values().next().unwrap_or(Value::Null),
        "replicaSets": kept(names(&typed.replica_sets), sets),
        "analysisRuns": kept(typed.runs.iter().map(ResourceExt::name_any).collect(), runs),
        "reverts": reverts.into_values().collect::<Vec<_>>(),
    }))
}

fn parse<K: serde::de::DeserializeOwned>(from: &BTreeMap<String, Value>) -> Vec<K> {
    from.values()
        .filter_map(|v| serde_json::from_value(v.clone()).ok())
        .collect()
}

/// Objects of one kind with every field that the server sent, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn documents<K: Resource<DynamicType = ()>>(
    session: &Session,
    resource: &'static str,
    params: ListParams,
) -> Result<BTreeMap<String, Value>, CliError> {
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> =
        Api::namespaced_with(session.client.clone(), &session.namespace, &kind);
    let list = session
        .ask(&session.asked("list", resource), api.list(&params))
        .await?;
    let document = |mut object: DynamicObject| {
        let name = object.name_any();
        // Items of a list do not say what they are; managedFields say nothing to a reader.
        object.types = Some(kube::core::TypeMeta {
            api_version: kind.api_version.clone(),
            kind: kind.kind.clone(),
        });
        object.metadata.managed_fields = None;
        serde_json::to_value(object).map(|value| (name, value)).ok()
    };
    Ok(list.items.into_iter().filter_map(document).collect())
}
