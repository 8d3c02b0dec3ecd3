//! The lower half of `get`: Rollout, revisions, ReplicaSets, AnalysisRuns with their evidence,
//! Reverts. Pure: objects in, lines out.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;

use super::evidence;
use super::header;
use super::objects::{self, Counts, Objects, hash_of, revision_of};
use super::reverts;
use super::style::{Line, Tone};
use super::words;
use crate::api::analysis::{AnalysisRun, RunMode};
use crate::api::analysis_status::RunPhase;
use crate::api::revert::Revert;

/// Revisions without pods that are listed; more only by `-o wide`.
const OLD_REVISIONS_SHOWN: usize = 2;
/// Below this width the column KIND is left out: the symbols say it, too.
const NARROW: usize = 100;
/// Blanks between two columns.
const GAP: usize = 2;

/// How it is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The moment that ages are counted to.
    pub now: Timestamp,
    /// Columns of the terminal; none: as wide as it gets.
    pub width: Option<usize>,
    /// With more detail.
    pub wide: bool,
}

/// Header and tree.
#[must_use]
pub fn render(all: &Objects, view: &View) -> Vec<Line> {
    let mut lines = header::lines(all, view);
    lines.push(Line::new());
    lines.extend(lay_out(&root(all, view), view));
    lines
}

/// One object with what hangs from it.
struct Node {
    /// Symbol and name.
    name: Line,
    kind: &'static str,
    status: (String, Tone),
    age: String,
    info: Line,
    /// Lines below it, as wide as the terminal.
    details: Vec<Line>,
    children: Vec<Node>,
}

impl Node {
    fn new(symbol: &str, name: impl AsRef<str>, kind: &'static str) -> Self {
        Self {
            name: Line::new()
                .with(Tone::Plain, format!("{symbol} "))
                .with(Tone::Plain, name),
            kind,
            status: (String::new(), Tone::Plain),
            age: String::new(),
            info: Line::new(),
            details: Vec::new(),
            children: Vec::new(),
        }
    }
}

fn age<K: ResourceExt>(object: &K, now: Timestamp) -> String {
    object
        .creation_timestamp()
        .map(|t| words::since(t.0, now))
        .unwrap_or_default()
}

fn root(all: &Objects, view: &View) -> Node {
    let rollout = &all.rollout;
    let mut root = Node::new("⟳", rollout.name_any(), "Rollout");
    root.status = header::phase(rollout.status.as_ref().and_then(|s| s.phase));
    root.age = age(rollout, view.now);
    root.children = revisions(all, view);
    root
}

/// What belongs to one revision.
#[derive(Default)]
struct Revision<'o> {
    hash: String,
    replica_sets: Vec<&'o ReplicaSet>,
    runs: Vec<&'o AnalysisRun>,
    reverts: Vec<&'o Revert>,
}

fn revisions(all: &Objects, view: &View) -> Vec<Node> {
    let status = all.rollout.status.as_ref();
    let stable = status.and_then(|s| s.stable.as_ref());
    let canary = status.and_then(|s| s.canary.as_ref());
    let number = |hash: &str, written: i64| {
        let of_stable = stable.filter(|s| s.hash == hash).map(|s| s.revision);
        let of_canary = canary.filter(|c| c.hash == hash).map(|c| c.revision);
        of_canary.or(of_stable).unwrap_or(written)
    };
    let mut found: BTreeMap<i64, Revision<'_>> = BTreeMap::new();
    let known = stable.map(|s| (s.revision, &s.hash)).into_iter();
    for (revision, hash) in known.chain(canary.map(|c| (c.revision, &c.hash))) {
        found.entry(revision).or_default().hash.clone_from(hash);
    }
    for rs in &all.replica_sets {
        let hash = hash_of(rs);
        let entry = found.entry(number(&hash, revision_of(rs))).or_default();
        entry.hash = hash;
        entry.replica_sets.push(rs);
    }
    for run in &all.runs {
        let entry = found
            .entry(number(&run.spec.canary_hash, run.spec.revision))
            .or_default();
        entry.runs.push(run);
    }
    for revert in &all.reverts {
        let bad = &revert.spec.bad;
        let entry = found.entry(number(&bad.hash, bad.revision)).or_default();
        entry.reverts.push(revert);
    }
    // The header has said it: the Rollout's message is often its analysis' message.
    let said = status.map_or("", |s| s.message.as_str());
    let mut old = 0;
    let mut left_out = 0;
    let mut nodes = Vec::new();
    for (revision, parts) in found.into_iter().rev() {
        let role = if canary.is_some_and(|c| c.revision == revision) {
            if status.is_some_and(|s| s.abort.is_some()) {
                "aborted"
            } else {
                "canary"
            }
        } else if stable.is_some_and(|s| s.revision == revision) {
            "stable"
        } else {
            ""
        };
        let has_pods = parts
            .replica_sets
            .iter()
            .any(|rs| Counts::of(rs).current > 0);
        if role.is_empty() && !has_pods {
            old += 1;
            if old > OLD_REVISIONS_SHOWN && !view.wide {
                left_out += 1;
                continue;
            }
        }
        nodes.push(revision_node(revision, role, parts, said, view));
    }
    if left_out > 0 {
        let text = format!(
            "{} not shown (-o wide)",
            words::plural(left_out, "older revision")
        );
        nodes.push(Node::new("…", text, ""));
    }
    nodes
}

