//! Alerts, their runbooks and the dashboards: what they ask for is exported, each alert has its page, and
//! each fires when it should, as Prometheus' own tool for that says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::chart;

/// Names the folder with the programs that `cargo xtask` builds.
const TOOLS_VARIABLE: &str = "TIDEGATE_CLUSTER_TOOLS";
const ALERTS: &str = "charts/tidegate/files/alerts.yaml";
const RUNBOOKS: &str = "docs/runbooks";
const DASHBOARDS: &str = "charts/tidegate/files/dashboards";

/// The queries of a dashboard, with the titles of their panels.
pub struct Dashboard {
    pub name: String,
    pub queries: Vec<(String, String)>,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn names_in(folder: &str, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
        .collect()
}

/// The rules of all groups.
fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    let groups = file["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    rules.cloned().collect()
}

/// The dashboards.
pub fn dashboards() -> Vec<Dashboard> {
    let of = |name: String| {
        let text = read(&format!("{DASHBOARDS}/{name}.json"));
        let board: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut queries = Vec::new();
        for panel in board["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            for target in panel["targets"].as_array().unwrap() {
                queries.push((
                    title.to_owned(),
                    target["expr"].as_str().unwrap().to_owned(),
                ));
            }
        }
        Dashboard {
            name,
            queries,
            text,
        }
    };
    names_in(DASHBOARDS, ".json").into_iter().map(of).collect()
}

/// The metrics that the documentation has, which tests hold to what is exported, with their labels.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let page = read("docs/operations.md");
    let row = Regex::new(r"(?m)^\| `(tidegate_[a-z_]+)(?:\{([a-z_,]+)\})?` \|").unwrap();
    let found: BTreeMap<String, BTreeSet<String>> = row
        .captures_iter(&page)
        .map(|row| {
            let labels = row.get(2).map_or("", |labels| labels.as_str());
            let labels = labels.split(',').filter(|label| !label.is_empty());
            (row[1].to_owned(), labels.map(str::to_owned).collect())
        })
        .collect();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// What a query names that is not exported: metrics, and labels in braces after them.
