//! Sets of field paths, as `managedFields` records them (FieldsV1), and how two objects differ.
//!
//! Follows `structured-merge-diff`: lists merge by key, as a set, or not at all, as the schema
//! says; maps merge by field unless declared atomic; without a schema maps merge and lists do not.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::schema::{builtin, field_schema, resolve};

/// A path: each element is `f:<field>`, `k:<keys as JSON>` or `v:<value as JSON>`.
pub(super) type Path = Vec<String>;

/// Where we are in a schema; none means that the types are guessed from the values.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    schema: Option<&'a Value>,
    root: &'a Value,
}

/// How a list merges.
enum ListKind<'a> {
    Atomic,
    Set,
    Map(Vec<&'a str>),
}

impl<'a> Typed<'a> {
    /// The root of a schema.
    pub(super) fn new(schema: Option<&'a Value>, root: &'a Value) -> Self {
        Typed {
            schema: schema.map(|s| resolve(s, root)),
            root,
        }
    }

    /// The type of a field, and whether the schema names it (a struct's field, not a map's key).
    fn field(self, name: &str, at_top: bool) -> (Typed<'a>, bool) {
        if at_top && name == "metadata" {
            return (object_meta(), true);
        }
        let Some(schema) = self.schema else {
            return (self, false);
        };
        let named = schema
            .get("properties")
            .is_some_and(|p| p.get(name).is_some());
        (
            Typed::new(field_schema(schema, name), self.root),
            named || at_top,
        )
    }

    fn items(self) -> Typed<'a> {
        Typed::new(self.schema.and_then(|s| s.get("items")), self.root)
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.schema?.get(name)?.as_str()
    }

    fn atomic_map(self) -> bool {
        self.text("x-kubernetes-map-type") == Some("atomic")
    }

    fn list_kind(self) -> ListKind<'a> {
        match self.text("x-kubernetes-list-type") {
            Some("set") => ListKind::Set,
            Some("map") => {
                let keys = self
                    .schema
                    .and_then(|s| s.get("x-kubernetes-list-map-keys"));
                let keys = keys.and_then(Value::as_array).into_iter().flatten();
                ListKind::Map(keys.filter_map(Value::as_str).collect())
            }
            _ => ListKind::Atomic,
        }
    }

    /// The path element of a list's item; none in atomic lists.
    fn element(self, item: &Value) -> Option<String> {
        match self.list_kind() {
            ListKind::Atomic => None,
            ListKind::Set => Some(format!("v:{item}")),
            ListKind::Map(keys) => {
                let mut identity = Map::new();
                for key in keys {
                    let value = item.get(key).cloned().or_else(|| self.key_default(key));
                    identity.insert(key.to_owned(), value.unwrap_or(Value::Null));
                }
                Some(format!("k:{}", Value::Object(identity)))
            }
        }
    }

    /// Keys may have defaults (`protocol: TCP` of a port).
    fn key_default(self, key: &str) -> Option<Value> {
        if key == "protocol" {
            return Some(json!("TCP"));
        }
        let items = self.items().schema?;
        field_schema(items, key)?.get("default").cloned()
    }
}

