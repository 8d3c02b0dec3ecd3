//! A Rollout and what stands beside it in the files: the Deployment, the Services, the routes and the
//! templates that it names. What is not among the files is a note, for the cluster may have it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::{Finding, Level};
use super::object::{Item, in_analysis, stand_ins, unreadable};
use crate::analysis::template::{self, NamedTemplate};
use crate::api::analysis::AnalysisTemplateSpec;
use crate::api::rollout::Rollout;
use crate::core::observed::{RouteId, RouteState};
use crate::core::spec::{self, AnalysisRequest, Problem, Spec};
use crate::traffic::ingress_class::IngressClass;
use crate::traffic::router::{self, Found, RouterObject};
use crate::traffic::{Owner, service};

/// What the controller would hold a Rollout for.
pub(super) fn rollout(item: &Item, all: &[Item]) -> Vec<Finding> {
    let rollout: Rollout = match serde_json::from_value(item.value.clone()) {
        Ok(rollout) => rollout,
        Err(e) => return vec![unreadable(item, &e)],
    };
    let mut findings = Vec::new();
    let mut known = true;
    let template = rollout.spec.workload_ref.as_ref().map(|workload| {
        let found = named(item, all, "Deployment", &workload.name);
        let template = found.and_then(|d| d.value.pointer("/spec/template").cloned());
        template.unwrap_or_else(|| {
            known = false;
            findings.push(missing(
                item,
                "spec.workloadRef.name",
                "Deployment",
                &workload.name,
            ));
            spec::stand_in(&rollout.spec.selector)
        })
    });
    let spec = match spec::parse_with(&rollout.spec, template.as_ref()) {
        Ok(spec) => spec,
        Err(problems) => {
            findings.extend(problems.iter().map(|p| held(item, p)));
            return findings;
        }
    };
    findings.extend(services(item, all, &spec, known));
    findings.extend(routes(item, all, &spec));
    findings.extend(neighbours(item, all, &rollout));
    for request in spec.analyses() {
        findings.extend(analysis(item, all, request));
    }
    findings
}

/// A problem in the planner's words.
fn held(item: &Item, problem: &Problem) -> Finding {
    let text = format!("{}: {}", problem.value, problem.allowed);
    item.subject.finding(Level::Error, &problem.field, text)
}

fn missing(item: &Item, field: &str, kind: &str, name: &str) -> Finding {
    let text = format!("{kind} {name} is not among the files: it is not looked at");
    item.subject.finding(Level::Note, field, text)
}

/// An object by name; of several the one in the same file, for a folder may hold alternatives.
fn named<'a>(item: &Item, all: &'a [Item], kind: &str, name: &str) -> Option<&'a Item> {
    all.iter()
        .filter(|o| o.kind == kind && o.name == name && o.is_beside(item))
        .min_by_key(|o| o.subject.file != item.subject.file)
}

fn services(item: &Item, all: &[Item], spec: &Spec, labels_known: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (field, name) in spec.services() {
        let Some(found) = named(item, all, "Service", name) else {
            findings.push(missing(item, field, "Service", name));
            continue;
        };
        let meets = || service::meets_none(&found.value, |key, value| spec.pods_have(key, value));
        let own = service::read(&found.value).problem;
        if let Some(problem) = own.or_else(|| meets().filter(|_| labels_known)) {
            let problem = Problem::new(
                field,
                format!("Service {name}: {problem}"),
                "a Service with a cluster IP, and with a selector that the pods meet",
            );
            findings.push(held(item, &problem));
        }
    }
    findings
}

