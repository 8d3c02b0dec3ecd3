use super::*;

#[test]
fn names_are_deterministic_and_never_too_long() {
    assert_eq!(
        revert_name("checkout", "77cd81f2", 1),
        "checkout-77cd81f2-1"
    );
    for (rollout, hash) in [
        ("a".repeat(253), "77cd81f2".to_owned()),
        (
            format!("{}.{}", "a".repeat(40), "b".repeat(40)),
            "77cd81f2".to_owned(),
        ),
        ("checkout".to_owned(), "f".repeat(63)),
    ] {
        let one = revert_name(&rollout, &hash, 1);
        assert_eq!(one, revert_name(&rollout, &hash, 1));
        assert!(one.len() <= 63, "{one}");
        assert!(!one.contains(".-") && !one.contains("--"), "{one}");
        assert_ne!(one, revert_name(&rollout, &hash, 2));
        assert_ne!(one, revert_name(&format!("{rollout}x"), &hash, 1));
        assert_ne!(one, revert_name(&rollout, &format!("{hash}0"), 1));
    }
}

#[test]
fn schema_bounds_every_string_and_list_and_has_no_unsigned_formats() {
    let crd = crate::api::crds()
        .into_iter()
        .find(|c| c.spec.names.kind == "Revert")
        .unwrap();
    let crd = serde_json::to_value(crd).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut problems = Vec::new();
    walk("spec", &schema["spec"], &mut problems);
    walk("status", &schema["status"], &mut problems);
    assert!(problems.is_empty(), "{problems:#?}");
    assert!(serde_json::to_string(&crd).unwrap().len() < 200_000);
    assert!(crd.to_string().contains("self == oldSelf"));
}

fn walk(path: &str, schema: &serde_json::Value, problems: &mut Vec<String>) {
    match schema["type"].as_str() {
        Some("string")
            if schema.get("maxLength").is_none()
                && schema.get("enum").is_none()
                && schema["format"] != "date-time" =>
        {
            problems.push(format!("{path}: a string without maxLength"));
        }
        Some("array") => {
            if schema.get("maxItems").is_none() {
                problems.push(format!("{path}: a list without maxItems"));
            }
            walk(&format!("{path}[]"), &schema["items"], problems);
        }
        Some("object") => {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                walk(&format!("{path}.{name}"), inner, problems);
            }
        }
        _ => {}
    }
    if schema["format"]
        .as_str()
        .is_some_and(|f| f.starts_with("uint"))
    {
        problems.push(format!("{path}: unsigned format"));
    }
}
