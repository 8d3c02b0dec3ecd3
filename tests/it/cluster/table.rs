//! Runs the scenarios beside each other and prints what came of them.

use super::lab::Lab;
use futures::future::LocalBoxFuture;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_lab::audit::{Request, Writes};
use tidegate_lab::wait;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How many scenarios run at a time. They wait more than they work.
const AT_A_TIME: usize = 16;

/// How long no write counts as silence: several times the period of anything that is done again
/// and again.
const SILENCE: Duration = Duration::from_secs(10);

/// Whose writes are counted: the ServiceAccounts of the chart.
pub const CONTROLLER: &str = "system:serviceaccount:tidegate-system:tidegate";
pub const GIT_WRITER: &str = "system:serviceaccount:tidegate-system:tidegate-git-writer";

/// What a rollout may cost in writes of the controller, status and Events included: so many, so many
/// more for each weight, and one for each stop that somebody must hear of and for its end.
const WRITES: u64 = 8;
const WRITES_PER_WEIGHT: u64 = 4;

/// Longer than any wait within a scenario, so that the wait says what did not come.
const LONGEST: Duration = wait::DEADLINE.saturating_mul(3);

/// Runs only the scenarios whose name has this in it, or one of several with commas between.
const FILTER_VARIABLE: &str = "TIDEGATE_SCENARIO";

/// Names a file for the summary as JSON.
const SUMMARY_VARIABLE: &str = "TIDEGATE_SUMMARY";

/// One line of the table.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(Bench) -> LocalBoxFuture<'static, ()>,
}

/// A scenario's own place in the laboratory.
#[derive(Clone)]
pub struct Bench {
    pub lab: Arc<Lab>,
    pub namespace: String,
    record: Arc<Mutex<Record>>,
}

/// What a scenario says about itself.
#[derive(Default)]
struct Record {
    notes: Vec<String>,
    measured: Option<Measured>,
}

/// The rollout whose writes are counted.
struct Measured {
    budget: u64,
    before: Cost,
    cost: Option<Cost>,
}

/// What Tidegate wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    controller: Writes,
    git_writer: Writes,
}

impl Cost {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            controller: self.controller.since(&earlier.controller),
            git_writer: self.git_writer.since(&earlier.git_writer),
        }
    }

    /// Of the Rollout itself.
    fn rollout(&self) -> Writes {
        self.controller.only(is_rollout)
    }

    /// Of what brings a version out: ReplicaSets, Services, routes and Events.
    fn other(&self) -> Writes {
        self.controller
            .only(|action| !is_rollout(action) && !is_evidence(action) && !is_revert(action))
    }

    /// Of what gathers evidence.
    fn evidence(&self) -> Writes {
        self.controller.only(is_evidence)
    }

    /// Of what takes a change out of Git, by both processes.
    fn git(&self) -> u64 {
        self.git_writer.total() + self.controller.only(is_revert).total()
    }
}

fn is_rollout(action: &str) -> bool {
    action.contains(" rollouts")
}

fn is_evidence(action: &str) -> bool {
    action.contains(" analysisruns")
}

fn is_revert(action: &str) -> bool {
    action.contains(" reverts")
}

impl Bench {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a measurement to the scenario's line in the table. It is shown, not judged.
    pub fn note(&self, text: String) {
        self.record().notes.push(text);
    }

    /// From here on the writes in the table are those of one rollout, which changes the weights so
    /// many times (the switch of blue/green is one; going back and on to stable are part of it).
    pub fn rollout_begins(&self, weights: u64) {
        self.rollouts_begin(1, weights, 0);
    }

    /// The same of several rollouts, with stops that somebody must hear of, and their ends.
    pub fn rollouts_begin(&self, rollouts: u64, weights: u64, stops_and_ends: u64) {
        let before = self.cost();
        self.record().measured = Some(Measured {
            budget: WRITES * rollouts + WRITES_PER_WEIGHT * weights + stops_and_ends,
            before,
            cost: None,
        });
    }

    /// Waits until nothing more is written for the rollout, and counts.
    pub async fn rollout_is_over(&self) {
        self.stays_silent().await;
        let now = self.cost();
        if let Some(measured) = &mut self.record().measured {
            measured.cost = Some(now.since(&measured.before));
        }
    }

