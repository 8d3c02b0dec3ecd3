//! What is only refused once it is there: the phase becomes Invalid, or the step holds, the message
//! says field, value and what is allowed, and nothing that serves moves. Each row is done to a Rollout
//! that serves, by the real controller; once it is mended the Rollout is as it was, by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate::core::naming;
use tidegate::sim::apiserver::Fault;
use tokio::time::Instant;

use super::{ask, collection, create, good, named, rows};
use crate::controller::world::{INGRESSES, NAMESPACE, REPLICA_SETS, ROLLOUTS, ROUTES, World};

/// How long anything may take to come about.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const TICK: Duration = Duration::from_millis(50);
/// Rows that are played beside each other, in one cluster.
const BESIDE: usize = 12;
/// What traffic goes by.
const SERVING: [&str; 5] = ["services", "httproutes", "ingresses", "replicasets", "pods"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Moment {
    /// Between two rollouts.
    Settled,
    /// A version is on its way and has a part of the traffic.
    Shifting,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its number in the catalogue.
    pub case: Option<String>,
    pub title: String,
    /// What stands before.
    good: String,
    /// When it is done; not said: in both moments.
    #[serde(rename = "while")]
    moment: Option<Moment>,
    /// What somebody does, one after the other.
    change: Vec<Change>,
    /// The Rollout that is told, if it is not the one that serves.
    on: Option<String>,
    /// The phase that it has then.
    #[serde(default = "invalid")]
    becomes: String,
    /// What it says.
    says: Vec<String>,
    /// An abort works all the same.
    #[serde(default)]
    abort: bool,
}

fn invalid() -> String {
    "Invalid".to_owned()
}

/// One of these; `with` belongs to `patch` and `status`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    create: Option<Value>,
    delete: Option<String>,
    patch: Option<String>,
    status: Option<String>,
    with: Option<Value>,
}

