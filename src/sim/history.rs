//! What happens in one simulated rollout: who does what when, and what goes wrong, drawn from a seed.
//! A list, so that a part of it can be left out and the rest played again.

#![expect(
    clippy::indexing_slicing,
    reason = "objects that are written right here: indexing adds what is missing"
)]

mod beside;
mod refusals;
mod workload;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::random::Random;
use super::world::objects::Kind;
use super::world::{Behaviour, Fault, Judgement, Readiness};

/// How long the first version has before anything happens.
pub const QUIET_BEFORE: SignedDuration = SignedDuration::from_secs(40);

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Somebody commits a version, and the GitOps loop applies it.
    Commit(String),
    /// Somebody applies a version without Git.
    Apply(String),
    /// Somebody edits the steps: the last one goes.
    EditSteps,
    /// Somebody or an autoscaler asks for so many replicas.
    Scale(i32),
    /// Somebody gives a command.
    Command(&'static str),
    /// Somebody writes the bare word.
    BareAbort,
    /// `spec.paused`.
    Hold(bool),
    /// Somebody deletes the Rollout.
    Delete,
    /// Something is wrong for so long.
    Fault(Fault, SignedDuration),
    /// A controller dies; it is back after so long, with what the API server had so many writes ago.
    Kill(usize, SignedDuration, usize),
    /// The controller dies after so many more calls.
    DieAfter(u64),
    /// So many pods of the stable version (or the other one) fail.
    PodsFail(bool, usize),
    /// Another tool gives the routes this weight.
    ResetWeight(i32),
    /// A watch loses events for so long.
    LoseEvents(Kind, SignedDuration),
    /// The controller's clock is ahead by so much from now on.
    ClockAhead(SignedDuration),
    /// Somebody deletes the ReplicaSet of a version.
    DeleteReplicaSet(bool),
    /// Somebody commits a change of the spec, and the GitOps loop applies it.
    CommitChange(Change),
    /// Somebody applies a change of the spec without Git.
    ApplyChange(Change),
    /// Somebody writes an annotation, or takes it off.
    Annotate(String, Option<String>),
    /// Somebody ends the analyses that run.
    EndAnalyses,
    /// Somebody deletes the analyses.
    DeleteAnalyses,
    /// A controller dies at the write that is so in words: before it, or after it.
    DieAt(usize, String, bool),
    /// Every controller is replaced by another one, which knows nothing but what is stored.
    Upgrade(SignedDuration),
    /// A controller's clock is ahead by so much from now on.
    ClockOf(usize, SignedDuration),
    /// This writer gives the Rollout's own routes this weight.
    ResetWeightsOf(i32, String),
    /// The load is enough for so many pods from now on.
    Demand(i32),
    /// So many pods of an image fail.
    PodsOfFail(String, usize),
    /// So many pods of an image are evicted.
    Drain(String, usize),
    /// Somebody gives the ReplicaSet of an image another size.
    ScaleReplicaSet(String, i32),
    /// Somebody gives the Deployment that the template is from another size.
    ScaleDeployment(i32),
    /// Somebody applies a Deployment of this name with so many pods.
    Deploy(String, i32),
    /// Somebody changes an object that is kept whole; who, and a JSON merge patch.
    EditObject(String, String, Value),
    /// Somebody deletes the ReplicaSet of an image.
    DeleteReplicaSetOf(String),
    /// The API server fills fields in the template of an image's ReplicaSet.
    FillIn(String, Value),
    /// Somebody lets a Service select an image's version, or all of the workload's pods.
    SwitchService(String, Option<String>),
    /// Pods of an image behave otherwise from now on.
    Behave(String, Behaviour),
}

/// A change of a spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Another template.
    pub template: Option<Value>,
    /// A JSON merge patch of the whole spec, after that.
    pub patch: Option<Value>,
}

impl Happening {
    /// Whether it is a fault, and nobody's intent.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Fault(..)
                | Self::Kill(..)
                | Self::DieAfter(_)
                | Self::PodsFail(..)
                | Self::ResetWeight(_)
                | Self::LoseEvents(..)
                | Self::ClockAhead(_)
                | Self::DeleteReplicaSet(_)
                | Self::EndAnalyses
                | Self::DeleteAnalyses
                | Self::DieAt(..)
                | Self::Upgrade(_)
                | Self::ClockOf(..)
                | Self::ResetWeightsOf(..)
                | Self::PodsOfFail(..)
                | Self::Drain(..)
                | Self::ScaleReplicaSet(..)
                | Self::ScaleDeployment(_)
                | Self::DeleteReplicaSetOf(_)
                | Self::FillIn(..)
                | Self::SwitchService(..)
                | Self::Behave(..)
        )
    }
}

