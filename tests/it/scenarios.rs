//! Every scenario file, played twice; and the table that says which file is of which case.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::sim::scenario::{Scenario, play};

/// Seeds of chance under which each file is played; `tidegate simulate --scenario FILE --seeds N` has
/// more of them.
const SEEDS: [u64; 1] = [1];

/// Cases that there are.
const CASES: usize = 74;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    // `open` is there only when something is.
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_scenario_goes_as_expected_and_repeats_itself() {
    let files = files(&folder());
    assert!(files.len() >= 60, "{} files", files.len());
    let failures = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let play_all = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scenario = Scenario::read(file).unwrap_or_else(|error| panic!("{error}"));
            for seed in SEEDS {
                let outcome = play(&scenario, seed, None, false);
                let mut wrong: Vec<String> = outcome
                    .unmet
                    .iter()
                    .map(|unmet| format!("line {}: {unmet}", unmet.line))
                    .collect();
                wrong.extend(outcome.broken.iter().map(ToString::to_string));
                let again = play(&scenario, seed, None, false);
                if outcome.hash != again.hash {
                    wrong.push("two runs of one seed were not the same".to_owned());
                }
                if !wrong.is_empty() {
                    let told = format!("{}, seed {seed}: {}", name(file), wrong.join("; "));
                    failures.lock().unwrap().push(told);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(play_all);
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The rows of the table in the README: case, files, invariants, source.
fn rows() -> Vec<[String; 5]> {
    let text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| F"));
    rows.map(|line| {
        let cells: Vec<String> = line
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect();
        let cells: Result<[String; 5], _> = cells.try_into();
        cells.unwrap_or_else(|cells| panic!("{line}: {} cells", cells.len()))
    })
    .collect()
}

/// The files that a cell links to.
fn links(cell: &str) -> Vec<String> {
    let parts = cell.split("](").skip(1);
    parts
        .filter_map(|part| part.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

#[test]
fn the_table_has_every_case_and_every_file() {
    let rows = rows();
    let cases: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    let expected: Vec<String> = (1..=CASES).map(|n| format!("F{n:02}")).collect();
    assert_eq!(cases, expected);
    let mut linked = BTreeSet::new();
    for [case, _, held_by, invariants, source] in &rows {
        assert!(!invariants.is_empty() && source.contains('#'), "{case}");
        let targets = links(held_by);
        // One for each case that is named after it, whatever else holds the rest of it.
        let own = format!("{}-", case.to_lowercase());
        assert!(
            targets.iter().any(|target| target.starts_with(&own)),
            "{case}: {held_by}"
        );
        for target in targets {
            let path = folder().join(&target);
            assert!(path.exists(), "{case}: {target} does not exist");
            let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error}"));
            assert!(scenario.cases.contains(case), "{target} is not of {case}");
            linked.insert(target);
        }
    }
    let there: BTreeSet<String> = files(&folder()).iter().map(|path| name(path)).collect();
    let open = files(&folder().join("open"));
    let open: BTreeSet<String> = open
        .iter()
        .map(|path| format!("open/{}", name(path)))
        .collect();
    let there: BTreeSet<String> = there.union(&open).cloned().collect();
    assert_eq!(there, linked, "files and links of the table");
}

#[test]
fn tests_that_the_table_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for [case, _, held_by, _, _] in rows() {
        for named in held_by.split('`').skip(1).step_by(2) {
            let (file, function) = named.split_once("::").unwrap_or((named, ""));
            let text = std::fs::read_to_string(root.join(file))
                .unwrap_or_else(|error| panic!("{case}: {file}: {error}"));
            assert!(
                text.contains(function),
                "{case}: {function} is not in {file}"
            );
        }
    }
}

#[test]
fn every_word_is_in_the_documentation() {
    let text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let code = text.split('`').skip(1).step_by(2);
    let documented: BTreeSet<&str> = code
        .flat_map(|code| code.split(|c: char| !c.is_alphanumeric()))
        .collect();
    // What there is not is refused with all that there is.
    for refused in [
        "given: {no-such: 1}",
        "given: {rollouts: {web: {no-such: 1}}}",
        "given: {versions: {v2: {no-such: 1}}}",
        "given: {versions: {v2: {targets: [{no-such: 1}]}}}",
        "timeline: [{no-such: 1}]",
        "timeline: [{edit: {no-such: 1}}]",
        "timeline: [{apiErrors: {no-such: 1}}]",
        "timeline: [{kill: {no-such: 1}}]",
        "timeline: [{fault: no-such}]",
        "timeline: [{command: no-such}]",
        "expect: [{no-such: 1}]",
        "expect: [{never: {no-such: 1}}]",
        "no-such: 1",
    ] {
        let file = format!("title: a\nsource: b#1\ncases: [F01]\n{refused}\n");
        let message = Scenario::parse("a.yaml", &file).unwrap_err().to_string();
        let line = message.lines().next().unwrap();
        let (_, words) = line
            .split_once("expected one of ")
            .unwrap_or_else(|| panic!("{refused}: {message}"));
        // Verbs have a dash, which no other word has.
        for word in words.split(|c: char| !c.is_alphanumeric()) {
            assert!(
                word.is_empty() || documented.contains(word),
                "{refused}: {word} is not in tests/scenarios/README.md"
            );
        }
    }
}

#[test]
fn the_examples_of_the_documentation_are_scenarios() {
    let text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let blocks: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|block| block.split_once("```"))
        .map(|(block, _)| block)
        .filter(|block| block.starts_with("title:"))
        .collect();
    // The shape of a file, and the three that are worked out.
    assert_eq!(blocks.len(), 4);
    for block in blocks {
        let scenario = Scenario::parse("README.md", block).unwrap_or_else(|e| panic!("{e}"));
        let outcome = play(&scenario, 1, None, false);
        assert!(
            outcome.is_good(),
            "{}: {:?} {:?}",
            scenario.title,
            outcome.broken,
            outcome.unmet
        );
    }
}
