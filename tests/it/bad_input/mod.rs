//! Bad input, as a table: what somebody may write that cannot be meant, where it is refused, and
//! what the answer says. The rows are data in `tests/bad-input`, whose README lists every case of the
//! catalogue; here they are read and played.

pub mod admission;
mod beside;
mod edits;
mod ingress_class;
mod linted;
mod refused;
mod serving;
mod sizes;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Where the rows are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad-input")
}

/// The YAML files of a part, by name.
fn files(part: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder().join(part)).unwrap();
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            (format!("{part}/{name}"), fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// The rows of a part, each with its file.
fn rows<T: DeserializeOwned>(part: &str) -> Vec<(String, T)> {
    let mut found = Vec::new();
    for (file, text) in files(part) {
        let rows: Vec<Value> =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for row in rows {
            let title = row["title"].to_string();
            let row = serde_json::from_value(unfolded(row))
                .unwrap_or_else(|error| panic!("{file}: {title}: {error}"));
            found.push((file.clone(), row));
        }
    }
    found
}

/// `REPEAT a 64` is so many of these, `{TIMES: 51, OF: ..}` in a list too; ` THEN ` joins texts.
fn unfolded(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.split(" THEN ").map(repeated).collect()),
        Value::Array(items) => items.into_iter().flat_map(times).collect(),
        Value::Object(map) => {
            let map = map.into_iter().map(|(key, value)| (key, unfolded(value)));
            Value::Object(map.collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn repeated(text: &str) -> String {
    match text.strip_prefix("REPEAT ").and_then(|r| r.split_once(' ')) {
        Some((what, count)) => what.repeat(count.parse().unwrap()),
        None => text.to_owned(),
    }
}

fn times(item: Value) -> Vec<Value> {
    match (item.get("TIMES").and_then(Value::as_u64), item.get("OF")) {
        (Some(count), Some(of)) => {
            vec![unfolded(of.clone()); usize::try_from(count).unwrap()]
        }
        _ => vec![unfolded(item)],
    }
}

/// With the name of the row's own in place of `NAME`.
fn named(value: &Value, name: &str) -> Value {
    serde_json::from_str(&value.to_string().replace("NAME", name)).unwrap()
}

/// A good object, and after it the objects that it names.
pub fn good(which: &str, name: &str) -> Vec<Value> {
    let file = folder().join(format!("good/{which}.yaml"));
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    crate::examples::objects(&text.replace("NAME", name))
}

/// Where the objects of a kind are served.
fn collection(kind: &str, namespace: &str) -> String {
    let (root, plural) = match kind {
        "Service" => ("api/v1", "services"),
        "ReplicaSet" => ("apis/apps/v1", "replicasets"),
        "Deployment" => ("apis/apps/v1", "deployments"),
        "Ingress" => ("apis/networking.k8s.io/v1", "ingresses"),
        "HTTPRoute" => ("apis/gateway.networking.k8s.io/v1", "httproutes"),
        "Rollout" => ("apis/tidegate.io/v1alpha1", "rollouts"),
        "AnalysisTemplate" => ("apis/tidegate.io/v1alpha1", "analysistemplates"),
        "Revert" => ("apis/tidegate.io/v1alpha1", "reverts"),
        "MetricsProvider" => return "/apis/tidegate.io/v1alpha1/metricsproviders".to_owned(),
        "IngressClass" => return "/apis/networking.k8s.io/v1/ingressclasses".to_owned(),
        other => panic!("no kind {other} is known here"),
    };
    format!("/{root}/namespaces/{namespace}/{plural}")
}

/// Asks an API server as a user does: strict about fields that it does not know. The error is what
/// it says.
async fn ask(
    client: &Client,
    method: http::Method,
    path: &str,
    query: &str,
    body: &Value,
) -> Result<Value, String> {
    let content = match method {
        http::Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let body = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    let request = http::Request::builder()
        .method(method)
        .uri(format!(
            "{path}?fieldManager=user&fieldValidation=Strict{query}"
        ))
        .header("content-type", content)
        .body(body)
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(answer) => Ok(answer),
        Err(kube::Error::Api(status)) => Err(status.message.clone()),
        Err(error) => Err(error.to_string()),
    }
}

async fn create(
    client: &Client,
    namespace: &str,
    object: &Value,
    query: &str,
) -> Result<Value, String> {
    let path = collection(object["kind"].as_str().unwrap(), namespace);
    ask(client, http::Method::POST, &path, query, object).await
}
