//! What an analysis sees besides its metrics, and runs that belong to no Rollout.

use serde_json::{Value, json};

use super::endpoint::{Behaviour, Endpoint};
use super::{config, errors, run, shop, stable_hash, steps};
use crate::controller::world::{NAMESPACE, RUNS, World};

/// The route gives the new version a fifth of the requests, and it gets a fiftieth: its good counts
/// promote nothing until it gets what it should.
#[tokio::test(flavor = "multi_thread")]
async fn another_share_than_the_weight_holds_and_says_so_and_then_it_goes_on() {
    let (world, endpoint, _controller) = shop(Behaviour::Ratio(0.001), &errors(), &steps()).await;
    endpoint.share(0.02);
    let first = stable_hash(&world);
    world.set_image("web", "r/app:v2").await;
    let says = [
        "20 % of the requests were to go to the new version",
        "2 % did in the last minutes",
    ];
    world
        .until("SplitMismatch", |w| {
            let status = w.rollout("web")["status"].clone();
            let message = status["message"].as_str().unwrap_or_default();
            says.iter().all(|says| message.contains(says))
                && status["pause"]["reason"] == "NoData"
                && w.phase("web") == "Paused"
        })
        .await;
    let split = run(&world)["spec"]["split"].clone();
    assert_eq!(split["weight"], 20, "{split}");
    assert_eq!(
        (world.weights("web"), stable_hash(&world)),
        ((20, 80), first.clone())
    );
    endpoint.share(0.2);
    world
        .until("v2 is stable", |w| {
            w.phase("web") == "Healthy" && stable_hash(w) != first
        })
        .await;
}

fn of_its_own(name: &str, spec: &Value) -> Value {
    let mut run = json!({"apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"arm": {"canary": "track=\"canary\"", "stable": "track=\"stable\""},
            "metrics": errors(), "warmup": {"duration": "0s"}, "promote": {"minBake": "0s"}}});
    for (field, value) in spec.as_object().unwrap() {
        run["spec"][field] = value.clone();
    }
    run
}

/// It is carried, judged and ended like any other; nobody's rollout is touched, and it goes when its
/// maker said.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_person_makes_is_judged_and_goes_when_its_time_is_over() {
    for (bad, phase, verdict) in [(0.001, "Successful", "Pass"), (0.08, "Failed", "Fail")] {
        let endpoint = Endpoint::start(Behaviour::Ratio(bad)).await;
        endpoint.stable_is("track=\"stable\"");
        let world = World::new();
        let _controller = world.controller_with(config(Some(&endpoint.url)));
        world.server.add(of_its_own("kept", &json!({}))).unwrap();
        let gone = of_its_own("gone", &json!({"ttlSecondsAfterFinished": 1}));
        world.server.add(gone).unwrap();
        let status =
            |w: &World, name: &str| w.get(RUNS, name).unwrap_or_default()["status"].clone();
        world
            .until(phase, |w| status(w, "kept")["phase"] == phase)
            .await;
        assert_eq!(status(&world, "kept")["verdict"], verdict);
        world
            .until("it is gone", |w| w.get(RUNS, "gone").is_none())
            .await;
        assert!(world.get(RUNS, "kept").is_some(), "nobody said how long");
        // Said later, it goes as well, and a controller that was not there when it ended knows.
        world
            .patch(
                RUNS,
                "kept",
                json!({"spec": {"ttlSecondsAfterFinished": 0}}),
            )
            .await;
        world
            .until("it is gone too", |w| w.get(RUNS, "kept").is_none())
            .await;
    }
}

/// What could not be decided in its time is said at once, in the run.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_never_decide_says_so_at_once() {
    let endpoint = Endpoint::start(Behaviour::Ratio(0.001)).await;
    let world = World::new();
    let _controller = world.controller_with(config(Some(&endpoint.url)));
    let late = json!({"metrics": [{"name": "lag", "threshold": {
        "query": "max(lag)", "success": "result < 5.0", "interval": "1h", "count": 5}}]});
    world.server.add(of_its_own("late", &late)).unwrap();
    world
        .until("InvalidSpec", |w| {
            let status = w.get(RUNS, "late").unwrap_or_default()["status"].clone();
            let message = status["message"].as_str().unwrap_or_default();
            status["reason"] == "InvalidSpec"
                && status["phase"] == "Inconclusive"
                && message.contains("metric lag cannot be decided before 4 h 0 min")
        })
        .await;
}
