//! The folder's README says what is there.

use crate::examples::name;
use serde_json::Value;
use std::fs;

use super::speed::{cells, errors_table};
use super::{files, folder, frozen, object, template};

fn readme() -> String {
    fs::read_to_string(folder().join("README.md")).unwrap()
}

/// The cells of the README's row about a file.
fn row(readme: &str, file: &str) -> Vec<String> {
    let start = format!("| [{file}]({file}) |");
    let line = readme.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("analysis-templates/README.md has no row for {file}"));
    let cells = line.trim_matches('|').trim().split(" | ");
    cells.map(|cell| cell.trim().replace("\\|", "|")).collect()
}

#[test]
fn the_readme_names_every_file_and_every_arg() {
    let readme = readme();
    for file in files().keys() {
        let cells = row(&readme, file);
        assert_eq!(cells[1], format!("`{}`", name(&object(file))), "{file}");
        let told = template(file).args.iter().fold(Vec::new(), |mut all, arg| {
            let plain = |c: char| c.is_alphanumeric() || "_:".contains(c);
            let default = match arg.value.as_deref() {
                None => "required".to_owned(),
                Some(".+") => "all".to_owned(),
                Some(value) if value.chars().all(plain) => value.to_owned(),
                Some(value) => format!("`{value}`"),
            };
            all.push(format!("`{}` ({default})", arg.name));
            all
        });
        assert_eq!(cells[4], told.join(", "), "{file}");
    }
}

#[test]
fn the_readme_says_what_decides_and_how_fast() {
    let readme = readme();
    let mut wrong = Vec::new();
    for file in files().keys() {
        let cells = cells(file);
        if row(&readme, file)[5..] != cells {
            wrong.push(format!("{file}: | {} |", cells.join(" | ")));
        }
    }
    let table = errors_table();
    wrong.extend(
        table
            .into_iter()
            .filter(|line| !readme.contains(line.as_str())),
    );
    assert!(
        wrong.is_empty(),
        "README.md should say:\n{}",
        wrong.join("\n")
    );
}

/// A row that is left of a file that is gone.
#[test]
fn every_row_is_about_a_file() {
    let readme = readme();
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| ["))
        .count();
    assert_eq!(rows, files().len());
}

#[test]
fn the_readmes_rollout_can_be_copied() {
    let readme = readme();
    let block = readme.split("```yaml\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let value: Value = serde_saphyr::from_str(block).unwrap();
    let analyses: Vec<&Value> = value["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step.get("analysis"))
        .collect();
    assert_eq!(analyses.len(), 2);
    for analysis in analyses {
        let named = &analysis["templates"][0];
        assert_eq!(named["clusterScope"], true);
        let file = files()
            .into_keys()
            .find(|file| name(&object(file)) == named["name"])
            .unwrap_or_else(|| panic!("there is no template {named}"));
        let args = analysis["args"].as_array().unwrap().iter().map(|arg| {
            let text = |key: &str| arg[key].as_str().unwrap().to_owned();
            (text("name"), text("value"))
        });
        frozen(&file, &args.collect()).unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    }
}
