//! `get --watch`: API watches on everything that the tree shows. On a terminal the tree is redrawn
//! in place; in a pipe every change is one plain line.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{BoxStream, select_all};
use futures::{Stream, StreamExt};
use jiff::{Timestamp, Unit};
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::client::{ROLLOUTS, Session, full_name, is_final};
use super::error::{CliError, Exit};
use super::evidence;
use super::objects::{self, Objects, REPLICA_SETS, REVERTS, RUNS, rollout_selector};
use super::style::{Line, Tone};
use super::terminal::Terminal;
use super::tree::{self, View};
use crate::api::analysis::AnalysisRun;
use crate::api::revert::Revert;
use crate::api::rollout::Rollout;

/// Changes that come within this time are drawn together: one decision of the controller is several
/// writes.
const QUIET: Duration = Duration::from_millis(100);
/// Ages and countdowns move on at this pace; only a terminal shows that.
const TICK: Duration = Duration::from_secs(1);

/// What a watch brings.
enum Change {
    Rollout(Box<watcher::Event<Rollout>>),
    ReplicaSet(Box<watcher::Event<ReplicaSet>>),
    Run(Box<watcher::Event<AnalysisRun>>),
    Revert(Box<watcher::Event<Revert>>),
    /// A watch that will not come back, or one that is trying to.
    Trouble {
        resource: &'static str,
        error: watcher::Error,
    },
}

/// The objects of one kind as a watch has brought them.
struct Known<K> {
    objects: BTreeMap<String, K>,
    /// A new list on its way in; it takes the place of `objects` when it is complete.
    coming: Option<BTreeMap<String, K>>,
}

impl<K: ResourceExt> Known<K> {
    fn of(list: Vec<K>) -> Self {
        let objects = list.into_iter().map(|o| (o.name_any(), o)).collect();
        Self {
            objects,
            coming: None,
        }
    }

    fn apply(&mut self, event: watcher::Event<K>) {
        match event {
            watcher::Event::Init => self.coming = Some(BTreeMap::new()),
            watcher::Event::InitApply(object) => {
                self.coming
                    .get_or_insert_default()
                    .insert(object.name_any(), object);
            }
            watcher::Event::InitDone => {
                if let Some(list) = self.coming.take() {
                    self.objects = list;
                }
            }
            watcher::Event::Apply(object) => {
                self.objects.insert(object.name_any(), object);
            }
            watcher::Event::Delete(object) => {
                self.objects.remove(&object.name_any());
            }
        }
    }
}

impl<K: Clone> Known<K> {
    fn list(&self) -> Vec<K> {
        self.objects.values().cloned().collect()
    }
}

/// Everything that is watched, as it is known now.
struct Seen {
    rollout: Known<Rollout>,
    replica_sets: Known<ReplicaSet>,
    runs: Known<AnalysisRun>,
    reverts: Known<Revert>,
    /// By resource: what is wrong with its watch.
    trouble: BTreeMap<&'static str, String>,
    last: Rollout,
}

impl Seen {
    fn of(all: Objects) -> Self {
        Self {
            last: all.rollout.clone(),
            rollout: Known::of(vec![all.rollout]),
            replica_sets: Known::of(all.replica_sets),
            runs: Known::of(all.runs),
            reverts: Known::of(all.reverts),
            trouble: BTreeMap::new(),
        }
    }

