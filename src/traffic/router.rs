//! Which router a route of the Rollout's belongs to: one place where [`RouteId`] becomes JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use json_patch::Patch;
use serde_json::Value;

use super::ingress_class::Classes;
use super::side_routes::SideRoutes;
use super::{Backends, Owner, gateway_api, ingress_nginx, managed_route, mirror};
use crate::core::observed::{RouteId, RouteObserved, RouteState};
use crate::core::spec::{Means, Problem, Router, SideRoute, Spec};

const GATEWAY: &str = "spec.strategy.canary.trafficRouting.gatewayAPI";
const NGINX: &str = "spec.strategy.canary.trafficRouting.nginx.ingresses";

/// An object that a router reads or writes: its kind, and its name in the Rollout's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouterObject {
    /// A Gateway API HTTPRoute.
    HttpRoute(String),
    /// An Ingress.
    Ingress(String),
    /// A GatewayClass, of the whole cluster.
    GatewayClass(String),
}

/// The routers' objects as they were read; one that is not in here does not exist.
pub type Found = BTreeMap<RouterObject, Value>;

/// How a weight is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A JSON patch that tests the resourceVersion.
    Json(Patch),
    /// A JSON merge patch that carries the resourceVersion.
    Merge(Value),
}

/// Every object that has to be read for the routes of `spec`.
#[must_use]
pub fn objects(spec: &Spec, rollout: &str) -> Vec<RouterObject> {
    let of = |route: RouteId| match route {
        RouteId::HttpRoute(name) | RouteId::ManagedHttpRoute(name) => {
            vec![RouterObject::HttpRoute(name)]
        }
        RouteId::NginxIngress(name) => vec![
            RouterObject::Ingress(ingress_nginx::name(rollout, &name)),
            RouterObject::Ingress(name),
        ],
    };
    spec.routes(rollout).into_iter().flat_map(of).collect()
}

/// The object that is written for a route.
#[must_use]
pub fn written(route: &RouteId, rollout: &str) -> RouterObject {
    match route {
        RouteId::HttpRoute(name) | RouteId::ManagedHttpRoute(name) => {
            RouterObject::HttpRoute(name.clone())
        }
        RouteId::NginxIngress(name) => RouterObject::Ingress(ingress_nginx::name(rollout, name)),
    }
}

/// What every route of `spec` says, in its order.
#[must_use]
pub fn read(
    spec: &Spec,
    owner: Owner<'_>,
    found: &Found,
    classes: Classes<'_>,
) -> Vec<RouteObserved> {
    let Some((backends, router)) = parts(spec) else {
        return Vec::new();
    };
    let sides = SideRoutes::of(spec);
    let features = features(found);
    let observed = |(i, id): (usize, RouteId)| RouteObserved {
        state: state(
            router,
            (&sides, &features),
            backends,
            owner,
            (found, classes),
            i,
            &id,
        ),
        id,
    };
    spec.routes(owner.name)
        .into_iter()
        .enumerate()
        .map(observed)
        .collect()
}

/// What the gateways that serve them can do.
fn features(found: &Found) -> mirror::Features {
    let classes = found.iter().filter_map(|(which, value)| match which {
        RouterObject::GatewayClass(_) => mirror::features(value),
        _ => None,
    });
    classes.collect()
}

/// Whether the steps of `spec` ask for what only some gateways can do: then their GatewayClasses are
/// read as well.
#[must_use]
pub fn asks_for_features(spec: &Spec) -> bool {
    SideRoutes::of(spec).mirrors().is_some()
}

/// Whether a GatewayClass is of a controller that serves one of the routes.
#[must_use]
pub fn is_served_by(found: &Found, class: &Value) -> bool {
    let controller = class
        .pointer("/spec/controllerName")
        .and_then(Value::as_str);
    let mut routes = found.values().flat_map(mirror::controllers);
    controller.is_some_and(|controller| routes.any(|serves| serves == controller))
}

