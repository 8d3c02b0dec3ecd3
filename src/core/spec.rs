//! The parsed Rollout: defaults applied, percentages and durations resolved, one-ofs as enums.
//!
//! Parsed once at the rim; the planner knows only this. What the schema cannot refuse is refused
//! here, all problems at once, each with field, value and what is allowed.

mod parse;

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

pub use parse::{parse, parse_with, stand_in};

use super::naming;
use super::observed::{RouteId, TemplateKey};
use crate::api::rollout::{
    DeadlineAction, GitRevertMode, ManagedRoute, PodMetadata, RevertCause, RuleRef, TimeoutAction,
    WorkloadScaleDown,
};

/// Something that is wrong, in words that let a person mend it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the field, or the object.
    pub field: String,
    /// What was found there.
    pub value: String,
    /// What is allowed, and what to do.
    pub allowed: String,
}

impl Problem {
    /// A problem at `field`, which has `value`, where `allowed` would do.
    pub fn new(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.field, self.value, self.allowed)
    }
}

/// A Rollout's spec as the planner knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Pods outside a rollout.
    pub replicas: i32,
    /// Labels that every pod has.
    pub selector: BTreeMap<String, String>,
    /// The user's pod template, as written, or as its Deployment has it.
    pub template: Value,
    /// The Deployment that has it.
    pub workload: Option<Workload>,
    /// Its containers' images, init containers first, in order.
    pub images: Vec<String>,
    /// When a pod counts as available.
    pub min_ready_seconds: i32,
    /// Scaled-down ReplicaSets kept.
    pub revision_history_limit: i32,
    /// How long without progress.
    pub progress_deadline: SignedDuration,
    /// What then.
    pub progress_deadline_action: DeadlineAction,
    /// Held by the spec.
    pub paused: bool,
    /// The way of a new version.
    pub steps: Vec<Step>,
    /// How traffic is moved.
    pub means: Means,
    /// Analysis in the background.
    pub background: Option<(i32, AnalysisRequest)>,
    /// How many pods the versions have, and for how long.
    pub capacity: Capacity,
    /// What pods carry because of their version's role.
    pub roles: Roles,
    /// A version that was stable at most so many promotions ago goes out again without steps.
    pub rollback_window: Option<i32>,
    /// How far the Git writer goes.
    pub revert_mode: GitRevertMode,
    /// For which aborts.
    pub revert_on: Vec<RevertCause>,
}

/// The Deployment that the template is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// When its own pods go.
    pub scale_down: WorkloadScaleDown,
}

/// How many pods the versions have beside each other, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Capacity {
    /// The stable version's pods go as its traffic goes, instead of at the end.
    pub stable_follows_traffic: bool,
    /// No version that has traffic by weight has fewer pods, unless `replicas` is less.
    pub min_pods: i32,
    /// How long the old version stays after the traffic has left it.
    pub scale_down_delay: SignedDuration,
    /// How long an aborted version stays after the traffic has left it; `None`: until the next one.
    pub abort_scale_down_delay: Option<SignedDuration>,
    /// Fresh pods of the stable version beside a new one.
    pub baseline: i32,
    /// Whether a new version's pods keep off the stable version's nodes.
    pub anti_affinity: Option<AntiAffinity>,
}

/// What pods carry because of their version's role.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roles {
    /// Those of the stable version.
    pub stable: PodMetadata,
    /// Those of the version that goes out.
    pub canary: PodMetadata,
}

/// How much a new version's pods keep off the stable version's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiAffinity {
    /// They do not run there.
    Required,
    /// They would rather not, by so much (1 to 100).
    Preferred(i32),
}

