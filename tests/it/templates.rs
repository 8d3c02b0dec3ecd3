//! What stands in `analysis-templates/` is installed as it is and asked of real exporters: every
//! template is applied to an API server with the definitions, frozen with the args that the README
//! names, and read as a run is read. The queries that result are held against lines as the exporters
//! write them: the new version's and the stable version's must be told apart.

use crate::examples::{apply, kind, name, objects};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate::analysis::plan::{self, Kind};
use tidegate::analysis::promql::{self, Selector};
use tidegate::analysis::template::{Builtins, Frozen, NamedTemplate, freeze};
use tidegate::api::analysis::{AnalysisRunSpec, AnalysisTemplateSpec, ClusterAnalysisTemplate};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

const NAMESPACE: &str = "shop";

type Labels = BTreeMap<String, String>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("analysis-templates")
}

fn readme() -> String {
    fs::read_to_string(folder().join("README.md")).unwrap()
}

/// The files of the folder, by name.
fn files() -> BTreeMap<String, String> {
    let all = fs::read_dir(folder()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    all.filter(|(name, _)| name != "README.md").collect()
}

/// The one object of a file.
fn object(file: &str) -> Value {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    let mut found = objects(&text);
    assert_eq!(found.len(), 1, "{file}: one template a file");
    found.remove(0)
}

fn template(file: &str) -> AnalysisTemplateSpec {
    let read: ClusterAnalysisTemplate = serde_json::from_value(object(file)).unwrap();
    read.spec.0
}

/// Values for the args that need one, as the README has them.
fn args(file: &str) -> BTreeMap<String, String> {
    let all: &[(&str, &str)] = match file {
        "ingress-nginx.yaml" => &[("ingress", "web")],
        _ => &[],
    };
    let owned = all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn builtins() -> Builtins {
    Builtins {
        namespace: NAMESPACE.to_owned(),
        rollout: "web".to_owned(),
        canary_service: "web-canary".to_owned(),
        stable_service: "web-stable".to_owned(),
        canary_hash: "77cd81f2aa".to_owned(),
        stable_hash: "6b5f9c7dbb".to_owned(),
    }
}

fn frozen(file: &str, args: &BTreeMap<String, String>) -> Result<Frozen, Vec<plan::Problem>> {
    let spec = template(file);
    let name = name(&object(file)).to_owned();
    let named = NamedTemplate {
        name: &name,
        spec: &spec,
    };
    freeze(&[named], args, &builtins())
}

/// The run that a template becomes.
fn run(file: &str) -> AnalysisRunSpec {
    let frozen =
        frozen(file, &args(file)).unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    AnalysisRunSpec {
        canary_hash: builtins().canary_hash,
        stable_hash: builtins().stable_hash,
        ..frozen.into_spec()
    }
}

/// What is asked, by a name that says for what.
fn queries(file: &str) -> BTreeMap<String, String> {
    let plan = plan::parse(&run(file), Timestamp::UNIX_EPOCH)
        .unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    let mut found = BTreeMap::new();
    for metric in plan.metrics {
        let at = |part: &str| format!("{}{part}", metric.name);
        match metric.kind {
            Kind::Comparison(ratio) => {
                assert!(!metric.dry_run, "{file}: {} must decide", metric.name);
                for (name, arms) in ratio.measure.selectors() {
                    found.insert(at(&format!(" canary {name}")), arms.canary.clone());
                    found.insert(at(&format!(" stable {name}")), arms.stable.clone());
                }
            }
            Kind::Threshold(threshold) => {
                assert!(metric.dry_run, "{file}: {} only informs", metric.name);
                found.insert(at(""), threshold.query);
            }
        }
    }
    found
}

/// What each template asks for, word for word.
const QUERIES: &[(&str, &[(&str, &str)])] = &[
    (
        "application.yaml",
        &[
            (
                "error-ratio canary bad",
                r#"http_requests_total{namespace="shop", job=~".+", code=~"5..", rollouts_pod_template_hash="77cd81f2aa"}"#,
            ),
            (
                "error-ratio canary total",
                r#"http_requests_total{namespace="shop", job=~".+", rollouts_pod_template_hash="77cd81f2aa"}"#,
            ),
            (
                "error-ratio stable bad",
                r#"http_requests_total{namespace="shop", job=~".+", code=~"5..", rollouts_pod_template_hash="6b5f9c7dbb"}"#,
            ),
            (
                "error-ratio stable total",
                r#"http_requests_total{namespace="shop", job=~".+", rollouts_pod_template_hash="6b5f9c7dbb"}"#,
            ),
            (
                "fast-share",
                r#"sum(rate(http_request_duration_seconds_bucket{namespace="shop", job=~".+", le="0.5", rollouts_pod_template_hash="77cd81f2aa"}[5m])) / sum(rate(http_request_duration_seconds_count{namespace="shop", job=~".+", rollouts_pod_template_hash="77cd81f2aa"}[5m]))"#,
            ),
            (
                "throttled",
                r#"sum(rate(container_cpu_cfs_throttled_periods_total{namespace="shop", pod=~"web-77cd81f2aa-.+", container!=""}[5m])) / sum(rate(container_cpu_cfs_periods_total{namespace="shop", pod=~"web-77cd81f2aa-.+", container!=""}[5m]))"#,
            ),
        ],
    ),
    (
        "ingress-nginx.yaml",
        &[
            (
                "error-ratio canary bad",
                r#"nginx_ingress_controller_requests{namespace="shop", ingress=~"web", service="web-stable", status=~"5..", canary=~"shop-web-canary-.+"}"#,
            ),
            (
                "error-ratio canary total",
                r#"nginx_ingress_controller_requests{namespace="shop", ingress=~"web", service="web-stable", canary=~"shop-web-canary-.+"}"#,
            ),
            (
                "error-ratio stable bad",
                r#"nginx_ingress_controller_requests{namespace="shop", ingress=~"web", service="web-stable", status=~"5..", canary=""}"#,
            ),
            (
                "error-ratio stable total",
                r#"nginx_ingress_controller_requests{namespace="shop", ingress=~"web", service="web-stable", canary=""}"#,
            ),
            (
                "fast-share",
                r#"sum(rate(nginx_ingress_controller_request_duration_seconds_bucket{namespace="shop", ingress=~"web", service="web-stable", le="0.5", canary=~"shop-web-canary-.+"}[5m])) / sum(rate(nginx_ingress_controller_request_duration_seconds_count{namespace="shop", ingress=~"web", service="web-stable", canary=~"shop-web-canary-.+"}[5m]))"#,
            ),
        ],
    ),
    (
        "traefik-gateway.yaml",
        &[
            (
                "error-ratio canary bad",
                r#"traefik_service_requests_total{code=~"5..", service=~"shop-web-canary-(http-)?80@kubernetesgateway"}"#,
            ),
            (
                "error-ratio canary total",
                r#"traefik_service_requests_total{service=~"shop-web-canary-(http-)?80@kubernetesgateway"}"#,
            ),
            (
                "error-ratio stable bad",
                r#"traefik_service_requests_total{code=~"5..", service=~"shop-web-stable-(http-)?80@kubernetesgateway"}"#,
            ),
            (
                "error-ratio stable total",
                r#"traefik_service_requests_total{service=~"shop-web-stable-(http-)?80@kubernetesgateway"}"#,
            ),
            (
                "fast-share",
                r#"sum(rate(traefik_service_request_duration_seconds_bucket{le="1.2", service=~"shop-web-canary-(http-)?80@kubernetesgateway"}[5m])) / sum(rate(traefik_service_request_duration_seconds_count{service=~"shop-web-canary-(http-)?80@kubernetesgateway"}[5m]))"#,
            ),
        ],
    ),
];

#[test]
fn every_template_asks_what_the_table_says() {
    let found: Vec<String> = files().into_keys().collect();
    let tabled: Vec<&str> = QUERIES.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, tabled);
    for (file, expected) in QUERIES {
        let found = queries(file);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, query)| (name.as_str(), query.as_str()))
            .collect();
        assert_eq!(found, *expected, "{file}");
    }
}

