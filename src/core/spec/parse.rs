//! From the API's types to the parsed spec: all problems at once, none of them a panic.

mod roles;
mod steps;
mod workload;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::{
    AnalysisRequest, AntiAffinity, CanaryScale, Capacity, Means, Pause, Problem, Router, Spec,
    Step, Workload,
};
use crate::api::rollout::{self as api, GitRevertMode, RevertCause, RolloutSpec};
use steps::{args, request, template_keys};
pub use workload::stand_in;

/// Default of `scaleDownDelaySeconds` and `abortScaleDownDelaySeconds`, as in Argo Rollouts: longer
/// than proxies keep idle connections in most set-ups.
const SCALE_DOWN_DELAY_S: i32 = 30;
/// Default of `maxSurge`, percent, as in Deployments.
const MAX_SURGE_PERCENT: i32 = 25;

/// Reads a Rollout's spec that has its template itself.
///
/// # Errors
/// Everything that is wrong with it, in the order of the fields.
pub fn parse(spec: &RolloutSpec) -> Result<Spec, Vec<Problem>> {
    parse_with(spec, None)
}

/// Reads a Rollout's spec, with the template of the Deployment that it names, if it names one and
/// that exists.
///
/// # Errors
/// Everything that is wrong with it, in the order of the fields.
pub fn parse_with(
    spec: &RolloutSpec,
    workload_template: Option<&Value>,
) -> Result<Spec, Vec<Problem>> {
    let mut problems = Vec::new();
    let template = workload::template(spec, workload_template, &mut problems);
    let images = match (&spec.workload_ref, template) {
        // That there is no template was said.
        (Some(_), Value::Null) => Vec::new(),
        _ => images(template, &mut problems),
    };
    let way = match (&spec.strategy.canary, &spec.strategy.blue_green) {
        (Some(canary), None) => Some(canary_way(canary, spec.replicas, &mut problems)),
        (None, Some(blue_green)) => Some(blue_green_way(blue_green, &mut problems)),
        _ => {
            problems.push(Problem::new(
                "spec.strategy",
                "none or both",
                "exactly one of canary and blueGreen",
            ));
            None
        }
    };
    let roles = roles::parse(spec, template, &mut problems);
    let (Some(way), true) = (way, problems.is_empty()) else {
        return Err(problems);
    };
    Ok(Spec {
        replicas: spec.replicas,
        selector: spec.selector.match_labels.clone(),
        template: template.clone(),
        workload: spec.workload_ref.as_ref().map(|workload| Workload {
            name: workload.name.clone(),
            scale_down: workload.scale_down,
        }),
        images,
        min_ready_seconds: spec.min_ready_seconds,
        revision_history_limit: spec.revision_history_limit,
        progress_deadline: SignedDuration::from_secs(spec.progress_deadline_seconds.into()),
        progress_deadline_action: spec.progress_deadline_action,
        paused: spec.paused,
        steps: way.steps,
        means: way.means,
        background: way.background,
        capacity: way.capacity,
        roles,
        rollback_window: spec.rollback_window.as_ref().map(|w| w.revisions),
        revert_mode: spec
            .git_revert
            .as_ref()
            .map_or(GitRevertMode::Off, |g| g.mode),
        revert_on: spec
            .git_revert
            .as_ref()
            .map_or_else(|| vec![RevertCause::Failed], |g| g.on.clone()),
    })
}

/// What both strategies are, in the planner's terms.
struct Way {
    steps: Vec<Step>,
    means: Means,
    background: Option<(i32, AnalysisRequest)>,
    capacity: Capacity,
}

/// What both strategies can say, with the defaults where nothing is said.
fn capacity(
    delay: Option<i32>,
    abort_delay: Option<i32>,
    keep_on_abort: bool,
    anti_affinity: Option<&api::AntiAffinity>,
) -> Capacity {
    let seconds =
        |s: Option<i32>| SignedDuration::from_secs(s.unwrap_or(SCALE_DOWN_DELAY_S).into());
    Capacity {
        stable_follows_traffic: false,
        min_pods: 1,
        baseline: 0,
        scale_down_delay: seconds(delay),
        abort_scale_down_delay: (!keep_on_abort).then(|| seconds(abort_delay)),
        anti_affinity: anti_affinity.map(|rule| match &rule.preferred {
            Some(preferred) => AntiAffinity::Preferred(preferred.weight),
            None => AntiAffinity::Required,
        }),
    }
}

