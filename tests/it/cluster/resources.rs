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
            if let Err(error) = dry_run(&bench.lab.client, tidegate_lab::NAMESPACE, &object).await {
                panic!(
                    "{name}: {} {}: {error}",
                    object["kind"], object["metadata"]["name"]
                );
            }
        }
    }
}

/// What the schema forbids is refused, and the answer has each of these words in it.
pub async fn bad_input(bench: Bench) {
    let mut wrong = Vec::new();
    for (base, cases) in [
        (rollout(), rollout_cases()),
        (template(), template_cases()),
        (provider(), provider_cases()),
    ] {
        let kind = base["kind"].as_str().unwrap().to_owned();
        if let Err(error) = dry_run(&bench.lab.client, &bench.namespace, &base).await {
            panic!("the good {kind} is refused: {error}");
        }
        for (change, expected) in cases {
            let mut object = base.clone();
            json_patch::merge(&mut object, &change);
            match dry_run(&bench.lab.client, &bench.namespace, &object).await {
                Ok(()) => wrong.push(format!("{kind} is accepted with {change}")),
                Err(message) => {
                    let missing: Vec<_> = expected
                        .iter()
                        .filter(|word| !message.contains(**word))
                        .collect();
                    if !missing.is_empty() {
                        wrong.push(format!(
                            "{kind} with {change}: no {missing:?} in: {message}"
                        ));
                    }
                }
            }
        }
    }
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
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "checkout"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": {
                "metadata": {"labels": {"app": "checkout"}},
                "spec": {"containers": [{"name": "app", "image": "app:1.0"}]},
            },
            "strategy": {"canary": {
                "stableService": "stable",
                "canaryService": "canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
                "steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}],
            }},
        },
    })
}

/// A change of the canary strategy.
fn canary(change: &Value) -> Value {
    json!({"spec": {"strategy": {"canary": change}}})
}

/// The canary strategy with these steps.
fn steps(steps: &Value) -> Value {
    canary(&json!({"steps": steps}))
}

