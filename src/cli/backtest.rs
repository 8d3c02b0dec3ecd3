//! `backtest`: a template on past metrics. With selectors a past rollout is played again; without, stable
//! pods stand for a new version at moments that chance chooses, with and without a regression in them.

mod text;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::analyze::{self, time};
use super::args::{Backtest, Global, Output, check_name};
use super::client::Session;
use super::error::{CliError, Exit};
use super::page;
use super::prometheus::{self, Reached};
use super::reading::{self, Stretch};
use super::subject::{self, Sides, Subject};
use super::terminal::Terminal;
use super::words;
use crate::analysis::backtest::chance::Chance;
use crate::analysis::backtest::placebo::{self, Choice, Draw, LEAD_S, Outcome, Regression};
use crate::analysis::backtest::recording::Recording;
use crate::analysis::backtest::summary::{Share, Summary, summary};
use crate::analysis::percent;
use crate::analysis::plan::{self, Kind, Plan};
use crate::api::analysis::AnalysisRunSpec;
use crate::random::Random;
pub(super) use text::{HEAD, conclusions, row};

/// So many times as bad, one after the other.
const FACTORS: [f64; 3] = [1.5, 2.0, 5.0];
/// So many runs at most have a regression, for each metric and factor: a median needs no more.
const INJECTED_MAX: usize = 50;
/// So long after its end a past run may still be looked at.
const AFTER_S: i64 = 60;

