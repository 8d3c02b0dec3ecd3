//! `lint`: what the API server would refuse and the controller would hold, read from files. It asks no
//! cluster.

mod beside;
mod document;
mod finding;
mod object;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::json;

use super::args::{Lint, Output};
use super::error::{CliError, Exit};
use super::style::{Line, Tone};
use super::terminal::Terminal;
use crate::sim::apiserver::offline::Kinds;
use document::{Node, Place};
use finding::{Finding, Level};
use object::Item;

/// Largest file that is read.
const FILE_MAX: u64 = 10 * 1024 * 1024;
/// Most objects that are looked at.
const OBJECTS_MAX: usize = 1000;
/// Endings of the files of a folder that are read, as kubectl does.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// What to do with a chart's template.
const RENDER_FIRST: &str = "a template of a chart is no manifest: run `helm template CHART | kubectl \
     tidegate lint -`";

/// Runs the command.
///
/// # Errors
/// A file that cannot be read, more than is looked at, or output that cannot be written.
pub fn run(
    terminal: &mut Terminal<'_>,
    args: &Lint,
    namespace: Option<&str>,
    output: Option<Output>,
) -> Result<Exit, CliError> {
    let mut findings = Vec::new();
    let mut items = Vec::new();
    for file in files(&args.files)? {
        let text = read(&file)?;
        let name = shown(&file);
        collect(&name, &text, namespace, &mut items, &mut findings);
        if items.len() > OBJECTS_MAX {
            return Err(CliError::Usage(format!(
                "more than {OBJECTS_MAX} objects, at {name}: lint them in parts"
            )));
        }
    }
    let ours = items.iter().filter(|item| item.is_ours()).count();
    findings.extend(judge(&mut items)?);
    findings.sort_by_cached_key(|f| (f.file.clone(), f.line, f.column, f.level, f.text.clone()));
    findings.dedup();
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    match output {
        Some(format @ (Output::Json | Output::Yaml)) => terminal.document(
            format,
            &json!({
                "objects": ours, "errors": errors, "warnings": warnings, "findings": findings,
            }),
        )?,
        _ => {
            for finding in &findings {
                terminal.line(&Line::new().with(tone(finding.level), finding.to_string()))?;
            }
            terminal.flush()?;
            terminal.note(format!(
                "{ours} objects of tidegate.io: {errors} errors, {warnings} warnings"
            ));
        }
    }
    let failed = errors > 0 || (args.strict && warnings > 0);
    Ok(if failed { Exit::Refused } else { Exit::Done })
}

fn tone(level: Level) -> Tone {
    match level {
        Level::Error => Tone::Bad,
        Level::Warning => Tone::Warn,
        Level::Note => Tone::Faint,
    }
}

/// The kinds of Tidegate. Their schemas are made once.
fn kinds() -> Result<&'static Kinds, String> {
    static KINDS: OnceLock<Result<Kinds, String>> = OnceLock::new();
    let made = KINDS.get_or_init(|| {
        let definitions: Vec<_> = crate::api::crds()
            .iter()
            .filter_map(|crd| serde_json::to_value(crd).ok())
            .collect();
        Kinds::of(&definitions)
    });
    made.as_ref().map_err(Clone::clone)
}

/// Everything that there is to say about the objects.
fn judge(items: &mut [Item]) -> Result<Vec<Finding>, CliError> {
    let kinds = kinds().map_err(CliError::Refused)?;
    let mut findings = Vec::new();
    for item in items.iter_mut().filter(|item| item.is_ours()) {
        findings.extend(object::admit(item, kinds));
    }
    let items = &*items;
    let now = Timestamp::now();
    for item in items.iter().filter(|item| item.is_ours() && item.stored) {
        findings.extend(match item.kind.as_str() {
            "Rollout" => beside::rollout(item, items),
            "AnalysisRun" => object::run(item, now),
            "AnalysisTemplate" | "ClusterAnalysisTemplate" => object::of_template(item),
            _ => Vec::new(),
        });
    }
    Ok(findings)
}

/// The objects of a text, and what is wrong with the text itself.
fn collect(
    file: &str,
    text: &str,
    namespace: Option<&str>,
    items: &mut Vec<Item>,
    findings: &mut Vec<Finding>,
) {
    let stream = document::read(text);
    let template = text.contains("{{");
    for (place, fault) in stream.faults {
        let fault = if template && !fault.contains("already set") {
            format!("{fault}. {RENDER_FIRST}")
        } else {
            fault
        };
        findings.push(finding::in_file(file, place, Level::Error, fault));
    }
    for node in &stream.documents {
        for node in listed(node) {
            items.extend(Item::of(file, node, namespace.unwrap_or_default()));
        }
    }
    if text.trim().is_empty() {
        // What fails before the pipe would otherwise look clean.
        let place = Place { line: 1, column: 1 };
        findings.push(finding::in_file(file, place, Level::Warning, "it is empty"));
    }
}

/// The object, or those of a list such as `kubectl get -o yaml` prints.
fn listed(node: &Node) -> Vec<&Node> {
    match node.get("items").and_then(Node::items) {
        Some(items) if node.get("kind").is_some() => items.iter().collect(),
        _ => vec![node],
    }
}

/// The files that were named, with those of the folders in their places.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for path in named {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(|e| unreadable(path, &e))? {
            let file = entry.map_err(|e| unreadable(path, &e))?.path();
            let ending = file.extension().and_then(|e| e.to_str());
            if file.is_file() && ending.is_some_and(|e| ENDINGS.contains(&e)) {
                inside.push(file);
            }
        }
        if inside.is_empty() {
            return Err(CliError::Usage(format!(
                "{} has no files that end in .yaml, .yml or .json",
                shown(path)
            )));
        }
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

fn read(file: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let length = if file == Path::new("-") {
        let mut input = io::stdin().lock().take(FILE_MAX + 1);
        input.read_to_string(&mut text)
    } else {
        let opened = File::open(file).map_err(|e| unreadable(file, &e))?;
        opened.take(FILE_MAX + 1).read_to_string(&mut text)
    };
    if length.map_err(|e| unreadable(file, &e))? as u64 > FILE_MAX {
        return Err(CliError::Usage(format!(
            "{} is larger than {} MiB",
            shown(file),
            FILE_MAX / 1024 / 1024
        )));
    }
    Ok(text)
}

fn unreadable(file: &Path, error: &io::Error) -> CliError {
    CliError::Usage(format!("{} cannot be read: {error}", shown(file)))
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") {
        "stdin".to_owned()
    } else {
        file.display().to_string()
    }
}
