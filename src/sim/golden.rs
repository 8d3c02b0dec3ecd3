//! Rollouts that go as planned, each in one of the ways that there are: what a crash in the middle of
//! them is held against ([`super::sweep`]).
//!
//! Whatever people do in them comes when the rollout has stood still for long, so that a controller
//! that was away for some seconds finds the same situation.

#![expect(
    clippy::indexing_slicing,
    reason = "objects that are written right here: indexing adds what is missing"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "json!({..}) reads better than &json!({..})"
)]

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::history::{Happening, History};
use super::world::{Behaviour, Judgement, Readiness};

/// A rollout that goes as planned.
pub struct Golden {
    /// Its name.
    pub name: &'static str,
    /// What happens in it.
    pub history: History,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Golden> {
    let paused = json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "10s"}}]);
    let one_by_route = || routed(json!({"httpRoutes": [{"name": "web"}]}), &paused);
    let v2 = || Happening::Apply("r/a:v2".to_owned());
    let does = |verb: &'static str| Happening::Command(verb);
    let bad = |history: History| with(history, Judgement::Bad, Readiness::Gets);
    vec![
        golden("first deployment", one_by_route(), vec![]),
        golden(
            "promoted",
            one_by_route(),
            vec![(40, v2()), (160, does("promote"))],
        ),
        golden(
            "promoted at once",
            one_by_route(),
            vec![(40, v2()), (160, does("promote-full"))],
        ),
        golden("judged good", judged(), vec![(40, v2())]),
        golden(
            "judged bad, out of Git",
            judged(),
            vec![(40, Happening::Commit("r/a:v2".to_owned()))],
        )
        .changed(|mut history| {
            history.gitops = true;
            bad(history)
        }),
        golden(
            "given up by a person",
            one_by_route(),
            vec![(40, v2()), (160, does("abort"))],
        ),
        golden(
            "given up, and tried again",
            one_by_route(),
            vec![
                (40, v2()),
                (160, does("abort")),
                (300, does("retry")),
                (450, does("promote")),
            ],
        ),
        golden(
            "superseded",
            one_by_route(),
            vec![
                (40, v2()),
                (160, Happening::Apply("r/a:v3".to_owned())),
                (320, does("promote")),
            ],
        ),
        golden(
            "back to stable",
            one_by_route(),
            vec![(40, v2()), (160, Happening::Apply("r/a:v1".to_owned()))],
        ),
        golden(
            "deleted",
            one_by_route(),
            vec![(40, v2()), (160, Happening::Delete)],
        ),
        golden("never ready", one_by_route(), vec![(40, v2())])
            .changed(|history| with(history, Judgement::Good, Readiness::Never)),
        golden(
            "scaled on the way",
            one_by_route(),
            vec![
                (40, v2()),
                (160, Happening::Scale(7)),
                (260, does("promote")),
            ],
        ),
        golden("restarted", one_by_route(), vec![(60, does("restart"))]),
        golden(
            "two routes",
            routed(
                json!({"httpRoutes": [{"name": "web"}, {"name": "api"}]}),
                &paused,
            ),
            vec![(40, v2()), (160, does("promote"))],
        ),
        golden(
            "a route of its own",
            routed(
                json!({"managedRoute": {"parentRefs": [{"name": "public"}], "port": 80}}),
                &paused,
            ),
            vec![(40, v2()), (160, does("promote"))],
        ),
        golden(
            "ingress-nginx",
            nginx(&paused),
            vec![(40, v2()), (160, does("promote"))],
        ),
        golden(
            "by pod counts",
            json!({"canary": {"steps": paused}}),
            vec![(40, v2()), (160, does("promote"))],
        ),
        golden(
            "by pod counts, given up",
            json!({"canary": {"steps": paused}}),
            vec![(40, v2()), (160, does("abort"))],
        ),
        golden("blue/green", blue_green(), vec![(40, v2())]),
        golden("blue/green, switched back", blue_green(), vec![(40, v2())]).changed(|history| {
            let mut history = bad(history);
            history.spec["strategy"]["blueGreen"]["prePromotionAnalysis"] = Value::Null;
            history
        }),
        golden(
            "stable follows its traffic",
            one_by_route(),
            vec![(40, v2()), (160, does("promote"))],
        )
        .changed(|history| canary(history, "dynamicStableScale", json!(true))),
        golden(
            "roles",
            one_by_route(),
            vec![(40, v2()), (160, does("promote"))],
        )
        .changed(|history| {
            let role = |role: &str| json!({"labels": {"role": role}});
            let history = canary(history, "stableMetadata", role("stable"));
            canary(history, "canaryMetadata", role("canary"))
        }),
        golden(
            "by header",
            one_by_route(),
            vec![(40, v2()), (160, does("promote"))],
        )
        .changed(|history| {
            let testers = json!({"setHeaderRoute": {"name": "testers",
                    "match": [{"header": "x-tester", "exact": "yes"}]}});
            let steps = json!([testers, {"pause": {}}, {"setWeight": 50}]);
            canary(history, "steps", steps)
        }),
        golden(
            "copies of requests",
            one_by_route(),
            vec![(40, v2()), (160, does("promote"))],
        )
        .changed(|history| {
            let copies = json!({"setMirrorRoute": {"name": "shadow", "percent": 50}});
            let gone = json!({"setMirrorRoute": {"name": "shadow"}});
            let steps = json!([copies, {"pause": {}}, gone, {"setWeight": 50}]);
            canary(history, "steps", steps)
        }),
        golden(
            "with a control group",
            one_by_route(),
            vec![(40, v2()), (160, does("promote"))],
        )
        .changed(|history| canary(history, "baseline", json!({"replicas": 2}))),
        golden(
            "in a Deployment's place",
            one_by_route(),
            vec![(60, v2()), (160, does("promote"))],
        )
        .changed(|history| in_place_of(history, "OnSuccess")),
        golden(
            "in a Deployment's place, pod by pod",
            json!({"canary": {"steps": paused}}),
            vec![(90, v2()), (200, does("promote"))],
        )
        .changed(|history| in_place_of(history, "Progressively")),
        golden(
            "given back to its Deployment",
            one_by_route(),
            vec![(90, Happening::Delete)],
        )
        .changed(|history| in_place_of(history, "Progressively")),
        golden(
            "kept after it was given up",
            one_by_route(),
            vec![(40, v2()), (160, does("abort"))],
        )
        .changed(|history| canary(history, "keepOnAbort", json!(true))),
    ]
}

