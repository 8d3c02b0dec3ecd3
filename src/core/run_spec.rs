//! What an AnalysisRun is to do, frozen: the templates' metrics with every placeholder resolved, the
//! two versions, what a pass would allow, and what is planned after it.

use jiff::Timestamp;

use super::draft::Draft;
use super::naming;
use super::spec::{AnalysisRequest, Means, Pause, Problem, Step};
use super::targets::authorised_weight;
use crate::analysis::template::{Builtins, NamedTemplate, freeze, share};
use crate::api::analysis::{AnalysisRunSpec, Arm, PlanStep, Reference, RunMode, RunRollout, Split};

/// Retries that still halve the false abort rate; beyond, the share would be too small to write down.
const RETRIES_SHARED_MAX: i32 = 10;

/// Builds the spec of the run of `request`; `at` is the step that it is, from 0.
pub(super) fn build(
    draft: &Draft<'_>,
    request: &AnalysisRequest,
    at: Option<usize>,
    mode: RunMode,
) -> Result<AnalysisRunSpec, Vec<Problem>> {
    let mut spec = frozen(draft, request)?;
    let canary = draft.status.canary.clone().unwrap_or_default();
    spec.rollout = Some(RunRollout {
        name: draft.o.rollout.name.clone(),
        uid: draft.o.rollout.uid.clone(),
    });
    spec.revision = canary.revision;
    spec.attempt = canary.attempt;
    spec.step = at.and_then(|step| i32::try_from(step).ok());
    spec.mode = mode;
    spec.start_at = canary.available_since.or(canary.started_at);
    let steps = &draft.spec.steps;
    if mode == RunMode::Step && at.is_some_and(|at| authorised_weight(steps, at) == 100) {
        // The stable version has no traffic any more, and the new one's before was not all of it.
        spec.reference = Reference::StableHistory;
        spec.start_at = weight_since(draft, 100);
    }
    spec.split = at
        .filter(|_| mode == RunMode::Step && spec.reference == Reference::Stable)
        .and_then(|at| split(draft, &spec, at));
    if spec.arm.as_ref().is_some_and(|arm| arm.pods) {
        spec.arm = Some(by_pods(draft, &spec));
    }
    if spec.reference == Reference::Stable
        && let Some(group) = control_group(draft, &spec)
    {
        spec.arm = Some(group);
        // It is only a part of the stable version.
        spec.split = None;
    }
    let from = at.unwrap_or(usize::try_from(canary.step).unwrap_or(0));
    // A background analysis answers for everything that is still to come.
    spec.next_weight = if mode == RunMode::Background {
        100
    } else {
        next_weight(steps, from)
    };
    spec.plan = planned(steps, from);
    if request.max_duration.is_some() {
        spec.promote.max_duration.clone_from(&request.max_duration);
    }
    Ok(spec)
}

/// The matchers of both versions' pods, by their ReplicaSets' names; who has none has the name that it
/// would get.
fn by_pods(draft: &Draft<'_>, spec: &AnalysisRunSpec) -> Arm {
    let matcher = |hash: &str| {
        let made = draft.replica_set(hash).map(|rs| rs.name.clone());
        let name = made.unwrap_or_else(|| naming::replica_set(&draft.o.rollout.name, hash));
        Some(format!("pod=~\"{}\"", naming::pods_of(&name)))
    };
    Arm {
        canary: matcher(&spec.canary_hash),
        stable: matcher(&spec.stable_hash),
        ..Arm::default()
    }
}

/// The matchers of the new version and of its control group, where there is one and the versions are
/// told apart by their pods: the group's have the stable version's hash and their ReplicaSet's name.
fn control_group(draft: &Draft<'_>, spec: &AnalysisRunSpec) -> Option<Arm> {
    let label = spec.arm.as_ref()?.label.as_ref();
    let label = label.filter(|_| draft.spec.capacity.baseline > 0)?;
    let name = naming::baseline(&draft.o.rollout.name, &spec.stable_hash);
    // A name has no other character that means something in a pattern, and a string needs two of these.
    let pods = name.replace('.', "\\\\.");
    Some(Arm {
        label: None,
        pods: false,
        canary: Some(format!("{label}=\"{}\"", spec.canary_hash)),
        stable: Some(format!(
            "{label}=\"{}\",pod=~\"{pods}-[^-]+\"",
            spec.stable_hash
        )),
    })
}

/// What the route gives the new version while the step `at` looks, where its requests can be held
/// against that. With weights of a router only: connections are split by pods, not requests. What comes
/// by a header or as a copy comes on top, and no weight says how much that is.
fn split(draft: &Draft<'_>, spec: &AnalysisRunSpec, at: usize) -> Option<Split> {
    let Means::Routes {
        stable_service,
        canary_service,
        ..
    } = &draft.spec.means
    else {
        return None;
    };
    let weight = authorised_weight(&draft.spec.steps, at);
    let alone = draft.spec.side_routes_at(at).is_empty();
    let arm = spec.arm.as_ref()?;
    let whole = match (&arm.canary, &arm.stable) {
        // Matchers of the user's own are known to mean all of a version where they name it.
        (Some(canary), Some(stable)) => {
            let names = |matchers: &str, service: &str, hash: &str| {
                matchers.contains(service) || (!hash.is_empty() && matchers.contains(hash))
            };
            names(canary, canary_service, &spec.canary_hash)
                && names(stable, stable_service, &spec.stable_hash)
        }
        _ => true,
    };
    let since = weight_since(draft, weight)?;
    ((1..100).contains(&weight) && alone && whole).then_some(Split { weight, since })
}

