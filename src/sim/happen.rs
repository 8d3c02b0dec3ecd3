//! What a happening does to the simulated cluster.

use serde_json::{Value, json};

use super::history::{Change, Happening};
use super::world::objects::Kind;
use super::world::{Event, World};
use crate::core::commands::annotation;
use crate::core::naming;

/// Something happens to a Rollout, or to what is around it.
pub fn happen(world: &mut World, rollout: &str, what: &Happening) {
    world.trace.say(world.now, || format!("-- {what:?}"));
    match what {
        Happening::Commit(image) => {
            world.git.edit(rollout, |spec| set_image(spec, image));
        }
        Happening::Apply(image) => world.edit_rollout(rollout, |spec| set_image(spec, image)),
        Happening::CommitChange(change) => world.git.edit(rollout, |spec| make(change, spec)),
        Happening::ApplyChange(change) => world.edit_rollout(rollout, |spec| make(change, spec)),
        Happening::EditSteps => world.edit_rollout(rollout, |spec| {
            let steps = spec.pointer_mut("/strategy/canary/steps");
            if let Some(steps) = steps.and_then(|steps| steps.as_array_mut()) {
                steps.pop();
            }
        }),
        Happening::Scale(replicas) => {
            world.edit_rollout(rollout, |spec| spec["replicas"] = json!(replicas));
        }
        Happening::Command(verb) => command(world, rollout, verb),
        Happening::BareAbort => annotate(world, rollout, annotation("abort"), Some("now")),
        Happening::Annotate(key, value) => {
            annotate(world, rollout, key.clone(), value.as_deref());
        }
        Happening::Hold(paused) => {
            world.edit_rollout(rollout, |spec| spec["paused"] = json!(paused));
        }
        Happening::Delete => {
            let _ = world.store.delete(Kind::Rollout, rollout, None, world.now);
        }
        Happening::EndAnalyses => world.end_analyses(rollout),
        Happening::DeleteAnalyses => world.delete_analyses(rollout),
        _ => around(world, rollout, what),
    }
}

/// What is no intent of anybody's with a Rollout.
fn around(world: &mut World, rollout: &str, what: &Happening) {
    match what {
        Happening::Fault(fault, lasts) => world.fault(fault.clone(), *lasts),
        Happening::Kill(at, wait, back) => world.kill(*at, *wait, *back),
        Happening::DieAfter(calls) => {
            if let Some(controller) = world.controllers.first_mut() {
                controller.dies_after = Some(*calls);
            }
        }
        Happening::DieAt(at, words, before) => {
            if let Some(controller) = world.controllers.get_mut(*at) {
                controller.dies_at = Some((words.clone(), *before));
            }
        }
        Happening::Upgrade(wait) => {
            for at in 0..world.controllers.len() {
                world.kill(at, *wait, 0);
            }
        }
        Happening::LoseEvents(kind, lasts) => {
            if let Some(controller) = world.controllers.first_mut() {
                controller.misses.insert(*kind);
            }
            world.after(*lasts, Event::Relist(0));
        }
        Happening::ClockAhead(by) => {
            if let Some(controller) = world.controllers.first_mut() {
                controller.ahead = *by;
            }
        }
        Happening::ClockOf(at, by) => {
            if let Some(controller) = world.controllers.get_mut(*at) {
                controller.ahead = *by;
            }
        }
        Happening::ResetWeight(weight) => {
            for key in keys(world, Kind::Route) {
                world.reset_weight(&key, *weight, "argocd");
            }
        }
        Happening::ResetWeightsOf(weight, writer) => {
            let routes = world.spec(rollout).map(|spec| spec.routes(rollout));
            for route in routes.unwrap_or_default() {
                world.reset_weight(&route.to_string(), *weight, writer);
            }
        }
        Happening::Demand(pods) => {
            if let Some(scaler) = world.autoscalers.get_mut(rollout) {
                scaler.demand = *pods;
            }
        }
        _ => to_pods(world, rollout, what),
    }
}

