//! The template of an earlier version, as its user wrote it, from that of its ReplicaSet.
//!
//! A version is known by the user's own fields. In a ReplicaSet stand the API server's defaults besides,
//! and what Tidegate put there: taken over as it is, it would be another version. So only that goes into the
//! present template in which the ReplicaSets of the two versions differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{affinity, roles};
use crate::api::rollout::HASH_LABEL;

/// The template of the version of `then`, told from the template that is asked for now and from its
/// ReplicaSet's, where there is one. Without it, the API server's defaults stay in it.
#[must_use]
pub fn template(asked_for: &Value, now: Option<&Value>, then: &Value) -> Value {
    let now = now.map(as_given);
    let then = as_given(then);
    back(Some(asked_for), now.as_ref(), Some(&then)).unwrap_or(then)
}

/// A ReplicaSet's template without what Tidegate has put into it.
fn as_given(template: &Value) -> Value {
    let mut template = affinity::without_rule(roles::without_given(template.clone()));
    let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) else {
        return template;
    };
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    // The API server keeps no empty ones, and says `null` where it knows no time.
    metadata
        .retain(|_, value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()));
    template
}

/// The user's value of then: theirs of now where nothing changed, also where they say nothing.
fn back(user: Option<&Value>, now: Option<&Value>, then: Option<&Value>) -> Option<Value> {
    if now == then {
        return user.cloned();
    }
    match (now, then?) {
        (Some(Value::Object(now)), Value::Object(then)) => {
            let none = Map::new();
            let user = user.and_then(Value::as_object).unwrap_or(&none);
            let keys: BTreeSet<&String> =
                user.keys().chain(now.keys()).chain(then.keys()).collect();
            let fields = keys.into_iter().filter_map(|key| {
                let value = back(user.get(key), now.get(key), then.get(key))?;
                Some((key.clone(), value))
            });
            Some(Value::Object(fields.collect()))
        }
        (Some(Value::Array(now)), Value::Array(then)) => {
            let user = user.and_then(Value::as_array).map(Vec::as_slice);
            Some(Value::Array(list(user.unwrap_or_default(), now, then)))
        }
        (_, then) => Some(then.clone()),
    }
}

/// The same of lists: items are known by their names, or else by their places.
fn list(user: &[Value], now: &[Value], then: &[Value]) -> Vec<Value> {
    if let (Some(user), Some(now), Some(_)) = (by_name(user), by_name(now), by_name(then)) {
        let of = |item: &Value| {
            let name = name(item)?;
            back(user.get(name).copied(), now.get(name).copied(), Some(item))
        };
        return then.iter().filter_map(of).collect();
    }
    if user.len() == now.len() && now.len() == then.len() {
        let all = user.iter().zip(now).zip(then);
        return all
            .filter_map(|((user, now), then)| back(Some(user), Some(now), Some(then)))
            .collect();
    }
    then.to_vec()
}

fn name(item: &Value) -> Option<&str> {
    item.get("name").and_then(Value::as_str)
}

/// None where one has no name, or two have the same.
fn by_name(items: &[Value]) -> Option<BTreeMap<&str, &Value>> {
    let named: Option<BTreeMap<&str, &Value>> =
        items.iter().map(|item| Some((name(item)?, item))).collect();
    named.filter(|named| named.len() == items.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::naming::template_hash;

    /// What stands in a ReplicaSet: defaults, the hash and a role.
    fn in_cluster(user: &Value, hash: &str, role: &str) -> Value {
        let mut template = user.clone();
        let given = json!({"labels": {"role": role}}).to_string();
        roles::merge(
            &mut template,
            &json!({
                "metadata": {"creationTimestamp": "x",
                    "labels": {HASH_LABEL: hash, "role": role},
                    "annotations": {roles::GIVEN: given}},
                "spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"},
            }),
        );
        template["metadata"]["creationTimestamp"] = Value::Null;
        for container in template["spec"]["containers"].as_array_mut().unwrap() {
            container["imagePullPolicy"] = json!("IfNotPresent");
            if let Some(ports) = container.get_mut("ports") {
                for port in ports.as_array_mut().unwrap() {
                    port["protocol"] = json!("TCP");
                }
            }
        }
        affinity::apart_from(
            &template,
            crate::core::spec::AntiAffinity::Preferred(100),
            &format!("other-{hash}"),
        )
    }

    fn of(containers: &Value) -> Value {
        json!({"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": containers}})
    }

    #[test]
    fn what_comes_back_is_the_very_version_that_it_was() {
        let app = |image: &str| {
            json!({"name": "app", "image": image, "ports": [{"containerPort": 80}],
            "resources": {"requests": {"cpu": "1000m"}}, "env": [{"name": "A", "value": "1"}]})
        };
        let with = |pointer: &str, value: Value| {
            let mut app = app("r/a:1");
            *app.pointer_mut(pointer).unwrap() = value;
            app
        };
        let side = json!({"name": "proxy", "image": "r/p:1"});
        for (why, then, now) in [
            (
                "an image",
                of(&json!([app("r/a:1")])),
                of(&json!([app("r/a:2")])),
            ),
            (
                "a variable that is new",
                of(&json!([app("r/a:1")])),
                of(&json!([with(
                    "/env",
                    json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
                )])),
            ),
            (
                "a container that is new, before the other",
                of(&json!([app("r/a:1")])),
                of(&json!([side, app("r/a:2")])),
            ),
            (
                "a port",
                of(&json!([app("r/a:1")])),
                of(&json!([with("/ports", json!([{"containerPort": 81}]))])),
            ),
        ] {
            let seen =
                |template: &Value, role| in_cluster(template, &template_hash(template, 0), role);
            let (of_now, of_then) = (seen(&now, "canary"), seen(&then, "stable"));
            let back = template(&now, Some(&of_now), &of_then);
            assert_eq!(back, then, "{why}");
            assert_eq!(template_hash(&back, 0), template_hash(&then, 0), "{why}");
            // And forth.
            assert_eq!(
                template(&then, Some(&of_then), &of_now)["metadata"],
                now["metadata"],
                "{why}"
            );
        }
    }

    #[test]
    fn where_it_cannot_be_told_the_defaults_stay_and_nothing_of_tidegates_own() {
        let (then, now) = (
            of(&json!([{"name": "app", "image": "r/a:1"}])),
            of(&json!([{"name": "app", "image": "r/a:2"}])),
        );
        let back = template(&now, None, &in_cluster(&then, "h", "stable"));
        assert_eq!(back["spec"]["restartPolicy"], "Always");
        assert_eq!(back["metadata"], json!({"labels": {"app": "checkout"}}));
        assert_eq!(back["spec"].get("affinity"), None);
        // Items that nothing tells apart come whole.
        let twice = |n: i64| json!([{"x": n}, {"x": 1}]);
        assert_eq!(
            list(
                &[],
                twice(1).as_array().unwrap(),
                twice(2).as_array().unwrap()
            ),
            *twice(2).as_array().unwrap()
        );
    }
}
