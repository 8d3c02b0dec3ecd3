//! The entries of a timeline as happenings of a history: when, and to which Rollouts.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::facts::Facts;
use super::format::{AnalysesDone, Edit, EditOf, Entry, TextOr, Verb};
use super::given::Beginning;
use super::sight::image;
use crate::core::spec::{Problem, Spec};
use crate::sim::history::{Change, Happening};
use crate::sim::world::Behaviour;
use crate::sim::world::objects::parse_with;

/// How long a fault lasts of which nothing is said: to the end of the outage.
const FOR_EVER: SignedDuration = SignedDuration::from_hours(10_000);
/// Most repetitions of one entry.
const TIMES_MAX: u32 = 10_000;

/// Stands for all Rollouts.
pub(super) const EVERY: &str = "every";

/// An entry of the timeline.
#[derive(Clone, Debug)]
pub(super) struct Act {
    /// Its line in the file.
    pub line: u64,
    /// What other entries and expectations call it.
    pub name: Option<String>,
    /// When it is due.
    pub due: Due,
    /// From time to time, so often.
    pub repeat: Option<(SignedDuration, u32)>,
    /// What happens, and to which Rollout.
    pub happenings: Vec<(String, Happening)>,
}

/// When an entry is due.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// So long after the beginning.
    At(SignedDuration),
    /// So long after something came true.
    When(Box<Facts>, SignedDuration),
}

impl Entry {
    /// The fields that say what happens.
    fn actions(&self) -> Vec<&'static str> {
        let all = [
            ("commit", self.commit.is_some()),
            ("apply", self.apply.is_some()),
            ("scale", self.scale.is_some()),
            ("command", self.command.is_some()),
            ("annotate", self.annotate.is_some()),
            ("delete", self.delete.is_some()),
            ("deploy", self.deploy.is_some()),
            ("edit", self.edit.is_some()),
            ("resetWeight", self.reset_weight.is_some()),
            ("scaleReplicaSet", self.scale_replica_set.is_some()),
            ("scaleDeployment", self.scale_deployment.is_some()),
            ("deleteReplicaSet", self.delete_replica_set.is_some()),
            ("fillIn", self.fill_in.is_some()),
            ("select", self.select.is_some()),
            ("analyses", self.analyses.is_some()),
            ("behave", self.behave.is_some()),
            ("podsFail", self.pods_fail.is_some()),
            ("evict", self.evict.is_some()),
            ("demand", self.demand.is_some()),
            ("fault", self.fault.is_some()),
            ("apiErrors", self.api_errors.is_some()),
            ("refuse", self.refuse.is_some()),
            ("slowCalls", self.slow_calls.is_some()),
            ("slowMetrics", self.slow_metrics.is_some()),
            ("pushes", self.pushes.is_some()),
            ("watchesSilent", self.watches_silent.is_some()),
            ("watchesLose", self.watches_lose.is_some()),
            ("unusable", self.unusable.is_some()),
            ("kill", self.kill.is_some()),
            ("killBefore", self.kill_before.is_some()),
            ("killAfter", self.kill_after.is_some()),
            ("killAtCall", self.kill_at_call.is_some()),
            ("upgrade", self.upgrade.is_some()),
            ("clock", self.clock.is_some()),
        ];
        let set = all.iter().filter(|(_, set)| *set);
        set.map(|(name, _)| *name).collect()
    }
}