fn object_meta() -> Typed<'static> {
    let root = builtin::definitions();
    let schema = root.pointer("/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    Typed { schema, root }
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(pub(super) BTreeSet<Path>);

impl Fields {
    /// What a manager owns who applies exactly this object.
    pub(super) fn of(object: &Value, typed: Typed<'_>) -> Self {
        let mut fields = BTreeSet::new();
        collect(object, typed, &mut Vec::new(), &mut fields);
        Fields(fields).without_bookkeeping()
    }

    /// Fields that the API machinery owns and nobody is recorded for.
    fn without_bookkeeping(mut self) -> Self {
        const TOP: &[&str] = &["f:apiVersion", "f:kind"];
        const META: &[&str] = &[
            "f:name",
            "f:namespace",
            "f:creationTimestamp",
            "f:selfLink",
            "f:uid",
            "f:generation",
            "f:managedFields",
            "f:resourceVersion",
        ];
        self.0.retain(|path| match path.as_slice() {
            [top] => !TOP.contains(&top.as_str()) && top != "f:metadata",
            [top, field, ..] => top != "f:metadata" || !META.contains(&field.as_str()),
            [] => false,
        });
        self
    }

    /// Reads FieldsV1.
    pub(super) fn from_v1(value: &Value) -> Self {
        let mut fields = BTreeSet::new();
        read_v1(value, &mut Vec::new(), &mut fields);
        Fields(fields)
    }

    /// Writes FieldsV1.
    pub(super) fn to_v1(&self) -> Value {
        let mut root = json!({});
        for path in &self.0 {
            let mut here = &mut root;
            for element in path {
                let map = super::object::as_map_mut(here);
                here = map.entry(element.clone()).or_insert_with(|| json!({}));
            }
            super::object::as_map_mut(here).insert(".".to_owned(), json!({}));
        }
        drop_lone_dots(&mut root);
        root
    }

    /// Paths of both.
    pub(super) fn union(&self, other: &Fields) -> Fields {
        Fields(self.0.union(&other.0).cloned().collect())
    }

    /// Paths of this one that are not in the other.
    pub(super) fn minus(&self, other: &Fields) -> Fields {
        Fields(self.0.difference(&other.0).cloned().collect())
    }

    /// Paths that are in both.
    pub(super) fn common(&self, other: &Fields) -> Fields {
        Fields(self.0.intersection(&other.0).cloned().collect())
    }

    /// Whether some path is or begins with `prefix`.
    pub(super) fn any_under(&self, prefix: &[String]) -> bool {
        self.0
            .range(prefix.to_vec()..)
            .next()
            .is_some_and(|path| path.starts_with(prefix))
    }
}

fn read_v1(value: &Value, path: &mut Path, fields: &mut BTreeSet<Path>) {
    let Some(map) = value.as_object() else { return };
    if map.is_empty() && !path.is_empty() {
        fields.insert(path.clone());
    }
    for (element, inner) in map {
        if element == "." {
            fields.insert(path.clone());
            continue;
        }
        path.push(element.clone());
        read_v1(inner, path, fields);
        path.pop();
    }
}

/// `{".": {}}` alone is written `{}`.
fn drop_lone_dots(value: &mut Value) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    if map.len() == 1 {
        map.remove(".");
    }
    map.values_mut().for_each(drop_lone_dots);
}

fn collect(value: &Value, typed: Typed<'_>, path: &mut Path, fields: &mut BTreeSet<Path>) {
    match value {
        Value::Object(map) if !typed.atomic_map() => {
            for (name, inner) in map {
                let (inner_type, named) = typed.field(name, path.is_empty());
                path.push(format!("f:{name}"));
                collect(inner, inner_type, path, fields);
                let empty = inner.is_null() || inner.as_object().is_some_and(Map::is_empty);
                if empty || !named {
                    fields.insert(path.clone());
                }
                path.pop();
            }
        }
        Value::Array(items) if !matches!(typed.list_kind(), ListKind::Atomic) => {
            for item in items {
                let Some(element) = typed.element(item) else {
                    continue;
                };
                path.push(element);
                collect(item, typed.items(), path, fields);
                fields.insert(path.clone());
                path.pop();
            }
        }
        _ => {
            fields.insert(path.clone());
        }
    }
}

/// How one object differs from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: Fields,
    pub(super) modified: Fields,
    pub(super) removed: Fields,
}

impl Difference {
    /// Compares two states of an object.
    pub(super) fn between(old: &Value, new: &Value, typed: Typed<'_>) -> Self {
        let mut difference = Difference::default();
        difference.walk(Some(old), Some(new), typed, &mut Vec::new());
        Difference {
            added: difference.added.without_bookkeeping(),
            modified: difference.modified.without_bookkeeping(),
            removed: difference.removed.without_bookkeeping(),
        }
    }

    fn walk(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        typed: Typed<'_>,
        path: &mut Path,
    ) {
        if old == new {
            return;
        }
        let is_map = |v: Option<&Value>| {
            v.is_none_or(|v| v.is_null() || v.as_object().is_some_and(|m| !m.is_empty()))
                && !typed.atomic_map()
        };
        let mergeable = !matches!(typed.list_kind(), ListKind::Atomic);
        let is_list =
            |v: Option<&Value>| mergeable && v.is_none_or(|v| v.is_null() || v.is_array());
        if is_map(old) && is_map(new) {
            self.maps(old, new, typed, path);
        } else if is_list(old) && is_list(new) {
            self.lists(old, new, typed, path);
        } else if old.is_some() && new.is_some() {
            self.changed_kind(old, new, typed, path);
            return;
        }
        match (old, new) {
            (None, Some(_)) => self.added.0.insert(path.clone()),
            (Some(_), None) => self.removed.0.insert(path.clone()),
            _ => false,
        };
    }

    /// Both are there and do not merge: a changed leaf, or a map that became empty or was.
    fn changed_kind(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        typed: Typed<'_>,
        path: &mut Path,
    ) {
        let object = |v: Option<&Value>| v.is_some_and(Value::is_object) && !typed.atomic_map();
        if object(old) && object(new) {
            self.maps(old, new, typed, path);
            return;
        }
        self.modified.0.insert(path.clone());
    }

