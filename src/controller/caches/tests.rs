use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> Object {
    Object::new(value).unwrap()
}

fn rollout(name: &str, version: &str, canary: &Value) -> Object {
    object(json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "r/a:v1"}]}},
            "strategy": {"canary": canary},
        },
    }))
}

fn routed(name: &str, version: &str) -> Object {
    let canary = json!({
        "stableService": format!("{name}-stable"), "canaryService": format!("{name}-canary"),
        "trafficRouting": {"nginx": {"ingresses": [{"name": "edge"}]}},
        "steps": [{"analysis": {"templates": [{"name": "golden"}, {"name": "all", "clusterScope": true}]}}],
    });
    rollout(name, version, &canary)
}

fn child(name: &str, of: Option<&str>, version: &str) -> Object {
    let labels = of
        .map(|of| json!({ROLLOUT_LABEL: of}))
        .unwrap_or_else(|| json!({}));
    object(
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version, "labels": labels}}),
    )
}

const KINDS: [Kind; 6] = [
    Kind::Rollout,
    Kind::ReplicaSet,
    Kind::Service,
    Kind::Ingress,
    Kind::AnalysisTemplate,
    Kind::ClusterAnalysisTemplate,
];

fn names(keys: BTreeSet<Key>) -> Vec<String> {
    keys.into_iter()
        .map(|(ns, name)| format!("{ns}/{name}"))
        .collect()
}

#[test]
fn a_change_concerns_those_who_name_the_object_and_nobody_else() {
    let caches = Caches::new(&KINDS, &[]);
    assert_eq!(
        names(caches.apply(Kind::Rollout, Event::Apply(routed("web", "1")))),
        ["shop/web"]
    );
    caches.apply(Kind::Rollout, Event::Apply(rollout("api", "2", &json!({}))));
    let concerned = |kind, object: Object| names(caches.apply(kind, Event::Apply(object)));
    for (kind, name) in [
        (Kind::Service, "web-stable"),
        (Kind::Service, "web-canary"),
        (Kind::Ingress, "edge"),
        (Kind::Ingress, "web-edge-canary"),
        (Kind::AnalysisTemplate, "golden"),
    ] {
        assert_eq!(
            concerned(kind, child(name, None, "3")),
            ["shop/web"],
            "{name}"
        );
    }
    let everywhere = object(json!({"metadata": {"name": "all", "resourceVersion": "4"}}));
    assert_eq!(
        concerned(Kind::ClusterAnalysisTemplate, everywhere),
        ["shop/web"]
    );
    assert_eq!(
        concerned(Kind::ReplicaSet, child("web-1", Some("web"), "5")),
        ["shop/web"]
    );
    assert_eq!(
        concerned(Kind::ReplicaSet, child("web-1", Some("web"), "5")),
        Vec::<String>::new(),
        "known"
    );
    assert_eq!(
        concerned(Kind::Service, child("other", None, "6")),
        Vec::<String>::new()
    );
    // When it no longer names the Service, it is no longer concerned.
    caches.apply(Kind::Rollout, Event::Apply(rollout("web", "7", &json!({}))));
    assert_eq!(
        concerned(Kind::Service, child("web-stable", None, "8")),
        Vec::<String>::new()
    );
}

#[test]
fn a_deployment_concerns_the_rollouts_that_share_labels_with_it() {
    let caches = Caches::new(&[Kind::Rollout, Kind::Deployment], &[]);
    for (name, version) in [("web", "1"), ("api", "2")] {
        caches.apply(
            Kind::Rollout,
            Event::Apply(rollout(name, version, &json!({}))),
        );
    }
    let deployment = |version: &str, app: &str, replicas: i32| {
        object(json!({
            "metadata": {"name": "old", "namespace": "shop", "uid": "d", "resourceVersion": version},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}},
                "template": {"metadata": {"labels": {"app": app}}}},
        }))
    };
    let with_pods = || caches.deployments("shop", &|facts| facts.has_pods);
    let apply = |object| names(caches.apply(Kind::Deployment, Event::Apply(object)));
    assert_eq!(apply(deployment("3", "web", 2)), ["shop/web"]);
    assert_eq!(with_pods(), ["old"]);
    // That it has no pods any more is news as well.
    assert_eq!(apply(deployment("4", "web", 0)), ["shop/web"]);
    assert!(with_pods().is_empty());
    let gone = caches.apply(Kind::Deployment, Event::Delete(deployment("5", "web", 0)));
    assert_eq!(names(gone), ["shop/web"]);
    assert_eq!(apply(deployment("6", "other", 2)), Vec::<String>::new());
    assert!(caches.deployments("elsewhere", &|_| true).is_empty());
}