/// A history.
#[derive(Clone, Debug)]
pub struct History {
    /// Where it comes from, and all of chance in its course.
    pub seed: u64,
    /// The spec of the Rollout.
    pub spec: Value,
    /// A second Rollout, and its spec.
    pub other: Option<Value>,
    /// Instances of the controller.
    pub instances: usize,
    /// Whether a GitOps loop applies what Git says.
    pub gitops: bool,
    /// How versions behave.
    pub behaviours: Vec<(String, Behaviour)>,
    /// What happens, and when.
    pub happenings: Vec<(SignedDuration, Happening)>,
}

/// Images that versions have.
const IMAGES: [&str; 5] = ["r/a:v2", "r/a:v3", "r/a:v4", "r/a:v5", "r/a:v1"];

impl History {
    /// The history of a seed, with about so many faults.
    #[must_use]
    pub fn of(seed: u64, faults: u64) -> Self {
        let mut history = Self::without_beside(seed, faults);
        beside::add(&mut Random::new(seed.rotate_left(48)), &mut history);
        history
    }

    /// The same for a canary that has nothing beside its weight but header routes.
    #[must_use]
    pub fn without_beside(seed: u64, faults: u64) -> Self {
        let mut history = Self::without_refusals(seed, faults);
        refusals::add(&mut Random::new(seed.rotate_left(16)), &mut history);
        history
    }

    /// The same where the API server takes every ReplicaSet.
    #[must_use]
    pub fn without_refusals(seed: u64, faults: u64) -> Self {
        let mut history = Self::without_workload(seed, faults);
        workload::add(&mut Random::new(seed.rotate_left(32)), &mut history);
        history
    }

    /// The same for a Rollout that has its template itself.
    #[must_use]
    pub fn without_workload(seed: u64, faults: u64) -> Self {
        let mut history = Self::without_rules(seed, faults);
        // Chance of their own: all else stays as it is without them.
        rules(&mut Random::new(!seed), &mut history.spec);
        history
    }

    /// The same for a Rollout that has none of the rules that it may have besides.
    #[must_use]
    pub fn without_rules(seed: u64, faults: u64) -> Self {
        let mut random = Random::new(seed);
        let spec = spec(&mut random);
        let other = (random.below(8) == 0).then(|| self::spec(&mut random));
        let mut history = Self {
            seed,
            spec,
            other,
            instances: if random.below(3) == 0 { 2 } else { 1 },
            gitops: random.below(2) == 0,
            behaviours: behaviours(&mut random),
            happenings: Vec::new(),
        };
        let span = random.between(120, 900);
        let intents = random.between(2, 9);
        for _ in 0..intents {
            let what = intent(&mut random, history.gitops);
            history.happenings.push((at(&mut random, span), what));
        }
        // There is always something to bring out.
        let image = random
            .one_of(&IMAGES[..4])
            .copied()
            .unwrap_or_default()
            .to_owned();
        let what = match history.gitops {
            true => Happening::Commit(image),
            false => Happening::Apply(image),
        };
        history.happenings.push((at(&mut random, span / 4), what));
        let number = faults / 2 + random.below(faults + 1);
        for _ in 0..number {
            let what = fault(&mut random, &history);
            history.happenings.push((at(&mut random, span), what));
        }
        history.happenings.sort_by_key(|(at, _)| *at);
        history
    }

    /// Faults in it.
    #[must_use]
    pub fn faults(&self) -> u64 {
        let faults = self.happenings.iter().filter(|(_, what)| what.is_fault());
        faults.count() as u64
    }
}

fn at(random: &mut Random, span: i64) -> SignedDuration {
    QUIET_BEFORE + SignedDuration::from_millis(random.between(0, span * 1000))
}