fn revision_node(
    revision: i64,
    role: &str,
    mut parts: Revision<'_>,
    said: &str,
    view: &View,
) -> Node {
    let name = if revision > 0 {
        format!("revision {revision}")
    } else {
        parts.hash.clone()
    };
    let mut node = Node::new("#", name, "");
    let tone = match role {
        "stable" => Tone::Good,
        "aborted" => Tone::Bad,
        _ => Tone::Busy,
    };
    if !role.is_empty() {
        node.name.push(Tone::Plain, " ");
        node.name.push(tone, role);
    }
    let current = role == "canary" || role == "aborted";
    parts
        .runs
        .sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp()));
    parts.reverts.sort_by_key(|revert| revert.spec.attempt);
    node.children.extend(
        parts
            .replica_sets
            .iter()
            .map(|rs| replica_set_node(rs, view)),
    );
    for (i, run) in parts.runs.iter().enumerate() {
        node.children
            .push(run_node(run, current && i < 2, said, view));
    }
    node.children
        .extend(parts.reverts.iter().map(|revert| revert_node(revert, view)));
    node
}

fn replica_set_node(rs: &ReplicaSet, view: &View) -> Node {
    let counts = Counts::of(rs);
    let mut node = Node::new("⧉", rs.name_any(), "ReplicaSet");
    node.age = age(rs, view.now);
    let failure = objects::failure(rs);
    let (word, tone) = if failure.is_some() {
        ("⚠ Failing", Tone::Bad)
    } else if counts.desired == 0 && counts.current == 0 {
        ("• ScaledDown", Tone::Faint)
    } else if counts.current > counts.desired {
        ("◌ ScalingDown", Tone::Busy)
    } else if counts.available >= counts.desired {
        ("✔ Available", Tone::Good)
    } else {
        ("◌ Progressing", Tone::Busy)
    };
    node.status = (word.to_owned(), tone);
    if counts.desired > 0 || counts.current > 0 {
        node.info.push(
            Tone::Plain,
            format!(
                "ready {}/{}, available {}",
                counts.ready, counts.desired, counts.available
            ),
        );
    }
    if let Some(message) = failure.and_then(|c| c.message.as_ref()) {
        node.details.push(Line::new().with(Tone::Bad, message));
    }
    node
}

fn run_node(run: &AnalysisRun, current: bool, said: &str, view: &View) -> Node {
    let mut node = Node::new("α", run.name_any(), "AnalysisRun");
    let status = run.status.as_ref();
    let phase = status.and_then(|s| s.phase);
    let (word, tone) = evidence::phase(phase);
    node.status = (word.to_owned(), tone);
    node.age = age(run, view.now);
    let mut info = match (run.spec.mode, run.spec.step) {
        (RunMode::Background, _) => "background".to_owned(),
        (RunMode::Step, Some(step)) => format!("step {step}"),
        (RunMode::Step, None) => String::new(),
    };
    if run.spec.attempt > 1 {
        info.push_str(&format!(" attempt {}", run.spec.attempt));
    }
    node.info.push(Tone::Plain, info);
    let over = matches!(phase, Some(RunPhase::Successful | RunPhase::Terminated));
    if let Some(verdict) = status.and_then(|s| s.verdict).filter(|_| !over) {
        let (word, tone) = evidence::verdict(verdict);
        node.info.push(
            Tone::Plain,
            if node.info.spans.is_empty() { "" } else { ", " },
        );
        node.info.push(tone, word);
    }
    // What is over and good needs no proof at a glance.
    if view.wide || (current && !over) {
        node.details = evidence::lines(run, said, view.now);
    }
    node
}