/// Since when the data plane is known to have this weight; at the latest since the step that is carried
/// out began.
fn weight_since(draft: &Draft<'_>, weight: i32) -> Option<Timestamp> {
    let traffic = draft.status.traffic.as_ref();
    let whole = traffic.filter(|t| t.desired == weight && t.accepted == weight);
    let step = draft.status.canary.as_ref().and_then(|c| c.step_started_at);
    whole
        .and_then(|t| t.confirmed_at)
        .or(step)
        .or(Some(draft.now))
}

/// The templates' metrics with every placeholder resolved.
fn frozen(draft: &Draft<'_>, request: &AnalysisRequest) -> Result<AnalysisRunSpec, Vec<Problem>> {
    let named: Vec<NamedTemplate<'_>> = request
        .templates
        .iter()
        .filter_map(|key| {
            let spec = draft.o.templates.get(key)?.as_ref()?;
            Some(NamedTemplate {
                name: &key.name,
                spec,
            })
        })
        .collect();
    if named.len() < request.templates.len() {
        return Err(vec![Problem::new(
            format!("{}.templates", request.field),
            "a template that does not exist",
            "names of templates that exist",
        )]);
    }
    let canary = draft.status.canary.as_ref();
    let (stable_service, canary_service) = services(&draft.spec.means);
    let builtins = Builtins {
        namespace: draft.o.rollout.namespace.clone(),
        rollout: draft.o.rollout.name.clone(),
        canary_service: canary_service.to_owned(),
        stable_service: stable_service.to_owned(),
        canary_hash: canary.map(|c| c.hash.clone()).unwrap_or_default(),
        stable_hash: draft
            .status
            .stable
            .as_ref()
            .map(|s| s.hash.clone())
            .unwrap_or_default(),
    };
    let args = request.args.iter().cloned().collect();
    let mut frozen = freeze(&named, &args, &builtins).map_err(|problems| {
        problems
            .into_iter()
            .map(|p| Problem::new(format!("{}: {}", request.field, p.at), p.value, p.message))
            .collect::<Vec<_>>()
    })?;
    // The false abort rate is the whole rollout's: its analyses share it, and each retry has half
    // of what the attempt before had, so that all of them together stay below twice the rate.
    let runs = u32::try_from(draft.spec.analyses().count()).unwrap_or(u32::MAX);
    let retries = canary
        .map_or(0, |c| c.attempt.saturating_sub(1))
        .clamp(0, RETRIES_SHARED_MAX);
    frozen.false_abort_rate = share(
        &frozen.false_abort_rate,
        runs.saturating_mul(1_u32 << retries.unsigned_abs()),
    );
    let mut spec = frozen.into_spec();
    spec.canary_hash = builtins.canary_hash;
    spec.stable_hash = builtins.stable_hash;
    Ok(spec)
}

/// The weight that the first `setWeight` after `step` allows; 100 when there is none.
fn next_weight(steps: &[Step], step: usize) -> i32 {
    let next = steps.iter().skip(step + 1).find_map(|s| match s {
        Step::SetWeight(weight) => Some(*weight),
        _ => None,
    });
    next.unwrap_or(100)
}

/// The weights from `step` on, each with the seconds of the pauses that are planned at it. An
/// analysis ends by itself, so it plans no time.
fn planned(steps: &[Step], step: usize) -> Vec<PlanStep> {
    let mut plan = vec![PlanStep {
        weight: authorised_weight(steps, step),
        seconds: 0,
    }];
    for next in steps.iter().skip(step + 1) {
        match next {
            Step::SetWeight(weight) => plan.push(PlanStep {
                weight: *weight,
                seconds: 0,
            }),
            Step::Pause(Pause::For(wait)) => {
                if let Some(last) = plan.last_mut() {
                    last.seconds = last.seconds.saturating_add(wait.as_secs());
                }
            }
            _ => {}
        }
    }
    plan.retain(|p| p.weight > 0 && p.seconds > 0);
    plan
}

/// The Services between which the traffic is split, for the templates' built-in placeholders.
fn services(means: &Means) -> (&str, &str) {
    match means {
        Means::Routes {
            stable_service,
            canary_service,
            ..
        } => (stable_service, canary_service),
        Means::Active {
            active_service,
            preview_service,
        } => (
            active_service,
            preview_service.as_deref().unwrap_or(active_service),
        ),
        Means::Pods { .. } => ("", ""),
    }
}
