//! What the sources must not do, read from the sources: who may know whom, what the pure modules
//! may name, and the house rules that a compiler does not know. Each check is a function of a text,
//! and is shown to fail on a bad one.

mod image;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file that is no test. One that is longer does two things.
const LINES_MAX: usize = 500;

/// Files that may be longer, with the reason.
const LONG_FILES: &[(&str, &str)] = &[
    ("src/sim/apiserver/builtin_rules.rs", "to be split"),
    (
        "src/sim/apiserver/conformance/builtin_kinds.rs",
        "a list of requests and answers",
    ),
    (
        "src/sim/apiserver/conformance/workload_kinds.rs",
        "a list of requests and answers",
    ),
    ("src/sim/apiserver/registry.rs", "to be split"),
    ("src/sim/apiserver/verbs/delete.rs", "to be split"),
];

/// Names that say nothing about what is in a module.
const EMPTY_NAMES: &[&str] = &[
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "manager",
    "misc",
    "shared_stuff",
];

/// Modules that decide: no waiting, no clock, no randomness, nothing from outside.
const PURE: &[&str] = &["core", "analysis"];

/// The crates that pure modules may name. All of them compute; none of them waits or looks around.
const PURE_CRATES: &[&str] = &[
    "cel",
    "jiff",
    "k8s_openapi",
    "regex",
    "serde",
    "serde_json",
    "sha2",
    "statrs",
    "thiserror",
];

/// The parts of the standard library that pure modules may name.
const PURE_STD: &[&str] = &[
    "borrow",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "iter",
    "mem",
    "num",
    "ops",
    "str",
    "string",
    "sync",
    "vec",
    "slice",
    "array",
    "f64",
];

/// Names that pure modules may not even reach through an allowed crate: clocks, and maps whose
/// order differs from run to run.
const IMPURE_NAMES: &[&str] = &[
    "HashMap",
    "HashSet",
    "RandomState",
    "Instant",
    "SystemTime",
    "now",
    "Zoned",
    "OnceLock",
    "LazyLock",
    "Mutex",
    "RwLock",
    "mpsc",
    "Condvar",
];

/// Who may know whom; a module may always name itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("retry", &[]),
    ("core", &["api", "analysis"]),
    ("analysis", &["api", "core"]),
    ("traffic", &["api", "core"]),
    ("metrics_source", &["api", "analysis", "core", "retry"]),
    ("notify", &["api", "core", "metrics_source", "retry"]),
    ("git", &["api", "core", "notify", "retry"]),
    (
        "controller",
        &[
            "api",
            "core",
            "analysis",
            "traffic",
            "metrics_source",
            "notify",
            "git",
            "retry",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "core",
            "analysis",
            "traffic",
            "metrics_source",
            "random",
            "retry",
            "sim",
            // `dashboard` starts it.
            "page",
        ],
    ),
    ("page", &["api", "core", "cli"]),
    ("random", &[]),
    (
        "sim",
        &[
            "api", "core", "analysis", "traffic", "git", "random", "retry",
        ],
    ),
    (
        "demo",
        &[
            "api",
            "core",
            "analysis",
            "traffic",
            "metrics_source",
            "git",
            "controller",
            "cli",
            "page",
            "sim",
            "retry",
        ],
    ),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust source below these folders, by its path from the repository's root.
