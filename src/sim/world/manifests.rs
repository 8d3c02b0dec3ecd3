//! Routes, Ingresses and Services whole: as JSON, with all that their users have written into them. What
//! Tidegate changes of them are the shipped patches, and what they then say is what the shipped readers
//! read. They are kept only where somebody asks for it: most of what happens to a rollout does not
//! depend on what else stands beside a weight.

use std::collections::BTreeMap;

use jiff::Timestamp;
use json_patch::{merge, patch};
use serde_json::{Value, json};

use super::World;
use super::objects::Kind;
use super::view::NAMESPACE;
use crate::core::observed::{RouteId, RouteState};
use crate::core::plan::Write;
use crate::core::spec::{SideRoute, Spec};
use crate::sim::happen::keys;
use crate::sim::invariants::Break;
use crate::traffic::ingress_class::IngressClass;
use crate::traffic::router::{self, Change, Found, RouterObject};
use crate::traffic::{Owner, service};

/// The version of every one of them: that a write was made on the newest one, the store looks after.
const VERSION: &str = "1";

/// Objects whole, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// As they are.
    pub live: BTreeMap<String, Value>,
    /// What others than Tidegate wrote into each.
    pub of_others: BTreeMap<String, Value>,
}

impl Manifests {
    /// Whether objects are kept whole.
    #[must_use]
    pub fn are_kept(&self) -> bool {
        !self.of_others.is_empty()
    }

    fn add(&mut self, name: String, object: Value) {
        self.live.insert(name.clone(), object.clone());
        self.of_others.insert(name, object);
    }

    fn edit(&mut self, name: &str, change: &Value) {
        if let Some(live) = self.live.get_mut(name) {
            merge(live, change);
            let of_others = self.of_others.entry(name.to_owned());
            merge(of_others.or_insert(Value::Null), change);
        }
    }
}

/// The name that an object of a router has here.
fn named(object: &RouterObject) -> String {
    match object {
        RouterObject::HttpRoute(name) => format!("HTTPRoute {name}"),
        RouterObject::Ingress(name) => format!("Ingress {name}"),
        RouterObject::GatewayClass(name) => format!("GatewayClass {name}"),
    }
}

/// The name that a Service has here.
fn service_named(name: &str) -> String {
    format!("Service {name}")
}

/// Every object of a Rollout's that is kept whole, and whether Tidegate makes it.
#[must_use]
pub fn objects_of(spec: &Spec, rollout: &str) -> Vec<(String, bool)> {
    let services = spec.services().into_iter();
    let mut all: Vec<(String, bool)> = services
        .map(|(_, name)| (service_named(name), false))
        .collect();
    let users: Vec<RouterObject> = (spec.routes(rollout).iter())
        .filter_map(|route| match route {
            RouteId::HttpRoute(name) => Some(RouterObject::HttpRoute(name.clone())),
            RouteId::NginxIngress(name) => Some(RouterObject::Ingress(name.clone())),
            RouteId::ManagedHttpRoute(_) => None,
        })
        .collect();
    let routers = router::objects(spec, rollout).into_iter();
    all.extend(routers.map(|object| (named(&object), !users.contains(&object))));
    all
}

impl World {
    /// From now on the objects of all Rollouts are kept whole, with what others have written into some.
    pub fn keep_whole(&mut self, written: &BTreeMap<String, Value>) {
        for rollout in keys(self, Kind::Rollout) {
            let Some(spec) = self.spec(&rollout).cloned() else {
                continue;
            };
            for (object, ours) in objects_of(&spec, &rollout) {
                if !ours {
                    let plain = plain(&object, &rollout, &spec);
                    self.manifests.add(object, plain);
                }
            }
        }
        for (object, change) in written {
            self.manifests.edit(object, change);
        }
    }

    /// Somebody else than Tidegate changes an object that is kept whole.
    pub fn edit_whole(&mut self, rollout: &str, object: &str, change: &Value, by: &str) {
        self.manifests.edit(object, change);
        let respec = change.get("spec").is_some();
        if let Some(name) = object.strip_prefix("Service ") {
            let read = self.service_whole(name);
            let _ = self
                .store
                .update(Kind::Service, name, None, respec, |stored| {
                    if let (Some(body), Some((hash, problem))) = (stored.service_mut(), read) {
                        body.hash = hash;
                        body.problem = problem;
                    }
                });
            return;
        }
        let Some(spec) = self.spec(rollout).cloned() else {
            return;
        };
        let now = self.now;
        for route in spec.routes(rollout) {
            if named(&router::written(&route, rollout)) != object {
                continue;
            }
            let read = self.route_whole(&spec, rollout, &route);
            let key = route.to_string();
            let _ = self
                .store
                .update(Kind::Route, &key, None, respec, |stored| {
                    match (stored.route_mut(), read) {
                        (Some(body), Some(RouteState::Live(live))) => {
                            body.problem = None;
                            if body.weight != live.weight {
                                body.weight = live.weight;
                                body.changed_at = Some(now);
                                by.clone_into(&mut body.writer);
                            }
                        }
                        (Some(body), Some(RouteState::Unusable(problem))) => {
                            body.problem = Some(problem);
                        }
                        _ => {}
                    }
                });
        }
    }

