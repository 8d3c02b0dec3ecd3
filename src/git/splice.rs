//! Puts bytes of one version of a file into another: values replaced, entries taken out or put
//! back. Pure.
//!
//! Whatever is done is checked by reading the result: it has to differ from the file it was made
//! from in exactly the leaves that were meant, and hold there what the other version holds.

use std::collections::BTreeMap;
use std::ops::Range;

use super::leaf::{File, Leaf, LeafError, Path, Segment, item_segments};
use super::yaml_tree::{Content, Entry, Node};

/// What is to happen to one leaf or entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Edit {
    /// The leaf gets the other version's bytes.
    Replace(Path),
    /// The entry or list item is taken out with all below it.
    Remove(Path),
    /// The entry or list item of the other version is put back with all below it.
    Insert(Path),
}

/// Why it cannot be done exactly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpliceError {
    /// The value is repeated by an alias.
    #[error("{0}: the value is repeated elsewhere by an alias and would change there too")]
    Shared(Box<Path>),
    /// An entry does not stand on lines of its own, or its place cannot be told.
    #[error("{path}: {problem}")]
    NotExact {
        /// Where.
        path: Box<Path>,
        /// What is in the way.
        problem: &'static str,
    },
    /// The result does not read as it should.
    #[error("after the edit {0} would not hold what it should")]
    Misread(Box<Path>),
    /// The result is no YAML any more.
    #[error("after the edit the file would not parse: {0}")]
    Unreadable(#[source] LeafError),
}

/// Carries out `edits` on `tip` with the bytes of `good`.
pub(super) fn splice(tip: &File, good: &File, edits: &[Edit]) -> Result<String, SpliceError> {
    let mut patches: Vec<(Range<usize>, String)> = Vec::new();
    for edit in edits {
        patches.push(match edit {
            Edit::Replace(path) => replacement(tip, good, path)?,
            Edit::Remove(path) => removal(tip, good, path)?,
            Edit::Insert(path) => insertion(tip, good, path)?,
        });
    }
    // From the back, so that the ranges stay right; equal places keep the order of the edits.
    patches.reverse();
    patches.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut text = tip.text().to_owned();
    let mut reached = usize::MAX;
    for (range, bytes) in patches {
        if range.end > reached || text.get(range.clone()).is_none() {
            // Two edits of one place; the check below names what is wrong with leaving one out.
            continue;
        }
        reached = range.start;
        text.replace_range(range, &bytes);
    }
    verify(tip, good, edits, &text)?;
    Ok(text)
}

/// The result differs from `tip` in exactly what was meant.
fn verify(tip: &File, good: &File, edits: &[Edit], text: &str) -> Result<(), SpliceError> {
    let mut expected: BTreeMap<&Path, &Leaf> = tip.leaves().iter().collect();
    for edit in edits {
        match edit {
            Edit::Replace(path) => {
                if let Some((path, leaf)) = good.leaves().get_key_value(path) {
                    expected.insert(path, leaf);
                }
            }
            Edit::Remove(unit) => expected.retain(|path, _| !path.starts_with(unit)),
            Edit::Insert(unit) => {
                expected.extend(
                    good.leaves()
                        .iter()
                        .filter(|(path, _)| path.starts_with(unit)),
                );
            }
        }
    }
    let result = File::parse(text.as_bytes()).map_err(SpliceError::Unreadable)?;
    let wrong = expected
        .iter()
        .find(|(path, leaf)| result.leaves().get(path).map(|l| &l.value) != Some(&leaf.value))
        .map(|(path, _)| *path)
        .or_else(|| {
            result
                .leaves()
                .keys()
                .find(|path| !expected.contains_key(path))
        });
    match wrong {
        Some(path) => Err(SpliceError::Misread(Box::new(path.clone()))),
        None => Ok(()),
    }
}

fn replacement(
    tip: &File,
    good: &File,
    path: &Path,
) -> Result<(Range<usize>, String), SpliceError> {
    let missing = || not_exact(path, "it does not stand in both versions");
    let at = tip.leaves().get(path).ok_or_else(missing)?;
    let from = good.leaves().get(path).ok_or_else(missing)?;
    if at.shared {
        return Err(SpliceError::Shared(Box::new(path.clone())));
    }
    without_anchors(good, path)?;
    if !at.span.is_empty() && !from.span.is_empty() {
        return Ok((
            at.span.clone(),
            with_newlines(newline(tip, good), good.raw(from)),
        ));
    }
    // One of the two is a key without a value: the space behind the colon goes with the value.
    match (slot(tip, at), slot(good, from)) {
        (Some(range), Some(source)) => {
            let bytes = good.text().get(source).unwrap_or_default();
            Ok((range, bytes.to_owned()))
        }
        _ => Err(not_exact(
            path,
            "an absent value that does not stand behind its key",
        )),
    }
}

