//! The steps of a canary and the analyses that they ask for, parsed.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::api::rollout::{self as api, Arg, TemplateRef};
use crate::core::duration;
use crate::core::observed::TemplateKey;
use crate::core::spec::{
    AnalysisRequest, CanaryScale, HeaderMatch, HeaderValue, Pause, Problem, SideRoute, Step, Takes,
};

/// Header routes at a time: half of the rules that an HTTPRoute may have.
const HEADER_ROUTES_MAX: usize = 8;

const AT: &str = "spec.strategy.canary.steps";

/// Every step that can be read; a step that cannot is a problem.
pub(super) fn parse(steps: &[api::Step], problems: &mut Vec<Problem>) -> Vec<Step> {
    let mut parsed = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let at = format!("{AT}[{i}]");
        // One entry for each field that is given; without a step if its value is a problem.
        let mut kinds = Vec::new();
        if let Some(weight) = step.set_weight {
            kinds.push(Some(Step::SetWeight(weight)));
        }
        if let Some(pause) = &step.pause {
            kinds.push(parse_pause(pause, &format!("{at}.pause"), problems).map(Step::Pause));
        }
        if let Some(analysis) = &step.analysis {
            let request = request(analysis, format!("{at}.analysis"), problems);
            kinds.push(Some(Step::Analysis(request)));
        }
        if let Some(scale) = &step.set_canary_scale {
            let scale = parse_scale(scale, &format!("{at}.setCanaryScale"), problems);
            kinds.push(scale.map(Step::SetCanaryScale));
        }
        if let Some(route) = &step.set_header_route {
            let route = parse_header_route(route, &format!("{at}.setHeaderRoute"), problems);
            kinds.push(route.map(Step::SetSideRoute));
        }
        if let Some(route) = &step.set_mirror_route {
            kinds.push(Some(Step::SetSideRoute(SideRoute {
                name: route.name.clone(),
                takes: Takes::Copies(route.percent.unwrap_or(0)),
            })));
        }
        match <[Option<Step>; 1]>::try_from(kinds) {
            Ok([step]) => parsed.extend(step),
            Err(_) => problems.push(Problem::new(
                at,
                "none or several kinds",
                "exactly one of setWeight, pause, analysis, setCanaryScale, setHeaderRoute \
                 and setMirrorRoute",
            )),
        }
    }
    check_steps(&parsed, problems);
    parsed
}

/// What the schema cannot say about the list of steps.
fn check_steps(steps: &[Step], problems: &mut Vec<Problem>) {
    let mut weight = 0;
    let mut scale: Option<i32> = None;
    let mut sides = Sides::default();
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::SetWeight(next) if *next < weight => problems.push(Problem::new(
                format!("{AT}[{i}].setWeight"),
                next,
                format!("at least {weight}, the weight before it: weights do not decrease"),
            )),
            Step::SetWeight(next) => weight = *next,
            Step::SetCanaryScale(CanaryScale::Replicas(n) | CanaryScale::Percent(n)) => {
                scale = Some(*n);
            }
            Step::SetCanaryScale(CanaryScale::MatchTraffic) => scale = None,
            Step::SetSideRoute(route) => problems.extend(sides.problem_with(route, i)),
            Step::Pause(_) | Step::Analysis(_) => {}
        }
        if scale == Some(0)
            && let Some(side) = sides.standing.first()
        {
            problems.push(Problem::new(
                format!("{AT}[{i}]"),
                format!("{side} to 0 canary pods"),
                "at least one canary pod while a header route or a mirror route stands",
            ));
        }
        if scale == Some(0) && weight > 0 {
            problems.push(Problem::new(
                format!("{AT}[{i}]"),
                format!("{weight} % of the traffic on 0 canary pods"),
                "at least one canary pod while the weight is above 0",
            ));
        }
    }
}

/// The side routes of the steps so far.
#[derive(Default)]
struct Sides<'a> {
    /// Those that stand now.
    standing: Vec<&'a SideRoute>,
    /// The mirror route's name. A mirror on a route has none, so that there can be only one.
    mirror: Option<&'a str>,
}

