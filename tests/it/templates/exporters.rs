//! Lines as the exporters write them, and the labels that a scrape gives them.

/// Lines of an exporter, each with what must find it. `A.bad` and `A.total` are the two selectors of
/// version A's errors; the others are named by their metric, with `/1` and `/2` for the two sides of
/// a division.
pub struct Exporter {
    pub file: &'static str,
    pub lines: &'static [(&'static str, &'static str)],
}

/// Labels that a scrape adds to what the exporter writes.
pub type Target = &'static [(&'static str, &'static str)];

/// As Traefik 3.5 writes them behind a Gateway, with a ServiceMonitor.
pub const TRAEFIK: Exporter = Exporter {
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
pub const INGRESS_NGINX: Exporter = Exporter {
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
pub const SERVICE_MONITOR: Target = &[
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
pub const KUBELET: Target = &[("job", "kubelet"), ("instance", "192.0.2.1:10250")];

/// The application's own lines, by the pod that they come from, and the kubelet's about the pods.
pub const APPLICATION: &[(Target, &str, &str)] = &[
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
