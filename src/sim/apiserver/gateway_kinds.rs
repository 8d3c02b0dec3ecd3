//! The Gateway API kinds that routes are made of, for servers that are not given the real CRDs.
//!
//! Only the defaults are described, because a real server writes them into every object and code
//! that compares routes must have seen them (Gateway API 1.3, standard channel). All other fields
//! are kept as they come. A real CRD passed in the configuration replaces the entry here.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    object,
    registry::{Column, Resource},
};

const GROUP: &str = "gateway.networking.k8s.io";

/// GatewayClass, Gateway, HTTPRoute, GRPCRoute and ReferenceGrant.
pub(super) fn resources() -> Vec<Resource> {
    vec![
        kind(
            "gatewayclasses",
            "GatewayClass",
            "gc",
            &["v1"],
            false,
            &open(),
        ),
        kind("gateways", "Gateway", "gtw", &["v1"], true, &open()),
        kind(
            "httproutes",
            "HTTPRoute",
            "",
            &["v1", "v1beta1"],
            true,
            &http_route(),
        ),
        kind(
            "grpcroutes",
            "GRPCRoute",
            "",
            &["v1"],
            true,
            &route(&open(), None),
        ),
        kind(
            "referencegrants",
            "ReferenceGrant",
            "refgrant",
            &["v1beta1"],
            true,
            &open(),
        ),
    ]
}

fn kind(
    plural: &str,
    kind: &str,
    short: &str,
    versions: &[&str],
    namespaced: bool,
    spec: &Value,
) -> Resource {
    let schema = Arc::new(json!({
        "type": "object",
        "properties": {"spec": spec, "status": open()},
    }));
    let age = Column {
        name: "Age".to_owned(),
        kind: "date".to_owned(),
        json_path: ".metadata.creationTimestamp".to_owned(),
        priority: 0,
        format: String::new(),
        description: String::new(),
    };
    let mut columns = vec![age];
    if kind.ends_with("Route") {
        let hostnames = Column {
            name: "Hostnames".to_owned(),
            kind: "string".to_owned(),
            json_path: ".spec.hostnames".to_owned(),
            priority: 0,
            format: String::new(),
            description: String::new(),
        };
        columns.insert(0, hostnames);
    }
    let each = |v: &&str| (*v).to_owned();
    Resource {
        group: GROUP.to_owned(),
        versions: versions.iter().map(each).collect(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        kind: kind.to_owned(),
        short_names: short.split_whitespace().map(str::to_owned).collect(),
        categories: vec!["gateway-api".to_owned()],
        namespaced,
        status: kind != "ReferenceGrant",
        scale: None,
        generation: true,
        builtin: false,
        schemas: versions
            .iter()
            .map(|v| ((*v).to_owned(), Arc::clone(&schema)))
            .collect(),
        columns: versions
            .iter()
            .map(|v| ((*v).to_owned(), columns.clone()))
            .collect::<BTreeMap<_, _>>(),
        selectable: Vec::new(),
    }
}

fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// The spec of a route whose rules match by `one_match`; a rule without matches gets `default`.
fn route(one_match: &Value, default: Option<Value>) -> Value {
    let mut matches = json!({"type": "array", "items": one_match});
    if let Some(default) = default {
        object::set(&mut matches, "default", default);
    }
    let rule = json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "matches": matches,
            "backendRefs": {"type": "array", "items": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "required": ["name"],
                "properties": {
                    "group": {"type": "string", "default": ""},
                    "kind": {"type": "string", "default": "Service"},
                    "name": {"type": "string", "minLength": 1, "maxLength": 253},
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "weight": {"type": "integer", "default": 1, "minimum": 0, "maximum": 1000000},
                },
            }},
        },
    });
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "parentRefs": {"type": "array", "maxItems": 32, "items": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "required": ["name"],
                "properties": {
                    "group": {"type": "string", "default": GROUP},
                    "kind": {"type": "string", "default": "Gateway"},
                    "name": {"type": "string", "minLength": 1, "maxLength": 253},
                },
            }},
            "rules": {"type": "array", "maxItems": 16, "items": rule},
        },
    })
}

fn http_route() -> Value {
    let anything = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    route(&http_match(), Some(anything))
}

fn http_match() -> Value {
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "path": {
                "type": "object",
                "default": {"type": "PathPrefix", "value": "/"},
                "properties": {
                    "type": {"type": "string", "default": "PathPrefix",
                             "enum": ["Exact", "PathPrefix", "RegularExpression"]},
                    "value": {"type": "string", "default": "/", "maxLength": 1024},
                },
            },
            "headers": {"type": "array", "maxItems": 16, "items": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"type": {"type": "string", "default": "Exact"}},
            }},
        },
    })
}
