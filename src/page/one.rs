//! One Rollout: where it stands and why, what comes next, and what shows it. The sentences are those of
//! `kubectl tidegate why`; nothing is worded anew here. Pure but for what is known.

use askama::Template;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::ResourceExt;
use serde_json::Value;

use super::Page;
use super::act::{self, Choice};
use super::evidence::{self, Run};
use super::parts::{Part, Trouble, View};
use super::plots;
use super::seen::{Item, Key};
use super::steps::{self, Step};
use super::text::{Piece, When, class, list, of, path, pieces, shown};
use crate::api::revert::Revert;
use crate::api::rollout::BASELINE_LABEL;
use crate::api::rollout_status::{RolloutStatus, SourceStatus};
use crate::cli::client::ROLLOUTS;
use crate::cli::objects::{Counts, Objects, failure, hash_of, revision_of};
use crate::cli::{advice, header, history, reverts, why, words};

/// Lines of a diff that are shown.
const DIFF_MAX: usize = 200;
/// ReplicaSets that are shown: those with pods first.
const SETS_MAX: usize = 12;

#[derive(Template)]
#[template(path = "head.html")]
struct Head {
    name: String,
    namespace: String,
    phase: String,
    phase_class: &'static str,
    message: String,
    waits: String,
    reasons: Vec<Vec<Piece>>,
    next: Vec<Vec<Piece>>,
    notes: Vec<String>,
}

#[derive(Template)]
#[template(path = "actions.html")]
struct Actions {
    namespace: String,
    name: String,
    place: String,
    choices: Vec<Choice>,
    read_only: bool,
    command: String,
}

#[derive(Template)]
#[template(path = "traffic.html")]
struct Traffic {
    now: String,
    since: When,
    plots: String,
}

#[derive(Template)]
#[template(path = "evidence.html")]
struct EvidencePart {
    runs: Vec<Run>,
}

#[derive(Template)]
#[template(path = "steps.html")]
struct StepsPart {
    strategy: String,
    steps: Vec<Step>,
}

#[derive(Template)]
#[template(path = "pods.html")]
struct Pods {
    sets: Vec<Set>,
    left_out: usize,
}

struct Set {
    name: String,
    role: String,
    revision: String,
    images: String,
    ready: String,
    available: String,
    age: String,
    failure: String,
}

#[derive(Template)]
#[template(path = "git.html")]
struct Git {
    sources: Vec<Source>,
    reverts: Vec<RevertShown>,
}

struct Source {
    role: String,
    repo: String,
    branch: String,
    path: String,
    revision: String,
}

struct RevertShown {
    sentence: String,
    class: &'static str,
    changes: Vec<Change>,
    diff: Vec<DiffLine>,
}

struct Change {
    path: String,
    old: String,
    new: String,
}

struct DiffLine {
    class: &'static str,
    text: String,
}

#[derive(Template)]
#[template(path = "past.html")]
struct PastPart {
    commands: Vec<Command>,
    outcomes: Vec<Outcome>,
}

struct Command {
    text: String,
    refused: bool,
}

struct Outcome {
    revision: String,
    outcome: String,
    at: When,
    took: String,
    images: String,
    revert: String,
    message: String,
}

/// The parts of a Rollout's page; none where there is no such Rollout.
pub fn view(page: &Page, key: &Key, now: Timestamp) -> Option<View> {
    page.known.look(|seen| {
        let item = seen.item(key);
        let trouble = |heading: &str, text: &str| View {
            parts: vec![Part::of("head", &Trouble { heading, text })],
            rows: Vec::new(),
        };
        match item {
            None if !seen.is_complete(ROLLOUTS) => {
                let mut text = seen.notes().join(" ");
                if text.is_empty() {
                    "It is being read; in a moment it is here.".clone_into(&mut text);
                }
                return Some(trouble("Not read yet", &shown(&text)));
            }
            None => return None,
            Some(Item::Unreadable { problem, .. }) => {
                let text = format!(
                    "It cannot be read by this program ({}): {}. Program and installed resources are \
                     probably of different versions: `kubectl tidegate version` compares them.",
                    env!("CARGO_PKG_VERSION"),
                    shown(problem)
                );
                return Some(trouble(&format!("⚠ Unreadable: {}", shown(&key.1)), &text));
            }
            Some(Item::Read(_)) => {}
        }
        let all = seen.objects(key)?;
        let past = seen.past(key);
        let mut notes = seen.notes();
        notes.extend(page.note.clone());
        let traffic = Traffic {
            now: share_now(&all),
            since: When::of(past.and_then(super::past::Past::since), now),
            plots: past
                .map(|past| plots::html(&[plots::traffic(past, now)]))
                .unwrap_or_default(),
        };
        let evidence = EvidencePart {
            runs: evidence::of(&all, past, now),
        };
        let steps = StepsPart {
            strategy: strategy(&all),
            steps: steps::of(&all, past, now),
        };
        let parts = vec![
            Part::of("head", &head(&all, &notes, now)),
            Part::of("actions", &actions(page, &all)),
            Part::of("steps", &steps),
            Part::of("traffic", &traffic),
            Part::of("evidence", &evidence),
            Part::of("pods", &pods(&all, now)),
            Part::of("git", &git(&all, now)),
            Part::of("past", &past_part(&all, now)),
        ];
        Some(View {
            parts,
            rows: Vec::new(),
        })
    })
}

