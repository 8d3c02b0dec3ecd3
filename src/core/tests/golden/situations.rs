//! The situations in which the planner is asked what it does.

use serde_json::{Value, json};

use super::super::workload::in_place_of;
use super::super::world::World;
use super::super::{by_pods, deployed, routed};
use crate::api::analysis_status::RunPhase;
use crate::api::rollout_status::Phase;
use crate::core::decide::decide;
use crate::core::observed::{Observed, PodObserved};
use crate::core::spec::Problem;

/// A situation: what leads to it, and what is seen otherwise than it is.
pub(super) type Situation = (&'static str, fn() -> World, Option<fn(&mut Observed)>);

fn steps() -> Value {
    json!([{"setWeight": 20}, {"pause": {"duration": "60s"}}, {"setWeight": 50}, {"pause": {}}])
}

/// The second version is on its way, and has a fifth of the traffic.
fn at_20() -> World {
    let mut world = deployed(steps());
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!((world.phase(), world.weight), (Phase::Paused, 20));
    world
}

fn aborted() -> World {
    let mut world = at_20();
    world.command("abort");
    world.run(60);
    assert_eq!(world.phase(), Phase::Aborted);
    world
}

/// Half of the traffic is on trial.
fn judged() -> World {
    let mut world = deployed(json!([
        {"setWeight": 50}, {"analysis": {"templates": [{"name": "errors"}]}}, {"setWeight": 80}
    ]));
    world.set_image("r/a:v2");
    world.run(20);
    assert_eq!(world.runs.len(), 1, "{}", world.tail());
    world
}

fn blue_green(more: Value) -> World {
    let mut strategy =
        json!({"blueGreen": {"activeService": "active", "previewService": "preview"}});
    json_patch::merge(&mut strategy["blueGreen"], &more);
    let mut world = World::new(strategy);
    world.run(20);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world
}

fn pods() -> World {
    let mut world = World::new(by_pods(json!([{"setWeight": 50}, {"pause": {}}])));
    world.run(20);
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.tail());
    world
}

/// Time passes until there is something to do.
fn moment(mut world: World) -> World {
    world.converge();
    for _ in 0..4_000 {
        if !decide(&world.observe(), world.now).is_settled() {
            return world;
        }
        world.tick();
    }
    panic!("nothing to do:\n{}", world.tail());
}

/// `moment` after moment.
fn moments(mut world: World, count: usize) -> World {
    for _ in 0..count {
        world = moment(world);
        world.converge();
    }
    moment(world)
}

/// The moment after which something more comes that nothing waits for.
fn at_afterwards(mut world: World) -> World {
    while decide(&world.observe(), world.now).afterwards.is_empty() {
        if world.reconcile().is_settled() {
            world.tick();
        }
    }
    world
}

fn does(mut world: World, act: impl FnOnce(&mut World)) -> World {
    world.converge();
    act(&mut world);
    world
}

fn edited(world: World, at: &'static str, value: Value) -> World {
    does(world, |w| {
        *w.spec.pointer_mut(at).unwrap() = value;
        w.generation += 1;
    })
}

fn begins(world: World) -> World {
    does(world, |w| w.set_image("r/a:v2"))
}

