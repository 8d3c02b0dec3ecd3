use serde_json::json;

use super::*;
use crate::sim::apiserver::ApiServerConfig;
use crate::sim::apiserver::workloads::{PodBehaviour, Workloads, WorkloadsConfig};

const ENTRANCE: Entrance = Entrance {
    namespace: "shop",
    route: "checkout",
    service: "checkout",
};

fn pod(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop",
            "labels": {"app": "checkout", HASH_LABEL: version},
        },
        "spec": {"containers": [{"name": "app", "image": format!("shop/checkout:{version}")}]},
    })
}

fn service(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"app": "checkout", HASH_LABEL: version}, "ports": [{"port": 80}]},
    })
}

/// 80 % to two pods of v1, 20 % to v3, of which one pod is ready and one is not.
fn plane() -> DataPlane {
    let api = ApiServer::new(ApiServerConfig::default()).unwrap();
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        pod("a", "v1"),
        pod("b", "v1"),
        pod("c", "v3"),
        pod("d", "v3"),
        service("stable", "v1"),
        service("canary", "v3"),
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "checkout", "namespace": "shop"},
            "spec": {"rules": [{"backendRefs": [
                {"name": "stable", "port": 80, "weight": 80},
                {"name": "canary", "port": 80, "weight": 20},
            ]}]},
        }),
    ];
    for object in objects {
        api.add(object).unwrap();
    }
    let behaviour = |pod: &k8s_openapi::api::core::v1::Pod| {
        if pod.metadata.name.as_deref() == Some("d") {
            PodBehaviour::NeverReady
        } else {
            PodBehaviour::ReadyAfter(Duration::ZERO)
        }
    };
    let config = WorkloadsConfig {
        behaviour: Arc::new(behaviour),
        ..WorkloadsConfig::default()
    };
    Workloads::new(&api, config).tick(jiff::Timestamp::now());
    DataPlane::new(api, ENTRANCE)
}

#[test]
fn requests_follow_weights_selectors_and_readiness_and_versions_fail_as_they_must() {
    let plane = plane();
    let begun = Instant::now();
    plane.round(begun, Duration::from_secs(1));
    assert_eq!(
        plane.totals().requests,
        0,
        "the proxies do not know the route yet"
    );
    plane.round(begun + LAG, Duration::from_secs(1));
    let totals = plane.totals();
    assert_eq!(totals.requests, REQUESTS_PER_SECOND);
    let (good, bad) = (&totals.versions["v1"], &totals.versions["v3"]);
    assert_eq!(good.requests + bad.requests, totals.requests);
    assert!((3000..3400).contains(&bad.requests), "20 % are {bad:?}");
    assert!((200..320).contains(&bad.bad), "8 % of them are {bad:?}");
    assert!(good.bad < 40, "0.1 % are {good:?}");
    assert_eq!(totals.bad, good.bad + bad.bad);

    let scraped = plane.scrape();
    let of = |pod: &str, code: &str| {
        let fits = |l: &Labels| {
            l.get("pod").is_some_and(|p| p == pod) && l.get("code").is_some_and(|c| c == code)
        };
        scraped.iter().find(|(l, _)| fits(l)).map(|(_, v)| *v)
    };
    assert!(of("a", "200") > Some(5000.0));
    assert!(of("c", "500").is_some());
    assert_eq!(of("d", "200"), None, "what is not ready is not asked");
    let up = scraped.iter().filter(|(l, _)| l["__name__"] == "up");
    assert_eq!(up.count(), 4);
}

#[test]
fn a_route_without_ready_pods_loses_its_requests() {
    let plane = plane();
    let begun = Instant::now();
    {
        let mut state = plane.lock();
        state.table = Table {
            backends: vec![(100, Vec::new())],
        };
        state.open = true;
        state.seen = plane.api.store().version();
    }
    plane.round(begun, Duration::from_millis(100));
    let totals = plane.totals();
    assert_eq!(totals.requests, REQUESTS_PER_SECOND / 10);
    assert_eq!(totals.bad, totals.requests);
}
