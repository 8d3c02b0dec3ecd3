//! `x-kubernetes-validations`: rules in CEL, transition rules included.
//!
//! A rule that this CEL implementation cannot compile or evaluate is skipped: the real server has
//! functions that the `cel` crate lacks (quantities, URLs, `format`), and a false refusal would be
//! worse in a test than a missed one. [`broken`] tells which rules those are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cel::{
    Context, Program,
    objects::{Key, Value as CelValue},
};
use serde_json::{Map, Value};

use crate::sim::apiserver::status_errors::FieldError;

/// Checks all rules of a schema on an object; `old` is what it replaces.
pub(in crate::sim::apiserver) fn check(
    new: &Value,
    old: Option<&Value>,
    schema: &Value,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(new, old, schema, "", &mut errors);
    errors
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

/// The rules of a schema that do not compile here.
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

fn rules(schema: &Value) -> impl Iterator<Item = &Value> {
    schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn walk(
    new: &Value,
    old: Option<&Value>,
    schema: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if new.is_null() {
        return;
    }
    if rules(schema).next().is_some() {
        let context = context(new, old, schema);
        let broken = rules(schema)
            .filter(|rule| old.is_some() || !mentions_old(rule))
            .filter_map(|rule| evaluate(rule, &context, new, path));
        errors.extend(broken);
    }
    match new {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(inner) = super::field_schema(schema, name) {
                    let here = match path {
                        "" => name.clone(),
                        _ => format!("{path}.{name}"),
                    };
                    walk(value, old.and_then(|o| o.get(name)), inner, &here, errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.get("items") else {
                return;
            };
            for (at, item) in items.iter().enumerate() {
                let before = old.and_then(|o| same_item(o, item, schema));
                walk(item, before, inner, &format!("{path}[{at}]"), errors);
            }
        }
        _ => {}
    }
}

/// The old state of a list's item: known only in lists that have keys.
fn same_item<'a>(old: &'a Value, item: &Value, schema: &Value) -> Option<&'a Value> {
    let keys = schema.get("x-kubernetes-list-map-keys")?.as_array()?;
    let same = |candidate: &&Value| {
        keys.iter()
            .filter_map(Value::as_str)
            .all(|key| candidate.get(key) == item.get(key))
    };
    old.as_array()?.iter().find(same)
}

/// What all rules of one value know.
fn context(new: &Value, old: Option<&Value>, schema: &Value) -> Context<'static, 'static> {
    let mut context = Context::default();
    context.add_variable_from_value("self", to_cel(new, schema));
    if let Some(old) = old.filter(|_| rules(schema).any(mentions_old)) {
        context.add_variable_from_value("oldSelf", to_cel(old, schema));
    }
    context
}

fn evaluate(
    rule: &Value,
    context: &Context<'_, '_>,
    new: &Value,
    path: &str,
) -> Option<FieldError> {
    let text = rule_text(rule);
    match program(text)?.execute(context) {
        Ok(CelValue::Bool(false)) => {}
        Ok(CelValue::Bool(true)) => return None,
        other => {
            tracing::debug!(
                rule = text,
                path,
                ?other,
                "rule skipped: it cannot be evaluated"
            );
            return None;
        }
    }
    let message = rule
        .get("messageExpression")
        .and_then(Value::as_str)
        .and_then(program)
        .and_then(|p| match p.execute(context) {
            Ok(CelValue::String(text)) if !text.trim().is_empty() => Some(text.to_string()),
            _ => None,
        })
        .or_else(|| {
            rule.get("message")
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .unwrap_or_else(|| format!("failed rule: {text}"));
    Some(failure(rule, new, path, &message))
}

fn failure(rule: &Value, new: &Value, path: &str, message: &str) -> FieldError {
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

fn rule_text(rule: &Value) -> &str {
    rule.get("rule").and_then(Value::as_str).unwrap_or_default()
}

/// Whether it is a transition rule. That speaks about a change; where nothing is replaced there is none.
fn mentions_old(rule: &Value) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    rule_text(rule).split(|c| !word(c)).any(|w| w == "oldSelf")
}

/// Compiled rules are kept, since every write evaluates the same ones.
fn program(text: &str) -> Option<Arc<Program>> {
    static COMPILED: OnceLock<Mutex<BTreeMap<String, Option<Arc<Program>>>>> = OnceLock::new();
    let cache = COMPILED.get_or_init(Mutex::default);
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    cache
        .entry(text.to_owned())
        .or_insert_with(|| Program::compile(text).ok().map(Arc::new))
        .clone()
}

/// A JSON value as CEL sees it: integers as `int` (never `uint`), numbers of the schema type
/// `number` as `double`, field names escaped, nulls left out of objects.
fn to_cel(value: &Value, schema: &Value) -> CelValue {
    let wants_double = schema.get("type").and_then(Value::as_str) == Some("number");
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(b) => CelValue::Bool(*b),
        Value::Number(n) => match n.as_i64() {
            Some(int) if !wants_double => CelValue::Int(int),
            _ => CelValue::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => {
            let inner = schema.get("items").unwrap_or(&Value::Null);
            CelValue::List(Arc::new(items.iter().map(|i| to_cel(i, inner)).collect()))
        }
        Value::Object(map) => object_to_cel(map, schema),
    }
}

fn object_to_cel(map: &Map<String, Value>, schema: &Value) -> CelValue {
    let properties = schema.get("properties").and_then(Value::as_object);
    let entries = map
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(name, value)| {
            let named = properties.is_some_and(|p| p.contains_key(name));
            let key = if named { escaped(name) } else { name.clone() };
            let inner = super::field_schema(schema, name).unwrap_or(&Value::Null);
            (Key::String(Arc::new(key)), to_cel(value, inner))
        });
    CelValue::Map(cel::objects::Map {
        map: Arc::new(entries.collect()),
    })
}

/// Field names that are no CEL identifiers are escaped
/// (<https://kubernetes.io/docs/reference/using-api/cel/>).
fn escaped(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "void",
        "while",
        "var",
    ];
    if KEYWORDS.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
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
