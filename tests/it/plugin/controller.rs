//! The plugin and the real controller understand each other: what the one writes the other acts on,
//! and what is refused is refused in words.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::cli::error::Exit;
use tidegate::controller::run::{Config, run};
use tidegate::core::observed::Settings;

use super::lab::{DEADLINE, Lab};

/// Without pods and routes a rollout goes from step to step at once, and stops where it must.
fn rollout(image: &str) -> Value {
    json!({
        "apiVersion": "tidegate.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": {"metadata": {"labels": {"app": "checkout"}},
                "spec": {"containers": [{"name": "app", "image": image}]}},
            "strategy": {"canary": {"steps": [{"pause": {}}, {"pause": {}}]}},
        },
    })
}

async fn expect(lab: &Lab, words: &str, exit: Exit, says: &str) {
    let seen = lab.run(words).await;
    assert_eq!(seen.exit, exit, "{words}: {seen:?}");
    let all = format!("{}{}", seen.out, seen.err);
    assert!(all.contains(says), "{words}: {says:?} in {all}");
}

/// Waits until the Rollout says so.
async fn until(lab: &Lab, what: &str) {
    let wait = async {
        while !lab.run("get checkout").await.out.contains(what) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(DEADLINE, wait).await.is_err() {
        panic!("never {what:?}:\n{}", lab.run("get checkout").await.out);
    }
}

#[tokio::test]
async fn commands_are_understood_by_the_controller() {
    let lab = Lab::new();
    lab.server.add(rollout("r.example/checkout:1.4")).unwrap();
    let settings = Settings {
        settle: jiff::SignedDuration::ZERO,
    };
    let config = Config {
        settings,
        ..Config::default()
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let controller = run(config, lab.server.client_as("shop", "controller"), shutdown);
    let controller = tokio::spawn(controller);

    expect(
        &lab,
        "status checkout --wait --timeout 60s",
        Exit::Done,
        "Healthy",
    )
    .await;
    expect(
        &lab,
        "promote checkout",
        Exit::Refused,
        "there is nothing to promote",
    )
    .await;

    let next = json!({"template": {"spec": {"containers": [{"name": "app", "image": "r.example/checkout:1.5"}]}}});
    lab.set_spec(next).await;
    until(&lab, "‖ Paused").await;
    expect(&lab, "promote checkout", Exit::Done, "Accepted").await;
    until(&lab, "Step:       1/2 pause until promoted").await;
    expect(&lab, "pause checkout", Exit::Done, "Accepted").await;
    until(&lab, "Manual").await;
    expect(&lab, "resume checkout", Exit::Done, "Accepted").await;
    expect(
        &lab,
        "restart checkout",
        Exit::Refused,
        "spec.replicas is 0",
    )
    .await;
    expect(&lab, "abort checkout", Exit::Done, "Accepted").await;
    expect(
        &lab,
        "status checkout --wait --timeout 60s",
        Exit::Aborted,
        "✖ Aborted",
    )
    .await;
    until(&lab, "revision 2 aborted").await;
    until(&lab, "↩ checkout-").await;
    expect(
        &lab,
        "abort checkout",
        Exit::Done,
        "Nothing to do: aborted at",
    )
    .await;
    expect(&lab, "retry checkout", Exit::Done, "Accepted").await;
    until(&lab, "attempt 2").await;
    expect(&lab, "promote checkout --full", Exit::Done, "Accepted").await;
    expect(
        &lab,
        "status checkout --wait --timeout 60s",
        Exit::Done,
        "Healthy",
    )
    .await;
    until(&lab, "r.example/checkout:1.5 (stable)").await;

    // A value that was written for another moment, as by somebody who looked away.
    let late = json!({"metadata": {"annotations": {"tidegate.io/promote": "1/0 2026-11-21T12:00:00Z bob"}}});
    let patch = kube::api::Patch::Merge(late);
    lab.rollouts()
        .patch("checkout", &Default::default(), &patch)
        .await
        .unwrap();
    until(&lab, "promote for 1/0 by bob").await;
    until(&lab, "Refused: it was meant for revision 1").await;

    stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, controller)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