/// What happens to ReplicaSets and pods.
fn to_pods(world: &mut World, rollout: &str, what: &Happening) {
    let now = world.now;
    match what {
        Happening::PodsFail(stable, most) => {
            if let Some(name) = replica_set(world, rollout, *stable) {
                world.fail_pods(&name, *most);
            }
        }
        Happening::DeleteReplicaSet(stable) => {
            if let Some(name) = replica_set(world, rollout, *stable) {
                let _ = world.store.delete(Kind::ReplicaSet, &name, None, now);
            }
        }
        Happening::PodsOfFail(image, most) => {
            for name in world.replica_sets_of(rollout, image) {
                world.fail_pods(&name, *most);
            }
        }
        Happening::Drain(image, most) => {
            for name in world.replica_sets_of(rollout, image) {
                world.drain(&name, *most);
            }
        }
        Happening::ScaleReplicaSet(image, to) => {
            for name in world.replica_sets_of(rollout, image) {
                world.scale_by_hand(&name, *to);
            }
        }
        Happening::ScaleDeployment(to) => world.scale_deployment(rollout, *to),
        Happening::Deploy(name, pods) => world.deploy(name, *pods),
        Happening::EditObject(object, by, change) => {
            world.edit_whole(rollout, object, change, by);
        }
        Happening::DeleteReplicaSetOf(image) => {
            for name in world.replica_sets_of(rollout, image) {
                let _ = world.store.delete(Kind::ReplicaSet, &name, None, now);
            }
        }
        Happening::FillIn(image, template) => {
            for name in world.replica_sets_of(rollout, image) {
                world.fill_in(&name, template);
            }
        }
        Happening::SwitchService(service, image) => {
            let set = image
                .as_ref()
                .and_then(|image| world.replica_sets_of(rollout, image).pop());
            let stored = set.and_then(|name| world.store.get(Kind::ReplicaSet, &name));
            let hash = stored.and_then(|stored| Some(stored.replica_set()?.hash.clone()));
            world.select_by_hand(service, hash.as_deref());
        }
        Happening::Behave(image, behaviour) => world.behave(image, behaviour.clone()),
        _ => {}
    }
}

/// The names of all objects of a kind.
pub(super) fn keys(world: &World, kind: Kind) -> Vec<String> {
    world
        .store
        .list(kind)
        .map(|stored| stored.meta.name.clone())
        .collect()
}

fn set_image(spec: &mut Value, image: &str) {
    if let Some(at) = spec.pointer_mut("/template/spec/containers/0/image") {
        *at = json!(image);
    }
}

fn make(change: &Change, spec: &mut Value) {
    if let Some(template) = &change.template {
        spec["template"] = template.clone();
    }
    if let Some(patch) = &change.patch {
        json_patch::merge(spec, patch);
    }
}

/// The ReplicaSet of the stable version, or of the one that goes out.
fn replica_set(world: &World, rollout: &str, stable: bool) -> Option<String> {
    let status = &world.store.get(Kind::Rollout, rollout)?.rollout()?.status;
    let hash = match stable {
        true => &status.stable.as_ref()?.hash,
        false => &status.canary.as_ref()?.hash,
    };
    Some(naming::replica_set(rollout, hash))
}

/// A command for what its giver sees, as the plugin writes it.
fn command(world: &mut World, rollout: &str, verb: &str) {
    let stored = world.store.get(Kind::Rollout, rollout);
    let Some(status) = stored.and_then(|stored| Some(stored.rollout()?.status.clone())) else {
        return;
    };
    let (revision, step) = match (&status.canary, &status.stable) {
        (Some(canary), _) => (canary.revision, canary.step),
        (None, Some(stable)) => (stable.revision, 0),
        (None, None) => (0, 0),
    };
    let value = format!("{revision}/{step} {} anna", world.now);
    annotate(world, rollout, annotation(verb), Some(&value));
}

fn annotate(world: &mut World, rollout: &str, key: String, value: Option<&str>) {
    let _ = world
        .store
        .update(Kind::Rollout, rollout, None, false, |stored| {
            if let Some(body) = stored.rollout_mut() {
                match value {
                    Some(value) => body.annotations.insert(key, value.to_owned()),
                    None => body.annotations.remove(&key),
                };
            }
        });
}
