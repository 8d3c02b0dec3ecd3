//! What the watches have brought: one table per kind, and which Rollouts a change concerns.
//!
//! The caches say when to look and whether there may be something to do; nothing is written on
//! what they say. They are own tables and not the client library's, because every question is asked
//! per Rollout: ten thousand Rollouts with thirty thousand ReplicaSets must not be a search through
//! all of them each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::error::RunError;
use super::neighbours::{DeploymentFacts, RolloutFacts, index_name};
use super::object::{Kind, Object};
use super::reader::Labels;
use crate::api::revert::ROLLOUT_LABEL;
use crate::traffic::ingress_class::IngressClass;

/// Namespace and name.
pub type Key = (String, String);

/// After this time without a working watch the cache counts as frozen: longer than an API server
/// takes to start anew.
const FROZEN_AFTER: Duration = Duration::from_secs(60);

/// All tables.
#[derive(Debug)]
pub struct Caches {
    tables: BTreeMap<Kind, RwLock<Table>>,
    /// Kinds that need not be there.
    optional: BTreeSet<Kind>,
    filled: tokio::sync::watch::Sender<BTreeSet<Kind>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<Key, Entry>,
    /// Names by namespace and index key; see [`index_keys`].
    index: BTreeMap<Key, BTreeSet<Key>>,
    /// What a list brings until it is complete.
    incoming: Option<BTreeMap<Key, Arc<Object>>>,
    /// Whether what is not here does not exist, as far as anybody knows.
    listed: bool,
    failing_since: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    object: Arc<Object>,
    /// For Rollouts: what others have to know about it.
    facts: Option<Arc<RolloutFacts>>,
    /// For Deployments: the same.
    deployment: Option<DeploymentFacts>,
    keys: Vec<Key>,
}

impl Caches {
    /// Empty tables for `kinds`; `optional` ones may stay empty for ever.
    #[must_use]
    pub fn new(kinds: &[Kind], optional: &[Kind]) -> Self {
        Self {
            tables: kinds
                .iter()
                .map(|kind| (*kind, RwLock::default()))
                .collect(),
            optional: optional.iter().copied().collect(),
            filled: tokio::sync::watch::Sender::new(BTreeSet::new()),
        }
    }

