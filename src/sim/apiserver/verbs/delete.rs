//! DELETE: options, preconditions, finalizers and grace periods.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Body, Call, Reply, State, collect, present, read::Filter, storage_id, success};
use crate::sim::apiserver::{
    object, patch,
    status_errors::{ApiError, FieldError},
    store::ObjectKey,
};

pub(super) const FOREGROUND: &str = "foregroundDeletion";
pub(super) const ORPHAN: &str = "orphan";

/// What happens to the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay and forget their owner.
    Orphan,
}

/// `metav1.DeleteOptions`, from the body or the query.
#[derive(Debug, Clone)]
pub(super) struct Options {
    uid: Option<String>,
    version: Option<String>,
    grace_s: Option<i64>,
    propagation: Propagation,
    dry_run: bool,
}

impl Options {
    /// Without preconditions.
    pub(super) fn of(propagation: Propagation, grace_s: Option<i64>) -> Self {
        Options {
            uid: None,
            version: None,
            grace_s,
            propagation,
            dry_run: false,
        }
    }

    fn read(call: &Call<'_>) -> Result<Self, ApiError> {
        let body = match call.body.iter().all(u8::is_ascii_whitespace) {
            true => json!({}),
            false => patch::read_object(call.body)?,
        };
        let text = |path: &str| object::at_path(&body, path).and_then(Value::as_str);
        let query = |name: &str| Some(call.info.param(name)).filter(|t| !t.is_empty());
        let orphan = object::at_path(&body, "orphanDependents").and_then(Value::as_bool);
        let policy = text("propagationPolicy").or_else(|| query("propagationPolicy"));
        let propagation = match (policy, orphan) {
            (Some("Background"), _) | (None, Some(false) | None) => Propagation::Background,
            (Some("Foreground"), _) => Propagation::Foreground,
            (Some("Orphan"), _) | (None, Some(true)) => Propagation::Orphan,
            (Some(other), _) => {
                let error = FieldError {
                    field: "propagationPolicy".to_owned(),
                    reason: "FieldValueNotSupported",
                    message: format!(
                        "Unsupported value: \"{other}\": supported values: \"Foreground\", \
                         \"Background\", \"Orphan\", \"nil\""
                    ),
                };
                return Err(ApiError::invalid_options("DeleteOptions", &[error]));
            }
        };
        let grace = object::at_path(&body, "gracePeriodSeconds").and_then(Value::as_i64);
        Ok(Options {
            uid: text("preconditions.uid").map(str::to_owned),
            version: text("preconditions.resourceVersion").map(str::to_owned),
            grace_s: grace.or_else(|| query("gracePeriodSeconds")?.parse().ok()),
            propagation,
            dry_run: call.dry_run()? || object::at_path(&body, "dryRun").is_some(),
        })
    }
}

/// DELETE of one object.
pub(in crate::sim::apiserver) fn delete(
    state: &mut State,
    call: &Call<'_>,
) -> Result<Reply, ApiError> {
    let options = Options::read(call)?;
    let old = call.find(state)?;
    check(call, &options, &old)?;
    let key = call.key();
    if options.dry_run {
        return Ok(Reply::object(200, call.present(&old), Vec::new()));
    }
    let outcome = begin(state, &key, &old, &options, call.now);
    Ok(match outcome {
        Outcome::Gone(last) if call.resource.returns_deleted() => {
            let mut last = call.present(&last);
            if key.resource == "pods" {
                // A pod without a grace period has gone through its (empty) one.
                bump_generation(&mut last);
                object::set_meta(&mut last, "deletionTimestamp", object::time(call.now));
                object::set_meta(&mut last, "deletionGracePeriodSeconds", 0);
            }
            Reply::object(200, last, Vec::new())
        }
        Outcome::Gone(last) => Reply::plain(200, success(&call.resource, &last)),
        Outcome::Marked(marked) => Reply::object(200, call.present(&marked), Vec::new()),
    })
}

/// DELETE of a collection: every object that matches the selectors.
pub(in crate::sim::apiserver) fn delete_collection(
    state: &mut State,
    call: &Call<'_>,
) -> Result<Reply, ApiError> {
    let options = Options::read(call)?;
    let filter = Filter::of(call)?;
    let id = storage_id(&call.resource);
    let doomed: Vec<(ObjectKey, Arc<Value>)> = state
        .store
        .list(&id, &call.info.namespace)
        .filter(|(_, object)| filter.matches(object))
        .map(|(k, v)| (k.clone(), Arc::clone(v)))
        .collect();
    let mut items = Vec::new();
    for (key, old) in doomed {
        items.push(call.present(&old));
        if !options.dry_run && state.store.get(&key).is_some() {
            begin(state, &key, &old, &options, call.now);
        }
    }
    let metadata = json!({"resourceVersion": state.store.version().to_string()});
    Ok(Reply {
        code: 200,
        body: Body::List(metadata, items),
        warnings: Vec::new(),
    })
}

