//! The list: a row for each Rollout, filtered and in pages, so that thousands are no problem. Reads what is
//! known and makes parts of it.

use askama::Template;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;

use super::Page;
use super::parts::{Part, View};
use super::past::share;
use super::seen::{Item, Key, Seen};
use super::text::{class, escaped, list, path, shown};
use crate::api::analysis_status::{AnalysisRunStatus, Verdict};
use crate::api::rollout::Rollout;
use crate::api::rollout_status::RolloutStatus;
use crate::cli::args::PhaseWord;
use crate::cli::client::ROLLOUTS;
use crate::cli::evidence;
use crate::cli::header;
use crate::cli::list::rows;
use crate::cli::words;

/// Rows on one page: with more the page would be larger than a phone should have to load.
const ROWS: usize = 100;
/// Namespaces to choose from; with more they are typed.
const NAMESPACES_MAX: usize = 200;

/// What is to be shown, as it stands in the address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Part of a name or namespace.
    pub q: String,
    /// A phase's word; empty: any.
    pub phase: String,
    /// A namespace; empty: any.
    pub namespace: String,
    /// Which page, from 1.
    pub page: usize,
}

impl Wanted {
    /// As it stands in an address, on this page.
    #[must_use]
    pub fn query(&self, page: usize) -> String {
        let (q, phase) = (escaped(&self.q), escaped(&self.phase));
        let namespace = escaped(&self.namespace);
        format!("q={q}&phase={phase}&namespace={namespace}&page={page}")
    }

    fn meets(&self, key: &Key, item: &Item) -> bool {
        let (namespace, name) = key;
        let q = self.q.trim().to_lowercase();
        (q.is_empty() || name.to_lowercase().contains(&q) || namespace.to_lowercase().contains(&q))
            && (self.namespace.is_empty() || *namespace == self.namespace)
            && (self.phase.is_empty() || word(item).eq_ignore_ascii_case(&self.phase))
    }
}

fn word(item: &Item) -> String {
    let word = match item {
        Item::Read(rollout) => PhaseWord::of(rollout.status.as_ref().and_then(|s| s.phase)),
        Item::Unreadable { .. } => PhaseWord::Unreadable,
    };
    format!("{word:?}")
}

#[derive(Template)]
#[template(path = "row.html")]
struct Row {
    namespace: String,
    name: String,
    path: String,
    phase: String,
    phase_class: &'static str,
    step: String,
    weight: String,
    evidence: String,
    evidence_class: &'static str,
    age: String,
    waits: String,
}

#[derive(Template)]
#[template(path = "summary.html")]
struct Summary {
    shown: String,
    notes: Vec<String>,
    reads: bool,
    empty: String,
    back: String,
    forth: String,
    place: String,
}

/// The form above the table. It stands still while the rest is live.
#[derive(Template)]
#[template(path = "list.html")]
pub struct Form<'a> {
    q: &'a str,
    phases: Vec<Choice>,
    namespaces: Vec<Choice>,
    summary: &'a str,
    rows: &'a [Part],
}

struct Choice {
    value: String,
    word: String,
    chosen: bool,
}

/// The parts of the list.
pub fn view(page: &Page, wanted: &Wanted, now: Timestamp) -> View {
    page.known.look(|seen| {
        let all = seen.items().count();
        let found: Vec<(&Key, &Item)> = seen
            .items()
            .filter(|(key, item)| wanted.meets(key, item))
            .collect();
        let pages = found.len().div_ceil(ROWS).max(1);
        let at = wanted.page.clamp(1, pages);
        let rows = found.iter().skip((at - 1) * ROWS).take(ROWS);
        let rows: Vec<Part> = rows
            .map(|(key, item)| {
                let row = row(seen, key, item, now);
                // No namespace has a dot in its name.
                Part::of(format!("row-{}.{}", escaped(&key.0), escaped(&key.1)), &row)
            })
            .collect();
        let link = |page: usize| format!("/?{}", wanted.query(page));
        let reads = !seen.is_complete(ROLLOUTS);
        let mut notes = seen.notes();
        notes.extend(page.note.clone());
        let count = |n: usize| words::count(n as f64);
        let mut text = match found.len() == all {
            true => words::plural(i64::try_from(all).unwrap_or(i64::MAX), "Rollout"),
            false => format!("{} of {} Rollouts", count(found.len()), count(all)),
        };
        if pages > 1 {
            text.push_str(&format!(", page {at} of {pages}"));
        }
        let summary = Summary {
            shown: text,
            notes: notes.iter().map(|note| shown(note)).collect(),
            reads: reads && all == 0,
            empty: match (found.is_empty() && !reads, all) {
                (false, _) => String::new(),
                (true, 0) => "There are no Rollouts here: apply one, or look at another namespace."
                    .to_owned(),
                (true, _) => "No Rollout meets the filter: clear it to see the others.".to_owned(),
            },
            back: if at > 1 { link(at - 1) } else { String::new() },
            forth: if at < pages {
                link(at + 1)
            } else {
                String::new()
            },
            place: match page.place.as_str() {
                "" => "all namespaces".to_owned(),
                namespace => format!("namespace {namespace}"),
            },
        };
        View {
            parts: vec![Part::of("summary", &summary)],
            rows,
        }
    })
}

