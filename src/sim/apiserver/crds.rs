//! CustomResourceDefinitions: from the document to the description of a served kind.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    object,
    registry::{Column, Resource, ScalePaths},
};

/// The resource that a CustomResourceDefinition describes, or what the document lacks.
pub(super) fn resource_from_crd(crd: &Value) -> Result<Resource, String> {
    let name = object::meta(crd, "name");
    let text = |path: &str| {
        object::at_path(crd, path)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| format!("CustomResourceDefinition {name}: {path} is missing"))
    };
    let mut resource = Resource {
        group: text("spec.group")?,
        versions: Vec::new(),
        plural: text("spec.names.plural")?,
        singular: text("spec.names.singular").unwrap_or_default(),
        kind: text("spec.names.kind")?,
        short_names: strings(object::at_path(crd, "spec.names.shortNames")),
        categories: strings(object::at_path(crd, "spec.names.categories")),
        namespaced: text("spec.scope")? == "Namespaced",
        status: false,
        scale: None,
        generation: true,
        builtin: false,
        schemas: BTreeMap::new(),
        columns: BTreeMap::new(),
        selectable: Vec::new(),
    };
    if resource.singular.is_empty() {
        resource.singular = resource.kind.to_lowercase();
    }
    let versions = object::at_path(crd, "spec.versions").and_then(Value::as_array);
    for version in versions.into_iter().flatten() {
        let served = version
            .get("served")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        let Some(version_name) = version.get("name").and_then(Value::as_str) else {
            continue;
        };
        if served {
            add_version(&mut resource, version_name, version);
        }
    }
    match resource.versions.is_empty() {
        true => Err(format!(
            "CustomResourceDefinition {name}: spec.versions serves no version"
        )),
        false => Ok(resource),
    }
}

fn add_version(resource: &mut Resource, name: &str, version: &Value) {
    let storage = version
        .get("storage")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let at = if storage { 0 } else { resource.versions.len() };
    resource.versions.insert(at, name.to_owned());
    if let Some(schema) = object::at_path(version, "schema.openAPIV3Schema") {
        resource
            .schemas
            .insert(name.to_owned(), Arc::new(schema.clone()));
    }
    let subresources = version.get("subresources").unwrap_or(&Value::Null);
    resource.status |= subresources.get("status").is_some_and(|s| !s.is_null());
    if let Some(scale) = subresources.get("scale") {
        let path = |field: &str| scale.get(field).and_then(Value::as_str).map(str::to_owned);
        resource.scale = Some(ScalePaths {
            spec: path("specReplicasPath").unwrap_or_else(|| ".spec.replicas".to_owned()),
            status: path("statusReplicasPath").unwrap_or_else(|| ".status.replicas".to_owned()),
            selector: path("labelSelectorPath"),
        });
    }
    let columns = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    resource.columns.insert(
        name.to_owned(),
        columns.into_iter().flatten().map(column).collect(),
    );
    let fields = version.get("selectableFields").and_then(Value::as_array);
    for path in fields
        .into_iter()
        .flatten()
        .filter_map(|f| f.get("jsonPath")?.as_str())
    {
        resource
            .selectable
            .push(path.trim_start_matches('.').to_owned());
    }
}

fn column(value: &Value) -> Column {
    let text = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Column {
        name: text("name"),
        kind: text("type"),
        json_path: text("jsonPath"),
        priority: value.get("priority").and_then(Value::as_i64).unwrap_or(0),
        format: text("format"),
        description: text("description"),
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The conditions that say that a CRD is served; clients wait for them after creating one.
pub(super) fn crd_status(crd: &Value, now: &str) -> Value {
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
               "lastTransitionTime": now})
    };
    let stored: Vec<Value> = object::at_path(crd, "spec.versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|v| v.get("storage").and_then(Value::as_bool).unwrap_or(false))
        .filter_map(|v| v.get("name").cloned())
        .collect();
    json!({
        "acceptedNames": object::at_path(crd, "spec.names").cloned().unwrap_or(Value::Null),
        "storedVersions": stored,
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
    })
}
