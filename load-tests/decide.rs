//! How long one decision takes: a Rollout in mid-canary with ten ReplicaSets, an analysis running
//! and three Reverts on record. Prints one JSON object with percentiles in microseconds.
//!
//! `cargo run --release --locked --example bench_decide`

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidegate::api::analysis_status::{RunPhase, Verdict};
use tidegate::api::rollout::RolloutSpec;
use tidegate::api::rollout_status::RolloutStatus;
use tidegate::core::decide::decide;
use tidegate::core::observed::{
    LiveRoute, Observed, ReplicaSetObserved, RevertObserved, RolloutObserved, RouteId,
    RouteObserved, RouteState, RunObserved, ServiceObserved, Settings, TemplateKey,
};
use tidegate::core::{naming, spec};

/// Enough for a 99th percentile that does not move from run to run.
const ROUNDS: usize = 20_000;

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    let now: Timestamp = "2026-01-01T01:00:00Z".parse().expect("a time");
    let observed = mid_canary(now);
    let plan = decide(&observed, now);
    assert!(
        plan.is_settled(),
        "mid-canary waits for its analysis: {:?}",
        plan.writes
    );
    let mut micros: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            black_box(decide(black_box(&observed), now));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    micros.sort_by(f64::total_cmp);
    let at = |p: f64| {
        let index = (p * (ROUNDS - 1) as f64) as usize;
        micros.get(index).copied().unwrap_or_default()
    };
    let result = json!({"rounds": ROUNDS, "p50Micros": at(0.5), "p99Micros": at(0.99), "maxMicros": at(1.0)});
    println!("{result}");
}

fn mid_canary(now: Timestamp) -> Observed {
    let template = |image: &str| {
        let env: Vec<_> = (0..30)
            .map(|i| json!({"name": format!("KEY_{i}"), "value": "v"}))
            .collect();
        json!({"metadata": {"labels": {"app": "web"}},
               "spec": {"containers": [{"name": "app", "image": image, "env": env}]}})
    };
    let rollout: RolloutSpec = serde_json::from_value(json!({
        "replicas": 10,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template("r/web:v10"),
        "strategy": {"canary": {
            "stableService": "stable", "canaryService": "canary",
            "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "web"}]}},
            "steps": [{"setWeight": 20}, {"analysis": {"templates": [{"name": "errors"}]}}, {"setWeight": 50}],
        }},
    }))
    .expect("a spec");
    let parsed = spec::parse(&rollout).expect("a valid spec");
    let hash = |i: i32| naming::template_hash(&template(&format!("r/web:v{i}")), 0);
    let earlier = now
        .checked_sub(SignedDuration::from_mins(5))
        .expect("a time");
    let replica_sets = (1..=10)
        .map(|i| {
            let pods = match i {
                9 => 10,
                10 => 2,
                _ => 0,
            };
            ReplicaSetObserved {
                name: format!("web-{}", hash(i)),
                uid: hash(i),
                resource_version: "1".into(),
                hash: hash(i),
                revision: i64::from(i),
                desired: pods,
                scaled_by: None,
                current: pods,
                ready: pods,
                available: pods,
                up_to_date: true,
                generation: 1,
                template_seen: true,
                pods_given: None,
                created: earlier,
                failure: None,
                template: template(&format!("r/web:v{i}")).into(),
            }
        })
        .collect();
    let service = |name: &str, i: i32| {
        let service = ServiceObserved {
            name: name.into(),
            resource_version: "1".into(),
            uid: name.into(),
            hash: Some(hash(i)),
            switched_at: Some(earlier),
            managed_by: Some("web".into()),
            problem: None,
        };
        (name.to_owned(), Some(service))
    };
    let run = naming::analysis_run("web", &hash(10), 10, Some(1), 1);
    let errors = json!({"metrics": [{"name": "errors", "ratio": {
        "bad": "http_requests_total{code=~\"5..\",$(arm)}", "total": "http_requests_total{$(arm)}"}}]});
    let key = TemplateKey {
        name: "errors".into(),
        cluster_scope: false,
    };
    let mut observed = Observed {
        rollout: RolloutObserved {
            namespace: "shop".into(),
            name: "web".into(),
            uid: "u".into(),
            resource_version: "1".into(),
            generation: 10,
            deleted_at: None,
            has_finalizer: true,
            annotations: BTreeMap::new(),
            spec: Ok(parsed.clone()),
            status: status(&parsed, &hash(9), &hash(10), earlier, &run),
        },
        replica_sets,
        baselines: Vec::new(),
        foreign_replica_sets: BTreeSet::new(),
        services: [service("stable", 9), service("canary", 10)].into(),
        routes: vec![RouteObserved {
            id: RouteId::HttpRoute("web".into()),
            state: RouteState::Live(LiveRoute {
                resource_version: "1".into(),
                weight: 20,
                exact: true,
                side_routes: Some(Vec::new()),
                obstacle: None,
                pending: None,
                changed_at: None,
                last_writer: None,
            }),
        }],
        workload: None,
        runs: vec![RunObserved {
            max_duration: tidegate::core::observed::RUN_MAX_DURATION,
            name: run.clone(),
            uid: run,
            resource_version: "1".into(),
            hash: hash(10),
            phase: RunPhase::Running,
            verdict: Some(Verdict::Inconclusive),
            reason: String::new(),
            message: "gathers evidence".into(),
            terminate: false,
            created: earlier,
        }],
        templates: [(
            key,
            Some(serde_json::from_value(errors).expect("a template")),
        )]
        .into(),
        reverts: (1..=3)
            .map(|i| RevertObserved {
                name: format!("web-{i}"),
                uid: i.to_string(),
                resource_version: "1".into(),
                hash: hash(i),
                attempt: 1,
                released: false,
                phase: Some("Verified".into()),
                message: None,
                commit: None,
                finished: true,
                created: earlier,
            })
            .collect(),
        conflicts: Vec::new(),
        labels_shared_with: Vec::new(),
        refused: None,
        pods: Vec::new(),
        settings: Settings::default(),
    };
    // The status is brought to its fixpoint, as it would stand in the cluster.
    while let Some(status) = decide(&observed, now).status {
        observed.rollout.status = status;
    }
    observed
}

fn status(
    spec: &spec::Spec,
    stable: &str,
    canary: &str,
    since: Timestamp,
    run: &str,
) -> RolloutStatus {
    let status = json!({
        "observedGeneration": 10,
        "phase": "Progressing",
        "stable": {"revision": 9, "hash": stable, "since": since},
        "canary": {"revision": 10, "hash": canary, "attempt": 1, "startedAt": since, "step": 1,
            "steps": 3, "stepStartedAt": since, "stepsHash": spec.steps_hash(1),
            "availableSince": since, "bestAvailable": 2, "progressAt": since, "analysisRun": run},
        "traffic": {"desired": 20, "accepted": 20, "confirmedAt": since},
    });
    serde_json::from_value(status).expect("a status")
}