/// The whole page below its frame.
pub fn body(page: &Page, wanted: &Wanted, view: &View) -> String {
    let mut namespaces: Vec<String> = page.known.look(|seen| {
        let mut all: Vec<String> = seen.items().map(|(key, _)| key.0.clone()).collect();
        all.dedup();
        all
    });
    namespaces.truncate(NAMESPACES_MAX);
    if !wanted.namespace.is_empty() && !namespaces.contains(&wanted.namespace) {
        namespaces.push(wanted.namespace.clone());
    }
    let choice = |value: &str, chosen: &str| Choice {
        value: value.to_owned(),
        word: shown(value),
        chosen: value.eq_ignore_ascii_case(chosen),
    };
    let phases: Vec<String> = {
        use clap::ValueEnum as _;
        let all = PhaseWord::value_variants().iter();
        all.map(|phase| format!("{phase:?}")).collect()
    };
    let summary = view.parts.first().map_or("", |part| part.html.as_str());
    let form = Form {
        q: &wanted.q,
        phases: phases.iter().map(|p| choice(p, &wanted.phase)).collect(),
        namespaces: namespaces
            .iter()
            .map(|n| choice(n, &wanted.namespace))
            .collect(),
        summary,
        rows: &view.rows,
    };
    Part::of("list", &form).html
}

fn row(seen: &Seen, key: &Key, item: &Item, now: Timestamp) -> Row {
    let (namespace, name) = key;
    let age = |then: Option<Timestamp>| then.map(|t| words::since(t, now)).unwrap_or_default();
    let mut row = Row {
        namespace: shown(namespace),
        name: shown(name),
        path: path(namespace, name),
        phase: String::new(),
        phase_class: "bad",
        step: String::new(),
        weight: String::new(),
        evidence: String::new(),
        evidence_class: "plain",
        age: String::new(),
        waits: String::new(),
    };
    let rollout: &Rollout = match item {
        Item::Read(rollout) => rollout,
        Item::Unreadable { created, problem } => {
            row.phase = format!("⚠ {}", word(item));
            row.age = age(*created);
            row.waits = shown(problem);
            return row;
        }
    };
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let (phase, tone) = header::phase(status.phase);
    (row.phase, row.phase_class) = (phase, class(tone));
    row.age = age(rollout.creation_timestamp().map(|t| t.0));
    row.step = status
        .canary
        .as_ref()
        .and_then(header::place)
        .unwrap_or_default();
    row.weight = weight(status);
    row.waits = shown(&rows::waits_for(rollout, status, now).0);
    (row.evidence, row.evidence_class) = at_a_glance(seen, key, status);
    row
}

fn weight(status: &RolloutStatus) -> String {
    let traffic = status.traffic.as_ref().filter(|_| status.stable.is_some());
    let Some(traffic) = traffic else {
        return String::new();
    };
    match (traffic.desired, traffic.accepted) {
        (0, 0) if status.canary.is_none() => String::new(),
        (desired, accepted) if desired == accepted => format!("{accepted} %"),
        (desired, accepted) => format!("{accepted} to {desired} %"),
    }
}

/// The verdict so far of what is waited for, with how far its evidence is towards either limit.
fn at_a_glance(seen: &Seen, key: &Key, status: &RolloutStatus) -> (String, &'static str) {
    let canary = status.canary.as_ref();
    let names = [
        status.abort.as_ref().and_then(|a| a.analysis_run.as_ref()),
        canary.and_then(|c| c.analysis_run.as_ref()),
        canary.and_then(|c| c.background_run.as_ref()),
    ];
    let mut runs = names.into_iter().flatten();
    let found = runs.find_map(|name| seen.run(key, name)?.status.as_ref());
    let Some(run) = found else {
        return (String::new(), "plain");
    };
    let Some(verdict) = run.verdict else {
        return ("◌ no verdict yet".to_owned(), "busy");
    };
    let (word, tone) = evidence::verdict(verdict);
    let mut parts = vec![word.to_owned()];
    if verdict == Verdict::Inconclusive {
        parts.extend(shares(run));
    }
    (list(parts), class(tone))
}

/// The metric that is nearest to harm, and the one that is farthest from safety.
fn shares(run: &AnalysisRunStatus) -> Option<String> {
    let counted = run.metrics.iter().filter(|m| !m.dry_run);
    let both: Vec<(f64, f64)> = counted
        .filter_map(|m| m.comparison.as_ref())
        .map(|c| (share(&c.harm), share(&c.safe)))
        .collect();
    let harm = both.iter().map(|(harm, _)| *harm).reduce(f64::max)?;
    let safe = both.iter().map(|(_, safe)| *safe).reduce(f64::min)?;
    Some(format!("harm {harm:.0} %, safety {safe:.0} %"))
}
