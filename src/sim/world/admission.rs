//! What the API server refuses of an edit of a Rollout: what the rules of the shipped definition forbid
//! that compare the new object with the old one. What they say of the object alone is not asked here:
//! a spec that cannot be carried out may be stored in these worlds, as one from before a rule may be.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use kube::CustomResourceExt;
use serde_json::{Value, json};

use super::World;
use super::objects::{Kind, RolloutBody};
use crate::api::rollout::Rollout;
use crate::api::rollout_status::Phase;
use crate::sim::cel_rules::{broken_by, mentions_old};

/// An edit that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    edit: Edit,
    /// What the API server said.
    pub why: String,
}

/// Edits that were let through, the last ones: two that undo each other do so all day long, and the
/// rules of a definition take longer than the rest of such an edit.
#[derive(Clone, Debug, Default)]
pub struct Admitted(VecDeque<Edit>);

/// An edit, as far as the rules look at it.
#[derive(Clone, Debug)]
struct Edit {
    /// The spec that the Rollout had.
    of: Arc<Value>,
    /// Its phase.
    phase: Option<Phase>,
    /// The spec that it was to get.
    spec: Value,
}

impl Edit {
    /// Whether it is the same once more: a GitOps loop does not get tired of trying.
    fn is(&self, before: &RolloutBody, spec: &Value) -> bool {
        self.phase == before.status.phase && self.spec == *spec && self.of == before.raw
    }
}

impl Admitted {
    /// How many are kept: two writers, and a person between.
    const KEPT: usize = 4;

    fn has(&self, before: &RolloutBody, spec: &Value) -> bool {
        self.0.iter().any(|edit| edit.is(before, spec))
    }

    fn keep(&mut self, before: &RolloutBody, spec: &Value) {
        self.0.truncate(Self::KEPT - 1);
        self.0.push_front(Edit {
            of: Arc::clone(&before.raw),
            phase: before.status.phase,
            spec: spec.clone(),
        });
    }
}

impl World {
    /// Somebody changes the spec of a Rollout, if the API server lets them.
    pub fn edit_rollout(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let stored = self.store.get(Kind::Rollout, name);
        let Some(before) = stored.and_then(|stored| stored.rollout()) else {
            return;
        };
        let mut raw = Value::clone(&before.raw);
        edit(&mut raw);
        if self
            .refused
            .get(name)
            .is_some_and(|last| last.edit.is(before, &raw))
        {
            return;
        }
        let known = self.admitted.has(before, &raw);
        if !known && let Some(why) = refusal(before, &raw) {
            self.trace
                .say(self.now, || format!("an edit of {name} is refused: {why}"));
            let edit = Edit {
                of: Arc::clone(&before.raw),
                phase: before.status.phase,
                spec: raw,
            };
            let refused = Refused { edit, why };
            self.refused.insert(name.to_owned(), refused);
            return;
        }
        if !known {
            self.admitted.keep(before, &raw);
        }
        self.refused.remove(name);
        let _ = self
            .store
            .update(Kind::Rollout, name, None, true, |stored| {
                if let Some(rollout) = stored.rollout_mut() {
                    rollout.respec(raw);
                }
            });
    }
}

/// Why a Rollout may not get this spec.
fn refusal(before: &RolloutBody, spec: &Value) -> Option<String> {
    // Made once: it takes longer than to play a short scenario.
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let definition = serde_json::to_value(Rollout::crd()).unwrap_or_default();
        let at = "/spec/versions/0/schema/openAPIV3Schema";
        definition.pointer(at).cloned().unwrap_or_default()
    });
    let status = json!(before.status);
    let old = json!({"spec": &*before.raw, "status": status});
    let new = json!({"spec": spec, "status": status});
    let broken = broken_by(&new, Some(&old), schema, mentions_old);
    let first = broken.first()?;
    Some(format!("{}: {}", first.path, first.message))
}
