//! What may be said of the simulated cluster at one moment: the words of `when`, `that`, `always` and
//! all the others. A fact that does not hold says what was seen instead.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sight::Sight;
use super::words::Number;
use crate::api::rollout_status::{AbortReason, Outcome, PauseReason, Phase};

/// What is expected where nothing is to be.
pub(super) const NONE: &str = "none";

/// Facts, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Facts {
    /// Of which Rollout; `every`: of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Whether it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// `status.phase`: this one, or one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<OneOf<Phase>>,
    /// `status.canary.step`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Number>,
    /// `status.traffic.desired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Number>,
    /// `status.traffic.accepted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Number>,
    /// What every route of the Rollout says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_weight: Option<Number>,
    /// Names of the header routes that the data plane has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_routes: Option<Vec<String>>,
    /// Name of the mirror route that the data plane has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror_routes: Option<Vec<String>>,
    /// The stable version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// The version that goes out or was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// The version that the Rollout asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_for: Option<String>,
    /// The version that Git asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_git: Option<String>,
    /// `status.canary.attempt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Number>,
    /// Revision of the canary, else of stable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Number>,
    /// `status.pause.reason`, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<OrNone<PauseReason>>,
    /// `status.abort.reason`, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborted: Option<OrNone<AbortReason>>,
    /// The last outcomes, newest first; as many as are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<Vec<Outcome>>,
    /// A part of `status.message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Conditions by type: `True`, `False`, or their reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, String>,
    /// How the result of the last command begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the status speaks of the present spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_date: Option<bool>,
    /// `spec.replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Number>,
    /// `status.replicas`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_in_play: Option<Number>,
    /// Pods that each version's ReplicaSet is asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pods: BTreeMap<String, Number>,
    /// Pods of each version that serve.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ready: BTreeMap<String, Number>,
    /// Pods of all versions that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_pods: Option<Number>,
    /// Pods of all versions that serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_ready: Option<Number>,
    /// The largest share of the traffic, in percent, that may reach each version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub share: BTreeMap<String, Number>,
    /// The version that a Service selects: `stable`, `canary`, `active`, `preview`, or its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub selects: BTreeMap<String, String>,
    /// What the API server said to the last edit of it, if it refused that; or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Fields of objects that are kept whole, by kind and name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, Value>,
    /// Pods that Deployments are asked for, by name, whether a Rollout names them or not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deployments: BTreeMap<String, Number>,
    /// Own pods of Deployments that serve, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deployments_ready: BTreeMap<String, Number>,
    /// A part of every question that its AnalysisRuns ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// Pods that its Deployment is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Number>,
    /// Its Deployment's own pods and those of all versions that serve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_together: Option<Number>,
    /// ReplicaSets of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_sets: Option<Number>,
    /// AnalysisRuns of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyses: Option<Number>,
    /// AnalysisRuns of the Rollout that are under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_analyses: Option<Number>,
    /// Reverts of the Rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<Number>,
    /// Commits that took a version out of Git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<Number>,
    /// Events so far, by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub events: BTreeMap<String, Number>,
    /// Writes so far, by a part of their words; `any`: all of them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub writes: BTreeMap<String, Number>,
    /// A write that was made just now has these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
    /// Whether nothing was written just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<bool>,
    /// Calls to the API server so far, of all controllers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_calls: Option<Number>,
    /// Bytes of the status as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_bytes: Option<Number>,
    /// Bytes of the longest message in the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_bytes: Option<Number>,
    /// Characters of the longest name of an object that Tidegate made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_name: Option<Number>,
}

/// One value, or one of several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneOf<T>(pub Vec<T>);

/// A value, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrNone<T>(pub Option<T>);

impl Facts {
    /// In words, as they were written.
    #[must_use]
    pub fn words(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Every version that is named.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        let one = [&self.stable, &self.canary, &self.asked_for, &self.in_git];
        let maps = [&self.pods, &self.ready, &self.share];
        one.into_iter()
            .flatten()
            .chain(self.selects.values())
            .chain(maps.into_iter().flat_map(BTreeMap::keys))
            .map(String::as_str)
            .filter(|version| *version != NONE)
    }

    /// Whether all of them hold of a Rollout.
    ///
    /// # Errors
    /// What was seen where one does not.
    pub(super) fn hold(&self, sight: &Sight<'_>, rollout: &str) -> Result<(), String> {
        if let Some(expected) = self.exists {
            same("exists", expected, sight.body(rollout).is_some())?;
        }
        self.of_the_record(sight, rollout)?;
        self.of_versions(sight, rollout)?;
        self.of_objects(sight, rollout)?;
        self.of_others(sight, rollout)?;
        self.of_writes(sight, rollout)
    }

