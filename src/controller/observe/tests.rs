use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::api::revert::RELEASED_ANNOTATION;
use crate::api::rollout::HASH_LABEL;
use crate::controller::object::LAST_APPLIED;
use crate::core::observed::{RouteId, RouteState, RunPhase};
use crate::traffic::ingress_class::IngressClass;

/// Objects by kind and name, all in one namespace.
#[derive(Default)]
struct Shelf {
    objects: BTreeMap<(Kind, String), Arc<Object>>,
    siblings: Vec<(String, Arc<RolloutFacts>)>,
}

impl Shelf {
    fn put(&mut self, kind: Kind, value: Value) {
        let object = Object::new(value).unwrap();
        self.objects
            .insert((kind, object.name().to_owned()), Arc::new(object));
    }
}

impl Reader for Shelf {
    async fn get(&self, kind: Kind, _: &str, name: &str) -> Result<Option<Arc<Object>>, Error> {
        Ok(self.objects.get(&(kind, name.to_owned())).cloned())
    }

    async fn list(&self, kind: Kind, _: &str, labels: &Labels) -> Result<Vec<Arc<Object>>, Error> {
        let of_kind = self
            .objects
            .iter()
            .filter(|((k, _), _)| *k == kind)
            .map(|(_, o)| o);
        let has = |o: &&Arc<Object>| labels.iter().all(|(k, v)| o.label(k) == Some(v));
        Ok(of_kind.filter(has).cloned().collect())
    }

    fn siblings(&self, _: &str, _: &str) -> Vec<(String, Arc<RolloutFacts>)> {
        self.siblings.clone()
    }

    fn gateway_classes(&self) -> Vec<Arc<Object>> {
        let of_kind = self.objects.iter();
        let of_kind = of_kind.filter(|((kind, _), _)| *kind == Kind::GatewayClass);
        of_kind.map(|(_, object)| Arc::clone(object)).collect()
    }

    fn ingress_class(&self, _: &str) -> IngressClass {
        IngressClass::Unknown
    }

    fn deployments(&self, _: &str, such: &dyn Fn(&DeploymentFacts) -> bool) -> Vec<String> {
        let all = self.objects.iter();
        let deployments = all.filter(|((kind, _), _)| *kind == Kind::Deployment);
        deployments
            .filter(|(_, object)| such(&DeploymentFacts::of(object)))
            .map(|((_, name), _)| name.clone())
            .collect()
    }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "r/a:v1"}]}})
}

fn rollout() -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "5", "generation": 2,
            "creationTimestamp": "2026-01-02T00:00:00Z", "finalizers": [FINALIZER],
            "annotations": {"tidegate.io/abort": "now", LAST_APPLIED: "{}"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template(),
            "strategy": {"canary": {
                "stableService": "web-stable", "canaryService": "web-canary",
                "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
                "steps": [{"setWeight": 5}, {"analysis": {"templates": [{"name": "golden"}, {"name": "gone"}, {"name": "odd"}]}}]}}},
    })
}

fn owned(name: &str, uid: &str) -> Value {
    json!({"metadata": {
        "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "7", "generation": 4,
        "creationTimestamp": "2026-01-03T00:00:00Z",
        "labels": {ROLLOUT_LABEL: "web", HASH_LABEL: "h1"}, "annotations": {REVISION: "12"},
        "ownerReferences": [{"apiVersion": "x", "kind": "Rollout", "name": "web", "uid": uid, "controller": true}]}})
}

