//! `analyze`: a template on the last minutes' metrics, as a run would have judged them that began then.
//! Nothing in the cluster is changed.

mod text;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Analyze, Global, Output};
use super::client::Session;
use super::error::{CliError, Exit};
use super::page;
use super::prometheus::{self, Reached};
use super::reading::{self, Stretch};
use super::subject::{self, Sides, Subject};
use super::terminal::Terminal;
use crate::analysis::outlook::{self, Tempered};
use crate::analysis::plan::{self, Kind, Plan};
use crate::analysis::replay::{Decision, Moment, Player};
use crate::api::analysis::Reference;
use crate::api::analysis_status::{AnalysisRunStatus, Evidence, MetricStatus};
pub(super) use text::{ended, of_comparison};

/// A run's questions reach beyond what it judges: pods' youth, scrapes before the first one.
const BEYOND_S: i64 = 600;
/// The hour before, where that is the reference.
const HISTORY_S: i64 = 3600;
/// Points of a curve that are printed for each metric.
pub(super) const MOMENTS_MAX: usize = 500;

/// Everything that there is to say.
#[derive(Debug)]
pub struct Report {
    /// What was looked at.
    pub template: String,
    /// How the versions were told apart.
    pub versions: String,
    /// Where metrics came from.
    pub source: String,
    /// From when.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// What a pass would allow.
    pub weight: i32,
    /// The run's status at the end.
    pub status: AnalysisRunStatus,
    /// The first verdict that would have ended it.
    pub decision: Option<Decision>,
    /// What was found beside it, for each metric.
    pub metrics: Vec<Beside>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// What a metric's status does not say.
#[derive(Debug)]
pub struct Beside {
    /// Its queries, whole.
    pub queries: Vec<(String, String)>,
    /// How many bad ones would abort.
    pub aborts_at: Option<f64>,
    /// How its tests are tempered.
    pub tempered: Option<Tempered>,
    /// What was known when.
    pub moments: Vec<Moment>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
    args: &Analyze,
    global: &Global,
) -> Result<Exit, CliError> {
    let session = session.as_ref();
    let namespace = global.namespace.as_deref();
    let mut subject = subject::resolve(session, namespace, &args.study, Sides::Both).await?;
    subject.spec.next_weight = args.weight;
    let provider = subject.spec.provider.as_deref();
    let reached = prometheus::reach(session, &args.study.metrics, provider).await?;
    let to = Timestamp::now().as_second();
    let from = to - i64::try_from(args.last.as_secs()).unwrap_or(i64::MAX);
    let report = look(&subject, &reached, Stretch { from, to }, None).await?;
    if let Some(file) = &args.html {
        page::write(file, &page::of_analysis(&report))?;
    }
    print(terminal, &report, global.output)?;
    Ok(Exit::Done)
}

/// Judges a stretch of time, as a run that was `created` then, or at the beginning.
///
/// # Errors
/// What is wrong with the spec.
pub async fn look(
    subject: &Subject,
    reached: &Reached,
    stretch: Stretch,
    created: Option<Timestamp>,
) -> Result<Report, CliError> {
    let start = Timestamp::from_second(stretch.from)
        .map_err(|e| CliError::Usage(format!("the time cannot be meant: {e}")))?;
    let mut spec = subject.spec.clone();
    spec.start_at = Some(start);
    let plan = plan::parse(&spec, created.unwrap_or(start))
        .map_err(|p| subject::problems(&subject.template, &p))?;
    let mut player = Player::new(&plan, true);
    let before = Stretch {
        from: stretch.from - plan.warmup - BEYOND_S - looks_back(&plan),
        to: stretch.to,
    };
    let read = reading::read(&reached.source, &plan, before, false).await;
    reading::play(&reached.source, &plan, &read, &mut player, stretch.to).await;
    let beside = beside(&plan, &player);
    Ok(Report {
        template: subject.template.clone(),
        versions: subject.versions.clone(),
        source: reached.said.clone(),
        from: stretch.from,
        to: stretch.to,
        weight: spec.next_weight,
        decision: player.decision().cloned(),
        status: player.status().clone(),
        metrics: beside,
        notes: reached.notes.clone(),
    })
}

/// How far before its start a run counts what the stable version did, in seconds.
fn looks_back(plan: &Plan) -> i64 {
    match plan.reference {
        Reference::Stable => 0,
        Reference::StableHistory => HISTORY_S,
    }
}

fn beside(plan: &Plan, player: &Player<'_>) -> Vec<Beside> {
    let status = player.status().metrics.iter();
    let each = plan.metrics.iter().zip(status).zip(player.moments());
    each.map(|((metric, status), moments)| {
        let mut queries = Vec::new();
        let (mut aborts_at, mut tempered) = (None, None);
        match &metric.kind {
            Kind::Threshold(threshold) => {
                queries.push(("query".to_owned(), threshold.query.clone()));
            }
            Kind::Comparison(compared) => {
                for (name, arms) in compared.measure.selectors() {
                    queries.push((format!("{name}, canary"), arms.canary.clone()));
                    queries.push((format!("{name}, stable"), arms.stable.clone()));
                }
                if let Some(found) = &status.comparison {
                    aborts_at = outlook::aborts_at(plan, compared, found);
                    tempered = outlook::tempered(compared, found);
                }
            }
        }
        Beside {
            queries,
            aborts_at,
            tempered,
            moments: moments.clone(),
        }
    })
    .collect()
}

/// Prints a report.
///
/// # Errors
/// When the output cannot be written.
pub fn print(
    terminal: &mut Terminal<'_>,
    report: &Report,
    output: Option<Output>,
) -> Result<(), CliError> {
    if let Some(format @ (Output::Json | Output::Yaml)) = output {
        return terminal.document(format, &document(report));
    }
    let width = terminal.screen().width;
    for line in text::lines(report, width) {
        terminal.line(&line)?;
    }
    terminal.flush()
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(report: &Report) -> Value {
    let metrics = report.status.metrics.iter().zip(&report.metrics);
    json!({
        "template": report.template,
        "versions": report.versions,
        "source": report.source,
        "from": time(report.from),
        "to": time(report.to),
        "nextWeight": report.weight,
        "verdict": report.status.verdict,
        "reason": report.status.reason,
        "message": report.status.message,
        "decision": report.decision.as_ref().map(|d| decision(d, report.from)),
        "metrics": metrics.map(|(m, beside)| metric(m, beside)).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

/// A verdict that ended a run, with the time since its start.
#[must_use]
pub fn decision(decision: &Decision, from: i64) -> Value {
    json!({
        "at": time(decision.at),
        "afterSeconds": decision.at - from,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "message": decision.message,
        "metric": decision.metric,
    })
}

fn metric(status: &MetricStatus, beside: &Beside) -> Value {
    let compared = status.comparison.as_ref();
    let sampler = compared.and_then(|c| c.sampler.as_ref());
    let queries: Vec<Value> = beside
        .queries
        .iter()
        .map(|(name, query)| json!({"name": name, "query": query}))
        .collect();
    let comparison = compared.map(|c| {
        json!({
            "canary": c.canary, "stable": c.stable,
            "canaryAll": c.canary_all, "stableAll": c.stable_all,
            "harm": c.harm, "safe": c.safe, "gross": c.gross,
            "effect": c.effect, "forecast": c.forecast,
            "harmShownAt": c.harm_shown_at.map(time),
            "abortsAt": beside.aborts_at,
            "scrapeSeconds": sampler.map(|s| s.scrape_seconds),
            "windowSeconds": sampler.map(|s| s.window_seconds),
            "canaryTargets": sampler.map(|s| s.canary_targets),
            "stableTargets": sampler.map(|s| s.stable_targets),
            "calibration": sampler.and_then(|s| s.calibration.as_ref()),
            "phi": beside.tempered.map(|t| t.phi),
            "tau": beside.tempered.map(|t| t.tau),
            "podMargin": beside.tempered.map(|t| t.margin),
        })
    });
    json!({
        "name": status.name,
        "kind": status.kind,
        "dryRun": status.dry_run,
        "verdict": status.verdict,
        "reason": status.reason,
        "message": status.message,
        "trouble": status.trouble,
        "comparison": comparison,
        "threshold": status.threshold,
        "queries": queries,
        "moments": thinned(&beside.moments).map(moment).collect::<Vec<_>>(),
    })
}

fn moment(m: &Moment) -> Value {
    let log = |e: &Evidence| json!({"log": e.log, "limit": e.limit});
    json!({
        "at": time(m.at), "canary": m.canary, "stable": m.stable,
        "harm": log(&m.harm), "safe": log(&m.safe), "gross": log(&m.gross), "effect": m.effect,
    })
}

/// At most so many points of a curve as say something, the last one among them.
pub(super) fn thinned(moments: &[Moment]) -> impl DoubleEndedIterator<Item = &Moment> {
    let every = moments.len().div_ceil(MOMENTS_MAX).max(1);
    let last = moments.len().saturating_sub(1);
    let kept = move |(i, m)| (i % every == last % every).then_some(m);
    moments.iter().enumerate().filter_map(kept)
}

/// A time as it stands in a document.
#[must_use]
pub fn time(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}
