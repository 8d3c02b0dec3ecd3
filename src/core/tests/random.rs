//! Random histories: whatever happens in whatever order, the invariants hold at every write, and
//! when it stops happening, every rollout ends.

use serde_json::{Value, json};

use super::world::World;
use super::{by_pods, routed};
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::Phase;

/// A deterministic stream of numbers (splitmix64): one seed, one history.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn strategies() -> Vec<Value> {
    let steps = json!([{"setWeight": 20}, {"pause": {"duration": "10s"}},
        {"analysis": {"templates": [{"name": "errors"}]}}, {"setWeight": 60}, {"pause": {}}]);
    let analysis = json!({"templates": [{"name": "errors"}]});
    let watched = |mut strategy: Value| {
        strategy["canary"]["analysis"] = json!({"templates": [{"name": "level"}]});
        strategy
    };
    let with_capacity = |mut strategy: Value| {
        strategy["canary"]["dynamicStableScale"] = json!(true);
        strategy["canary"]["minPodsPerReplicaSet"] = json!(2);
        strategy["canary"]["keepOnAbort"] = json!(true);
        strategy
    };
    let with_baseline = |mut strategy: Value| {
        strategy["canary"]["baseline"] = json!({"replicas": 2});
        strategy
    };
    vec![
        routed(steps.clone()),
        with_baseline(routed(steps.clone())),
        watched(routed(steps.clone())),
        watched(by_pods(steps.clone())),
        watched(routed(json!([{"setWeight": 40}, {"setWeight": 100}]))),
        routed(json!([])),
        with_capacity(watched(routed(steps.clone()))),
        watched(routed(json!([
            {"setHeaderRoute": {"name": "beta", "match": [{"header": "x-beta", "exact": "1"}]}},
            {"pause": {"duration": "10s"}}, {"setWeight": 30},
            {"setMirrorRoute": {"name": "shadow", "percent": 50}},
            {"setHeaderRoute": {"name": "inside", "match": [{"header": "x-inside", "regex": ".+"}]}},
            {"pause": {}}, {"setHeaderRoute": {"name": "beta"}}, {"setWeight": 60}, {"pause": {}},
            {"setMirrorRoute": {"name": "shadow"}},
        ]))),
        by_pods(steps),
        json!({"blueGreen": {"activeService": "active", "previewService": "preview",
            "previewReplicaCount": 1, "prePromotionAnalysis": analysis,
            "postPromotionAnalysis": {"templates": [{"name": "level"}]}, "scaleDownDelaySeconds": 5}}),
    ]
}

fn history(seed: u64) {
    let mut random = Seeded(seed);
    let all = strategies();
    let mut world = World::new(all[(seed % all.len() as u64) as usize].clone());
    world.run(15);
    for _ in 0..40 {
        match random.below(13) {
            0 | 1 => {
                let version = 1 + random.below(4);
                world.set_image(&format!("r/a:v{version}"));
            }
            2 => world.command("abort"),
            3 => world.command("promote"),
            4 => world.command("promote-full"),
            5 => world.command("retry"),
            6 => world.command(if random.below(2) == 0 {
                "pause"
            } else {
                "resume"
            }),
            7 => world.set_replicas(1 + random.below(8) as i32),
            8 => world.verdict(RunPhase::Successful),
            9 => world.verdict(RunPhase::Failed),
            10 => world.verdict(RunPhase::Inconclusive),
            // The controller dies after its writes and before its status: the status is the old one.
            11 => {
                let before = world.status.clone();
                world.reconcile();
                world.status = before;
            }
            _ => {
                if let Some(steps) = world.spec.pointer_mut("/strategy/canary/steps") {
                    steps.as_array_mut().unwrap().pop();
                }
                world.generation += 1;
            }
        }
        world.run(random.below(25) as i64);
    }
    // It stops happening: a last version, everything said yes to.
    world.command("resume");
    world.run(2);
    world.set_image("r/a:v9");
    for _ in 0..40 {
        world.run(10);
        world.verdict(RunPhase::Successful);
        world.command("promote");
    }
    world.run(60);
    assert_eq!(
        world.phase(),
        Phase::Healthy,
        "seed {seed}\n{}",
        world.tail()
    );
    let replicas = world.spec["replicas"].as_i64().unwrap() as i32;
    assert_eq!(
        world.available("r/a:v9"),
        replicas,
        "seed {seed}\n{}",
        world.tail()
    );
    let others: i32 = world.rs.values().map(|rs| rs.desired).sum::<i32>() - replicas;
    assert_eq!(others, 0, "seed {seed}\n{}", world.tail());
    let writes = world.log.len();
    world.run(300);
    assert_eq!(
        world.log.len(),
        writes,
        "seed {seed}: settled means no write\n{}",
        world.tail()
    );
}

#[test]
fn no_order_of_events_breaks_an_invariant() {
    for seed in 0..27 {
        history(seed);
    }
}