pub fn all() -> Vec<(String, Row)> {
    rows("serving")
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_rollouts_nothing_moves() {
    play(Moment::Settled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mid_rollout_nothing_moves() {
    play(Moment::Shifting).await;
}

async fn play(moment: Moment) {
    let all: Vec<Played> = all()
        .into_iter()
        .enumerate()
        .filter(|(_, (_, row))| row.moment.is_none_or(|only| only == moment))
        .map(|(at, (_, row))| Played::new(row, format!("row{at:03}"), moment))
        .collect();
    assert!(all.len() >= 10, "{} rows", all.len());
    let mut wrong = Vec::new();
    for beside in all.chunks(BESIDE) {
        wrong.extend(play_beside(beside).await);
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} things are wrong in {} rows:\n{}",
        all.len(),
        wrong.join("\n")
    );
}

/// Some of them in one cluster: none is in another's way either.
async fn play_beside(all: &[Played]) -> Vec<String> {
    let world = World::new();
    let _controller = world.controller();
    let writes = Writes::default();
    writes.watch(&world);
    let mut wrong = step(all, |row| row.begin(&world)).await;
    let before: Vec<_> = all.iter().map(|row| traffic(&world, &row.name)).collect();
    let from = writes.count();
    wrong.extend(step(all, |row| row.change(&world)).await);
    for (row, before) in all.iter().zip(&before) {
        wrong.extend(row.moved(&world, before));
        wrong.extend(row.written(&writes.since(from)));
    }
    let befores = all.iter().zip(&before);
    let mends = befores.map(|(row, before)| row.named_error(row.mend(&world, before)));
    wrong.extend(join_all(mends).await.into_iter().flatten());
    wrong
}

async fn step<'a, F>(all: &'a [Played], act: impl Fn(&'a Played) -> F) -> Vec<String>
where
    F: Future<Output = Result<(), String>>,
{
    let acts = all.iter().map(|row| row.named_error(act(row)));
    join_all(acts).await.into_iter().flatten().collect()
}

/// What Tidegate has written, in order: verb, resource and name.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<(String, String, String)>>>);

impl Writes {
    fn watch(&self, world: &World) {
        let log = Arc::clone(&self.0);
        world.faults(move |request| {
            if matches!(
                request.verb.as_str(),
                "create" | "update" | "patch" | "delete"
            ) {
                let write = (
                    request.verb.clone(),
                    request.resource.clone(),
                    request.name.clone(),
                );
                log.lock().unwrap().push(write);
            }
            Fault::Pass
        });
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn since(&self, from: usize) -> Vec<(String, String, String)> {
        self.0.lock().unwrap()[from..].to_vec()
    }
}

/// A row that is being played.
struct Played {
    row: Row,
    name: String,
    moment: Moment,
    undo: Mutex<Vec<Undo>>,
}

/// How a change is taken back.
enum Undo {
    Delete(String, String),
    Create(Value),
    Patch(String, Value),
}

impl Played {
    fn new(row: Row, name: String, moment: Moment) -> Self {
        Self {
            row,
            name,
            moment,
            undo: Mutex::default(),
        }
    }

    async fn named_error(
        &self,
        result: impl Future<Output = Result<(), String>>,
    ) -> Option<String> {
        let case = self.row.case.as_deref().unwrap_or("-");
        let error = result.await.err()?;
        Some(format!("{case}: {}: {error}", self.row.title))
    }

    /// Brings it where it serves.
    async fn begin(&self, world: &World) -> Result<(), String> {
        for object in good(&self.row.good, &self.name).iter().rev() {
            create(&world.user, NAMESPACE, object, "").await?;
        }
        self.until(world, &self.name, "it serves", |rollout| {
            rollout["status"]["phase"] == "Healthy"
        })
        .await?;
        if self.moment == Moment::Shifting {
            world.set_image(&self.name, "r/app:v2").await;
            self.until_shifting(world).await?;
        }
        Ok(())
    }

    async fn until_shifting(&self, world: &World) -> Result<(), String> {
        self.until(world, &self.name, "a part of the traffic", |rollout| {
            let traffic = &rollout["status"]["traffic"];
            rollout["status"]["phase"] == "Paused"
                && traffic["desired"] == traffic["accepted"]
                && rollout["status"]["message"]
                    .as_str()
                    .is_some_and(|m| m.contains("until promoted"))
        })
        .await
    }

    /// Does what somebody does, and waits for what is said of it.
    async fn change(&self, world: &World) -> Result<(), String> {
        let before = traffic(world, &self.name);
        for change in &self.row.change {
            self.make(world, change).await?;
        }
        let on = self.row.on.as_deref().unwrap_or("NAME");
        let on = on.replace("NAME", &self.name);
        let says: Vec<_> = self.row.says.iter().map(|w| self.text(w)).collect();
        let edited = self.row.change.iter().find(|c| c.status.is_some());
        let edited = edited.and_then(|c| c.with.clone());
        self.until(world, &on, "it is said", |rollout| {
            let message = rollout["status"]["message"].as_str().unwrap_or_default();
            let mut again = rollout.clone();
            json_patch::merge(&mut again, edited.as_ref().unwrap_or(&json!({})));
            rollout["status"]["phase"] == self.row.becomes.as_str()
                && rollout["status"]["observedGeneration"] == rollout["metadata"]["generation"]
                && says.iter().all(|word| message.contains(word.as_str()))
                && (edited.is_none() || again != *rollout)
                && (self.row.becomes == "Invalid" || traffic(world, &self.name) == before)
        })
        .await
    }

    async fn make(&self, world: &World, change: &Change) -> Result<(), String> {
        let user = &world.user;
        if let Some(object) = &change.create {
            let object = named(object, &self.name);
            create(user, NAMESPACE, &object, "").await?;
            let text = |at: &str| object.pointer(at).unwrap().as_str().unwrap().to_owned();
            self.later(Undo::Delete(text("/kind"), text("/metadata/name")));
        }
        if let Some(which) = &change.delete {
            let (kind, name) = self.object(world, which)?;
            let of_kind = good(&self.row.good, &self.name).into_iter().find(|object| {
                object["kind"] == kind.as_str() && object["metadata"]["name"] == name.as_str()
            });
            let path = format!("{}/{name}", collection(&kind, NAMESPACE));
            ask(user, Method::DELETE, &path, "", &Value::Null).await?;
            if let Some(object) = of_kind {
                self.later(Undo::Create(object));
            }
        }
        let with = named(change.with.as_ref().unwrap_or(&Value::Null), &self.name);
        if let Some(which) = &change.patch {
            let (kind, name) = self.object(world, which)?;
            let path = format!("{}/{name}", collection(&kind, NAMESPACE));
            let before = ask(user, Method::GET, &path, "", &Value::Null).await?;
            ask(user, Method::PATCH, &path, "", &with).await?;
            self.later(Undo::Patch(path, inverse(&with, &before)));
        }
        if let Some(which) = &change.status {
            let (kind, name) = self.object(world, which)?;
            let path = format!("{}/{name}/status", collection(&kind, NAMESPACE));
            ask(user, Method::PATCH, &path, "", &with).await?;
        }
        Ok(())
    }

    fn later(&self, undo: Undo) {
        self.undo.lock().unwrap().push(undo);
    }

    fn text(&self, text: &str) -> String {
        text.replace("NAME", &self.name)
    }

    /// Kind and name; `STABLE` and `CANARY` are those of the versions' ReplicaSets.
    fn object(&self, world: &World, which: &str) -> Result<(String, String), String> {
        let (kind, name) = which.split_once(' ').unwrap();
        let version = |of: &str| {
            let status = world.rollout(&self.name)["status"].clone();
            let hash = status[of]["hash"].as_str();
            let hash = hash.ok_or_else(|| format!("there is no {of} version"))?;
            Ok::<_, String>(naming::replica_set(&self.name, hash))
        };
        let name = match name {
            "STABLE" => version("stable")?,
            "CANARY" => version("canary")?,
            name => self.text(name),
        };
        Ok((kind.to_owned(), name))
    }

    /// What the row itself changes of what traffic goes by.
    fn touched(&self) -> BTreeSet<String> {
        let changes = self.row.change.iter();
        let named = changes.filter_map(|c| {
            if let Some(object) = &c.create {
                let kind = object["kind"].as_str()?;
                return Some(format!("{kind} {}", object["metadata"]["name"].as_str()?));
            }
            c.delete.clone().or_else(|| c.patch.clone())
        });
        named.map(|name| self.text(&name)).collect()
    }

    /// What serves otherwise than before, but for what the row itself changed.
    fn moved(&self, world: &World, before: &BTreeMap<String, Value>) -> Option<String> {
        let touched = self.touched();
        let rest = |all: &BTreeMap<String, Value>| -> BTreeMap<String, Value> {
            let all = all.iter().filter(|(key, _)| !touched.contains(*key));
            all.map(|(key, value)| (key.clone(), value.clone()))
                .collect()
        };
        let after = traffic(world, &self.name);
        (rest(before) != rest(&after)).then(|| {
            let title = &self.row.title;
            format!("{title}: something moved: {before:?} became {after:?}")
        })
    }

    /// What was written to anything that traffic goes by, where nothing may be.
    fn written(&self, writes: &[(String, String, String)]) -> Option<String> {
        if self.row.becomes != "Invalid" {
            return None;
        }
        let found = writes.iter().find(|(_, resource, name)| {
            SERVING.contains(&resource.as_str()) && name.starts_with(&self.name)
        })?;
        Some(format!("{}: Tidegate wrote: {found:?}", self.row.title))
    }

    /// Takes the change back and waits until everything is as before; or aborts.
    async fn mend(&self, world: &World, before: &BTreeMap<String, Value>) -> Result<(), String> {
        let user = &world.user;
        if self.row.abort {
            let path = format!("{}/{}", collection("Rollout", NAMESPACE), self.name);
            let abort = json!({"metadata": {"annotations": {"tidegate.io/abort": "now"}}});
            ask(user, Method::PATCH, &path, "", &abort).await?;
            // A gateway that misses the Service confirms nothing, and the phase says so.
            let back = |rollout: &Value| {
                let phase = rollout["status"]["phase"].as_str().unwrap_or_default();
                phase.starts_with("Abort") && world.weights(&self.name) == (0, 100)
            };
            return self.until(world, &self.name, "it is aborted", back).await;
        }
        let undo = std::mem::take(&mut *self.undo.lock().unwrap());
        for undo in undo.into_iter().rev() {
            match undo {
                Undo::Delete(kind, name) => {
                    let path = format!("{}/{name}", collection(&kind, NAMESPACE));
                    ask(user, Method::DELETE, &path, "", &Value::Null).await?;
                }
                Undo::Create(object) => {
                    create(user, NAMESPACE, &object, "").await?;
                }
                Undo::Patch(path, patch) => {
                    ask(user, Method::PATCH, &path, "", &patch).await?;
                }
            }
        }
        match self.moment {
            Moment::Settled => {
                self.until(world, &self.name, "it serves again", |rollout| {
                    rollout["status"]["phase"] == "Healthy"
                })
                .await?;
            }
            Moment::Shifting => self.until_shifting(world).await?,
        }
        let deadline = Instant::now() + DEADLINE;
        while traffic(world, &self.name) != *before {
            if Instant::now() > deadline {
                let after = traffic(world, &self.name);
                return Err(format!("mended, but {before:?} is {after:?}"));
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(())
    }

    async fn until(
        &self,
        world: &World,
        name: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let rollout = world.get(ROLLOUTS, name).unwrap_or_default();
            if condition(&rollout) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let status = &rollout["status"];
                let (phase, message) = (&status["phase"], &status["message"]);
                return Err(format!("in vain waited that {what}: {phase} {message}"));
            }
            tokio::time::sleep(TICK).await;
        }
    }
}

/// What traffic to a Rollout's pods goes by.
fn traffic(world: &World, name: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let kinds = [
        ("Service", "services", "/spec/selector"),
        ("HTTPRoute", ROUTES, "/spec/rules"),
        ("Ingress", INGRESSES, "/spec/rules"),
        ("ReplicaSet", REPLICA_SETS, "/spec/replicas"),
    ];
    for (kind, resource, at) in kinds {
        for object in world.server.store().list(resource, NAMESPACE) {
            let own = object["metadata"]["name"].as_str().unwrap_or_default();
            if own.starts_with(name) {
                let annotations = &object["metadata"]["annotations"];
                let weight = annotations["nginx.ingress.kubernetes.io/canary-weight"].clone();
                let says = json!([object.pointer(at).map(shares), weight]);
                found.insert(format!("{kind} {own}"), says);
            }
        }
    }
    found
}

/// A route's rules with shares of the traffic in place of weights; anything else as it is.
fn shares(value: &Value) -> Value {
    let backends = |rule: &Value| rule.get("backendRefs").and_then(Value::as_array).cloned();
    let Some(rules) = value.as_array() else {
        return value.clone();
    };
    let weight = |backend: &Value| backend["weight"].as_i64().unwrap_or(1);
    let of = |rule: &Value| -> Value {
        let Some(backends) = backends(rule) else {
            return rule.clone();
        };
        let total: i64 = backends.iter().map(weight).sum();
        let share = |b: &Value| json!([b["name"], weight(b) * 100 / total.max(1)]);
        backends.iter().map(share).collect()
    };
    rules.iter().map(of).collect()
}

/// The merge patch that takes another one back.
fn inverse(patch: &Value, before: &Value) -> Value {
    match (patch, before) {
        (Value::Object(patch), Value::Object(_)) => patch
            .iter()
            .map(|(key, value)| {
                let was = before.get(key).unwrap_or(&Value::Null);
                (key.clone(), inverse(value, was))
            })
            .collect(),
        (_, before) => before.clone(),
    }
}