    /// # Errors
    /// When the Rollout itself may not be watched; without the rest there is still something to see.
    fn apply(&mut self, session: &Session, change: Change) -> Result<(), CliError> {
        match change {
            Change::Rollout(event) => {
                self.trouble.remove(ROLLOUTS);
                self.rollout.apply(*event);
                if let Some(rollout) = self.rollout.objects.values().next() {
                    self.last.clone_from(rollout);
                }
            }
            Change::ReplicaSet(event) => {
                self.trouble.remove(REPLICA_SETS);
                self.replica_sets.apply(*event);
            }
            Change::Run(event) => {
                self.trouble.remove(RUNS);
                self.runs.apply(*event);
            }
            Change::Revert(event) => {
                self.trouble.remove(REVERTS);
                self.reverts.apply(*event);
            }
            Change::Trouble { resource, error } => {
                let (lasting, text) = match &error {
                    watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) => {
                        let error = session.explain(&session.asked("watch", resource), e);
                        if resource == ROLLOUTS && is_final(e) {
                            return Err(error);
                        }
                        (true, error.to_string())
                    }
                    // The server closes watches now and then; the next one takes over at once.
                    other => (false, other.to_string()),
                };
                if lasting {
                    self.trouble
                        .insert(resource, format!("{resource} may be out of date: {text}"));
                }
            }
        }
        Ok(())
    }

    fn objects(&self) -> Objects {
        let mut all = Objects {
            rollout: self.last.clone(),
            replica_sets: self.replica_sets.list(),
            runs: self.runs.list(),
            reverts: self.reverts.list(),
            notes: self.trouble.values().cloned().collect(),
        };
        all.keep_own();
        all
    }

    fn is_deleted(&self) -> bool {
        self.rollout.objects.is_empty()
    }
}

/// Shows every change until the Rollout is deleted.
///
/// # Errors
/// When the Rollout may not be watched, or the output cannot be written.
pub async fn run(
    session: &Session,
    terminal: &mut Terminal<'_>,
    all: Objects,
    wide: bool,
) -> Result<Exit, CliError> {
    let name = all.rollout.name_any();
    let mut changes = changes(session, &all.rollout);
    let mut seen = Seen::of(all);
    let mut picture = Picture {
        wide,
        drawn: false,
        said: BTreeMap::new(),
    };
    loop {
        if seen.is_deleted() {
            terminal.say(Tone::Plain, format!("{} was deleted", full_name(&name)))?;
            return Ok(Exit::Done);
        }
        picture.show(terminal, &seen.objects(), Timestamp::now())?;
        let tick = Instant::now() + TICK;
        tokio::select! {
            change = changes.next() => {
                let Some(change) = change else { return Ok(Exit::Done) };
                seen.apply(session, change)?;
                let quiet = Instant::now() + QUIET;
                while let Ok(Some(change)) = tokio::time::timeout_at(quiet, changes.next()).await {
                    seen.apply(session, change)?;
                }
            }
            () = tokio::time::sleep_until(tick), if terminal.screen().is_terminal() => {}
        }
    }
}

/// All watches in one stream.
fn changes(
    session: &Session,
    rollout: &Rollout,
) -> impl Stream<Item = Change> + Send + Unpin + use<> {
    let one = watcher::Config::default().fields(&format!("metadata.name={}", rollout.name_any()));
    let of_rollout = watcher::Config::default().labels(&rollout_selector(&rollout.name_any()));
    select_all([
        stream(session.rollouts(), one, ROLLOUTS, Change::Rollout),
        stream(
            objects::replica_sets(session),
            of_rollout.clone(),
            REPLICA_SETS,
            Change::ReplicaSet,
        ),
        stream(session.runs(), of_rollout.clone(), RUNS, Change::Run),
        stream(session.reverts(), of_rollout, REVERTS, Change::Revert),
    ])
}

fn stream<K>(
    api: Api<K>,
    config: watcher::Config,
    resource: &'static str,
    wrap: fn(Box<watcher::Event<K>>) -> Change,
) -> BoxStream<'static, Change>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, config)
        .default_backoff()
        .map(move |event| match event {
            Ok(event) => wrap(Box::new(event)),
            Err(error) => Change::Trouble { resource, error },
        })
        .boxed()
}

/// What stands on the screen, or was said in the pipe.
struct Picture {
    wide: bool,
    drawn: bool,
    /// The last line about each object.
    said: BTreeMap<String, String>,
}

impl Picture {
    fn show(
        &mut self,
        terminal: &mut Terminal<'_>,
        all: &Objects,
        now: Timestamp,
    ) -> Result<(), CliError> {
        if terminal.screen().is_terminal() {
            self.draw(terminal, all, now)
        } else {
            self.tell(terminal, all, now)
        }
    }