/// How traffic is moved from version to version.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    /// Weights on routes between two Services.
    Routes {
        /// Selects stable.
        stable_service: String,
        /// Selects the canary.
        canary_service: String,
        /// Where the weights are.
        router: Router,
    },
    /// The selector of one Service (blue/green).
    Active {
        /// What users reach.
        active_service: String,
        /// Selects the new version before the switch.
        preview_service: Option<String>,
    },
    /// Pod counts behind a Service that selects both versions.
    Pods {
        /// Pods above `replicas` while shifting.
        max_surge: i32,
        /// Pods missing from `replicas` while shifting.
        max_unavailable: i32,
    },
}

/// Where the weights are.
#[derive(Clone, Debug, PartialEq)]
pub enum Router {
    /// HTTPRoutes of the user's, each with the rules that carry weights (none: all with both backends).
    HttpRoutes(Vec<(String, Vec<RuleRef>)>),
    /// An HTTPRoute that Tidegate owns.
    Managed(Box<ManagedRoute>),
    /// Canary Ingresses beside these Ingresses.
    Nginx(Vec<String>),
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// This percentage of the traffic.
    SetWeight(i32),
    /// Wait.
    Pause(Pause),
    /// Judge.
    Analysis(AnalysisRequest),
    /// This many canary pods from here on.
    SetCanaryScale(CanaryScale),
    /// This side route from here on, or no longer ([`SideRoute::is_removed`]).
    SetSideRoute(SideRoute),
}

/// A way to the canary beside the weight: `setHeaderRoute` and `setMirrorRoute`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideRoute {
    /// Its name.
    pub name: String,
    /// Which requests take it.
    pub takes: Takes,
}

/// Which requests take a side route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Those that have all of these headers. None: the route is removed.
    Headers(Vec<HeaderMatch>),
    /// Copies of this percentage of all; nobody waits for their answers. 0: the route is removed.
    Copies(i32),
}

impl SideRoute {
    /// Whether a step with this takes the route of its name away.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        match &self.takes {
            Takes::Headers(headers) => headers.is_empty(),
            Takes::Copies(percent) => *percent == 0,
        }
    }

    /// Whether it is a mirror route.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        matches!(self.takes, Takes::Copies(_))
    }

    /// The percentage of all requests that a mirror route copies; 0 for another one.
    #[must_use]
    pub fn copies(&self) -> i32 {
        match self.takes {
            Takes::Copies(percent) => percent,
            Takes::Headers(_) => 0,
        }
    }
}

impl std::fmt::Display for SideRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.takes {
            Takes::Headers(_) => write!(f, "header route {}", self.name),
            Takes::Copies(_) => write!(f, "mirror route {}", self.name),
        }
    }
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Its name, in any case.
    pub name: String,
    /// Its value.
    pub value: HeaderValue,
}

/// A header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// The whole of it.
    Exact(String),
    /// A regular expression, in the dialect of the gateway.
    Regex(String),
}

/// A wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Pause {
    /// Goes on by itself.
    For(SignedDuration),
    /// Until promoted; with a bound and what happens then.
    UntilPromoted(Option<(SignedDuration, TimeoutAction)>),
}

/// How many canary pods there are.
#[derive(Clone, Debug, PartialEq)]
pub enum CanaryScale {
    /// This many.
    Replicas(i32),
    /// This share of `replicas`, rounded up.
    Percent(i32),
    /// What the weight asks for.
    MatchTraffic,
}

/// Which templates, with which args.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysisRequest {
    /// Path of the field, for messages.
    pub field: String,
    /// The templates, in order.
    pub templates: Vec<TemplateKey>,
    /// Values for their args.
    pub args: Vec<(String, String)>,
    /// Overrides `promote.maxDuration`.
    pub max_duration: Option<String>,
}

impl Spec {
    /// Whether pods have a label: from the template, or in one of the roles that they may have.
    #[must_use]
    pub fn pods_have(&self, key: &str, value: &str) -> bool {
        let labels = self.template.pointer("/metadata/labels");
        let written = labels.and_then(|labels| labels.get(key)?.as_str());
        let roles = [&self.roles.stable, &self.roles.canary];
        let given = roles.iter().filter_map(|role| role.labels.get(key));
        given.map(String::as_str).chain(written).any(|v| v == value)
    }

