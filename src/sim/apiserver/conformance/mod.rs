//! One script of requests, run against any Kubernetes API, and the differences between two runs.
//!
//! Run against the in-memory server and a real kube-apiserver, it keeps the first from drifting
//! from the second. What two servers may differ in (uids, versions, times, addresses) is replaced
//! by names in the order of appearance, so that "the version did not change" still shows.

mod applying;
mod builtin_kinds;
mod custom_kinds;
mod life_cycles;
mod mask;
mod script;
mod workload_kinds;

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};

use mask::Mask;
pub use script::Step;
use script::{Action, Compared};

/// How long a step may be repeated until the server has done what it does in the background.
const SETTLE_MAX: Duration = Duration::from_secs(20);
const SETTLE_EVERY: Duration = Duration::from_millis(100);

/// What a step answered, with everything that may differ between servers masked.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Name of the step.
    pub name: String,
    /// HTTP status code.
    pub code: u16,
    /// Body, normalised; a watch is a list of `"ADDED name"`.
    pub body: Value,
}

/// A place where two runs differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Name of the step.
    pub step: String,
    /// Path in the body, `code` for the status code.
    pub path: String,
    /// What the first run had there, null for nothing.
    pub left: Value,
    /// What the second run had there, null for nothing.
    pub right: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {}: {} | {}",
            self.step, self.path, self.left, self.right
        )
    }
}

/// The whole script: generic behaviour on built-in kinds, custom kinds, Tidegate's own kinds and
/// the Gateway API's routes. `install` are the CRDs (as JSON) that the script installs first,
/// Tidegate's among them; a server that has the Gateway API built in needs no others.
#[must_use]
pub fn steps(install: &[Value]) -> Vec<Step> {
    let mut steps = custom_kinds::install(install);
    steps.extend(builtin_kinds::steps());
    steps.extend(workload_kinds::steps());
    steps.extend(applying::steps());
    steps.extend(custom_kinds::steps());
    steps
}

/// Runs the script in a namespace of its own, which it creates.
///
/// # Errors
/// What could not be sent or read at all; an error answer of the server is a record.
pub async fn run(client: &Client, namespace: &str, steps: &[Step]) -> Result<Vec<Record>, String> {
    let mut mask = Mask::new(namespace);
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let mut records = Vec::new();
    for step in steps {
        let (code, body) = carry_out(client, namespace, step, &answers)
            .await
            .map_err(|e| format!("step \"{}\": {e}", step.name))?;
        if !step.recorded && code >= 400 && code != 409 {
            return Err(format!(
                "step \"{}\" was answered {code}: {body}",
                step.name
            ));
        }
        mask.enter(&step.name);
        if step.recorded {
            let masked = match (&step.action, step.compared) {
                (_, Compared::Code) => Value::Null,
                (Action::Watch { .. }, _) => mask.text_of(&body),
                (_, compared) => mask.body(&body, compared == Compared::Owners),
            };
            records.push(Record {
                name: step.name.clone(),
                code,
                body: masked,
            });
        }
        answers.insert(step.name.clone(), body);
    }
    Ok(records)
}

/// What two runs of the same script answered differently.
#[must_use]
pub fn compare(left: &[Record], right: &[Record]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (l, r) in left.iter().zip(right) {
        if l.code != r.code {
            differences.push(Difference {
                step: l.name.clone(),
                path: "code".to_owned(),
                left: l.code.into(),
                right: r.code.into(),
            });
        }
        compare_values(&l.name, "", &l.body, &r.body, &mut differences);
    }
    if left.len() != right.len() {
        differences.push(Difference {
            step: "number of records".to_owned(),
            path: String::new(),
            left: left.len().into(),
            right: right.len().into(),
        });
    }
    differences
}

fn compare_values(
    step: &str,
    path: &str,
    left: &Value,
    right: &Value,
    differences: &mut Vec<Difference>,
) {
    let mut differ = |path: &str, left: &Value, right: &Value| {
        differences.push(Difference {
            step: step.to_owned(),
            path: path.to_owned(),
            left: left.clone(),
            right: right.clone(),
        });
    };
    match (left, right) {
        (l, r) if l == r => {}
        (Value::Object(l), Value::Object(r)) => {
            let names: std::collections::BTreeSet<&String> = l.keys().chain(r.keys()).collect();
            for name in names {
                let here = format!("{path}.{name}");
                match (l.get(name), r.get(name)) {
                    (Some(l), Some(r)) => compare_values(step, &here, l, r, differences),
                    (l, r) => {
                        let null = Value::Null;
                        let (l, r) = (l.unwrap_or(&null), r.unwrap_or(&null));
                        differences.push(Difference {
                            step: step.to_owned(),
                            path: here,
                            left: l.clone(),
                            right: r.clone(),
                        });
                    }
                }
            }
        }
        (Value::Array(l), Value::Array(r)) if l.len() == r.len() => {
            for (at, (l, r)) in l.iter().zip(r).enumerate() {
                compare_values(step, &format!("{path}[{at}]"), l, r, differences);
            }
        }
        (l, r) => differ(path, l, r),
    }
}

/// Sends a step's request, again and again where the step says that its effect takes time.
async fn carry_out(
    client: &Client,
    namespace: &str,
    step: &Step,
    answers: &BTreeMap<String, Value>,
) -> Result<(u16, Value), String> {
    let deadline = tokio::time::Instant::now() + SETTLE_MAX;
    loop {
        let (code, body) = send(client, namespace, step, answers).await?;
        let settled = step
            .until
            .as_ref()
            .is_none_or(|until| until.holds(code, &body));
        if settled || tokio::time::Instant::now() >= deadline {
            return Ok((code, body));
        }
        tokio::time::sleep(SETTLE_EVERY).await;
    }
}

async fn send(
    client: &Client,
    namespace: &str,
    step: &Step,
    answers: &BTreeMap<String, Value>,
) -> Result<(u16, Value), String> {
    let request = step.request(namespace, answers)?;
    let response = client.send(request).await.map_err(|e| e.to_string())?;
    let code = response.status().as_u16();
    if code == 200 && matches!(step.action, Action::Watch { .. }) {
        return Ok((code, events(response.into_body()).await?));
    }
    let bytes = response
        .into_body()
        .collect()
        .await
        .map_err(|e| e.to_string())?
        .to_bytes();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).trim().to_owned()));
    Ok((code, body))
}

/// A watch's lines as `"ADDED name"`; the reason instead of the name for errors.
async fn events(body: kube::client::Body) -> Result<Value, String> {
    let mut text = Vec::new();
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        text.extend_from_slice(&chunk.map_err(|e| e.to_string())?);
    }
    let mut found = Vec::new();
    for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let event: Value = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        let part = |pointer: &str| {
            event
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let kind = part("/type");
        match kind.as_str() {
            "BOOKMARK" => {
                let last = event.pointer("/object/metadata/annotations/k8s.io~1initial-events-end");
                if last.is_some() {
                    found.push("BOOKMARK initial-events-end".to_owned());
                }
            }
            "ERROR" => found.push(format!("ERROR {}", part("/object/reason"))),
            _ => found.push(format!("{kind} {}", part("/object/metadata/name"))),
        }
    }
    Ok(json!(found))
}
