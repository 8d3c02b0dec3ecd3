//! A plan becomes calls: each write in its order with its precondition, then the status, then the
//! events. The first failure ends it; the next reconcile observes and decides again.
//!
//! Every write is a create (precondition: there is none of the name), a patch that carries or tests
//! the resourceVersion, or a delete with uid and resourceVersion. So a plan that was made from old
//! facts cannot do harm: it can only be refused.

use json_patch::Patch as JsonPatch;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::bodies;
use super::calls::{Calls, EVICT};
use super::error::{Error, code, gone_is_conflict, refused_replica_set};
use super::object::{Kind, Object};
use super::observe::{Snapshot, kind_of};
use crate::api::revert::RELEASED_ANNOTATION;
use crate::api::rollout_status::RolloutStatus;
use crate::core::observed::RouteId;
use crate::core::plan::{Call, Plan, Precondition, Write};
use crate::core::spec::{Problem, Spec};
use crate::traffic::router::{self, Change};
use crate::traffic::{FIELD_MANAGER, service};

/// Carries plans out.
pub struct Executor<'a> {
    /// The way to the API server.
    pub calls: &'a Calls,
    /// The facts that the plan was made from, read live.
    pub snapshot: &'a Snapshot,
    /// The cluster's name, for the record of a rejected version.
    pub cluster_name: Option<&'a str>,
}

/// What came of the writes that nothing waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Afterwards {
    /// Pods whose change the API server refused.
    pub refused: usize,
    /// What it said to the first of them.
    pub why: Option<String>,
    /// What it said to a control group.
    pub no_baseline: Option<String>,
    /// Whether the rest has to be tried again.
    pub unfinished: bool,
}