/// Lines of an exporter, each with what must find it. `A.bad` and `A.total` are the two selectors of
/// version A's errors; the others are named by their metric, with `/1` and `/2` for the two sides of
/// a division.
struct Exporter {
    file: &'static str,
    lines: &'static [(&'static str, &'static str)],
}

/// Labels that a scrape adds to what the exporter writes.
type Target = &'static [(&'static str, &'static str)];

/// As Traefik 3.5 writes them behind a Gateway, with a ServiceMonitor.
const TRAEFIK: Exporter = Exporter {
    file: "traefik-gateway.yaml",
    lines: &[
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop-web-canary-http-80@kubernetesgateway"} 390"#,
            "canary.total",
        ),
        (
            r#"traefik_service_requests_total{code="503",method="GET",protocol="http",service="shop-web-canary-http-80@kubernetesgateway"} 10"#,
            "canary.bad canary.total",
        ),
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop-web-stable-http-80@kubernetesgateway"} 1600"#,
            "stable.total",
        ),
        (
            r#"traefik_service_requests_total{code="404",method="GET",protocol="http",service="shop-web-stable-http-80@kubernetesgateway"} 7"#,
            "stable.total",
        ),
        (
            r#"traefik_service_requests_total{code="500",method="POST",protocol="http",service="shop-web-stable-http-80@kubernetesgateway"} 3"#,
            "stable.bad stable.total",
        ),
        // An older release.
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop-web-canary-80@kubernetesgateway"} 5"#,
            "canary.total",
        ),
        // Other ports, Services, namespaces and providers.
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop-web-canary-http-8080@kubernetesgateway"} 5"#,
            "",
        ),
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop-web-canary-2-http-80@kubernetesgateway"} 5"#,
            "",
        ),
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="other-shop-web-canary-http-80@kubernetesgateway"} 5"#,
            "",
        ),
        (
            r#"traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop-web-canary-80@kubernetes"} 5"#,
            "",
        ),
        (
            r#"traefik_entrypoint_requests_total{code="404",entrypoint="web",method="GET",protocol="http"} 2"#,
            "",
        ),
        (
            r#"traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="shop-web-canary-http-80@kubernetesgateway",le="0.3"} 380"#,
            "",
        ),
        (
            r#"traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="shop-web-canary-http-80@kubernetesgateway",le="1.2"} 388"#,
            "fast-share/1",
        ),
        (
            r#"traefik_service_request_duration_seconds_count{code="200",method="GET",protocol="http",service="shop-web-canary-http-80@kubernetesgateway"} 390"#,
            "fast-share/2",
        ),
        (
            r#"traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="shop-web-stable-http-80@kubernetesgateway",le="1.2"} 1599"#,
            "",
        ),
        (
            r#"traefik_service_request_duration_seconds_count{code="200",method="GET",protocol="http",service="shop-web-stable-http-80@kubernetesgateway"} 1600"#,
            "",
        ),
    ],
};