fn head(all: &Objects, notes: &[String], now: Timestamp) -> Head {
    let rollout = &all.rollout;
    let empty = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&empty);
    let (phase, tone) = header::phase(status.phase);
    let why = why::document(all, now);
    let found = why.get("why").and_then(Value::as_array);
    let text = |finding: &Value| pieces(finding.get("text").and_then(Value::as_str).unwrap_or(""));
    Head {
        name: shown(&rollout.name_any()),
        namespace: shown(&rollout.namespace().unwrap_or_default()),
        phase,
        phase_class: class(tone),
        message: shown(&status.message),
        waits: advice::pause(rollout, now)
            .map(|text| shown(&text))
            .unwrap_or_default(),
        reasons: found.into_iter().flatten().map(text).collect(),
        next: advice::next(all).iter().map(|text| pieces(text)).collect(),
        notes: notes.iter().map(|note| shown(note)).collect(),
    }
}

fn actions(page: &Page, all: &Objects) -> Actions {
    let rollout = &all.rollout;
    Actions {
        namespace: rollout.namespace().unwrap_or_default(),
        name: rollout.name_any(),
        place: act::place(rollout.status.as_ref()),
        choices: act::choices(rollout),
        read_only: page.read_only,
        command: shown(&advice::command(rollout, "abort").replace('`', "")),
    }
}

fn share_now(all: &Objects) -> String {
    let status = all.rollout.status.as_ref();
    let text = status.and_then(|status| header::traffic(&all.rollout, status));
    let nothing = || "All traffic is the stable version's, or there is none to share.".to_owned();
    text.map_or_else(nothing, |(text, _)| shown(&text))
}

fn strategy(all: &Objects) -> String {
    let strategy = &all.rollout.spec.strategy;
    match (&strategy.blue_green, &strategy.canary) {
        (Some(_), _) => {
            "Blue/green: the whole new version comes up beside the old one, then one write switches."
                .to_owned()
        }
        (None, Some(canary)) if canary.steps.is_empty() => {
            "No steps: all traffic once the pods are available.".to_owned()
        }
        _ => String::new(),
    }
}

fn pods(all: &Objects, now: Timestamp) -> Pods {
    let status = all.rollout.status.as_ref();
    let stable = status
        .and_then(|s| s.stable.as_ref())
        .map(|s| s.hash.as_str());
    let canary = status
        .and_then(|s| s.canary.as_ref())
        .map(|c| c.hash.as_str());
    let gone = status.is_some_and(|s| s.abort.is_some());
    let role = |rs: &ReplicaSet| {
        let hash = hash_of(rs);
        if rs.labels().contains_key(BASELINE_LABEL) {
            "control group"
        } else if canary == Some(hash.as_str()) && gone {
            "given up"
        } else if canary == Some(hash.as_str()) {
            "new version"
        } else if stable == Some(hash.as_str()) {
            "stable"
        } else {
            ""
        }
    };
    let mut sets: Vec<&ReplicaSet> = all.replica_sets.iter().collect();
    sets.sort_by_key(|rs| {
        let unused = role(rs).is_empty() && Counts::of(rs).current == 0;
        (unused, std::cmp::Reverse(revision_of(rs)))
    });
    let left_out = sets.len().saturating_sub(SETS_MAX);
    let shown_set = |rs: &&ReplicaSet| {
        let counts = Counts::of(rs);
        let why = failure(rs).and_then(|f| f.message.as_ref());
        let template = rs.spec.as_ref().and_then(|s| s.template.as_ref());
        let pod = template.and_then(|t| t.spec.as_ref());
        let containers = pod.into_iter().flat_map(|pod| &pod.containers);
        Set {
            name: shown(&rs.name_any()),
            role: role(rs).to_owned(),
            revision: revision_of(rs).to_string(),
            images: list(containers.filter_map(|c| c.image.as_ref())),
            ready: format!("{} of {}", counts.ready, counts.desired),
            available: counts.available.to_string(),
            age: rs
                .creation_timestamp()
                .map(|t| words::since(t.0, now))
                .unwrap_or_default(),
            failure: why.map(|why| shown(why)).unwrap_or_default(),
        }
    };
    Pods {
        sets: sets.iter().take(SETS_MAX).map(shown_set).collect(),
        left_out,
    }
}

