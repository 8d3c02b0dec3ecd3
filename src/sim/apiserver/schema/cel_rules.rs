//! The rules in CEL of a schema, as the API server answers for them ([`crate::sim::cel_rules`]).

use serde_json::Value;

use crate::sim::apiserver::status_errors::FieldError;
use crate::sim::cel_rules::{Broken, broken_by, program, rule_text, rules};

/// Checks all rules of a schema on an object; `old` is what it replaces.
pub(in crate::sim::apiserver) fn check(
    new: &Value,
    old: Option<&Value>,
    schema: &Value,
) -> Vec<FieldError> {
    let broken = broken_by(new, old, schema, |_| true);
    broken.iter().map(failure).collect()
}

/// Whether a schema has rules anywhere.
pub(in crate::sim::apiserver) fn has_rules(schema: &Value) -> bool {
    let Some(map) = schema.as_object() else {
        return false;
    };
    let inner = ["items", "additionalProperties"]
        .into_iter()
        .filter_map(|name| map.get(name));
    let properties = map.get("properties").and_then(Value::as_object);
    rules(schema).next().is_some()
        || inner
            .chain(properties.into_iter().flat_map(|p| p.values()))
            .any(has_rules)
}

/// The rules of a schema that do not compile here, and so refuse nothing.
pub(in crate::sim::apiserver) fn broken(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect_broken(schema, &mut found);
    found
}

fn collect_broken(schema: &Value, found: &mut Vec<String>) {
    let Some(map) = schema.as_object() else {
        return;
    };
    for rule in rules(schema) {
        let text = rule_text(rule);
        if program(text).is_none() {
            found.push(text.to_owned());
        }
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = map.get(name) {
            collect_broken(inner, found);
        }
    }
    let properties = map.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .for_each(|(_, inner)| collect_broken(inner, found));
}

fn failure(broken: &Broken<'_>) -> FieldError {
    let (rule, path, message) = (broken.rule, broken.path.as_str(), broken.message.as_str());
    let new = broken.value;
    let sub_path = rule
        .get("fieldPath")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let field = match path {
        "" => sub_path.trim_start_matches('.').to_owned(),
        _ => format!("{path}{sub_path}"),
    };
    match rule.get("reason").and_then(Value::as_str) {
        Some("FieldValueForbidden") => FieldError::forbidden(field, message),
        Some("FieldValueRequired") => FieldError::required(field, message),
        Some("FieldValueDuplicate") => {
            let message = format!("Duplicate value: {new}");
            FieldError {
                field,
                reason: "FieldValueDuplicate",
                message,
            }
        }
        _ if new.is_object() || new.is_array() => FieldError::invalid_unshown(field, message),
        _ => FieldError::invalid(field, new, message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages(new: &Value, old: Option<&Value>, rule: &str) -> Vec<String> {
        let schema = json!({
            "type": "object",
            "properties": {"spec": {
                "type": "object",
                "properties": {
                    "min": {"type": "integer"}, "max": {"type": "integer"},
                    "share": {"type": "number"}, "namespace": {"type": "string"},
                },
                "x-kubernetes-validations": [{"rule": rule, "message": "no"}],
            }},
        });
        let errors = check(new, old, &schema);
        errors
            .iter()
            .map(|e| format!("{}: {}", e.field, e.message))
            .collect()
    }

    #[test]
    fn a_rule_that_fails_names_its_field_and_message() {
        let refused = ["spec: Invalid value: no"];
        let ordered = "self.min <= self.max";
        assert_eq!(
            messages(&json!({"spec": {"min": 3, "max": 2}}), None, ordered),
            refused
        );
        assert_eq!(
            messages(&json!({"spec": {"min": 1, "max": 2}}), None, ordered),
            [""; 0]
        );
        let small = "!has(self.share) || self.share < 1.0";
        assert_eq!(messages(&json!({"spec": {"min": 1}}), None, small), [""; 0]);
        assert_eq!(
            messages(&json!({"spec": {"share": 1}}), None, small),
            refused
        );
        let named = json!({"spec": {"namespace": "shop"}});
        assert_eq!(
            messages(&named, None, "self.__namespace__ == 'other'"),
            refused
        );
    }

    #[test]
    fn a_transition_rule_needs_something_to_change() {
        let (one, two) = (json!({"spec": {"min": 1}}), json!({"spec": {"min": 2}}));
        let rule = "self.min == oldSelf.min";
        assert_eq!(messages(&two, None, rule), [""; 0]);
        assert_eq!(messages(&two, Some(&two), rule), [""; 0]);
        assert_eq!(messages(&two, Some(&one), rule).len(), 1);
    }

    #[test]
    fn a_rule_that_cannot_be_evaluated_refuses_nothing() {
        let rule = "quantity(self.min).isLessThan(quantity('1'))";
        assert_eq!(messages(&json!({"spec": {"min": 1}}), None, rule), [""; 0]);
    }
}
