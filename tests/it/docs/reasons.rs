//! `docs/reasons.md`, with the pages that it links, has a row for each reason that the code can give, and
//! for none that it cannot. What a schema lists is taken from there; the others are words that stand in
//! the sources as literals.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use super::{quoted, read, root, schema};

/// The page.
const PAGE: &str = "docs/reasons.md";

/// Where a schema lists its words: the kind, the place, and the page and heading of their table.
const LISTED: &[[&str; 4]] = &[
    ["rollouts", "/status/properties/phase", PAGE, "### Phases"],
    [
        "rollouts",
        "/status/properties/pause/properties/reason",
        PAGE,
        "### What it waits for",
    ],
    [
        "rollouts",
        "/status/properties/abort/properties/reason",
        PAGE,
        "### Why a version was given up",
    ],
    [
        "reverts",
        "/spec/properties/reason",
        PAGE,
        "### Why a version was given up",
    ],
    [
        "rollouts",
        "/status/properties/history/items/properties/outcome",
        PAGE,
        "### What became of it",
    ],
    [
        "analysisruns",
        "/status/properties/phase",
        PAGE,
        "### Phases of a run",
    ],
    [
        "analysisruns",
        "/status/properties/verdict",
        "docs/analysis.md",
        "## What an analysis says",
    ],
];

/// Sources, and the tables that must have the words in them.
struct Family {
    /// Folders and files of `src`.
    sources: &'static [&'static str],
    /// Pages, each with a heading; without one it is the whole page.
    pages: &'static [(&'static str, &'static str)],
    /// Words that are no reasons.
    others: &'static [&'static str],
}

/// All that gives reasons of its own. What `src/traffic` names are a gateway's.
const FAMILIES: &[Family] = &[
    Family {
        sources: &["core"],
        pages: &[
            (PAGE, "## Rollouts"),
            (PAGE, "## Events"),
            (
                "docs/rollout.md",
                "## What the pods must do so that no request is lost",
            ),
            ("docs/gitops.md", ""),
        ],
        // What became of a command, and kinds.
        others: &["Accepted", "AnalysisTemplate", "ClusterAnalysisTemplate"],
    },
    Family {
        sources: &["analysis", "api/analysis_status.rs"],
        pages: &[
            (PAGE, "## AnalysisRuns"),
            ("docs/analysis.md", "## What an analysis says"),
        ],
        // A bucket's bound.
        others: &["Inf"],
    },
    Family {
        sources: &["metrics_source"],
        pages: &[("docs/analysis.md", "## MetricsProvider")],
        // A type's name.
        others: &["Source"],
    },
    Family {
        sources: &["controller"],
        pages: &[
            (PAGE, "## Events"),
            (PAGE, "## AnalysisRuns"),
            (PAGE, "## MetricsProviders"),
            ("docs/operations.md", "## Metrics"),
            ("docs/gitops.md", ""),
        ],
        // Kinds, fields of an Event, conditions of others' objects, and words of the log.
        others: &[
            "AnalysisRun",
            "AnalysisTemplate",
            "ClusterAnalysisTemplate",
            "ConfigMap",
            "Deployment",
            "DryRun",
            "Event",
            "Eviction",
            "GatewayClass",
            "HTTPRoute",
            "Ingress",
            "IngressClass",
            "MetricsProvider",
            "Namespace",
            "New",
            "Normal",
            "Ok",
            "Pod",
            "Ready",
            "ReplicaFailure",
            "ReplicaSet",
            "Revert",
            "Rollout",
            "Secret",
            "Service",
            "True",
            "Warning",
        ],
    },
    Family {
        sources: &["git"],
        pages: &[
            (PAGE, "## Reverts"),
            (PAGE, "## Events"),
            ("docs/gitops.md", ""),
        ],
        // A field of Gitea's API, YAML's word for nothing, the action of an Event, the author's name;
        // kinds of GitOps tools and phases of their operations.
        others: &[
            "Application",
            "Do",
            "GitRepository",
            "HelmRelease",
            "Kustomization",
            "Null",
            "Revert",
            "Rollout",
            "Running",
            "Terminating",
            "Tidegate",
        ],
    },
];