    /// A write of Tidegate's was taken: the shipped patch of it reaches the object that is kept whole.
    pub(super) fn patch_whole(&mut self, spec: Option<&Spec>, rollout: &str, write: &Write) {
        if !self.manifests.are_kept() {
            return;
        }
        let patched = match (write, spec) {
            (Write::SwitchService { name, to, at, .. }, _) => {
                if let Some(object) = self.manifests.live.get_mut(&service_named(name)) {
                    let change = service::switch_patch(VERSION, rollout, to.as_deref(), *at);
                    merge(object, &change);
                }
                Ok(())
            }
            (
                Write::SetWeight {
                    route,
                    to,
                    side_routes,
                    at,
                    ..
                },
                Some(spec),
            ) => self.weigh_whole((spec, rollout), route, (*to, side_routes), *at),
            (Write::CreateRoute { route, weight, at }, Some(spec)) => {
                self.create_whole((spec, rollout), route, *weight, *at)
            }
            _ => Ok(()),
        };
        if let Err(why) = patched {
            self.break_off(Break {
                invariant: "I3",
                message: format!("{write}, and the object cannot take it: {why}"),
            });
        }
    }

    fn weigh_whole(
        &mut self,
        (spec, rollout): (&Spec, &str),
        route: &RouteId,
        said: (i32, &[SideRoute]),
        at: Timestamp,
    ) -> Result<(), String> {
        let object = named(&router::written(route, rollout));
        let Some(mut live) = self.manifests.live.get(&object).cloned() else {
            return Err(format!("there is no {object}"));
        };
        let uid = self.uid_of(rollout);
        let found = self.objects_found(spec, rollout);
        let change = router::change(spec, owner(rollout, &uid), &found, route, said, at)
            .map_err(|problem| problem.to_string())?;
        match change {
            Change::Json(change) => {
                patch(&mut live, &change).map_err(|error| error.to_string())?;
            }
            Change::Merge(change) => merge(&mut live, &change),
        }
        self.manifests.live.insert(object, live);
        Ok(())
    }

    fn create_whole(
        &mut self,
        (spec, rollout): (&Spec, &str),
        route: &RouteId,
        weight: i32,
        at: Timestamp,
    ) -> Result<(), String> {
        let uid = self.uid_of(rollout);
        let found = self.objects_found(spec, rollout);
        let mut body = router::body(spec, owner(rollout, &uid), &found, route, weight, at)
            .map_err(|problem| problem.to_string())?;
        merge(
            &mut body,
            &json!({"metadata": {"resourceVersion": VERSION}}),
        );
        let object = named(&router::written(route, rollout));
        self.manifests.live.insert(object, body);
        Ok(())
    }

    /// Another tool has given a route this weight, and no header routes.
    pub(super) fn reset_whole(&mut self, route: &str, weight: i32) {
        if !self.manifests.are_kept() {
            return;
        }
        let now = self.now;
        for rollout in &keys(self, Kind::Rollout) {
            let Some(spec) = self.spec(rollout).cloned() else {
                continue;
            };
            let all = spec.routes(rollout).into_iter();
            for id in all.filter(|id| id.to_string() == route) {
                let _ = self.weigh_whole((&spec, rollout), &id, (weight, &[]), now);
            }
        }
    }

    /// What a Service that is kept whole says: the version that it selects, what makes it unusable.
    #[must_use]
    pub fn service_whole(&self, name: &str) -> Option<(Option<String>, Option<String>)> {
        let object = self.manifests.live.get(&service_named(name))?;
        let read = service::read(object);
        Some((read.hash, read.problem))
    }

    /// What a route says that is kept whole.
    #[must_use]
    pub fn route_whole(&self, spec: &Spec, rollout: &str, route: &RouteId) -> Option<RouteState> {
        let object = named(&router::written(route, rollout));
        self.manifests.live.get(&object)?;
        let uid = self.uid_of(rollout);
        let found = self.objects_found(spec, rollout);
        let all = router::read(spec, owner(rollout, &uid), &found, &|_| {
            IngressClass::Unknown
        });
        let read = all.into_iter().find(|read| read.id == *route)?;
        Some(read.state)
    }

    fn objects_found(&self, spec: &Spec, rollout: &str) -> Found {
        let all = router::objects(spec, rollout).into_iter();
        all.filter_map(|object| {
            let live = self.manifests.live.get(&named(&object))?.clone();
            Some((object, live))
        })
        .collect()
    }

    fn uid_of(&self, rollout: &str) -> String {
        let stored = self.store.get(Kind::Rollout, rollout);
        stored.map_or_else(String::new, |stored| stored.meta.uid.clone())
    }
}

fn owner<'a>(rollout: &'a str, uid: &'a str) -> Owner<'a> {
    Owner {
        namespace: NAMESPACE,
        name: rollout,
        uid,
    }
}

/// An object of a user's as plain as it may be.
fn plain(object: &str, rollout: &str, spec: &Spec) -> Value {
    let (kind, name) = object.split_once(' ').unwrap_or((object, ""));
    let metadata = json!({"name": name, "namespace": NAMESPACE, "resourceVersion": VERSION});
    let service = |of: &str| {
        let field = format!("{of}Service");
        let all = spec.services().into_iter();
        let mut named = all.filter(|(path, _)| path.ends_with(&field));
        named.next().map_or("", |(_, name)| name).to_owned()
    };
    match kind {
        "HTTPRoute" => {
            let backend =
                |name: String, weight: i32| json!({"name": name, "port": 80, "weight": weight});
            let backends = json!([
                backend(service("stable"), 100),
                backend(service("canary"), 0)
            ]);
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": metadata,
                "spec": {"parentRefs": [{"name": "gateway"}], "rules": [{"backendRefs": backends}]}})
        }
        "Ingress" => {
            let backend = json!({"service": {"name": service("stable"), "port": {"number": 80}}});
            let path = json!({"path": "/", "pathType": "Prefix", "backend": backend});
            let host = format!("{rollout}.example.com");
            json!({"apiVersion": "networking.k8s.io/v1", "kind": kind, "metadata": metadata,
                "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [path]}}]}})
        }
        _ => json!({"apiVersion": "v1", "kind": kind, "metadata": metadata,
            "spec": {"selector": {"app": rollout}, "ports": [{"port": 80}]}}),
    }
}
