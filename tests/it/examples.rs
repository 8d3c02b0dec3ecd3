//! What stands in `examples/` is what a new user copies: every manifest is applied to an API server
//! with the Custom Resource Definitions, every Rollout and every template is read as the controller
//! reads it, and every name that one of them says leads somewhere.

use crate::chart::helm;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate::analysis::plan;
use tidegate::analysis::template::{Builtins, NamedTemplate, freeze};
use tidegate::api::analysis::{AnalysisRun, AnalysisTemplate};
use tidegate::api::revert::TemplateChange;
use tidegate::api::rollout::Rollout;
use tidegate::core::spec::{self, AnalysisRequest, Spec};
use tidegate::git::revert::{Versions, Which, plan_revert};
use tidegate::git::scope::Workload;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

/// Where a manifest without a namespace is applied.
const NAMESPACE: &str = "shop";

/// Files that are no manifests for this cluster, with the word that shows that they are what they
/// are meant to be.
const NOT_APPLIED: &[(&str, &str)] = &[
    ("git-revert/github-actions.yml", "helm upgrade"),
    ("git-revert/gitlab-ci.yml", "helm upgrade"),
    ("git-revert/argocd-application.yaml", "kind: Application"),
    ("gitops/argo-cd/argocd-cm.yaml", "kind: ConfigMap"),
    ("git-revert/deploy/values-prod.yaml", "tag:"),
    ("git-revert/deploy/chart/Chart.yaml", "name: checkout"),
    ("git-revert/deploy/chart/values.yaml", "source:"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The YAML files below `examples/`, by their path there; a chart's templates are no YAML.
fn files() -> BTreeMap<String, String> {
    fn collect(folder: &Path, root: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("templates") {
                    collect(&path, root, into);
                }
            } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
                let name = path.strip_prefix(root).unwrap().to_string_lossy();
                into.insert(name.into_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(&folder(), &folder(), &mut found);
    found
}

/// The objects of a YAML text.
pub fn objects(text: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect()
}

/// Every example that is applied: its name and its objects.
fn examples() -> Vec<(String, Vec<Value>)> {
    let mut found: Vec<(String, Vec<Value>)> = files()
        .into_iter()
        .filter(|(name, _)| !NOT_APPLIED.iter().any(|(other, _)| other == name))
        .map(|(name, text)| (name, objects(&text)))
        .collect();
    if let Some(rendered) = rendered_chart() {
        found.push(("git-revert/deploy/chart".to_owned(), objects(&rendered)));
    }
    found
}

/// The chart of the pipeline example, rendered as the pipeline would; none without Helm.
fn rendered_chart() -> Option<String> {
    let base = folder().join("git-revert/deploy");
    let values = [
        "source.repo=https://git.example.com/shop/checkout.git",
        "source.branch=main",
        "source.path=deploy/values-prod.yaml",
        "source.revision=0123456789abcdef0123456789abcdef01234567",
    ];
    let mut arguments = vec!["template".to_owned(), "checkout".to_owned()];
    arguments.push(base.join("chart").display().to_string());
    arguments.push("--values".to_owned());
    arguments.push(base.join("values-prod.yaml").display().to_string());
    for value in values {
        arguments.extend(["--set-string".to_owned(), value.to_owned()]);
    }
    helm(&arguments).map(Result::unwrap)
}

pub fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// A Rollout's spec, with the template of the Deployment beside it if it names one.
fn parsed(example: &str, object: &Value, objects: &[Value]) -> Spec {
    let rollout: Rollout = serde_json::from_value(object.clone())
        .unwrap_or_else(|error| panic!("{example}: Rollout {}: {error}", name(object)));
    let workload = rollout.spec.workload_ref.as_ref().map(|workload| {
        let is = |o: &&Value| kind(o) == "Deployment" && name(o) == workload.name;
        let found = objects.iter().find(is);
        &found.unwrap_or_else(|| panic!("{example}: there is no Deployment"))["spec"]["template"]
    });
    spec::parse_with(&rollout.spec, workload).unwrap_or_else(|problems| {
        panic!("{example}: Rollout {}: {problems:?}", rollout.name_any())
    })
}

/// Freezes the templates that an analysis names, as the planner does before a rollout begins.
fn check_analysis(example: &str, objects: &[Value], request: &AnalysisRequest) {
    let templates: Vec<AnalysisTemplate> = request
        .templates
        .iter()
        .map(|key| {
            let found = objects
                .iter()
                .find(|o| kind(o) == "AnalysisTemplate" && name(o) == key.name)
                .unwrap_or_else(|| panic!("{example}: there is no template {}", key.name));
            serde_json::from_value(found.clone()).unwrap()
        })
        .collect();
    let named: Vec<NamedTemplate<'_>> = request
        .templates
        .iter()
        .zip(&templates)
        .map(|(key, template)| NamedTemplate {
            name: &key.name,
            spec: &template.spec,
        })
        .collect();
    let builtins = Builtins {
        namespace: NAMESPACE.to_owned(),
        rollout: "example".to_owned(),
        canary_service: "canary".to_owned(),
        stable_service: "stable".to_owned(),
        canary_hash: "77cd81f2".to_owned(),
        stable_hash: "6b5f9c7d".to_owned(),
    };
    let args = request.args.iter().cloned().collect();
    freeze(&named, &args, &builtins)
        .unwrap_or_else(|problems| panic!("{example}: {}: {problems:?}", request.field));
}

/// Reads a run of its own as the controller does before it asks anything.
fn check_run(example: &str, object: &Value) {
    let run: AnalysisRun = serde_json::from_value(object.clone())
        .unwrap_or_else(|error| panic!("{example}: AnalysisRun {}: {error}", name(object)));
    assert_eq!(run.spec.rollout, None, "{example}");
    plan::parse(&run.spec, jiff::Timestamp::now())
        .unwrap_or_else(|problems| panic!("{example}: {}: {problems:?}", name(object)));
}

#[test]
fn every_rollout_is_one_that_the_planner_can_read() {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (example, objects) in examples() {
        for object in &objects {
            *kinds.entry(kind(object).to_owned()).or_default() += 1;
            if kind(object) == "AnalysisRun" {
                check_run(&example, object);
            }
            if kind(object) != "Rollout" {
                continue;
            }
            let spec = parsed(&example, object, &objects);
            let services = spec.services();
            for (field, service) in services {
                let there = objects
                    .iter()
                    .any(|o| kind(o) == "Service" && name(o) == service);
                assert!(there, "{example}: {field}: there is no Service {service}");
            }
            for request in spec.analyses() {
                check_analysis(&example, &objects, request);
            }
        }
    }
    // The test is worth something only if it has seen what it is about.
    assert!(
        kinds["Rollout"] >= 5 && kinds["AnalysisTemplate"] >= 4 && kinds["AnalysisRun"] >= 1,
        "{kinds:?}"
    );
}

#[tokio::test]
async fn every_example_is_accepted_by_the_api_server() {
    let crds = tidegate::api::crds();
    let server = ApiServer::new(ApiServerConfig::default().with_crds(&crds)).unwrap();
    for namespace in [NAMESPACE, "monitoring"] {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        server.add(object).unwrap();
    }
    let client = server.client(NAMESPACE);
    let mut applied = 0;
    for (example, objects) in examples() {
        for object in objects {
            apply(&client, &object).await.unwrap_or_else(|error| {
                panic!("{example}: {} {}: {error}", kind(&object), name(&object))
            });
            applied += 1;
        }
    }
    assert!(applied > 20, "only {applied} objects were applied");

    // A bad one is not accepted: the server that says yes to all of the above can say no.
    let bad = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "MetricsProvider",
        "metadata": {"name": "bad"}, "spec": {"prometheus": {"url": "ftp://x.example"}},
    });
    let refused = apply(&client, &bad).await.unwrap_err().to_string();
    assert!(refused.contains("spec.prometheus.url"), "{refused}");
    let unknown = json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "MetricsProvider",
        "metadata": {"name": "bad"},
        "spec": {"prometheus": {"url": "http://x.example"}, "colour": "blue"},
    });
    let refused = apply(&client, &unknown).await.unwrap_err().to_string();
    assert!(refused.contains("colour"), "{refused}");
}