/// What came of the rollouts that never were.
#[derive(Debug)]
pub struct Report {
    /// What was looked at.
    pub template: String,
    /// Whose pods.
    pub versions: String,
    /// Where metrics came from.
    pub source: String,
    /// The stretch.
    pub stretch: Stretch,
    /// How long one run may take, in seconds.
    pub horizon: i64,
    /// How many pods stood for a new version.
    pub pods: usize,
    /// By which numbers they were chosen.
    pub seed: u64,
    /// What is allowed to one run.
    pub false_abort_rate: f64,
    /// As they were.
    pub placebo: Summary,
    /// With regressions.
    pub regressions: Vec<Found>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What came of a regression.
#[derive(Debug)]
pub struct Found {
    /// In which metric.
    pub metric: String,
    /// So many times as bad.
    pub factor: f64,
    /// None: it could not be put in.
    pub summary: Option<Summary>,
}

/// Numbers from a seed.
struct Seeded(Random);

impl Chance for Seeded {
    fn uniform(&mut self) -> f64 {
        (self.0.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
    args: &Backtest,
    global: &Global,
) -> Result<Exit, CliError> {
    let session = session.as_ref();
    let current = Timestamp::now().as_second();
    let stretch = Stretch {
        from: args.from.second(current),
        to: args.to.second(current),
    };
    if stretch.from >= stretch.to || stretch.to > current {
        return Err(CliError::Usage(format!(
            "--from {} to --to {} is no time that has passed",
            time(stretch.from),
            time(stretch.to)
        )));
    }
    if let Some(name) = &args.run {
        let (subject, stretch, created) = past_run(session, name, current).await?;
        let provider = subject.spec.provider.as_deref();
        let reached = prometheus::reach(session, &args.study.metrics, provider).await?;
        let report = analyze::look(&subject, &reached, stretch, Some(created)).await?;
        return replayed(terminal, args, global, &report);
    }
    let replays = args.study.canary.is_some();
    let sides = if replays { Sides::Both } else { Sides::Stable };
    let namespace = global.namespace.as_deref();
    let mut subject = subject::resolve(session, namespace, &args.study, sides).await?;
    subject.spec.next_weight = args.weight;
    let provider = subject.spec.provider.as_deref();
    let reached = prometheus::reach(session, &args.study.metrics, provider).await?;
    if replays {
        let report = analyze::look(&subject, &reached, stretch, None).await?;
        return replayed(terminal, args, global, &report);
    }
    let report = placebos(&subject, &reached, stretch, args).await?;
    if let Some(file) = &args.html {
        page::write(file, &page::of_placebos(&report))?;
    }
    match global.output {
        Some(format @ (Output::Json | Output::Yaml)) => {
            terminal.document(format, &document(&report))?;
        }
        _ => {
            for line in text::lines(&report, terminal.screen().width) {
                terminal.line(&line)?;
            }
            terminal.flush()?;
        }
    }
    Ok(Exit::Done)
}

/// A past AnalysisRun, with its time and when it was made.
async fn past_run(
    session: Result<&Session, &CliError>,
    name: &str,
    current: i64,
) -> Result<(Subject, Stretch, Timestamp), CliError> {
    check_name("the AnalysisRun's name", name).map_err(CliError::Usage)?;
    let session =
        session.map_err(|e| CliError::Refused(format!("--run needs the cluster, but {e}")))?;
    let asked = session.asked("get", "analysisruns.tidegate.io");
    let run = match session.ask(&asked, session.runs().get(name)).await {
        Err(CliError::NotFound {
            namespace, context, ..
        }) => {
            return Err(CliError::Missing(format!(
                "there is no AnalysisRun {name:?} in namespace {namespace} ({context}); `kubectl get analysisruns -n {namespace}` lists them"
            )));
        }
        other => other?,
    };
    let created = run.metadata.creation_timestamp.map(|t| t.0);
    let created = created.unwrap_or_default();
    let status = run.status.unwrap_or_default();
    let recorded = status.verdict.map_or_else(
        || "it has no verdict".to_owned(),
        |verdict| format!("its own verdict is {verdict:?}, {}", status.reason),
    );
    let start = run.spec.start_at.unwrap_or(created);
    let subject = Subject {
        template: format!("AnalysisRun {name}"),
        rollout: None,
        versions: format!(
            "canary {}, stable {}; {recorded}",
            run.spec.canary_hash, run.spec.stable_hash
        ),
        spec: run.spec,
    };
    let stretch = Stretch {
        from: start.as_second(),
        // The looks of the run itself fell on other seconds.
        to: status
            .completed_at
            .map_or(current, |t| current.min(t.as_second() + AFTER_S)),
    };
    Ok((subject, stretch, created))
}

/// Prints a past rollout that was played again.
fn replayed(
    terminal: &mut Terminal<'_>,
    args: &Backtest,
    global: &Global,
    report: &analyze::Report,
) -> Result<Exit, CliError> {
    if let Some(file) = &args.html {
        page::write(file, &page::of_analysis(report))?;
    }
    if let Some(format @ (Output::Json | Output::Yaml)) = global.output {
        terminal.document(format, &analyze::document(report))?;
        return Ok(Exit::Done);
    }
    analyze::print(terminal, report, None)?;
    for line in text::windows(report, terminal.screen().width) {
        terminal.line(&line)?;
    }
    terminal.flush()?;
    Ok(Exit::Done)
}

/// Plays rollouts that never were.
async fn placebos(
    subject: &Subject,
    reached: &Reached,
    stretch: Stretch,
    args: &Backtest,
) -> Result<Report, CliError> {
    let spec = placebo::spec(&subject.spec);
    if spec.metrics.is_empty() {
        let error = placebo::Unsuited::NothingCompared;
        return Err(CliError::Refused(format!("{}: {error}", subject.template)));
    }
    let wrong = |p: &[plan::Problem]| subject::problems(&subject.template, p);
    // Asked are the stable version's series; who of them is the new version is chosen afterwards.
    let asked = AnalysisRunSpec {
        metrics: spec.metrics.clone(),
        ..subject.spec.clone()
    };
    let mut asked = plan::parse(&asked, Timestamp::UNIX_EPOCH).map_err(|p| wrong(&p))?;
    for metric in &mut asked.metrics {
        if let Kind::Comparison(compared) = &mut metric.kind {
            compared.measure = placebo::of_stable(&compared.measure);
        }
    }
    let horizon = asked.max_duration;
    if stretch.to - stretch.from <= horizon {
        return Err(CliError::Usage(format!(
            "--from and --to are {} apart, and one run may last {} (promote.maxDuration): give a longer time",
            words::length(stretch.to - stretch.from),
            words::length(horizon)
        )));
    }
    let before = Stretch {
        from: stretch.from - LEAD_S,
        to: stretch.to,
    };
    let read = reading::read(&reached.source, &asked, before, true).await;
    for (metric, fault) in asked.metrics.iter().zip(&read.faults) {
        if let Some(fault) = fault {
            return Err(CliError::Metrics(format!(
                "{}: {} ({}): {}",
                metric.name, fault.reason, reached.said, fault.message
            )));
        }
    }
    let draw = Draw {
        from: stretch.from,
        to: stretch.to - horizon,
        pods: usize::from(args.pods),
        runs: usize::from(args.runs),
    };
    let mut chance = Seeded(Random::new(args.seed));
    let choices = placebo::choose(&read.recording, &asked, draw, &mut chance);
    let choices = choices
        .map_err(|e| CliError::Refused(format!("{} ({}): {e}", subject.template, reached.said)))?;
    let mut notes = reached.notes.clone();
    notes.extend(left_out(&subject.spec));
    if choices.len() < draw.runs {
        notes.push(format!(
            "only {} of {} runs: at other moments there were too few pods",
            choices.len(),
            draw.runs
        ));
    }
    let runs = Runs {
        spec: &spec,
        plan: &asked,
        recording: &read.recording,
        horizon,
        seed: args.seed,
    };
    let placebo = summary(
        &runs
            .play(&choices, None)
            .map_err(|p| wrong(&p))?
            .unwrap_or_default(),
    );
    let regressions = runs.regressions(&choices).map_err(|p| wrong(&p))?;
    Ok(Report {
        template: subject.template.clone(),
        versions: subject.versions.clone(),
        source: reached.said.clone(),
        stretch,
        horizon,
        pods: draw.pods,
        seed: args.seed,
        false_abort_rate: percent::parse(&spec.false_abort_rate).unwrap_or(0.0),
        placebo,
        regressions,
        notes,
    })
}

/// The metrics that take no part.
fn left_out(spec: &AnalysisRunSpec) -> Option<String> {
    let thresholds: Vec<&str> = spec
        .metrics
        .iter()
        .filter(|m| !m.compares())
        .map(|m| m.name.as_str())
        .collect();
    (!thresholds.is_empty()).then(|| {
        format!(
            "left out, because a threshold is not held against other pods: {}",
            thresholds.join(", ")
        )
    })
}

struct Runs<'r> {
    spec: &'r AnalysisRunSpec,
    plan: &'r Plan,
    recording: &'r Recording,
    horizon: i64,
    seed: u64,
}

impl Runs<'_> {
    /// Plays all of them. None: the regression cannot be put in.
    fn play(
        &self,
        choices: &[Choice],
        regression: Option<Regression>,
    ) -> Result<Option<Vec<Outcome>>, Vec<plan::Problem>> {
        let mut outcomes = Vec::with_capacity(choices.len());
        for (i, choice) in choices.iter().enumerate() {
            // A stream of its own for each run, so that one does not depend on how many there are.
            let stream = self.seed.wrapping_add((i as u64).wrapping_mul(0x9e37_79b9));
            let mut chance = Seeded(Random::new(stream));
            let (spec, recording) = (self.spec, self.recording);
            let played = placebo::play(
                spec,
                choice,
                self.horizon,
                recording,
                regression,
                &mut chance,
            );
            match played? {
                Some(outcome) => outcomes.push(outcome),
                None if regression.is_some() => return Ok(None),
                None => {}
            }
        }
        Ok(Some(outcomes))
    }

