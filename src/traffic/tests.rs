use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn exposure_is_rounded_up() {
    assert_eq!(percent(1, 2), 50);
    assert_eq!(percent(1, 1000), 1);
    assert_eq!(percent(0, 1000), 0);
    assert_eq!(percent(1_000_000, 1_000_000), 100);
    assert_eq!(percent(3, 0), 0);
    assert_eq!(percent(999, 1000), 100);
}

#[test]
fn the_last_writer_is_the_newest_other_than_tidegate() {
    let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "time": time, "fieldsV1": fields});
    let rules = json!({"f:spec": {"f:rules": {}}});
    let object = json!({"metadata": {"managedFields": [
        entry("helm", "2026-01-01T00:00:00Z", rules.clone()),
        entry("argocd-controller", "2026-01-03T00:00:00Z", rules.clone()),
        entry("kubectl", "2026-01-04T00:00:00Z", json!({"f:spec": {"f:hostnames": {}}})),
        entry(FIELD_MANAGER, "2026-01-05T00:00:00Z", rules),
    ]}});
    assert_eq!(
        last_writer(&object, &["spec", "rules"]).as_deref(),
        Some("argocd-controller")
    );
    assert_eq!(last_writer(&object, &["spec", "parentRefs"]), None);
    assert_eq!(last_writer(&json!({}), &["spec"]), None);
    let changed = |path: &[&str]| changed_at(&object, path).map(|at| at.to_string());
    let at = |text: &str| Some(text.to_owned());
    assert_eq!(changed(&["spec", "rules"]), at("2026-01-05T00:00:00Z"));
    assert_eq!(changed(&["spec", "hostnames"]), at("2026-01-04T00:00:00Z"));
    assert_eq!(changed(&["spec", "parentRefs"]), None);
}

#[test]
fn covers_allows_defaults_and_nothing_else() {
    let wanted = json!({"a": [{"b": 1}]});
    assert!(covers(
        &json!({"a": [{"b": 1, "default": 2}], "more": 3}),
        &wanted
    ));
    assert!(!covers(&json!({"a": [{"b": 2}]}), &wanted));
    assert!(!covers(&json!({"a": [{"b": 1}, {"b": 1}]}), &wanted));
    assert!(!covers(&json!({}), &wanted));
}

#[test]
fn the_controller_is_known_by_uid() {
    let owner = Owner {
        namespace: "shop",
        name: "checkout",
        uid: "u1",
    };
    let owned = |uid: &str, controller: bool| {
        json!({"metadata": {"ownerReferences": [
            {"kind": "Other", "name": "x", "uid": "u0"},
            {"kind": "Rollout", "name": "checkout", "uid": uid, "controller": controller},
        ]}})
    };
    assert!(owner.controls(&owned("u1", true)));
    assert!(!owner.controls(&owned("u2", true)));
    assert!(!owner.controls(&owned("u1", false)));
    assert_eq!(
        Owner::owner_of(&owned("u2", true)),
        "owned by Rollout checkout"
    );
    assert_eq!(Owner::owner_of(&json!({})), "owned by nobody");
}

proptest! {
    #[test]
    fn shares_of_exactly_one_weight_are_exact(weights in prop::collection::vec(0i64..=100, 1..5)) {
        let shares: Vec<(i64, i64)> = weights.iter().map(|w| (*w, 100 - w)).collect();
        let (weight, exact) = summarise(&shares);
        prop_assert_eq!(i64::from(weight), *weights.iter().max().unwrap());
        prop_assert_eq!(exact, weights.iter().all(|w| w == &weights[0]));
    }
}
