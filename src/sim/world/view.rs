//! What a controller sees of the simulated cluster, from whichever state of its objects it has: the
//! newest, a cache's, or one put together from several moments.

use std::collections::{BTreeMap, BTreeSet};

use super::deployment;
use super::objects::{Kind, Objects, RouteBody, Stored, parse_with};
use super::store::of_kind;
use crate::core::duration;
use crate::core::observed::{
    LiveRoute, Observed, PodObserved, RUN_MAX_DURATION, ReplicaSetObserved, RevertObserved,
    RolloutObserved, RouteId, RouteObserved, RouteState, RunObserved, ServiceObserved, Settings,
    TemplateKey, WorkloadObserved,
};
use crate::core::spec::{Problem, SideRoute, Spec, Step, stand_in};

/// Where everything is.
pub const NAMESPACE: &str = "shop";

/// Who writes for Tidegate.
pub const OURSELVES: &str = "tidegate";

/// Phases after which the Git writer does nothing more.
const FINISHED: [&str; 5] = [
    "Verified",
    "Superseded",
    "Unresolvable",
    "NeedsHuman",
    "Declined",
];

/// Observes a Rollout; `None`: it is not among the objects. `pods` are its pods by ReplicaSet, where
/// they are read at all.
pub fn observe(
    objects: &Objects,
    name: &str,
    settings: Settings,
    pods: impl Fn(&str) -> Vec<PodObserved>,
) -> Option<Observed> {
    let get = |kind: Kind, name: &str| objects.get(&(kind, name.to_owned()));
    let stored = get(Kind::Rollout, name)?;
    let body = stored.rollout()?;
    let meta = &stored.meta;
    let named = deployment::named(&body.raw);
    let workload = named
        .as_ref()
        .and_then(|named| get(Kind::Deployment, &named.name));
    let rollout = RolloutObserved {
        namespace: NAMESPACE.to_owned(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.version.to_string(),
        generation: meta.generation,
        deleted_at: meta.deleted_at,
        has_finalizer: body.finalizer,
        annotations: body.annotations.clone(),
        spec: match named {
            Some(_) => spec_with(stored, workload.map(|workload| &**workload)),
            None => Result::clone(&body.parsed),
        },
        status: body.status.clone(),
    };
    let ours = |o: &&std::sync::Arc<Stored>| o.meta.owner.as_deref() == Some(&meta.uid);
    let of_name = |kind| of_kind(objects, kind).filter(|o| o.meta.rollout.as_deref() == Some(name));
    let is_baseline =
        |o: &&std::sync::Arc<Stored>| o.replica_set().is_some_and(|rs| rs.is_baseline);
    let (baselines, own): (Vec<_>, Vec<_>) = of_name(Kind::ReplicaSet)
        .filter(ours)
        .partition(is_baseline);
    let read = |all: Vec<&std::sync::Arc<Stored>>| -> Vec<_> {
        all.into_iter().filter_map(|o| replica_set(o)).collect()
    };
    let (replica_sets, baselines) = (read(own), read(baselines));
    let foreign = of_name(Kind::ReplicaSet).filter(|o| !ours(o));
    let foreign_replica_sets = foreign.map(|o| o.meta.name.clone()).collect();
    let restarts = rollout.status.restart_at.is_some();
    let lag = replica_sets.iter().any(ReplicaSetObserved::pods_lag);
    let pods = match restarts || lag {
        true => replica_sets.iter().flat_map(|rs| pods(&rs.name)).collect(),
        false => Vec::new(),
    };
    let spec = rollout.spec.as_ref().ok();
    Some(Observed {
        services: spec.map(|spec| services(objects, spec)).unwrap_or_default(),
        routes: spec
            .map(|spec| routes(objects, name, spec))
            .unwrap_or_default(),
        templates: spec
            .map(|spec| templates(objects, spec))
            .unwrap_or_default(),
        runs: of_name(Kind::Run)
            .filter(ours)
            .filter_map(|o| run(o))
            .collect(),
        reverts: of_name(Kind::Revert).filter_map(|o| revert(o)).collect(),
        workload: workload.and_then(|workload| observed_workload(workload)),
        replica_sets,
        baselines,
        foreign_replica_sets,
        conflicts: spec
            .map(|spec| conflicts(objects, stored, spec))
            .unwrap_or_default(),
        labels_shared_with: Vec::new(),
        refused: None,
        pods,
        settings,
        rollout,
    })
}

/// The spec with the template that its Deployment has, as `controller::facts` reads it.
fn spec_with(rollout: &Stored, workload: Option<&Stored>) -> Result<Spec, Vec<Problem>> {
    let body = rollout.rollout().ok_or_else(Vec::new)?;
    let template = workload.and_then(|workload| Some(&*workload.deployment()?.template));
    let written = body.raw.get("template");
    match (template, rollout.meta.deleted_at) {
        (Some(template), _) if written == Some(template) => Result::clone(&body.parsed),
        (None, Some(_)) => {
            let selector = body.raw.get("selector").cloned().unwrap_or_default();
            let selector = serde_json::from_value(selector).map_err(|_| Vec::new())?;
            parse_with(&body.raw, Some(&stand_in(&selector)))
        }
        (template, _) => parse_with(&body.raw, template),
    }
}

fn observed_workload(stored: &Stored) -> Option<WorkloadObserved> {
    let (meta, body) = (&stored.meta, stored.deployment()?);
    Some(WorkloadObserved {
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.version.to_string(),
        generation: meta.generation,
        desired: body.desired,
        current: body.current,
        available: body.available,
        updated: body.current,
        up_to_date: body.observed_generation >= meta.generation,
    })
}

/// Services that another Rollout has, which runs already or is older.
fn conflicts(objects: &Objects, own: &Stored, spec: &Spec) -> Vec<Problem> {
    let age = |stored: &Stored| {
        let established = stored
            .rollout()
            .is_some_and(|body| body.status.stable.is_some());
        (!established, stored.meta.created, stored.meta.name.clone())
    };
    let mut problems = Vec::new();
    for other in of_kind(objects, Kind::Rollout) {
        if other.meta.uid == own.meta.uid || age(other) > age(own) {
            continue;
        }
        let Some(Ok(theirs)) = other.rollout().map(|body| body.parsed.as_ref()) else {
            continue;
        };
        for (field, service) in spec.services() {
            if theirs.services().iter().any(|(_, name)| *name == service) {
                problems.push(Problem::new(
                    field,
                    format!("Service {service} is used by Rollout {}", other.meta.name),
                    "a Service that no other Rollout uses",
                ));
            }
        }
    }
    problems
}

fn replica_set(stored: &Stored) -> Option<ReplicaSetObserved> {
    let (meta, body) = (&stored.meta, stored.replica_set()?);
    let seen = body.observed_generation;
    let same_size = seen + 1 == meta.generation && body.relabelled_at == Some(seen);
    Some(ReplicaSetObserved {
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.version.to_string(),
        hash: body.hash.clone(),
        revision: body.revision,
        desired: body.desired,
        scaled_by: None,
        current: body.current,
        ready: body.ready,
        available: body.available,
        up_to_date: seen >= meta.generation || same_size,
        generation: meta.generation,
        template_seen: seen >= meta.generation,
        pods_given: body.pods_given.clone(),
        created: meta.created,
        failure: body.failure.clone(),
        template: std::sync::Arc::clone(&body.template),
    })
}

fn services(objects: &Objects, spec: &Spec) -> BTreeMap<String, Option<ServiceObserved>> {
    let names: BTreeSet<&str> = spec.services().into_iter().map(|(_, name)| name).collect();
    let exists = |rollout: &String| objects.contains_key(&(Kind::Rollout, rollout.clone()));
    let read = |name: &str| {
        let stored = objects.get(&(Kind::Service, name.to_owned()))?;
        let body = stored.service()?;
        Some(ServiceObserved {
            name: name.to_owned(),
            resource_version: stored.meta.version.to_string(),
            uid: stored.meta.uid.clone(),
            hash: body.hash.clone(),
            switched_at: body.switched_at,
            managed_by: body.managed_by.clone().filter(exists),
            problem: body.problem.clone(),
        })
    };
    names
        .into_iter()
        .map(|name| (name.to_owned(), read(name)))
        .collect()
}

fn routes(objects: &Objects, rollout: &str, spec: &Spec) -> Vec<RouteObserved> {
    let read = |id: RouteId| {
        let stored = objects.get(&(Kind::Route, id.to_string()));
        let state = match stored.and_then(|stored| Some((stored, stored.route()?))) {
            Some((stored, body)) => route(stored, body, spec),
            None if matches!(id, RouteId::HttpRoute(_)) => RouteState::Unusable(missing(&id)),
            None => RouteState::ToCreate,
        };
        RouteObserved { id, state }
    };
    spec.routes(rollout).into_iter().map(read).collect()
}

fn missing(id: &RouteId) -> Problem {
    Problem::new(
        "spec.strategy.canary.trafficRouting",
        format!("{id} does not exist"),
        "a route in the namespace; create it",
    )
}

fn route(stored: &Stored, body: &RouteBody, spec: &Spec) -> RouteState {
    if let Some(problem) = &body.problem {
        return RouteState::Unusable(problem.clone());
    }
    let pending = (body.accepted < stored.meta.generation).then(|| "not seen yet".to_owned());
    // Rules that the spec does not know are known by their names to be Tidegate's.
    let steps = spec.steps.iter();
    let known: Vec<&SideRoute> = steps
        .filter_map(|step| match step {
            Step::SetSideRoute(route) => Some(route),
            _ => None,
        })
        .collect();
    let as_it_should_be = body.side_routes.iter().all(|side| known.contains(&side));
    RouteState::Live(LiveRoute {
        resource_version: stored.meta.version.to_string(),
        weight: body.weight,
        exact: true,
        side_routes: as_it_should_be.then(|| body.side_routes.clone()),
        obstacle: None,
        pending,
        changed_at: body.changed_at,
        last_writer: (body.writer != OURSELVES).then(|| body.writer.clone()),
    })
}

fn templates(
    objects: &Objects,
    spec: &Spec,
) -> BTreeMap<TemplateKey, Option<crate::api::analysis::AnalysisTemplateSpec>> {
    let keys: BTreeSet<&TemplateKey> = spec.analyses().flat_map(|a| &a.templates).collect();
    let read = |key: &TemplateKey| {
        let stored = objects.get(&(Kind::Template, key.name.clone()))?;
        match &stored.body {
            super::objects::Body::Template(template) => template.clone(),
            _ => None,
        }
    };
    keys.into_iter()
        .map(|key| (key.clone(), read(key)))
        .collect()
}

fn run(stored: &Stored) -> Option<RunObserved> {
    let (meta, body) = (&stored.meta, stored.run()?);
    Some(RunObserved {
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.version.to_string(),
        hash: body.spec.canary_hash.clone(),
        phase: body.phase,
        verdict: body.verdict,
        reason: String::new(),
        message: body.message.clone(),
        terminate: body.terminate,
        max_duration: (body.spec.promote.max_duration.as_deref())
            .and_then(|text| duration::parse(text).ok())
            .unwrap_or(RUN_MAX_DURATION),
        created: meta.created,
    })
}

fn revert(stored: &Stored) -> Option<RevertObserved> {
    let (meta, body) = (&stored.meta, stored.revert()?);
    Some(RevertObserved {
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.version.to_string(),
        hash: body.spec.bad.hash.clone(),
        attempt: body.spec.attempt,
        released: body.released,
        phase: body.phase.clone(),
        message: None,
        commit: body.commit.clone(),
        finished: body.phase.as_deref().is_some_and(|p| FINISHED.contains(&p)),
        created: meta.created,
    })
}