fn replica_set_object(name: &str, uid: &str) -> Value {
    let mut rs = owned(name, uid);
    rs["spec"] = json!({"replicas": 3, "template": {"kept": "as it is"}});
    rs["status"] = json!({"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "observedGeneration": 4,
        "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]});
    rs
}

fn seen(shelf: &Shelf) -> Snapshot {
    let settings = Settings::default();
    let observing = observe(shelf, "shop", "web", settings);
    futures::executor::block_on(observing).unwrap().unwrap()
}

fn shelf() -> Shelf {
    let mut shelf = Shelf::default();
    shelf.put(Kind::Rollout, rollout());
    shelf
}

#[test]
fn the_rollout_itself() {
    let observed = seen(&shelf()).observed;
    let rollout = &observed.rollout;
    assert_eq!((rollout.generation, rollout.has_finalizer), (2, true));
    assert_eq!(
        rollout.annotations.keys().collect::<Vec<_>>(),
        ["tidegate.io/abort"]
    );
    assert_eq!(rollout.resource_version, "5");
    assert!(rollout.spec.is_ok());
    assert_eq!(observed.services["web-stable"], None);
    assert!(observed.templates.values().all(Option::is_none) && observed.templates.len() == 3);
    let RouteState::Unusable(problem) = &observed.routes[0].state else {
        panic!()
    };
    assert!(
        problem
            .to_string()
            .contains("httpRoutes[0].name: \"web\": there is no such HTTPRoute"),
        "{problem}"
    );
}

#[test]
fn a_rollout_that_cannot_be_carried_out_is_still_seen() {
    let mut shelf = Shelf::default();
    let mut bad = rollout();
    bad["spec"]["strategy"]["canary"]["steps"] = json!([{"pause": {"duration": "soon"}}]);
    shelf.put(Kind::Rollout, bad);
    let problems = seen(&shelf).observed.rollout.spec.unwrap_err();
    assert!(problems[0].to_string().contains("\"soon\""), "{problems:?}");
    // One whose status is not one of ours is an error of this Rollout alone.
    let mut odd = rollout();
    odd["status"] = json!({"phase": "Glorious"});
    shelf.put(Kind::Rollout, odd);
    let error = futures::executor::block_on(observe(&shelf, "shop", "web", Settings::default()));
    assert!(matches!(error, Err(Error::Unreadable { .. })), "{error:?}");
}

#[test]
fn replica_sets_are_ours_by_uid_alone() {
    let mut shelf = shelf();
    shelf.put(Kind::ReplicaSet, replica_set_object("web-h1", "u1"));
    shelf.put(Kind::ReplicaSet, replica_set_object("web-h0", "u0"));
    let observed = seen(&shelf).observed;
    let [rs] = observed.replica_sets.as_slice() else {
        panic!("{:?}", observed.replica_sets)
    };
    assert_eq!(
        (rs.desired, rs.current, rs.ready, rs.available),
        (3, 3, 2, 1)
    );
    assert_eq!(
        (rs.hash.as_str(), rs.revision, rs.up_to_date),
        ("h1", 12, true)
    );
    assert_eq!(rs.failure.as_deref(), Some("exceeded quota"));
    assert_eq!(*rs.template, json!({"kept": "as it is"}));
    assert_eq!(
        observed.foreign_replica_sets,
        BTreeSet::from(["web-h0".to_owned()])
    );
}

#[test]
fn who_gave_a_replica_set_its_size() {
    let entry = |manager: &str, time: &str, field: &str| json!({"manager": manager, "time": time, "fieldsV1": {"f:spec": {format!("f:{field}"): {}}}});
    let ours = |field: &str| entry("tidegate", "2026-01-03T00:00:00Z", field);
    let scaler = "kube-controller-manager";
    let rows = [
        (vec![ours("replicas")], None),
        (vec![], None),
        (
            vec![
                ours("template"),
                entry(scaler, "2026-01-03T00:00:09Z", "replicas"),
            ],
            Some(scaler),
        ),
        // Both asked for the same.
        (
            vec![
                ours("replicas"),
                entry(scaler, "2026-01-03T00:00:09Z", "replicas"),
            ],
            None,
        ),
        // Ours is the field as long as nobody else changes it.
        (
            vec![
                ours("replicas"),
                entry(scaler, "2026-01-03T00:00:09Z", "template"),
            ],
            None,
        ),
    ];
    for (fields, expected) in rows {
        let mut shelf = shelf();
        let mut rs = replica_set_object("web-h1", "u1");
        rs["metadata"]["managedFields"] = json!(fields);
        shelf.put(Kind::ReplicaSet, rs);
        let observed = seen(&shelf).observed;
        let seen = observed.replica_sets[0].scaled_by.as_deref();
        assert_eq!(seen, expected, "{fields:?}");
    }
}

#[test]
fn the_name_of_the_wanted_version_is_looked_up_even_without_a_label() {
    let name = naming::replica_set("web", &naming::template_hash(&template(), 0));
    for (uid, ours) in [("u1", true), ("u9", false)] {
        let mut shelf = shelf();
        let mut rs = replica_set_object(&name, uid);
        rs["metadata"].as_object_mut().unwrap().remove("labels");
        shelf.put(Kind::ReplicaSet, rs);
        let observed = seen(&shelf).observed;
        assert_eq!(observed.replica_sets.iter().any(|rs| rs.name == name), ours);
        assert_eq!(observed.foreign_replica_sets.contains(&name), !ours);
    }
}

#[test]
fn runs_reverts_templates_and_routes() {
    let mut shelf = shelf();
    let mut run = owned("web-h1-12-1-1", "u1");
    run["spec"] = json!({"canaryHash": "h1", "terminate": false});
    run["status"] = json!({"phase": "Failed", "verdict": "Fail", "message": "3 times the errors"});
    shelf.put(Kind::AnalysisRun, run);
    let mut fresh = owned("web-h1-12-bg-1", "u1");
    fresh["spec"] = json!({"canaryHash": "h1"});
    shelf.put(Kind::AnalysisRun, fresh);
    let revert = |name: &str, mode: &str, phase: Option<&str>, released: bool| {
        let mut revert = owned(name, "nobody");
        revert["spec"] = json!({"mode": mode, "bad": {"hash": "h2"}});
        revert["status"] = json!({ "phase": phase });
        if released {
            revert["metadata"]["annotations"][RELEASED_ANNOTATION] = "now".into();
        }
        revert
    };
    for (name, mode, phase, released) in [
        ("a", "Push", None, false),
        ("b", "Push", Some("Planned"), false),
        ("c", "DryRun", Some("Planned"), true),
        ("d", "Push", Some("Verified"), false),
        ("e", "Push", Some("NeedsHuman"), false),
        ("f", "Push", Some("Landed"), false),
    ] {
        shelf.put(Kind::Revert, revert(name, mode, phase, released));
    }
    shelf.put(
        Kind::AnalysisTemplate,
        json!({"metadata": {"name": "golden"}, "spec": {"metrics": []}}),
    );
    shelf.put(
        Kind::AnalysisTemplate,
        json!({"metadata": {"name": "odd"}, "spec": {"metrics": 7}}),
    );
    shelf.put(Kind::HttpRoute, json!({"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "9"},
        "spec": {"rules": [{"backendRefs": [{"name": "web-stable", "weight": 95}, {"name": "web-canary", "weight": 5}]}]}}));
    let snapshot = seen(&shelf);
    let observed = &snapshot.observed;
    let runs: Vec<_> = observed
        .runs
        .iter()
        .map(|r| (r.phase, r.verdict.is_some(), r.message.as_str()))
        .collect();
    assert_eq!(
        runs,
        [
            (RunPhase::Failed, true, "3 times the errors"),
            (RunPhase::Pending, false, "")
        ]
    );
    let reverts: Vec<_> = observed
        .reverts
        .iter()
        .map(|r| (r.name.as_str(), r.finished, r.released))
        .collect();
    assert_eq!(
        reverts,
        [
            ("a", false, false),
            ("b", false, false),
            ("c", true, true),
            ("d", true, false),
            ("e", true, false),
            ("f", false, false)
        ]
    );
    let found: Vec<_> = observed
        .templates
        .iter()
        .map(|(k, t)| (k.name.as_str(), t.is_some()))
        .collect();
    assert_eq!(found, [("golden", true), ("gone", false), ("odd", false)]);
    assert_eq!(observed.routes[0].id, RouteId::HttpRoute("web".into()));
    assert!(matches!(&observed.routes[0].state, RouteState::Live(live) if live.weight == 5));
    assert_eq!(snapshot.routes.len(), 1);
}

#[test]
fn of_two_rollouts_in_each_others_way_the_newer_one_is_told() {
    let facts = |created: &str, app: &str, service: &str| {
        Arc::new(RolloutFacts {
            selector: Labels::from([("app".to_owned(), app.to_owned())]),
            pod_labels: vec![Labels::from([("app".to_owned(), app.to_owned())])],
            services: BTreeSet::from([service.to_owned()]),
            created: Some(created.parse().unwrap()),
            ..RolloutFacts::default()
        })
    };
    let told = |other: Arc<RolloutFacts>| -> Vec<String> {
        let mut shelf = shelf();
        shelf.siblings = vec![("other".into(), other)];
        seen(&shelf)
            .observed
            .conflicts
            .into_iter()
            .map(|p| p.field)
            .collect()
    };
    let (older, newer) = ("2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z");
    assert_eq!(
        told(facts(older, "web", "x")),
        ["spec.selector.matchLabels"]
    );
    assert_eq!(
        told(facts(older, "y", "web-canary")),
        ["spec.strategy.canary.canaryService"]
    );
    assert!(told(facts(older, "y", "x")).is_empty());
    assert!(
        told(facts(newer, "web", "web-stable")).is_empty(),
        "the older one goes on"
    );
    // Of the same age: by name, so that never both and never none.
    assert_eq!(
        told(facts("2026-01-02T00:00:00Z", "web", "x")),
        ["spec.selector.matchLabels"]
    );
}

#[test]
fn deployments_with_pods_that_share_labels_are_seen_but_for_its_own() {
    let deployment = |name: &str, app: &str, replicas: i32| {
        json!({"metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "9"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}},
                "template": {"metadata": {"labels": {"app": app}}, "spec": template()["spec"]}}})
    };
    let mut of_a_deployment = rollout();
    let spec = of_a_deployment["spec"].as_object_mut().unwrap();
    spec.remove("template");
    let own = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "own"});
    spec.insert("workloadRef".into(), own);
    let rows = [
        (rollout(), vec!["old", "own"]),
        (of_a_deployment, vec!["old"]),
    ];
    for (rollout, expected) in rows {
        let mut shelf = Shelf::default();
        shelf.put(Kind::Rollout, rollout);
        for (name, app, replicas) in [
            ("empty", "web", 0),
            ("old", "web", 2),
            ("other", "api", 2),
            ("own", "web", 3),
        ] {
            shelf.put(Kind::Deployment, deployment(name, app, replicas));
        }
        let observed = seen(&shelf).observed;
        assert_eq!(observed.labels_shared_with, expected);
        assert!(observed.conflicts.is_empty(), "{:?}", observed.conflicts);
    }
}