/// Reads an entry of the timeline.
pub(super) fn read(
    entry: &Entry,
    line: u64,
    i: usize,
    beginning: &Beginning,
) -> Result<Act, Problem> {
    let field = format!("timeline[{i}]");
    let actions = entry.actions();
    let [action] = actions.as_slice() else {
        let value = match actions.is_empty() {
            true => "nothing happens".to_owned(),
            false => actions.join(", "),
        };
        let allowed = "exactly one thing that happens; tests/scenarios/README.md names them all";
        return Err(Problem::new(field, value, allowed));
    };
    let due = due(entry, &field)?;
    let of_faults = [
        "fault",
        "apiErrors",
        "refuse",
        "slowCalls",
        "slowMetrics",
        "pushes",
        "watchesSilent",
        "watchesLose",
        "unusable",
    ];
    if entry.lasts.is_some() && !of_faults.contains(action) {
        let allowed = format!("no for here: only {} last", of_faults.join(", "));
        return Err(Problem::new(format!("{field}.for"), action, allowed));
    }
    let repeat = match (entry.every, entry.times) {
        (None, None) => None,
        (Some(every), Some(times)) if every.0.is_positive() && (2..=TIMES_MAX).contains(&times) => {
            Some((every.0, times))
        }
        _ => {
            let value = format!("every {:?}, times {:?}", entry.every, entry.times);
            let allowed = format!("both of every (above 0s) and times (2 to {TIMES_MAX}), or none");
            return Err(Problem::new(field, value, allowed));
        }
    };
    let mut happenings = Vec::new();
    for rollout in rollouts(entry, action, &field, beginning)? {
        let context = Context {
            field: format!("{field}.{action}"),
            rollout: &rollout,
            beginning,
        };
        let of_it = context.happenings(entry)?;
        happenings.extend(of_it.into_iter().map(|what| (rollout.clone(), what)));
    }
    Ok(Act {
        line,
        name: entry.name.clone(),
        due,
        repeat,
        happenings,
    })
}

fn due(entry: &Entry, field: &str) -> Result<Due, Problem> {
    match (entry.at, &entry.when, entry.after) {
        (Some(at), None, None) if !at.0.is_negative() => Ok(Due::At(at.0)),
        (None, Some(when), after) => Ok(Due::When(
            Box::new(when.clone()),
            after.map_or(SignedDuration::ZERO, |span| span.0),
        )),
        _ => Err(Problem::new(
            field,
            "its time",
            "either at, a time from the beginning, or when, with after if it is later than that",
        )),
    }
}

/// What happens to no Rollout: to controllers, the API server and all that is around them.
const AROUND: [&str; 16] = [
    "behave",
    "deploy",
    "fault",
    "apiErrors",
    "refuse",
    "slowCalls",
    "slowMetrics",
    "pushes",
    "watchesSilent",
    "watchesLose",
    "kill",
    "killBefore",
    "killAfter",
    "killAtCall",
    "upgrade",
    "clock",
];

fn rollouts(
    entry: &Entry,
    action: &str,
    field: &str,
    beginning: &Beginning,
) -> Result<Vec<String>, Problem> {
    match entry.rollout.as_deref() {
        Some(EVERY) if AROUND.contains(&action) => Err(Problem::new(
            format!("{field}.rollout"),
            EVERY,
            format!("no rollout: {action} happens once, to all"),
        )),
        Some(EVERY) => Ok(beginning
            .rollouts
            .iter()
            .map(|(name, _)| name.clone())
            .collect()),
        Some(name) => {
            let known = beginning.knows(name, &format!("{field}.rollout"));
            known.map_err(|(_, problem)| problem)?;
            Ok(vec![name.to_owned()])
        }
        None => match beginning.only().or_else(|| around(action, beginning)) {
            Some(name) => Ok(vec![name.to_owned()]),
            None => Err(Problem::new(
                format!("{field}.rollout"),
                "not there",
                "which Rollout, because there are several",
            )),
        },
    }
}

/// Any Rollout will do for what happens to none.
fn around<'b>(action: &str, beginning: &'b Beginning) -> Option<&'b str> {
    let first = beginning.rollouts.first().map(|(name, _)| name.as_str());
    first.filter(|_| AROUND.contains(&action))
}

/// What an entry's action may look at.
pub(super) struct Context<'b> {
    pub(super) field: String,
    pub(super) rollout: &'b str,
    pub(super) beginning: &'b Beginning,
}

