//! What has to be known about the workloads of a namespace beside each other, without looking at each as
//! a whole: which Services and Deployments a Rollout names, and whose pods meet whose selector.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;

use super::caches::Key;
use super::object::{Kind, Object};
use super::reader::Labels;
use crate::api::rollout::{HASH_LABEL, RolloutSpec};
use crate::core::spec;
use crate::traffic::router::{self, RouterObject};

/// What has to be known about a Rollout without looking at it as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutFacts {
    /// `spec.selector.matchLabels`.
    pub selector: Labels,
    /// Labels of its pods, in each of the roles that they may have.
    pub pod_labels: Vec<Labels>,
    /// The Services that it names.
    pub services: BTreeSet<String>,
    /// The Deployment that it has its template from.
    pub workload: Option<String>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it has a stable version: what runs goes before what only begins.
    pub established: bool,
    /// What it names, as keys of the index.
    pub(super) references: Vec<Key>,
}

/// An object of its namespace, as a key of the index.
pub(super) fn index_name(kind: Kind, name: &str) -> String {
    format!("{kind}/{name}")
}

impl RolloutFacts {
    /// Those of a Rollout. One that cannot be read has none: it is in nobody's way.
    pub(super) fn of(rollout: &Object) -> Option<Self> {
        let value = rollout.value();
        let raw = RolloutSpec::deserialize(value.get("spec")?).ok()?;
        let namespace = rollout.namespace();
        let created = value
            .pointer("/metadata/creationTimestamp")
            .and_then(|t| t.as_str());
        // What else a Deployment's pods carry is not known here.
        let stand_in = spec::stand_in(&raw.selector);
        let template = match raw.workload_ref {
            Some(_) => &stand_in,
            None => &raw.template,
        };
        let labels = template.pointer("/metadata/labels");
        let mut facts = Self {
            selector: raw.selector.match_labels.clone(),
            pod_labels: labels
                .and_then(|l| Labels::deserialize(l).ok())
                .into_iter()
                .collect(),
            workload: raw
                .workload_ref
                .as_ref()
                .map(|workload| workload.name.clone()),
            created: created.and_then(|t| t.parse().ok()),
            established: value.pointer("/status/stable/hash").is_some(),
            ..Self::default()
        };
        let here = |kind, name: &str| (namespace.to_owned(), index_name(kind, name));
        let workload = facts.workload.as_ref();
        facts.references = workload
            .map(|name| here(Kind::Deployment, name))
            .into_iter()
            .collect();
        let Ok(parsed) = spec::parse_with(&raw, Some(template)) else {
            return Some(facts);
        };
        facts.pod_labels = parsed.pod_labels().to_vec();
        facts.services = parsed
            .services()
            .into_iter()
            .map(|(_, name)| name.to_owned())
            .collect();
        facts
            .references
            .extend(facts.services.iter().map(|name| here(Kind::Service, name)));
        for object in router::objects(&parsed, rollout.name()) {
            facts.references.push(match object {
                RouterObject::HttpRoute(name) => here(Kind::HttpRoute, &name),
                RouterObject::Ingress(name) => here(Kind::Ingress, &name),
                RouterObject::GatewayClass(name) => {
                    (String::new(), index_name(Kind::GatewayClass, &name))
                }
            });
        }
        for template in parsed.analyses().flat_map(|request| &request.templates) {
            facts.references.push(if template.cluster_scope {
                (
                    String::new(),
                    index_name(Kind::ClusterAnalysisTemplate, &template.name),
                )
            } else {
                here(Kind::AnalysisTemplate, &template.name)
            });
        }
        Some(facts)
    }
}

/// What a Rollout beside it has to know about a Deployment.
#[derive(Clone, Debug)]
pub struct DeploymentFacts {
    /// `None`: it selects nothing.
    selector: Option<Selector>,
    pod_labels: Labels,
    /// Whether it has pods, or is to have any.
    pub has_pods: bool,
}

impl DeploymentFacts {
    /// Those of a Deployment.
    pub(super) fn of(deployment: &Object) -> Self {
        let value = deployment.value();
        let at = |pointer: &str| value.pointer(pointer);
        let selector = at("/spec/selector").and_then(|s| LabelSelector::deserialize(s).ok());
        let selector = selector.and_then(|s| Selector::try_from(s).ok());
        let labels = at("/spec/template/metadata/labels");
        let count =
            |pointer: &str, missing: i64| at(pointer).map_or(missing, |n| n.as_i64().unwrap_or(0));
        Self {
            selector: selector.filter(|s| !s.selects_all()),
            pod_labels: labels
                .and_then(|l| Labels::deserialize(l).ok())
                .unwrap_or_default(),
            has_pods: count("/spec/replicas", 1) > 0 || count("/status/replicas", 0) > 0,
        }
    }