#[test]
fn a_service_that_names_a_rollout_that_is_gone_is_free() {
    let owner = |siblings: Vec<(String, Arc<RolloutFacts>)>, owner: &str| {
        let mut shelf = shelf();
        shelf.siblings = siblings;
        shelf.put(
            Kind::Service,
            json!({"metadata": {"name": "web-stable", "annotations": {service::MANAGED_BY: owner}},
            "spec": {"selector": {"app": "web"}}}),
        );
        seen(&shelf).observed.services["web-stable"]
            .clone()
            .unwrap()
            .managed_by
    };
    let other = || {
        vec![(
            "other".to_owned(),
            Arc::new(RolloutFacts {
                created: Some(Timestamp::MAX),
                ..RolloutFacts::default()
            }),
        )]
    };
    assert_eq!(owner(other(), "other").as_deref(), Some("other"));
    assert_eq!(owner(vec![], "other"), None);
    assert_eq!(owner(vec![], "web").as_deref(), Some("web"));
}

#[test]
fn pods_are_read_while_a_restart_is_pending_and_only_ours() {
    let mut shelf = Shelf::default();
    let mut restarting = rollout();
    restarting["status"] = json!({"restartAt": "2026-01-04T00:00:00Z"});
    shelf.put(Kind::ReplicaSet, replica_set_object("web-h1", "u1"));
    let pod = |name: &str, owner: &str| {
        let mut pod = owned(name, owner);
        pod["metadata"]["labels"] = json!({"app": "web"});
        pod
    };
    shelf.put(Kind::Pod, pod("p1", "uid-web-h1"));
    shelf.put(Kind::Pod, pod("p2", "somebody"));
    shelf.put(Kind::Rollout, rollout());
    assert!(seen(&shelf).observed.pods.is_empty());
    shelf.put(Kind::Rollout, restarting);
    let pods = seen(&shelf).observed.pods;
    assert_eq!(
        pods.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        ["p1"]
    );
}