type Cases = Vec<(Value, Vec<&'static str>)>;

fn rollout_cases() -> Cases {
    let template = |change: Value| json!({"spec": {"template": change}});
    let routing = |change: Value| canary(&json!({"trafficRouting": change}));
    let by_pods = |change: Value| {
        let mut all = json!({"trafficRouting": null, "stableService": null, "canaryService": null});
        json_patch::merge(&mut all, &change);
        canary(&all)
    };
    let route = |rule: Value| {
        routing(json!({"gatewayAPI": {"httpRoutes": [{"name": "shop", "rules": [rule]}]}}))
    };
    let header = |more: Value| {
        let mut header = json!({"header": "x-beta"});
        json_patch::merge(&mut header, &more);
        json!({"setHeaderRoute": {"name": "beta", "match": [header]}})
    };
    let many: Vec<Value> = (0..51).map(|_| json!({"setWeight": 1})).collect();
    let weight = "spec.strategy.canary.steps[0].setWeight";
    vec![
        (
            json!({"spec": {"replicas": -1}}),
            vec!["spec.replicas", "-1", "greater than or equal to 0"],
        ),
        (
            json!({"spec": {"replicas": 10_001}}),
            vec!["spec.replicas", "10001", "less than or equal to 10000"],
        ),
        (
            json!({"spec": {"replicas": "four"}}),
            vec!["spec.replicas", "numeric"],
        ),
        (
            json!({"spec": {"replcas": 4}}),
            vec!["replcas", "not declared"],
        ),
        (
            json!({"spec": {"selector": null}}),
            vec!["spec.selector", "Required"],
        ),
        (
            json!({"spec": {"strategy": {"canary": null}}}),
            vec!["exactly one of canary and blueGreen"],
        ),
        (
            json!({"spec": {"strategy": {"blueGreen": {"activeService": "shop"}}}}),
            vec!["exactly one of canary and blueGreen"],
        ),
        (
            json!({"spec": {"minReadySeconds": 600}}),
            vec!["progressDeadlineSeconds must be greater than"],
        ),
        (
            json!({"spec": {"progressDeadlineAction": "Explode"}}),
            vec!["progressDeadlineAction", "Explode", "\"Abort\", \"Report\""],
        ),
        (
            json!({"metadata": {"name": "a".repeat(53)}}),
            vec!["metadata.name: at most 52 characters"],
        ),
        (
            template(json!({"metadata": {"labels": {"app": "other"}}})),
            vec!["spec.selector.matchLabels must be a subset"],
        ),
        (
            template(json!({"metadata": {"labels": {"pod-template-hash": "1"}}})),
            vec!["set by controllers"],
        ),
        (
            template(json!({"spec": {"containers": []}})),
            vec!["spec.template.spec.containers", "at least 1 items"],
        ),
        (
            template(json!({"spec": {"containers": [{"name": "app"}]}})),
            vec!["spec.template.spec.containers[0].image", "Required"],
        ),
        (
            steps(&json!([{"setWeight": 101}])),
            vec![weight, "101", "less than or equal to 100"],
        ),
        (
            steps(&json!([{"setWeight": -1}])),
            vec![weight, "-1", "greater than or equal to 0"],
        ),
        (
            steps(&json!([{"setWeight": "20%"}])),
            vec![weight, "numeric"],
        ),
        (
            steps(&json!([{"setWeight": 20, "pause": {}}])),
            vec!["exactly one of setWeight, pause"],
        ),
        (steps(&json!([{}])), vec!["exactly one of setWeight, pause"]),
        (
            steps(&json!([{"setWeight": 50}, {"setWeight": 20}])),
            vec!["weights must not decrease"],
        ),
        (
            steps(&Value::from(many)),
            vec!["spec.strategy.canary.steps", "51", "at most 50 items"],
        ),
        (
            steps(&json!([{"pause": {"duration": "5 minutes"}}])),
            vec!["steps[0].pause.duration", "5 minutes"],
        ),
        (
            steps(&json!([{"pause": {"duration": "5m", "timeout": "5m"}}])),
            vec!["not both"],
        ),
        (
            steps(&json!([{"pause": {"onTimeout": "Abort"}}])),
            vec!["onTimeout needs timeout"],
        ),
        (
            steps(&json!([{"analysis": {"templates": []}}])),
            vec!["steps[0].analysis.templates", "at least 1 items"],
        ),
        (
            steps(&json!([{"setCanaryScale": {"replicas": 1, "percent": 5}}])),
            vec!["exactly one of replicas, percent"],
        ),
        (
            by_pods(json!({"steps": [{"setCanaryScale": {"replicas": 1}}]})),
            vec!["setCanaryScale needs trafficRouting"],
        ),
        (
            by_pods(json!({"steps": [header(json!({"exact": "1"}))]})),
            vec!["setHeaderRoute needs trafficRouting.gatewayAPI"],
        ),
        (
            steps(&json!([header(json!({"exact": "1", "regex": "1"}))])),
            vec!["exactly one of exact and regex"],
        ),
        (
            steps(&json!([header(json!({"header": "x beta", "exact": "1"}))])),
            vec!["steps[0].setHeaderRoute.match[0].header", "x beta"],
        ),
        (
            canary(&json!({"stableMetadata": {"labels": {"tidegate.io/role": "stable"}}})),
            vec!["stableMetadata.labels", "set by controllers"],
        ),
        (
            canary(&json!({"canaryMetadata": {"labels": {"role": "the canary"}}})),
            vec!["canaryMetadata.labels", "the canary"],
        ),
        (
            canary(&json!({"canaryMetadata": {"annotations": {"tidegate.io/abort": "now"}}})),
            vec!["canaryMetadata.annotations", "set by controllers"],
        ),
        (
            by_pods(json!({"maxSurge": "250%"})),
            vec!["spec.strategy.canary.maxSurge", "250%"],
        ),
        (
            by_pods(json!({"scaleDownDelaySeconds": 5})),
            vec!["apply only with trafficRouting"],
        ),
        (
            by_pods(json!({"dynamicStableScale": true})),
            vec!["dynamicStableScale", "apply only with trafficRouting"],
        ),
        (
            by_pods(json!({"minPodsPerReplicaSet": 2})),
            vec!["minPodsPerReplicaSet apply only with trafficRouting"],
        ),
        (
            canary(&json!({"minPodsPerReplicaSet": 0})),
            vec![
                "spec.strategy.canary.minPodsPerReplicaSet",
                "greater than or equal to 1",
            ],
        ),
        (
            canary(&json!({"dynamicStableScale": true, "scaleDownDelaySeconds": 5})),
            vec!["scaleDownDelaySeconds has nothing to keep"],
        ),
        (
            canary(&json!({"keepOnAbort": true, "abortScaleDownDelaySeconds": 5})),
            vec!["abortScaleDownDelaySeconds has no meaning"],
        ),
        (
            canary(&json!({"antiAffinity": {}})),
            vec!["antiAffinity has exactly one of"],
        ),
        (
            canary(
                &json!({"antiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 0}}}),
            ),
            vec!["weight", "greater than or equal to 1"],
        ),
        (
            json!({"spec": {"rollbackWindow": {"revisions": 0}}}),
            vec![
                "spec.rollbackWindow.revisions",
                "greater than or equal to 1",
            ],
        ),
        (
            json!({"spec": {"rollbackWindow": {}}}),
            vec!["spec.rollbackWindow.revisions", "Required"],
        ),
        (
            canary(&json!({"maxSurge": 1})),
            vec!["apply only without trafficRouting"],
        ),
        (
            canary(&json!({"canaryService": null})),
            vec!["needs stableService and canaryService"],
        ),
        (
            canary(&json!({"canaryService": "stable"})),
            vec!["must be two Services"],
        ),
        (
            canary(&json!({"canaryService": "Not_A_Name"})),
            vec!["spec.strategy.canary.canaryService", "Not_A_Name"],
        ),
        (
            routing(json!({"nginx": {"ingresses": [{"name": "shop"}]}})),
            vec!["exactly one of gatewayAPI and nginx"],
        ),
        (
            routing(
                json!({"gatewayAPI": {"managedRoute": {"parentRefs": [{"name": "gateway"}], "port": 80}}}),
            ),
            vec!["exactly one of httpRoutes and managedRoute"],
        ),
        (route(json!({})), vec!["exactly one of name and index"]),
        (
            route(json!({"name": "main", "index": 0})),
            vec!["exactly one of name and index"],
        ),
        (
            json!({"spec": {"gitRevert": {"mode": "Yes"}}}),
            vec!["spec.gitRevert.mode", "Yes", "\"Push\""],
        ),
    ]
}

fn template() -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": "golden"},
        "spec": {
            "metrics": [{"name": "errors", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}}],
        },
    })
}

