//! The real controller against the API server in memory.

mod rules;
pub mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::controller::error::RunError;
use tidegate::controller::lease::{Election, Times};
use tidegate::controller::run::Config;
use tidegate::sim::apiserver::Fault;

use world::{
    EVENTS, INGRESSES, NAMESPACE, REVERTS, ROLLOUTS, ROUTES, RUNS, World, canary, config, every,
    rollout, route,
};

fn two_steps() -> Value {
    json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {"duration": "1s"}}])
}

async fn deployed(world: &World, name: &str, steps: &Value) {
    world.add_canary(name, steps);
    world.until_phase(name, "Healthy").await;
}

async fn paused_at_20(world: &World, name: &str) {
    world.set_image(name, "r/app:v2").await;
    world
        .until(&format!("{name} paused at 20"), |w| {
            w.phase(name) == "Paused" && w.weights(name) == (20, 80)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_version_comes_up_and_everything_points_at_it() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    let stable = world.rollout("web")["status"]["stable"]["hash"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(world.weights("web"), (0, 100));
    assert_eq!(world.service_hash("web-stable"), Some(stable));
    assert_eq!(world.sizes("web"), [("r/app:v1".to_owned(), 4)]);
    let outcome = &world.rollout("web")["status"]["history"][0]["outcome"];
    assert_eq!(outcome, "Initial");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_all_the_way_and_touches_nothing_else() {
    let world = World::new();
    let controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    let before = world.get(ROUTES, "web").unwrap();
    world.server.reset_audit();
    paused_at_20(&world, "web").await;
    assert_eq!(
        world.sizes("web"),
        [("r/app:v1".to_owned(), 4), ("r/app:v2".to_owned(), 1)]
    );
    world.command("web", "promote").await;
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy" && w.weights("web") == (0, 100)
        })
        .await;
    world
        .until("the old pods are gone", |w| {
            w.sizes("web") == [("r/app:v1".to_owned(), 0), ("r/app:v2".to_owned(), 4)]
        })
        .await;
    let after = world.get(ROUTES, "web").unwrap();
    assert_eq!(after["spec"], before["spec"], "the route is as it was");
    assert_eq!(
        after["metadata"]["annotations"],
        before["metadata"]["annotations"]
    );
    let outcome = &world.rollout("web")["status"]["history"][0]["outcome"];
    assert_eq!(outcome, "Promoted");
    let events = world.event_reasons();
    assert!(events.is_empty(), "all went as planned: {events:?}");

    // At rest it neither writes nor reads.
    world
        .until("rest", |w| {
            w.rollout("web")["status"]["message"] == "stable has all traffic"
        })
        .await;
    let (_, writes) = world.calls();
    assert!(writes <= 8 + 4 * 2 + 4, "{writes} writes");
    rules::at_rest(&world).await;
    controller.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_brings_the_traffic_back_and_leaves_a_record() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    world
        .patch(
            ROLLOUTS,
            "web",
            json!({"metadata": {"annotations": {"tidegate.io/abort": "now"}}}),
        )
        .await;
    world.until_phase("web", "Aborted").await;
    assert_eq!(world.weights("web"), (0, 100));
    world
        .until("the record", |w| {
            w.server.store().list(REVERTS, NAMESPACE).len() == 1
        })
        .await;
    let record = world.server.store().list(REVERTS, NAMESPACE).remove(0);
    assert_eq!(record["spec"]["rollout"]["name"], "web");
    assert_eq!(record["spec"]["cluster"], "east");
    assert_eq!(
        record["metadata"]["ownerReferences"],
        Value::Null,
        "the record outlives the Rollout"
    );
    assert_eq!(record["spec"]["changes"][0]["new"], "r/app:v2");
    world
        .until("the canary's pods are gone", |w| {
            w.sizes("web")[1] == ("r/app:v2".to_owned(), 0)
        })
        .await;
    world
        .until("the bare annotation is taken off", |w| {
            w.rollout("web")["metadata"]["annotations"]["tidegate.io/abort"].is_null()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_analysis_aborts() {
    let world = World::new();
    let _controller = world.controller();
    let threshold = json!({"query": "up", "success": "result > 0"});
    let template = json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "golden", "namespace": NAMESPACE},
        "spec": {"metrics": [{"name": "up", "threshold": threshold}]}});
    world.server.add(template).unwrap();
    deployed(
        &world,
        "web",
        &json!([{"setWeight": 20}, {"analysis": {"templates": [{"name": "golden"}]}}]),
    )
    .await;
    world.set_image("web", "r/app:v2").await;
    world
        .until("a run", |w| {
            !w.server.store().list(RUNS, NAMESPACE).is_empty()
        })
        .await;
    let run = world.server.store().list(RUNS, NAMESPACE).remove(0);
    assert_eq!(run["metadata"]["ownerReferences"][0]["kind"], "Rollout");
    let name = run["metadata"]["name"].as_str().unwrap();
    let failed = json!({"status": {"phase": "Failed", "verdict": "Fail", "message": "three times the errors"}});
    world.patch(RUNS, &format!("{name}/status"), failed).await;
    world.until_phase("web", "Aborted").await;
    assert_eq!(world.weights("web"), (0, 100));
    assert_eq!(
        world.rollout("web")["status"]["abort"]["reason"],
        "AnalysisFailed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_and_lost_answers_change_nothing_about_the_outcome() {
    let world = World::new();
    let _controller = world.controller();
    let (conflict, lost) = (every(3), every(4));
    world.faults(move |request| {
        let writes = matches!(
            request.verb.as_str(),
            "create" | "update" | "patch" | "delete"
        );
        if !writes || request.resource == "events" {
            Fault::Pass
        } else if conflict() {
            Fault::Fail(409, "Conflict")
        } else if lost() {
            Fault::ApplyThenFail(504)
        } else {
            Fault::Pass
        }
    });
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    world.command("web", "promote").await;
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy" && w.weights("web") == (0, 100)
        })
        .await;
    world
        .until("one ReplicaSet per version", |w| {
            w.sizes("web") == [("r/app:v1".to_owned(), 0), ("r/app:v2".to_owned(), 4)]
        })
        .await;
    let history = world.rollout("web")["status"]["history"].clone();
    let outcomes: Vec<&str> = history
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["Promoted", "Initial"]);
    // Conflicts are no news for people.
    assert!(
        !world.event_reasons().contains(&"Blocked".to_owned()),
        "{:?}",
        world.event_reasons()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_holds_up_neither_others_nor_an_abort() {
    let world = World::new();
    let _controller = world.controller_with(Config {
        concurrency: 2,
        ..config()
    });
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;

    // Every slot of everyday work waits for an answer that does not come.
    let hung = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&hung);
    world.faults(move |request| {
        if request.verb == "create" && request.resource == "replicasets" {
            seen.store(true, Ordering::Relaxed);
            return Fault::Hang;
        }
        Fault::Pass
    });
    for name in ["one", "two", "three", "four"] {
        world.add_canary(name, &json!([]));
    }
    world
        .until("a hanging call", |_| hung.load(Ordering::Relaxed))
        .await;
    let began = tokio::time::Instant::now();
    world.command("web", "abort").await;
    world
        .until("the traffic is back", |w| w.weights("web") == (0, 100))
        .await;
    let took = began.elapsed();
    assert!(
        took < tidegate::controller::calls::CALL_TIMEOUT,
        "it waited for the hanging calls: {took:?}"
    );
    world.until_phase("web", "Aborted").await;

    // And what hung goes on by itself.
    world.no_faults();
    for name in ["one", "two", "three", "four"] {
        world.until_phase(name, "Healthy").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_takes_the_rollout_from_its_own_hanging_work() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    let hung = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&hung);
    world.faults(move |request| {
        if request.resource == "replicasets" && matches!(request.verb.as_str(), "patch" | "create")
        {
            seen.store(true, Ordering::Relaxed);
            return Fault::Hang;
        }
        Fault::Pass
    });
    world
        .patch(ROLLOUTS, "web", json!({"spec": {"replicas": 3}}))
        .await;
    world
        .until("a hanging call", |_| hung.load(Ordering::Relaxed))
        .await;
    let began = tokio::time::Instant::now();
    world.command("web", "abort").await;
    world
        .until("the traffic is back", |w| w.weights("web") == (0, 100))
        .await;
    let took = began.elapsed();
    assert!(
        took < tidegate::controller::calls::CALL_TIMEOUT,
        "it waited for its own hanging call: {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_at_any_point_goes_on_where_it_was() {
    let world = World::new();
    let controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    controller.kill().await;
    world.command("web", "promote").await;
    // Killed again and again while it goes on.
    for _ in 0..8 {
        let controller = world.controller();
        tokio::time::sleep(Duration::from_millis(120)).await;
        controller.kill().await;
    }
    let _controller = world.controller();
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy" && w.weights("web") == (0, 100)
        })
        .await;
    world
        .until("one ReplicaSet per version", |w| {
            w.sizes("web") == [("r/app:v1".to_owned(), 0), ("r/app:v2".to_owned(), 4)]
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_weight_is_put_back_and_its_writer_named() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    let mut rules = world.get(ROUTES, "web").unwrap()["spec"]["rules"].clone();
    rules[0]["backendRefs"][0]["weight"] = json!(100);
    rules[0]["backendRefs"][1]["weight"] = json!(0);
    world
        .patch(ROUTES, "web", json!({"spec": {"rules": rules}}))
        .await;
    world
        .until("the event", |w| {
            w.event_reasons().contains(&"WeightReset".to_owned())
        })
        .await;
    world
        .until("the weight", |w| w.weights("web") == (20, 80))
        .await;
    let events = world.server.store().list(EVENTS, NAMESPACE);
    let note = events
        .iter()
        .find(|e| e["reason"] == "WeightReset")
        .unwrap()["message"]
        .as_str()
        .unwrap();
    assert!(note.contains("user changed the canary's weight"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owned_route_is_made_used_and_kept() {
    let world = World::new();
    let _controller = world.controller();
    world.add_service("web-stable", "web");
    world.add_service("web-canary", "web");
    let managed =
        json!({"parentRefs": [{"name": "edge"}], "hostnames": ["web.example"], "port": 80});
    let mut web = canary("web", &two_steps());
    web["spec"]["strategy"]["canary"]["trafficRouting"] =
        json!({"gatewayAPI": {"managedRoute": managed}});
    world.server.add(web).unwrap();
    world.until_phase("web", "Healthy").await;
    assert_eq!(world.weights("web"), (0, 100));
    paused_at_20(&world, "web").await;
    world
        .patch(
            ROUTES,
            "web",
            json!({"spec": {"hostnames": ["evil.example"]}}),
        )
        .await;
    world
        .until("the hostname is put back", |w| {
            w.get(ROUTES, "web").unwrap()["spec"]["hostnames"] == json!(["web.example"])
        })
        .await;
    world.command("web", "promote-full").await;
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy" && w.weights("web") == (0, 100)
        })
        .await;
    world.delete(ROLLOUTS, "web").await;
    world
        .until("all is gone", |w| {
            w.get(ROLLOUTS, "web").is_none() && w.get(ROUTES, "web").is_none()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_ingress_stands_beside_the_users() {
    let world = World::new();
    let _controller = world.controller();
    world.add_service("web-stable", "web");
    world.add_service("web-canary", "web");
    let backend = json!({"service": {"name": "web-stable", "port": {"number": 80}}});
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "edge", "namespace": NAMESPACE},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "a", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}});
    world.server.add(ingress).unwrap();
    let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"}});
    world.server.add(class).unwrap();
    let before = world.get(INGRESSES, "edge").unwrap();
    let mut web = canary("web", &two_steps());
    web["spec"]["strategy"]["canary"]["trafficRouting"] =
        json!({"nginx": {"ingresses": [{"name": "edge"}]}});
    world.server.add(web).unwrap();
    world.until_phase("web", "Healthy").await;
    world.set_image("web", "r/app:v2").await;
    let weight = |w: &World| {
        w.get(INGRESSES, "web-edge-canary").map(|i| {
            i["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].clone()
        })
    };
    world
        .until("weight 20", |w| {
            w.phase("web") == "Paused" && weight(w) == Some(json!("20"))
        })
        .await;
    world.command("web", "promote").await;
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy" && weight(w) == Some(json!("0"))
        })
        .await;
    assert_eq!(
        world.get(INGRESSES, "edge").unwrap(),
        before,
        "the user's Ingress is never written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn blue_green_switches_in_one_write() {
    let world = World::new();
    let _controller = world.controller();
    world.add_service("web", "web");
    world.add_service("web-preview", "web");
    let strategy = json!({"blueGreen": {"activeService": "web", "previewService": "web-preview",
        "autoPromotion": {"enabled": false}, "scaleDownDelaySeconds": 0}});
    world.server.add(rollout("web", &strategy)).unwrap();
    world.until_phase("web", "Healthy").await;
    let blue = world.service_hash("web").unwrap();
    world.set_image("web", "r/app:v2").await;
    world
        .until("a preview", |w| {
            w.phase("web") == "Paused" && w.service_hash("web-preview") != Some(blue.clone())
        })
        .await;
    assert_eq!(world.service_hash("web"), Some(blue.clone()));
    world.command("web", "promote").await;
    world
        .until("the switch", |w| {
            w.phase("web") == "Healthy" && w.service_hash("web") != Some(blue.clone())
        })
        .await;
    world
        .until("the old pods are gone", |w| {
            w.sizes("web") == [("r/app:v1".to_owned(), 0), ("r/app:v2".to_owned(), 4)]
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_rollout_gives_everything_back() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    world.delete(ROLLOUTS, "web").await;
    world
        .until("it is gone", |w| w.get(ROLLOUTS, "web").is_none())
        .await;
    assert_eq!(world.weights("web"), (0, 100));
    for name in ["web-stable", "web-canary"] {
        let service = world.get("services", name).unwrap();
        assert_eq!(service["spec"]["selector"], json!({"app": "web"}), "{name}");
        assert!(
            service["metadata"]["annotations"]
                .as_object()
                .is_none_or(|a| a.is_empty()),
            "{service}"
        );
    }
    world
        .until("its pods go with it", |w| w.sizes("web").is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_rollout_harms_no_other() {
    let world = World::new();
    let _controller = world.controller();
    // A route that does not exist, and a Service of somebody else's.
    world.server.add(canary("bad", &json!([]))).unwrap();
    deployed(&world, "web", &two_steps()).await;
    let mut thief = canary("thief", &json!([]));
    thief["spec"]["strategy"]["canary"]["stableService"] = "web-stable".into();
    world.server.add(thief).unwrap();
    world.until_phase("bad", "Invalid").await;
    world.until_phase("thief", "Invalid").await;
    let message = world.rollout("thief")["status"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("Service web-stable") && message.contains("Rollout web"),
        "{message}"
    );
    assert_eq!(world.phase("web"), "Healthy");
    assert!(world.sizes("bad").is_empty() && world.sizes("thief").is_empty());
    // It is mended, and goes on at once.
    world.add_service("bad-stable", "bad");
    world.add_service("bad-canary", "bad");
    world.server.add(route("bad")).unwrap();
    world.until_phase("bad", "Healthy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_gateway_api_is_no_hindrance() {
    let world = World::new();
    world.faults(|request| {
        if request.resource == "httproutes" {
            Fault::Fail(404, "NotFound")
        } else {
            Fault::Pass
        }
    });
    let _controller = world.controller();
    world
        .server
        .add(rollout(
            "web",
            &json!({"canary": {"steps": [{"setWeight": 50}]}}),
        ))
        .unwrap();
    world.until_phase("web", "Healthy").await;
    world.set_image("web", "r/app:v2").await;
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy"
                && w.sizes("web") == [("r/app:v1".to_owned(), 0), ("r/app:v2".to_owned(), 4)]
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespaced_controller_reads_nothing_of_the_cluster() {
    let world = World::new();
    let _controller = world.controller_with(Config {
        namespace: Some(NAMESPACE.into()),
        ..config()
    });
    let mut elsewhere = rollout("other", &json!({"canary": {}}));
    elsewhere["metadata"]["namespace"] = "default".into();
    world.server.add(elsewhere).unwrap();
    deployed(&world, "web", &two_steps()).await;
    let audit = world.server.audit();
    let read: Vec<&str> = audit
        .counts()
        .filter(|(k, _)| k.user_agent.starts_with("tidegate"))
        .map(|(k, _)| k.resource.as_str())
        .collect();
    assert!(
        !read.iter().any(|r| r.contains("clusteranalysistemplates")),
        "{read:?}"
    );
    assert_eq!(
        world
            .server
            .store()
            .get(ROLLOUTS, "default", "other")
            .unwrap()["status"]["phase"],
        Value::Null
    );
}

fn election(world: &World, identity: &str) -> Option<Election> {
    Some(Election {
        client: world.server.client("default"),
        namespace: "default".into(),
        name: "tidegate".into(),
        identity: identity.into(),
        times: Times {
            lease: Duration::from_secs(2),
            renew_deadline: Duration::from_millis(1500),
            retry: Duration::from_millis(100),
        },
        clock: Arc::new(jiff::Timestamp::now),
    })
}

fn holder(world: &World) -> String {
    let lease = world
        .server
        .store()
        .get("leases.coordination.k8s.io", "default", "tidegate");
    lease.unwrap_or_default()["spec"]["holderIdentity"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_the_next_takes_over() {
    let world = World::new();
    let one = world.controller_with(Config {
        election: election(&world, "one"),
        ..config()
    });
    world.until("one leads", |w| holder(w) == "one").await;
    let two = world.controller_with(Config {
        election: election(&world, "two"),
        ..config()
    });
    deployed(&world, "web", &two_steps()).await;
    assert_eq!(holder(&world), "one");
    // A crash: the lease runs out.
    one.kill().await;
    world.until("two leads", |w| holder(w) == "two").await;
    paused_at_20(&world, "web").await;
    // An orderly end: the lease is free at once.
    two.stop().await.unwrap();
    assert_eq!(holder(&world), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_lease_stops_and_says_so() {
    let world = World::new();
    let one = world.controller_with(Config {
        election: election(&world, "one"),
        ..config()
    });
    world.until("one leads", |w| holder(w) == "one").await;
    world.faults(|request| {
        if request.resource == "leases" {
            Fault::Fail(500, "InternalError")
        } else {
            Fault::Pass
        }
    });
    let reason = match one.ended().await {
        Err(RunError::LeaseLost { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("could not be renewed"), "{reason}");
    world.no_faults();
    // Nothing of it works on.
    world.add_canary("web", &two_steps());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.phase("web"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_end_finishes_what_has_begun() {
    let world = World::new();
    let controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    let began = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&began);
    world.faults(move |request| {
        if request.verb == "create" && request.resource == "replicasets" {
            seen.store(true, Ordering::Relaxed);
            return Fault::Delay(Duration::from_millis(400));
        }
        Fault::Pass
    });
    world.set_image("web", "r/app:v2").await;
    world
        .until("the call has begun", |_| began.load(Ordering::Relaxed))
        .await;
    controller.stop().await.unwrap();
    assert_eq!(world.sizes("web").len(), 2, "the create was ended");
    // The status was written after it: the whole plan was carried out.
    assert_eq!(world.rollout("web")["status"]["phase"], "Progressing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replaces_every_pod_one_after_the_other_and_waits_for_budgets() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    let pods = |w: &World| -> Vec<String> {
        let pods = w.server.store().list("pods", NAMESPACE);
        pods.iter()
            .map(|p| p["metadata"]["uid"].as_str().unwrap().to_owned())
            .collect()
    };
    let old = pods(&world);
    assert_eq!(old.len(), 4);
    // Times in the API are whole seconds; a pod of the same second is not older.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let refused = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&refused);
    world.faults(move |request| {
        // The first eviction meets a disruption budget.
        if request.subresource == "eviction" && !seen.swap(true, Ordering::Relaxed) {
            return Fault::Fail(429, "TooManyRequests");
        }
        assert!(
            request.resource != "pods" || request.verb != "delete",
            "a pod was deleted past its budget"
        );
        Fault::Pass
    });
    world.command("web", "restart").await;
    world
        .until("a refusal", |_| refused.load(Ordering::Relaxed))
        .await;
    assert_eq!(pods(&world), old, "nothing was taken by force");
    world
        .until("other pods", |w| {
            let now = pods(w);
            now.len() == 4 && now.iter().all(|pod| !old.contains(pod))
        })
        .await;
    world
        .until("the end of the restart", |w| {
            w.rollout("web")["status"]["restartAt"].is_null()
        })
        .await;
    assert_eq!(world.phase("web"), "Healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_cannot_be_read_harms_no_other_and_is_said() {
    let world = World::with_foreign_crds();
    world.server.add(canary("odd", &json!([]))).unwrap();
    world
        .patch(
            ROLLOUTS,
            "odd/status",
            json!({"status": {"phase": "Glorious"}}),
        )
        .await;
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    world
        .until("the event", |w| {
            w.event_reasons().contains(&"ReconcileError".to_owned())
        })
        .await;
    paused_at_20(&world, "web").await;
    assert!(world.sizes("odd").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_that_break_and_resume_too_late_lose_nothing() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    // Changes happen while nobody can watch, and the history of them is gone afterwards.
    world.faults(|request| {
        if request.verb == "watch" || request.verb == "list" {
            Fault::Fail(503, "ServiceUnavailable")
        } else {
            Fault::Pass
        }
    });
    world.server.disconnect_watches();
    world.set_image("web", "r/app:v2").await;
    world.server.compact();
    world.no_faults();
    world
        .until("paused at 20", |w| {
            w.phase("web") == "Paused" && w.weights("web") == (20, 80)
        })
        .await;
    for _ in 0..5 {
        world.server.disconnect_watches();
        world.server.compact();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.command("web", "promote").await;
    world
        .until("the new version is stable", |w| {
            w.phase("web") == "Healthy" && w.weights("web") == (0, 100)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_takes_anothers_place_leaves_no_orphan() {
    let world = World::new();
    let _controller = world.controller();
    deployed(&world, "web", &two_steps()).await;
    paused_at_20(&world, "web").await;
    world.set_image("web", "r/app:v3").await;
    world
        .until("v3 paused at 20", |w| {
            w.phase("web") == "Paused"
                && w.weights("web") == (20, 80)
                && w.sizes("web").contains(&("r/app:v3".to_owned(), 1))
        })
        .await;
    world
        .until("v2 is gone", |w| {
            w.sizes("web").contains(&("r/app:v2".to_owned(), 0))
        })
        .await;
    world.command("web", "promote-full").await;
    world
        .until("v3 is stable", |w| {
            w.phase("web") == "Healthy" && w.sizes("web").contains(&("r/app:v3".to_owned(), 4))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_on_what_a_frozen_cache_says() {
    let world = World::new();
    let _controller = world.controller();
    let steps =
        json!([{"setWeight": 20}, {"pause": {"duration": "3s"}}, {"setWeight": 50}, {"pause": {}}]);
    deployed(&world, "web", &steps).await;
    paused_at_20(&world, "web").await;
    // From now on the watches bring nothing, and the user holds the rollout.
    let looked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&looked);
    world.faults(move |request| {
        let selector = request.query.get("labelSelector");
        let of_a_watch = request.verb == "watch"
            || (request.verb == "list" && selector.is_none_or(|s| !s.contains('=')));
        if request.verb == "get" && request.resource == "rollouts" {
            seen.store(true, Ordering::Relaxed);
        }
        if of_a_watch { Fault::Hang } else { Fault::Pass }
    });
    world.server.disconnect_watches();
    world
        .patch(ROLLOUTS, "web", json!({"spec": {"paused": true}}))
        .await;
    // The pause is over for the cache; the live look sees what the user said.
    world
        .until("a live look", |_| looked.load(Ordering::Relaxed))
        .await;
    world
        .until("the hold is noted", |w| {
            w.rollout("web")["status"]["pause"]["reason"] == "Manual"
        })
        .await;
    assert_eq!(world.weights("web"), (20, 80));
    world.no_faults();
    world.server.disconnect_watches();
    world
        .patch(ROLLOUTS, "web", json!({"spec": {"paused": false}}))
        .await;
    world
        .until("it goes on", |w| w.weights("web") == (50, 50))
        .await;
}
