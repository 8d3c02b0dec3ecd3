//! What was found against what is expected, by a vector's own tolerances.

use std::collections::BTreeMap;

use serde_json::Value;

use super::input::number;

/// What the library says to one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Numbers; a single one is a list of one.
    Numbers(Vec<f64>),
    /// A name.
    Label(String),
    /// Yes or no.
    Flag(bool),
    /// There is no such value.
    Nothing,
}

impl From<f64> for Found {
    fn from(number: f64) -> Self {
        Self::Numbers(vec![number])
    }
}

impl From<Vec<f64>> for Found {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl<T: Into<Found>> From<Option<T>> for Found {
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::Nothing, Into::into)
    }
}

/// Every field that is expected is there, and agrees.
pub fn compare(
    expect: &Value,
    tol: &Value,
    found: &BTreeMap<&'static str, Found>,
) -> Result<(), String> {
    let expect = expect.as_object().filter(|e| !e.is_empty());
    for (name, expected) in expect.ok_or("nothing is expected")? {
        let found = found.get(name.as_str());
        let found = found.ok_or_else(|| format!("{name}: nothing computes it"))?;
        field(expected, tol, name, found).map_err(|reason| format!("{name}: {reason}"))?;
    }
    Ok(())
}

fn field(expected: &Value, tol: &Value, name: &str, found: &Found) -> Result<(), String> {
    let agrees = match (expected, found) {
        (Value::Bool(expected), Found::Flag(found)) => expected == found,
        (Value::String(expected), Found::Label(found)) => expected == found,
        (Value::Null, found) => match found {
            Found::Nothing => true,
            Found::Numbers(found) => found.iter().all(|n| n.is_nan()),
            _ => false,
        },
        (expected, Found::Numbers(found)) => {
            let mut numbers = Vec::new();
            flatten(expected, &mut numbers)?;
            if numbers.len() != found.len() {
                let (theirs, ours) = (numbers.len(), found.len());
                return Err(format!("{ours} numbers for {theirs}: {found:?}"));
            }
            return numbers.iter().zip(found).try_for_each(|(expected, found)| {
                let allowed = allowed(tol, name, *expected)?;
                close(*expected, *found, allowed)
            });
        }
        _ => false,
    };
    if agrees {
        Ok(())
    } else {
        Err(format!("{found:?} for {expected}"))
    }
}

fn flatten(value: &Value, into: &mut Vec<f64>) -> Result<(), String> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|v| flatten(v, into)),
        other => {
            into.push(number(other).ok_or_else(|| format!("{other} is expected: no number"))?);
            Ok(())
        }
    }
}

/// How far off a number may be: nothing is exact, a number is absolute, of an object the field's own
/// (or one that its name begins with) is absolute and `rel` relative.
fn allowed(tol: &Value, name: &str, expected: f64) -> Result<f64, String> {
    match tol {
        Value::Null => Ok(0.0),
        Value::Object(each) => {
            let own = each.get(name);
            let rel = || {
                each.get("rel")
                    .and_then(Value::as_f64)
                    .map(|r| r * expected.abs())
            };
            let family = || {
                let begins = |(key, _): &(&String, &Value)| name.starts_with(key.as_str());
                each.iter().find(begins).and_then(|(_, v)| v.as_f64())
            };
            let found = own.and_then(Value::as_f64).or_else(rel).or_else(family);
            found.ok_or_else(|| "no tolerance is given".to_owned())
        }
        other => other
            .as_f64()
            .ok_or_else(|| format!("{other} is no tolerance")),
    }
}

fn close(expected: f64, found: f64, allowed: f64) -> Result<(), String> {
    let same = expected.total_cmp(&found).is_eq() || (expected.is_nan() && found.is_nan());
    let off = (found - expected).abs();
    if same || off <= allowed {
        Ok(())
    } else {
        Err(format!(
            "{found} for {expected}, off by {off:e}, {allowed:e} are allowed"
        ))
    }
}
