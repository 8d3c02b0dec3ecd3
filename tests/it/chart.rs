//! The chart, rendered by Helm: what each process may do, that its pods keep to the restricted Pod
//! Security Standard, and that bad values are refused.
//!
//! The table of rights below is written by hand. Whoever gives a process another right changes it
//! here too, and says why in the commit.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder with the programs that `cargo xtask` builds.
const TOOLS_VARIABLE: &str = "TIDEGATE_CLUSTER_TOOLS";

/// Values with every switch on.
const EVERYTHING: &str = r#"
clusterName: prod-eu
prometheusUrl: https://prometheus.example.com:9090/team-a
commonLabels: {team: platform}
imagePullSecrets: [{name: registry}]
metricsSecrets:
  - {namespace: monitoring, name: mimir}
  - {namespace: monitoring, name: thanos}
  - {namespace: shop, name: metrics}
metricsConfigMaps:
  - {namespace: monitoring, name: authorities}
controller:
  image: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
  priorityClassName: system-cluster-critical
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: dedicated, operator: Exists}]
  affinity: {nodeAffinity: {}}
  podAnnotations: {a: b}
  podLabels: {c: d}
  podDisruptionBudget: {enabled: true, maxUnavailable: 1}
  serviceAccount: {create: true, name: gate, annotations: {e: f}}