    fn regressions(&self, choices: &[Choice]) -> Result<Vec<Found>, Vec<plan::Problem>> {
        let some = choices.get(..choices.len().min(INJECTED_MAX));
        let mut all = Vec::new();
        for (metric, planned) in self.plan.metrics.iter().enumerate() {
            for factor in FACTORS {
                let regression = Regression { metric, factor };
                let outcomes = self.play(some.unwrap_or_default(), Some(regression))?;
                all.push(Found {
                    metric: planned.name.clone(),
                    factor,
                    summary: outcomes.map(|o| summary(&o)),
                });
            }
        }
        Ok(all)
    }
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(report: &Report) -> Value {
    json!({
        "template": report.template,
        "versions": report.versions,
        "source": report.source,
        "from": time(report.stretch.from),
        "to": time(report.stretch.to),
        "seed": report.seed,
        "pods": report.pods,
        "maxSeconds": report.horizon,
        "falseAbortRate": report.false_abort_rate,
        "placebo": of_summary(&report.placebo),
        "regressions": report.regressions.iter().map(|f| json!({
            "metric": f.metric,
            "factor": f.factor,
            "result": f.summary.as_ref().map(of_summary),
        })).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

fn of_summary(summary: &Summary) -> Value {
    let share = |s: &Share| json!({"count": s.count, "of": s.of, "share": s.share(), "lower": s.lower, "upper": s.upper});
    let tally = |all: &[(String, usize)]| -> Value {
        let each = all.iter().map(|(name, n)| (name.clone(), json!(n)));
        Value::Object(each.collect())
    };
    json!({
        "aborted": share(&summary.aborted),
        "passed": share(&summary.passed),
        "undecided": share(&summary.undecided),
        "medianSecondsToPass": summary.median_pass,
        "medianSecondsToAbort": summary.median_abort,
        "aborting": tally(&summary.aborting),
        "reasons": tally(&summary.reasons),
    })
}