fn canary_way(canary: &api::Canary, replicas: i32, problems: &mut Vec<Problem>) -> Way {
    const AT: &str = "spec.strategy.canary";
    let steps = steps::parse(&canary.steps, problems);
    let means = match (
        &canary.traffic_routing,
        &canary.stable_service,
        &canary.canary_service,
    ) {
        (Some(routing), Some(stable), Some(canary_service)) => Means::Routes {
            stable_service: stable.clone(),
            canary_service: canary_service.clone(),
            router: router(routing, problems),
        },
        (None, None, None) => pods_means(canary, replicas, problems),
        _ => {
            problems.push(Problem::new(
                AT,
                "one or two of three",
                "trafficRouting, stableService and canaryService go together: all three, or none \
                 of them to approximate the weight by pod counts",
            ));
            Means::Pods {
                max_surge: 1,
                max_unavailable: 0,
            }
        }
    };
    let can = matches!(&means, Means::Routes { router, .. } if !matches!(router, Router::Nginx(_)));
    let side = steps.iter().enumerate().find_map(|(i, step)| match step {
        Step::SetSideRoute(side) => Some((i, side)),
        _ => None,
    });
    if let Some((i, side)) = side.filter(|_| !can) {
        let (field, allowed) = if side.is_mirror() {
            (
                "setMirrorRoute",
                "trafficRouting.gatewayAPI: neither pod counts nor a canary Ingress copy requests",
            )
        } else {
            (
                "setHeaderRoute",
                "trafficRouting.gatewayAPI: neither pod counts nor ingress-nginx tell requests apart \
                 by headers beside a weight",
            )
        };
        problems.push(Problem::new(
            format!("{AT}.steps[{i}].{field}"),
            match &means {
                Means::Routes { .. } => "with nginx",
                _ => "without a router",
            },
            allowed,
        ));
    }
    if canary.baseline.is_some() && matches!(means, Means::Pods { .. }) {
        problems.push(Problem::new(
            format!("{AT}.baseline"),
            "without a router",
            "trafficRouting: by pod counts its pods would change the weights",
        ));
    }
    let background = canary.analysis.as_ref().map(|b| {
        if usize::try_from(b.starting_step).map_or(true, |start| start > steps.len()) {
            problems.push(Problem::new(
                format!("{AT}.analysis.startingStep"),
                b.starting_step,
                format!(
                    "0 to {}, the number of steps, or it would never begin",
                    steps.len()
                ),
            ));
        }
        let request = AnalysisRequest {
            field: format!("{AT}.analysis"),
            templates: template_keys(&b.templates),
            args: args(&b.args, &format!("{AT}.analysis"), problems),
            max_duration: None,
        };
        (b.starting_step, request)
    });
    Way {
        steps,
        means,
        background,
        capacity: Capacity {
            stable_follows_traffic: canary.dynamic_stable_scale,
            min_pods: canary.min_pods_per_replica_set.unwrap_or(1),
            baseline: canary.baseline.as_ref().map_or(0, |b| b.replicas),
            ..capacity(
                canary.scale_down_delay_seconds,
                canary.abort_scale_down_delay_seconds,
                canary.keep_on_abort,
                canary.anti_affinity.as_ref(),
            )
        },
    }
}

/// Blue/green is the same way with other means: the preview comes up, is judged, waits, gets its
/// full size and all traffic in one write, and is judged again.
fn blue_green_way(bg: &api::BlueGreen, problems: &mut Vec<Problem>) -> Way {
    const AT: &str = "spec.strategy.blueGreen";
    let mut steps = vec![Step::SetCanaryScale(
        bg.preview_replica_count
            .map_or(CanaryScale::Percent(100), CanaryScale::Replicas),
    )];
    if let Some(analysis) = &bg.pre_promotion_analysis {
        let at = format!("{AT}.prePromotionAnalysis");
        steps.push(Step::Analysis(request(analysis, at, problems)));
    }
    match &bg.auto_promotion {
        Some(auto) if !auto.enabled => steps.push(Step::Pause(Pause::UntilPromoted(None))),
        Some(api::AutoPromotion {
            after_seconds: Some(seconds),
            ..
        }) if *seconds > 0 => {
            steps.push(Step::Pause(Pause::For(SignedDuration::from_secs(
                (*seconds).into(),
            ))));
        }
        _ => {}
    }
    if bg.preview_replica_count.is_some() {
        steps.push(Step::SetCanaryScale(CanaryScale::Percent(100)));
    }
    steps.push(Step::SetWeight(100));
    if let Some(analysis) = &bg.post_promotion_analysis {
        let at = format!("{AT}.postPromotionAnalysis");
        steps.push(Step::Analysis(request(analysis, at, problems)));
    }
    let means = Means::Active {
        active_service: bg.active_service.clone(),
        preview_service: bg.preview_service.clone(),
    };
    Way {
        steps,
        means,
        background: None,
        capacity: capacity(
            bg.scale_down_delay_seconds,
            bg.abort_scale_down_delay_seconds,
            bg.keep_on_abort,
            bg.anti_affinity.as_ref(),
        ),
    }
}