fn golden(name: &'static str, strategy: Value, happenings: Vec<(i64, Happening)>) -> Golden {
    let spec = json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}},
                     "spec": {"containers": [{"name": "app", "image": "r/a:v1"}]}},
        "progressDeadlineSeconds": 120,
        "strategy": strategy,
        "gitRevert": {"mode": "Push", "on": ["Failed", "Deadline"]},
    });
    let at = |(seconds, what): (i64, Happening)| (SignedDuration::from_secs(seconds), what);
    Golden {
        name,
        history: History {
            seed: 1,
            spec,
            other: None,
            instances: 1,
            gitops: false,
            behaviours: Vec::new(),
            happenings: happenings.into_iter().map(at).collect(),
        },
    }
}

impl Golden {
    fn changed(mut self, change: impl FnOnce(History) -> History) -> Self {
        self.history = change(self.history);
        self
    }
}

/// Version 2 behaves so.
fn with(mut history: History, judgement: Judgement, readiness: Readiness) -> History {
    let behaviour = Behaviour {
        readiness,
        judgement,
        ..Behaviour::default()
    };
    history.behaviours = vec![("r/a:v2".to_owned(), behaviour)];
    history
}

/// The template is a Deployment's.
fn in_place_of(mut history: History, scale_down: &str) -> History {
    history.spec["workloadRef"] = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "name": "web", "scaleDown": scale_down});
    history
}

fn canary(mut history: History, field: &str, value: Value) -> History {
    history.spec["strategy"]["canary"][field] = value;
    history
}

fn routed(gateway: Value, steps: &Value) -> Value {
    json!({"canary": {
        "stableService": "stable", "canaryService": "canary",
        "trafficRouting": {"gatewayAPI": gateway}, "steps": steps,
        "scaleDownDelaySeconds": 10, "abortScaleDownDelaySeconds": 10,
    }})
}

fn nginx(steps: &Value) -> Value {
    let mut strategy = routed(Value::Null, steps);
    strategy["canary"]["trafficRouting"] = json!({"nginx": {"ingresses": [{"name": "web"}]}});
    strategy
}

fn judged() -> Value {
    let steps = json!([{"setWeight": 20}, {"analysis": {"templates": [{"name": "errors"}]}},
        {"setWeight": 60}, {"pause": {"duration": "10s"}}]);
    let mut strategy = routed(json!({"httpRoutes": [{"name": "web"}]}), &steps);
    strategy["canary"]["analysis"] = json!({"templates": [{"name": "level"}]});
    strategy
}

fn blue_green() -> Value {
    json!({"blueGreen": {
        "activeService": "stable", "previewService": "canary",
        "scaleDownDelaySeconds": 20,
        "prePromotionAnalysis": {"templates": [{"name": "level"}]},
        "postPromotionAnalysis": {"templates": [{"name": "level"}]},
    }})
}
