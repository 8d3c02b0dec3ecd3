//! Runs the scenarios beside each other and prints what came of them.

use super::audit::Writes;
use super::lab::Lab;
use super::wait;
use futures::future::LocalBoxFuture;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How many scenarios run at a time. They wait more than they work.
const AT_A_TIME: usize = 6;

/// How long no write counts as silence: several times the period of anything that is done again
/// and again.
const SILENCE: Duration = Duration::from_secs(10);

/// Whose writes are counted: the controller's ServiceAccount in the chart.
pub const CONTROLLER: &str = "system:serviceaccount:tidegate-system:tidegate";

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
    notes: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    /// Adds a measurement to the scenario's line in the table. It is shown, not judged.
    pub fn note(&self, text: String) {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    /// What the controller has written in this namespace.
    pub fn writes(&self) -> Writes {
        self.lab.audit.writes(CONTROLLER, &self.namespace)
    }

    /// Waits until the controller has written nothing for a while: a settled Rollout costs nothing.
    pub async fn stays_silent(&self) {
        let mut last = (self.writes(), tokio::time::Instant::now());
        wait::until_ok("the controller has stopped to write", async || {
            let writes = self.writes();
            if writes != last.0 {
                last = (writes, tokio::time::Instant::now());
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

struct Outcome {
    name: &'static str,
    failure: Option<String>,
    seconds: f64,
    writes: Writes,
    notes: Vec<String>,
}

/// Runs the scenarios that were asked for. Returns whether all of them hold.
pub async fn run(lab: Arc<Lab>, scenarios: &[Scenario]) -> bool {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let wanted = |name: &str| filter.split(',').any(|part| name.contains(part.trim()));
    let chosen = scenarios.iter().filter(|scenario| wanted(scenario.name));
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
        notes: Arc::default(),
    };
    let started = Instant::now();
    let ended = spawn_local(timeout(LONGEST, (scenario.run)(bench.clone()))).await;
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("not done after {LONGEST:?}")),
        Err(error) => Some(match error.try_into_panic() {
            Ok(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "panicked".to_owned()),
            Err(error) => error.to_string(),
        }),
    };
    let outcome = Outcome {
        name: scenario.name,
        failure,
        seconds: started.elapsed().as_secs_f64(),
        writes: bench.writes(),
        notes: bench
            .notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone(),
    };
    println!("{}", line(&outcome, scenario.name.len()));
    outcome
}

fn line(outcome: &Outcome, width: usize) -> String {
    let Outcome {
        name,
        failure,
        seconds,
        writes,
        notes,
    } = outcome;
    let result = if failure.is_none() { "ok" } else { "FAILED" };
    let writes = writes.total();
    let mut line = format!("{name:<width$}  {result:<6}  {seconds:>6.1} s  {writes:>4} writes");
    let first = failure
        .as_deref()
        .and_then(|failure| failure.lines().next());
    for text in first.into_iter().chain(notes.iter().map(String::as_str)) {
        let _ = write!(line, "  {text}");
    }
    line
}

fn text(outcomes: &[Outcome]) -> String {
    let width = outcomes
        .iter()
        .map(|outcome| outcome.name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for outcome in outcomes {
        let _ = writeln!(text, "{}", line(outcome, width));
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

fn summary(outcomes: &[Outcome]) -> Value {
    let scenarios: Vec<Value> = outcomes
        .iter()
        .map(
            |Outcome {
                 name,
                 failure,
                 seconds,
                 writes,
                 notes,
             }| {
                json!({
                    "name": name,
                    "result": if failure.is_none() { "passed" } else { "failed" },
                    "failure": failure,
                    "seconds": seconds,
                    "writes": writes.total(),
                    "writesBy": writes.0,
                    "notes": notes,
                })
            },
        )
        .collect();
    json!({"scenarios": scenarios})
}