/// A Rollout, in one of the ways that there are.
fn spec(random: &mut Random) -> Value {
    let analysis = json!({"templates": [{"name": "errors"}]});
    let level = json!({"templates": [{"name": "level"}]});
    let mut steps = Vec::new();
    let mut weight = 0;
    for _ in 0..random.below(7) {
        weight = (weight + random.between(0, 45)).min(100);
        steps.push(match random.below(9) {
            0..4 => json!({"setWeight": weight}),
            4 => json!({"pause": {"duration": format!("{}s", random.between(1, 60))}}),
            5 => json!({"pause": {"timeout": format!("{}s", random.between(20, 200)),
                "onTimeout": if random.below(2) == 0 { "Abort" } else { "Promote" }}}),
            6 => json!({"setCanaryScale": {"percent": random.between(1, 100)}}),
            7 => json!({"setCanaryScale": {"matchTraffic": true}}),
            _ => json!({"analysis": analysis}),
        });
    }
    let canary = |steps: &[Value]| {
        let mut canary = json!({
            "stableService": "stable", "canaryService": "canary", "steps": steps,
            "scaleDownDelaySeconds": 10, "abortScaleDownDelaySeconds": 0,
        });
        if is_watched(steps) {
            canary["analysis"] = level.clone();
        }
        canary
    };
    let strategy = match random.below(8) {
        0 | 1 => {
            let mut canary = json!({"steps": steps, "maxSurge": random.between(0, 2)});
            canary["maxUnavailable"] = json!(random.between(0, 1));
            if canary["maxSurge"] == json!(0) {
                canary["maxUnavailable"] = json!(1);
            }
            json!({"canary": canary})
        }
        2 | 3 => json!({"blueGreen": {
            "activeService": "stable", "previewService": "canary",
            "previewReplicaCount": random.between(1, 3),
            "autoPromotion": {"enabled": random.below(2) == 0, "afterSeconds": 5},
            "prePromotionAnalysis": analysis, "postPromotionAnalysis": level,
            "scaleDownDelaySeconds": random.between(0, 40)}}),
        4 => {
            let mut canary = canary(&steps);
            canary["trafficRouting"] = json!({"nginx": {"ingresses": [{"name": "web"}]}});
            json!({"canary": canary})
        }
        5 => {
            let mut canary = canary(&steps);
            canary["trafficRouting"] =
                json!({"gatewayAPI": {"httpRoutes": [{"name": "web"}, {"name": "api"}]}});
            json!({"canary": canary})
        }
        _ => {
            let mut canary = canary(&steps);
            canary["trafficRouting"] = json!({"gatewayAPI": {"httpRoutes": [{"name": "web"}]}});
            json!({"canary": canary})
        }
    };
    json!({
        "replicas": random.between(1, 9),
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}},
                     "spec": {"containers": [{"name": "app", "image": "r/a:v1"}]}},
        "progressDeadlineSeconds": random.between(30, 300),
        "revisionHistoryLimit": random.between(0, 3),
        "strategy": strategy,
        "gitRevert": {"mode": "Push", "on": ["Failed", "Manual", "Deadline"]},
    })
}

