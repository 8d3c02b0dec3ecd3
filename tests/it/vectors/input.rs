//! A vector's input, read by the names of its fields. A number may be missing (null), or infinite
//! (as text).

use serde_json::Value;

/// The input of a vector.
pub struct Input<'a> {
    value: &'a Value,
}

/// A number, as JSON or as text.
pub fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => match text.trim_start_matches('+').to_lowercase().as_str() {
            "inf" | "infinity" => Some(f64::INFINITY),
            "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
            "nan" => Some(f64::NAN),
            _ => None,
        },
        Value::Null => Some(f64::NAN),
        _ => None,
    }
}

impl<'a> Input<'a> {
    pub fn new(value: &'a Value) -> Self {
        Self { value }
    }

    /// The field, if it is there.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.value.get(name).filter(|v| !v.is_null())
    }

    pub fn list(&self, name: &str) -> Result<&'a Vec<Value>, String> {
        let list = self.get(name).and_then(Value::as_array);
        list.ok_or_else(|| format!("input {name}: a list is missing"))
    }

    pub fn number(&self, name: &str) -> Result<f64, String> {
        let found = self.get(name).and_then(number);
        found.ok_or_else(|| format!("input {name}: a number is missing"))
    }

    pub fn number_or(&self, name: &str, default: f64) -> Result<f64, String> {
        self.get(name).map_or(Ok(default), |_| self.number(name))
    }

    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, String> {
        numbers(name, self.list(name)?)
    }

    /// A list of lists.
    pub fn rows(&self, name: &str) -> Result<Vec<Vec<f64>>, String> {
        let rows = self.list(name)?.iter();
        rows.map(|row| numbers(name, row.as_array().ok_or("a row is no list")?))
            .collect()
    }

    /// A list of lists of the same length.
    pub fn tuples<const N: usize>(&self, name: &str) -> Result<Vec<[f64; N]>, String> {
        let rows = self.rows(name)?.into_iter();
        rows.map(|row| {
            <[f64; N]>::try_from(row)
                .map_err(|row| format!("input {name}: {row:?} for {N} numbers"))
        })
        .collect()
    }

    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub fn text_or(&self, name: &str, default: &'a str) -> &'a str {
        self.get(name).and_then(Value::as_str).unwrap_or(default)
    }

    /// The texts of a list; what is no text is empty.
    pub fn texts(&self, name: &str) -> Result<Vec<&'a str>, String> {
        let list = self.list(name)?.iter();
        Ok(list.map(|v| v.as_str().unwrap_or_default()).collect())
    }

    /// An object's field as an input of its own.
    pub fn part(&self, name: &str) -> Result<Input<'a>, String> {
        let part = self.get(name).map(Input::new);
        part.ok_or_else(|| format!("input {name}: it is missing"))
    }
}

fn numbers(name: &str, list: &[Value]) -> Result<Vec<f64>, String> {
    let found = list.iter().map(number).collect::<Option<_>>();
    found.ok_or_else(|| format!("input {name}: there is something else than numbers"))
}
