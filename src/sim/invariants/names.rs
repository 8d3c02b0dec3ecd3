//! I13, I14, I17: what is made and whose it is.

use serde_json::Value;

use super::{Written, holds};
use crate::core::naming::{self, NAME_MAX};
use crate::core::plan::{NewReplicaSet, Write};
use crate::core::roles::GIVEN;
use crate::core::spec::Spec;
use crate::sim::world::World;
use crate::sim::world::objects::Kind;

pub(super) fn versions_are_templates(world: &World, written: &Written<'_>) -> Result<(), String> {
    let Write::CreateReplicaSet(new) = written.write else {
        return Ok(());
    };
    let NewReplicaSet {
        name,
        hash,
        template,
        ..
    } = &**new;
    let Some(spec) = written.spec() else {
        return Err(format!(
            "{name} is made of a spec that cannot be carried out"
        ));
    };
    let own = identity(template, spec);
    holds(own == spec.template, || {
        format!("{name} has another template than the spec")
    })?;
    let most = written.observed.rollout.status.collision_count + 1;
    let possible = (0..=most).any(|n| naming::template_hash(&own, n) == *hash);
    holds(possible, || {
        format!("{hash} is not the hash of the template of {name}")
    })?;
    let twins = world.store.list(Kind::ReplicaSet).filter(|stored| {
        stored.meta.owner.as_deref() == Some(&written.observed.rollout.uid)
            && stored
                .replica_set()
                .is_some_and(|rs| !rs.is_baseline && identity(&rs.template, spec) == own)
    });
    holds(twins.count() <= 1, || {
        format!("{name} is a version that there is already")
    })
}

/// A ReplicaSet's template without what Tidegate added: metadata for its role, a rule to keep apart.
fn identity(template: &Value, spec: &Spec) -> Value {
    let mut own = template.clone();
    let record = template
        .pointer("/metadata/annotations")
        .and_then(|a| a.get(GIVEN)?.as_str());
    let given: Value = record
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    for part in ["labels", "annotations"] {
        let keys = given.get(part).and_then(Value::as_object);
        let Some(map) = own
            .pointer_mut(&format!("/metadata/{part}"))
            .and_then(Value::as_object_mut)
        else {
            continue;
        };
        for key in keys.into_iter().flatten().map(|(key, _)| key) {
            map.remove(key);
        }
        map.remove(GIVEN);
        if map.is_empty()
            && let Some(metadata) = own.pointer_mut("/metadata").and_then(Value::as_object_mut)
        {
            metadata.remove(part);
        }
    }
    // Nobody here writes an affinity of their own.
    if spec.capacity.anti_affinity.is_some()
        && let Some(pods) = own.pointer_mut("/spec").and_then(Value::as_object_mut)
    {
        pods.remove("affinity");
    }
    own
}

pub(super) fn own_objects_only(_: &World, written: &Written<'_>) -> Result<(), String> {
    let Some(stored) = written.replaced else {
        return Ok(());
    };
    let ours = &written.observed.rollout;
    if let Some(service) = stored.service() {
        let other = service
            .managed_by
            .as_ref()
            .filter(|owner| **owner != ours.name);
        return holds(other.is_none(), || {
            format!("Service {} belongs to {other:?}", stored.meta.name)
        });
    }
    if let Write::ScaleWorkload { name, .. } = written.write {
        let Some(spec) = written.spec() else {
            return Ok(());
        };
        let named = spec.workload.as_ref().map(|workload| &workload.name);
        return holds(named == Some(name), || {
            format!(
                "Deployment {name} is scaled, and {} names {named:?}",
                ours.name
            )
        });
    }
    let owned = stored.replica_set().is_some() || stored.run().is_some();
    holds(
        !owned || stored.meta.owner.as_deref() == Some(&ours.uid),
        || format!("{} is not of {}", stored.meta.name, ours.name),
    )
}

pub(super) fn names_are_valid(_: &World, written: &Written<'_>) -> Result<(), String> {
    let name = match written.write {
        Write::CreateReplicaSet(new) | Write::CreateBaseline(new) => &new.name,
        Write::CreateAnalysisRun { name, .. } | Write::CreateRevert { name, .. } => name,
        _ => return Ok(()),
    };
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !name.is_empty()
        && name.len() <= NAME_MAX
        && name.chars().all(valid)
        && !name.starts_with('-')
        && !name.ends_with('-');
    holds(good, || format!("{name:?} is no name of an object"))
}
