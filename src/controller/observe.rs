//! From objects to facts: one Rollout and everything that it names, as the planner knows it.
//!
//! The same function works on the caches and on the API server, so that a decision made from one is
//! the decision that would be made from the other. It judges nothing: an object that is missing,
//! foreign or odd is reported as such.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{try_join, try_join_all};
use jiff::Timestamp;

use super::error::Error;
use super::facts;
use super::neighbours::{DeploymentFacts, RolloutFacts, selects};
use super::object::{Kind, Object};
use super::reader::{Labels, Reader};
use crate::api::analysis::AnalysisTemplateSpec;
use crate::api::revert::ROLLOUT_LABEL;
use crate::api::rollout::BASELINE_LABEL;
use crate::core::naming;
use crate::core::observed::{
    Observed, PodObserved, ReplicaSetObserved, ServiceObserved, Settings, TemplateKey,
};
use crate::core::spec::{Problem, Spec};
use crate::core::workload;
use crate::traffic::router::{self, Found, RouterObject};
use crate::traffic::{Owner, service};

/// Keeps a Rollout until its routes are given back.
pub const FINALIZER: &str = "tidegate.io/traffic";
/// Number of a version, on its ReplicaSet.
pub const REVISION: &str = "tidegate.io/revision";
/// Generation of a ReplicaSet when its template's metadata was last changed: the next generation has
/// the same size.
pub const RELABELLED_AT: &str = "tidegate.io/relabelled-at-generation";

/// The facts, and the objects that a write starts from.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the decision is made from.
    pub observed: Observed,
    /// The Rollout as it was read.
    pub rollout: Arc<Object>,
    /// The routers' objects as they were read.
    pub routes: Found,
}

impl Snapshot {
    /// The Rollout as owner.
    #[must_use]
    pub fn owner(&self) -> Owner<'_> {
        let rollout = &self.observed.rollout;
        Owner {
            namespace: &rollout.namespace,
            name: &rollout.name,
            uid: &rollout.uid,
        }
    }
}

/// Observes a Rollout; `None`: it does not exist.
///
/// # Errors
/// When something could not be read.
pub async fn observe<R: Reader>(
    reader: &R,
    namespace: &str,
    name: &str,
    settings: Settings,
) -> Result<Option<Snapshot>, Error> {
    let Some(object) = reader.get(Kind::Rollout, namespace, name).await? else {
        return Ok(None);
    };
    let workload = match facts::workload_name(&object) {
        Some(workload) => reader.get(Kind::Deployment, namespace, &workload).await?,
        None => None,
    };
    let template = workload
        .as_ref()
        .map(|workload| workload.value().pointer("/spec/template").cloned());
    let rollout = facts::rollout(&object, template.flatten().as_ref())?;
    let mut observed = Observed {
        rollout,
        workload: workload.as_deref().map(facts::workload),
        replica_sets: Vec::new(),
        baselines: Vec::new(),
        foreign_replica_sets: BTreeSet::new(),
        services: BTreeMap::new(),
        routes: Vec::new(),
        runs: Vec::new(),
        templates: BTreeMap::new(),
        reverts: Vec::new(),
        conflicts: Vec::new(),
        labels_shared_with: Vec::new(),
        refused: None,
        pods: Vec::new(),
        settings,
    };
    // A spec that cannot be carried out is only reported; nothing else has to be known for that.
    let Ok(spec) = observed.rollout.spec.clone() else {
        return Ok(Some(Snapshot {
            observed,
            rollout: object,
            routes: Found::new(),
        }));
    };
    let labels = Labels::from([(ROLLOUT_LABEL.to_owned(), name.to_owned())]);
    let ((replica_sets, runs), (reverts, (services, (templates, routes)))) = try_join(
        try_join(
            reader.list(Kind::ReplicaSet, namespace, &labels),
            reader.list(Kind::AnalysisRun, namespace, &labels),
        ),
        try_join(
            reader.list(Kind::Revert, namespace, &labels),
            try_join(
                services(reader, namespace, &spec),
                try_join(
                    templates(reader, namespace, &spec),
                    routes(reader, namespace, name, &spec),
                ),
            ),
        ),
    )
    .await?;
    let uid = observed.rollout.uid.clone();
    let ours = |o: &&Arc<Object>| o.controller_uid() == Some(&uid);
    let (baselines, own): (Vec<_>, Vec<_>) = replica_sets
        .iter()
        .filter(ours)
        .partition(|o| o.label(BASELINE_LABEL).is_some());
    observed.replica_sets = own.into_iter().map(|o| facts::replica_set(o)).collect();
    let baselines = baselines.into_iter();
    observed.baselines = baselines.map(|o| facts::replica_set(o)).collect();
    observed.foreign_replica_sets = replica_sets
        .iter()
        .filter(|o| !ours(o))
        .map(|o| o.name().to_owned())
        .collect();
    own_name(reader, &mut observed, &spec).await?;
    observed.runs = runs.iter().filter(ours).map(|o| facts::run(o)).collect();
    observed.reverts = reverts.iter().map(|o| facts::revert(o)).collect();
    let siblings = reader.siblings(namespace, name);
    observed.services = services;
    for service in observed.services.values_mut().flatten() {
        forget_the_gone(service, name, &siblings);
    }
    observed.templates = templates;
    observed.conflicts = conflicts(&object, &spec, &siblings);
    observed.labels_shared_with = sharing_labels(reader, namespace, &spec);
    let lagging = observed
        .replica_sets
        .iter()
        .any(ReplicaSetObserved::pods_lag);
    if observed.rollout.status.restart_at.is_some() || lagging {
        observed.pods = pods(reader, namespace, &spec, &observed.replica_sets).await?;
    }
    let owner = Owner {
        namespace,
        name,
        uid: &uid,
    };
    let classes = |name: &str| reader.ingress_class(name);
    observed.routes = router::read(&spec, owner, &routes, &classes);
    Ok(Some(Snapshot {
        observed,
        rollout: object,
        routes,
    }))
}

