//! What follows from a deletion: dependents, foreground and orphan propagation, namespaces, kinds.
//!
//! The real server only marks and controllers collect afterwards; here dependents go in the same
//! step. Watchers see the same events in the same order, only sooner.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    State,
    delete::{FOREGROUND, ORPHAN, Options, Propagation, begin, may_go},
    storage_id,
};
use crate::sim::apiserver::{object, store::ObjectKey};

/// Takes an object away and lets go of everything that hung on it.
pub(in crate::sim::apiserver) fn remove(
    state: &mut State,
    key: &ObjectKey,
    now: Timestamp,
) -> Option<Arc<Value>> {
    let last = state.store.remove(key)?;
    if key.resource == "customresourcedefinitions.apiextensions.k8s.io" {
        drop_kind(state, &key.name, now);
    }
    collect(state, &last, now);
    for owner in object::owner_uids(&last) {
        if let Some(owner) = state.store.find_uid(&owner).cloned() {
            release_foreground(state, &owner, now);
        }
    }
    if !key.namespace.is_empty() {
        finish_namespace(state, &key.namespace, now);
    }
    Some(last)
}

/// A CRD was deleted: its objects go, then the kind is no longer served.
fn drop_kind(state: &mut State, id: &str, now: Timestamp) {
    let objects: Vec<ObjectKey> = state.store.list(id, "").map(|(k, _)| k.clone()).collect();
    for key in objects {
        remove(state, &key, now);
    }
    state.registry.remove(id);
}

/// Deletes (in the background) what has lost its last owner.
fn collect(state: &mut State, gone: &Value, now: Timestamp) {
    for key in state.store.dependents(object::meta(gone, "uid")) {
        collect_if_orphaned(state, &key, now);
    }
}

/// Deletes an object all of whose owners are gone; takes out references to those that are gone
/// when others live. What never had an owner stays.
pub(super) fn collect_if_orphaned(state: &mut State, key: &ObjectKey, now: Timestamp) {
    let Some(object) = state.store.get(key).cloned() else {
        return;
    };
    let owners = object::owner_uids(&object);
    let alive: Vec<String> = owners
        .iter()
        .filter(|uid| owner_lives(state, key, uid))
        .cloned()
        .collect();
    if owners.is_empty() || alive.len() == owners.len() || object::is_terminating(&object) {
        return;
    }
    if alive.is_empty() {
        background(state, key, &object, now);
    } else {
        keep_owners(state, key, &object, |uid| alive.iter().any(|a| a == uid));
    }
}

/// Owners live in the same namespace or outside all of them.
fn owner_lives(state: &State, dependent: &ObjectKey, uid: &str) -> bool {
    let owner = state.store.find_uid(uid);
    owner.is_some_and(|o| o.namespace.is_empty() || o.namespace == dependent.namespace)
}

fn background(state: &mut State, key: &ObjectKey, object: &Arc<Value>, now: Timestamp) {
    let options = Options::of(Propagation::Background, None);
    begin(state, key, object, &options, now);
}

fn keep_owners(state: &mut State, key: &ObjectKey, object: &Value, keep: impl Fn(&str) -> bool) {
    let kept: Vec<Value> = object::meta_value(object, "ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|o| o.get("uid").and_then(Value::as_str).is_some_and(&keep))
        .cloned()
        .collect();
    let mut changed = object.clone();
    if kept.is_empty() {
        object::meta_mut(&mut changed).remove("ownerReferences");
    } else {
        object::set_meta(&mut changed, "ownerReferences", kept);
    }
    state.store.put(key, changed);
}

pub(super) fn delete_dependents(state: &mut State, owner: &Value, now: Timestamp) {
    for key in state.store.dependents(object::meta(owner, "uid")) {
        if let Some(object) = state.store.get(&key).cloned() {
            let options = Options::of(Propagation::Foreground, None);
            begin(state, &key, &object, &options, now);
        }
    }
}

pub(super) fn orphan_dependents(state: &mut State, key: &ObjectKey, owner: &Value, now: Timestamp) {
    let uid = object::meta(owner, "uid").to_owned();
    for dependent in state.store.dependents(&uid) {
        if let Some(object) = state.store.get(&dependent).cloned() {
            keep_owners(state, &dependent, &object, |other| other != uid);
        }
    }
    drop_finalizer(state, key, ORPHAN, now);
}

/// Ends a foreground deletion whose blocking dependents are all gone.
pub(super) fn release_foreground(state: &mut State, key: &ObjectKey, now: Timestamp) {
    let Some(owner) = state.store.get(key).cloned() else {
        return;
    };
    let waits = object::is_terminating(&owner)
        && object::meta_strings(&owner, "finalizers")
            .iter()
            .any(|f| f == FOREGROUND);
    if !waits {
        return;
    }
    let uid = object::meta(&owner, "uid");
    let blocked = state.store.dependents(uid).iter().any(|dependent| {
        state
            .store
            .get(dependent)
            .is_some_and(|object| blocks(object, uid))
    });
    if !blocked {
        drop_finalizer(state, key, FOREGROUND, now);
    }
}

fn blocks(dependent: &Value, owner_uid: &str) -> bool {
    let owners = object::meta_value(dependent, "ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|o| {
        o.get("uid").and_then(Value::as_str) == Some(owner_uid)
            && o.get("blockOwnerDeletion") == Some(&Value::Bool(true))
    })
}

fn drop_finalizer(state: &mut State, key: &ObjectKey, finalizer: &str, now: Timestamp) {
    let Some(object) = state.store.get(key) else {
        return;
    };
    let mut changed = (**object).clone();
    let mut finalizers = object::meta_strings(&changed, "finalizers");
    finalizers.retain(|f| f != finalizer);
    if finalizers.is_empty() {
        object::meta_mut(&mut changed).remove("finalizers");
    } else {
        object::set_meta(&mut changed, "finalizers", finalizers);
    }
    if may_go(&changed) {
        remove(state, key, now);
    } else {
        state.store.put(key, changed);
    }
}

/// Deletes everything in a namespace that is going.
pub(super) fn empty_namespace(state: &mut State, key: &ObjectKey, now: Timestamp) {
    let kinds: Vec<String> = state
        .registry
        .all()
        .filter(|r| r.namespaced)
        .map(|r| storage_id(r))
        .collect();
    for id in kinds {
        let inside: Vec<(ObjectKey, Arc<Value>)> = state
            .store
            .list(&id, &key.name)
            .map(|(k, v)| (k.clone(), Arc::clone(v)))
            .collect();
        for (inner, object) in inside {
            // No kubelet will answer for these pods once their namespace goes.
            let options = Options::of(Propagation::Background, Some(0));
            if state.store.get(&inner).is_some() {
                begin(state, &inner, &object, &options, now);
            }
        }
    }
    finish_namespace(state, &key.name, now);
}

/// Removes a terminating namespace in which nothing is left.
fn finish_namespace(state: &mut State, name: &str, now: Timestamp) {
    let key = ObjectKey::new("namespaces", "", name);
    let terminating = state
        .store
        .get(&key)
        .is_some_and(|n| object::is_terminating(n));
    if !terminating {
        return;
    }
    let empty = state
        .registry
        .all()
        .filter(|r| r.namespaced)
        .all(|r| state.store.list(&storage_id(r), name).next().is_none());
    let held = state
        .store
        .get(&key)
        .is_some_and(|n| !object::meta_strings(n, "finalizers").is_empty());
    if empty && !held {
        remove(state, &key, now);
    }
}