#[test]
fn a_class_is_missing_only_where_classes_may_be_read() {
    let kinds = [Kind::Rollout, Kind::IngressClass];
    let caches = Caches::new(&kinds, &[Kind::IngressClass]);
    caches.apply(Kind::Rollout, Event::Apply(routed("web", "1")));
    caches.apply(Kind::Rollout, Event::Apply(rollout("api", "2", &json!({}))));
    let class = object(
        json!({"metadata": {"name": "nginx", "resourceVersion": "3"},
        "spec": {"controller": "k8s.io/ingress-nginx"}}),
    );
    let nginx = || IngressClass::Of("k8s.io/ingress-nginx".to_owned());
    let known = |name: &str| caches.ingress_class(name);
    assert_eq!(known("nginx"), IngressClass::Unknown);
    for event in [Event::Init, Event::InitApply(class), Event::InitDone] {
        let listed = matches!(event, Event::InitDone);
        let concerned = names(caches.apply(Kind::IngressClass, event));
        // Who names an Ingress is concerned by every class.
        assert_eq!(concerned == ["shop/web"], listed, "{concerned:?}");
    }
    assert_eq!(
        (known("nginx"), known("x")),
        (nginx(), IngressClass::Missing)
    );
    // An API server that is away takes nothing back, one that refuses does.
    caches.failed(Kind::IngressClass, false);
    assert_eq!(known("x"), IngressClass::Missing);
    caches.failed(Kind::IngressClass, true);
    assert_eq!(
        (known("nginx"), known("x")),
        (nginx(), IngressClass::Unknown)
    );
    // Where one namespace is watched, no class is.
    let none = Caches::new(&[Kind::Rollout], &[]);
    assert_eq!(none.ingress_class("nginx"), IngressClass::Unknown);
}

#[test]
fn what_a_new_list_does_not_name_was_deleted() {
    let caches = Caches::new(&KINDS, &[]);
    let list = |objects: Vec<Object>| {
        caches.apply(Kind::ReplicaSet, Event::Init);
        for object in objects {
            assert!(
                caches
                    .apply(Kind::ReplicaSet, Event::InitApply(object))
                    .is_empty()
            );
        }
        names(caches.apply(Kind::ReplicaSet, Event::InitDone))
    };
    let labels = Labels::from([(ROLLOUT_LABEL.to_owned(), "web".to_owned())]);
    let known = || -> Vec<String> {
        let found = caches.list(Kind::ReplicaSet, "shop", &labels);
        found.iter().map(|o| o.name().to_owned()).collect()
    };
    let changed = list(vec![
        child("web-1", Some("web"), "1"),
        child("web-2", Some("web"), "2"),
        child("api-1", Some("api"), "3"),
    ]);
    assert_eq!(changed, ["shop/api", "shop/web"]);
    assert_eq!(known(), ["web-1", "web-2"]);
    assert_eq!(
        list(vec![
            child("web-1", Some("web"), "1"),
            child("api-1", Some("api"), "3")
        ]),
        ["shop/web"]
    );
    assert_eq!(known(), ["web-1"]);
    // Until a list is complete, the old one holds.
    caches.apply(Kind::ReplicaSet, Event::Init);
    assert_eq!(known(), ["web-1"]);
    caches.apply(Kind::ReplicaSet, Event::InitDone);
    assert_eq!(known(), Vec::<String>::new());
    // An object of the same name with another uid is another object.
    caches.apply(
        Kind::ReplicaSet,
        Event::Apply(child("web-1", Some("web"), "9")),
    );
    caches.apply(
        Kind::ReplicaSet,
        Event::Delete(child("web-1", Some("web"), "10")),
    );
    assert_eq!(known(), Vec::<String>::new());
}

#[test]
fn siblings_are_those_of_the_namespace() {
    let caches = Caches::new(&KINDS, &[]);
    caches.apply(Kind::Rollout, Event::Apply(routed("web", "1")));
    caches.apply(Kind::Rollout, Event::Apply(routed("api", "2")));
    let mut elsewhere = routed("web", "3").value().into_owned();
    elsewhere["metadata"]["namespace"] = "shop2".into();
    caches.apply(Kind::Rollout, Event::Apply(object(elsewhere)));
    let siblings = caches.siblings("shop", "web");
    assert_eq!(siblings.len(), 1);
    assert_eq!(siblings[0].0, "api");
    assert!(siblings[0].1.services.contains("api-stable"));
    assert_eq!(caches.names(Kind::Rollout).len(), 3);
}

#[tokio::test]
async fn filling_is_waited_for_with_a_bound_that_names_what_is_missing() {
    let caches = Caches::new(
        &[Kind::Rollout, Kind::HttpRoute, Kind::Service],
        &[Kind::HttpRoute],
    );
    caches.apply(Kind::Rollout, Event::Init);
    caches.apply(Kind::Rollout, Event::InitDone);
    let missing = caches
        .wait_until_filled(Duration::from_millis(1))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("these kinds could not be listed: Service, HTTPRoute."),
        "{missing}"
    );
    assert!(
        caches.failed(Kind::HttpRoute, true),
        "it had been working until now"
    );
    assert!(!caches.failed(Kind::HttpRoute, true));
    caches.failed(Kind::Service, true);
    assert_eq!(
        caches.not_ready(),
        [Kind::Service],
        "only an optional kind may be absent"
    );
    caches.apply(Kind::Service, Event::InitDone);
    caches
        .wait_until_filled(Duration::from_secs(5))
        .await
        .unwrap();
    // A watch that fails for long is a frozen cache.
    caches.failed(Kind::Service, false);
    assert!(caches.not_ready().is_empty());
    let later = Instant::now() + FROZEN_AFTER + Duration::from_secs(1);
    assert_eq!(caches.not_ready_at(later), [Kind::Service]);
    caches.apply(Kind::Service, Event::Apply(child("x", None, "1")));
    assert!(caches.not_ready_at(later).is_empty());
}
