//! What the images are built from: `.dockerignore` leaves nothing out that the build reads.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{is_test, root, sources};

/// The macros that read another file while the sources are compiled.
const INCLUDES: [&str; 3] = ["include_str!(", "include_bytes!(", "include!("];

/// Whether a pattern is about a file. Only the forms that are in use are known: a path with all below
/// it, and an ending at any depth.
fn matches(pattern: &str, file: &str) -> bool {
    if is_path(pattern) {
        let below = file.strip_prefix(pattern);
        return below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    }
    let parts = pattern.split_once("**/*");
    let known = parts.filter(|(folder, ending)| {
        let anywhere = folder.is_empty() || folder.strip_suffix('/').is_some_and(is_path);
        anywhere && ending.starts_with('.') && is_path(ending) && !ending.contains('/')
    });
    let (folder, ending) = known.unwrap_or_else(|| {
        panic!(".dockerignore: {pattern:?}: this test does not know the form: teach it")
    });
    file.starts_with(folder) && file.ends_with(ending)
}

/// Whether nothing in it stands for something else.
fn is_path(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut steps = text.split('/');
    steps.all(|step| !step.is_empty() && step.chars().all(plain))
}

/// Whether a file does not get to where the images are built. The last line about it counts.
fn is_left_out(ignore: &str, file: &str) -> bool {
    let mut left_out = false;
    for line in ignore.lines().filter(|line| !line.is_empty()) {
        let pattern = line.strip_prefix('!');
        if matches(pattern.unwrap_or(line), file) {
            left_out = pattern.is_none();
        }
    }
    left_out
}

/// A source without the tests at its end.
fn shipped(text: &str) -> &str {
    const MARK: &str = "#[cfg(test)]\n";
    let tests = text.match_indices(MARK).find(|(at, _)| {
        let item = text[at + MARK.len()..].lines().next().unwrap_or_default();
        item.contains("mod ") && item.ends_with('{')
    });
    tests.map_or(text, |(at, _)| &text[..at])
}

/// The files that a source includes, by their paths from the repository's root.
fn included(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for include in INCLUDES {
        for behind in shipped(text).split(include).skip(1) {
            let literal = behind.trim_start().strip_prefix('"');
            let named = literal.and_then(|rest| rest.split_once('"'));
            let Some((named, _)) = named else {
                panic!("{file}: {include}: name the file by a literal");
            };
            let mut path = PathBuf::from(file);
            path.pop();
            for part in Path::new(named).components() {
                match part {
                    Component::ParentDir => assert!(path.pop(), "{file}: {named}"),
                    Component::Normal(name) => path.push(name),
                    other => panic!("{file}: {named}: {other:?}"),
                }
            }
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn every_file_that_the_build_reads_gets_into_the_image() {
    let ignore = fs::read_to_string(root().join(".dockerignore")).unwrap();
    let sources = sources(&["src"]);
    let mut read: Vec<String> = sources
        .iter()
        .filter(|(file, _)| !is_test(file))
        .flat_map(|(file, text)| included(file, text))
        .collect();
    let readme = "src/demo/shop/README.md".to_owned();
    assert!(read.contains(&readme), "{read:?}");
    read.extend(sources.into_keys());
    read.extend(["Cargo.toml".to_owned(), "Cargo.lock".to_owned()]);
    // The page's templates are read by a macro that names them from this folder on.
    let templates = fs::read_dir(root().join("templates")).unwrap();
    read.extend(
        templates.map(|entry| format!("templates/{}", entry.unwrap().file_name().display())),
    );
    for file in read {
        assert!(root().join(&file).is_file(), "{file} is not there");
        assert!(
            !is_left_out(&ignore, &file),
            ".dockerignore leaves {file} out"
        );
    }
}

#[test]
fn the_last_line_about_a_file_counts() {
    for (ignore, file, left_out) in [
        ("**/*.md", "README.md", true),
        ("**/*.md", "src/demo/shop/README.md", true),
        ("**/*.md\n!src/**/*.md", "src/demo/shop/README.md", false),
        ("**/*.md\n!src/**/*.md", "src/README.md", false),
        ("**/*.md\n!src/**/*.md", "docs/a.md", true),
        ("!src/**/*.md\n**/*.md", "src/demo/shop/README.md", true),
        ("docs", "docs/a.yaml", true),
        ("docs", "docs.rs", false),
        ("docs", "src/docs/a.rs", false),
        (".git\n\ntarget", "target/release/tidegate", true),
        (".git", ".gitignore", false),
    ] {
        assert_eq!(is_left_out(ignore, file), left_out, "{ignore:?}: {file}");
    }
}

#[test]
#[should_panic(expected = "does not know the form")]
fn an_unknown_form_is_refused() {
    is_left_out("*.md", "README.md");
}

#[test]
fn included_files_are_found_by_their_paths() {
    let text = "const A: &str = include_str!(\"b/c.md\");\n\
                const D: &[u8] = include_bytes!(\n    \"../e.bin\"\n);\n\
                #[cfg(test)]\nmod tests {\n    fn f() { include_str!(\"g\"); }\n}\n";
    assert_eq!(
        included("src/a/mod.rs", text),
        ["src/a/b/c.md", "src/e.bin"]
    );
}