    /// The labels of its pods, in each of the roles that they may have.
    #[must_use]
    pub fn pod_labels(&self) -> [BTreeMap<String, String>; 2] {
        let labels = self.template.pointer("/metadata/labels");
        let written: BTreeMap<String, String> = labels
            .and_then(|labels| BTreeMap::deserialize(labels).ok())
            .unwrap_or_default();
        [&self.roles.stable, &self.roles.canary].map(|role| {
            let mut labels = role.labels.clone();
            // What the template has by itself is left to it.
            labels.extend(written.clone());
            labels
        })
    }

    /// Every Service that the spec names, with the field that names it.
    #[must_use]
    pub fn services(&self) -> Vec<(&'static str, &str)> {
        match &self.means {
            Means::Routes {
                stable_service,
                canary_service,
                ..
            } => vec![
                (
                    "spec.strategy.canary.stableService",
                    stable_service.as_str(),
                ),
                (
                    "spec.strategy.canary.canaryService",
                    canary_service.as_str(),
                ),
            ],
            Means::Active {
                active_service,
                preview_service,
            } => {
                let mut all = vec![(
                    "spec.strategy.blueGreen.activeService",
                    active_service.as_str(),
                )];
                all.extend(
                    preview_service
                        .as_deref()
                        .map(|name| ("spec.strategy.blueGreen.previewService", name)),
                );
                all
            }
            Means::Pods { .. } => Vec::new(),
        }
    }

    /// Every route that the spec names, in its order. `rollout` names the owned route.
    #[must_use]
    pub fn routes(&self, rollout: &str) -> Vec<RouteId> {
        match &self.means {
            Means::Routes {
                router: Router::HttpRoutes(routes),
                ..
            } => routes
                .iter()
                .map(|(name, _)| RouteId::HttpRoute(name.clone()))
                .collect(),
            Means::Routes {
                router: Router::Managed(_),
                ..
            } => {
                vec![RouteId::ManagedHttpRoute(rollout.to_owned())]
            }
            Means::Routes {
                router: Router::Nginx(ingresses),
                ..
            } => ingresses
                .iter()
                .map(|name| RouteId::NginxIngress(name.clone()))
                .collect(),
            Means::Active { .. } | Means::Pods { .. } => Vec::new(),
        }
    }

    /// Every analysis that the spec asks for.
    pub fn analyses(&self) -> impl Iterator<Item = &AnalysisRequest> {
        self.steps
            .iter()
            .filter_map(|step| match step {
                Step::Analysis(request) => Some(request),
                _ => None,
            })
            .chain(self.background.as_ref().map(|(_, request)| request))
    }

    /// The side routes that the steps up to and including `step` have set and not removed, header
    /// routes before the mirror route; past the last step: none.
    #[must_use]
    pub fn side_routes_at(&self, step: usize) -> Vec<SideRoute> {
        let mut standing: Vec<SideRoute> = Vec::new();
        if step >= self.steps.len() {
            return standing;
        }
        for step in self.steps.iter().take(step + 1) {
            let Step::SetSideRoute(route) = step else {
                continue;
            };
            let place = standing.iter_mut().find(|s| s.name == route.name);
            match place {
                Some(place) => *place = route.clone(),
                None => standing.push(route.clone()),
            }
            standing.retain(|s| !s.is_removed());
        }
        standing.sort_by_key(SideRoute::is_mirror);
        standing
    }

    /// Hash of the first `n` steps: whether what was done still stands in the spec.
    #[must_use]
    pub fn steps_hash(&self, n: usize) -> String {
        let done: Vec<&Step> = self.steps.iter().take(n).collect();
        // Debug output of our own small enums: stable within a version, and a change of it between
        // versions only restarts at step 0, which is safe.
        naming::hex(&format!("{done:?}"), 8)
    }
}
