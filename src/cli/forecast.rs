//! `forecast`: before anything begins, what each step of a plan can find, how long it takes, and what to
//! change where it can find nothing.

mod plan;
mod text;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Forecast, Global, Output};
use super::client::Session;
use super::error::{CliError, Exit};
use super::page;
use super::prometheus;
use super::reading::{self, Stretch};
use super::subject::{self, Sides, Subject};
use super::terminal::Terminal;
use crate::analysis::backtest::placebo;
use crate::analysis::comparison;
use crate::analysis::forecast::{self, Outlook, Service, Shape, Tests, Warning};
use crate::analysis::outlook;
use crate::analysis::plan::{ComparisonPlan, Kind, Measure, Plan, PlannedMetric, parse};
use crate::analysis::replay::Player;
use crate::api::analysis_status::MetricStatus;

pub use plan::Planned;
pub(super) use text::{HEAD, numbers, remarks, row};

/// What a run's questions reach beyond what it judges.
const BEYOND_S: i64 = 600;

/// Everything that there is to say.
#[derive(Debug)]
pub struct Report {
    /// What was looked at.
    pub template: String,
    /// Whose plan.
    pub plan: String,
    /// Where the numbers came from.
    pub source: String,
    /// The stretches of the plan.
    pub stretches: Vec<Planned>,
    /// What each metric can do in them.
    pub metrics: Vec<OfMetric>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// A metric with what it can do.
#[derive(Debug)]
pub struct OfMetric {
    /// Its name.
    pub name: String,
    /// Its numbers.
    pub service: Service,
    /// A regression that every step should see, in times as bad.
    pub plain: f64,
    /// Whether fewer are the harm.
    pub fewer: bool,
    /// For each stretch.
    pub outlooks: Vec<Outlook>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub async fn run(
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
    args: &Forecast,
    global: &Global,
) -> Result<Exit, CliError> {
    let session = session.as_ref();
    let namespace = global.namespace.as_deref();
    let typed = args.rate.is_some() && args.ratio.is_some();
    let sides = if typed { Sides::Neither } else { Sides::Stable };
    let mut subject = subject::resolve(session, namespace, &args.study, sides).await?;
    subject
        .spec
        .metrics
        .retain(crate::api::metric::Metric::compares);
    if subject.spec.metrics.is_empty() {
        return Err(CliError::Refused(format!(
            "{}: its metrics are thresholds, for which nothing can be forecast",
            subject.template
        )));
    }
    let to = Timestamp::now().as_second();
    let from = to - i64::try_from(args.last.as_secs()).unwrap_or(i64::MAX);
    let start = Timestamp::from_second(from).unwrap_or_default();
    subject.spec.start_at = Some(start);
    let planned =
        parse(&subject.spec, start).map_err(|p| subject::problems(&subject.template, &p))?;
    let stretches = stretches(args, &subject, &planned)?;
    let mut notes = Vec::new();
    let (services, source) = match (args.rate, args.ratio) {
        (Some(rate), Some(ratio)) => {
            notes.push("pods are reckoned to be alike and events to be independent: with measured numbers it is known how much they differ".to_owned());
            let typed = |metric: &PlannedMetric| match &metric.kind {
                Kind::Comparison(compared) if counts(compared) => Ok(Service {
                    rate,
                    ratio,
                    phi: 1.0,
                    tau: 0.0,
                    shape: Shape::Counts,
                }),
                _ => Err(format!(
                    "--rate and --ratio do not say what there is to know of this kind of metric ({}); without them it is measured",
                    metric.kind.word()
                )),
            };
            let all = planned.metrics.iter().map(typed).collect();
            (all, "as typed".to_owned())
        }
        _ => {
            let provider = subject.spec.provider.as_deref();
            let reached = prometheus::reach(session, &args.study.metrics, provider).await?;
            notes.extend(reached.notes.clone());
            let alike = planned_alike(&subject)?;
            let measured = measure(&reached.source, &alike, Stretch { from, to }).await;
            (
                measured,
                format!(
                    "{}, the last {}",
                    reached.said,
                    super::words::length(to - from)
                ),
            )
        }
    };
    let report = Report {
        template: subject.template.clone(),
        plan: match &subject.rollout {
            Some((name, _)) if args.weight.is_none() => format!("Rollout {name}"),
            _ => "as typed".to_owned(),
        },
        source,
        metrics: forecasts(args, &planned, services, &stretches, &mut notes)?,
        stretches,
        notes,
    };
    if let Some(file) = &args.html {
        page::write(file, &page::of_forecast(&report))?;
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

/// The plan: as typed, or the Rollout's.
fn stretches(args: &Forecast, subject: &Subject, plan: &Plan) -> Result<Vec<Planned>, CliError> {
    let bounds = (plan.min_bake, plan.max_duration);
    if let Some(weight) = args.weight {
        // A step that is to decide in that time.
        let bounds = args.duration.map_or(bounds, |d| {
            let seconds = i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
            (seconds, seconds)
        });
        let replicas = subject
            .rollout
            .as_ref()
            .map_or(1, |(_, spec)| spec.replicas);
        let replicas = usize::try_from(replicas.max(1)).unwrap_or(1);
        let share = usize::try_from(weight).unwrap_or(1);
        return Ok(vec![Planned {
            step: "as typed".to_owned(),
            stretch: forecast::Stretch {
                weight,
                seconds: None,
                bounds,
                next_weight: 100,
                canary_pods: (replicas * share).div_ceil(100).max(1),
                stable_pods: replicas,
            },
        }]);
    }
    let Some((name, spec)) = &subject.rollout else {
        return Err(CliError::Usage(
            "a plan is needed: --rollout NAME, or --weight PERCENT with --duration TIME".to_owned(),
        ));
    };
    let template = subject.template.split(' ').next_back().unwrap_or_default();
    let found = plan::stretches(spec, template, bounds);
    if found.is_empty() {
        return Err(CliError::Refused(format!(
            "Rollout {name}: no step with a part of the traffic is looked at by {}: there is nothing to forecast. --weight and --duration give a plan by hand",
            subject.template
        )));
    }
    Ok(found)
}

/// The stable version on both sides.
fn planned_alike(subject: &Subject) -> Result<Plan, CliError> {
    let start = subject.spec.start_at.unwrap_or_default();
    let mut plan =
        parse(&subject.spec, start).map_err(|p| subject::problems(&subject.template, &p))?;
    for metric in &mut plan.metrics {
        if let Kind::Comparison(compared) = &mut metric.kind {
            compared.measure = placebo::of_stable(&compared.measure);
        }
    }
    Ok(plan)
}

/// What the stable version does: its rate, its share of bad ones, how much its pods differ. The shipped
/// run finds it out, with the stable version in both places.
async fn measure(
    source: &crate::metrics_source::Source,
    plan: &Plan,
    stretch: Stretch,
) -> Vec<Result<Service, String>> {
    let before = Stretch {
        from: stretch.from - plan.warmup - BEYOND_S,
        to: stretch.to,
    };
    let read = reading::read(source, plan, before, false).await;
    let mut player = Player::new(plan, true);
    reading::play(source, plan, &read, &mut player, stretch.to).await;
    let status = player.status().metrics.iter();
    plan.metrics
        .iter()
        .zip(status)
        .map(|(metric, status)| match &metric.kind {
            Kind::Comparison(compared) => service(plan, compared, status),
            Kind::Threshold(_) => Err("a threshold".to_owned()),
        })
        .collect()
}

/// Whether a metric is of numbers of requests and bad ones, or of events.
fn counts(compared: &ComparisonPlan) -> bool {
    matches!(
        compared.measure,
        Measure::Ratio { .. } | Measure::Events { .. }
    )
}

fn service(
    plan: &Plan,
    compared: &ComparisonPlan,
    status: &MetricStatus,
) -> Result<Service, String> {
    let said = || {
        let trouble = status.trouble.as_ref();
        trouble.map_or_else(
            || format!("{}: {}", status.reason, status.message),
            |t| format!("{}: {}", t.reason, t.message),
        )
    };
    let found = status.comparison.as_ref().ok_or_else(said)?;
    let sampler = found.sampler.as_ref().ok_or_else(said)?;
    let counted = found.stable;
    let windows = sampler.harm.windows.max(sampler.harm_level.windows);
    let seconds = (windows * sampler.window_seconds) as f64;
    if counted.requests <= 0.0 || seconds <= 0.0 {
        return Err(said());
    }
    let tempered = outlook::tempered(compared, found);
    let known = sampler.calibration.as_ref();
    let shape = match compared.measure {
        Measure::Ratio { .. } | Measure::Events { .. } => Shape::Counts,
        Measure::Histogram { .. } => Shape::Latencies {
            reference: sampler.reference.clone(),
            bounds: sampler.bounds.clone(),
            dispersion: known.map(|c| c.dispersion.clone()).unwrap_or_default(),
            window_seconds: sampler.window_seconds,
            slow: comparison::watched(plan, compared, sampler).unwrap_or(f64::NAN),
        },
        Measure::Gauge { .. } => match known.filter(|c| c.variance > 0.0) {
            Some(known) => Shape::Gauge {
                variance: known.variance,
                window_seconds: sampler.window_seconds,
            },
            None => {
                let why = known.map(|c| c.why.as_str()).filter(|why| !why.is_empty());
                return Err(format!(
                    "how much its values vary is not known ({})",
                    why.unwrap_or("its pods are all alike, or there is one alone")
                ));
            }
        },
    };
    Ok(Service {
        shape,
        rate: counted.requests / seconds,
        ratio: counted.bad / counted.requests,
        phi: tempered.map_or(1.0, |t| t.phi),
        tau: tempered.map_or(0.0, |t| t.tau),
    })
}

fn forecasts(
    args: &Forecast,
    plan: &Plan,
    services: Vec<Result<Service, String>>,
    stretches: &[Planned],
    notes: &mut Vec<String>,
) -> Result<Vec<OfMetric>, CliError> {
    let mut all = Vec::new();
    let mut unknown = Vec::new();
    for (metric, service) in plan.metrics.iter().zip(services) {
        let name = &metric.name;
        let Kind::Comparison(compared) = &metric.kind else {
            continue;
        };
        let Some(tests) = Tests::of(compared) else {
            notes.push(format!("{name}: nothing is forecast for a judge that looks once; `backtest` tries it on past data"));
            continue;
        };
        match service {
            Ok(mut service) => {
                service.rate = args.rate.unwrap_or(service.rate);
                if counts(compared) {
                    service.ratio = args.ratio.unwrap_or(service.ratio);
                }
                let outlook = |p: &Planned| tests.outlook(&service, &p.stretch);
                let outlooks: Option<Vec<Outlook>> = stretches.iter().map(outlook).collect();
                match outlooks {
                    Some(outlooks) => all.push(OfMetric {
                        name: name.clone(),
                        plain: tests.plain(),
                        fewer: compared.measure.fewer_is_harm(),
                        service,
                        outlooks,
                    }),
                    None => unknown.push(format!(
                        "{name}: nothing can be bet on: all of the stable version's requests are in one bucket"
                    )),
                }
            }
            Err(why) => unknown.push(format!("{name}: {why}")),
        }
    }
    if all.is_empty() && !unknown.is_empty() {
        return Err(CliError::Metrics(format!(
            "nothing is known of the stable version ({}); --rate and --ratio give the numbers by hand",
            unknown.join("; ")
        )));
    }
    notes.extend(unknown);
    Ok(all)
}

/// The document for scripts; `docs/commands.md` has its shape.
#[must_use]
pub fn document(report: &Report) -> Value {
    let finite = |n: f64| if n.is_finite() { json!(n) } else { Value::Null };
    let of = |m: &OfMetric| {
        let steps = report.stretches.iter().zip(&m.outlooks);
        let step = |(planned, o): (&Planned, &Outlook)| {
            json!({
                "step": planned.step,
                "weight": planned.stretch.weight,
                "nextWeight": planned.stretch.next_weight,
                "canaryPods": planned.stretch.canary_pods,
                "stablePods": planned.stretch.stable_pods,
                "seconds": o.seconds,
                "requests": o.requests,
                "finds": finite(o.finds),
                "findsAtMost": finite(o.finds_at_most),
                "safeAfterSeconds": o.safe_after,
                "podMargin": finite(o.margin),
                "warning": o.warning.map(warning),
            })
        };
        json!({
            "name": m.name,
            "rate": m.service.rate, "ratio": m.service.ratio,
            "phi": m.service.phi, "tau": m.service.tau,
            "steps": steps.map(step).collect::<Vec<_>>(),
        })
    };
    json!({
        "template": report.template,
        "plan": report.plan,
        "source": report.source,
        "metrics": report.metrics.iter().map(of).collect::<Vec<_>>(),
        "notes": report.notes,
    })
}

fn warning(warning: Warning) -> Value {
    match warning {
        Warning::Blind { seconds, weight } => {
            json!({"reason": "Blind", "neededSeconds": seconds, "neededWeight": weight})
        }
        Warning::Undecided { seconds, weight } => {
            json!({"reason": "Undecided", "neededSeconds": seconds, "neededWeight": weight})
        }
        Warning::Pods => json!({"reason": "Pods"}),
    }
}