/// As the controller of ingress-nginx 1.x writes them.
const INGRESS_NGINX: Exporter = Exporter {
    file: "ingress-nginx.yaml",
    lines: &[
        (
            r#"nginx_ingress_controller_requests{canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200"} 1600"#,
            "stable.total",
        ),
        (
            r#"nginx_ingress_controller_requests{canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="502"} 3"#,
            "stable.bad stable.total",
        ),
        (
            r#"nginx_ingress_controller_requests{canary="shop-web-canary-http",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200"} 390"#,
            "canary.total",
        ),
        // A port by number, and the statuses by class.
        (
            r#"nginx_ingress_controller_requests{canary="shop-web-canary-80",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="5xx"} 10"#,
            "canary.bad canary.total",
        ),
        // Another path of the same Ingress, another Ingress, another namespace, another canary.
        (
            r#"nginx_ingress_controller_requests{canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/api",service="api",status="500"} 3"#,
            "",
        ),
        (
            r#"nginx_ingress_controller_requests{canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="intern.example.com",ingress="web-internal",method="GET",namespace="shop",path="/",service="web-stable",status="200"} 3"#,
            "",
        ),
        (
            r#"nginx_ingress_controller_requests{canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.org",ingress="web",method="GET",namespace="shop-staging",path="/",service="web-stable",status="200"} 3"#,
            "",
        ),
        (
            r#"nginx_ingress_controller_requests{canary="shop-other-canary-80",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200"} 3"#,
            "",
        ),
        (
            r#"nginx_ingress_controller_request_duration_seconds_bucket{canary="shop-web-canary-http",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200",le="0.5"} 380"#,
            "fast-share/1",
        ),
        (
            r#"nginx_ingress_controller_request_duration_seconds_bucket{canary="shop-web-canary-http",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200",le="+Inf"} 390"#,
            "",
        ),
        (
            r#"nginx_ingress_controller_request_duration_seconds_count{canary="shop-web-canary-http",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200"} 390"#,
            "fast-share/2",
        ),
        (
            r#"nginx_ingress_controller_request_duration_seconds_count{canary="",controller_class="k8s.io/ingress-nginx",controller_namespace="ingress-nginx",controller_pod="ingress-nginx-controller-559584768b-g5tnh",host="www.example.com",ingress="web",method="GET",namespace="shop",path="/",service="web-stable",status="200"} 1600"#,
            "",
        ),
    ],
};

