//! `x-kubernetes-validations`: rules in CEL, transition rules included, as an API server evaluates those
//! of a custom resource. It knows nothing of requests, nor of how a refusal is answered.
//!
//! A rule that this CEL implementation cannot compile or evaluate is skipped: the real server has
//! functions that the `cel` crate lacks (quantities, URLs, `format`), and a false refusal would be
//! worse in a test than a missed one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cel::{
    Context, Program,
    objects::{Key, Value as CelValue},
};
use serde_json::{Map, Value};

use super::structural::field_schema;

/// A rule that an object breaks.
#[cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, reason = "the API server in memory answers with all of it")
)]
pub(in crate::sim) struct Broken<'a> {
    /// The rule, as it stands in the schema.
    pub rule: &'a Value,
    /// Where the value is that it is of.
    pub path: String,
    /// That value.
    pub value: &'a Value,
    /// What the rule says to whoever breaks it.
    pub message: String,
}

/// The rules of a schema that an object breaks; `old` is what it replaces. Only those that `asked` is
/// true for are evaluated.
pub(in crate::sim) fn broken_by<'a>(
    new: &'a Value,
    old: Option<&Value>,
    schema: &'a Value,
    asked: fn(&Value) -> bool,
) -> Vec<Broken<'a>> {
    let mut broken = Vec::new();
    walk(new, old, (schema, asked), "", &mut broken);
    broken
}

/// The rules that stand at one place of a schema.
pub(in crate::sim) fn rules(schema: &Value) -> impl Iterator<Item = &Value> {
    schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn walk<'a>(
    new: &'a Value,
    old: Option<&Value>,
    (schema, asked): (&'a Value, fn(&Value) -> bool),
    path: &str,
    broken: &mut Vec<Broken<'a>>,
) {
    if new.is_null() {
        return;
    }
    let applies = |rule: &&Value| asked(rule) && (old.is_some() || !mentions_old(rule));
    if rules(schema).any(|rule| applies(&rule)) {
        FUNCTIONS.with(|functions| {
            let context = context(functions, new, old, schema);
            for rule in rules(schema).filter(applies) {
                if let Some(message) = evaluate(rule, &context) {
                    broken.push(Broken {
                        rule,
                        path: path.to_owned(),
                        value: new,
                        message,
                    });
                }
            }
        });
    }
    match new {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(inner) = field_schema(schema, name) {
                    let here = match path {
                        "" => name.clone(),
                        _ => format!("{path}.{name}"),
                    };
                    let before = old.and_then(|o| o.get(name));
                    walk(value, before, (inner, asked), &here, broken);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.get("items") else {
                return;
            };
            for (at, item) in items.iter().enumerate() {
                let before = old.and_then(|o| same_item(o, item, schema));
                let here = format!("{path}[{at}]");
                walk(item, before, (inner, asked), &here, broken);
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

thread_local! {
    /// The functions of the language: what every rule begins with, and dear to list anew.
    static FUNCTIONS: Context<'static, 'static> = Context::default();
}

/// What all rules of one value know.
fn context<'a>(
    functions: &'a Context<'static, 'static>,
    new: &Value,
    old: Option<&Value>,
    schema: &Value,
) -> Context<'a, 'static> {
    let mut context = functions.new_inner_scope();
    context.add_variable_from_value("self", to_cel(new, schema));
    if let Some(old) = old.filter(|_| rules(schema).any(mentions_old)) {
        context.add_variable_from_value("oldSelf", to_cel(old, schema));
    }
    context
}

/// What a rule says that does not hold.
fn evaluate(rule: &Value, context: &Context<'_, '_>) -> Option<String> {
    let text = rule_text(rule);
    // Anything but a clear no refuses nothing.
    if !matches!(program(text)?.execute(context), Ok(CelValue::Bool(false))) {
        return None;
    }
    let said = rule
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
        });
    Some(said.unwrap_or_else(|| format!("failed rule: {text}")))
}

/// The rule itself.
pub(in crate::sim) fn rule_text(rule: &Value) -> &str {
    rule.get("rule").and_then(Value::as_str).unwrap_or_default()
}

/// Whether it is a transition rule. That speaks about a change; where nothing is replaced there is none.
pub(in crate::sim) fn mentions_old(rule: &Value) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    rule_text(rule).split(|c| !word(c)).any(|w| w == "oldSelf")
}

/// Compiled rules are kept, since every write evaluates the same ones.
pub(in crate::sim) fn program(text: &str) -> Option<Arc<Program>> {
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
            let inner = field_schema(schema, name).unwrap_or(&Value::Null);
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