    fn maps(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        typed: Typed<'_>,
        path: &mut Path,
    ) {
        let names = |v: Option<&Value>| -> Vec<String> {
            v.and_then(Value::as_object)
                .into_iter()
                .flatten()
                .map(|(n, _)| n.clone())
                .collect()
        };
        let all: BTreeSet<String> = names(old).into_iter().chain(names(new)).collect();
        for name in all {
            let (inner, _) = typed.field(&name, path.is_empty());
            path.push(format!("f:{name}"));
            self.walk(
                old.and_then(|v| v.get(&name)),
                new.and_then(|v| v.get(&name)),
                inner,
                path,
            );
            path.pop();
        }
    }

    fn lists(
        &mut self,
        old: Option<&Value>,
        new: Option<&Value>,
        typed: Typed<'_>,
        path: &mut Path,
    ) {
        let items = |v: Option<&Value>| -> Vec<(String, Value)> {
            let list = v.and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|item| Some((typed.element(item)?, item.clone())))
                .collect()
        };
        let (old, new) = (items(old), items(new));
        let all: BTreeSet<&String> = old.iter().chain(&new).map(|(e, _)| e).collect();
        for element in all {
            let find = |list: &'_ [(String, Value)]| {
                list.iter()
                    .find(|(e, _)| e == element)
                    .map(|(_, v)| v.clone())
            };
            path.push(element.clone());
            self.walk(
                find(&old).as_ref(),
                find(&new).as_ref(),
                typed.items(),
                path,
            );
            path.pop();
        }
    }
}

/// Merges an applied configuration into an object.
pub(super) fn merge(live: &Value, config: &Value, typed: Typed<'_>, at_top: bool) -> Value {
    match (live, config) {
        (Value::Object(live), Value::Object(config)) if !typed.atomic_map() => {
            let mut merged = live.clone();
            for (name, wanted) in config {
                let (inner, _) = typed.field(name, at_top);
                let value = match live.get(name) {
                    Some(present) => merge(present, wanted, inner, false),
                    None => wanted.clone(),
                };
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(config)) => match typed.list_kind() {
            ListKind::Atomic => Value::Array(config.clone()),
            _ => Value::Array(merge_lists(live, config, typed)),
        },
        _ => config.clone(),
    }
}

/// Items of both lists: the live order, changed where the configuration names the same item, then
/// the configuration's new items.
fn merge_lists(live: &[Value], config: &[Value], typed: Typed<'_>) -> Vec<Value> {
    let mut merged: Vec<(Option<String>, Value)> = live
        .iter()
        .map(|item| (typed.element(item), item.clone()))
        .collect();
    for wanted in config {
        let element = typed.element(wanted);
        match merged.iter_mut().find(|(e, _)| *e == element) {
            Some((_, present)) => *present = merge(present, wanted, typed.items(), false),
            None => merged.push((element, wanted.clone())),
        }
    }
    merged.into_iter().map(|(_, item)| item).collect()
}

/// Removes what is at a path, and the maps and lists that become empty by it unless `keep` owns
/// something there.
pub(super) fn remove_path(
    value: &mut Value,
    path: &[String],
    typed: Typed<'_>,
    keep: &Fields,
    done: &mut Path,
) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    done.push(first.clone());
    match (value, first.strip_prefix("f:")) {
        (Value::Object(map), Some(name)) => {
            if rest.is_empty() {
                map.remove(name);
            } else if let Some(inner) = map.get_mut(name) {
                let (inner_type, _) = typed.field(name, done.len() == 1);
                remove_path(inner, rest, inner_type, keep, done);
                if is_empty(inner) && !keep.any_under(done) {
                    map.remove(name);
                }
            }
        }
        (Value::Array(items), None) => {
            let at = items
                .iter()
                .position(|item| typed.element(item).as_ref() == Some(first));
            if let Some(at) = at {
                if rest.is_empty() {
                    items.remove(at);
                } else if let Some(inner) = items.get_mut(at) {
                    remove_path(inner, rest, typed.items(), keep, done);
                }
            }
        }
        _ => {}
    }
    done.pop();
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A path for people: `.spec.containers[name="app"].image`.
pub(super) fn path_text(path: &[String]) -> String {
    let mut text = String::new();
    for element in path {
        match element.split_once(':') {
            Some(("f", name)) => text.push_str(&format!(".{name}")),
            Some(("k", keys)) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let parts: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                text.push_str(&format!("[{}]", parts.join(",")));
            }
            Some((_, value)) => text.push_str(&format!("[={value}]")),
            None => {}
        }
    }
    text
}