/// What the Prometheus operator gives the targets of ServiceMonitors for the two routers.
const SERVICE_MONITOR: Target = &[
    ("job", "router-metrics"),
    ("instance", "198.51.100.7:9100"),
    ("namespace", "router"),
    ("pod", "router-6d9c5b7f4-x2x7p"),
    ("service", "router-metrics"),
];

const CANARY_POD: Target = &[
    ("job", "shop/web"),
    ("instance", "198.51.100.8:8080"),
    ("namespace", "shop"),
    ("pod", "web-77cd81f2aa-q7w2k"),
    ("rollouts_pod_template_hash", "77cd81f2aa"),
];
const STABLE_POD: Target = &[
    ("job", "shop/web"),
    ("instance", "198.51.100.9:8080"),
    ("namespace", "shop"),
    ("pod", "web-6b5f9c7dbb-4xk9d"),
    ("rollouts_pod_template_hash", "6b5f9c7dbb"),
];
const ELSEWHERE: Target = &[
    ("job", "staging/web"),
    ("instance", "198.51.100.10:8080"),
    ("namespace", "shop-staging"),
    ("pod", "web-77cd81f2aa-m2n8r"),
    ("rollouts_pod_template_hash", "77cd81f2aa"),
];
const KUBELET: Target = &[("job", "kubelet"), ("instance", "192.0.2.1:10250")];

/// The application's own lines, by the pod that they come from, and the kubelet's about the pods.
const APPLICATION: &[(Target, &str, &str)] = &[
    (
        CANARY_POD,
        r#"http_requests_total{code="200",method="get"} 390"#,
        "canary.total",
    ),
    (
        CANARY_POD,
        r#"http_requests_total{code="500",method="get"} 10"#,
        "canary.bad canary.total",
    ),
    (
        STABLE_POD,
        r#"http_requests_total{code="404",method="get"} 1"#,
        "stable.total",
    ),
    (
        STABLE_POD,
        r#"http_requests_total{code="503",method="get"} 3"#,
        "stable.bad stable.total",
    ),
    // The same image in another namespace has the same hash.
    (
        ELSEWHERE,
        r#"http_requests_total{code="500",method="get"} 3"#,
        "",
    ),
    (
        CANARY_POD,
        r#"http_request_duration_seconds_bucket{le="0.5"} 380"#,
        "fast-share/1",
    ),
    (
        CANARY_POD,
        r#"http_request_duration_seconds_bucket{le="1.0"} 390"#,
        "",
    ),
    (
        CANARY_POD,
        "http_request_duration_seconds_count 390",
        "fast-share/2",
    ),
    (STABLE_POD, "http_request_duration_seconds_count 1600", ""),
    (
        KUBELET,
        r#"container_cpu_cfs_throttled_periods_total{container="app",namespace="shop",pod="web-77cd81f2aa-q7w2k"} 12"#,
        "throttled/1",
    ),
    (
        KUBELET,
        r#"container_cpu_cfs_periods_total{container="app",namespace="shop",pod="web-77cd81f2aa-q7w2k"} 900"#,
        "throttled/2",
    ),
    // The pod's own cgroup, which holds all containers once more; the stable pods.
    (
        KUBELET,
        r#"container_cpu_cfs_periods_total{container="",namespace="shop",pod="web-77cd81f2aa-q7w2k"} 900"#,
        "",
    ),
    (
        KUBELET,
        r#"container_cpu_cfs_periods_total{container="app",namespace="shop",pod="web-6b5f9c7dbb-4xk9d"} 900"#,
        "",
    ),
];