fn routes(item: &Item, all: &[Item], spec: &Spec) -> Vec<Finding> {
    let wanted = router::objects(spec, &item.name);
    let mut found = Found::new();
    for object in wanted {
        let (kind, name) = match &object {
            RouterObject::HttpRoute(name) => ("HTTPRoute", name),
            RouterObject::Ingress(name) => ("Ingress", name),
            RouterObject::GatewayClass(_) => continue,
        };
        if let Some(route) = named(item, all, kind, name) {
            found.insert(object.clone(), route.value.clone());
        }
    }
    let owner = Owner {
        namespace: &item.namespace,
        name: &item.name,
        uid: "",
    };
    let read = router::read(spec, owner, &found, &|_: &str| IngressClass::Unknown);
    let mut findings = Vec::new();
    for route in read {
        let (kind, name, field) = match &route.id {
            RouteId::HttpRoute(name) => (
                "HTTPRoute",
                name,
                "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes",
            ),
            RouteId::NginxIngress(name) => (
                "Ingress",
                name,
                "spec.strategy.canary.trafficRouting.nginx.ingresses",
            ),
            RouteId::ManagedHttpRoute(_) => continue,
        };
        if named(item, all, kind, name).is_none() {
            findings.push(missing(item, field, kind, name));
        } else if let RouteState::Unusable(problem) = &route.state {
            findings.push(held(item, problem));
        }
    }
    findings
}

/// Whose pods this Rollout's selector meets as well.
fn neighbours(item: &Item, all: &[Item], rollout: &Rollout) -> Vec<Finding> {
    let own = rollout.spec.workload_ref.as_ref().map(|w| w.name.as_str());
    let wanted = &rollout.spec.selector.match_labels;
    let meets = |deployment: &Item| {
        let labels = deployment.value.pointer("/spec/template/metadata/labels");
        let has = |key: &str| labels.and_then(|l| l.get(key)).and_then(Value::as_str);
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(key, value)| has(key) == Some(value.as_str()))
    };
    all.iter()
        .filter(|o| o.kind == "Deployment" && o.is_beside(item) && Some(o.name.as_str()) != own)
        .filter(|o| meets(o))
        .map(|o| {
            let text = format!(
                "the pods of Deployment {} have these labels too: the Services send them traffic, \
                 whatever the weight; delete it, scale it to 0, or name it in spec.workloadRef",
                o.name
            );
            item.subject
                .finding(Level::Warning, "spec.selector.matchLabels", text)
        })
        .collect()
}

/// Whether the templates that an analysis names can be frozen into a run.
fn analysis(item: &Item, all: &[Item], request: &AnalysisRequest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found: Vec<(&Item, AnalysisTemplateSpec)> = Vec::new();
    for (i, key) in request.templates.iter().enumerate() {
        let kind = if key.cluster_scope {
            "ClusterAnalysisTemplate"
        } else {
            "AnalysisTemplate"
        };
        match named(item, all, kind, &key.name) {
            // What is wrong with it was said where it stands.
            Some(template) => {
                let spec = template.stored.then(|| template.template()).flatten();
                found.extend(spec.map(|spec| (template, spec)));
            }
            None => {
                let field = format!("{}.templates[{i}].name", request.field);
                findings.push(missing(item, &field, kind, &key.name));
            }
        }
    }
    if found.len() < request.templates.len() {
        return findings;
    }
    let templates: Vec<NamedTemplate<'_>> = found
        .iter()
        .map(|(template, spec)| NamedTemplate {
            name: &template.name,
            spec,
        })
        .collect();
    let args: BTreeMap<String, String> = request.args.iter().cloned().collect();
    let builtins = stand_ins(&item.name, &item.namespace);
    for problem in template::freeze(&templates, &args, &builtins)
        .err()
        .unwrap_or_default()
    {
        let whose = found.iter().map(|(template, _)| *template);
        let own = whose
            .filter(|t| problem.at.starts_with(&format!("{}: ", t.name)))
            .max_by_key(|t| t.name.len());
        findings.push(match own {
            Some(template) => in_analysis(template, &problem),
            None => item
                .subject
                .finding(Level::Error, &request.field, problem.to_string()),
        });
    }
    findings
}
