//! Checks of the built-in kinds, as far as Tidegate's objects touch them: the mistakes that a user
//! of Tidegate can make. The rest of Kubernetes' validation is not repeated.

use serde_json::{Value, json};

use super::{
    crds,
    object::{self, at_path},
    registry::Resource,
    selectors::LabelSelector,
    status_errors::FieldError,
};

/// Appends what is wrong with an object of a built-in kind.
pub(super) fn validate(
    resource: &Resource,
    new: &Value,
    old: Option<&Value>,
    errors: &mut Vec<FieldError>,
) {
    match resource.id().as_str() {
        "replicasets.apps" | "deployments.apps" | "statefulsets.apps" => {
            workload_problems(new, old, errors);
        }
        "pods" => pod_spec_problems(object::field(new, "spec"), "spec", errors),
        "services" => service_problems(new, errors),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            if let Err(problem) = crds::resource_from_crd(new) {
                errors.push(FieldError::invalid_unshown("spec", problem));
            }
        }
        "configmaps" | "secrets" => {
            let was_immutable = old.is_some_and(|o| o.get("immutable") == Some(&Value::Bool(true)));
            if was_immutable && old.is_some_and(|o| o.get("data") != new.get("data")) {
                let detail = "field is immutable when `immutable` is set";
                errors.push(FieldError::forbidden("data", detail));
            }
        }
        _ => {}
    }
}

fn workload_problems(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if let Some(replicas) = at_path(new, "spec.replicas").filter(|r| r.as_i64() < Some(0)) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("spec.replicas", replicas, detail));
    }
    if let Some(ready) = at_path(new, "spec.minReadySeconds").filter(|r| r.as_i64() < Some(0)) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("spec.minReadySeconds", ready, detail));
    }
    let selector = at_path(new, "spec.selector");
    let labels = at_path(new, "spec.template.metadata.labels");
    let parsed = selector.and_then(LabelSelector::from_object);
    if parsed.is_none() {
        errors.push(FieldError::required("spec.selector", ""));
    }
    if !parsed.is_some_and(|s| s.matches_labels(labels.unwrap_or(&Value::Null))) {
        let shown = labels.cloned().unwrap_or_else(|| json!({}));
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            &shown,
            "`selector` does not match template `labels`",
        ));
    }
    if let Some(old) = old {
        let (was, is) = (at_path(old, "spec.selector"), selector);
        if was != is {
            let shown = is.cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(
                "spec.selector",
                &shown,
                "field is immutable",
            ));
        }
    }
    let template = at_path(new, "spec.template.spec").unwrap_or(&Value::Null);
    pod_spec_problems(template, "spec.template.spec", errors);
    let policy = template
        .get("restartPolicy")
        .and_then(Value::as_str)
        .unwrap_or("Always");
    if policy != "Always" {
        errors.push(FieldError {
            field: "spec.template.spec.restartPolicy".to_owned(),
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: \"{policy}\": supported values: \"Always\""),
        });
    }
}

fn pod_spec_problems(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let containers = spec.get("containers").and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (at, container) in containers.into_iter().flatten().enumerate() {
        let text = |field: &str| {
            container
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let here = |field: &str| format!("{path}.containers[{at}].{field}");
        let name = text("name");
        if name.is_empty() {
            errors.push(FieldError::required(here("name"), ""));
        } else if seen.contains(&name) {
            errors.push(FieldError {
                field: here("name"),
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: \"{name}\""),
            });
        }
        seen.push(name);
        // A template may leave the image to an admission webhook, a pod may not.
        if text("image").is_empty() {
            errors.push(FieldError::required(here("image"), ""));
        }
    }
}

fn service_problems(service: &Value, errors: &mut Vec<FieldError>) {
    let spec = object::field(service, "spec");
    let ports = spec.get("ports").and_then(Value::as_array);
    let external = spec.get("type") == Some(&json!("ExternalName"));
    let headless = spec.get("clusterIP") == Some(&json!("None"));
    if ports.is_none_or(Vec::is_empty) && !external && !headless {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let several = ports.is_some_and(|p| p.len() > 1);
    for (at, port) in ports.into_iter().flatten().enumerate() {
        let number = port.get("port").and_then(Value::as_i64).unwrap_or(0);
        if !(1..=65535).contains(&number) {
            errors.push(FieldError::invalid(
                format!("spec.ports[{at}].port"),
                &number.into(),
                "must be between 1 and 65535, inclusive",
            ));
        }
        let target = port.get("targetPort").and_then(Value::as_i64);
        if let Some(target) = target.filter(|t| !(1..=65535).contains(t)) {
            errors.push(FieldError::invalid(
                format!("spec.ports[{at}].targetPort"),
                &target.into(),
                "must be between 1 and 65535, inclusive",
            ));
        }
        if several
            && port
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .is_empty()
        {
            errors.push(FieldError::required(format!("spec.ports[{at}].name"), ""));
        }
    }
}