/// The selectors of a template, by what they are for.
fn selectors(file: &str) -> BTreeMap<String, Selector> {
    let vector = Regex::new(r"([a-z_]+\{[^}]*\})\[5m\]").unwrap();
    let mut found = BTreeMap::new();
    for (name, query) in queries(file) {
        if let Some(which) = name.strip_prefix("error-ratio ") {
            let selector = promql::selector(&query).unwrap();
            found.insert(which.replace(' ', "."), selector);
            continue;
        }
        let parts: Vec<_> = vector.captures_iter(&query).collect();
        assert_eq!(parts.len(), 2, "{file}: {name}: {query}");
        for (i, part) in parts.iter().enumerate() {
            let selector = promql::selector(&part[1]).unwrap();
            found.insert(format!("{name}/{}", i + 1), selector);
        }
    }
    found
}

/// A line as Prometheus stores it: its own labels, the target's, and what becomes of a label that
/// both have. An empty label is none.
fn scraped(line: &str, target: &[(&str, &str)], honor_labels: bool) -> Labels {
    let (series, value) = line.rsplit_once(' ').unwrap();
    assert!(value.parse::<f64>().is_ok(), "{line}");
    let written = promql::selector(series).unwrap();
    let mut labels = Labels::new();
    labels.insert("__name__".to_owned(), written.name.unwrap());
    for matcher in written.matchers {
        labels.insert(matcher.label, matcher.value);
    }
    for (name, value) in target {
        match labels.remove(*name) {
            Some(own) if honor_labels => {
                labels.insert((*name).to_owned(), own);
                continue;
            }
            Some(own) => {
                labels.insert(format!("exported_{name}"), own);
            }
            None => {}
        }
        labels.insert((*name).to_owned(), (*value).to_owned());
    }
    labels.retain(|_, value| !value.is_empty());
    labels
}

fn finds(selector: &Selector, labels: &Labels) -> bool {
    let value = |label: &str| labels.get(label).map_or("", String::as_str);
    let whole = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).unwrap();
    selector.name.as_deref() == Some(value("__name__"))
        && selector.matchers.iter().all(|m| {
            let found = value(&m.label);
            match m.operator.as_str() {
                "=" => found == m.value,
                "!=" => found != m.value,
                "=~" => whole(&m.value).is_match(found),
                _ => !whole(&m.value).is_match(found),
            }
        })
}

/// By what a series is found, in order.
fn found_by(selectors: &BTreeMap<String, Selector>, labels: &Labels) -> String {
    let names = selectors
        .iter()
        .filter(|(_, selector)| finds(selector, labels))
        .map(|(name, _)| name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_versions_are_told_apart_in_the_routers_own_metrics() {
    for exporter in [TRAEFIK, INGRESS_NGINX] {
        let selectors = selectors(exporter.file);
        for (line, expected) in exporter.lines {
            let stored = scraped(line, SERVICE_MONITOR, true);
            assert_eq!(found_by(&selectors, &stored), *expected, "{line}");
            // What each file says: without honorLabels nothing is found, so nothing is judged.
            let renamed = scraped(line, SERVICE_MONITOR, false);
            assert_eq!(found_by(&selectors, &renamed), "", "{line}");
            // Without target labels of the same names there is nothing to be honoured.
            let plain = scraped(line, KUBELET, false);
            assert_eq!(found_by(&selectors, &plain), *expected, "{line}");
        }
    }
}

#[test]
fn the_versions_are_told_apart_in_the_applications_metrics() {
    let selectors = selectors("application.yaml");
    for (target, line, expected) in APPLICATION {
        let stored = scraped(line, target, false);
        assert_eq!(found_by(&selectors, &stored), *expected, "{line}");
        // Without the pods' label neither version is found.
        let bare: Vec<(&str, &str)> = target
            .iter()
            .filter(|(name, _)| *name != "rollouts_pod_template_hash")
            .copied()
            .collect();
        let without = found_by(&selectors, &scraped(line, &bare, false));
        assert!(
            without.is_empty() || without.starts_with("throttled"),
            "{line}"
        );
    }
}

#[test]
fn nothing_is_left_that_no_line_shows() {
    let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for exporter in [TRAEFIK, INGRESS_NGINX] {
        let all = exporter.lines.iter().flat_map(|(_, e)| e.split(' '));
        shown.entry(exporter.file).or_default().extend(all);
    }
    let all = APPLICATION.iter().flat_map(|(_, _, e)| e.split(' '));
    shown.entry("application.yaml").or_default().extend(all);
    for file in files().keys() {
        for name in selectors(file).keys() {
            let there = shown[file.as_str()].contains(&name.as_str());
            assert!(there, "{file}: no line shows {name}");
        }
    }
}

#[test]
fn an_arg_that_is_required_is_asked_for_by_name() {
    let mut required = 0;
    for file in files().keys() {
        for arg in template(file).args {
            let mut given = args(file);
            let was_given = given.remove(&arg.name).is_some();
            let result = frozen(file, &given);
            if arg.value.is_some() {
                assert!(!was_given, "{file}: {} has a default", arg.name);
                assert!(result.is_ok(), "{file}: {:?}", result.err());
                continue;
            }
            required += 1;
            let problems = result.expect_err(file);
            let at = format!("{}: spec.args[{}]", name(&object(file)), arg.name);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].at, at);
            assert!(problems[0].message.contains("has no value"), "{problems:?}");
        }
    }
    assert_eq!(required, 1, "the test has seen what it is about");
}

