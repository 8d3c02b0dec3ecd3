//! The table of all cases (`tests/bad-input/README.md`) and the rows say the same, and what the table
//! names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{admission, files, folder, serving};

/// Cases of the catalogue.
const CASES: usize = 116;

/// Words for how a case is answered.
const ANSWERS: [&str; 7] = [
    "admission",
    "Invalid",
    "held",
    "accepted",
    "no such field",
    "refused",
    "open",
];

/// A line of the table.
struct Line {
    case: String,
    answer: String,
    shown: Vec<String>,
}

fn lines() -> Vec<Line> {
    let text = fs::read_to_string(folder().join("README.md")).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let lines = text.lines().filter(|line| line.starts_with("| B"));
    lines
        .map(cells)
        .map(|cells| {
            let shown = cells[3].split('`').skip(1).step_by(2);
            Line {
                case: cells[0].clone(),
                answer: cells[2].clone(),
                shown: shown.map(str::to_owned).collect(),
            }
        })
        .collect()
}

/// Cases by the files that have rows for them.
fn files_of_cases() -> BTreeMap<String, BTreeSet<String>> {
    let rows = admission::all().into_iter().map(|(f, r)| (f, r.case));
    let rows = rows.chain(serving::all().into_iter().map(|(f, r)| (f, r.case)));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, case) in rows {
        if let Some(case) = case {
            found.entry(case).or_default().insert(file);
        }
    }
    found
}

#[test]
fn the_table_has_every_case_once() {
    let cases: Vec<String> = lines().into_iter().map(|line| line.case).collect();
    let all: Vec<String> = (1..=CASES).map(|n| format!("B{n:03}")).collect();
    assert_eq!(cases, all);
}

#[test]
fn the_table_names_the_rows_and_the_tests_that_there_are() {
    let rows = files_of_cases();
    let mut wrong = Vec::new();
    for line in lines() {
        let case = &line.case;
        let answers: Vec<&str> = line.answer.split(", ").collect();
        if answers.iter().any(|answer| !ANSWERS.contains(answer)) {
            wrong.push(format!("{case}: {:?} is no answer", line.answer));
        }
        if line.shown.is_empty() && line.answer != "open" {
            wrong.push(format!("{case}: nothing shows it"));
        }
        let said: BTreeSet<String> = line
            .shown
            .iter()
            .filter(|shown| shown.ends_with(".yaml"))
            .cloned()
            .collect();
        let have = rows.get(case).cloned().unwrap_or_default();
        if said != have {
            wrong.push(format!(
                "{case}: the table says {said:?}, rows are in {have:?}"
            ));
        }
        for shown in line.shown.iter().filter(|s| !s.ends_with(".yaml")) {
            if !is_there(shown) {
                wrong.push(format!("{case}: there is no {shown}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a test (`file::name`) is where the table says.
fn is_there(shown: &str) -> bool {
    let Some((file, name)) = shown.split_once("::") else {
        return false;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap_or_default();
    text.contains(&format!("fn {name}("))
}

#[test]
fn every_file_is_used_and_no_row_is_twice() {
    let mut titles = BTreeSet::new();
    let rows = admission::all().into_iter().map(|(f, r)| (f, r.title));
    let rows = rows.chain(serving::all().into_iter().map(|(f, r)| (f, r.title)));
    for (file, title) in rows {
        assert!(
            titles.insert((file.clone(), title.clone())),
            "{file}: {title} is there twice"
        );
    }
    let text: String = ["admission", "serving", "."]
        .into_iter()
        .flat_map(yaml_of)
        .collect();
    for (file, _) in files("good") {
        let name = file.trim_start_matches("good/").trim_end_matches(".yaml");
        assert!(
            text.contains(&format!("good: {name}")),
            "nobody uses {file}"
        );
    }
}

fn yaml_of(part: &str) -> Vec<String> {
    let entries = fs::read_dir(folder().join(part)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    yaml.map(|path| fs::read_to_string(path).unwrap()).collect()
}
