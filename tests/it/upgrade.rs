//! A new Tidegate finds what an older one has stored, and leaves it alone: no version has another
//! hash, no rollout begins, nothing is written.
//!
//! `tests/upgrade/*.json` are objects as they were stored, with the time of the last look.
//! `TIDEGATE_BLESS=1 cargo test --test it upgrade` stores those that are missing; what is there is
//! never written anew, because old releases wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tidegate::controller::error::Error;
use tidegate::controller::neighbours::{DeploymentFacts, RolloutFacts};
use tidegate::controller::object::{Kind, Object};
use tidegate::controller::observe::observe;
use tidegate::controller::reader::{Labels, Reader};
use tidegate::core::decide::decide;
use tidegate::core::naming;
use tidegate::core::observed::{Observed, Settings};
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};
use tidegate::traffic::ingress_class::IngressClass;

use crate::controller::world::{NAMESPACE, REPLICA_SETS, REVERTS, ROLLOUTS, ROUTES, World};
use crate::controller::world::{canary, rollout, route};

const NAME: &str = "web";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrade")
}

/// Stored objects by kind and name.
#[derive(Default)]
struct Stored(BTreeMap<(Kind, String), Arc<Object>>);

impl Reader for Stored {
    async fn get(&self, kind: Kind, _: &str, name: &str) -> Result<Option<Arc<Object>>, Error> {
        Ok(self.0.get(&(kind, name.to_owned())).cloned())
    }

    async fn list(&self, kind: Kind, _: &str, labels: &Labels) -> Result<Vec<Arc<Object>>, Error> {
        let all = self.0.iter().filter(|((of, _), _)| *of == kind);
        let has = |o: &&Arc<Object>| {
            labels
                .iter()
                .all(|(key, value)| o.label(key) == Some(value))
        };
        Ok(all.map(|(_, object)| object).filter(has).cloned().collect())
    }

    fn siblings(&self, _: &str, _: &str) -> Vec<(String, Arc<RolloutFacts>)> {
        Vec::new()
    }

    fn gateway_classes(&self) -> Vec<Arc<Object>> {
        Vec::new()
    }

    fn ingress_class(&self, _: &str) -> IngressClass {
        IngressClass::Unknown
    }

    fn deployments(&self, _: &str, _: &dyn Fn(&DeploymentFacts) -> bool) -> Vec<String> {
        Vec::new()
    }
}

fn kind(object: &Value) -> Kind {
    match object["kind"].as_str().unwrap() {
        "Rollout" => Kind::Rollout,
        "ReplicaSet" => Kind::ReplicaSet,
        "Service" => Kind::Service,
        "HTTPRoute" => Kind::HttpRoute,
        "Revert" => Kind::Revert,
        other => panic!("{other} is not stored"),
    }
}

/// What was stored, and when it was looked at last.
fn stored() -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let json = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut all: Vec<_> = json
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

fn objects(stored: &Value) -> &Vec<Value> {
    stored["objects"].as_array().unwrap()
}

async fn seen(stored: &Value) -> (Observed, Timestamp) {
    let mut shelf = Stored::default();
    for object in objects(stored) {
        let read = Object::new(object.clone()).unwrap();
        let key = (kind(object), read.name().to_owned());
        shelf.0.insert(key, Arc::new(read));
    }
    let snapshot = observe(&shelf, NAMESPACE, NAME, Settings::default());
    let at = stored["at"].as_str().unwrap().parse().unwrap();
    (snapshot.await.unwrap().unwrap().observed, at)
}

#[tokio::test]
async fn what_was_stored_is_left_alone() {
    let all = stored();
    assert!(all.len() >= 5, "{} situations", all.len());
    for (name, stored) in all {
        let (observed, at) = seen(&stored).await;
        let plan = decide(&observed, at);
        assert!(plan.is_settled(), "{name}: {plan:#?}");
    }
}

