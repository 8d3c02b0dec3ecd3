//! The repository, the GitOps loop that brings the cluster to what it says, and the Git writer that
//! takes a bad change out of it. What the writer puts back, and whether it is certain enough to do so,
//! is planned by the shipped code from the text of the file at three commits; that it reaches a server
//! and how it survives there has its tests against real repositories.

#![expect(
    clippy::indexing_slicing,
    reason = "specs that somebody wrote as objects: indexing finds nothing, or adds it"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::objects::{Kind, RevertBody};
use super::{Event, Fault, World};
use crate::api::revert::{RevertMode, RevertSpec};
use crate::core::naming::template_hash;
use crate::git::revert::{Decision, Refusal, Versions, Which, decide, plan_revert};
use crate::git::scope::Workload;

/// From look to look of the GitOps loop.
pub(super) const SYNC_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// From step to step of the Git writer.
const WRITER_STEP: SignedDuration = SignedDuration::from_secs(2);
/// How long it waits for a server that does not answer.
const WRITER_RETRY: SignedDuration = SignedDuration::from_secs(8);
/// The file that has all of it.
const FILE: &str = "shop.yaml";

/// What a commit says of each Rollout's spec.
type Specs = BTreeMap<String, Arc<Value>>;

/// The values that stand in the file for a template, with that template, by Rollout.
pub type Charts = BTreeMap<String, Vec<(Value, Value)>>;

/// The repository.
#[derive(Clone, Debug, Default)]
pub struct Git {
    /// What each commit says, oldest first.
    commits: Vec<Arc<Specs>>,
    /// Where a chart makes the template from values. Elsewhere the file has the manifest.
    pub charts: Charts,
    /// The commits that take a change out, by the Revert that asked.
    pub reverts: BTreeMap<String, u32>,
    /// Whether a GitOps loop applies what it says.
    pub applied: bool,
    /// How much of a spec it applies.
    pub owns: Loop,
}

/// How much of a Rollout's spec the GitOps loop applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loop {
    /// The template: an autoscaler, or a person, has the number of replicas.
    #[default]
    Template,
    /// All of it.
    Spec,
}

/// How a push ends that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PushEnding {
    /// The server takes nothing.
    Refused,
    /// The branch has the commit, and nobody hears of it.
    AnswerLost,
}

impl Git {
    fn head(&self) -> Specs {
        self.commits
            .last()
            .map_or_else(Specs::new, |head| (**head).clone())
    }

    /// Somebody commits a spec.
    pub fn commit(&mut self, rollout: &str, spec: &Arc<Value>) {
        let mut head = self.head();
        head.insert(rollout.to_owned(), Arc::clone(spec));
        self.commits.push(Arc::new(head));
    }

    /// What it says of a Rollout's spec.
    #[must_use]
    pub fn spec(&self, rollout: &str) -> Option<&Value> {
        self.commits.last()?.get(rollout).map(|spec| &**spec)
    }

    /// Somebody commits a change of a spec.
    pub fn edit(&mut self, rollout: &str, edit: impl FnOnce(&mut Value)) {
        if let Some(spec) = self.spec(rollout) {
            let mut changed = Value::clone(spec);
            edit(&mut changed);
            self.commit(rollout, &Arc::new(changed));
        }
    }

    /// The last commit that asks for a version of a Rollout.
    fn asks_for(&self, rollout: &str, hash: &str) -> Option<&Specs> {
        let asks = |specs: &&Arc<Specs>| {
            let spec = specs.get(rollout);
            spec.is_some_and(|spec| template_hash(&spec["template"], 0) == hash)
        };
        self.commits.iter().rev().find(asks).map(|specs| &**specs)
    }

    /// The file as it is at a commit, and of each document whose it is.
    fn text(&self, specs: &Specs) -> String {
        let documents = specs.iter().map(|(rollout, spec)| {
            let document = match self.charts.get(rollout) {
                Some(chart) => {
                    let made = chart.iter().find(|(_, made)| *made == spec["template"]);
                    let values = made.map_or(Value::Null, |(values, _)| values.clone());
                    json!({ rollout: values })
                }
                None => json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
                    "metadata": {"name": rollout}, "spec": &**spec}),
            };
            serde_saphyr::to_string(&document).unwrap_or_default()
        });
        documents.collect::<Vec<_>>().join("---\n")
    }

    /// The template that a file's text asks for.
    fn template(&self, text: &str, rollout: &str) -> Option<Value> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(text).ok()?;
        if let Some(chart) = self.charts.get(rollout) {
            let values = documents
                .iter()
                .find_map(|document| document.get(rollout))?;
            let made = chart.iter().find(|(known, _)| known == values);
            return made.map(|(_, template)| template.clone());
        }
        let named = |document: &&Value| document["metadata"]["name"] == rollout;
        let document = documents.iter().find(named)?;
        document["spec"].get("template").cloned()
    }

    /// What is to be pushed to take a version out, by the shipped plan.
    fn plan(&self, revert: &RevertSpec) -> Planned {
        let rollout = revert.rollout.name.as_str();
        let Some(stable) = self.asks_for(rollout, &revert.stable.hash) else {
            return Planned::Ends("Unresolvable");
        };
        let tip = self.head();
        let bad = self.asks_for(rollout, &revert.bad.hash).unwrap_or(&tip);
        let [good, bad, tip] = [stable, bad, &tip].map(|specs| self.text(specs));
        let versions = Versions {
            path: FILE,
            good: Some(good.as_bytes()),
            bad: Some(bad.as_bytes()),
            tip: Some(tip.as_bytes()),
        };
        let workload = Workload {
            name: rollout,
            source_path: FILE,
            changes: &revert.changes,
            overrides: true,
        };
        let plan = match plan_revert(&[versions], &Which::Workload(workload)) {
            Ok(plan) => plan,
            Err(Refusal::NothingToRevert { .. }) => return Planned::Ends("Unresolvable"),
            Err(_) => return Planned::Ends("NeedsHuman"),
        };
        match decide(&plan) {
            Decision::Apply => {
                let text = plan.files.into_iter().next().map(|file| file.text);
                Planned::Commit(text.unwrap_or_default())
            }
            Decision::AlreadyReverted => Planned::Done,
            Decision::Superseded { .. } => Planned::Ends("Superseded"),
        }
    }
}