    /// Whether its pods meet the selector of a Rollout, or the Rollout's pods its own.
    #[must_use]
    pub fn shares_labels(&self, selector: &Labels, pods: &[Labels]) -> bool {
        let meets = |pods: &Labels| {
            let mut pods = pods.clone();
            // Whatever version they are of: who leaves those with this label out shares nothing.
            pods.insert(HASH_LABEL.to_owned(), String::new());
            self.selector.as_ref().is_some_and(|own| own.matches(&pods))
        };
        selects(selector, &self.pod_labels) || pods.iter().any(meets)
    }
}

/// Whether pods with these labels meet a Rollout's selector.
pub(super) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(k, v)| labels.get(k) == Some(v))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter();
        pairs
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn whose_pods_meet_whose_selector() {
        let app = json!({"matchLabels": {"app": "web"}});
        let not_ours = json!({"matchLabels": {"app": "web"},
            "matchExpressions": [{"key": HASH_LABEL, "operator": "DoesNotExist"}]});
        let by = |expression: Value| json!({ "matchExpressions": [expression] });
        let web = labels(&[("app", "web")]);
        // The Deployment's selector, its pods' labels, the labels of the Rollout's pods; whether any meet.
        let rows = [
            ("the same labels", &app, &web, vec![web.clone()], true),
            (
                "other labels",
                &json!({"matchLabels": {"app": "api"}}),
                &labels(&[("app", "api")]),
                vec![web.clone()],
                false,
            ),
            (
                "the Rollout's pods meet the Deployment's selector",
                &json!({"matchLabels": {"tier": "front"}}),
                &labels(&[("tier", "front")]),
                vec![labels(&[("app", "web"), ("tier", "front")])],
                true,
            ),
            (
                "in one of their roles",
                &json!({"matchLabels": {"lane": "canary"}}),
                &labels(&[("lane", "canary")]),
                vec![web.clone(), labels(&[("app", "web"), ("lane", "canary")])],
                true,
            ),
            (
                "an expression",
                &by(json!({"key": "app", "operator": "In", "values": ["web", "shop"]})),
                &labels(&[("app", "shop")]),
                vec![web.clone()],
                true,
            ),
            (
                "an expression that leaves it out",
                &by(json!({"key": "app", "operator": "NotIn", "values": ["web"]})),
                &labels(&[("app", "shop")]),
                vec![web.clone()],
                false,
            ),
            (
                "the Deployment leaves the Rollout's pods out, the Rollout not the Deployment's",
                &not_ours,
                &web,
                vec![web.clone()],
                true,
            ),
            (
                "it leaves them out, and has a label less",
                &not_ours,
                &labels(&[]),
                vec![web.clone()],
                false,
            ),
            (
                "an operator that there is not",
                &by(json!({"key": "app", "operator": "Like", "values": ["web"]})),
                &labels(&[]),
                vec![web.clone()],
                false,
            ),
            (
                "no selector",
                &json!({}),
                &labels(&[]),
                vec![web.clone()],
                false,
            ),
        ];
        for (what, selector, pods, ours, expected) in rows {
            let deployment = json!({"metadata": {"name": "d"},
                "spec": {"selector": selector, "template": {"metadata": {"labels": pods}}}});
            let facts = DeploymentFacts::of(&Object::new(deployment).unwrap());
            assert_eq!(facts.shares_labels(&web, &ours), expected, "{what}");
        }
    }

    #[test]
    fn a_deployment_without_pods_that_wants_none_is_empty() {
        for (replicas, there, expected) in [
            (json!(null), 0, true),
            (json!(2), 0, true),
            (json!(0), 1, true),
            (json!(0), 0, false),
        ] {
            let mut deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas},
                "status": {"replicas": there}});
            if replicas.is_null() {
                deployment["spec"].as_object_mut().unwrap().clear();
            }
            let facts = DeploymentFacts::of(&Object::new(deployment).unwrap());
            assert_eq!(facts.has_pods, expected, "{replicas} {there}");
        }
    }
}