    /// Draws over what stands there, line by line, so that nothing flickers.
    fn draw(
        &mut self,
        terminal: &mut Terminal<'_>,
        all: &Objects,
        now: Timestamp,
    ) -> Result<(), CliError> {
        let screen = terminal.screen();
        let view = View {
            now,
            width: screen.width,
            wide: self.wide,
        };
        let mut lines = tree::render(all, &view);
        let room = screen.height.unwrap_or(usize::MAX).saturating_sub(1).max(1);
        if lines.len() > room {
            let hidden = lines.len() - room + 1;
            lines.truncate(room - 1);
            lines.push(Line::new().with(Tone::Faint, format!("… {hidden} more lines below")));
        }
        // A frame: all at once where the terminal can; home; each line to its end; the rest.
        let mut frame = String::from("\u{1b}[?2026h");
        frame.push_str(if self.drawn {
            "\u{1b}[H"
        } else {
            "\u{1b}[2J\u{1b}[H"
        });
        for line in &lines {
            frame.push_str(&line.render(screen.colour));
            frame.push_str("\u{1b}[K\r\n");
        }
        frame.push_str("\u{1b}[J\u{1b}[?2026l");
        self.drawn = true;
        terminal.raw(frame.as_bytes())
    }

    /// Says what has changed since it was last said.
    fn tell(
        &mut self,
        terminal: &mut Terminal<'_>,
        all: &Objects,
        now: Timestamp,
    ) -> Result<(), CliError> {
        let time = now.round(Unit::Second).unwrap_or(now);
        for (object, text) in facts(all, now) {
            if self.said.get(&object) != Some(&text) {
                terminal.say(Tone::Plain, format!("{time} {object}: {text}"))?;
                self.said.insert(object, text);
            }
        }
        for note in &all.notes {
            if self.said.insert(note.clone(), String::new()).is_none() {
                terminal.note(note);
            }
        }
        Ok(())
    }
}

/// One line for each object that a reader of a log wants to follow. Nothing in it moves by itself.
fn facts(all: &Objects, now: Timestamp) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let status = all.rollout.status.clone().unwrap_or_default();
    let phase = status
        .phase
        .map_or_else(|| "Unknown".to_owned(), |p| p.to_string());
    let mut text = phase;
    if let Some(canary) = &status.canary {
        text.push_str(&format!(
            ", revision {} step {}/{}",
            canary.revision, canary.step, canary.steps
        ));
    }
    if let Some(traffic) = &status.traffic {
        text.push_str(&format!(
            ", traffic {} % ({} % accepted)",
            traffic.desired, traffic.accepted
        ));
    }
    text.push_str(&format!(
        ", {}/{} ready",
        status.ready_replicas, all.rollout.spec.replicas
    ));
    if !status.message.is_empty() {
        text.push_str(&format!(": {}", status.message));
    }
    out.push((full_name(all.rollout.name_any()), text));
    for run in &all.runs {
        let status = run.status.as_ref();
        let (word, _) = evidence::phase(status.and_then(|s| s.phase));
        let metrics: Vec<String> = evidence::lines(run, "", now)
            .iter()
            .map(|line| {
                line.render(false)
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        // Times since and until move by themselves; they are in what a source's trouble says.
        let text = if status.is_some_and(|s| s.metrics.iter().any(|m| m.trouble.is_some())) {
            status.map(|s| s.message.clone()).unwrap_or_default()
        } else {
            metrics.join("; ")
        };
        out.push((
            format!("analysisrun.tidegate.io/{}", run.name_any()),
            format!("{word}, {text}"),
        ));
    }
    for revert in &all.reverts {
        let status = revert.status.as_ref();
        let phase = status
            .and_then(|s| s.phase)
            .map_or("Pending", |p| p.as_str());
        let commit = status
            .and_then(|s| s.commit.as_deref())
            .map(|c| format!(", commit {c}"));
        let message = status
            .and_then(|s| s.message.as_deref())
            .map(|m| format!(": {m}"));
        let text = format!(
            "{phase}{}{}",
            commit.unwrap_or_default(),
            message.unwrap_or_default()
        );
        out.push((format!("revert.tidegate.io/{}", revert.name_any()), text));
    }
    out
}