gitWriter:
  allowedRepositories: [https://git.example.com/shop/*, "shop=ssh://git@git.example.com/a.git#main"]
  proxy: {https: "http://proxy.example.com:3128", noProxy: .svc}
  credentials: {existingSecret: git-credentials}
  topologySpreadConstraints:
    - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
notifications: {existingSecret: who-is-told}
dashboard:
  enabled: true
  allowedHosts: [tidegate.example.com]
  from: [{namespaceSelector: {matchLabels: {name: ingress}}}]
metrics: {service: {annotations: {prometheus.io/scrape: "true"}}}
monitoring:
  prometheusRule: {enabled: true, labels: {release: stack}}
  podMonitor: {enabled: true, labels: {release: stack}, interval: 15s}
  dashboards: {enabled: true, labels: {grafana_dashboard: "1"}, annotations: {folder: Tidegate}}
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  apiServer: {cidrs: [192.0.2.1/32], ports: [6443]}
  controllerEgress: [{ports: [{protocol: TCP, port: 9090}]}]
  gitWriterEgress: [{ports: [{protocol: TCP, port: 443}]}]
"#;

/// What the controller may do in each namespace that it watches.
const CONTROLLER: &[&str] = &[
    "tidegate.io rollouts: get list watch patch",
    "tidegate.io rollouts/status: update",
    "tidegate.io rollouts/finalizers: update",
    "tidegate.io analysistemplates: get list watch",
    "tidegate.io analysisruns: get list watch create patch delete",
    "tidegate.io analysisruns/status: update",
    "tidegate.io reverts: get list watch create patch delete",
    "apps replicasets: get list watch create patch delete",
    "apps deployments: get list watch",
    "apps deployments/scale: patch",
    "core services: get list watch patch",
    "networking.k8s.io ingresses: get list watch create patch",
    "gateway.networking.k8s.io httproutes: get list watch create patch",
    "core pods: list patch",
    "core pods/eviction: create",
    "events.k8s.io events: create",
];

/// What it may do besides when it watches all namespaces.
const CONTROLLER_CLUSTER: &[&str] = &[
    "tidegate.io clusteranalysistemplates: get list watch",
    "tidegate.io metricsproviders: get list watch",
    "tidegate.io metricsproviders/status: update",
    "gateway.networking.k8s.io gatewayclasses: get list watch",
    "core namespaces: get",
    "networking.k8s.io ingressclasses: list watch",
];

/// What the Git writer may do.
const WRITER: &[&str] = &[
    "tidegate.io reverts: get list watch",
    "tidegate.io reverts/status: patch",
    "tidegate.io rollouts: get",
    "events.k8s.io events: create patch",
    "argoproj.io applications: get patch",
    "kustomize.toolkit.fluxcd.io kustomizations: get patch",
    "helm.toolkit.fluxcd.io helmreleases: get patch",
    "source.toolkit.fluxcd.io gitrepositories: get patch",
];

/// What of it goes with `gitops.handOver`.
const HAND_OVER: [&str; 4] = [
    "argoproj.io applications",
    "kustomize.toolkit.fluxcd.io kustomizations",
    "helm.toolkit.fluxcd.io helmreleases",
    "source.toolkit.fluxcd.io gitrepositories",
];

/// What the page in the cluster may do: it is to look at.
const DASHBOARD: &[&str] = &[
    "tidegate.io rollouts: get list watch",
    "tidegate.io analysisruns: get list watch",
    "tidegate.io reverts: get list watch",
    "apps replicasets: get list watch",
];

/// Leader election, in the release's namespace.
const LEASE: &[&str] = &[
    "coordination.k8s.io leases: create",
    "coordination.k8s.io leases [tidegate-controller]: get update",
];

/// People who may view, operate and author Rollouts.
const USERS: &[(&str, &[&str])] = &[
    (
        "tidegate-view",
        &[
            "tidegate.io rollouts: get list watch",
            "tidegate.io analysistemplates: get list watch",
            "tidegate.io analysisruns: get list watch",
            "tidegate.io reverts: get list watch",
            "tidegate.io rollouts/status: get",
            "tidegate.io rollouts/scale: get",
            "tidegate.io analysisruns/status: get",
            "tidegate.io reverts/status: get",
        ],
    ),
    (
        "tidegate-operate",
        &[
            "tidegate.io rollouts: get list watch patch",
            "tidegate.io reverts: get list watch patch",
        ],
    ),
    (
        "tidegate-author",
        &[
            "tidegate.io rollouts: create update patch delete",
            "tidegate.io analysistemplates: create update patch delete",
            "tidegate.io analysisruns: create update patch delete",
            "tidegate.io rollouts/scale: update patch",
        ],
    ),
];

/// Runs Helm, or says why the test did not run: `None` where there is no Helm.
pub fn helm<S: Into<OsString> + Clone>(arguments: &[S]) -> Option<Result<String, String>> {
    let folders = [
        std::env::var_os(TOOLS_VARIABLE).map(PathBuf::from),
        Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/cluster-tools")),
    ];
    let built = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join("helm"));
    let program = built.into_iter().find(|path| path.is_file());
    let mut command = Command::new(program.unwrap_or_else(|| PathBuf::from("helm")));
    command.args(arguments.iter().cloned().map(Into::<OsString>::into));
    // Neither this user's plugins nor a cluster that happens to be reachable.
    command.env("HELM_NO_PLUGINS", "1").env_remove("KUBECONFIG");
    match command.output() {
        Ok(output) if output.status.success() => {
            Some(Ok(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Ok(output) => Some(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: helm not found (cargo xtask test builds it; or put it into PATH)");
            None
        }
        Err(error) => panic!("helm does not start: {error}"),
    }
}

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/tidegate")
}

/// The chart with these values, as text; `None` without Helm.
fn template(values: &str) -> Option<Result<String, String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let mut arguments: Vec<OsString> = vec!["template".into(), "tidegate".into()];
    arguments.push(chart().into());
    arguments
        .extend(["--namespace", "tidegate-system", "--kube-version", "1.35.0"].map(Into::into));
    arguments.extend(["--values".into(), file.into()]);
    helm(&arguments)
}

/// The objects that the chart makes of these values.
pub fn rendered(values: &str) -> Option<Vec<Value>> {
    let text = template(values)?.unwrap_or_else(|error| panic!("{values}\n{error}"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    Some(
        documents
            .into_iter()
            .filter(|document| !document.is_null())
            .collect(),
    )
}

/// The values that every check is made for.
pub fn installs() -> [(&'static str, String); 4] {
    [
        ("default", String::new()),
        ("namespaced", "watchNamespace: shop".to_owned()),
        ("everything", EVERYTHING.to_owned()),
        (
            "everything, namespaced",
            format!("watchNamespace: shop\n{EVERYTHING}"),
        ),
    ]
}

fn of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = of(objects, kind)
        .into_iter()
        .find(|o| o["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The rights of a role, one line per resource.
fn rights(role: &Value) -> BTreeSet<String> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = texts(&rule["resourceNames"]).join(" ");
        let names = if names.is_empty() {
            names
        } else {
            format!(" [{names}]")
        };
        for group in texts(&rule["apiGroups"]) {
            let group = if group.is_empty() { "core" } else { group };
            for resource in texts(&rule["resources"]) {
                let verbs = found
                    .entry(format!("{group} {resource}{names}"))
                    .or_default();
                verbs.extend(texts(&rule["verbs"]));
            }
        }
    }
    lines(found)
}

/// The table's lines in the same form.
fn table(parts: &[&[&'static str]]) -> BTreeSet<String> {
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for line in parts.iter().copied().flatten() {
        let (resource, verbs) = line.split_once(": ").unwrap();
        found
            .entry(resource.to_owned())
            .or_default()
            .extend(verbs.split(' '));
    }
    lines(found)
}

fn lines(found: BTreeMap<String, BTreeSet<&str>>) -> BTreeSet<String> {
    let line = |(resource, verbs): (String, BTreeSet<&str>)| {
        format!(
            "{resource}: {}",
            verbs.into_iter().collect::<Vec<_>>().join(" ")
        )
    };
    found.into_iter().map(line).collect()
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    for (name, values) in installs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("values.yaml");
        std::fs::write(&file, values).unwrap();
        let arguments: [OsString; 5] = [
            "lint".into(),
            "--strict".into(),
            chart().into(),
            "--values".into(),
            file.into(),
        ];
        match helm(&arguments) {
            Some(found) => found.unwrap_or_else(|error| panic!("{name}: {error}")),
            None => return,
        };
    }
}

#[test]
fn each_process_may_do_what_the_table_says_and_nothing_else() {
    for (name, values) in installs() {
        let Some(objects) = rendered(&values) else {
            return;
        };
        let namespaced = name.contains("namespaced");
        let kind = if namespaced { "Role" } else { "ClusterRole" };
        let cluster: &[&str] = if namespaced { &[] } else { CONTROLLER_CLUSTER };
        let controller = named(&objects, kind, "tidegate");
        assert_eq!(
            rights(controller),
            table(&[CONTROLLER, cluster]),
            "{name}: controller"
        );
        let writer = named(&objects, kind, "tidegate-git-writer");
        assert_eq!(rights(writer), table(&[WRITER]), "{name}: git-writer");
        let lease = named(&objects, "Role", "tidegate-lease");
        assert_eq!(rights(lease), table(&[LEASE]), "{name}: lease");
        assert_eq!(lease["metadata"]["namespace"], "tidegate-system");
        for (user, expected) in USERS {
            let role = named(&objects, "ClusterRole", user);
            assert_eq!(rights(role), table(&[expected]), "{name}: {user}");
        }
        let place = if namespaced {
            json!("shop")
        } else {
            Value::Null
        };
        assert_eq!(controller["metadata"]["namespace"], place, "{name}");
        assert_eq!(writer["metadata"]["namespace"], place, "{name}");
        // No role but these, and the Secrets and ConfigMaps that were named.
        let roles: usize = ["Role", "ClusterRole"]
            .iter()
            .map(|k| of(&objects, k).len())
            .sum();
        let everything = name.contains("everything");
        if everything {
            let dashboard = named(&objects, kind, "tidegate-dashboard");
            assert_eq!(rights(dashboard), table(&[DASHBOARD]), "{name}: dashboard");
        }
        // The dashboard's among them.
        let more = if everything { 4 } else { 0 };
        assert_eq!(
            roles,
            3 + USERS.len() + more,
            "{name}: another role has come"
        );
    }
}

#[test]
fn secrets_and_config_maps_are_read_by_name_and_never_listed() {
    let Some(objects) = rendered(EVERYTHING) else {
        return;
    };
    let roles: Vec<&Value> = of(&objects, "Role")
        .into_iter()
        .filter(|role| {
            let name = role["metadata"]["name"].as_str().unwrap();
            name.starts_with("tidegate-metrics-")
        })
        .collect();
    let found: Vec<(&str, BTreeSet<String>)> = roles
        .iter()
        .map(|role| {
            let namespace = role["metadata"]["namespace"].as_str().unwrap();
            (namespace, rights(role))
        })
        .collect();
    let line = |text: &str| BTreeSet::from([text.to_owned()]);
    let expected = [
        ("monitoring", line("core secrets [mimir thanos]: get")),
        ("shop", line("core secrets [metrics]: get")),
        ("monitoring", line("core configmaps [authorities]: get")),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for one in expected {
        assert!(found.contains(&one), "{one:?} not in {found:?}");
    }
    for role in roles {
        let namespace = &role["metadata"]["namespace"];
        let bindings = of(&objects, "RoleBinding");
        let binding = bindings.iter().find(|b| {
            b["metadata"]["namespace"] == *namespace
                && b["roleRef"]["name"] == role["metadata"]["name"]
        });
        let subject = &binding.expect("the role is bound")["subjects"][0];
        assert_eq!(subject["name"], "gate", "the controller alone");
        assert_eq!(subject["namespace"], "tidegate-system");
    }
}

/// What no role of the chart may have, whatever the table says: a rule for the table itself.
fn too_much(name: &str, right: &str) -> Option<&'static str> {
    let (resource, verbs) = right.split_once(": ").unwrap();
    let verbs: Vec<&str> = verbs.split(' ').collect();
    let writes = verbs
        .iter()
        .any(|verb| !matches!(*verb, "get" | "list" | "watch"));
    if right.contains('*') {
        return Some("wildcards hide what is allowed");
    }
    if verbs
        .iter()
        .any(|v| matches!(*v, "escalate" | "bind" | "impersonate" | "deletecollection"))
    {
        return Some("these verbs give all other rights, or take everything");
    }
    let data = ["core secrets", "core configmaps"];
    let data = data.iter().any(|data| resource.starts_with(data));
    if data && (verbs != ["get"] || !resource.contains('[')) {
        return Some("Secrets and ConfigMaps are read by name alone");
    }
    let denied = ["core nodes", "core pods/exec", "core pods/log"];
    if denied.contains(&resource) || resource.starts_with("admissionregistration") {
        return Some("nothing in Tidegate needs it");
    }
    let ours = resource.starts_with("tidegate.io") || resource.starts_with("events.k8s.io");
    let ours = ours || (HAND_OVER.contains(&resource) && verbs == ["get", "patch"]);
    if name.contains("git-writer") && (!ours || (writes && resource == "tidegate.io rollouts")) {
        return Some("the Git writer has no right to workloads");
    }
    None
}

#[test]
fn no_role_has_what_none_may_have() {
    for (name, values) in installs() {
        let Some(objects) = rendered(&values) else {
            return;
        };
        for kind in ["Role", "ClusterRole"] {
            for role in of(&objects, kind) {
                let role_name = role["metadata"]["name"].as_str().unwrap();
                for right in rights(role) {
                    let reason = too_much(role_name, &right);
                    assert_eq!(reason, None, "{name}: {role_name}: {right}");
                }
            }
        }
    }
    for (name, right) in [
        ("tidegate", "core secrets: get"),
        ("tidegate", "core secrets [a]: get list"),
        ("tidegate", "core configmaps: get"),
        ("tidegate", "core configmaps [a]: get update"),
        ("tidegate", "apps *: get"),
        ("tidegate", "apps replicasets: *"),
        ("tidegate", "rbac.authorization.k8s.io roles: bind"),
        ("tidegate", "core pods/exec: create"),
        ("tidegate-git-writer", "apps replicasets: get"),
        (
            "tidegate-git-writer",
            "argoproj.io applications: get patch delete",
        ),
        ("tidegate-git-writer", "argoproj.io appprojects: get patch"),
        ("tidegate-git-writer", "core secrets [a]: get"),
        ("tidegate-git-writer", "tidegate.io rollouts: get patch"),
    ] {
        assert!(
            too_much(name, right).is_some(),
            "not found: {name}: {right}"
        );
    }
}

#[test]
fn without_the_hand_over_the_git_writer_has_nothing_of_the_gitops_tools() {
    let Some(objects) = rendered("gitops: {handOver: {enabled: false}}") else {
        return;
    };
    let writer = named(&objects, "ClusterRole", "tidegate-git-writer");
    let mut expected = table(&[WRITER]);
    expected.retain(|right| !HAND_OVER.iter().any(|gone| right.starts_with(gone)));
    assert_eq!(expected.len(), WRITER.len() - HAND_OVER.len());
    assert_eq!(rights(writer), expected);
    let deployment = named(&objects, "Deployment", "tidegate-git-writer");
    let text = deployment.to_string();
    assert!(text.contains("--hand-over=false"), "{text}");
}

/// What keeps a pod from the restricted Pod Security Standard, and from our own wishes beyond it.
fn loose(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut wish = |ok: bool, what: &str| {
        if !ok {
            found.push(what.to_owned());
        }
    };
    let security = &pod["securityContext"];
    wish(security["runAsNonRoot"] == true, "runAsNonRoot");
    wish(
        security["runAsUser"]
            .as_i64()
            .is_some_and(|uid| uid >= 10_000),
        "runAsUser >= 10000",
    );
    wish(
        security["seccompProfile"]["type"] == "RuntimeDefault",
        "seccompProfile",
    );
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        wish(pod[key] != true, key);
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kind = volume
            .as_object()
            .unwrap()
            .keys()
            .find(|key| *key != "name");
        let kind = kind.map(String::as_str);
        wish(matches!(kind, Some("emptyDir" | "secret")), "volumes");
        wish(
            kind != Some("emptyDir") || !volume["emptyDir"]["sizeLimit"].is_null(),
            "sizeLimit",
        );
    }
    for container in pod["containers"].as_array().unwrap() {
        let security = &container["securityContext"];
        wish(
            security["allowPrivilegeEscalation"] == false,
            "allowPrivilegeEscalation",
        );
        wish(
            security["readOnlyRootFilesystem"] == true,
            "readOnlyRootFilesystem",
        );
        wish(security["privileged"] == false, "privileged");
        wish(
            security["capabilities"] == json!({"drop": ["ALL"]}),
            "capabilities",
        );
        for probe in ["livenessProbe", "readinessProbe"] {
            wish(container[probe]["httpGet"].is_object(), probe);
        }
        for resource in ["requests", "limits"] {
            wish(
                container["resources"][resource]["memory"].is_string(),
                "memory",
            );
        }
        wish(
            container["ports"]
                .as_array()
                .unwrap()
                .iter()
                .all(|p| p["hostPort"].is_null()),
            "hostPort",
        );
    }
    found
}

#[test]
fn pods_keep_to_the_restricted_standard() {
    for (name, values) in installs() {
        let Some(objects) = rendered(&values) else {
            return;
        };
        let deployments = of(&objects, "Deployment");
        // With everything there is the dashboard, too.
        let parts = 2 + usize::from(name.contains("everything"));
        assert_eq!(deployments.len(), parts, "{name}");
        for deployment in deployments {
            let pod = &deployment["spec"]["template"]["spec"];
            let which = &deployment["metadata"]["name"];
            assert_eq!(loose(pod), Vec::<String>::new(), "{name}: {which}");

            // The selector finds the pods, and the account exists and is the pod's own.
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            for (key, value) in deployment["spec"]["selector"]["matchLabels"]
                .as_object()
                .unwrap()
            {
                assert_eq!(&labels[key], value, "{name}: {which}");
            }
            let account = pod["serviceAccountName"].as_str().unwrap();
            let account = named(&objects, "ServiceAccount", account);
            assert_eq!(
                account["automountServiceAccountToken"], false,
                "{name}: {which}"
            );
        }
        let accounts: BTreeSet<&str> = of(&objects, "ServiceAccount")
            .iter()
            .map(|account| account["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(accounts.len(), parts, "{name}: {accounts:?}");
    }
    let Some(objects) = rendered("") else { return };
    let pod = &named(&objects, "Deployment", "tidegate")["spec"]["template"]["spec"];
    for (pointer, value) in [
        ("/securityContext/runAsNonRoot", json!(false)),
        ("/securityContext/runAsUser", json!(0)),
        (
            "/containers/0/securityContext/capabilities",
            json!({"drop": []}),
        ),
        (
            "/containers/0/securityContext/readOnlyRootFilesystem",
            json!(false),
        ),
        ("/containers/0/resources/limits", json!({})),
    ] {
        let mut bad = pod.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_eq!(loose(&bad).len(), 1, "not found: {pointer}");
    }
}

#[test]
fn the_git_writer_alone_has_the_git_credentials() {
    let Some(objects) = rendered(EVERYTHING) else {
        return;
    };
    let uses = |name: &str| {
        let pod = &named(&objects, "Deployment", name)["spec"]["template"]["spec"];
        pod.to_string().contains("git-credentials")
    };
    assert!(uses("tidegate-git-writer") && !uses("tidegate"));
    let Some(objects) = rendered("gitWriter: {enabled: false}") else {
        return;
    };
    let rest: Vec<String> = objects
        .iter()
        .map(|o| format!("{} {}", o["kind"], o["metadata"]["name"]))
        .filter(|name| name.contains("git-writer"))
        .collect();
    assert!(rest.is_empty(), "{rest:?}");
}

#[test]
fn the_page_in_the_cluster_is_off_until_it_is_wanted_and_to_look_at_alone() {
    let Some(objects) = rendered("") else { return };
    let whole = serde_json::to_string(&objects).unwrap();
    assert!(!whole.contains("dashboard"), "{whole}");
    let Some(objects) = rendered(EVERYTHING) else {
        return;
    };
    let pod = &named(&objects, "Deployment", "tidegate-dashboard")["spec"]["template"]["spec"];
    assert_eq!(
        texts(&pod["containers"][0]["args"]),
        [
            "dashboard",
            "--log-format=json",
            "--page-address=0.0.0.0:8080",
            "--allowed-host=tidegate.example.com",
        ]
    );
    let policy = named(&objects, "NetworkPolicy", "tidegate-dashboard");
    let from = &policy["spec"]["ingress"][0]["from"][0]["namespaceSelector"];
    assert_eq!(from["matchLabels"]["name"], "ingress");
    let service = named(&objects, "Service", "tidegate-dashboard");
    assert_eq!(service["spec"]["type"], Value::Null, "never a node's port");
}

/// The controller's flags beside those of every install, by the values that they come from.
#[test]
fn the_controller_is_told_what_the_values_say() {
    let always = [
        "controller",
        "--instance=tidegate",
        "--log-format=json",
        "--metrics-address=0.0.0.0:8080",
        "--settle-seconds=5",
        "--concurrency=16",
        "--qps=40",
        "--burst=80",
    ];
    let table: [(&str, &[&str]); 6] = [
        ("", &[]),
        ("prometheusUrl: \"\"", &[]),
        ("watchNamespace: shop", &["--namespace=shop"]),
        ("clusterName: prod", &["--cluster-name=prod"]),
        (
            "prometheusUrl: http://prometheus-operated.monitoring.svc:9090",
            &["--prometheus-url=http://prometheus-operated.monitoring.svc:9090"],
        ),
        (
            EVERYTHING,
            &[
                "--cluster-name=prod-eu",
                "--prometheus-url=https://prometheus.example.com:9090/team-a",
                "--notifications-config=/etc/tidegate/notifications/notifications.yaml",
            ],
        ),
    ];
    for (values, more) in table {
        let Some(objects) = rendered(values) else {
            return;
        };
        let pod = &named(&objects, "Deployment", "tidegate")["spec"]["template"]["spec"];
        let expected: Vec<&str> = always.iter().chain(more).copied().collect();
        assert_eq!(texts(&pod["containers"][0]["args"]), expected, "{values}");
        // It is the controller's alone.
        let whole = serde_json::to_string(&objects).unwrap();
        let times = whole.matches("--prometheus-url").count();
        let expected = usize::from(more.iter().any(|flag| flag.starts_with("--prometheus-url")));
        assert_eq!(times, expected, "{values}");
    }
}

/// What Helm says after an install with these values. Helm shows it only where there is a cluster, so
/// a copy of the chart has it in a template.
fn notes(values: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("chart");
    let templates = copy.join("templates");
    std::fs::create_dir_all(&templates).unwrap();
    for file in [
        "Chart.yaml",
        "values.yaml",
        "values.schema.json",
        "templates/_names.tpl",
    ] {
        std::fs::copy(chart().join(file), copy.join(file)).unwrap();
    }
    let text = std::fs::read_to_string(chart().join("templates/NOTES.txt")).unwrap();
    let template = format!(
        "{{{{- define \"notes\" }}}}{text}{{{{ end }}}}notes: {{{{ include \"notes\" . | toJson }}}}"
    );
    std::fs::write(templates.join("notes.yaml"), template).unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let mut arguments: Vec<OsString> = vec!["template".into(), "tidegate".into(), copy.into()];
    arguments.extend(["--namespace".into(), "tidegate-system".into()]);
    arguments.extend(["--values".into(), file.into()]);
    let rendered = helm(&arguments)?.unwrap_or_else(|error| panic!("{values}\n{error}"));
    let rendered: Value = serde_saphyr::from_str(&rendered).unwrap();
    Some(rendered["notes"].as_str().unwrap().to_owned())
}

#[test]
fn the_notes_say_what_is_missing() {
    let url = "prometheusUrl: http://prometheus.example.com";
    let repositories = "gitWriter: {allowedRepositories: [https://git.example.com/*]}";
    let cluster = "a MetricsProvider called default, or prometheusUrl is set.";
    let one = "reads no\nMetricsProviders: every analysis is held until prometheusUrl is set.";
    let git = "may push nowhere yet";
    for (values, said) in [
        (String::new(), vec![cluster, git]),
        ("watchNamespace: shop".to_owned(), vec![one, git]),
        (url.to_owned(), vec![git]),
        (format!("{url}\nwatchNamespace: shop"), vec![git]),
        (repositories.to_owned(), vec![cluster]),
        (format!("{url}\n{repositories}"), vec![]),
    ] {
        let Some(notes) = notes(&values) else { return };
        for words in [cluster, one, git] {
            assert_eq!(
                notes.contains(words),
                said.contains(&words),
                "{values}: {words}\n{notes}"
            );
        }
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    for (bad, words) in [
        ("colour: blue", "colour"),
        ("controller: {replica: 3}", "replica"),
        ("controller: {replicas: many}", "controller.replicas"),
        ("controller: {replicas: -1}", "controller.replicas"),
        ("controller: {image: {pullPolicy: Sometimes}}", "pullPolicy"),
        ("controller: {image: {digest: abc}}", "digest"),
        ("controller: {resources: {limit: {cpu: 1}}}", "limit"),
        ("controller: {log: {format: xml}}", "format"),
        ("gitWriter: {enabled: \"yes\"}", "gitWriter.enabled"),
        ("gitWriter: {credentials: {password: secret}}", "password"),
        (
            "gitWriter: {allowedRepositories: [\"a b\"]}",
            "allowedRepositories",
        ),
        (
            "gitWriter: {allowedRepositories: [\"ext::sh -c x\"]}",
            "allowedRepositories",
        ),
        ("gitWriter: {author: {name: \"a <b>\"}}", "author.name"),
        ("gitWriter: {maxAge: soon}", "maxAge"),
        (
            "gitops: {handOver: {enabled: sometimes}}",
            "gitops.handOver",
        ),
        (
            "gitops: {handOver: {argoCDNamespace: A_B}}",
            "argoCDNamespace",
        ),
        ("watchNamespace: Not_A_Name", "watchNamespace"),
        (
            "prometheusUrl: prometheus.monitoring.svc:9090",
            "prometheusUrl",
        ),
        ("prometheusUrl: ftp://x.example", "prometheusUrl"),
        ("prometheusUrl: http://me:secret@x.example", "prometheusUrl"),
        ("prometheusUrl: http://x.example/?a=b", "prometheusUrl"),
        ("prometheusUrl: http://x.example/#a", "prometheusUrl"),
        ("prometheusUrl: \"http://x.example y\"", "prometheusUrl"),
        ("metricsSecrets: [{name: a}]", "namespace"),
        (
            "metricsSecrets: [{namespace: a, name: '*'}]",
            "metricsSecrets",
        ),
        ("metricsConfigMaps: [{name: a}]", "namespace"),
        (
            "metricsConfigMaps: [{namespace: a, name: '*'}]",
            "metricsConfigMaps",
        ),
        ("networkPolicy: {apiServer: {cidrs: [everywhere]}}", "cidrs"),
        ("crds: {install: maybe}", "crds.install"),
        (
            "notifications: {url: https://hooks.example}",
            "notifications",
        ),
        (
            "monitoring: {podMonitor: {interval: soon}}",
            "monitoring.podMonitor.interval",
        ),
        (
            "monitoring: {dashboards: {labels: {a: 1}}}",
            "monitoring.dashboards.labels.a",
        ),
        ("dashboard: {allowedHosts: [\"a b\"]}", "allowedHosts"),
        ("dashboard: {readOnly: false}", "readOnly"),
    ] {
        let Some(found) = template(bad) else { return };
        let error = found.expect_err(bad).replace('/', ".");
        assert!(error.contains(words), "{bad}: {error}");
    }
}

#[test]
fn the_schema_knows_every_default_and_the_defaults_every_field() {
    let text = std::fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let values: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(chart().join("values.yaml")).unwrap())
            .unwrap();
    fn walk(at: &str, schema: &Value, values: &Value, whole: &Value, found: &mut Vec<String>) {
        let schema = match schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
            Some(pointer) => whole.pointer(pointer).unwrap(),
            None => schema,
        };
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        if schema["additionalProperties"] != false {
            found.push(format!("{at}: takes what it does not know"));
        }
        for (name, inner) in properties {
            let missing = values.get(name).is_none();
            // Helm's own, and lists of Kubernetes resources that are written as one.
            if missing && !["global", "cpu", "memory"].contains(&name.as_str()) {
                found.push(format!("{at}.{name}: has no default in values.yaml"));
            }
            walk(&format!("{at}.{name}"), inner, &values[name], whole, found);
        }
    }
    let mut found = Vec::new();
    walk("", &schema, &values, &schema, &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

/// The files of a folder with definitions, by name.
fn definitions(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap());
    let read = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

/// The first place where two documents differ. Helm knows one kind of number.
fn difference(at: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let at = format!("{at}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => difference(&at, a, b),
                    _ => Some(format!("{at}: only in one of both")),
                }
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| difference(&format!("{at}[{i}]"), a, b))
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (a, b) => (a != b).then(|| format!("{at}: {a} and {b}")),
    }
}

#[test]
fn the_chart_has_the_definitions_of_this_version() {
    let copies = definitions("charts/tidegate/files/crds");
    let originals = definitions("crds");
    assert!(
        copies == originals,
        "charts/tidegate/files/crds and crds/ differ: cargo xtask generate"
    );
    assert_eq!(copies.len(), tidegate::api::crds().len());
}

#[test]
fn definitions_are_upgraded_and_outlive_the_release() {
    let Some(objects) = rendered("") else { return };
    let crds = of(&objects, "CustomResourceDefinition");
    assert_eq!(crds.len(), tidegate::api::crds().len());
    for crd in crds {
        assert_eq!(
            crd["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
        let name = crd["metadata"]["name"].as_str().unwrap();
        let own = tidegate::api::crds()
            .into_iter()
            .find(|c| c.metadata.name.as_deref() == Some(name));
        // Helm reads and writes YAML by its own rules: no regular expression may suffer by it.
        let own = serde_json::to_value(own.unwrap().spec).unwrap();
        assert_eq!(difference("spec", &crd["spec"], &own), None, "{name}");
    }
    let Some(objects) = rendered("crds: {install: false}") else {
        return;
    };
    assert!(of(&objects, "CustomResourceDefinition").is_empty());
}