    /// What the status says.
    fn of_the_record(&self, sight: &Sight<'_>, rollout: &str) -> Result<(), String> {
        let status = sight.status(rollout);
        let canary = status.and_then(|s| s.canary.as_ref());
        let stable = status.and_then(|s| s.stable.as_ref());
        let traffic = status.and_then(|s| s.traffic.as_ref());
        if let Some(expected) = &self.phase {
            let seen = status.and_then(|s| s.phase);
            let so = seen.is_some_and(|phase| expected.0.contains(&phase));
            let words = status.map(|s| s.message.as_str()).unwrap_or_default();
            claim(so, "phase", || format!("{} ({words})", shown(&seen)))?;
        }
        number("step", self.step.as_ref(), canary.map(|c| c.step))?;
        number("weight", self.weight.as_ref(), traffic.map(|t| t.desired))?;
        number(
            "accepted",
            self.accepted.as_ref(),
            traffic.map(|t| t.accepted),
        )?;
        number("attempt", self.attempt.as_ref(), canary.map(|c| c.attempt))?;
        let revision = canary.map(|c| c.revision).or(stable.map(|s| s.revision));
        number("revision", self.revision.as_ref(), revision)?;
        let in_play = status.map(|s| s.replicas);
        number("podsInPlay", self.pods_in_play.as_ref(), in_play)?;
        if let Some(expected) = &self.pause {
            let seen = status.and_then(|s| s.pause.as_ref()).map(|p| p.reason);
            claim(expected.0 == seen, "pause", || shown(&seen))?;
        }
        if let Some(expected) = &self.aborted {
            let seen = status.and_then(|s| s.abort.as_ref()).map(|a| a.reason);
            claim(expected.0 == seen, "aborted", || shown(&seen))?;
        }
        if let Some(expected) = &self.outcomes {
            let history = status.map(|s| s.history.as_slice()).unwrap_or_default();
            let seen: Vec<Outcome> = history.iter().map(|entry| entry.outcome).collect();
            claim(seen.starts_with(expected), "outcomes", || {
                format!("{seen:?}")
            })?;
        }
        if let Some(expected) = &self.header_routes {
            let seen = traffic.map(|t| t.header_routes.clone()).unwrap_or_default();
            claim(seen == *expected, "headerRoutes", || format!("{seen:?}"))?;
        }
        if let Some(expected) = &self.mirror_routes {
            let seen = traffic.map(|t| t.mirror_routes.clone()).unwrap_or_default();
            claim(seen == *expected, "mirrorRoutes", || format!("{seen:?}"))?;
        }
        if let Some(expected) = &self.message {
            let seen = status.map(|s| s.message.as_str()).unwrap_or_default();
            claim(seen.contains(expected.as_str()), "message", || {
                format!("{seen:?}")
            })?;
        }
        for (type_, expected) in &self.conditions {
            let all = status.map(|s| s.conditions.as_slice()).unwrap_or_default();
            let seen = all.iter().find(|c| c.type_ == *type_);
            let so = match seen {
                Some(c) => format!("{:?}", c.status) == *expected || c.reason == *expected,
                None => expected == NONE,
            };
            claim(so, &format!("condition {type_}"), || match seen {
                Some(c) => format!("{:?}, {}: {}", c.status, c.reason, c.message),
                None => NONE.to_owned(),
            })?;
        }
        if let Some(expected) = &self.command {
            let seen = status.and_then(|s| s.last_handled_command.as_ref());
            let seen = seen.map_or("", |handled| handled.result.as_str());
            claim(seen.starts_with(expected.as_str()), "command", || {
                format!("{seen:?}")
            })?;
        }
        if let Some(expected) = self.up_to_date {
            same("upToDate", expected, sight.is_up_to_date(rollout))?;
        }
        Ok(())
    }

    /// Which version is where, and on how many pods.
    fn of_versions(&self, sight: &Sight<'_>, rollout: &str) -> Result<(), String> {
        let one = [
            ("stable", &self.stable, sight.stable(rollout)),
            ("canary", &self.canary, sight.canary(rollout)),
            ("askedFor", &self.asked_for, sight.asked_for(rollout)),
            ("inGit", &self.in_git, sight.in_git(rollout)),
        ];
        for (what, expected, seen) in one {
            if let Some(expected) = expected {
                version(what, expected, seen.as_deref())?;
            }
        }
        for (service, expected) in &self.selects {
            let seen = sight.selected(rollout, service);
            version(
                &format!("Service {service} selects"),
                expected,
                seen.as_deref(),
            )?;
        }
        for (of, expected) in &self.pods {
            number(
                &format!("pods of {of}"),
                Some(expected),
                Some(sight.pods(rollout, of)),
            )?;
        }
        for (of, expected) in &self.ready {
            number(
                &format!("ready pods of {of}"),
                Some(expected),
                Some(sight.ready(rollout, of)),
            )?;
        }
        for (of, expected) in &self.share {
            number(
                &format!("share of {of}"),
                Some(expected),
                Some(sight.share(rollout, of)),
            )?;
        }
        let (asked, serving) = sight.deployment(rollout);
        number("deployment", self.deployment.as_ref(), asked)?;
        let all = sight.all_pods(rollout);
        number(
            "readyTogether",
            self.ready_together.as_ref(),
            Some(all.1 + serving),
        )?;
        number("allPods", self.all_pods.as_ref(), Some(all.0))?;
        number("allReady", self.all_ready.as_ref(), Some(all.1))
    }