pub(super) fn situations() -> Vec<Situation> {
    vec![
        (
            "a Rollout that nobody has looked at",
            || World::new(routed(steps())),
            None,
        ),
        (
            "the first version's pods are there",
            || moment(World::new(routed(steps()))),
            None,
        ),
        ("a settled Rollout", || deployed(steps()), None),
        ("a new version", || begins(deployed(steps())), None),
        (
            "its first pods are there",
            || moment(begins(deployed(steps()))),
            None,
        ),
        (
            "what the Services say is known everywhere",
            || moments(begins(deployed(steps())), 1),
            None,
        ),
        (
            "the gateway has accepted the weight",
            || moments(begins(deployed(steps())), 2),
            None,
        ),
        ("a pause is over", || moment(at_20()), None),
        (
            "a pause is ended by hand",
            || does(at_20(), |w| w.command("promote")),
            None,
        ),
        (
            "all steps are skipped by hand",
            || does(at_20(), |w| w.command("promote-full")),
            None,
        ),
        (
            "the last step is done",
            || {
                let mut world = at_20();
                world.run(90);
                does(world, |w| w.command("promote"))
            },
            None,
        ),
        (
            "the old version's delay is over",
            || {
                let mut world = deployed(json!([{"setWeight": 50}]));
                world.set_image("r/a:v2");
                world.run(30);
                moment(world)
            },
            None,
        ),
        ("an abort", || does(at_20(), |w| w.command("abort")), None),
        (
            "an abort in one word",
            || {
                does(at_20(), |w| {
                    w.annotations
                        .insert("tidegate.io/abort".into(), "now".into());
                })
            },
            None,
        ),
        (
            "the traffic is back after an abort",
            || {
                let mut world = does(at_20(), |w| w.command("abort"));
                world.reconcile();
                moment(world)
            },
            None,
        ),
        (
            "another try after an abort",
            || does(aborted(), |w| w.command("retry")),
            None,
        ),
        (
            "the fix after an abort",
            || does(aborted(), |w| w.set_image("r/a:v3")),
            None,
        ),
        (
            "the change is taken out after an abort",
            || does(aborted(), |w| w.set_image("r/a:v1")),
            None,
        ),
        (
            "a command for another moment",
            || {
                does(at_20(), |w| {
                    let value = "2/3 2026-01-01T00:00:00Z anna".to_owned();
                    w.annotations.insert("tidegate.io/promote".into(), value);
                })
            },
            None,
        ),
        (
            "an analysis has passed",
            || does(judged(), |w| w.verdict(RunPhase::Successful)),
            None,
        ),
        (
            "an analysis has failed",
            || does(judged(), |w| w.verdict(RunPhase::Failed)),
            None,
        ),
        (
            "an analysis has come to no end",
            || does(judged(), |w| w.verdict(RunPhase::Inconclusive)),
            None,
        ),
        (
            "a version that does not come up",
            || {
                let mut world = deployed(steps());
                world.broken.insert("r/a:v2".into());
                world.set_image("r/a:v2");
                moments(world, 1)
            },
            None,
        ),
        (
            "another version in the middle",
            || does(at_20(), |w| w.set_image("r/a:v3")),
            None,
        ),
        (
            "back to stable in the middle",
            || does(at_20(), |w| w.set_image("r/a:v1")),
            None,
        ),
        (
            "a later step is edited",
            || edited(at_20(), "/strategy/canary/steps/2/setWeight", json!(60)),
            None,
        ),
        (
            "a step that was done is edited",
            || edited(at_20(), "/strategy/canary/steps/0/setWeight", json!(10)),
            None,
        ),
        (
            "more replicas in the middle",
            || does(at_20(), |w| w.set_replicas(10)),
            None,
        ),
        (
            "no replicas in the middle",
            || does(at_20(), |w| w.set_replicas(0)),
            None,
        ),
        (
            "held by the spec",
            || {
                does(at_20(), |w| {
                    w.spec["paused"] = true.into();
                    w.generation += 1;
                })
            },
            None,
        ),
        (
            "somebody has changed the weight",
            || does(at_20(), |w| w.weight = 70),
            None,
        ),
        (
            "the route cannot be used",
            || {
                does(at_20(), |w| {
                    let at = "spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0].name";
                    w.route_problem =
                        Some(Problem::new(at, "\"web\"", "an HTTPRoute that is there"));
                })
            },
            None,
        ),
        (
            "a Service is another Rollout's",
            || {
                does(deployed(steps()), |w| {
                    let service = w.services.get_mut("canary").unwrap();
                    service.managed_by = Some("cart".into());
                    w.set_image("r/a:v2");
                })
            },
            None,
        ),
        (
            "a template is missing",
            || {
                let mut world = World::new(routed(json!([
                    {"setWeight": 5}, {"analysis": {"templates": [{"name": "errors"}]}}
                ])));
                world.run(20);
                does(world, |w| {
                    w.templates.values_mut().for_each(|t| *t = None);
                    w.set_image("r/a:v2");
                })
            },
            None,
        ),
        (
            "a spec that cannot be carried out",
            at_20,
            Some(|o| {
                let at = "spec.strategy.canary.steps[1].pause.duration";
                let problem = Problem::new(at, "\"soon\"", "a number and a unit, as in 30s");
                o.rollout.spec = Err(vec![problem]);
            }),
        ),
        (
            "pods that a quota forbids",
            || {
                let mut world = deployed(steps());
                world.broken.insert("r/a:v2".into());
                world.set_image("r/a:v2");
                world.run(5);
                // A message that changes alone is written now and then.
                for _ in 0..30 {
                    world.tick();
                }
                world
            },
            Some(|o| {
                for rs in o.replica_sets.iter_mut().filter(|rs| rs.available == 0) {
                    rs.failure = Some("exceeded quota: pods, used: 4, limited: 4".into());
                }
            }),
        ),
        (
            "a version on record as rejected",
            || {
                let mut world = aborted();
                world.set_image("r/a:v1");
                world.run(60);
                does(world, |w| w.set_image("r/a:v2"))
            },
            None,
        ),
        (
            "it is deleted",
            || does(deployed(steps()), World::delete),
            None,
        ),
        (
            "it is deleted in the middle",
            || does(at_20(), World::delete),
            None,
        ),
        (
            "pods are to be replaced",
            || {
                does(deployed(steps()), |w| {
                    let of = w.hash_of("r/a:v1");
                    for name in ["p1", "p2", "p3", "p4"] {
                        w.pods.push(PodObserved {
                            name: name.into(),
                            uid: name.into(),
                            created: w.now,
                            terminating: false,
                            ready: true,
                            owner: of.clone(),
                            given: None,
                        });
                    }
                    w.tick();
                    w.command("restart");
                })
            },
            None,
        ),
        (
            "a route by header",
            || {
                let header = json!({"header": "x-beta", "exact": "1"});
                let route = json!({"setHeaderRoute": {"name": "beta", "match": [header]}});
                let mut world = deployed(json!([route, {"pause": {}}]));
                world.set_image("r/a:v2");
                moments(world, 1)
            },
            None,
        ),
        (
            "copies of requests",
            || {
                let route = json!({"setMirrorRoute": {"name": "shadow", "percent": 20}});
                let mut world = deployed(json!([route, {"pause": {}}]));
                world.set_image("r/a:v2");
                moments(world, 1)
            },
            None,
        ),
        (
            "a control group",
            || {
                let mut world = deployed(json!([{"setWeight": 25}, {"pause": {}}]));
                world.spec["strategy"]["canary"]["baseline"] = json!({"replicas": 1});
                world.set_image("r/a:v2");
                at_afterwards(world)
            },
            None,
        ),
        (
            "blue/green: a new version",
            || begins(blue_green(json!({"autoPromotion": {"enabled": false}}))),
            None,
        ),
        (
            "blue/green: the switch",
            || {
                let mut world = begins(blue_green(json!({"autoPromotion": {"enabled": false}})));
                world.run(30);
                does(world, |w| w.command("promote"))
            },
            None,
        ),
        (
            "blue/green: worse after the switch",
            || {
                let after = json!({"postPromotionAnalysis": {"templates": [{"name": "level"}]}});
                let mut world = begins(blue_green(after));
                world.run(60);
                does(world, |w| w.verdict(RunPhase::Failed))
            },
            None,
        ),
        ("by pod counts: a new version", || begins(pods()), None),
        (
            "by pod counts: its first pod is there",
            || moment(begins(pods())),
            None,
        ),
        (
            "by pod counts: an abort",
            || {
                let mut world = begins(pods());
                world.run(30);
                does(world, |w| w.command("abort"))
            },
            None,
        ),
        (
            "in a Deployment's place: its pods are not needed any more",
            || {
                let mut world = in_place_of(routed(steps()), "OnSuccess", 4);
                world.run(6);
                assert!(world.status.stable.is_some(), "{}", world.tail());
                let gives_way = |w: &World| {
                    let plan = decide(&w.observe(), w.now);
                    plan.writes
                        .iter()
                        .any(|w| w.to_string().starts_with("scale Deployment"))
                };
                while !gives_way(&world) {
                    world = moment(world);
                    if !gives_way(&world) {
                        world.converge();
                    }
                }
                world
            },
            None,
        ),
        (
            "in a Deployment's place: the Rollout is deleted",
            || {
                let mut world = in_place_of(routed(steps()), "OnSuccess", 4);
                world.run(90);
                does(world, World::delete)
            },
            None,
        ),
    ]
}