/// The code of a source, without its tests and without lines of comments.
fn code(text: &str) -> String {
    let tests = Regex::new(r"#\[cfg\(test\)\]\n[a-z() ]*mod \w+ \{").unwrap();
    let code = tests.split(text).next().unwrap_or_default();
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let lines: Vec<&str> = code.lines().filter(|line| !is_comment(line)).collect();
    lines.join("\n")
}

fn collect(path: &Path, into: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("tests") {
                collect(&path, into);
            }
        }
    } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
        into.push(code(&fs::read_to_string(path).unwrap()));
    }
}

/// The code at these places of `src`.
fn sources(places: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for place in places {
        let before = found.len();
        collect(&root().join("src").join(place), &mut found);
        assert!(found.len() > before, "src/{place}: no sources");
    }
    found
}

/// The literals that are one word in the form of a reason: `NoData`, but neither `no data` nor `HOME`.
fn words(code: &str) -> BTreeSet<String> {
    let word = Regex::new(r#""([A-Z][A-Za-z]*[a-z][A-Za-z]*)""#).unwrap();
    let found = word.captures_iter(code);
    found.map(|captures| captures[1].to_owned()).collect()
}

/// What stands below a heading, up to the next of its level; without one it is the whole page.
fn below(page: &str, heading: &str) -> String {
    let text = read(page);
    if heading.is_empty() {
        return text;
    }
    let level = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "{page}: there is no {heading:?}");
    let goes_on = |line: &str| !(1..=level(heading)).contains(&level(line));
    let lines: Vec<&str> = lines.take_while(|line| goes_on(line)).collect();
    lines.join("\n")
}

/// The first table of a text.
fn first_table(text: &str) -> String {
    let is_row = |line: &str| line.starts_with('|');
    let lines = text.lines().skip_while(|line| !is_row(line));
    let lines: Vec<&str> = lines.take_while(|line| is_row(line)).collect();
    lines.join("\n")
}

/// The words that rows of tables are about: those in the first cell.
fn told(rows: &str) -> BTreeSet<String> {
    let is_word = |name: &String| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.contains(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphabetic())
    };
    let rows = rows.lines().filter_map(|line| line.strip_prefix("| "));
    let firsts = rows.filter_map(|row| row.split(" | ").next());
    let rows_of_words = firsts.filter(|first| first.starts_with('`'));
    rows_of_words.flat_map(quoted).filter(is_word).collect()
}