fn pods_means(canary: &api::Canary, replicas: i32, problems: &mut Vec<Problem>) -> Means {
    const AT: &str = "spec.strategy.canary";
    let surge = canary
        .max_surge
        .clone()
        .unwrap_or(IntOrString::String(format!("{MAX_SURGE_PERCENT}%")));
    let unavailable = canary
        .max_unavailable
        .clone()
        .unwrap_or(IntOrString::Int(0));
    let max_surge = resolve(
        &surge,
        replicas,
        Round::Up,
        &format!("{AT}.maxSurge"),
        problems,
    );
    let max_unavailable = resolve(
        &unavailable,
        replicas,
        Round::Down,
        &format!("{AT}.maxUnavailable"),
        problems,
    );
    if (max_surge, max_unavailable) == (Some(0), Some(0)) && replicas > 0 {
        problems.push(Problem::new(
            format!("{AT}.maxUnavailable"),
            "0, and maxSurge is 0",
            "at least one of both above 0, else no pod can be replaced",
        ));
    }
    Means::Pods {
        max_surge: max_surge.unwrap_or(0),
        max_unavailable: max_unavailable.unwrap_or(0),
    }
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// A count of pods; `None`: the value is a problem.
fn resolve(
    value: &IntOrString,
    replicas: i32,
    round: Round,
    field: &str,
    problems: &mut Vec<Problem>,
) -> Option<i32> {
    match value {
        IntOrString::Int(n) if *n >= 0 => Some(*n),
        IntOrString::String(text) => {
            match text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok()) {
                Some(percent) if (0..=100).contains(&percent) => {
                    let product = i64::from(replicas) * percent;
                    let count = match round {
                        Round::Up => (product + 99) / 100,
                        Round::Down => product / 100,
                    };
                    Some(i32::try_from(count).unwrap_or(replicas))
                }
                _ => {
                    problems.push(Problem::new(
                        field,
                        format!("{text:?}"),
                        "a count, or 0% to 100%",
                    ));
                    None
                }
            }
        }
        IntOrString::Int(n) => {
            problems.push(Problem::new(field, n, "a count from 0, or 0% to 100%"));
            None
        }
    }
}

fn router(routing: &api::TrafficRouting, problems: &mut Vec<Problem>) -> Router {
    if let Some(nginx) = &routing.nginx {
        return Router::Nginx(nginx.ingresses.iter().map(|i| i.name.clone()).collect());
    }
    if let Some(gateway) = &routing.gateway_api {
        if let Some(managed) = &gateway.managed_route {
            return Router::Managed(Box::new(managed.clone()));
        }
        if let Some(routes) = &gateway.http_routes {
            return Router::HttpRoutes(
                routes
                    .iter()
                    .map(|r| (r.name.clone(), r.rules.clone()))
                    .collect(),
            );
        }
    }
    problems.push(Problem::new(
        "spec.strategy.canary.trafficRouting",
        "no router",
        "gatewayAPI.httpRoutes, gatewayAPI.managedRoute or nginx.ingresses",
    ));
    Router::Nginx(Vec::new())
}

fn images(template: &Value, problems: &mut Vec<Problem>) -> Vec<String> {
    let list = |key: &str| {
        template
            .pointer(&format!("/spec/{key}"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|c| c.get("image").and_then(Value::as_str))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let containers = list("containers");
    if containers.is_empty() {
        problems.push(Problem::new(
            "spec.template.spec.containers",
            "none with an image",
            "at least one container with an image",
        ));
    }
    let mut all = list("initContainers");
    all.extend(containers);
    all
}