/// Rules that a Rollout may have besides, each of them now and then.
fn rules(random: &mut Random, spec: &mut Value) {
    let mut now_and_then = || random.below(4) == 0;
    if now_and_then() {
        spec["rollbackWindow"] = json!({"revisions": 2});
    }
    let (apart, keeps, roles) = (now_and_then(), now_and_then(), now_and_then());
    let (follows, least, by_header) = (now_and_then(), now_and_then(), now_and_then());
    let role = |role: &str| json!({"labels": {"role": role}, "annotations": {"note": role}});
    let preferred = random.below(2) == 0;
    let anti_affinity = match preferred {
        true => json!({"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 50}}),
        false => json!({"requiredDuringSchedulingIgnoredDuringExecution": {}}),
    };
    for (way, stable, canary) in [
        ("canary", "stableMetadata", "canaryMetadata"),
        ("blueGreen", "activeMetadata", "previewMetadata"),
    ] {
        let Some(way) = spec.pointer_mut(&format!("/strategy/{way}")) else {
            continue;
        };
        if apart {
            way["antiAffinity"] = anti_affinity.clone();
        }
        if keeps {
            way["keepOnAbort"] = json!(true);
        }
        if roles {
            way[stable] = role("stable");
            way[canary] = role("canary");
        }
    }
    let Some(canary) = spec.pointer_mut("/strategy/canary") else {
        return;
    };
    let routed = canary.get("trafficRouting").is_some();
    let by_gateway = canary.pointer("/trafficRouting/gatewayAPI").is_some();
    if follows && routed {
        canary["dynamicStableScale"] = json!(true);
    }
    if least && routed {
        canary["minPodsPerReplicaSet"] = json!(2);
    }
    let steps = canary.get_mut("steps").and_then(Value::as_array_mut);
    if let Some(steps) = steps.filter(|_| by_header && by_gateway) {
        let testers = json!({"setHeaderRoute": {"name": "testers",
            "match": [{"header": "x-tester", "exact": "yes"}]}});
        let gone = json!({"setHeaderRoute": {"name": "testers"}});
        let at = usize::try_from(random.below(steps.len() as u64 + 1)).unwrap_or(0);
        if random.below(2) == 0 {
            let later =
                at + usize::try_from(random.below((steps.len() - at) as u64 + 1)).unwrap_or(0);
            steps.insert(later, gone);
        }
        steps.insert(at, testers);
    }
}

/// Whether an analysis looks on in the background: chance that hangs on the steps alone, so that
/// another kind of strategy draws the same numbers after it.
fn is_watched(steps: &[Value]) -> bool {
    let length: u64 = steps.iter().map(|step| step.to_string().len() as u64).sum();
    Random::new(length).below(2) == 0
}

fn behaviours(random: &mut Random) -> Vec<(String, Behaviour)> {
    let mut all = Vec::new();
    for image in &IMAGES[..4] {
        let readiness = match random.below(12) {
            0 => Readiness::Never,
            1 => Readiness::AtMost(1),
            2 => Readiness::Crashes(SignedDuration::from_secs(random.between(1, 20))),
            _ => Readiness::Gets,
        };
        let judgement = match random.below(10) {
            0..5 => Judgement::Good,
            5 | 6 => Judgement::Bad,
            7 => Judgement::Unclear,
            8 => Judgement::NoData,
            _ => Judgement::Errors,
        };
        let start = SignedDuration::from_secs(random.between(1, 20));
        let behaviour = Behaviour {
            start,
            readiness,
            judgement,
            targets: Vec::new(),
        };
        all.push(((*image).to_owned(), behaviour));
    }
    all
}

/// What a person, a pipeline or an autoscaler does.
fn intent(random: &mut Random, gitops: bool) -> Happening {
    let image = random
        .one_of(&IMAGES)
        .copied()
        .unwrap_or_default()
        .to_owned();
    let commands = [
        "promote",
        "promote",
        "promote-full",
        "abort",
        "retry",
        "pause",
        "resume",
        "restart",
    ];
    match random.below(20) {
        0..6 if gitops => Happening::Commit(image),
        0..6 => Happening::Apply(image),
        6..13 => Happening::Command(random.one_of(&commands).copied().unwrap_or("promote")),
        13 => Happening::BareAbort,
        14 => Happening::EditSteps,
        15 | 16 => Happening::Scale(i32::try_from(random.between(0, 10)).unwrap_or(1)),
        17 => Happening::Hold(true),
        18 => Happening::Hold(false),
        _ if random.below(3) == 0 => Happening::Delete,
        _ => Happening::Command("promote"),
    }
}

/// What goes wrong.
fn fault(random: &mut Random, history: &History) -> Happening {
    let lasts = SignedDuration::from_secs(random.between(1, 60));
    let kinds = [
        Kind::Rollout,
        Kind::ReplicaSet,
        Kind::Service,
        Kind::Route,
        Kind::Run,
    ];
    let kind = random.one_of(&kinds).copied().unwrap_or(Kind::ReplicaSet);
    let share = u64::try_from(random.between(20, 600)).unwrap_or(100);
    match random.below(24) {
        0..3 => Happening::Fault(Fault::Calls(share), lasts),
        3 => {
            let by = SignedDuration::from_millis(random.between(100, 800));
            Happening::Fault(Fault::SlowCalls(by), lasts)
        }
        4 | 5 => Happening::Fault(Fault::Watches(kind), lasts),
        6 => Happening::LoseEvents(kind, lasts),
        7 => Happening::Fault(Fault::Gateway, lasts),
        8 => Happening::Fault(Fault::Metrics, lasts),
        9 => Happening::Fault(Fault::Git, lasts),
        10 => Happening::Fault(Fault::Quota, lasts),
        11 => Happening::Fault(Fault::Budget, lasts),
        12 if history.instances > 1 => Happening::Fault(Fault::TwoLeaders, lasts),
        12 | 13 => Happening::DieAfter(random.below(12)),
        14 => {
            let back = usize::try_from(random.below(20)).unwrap_or(0);
            Happening::Kill(
                0,
                SignedDuration::from_millis(random.between(10, 20_000)),
                back,
            )
        }
        15 => Happening::Fault(Fault::Service("canary".to_owned()), lasts),
        16 => Happening::Fault(Fault::Route("HTTPRoute web".to_owned()), lasts),
        17 | 18 => {
            let most = usize::try_from(random.between(1, 4)).unwrap_or(1);
            Happening::PodsFail(random.below(2) == 0, most)
        }
        19 | 20 => Happening::ResetWeight(i32::try_from(random.between(0, 100)).unwrap_or(0)),
        21 => Happening::ClockAhead(SignedDuration::from_millis(random.between(-900, 900))),
        22 => Happening::DeleteReplicaSet(false),
        _ => Happening::Fault(Fault::Calls(share), lasts),
    }
}
