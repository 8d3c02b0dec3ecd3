//! Replaces what may differ between two servers by names that may not.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Names given so far, by kind of value.
pub(super) struct Mask {
    namespace: String,
    step: String,
    versions: BTreeMap<String, String>,
    uids: BTreeMap<String, String>,
}

impl Mask {
    /// The namespace of the run is masked too.
    pub(super) fn new(namespace: &str) -> Self {
        Mask {
            namespace: namespace.to_owned(),
            step: String::new(),
            versions: BTreeMap::new(),
            uids: BTreeMap::new(),
        }
    }

    /// Values that first appear from now on are named after this step.
    pub(super) fn enter(&mut self, step: &str) {
        step.clone_into(&mut self.step);
    }

    /// A body without what may differ. `managedFields` stay, without their times, when asked for.
    pub(super) fn body(&mut self, body: &Value, owners: bool) -> Value {
        let mut masked = body.clone();
        // The version of a list is the server's, not the objects'.
        let metadata = masked
            .get_mut("metadata")
            .filter(|_| body.get("items").is_some());
        if let Some(map) = metadata.and_then(Value::as_object_mut) {
            map.remove("resourceVersion");
            mask_present(map, "continue");
        }
        self.value(&mut masked, owners);
        masked
    }

    /// A value in which only strings are masked.
    pub(super) fn text_of(&mut self, body: &Value) -> Value {
        let mut masked = body.clone();
        self.strings(&mut masked);
        masked
    }

    fn value(&mut self, value: &mut Value, owners: bool) {
        match value {
            Value::Object(map) => self.map(map, owners),
            Value::Array(items) => items.iter_mut().for_each(|i| self.value(i, owners)),
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    fn map(&mut self, map: &mut Map<String, Value>, owners: bool) {
        const TIMES: &[&str] = &[
            "creationTimestamp",
            "deletionTimestamp",
            "lastTransitionTime",
            "lastUpdateTime",
            "time",
            "firstTimestamp",
            "lastTimestamp",
        ];
        const ADDRESSES: &[&str] = &["clusterIP", "clusterIPs", "serverAddressByClientCIDRs"];
        map.remove("selfLink");
        if !owners {
            map.remove("managedFields");
        }
        for name in TIMES.iter().chain(ADDRESSES) {
            mask_present(map, name);
        }
        if let Some(prefix) = map.get("generateName").and_then(Value::as_str) {
            let made = Value::from(format!("{prefix}<generated>"));
            if map.contains_key("name") {
                map.insert("name".to_owned(), made);
            }
        }
        if let Some(Value::String(version)) = map.get("resourceVersion") {
            let name = self.version(&version.clone());
            map.insert("resourceVersion".to_owned(), name.into());
        }
        if let Some(Value::String(uid)) = map.get("uid") {
            let name = self.uid(&uid.clone());
            map.insert("uid".to_owned(), name.into());
        }
        map.values_mut().for_each(|v| self.value(v, owners));
        self.causes(map);
        // Their order follows the clock.
        if let Some(Value::Array(entries)) = map.get_mut("managedFields") {
            entries.sort_by_key(|entry| {
                let text = |name: &str| entry.get(name).map(Value::to_string);
                (text("operation"), text("manager"), text("subresource"))
            });
        }
    }

    /// Several errors come in any order, in the list and in the text.
    fn causes(&self, map: &mut Map<String, Value>) {
        if let Some(Value::Array(causes)) = map.get_mut("causes") {
            causes.sort_by_key(Value::to_string);
        }
        if let Some(Value::String(message)) = map.get("message")
            && let Some((first, _)) = message.split_once(" is invalid: [")
        {
            let short = format!("{first} is invalid: […]");
            map.insert("message".to_owned(), short.into());
        }
    }

    fn strings(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|i| self.strings(i)),
            Value::Object(map) => map.values_mut().for_each(|v| self.strings(v)),
            _ => {}
        }
    }

    fn version(&mut self, version: &str) -> String {
        if version.is_empty() || version.starts_with("<version") {
            return version.to_owned();
        }
        let next = unused(&self.versions, "version", &self.step);
        self.versions
            .entry(version.to_owned())
            .or_insert(next)
            .clone()
    }

    fn uid(&mut self, uid: &str) -> String {
        if !is_uuid(uid) {
            return uid.to_owned();
        }
        let next = unused(&self.uids, "uid", &self.step);
        self.uids.entry(uid.to_owned()).or_insert(next).clone()
    }

    /// Known uids, the namespace, and numbers in parentheses that are known versions.
    fn text(&self, text: &str) -> String {
        let mut masked = text.replace(&self.namespace, "<namespace>");
        for (uid, name) in &self.uids {
            masked = masked.replace(uid, name);
        }
        for (version, name) in &self.versions {
            masked = masked.replace(&format!("({version})"), &format!("({name})"));
            masked = masked.replace(&format!(": {version},"), &format!(": {name},"));
        }
        masked
    }
}

/// A name after the step, numbered when the step has brought forth several.
fn unused(names: &BTreeMap<String, String>, kind: &str, step: &str) -> String {
    let first = format!("<{kind} of {step}>");
    let nth = |n: usize| {
        if n == 0 {
            first.clone()
        } else {
            format!("<{kind} {n} of {step}>")
        }
    };
    (0..)
        .map(nth)
        .find(|name| !names.values().any(|v| v == name))
        .unwrap_or_default()
}

fn mask_present(map: &mut Map<String, Value>, name: &str) {
    if map
        .get(name)
        .is_some_and(|v| !v.is_null() && !v.is_object())
    {
        map.insert(name.to_owned(), format!("<{name}>").into());
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.chars().filter(|c| *c == '-').count() == 4
}
