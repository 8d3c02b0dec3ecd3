//! Labels and annotations for a version's role, parsed: keys that others own are refused by name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::rollout::{HASH_LABEL, PodMetadata, RolloutSpec};
use crate::core::spec::{Problem, Roles};

/// Longest name of a key, and longest prefix before its slash (Kubernetes, "Labels and Selectors").
const NAME_MAX: usize = 63;
const PREFIX_MAX: usize = 253;

/// What both strategies say about their versions' pods.
pub(super) fn parse(spec: &RolloutSpec, template: &Value, problems: &mut Vec<Problem>) -> Roles {
    let (stable, canary) = match (&spec.strategy.canary, &spec.strategy.blue_green) {
        (Some(canary), _) => (
            ("canary.stableMetadata", &canary.stable_metadata),
            ("canary.canaryMetadata", &canary.canary_metadata),
        ),
        (None, Some(blue_green)) => (
            ("blueGreen.activeMetadata", &blue_green.active_metadata),
            ("blueGreen.previewMetadata", &blue_green.preview_metadata),
        ),
        (None, None) => return Roles::default(),
    };
    let mut metadata = |(field, given): (&str, &Option<PodMetadata>)| {
        let given = given.clone().unwrap_or_default();
        let at = format!("spec.strategy.{field}");
        check(&given, &at, template, problems);
        given
    };
    Roles {
        stable: metadata(stable),
        canary: metadata(canary),
    }
}

fn check(given: &PodMetadata, at: &str, template: &Value, problems: &mut Vec<Problem>) {
    let template = |part: &str| {
        let metadata = template.get("metadata");
        metadata.and_then(|m| m.get(part)).unwrap_or(&Value::Null)
    };
    let mut part = |name: &str,
                    keys: &BTreeMap<String, String>,
                    refusal: &dyn Fn(&str) -> Option<String>| {
        for key in keys.keys() {
            let why = if !is_qualified_name(key) {
                Some("a name of letters, digits, '-', '_' and '.', with an optional DNS prefix and a slash".to_owned())
            } else if template(name).get(key).is_some() {
                Some(format!(
                    "a key that spec.template.metadata.{name} (and so spec.selector) does not have"
                ))
            } else {
                refusal(key)
            };
            problems.extend(
                why.map(|allowed| {
                    Problem::new(format!("{at}.{name}"), format!("{key:?}"), allowed)
                }),
            );
        }
    };
    part("labels", &given.labels, &|key| {
        let ours = key == HASH_LABEL || key == "pod-template-hash" || is_ours(key);
        ours.then(|| {
            format!("any other label: {HASH_LABEL}, pod-template-hash and tidegate.io/* are set by controllers")
        })
    });
    part("annotations", &given.annotations, &|key| {
        is_ours(key).then(|| "any other annotation: tidegate.io/* is set by Tidegate".to_owned())
    });
}

fn is_ours(key: &str) -> bool {
    key.starts_with("tidegate.io/")
}

/// A label's or annotation's key: `[prefix/]name`.
fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let ends = |text: &str, ok: fn(&char) -> bool| {
        let (first, last) = (text.chars().next(), text.chars().next_back());
        first.as_ref().is_some_and(ok) && last.as_ref().is_some_and(ok)
    };
    let named = name.len() <= NAME_MAX
        && ends(name, char::is_ascii_alphanumeric)
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let lower = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let prefixed = prefix.is_none_or(|prefix| {
        prefix.len() <= PREFIX_MAX
            && prefix
                .split('.')
                .all(|part| ends(part, lower) && part.chars().all(|c| lower(&c) || c == '-'))
    });
    named && prefixed
}

#[cfg(test)]
mod tests {
    use super::is_qualified_name;

    #[test]
    fn keys_are_those_that_kubernetes_takes() {
        let long = "a".repeat(64);
        for good in ["role", "a", "A_b.c-9", "example.com/role", "x/y"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in [
            "", "/", "a/", "/a", "-a", "a-", "a b", "a/b/c", "Ex.com/a", "a..b/c", &long,
        ] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
    }
}
