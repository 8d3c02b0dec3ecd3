//! Runs the scenarios beside each other and prints what came of them.

use super::lab::Lab;
use super::wait;
use futures::future::LocalBoxFuture;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::timeout;

/// How many scenarios run at a time. They wait more than they work.
const AT_A_TIME: usize = 6;

/// Longer than any wait within a scenario, so that the wait says what did not come.
const LONGEST: Duration = wait::DEADLINE.saturating_mul(3);

/// Runs only the scenarios whose name has this in it.
const FILTER_VARIABLE: &str = "TIDEGATE_SCENARIO";

/// Names a file for the summary as JSON.
const SUMMARY_VARIABLE: &str = "TIDEGATE_SUMMARY";

/// One line of the table.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(Bench) -> LocalBoxFuture<'static, ()>,
}

/// A scenario's own place in the laboratory.
pub struct Bench {
    pub lab: Arc<Lab>,
    pub namespace: String,
}

struct Outcome {
    name: &'static str,
    failure: Option<String>,
    seconds: f64,
    writes: u64,
}

/// Runs the scenarios that were asked for; `writer` is whose writes are counted. Returns whether
/// all of them hold.
pub async fn run(lab: Arc<Lab>, scenarios: &[Scenario], writer: &str) -> bool {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let chosen = scenarios
        .iter()
        .filter(|scenario| scenario.name.contains(&filter));
    let mut outcomes: Vec<Outcome> = stream::iter(chosen)
        .map(|scenario| run_one(Arc::clone(&lab), scenario, writer))
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

async fn run_one(lab: Arc<Lab>, scenario: &Scenario, writer: &str) -> Outcome {
    let namespace = scenario
        .name
        .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    lab.namespace(&namespace).await;
    let bench = Bench {
        lab: Arc::clone(&lab),
        namespace: namespace.clone(),
    };
    let started = Instant::now();
    let ended = spawn_local(timeout(LONGEST, (scenario.run)(bench))).await;
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
        writes: lab.audit.writes(writer, &namespace).total(),
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
    } = outcome;
    let result = if failure.is_none() { "ok" } else { "FAILED" };
    let mut line = format!("{name:<width$}  {result:<6}  {seconds:>6.1} s  {writes:>4} writes");
    if let Some(first) = failure
        .as_deref()
        .and_then(|failure| failure.lines().next())
    {
        let _ = write!(line, "  {first}");
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
        .map(|Outcome { name, failure, seconds, writes }| {
            let result = if failure.is_none() { "passed" } else { "failed" };
            json!({"name": name, "result": result, "seconds": seconds, "writes": writes, "failure": failure})
        })
        .collect();
    json!({"scenarios": scenarios})
}