    /// What Tidegate has written in this namespace.
    fn cost(&self) -> Cost {
        let writes = |user| self.lab.audit.writes(user, &self.namespace);
        Cost {
            controller: writes(CONTROLLER),
            git_writer: writes(GIT_WRITER),
        }
    }

    /// What the controller wrote in this namespace, in order.
    pub fn written(&self, action: &str, name: &str) -> Vec<Request> {
        let mut requests = self.lab.audit.requests(CONTROLLER, &self.namespace);
        requests.retain(|request| {
            request.is_granted() && request.action == action && request.name == name
        });
        requests
    }

    /// When an abort was decided, and when the write had been made that takes the traffic back,
    /// both by the API server's clock. `traffic` is that write's action and object.
    pub fn abort_times(
        &self,
        decided: Decided<'_>,
        traffic: (&str, &str),
    ) -> (Timestamp, Timestamp) {
        let decided = match decided {
            Decided::ByRun(run) => {
                let verdict = self.written("update analysisruns/status", run).pop();
                verdict.expect("the run's verdict was written").received
            }
            Decided::ByPerson(who) => {
                let mut commands = self.lab.audit.requests(who, &self.namespace);
                commands.retain(|request| request.action == "patch rollouts");
                commands.pop().expect("a command was written").received
            }
        };
        let writes = self.written(traffic.0, traffic.1);
        let back = writes.iter().find(|write| write.answered > decided);
        let back = back.unwrap_or_else(|| panic!("no {traffic:?} after {decided}: {writes:?}"));
        (decided, back.answered)
    }

    /// Waits until Tidegate has written nothing for a while: a settled Rollout costs nothing.
    pub async fn stays_silent(&self) {
        let mut last = (self.cost(), tokio::time::Instant::now());
        wait::until_ok("Tidegate has stopped to write", async || {
            let cost = self.cost();
            if cost != last.0 {
                last = (cost, tokio::time::Instant::now());
            }
            if last.1.elapsed() >= SILENCE {
                Ok(())
            } else {
                Err(last.0.clone())
            }
        })
        .await;
    }
}

/// Who decided that a version is given up.
#[derive(Clone, Copy)]
pub enum Decided<'a> {
    /// An AnalysisRun of this name.
    ByRun(&'a str),
    /// A user with this name, by a command, the last thing that the user wrote to a Rollout.
    ByPerson(&'a str),
}

/// Seconds between two moments, as they are shown.
pub fn seconds(from: Timestamp, to: Timestamp) -> String {
    format!("{:.2} s", to.duration_since(from).as_secs_f64())
}

struct Outcome {
    name: &'static str,
    failure: Option<String>,
    seconds: f64,
    cost: Cost,
    /// What one rollout may cost, if one was measured.
    budget: Option<u64>,
    notes: Vec<String>,
}

impl Outcome {
    fn counted(&self) -> u64 {
        self.cost.rollout().total() + self.cost.other().total()
    }

    fn is_over_budget(&self) -> bool {
        self.budget.is_some_and(|budget| self.counted() > budget)
    }
}

/// Runs the scenarios that were asked for. Returns whether all of them hold.
pub async fn run(lab: Arc<Lab>, scenarios: &[Scenario]) -> bool {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let wanted = |name: &str| filter.split(',').any(|part| name.contains(part.trim()));
    // Those at the end take longest: they begin, and the short ones fill the gaps.
    let chosen = scenarios
        .iter()
        .rev()
        .filter(|scenario| wanted(scenario.name));
    let mut outcomes: Vec<Outcome> = stream::iter(chosen)
        .map(|scenario| run_one(Arc::clone(&lab), scenario))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    assert!(
        !outcomes.is_empty(),
        "no scenario has {filter:?} in its name"
    );
    let order = |name: &str| scenarios.iter().position(|scenario| scenario.name == name);
    outcomes.sort_by_key(|outcome| order(outcome.name));
    println!("\n{}", text(&outcomes));
    if let Some(file) = std::env::var_os(SUMMARY_VARIABLE) {
        std::fs::write(&file, format!("{:#}\n", summary(&outcomes))).unwrap();
    }
    outcomes.iter().all(|outcome| outcome.failure.is_none())
}

async fn run_one(lab: Arc<Lab>, scenario: &Scenario) -> Outcome {
    let namespace = scenario
        .name
        .to_lowercase()
        .replace(": ", "-")
        .replace(' ', "-");
    lab.namespace(&namespace).await;
    let bench = Bench {
        lab,
        namespace,
        record: Arc::default(),
    };
    let started = Instant::now();
    let ended = spawn_local(timeout(LONGEST, (scenario.run)(bench.clone()))).await;
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("not done after {LONGEST:?}")),
        Err(error) => Some(match error.try_into_panic() {
            Ok(panic) => wait::said(panic),
            Err(error) => error.to_string(),
        }),
    };
    let now = bench.cost();
    let record = std::mem::take(&mut *bench.record());
    let (budget, cost) = match record.measured {
        None => (None, now),
        Some(measured) => (
            Some(measured.budget),
            measured.cost.unwrap_or_else(|| now.since(&measured.before)),
        ),
    };
    let outcome = Outcome {
        name: scenario.name,
        failure,
        seconds: started.elapsed().as_secs_f64(),
        cost,
        budget,
        notes: record.notes,
    };
    println!("{}", line(&outcome, scenario.name.len()));
    outcome
}

