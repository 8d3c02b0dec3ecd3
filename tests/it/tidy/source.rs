//! A Rust source as far as the checks need it: without comments, strings and tests, and the paths
//! that it names. No parser: the checks ask what is named, not what it means.

use std::collections::BTreeSet;

/// The code of a source: comments become spaces and strings become empty, lines stay where they
/// are, and what is compiled for tests alone is left out.
pub fn code(source: &str) -> String {
    without_tests(&without_text(source))
}

/// Every path in some code, `use` trees taken apart: `std::collections::BTreeMap`.
pub fn paths(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tokens = tokens(code);
    let mut at = 0;
    while at < tokens.len() {
        let starts_path = is_name(tokens[at]) && (at == 0 || tokens[at - 1] != "::");
        if starts_path {
            let in_use = at > 0 && matches!(tokens[at - 1], "use" | "crate");
            at = path(&tokens, at, String::new(), in_use, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads the path at `at`, with what stands in braces behind it, and returns where it ends. A name
/// alone is a path only in a `use`.
fn path(
    tokens: &[&str],
    mut at: usize,
    mut prefix: String,
    alone: bool,
    found: &mut BTreeSet<String>,
) -> usize {
    let mut length = prefix.matches("::").count();
    while let Some(&token) = tokens.get(at) {
        if token == "{" || token == "*" {
            if length == 0 {
                return at + 1;
            }
            if token == "*" {
                found.insert(prefix.trim_end_matches("::").to_owned());
                return at + 1;
            }
            at += 1;
            while let Some(&token) = tokens.get(at) {
                match token {
                    "}" => return at + 1,
                    name if is_name(name) || name == "*" => {
                        at = path(tokens, at, prefix.clone(), true, found);
                        if tokens.get(at) == Some(&"as") {
                            at += 2;
                        }
                    }
                    _ => at += 1,
                }
            }
            return at;
        }
        if !is_name(token) {
            return at;
        }
        prefix.push_str(token);
        at += 1;
        if tokens.get(at) == Some(&"::") {
            prefix.push_str("::");
            length += 1;
            at += 1;
        } else {
            if length > 0 || alone {
                found.insert(prefix);
            }
            return at;
        }
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && !matches!(
            token,
            "use" | "pub" | "fn" | "let" | "mut" | "as" | "in" | "impl" | "for" | "dyn" | "return"
        )
}

/// Names, `::` and single characters; spaces are left out.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphanumeric() || first == '_' {
            let other = |c: char| !c.is_alphanumeric() && c != '_';
            rest.find(other).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

/// Comments as spaces, strings and characters as empty ones.
fn without_text(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let end = match c {
            '/' if next == Some('/') => find(&chars, at, |rest| rest[0] == '\n').max(at + 2),
            '/' if next == Some('*') => comment_end(&chars, at),
            '"' => string_end(&chars, at + 1),
            'r' if matches!(next, Some('"' | '#')) && !follows_name(&chars, at) => {
                raw_string_end(&chars, at + 1)
            }
            // A lifetime is no character: its name has no quote behind it.
            '\'' if next == Some('\\') => find(&chars, at + 3, |rest| rest[0] == '\'') + 1,
            '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
            _ => at + 1,
        };
        if end == at + 1 {
            out.push(c);
        } else {
            let newlines = chars[at..end.min(chars.len())]
                .iter()
                .filter(|c| **c == '\n');
            out.push(' ');
            out.extend(newlines);
        }
        at = end;
    }
    out
}

fn follows_name(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| chars.get(i));
    before.is_some_and(|c| c.is_alphanumeric() || *c == '_')
}

/// The first place from `at` on where `here` holds; the end if there is none.
fn find(chars: &[char], at: usize, here: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len())
        .find(|&i| here(&chars[i..]))
        .unwrap_or(chars.len())
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = at;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut i = at;
    while let Some(&c) = chars.get(i) {
        match c {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return at; // a raw name, r#type
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#')
    };
    find(chars, at + hashes + 1, closes) + 1 + hashes
}

/// Leaves out what follows `#[cfg(test)]`: an item up to its closing brace, or up to a semicolon.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..start]);
        let item = &rest[start..];
        let mut depth = 0_usize;
        let mut end = item.len();
        for (i, c) in item.char_indices().skip("#[cfg(test)]".len()) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ';' if depth == 0 => {}
                _ => continue,
            }
            if depth == 0 {
                end = i + 1;
                break;
            }
        }
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

#[test]
fn strings_comments_and_tests_are_left_out() {
    let source = r####"
        use a::b; // use x::y
        /* use x::y /* nested */ use x::z */
        fn f<'a>(s: &'a str) -> char { let _ = "use x::y \" x::z"; let _ = r#"x::"y""#; '"' }
        #[cfg(test)]
        mod tests { use x::y; fn g() { { } } }
        #[cfg(test)]
        mod more;
        const C: char = '\''; use c::d;
    "####;
    let found: Vec<String> = paths(&code(source)).into_iter().collect();
    assert_eq!(found, ["a::b", "c::d"]);
}

#[test]
fn use_trees_are_taken_apart_and_inline_paths_are_found() {
    let source = "use a::{self, b::{c, d as e}, f::*}; pub use g; fn h() { i::j::k(); l(); }";
    let found: Vec<String> = paths(source).into_iter().collect();
    assert_eq!(
        found,
        ["a::b::c", "a::b::d", "a::f", "a::self", "g", "i::j::k"]
    );
}