fn sources(folders: &[&str]) -> BTreeMap<String, String> {
    fn collect(folder: &Path, into: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy();
                into.insert(name.into_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    for folder in folders {
        collect(&root().join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no sources below {folders:?}");
    found
}

/// Whether a file holds nothing but tests.
fn is_test(file: &str) -> bool {
    file.starts_with("tests/") || file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// The module below `src/` that a file belongs to.
fn module(file: &str) -> Option<&str> {
    let path = file.strip_prefix("src/")?;
    let name = path.split(['/', '.']).next()?;
    (!matches!(name, "lib" | "bin")).then_some(name)
}

/// Runs a check over every file and fails with everything that it found.
fn check_all(files: &BTreeMap<String, String>, check: impl Fn(&str, &str) -> Vec<String>) {
    let found: Vec<String> = files
        .iter()
        .flat_map(|(file, text)| {
            let problems = check(file, text);
            problems.into_iter().map(move |p| format!("{file}: {p}"))
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The crates of `[dependencies]`, as the code names them.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest
        .split("\n[")
        .find(|s| s.starts_with("dependencies]"));
    let lines = section.expect("there are dependencies").lines().skip(1);
    let names = lines.filter_map(|line| line.split_once(" =").map(|(name, _)| name));
    names.map(|name| name.trim().replace('-', "_")).collect()
}

/// What a pure module names that it must not.
fn impure(file: &str, text: &str, crates: &BTreeSet<String>) -> Vec<String> {
    if !module(file).is_some_and(|m| PURE.contains(&m)) || is_test(file) {
        return Vec::new();
    }
    let code = source::code(text);
    let mut problems = Vec::new();
    for path in source::paths(&code) {
        let mut names = path.split("::");
        let first = names.next().unwrap_or_default();
        let second = names.next().unwrap_or_default();
        if first == "std" || first == "alloc" || first == "core" {
            if !PURE_STD.contains(&second) {
                problems.push(format!("{path}: a pure module may not name it"));
            }
        } else if crates.contains(first) && !PURE_CRATES.contains(&first) {
            problems.push(format!("{path}: a pure module may not name {first}"));
        } else if first == "kube" {
            problems.push(format!("{path}: a pure module knows no cluster"));
        }
        if let Some(name) = path.split("::").find(|n| IMPURE_NAMES.contains(n)) {
            problems.push(format!(
                "{path}: {name}: time is passed in, and order must not differ from run to run"
            ));
        }
    }
    for keyword in [".await", "async fn", "async move", "println!", "eprintln!"] {
        if code.contains(keyword) {
            problems.push(format!("{keyword}: a pure module does not wait or print"));
        }
    }
    problems
}

/// What a module names of this package that it must not know.
fn strangers(file: &str, text: &str) -> Vec<String> {
    let Some(own) = module(file).filter(|_| !is_test(file)) else {
        return Vec::new();
    };
    let Some((_, known)) = LAYERS.iter().find(|(name, _)| *name == own) else {
        return vec![format!(
            "module {own} has no line in LAYERS (tests/it/tidy.rs): say whom it may know"
        )];
    };
    source::paths(&source::code(text))
        .into_iter()
        .filter_map(|path| {
            let name = path.strip_prefix("crate::")?.split("::").next()?;
            let is_module = LAYERS.iter().any(|(module, _)| *module == name);
            let stranger = is_module && name != own && !known.contains(&name);
            stranger.then(|| format!("{path}: {own} may not know {name}"))
        })
        .collect()
}

/// The house rules that each file keeps by itself.
fn untidy(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let unit_test = file.starts_with("src/") && file.ends_with("/tests.rs");
    let program = file.starts_with("src/bin/");
    if !text.starts_with("//!") && !unit_test && !program {
        problems.push("opens without //!: what is it for, and what must it not do?".to_owned());
    }
    let lines = text.lines().count();
    let long = LONG_FILES.iter().any(|(name, _)| *name == file);
    if lines > LINES_MAX && !is_test(file) && !long {
        problems.push(format!(
            "{lines} lines, at most {LINES_MAX}: look for the second thing that it does"
        ));
    }
    let names = file.split(['/', '.', '_']);
    for name in names.filter(|n| EMPTY_NAMES.contains(n)) {
        problems.push(format!(
            "the name {name:?} says nothing about what is in it"
        ));
    }
    let code = source::code(text);
    for unfinished in ["todo!", "unimplemented!"] {
        if code.contains(unfinished) {
            problems.push(format!("{unfinished}: what is not built is not there"));
        }
    }
    // The words are put together here so that this file does not find itself.
    for mark in ["FIX", "TO", "HA"]
        .iter()
        .zip(["ME", "DO", "CK"])
        .map(|(a, b)| format!("{a}{b}"))
    {
        let word = |line: &str| {
            line.split(|c: char| !c.is_alphanumeric())
                .any(|w| w == mark)
        };
        if let Some(line) = text.lines().position(word) {
            problems.push(format!("line {}: {mark}: do it, or say why not", line + 1));
        }
    }
    problems
}

#[test]
fn the_pure_modules_name_nothing_from_outside() {
    let crates = dependencies();
    assert!(
        crates.contains("tokio") && crates.contains("prometheus_http_query"),
        "{crates:?}"
    );
    check_all(&sources(&["src"]), |file, text| impure(file, text, &crates));
}

#[test]
fn nobody_knows_whom_he_must_not_know() {
    let files = sources(&["src"]);
    check_all(&files, strangers);
    // A line in the table for a module that is gone would be believed.
    for (name, _) in LAYERS {
        assert!(
            files.keys().any(|file| module(file) == Some(name)),
            "there is no module {name}"
        );
    }
}

#[test]
fn every_file_keeps_the_house_rules() {
    check_all(
        &sources(&[
            "src",
            "load-tests/src",
            "xtask/src",
            "tests/it",
            "tests/lab",
        ]),
        untidy,
    );
    for (file, reason) in LONG_FILES {
        assert!(
            root().join(file).is_file() && !reason.is_empty(),
            "LONG_FILES: {file}"
        );
    }
}

#[test]
fn the_check_of_pure_modules_finds_what_is_impure() {
    let crates = dependencies();
    let bad = |text: &str| impure("src/core/decide.rs", text, &crates);
    for text in [
        "use kube::Api;",
        "use kube::{Client, ResourceExt};",
        "use tokio::time::sleep;",
        "use reqwest::Client;",
        "use http::Request;",
        "use std::time::Instant;",
        "use std::{fmt, time::SystemTime};",
        "use std::env;",
        "fn f() { std::env::var(\"HOME\"); }",
        "use std::collections::HashMap;",
        "use std::collections::{BTreeMap, HashSet};",
        "fn f() { let now = jiff::Timestamp::now(); }",
        "fn f() { Timestamp::now() }",
        "use std::sync::Mutex;",
        "async fn f() {}",
        "use backoff::ExponentialBackoff;",
        "fn f() { println!(\"x\") }",
    ] {
        assert!(!bad(text).is_empty(), "not found: {text}");
    }
    for text in [
        "use std::collections::{BTreeMap, BTreeSet};",
        "use jiff::{SignedDuration, Timestamp}; // not Timestamp::now",
        "use super::now_or_never; fn f(now: Timestamp) { g(now) }",
        "#[cfg(test)]\nmod tests { use std::collections::HashMap; }",
    ] {
        assert_eq!(bad(text), Vec::<String>::new(), "{text}");
    }
    let elsewhere = impure("src/controller/run.rs", "use tokio::time::sleep;", &crates);
    assert!(elsewhere.is_empty());
}

#[test]
fn the_check_of_layers_finds_strangers() {
    for (file, text) in [
        ("src/cli/get.rs", "use crate::controller::run;"),
        ("src/cli/get.rs", "use crate::{api::rollout, controller};"),
        ("src/api/rollout.rs", "use crate::core::spec;"),
        (
            "src/core/decide.rs",
            "fn f() { crate::traffic::gateway_api::read(); }",
        ),
        (
            "src/controller/run.rs",
            "use crate::sim::apiserver::ApiServer;",
        ),
        ("src/brand_new/mod.rs", ""),
    ] {
        assert!(
            !strangers(file, text).is_empty(),
            "not found: {file}: {text}"
        );
    }
    let fine = strangers(
        "src/core/decide.rs",
        "use crate::api::rollout; use crate::core::spec;",
    );
    assert!(fine.is_empty(), "{fine:?}");
}

#[test]
fn the_check_of_house_rules_finds_what_is_untidy() {
    let long = format!("//! Long.\n{}", "fn f() {}\n".repeat(LINES_MAX));
    let mark = ["// FIX", "ME later"].concat();
    for (file, text) in [
        ("src/core/new.rs", "use a::b;"),
        ("src/core/new.rs", long.as_str()),
        ("src/core/new.rs", "//! x\nfn f() { todo!() }"),
        ("src/core/new.rs", "//! x\nfn f() { unimplemented!() }"),
        ("src/core/new.rs", &format!("//! x\n{mark}")),
        ("src/core/utils.rs", "//! x"),
        ("src/common/mod.rs", "//! x"),
        ("src/core/pod_manager.rs", "//! x"),
    ] {
        assert!(
            !untidy(file, text).is_empty(),
            "not found: {file}: {}",
            &text[..text.len().min(40)]
        );
    }
    assert!(
        untidy("src/core/tests/world.rs", &long).is_empty(),
        "tests may be long"
    );
    assert!(
        untidy(
            "src/core/new.rs",
            "//! Managed fields.\n// \"todo!\" as text"
        )
        .is_empty()
    );
}