#[test]
fn the_template_may_be_a_deployments() {
    let mut of_a_deployment = rollout();
    let spec = of_a_deployment["spec"].as_object_mut().unwrap();
    spec.remove("template");
    spec.insert(
        "workloadRef".into(),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "scaleDown": "OnSuccess"}),
    );
    let problems = |shelf: &Shelf| seen(shelf).observed.rollout.spec.unwrap_err();
    let mut shelf = Shelf::default();
    shelf.put(Kind::Rollout, of_a_deployment.clone());
    let missing = problems(&shelf)[0].to_string();
    assert!(
        missing.starts_with("spec.workloadRef.name: Deployment web does not exist"),
        "{missing}"
    );

    let deployment = |labels: Value| {
        let mut template = template();
        template["metadata"]["labels"] = labels;
        json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "d1", "resourceVersion": "9", "generation": 3},
            "spec": {"replicas": 3, "template": template},
            "status": {"observedGeneration": 2, "replicas": 4, "availableReplicas": 2, "updatedReplicas": 1},
        })
    };
    shelf.put(Kind::Deployment, deployment(json!({"app": "web"})));
    let observed = seen(&shelf).observed;
    let spec = observed.rollout.spec.as_ref().unwrap();
    assert_eq!(
        (&spec.template, spec.images.as_slice()),
        (&template(), &["r/a:v1".to_owned()][..])
    );
    let workload = observed.workload.unwrap();
    assert_eq!(
        (
            workload.desired,
            workload.current,
            workload.available,
            workload.updated
        ),
        (3, 4, 2, 1)
    );
    assert!(!workload.up_to_date);

    // What the schema would refuse of the Rollout's own template is refused of the Deployment's.
    shelf.put(
        Kind::Deployment,
        deployment(json!({"app": "shop", "tidegate.io/role": "x"})),
    );
    let wrong: Vec<String> = problems(&shelf).iter().map(|p| p.field.clone()).collect();
    assert_eq!(
        wrong,
        [
            "spec.selector.matchLabels",
            "Deployment web: spec.template.metadata.labels"
        ]
    );

    // Both may be deleted together: what is to be given back is known all the same.
    of_a_deployment["metadata"]["deletionTimestamp"] = json!("2026-01-04T00:00:00Z");
    let mut gone = Shelf::default();
    gone.put(Kind::Rollout, of_a_deployment);
    assert!(seen(&gone).observed.rollout.spec.is_ok());
}
