//! What is wrong outside the spec: Services, routes and templates that are missing or cannot be
//! used, and other Rollouts in the way. While there is anything, nothing new begins and no weight
//! rises; an abort and going back still work.

use super::draft::Draft;
use super::observed::RouteState;
use super::run_spec;
use super::spec::Problem;
use crate::api::analysis::RunMode;

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
        if let Err(problems) = run_spec::build(draft, request, None, RunMode::Step) {
            draft.problems.extend(problems);
        }
    }
}
