//! The statistics against reference values (tests/data/statistics-vectors.json): every kind of them
//! is answered by a function that is shipped.

#[path = "vectors/mod.rs"]
mod vectors;

use serde_json::{Value, json};
use vectors::evaluate;

fn file() -> Value {
    serde_json::from_str(include_str!("../data/statistics-vectors.json")).unwrap()
}

#[test]
fn every_vector_agrees() {
    let outcome = evaluate(&file()).unwrap();
    let failed: Vec<String> = outcome.failed.iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert_eq!(outcome.passed.values().sum::<usize>(), 110);
    assert_eq!(outcome.passed.len(), 37, "{:?}", outcome.passed);
}

/// Whatever is changed in what is expected is noticed: of every vector, every field.
#[test]
fn a_vector_that_says_something_else_fails() {
    let changed = |value: &Value| match value {
        Value::Bool(b) => json!(!b),
        Value::String(text) => json!(format!("{text}?")),
        Value::Number(n) => json!(n.as_f64().unwrap() * 1.01 + 0.01),
        Value::Null => json!(7),
        Value::Array(values) => json!(&values[..values.len() - 1]),
        Value::Object(_) => json!(0),
    };
    let file = file();
    for vector in file["vectors"].as_array().unwrap() {
        for name in vector["expect"].as_object().unwrap().keys() {
            let mut other = vector.clone();
            other["expect"][name] = changed(&vector["expect"][name]);
            let outcome = evaluate(&json!([other])).unwrap();
            assert_eq!(outcome.failed.len(), 1, "{} {name}", vector["id"]);
        }
    }
}

#[test]
fn what_cannot_be_evaluated_fails() {
    assert!(evaluate(&json!({ "vectors": 7 })).is_err());
    let vector = |kind: &str, input: Value, expect: Value| json!([{ "id": "x", "kind": kind, "input": input, "expect": expect, "tol": null }]);
    for bad in [
        vector("t_test", json!({}), json!({ "p": 1 })),
        vector("t_log_bf", json!({}), json!({ "log_e": 0 })),
        vector("t_log_bf", json!({ "z": ["a"] }), json!({ "log_e": 0 })),
        vector("t_log_bf", json!({ "z": [] }), json!({ "p": 0 })),
        vector("t_log_bf", json!({ "z": [] }), json!({})),
    ] {
        let outcome = evaluate(&bad).unwrap();
        assert_eq!(outcome.failed.len(), 1, "{bad}");
        assert!(!outcome.failed[0].reason.is_empty());
    }
    let fine = vector("t_log_bf", json!({ "z": [] }), json!({ "log_e": 0 }));
    assert!(evaluate(&fine).unwrap().failed.is_empty());
}
