//! Analyses as the controller carries them: real queries over HTTP, real verdicts, and a rollout
//! that follows them.

mod beside_metrics;
mod endpoint;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::controller::context::Clock;
use tidegate::controller::run::Config;
use tidegate::metrics_source::{Endpoint as SourceEndpoint, Source};

use crate::controller::world::{self, NAMESPACE, REVERTS, RUNS, Running, World};
use endpoint::{Behaviour, Endpoint};

/// So many times faster than the world does the controller's time run: half a minute of evidence
/// takes three seconds.
const SPEED: i32 = 10;
const PROVIDERS: &str = "metricsproviders.tidegate.io";

fn fast_clock() -> Clock {
    let begun = Timestamp::now();
    Arc::new(move || begun + Timestamp::now().duration_since(begun) * SPEED)
}

fn config(source: Option<&str>) -> Config {
    // Once per process; whoever comes later uses it too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let source = source.map(|url| {
        let endpoint = SourceEndpoint {
            url: url.to_owned(),
            timeout: Duration::from_secs(1),
            ..SourceEndpoint::default()
        };
        Source::new(endpoint).unwrap()
    });
    Config {
        default_source: source,
        clock: fast_clock(),
        ..world::config()
    }
}

fn template(metrics: &Value) -> Value {
    json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisTemplate",
        "metadata": {"name": "golden", "namespace": NAMESPACE},
        "spec": {"metrics": metrics, "warmup": {"duration": "0s"}, "promote": {"minBake": "0s"}}})
}

fn errors() -> Value {
    json!([{"name": "errors", "ratio": {
        "bad": "requests_total{code=~\"5..\", $(arm)}", "total": "requests_total{$(arm)}"}}])
}

fn steps() -> Value {
    json!([{"setWeight": 20}, {"analysis": {"templates": [{"name": "golden"}]}}])
}

/// A Rollout that has its first version, and an endpoint.
async fn shop(behaviour: Behaviour, metrics: &Value, steps: &Value) -> (World, Endpoint, Running) {
    let endpoint = Endpoint::start(behaviour).await;
    let world = World::new();
    let controller = world.controller_with(config(Some(&endpoint.url)));
    world.server.add(template(metrics)).unwrap();
    world.add_canary("web", steps);
    world.until_phase("web", "Healthy").await;
    endpoint.stable_is(stable_hash(&world).as_str());
    (world, endpoint, controller)
}

fn stable_hash(world: &World) -> String {
    let hash = &world.rollout("web")["status"]["stable"]["hash"];
    hash.as_str().unwrap_or_default().to_owned()
}

fn run(world: &World) -> Value {
    let mut runs = world.server.store().list(RUNS, NAMESPACE);
    runs.pop().unwrap_or_default()
}

