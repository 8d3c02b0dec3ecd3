//! What is served: `/version`, `/api`, `/apis` and the lists of resources, in the old form and in
//! the aggregated one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    object,
    registry::{Registry, Resource},
};

const READ_WRITE: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Media type of the aggregated form.
pub(super) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The answer for a path that is about the API itself; none when it is not.
pub(super) fn answer(registry: &Registry, path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts.as_slice() {
        [] => Some(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"]}),
        ),
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => Some(groups(registry)),
        ["api", version] => resources(registry, "", version),
        ["apis", name] => groups(registry)
            .get("groups")?
            .as_array()?
            .iter()
            .find_map(|g| {
                let mut group = (g.get("name")? == name).then(|| g.clone())?;
                object::set(&mut group, "kind", "APIGroup");
                object::set(&mut group, "apiVersion", "v1");
                Some(group)
            }),
        ["apis", group, version] => resources(registry, group, version),
        _ => None,
    }
}

/// Whether a client accepts the aggregated form.
pub(super) fn wants_aggregated(accept: &str) -> bool {
    accept.split(',').any(|part| {
        part.contains("g=apidiscovery.k8s.io") && part.contains("v=v2") && !part.contains("v2beta")
    })
}

/// The aggregated form of `/api` and `/apis`.
pub(super) fn aggregated(registry: &Registry, path: &str) -> Option<Value> {
    let core = match path.trim_end_matches('/') {
        "/api" => true,
        "/apis" => false,
        _ => return None,
    };
    let items: Vec<Value> = by_group(registry)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| aggregated_group(&group, &versions))
        .collect();
    Some(json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }))
}

fn aggregated_group(group: &str, versions: &Versions<'_>) -> Value {
    let versions: Vec<Value> = ordered(versions)
        .into_iter()
        .map(|(version, resources)| {
            let list: Vec<Value> = resources
                .iter()
                .map(|r| aggregated_resource(r, version))
                .collect();
            json!({"version": version, "freshness": "Current", "resources": list})
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({})
    } else {
        json!({"name": group})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource, version: &str) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = kind(&resource.group, version, &resource.kind);
    let mut subresources = Vec::new();
    if resource.scale.is_some() {
        subresources.push(json!({
            "subresource": "scale",
            "responseKind": kind("autoscaling", "v1", "Scale"),
            "verbs": ["get", "patch", "update"],
        }));
    }
    if resource.status {
        subresources.push(json!({
            "subresource": "status",
            "responseKind": own,
            "verbs": ["get", "patch", "update"],
        }));
    }
    let scope = if resource.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": own,
        "scope": scope,
        "singularResource": resource.singular,
        "verbs": READ_WRITE,
    });
    if !resource.short_names.is_empty() {
        object::set(&mut entry, "shortNames", json!(resource.short_names));
    }
    if !resource.categories.is_empty() {
        object::set(&mut entry, "categories", json!(resource.categories));
    }
    if !subresources.is_empty() {
        object::set(&mut entry, "subresources", json!(subresources));
    }
    entry
}

/// Resources of one group by version.
type Versions<'a> = BTreeMap<String, Vec<&'a Resource>>;

fn by_group(registry: &Registry) -> BTreeMap<String, Versions<'_>> {
    let mut groups: BTreeMap<String, Versions<'_>> = BTreeMap::new();
    for resource in registry.all() {
        for version in &resource.versions {
            let versions = groups.entry(resource.group.clone()).or_default();
            versions.entry(version.clone()).or_default().push(resource);
        }
    }
    groups
}

/// Stable versions before beta before alpha, higher before lower.
fn ordered<'a, 'r>(versions: &'a Versions<'r>) -> Vec<(&'a str, &'a [&'r Resource])> {
    let mut list: Vec<(&str, &[&Resource])> = versions
        .iter()
        .map(|(v, r)| (v.as_str(), r.as_slice()))
        .collect();
    let rank = |version: &str| match version {
        v if v.contains("alpha") => 2,
        v if v.contains("beta") => 1,
        _ => 0,
    };
    list.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then(b.cmp(a)));
    list
}

fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = by_group(registry)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| {
            let list: Vec<Value> = ordered(&versions)
                .into_iter()
                .map(|(v, _)| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
                .collect();
            let preferred = list.first().cloned().unwrap_or(Value::Null);
            json!({"name": group, "versions": list, "preferredVersion": preferred})
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    let served =
        |r: &&std::sync::Arc<Resource>| r.group == group && r.versions.iter().any(|v| v == version);
    for resource in registry.all().filter(served) {
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": READ_WRITE,
        });
        if !resource.short_names.is_empty() {
            object::set(&mut entry, "shortNames", json!(resource.short_names));
        }
        if !resource.categories.is_empty() {
            object::set(&mut entry, "categories", json!(resource.categories));
        }
        list.push(entry);
        list.extend(subresources(resource));
    }
    if list.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": list,
    }))
}

fn subresources(resource: &Resource) -> Vec<Value> {
    let mut list = Vec::new();
    if resource.scale.is_some() {
        list.push(json!({
            "name": format!("{}/scale", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
            "verbs": ["get", "patch", "update"],
        }));
    }
    if resource.status {
        list.push(json!({
            "name": format!("{}/status", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ["get", "patch", "update"],
        }));
    }
    if resource.id() == "pods" {
        list.push(json!({
            "name": "pods/eviction",
            "singularName": "",
            "namespaced": true,
            "group": "policy",
            "version": "v1",
            "kind": "Eviction",
            "verbs": ["create"],
        }));
    }
    list
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "35",
        "gitVersion": "v1.35.0+tidegate-in-memory",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "rustc",
        "platform": "memory",
    })
}
