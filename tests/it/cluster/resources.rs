//! The Custom Resource Definitions on the real API server: it takes them, and it refuses what they
//! forbid with a message that says what is allowed.

use super::lab::MANAGER;
use super::table::Bench;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::{Api, Client, ResourceExt, discovery};
use serde_json::{Value, json};
use tidegate::api::crds;
use tidegate_lab::objects::apply;
use tidegate_lab::wait;

/// A CRD must fit into etcd and into an annotation several times over.
const LARGEST_CRD: usize = 200_000;

/// Where `kubectl apply` keeps what was applied last; annotations hold 256 KiB in all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Both ways of `kubectl apply` take every CRD, and the API server has nothing against its schema.
pub async fn definitions(bench: Bench) {
    let client = &bench.lab.client;
    let stored: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definitions = crds();
    assert!(!definitions.is_empty());
    for definition in definitions {
        let name = definition.name_any();
        let text = serde_json::to_string(&definition).unwrap();
        assert!(text.len() < LARGEST_CRD, "{name} has {} bytes", text.len());

        let mut client_side = serde_json::to_value(&definition).unwrap();
        client_side["metadata"]["annotations"][LAST_APPLIED] = json!(text);
        let patch = Patch::Merge(&client_side);
        let manager = PatchParams::apply("kubectl-client-side-apply");
        let written = stored.patch(&name, &manager, &patch).await;
        written.unwrap_or_else(|error| panic!("{name}, client-side apply: {error}"));

        let server_side: DynamicObject = serde_json::from_str(&text).unwrap();
        let written = apply(client, "", &server_side, "kubectl").await;
        written.unwrap_or_else(|error| panic!("{name}, server-side apply: {error}"));

        let status = stored.get(&name).await.unwrap().status.unwrap();
        for condition in status.conditions.unwrap_or_default() {
            let good = match condition.type_.as_str() {
                "Established" | "NamesAccepted" => condition.status == "True",
                "NonStructuralSchema" | "Terminating" => condition.status == "False",
                _ => true,
            };
            assert!(good, "{name}: {condition:?}");
        }
    }
}

/// The API server takes everything that the chart renders, in each way that it can be installed.
pub async fn chart(bench: Bench) {
    for namespace in ["monitoring", "shop"] {
        bench.lab.namespace(namespace).await;
    }
    for (name, values) in crate::chart::installs() {
        for object in crate::chart::rendered(&values).expect("helm stands beside the other tools") {
            // Of an operator whose definitions are not here.
            if object["apiVersion"] == "monitoring.coreos.com/v1" {
                continue;
            }
            if let Err(error) = dry_run(&bench.lab.client, tidegate_lab::NAMESPACE, &object).await {
                panic!(
                    "{name}: {} {}: {error}",
                    object["kind"], object["metadata"]["name"]
                );
            }
        }
    }
}

/// What the schema forbids is refused, with what `tests/bad-input` says: the same rows that the API
/// server in memory answers in every run.
pub async fn bad_input(bench: Bench) {
    let client = &bench.lab.client;
    let wrong = crate::bad_input::admission::wrong_answers(client, &bench.namespace, true).await;
    assert!(
        wrong.is_empty(),
        "{} wrong answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// What may not change stays as it is.
pub async fn transitions(bench: Bench) {
    let Bench { lab, namespace, .. } = &bench;
    let base: DynamicObject = serde_json::from_value(rollout()).unwrap();
    apply(&lab.client, namespace, &base, MANAGER).await.unwrap();
    let refused = async |change: Value| {
        let mut object = rollout();
        json_patch::merge(&mut object, &change);
        dry_run(&lab.client, namespace, &object)
            .await
            .expect_err("accepted")
    };
    let labels = json!({"app": "cart"});
    let other = json!({"spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}},
    }});
    assert!(refused(other).await.contains("spec.selector is immutable"));

    let (api, _) = api(&lab.client, namespace, &rollout()).await;
    let phase = async |phase: &str| {
        let status = Patch::Merge(json!({"status": {"phase": phase}}));
        api.patch_status("checkout", &PatchParams::default(), &status)
            .await
            .unwrap();
    };
    let blue_green = json!({"spec": {"strategy": {
        "canary": null, "blueGreen": {"activeService": "checkout"},
    }}});
    let mut object = rollout();
    json_patch::merge(&mut object, &blue_green);
    // The controller writes the status too, and may do it in between.
    wait::until_ok("a rollout in progress keeps its strategy", async || {
        phase("Progressing").await;
        match dry_run(&lab.client, namespace, &object).await {
            Err(message) if message.contains(IN_PROGRESS) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    wait::until_ok("between rollouts it may change", async || {
        phase("Healthy").await;
        dry_run(&lab.client, namespace, &object).await
    })
    .await;
}

/// What is said of a strategy that may not change now.
const IN_PROGRESS: &str = "cannot be exchanged while a rollout is in progress";

/// Server-side apply that writes nothing, as strict about unknown fields as kubectl.
async fn dry_run(client: &Client, namespace: &str, object: &Value) -> Result<(), String> {
    let (api, name) = api(client, namespace, object).await;
    let mut parameters = PatchParams::apply(MANAGER).force();
    parameters.dry_run = true;
    parameters.field_validation = Some(ValidationDirective::Strict);
    match api.patch(&name, &parameters, &Patch::Apply(object)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

async fn api(client: &Client, namespace: &str, object: &Value) -> (Api<DynamicObject>, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let version = text("/apiVersion").unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let kind = GroupVersionKind::gvk(group, version, text("/kind").unwrap());
    let (resource, capabilities) = discovery::pinned_kind(client, &kind).await.unwrap();
    let api = match capabilities.scope {
        discovery::Scope::Cluster => Api::all_with(client.clone(), &resource),
        discovery::Scope::Namespaced => {
            let namespace = text("/metadata/namespace").unwrap_or(namespace);
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    (api, text("/metadata/name").unwrap().to_owned())
}

fn rollout() -> Value {
    crate::bad_input::good("canary", "checkout").remove(0)
}
