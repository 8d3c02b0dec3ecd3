//! What is wrong outside the spec: Services, routes and templates that are missing or cannot be
//! used, other Rollouts in the way, and a version that the API server refuses. While there is anything,
//! nothing new begins and no weight rises; an abort and going back still work.

use jiff::{SignedDuration, Timestamp};

use super::draft::Draft;
use super::judge;
use super::naming;
use super::observed::RouteState;
use super::run_spec;
use super::spec::{AnalysisRequest, Means, Problem, Spec, Step};
use super::targets::authorised_weight;
use crate::analysis::template;
use crate::api::analysis::{AnalysisRunSpec, Arm, RunMode};

/// Longer than any warm-up.
const LONG: SignedDuration = SignedDuration::from_hours(24);

/// Collects every problem, in the order of the fields.
pub(super) fn collect(draft: &mut Draft<'_>, desired: &str) {
    let o = draft.o;
    let spec = draft.spec;
    let mut problems = o.conflicts.clone();
    for (field, name) in spec.services() {
        match o.services.get(name).and_then(Option::as_ref) {
            None => problems.push(Problem::new(
                field,
                format!("Service {name} does not exist"),
                format!("a Service in namespace {}; create it", o.rollout.namespace),
            )),
            Some(service) => {
                if let Some(problem) = &service.problem {
                    problems.push(Problem::new(
                        field,
                        format!("Service {name}: {problem}"),
                        "a Service with a cluster IP, and with a selector that the pods meet",
                    ));
                }
                if let Some(owner) = service
                    .managed_by
                    .as_ref()
                    .filter(|m| **m != o.rollout.name)
                {
                    problems.push(Problem::new(
                        field,
                        format!("Service {name} belongs to Rollout {owner}"),
                        "a Service that no other Rollout uses",
                    ));
                }
            }
        }
    }
    for route in &o.routes {
        match &route.state {
            RouteState::Unusable(problem) => problems.push(problem.clone()),
            RouteState::Live(live) => problems.extend(live.obstacle.clone()),
            RouteState::ToCreate => {}
        }
    }
    problems.extend(refused(draft, desired));
    draft.problems.extend(problems);
}

/// The version that the spec asks for, if the API server will not have it.
fn refused(draft: &Draft<'_>, desired: &str) -> Option<Problem> {
    let refusal = draft.o.refused.as_ref()?;
    let rollout = &draft.o.rollout;
    let name = naming::replica_set(&rollout.name, desired);
    // Another controller may have been let create it since.
    let is_missing = draft.replica_set(desired).is_none();
    (is_missing && refusal.replica_set == name).then(|| {
        Problem::new(
            "spec.template",
            format!("the API server refuses ReplicaSet {name}: {}", refusal.why),
            "what it takes: mend the template, or what refuses it; it is tried again by itself",
        )
    })
}

/// Before a version begins: whether its analyses could be carried out at all. Later the runs are
/// frozen and need no template.
pub(super) fn before_begin(draft: &mut Draft<'_>) {
    let o = draft.o;
    let spec = draft.spec;
    let mut problems = Vec::new();
    for request in spec.analyses() {
        for (i, key) in request.templates.iter().enumerate() {
            if o.templates.get(key).and_then(Option::as_ref).is_none() {
                let kind = if key.cluster_scope {
                    "ClusterAnalysisTemplate"
                } else {
                    "AnalysisTemplate"
                };
                problems.push(Problem::new(
                    format!("{}.templates[{i}].name", request.field),
                    format!("{kind} {} does not exist", key.name),
                    "the name of a template; create it, or mend the name",
                ));
            }
        }
    }
    draft.problems.extend(problems);
    if !draft.problems.is_empty() {
        return;
    }
    for request in spec.analyses() {
        match run_spec::build(draft, request, None, RunMode::Step) {
            Ok(run) => {
                draft.problems.extend(comparisons(spec, request, &run));
                draft.problems.extend(gauges(spec, request, &run));
                draft
                    .problems
                    .extend(in_time(spec, request, run, draft.now));
            }
            Err(problems) => draft.problems.extend(problems),
        }
    }
}