    fn read<T>(&self, kind: Kind, read: impl FnOnce(&Table) -> T) -> Option<T> {
        let table = self.tables.get(&kind)?;
        Some(read(&table.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn write<T>(&self, kind: Kind, write: impl FnOnce(&mut Table) -> T) -> Option<T> {
        let table = self.tables.get(&kind)?;
        Some(write(
            &mut table.write().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let namespace = if kind.is_cluster_scoped() {
            ""
        } else {
            namespace
        };
        let key = (namespace.to_owned(), name.to_owned());
        self.read(kind, |t| t.entries.get(&key).map(|e| Arc::clone(&e.object)))?
    }

    /// The objects of a namespace that have all `labels`, one of which is that of a Rollout; for
    /// kinds that are not cached, none.
    #[must_use]
    pub fn list(&self, kind: Kind, namespace: &str, labels: &Labels) -> Vec<Arc<Object>> {
        let Some(rollout) = labels.get(ROLLOUT_LABEL) else {
            return Vec::new();
        };
        let key = (namespace.to_owned(), rollout.clone());
        let has_all = |o: &Object| labels.iter().all(|(k, v)| o.label(k) == Some(v.as_str()));
        self.read(kind, |t| {
            let names = t.index.get(&key).into_iter().flatten();
            names
                .filter_map(|key| t.entries.get(key))
                .filter(|e| has_all(&e.object))
                .map(|e| Arc::clone(&e.object))
                .collect()
        })
        .unwrap_or_default()
    }

    /// The other Rollouts of a namespace.
    #[must_use]
    pub fn siblings(&self, namespace: &str, name: &str) -> Vec<(String, Arc<RolloutFacts>)> {
        self.read(Kind::Rollout, |t| {
            t.of(namespace)
                .filter(|((_, other), _)| other != name)
                .filter_map(|((_, other), e)| Some((other.clone(), Arc::clone(e.facts.as_ref()?))))
                .collect()
        })
        .unwrap_or_default()
    }

    /// The names of the Deployments of a namespace that are `such`.
    #[must_use]
    pub fn deployments(
        &self,
        namespace: &str,
        such: &dyn Fn(&DeploymentFacts) -> bool,
    ) -> Vec<String> {
        self.read(Kind::Deployment, |t| {
            t.of(namespace)
                .filter(|(_, e)| e.deployment.as_ref().is_some_and(such))
                .map(|((_, name), _)| name.clone())
                .collect()
        })
        .unwrap_or_default()
    }

    /// What is known of the IngressClass of a name.
    #[must_use]
    pub fn ingress_class(&self, name: &str) -> IngressClass {
        if let Some(found) = self.get(Kind::IngressClass, "", name) {
            let value = found.value();
            let controller = value.pointer("/spec/controller").and_then(|c| c.as_str());
            return IngressClass::Of(controller.unwrap_or_default().to_owned());
        }
        match self.read(Kind::IngressClass, |t| t.listed) {
            Some(true) => IngressClass::Missing,
            Some(false) | None => IngressClass::Unknown,
        }
    }

    /// Every object of a kind.
    #[must_use]
    pub fn all(&self, kind: Kind) -> Vec<Arc<Object>> {
        let objects = |t: &Table| t.entries.values().map(|e| Arc::clone(&e.object)).collect();
        self.read(kind, objects).unwrap_or_default()
    }

    /// The name of every object of a kind.
    #[must_use]
    pub fn names(&self, kind: Kind) -> Vec<Key> {
        self.read(kind, |t| t.entries.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Takes in what a watch has brought and says which Rollouts it concerns.
    pub fn apply(&self, kind: Kind, event: Event<Object>) -> BTreeSet<Key> {
        let mut changed: Vec<Arc<Object>> = Vec::new();
        let mut complete = false;
        self.write(kind, |table| {
            table.failing_since = None;
            match event {
                Event::Apply(object) => changed.extend(table.put(kind, slim(kind, object))),
                Event::Delete(object) => changed.extend(table.remove(&key_of(&object))),
                Event::Init => table.incoming = Some(BTreeMap::new()),
                Event::InitApply(object) => {
                    let object = slim(kind, object);
                    table
                        .incoming
                        .get_or_insert_default()
                        .insert(key_of(&object), object);
                }
                Event::InitDone => {
                    complete = true;
                    table.listed = true;
                    let incoming = table.incoming.take().unwrap_or_default();
                    // What is not in the list any more was deleted while nobody watched.
                    let gone: Vec<Key> = table
                        .entries
                        .keys()
                        .filter(|k| !incoming.contains_key(*k))
                        .cloned()
                        .collect();
                    changed.extend(gone.iter().filter_map(|key| table.remove(key)));
                    for object in incoming.into_values() {
                        changed.extend(table.put(kind, object));
                    }
                }
            }
        });
        if complete {
            self.filled.send_if_modified(|kinds| kinds.insert(kind));
        }
        changed
            .iter()
            .flat_map(|object| self.concerned(kind, object))
            .collect()
    }

    /// The Rollouts that a change of `object` concerns.
    fn concerned(&self, kind: Kind, object: &Object) -> BTreeSet<Key> {
        let (namespace, name) = key_of(object);
        let mut found = BTreeSet::new();
        if kind == Kind::Rollout {
            found.insert((namespace, name));
            // Who shares a Service or a Deployment with it may be free of it now, or not any more.
            let facts = RolloutFacts::of(object);
            for key in facts.map(|f| f.references).unwrap_or_default() {
                let of_one = [Kind::Service, Kind::Deployment];
                if of_one.iter().any(|kind| key.1.starts_with(kind.as_str())) {
                    found.extend(self.naming(&key));
                }
            }
            return found;
        }
        if let Some(rollout) = object.label(ROLLOUT_LABEL) {
            found.insert((namespace.clone(), rollout.to_owned()));
        }
        // What a class says concerns whoever names an object of it, and the object is not looked into.
        match kind {
            Kind::IngressClass => found.extend(self.naming_any(Kind::Ingress)),
            Kind::GatewayClass => found.extend(self.naming_any(Kind::HttpRoute)),
            _ => {}
        }
        if kind == Kind::Deployment {
            found.extend(self.sharing_labels(&namespace, object));
        }
        found.extend(self.naming(&(namespace, index_name(kind, &name))));
        found
    }

    /// The Rollouts that name any object of a kind.
    fn naming_any(&self, kind: Kind) -> BTreeSet<Key> {
        let begins = index_name(kind, "");
        self.read(Kind::Rollout, |t| {
            let all = t.index.iter();
            let of_kind = all.filter(|((_, name), _)| name.starts_with(&begins));
            of_kind.flat_map(|(_, keys)| keys.clone()).collect()
        })
        .unwrap_or_default()
    }

    /// The Rollouts that share labels with a Deployment.
    fn sharing_labels(&self, namespace: &str, deployment: &Object) -> BTreeSet<Key> {
        self.read(Kind::Rollout, |t| {
            let mut rollouts = t.of(namespace).peekable();
            // Most namespaces have none.
            if rollouts.peek().is_none() {
                return BTreeSet::new();
            }
            let deployment = DeploymentFacts::of(deployment);
            let shares = |e: &Entry| {
                e.facts
                    .as_ref()
                    .is_some_and(|f| deployment.shares_labels(&f.selector, &f.pod_labels))
            };
            let sharing = rollouts.filter(|(_, e)| shares(e));
            sharing.map(|(key, _)| key.clone()).collect()
        })
        .unwrap_or_default()
    }

    /// The Rollouts that name an object.
    fn naming(&self, key: &Key) -> BTreeSet<Key> {
        self.read(Kind::Rollout, |t| {
            t.index.get(key).cloned().unwrap_or_default()
        })
        .unwrap_or_default()
    }

    /// A watch failed. One of an optional kind that is not served, or may not be read, counts as
    /// filled with nothing. Says whether it had been working.
    pub fn failed(&self, kind: Kind, absent: bool) -> bool {
        let was_working = self.write(kind, |table| {
            let was_working = table.failing_since.is_none();
            table.failing_since.get_or_insert_with(Instant::now);
            table.listed &= !absent;
            was_working
        });
        if absent && self.optional.contains(&kind) {
            self.filled.send_if_modified(|kinds| kinds.insert(kind));
        }
        was_working.unwrap_or_default()
    }

    /// Whether a kind need not be there.
    #[must_use]
    pub fn is_optional(&self, kind: Kind) -> bool {
        self.optional.contains(&kind)
    }

    /// The kinds that have not been listed yet, or whose watch has been failing for too long.
    #[must_use]
    pub fn not_ready(&self) -> Vec<Kind> {
        self.not_ready_at(Instant::now())
    }

    fn not_ready_at(&self, now: Instant) -> Vec<Kind> {
        let filled = self.filled.borrow().clone();
        let frozen = |kind: &Kind| {
            let since = self.read(*kind, |t| t.failing_since).flatten();
            !self.optional.contains(kind)
                && since.is_some_and(|s| now.saturating_duration_since(s) > FROZEN_AFTER)
        };
        self.tables
            .keys()
            .filter(|k| !filled.contains(k) || frozen(k))
            .copied()
            .collect()
    }

    /// Waits until every kind was listed once.
    ///
    /// # Errors
    /// When `bound` has passed before: which kinds are missing.
    pub async fn wait_until_filled(&self, bound: Duration) -> Result<(), RunError> {
        let mut changes = self.filled.subscribe();
        let all = async {
            // The sender lives as long as `self`, so this does not fail.
            let _ = changes
                .wait_for(|filled| self.tables.keys().all(|k| filled.contains(k)))
                .await;
        };
        tokio::time::timeout(bound, all).await.map_err(|_| {
            let kinds: Vec<&str> = self.not_ready().into_iter().map(Kind::as_str).collect();
            RunError::CachesNotReady {
                kinds: kinds.join(", "),
                seconds: bound.as_secs(),
            }
        })
    }
}

impl Table {
    /// What is in a namespace, by name.
    fn of<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Entry)> {
        let from = (namespace.to_owned(), String::new());
        self.entries
            .range(from..)
            .take_while(move |((ns, _), _)| ns == namespace)
    }

    /// Takes an object in; `None`: it is known in this version.
    fn put(&mut self, kind: Kind, object: Arc<Object>) -> Option<Arc<Object>> {
        let key = key_of(&object);
        let same = |e: &Entry| {
            e.object.resource_version() == object.resource_version()
                && e.object.uid() == object.uid()
                && !object.resource_version().is_empty()
        };
        if self.entries.get(&key).is_some_and(same) {
            return None;
        }
        self.remove(&key);
        let facts = match kind {
            Kind::Rollout => RolloutFacts::of(&object).map(Arc::new),
            _ => None,
        };
        let deployment = (kind == Kind::Deployment).then(|| DeploymentFacts::of(&object));
        let keys = index_keys(&object, facts.as_deref());
        for index in &keys {
            self.index
                .entry(index.clone())
                .or_default()
                .insert(key.clone());
        }
        self.entries.insert(
            key,
            Entry {
                object: Arc::clone(&object),
                facts,
                deployment,
                keys,
            },
        );
        Some(object)
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let entry = self.entries.remove(key)?;
        for index in &entry.keys {
            if let Some(names) = self.index.get_mut(index) {
                names.remove(key);
                if names.is_empty() {
                    self.index.remove(index);
                }
            }
        }
        Some(entry.object)
    }
}

fn slim(kind: Kind, mut object: Object) -> Arc<Object> {
    object.slim(kind);
    Arc::new(object)
}

pub(super) fn key_of(object: &Object) -> Key {
    (object.namespace().to_owned(), object.name().to_owned())
}

/// A Rollout is found by what it names, everything else by the Rollout that its label names.
fn index_keys(object: &Object, facts: Option<&RolloutFacts>) -> Vec<Key> {
    if let Some(facts) = facts {
        return facts.references.clone();
    }
    let label = object.label(ROLLOUT_LABEL);
    label
        .map(|rollout| (object.namespace().to_owned(), rollout.to_owned()))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests;
