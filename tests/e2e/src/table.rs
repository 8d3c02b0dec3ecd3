//! Runs the scenarios one after the other and prints what came of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_lab::wait;
use tidegate_load_tests::load::Report;
use tokio::time::timeout;

use crate::bench::{Bench, Record};
use crate::scenarios::Scenario;
use crate::stage::Stage;

/// A scenario that has not ended by itself is stopped after this.
const LONGEST: Duration = Duration::from_secs(600);

/// What became of a scenario.
pub struct Outcome {
    name: &'static str,
    failure: Option<String>,
    seconds: f64,
    record: Record,
}

impl Outcome {
    /// Its name, which is its namespace.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it held.
    pub fn is_passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// Runs one; on failure what was there in that moment goes into a folder below `saved`.
pub async fn run(stage: &Stage, scenario: &Scenario, pass: usize, saved: &Path) -> Outcome {
    // Every pass has namespaces of its own.
    let name: &'static str = if pass == 0 {
        scenario.name
    } else {
        format!("{}-{pass}", scenario.name).leak()
    };
    let record = Arc::<Mutex<Record>>::default();
    let mut bench = Bench::new(stage.clone(), name, Arc::clone(&record));
    let run = scenario.run;
    let local = tokio::task::LocalSet::new();
    let begun = Instant::now();
    let task = local.run_until(async move {
        tokio::task::spawn_local(async move { timeout(LONGEST, run(&mut bench)).await }).await
    });
    let failure = match task.await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("not done after {LONGEST:?}")),
        Err(error) => Some(match error.try_into_panic() {
            Ok(panic) => wait::said(panic),
            Err(error) => error.to_string(),
        }),
    };
    let record = record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    if failure.is_some() {
        stage
            .save(name, &saved.join(name), record.report.as_ref())
            .await;
    }
    Outcome {
        name,
        failure,
        seconds: begun.elapsed().as_secs_f64(),
        record,
    }
}

/// The head of the table, over what [`line`] gives.
pub fn head() -> String {
    format!(
        "{:<20}  {:<6}  {:>7}  {:>8}  {:>5}  {:>5}  {:>5}  {:>9}  {:>6}  {:>7}  {:>5}  {:>5}",
        "scenario",
        "result",
        "seconds",
        "requests",
        "lost",
        "apart",
        "bad",
        "bad->safe",
        "writes",
        "p99 ms",
        "cpu s",
        "MiB"
    )
}

/// A line of the table.
pub fn line(outcome: &Outcome) -> String {
    let Outcome {
        name,
        failure,
        seconds,
        record,
    } = outcome;
    let result = if failure.is_none() { "ok" } else { "FAILED" };
    let report = record.report.as_ref();
    let number = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
    let fraction = |number: Option<f64>| number.map_or_else(String::new, |n| format!("{n:.1}"));
    let mut line = format!(
        "{name:<20}  {result:<6}  {:>7}  {:>8}  {:>5}  {:>5}  {:>5}  {:>9}  {:>6}  {:>7}  {:>5}  {:>5}",
        fraction(Some(record.seconds.unwrap_or(*seconds))),
        number(report.map(|r| r.requests)),
        number(report.map(|r| r.lost - record.apart)),
        number(report.map(|_| record.apart)),
        number(report.map(|r| r.bad)),
        fraction(record.first_bad_to_stable),
        number(record.writes),
        fraction(report.map(|r| r.latency.quantile_ms(0.99))),
        fraction(record.used.map(|used| used.cpu_seconds)),
        fraction(record.used.map(|used| used.memory_mib)),
    );
    if let Some(first) = failure.as_deref().and_then(|text| text.lines().next()) {
        let _ = write!(line, "  {first}");
    }
    line
}

/// Why requests were lost, and how often.
fn causes(report: &Report) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    for failure in &report.failures {
        let status = failure.status.map(|status| format!("{status}: "));
        let cause = format!("{}{}", status.unwrap_or_default(), failure.cause);
        *causes.entry(cause).or_default() += 1;
    }
    causes
}

/// All of it as JSON.
pub fn summary(outcomes: &[Outcome]) -> Value {
    let scenarios = outcomes.iter().map(|outcome| {
        let record = &outcome.record;
        let report = record.report.as_ref();
        json!({
            "name": outcome.name,
            "result": if outcome.is_passed() { "passed" } else { "failed" },
            "failure": outcome.failure,
            "seconds": record.seconds.unwrap_or(outcome.seconds),
            "requests": report.map(|r| r.requests),
            "lost": report.map(|r| r.lost - record.apart),
            "lostByGateway": report.map(|_| record.apart),
            "bad": report.map(|r| r.bad),
            "causes": report.map(causes),
            "firstBadToStable": record.first_bad_to_stable,
            "writes": record.writes,
            "controllerCpuSeconds": record.used.map(|used| used.cpu_seconds),
            "controllerMemoryMib": record.used.map(|used| used.memory_mib),
            "latencyMs": report.map(|r| json!(r.latency)),
        })
    });
    json!({"scenarios": scenarios.collect::<Vec<_>>()})
}
