//! `docs/git-traps.md` and the tests say the same: what it names is there, and every test here is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

fn read(file: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The tests that a page names, as file and function.
fn named(page: &str) -> BTreeSet<(String, String)> {
    let form = Regex::new(r"`((?:src|tests)/[a-z0-9_/]+\.rs)::([a-z0-9_]+)`").unwrap();
    let found = form.captures_iter(page);
    found.map(|c| (c[1].to_owned(), c[2].to_owned())).collect()
}

/// The tests of a source.
fn tests(source: &str) -> Vec<String> {
    let form = Regex::new(r"#\[(?:tokio::)?test[^\n]*\]\n(?:pub )?(?:async )?fn (\w+)\(").unwrap();
    form.captures_iter(source)
        .map(|c| c[1].to_owned())
        .collect()
}

#[test]
fn the_page_names_the_tests_that_there_are_and_all_of_these() {
    let named = named(&read("docs/git-traps.md"));
    for (file, name) in &named {
        let is_there = read(file).contains(&format!("fn {name}("));
        assert!(is_there, "docs/git-traps.md: there is no {file}::{name}");
    }
    let folder = "tests/it/git_traps";
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let mut count = 0;
    for source in sources {
        let file = source.unwrap().file_name().into_string().unwrap();
        if file == "page.rs" {
            continue;
        }
        for test in tests(&read(format!("{folder}/{file}"))) {
            let here = (format!("{folder}/{file}"), test);
            assert!(
                named.contains(&here),
                "docs/git-traps.md does not name {here:?}"
            );
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}
