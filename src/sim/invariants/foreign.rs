//! I3: what others wrote into routes, Ingresses and Services, where the objects are kept whole. Whose a
//! field is, is said here once more, by hand: a mistake of a patch must be seen.

use serde_json::{Map, Value};

use super::{Written, holds, rollouts};
use crate::api::rollout::HASH_LABEL;
use crate::core::observed::RouteState;
use crate::sim::world::World;
use crate::sim::world::objects::Kind;

pub(super) fn nothing_of_others_is_lost(world: &World, _: &Written<'_>) -> Result<(), String> {
    for (name, theirs) in &world.manifests.of_others {
        let live = world.manifests.live.get(name).cloned().unwrap_or_default();
        let (live, theirs) = (without_ours(live), without_ours(theirs.clone()));
        // Of what Tidegate makes they wrote a part.
        let whole = theirs.get("kind").is_some();
        let kept = if whole {
            live == theirs
        } else {
            has(&live, &theirs)
        };
        holds(kept, || {
            format!("{name} is {live}, and others wrote {theirs}")
        })?;
    }
    Ok(())
}

/// What is kept whole says the same as what everybody else in the world goes by.
pub(super) fn whole_objects_say_the_same(world: &World, _: &Written<'_>) -> Result<(), String> {
    if !world.manifests.are_kept() {
        return Ok(());
    }
    for (stored, body) in rollouts(world) {
        let Ok(spec) = body.parsed.as_ref() else {
            continue;
        };
        for (_, name) in spec.services() {
            let service = world.store.get(Kind::Service, name);
            let known = service.and_then(|stored| stored.service());
            if let (Some(known), Some((hash, _))) = (known, world.service_whole(name)) {
                let meant = &known.hash;
                holds(*meant == hash, || {
                    format!("Service {name} is to select {meant:?} and selects {hash:?}")
                })?;
            }
        }
        for route in spec.routes(&stored.meta.name) {
            let known = world.store.get(Kind::Route, &route.to_string());
            let known = known.and_then(|stored| stored.route());
            let read = world.route_whole(spec, &stored.meta.name, &route);
            if let (Some(known), Some(RouteState::Live(live))) = (known, read) {
                let (meant, says) = (known.weight, live.weight);
                holds(meant == says, || {
                    format!("{route} is to send {meant} % and sends {says} %")
                })?;
            }
        }
    }
    Ok(())
}

/// Whether all of `wanted` is so in `found`; lists item by item.
#[must_use]
pub fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, want)| {
            let found = found.get(key).unwrap_or(&Value::Null);
            has(found, want)
        }),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| has(f, w))
        }
        _ => found == wanted,
    }
}

/// An object without what is Tidegate's in it: weights, rules of its own, copies to a backend that the
/// rule has anyway, the hash in a selector, its annotations.
fn without_ours(mut object: Value) -> Value {
    let map = |object: &mut Value, at: &str, change: fn(&mut Map<String, Value>)| {
        if let Some(map) = object.pointer_mut(at).and_then(Value::as_object_mut) {
            change(map);
        }
    };
    map(&mut object, "/metadata/annotations", |all| {
        all.retain(|key, _| !key.starts_with("tidegate.io/"));
    });
    map(&mut object, "/metadata", |metadata| {
        let empty = metadata.get("annotations").and_then(Value::as_object);
        if empty.is_some_and(Map::is_empty) {
            metadata.remove("annotations");
        }
    });
    map(&mut object, "/spec/selector", |selector| {
        selector.remove(HASH_LABEL);
    });
    let rules = object
        .pointer_mut("/spec/rules")
        .and_then(Value::as_array_mut);
    if let Some(rules) = rules {
        let name = |rule: &Value| rule.get("name").and_then(Value::as_str).map(str::to_owned);
        rules.retain(|rule| name(rule).is_none_or(|name| !name.starts_with("tidegate-header.")));
        for rule in rules {
            leave_out_copies(rule);
            let backends = rule.get_mut("backendRefs").and_then(Value::as_array_mut);
            for backend in backends.into_iter().flatten() {
                map(backend, "", |backend| {
                    backend.remove("weight");
                });
            }
        }
    }
    object
}

fn leave_out_copies(rule: &mut Value) {
    let backends = rule.get("backendRefs").and_then(Value::as_array);
    let names: Vec<Value> = backends
        .into_iter()
        .flatten()
        .filter_map(|backend| backend.get("name").cloned())
        .collect();
    let Some(Value::Array(filters)) = rule.get_mut("filters") else {
        return;
    };
    let before = filters.len();
    let to = |filter: &Value| filter.pointer("/requestMirror/backendRef/name").cloned();
    filters.retain(|filter| to(filter).is_none_or(|to| !names.contains(&to)));
    if filters.is_empty()
        && before > 0
        && let Some(rule) = rule.as_object_mut()
    {
        rule.remove("filters");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_ours_is_left_out() {
        let route = json!({
            "metadata": {"annotations": {"tidegate.io/managed-by": "web"}},
            "spec": {"rules": [
                {"name": "tidegate-header.testers.0", "backendRefs": []},
                {"name": "all", "backendRefs": [{"name": "a", "weight": 3, "filters": []}]},
            ]},
        });
        let left = json!({
            "metadata": {},
            "spec": {"rules": [{"name": "all", "backendRefs": [{"name": "a", "filters": []}]}]},
        });
        assert_eq!(without_ours(route), left);
        let copies =
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a"}}});
        let audit =
            json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "b"}}});
        for (filters, stay) in [
            (json!([copies]), None),
            (json!([audit, copies]), Some(json!([audit]))),
        ] {
            let backends = json!([{"name": "a", "weight": 3}]);
            let rule = json!({"filters": filters, "backendRefs": backends});
            let left = without_ours(json!({"spec": {"rules": [rule]}}));
            assert_eq!(left["spec"]["rules"][0].get("filters").cloned(), stay);
        }
        let service = json!({"spec": {"selector": {"app": "web", HASH_LABEL: "abc"}, "x": 1}});
        let left = json!({"spec": {"selector": {"app": "web"}, "x": 1}});
        assert_eq!(without_ours(service), left);
    }

    #[test]
    fn a_part_is_had_where_all_of_it_is_so() {
        let found = json!({"a": {"b": 1, "c": [{"d": 2, "e": 3}]}});
        // wanted, and whether it is so
        let rows = [
            (json!({"a": {"b": 1}}), true),
            (json!({"a": {"c": [{"e": 3}]}}), true),
            (json!({"a": {"f": null}}), true),
            (json!({"a": {"b": 2}}), false),
            (json!({"a": {"b": null}}), false),
            (json!({"a": {"c": []}}), false),
            (json!({"f": 1}), false),
        ];
        for (wanted, so) in rows {
            assert_eq!(has(&found, &wanted), so, "{wanted}");
        }
    }
}
