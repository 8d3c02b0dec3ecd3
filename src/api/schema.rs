//! What all generated schemas have in common before they are written out.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// Gives `null` one meaning: unset. Without `nullable` the API server prunes a null and applies the
/// default; `conditions` are merged by type, so that server-side apply keeps the others.
pub(super) fn finish(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut json = serde_json::to_value(crd).expect("a CRD is JSON");
    visit(&mut json);
    serde_json::from_value(json).expect("only schema keywords were changed")
}

fn visit(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.contains_key("type") || map.contains_key("x-kubernetes-int-or-string") {
                map.remove("nullable");
                if let Some(Value::Array(allowed)) = map.get_mut("enum") {
                    allowed.retain(|v| !v.is_null());
                }
            }
            if let Some(Value::Object(conditions)) = map
                .get_mut("properties")
                .and_then(|p| p.get_mut("conditions"))
                && conditions.get("type") == Some(&Value::from("array"))
            {
                conditions.insert("x-kubernetes-list-type".into(), "map".into());
                conditions.insert(
                    "x-kubernetes-list-map-keys".into(),
                    Value::from(vec!["type"]),
                );
            }
            map.values_mut().for_each(visit);
        }
        Value::Array(items) => items.iter_mut().for_each(visit),
        _ => {}
    }
}