fn git(all: &Objects, now: Timestamp) -> Git {
    let status = all.rollout.status.as_ref();
    let canary = status.and_then(|s| s.canary.as_ref());
    let stable = status.and_then(|s| s.stable.as_ref());
    let source = |role: &str, source: &SourceStatus| Source {
        role: role.to_owned(),
        repo: shown(&source.repo),
        branch: shown(&source.branch),
        path: shown(&source.path),
        revision: shown(&source.revision),
    };
    let of_canary = canary
        .and_then(|c| c.source.as_ref())
        .map(|s| source("new version", s));
    let of_stable = stable
        .and_then(|c| c.source.as_ref())
        .map(|s| source("stable", s));
    // The one that matters now: of the present abort, or the newest.
    let named = status
        .and_then(|s| s.abort.as_ref())
        .and_then(|a| a.revert.as_deref());
    let mut own: Vec<&Revert> = all.reverts.iter().collect();
    own.sort_by_key(|r| {
        std::cmp::Reverse((named == Some(r.name_any().as_str()), r.spec.aborted_at))
    });
    Git {
        sources: of_canary.into_iter().chain(of_stable).collect(),
        reverts: own
            .first()
            .map(|revert| revert_shown(revert, now))
            .into_iter()
            .collect(),
    }
}

fn revert_shown(revert: &Revert, now: Timestamp) -> RevertShown {
    let (_, tone) = reverts::phase(revert);
    let plan = revert.status.as_ref().and_then(|s| s.plan.as_deref());
    let lines = plan.unwrap_or_default().lines().take(DIFF_MAX);
    let text = |value: &Option<String>| match value {
        Some(value) => shown(value),
        None => "(none)".to_owned(),
    };
    RevertShown {
        sentence: shown(&reverts::sentence(revert, now)),
        class: class(tone),
        changes: revert
            .spec
            .changes
            .iter()
            .map(|change| Change {
                path: shown(&change.path),
                old: text(&change.old),
                new: text(&change.new),
            })
            .collect(),
        diff: lines
            .map(|line| DiffLine {
                class: match line.chars().next() {
                    Some('+') => "added",
                    Some('-') => "removed",
                    _ => "same",
                },
                text: shown(line),
            })
            .collect(),
    }
}

fn past_part(all: &Objects, now: Timestamp) -> PastPart {
    let status = all.rollout.status.as_ref();
    let mut commands = Vec::new();
    let last = status.and_then(|s| s.last_handled_command.as_ref());
    if let Some((status, last)) = status.zip(last) {
        commands.push(Command {
            text: shown(&header::last_command(status, now).unwrap_or_default()),
            refused: last.result.starts_with("Refused"),
        });
    }
    let handled = status.map(|s| &s.handled_commands).into_iter().flatten();
    for (verb, value) in handled.filter(|(_, value)| last.is_none_or(|l| l.value != **value)) {
        commands.push(Command {
            text: shown(&format!("{verb} {value}")),
            refused: false,
        });
    }
    let document = history::document(all, now);
    let outcomes = document.get("history").and_then(Value::as_array);
    let outcome = |entry: &Value| {
        let field = |name: &str| entry.get(name).unwrap_or(&Value::Null);
        let images = field("images")
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Outcome {
            revision: of(field("revision")),
            outcome: of(field("outcome")),
            at: When::read(field("at"), now),
            took: field("tookSeconds")
                .as_i64()
                .map(words::length)
                .unwrap_or_default(),
            images: list(images.iter().filter_map(Value::as_str)),
            revert: of(field("revert")),
            message: of(field("message")),
        }
    };
    PastPart {
        commands,
        outcomes: outcomes.into_iter().flatten().map(outcome).collect(),
    }
}

/// The page's own address, for links.
#[must_use]
pub fn address(key: &Key) -> String {
    path(&key.0, &key.1)
}

/// The whole page below its frame.
#[derive(Template)]
#[template(path = "one.html")]
pub struct Body<'a> {
    /// The parts, in their order.
    pub parts: &'a [Part],
}