impl Context<'_> {
    pub(super) fn problem(
        &self,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Problem {
        Problem::new(&self.field, value, allowed)
    }

    /// The image of a version that there is.
    fn image(&self, version: &str) -> Result<String, Problem> {
        match self.beginning.template(self.rollout, version) {
            Some(_) => Ok(image(version)),
            None => Err(self.problem(version, self.beginning.version_names())),
        }
    }

    pub(super) fn controller(&self, at: usize) -> Result<usize, Problem> {
        let there = self.beginning.controllers;
        match at < there {
            true => Ok(at),
            false => Err(self.problem(at, format!("a controller from 0 to {}", there - 1))),
        }
    }

    fn change(&self, edit: &Edit) -> Result<Change, Problem> {
        let both;
        let edit = match edit {
            TextOr::Text(version) => {
                both = EditOf {
                    version: Some(version.clone()),
                    spec: None,
                };
                &both
            }
            TextOr::Fields(edit) => edit,
        };
        if edit.version.is_none() && edit.spec.is_none() {
            return Err(self.problem("nothing", "a version, a spec (a merge patch), or both"));
        }
        let template = match &edit.version {
            None => None,
            Some(version) => {
                self.image(version)?;
                self.beginning.template(self.rollout, version).cloned()
            }
        };
        Ok(Change {
            template,
            patch: edit.spec.clone(),
        })
    }

    fn happenings(&self, entry: &Entry) -> Result<Vec<Happening>, Problem> {
        if let Some(of_people) = self.of_people(entry)? {
            return Ok(of_people);
        }
        if let Some(of_others) = self.of_others(entry)? {
            return Ok(vec![of_others]);
        }
        if let Some(of_controllers) = self.of_controllers(entry)? {
            return Ok(vec![of_controllers]);
        }
        let lasts = entry.lasts.map_or(FOR_EVER, |span| span.0);
        if let Some(kinds) = &entry.watches_lose {
            let all = kinds.iter().map(|of| (*of).into());
            return Ok(all.map(|of| Happening::LoseEvents(of, lasts)).collect());
        }
        let faults = self.faults(entry)?;
        let all = faults.into_iter();
        Ok(all.map(|fault| Happening::Fault(fault, lasts)).collect())
    }

    /// What people and pipelines do.
    fn of_people(&self, entry: &Entry) -> Result<Option<Vec<Happening>>, Problem> {
        if let Some(edit) = &entry.commit {
            if self.beginning.gitops.is_none() {
                let allowed = "given.gitops: template or spec, or nothing would apply it";
                return Err(self.problem("a commit without GitOps", allowed));
            }
            return Ok(Some(vec![Happening::CommitChange(self.change(edit)?)]));
        }
        if let Some(edit) = &entry.apply {
            return Ok(Some(vec![Happening::ApplyChange(self.change(edit)?)]));
        }
        if let Some(to) = entry.scale {
            return Ok(Some(vec![Happening::Scale(to)]));
        }
        if let Some(annotations) = &entry.annotate {
            return Ok(Some(annotated(annotations)));
        }
        if entry.delete.is_some() {
            return Ok(Some(vec![Happening::Delete]));
        }
        if let Some(deployments) = &entry.deploy {
            let all = deployments.iter();
            let all = all.map(|(name, pods)| Happening::Deploy(name.clone(), *pods));
            return Ok(Some(all.collect()));
        }
        let verb = entry.command.map(|verb| match verb {
            Verb::Abort => Happening::Command("abort"),
            Verb::BareAbort => Happening::BareAbort,
            Verb::Pause => Happening::Command("pause"),
            Verb::Resume => Happening::Command("resume"),
            Verb::Promote => Happening::Command("promote"),
            Verb::PromoteFull => Happening::Command("promote-full"),
            Verb::Retry => Happening::Command("retry"),
            Verb::Restart => Happening::Command("restart"),
        });
        Ok(verb.map(|happening| vec![happening]))
    }

    /// What other tools, nodes and the API server do, and how pods behave.
    fn of_others(&self, entry: &Entry) -> Result<Option<Happening>, Problem> {
        let happening = if let Some(reset) = &entry.reset_weight {
            if !(0..=100).contains(&reset.to) {
                return Err(self.problem(reset.to, "a weight from 0 to 100"));
            }
            Happening::ResetWeightsOf(reset.to, reset.by.clone())
        } else if let Some(edit) = &entry.edit {
            self.beginning
                .keeps_whole(self.rollout, &edit.object, &self.field)?;
            let change = edit.patch.clone();
            Happening::EditObject(edit.object.clone(), edit.by.clone(), change)
        } else if let Some(resized) = &entry.scale_replica_set {
            Happening::ScaleReplicaSet(self.image(&resized.version)?, resized.to)
        } else if let Some(to) = entry.scale_deployment {
            Happening::ScaleDeployment(to)
        } else if let Some(version) = &entry.delete_replica_set {
            Happening::DeleteReplicaSetOf(self.image(version)?)
        } else if let Some(filled) = &entry.fill_in {
            Happening::FillIn(self.image(&filled.version)?, filled.template.clone())
        } else if let Some(select) = &entry.select {
            self.select(select)?
        } else if let Some(done) = entry.analyses {
            match done {
                AnalysesDone::Ended => Happening::EndAnalyses,
                AnalysesDone::Deleted => Happening::DeleteAnalyses,
            }
        } else if let Some(behaves) = &entry.behave {
            let image = self.image(&behaves.version)?;
            let before = self.beginning.behaviours.get(&behaves.version);
            let mut behaviour: Behaviour = before.cloned().unwrap_or_default();
            if let Some(pods) = behaves.pods {
                behaviour.start = pods.start.unwrap_or(behaviour.start);
                behaviour.readiness = pods.readiness;
            }
            if let Some(metrics) = behaves.metrics {
                behaviour.judgement = metrics.0;
            }
            if let Some(targets) = &behaves.targets {
                behaviour.targets = targets.iter().map(Into::into).collect();
            }
            Happening::Behave(image, behaviour)
        } else if let Some(some) = &entry.pods_fail {
            Happening::PodsOfFail(self.image(&some.version)?, some.number)
        } else if let Some(some) = &entry.evict {
            Happening::Drain(self.image(&some.version)?, some.number)
        } else if let Some(demand) = entry.demand {
            Happening::Demand(demand)
        } else {
            return Ok(None);
        };
        Ok(Some(happening))
    }

    fn select(&self, select: &BTreeMap<String, String>) -> Result<Happening, Problem> {
        let mut all = select.iter();
        let (Some((service, version)), None) = (all.next(), all.next()) else {
            return Err(self.problem(select.len(), "one Service and the version that it selects"));
        };
        let service = self.service(service);
        let image = match version.as_str() {
            super::facts::NONE => None,
            version => Some(self.image(version)?),
        };
        Ok(Happening::SwitchService(service, image))
    }

    /// The name of a Service that is named by what it is for.
    pub(super) fn service(&self, named: &str) -> String {
        let field = format!("{named}Service");
        let all = self.beginning.rollouts.iter();
        let mut own = all.filter(|(name, _)| name == self.rollout);
        let spec = own.next().and_then(|(_, spec)| parsed(spec));
        let services = spec.as_ref().map(Spec::services).unwrap_or_default();
        let found = services.iter().find(|(path, _)| path.ends_with(&field));
        found.map_or_else(|| named.to_owned(), |(_, name)| (*name).to_owned())
    }
}

fn annotated(annotations: &BTreeMap<String, Option<String>>) -> Vec<Happening> {
    let all = annotations.iter();
    all.map(|(key, value)| Happening::Annotate(key.clone(), value.clone()))
        .collect()
}

fn parsed(raw: &serde_json::Value) -> Option<Spec> {
    parse_with(raw, raw.get("template")).ok()
}
