//! Label and field selectors as they come in query strings.
//!
//! Grammar: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>; field
//! selectors know `=`, `==`, `!=` and only the fields that the kind declares.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{object, registry::Resource, status_errors::ApiError};

/// A label selector: all requirements must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl LabelSelector {
    /// Parses the text of `labelSelector=`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part).ok_or_else(|| unparsable(text))?);
            }
        }
        Ok(LabelSelector(requirements))
    }

    /// A `metav1.LabelSelector` (matchLabels, matchExpressions). An absent selector matches
    /// nothing, which is none here; an empty one everything.
    pub fn from_object(selector: &Value) -> Option<Self> {
        let map = selector.as_object()?;
        let mut requirements = Vec::new();
        for (key, value) in map
            .get("matchLabels")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            requirements.push(Requirement::In(
                key.clone(),
                vec![value.as_str()?.to_owned()],
            ));
        }
        let expressions = map.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let key = expression.get("key")?.as_str()?.to_owned();
            let values: Vec<String> = expression
                .get("values")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect();
            requirements.push(match expression.get("operator")?.as_str()? {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => return None,
            });
        }
        Some(LabelSelector(requirements))
    }

    /// A plain map of labels (a Service's selector). An empty one matches nothing, as for Services.
    pub fn from_labels(labels: &Value) -> Option<Self> {
        let labels = labels.as_object().filter(|l| !l.is_empty())?;
        let requirement = |(key, value): (&String, &Value)| {
            Some(Requirement::In(
                key.clone(),
                vec![value.as_str()?.to_owned()],
            ))
        };
        labels
            .iter()
            .map(requirement)
            .collect::<Option<Vec<_>>>()
            .map(LabelSelector)
    }

    /// Whether the labels of an object match.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object::meta_value(object, "labels");
        self.matches_labels(labels.unwrap_or(&Value::Null))
    }

    /// Whether a map of labels matches.
    pub fn matches_labels(&self, labels: &Value) -> bool {
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                label(key).is_some_and(|v| values.iter().any(|w| w == v))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|v| values.iter().all(|w| w != v))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        })
    }

    /// The text form, as `status.selector` of a Scale wants it.
    pub fn text(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|requirement| match requirement {
                Requirement::In(key, values) => match values.as_slice() {
                    [one] => format!("{key}={one}"),
                    many => format!("{key} in ({})", many.join(",")),
                },
                Requirement::NotIn(key, values) => format!("{key} notin ({})", values.join(",")),
                Requirement::Exists(key) => key.clone(),
                Requirement::Absent(key) => format!("!{key}"),
            })
            .collect();
        parts.join(",")
    }
}

fn unparsable(text: &str) -> ApiError {
    ApiError::bad_request(format!(
        "unable to parse requirement: found '{text}', expected: a label selector such as \
         \"app=web,tier in (a,b),!canary\""
    ))
}

fn requirement(part: &str) -> Option<Requirement> {
    let key_of = |s: &str| {
        let key = s.trim();
        (!key.is_empty() && !key.contains(char::is_whitespace)).then(|| key.to_owned())
    };
    if let Some((left, right)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key_of(left)?, vec![value(right)?]));
    }
    if let Some((left, right)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key_of(left)?, vec![value(right)?]));
    }
    if let Some(open) = part.find('(') {
        let (head, tail) = part.split_at(open);
        let inner = tail.strip_prefix('(')?.strip_suffix(')')?;
        let values = inner.split(',').map(value).collect::<Option<Vec<_>>>()?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        return match operator {
            "in" => Some(Requirement::In(key.to_owned(), values)),
            "notin" => Some(Requirement::NotIn(key.to_owned(), values)),
            _ => None,
        };
    }
    if let Some(rest) = part.strip_prefix('!') {
        return Some(Requirement::Absent(key_of(rest)?));
    }
    Some(Requirement::Exists(key_of(part)?))
}

fn value(text: &str) -> Option<String> {
    let text = text.trim();
    let ok = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    ok.then(|| text.to_owned())
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// A field selector: dotted path, wanted value, and whether it must be equal or different.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSelector(BTreeMap<String, (bool, String)>);

impl FieldSelector {
    /// Parses the text of `fieldSelector=` and refuses fields that the kind cannot select by.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, ApiError> {
        let mut fields = BTreeMap::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (path, equal, wanted) = if let Some((path, wanted)) = part.split_once("!=") {
                (path, false, wanted)
            } else if let Some((path, wanted)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (path, true, wanted)
            } else {
                let why = format!("invalid field selector: \"{text}\"; can't understand '{part}'");
                return Err(ApiError::bad_request(why));
            };
            if !resource.selectable(path) {
                let why = if resource.builtin {
                    format!(
                        "\"{path}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    )
                } else {
                    format!("field label not supported: {path}")
                };
                return Err(ApiError::bad_request(why));
            }
            fields.insert(path.to_owned(), (equal, wanted.to_owned()));
        }
        Ok(FieldSelector(fields))
    }

    /// Whether an object matches.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, (equal, wanted))| {
            let found = match object::at_path(object, path) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            (found == *wanted) == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(selector: &str, labels: &Value) -> bool {
        LabelSelector::parse(selector)
            .unwrap()
            .matches(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn label_selectors() {
        let labels = || json!({"app": "web", "tier": ""});
        for holds in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "app in (db, web)",
            "tier=",
            "tier",
            "app notin (db)",
            "!none",
            "none!=x",
            "none notin (x)",
            "app=web,tier,!none",
        ] {
            assert!(matches(holds, &labels()), "{holds}");
        }
        for fails in [
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web)",
            "none",
            "!app",
            "none=x",
            "none in (x)",
            "app=web,none",
        ] {
            assert!(!matches(fails, &labels()), "{fails}");
        }
        for wrong in [
            "app is web",
            "app in web",
            "=x",
            "app in (a b)",
            "a b",
            "app=web!",
        ] {
            assert!(LabelSelector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn selectors_in_objects_and_back_to_text() {
        let selector = LabelSelector::from_object(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }))
        .unwrap();
        assert_eq!(selector.text(), "app=web,tier in (a,b),!old");
        assert_eq!(LabelSelector::parse(&selector.text()).unwrap(), selector);
        assert_eq!(LabelSelector::from_object(&Value::Null), None);
        assert!(
            LabelSelector::from_object(&json!({}))
                .unwrap()
                .matches_labels(&Value::Null)
        );
        assert_eq!(
            LabelSelector::from_labels(&json!({})),
            None,
            "an empty Service selector"
        );
    }
}