#[test]
fn a_run_that_is_written_down_is_read_back_the_same() {
    for file in files().keys() {
        let spec = run(file);
        let text = serde_json::to_string(&spec).unwrap();
        let back: AnalysisRunSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(back, spec, "{file}");
        // `$(arm)` alone is left, and no arg of a run is asked for again.
        let left = text.replace("$(arm)", "");
        assert!(!left.contains("$("), "{file}: {text}");
    }
}

#[tokio::test]
async fn every_template_is_accepted_by_the_api_server() {
    let crds = tidegate::api::crds();
    let server = ApiServer::new(ApiServerConfig::default().with_crds(&crds)).unwrap();
    server
        .add(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
        .unwrap();
    let client = server.client(NAMESPACE);
    for (file, text) in files() {
        let template = object(&file);
        assert_eq!(kind(&template), "ClusterAnalysisTemplate", "{file}");
        apply(&client, &template)
            .await
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        // The README's sed, for a Tidegate of one namespace.
        let namespaced = objects(&text.replace("\nkind: Cluster", "\nkind: ")).remove(0);
        assert_eq!(kind(&namespaced), "AnalysisTemplate", "{file}");
        apply(&client, &namespaced)
            .await
            .unwrap_or_else(|error| panic!("{file}, namespaced: {error}"));

        // And a run of it, as the controller creates it.
        let mut run = json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": name(&template)},
        });
        run["spec"] = serde_json::to_value(self::run(&file)).unwrap();
        apply(&client, &run)
            .await
            .unwrap_or_else(|error| panic!("{file}, its run: {error}"));

        let mut bad = template.clone();
        bad["spec"]["metrics"][0]["threshold"] = json!({"query": "up", "success": "result > 0"});
        let refused = apply(&client, &bad).await.unwrap_err().to_string();
        assert!(refused.contains("exactly one of"), "{refused}");
    }
}

/// The cells of the README's row about a file.
fn row(readme: &str, file: &str) -> Vec<String> {
    let start = format!("| [{file}]({file}) |");
    let line = readme.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("analysis-templates/README.md has no row for {file}"));
    line.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

#[test]
fn the_readme_names_every_file_and_every_arg() {
    let readme = readme();
    for file in files().keys() {
        let cells = row(&readme, file);
        assert_eq!(cells[1], format!("`{}`", name(&object(file))), "{file}");
        let told = template(file).args.iter().fold(Vec::new(), |mut all, arg| {
            let default = match arg.value.as_deref() {
                None => "required",
                Some(".+") => "all",
                Some(value) => value,
            };
            all.push(format!("`{}` ({default})", arg.name));
            all
        });
        assert_eq!(cells[4], told.join(", "), "{file}");
    }
}

#[test]
fn the_readmes_rollout_can_be_copied() {
    let readme = readme();
    let block = readme.split("```yaml\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let value: Value = serde_saphyr::from_str(block).unwrap();
    let analyses: Vec<&Value> = value["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step.get("analysis"))
        .collect();
    assert_eq!(analyses.len(), 2);
    for analysis in analyses {
        let named = &analysis["templates"][0];
        assert_eq!(named["clusterScope"], true);
        let file = files()
            .into_keys()
            .find(|file| name(&object(file)) == named["name"])
            .unwrap_or_else(|| panic!("there is no template {named}"));
        let args = analysis["args"].as_array().unwrap().iter().map(|arg| {
            let text = |key: &str| arg[key].as_str().unwrap().to_owned();
            (text("name"), text("value"))
        });
        frozen(&file, &args.collect()).unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    }
}