fn template_cases() -> Cases {
    let metric = |metric: Value| json!({"spec": {"metrics": [metric]}});
    let ratio = json!({"bad": "b{$(arm)}", "total": "t{$(arm)}"});
    let threshold = json!({"query": "up", "success": "result > 0.0"});
    let with = |name: &str, value: Value| {
        let mut changed = threshold.clone();
        changed[name] = value;
        metric(json!({"name": "m", "threshold": changed}))
    };
    vec![
        (
            json!({"spec": {"metrics": []}}),
            vec!["spec.metrics", "at least 1 items"],
        ),
        (
            json!({"spec": {"falseAbortRate": "50%"}}),
            vec!["spec.falseAbortRate", "50%"],
        ),
        (
            json!({"spec": {"falseAbortRate": "0%"}}),
            vec!["more than 0% and at most 10%"],
        ),
        (
            json!({"spec": {"arm": {"canary": "a=\"b\""}}}),
            vec!["either label, or both canary and stable"],
        ),
        (
            metric(json!({"name": "m"})),
            vec!["exactly one of ratio and threshold"],
        ),
        (
            metric(json!({"name": "m", "ratio": ratio, "threshold": threshold})),
            vec!["exactly one of ratio and threshold"],
        ),
        (
            metric(json!({"name": "m", "threshold": threshold, "weight": 5})),
            vec!["apply only to a ratio"],
        ),
        (
            metric(json!({"name": "m", "ratio": ratio, "tolerate": {"relative": "10"}})),
            vec!["tolerate.relative", "10"],
        ),
        (
            metric(json!({"name": "m", "threshold": {"query": "up"}})),
            vec!["at least one of success and failure"],
        ),
        (
            with("interval", json!("1s")),
            vec!["interval: from 5s to 1h"],
        ),
        (
            with("count", json!(0)),
            vec![
                "spec.metrics[0].threshold.count",
                "greater than or equal to 1",
            ],
        ),
        (
            with("query", json!(" ")),
            vec!["spec.metrics[0].threshold.query"],
        ),
    ]
}

fn provider() -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "MetricsProvider",
        "metadata": {"name": "dry-run-only"},
        "spec": {"prometheus": {"url": "https://prometheus.example.com/tenant"}},
    })
}

fn provider_cases() -> Cases {
    let prometheus = |change: Value| json!({"spec": {"prometheus": change}});
    let secret = json!({"namespace": "a", "name": "b"});
    vec![
        (
            prometheus(json!({"url": "prometheus:9090"})),
            vec!["spec.prometheus.url", "prometheus:9090"],
        ),
        (
            prometheus(json!({"url": "http://u:p@prometheus"})),
            vec!["spec.prometheus.url"],
        ),
        (
            prometheus(json!({"url": "http://169.254.169.254/"})),
            vec!["link-local"],
        ),
        (
            prometheus(json!({"auth": {}})),
            vec!["exactly one of bearer and basic"],
        ),
        (
            prometheus(
                json!({"auth": {"basic": {"secretRef": secret}, "bearer": {"secretRef": {"namespace": "a", "name": "b", "key": "c"}}}}),
            ),
            vec!["exactly one of bearer and basic"],
        ),
        (
            prometheus(json!({"headers": [{"name": "Authorization", "value": "x"}]})),
            vec!["authorization comes from auth"],
        ),
        (
            json!({"spec": {"timeoutSeconds": 61}}),
            vec!["spec.timeoutSeconds", "61", "less than or equal to 60"],
        ),
        (
            json!({"spec": {"allowedNamespaces": {}}}),
            vec!["exactly one of names and matchLabels"],
        ),
    ]
}
