//! One object: what the API server would refuse, and what the controller would hold, in their words.

use jiff::Timestamp;
use serde_json::Value;

use super::document::Node;
use super::finding::{Finding, Level, Subject};
use crate::analysis::problem::Problem;
use crate::analysis::template::{self, Builtins, NamedTemplate};
use crate::api::analysis::{AnalysisRun, AnalysisTemplateSpec};
use crate::sim::apiserver::offline::{Kinds, WHOLE};

/// The group of Tidegate's kinds.
const GROUP: &str = "tidegate.io";

/// An object of one of the files.
pub(super) struct Item {
    pub subject: Subject,
    pub kind: String,
    pub name: String,
    /// Empty: whichever it is applied to.
    pub namespace: String,
    /// With defaults, once it was checked.
    pub value: Value,
    /// Whether it would be stored, so that it makes sense to look further.
    pub stored: bool,
}

impl Item {
    /// The object that stands at a node; none: it is nothing that lint looks at.
    pub fn of(file: &str, node: &Node, namespace: &str) -> Option<Self> {
        let value = node.value();
        let text = |at: &str| {
            let found = value.pointer(at).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let kind = text("/kind");
        let api_version = text("/apiVersion");
        let ours = api_version.split('/').next() == Some(GROUP);
        let beside = matches!(
            (api_version.as_str(), kind.as_str()),
            ("v1", "Service") | ("apps/v1", "Deployment") | ("networking.k8s.io/v1", "Ingress")
        ) || (api_version.starts_with("gateway.networking.k8s.io/")
            && kind == "HTTPRoute");
        if !ours && !beside {
            return None;
        }
        let name = match text("/metadata/name") {
            name if name.is_empty() => text("/metadata/generateName"),
            name => name,
        };
        let namespace = match text("/metadata/namespace") {
            none if none.is_empty() => namespace.to_owned(),
            own => own,
        };
        let object = match namespace.as_str() {
            "" => format!("{kind} {name}"),
            namespace => format!("{kind} {namespace}/{name}"),
        };
        Some(Self {
            subject: Subject {
                file: file.to_owned(),
                object: object.trim_end().to_owned(),
                node: node.clone(),
            },
            kind,
            name,
            namespace,
            value,
            stored: beside,
        })
    }

    /// Whether it is one of Tidegate's.
    pub fn is_ours(&self) -> bool {
        let version = self.value.get("apiVersion").and_then(Value::as_str);
        version.and_then(|v| v.split('/').next()) == Some(GROUP)
    }

    /// Whether a name of `other`'s may mean this object.
    pub fn is_beside(&self, other: &Item) -> bool {
        self.kind == "ClusterAnalysisTemplate"
            || self.namespace == other.namespace
            || self.namespace.is_empty()
            || other.namespace.is_empty()
    }

    /// The spec of a template.
    pub fn template(&self) -> Option<AnalysisTemplateSpec> {
        let spec = self.value.get("spec")?.clone();
        serde_json::from_value(spec).ok()
    }
}

/// What the API server says.
pub(super) fn admit(item: &mut Item, kinds: &Kinds) -> Vec<Finding> {
    if let Some(text) = unrendered(item) {
        return vec![item.subject.finding(Level::Error, "metadata.name", text)];
    }
    let Some(errors) = kinds.refuses(&mut item.value) else {
        let version = item.value.get("apiVersion").and_then(Value::as_str);
        let known: Vec<String> = kinds
            .names()
            .map(|(kind, versions)| format!("{kind} ({})", versions.join(", ")))
            .collect();
        let text = format!(
            "no matches for kind {:?} in version {:?}: known are {}",
            item.kind,
            version.unwrap_or_default(),
            known.join(", ")
        );
        return vec![item.subject.finding(Level::Error, "kind", text)];
    };
    item.stored = errors.is_empty();
    let said = errors.into_iter().map(|error| match error.field.as_str() {
        // The server's remark that it did not look further.
        WHOLE if error.message.contains("rules were not checked") => {
            item.subject.finding(Level::Note, "", error.message)
        }
        WHOLE => item.subject.finding(Level::Error, "", error.message),
        field => item.subject.finding(Level::Error, field, error.message),
    });
    said.collect()
}

/// A chart's template is none of the objects that it makes.
fn unrendered(item: &Item) -> Option<String> {
    let braces = item.name.contains("{{");
    braces.then(|| format!("{:?}: {}", item.name, super::RENDER_FIRST))
}

/// What the controller says of a run that somebody makes.
pub(super) fn run(item: &Item, now: Timestamp) -> Vec<Finding> {
    match serde_json::from_value::<AnalysisRun>(item.value.clone()) {
        Ok(run) => {
            let problems = template::problems(&run.spec, now);
            let said = problems.iter().map(|p| in_analysis(item, p));
            said.collect()
        }
        Err(e) => vec![unreadable(item, &e)],
    }
}

/// What is wrong with a template by itself. One whose args have no values is judged where they are given.
pub(super) fn of_template(item: &Item) -> Vec<Finding> {
    let Some(spec) = item.template() else {
        return Vec::new();
    };
    if spec.args.iter().any(|arg| arg.value.is_none()) {
        return Vec::new();
    }
    let named = [NamedTemplate {
        name: &item.name,
        spec: &spec,
    }];
    match template::freeze(&named, &Default::default(), &stand_ins("rollout", "")) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|p| in_analysis(item, p)).collect(),
    }
}

/// Values for what only the cluster knows.
pub(super) fn stand_ins(rollout: &str, namespace: &str) -> Builtins {
    let namespace = if namespace.is_empty() {
        "default"
    } else {
        namespace
    };
    Builtins {
        namespace: namespace.to_owned(),
        rollout: rollout.to_owned(),
        canary_service: "canary".to_owned(),
        stable_service: "stable".to_owned(),
        canary_hash: "77cd81f2".to_owned(),
        stable_hash: "6b5f9c7d".to_owned(),
    }
}

/// An analysis's problem at the field of the object that it is about.
pub(super) fn in_analysis(item: &Item, problem: &Problem) -> Finding {
    let own = problem.at.strip_prefix(item.name.as_str());
    let field = own
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&problem.at);
    let text = match problem.value.as_str() {
        "" => problem.message.clone(),
        value => format!("{value:?}: {}", problem.message),
    };
    item.subject.finding(Level::Error, field, text)
}

/// The schema takes what the types do not.
pub(super) fn unreadable(item: &Item, error: &serde_json::Error) -> Finding {
    let text = format!("cannot be read: {error}");
    item.subject.finding(Level::Error, "spec", text)
}