impl<'a> Sides<'a> {
    /// Goes on to a step with `route`; what is wrong with it there.
    fn problem_with(&mut self, route: &'a SideRoute, i: usize) -> Option<Problem> {
        let (field, without) = match route.takes {
            Takes::Headers(_) => (format!("{AT}[{i}].setHeaderRoute"), "match"),
            Takes::Copies(_) => (format!("{AT}[{i}].setMirrorRoute"), "percent"),
        };
        if route.is_mirror() {
            let name = *self.mirror.get_or_insert(&route.name);
            if name != route.name {
                return Some(Problem::new(
                    format!("{field}.name"),
                    format!("{:?}, after {name:?}", route.name),
                    "one mirror route: the same name at each setMirrorRoute of the Rollout",
                ));
            }
        }
        let of_name = |side: &&SideRoute| side.name == route.name;
        let before = self.standing.iter().position(of_name);
        let before = before.map(|at| self.standing.remove(at));
        if before.is_some_and(|before| before.is_mirror() != route.is_mirror()) {
            return Some(Problem::new(
                format!("{field}.name"),
                format!("{:?}, a header route and a mirror route", route.name),
                "a name of its own for each",
            ));
        }
        if route.is_removed() {
            let kind = if route.is_mirror() {
                "mirror"
            } else {
                "header"
            };
            return before.is_none().then(|| {
                Problem::new(
                    format!("{field}.name"),
                    format!("{:?}, without {without}", route.name),
                    format!(
                        "the name of a {kind} route that an earlier step sets: without {without} it \
                         is removed"
                    ),
                )
            });
        }
        self.standing.push(route);
        let headers = self.standing.iter().filter(|side| !side.is_mirror());
        let headers = headers.count();
        (headers > HEADER_ROUTES_MAX && !route.is_mirror()).then(|| {
            Problem::new(
                field,
                format!("{headers} at a time"),
                format!("at most {HEADER_ROUTES_MAX}; remove one before"),
            )
        })
    }
}

fn parse_header_route(
    route: &api::SetHeaderRoute,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Option<SideRoute> {
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for (i, header) in route.matches.iter().enumerate() {
        let value = match (&header.exact, &header.regex) {
            (Some(value), None) => HeaderValue::Exact(value.clone()),
            (None, Some(value)) => HeaderValue::Regex(value.clone()),
            _ => {
                problems.push(Problem::new(
                    format!("{at}.match[{i}]"),
                    "none or both",
                    "exactly one of exact and regex",
                ));
                return None;
            }
        };
        let name = header.header.clone();
        if headers.iter().any(|h| h.name.eq_ignore_ascii_case(&name)) {
            problems.push(Problem::new(
                format!("{at}.match[{i}].header"),
                format!("{name:?}"),
                "each header once, in whatever case",
            ));
            return None;
        }
        headers.push(HeaderMatch { name, value });
    }
    Some(SideRoute {
        name: route.name.clone(),
        takes: Takes::Headers(headers),
    })
}

fn parse_pause(pause: &api::Pause, at: &str, problems: &mut Vec<Problem>) -> Option<Pause> {
    if let Some(text) = &pause.duration {
        return read_duration(text, &format!("{at}.duration"), problems).map(Pause::For);
    }
    let Some(text) = &pause.timeout else {
        return Some(Pause::UntilPromoted(None));
    };
    let timeout = read_duration(text, &format!("{at}.timeout"), problems)?;
    Some(Pause::UntilPromoted(Some((
        timeout,
        pause.on_timeout.unwrap_or_default(),
    ))))
}

fn parse_scale(
    scale: &api::SetCanaryScale,
    at: &str,
    problems: &mut Vec<Problem>,
) -> Option<CanaryScale> {
    match (scale.replicas, scale.percent, scale.match_traffic) {
        (Some(n), None, None) => Some(CanaryScale::Replicas(n)),
        (None, Some(p), None) => Some(CanaryScale::Percent(p)),
        (None, None, Some(true)) => Some(CanaryScale::MatchTraffic),
        _ => {
            problems.push(Problem::new(
                at,
                "none or several",
                "exactly one of replicas, percent and matchTraffic: true",
            ));
            None
        }
    }
}

pub(super) fn request(
    analysis: &api::StepAnalysis,
    field: String,
    problems: &mut Vec<Problem>,
) -> AnalysisRequest {
    if let Some(text) = &analysis.max_duration {
        read_duration(text, &format!("{field}.maxDuration"), problems);
    }
    AnalysisRequest {
        templates: template_keys(&analysis.templates),
        args: args(&analysis.args, &field, problems),
        max_duration: analysis.max_duration.clone(),
        field,
    }
}

pub(super) fn template_keys(refs: &[TemplateRef]) -> Vec<TemplateKey> {
    refs.iter()
        .map(|t| TemplateKey {
            name: t.name.clone(),
            cluster_scope: t.cluster_scope,
        })
        .collect()
}

pub(super) fn args(args: &[Arg], at: &str, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for (i, arg) in args.iter().enumerate() {
        if out.insert(arg.name.clone(), arg.value.clone()).is_some() {
            problems.push(Problem::new(
                format!("{at}.args[{i}].name"),
                format!("{:?}", arg.name),
                "each arg once",
            ));
        }
    }
    out.into_iter().collect()
}

fn read_duration(text: &str, field: &str, problems: &mut Vec<Problem>) -> Option<SignedDuration> {
    duration::parse(text)
        .map_err(|e| problems.push(Problem::new(field, format!("{text:?}"), e.to_string())))
        .ok()
}
