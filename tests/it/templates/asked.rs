//! What some templates ask for, word for word: how placeholders are filled in. Of the others the lines in
//! `recorded/` say enough.

use super::queries;

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
                "latency canary buckets",
                r#"http_request_duration_seconds_bucket{namespace="shop", job=~".+", rollouts_pod_template_hash="77cd81f2aa"}"#,
            ),
            (
                "latency stable buckets",
                r#"http_request_duration_seconds_bucket{namespace="shop", job=~".+", rollouts_pod_template_hash="6b5f9c7dbb"}"#,
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
                "latency canary buckets",
                r#"nginx_ingress_controller_request_duration_seconds_bucket{namespace="shop", ingress=~"web", service="web-stable", canary=~"shop-web-canary-.+"}"#,
            ),
            (
                "latency stable buckets",
                r#"nginx_ingress_controller_request_duration_seconds_bucket{namespace="shop", ingress=~"web", service="web-stable", canary=""}"#,
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
                "latency canary buckets",
                r#"traefik_service_request_duration_seconds_bucket{service=~"shop-web-canary-(http-)?80@kubernetesgateway"}"#,
            ),
            (
                "latency stable buckets",
                r#"traefik_service_request_duration_seconds_bucket{service=~"shop-web-stable-(http-)?80@kubernetesgateway"}"#,
            ),
        ],
    ),
];

#[test]
fn templates_ask_what_the_table_says() {
    for (file, expected) in QUERIES {
        let found = queries(file);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, query)| (name.as_str(), query.as_str()))
            .collect();
        assert_eq!(found, *expected, "{file}");
    }
}