/// The head of the table, over what [`line`] gives.
fn head(width: usize) -> String {
    format!(
        "{:<width$}  {:<6}  {:>8}  {:>7}  {:>5}  {:>9}  {:>8}  {:>3}",
        "scenario", "result", "seconds", "rollout", "other", "of budget", "evidence", "git"
    )
}

fn line(outcome: &Outcome, width: usize) -> String {
    let Outcome {
        name,
        failure,
        seconds,
        cost,
        budget,
        notes,
    } = outcome;
    let result = if failure.is_none() { "ok" } else { "FAILED" };
    let budget = budget.map_or_else(String::new, |budget| {
        format!("{} of {budget}", outcome.counted())
    });
    let mut line = format!(
        "{name:<width$}  {result:<6}  {seconds:>8.1}  {:>7}  {:>5}  {budget:>9}  {:>8}  {:>3}",
        cost.rollout().total(),
        cost.other().total(),
        cost.evidence().total(),
        cost.git(),
    );
    let first = failure
        .as_deref()
        .and_then(|failure| failure.lines().next());
    for text in first.into_iter().chain(notes.iter().map(String::as_str)) {
        let _ = write!(line, "  {text};");
    }
    line.trim_end_matches(';').to_owned()
}

fn text(outcomes: &[Outcome]) -> String {
    let width = outcomes
        .iter()
        .map(|outcome| outcome.name.len())
        .max()
        .unwrap_or_default();
    let mut text = head(width) + "\n";
    for outcome in outcomes {
        let _ = writeln!(text, "{}", line(outcome, width));
    }
    for outcome in outcomes.iter().filter(|outcome| outcome.is_over_budget()) {
        let _ = writeln!(
            text,
            "over its budget: {}: {}",
            outcome.name,
            spelled_out(&outcome.cost)
        );
    }
    let failed = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count();
    let _ = write!(
        text,
        "{} scenarios passed, {failed} failed",
        outcomes.len() - failed
    );
    text
}

/// Every kind of write with its count.
fn spelled_out(cost: &Cost) -> String {
    let actions = cost.controller.0.iter();
    let actions = actions.filter(|(action, _)| !is_evidence(action) && !is_revert(action));
    let counts: Vec<String> = actions
        .map(|(action, count)| format!("{count} {action}"))
        .collect();
    counts.join(", ")
}

fn summary(outcomes: &[Outcome]) -> Value {
    let scenarios: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            let cost = &outcome.cost;
            json!({
                "name": outcome.name,
                "result": if outcome.failure.is_none() { "passed" } else { "failed" },
                "failure": outcome.failure,
                "seconds": outcome.seconds,
                "writes": {
                    "rollout": cost.rollout().total(),
                    "other": cost.other().total(),
                    "budget": outcome.budget,
                    "evidence": cost.evidence().total(),
                    "gitWriter": cost.git_writer.total(),
                    "controllerBy": cost.controller.0,
                    "gitWriterBy": cost.git_writer.0,
                },
                "notes": outcome.notes,
            })
        })
        .collect();
    json!({"scenarios": scenarios})
}
