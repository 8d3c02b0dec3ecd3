//! The same rows as files: what the API server refuses, and what the controller holds a spec for,
//! `kubectl tidegate lint` says before, in the same words.

use serde_json::Value;
use tidegate::cli::error::Exit;

use super::{admission, good, named, rows};
use crate::plugin::lint::lint_text;

/// What lint says about a good object and what it names, after a change of the first.
async fn linted(which: &str, patch: &Value, name: &str) -> (Exit, Vec<String>) {
    let mut objects = good(which, name);
    json_patch::merge(&mut objects[0], &named(patch, name));
    let documents: Vec<String> = objects
        .iter()
        .map(|object| serde_json::to_string_pretty(object).unwrap())
        .collect();
    let (exit, out) = lint_text(&documents.join("\n---\n"), &["-o", "json"]).await;
    let said: Value = serde_json::from_str(&out).unwrap();
    let texts = said["findings"].as_array().unwrap().iter();
    let texts = texts.filter(|finding| finding["level"] == "error");
    let text = |f: &Value| format!("{}: {}", text_of(f, "field"), text_of(f, "text"));
    (exit, texts.map(text).collect())
}

fn text_of<'a>(finding: &'a Value, key: &str) -> &'a str {
    finding[key].as_str().unwrap()
}

fn missing(says: &[String], name: &str, said: &[String]) -> Vec<String> {
    let said = said.join("\n");
    let words = says.iter().map(|word| word.replace("NAME", name));
    words.filter(|word| !said.contains(word)).collect()
}

#[tokio::test]
async fn what_the_api_server_refuses_is_refused_in_its_words() {
    let mut wrong = Vec::new();
    let mut played = 0;
    for (at, (file, row)) in admission::all().into_iter().enumerate() {
        // Changes of what stands already need a server, and some functions the real one.
        if row.real || row.stored.is_some() {
            continue;
        }
        played += 1;
        let name = format!("row-{at}");
        let (exit, said) = linted(&row.good, &row.patch, &name).await;
        let problem = match (&row.accepted, exit) {
            // The server takes what the controller may still hold.
            (Some(_), Exit::Done | Exit::Refused) => continue,
            (None, Exit::Refused) => missing(&row.says, &name, &said),
            (_, exit) => vec![format!("{exit:?}")],
        };
        if !problem.is_empty() {
            wrong.push(format!("{file}: {}: no {problem:?} in {said:?}", row.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played > 60, "only {played} rows were played");
}

#[tokio::test]
async fn what_the_controller_holds_a_spec_for_is_said_in_its_words() {
    let mut wrong = Vec::new();
    let mut played = 0;
    for (at, (file, row)) in rows::<Value>("serving").into_iter().enumerate() {
        let change = row["change"].as_array().unwrap();
        let alone = change.len() == 1 && change[0]["patch"] == "Rollout NAME";
        if file != "serving/spec.yaml" || !alone || row.get("becomes").is_some() {
            continue;
        }
        played += 1;
        let name = format!("row-{at}");
        let which = row["good"].as_str().unwrap();
        let says: Vec<String> = serde_json::from_value(row["says"].clone()).unwrap();
        let (exit, said) = linted(which, &change[0]["with"], &name).await;
        let missing = missing(&says, &name, &said);
        if exit != Exit::Refused || !missing.is_empty() {
            wrong.push(format!(
                "{}: {exit:?}: no {missing:?} in {said:?}",
                row["title"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(played >= 5, "only {played} rows were played");
}

#[tokio::test]
async fn good_ones_are_clean() {
    for which in [
        "analysed",
        "blue-green",
        "by-pods",
        "canary",
        "nginx",
        "provider",
        "revert",
        "template",
        "threshold",
    ] {
        let (exit, said) = linted(which, &Value::Object(Default::default()), "fine").await;
        assert_eq!((exit, said), (Exit::Done, Vec::new()), "{which}");
    }
}
