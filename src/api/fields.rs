//! Schemas of fields that types alone cannot say: patterns, bounds and parts that stay open.

use schemars::{Schema, json_schema};

pub(super) fn pod_template_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["metadata", "spec"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "metadata": {
                "type": "object",
                "required": ["labels"],
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "labels": {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 64,
                        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"},
                        "x-kubernetes-validations": [
                            {"rule": "self.all(k, !k.startsWith('tidegate.io/') && k != 'rollouts-pod-template-hash' && k != 'pod-template-hash')", "message": "spec.template.metadata.labels: rollouts-pod-template-hash, pod-template-hash and tidegate.io/* are set by controllers and must not be given"}
                        ]
                    }
                }
            },
            "spec": {
                "type": "object",
                "required": ["containers"],
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "containers": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 100,
                        "items": {
                            "type": "object",
                            "required": ["name", "image"],
                            "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {
                                "name": {"type": "string", "minLength": 1, "maxLength": 63},
                                "image": {"type": "string", "minLength": 1, "maxLength": 1024}
                            }
                        }
                    },
                    "ephemeralContainers": {
                        "type": "array",
                        "maxItems": 0,
                        "items": {"type": "object"}
                    }
                }
            }
        }
    })
}

pub(super) fn match_labels_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"}
    })
}

/// Labels for a role. What the selector and the template have is refused where it is parsed.
pub(super) fn role_labels_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"},
        "x-kubernetes-validations": [
            {"rule": "self.all(k, !k.startsWith('tidegate.io/') && k != 'rollouts-pod-template-hash' && k != 'pod-template-hash')", "message": "rollouts-pod-template-hash, pod-template-hash and tidegate.io/* are set by controllers and must not be given"}
        ]
    })
}

pub(super) fn role_annotations_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 1024},
        "x-kubernetes-validations": [
            {"rule": "self.all(k, !k.startsWith('tidegate.io/'))", "message": "tidegate.io/* is set by controllers and must not be given"}
        ]
    })
}

pub(super) fn int_or_percent_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 0,
        "maximum": 10000,
        "maxLength": 4,
        "pattern": "^(100|[1-9]?[0-9])%$"
    })
}

pub(super) fn name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"})
}

pub(super) fn dns_name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"})
}

/// A duration such as `30s`, `10m`, `1h30m`: at most 30 days (checked where it is parsed).
pub(super) fn duration_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 2, "maxLength": 20, "pattern": "^([0-9]{1,7}(s|m|h|d))+$"})
}

pub(super) fn object_list_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": 64, "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}})
}

pub(super) fn open_object_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn hostnames_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1, "maxLength": 253}})
}

/// As in an HTTPRoute (RFC 9110, "token").
pub(super) fn header_name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"})
}

pub(super) fn only_true_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "boolean", "enum": [true]})
}

/// 0% to 100%.
pub(super) fn percent_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 2, "maxLength": 12, "pattern": "^(100(\\.0{1,6})?|[0-9]{1,2}(\\.[0-9]{1,6})?)%$"})
}

/// 0% to 9999%.
pub(super) fn relative_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 2, "maxLength": 12, "pattern": "^[0-9]{1,4}(\\.[0-9]{1,6})?%$"})
}

/// Above 0% and at most 10%.
pub(super) fn false_abort_rate_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 2, "maxLength": 12,
        "pattern": "^(10(\\.0{1,6})?|[0-9](\\.[0-9]{1,6})?)%$",
        "x-kubernetes-validations": [{
            "rule": "double(self.substring(0, size(self) - 1)) > 0.0",
            "message": "falseAbortRate: more than 0% and at most 10%"
        }]
    })
}