fn check(call: &Call<'_>, options: &Options, old: &Value) -> Result<(), ApiError> {
    let has = |field: &str| object::meta(old, field).to_owned();
    // The real server names the kind here, not the resource.
    let (kind, name) = (&call.resource.kind, &call.info.name);
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != has("uid")) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object \
             might have been deleted and then recreated",
            has("uid")
        );
        return Err(ApiError::conflict_on(
            &call.resource.group,
            kind,
            name,
            &why,
        ));
    }
    let version = options
        .version
        .as_deref()
        .filter(|v| *v != has("resourceVersion"));
    if let Some(version) = version {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the \
             ResourceVersion in record ({}). The object might have been modified",
            has("resourceVersion")
        );
        return Err(ApiError::conflict_on(
            &call.resource.group,
            kind,
            name,
            &why,
        ));
    }
    Ok(())
}

/// How far a deletion came.
pub(super) enum Outcome {
    /// The object is gone; its last state.
    Gone(Arc<Value>),
    /// The object waits for finalizers or its grace period; its state now.
    Marked(Arc<Value>),
}

/// Starts the deletion of an object and finishes it when nothing holds it.
pub(super) fn begin(
    state: &mut State,
    key: &ObjectKey,
    old: &Arc<Value>,
    options: &Options,
    now: Timestamp,
) -> Outcome {
    let grace_s = grace_seconds(key, old, options.grace_s);
    let mut finalizers = object::meta_strings(old, "finalizers");
    let already = object::is_terminating(old);
    let own = match options.propagation {
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
        Propagation::Background => None,
    };
    if let Some(own) = own.filter(|own| !already && !finalizers.iter().any(|f| f == own)) {
        finalizers.push(own.to_owned());
    }
    if finalizers.is_empty() && grace_s == 0 && key.resource != "namespaces" {
        return gone(state, key, old, now);
    }
    let had_s = object::meta_value(old, "deletionGracePeriodSeconds").and_then(Value::as_i64);
    let shorter = had_s.is_none_or(|had| grace_s < had);
    let mut marked = (**old).clone();
    if !already {
        bump_generation(&mut marked);
        object::set_meta(&mut marked, "finalizers", finalizers);
        crate::sim::apiserver::metadata::prune(&mut marked);
    }
    // A namespace is emptied at once, so its deletion names no grace period.
    let has_grace = key.resource != "namespaces";
    if !already || (shorter && has_grace) {
        let at = now
            .saturating_add(SignedDuration::from_secs(grace_s))
            .unwrap_or(now);
        object::set_meta(&mut marked, "deletionTimestamp", object::time(at));
        if has_grace {
            object::set_meta(&mut marked, "deletionGracePeriodSeconds", grace_s);
        }
    }
    if key.resource == "namespaces" {
        object::set_path(&mut marked, ".status.phase", json!("Terminating"));
    }
    if marked == **old {
        return Outcome::Marked(Arc::clone(old));
    }
    let marked = state.store.put(key, marked);
    match options.propagation {
        Propagation::Foreground => collect::delete_dependents(state, &marked, now),
        Propagation::Orphan => collect::orphan_dependents(state, key, &marked, now),
        Propagation::Background => {}
    }
    if key.resource == "namespaces" {
        collect::empty_namespace(state, key, now);
    }
    collect::release_foreground(state, key, now);
    Outcome::Marked(marked)
}

fn gone(state: &mut State, key: &ObjectKey, old: &Arc<Value>, now: Timestamp) -> Outcome {
    Outcome::Gone(collect::remove(state, key, now).unwrap_or_else(|| Arc::clone(old)))
}

/// Pods that run somewhere get their grace period; everything else goes at once.
fn grace_seconds(key: &ObjectKey, old: &Value, asked_s: Option<i64>) -> i64 {
    if key.resource != "pods" {
        return 0;
    }
    let text = |path: &str| {
        object::at_path(old, path)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let finished = matches!(text("status.phase"), "Succeeded" | "Failed");
    if text("spec.nodeName").is_empty() || finished {
        return 0;
    }
    let own = object::at_path(old, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64);
    asked_s.or(own).unwrap_or(30).max(0)
}

fn bump_generation(object: &mut Value) {
    if let Some(generation) = object::meta_value(object, "generation").and_then(Value::as_i64) {
        object::set_meta(object, "generation", generation + 1);
    }
}

/// Whether a terminating object has nothing left to wait for.
pub(super) fn may_go(object: &Value) -> bool {
    let grace_s = object::meta_value(object, "deletionGracePeriodSeconds").and_then(Value::as_i64);
    object::is_terminating(object)
        && object::meta_strings(object, "finalizers").is_empty()
        && grace_s.unwrap_or(0) == 0
        && object::field(object, "kind") != "Namespace"
}

/// Deletes an object for the server itself, as a controller's background deletion would.
/// Answers whether it is gone (rather than terminating).
pub(in crate::sim::apiserver) fn delete_internal(
    state: &mut State,
    key: &ObjectKey,
    grace_s: Option<i64>,
    now: Timestamp,
) -> bool {
    let Some(object) = state.store.get(key).cloned() else {
        return true;
    };
    let options = Options::of(Propagation::Background, grace_s);
    matches!(begin(state, key, &object, &options, now), Outcome::Gone(_))
}

/// An object in the version that its key's resource prefers.
pub(in crate::sim::apiserver) fn shown(state: &State, key: &ObjectKey, object: &Value) -> Value {
    match state.registry.get(&key.resource) {
        Some(resource) => present(resource, resource.version(), object),
        None => object.clone(),
    }
}