fn state(
    router: &Router,
    sides: (&SideRoutes, &mirror::Features),
    backends: Backends<'_>,
    owner: Owner<'_>,
    (found, classes): (&Found, Classes<'_>),
    i: usize,
    id: &RouteId,
) -> RouteState {
    match (router, id) {
        (Router::HttpRoutes(routes), RouteId::HttpRoute(name)) => {
            let field = format!("{GATEWAY}.httpRoutes[{i}]");
            let Some(route) = found.get(&RouterObject::HttpRoute(name.clone())) else {
                return RouteState::Unusable(Problem::new(
                    format!("{field}.name"),
                    format!("{name:?}: there is no such HTTPRoute"),
                    format!("the name of an HTTPRoute in namespace {}", owner.namespace),
                ));
            };
            let rules = routes
                .get(i)
                .map(|(_, rules)| rules.as_slice())
                .unwrap_or_default();
            match gateway_api::read(route, rules, sides, backends, &field) {
                Ok(live) => RouteState::Live(live),
                Err(problem) => RouteState::Unusable(problem),
            }
        }
        (Router::Managed(managed), RouteId::ManagedHttpRoute(name)) => {
            match found.get(&RouterObject::HttpRoute(name.clone())) {
                Some(route) => {
                    let field = format!("{GATEWAY}.managedRoute");
                    managed_route::read(route, owner, managed, sides, backends, &field)
                }
                None => RouteState::ToCreate,
            }
        }
        (_, RouteId::NginxIngress(name)) => ingress_nginx::read(
            (
                found.get(&RouterObject::Ingress(name.clone())),
                found.get(&written(id, owner.name)),
            ),
            classes,
            owner,
            backends,
            name,
            &format!("{NGINX}[{i}].name"),
        ),
        (_, id) => RouteState::Unusable(no_such_route(id)),
    }
}

/// The object that Tidegate creates for a route, with `weight` percent for the canary.
///
/// # Errors
/// When the route is none that Tidegate creates, or what it is made from is not usable.
pub fn body(
    spec: &Spec,
    owner: Owner<'_>,
    found: &Found,
    route: &RouteId,
    weight: i32,
    at: Timestamp,
) -> Result<Value, Problem> {
    match (parts(spec), route) {
        (Some((backends, Router::Managed(managed))), RouteId::ManagedHttpRoute(_)) => {
            Ok(managed_route::body(owner, managed, backends, weight))
        }
        (Some((backends, Router::Nginx(_))), RouteId::NginxIngress(name)) => {
            let stable = object(found, &RouterObject::Ingress(name.clone()))?;
            ingress_nginx::body(
                stable,
                owner,
                backends,
                weight,
                at,
                &field(spec, owner, route),
            )
        }
        _ => Err(no_such_route(route)),
    }
}

/// The change that gives the canary `weight` percent at a route, and the route these side routes.
///
/// # Errors
/// When the route cannot carry weights (any more).
pub fn change(
    spec: &Spec,
    owner: Owner<'_>,
    found: &Found,
    route: &RouteId,
    (weight, side_routes): (i32, &[SideRoute]),
    at: Timestamp,
) -> Result<Change, Problem> {
    let Some((backends, router)) = parts(spec) else {
        return Err(no_such_route(route));
    };
    let field = field(spec, owner, route);
    let live = object(found, &written(route, owner.name))?;
    match (router, route) {
        (Router::HttpRoutes(routes), RouteId::HttpRoute(name)) => {
            let rules = routes
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, r)| r.as_slice());
            let rules = rules.unwrap_or_default();
            gateway_api::weight_patch(live, rules, backends, weight, side_routes, &field)
                .map(Change::Json)
        }
        (Router::Managed(managed), RouteId::ManagedHttpRoute(_)) => Ok(Change::Merge(
            managed_route::weight_patch(live, managed, backends, weight, side_routes),
        )),
        (Router::Nginx(_), RouteId::NginxIngress(name)) => {
            let stable = object(found, &RouterObject::Ingress(name.clone()))?;
            ingress_nginx::weight_patch(stable, live, backends, weight, at, &field)
                .map(Change::Merge)
        }
        _ => Err(no_such_route(route)),
    }
}

fn parts(spec: &Spec) -> Option<(Backends<'_>, &Router)> {
    match &spec.means {
        Means::Routes {
            stable_service,
            canary_service,
            router,
        } => Some((
            Backends {
                canary: canary_service,
                stable: stable_service,
            },
            router,
        )),
        Means::Active { .. } | Means::Pods { .. } => None,
    }
}

/// The Rollout's field that names a route.
fn field(spec: &Spec, owner: Owner<'_>, route: &RouteId) -> String {
    let i = spec
        .routes(owner.name)
        .iter()
        .position(|id| id == route)
        .unwrap_or_default();
    match route {
        RouteId::HttpRoute(_) => format!("{GATEWAY}.httpRoutes[{i}]"),
        RouteId::ManagedHttpRoute(_) => format!("{GATEWAY}.managedRoute"),
        RouteId::NginxIngress(_) => format!("{NGINX}[{i}].name"),
    }
}

fn object<'a>(found: &'a Found, which: &RouterObject) -> Result<&'a Value, Problem> {
    found.get(which).ok_or_else(|| {
        let (kind, name) = match which {
            RouterObject::HttpRoute(name) => ("HTTPRoute", name),
            RouterObject::Ingress(name) => ("Ingress", name),
            RouterObject::GatewayClass(name) => ("GatewayClass", name),
        };
        Problem::new(
            format!("{kind} {name}"),
            "it is gone",
            "an object that exists",
        )
    })
}

fn no_such_route(route: &RouteId) -> Problem {
    Problem::new(
        "spec.strategy.canary.trafficRouting",
        route,
        "a route that the spec names and its router knows",
    )
}