fn unknown(query: &str, exported: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let selector = Regex::new(r"(tidegate_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r"([a-z_]+)\s*[=!]").unwrap();
    let mut wrong = Vec::new();
    for found in selector.captures_iter(query) {
        let name = &found[1];
        let of_histogram = name.strip_suffix("_bucket");
        let Some(labels) = exported.get(of_histogram.unwrap_or(name)) else {
            wrong.push(name.to_owned());
            continue;
        };
        let matchers = found.get(2).map_or("", |matchers| matchers.as_str());
        for label in label.captures_iter(matchers) {
            if !labels.contains(&label[1]) {
                wrong.push(format!("{name}{{{}}}", &label[1]));
            }
        }
    }
    wrong
}

#[test]
fn alerts_and_dashboards_ask_for_what_is_exported() {
    let exported = exported();
    let of_alerts = alerts().into_iter().map(|rule| {
        (
            rule["alert"].to_string(),
            rule["expr"].as_str().unwrap().to_owned(),
        )
    });
    let of_boards = dashboards().into_iter().flat_map(|board| board.queries);
    for (place, query) in of_alerts.chain(of_boards) {
        assert!(query.contains("tidegate_"), "{place}: {query}");
        assert_eq!(unknown(&query, &exported), [""; 0], "{place}: {query}");
    }
    // The variables of a dashboard ask, too.
    for board in dashboards() {
        assert_eq!(
            unknown(&board.text.replace('\\', ""), &exported),
            [""; 0],
            "{}",
            board.name
        );
    }
    for (query, found) in [
        ("rate(tidegate_rollout_total[5m])", "tidegate_rollout_total"),
        (
            "tidegate_rollout_phase{phases=\"Healthy\"}",
            "tidegate_rollout_phase{phases}",
        ),
    ] {
        assert_eq!(unknown(query, &exported), [found]);
    }
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let mut pages = names_in(RUNBOOKS, ".md");
    assert!(pages.remove("README"));
    let list = read(&format!("{RUNBOOKS}/README.md"));
    let mut alerts_named = BTreeSet::new();
    for rule in alerts() {
        let name = rule["alert"].as_str().unwrap();
        assert!(
            alerts_named.insert(name.to_owned()),
            "{name} is there twice"
        );
        let runbook = format!("{RUNBOOKS}/{name}.md");
        assert_eq!(rule["annotations"]["runbook_url"], runbook, "{name}");
        for annotation in ["summary", "description"] {
            assert!(
                rule["annotations"][annotation].is_string(),
                "{name}: {annotation}"
            );
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(
            ["critical", "warning"].contains(&severity),
            "{name}: {severity}"
        );
        assert!(
            list.contains(&format!("| [{name}]({name}.md) | {severity} |")),
            "{name}"
        );
    }
    assert_eq!(pages, alerts_named);
    for name in pages {
        let page = read(&format!("{RUNBOOKS}/{name}.md"));
        for part in [
            format!("# {name}\n"),
            "\n## Look first\n".to_owned(),
            "\n## Do\n".to_owned(),
            "\n## Tell somebody else\n".to_owned(),
        ] {
            assert!(page.contains(&part), "{name}: {part}");
        }
    }
}

/// Prometheus' tool, or nothing where nobody has built it.
fn promtool(arguments: &[&str]) -> Option<Result<String, String>> {
    let folders = [
        std::env::var_os(TOOLS_VARIABLE).map(PathBuf::from),
        Some(root().join("target/cluster-tools")),
    ];
    let built = folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join("promtool"));
    let Some(program) = built.into_iter().find(|path| path.is_file()) else {
        println!("skipped: promtool not found (cargo xtask test builds it)");
        return None;
    };
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some(if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    })
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    let files: Vec<String> = names_in("tests/alerts", ".yaml")
        .into_iter()
        .map(|name| format!("tests/alerts/{name}.yaml"))
        .collect();
    // Each is tried both ways, whether there is the tool or not.
    let mut tried: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for file in &files {
        let file: Value = serde_saphyr::from_str(&read(file)).unwrap();
        let cases = file["tests"].as_array().unwrap().iter();
        for case in cases.flat_map(|test| test["alert_rule_test"].as_array().unwrap()) {
            let name = case["alertname"].as_str().unwrap().to_owned();
            let fires = !case["exp_alerts"].as_array().unwrap().is_empty();
            tried.entry(name).or_default()[usize::from(fires)] = true;
        }
    }
    for rule in alerts() {
        let name = rule["alert"].as_str().unwrap();
        assert_eq!(tried.get(name), Some(&[true; 2]), "{name}");
    }
    let mut arguments = vec!["test", "rules"];
    arguments.extend(files.iter().map(String::as_str));
    for arguments in [vec!["check", "rules", ALERTS], arguments] {
        match promtool(&arguments) {
            Some(result) => result.unwrap_or_else(|said| panic!("{arguments:?}\n{said}")),
            None => return,
        };
    }
}

#[test]
fn the_chart_brings_them_where_they_are_wanted() {
    let kinds = |values: &str| -> Option<Vec<Value>> {
        let kinds = ["PrometheusRule", "PodMonitor", "ConfigMap"];
        let mut objects = chart::rendered(values)?;
        objects.retain(|object| kinds.contains(&object["kind"].as_str().unwrap()));
        Some(objects)
    };
    let Some(none) = kinds("") else { return };
    assert!(none.is_empty(), "{none:?}");
    let all = "monitoring: {prometheusRule: {enabled: true}, podMonitor: {enabled: true}, dashboards: {enabled: true}}";
    let objects = kinds(all).unwrap();
    assert_eq!(objects.len(), 2 + dashboards().len());
    let one =
        |objects: &[Value], kind: &str| objects.iter().find(|o| o["kind"] == kind).unwrap().clone();
    let groups = |objects: &[Value]| one(objects, "PrometheusRule")["spec"]["groups"].clone();
    let file: Value = serde_saphyr::from_str(&read(ALERTS)).unwrap();
    assert_eq!(
        groups(&objects),
        file["groups"],
        "the chart changes no rule"
    );
    let endpoint = &one(&objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["honorLabels"], true, "namespace is the Rollout's");
    for board in dashboards() {
        let key = format!("tidegate-{}.json", board.name);
        let delivered = objects.iter().find_map(|o| o["data"][&key].as_str());
        let delivered: Value = serde_json::from_str(delivered.unwrap()).unwrap();
        let written: Value = serde_json::from_str(&board.text).unwrap();
        assert_eq!(delivered, written, "{key}");
    }
    let without = kinds(&format!("{all}\ngitWriter: {{enabled: false}}")).unwrap();
    let names: Vec<String> = groups(&without)
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["tidegate-controller", "tidegate-rollouts"]);
}