/// Refuses what defines an anchor or refers to one: in its new place the name may be another's by now,
/// and what stands below may refer to it. The leaves would read the same.
fn without_anchors(good: &File, path: &Path) -> Result<(), SpliceError> {
    let key = |entry: &Entry| {
        let bytes = good.text().get(entry.key_span.clone());
        // A tag may stand before the anchor; neither is usual on a key.
        bytes.is_some_and(|text| text.starts_with(['&', '!']))
    };
    let parent = path.parent().and_then(|parent| node_at(good, &parent));
    let own_key = match parent.map(|parent| &parent.content) {
        Some(Content::Mapping { entries, .. }) => entries
            .iter()
            .any(|entry| Some(entry.key.as_str()) == path.key() && key(entry)),
        _ => false,
    };
    let mut nodes: Vec<&Node> = node_at(good, path).into_iter().collect();
    let mut found = own_key;
    while let Some(node) = nodes.pop() {
        found |= node.anchor.is_some() || matches!(node.content, Content::Alias(_));
        match &node.content {
            Content::Mapping { entries, .. } => {
                found |= entries.iter().any(key);
                nodes.extend(entries.iter().map(|entry| &entry.value));
            }
            Content::Sequence { items, .. } => nodes.extend(items),
            _ => {}
        }
    }
    if found {
        let problem =
            "an anchor or an alias would go back with it, which may mean something else now";
        return Err(not_exact(path, problem));
    }
    Ok(())
}

/// From behind the colon to the end of the value, where both stand on one line. An absent value
/// reaches to the end of its line.
fn slot(file: &File, leaf: &Leaf) -> Option<Range<usize>> {
    let start = leaf.after_colon?;
    let between = file.text().get(start..leaf.span.start)?;
    if !between.chars().all(|c| c == ' ') {
        return None;
    }
    let rest = file.text().get(leaf.span.end..)?;
    let spaces = rest.len() - rest.trim_start_matches(' ').len();
    let line_ends = rest
        .get(spaces..)?
        .chars()
        .next()
        .is_none_or(|c| c == '\n' || c == '\r');
    let end = if leaf.span.is_empty() && line_ends {
        leaf.span.end + spaces
    } else {
        leaf.span.end
    };
    Some(start..end)
}

fn not_exact(path: &Path, problem: &'static str) -> SpliceError {
    SpliceError::NotExact {
        path: Box::new(path.clone()),
        problem,
    }
}

/// The line end that `tip` has, or `good` where `tip` is a single line without one.
fn newline(tip: &File, good: &File) -> &'static str {
    let file = if tip.text().contains('\n') { tip } else { good };
    if file.text().contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    }
}

/// `bytes` with other line ends.
fn with_newlines(newline: &str, bytes: &str) -> String {
    bytes.replace("\r\n", "\n").replace('\n', newline)
}

/// An entry or item that stands on lines of its own.
struct Unit {
    /// Whole lines, the last line end included where there is one.
    lines: Range<usize>,
    /// How far it is indented.
    column: usize,
}

fn removal(tip: &File, good: &File, path: &Path) -> Result<(Range<usize>, String), SpliceError> {
    let unit = locate(tip, path)?;
    let siblings = path
        .parent()
        .and_then(|parent| node_at(tip, &parent).map(children));
    if siblings.is_none_or(|n| n < 2) {
        return Err(not_exact(path, "nothing would be left of its parent"));
    }
    if tip
        .leaves()
        .iter()
        .any(|(p, leaf)| p.starts_with(path) && leaf.shared)
    {
        return Err(SpliceError::Shared(Box::new(path.clone())));
    }
    if let Some(comment) = comment_above(tip, &unit)
        && !good.text().contains(comment)
    {
        return Err(not_exact(path, "the comment above it may belong to it"));
    }
    let mut lines = unit.lines;
    if lines.end == tip.text().len() && !tip.text().ends_with('\n') {
        // The last line of a file without a final line end: the one before it goes.
        let before = tip.text().get(..lines.start).unwrap_or_default();
        lines.start = before.trim_end_matches(['\n', '\r']).len().max(
            before
                .len()
                .saturating_sub(if before.ends_with("\r\n") { 2 } else { 1 }),
        );
    }
    Ok((lines, String::new()))
}

