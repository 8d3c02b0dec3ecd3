//! Names and hashes that Tidegate derives. Deterministic, valid in Kubernetes, and hashed where
//! they would be too long, so that two long names never become one.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest name of an object that also serves as a label value.
pub const NAME_MAX: usize = 63;
/// Characters of a ReplicaSet's name, with a `-`, that its pods' names begin with
/// (`k8s.io/apiserver/pkg/storage/names`, `MaxGeneratedNameLength`).
pub const POD_PREFIX_MAX: usize = 58;
/// Hex digits of a template hash: 40 bits, so that ten thousand versions collide with p < 1e-4.
const HASH_DIGITS: usize = 10;
/// Hex digits that stand for the part of a name that was cut.
const CUT_DIGITS: usize = 8;

/// Identity of a pod template: the user's own fields as canonical JSON (keys sorted at every
/// level), so that neither the API server's defaulting nor an upgrade of Tidegate makes a new
/// version. `collisions` is mixed in when the name met a foreign ReplicaSet.
#[must_use]
pub fn template_hash(template: &Value, collisions: i32) -> String {
    let mut text = String::new();
    canonical(template, &mut text);
    if collisions > 0 {
        text.push_str(&format!("#{collisions}"));
    }
    hex(&text, HASH_DIGITS)
}

/// The first `digits` hex digits of the SHA-256 of `text`.
#[must_use]
pub fn hex(text: &str, digits: usize) -> String {
    let mut hex = String::with_capacity(digits + 1);
    for byte in Sha256::digest(text).iter().take(digits.div_ceil(2)) {
        let digits = [byte >> 4, byte & 0xf].map(|half| char::from_digit(half.into(), 16));
        hex.extend(digits.into_iter().flatten());
    }
    hex.truncate(digits);
    hex
}

/// Joins `parts` by `-`; past 63 characters the head is kept and a hash stands for the rest.
#[must_use]
pub fn join(parts: &[&str]) -> String {
    within(NAME_MAX, parts)
}

fn within(max: usize, parts: &[&str]) -> String {
    let full = parts.join("-");
    if full.len() <= max {
        return full;
    }
    let head: String = full.chars().take(max - CUT_DIGITS - 1).collect();
    format!(
        "{}-{}",
        head.trim_end_matches(['-', '.']),
        hex(&full, CUT_DIGITS)
    )
}

/// Name of the ReplicaSet of a version.
#[must_use]
pub fn replica_set(rollout: &str, hash: &str) -> String {
    join(&[rollout, hash])
}

/// Name of the ReplicaSet of a version's control group. Kubernetes cuts the names of pods that it makes
/// up to [`POD_PREFIX_MAX`]; this one is short enough to be told from the version's own all the same.
#[must_use]
pub fn baseline(rollout: &str, hash: &str) -> String {
    within(POD_PREFIX_MAX - 1, &[rollout, hash, "baseline"])
}

/// A pattern of the names of the pods that a ReplicaSet makes: its name, cut as Kubernetes cuts it, and
/// five characters of its own. As it stands within a string of PromQL.
#[must_use]
pub fn pods_of(replica_set: &str) -> String {
    let prefix = format!("{replica_set}-");
    let cut = prefix.get(..POD_PREFIX_MAX.min(prefix.len()));
    // A name has no other character that means something in a pattern.
    let cut = cut.unwrap_or(&prefix).replace('.', "\\\\.");
    format!("{cut}[a-z0-9]{{5}}")
}

/// Name of the AnalysisRun of a step (`Some`) or in the background (`None`).
#[must_use]
pub fn analysis_run(
    rollout: &str,
    hash: &str,
    revision: i64,
    step: Option<i32>,
    attempt: i32,
) -> String {
    let step = step.map_or_else(|| "bg".to_owned(), |s| s.to_string());
    join(&[
        rollout,
        hash,
        &revision.to_string(),
        &step,
        &attempt.to_string(),
    ])
}

/// Writes `value` with sorted keys and no white space.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                // A String takes everything.
                let _ = write!(out, "{}", Value::from(key.as_str()));
                out.push(':');
                if let Some(v) = map.get(key) {
                    canonical(v, out);
                }
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_hash_is_of_the_users_fields_whatever_their_order() {
        let a: Value = serde_json::from_str(r#"{"b":1,"a":{"y":[1,2],"x":"s"}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a":{"x":"s","y":[1,2]},"b":1}"#).unwrap();
        assert_eq!(template_hash(&a, 0), template_hash(&b, 0));
        assert_ne!(template_hash(&a, 0), template_hash(&a, 1));
        assert_ne!(template_hash(&a, 0), template_hash(&json!({"b": 1}), 0));
    }

    /// An upgrade that changed one of these would start a rollout everywhere. Computed apart from this
    /// code: the first ten digits of the SHA-256 of the JSON with sorted keys and without spaces.
    #[test]
    fn a_template_keeps_its_hash_for_ever() {
        let plain = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
            {"name": "app", "image": "registry.example.com/shop/web:1.4.2"}]}});
        let odd = json!({
            "metadata": {"labels": {"app": "web"}, "annotations": {"note": "größe \"1\"\n"}},
            "spec": {"terminationGracePeriodSeconds": null, "hostNetwork": false, "containers": [
                {"name": "app", "image": "a", "ports": [{"containerPort": 8080}],
                 "resources": {"limits": {"cpu": 0.5, "memory": "1Gi"}}}]},
        });
        for (template, collisions, hash) in [
            (&json!({"spec": {"containers": []}}), 0, "f00de3f067"),
            (&plain, 0, "f5a5275e3d"),
            (&plain, 1, "5ea6fd2437"),
            (&odd, 0, "12f7a0b94e"),
        ] {
            assert_eq!(template_hash(template, collisions), hash, "{template}");
        }
    }

    proptest! {
        #[test]
        fn derived_names_are_valid_and_distinct(
            name in "[a-z]([a-z0-9.-]{0,50}[a-z0-9])?", revision in 1i64..1_000_000, step in 0i32..50
        ) {
            let one = analysis_run(&name, "0123456789", revision, Some(step), 1);
            let two = analysis_run(&name, "0123456789", revision, Some(step + 1), 1);
            prop_assert!(one.len() <= NAME_MAX);
            prop_assert!(one.ends_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert_ne!(one, two);
            let baseline = baseline(&name, "0123456789");
            prop_assert!(baseline.len() < POD_PREFIX_MAX);
            let own = format!("{}-", replica_set(&name, "0123456789"));
            let prefix = |name: &str| name.chars().take(POD_PREFIX_MAX).collect::<String>();
            prop_assert_ne!(prefix(&format!("{baseline}-")), prefix(&own));
        }
    }
}