/// What a look at the repository comes to.
enum Planned {
    /// This text is to be pushed.
    Commit(String),
    /// The branch holds the stable version's values.
    Done,
    /// Nothing is pushed; the phase that says why.
    Ends(&'static str),
}

/// Whether the Git writer has not begun.
pub(super) fn is_new(revert: &RevertBody) -> bool {
    revert.phase.is_none()
}

impl World {
    /// The GitOps loop applies what the repository says.
    pub(super) fn sync_git(&mut self) {
        self.after(self.until_next(SYNC_EVERY), Event::Sync);
        if !self.git.applied || self.weather.has(&Fault::Git) {
            return;
        }
        let wanted = self.git.head();
        for (name, spec) in wanted {
            let whole = self.git.owns == Loop::Spec;
            let differs = self
                .store
                .get(Kind::Rollout, &name)
                .and_then(|stored| stored.rollout())
                .is_some_and(|rollout| match whole {
                    true => rollout.raw != spec,
                    false => rollout.raw["template"] != spec["template"],
                });
            if differs {
                self.trace
                    .say(self.now, || format!("GitOps applies {name}"));
                self.edit_rollout(&name, |raw| match whole {
                    true => raw.clone_from(&spec),
                    false => raw["template"] = spec["template"].clone(),
                });
            }
        }
    }

    /// The Git writer goes one step on with a Revert.
    pub(super) fn write_git(&mut self, name: &str) {
        let Some(stored) = self.store.get(Kind::Revert, name).cloned() else {
            return;
        };
        let Some(revert) = stored.revert() else {
            return;
        };
        let push = revert.spec.mode == RevertMode::Push && !revert.released;
        if push && self.weather.has(&Fault::Git) {
            self.after(WRITER_RETRY, Event::Writer(name.to_owned()));
            return;
        }
        let next = match revert.phase.as_deref() {
            None if !push => None,
            None => Some("Pending"),
            Some("Pending") => self.push(name, revert),
            Some("Pushed") => Some("Landed"),
            Some("Landed") => Some("Verified"),
            Some(_) => None,
        };
        let Some(next) = next else { return };
        let _ = self
            .store
            .update(Kind::Revert, name, None, false, |stored| {
                if let Some(revert) = stored.revert_mut() {
                    revert.phase = Some(next.to_owned());
                    if next == "Pushed" {
                        revert.commit = Some("c0ffee".to_owned());
                    }
                }
            });
        self.after(WRITER_STEP, Event::Writer(name.to_owned()));
    }

    /// One try, from what the branch says now to the push; the phase that comes of it. `None`: it failed
    /// and comes again, with nothing left of it.
    fn push(&mut self, name: &str, revert: &RevertBody) -> Option<&'static str> {
        let text = match self.git.plan(&revert.spec) {
            Planned::Commit(text) => text,
            Planned::Done => return Some("Landed"),
            Planned::Ends(phase) => return Some(phase),
        };
        let pushed = self.git.reverts.get(name).copied().unwrap_or(0);
        if pushed > 0 {
            // Whoever put it back did so on purpose.
            return Some("Superseded");
        }
        let ending = self.weather.pushes();
        if ending != Some(PushEnding::Refused) {
            let rollout = &revert.spec.rollout.name;
            self.git.reverts.insert(name.to_owned(), pushed + 1);
            self.take(rollout, &text);
        }
        self.trace
            .say(self.now, || format!("{name}: the push ends so: {ending:?}"));
        if ending.is_some() {
            self.after(WRITER_RETRY, Event::Writer(name.to_owned()));
            return None;
        }
        Some("Pushed")
    }

    /// The branch has a text that the Git writer pushed: of every Rollout what it changes.
    fn take(&mut self, of: &str, text: &str) {
        let head = self.git.head();
        let tip = self.git.text(&head);
        for rollout in head.keys() {
            let said = self.git.template(&tip, rollout);
            let says = self.git.template(text, rollout);
            if let Some(template) = says.filter(|says| Some(says) != said.as_ref()) {
                self.trace.say(self.now, || {
                    format!("a commit for {of} changes the template of {rollout}")
                });
                self.git.edit(rollout, |spec| spec["template"] = template);
            }
        }
    }
}