impl Executor<'_> {
    /// Carries `plan` out, all but its events and what comes afterwards.
    ///
    /// # Errors
    /// The first failure; what came before it stays done.
    pub async fn execute(&self, plan: &Plan) -> Result<(), Error> {
        for call in plan.calls() {
            match call {
                Call::Write(write) => {
                    self.write(write).await?;
                    tracing::info!(write = %write, "written");
                }
                Call::Status(status) => self.write_status(status).await?,
            }
        }
        Ok(())
    }

    /// Carries out what nothing waits for. A pod that is gone is left out, and so is one whose change
    /// the API server refuses, because asking again changes nothing; any other failure ends it for
    /// now.
    pub async fn execute_afterwards(&self, plan: &Plan) -> Afterwards {
        let mut came_to = Afterwards::default();
        for write in &plan.afterwards {
            let Err(error) = self.write(write).await else {
                tracing::info!(write = %write, "written");
                continue;
            };
            let is_pod = matches!(write, Write::RelabelPod { .. });
            match (&error, code(&error)) {
                (Error::Conflict { .. }, _) if is_pod => {}
                _ if matches!(write, Write::CreateBaseline(_)) => {
                    let why = error.chain();
                    tracing::warn!(write = %write, why, "again later");
                    came_to.no_baseline = Some(why);
                    came_to.unfinished = true;
                }
                (_, Some(400..=428)) if is_pod => {
                    let why = error.chain();
                    tracing::warn!(write = %write, why, "refused, and left as it is");
                    came_to.refused += 1;
                    came_to.why.get_or_insert(why);
                }
                _ => {
                    tracing::warn!(write = %write, error = %error.chain(), "again later");
                    came_to.unfinished = true;
                    break;
                }
            }
        }
        came_to
    }

    async fn write(&self, write: &Write) -> Result<(), Error> {
        let owner = self.snapshot.owner();
        let found = &self.snapshot.routes;
        let refused = |problem| impossible(write, &problem);
        match write {
            Write::SetFinalizer { on, present } => {
                let body = bodies::finalizers(&self.snapshot.rollout.value(), *present);
                self.patch(Kind::Rollout, self.name(), on, body).await
            }
            Write::RemoveAnnotation { on, key } => {
                let body = json!({"metadata": {"annotations": {key: null}}});
                self.patch(Kind::Rollout, self.name(), on, body).await
            }
            Write::CreateReplicaSet(new) => {
                let body = bodies::replica_set(owner, self.spec()?, write).unwrap_or_default();
                let created = self.create(Kind::ReplicaSet, body).await;
                created.map_err(|error| refused_replica_set(error, &new.name))
            }
            Write::CreateBaseline(_) => {
                let body = bodies::replica_set(owner, self.spec()?, write).unwrap_or_default();
                self.create(Kind::ReplicaSet, body).await
            }
            Write::ScaleReplicaSet {
                name,
                on,
                to,
                revision,
                role,
                ..
            } => {
                let body = bodies::scale(*to, *revision, role.as_ref());
                self.patch(Kind::ReplicaSet, name, on, body).await
            }
            Write::ScaleWorkload { name, on, to, .. } => self.scale_workload(name, on, *to).await,
            Write::DeleteReplicaSet { name, on } => self.delete(Kind::ReplicaSet, name, on).await,
            Write::RelabelReplicaSet {
                name,
                on,
                generation,
                change,
            } => {
                let body = bodies::relabel_replica_set(*generation, change);
                self.patch(Kind::ReplicaSet, name, on, body).await
            }
            Write::RelabelPod { name, uid, change } => {
                let body = bodies::relabel_pod(uid, change);
                self.merge(Kind::Pod, name, &body).await
            }
            Write::NotePodsRelabelled { name, on, given } => {
                let body = bodies::pods_relabelled(given.as_deref());
                self.patch(Kind::ReplicaSet, name, on, body).await
            }
            Write::SwitchService {
                name, on, to, at, ..
            } => {
                let version = &on.resource_version;
                let body = service::switch_patch(version, self.name(), to.as_deref(), *at);
                self.merge(Kind::Service, name, &body).await
            }
            Write::SetWeight {
                route,
                to,
                side_routes,
                at,
                ..
            } => {
                let said = (*to, side_routes.as_slice());
                let change = router::change(self.spec()?, owner, found, route, said, *at);
                let change = change.map_err(refused)?;
                self.change_route(route, change, !side_routes.is_empty())
                    .await
            }
            Write::CreateRoute { route, weight, at } => {
                let body = router::body(self.spec()?, owner, found, route, *weight, *at);
                let target = router::written(route, self.name());
                self.create(kind_of(&target).0, body.map_err(refused)?)
                    .await
            }
            Write::CreateAnalysisRun { name, spec } => {
                let body = bodies::analysis_run(owner, name, spec);
                self.create(Kind::AnalysisRun, body).await
            }
            Write::TerminateAnalysisRun { name, on } => {
                let body = json!({"spec": {"terminate": true}});
                self.patch(Kind::AnalysisRun, name, on, body).await
            }
            Write::DeleteAnalysisRun { name, on } => self.delete(Kind::AnalysisRun, name, on).await,
            Write::CreateRevert { name, spec } => {
                let body = bodies::revert(owner, name, spec, self.cluster_name);
                self.create(Kind::Revert, body).await
            }
            Write::ReleaseRevert { name, on, note } => {
                let body = json!({"metadata": {"annotations": {RELEASED_ANNOTATION: note}}});
                self.patch(Kind::Revert, name, on, body).await
            }
            Write::DeleteRevert { name, on } => self.delete(Kind::Revert, name, on).await,
            Write::EvictPod { name, uid } => self.evict(name, uid).await,
        }
    }

    fn name(&self) -> &str {
        &self.snapshot.observed.rollout.name
    }

    fn namespace(&self) -> &str {
        &self.snapshot.observed.rollout.namespace
    }

    fn spec(&self) -> Result<&Spec, Error> {
        self.snapshot
            .observed
            .rollout
            .spec
            .as_ref()
            .map_err(|problems| Error::NotPossible {
                what: format!("Rollout {}", self.name()),
                reason: problems
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            })
    }

    async fn create(&self, kind: Kind, body: Value) -> Result<(), Error> {
        let object = Object::new(body).map_err(|error| Error::Unreadable {
            what: format!("{kind} to be created"),
            reason: error.to_string(),
        })?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        let api = kind.api(self.calls.client(), Some(self.namespace()));
        self.calls
            .call("create", kind, object.name(), api.create(&params, &object))
            .await?;
        Ok(())
    }

    /// A merge patch of the version that was read.
    async fn patch(
        &self,
        kind: Kind,
        name: &str,
        on: &Precondition,
        body: Value,
    ) -> Result<(), Error> {
        let body = bodies::on(&on.resource_version, body);
        self.merge(kind, name, &body).await
    }

    /// A merge patch that carries the resourceVersion itself.
    async fn merge(&self, kind: Kind, name: &str, body: &Value) -> Result<(), Error> {
        let params = PatchParams::apply(FIELD_MANAGER);
        self.merge_with(kind, name, body, &params).await
    }

    async fn merge_with(
        &self,
        kind: Kind,
        name: &str,
        body: &Value,
        params: &PatchParams,
    ) -> Result<(), Error> {
        let api = kind.api(self.calls.client(), Some(self.namespace()));
        let patch = Patch::Merge(body);
        let answer = self
            .calls
            .call("patch", kind, name, api.patch(name, params, &patch))
            .await;
        answer.map(drop).map_err(gone_is_conflict)
    }

    async fn delete(&self, kind: Kind, name: &str, on: &Precondition) -> Result<(), Error> {
        let api = kind.api(self.calls.client(), Some(self.namespace()));
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(on.uid.clone()),
                resource_version: Some(on.resource_version.clone()),
            }),
            ..DeleteParams::background()
        };
        let answer = self
            .calls
            .call("delete", kind, name, api.delete(name, &params))
            .await;
        answer.map(drop).map_err(gone_is_conflict)
    }

    /// With rules of our own, a server that would drop their names has to refuse: rules without a name
    /// would be taken for the user's.
    async fn change_route(
        &self,
        route: &RouteId,
        change: Change,
        has_own_rules: bool,
    ) -> Result<(), Error> {
        let target = router::written(route, self.name());
        let (kind, name) = kind_of(&target);
        let mut params = PatchParams::apply(FIELD_MANAGER);
        if has_own_rules {
            params = params.validation_strict();
        }
        match change {
            Change::Merge(body) => self.merge_with(kind, name, &body, &params).await,
            Change::Json(patch) => {
                let read = self.snapshot.routes.get(&target);
                let version = read.and_then(|r| r.pointer("/metadata/resourceVersion")?.as_str());
                self.json_patch(kind, name, version.unwrap_or_default(), patch, &params)
                    .await
            }
        }
    }

    /// A failed test of a JSON patch is answered like any invalid patch (422). Whether it was the
    /// test is seen by the version that is there now.
    async fn json_patch(
        &self,
        kind: Kind,
        name: &str,
        version: &str,
        patch: JsonPatch,
        params: &PatchParams,
    ) -> Result<(), Error> {
        let api = kind.api(self.calls.client(), Some(self.namespace()));
        let patch = Patch::<()>::Json(patch);
        let answer = self
            .calls
            .call("patch", kind, name, api.patch(name, params, &patch))
            .await;
        let Err(error) = answer else { return Ok(()) };
        if code(&error) == Some(422) {
            let now = self
                .calls
                .call("get", kind, name, api.get_opt(name))
                .await?;
            if now.is_none_or(|object| object.resource_version() != version) {
                return Err(Error::Conflict {
                    what: format!("patch {kind} {name}"),
                });
            }
        }
        Err(gone_is_conflict(error))
    }

    /// By `/scale`: of a Deployment Tidegate may change nothing else.
    async fn scale_workload(&self, name: &str, on: &Precondition, to: i32) -> Result<(), Error> {
        let kind = Kind::Deployment;
        let api = kind.api(self.calls.client(), Some(self.namespace()));
        let body = bodies::on(&on.resource_version, json!({"spec": {"replicas": to}}));
        let params = PatchParams::apply(FIELD_MANAGER);
        let patch = Patch::Merge(&body);
        let call = api.patch_scale(name, &params, &patch);
        let answer = self.calls.call("scale", kind, name, call).await;
        answer.map(drop).map_err(gone_is_conflict)
    }

    async fn evict(&self, name: &str, uid: &str) -> Result<(), Error> {
        let path = <Object as kube::Resource>::url_path(&Kind::Pod, Some(self.namespace()));
        let body = bodies::eviction(self.namespace(), name, uid);
        let unreadable = |reason: String| Error::Unreadable {
            what: format!("evict Pod {name}"),
            reason,
        };
        let request = http::Request::post(format!("{path}/{name}/eviction"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into_bytes())
            .map_err(|e| unreadable(e.to_string()))?;
        let client = self.calls.client();
        let answer = self
            .calls
            .call(EVICT, Kind::Pod, name, client.request::<Value>(request))
            .await;
        answer.map(drop).map_err(gone_is_conflict)
    }

    /// The whole status on the version that was read: a 409 means decide again.
    async fn write_status(&self, status: &RolloutStatus) -> Result<(), Error> {
        let unreadable = |error: serde_json::Error| Error::Unreadable {
            what: format!("status of Rollout {}", self.name()),
            reason: error.to_string(),
        };
        let status = serde_json::to_value(status).map_err(unreadable)?;
        let body = bodies::with_status(&self.snapshot.rollout.value(), status);
        let object = Object::new(body).map_err(unreadable)?;
        let api = Kind::Rollout.api(self.calls.client(), Some(self.namespace()));
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..Default::default()
        };
        let call = api.replace_status(self.name(), &params, &object);
        let answer = self
            .calls
            .call("update status of", Kind::Rollout, self.name(), call)
            .await;
        answer.map(drop).map_err(gone_is_conflict)
    }
}

fn impossible(write: &Write, problem: &Problem) -> Error {
    Error::NotPossible {
        what: write.to_string(),
        reason: problem.to_string(),
    }
}
