//! The objects, one global resourceVersion, and the history that watches read.
//!
//! Stores what it is given: admission, defaults and preconditions are the verbs' business. The
//! history is bounded; who asks for something older is told so (410) and has to list again, which
//! is how slow watchers are kept from costing memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::object;

/// Where an object lives: resource (`replicasets.apps`), namespace (empty when cluster-scoped),
/// name. Orders as the real server lists: by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `plural.group`
    pub resource: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Object name.
    pub name: String,
}

impl ObjectKey {
    /// A key from its three parts.
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        ObjectKey {
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Created.
    Added,
    /// Changed.
    Modified,
    /// Gone; the event carries the last state with the version of the deletion.
    Deleted,
}

/// One entry of the history.
#[derive(Debug, Clone)]
pub struct Event {
    /// The resourceVersion of this change.
    pub version: u64,
    /// What happened.
    pub change: Change,
    /// To which object.
    pub key: ObjectKey,
    /// The object after the change (before it, for a deletion).
    pub object: Arc<Value>,
    /// The object before the change; none for a creation.
    pub previous: Option<Arc<Value>>,
}

/// All objects and the recent past.
#[derive(Debug)]
pub struct Store {
    version: u64,
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    by_uid: BTreeMap<String, ObjectKey>,
    dependents: BTreeMap<String, BTreeSet<ObjectKey>>,
    history: VecDeque<Event>,
    history_limit: usize,
    /// Events at or below this version are forgotten.
    compacted: u64,
    seed: String,
    drawn: u64,
}

impl Store {
    /// An empty store. The seed makes uids and generated names differ between servers and repeat
    /// between runs.
    pub fn new(history_limit: usize, seed: &str) -> Self {
        Store {
            // A real cluster is never at 0 or 1 when the first object of a user comes.
            version: 100,
            objects: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            dependents: BTreeMap::new(),
            history: VecDeque::new(),
            history_limit,
            compacted: 100,
            seed: seed.to_owned(),
            drawn: 0,
        }
    }

    /// The version of the newest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Events up to this version are gone.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// An object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The key of the object with this uid, if it lives.
    pub fn find_uid(&self, uid: &str) -> Option<&ObjectKey> {
        self.by_uid.get(uid)
    }

    /// Objects whose owner references name this uid.
    pub fn dependents(&self, uid: &str) -> Vec<ObjectKey> {
        self.dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Objects of a resource, in one namespace or (empty) in all.
    pub fn list<'a>(
        &'a self,
        resource: &'a str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a ObjectKey, &'a Arc<Value>)> {
        let start = ObjectKey::new(resource, namespace, "");
        self.objects.range(start..).take_while(move |(key, _)| {
            key.resource == resource && (namespace.is_empty() || key.namespace == namespace)
        })
    }

    /// The same list as it was at an older version, undone event by event; none when that version
    /// is forgotten.
    pub fn list_at(
        &self,
        resource: &str,
        namespace: &str,
        version: u64,
    ) -> Option<Vec<(ObjectKey, Arc<Value>)>> {
        if version < self.compacted {
            return None;
        }
        let mut then: BTreeMap<ObjectKey, Arc<Value>> = self
            .list(resource, namespace)
            .map(|(k, v)| (k.clone(), Arc::clone(v)))
            .collect();
        let undone = self
            .history
            .iter()
            .rev()
            .take_while(|e| e.version > version);
        for event in undone.filter(|e| e.key.resource == resource) {
            if !namespace.is_empty() && event.key.namespace != namespace {
                continue;
            }
            match &event.previous {
                Some(previous) => then.insert(event.key.clone(), Arc::clone(previous)),
                None => then.remove(&event.key),
            };
        }
        Some(then.into_iter().collect())
    }

    /// Events of a resource after a version, at most `limit`, and the version reached by reading
    /// them; none when that version is forgotten.
    pub fn events_after(
        &self,
        resource: &str,
        version: u64,
        limit: usize,
    ) -> Option<(Vec<Event>, u64)> {
        if version < self.compacted {
            return None;
        }
        let from = self.history.partition_point(|e| e.version <= version);
        let mut found = Vec::new();
        let mut reached = self.version.max(version);
        for event in self
            .history
            .iter()
            .skip(from)
            .filter(|e| e.key.resource == resource)
        {
            if found.len() == limit {
                reached = found.last().map_or(version, |e: &Event| e.version);
                break;
            }
            found.push(event.clone());
        }
        Some((found, reached))
    }

    /// Writes an object under a new version and returns it as stored.
    pub fn put(&mut self, key: &ObjectKey, mut new: Value) -> Arc<Value> {
        self.version += 1;
        object::set_meta(&mut new, "resourceVersion", self.version.to_string());
        let new = Arc::new(new);
        let previous = self.objects.insert(key.clone(), Arc::clone(&new));
        if let Some(previous) = &previous {
            self.unlink(key, previous);
        }
        self.by_uid
            .insert(object::meta(&new, "uid").to_owned(), key.clone());
        for owner in object::owner_uids(&new) {
            self.dependents
                .entry(owner)
                .or_default()
                .insert(key.clone());
        }
        let change = if previous.is_some() {
            Change::Modified
        } else {
            Change::Added
        };
        self.remember(change, key, Arc::clone(&new), previous);
        new
    }

