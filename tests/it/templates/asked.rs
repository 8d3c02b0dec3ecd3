//! What each template asks for.

use super::{files, queries};

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