fn insertion(tip: &File, good: &File, path: &Path) -> Result<(Range<usize>, String), SpliceError> {
    let unit = locate(good, path)?;
    if good
        .leaves()
        .iter()
        .any(|(p, leaf)| p.starts_with(path) && leaf.shared)
    {
        return Err(SpliceError::Shared(Box::new(path.clone())));
    }
    without_anchors(good, path)?;
    if let Some(comment) = comment_above(good, &unit)
        && !tip.text().contains(comment)
    {
        return Err(not_exact(path, "the comment above it was removed with it"));
    }
    let lines = good.text().get(unit.lines.clone()).unwrap_or_default();
    let newline = newline(tip, good);
    let lines = with_newlines(newline, lines.trim_end_matches(['\n', '\r']));
    let (before, after) = siblings(good, path);
    let beside = |path: &Path| {
        let unit_in_tip = locate(tip, path).ok()?;
        (unit_in_tip.column == unit.column).then_some((path.clone(), unit_in_tip))
    };
    let previous = before.iter().rev().find_map(beside);
    let next = after.iter().find_map(beside);
    // Beside the neighbour that it touched; comments may stand between it and the other one.
    let touches_next = next.as_ref().is_some_and(|(path, _)| {
        locate(good, path).is_ok_and(|in_good| in_good.lines.start == unit.lines.end)
    });
    match (previous, next) {
        (Some((_, previous)), _) if !touches_next => {
            let at = previous.lines.end;
            let whole = tip
                .text()
                .get(..at)
                .is_some_and(|text| text.ends_with('\n'));
            let bytes = if whole {
                lines + newline
            } else {
                format!("{newline}{lines}")
            };
            Ok((at..at, bytes))
        }
        (_, Some((_, next))) => Ok((next.lines.start..next.lines.start, lines + newline)),
        _ => Err(not_exact(
            path,
            "no neighbour of it is left where it could be put back",
        )),
    }
}

/// The entries or items before and after `path` under the same parent.
fn siblings(file: &File, path: &Path) -> (Vec<Path>, Vec<Path>) {
    let Some(parent) = path.parent() else {
        return (Vec::new(), Vec::new());
    };
    let Some(node) = node_at(file, &parent) else {
        return (Vec::new(), Vec::new());
    };
    let segments = match &node.content {
        Content::Mapping { entries, .. } => entries
            .iter()
            .map(|e| Segment::Key(e.key.clone()))
            .collect(),
        Content::Sequence { items, .. } => item_segments(items),
        _ => Vec::new(),
    };
    let all: Vec<Path> = segments
        .into_iter()
        .map(|segment| {
            let mut sibling = parent.clone();
            sibling.segments.push(segment);
            sibling
        })
        .collect();
    let at = all.iter().position(|p| p == path).unwrap_or(all.len());
    let after = all.get(at + 1..).unwrap_or_default().to_vec();
    (all.into_iter().take(at).collect(), after)
}

fn node_at<'a>(file: &'a File, path: &Path) -> Option<&'a Node> {
    let document = file
        .ids
        .iter()
        .position(|id| id.as_ref() == Some(&path.document))?;
    path.segments
        .iter()
        .try_fold(file.tree.documents.get(document)?, |node, segment| {
            match (&node.content, segment) {
                (Content::Mapping { entries, .. }, Segment::Key(key)) => {
                    entries.iter().find(|e| &e.key == key).map(|e| &e.value)
                }
                (Content::Sequence { items, .. }, segment) => {
                    let at = item_segments(items).iter().position(|s| s == segment)?;
                    items.get(at)
                }
                _ => None,
            }
        })
}

fn children(node: &Node) -> usize {
    match &node.content {
        Content::Mapping { entries, .. } => entries.len(),
        Content::Sequence { items, .. } => items.len(),
        _ => 0,
    }
}

/// The lines of the entry or item at `path`.
fn locate(file: &File, path: &Path) -> Result<Unit, SpliceError> {
    let missing = || not_exact(path, "it is not there");
    let parent = node_at(file, &path.parent().ok_or_else(missing)?).ok_or_else(missing)?;
    let node = node_at(file, path).ok_or_else(missing)?;
    let text = file.text();
    let (start, lead) = match &parent.content {
        Content::Mapping {
            flow: false,
            entries,
        } => {
            let entry = entries
                .iter()
                .find(|e| Some(e.key.as_str()) == path.key())
                .ok_or_else(missing)?;
            (entry.key_span.start, "")
        }
        Content::Sequence { flow: false, .. } => (node.span.start, "-"),
        _ => {
            return Err(not_exact(
                path,
                "it stands in braces or brackets with others",
            ));
        }
    };
    let line_start = text
        .get(..start)
        .and_then(|t| t.rfind('\n'))
        .map_or(0, |at| at + 1);
    let before = text
        .get(line_start..start)
        .unwrap_or_default()
        .trim_start_matches('\u{feff}');
    let column = before.len() - before.trim_start_matches(' ').len();
    if before.trim() != lead {
        return Err(not_exact(path, "it does not begin on a line of its own"));
    }
    let end = node.span.end.max(start);
    let rest = text.get(end..).unwrap_or_default();
    let line_rest = rest.split_inclusive('\n').next().unwrap_or_default();
    if !line_rest.trim().is_empty() && !line_rest.trim_start().starts_with('#') {
        return Err(not_exact(
            path,
            "something else stands behind it on the line",
        ));
    }
    Ok(Unit {
        lines: line_start..end + line_rest.len(),
        column,
    })
}

/// The comment line directly above a unit.
fn comment_above<'a>(file: &'a File, unit: &Unit) -> Option<&'a str> {
    let above = file
        .text()
        .get(..unit.lines.start)?
        .lines()
        .next_back()?
        .trim();
    above.starts_with('#').then_some(above)
}

#[cfg(test)]
mod tests;