    /// Takes an object away and returns its last state, with the version of the deletion.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Value>> {
        let previous = self.objects.remove(key)?;
        self.unlink(key, &previous);
        self.version += 1;
        let mut last = (*previous).clone();
        object::set_meta(&mut last, "resourceVersion", self.version.to_string());
        let last = Arc::new(last);
        self.remember(Change::Deleted, key, Arc::clone(&last), Some(previous));
        Some(last)
    }

    /// Forgets the history up to now, so that every watch that resumes is refused with 410.
    pub fn compact(&mut self) {
        self.history.clear();
        // A real compaction is itself a step in time: an unread version is never "now".
        self.version += 1;
        self.compacted = self.version;
    }

    /// A uid nobody had before (the shape of a version 4 UUID, from the seed).
    pub fn new_uid(&mut self) -> String {
        let mut hex = self.draw();
        hex.replace_range(12..13, "4");
        hex.replace_range(16..17, "a");
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
        format!(
            "{}-{}-{}-{}-{}",
            part(0..8),
            part(8..12),
            part(12..16),
            part(16..20),
            part(20..32)
        )
    }

    /// The five characters that `generateName` appends, from the alphabet of the real server.
    pub fn name_suffix(&mut self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let letter = |b: u8| ALPHABET.get(usize::from(b) % ALPHABET.len()).copied();
        self.draw()
            .bytes()
            .zip(self.draw().bytes())
            .take(5)
            .filter_map(|(a, b)| letter(a.wrapping_mul(31).wrapping_add(b)))
            .map(char::from)
            .collect()
    }

    fn draw(&mut self) -> String {
        self.drawn += 1;
        let digest = Sha256::digest(format!("{}/{}", self.seed, self.drawn));
        digest.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn unlink(&mut self, key: &ObjectKey, previous: &Value) {
        self.by_uid.remove(object::meta(previous, "uid"));
        for owner in object::owner_uids(previous) {
            if let Some(keys) = self.dependents.get_mut(&owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(&owner);
                }
            }
        }
    }

    fn remember(
        &mut self,
        change: Change,
        key: &ObjectKey,
        object: Arc<Value>,
        previous: Option<Arc<Value>>,
    ) {
        let version = self.version;
        self.history.push_back(Event {
            version,
            change,
            key: key.clone(),
            object,
            previous,
        });
        while self.history.len() > self.history_limit {
            if let Some(gone) = self.history.pop_front() {
                self.compacted = gone.version;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("things", "ns", name)
    }

    fn put(store: &mut Store, name: &str, value: i32) -> u64 {
        let object = json!({"metadata": {"name": name, "uid": name}, "value": value});
        store.put(&key(name), object);
        store.version()
    }

    fn then(store: &Store, version: u64) -> Option<Vec<(String, Value)>> {
        let list = store.list_at("things", "ns", version)?;
        Some(
            list.into_iter()
                .map(|(key, object)| (key.name, object["value"].clone()))
                .collect(),
        )
    }

    #[test]
    fn the_past_can_be_listed_until_it_is_forgotten() {
        let mut store = Store::new(4, "seed");
        let first = put(&mut store, "a", 1);
        let second = put(&mut store, "b", 2);
        let third = put(&mut store, "a", 3);
        store.remove(&key("b"));
        assert_eq!(then(&store, first).unwrap(), [("a".into(), json!(1))]);
        assert_eq!(
            then(&store, second).unwrap(),
            [("a".into(), json!(1)), ("b".into(), json!(2))]
        );
        assert_eq!(
            then(&store, third).unwrap(),
            [("a".into(), json!(3)), ("b".into(), json!(2))]
        );
        assert_eq!(
            then(&store, store.version()).unwrap(),
            [("a".into(), json!(3))]
        );
        put(&mut store, "c", 4);
        put(&mut store, "c", 5);
        assert_eq!(then(&store, first), None);
        assert!(store.events_after("things", first, 10).is_none());
        assert_eq!(store.events_after("things", third, 10).unwrap().0.len(), 3);
    }

    #[test]
    fn a_reader_goes_on_where_a_batch_ended() {
        let mut store = Store::new(100, "seed");
        let start = store.version();
        for n in 0..5 {
            put(&mut store, "a", n);
            store.put(
                &ObjectKey::new("others", "ns", "x"),
                json!({"metadata": {"uid": "x"}}),
            );
        }
        let (mut at, mut seen) = (start, 0);
        while at < store.version() {
            let (events, reached) = store.events_after("things", at, 2).unwrap();
            assert!(reached > at);
            seen += events.len();
            at = reached;
        }
        assert_eq!(seen, 5);
    }

    #[test]
    fn uids_repeat_with_the_seed_and_never_otherwise() {
        let draw = |seed: &str| {
            let mut store = Store::new(1, seed);
            [
                store.new_uid(),
                store.new_uid(),
                store.name_suffix(),
                store.name_suffix(),
            ]
        };
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
        let [first, second, suffix, _] = draw("a");
        assert_ne!(first, second);
        assert_eq!((first.len(), suffix.len()), (36, 5));
    }
}
