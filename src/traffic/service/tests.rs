use json_patch::merge;
use serde_json::json;

use super::*;

fn service() -> Value {
    json!({
        "metadata": {"name": "web", "uid": "s1", "resourceVersion": "9", "annotations": {"mine": "kept"}},
        "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "selector": {"app": "web"}, "ports": [{"port": 80}]},
    })
}

#[test]
fn a_switch_there_and_back_leaves_the_service_as_it_was() {
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut live = service();
    merge(&mut live, &switch_patch("9", "checkout", Some("abc"), at));
    let found = read(&live);
    assert_eq!(found.hash.as_deref(), Some("abc"));
    assert_eq!(found.switched_at, Some(at));
    assert_eq!(found.managed_by.as_deref(), Some("checkout"));
    assert_eq!(live["spec"]["selector"]["app"], "web");
    merge(&mut live, &switch_patch("9", "checkout", None, at));
    assert_eq!(live, service());
}

#[test]
fn a_switch_is_as_late_as_the_api_server_had_it() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let had = |field: &str, time: &str| {
        let entry = json!({"manager": "x", "time": time, "fieldsV1": {"f:spec": {field: {}}}});
        let mut live = service();
        merge(
            &mut live,
            &switch_patch("9", "web", Some("abc"), at("2026-01-01T00:00:05Z")),
        );
        live["metadata"]["managedFields"] = json!([entry]);
        read(&live).switched_at
    };
    let rows = [
        ("f:selector", "2026-01-01T00:00:09Z", "2026-01-01T00:00:09Z"),
        ("f:selector", "2026-01-01T00:00:04Z", "2026-01-01T00:00:05Z"),
        ("f:ports", "2026-01-01T00:00:09Z", "2026-01-01T00:00:05Z"),
    ];
    for (field, time, expected) in rows {
        assert_eq!(had(field, time), Some(at(expected)), "{field} {time}");
    }
}

#[test]
fn what_makes_a_service_unusable() {
    let problem = |path: &str, value: Value| {
        let mut service = service();
        *service.pointer_mut(path).unwrap() = value;
        read(&service).problem.unwrap_or_default()
    };
    assert_eq!(read(&service()).problem, None);
    assert!(problem("/spec/type", "ExternalName".into()).contains("ExternalName"));
    assert!(problem("/spec/clusterIP", "None".into()).contains("headless"));
    assert!(problem("/spec/selector", json!({})).contains("no selector"));
    assert!(problem("/spec/selector", Value::Null).contains("no selector"));
    assert!(problem("/spec/selector", json!({HASH_LABEL: "abc"})).contains("no selector"));
}

#[test]
fn a_selector_that_the_pods_do_not_meet_is_said() {
    let meets = |selector: Value| {
        let mut service = service();
        service["spec"]["selector"] = selector;
        meets_none(&service, |key, value| (key, value) == ("app", "web"))
    };
    assert_eq!(meets(json!({"app": "web"})), None);
    assert_eq!(meets(json!({"app": "web", HASH_LABEL: "abc"})), None);
    assert_eq!(meets(Value::Null), None, "said otherwise");
    for (selector, label) in [
        (json!({"app": "other"}), "app=other"),
        (json!({"app": "web", "tier": "front"}), "tier=front"),
    ] {
        let said = meets(selector).unwrap();
        assert!(said.contains(label), "{said}");
    }
}
