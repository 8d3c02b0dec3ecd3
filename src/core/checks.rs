//! What is wrong outside the spec: Services, routes and templates that are missing or cannot be
//! used, and other Rollouts in the way. While there is anything, nothing new begins and no weight
//! rises; an abort and going back still work.

use super::draft::Draft;
use super::judge;
use super::observed::RouteState;
use super::run_spec;
use super::spec::{AnalysisRequest, Problem, Spec, Step};
use super::targets::authorised_weight;
use crate::api::analysis::{AnalysisRunSpec, RunMode};

/// Collects every problem, in the order of the fields.
pub(super) fn collect(draft: &mut Draft<'_>) {
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
                        "a Service with a selector and a cluster IP",
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
        if let RouteState::Unusable(problem) = &route.state {
            problems.push(problem.clone());
        }
    }
    draft.problems.extend(problems);
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
            Ok(run) if looks_without_stable(spec, request) => {
                draft.problems.extend(comparisons(request, &run));
            }
            Ok(_) => {}
            Err(problems) => draft.problems.extend(problems),
        }
    }
}

/// Whether an analysis looks while the stable version has no traffic: at a step with all of it on
/// the new one, or in the background of a wait at such a step, or of nothing else.
fn looks_without_stable(spec: &Spec, request: &AnalysisRequest) -> bool {
    let background = spec.background.as_ref().is_some_and(|(_, b)| b == request);
    if background && !judge::speaks_before_all(spec) {
        return true;
    }
    let mut steps = spec.steps.iter().enumerate();
    steps.any(|(at, step)| {
        let looks = match step {
            Step::Analysis(own) => background || own == request,
            Step::Pause(_) => background,
            Step::SetWeight(_) | Step::SetCanaryScale(_) => false,
        };
        looks && authorised_weight(&spec.steps, at) == 100
    })
}

/// The metrics of a run that have nothing to compare with then: it would be held for ever.
fn comparisons(request: &AnalysisRequest, run: &AnalysisRunSpec) -> Vec<Problem> {
    let judged = run
        .metrics
        .iter()
        .filter(|m| m.ratio.is_some() && !m.dry_run);
    judged
        .map(|metric| {
            Problem::new(
                format!("{}.templates", request.field),
                format!("metric {} is a ratio", metric.name),
                "at 100 % the stable version has no traffic to compare with: give a threshold here, and the ratio to an analysis at a lower weight",
            )
        })
        .collect()
}
