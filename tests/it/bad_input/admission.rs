//! What the API server refuses by the schema and its rules, before anybody acts on it: the same rows
//! to the server in memory here, and to a real one in the control plane's scenarios.

use std::collections::BTreeMap;

use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

use super::{ask, collection, create, good, named, rows};

/// How often a status that the controller writes too is written again.
const TRIES: usize = 100;

/// Writes nothing.
const DRY: &str = "&dryRun=All";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its number in the catalogue.
    pub case: Option<String>,
    pub title: String,
    /// The good object that it is a change of.
    pub(super) good: String,
    /// The change.
    pub(super) patch: Value,
    /// The good object stands already, with this change.
    pub(super) stored: Option<Value>,
    /// And with this status.
    pub(super) status: Option<Value>,
    /// What the answer says.
    #[serde(default)]
    pub(super) says: Vec<String>,
    /// The rule is computed with functions that only a real API server has.
    #[serde(default)]
    pub(super) real: bool,
    /// It is no mistake, and this is what it means.
    pub(super) accepted: Option<BTreeMap<String, Value>>,
}

pub fn all() -> Vec<(String, Row)> {
    rows("admission")
}

/// Asks an API server all of them, or those that one in memory can answer; every answer that is not
/// the expected one, in words.
pub async fn wrong_answers(client: &Client, namespace: &str, real: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, (file, row)) in all().into_iter().enumerate() {
        if row.real && !real {
            continue;
        }
        let name = format!("row-{at}");
        if let Err(answer) = play(client, namespace, &row, &name).await {
            let case = row.case.as_deref().unwrap_or("-");
            wrong.push(format!("{file}: {case}: {}: {answer}", row.title));
        }
    }
    wrong
}

async fn play(client: &Client, namespace: &str, row: &Row, name: &str) -> Result<(), String> {
    let mut object = good(&row.good, name).remove(0);
    let patch = named(&row.patch, name);
    let Some(stored) = &row.stored else {
        let fine = create(client, namespace, &object, DRY).await;
        fine.map_err(|answer| format!("the good one is refused: {answer}"))?;
        json_patch::merge(&mut object, &patch);
        return expected(row, name, create(client, namespace, &object, DRY).await);
    };
    json_patch::merge(&mut object, &named(stored, name));
    let fine = create(client, namespace, &object, "").await;
    fine.map_err(|answer| format!("the stored one is refused: {answer}"))?;
    let path = collection(object["kind"].as_str().unwrap(), namespace);
    let path = format!("{path}/{name}");
    let mut answer = Err("nobody asked".to_owned());
    for _ in 0..TRIES {
        if let Some(status) = &row.status {
            let status = serde_json::json!({ "status": status });
            let status_path = format!("{path}/status");
            ask(client, http::Method::PATCH, &status_path, "", &status).await?;
        }
        let said = ask(client, http::Method::PATCH, &path, DRY, &patch).await;
        answer = expected(row, name, said);
        if answer.is_ok() {
            break;
        }
    }
    let _ = ask(client, http::Method::DELETE, &path, "", &Value::Null).await;
    answer
}

fn expected(row: &Row, name: &str, answer: Result<Value, String>) -> Result<(), String> {
    match (&row.accepted, answer) {
        (None, Ok(_)) => Err("accepted".to_owned()),
        (None, Err(said)) => {
            assert!(!row.says.is_empty(), "{}: it must say something", row.title);
            let words = row.says.iter().map(|word| word.replace("NAME", name));
            let missing: Vec<_> = words.filter(|word| !said.contains(word)).collect();
            match missing.as_slice() {
                [] => Ok(()),
                missing => Err(format!("no {missing:?} in: {}", short(&said))),
            }
        }
        (Some(_), Err(said)) => Err(format!("refused: {}", short(&said))),
        (Some(meaning), Ok(object)) => {
            let other = meaning
                .iter()
                .find(|(at, value)| object.pointer(at).unwrap_or(&Value::Null) != *value);
            match other {
                None => Ok(()),
                Some((at, value)) => Err(format!(
                    "{at} is {:?} and not {value}",
                    object.pointer(at).map(ToString::to_string)
                )),
            }
        }
    }
}

/// An answer may repeat an input of many kilobytes.
fn short(text: &str) -> String {
    text.chars().take(600).collect()
}

#[tokio::test]
async fn every_row_is_answered_as_the_table_says() {
    let server =
        ApiServer::new(ApiServerConfig::default().with_crds(&tidegate::api::crds())).unwrap();
    let wrong = wrong_answers(&server.client_as("shop", "user"), "shop", false).await;
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} wrong answers:\n{}",
        wrong.join("\n")
    );
}