    /// What objects there are.
    fn of_objects(&self, sight: &Sight<'_>, rollout: &str) -> Result<(), String> {
        number("replicas", self.replicas.as_ref(), sight.replicas(rollout))?;
        if let Some(expected) = &self.route_weight {
            let weights = sight.route_weights(rollout);
            claim(!weights.is_empty(), "routeWeight", || "no route".to_owned())?;
            for (route, weight) in weights {
                number(&format!("weight of {route}"), Some(expected), Some(weight))?;
            }
        }
        let counted = [
            (
                "replicaSets",
                &self.replica_sets,
                sight.replica_sets(rollout),
            ),
            ("analyses", &self.analyses, sight.analyses(rollout, false)),
            (
                "runningAnalyses",
                &self.running_analyses,
                sight.analyses(rollout, true),
            ),
            ("reverts", &self.reverts, sight.reverts(rollout)),
            ("commits", &self.commits, sight.commits(rollout)),
        ];
        for (what, expected, seen) in counted {
            number(what, expected.as_ref(), Some(seen))?;
        }
        if self.status_bytes.is_some() || self.message_bytes.is_some() {
            let (status, message) = sight.bytes(rollout);
            number("statusBytes", self.status_bytes.as_ref(), Some(status))?;
            number("messageBytes", self.message_bytes.as_ref(), Some(message))?;
        }
        let name = self.longest_name.as_ref();
        number("longestName", name, Some(sight.longest_name(rollout)))
    }

    /// What Tidegate wrote and told.
    fn of_writes(&self, sight: &Sight<'_>, rollout: &str) -> Result<(), String> {
        for (reason, expected) in &self.events {
            let seen = sight.told(rollout, reason);
            number(&format!("Events {reason}"), Some(expected), Some(seen))?;
        }
        for (words, expected) in &self.writes {
            let seen = sight.writes(rollout, words);
            number(&format!("writes {words:?}"), Some(expected), Some(seen))?;
        }
        if let Some(expected) = &self.made {
            let seen = sight.made(rollout);
            let so = seen.iter().any(|words| words.contains(expected.as_str()));
            claim(so, "made", || format!("{seen:?}"))?;
        }
        if let Some(expected) = self.quiet {
            let seen = sight.made(rollout);
            claim(seen.is_empty() == expected, "quiet", || {
                match seen.is_empty() {
                    true => "nothing was written".to_owned(),
                    false => format!("written: {}", seen.join("; ")),
                }
            })?;
        }
        number("apiCalls", self.api_calls.as_ref(), Some(sight.calls()))
    }
}

fn shown<T: std::fmt::Debug>(seen: &Option<T>) -> String {
    match seen {
        Some(seen) => format!("{seen:?}"),
        None => NONE.to_owned(),
    }
}

pub(super) fn claim(so: bool, what: &str, seen: impl FnOnce() -> String) -> Result<(), String> {
    match so {
        true => Ok(()),
        false => Err(format!("{what}: {}", seen())),
    }
}

fn same(what: &str, expected: bool, seen: bool) -> Result<(), String> {
    claim(expected == seen, what, || seen.to_string())
}

fn version(what: &str, expected: &str, seen: Option<&str>) -> Result<(), String> {
    let seen = seen.unwrap_or(NONE);
    claim(seen == expected, what, || seen.to_owned())
}

pub(super) fn number(
    what: &str,
    expected: Option<&Number>,
    seen: Option<impl Into<i64>>,
) -> Result<(), String> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let seen: Option<i64> = seen.map(Into::into);
    let so = seen.is_some_and(|seen| expected.holds(seen));
    claim(so, what, || match seen {
        Some(seen) => seen.to_string(),
        None => NONE.to_owned(),
    })
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOf<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::lists::one_or_many(from).map(OneOf)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrNone<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        super::lists::or_none(from).map(OrNone)
    }
}