fn verdict(world: &World) -> String {
    let verdict = &run(world)["status"]["verdict"];
    verdict.as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_is_promoted_on_evidence() {
    let (world, _endpoint, _controller) = shop(Behaviour::Ratio(0.001), &errors(), &steps()).await;
    let first = stable_hash(&world);
    world.set_image("web", "r/app:v2").await;
    world
        .until("v2 is stable", |w| {
            w.phase("web") == "Healthy" && stable_hash(w) != first
        })
        .await;
    let status = run(&world)["status"].clone();
    assert_eq!(
        (&status["phase"], &status["verdict"]),
        (&json!("Successful"), &json!("Pass"))
    );
    let ratio = &status["metrics"][0]["comparison"];
    assert!(
        ratio["safe"]["log"].as_f64() >= ratio["safe"]["limit"].as_f64(),
        "{ratio:#}"
    );
    assert!(
        ratio["canary"]["requests"].as_f64() >= Some(1000.0),
        "{ratio:#}"
    );
    assert!(ratio["effect"]["upper"].is_number(), "{ratio:#}");
    let asked = status["metrics"][0]["queries"].as_array().unwrap();
    assert!(
        asked.iter().all(|q| !q.as_str().unwrap().contains("$(")),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_aborted_by_its_step_or_in_the_background() {
    let background = json!([{"setWeight": 20}, {"pause": {}}]);
    for steps in [steps(), background] {
        let endpoint = Endpoint::start(Behaviour::Ratio(0.08)).await;
        let world = World::new();
        let _controller = world.controller_with(config(Some(&endpoint.url)));
        world.server.add(template(&errors())).unwrap();
        let mut rollout = world::canary("web", &steps);
        if steps[1].get("pause").is_some() {
            rollout["spec"]["strategy"]["canary"]["analysis"] =
                json!({"templates": [{"name": "golden"}]});
        }
        for service in ["web-stable", "web-canary"] {
            world.add_service(service, "web");
        }
        world.server.add(world::route("web")).unwrap();
        world.server.add(rollout).unwrap();
        world.until_phase("web", "Healthy").await;
        endpoint.stable_is(&stable_hash(&world));
        let first = stable_hash(&world);
        world.set_image("web", "r/app:v2").await;
        world.until_phase("web", "Aborted").await;
        assert_eq!(world.weights("web"), (0, 100));
        assert_eq!(stable_hash(&world), first);
        let status = world.rollout("web")["status"].clone();
        assert_eq!(status["abort"]["reason"], "AnalysisFailed");
        let message = status["abort"]["message"].as_str().unwrap();
        assert!(message.contains("were bad (8"), "{message}");
        assert_eq!(run(&world)["status"]["phase"], "Failed");
        let reverts = world.server.store().list(REVERTS, NAMESPACE);
        assert_eq!(reverts.len(), 1, "{reverts:#?}");
    }
}

/// After the switch nobody is left on the old version: what it did in the hour before is what the
/// new one is held against.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_switch_the_hour_before_is_the_reference() {
    for (ratio, verdict, says) in [
        (
            0.001,
            "Pass",
            "if it behaved like stable in the hour before",
        ),
        (0.08, "Fail", "of stable's 0.1 % in the hour before"),
    ] {
        let endpoint = Endpoint::start(Behaviour::Ratio(ratio)).await;
        let world = World::new();
        let _controller = world.controller_with(config(Some(&endpoint.url)));
        let mut template = template(&errors());
        template["spec"]["arm"] = json!({"label": "version"});
        world.server.add(template).unwrap();
        world.add_service("web", "web");
        let strategy = json!({"blueGreen": {"activeService": "web",
            "postPromotionAnalysis": {"templates": [{"name": "golden"}]}}});
        world.server.add(world::rollout("web", &strategy)).unwrap();
        world.until_phase("web", "Healthy").await;
        let first = stable_hash(&world);
        endpoint.stable_is(&first);
        world.set_image("web", "r/app:v2").await;
        world
            .until(&format!("{verdict} of {ratio}"), |w| {
                let over = if verdict == "Pass" {
                    "Healthy"
                } else {
                    "Aborted"
                };
                w.phase("web") == over && run(w)["status"]["completedAt"].is_string()
            })
            .await;
        let run = run(&world);
        assert_eq!(run["spec"]["reference"], "StableHistory", "{run:#}");
        let status = &run["status"];
        assert_eq!(status["verdict"], verdict, "{status:#}");
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{message}");
        let hour = status["metrics"][0]["comparison"]["baseline"]["requests"].as_f64();
        assert!(
            (hour.unwrap() - 800.0 * 3600.0).abs() < 800.0 * 30.0,
            "{hour:?}"
        );
        let back = world.service_hash("web") == Some(first.clone());
        assert_eq!(back, verdict == "Fail", "{ratio}");
    }
}

/// What the endpoint does, the verdict that holds, and what is said of it.
const HOLDS: &[(Behaviour, &str, &str)] = &[
    (Behaviour::Broken, "SourceError", "500"),
    (Behaviour::Html, "SourceError", ""),
    (Behaviour::Hangs, "SourceError", ""),
    (Behaviour::Throttles, "SourceError", ""),
    (Behaviour::Unauthorized, "SourceError", ""),
    (Behaviour::Nothing, "NoData", "no series"),
    (Behaviour::NotANumber, "NoData", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_holds_and_says_so_and_then_it_goes_on() {
    let rows = HOLDS.iter().map(|row| async move {
        let (behaviour, expected, says) = *row;
        let (world, endpoint, _controller) = shop(behaviour, &errors(), &steps()).await;
        let first = stable_hash(&world);
        world.set_image("web", "r/app:v2").await;
        world
            .until(&format!("{behaviour:?}: {expected}"), |w| {
                verdict(w) == expected && w.phase("web") == "Paused"
            })
            .await;
        let status = world.rollout("web")["status"].clone();
        let message = status["message"].as_str().unwrap_or_default();
        assert!(message.contains(says), "{behaviour:?}: {message}");
        assert!(
            !status.to_string().contains("open-sesame"),
            "{behaviour:?}: {status:#}"
        );
        assert!(
            !run(&world).to_string().contains("open-sesame"),
            "{behaviour:?}"
        );
        assert_eq!(world.weights("web"), (20, 80), "{behaviour:?}");
        assert_eq!(stable_hash(&world), first, "{behaviour:?}");
        assert_eq!(run(&world)["status"]["phase"], "Running", "{behaviour:?}");
        endpoint.behave(Behaviour::Ratio(0.001));
        world
            .until(&format!("{behaviour:?}: v2 is stable"), |w| {
                w.phase("web") == "Healthy" && stable_hash(w) != first
            })
            .await;
    });
    futures::future::join_all(rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_threshold_passes_fails_and_holds() {
    let metrics = json!([{"name": "lag", "threshold": {
        "query": "max(lag_seconds)", "success": "result < 5.0", "interval": "5s", "count": 3}}]);
    // The value, the run's phase, the Rollout's.
    for (value, phase, after) in [(1.0, "Successful", "Healthy"), (9.0, "Failed", "Aborted")] {
        let (world, endpoint, _controller) =
            shop(Behaviour::Ratio(0.001), &metrics, &steps()).await;
        endpoint.value(value);
        world.set_image("web", "r/app:v2").await;
        world
            .until(phase, |w| run(w)["status"]["phase"] == phase)
            .await;
        world.until_phase("web", after).await;
    }
    let (world, _endpoint, _controller) = shop(Behaviour::Nothing, &metrics, &steps()).await;
    world.set_image("web", "r/app:v2").await;
    world.until("held", |w| verdict(w) == "NoData").await;
    world.until_phase("web", "Paused").await;
    assert_eq!(world.weights("web"), (20, 80));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_mid_analysis_loses_no_evidence() {
    let slow = json!([{"name": "errors", "ratio": {
        "bad": "requests_total{code=~\"5..\", $(arm)}", "total": "requests_total{$(arm)}"}},
        {"name": "lag", "threshold": {"query": "max(lag_seconds)", "failure": "result > 5.0", "count": 100}}]);
    let (world, endpoint, controller) = shop(Behaviour::Ratio(0.001), &slow, &steps()).await;
    controller.kill().await;
    // Both controllers of this test have one clock: time does not go back.
    let clock = fast_clock();
    let config = || Config {
        clock: Arc::clone(&clock),
        ..config(Some(&endpoint.url))
    };
    let controller = world.controller_with(config());
    world.set_image("web", "r/app:v2").await;
    let requests = |w: &World| {
        let requests = &run(w)["status"]["metrics"][0]["comparison"]["canary"]["requests"];
        requests.as_f64().unwrap_or_default()
    };
    world.until("evidence", |w| requests(w) > 0.0).await;
    controller.kill().await;
    let before = requests(&world);
    let _controller = world.controller_with(config());
    world.until("more evidence", |w| requests(w) > before).await;
    // Every request is counted once: no more than the time since the start allows.
    let status = run(&world)["status"].clone();
    let since: Timestamp = run(&world)["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let cursor = &status["metrics"][0]["comparison"]["sampler"]["cursor"];
    let seconds = cursor.as_i64().unwrap() - since.as_second();
    assert!(
        requests(&world) <= 200.0 * (seconds + 1) as f64,
        "{status:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_says_whom_analyses_may_ask() {
    let endpoint = Endpoint::start(Behaviour::Ratio(0.001)).await;
    let world = World::new();
    let provider = |name: &str, allowed: Value| {
        json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "MetricsProvider",
            "metadata": {"name": name},
            "spec": {"allowedNamespaces": allowed, "prometheus": {
                "url": endpoint.url, "headers": [{"name": "X-Scope-OrgID", "value": "shop"}],
                "auth": {"basic": {"secretRef": {"namespace": "default", "name": "reader"}}}}}})
    };
    world
        .server
        .add(provider("main", json!({"names": [NAMESPACE]})))
        .unwrap();
    world
        .server
        .add(provider("other", json!({"matchLabels": {"team": "other"}})))
        .unwrap();
    let ready = |world: &World, name: &str| {
        let provider = world.server.store().get(PROVIDERS, "", name);
        provider.unwrap_or_default()["status"]["conditions"][0].clone()
    };
    let _controller = world.controller_with(config(None));
    world
        .until("no Secret", |w| {
            ready(w, "main")["reason"] == "SecretUnreadable"
        })
        .await;
    world
        .server
        .add(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "reader", "namespace": "default"},
            "data": {"username": "cmVhZGVy", "password": "aHVudGVyMgo="}}))
        .unwrap();
    // A change of the provider is looked at at once.
    let path = "/apis/tidegate.io/v1alpha1/metricsproviders/main?fieldManager=user";
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(
            json!({"spec": {"timeoutSeconds": 5}})
                .to_string()
                .into_bytes(),
        )
        .unwrap();
    world.user.request::<Value>(request).await.unwrap();
    world
        .until("it is ready", |w| ready(w, "main")["status"] == "True")
        .await;
    assert_eq!(endpoint.header("x-scope-orgid").unwrap(), "shop");
    // reader:hunter2, without the line break.
    assert_eq!(
        endpoint.header("authorization").unwrap(),
        "Basic cmVhZGVyOmh1bnRlcjI="
    );

    let of_its_own = |name: &str, provider: Option<&str>| {
        let mut run = json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"warmup": {"duration": "0s"},
                "metrics": [{"name": "lag", "threshold": {"query": "max(lag)", "success": "result < 5.0"}}]}});
        if let Some(provider) = provider {
            run["spec"]["provider"] = provider.into();
        }
        run
    };
    // The provider, and the reason in the run's status.
    let rows = [
        ("good", Some("main"), "Pass"),
        ("not-for-us", Some("other"), "ProviderNotAllowed"),
        ("unknown", Some("nobody"), "ProviderNotFound"),
        ("none", None, "NoProvider"),
    ];
    for (name, provider, _) in rows {
        world.server.add(of_its_own(name, provider)).unwrap();
    }
    for (name, _, expected) in rows {
        world
            .until(&format!("{name}: {expected}"), |w| {
                let status = w.get(RUNS, name).unwrap_or_default()["status"].clone();
                status["reason"] == expected
                    || status["message"]
                        .as_str()
                        .unwrap_or_default()
                        .contains(expected)
            })
            .await;
    }
    assert_eq!(
        world.get(RUNS, "good").unwrap()["status"]["phase"],
        "Successful"
    );
    // One that is to end ends, and that is no verdict about a version.
    world
        .patch(RUNS, "unknown", json!({"spec": {"terminate": true}}))
        .await;
    world
        .until("it ends", |w| {
            w.get(RUNS, "unknown").unwrap()["status"]["phase"] == "Terminated"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_carried_says_why() {
    let world = World::new();
    let _controller = world.controller_with(config(None));
    world
        .server
        .add(json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": "odd", "namespace": NAMESPACE},
            "spec": {"metrics": [{"name": "lag", "threshold": {"query": "max(lag)", "success": "result <"}}]}}))
        .unwrap();
    world
        .until("InvalidSpec", |w| {
            let status = w.get(RUNS, "odd").unwrap_or_default()["status"].clone();
            status["reason"] == "InvalidSpec"
                && status["phase"] == "Inconclusive"
                && status["message"]
                    .as_str()
                    .unwrap_or_default()
                    .contains("success")
        })
        .await;
}