#[tokio::test]
async fn every_version_keeps_its_hash() {
    for (name, stored) in stored() {
        let (observed, _) = seen(&stored).await;
        let status = &observed.rollout.status;
        let spec = observed.rollout.spec.unwrap();
        let hash = naming::template_hash(&spec.template, status.collision_count);
        let versions = [
            status.stable.as_ref().map(|v| &v.hash),
            status.canary.as_ref().map(|v| &v.hash),
        ];
        assert!(
            versions.contains(&Some(&hash)),
            "{name}: {hash} is none of {versions:?}"
        );
        let known = observed.replica_sets.iter().any(|rs| rs.hash == hash);
        assert!(known, "{name}: no ReplicaSet of {hash}");
    }
}

/// What today's definitions fill in and drop changes no template, and so no version.
#[tokio::test]
async fn todays_defaults_make_no_new_version() {
    let config = ApiServerConfig::default().with_crds(&tidegate::api::crds());
    let server = ApiServer::new(config).unwrap();
    for (name, stored) in stored() {
        for object in objects(&stored).iter().filter(|o| kind(o) == Kind::Rollout) {
            let written = json!({
                "apiVersion": object["apiVersion"], "kind": object["kind"],
                "metadata": {"name": name, "namespace": NAMESPACE}, "spec": object["spec"],
            });
            let read = server.add(written).unwrap();
            let hash = |o: &Value| naming::template_hash(&o["spec"]["template"], 0);
            assert_eq!(hash(&read), hash(object), "{name}");
        }
    }
}

/// Stores the situations that are missing, from a cluster in memory.
#[tokio::test(flavor = "multi_thread")]
async fn situations_that_are_missing_are_stored() {
    if std::env::var_os("TIDEGATE_BLESS").is_none() {
        return;
    }
    fs::create_dir_all(folder()).unwrap();
    for name in [
        "settled",
        "second",
        "shifting",
        "aborted",
        "by-pods",
        "blue-green",
    ] {
        let file = folder().join(format!("{name}.json"));
        if file.exists() {
            continue;
        }
        let world = World::new();
        let controller = world.controller();
        play(&world, name).await;
        // At rest, so that nothing is written any more.
        let mut before = (0, 0);
        while world.calls() != before {
            before = world.calls();
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        }
        controller.stop().await.unwrap();
        let kinds = [ROLLOUTS, REPLICA_SETS, "services", ROUTES, REVERTS];
        let mut objects = Vec::new();
        for kind in kinds {
            objects.extend(world.server.store().list(kind, NAMESPACE));
        }
        for object in &mut objects {
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("managedFields");
        }
        let stored = json!({"at": Timestamp::now().to_string(), "objects": objects});
        fs::write(file, serde_json::to_string_pretty(&stored).unwrap() + "\n").unwrap();
    }
}

async fn play(world: &World, name: &str) {
    let steps = json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}]);
    let by_pods = json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}});
    let blue_green =
        json!({"blueGreen": {"activeService": "web-stable", "scaleDownDelaySeconds": 0}});
    world.add_service("web-stable", NAME);
    world.add_service("web-canary", NAME);
    world.server.add(route(NAME)).unwrap();
    let object = match name {
        "by-pods" => rollout(NAME, &by_pods),
        "blue-green" => rollout(NAME, &blue_green),
        _ => canary(NAME, &steps),
    };
    world.server.add(object).unwrap();
    world.until_phase(NAME, "Healthy").await;
    if matches!(name, "settled" | "by-pods") {
        return;
    }
    world.set_image(NAME, "r/app:v2").await;
    if name == "blue-green" {
        return world
            .until("the second version", |w| {
                w.sizes(NAME).contains(&("r/app:v1".to_owned(), 0))
            })
            .await;
    }
    world
        .until("a part", |w| {
            w.phase(NAME) == "Paused" && w.weights(NAME) == (20, 80)
        })
        .await;
    match name {
        "aborted" => {
            world.command(NAME, "abort").await;
            world.until_phase(NAME, "Aborted").await;
        }
        "second" => {
            world.command(NAME, "promote-full").await;
            world
                .until("the second version", |w| {
                    w.phase(NAME) == "Healthy"
                        && w.sizes(NAME).contains(&("r/app:v1".to_owned(), 0))
                })
                .await;
        }
        _ => {}
    }
}