/// Applies an object as `kubectl apply --server-side` does, which refuses fields that nobody knows.
pub async fn apply(client: &kube::Client, object: &Value) -> Result<(), kube::Error> {
    let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
    let types = object.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    let resource = ApiResource::from_gvk(&kind);
    let namespace = object.namespace().unwrap_or_else(|| NAMESPACE.to_owned());
    let cluster_wide = ["MetricsProvider", "ClusterAnalysisTemplate"];
    let api: Api<DynamicObject> = if cluster_wide.contains(&types.kind.as_str()) {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), &namespace, &resource)
    };
    let params = PatchParams::apply("examples").validation_strict();
    api.patch(&object.name_any(), &params, &Patch::Apply(&object))
        .await
        .map(drop)
}

#[test]
fn what_is_not_applied_is_what_it_says_it_is() {
    let files = files();
    for (file, word) in NOT_APPLIED {
        let text = files
            .get(*file)
            .unwrap_or_else(|| panic!("examples/{file} is not there"));
        assert!(text.contains(word), "examples/{file} has no {word:?}");
        objects(text);
    }
    // The pipelines and Argo CD fill in the values that the chart makes annotations of.
    let chart: Value =
        serde_saphyr::from_str(&files["git-revert/deploy/chart/values.yaml"]).unwrap();
    let keys: Vec<&String> = chart["source"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["branch", "path", "repo", "revision"]);
    for file in [
        "github-actions.yml",
        "gitlab-ci.yml",
        "argocd-application.yaml",
    ] {
        for key in &keys {
            let text = &files[&format!("git-revert/{file}")];
            assert!(
                text.contains(&format!("source.{key}")),
                "{file} sets no source.{key}"
            );
        }
    }
}

/// What the pipeline example promises: of its values file the tag goes back, and nothing else.
#[test]
fn the_git_writer_can_put_the_tag_of_the_pipeline_example_back() {
    let path = "deploy/values-prod.yaml";
    let good = fs::read_to_string(folder().join("git-revert").join(path)).unwrap();
    assert!(good.contains("tag: 1.0.0"), "{good}");
    let bad = good.replace("tag: 1.0.0", "tag: 1.1.0");
    let tip = format!("{bad}replicas: 6 # somebody else, meanwhile\n");
    let image = |tag: &str| Some(format!("registry.example.com/shop/checkout:{tag}"));
    let changes = [TemplateChange {
        path: "spec.containers[app].image".to_owned(),
        old: image("1.0.0"),
        new: image("1.1.0"),
    }];
    let versions = Versions {
        path,
        good: Some(good.as_bytes()),
        bad: Some(bad.as_bytes()),
        tip: Some(tip.as_bytes()),
    };
    let workload = Workload {
        name: "checkout",
        source_path: path,
        changes: &changes,
        overrides: true,
    };
    let plan = plan_revert(&[versions], &Which::Workload(workload)).unwrap();
    let expected = format!("{good}replicas: 6 # somebody else, meanwhile\n");
    let written: Vec<(&str, &str)> = plan
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    assert_eq!(written, [(path, expected.as_str())]);
}

#[test]
fn the_overview_names_every_example() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let named = name == "README.md" || readme.contains(&format!("]({name}"));
        assert!(named, "examples/README.md does not name {name}");
    }
}