/// What a schema lists.
fn listed(plural: &str, place: &str) -> BTreeSet<String> {
    let schema = schema(plural);
    let words = schema.pointer(&format!("{place}/enum"));
    let words = words.and_then(Value::as_array);
    let words = words.unwrap_or_else(|| panic!("{plural}: {place} lists nothing"));
    let words = words.iter().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

/// What sources say that no table is about.
fn untold(sources: &[String], told: &BTreeSet<String>, others: &[&str]) -> Vec<String> {
    let made: BTreeSet<String> = sources.iter().flat_map(|code| words(code)).collect();
    let missing = made.into_iter().filter(|word| !told.contains(word));
    missing
        .filter(|word| !others.contains(&word.as_str()))
        .collect()
}

#[test]
fn the_words_that_a_schema_lists_are_those_of_their_table() {
    for [plural, place, page, heading] in LISTED {
        let told = told(&first_table(&below(page, heading)));
        assert_eq!(told, listed(plural, place), "{page}: {heading}");
    }
}

#[test]
fn every_reason_has_its_row() {
    let mut wrong = Vec::new();
    for family in FAMILIES {
        let sources = sources(family.sources);
        let mut rows = BTreeSet::new();
        for (page, heading) in family.pages {
            rows.extend(told(&below(page, heading)));
        }
        let (places, pages) = (family.sources.join(", "), family.pages);
        for word in untold(&sources, &rows, family.others) {
            wrong.push(format!(
                "src/{places}: {word:?} is in no table of {pages:?}; if it is no reason, say so in `others`"
            ));
        }
        for other in family.others {
            let literal = format!("\"{other}\"");
            if rows.contains(*other) || !sources.iter().any(|code| code.contains(&literal)) {
                wrong.push(format!(
                    "src/{places}: {other} need not be among the others"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_the_page_names_is_given_by_somebody() {
    let places = [
        "api",
        "core",
        "analysis",
        "controller",
        "git",
        "metrics_source",
    ];
    let mut given: BTreeSet<String> = BTreeSet::new();
    for source in sources(&places) {
        given.extend(words(&source));
    }
    for [plural, place, ..] in LISTED {
        given.extend(listed(plural, place));
    }
    let told = told(&read(PAGE));
    assert!(told.len() > 100, "{told:?}");
    let nobodys: Vec<&String> = told.difference(&given).collect();
    assert!(nobodys.is_empty(), "{PAGE}: {nobodys:?}");
}

#[test]
fn a_reason_without_a_row_is_found() {
    let rows = "| reason | what it means |\n| --- | --- |\n| `Known`, `KnownToo` | It is `Meant`. |\n\
                | `.field` | Of `Others`. |\n| Of `Prose` | Nothing. |\n";
    let told = told(rows);
    assert_eq!(
        told,
        BTreeSet::from(["Known", "KnownToo"].map(str::to_owned))
    );
    let found = |text: &str| untold(&[code(text)], &told, &["Kind"]);
    for text in [
        r#"Finding::new(Verdict::Fail, "NewOne", text)"#,
        "Finding::new(\n    Verdict::Fail,\n    \"NewOne\",\n    text,\n)",
        r#"Condition { reason: "NewOne".into(), message }"#,
        r#"Self::Other(_) => "NewOne","#,
        r#"const TYPE: &str = "NewOne"; // the condition"#,
        r#"if some { "Known" } else { "NewOne" }"#,
        "f();\n#[cfg(test)]\nmod tests;\ng(\"NewOne\")",
    ] {
        assert_eq!(found(text), ["NewOne"], "{text}");
    }
    for text in [
        r#"f("Known"); g("KnownToo"); h("Kind")"#,
        r#"f("a new one", "New one", "NEW", "new", "New-One", "\"NewOne\"")"#,
        "// f(\"NewOne\")\n/// \"NewOne\"",
        "f(\"Known\");\n#[cfg(test)]\nmod tests { fn g() { f(\"NewOne\") } }",
    ] {
        assert_eq!(found(text), Vec::<String>::new(), "{text}");
    }
    // What is only mentioned has no row of its own.
    assert_eq!(
        found(r#"f("Meant", "Others", "Prose")"#),
        ["Meant", "Others", "Prose"]
    );
}

/// The reasons of the Events that a source makes.
fn events(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for form in [
        r#"event\(\s*(?:[^",;]*,\s*)?"([A-Z][A-Za-z]+)""#,
        r#"PlannedEvent \{[^}]*?reason: "([A-Z][A-Za-z]+)""#,
        r#"EventType::\w+, "([A-Z][A-Za-z]+)""#,
        r#"const TYPE: &str = "([A-Z][A-Za-z]+)""#,
    ] {
        let form = Regex::new(form).unwrap();
        let captures = form.captures_iter(code);
        found.extend(captures.map(|captures| captures[1].to_owned()));
    }
    found
}

#[test]
fn every_event_has_its_row() {
    let sources = sources(&["api", "controller", "core", "git"]);
    let told = told(&below(PAGE, "## Events"));
    let made: BTreeSet<String> = sources.iter().flat_map(|code| events(code)).collect();
    assert!(
        made.contains("RolloutAborted") && made.contains("RevertPushed"),
        "{made:?}"
    );
    let missing: Vec<&String> = made.difference(&told).collect();
    assert!(missing.is_empty(), "{PAGE}: {missing:?}");
    for reason in told {
        let literal = format!("\"{reason}\"");
        let is_made = sources.iter().any(|code| code.contains(&literal));
        assert!(is_made, "{PAGE}: {reason}: there is no such Event");
    }
}