/// The metrics of a run that would have nothing to compare with: it would be held for ever.
fn comparisons(spec: &Spec, request: &AnalysisRequest, run: &AnalysisRunSpec) -> Vec<Problem> {
    let (value, allowed) = if looks_on_without_stable(spec, request) {
        (
            String::new(),
            "in the background nothing is compared once all of the traffic is on the new version: \
             give it a threshold, and the ratio to an analysis step there, which holds the new \
             version against stable's hour before",
        )
    } else if let Some(arm) = mixes_versions(spec, request, run) {
        (
            format!(" and arm.canary is {arm}"),
            "after the switch the active Service's series are the new version's: tell the versions \
             apart by arm.label, or by matchers with $(canaryHash) and $(stableHash), or give a \
             threshold here",
        )
    } else {
        return Vec::new();
    };
    let judged = run
        .metrics
        .iter()
        .filter(|m| !m.has_fixed_level() && !m.dry_run);
    judged
        .map(|metric| {
            Problem::new(
                format!("{}.templates", request.field),
                format!("metric {} is a {}{value}", metric.name, metric.kind()),
                allowed,
            )
        })
        .collect()
}

/// Gauges where all of the traffic is on the new version: an hour ago is another load.
fn gauges(spec: &Spec, request: &AnalysisRequest, run: &AnalysisRunSpec) -> Vec<Problem> {
    let judged = run.metrics.iter().filter(|m| m.gauge.is_some());
    judged
        .filter(|m| !m.dry_run && looks_after_the_switch(spec, request))
        .map(|metric| {
            Problem::new(
                format!("{}.templates", request.field),
                format!("metric {} is a gauge", metric.name),
                "a gauge is compared with the stable version in the same minutes, and there is none \
                 beside the new one here: give a threshold, or the gauge to an analysis before",
            )
        })
        .collect()
}

/// What of a run could not be decided before its time is over, or contradicts the time that its step
/// gives it.
fn in_time(
    spec: &Spec,
    request: &AnalysisRequest,
    mut run: AnalysisRunSpec,
    now: Timestamp,
) -> Vec<Problem> {
    let mut steps = spec.steps.iter();
    let own = steps.position(|step| matches!(step, Step::Analysis(own) if own == request));
    match own {
        // It begins with the pods, as far as is known.
        Some(at) if !spec.steps.iter().take(at).any(takes_time) => run.start_at = Some(now),
        // What was measured in the steps before counts, and nobody knows how long they take.
        Some(_) => run.start_at = now.checked_sub(LONG).ok(),
        None => run.mode = RunMode::Background,
    }
    let problems = template::problems(&run, now).into_iter();
    problems
        .map(|p| Problem::new(format!("{}: {}", request.field, p.at), p.value, p.message))
        .collect()
}

/// Whether a step lasts longer than pods and routes need.
fn takes_time(step: &Step) -> bool {
    matches!(step, Step::Pause(_) | Step::Analysis(_))
}

/// Whether an analysis looks when all of the traffic is on the new version.
fn looks_after_the_switch(spec: &Spec, request: &AnalysisRequest) -> bool {
    let mut steps = spec.steps.iter().enumerate();
    steps.any(|(at, step)| {
        matches!(step, Step::Analysis(own) if own == request)
            && authorised_weight(&spec.steps, at) == 100
    })
}

/// Whether the background goes on to a wait at which the stable version has no traffic any more, or
/// never sees it have any beside the new one.
fn looks_on_without_stable(spec: &Spec, request: &AnalysisRequest) -> bool {
    if spec.background.as_ref().is_none_or(|(_, b)| b != request) {
        return false;
    }
    let mut steps = spec.steps.iter().enumerate();
    let waits = steps.any(|(at, step)| {
        matches!(step, Step::Analysis(_) | Step::Pause(_))
            && authorised_weight(&spec.steps, at) == 100
    });
    waits || !judge::speaks_before_all(spec)
}

/// What the new version's series are said to be, where that was the stable version's before the
/// switch of the active Service.
fn mixes_versions<'r>(
    spec: &Spec,
    request: &AnalysisRequest,
    run: &'r AnalysisRunSpec,
) -> Option<&'r str> {
    let after_the_switch = looks_after_the_switch(spec, request);
    let Arm { canary, stable, .. } = run.arm.as_ref()?;
    let named = |matchers: &str, hash: &str| !hash.is_empty() && matchers.contains(hash);
    let (canary, stable) = (canary.as_deref()?, stable.as_deref()?);
    let told_apart = named(canary, &run.canary_hash) && named(stable, &run.stable_hash);
    let active = matches!(spec.means, Means::Active { .. });
    (active && after_the_switch && !told_apart).then_some(canary)
}