fn revert_node(revert: &Revert, view: &View) -> Node {
    let mut node = Node::new("↩", revert.name_any(), "Revert");
    let status = revert.status.as_ref();
    node.status = reverts::phase(revert);
    node.age = age(revert, view.now);
    let facts = reverts::facts(revert, view.wide);
    node.info.push(Tone::Plain, facts.join(", "));
    if let Some(message) = status.and_then(|s| s.message.as_ref()) {
        node.details.push(Line::new().with(Tone::Plain, message));
    }
    if view.wide {
        let plan = status.and_then(|s| s.plan.as_deref()).unwrap_or_default();
        node.details.extend(
            plan.lines()
                .map(|line| Line::new().with(diff_tone(line), line)),
        );
    }
    node
}

fn diff_tone(line: &str) -> Tone {
    match line.chars().next() {
        Some('+') => Tone::Good,
        Some('-') => Tone::Bad,
        _ => Tone::Faint,
    }
}

/// A line of the tree before the columns are known.
enum Row<'n> {
    Node { lead: Line, node: &'n Node },
    Detail(Line),
}

fn lay_out(root: &Node, view: &View) -> Vec<Line> {
    let mut rows = Vec::new();
    flatten(root, "", "", &mut rows);
    let narrow = view.width.is_some_and(|w| w < NARROW);
    let kind = |node: &Node| if narrow { "" } else { node.kind };
    let mut columns = [4, if narrow { 0 } else { 4 }, 6, 3];
    for row in &rows {
        if let Row::Node { lead, node } = row {
            let widths = [
                // A lone remark does not stretch the table.
                if node.kind.is_empty() && node.info.spans.is_empty() {
                    0
                } else {
                    lead.width()
                },
                kind(node).len(),
                Line::new().with(Tone::Plain, &node.status.0).width(),
                node.age.len(),
            ];
            for (column, width) in columns.iter_mut().zip(widths) {
                *column = (*column).max(width);
            }
        }
    }
    let [name_width, kind_width, status_width, age_width] = columns;
    let after_name = name_width + GAP;
    let after_kind = after_name + if narrow { 0 } else { kind_width + GAP };
    let after_status = after_kind + status_width + GAP;
    let after_age = after_status + age_width + GAP;
    let line = |name: Line, kind: &str, status: (&str, Tone), age: &str, info: Line| {
        let mut line = name;
        line.pad_to(after_name);
        line.push(Tone::Faint, kind);
        line.pad_to(after_kind);
        line.push(status.1, status.0);
        line.pad_to(after_status);
        line.push(Tone::Plain, age);
        line.pad_to(after_age);
        line.append(info);
        line.fit(view.width)
    };
    let heading = |text: &str| Line::new().with(Tone::Faint, text);
    let mut out = vec![line(
        heading("NAME"),
        if narrow { "" } else { "KIND" },
        ("STATUS", Tone::Faint),
        "AGE",
        heading("INFO"),
    )];
    for row in rows {
        out.push(match row {
            Row::Node { lead, node } => {
                let status = (node.status.0.as_str(), node.status.1);
                line(lead, kind(node), status, &node.age, node.info.clone())
            }
            Row::Detail(detail) => detail.fit(view.width),
        });
    }
    out
}

/// Puts the branches of the tree before the names: `first` before the node itself, `rest` before
/// everything below it.
fn flatten<'n>(node: &'n Node, first: &str, rest: &str, rows: &mut Vec<Row<'n>>) {
    let mut lead = Line::new().with(Tone::Faint, first);
    lead.append(node.name.clone());
    rows.push(Row::Node { lead, node });
    let bar = if node.children.is_empty() {
        "   "
    } else {
        "│  "
    };
    for detail in &node.details {
        let mut line = Line::new().with(Tone::Faint, format!("{rest}{bar}"));
        line.append(detail.clone());
        rows.push(Row::Detail(line));
    }
    for (i, child) in node.children.iter().enumerate() {
        let last = i + 1 == node.children.len();
        let (branch, bar) = if last {
            ("└─", "   ")
        } else {
            ("├─", "│  ")
        };
        flatten(
            child,
            &format!("{rest}{branch}"),
            &format!("{rest}{bar}"),
            rows,
        );
    }
}

#[cfg(test)]
mod tests;
