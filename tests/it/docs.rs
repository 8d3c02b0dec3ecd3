//! The tables of `docs/` say what there is: the fields of the schema with their defaults, the phases, the
//! reasons; and nothing that is not there.

mod reasons;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use tidegate::cli::error::CliError;

/// The head of a table of fields.
const HEAD: &str = "| field | default | meaning |";

/// Fields of a schema by their paths, each with its default as the documentation writes it.
type Fields = BTreeMap<String, String>;

/// A table of fields.
struct Table {
    /// The chapter that it stands in.
    chapter: String,
    /// What its paths are relative to.
    below: Vec<String>,
    rows: Vec<Row>,
}

/// A row of it.
struct Row {
    paths: Vec<String>,
    default: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

/// The tables of fields. A sentence that begins with "Fields of" names what the paths of the next
/// table are relative to; without one it is the spec.
fn tables(text: &str) -> Vec<Table> {
    let mut found = Vec::new();
    let mut chapter = String::new();
    let mut below = Vec::new();
    for block in text.split("\n\n").map(str::trim) {
        if let Some(title) = block.strip_prefix("## ") {
            chapter = title.to_owned();
        } else if block.starts_with("Fields of ") {
            below = quoted(block);
            below.retain(|path| path.starts_with("spec"));
            assert!(!below.is_empty(), "{block}: of what?");
        } else if let Some(rows) = block.strip_prefix(HEAD) {
            if below.is_empty() {
                below.push("spec".to_owned());
            }
            found.push(Table {
                chapter: chapter.clone(),
                below: std::mem::take(&mut below),
                rows: rows.trim().lines().skip(1).map(row).collect(),
            });
        }
    }
    found
}

fn row(line: &str) -> Row {
    let mut cells = line.trim_start_matches("| ").splitn(3, " | ");
    let paths = quoted(cells.next().unwrap());
    let default = cells.next().unwrap_or_else(|| panic!("{line}: no default"));
    assert!(!paths.is_empty(), "{line}: no field");
    Row {
        paths,
        default: default.trim_matches('`').to_owned(),
    }
}

/// What a kind's schema says.
fn schema(plural: &str) -> Value {
    let crds = tidegate::api::crds();
    let crd = crds.iter().find(|crd| crd.spec.names.plural == plural);
    let crd = serde_json::to_value(crd.unwrap()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clone()
}

fn fields_of(plural: &str) -> Fields {
    let mut fields = Fields::new();
    collect(&schema(plural)["spec"], "spec", &mut fields);
    assert!(fields.len() > 10, "{fields:?}");
    fields
}

fn collect(schema: &Value, path: &str, into: &mut Fields) {
    if schema["items"].is_object() {
        return collect(&schema["items"], &format!("{path}[]"), into);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        into.insert(path.clone(), written(&field["default"]));
        collect(field, &path, into);
    }
}

/// A default as it stands in a table.
fn written(default: &Value) -> String {
    match default {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// What tables and schema say differently. Where a table is about several places, a field may be
/// missing at some of them. What lies on the way to a field that is named need not be named itself.
fn differences(tables: &[Table], schema: &Fields) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut named = BTreeSet::new();
    for table in tables {
        for row in &table.rows {
            for path in &row.paths {
                let places = table.below.iter().map(|below| format!("{below}{path}"));
                let places: Vec<String> = places.filter(|at| schema.contains_key(at)).collect();
                if places.is_empty() {
                    let below = table.below.join(", ");
                    wrong.push(format!("{below}: {path}: the schema does not have it"));
                }
                for place in places {
                    let default = &schema[&place];
                    if *default != row.default {
                        wrong.push(format!("{place}: the default is {default}"));
                    }
                    named.insert(place);
                }
            }
        }
    }
    for path in schema.keys() {
        let leads_to = |field: &String| {
            let rest = field.strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !named.iter().any(leads_to) {
            wrong.push(format!("{path}: no table has it"));
        }
    }
    wrong
}

fn check(tables: &[Table], plural: &str) {
    let wrong = differences(tables, &fields_of(plural));
    assert!(wrong.is_empty(), "{plural}:\n{}", wrong.join("\n"));
}

/// The tables of a chapter of `docs/analysis.md`.
fn of_analysis(chapter: &str) -> Vec<Table> {
    let mut tables = tables(&read("docs/analysis.md"));
    tables.retain(|table| table.chapter == chapter);
    assert!(!tables.is_empty(), "{chapter}");
    tables
}

#[test]
fn the_fields_of_a_rollout_are_those_of_its_schema() {
    let tables = tables(&read("docs/rollout.md"));
    assert!(tables.len() > 5);
    check(&tables, "rollouts");
}

#[test]
fn the_fields_of_templates_and_providers_are_those_of_their_schemas() {
    let templates = of_analysis("AnalysisTemplate");
    check(&templates, "analysistemplates");
    check(&templates, "clusteranalysistemplates");
    check(&of_analysis("MetricsProvider"), "metricsproviders");
}

/// A run's spec is a template's without the args, what the table of its own has, and what only a
/// Rollout fills in.
#[test]
fn the_fields_of_a_run_are_those_of_its_schema() {
    let first = |path: &str| {
        let name = path.trim_start_matches("spec").trim_start_matches('.');
        name.split(['.', '[']).next().unwrap_or_default().to_owned()
    };
    let firsts = |plural: &str| -> BTreeSet<String> {
        fields_of(plural).keys().map(|path| first(path)).collect()
    };
    let mut named = firsts("analysistemplates");
    assert!(named.remove("args"));
    let tables = of_analysis("A run of your own");
    let rows = tables.iter().flat_map(|table| &table.rows);
    named.extend(rows.flat_map(|row| &row.paths).map(|path| first(path)));
    let text = read("docs/analysis.md").replace('\n', " ");
    let (_, theirs) = text.split_once(" Leave `").unwrap();
    let (theirs, _) = theirs.split_once(" to Rollouts").unwrap();
    named.extend(quoted(&format!("`{theirs}")));
    assert_eq!(named, firsts("analysisruns"));
}

#[test]
fn the_phases_of_a_revert_are_those_of_its_schema() {
    let text = read("docs/gitops.md");
    let (_, rows) = text
        .split_once("| phase | meaning |\n| --- | --- |\n")
        .unwrap();
    let rows = rows.lines().take_while(|line| line.starts_with('|'));
    let told: BTreeSet<String> = rows
        .filter_map(|row| quoted(row).into_iter().next())
        .collect();
    let status = schema("reverts")["status"].clone();
    let phases = status["properties"]["phase"]["enum"].as_array().unwrap();
    let phases = phases.iter().filter_map(Value::as_str).map(str::to_owned);
    assert_eq!(told, phases.collect::<BTreeSet<String>>());
}

#[test]
fn what_tables_lack_and_have_too_much_is_found() {
    let text =
        format!("## A\n\nFields of `spec`, one of `a`\nand `b`:\n\n{HEAD}\n| --- | --- | --- |\n");
    let schema = || -> Fields {
        let fields = [
            ("spec.a", "–"),
            ("spec.a.b", "1"),
            ("spec.c[].d", "–"),
            ("spec.c", "–"),
        ];
        let owned = |(path, default): (&str, &str)| (path.to_owned(), default.to_owned());
        fields.into_iter().map(owned).collect()
    };
    let found = |rows: &str| differences(&tables(&format!("{text}{rows}")), &schema());
    let both = "| `.a.b` | `1` | B. |\n| `.c[].d` | – | `D`. |\n";
    assert_eq!(found(both), Vec::<String>::new());
    for (rows, wrong) in [
        (both.replace('1', "2"), "spec.a.b: the default is 1"),
        (both.replace(".c[].d", ".c"), "spec.c[].d: no table has it"),
        (
            format!("{both}| `.e` | – | E. |"),
            "spec: .e: the schema does not have it",
        ),
    ] {
        assert_eq!(found(&rows), [wrong], "{rows}");
    }
}

/// Who follows the one and then the other must not have two installations.
#[test]
fn the_plugin_and_the_readme_install_into_one_namespace() {
    let advice = CliError::NotInstalled {
        resource: "rollouts.tidegate.io",
        context: "context kind".to_owned(),
    };
    let namespace = |text: &str| {
        let (_, command) = text
            .split_once("helm install tidegate charts/tidegate -")
            .unwrap();
        command.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(
        namespace(&advice.to_string()),
        namespace(&read("README.md"))
    );
}
