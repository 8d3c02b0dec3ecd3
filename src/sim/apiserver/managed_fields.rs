//! `metadata.managedFields`: who wrote which field, and how.
//!
//! One entry per manager, operation, version and subresource. Reading it answers the question
//! "who keeps resetting this weight"; server-side apply decides conflicts by it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    builtin_defaults,
    fields::{Difference, Fields, Typed},
    object,
    registry::Resource,
};

/// More entries of plain updates than this are joined into one, as the real server does.
const UPDATE_ENTRIES_MAX: usize = 10;
const OLD_UPDATES: &str = "ancient-changes";

/// One writer in one role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Writer {
    /// `Apply` sorts before `Update`, as in the real list.
    pub(super) operation: String,
    pub(super) name: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Writer {
    /// How conflict messages name it.
    pub(super) fn text(&self) -> String {
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            named => format!(" with subresource \"{named}\""),
        };
        match self.operation.as_str() {
            "Update" => format!("\"{}\"{subresource} using {}", self.name, self.api_version),
            _ => format!("\"{}\"{subresource}", self.name),
        }
    }
}

/// All writers of an object with their fields and the time of their last change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Writers(pub(super) BTreeMap<Writer, (Fields, String)>);

impl Writers {
    /// Reads `metadata.managedFields`.
    pub(super) fn read(object: &Value) -> Self {
        let entries = object::meta_value(object, "managedFields").and_then(Value::as_array);
        let mut writers = BTreeMap::new();
        for entry in entries.into_iter().flatten() {
            let text = |name: &str| {
                entry
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let writer = Writer {
                operation: text("operation"),
                name: text("manager"),
                api_version: text("apiVersion"),
                subresource: text("subresource"),
            };
            let fields = Fields::from_v1(entry.get("fieldsV1").unwrap_or(&Value::Null));
            writers.insert(writer, (fields, text("time")));
        }
        Writers(writers)
    }

    /// Writes `metadata.managedFields`.
    pub(super) fn write(&self, object: &mut Value) {
        let mut entries: Vec<(&Writer, &(Fields, String))> = self.0.iter().collect();
        entries.sort_by_key(|(w, (_, time))| (w.operation.clone(), time.clone(), (*w).clone()));
        let list: Vec<Value> = entries
            .into_iter()
            .filter(|(_, (fields, _))| !fields.0.is_empty())
            .map(|(writer, (fields, time))| {
                let mut entry = json!({
                    "manager": writer.name,
                    "operation": writer.operation,
                    "apiVersion": writer.api_version,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": fields.to_v1(),
                });
                // The real server forgets the time of a write through /scale.
                if writer.subresource != "scale" {
                    object::set(&mut entry, "time", time.clone());
                }
                if !writer.subresource.is_empty() {
                    object::set(&mut entry, "subresource", writer.subresource.clone());
                }
                entry
            })
            .collect();
        if list.is_empty() {
            object::meta_mut(object).remove("managedFields");
        } else {
            object::set_meta(object, "managedFields", list);
        }
    }

    /// All fields that any writer owns.
    pub(super) fn all(&self) -> Fields {
        self.0
            .values()
            .fold(Fields::default(), |sum, (fields, _)| sum.union(fields))
    }

    fn cap(&mut self) {
        let updates: Vec<(String, Writer)> = self
            .0
            .iter()
            .filter(|(w, _)| w.operation == "Update" && w.subresource.is_empty())
            .map(|(w, (_, time))| (time.clone(), w.clone()))
            .collect();
        if updates.len() <= UPDATE_ENTRIES_MAX {
            return;
        }
        let mut oldest_first = updates.clone();
        oldest_first.sort();
        let surplus = updates.len() - UPDATE_ENTRIES_MAX + 1;
        let mut joined = Fields::default();
        let mut last = String::new();
        let mut api_version = String::new();
        for (time, writer) in oldest_first.into_iter().take(surplus) {
            if let Some((fields, _)) = self.0.remove(&writer) {
                joined = joined.union(&fields);
                last = time;
                api_version = writer.api_version;
            }
        }
        let writer = Writer {
            operation: "Update".to_owned(),
            name: OLD_UPDATES.to_owned(),
            api_version,
            subresource: String::new(),
        };
        self.0.insert(writer, (joined, last));
    }
}

/// The schema of a resource's version as field paths see it.
pub(super) fn typed<'a>(resource: &'a Resource, version: &str) -> Typed<'a> {
    let schema = resource.schema(version).map(|s| &**s);
    let root = resource
        .definitions()
        .map(|d| &**d)
        .or(schema)
        .unwrap_or(&Value::Null);
    Typed::new(schema, root)
}

/// Accounts for a create, PUT or plain patch: what it added or changed now belongs to the writer
/// and to nobody else; what it removed belongs to nobody.
pub(super) fn record_update(
    resource: &Resource,
    version: &str,
    manager: &str,
    subresource: &str,
    old: Option<&Value>,
    new: &mut Value,
    now: Timestamp,
) {
    let blank = builtin_defaults::blank(resource);
    let before = old.unwrap_or(&blank);
    let difference = Difference::between(before, new, typed(resource, version));
    let mut writers = Writers::read(new);
    let writer = Writer {
        operation: "Update".to_owned(),
        name: manager.to_owned(),
        api_version: resource.api_version(version),
        subresource: subresource.to_owned(),
    };
    let taken = difference.modified.union(&difference.added);
    for (other, (fields, _)) in &mut writers.0 {
        let lost = if *other == writer {
            Fields::default()
        } else {
            taken.clone()
        };
        *fields = fields.minus(&difference.removed).minus(&lost);
    }
    if !taken.0.is_empty() {
        let entry = writers.0.entry(writer).or_default();
        let grown = entry.0.union(&taken);
        *entry = (grown, object::time(now));
    }
    writers.cap();
    writers.write(new);
}

/// Whether two objects have the same owners of fields, whatever the times.
pub(super) fn same_but_times(old: &Value, new: &Value) -> bool {
    let fields = |object: &Value| -> BTreeMap<Writer, Fields> {
        Writers::read(object)
            .0
            .into_iter()
            .map(|(w, (fields, _))| (w, fields))
            .collect()
    };
    fields(old) == fields(new)
}