/// The ReplicaSet of the version that the spec asks for is looked up by name as well: one of that
/// name that lacks the label, or belongs to somebody else, must not be taken for missing.
async fn own_name<R: Reader>(
    reader: &R,
    observed: &mut Observed,
    spec: &Spec,
) -> Result<(), Error> {
    let rollout = &observed.rollout;
    let hash = workload::recorded_hash(observed).map_or_else(
        || naming::template_hash(&spec.template, rollout.status.collision_count),
        str::to_owned,
    );
    let name = naming::replica_set(&rollout.name, &hash);
    if observed.replica_sets.iter().any(|rs| rs.name == name)
        || observed.foreign_replica_sets.contains(&name)
    {
        return Ok(());
    }
    match reader
        .get(Kind::ReplicaSet, &rollout.namespace, &name)
        .await?
    {
        Some(found) if found.controller_uid() == Some(&rollout.uid) => {
            observed.replica_sets.push(facts::replica_set(&found));
            observed.replica_sets.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Some(_) => {
            observed.foreign_replica_sets.insert(name);
        }
        None => {}
    }
    Ok(())
}

async fn services<R: Reader>(
    reader: &R,
    namespace: &str,
    spec: &Spec,
) -> Result<BTreeMap<String, Option<ServiceObserved>>, Error> {
    let names: BTreeSet<&str> = spec.services().into_iter().map(|(_, name)| name).collect();
    let read = names.into_iter().map(|name| async move {
        let found = reader.get(Kind::Service, namespace, name).await?;
        let seen = found.map(|object| {
            let value = object.value();
            let mut seen = service::read(&value);
            seen.problem = seen
                .problem
                .or_else(|| service::meets_none(&value, |key, label| spec.pods_have(key, label)));
            seen
        });
        Ok::<_, Error>((name.to_owned(), seen))
    });
    Ok(try_join_all(read).await?.into_iter().collect())
}

async fn routes<R: Reader>(
    reader: &R,
    namespace: &str,
    rollout: &str,
    spec: &Spec,
) -> Result<Found, Error> {
    let wanted: BTreeSet<RouterObject> = router::objects(spec, rollout).into_iter().collect();
    let read = wanted.into_iter().map(|which| async move {
        let (kind, name) = kind_of(&which);
        let found = reader
            .get(kind, namespace, name)
            .await?
            .map(|o| o.value().into_owned());
        Ok::<_, Error>(found.map(|value| (which, value)))
    });
    let mut found: Found = try_join_all(read).await?.into_iter().flatten().collect();
    if router::asks_for_features(spec) {
        for class in reader.gateway_classes() {
            let value = class.value().into_owned();
            if router::is_served_by(&found, &value) {
                found.insert(RouterObject::GatewayClass(class.name().to_owned()), value);
            }
        }
    }
    Ok(found)
}

/// Kind and name of a router's object.
pub(super) fn kind_of(object: &RouterObject) -> (Kind, &str) {
    match object {
        RouterObject::HttpRoute(name) => (Kind::HttpRoute, name),
        RouterObject::Ingress(name) => (Kind::Ingress, name),
        RouterObject::GatewayClass(name) => (Kind::GatewayClass, name),
    }
}

async fn templates<R: Reader>(
    reader: &R,
    namespace: &str,
    spec: &Spec,
) -> Result<BTreeMap<TemplateKey, Option<AnalysisTemplateSpec>>, Error> {
    let keys: BTreeSet<&TemplateKey> = spec.analyses().flat_map(|a| &a.templates).collect();
    let read = keys.into_iter().map(|key| async move {
        let kind = if key.cluster_scope {
            Kind::ClusterAnalysisTemplate
        } else {
            Kind::AnalysisTemplate
        };
        let found = reader.get(kind, namespace, &key.name).await?;
        Ok::<_, Error>((
            key.clone(),
            found.and_then(|object| facts::template(kind, &object)),
        ))
    });
    Ok(try_join_all(read).await?.into_iter().collect())
}

async fn pods<R: Reader>(
    reader: &R,
    namespace: &str,
    spec: &Spec,
    replica_sets: &[ReplicaSetObserved],
) -> Result<Vec<PodObserved>, Error> {
    let owners: BTreeSet<&str> = replica_sets.iter().map(|rs| rs.uid.as_str()).collect();
    let found = reader.list(Kind::Pod, namespace, &spec.selector).await?;
    let ours = found
        .iter()
        .filter(|o| o.controller_uid().is_some_and(|uid| owners.contains(uid)));
    Ok(ours.map(|object| facts::pod(object)).collect())
}

/// A Service may still name a Rollout that is gone; that one owns nothing any more.
fn forget_the_gone(
    service: &mut ServiceObserved,
    name: &str,
    siblings: &[(String, Arc<RolloutFacts>)],
) {
    let exists = |owner: &String| owner == name || siblings.iter().any(|(n, _)| n == owner);
    if !service.managed_by.as_ref().is_some_and(exists) {
        service.managed_by = None;
    }
}

/// Deployments that have pods and share labels with the Rollout, other than its own: they stop nothing,
/// because beside one that has the same labels a Rollout begins wherever it is to take its place.
fn sharing_labels<R: Reader>(reader: &R, namespace: &str, spec: &Spec) -> Vec<String> {
    let pods = spec.pod_labels();
    let shares =
        |other: &DeploymentFacts| other.has_pods && other.shares_labels(&spec.selector, &pods);
    let own = spec.workload.as_ref().map(|workload| &workload.name);
    let mut found = reader.deployments(namespace, &shares);
    found.retain(|name| Some(name) != own);
    found
}

/// Other Rollouts in the way. Of two that want the same, the one that runs already, else the older
/// one, goes on and the other is told; so a mistake that is made now stops nothing that runs.
fn conflicts(
    object: &Object,
    spec: &Spec,
    siblings: &[(String, Arc<RolloutFacts>)],
) -> Vec<Problem> {
    let value = object.value();
    let established = value.pointer("/status/stable/hash").is_some();
    let age = (!established, facts::created(&value), object.name());
    let pod_labels = spec.pod_labels();
    let meets =
        |selector: &Labels, pods: &[Labels]| pods.iter().any(|pods| selects(selector, pods));
    let mut problems = Vec::new();
    for (name, other) in siblings {
        if (
            !other.established,
            other.created.unwrap_or(Timestamp::UNIX_EPOCH),
            name.as_str(),
        ) > age
        {
            continue;
        }
        let workload = spec.workload.as_ref().map(|workload| &workload.name);
        if let Some(workload) = workload.filter(|own| other.workload.as_ref() == Some(own)) {
            problems.push(Problem::new(
                "spec.workloadRef.name",
                format!("Deployment {workload} is used by Rollout {name}"),
                "a Deployment that no other Rollout uses",
            ));
        }
        if meets(&other.selector, &pod_labels) || meets(&spec.selector, &other.pod_labels) {
            let labels: Vec<String> = spec
                .selector
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            problems.push(Problem::new(
                "spec.selector.matchLabels",
                format!("{} also meets pods of Rollout {name}", labels.join(",")),
                "labels that no other Rollout of the namespace uses",
            ));
        }
        for (field, service) in spec.services() {
            if other.services.contains(service) {
                problems.push(Problem::new(
                    field,
                    format!("Service {service} is used by Rollout {name}"),
                    "a Service that no other Rollout uses",
                ));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
