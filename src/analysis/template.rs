//! Templates become the frozen part of a run's spec: merged, args and built-ins filled in and
//! escaped, defaults written out, everything checked. Only `$(arm)` is left. A template that is
//! edited or deleted later changes nothing for a run that has begun.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::plan::{self, Problem};
use super::promql::{self, FillError};
use crate::api::analysis::{
    AnalysisRunSpec, AnalysisTemplateSpec, Arm, DEFAULT_ARM_LABEL, GrossTolerance, Promote, Warmup,
};
use crate::api::metric::{Metric, Tolerance};

/// Longest value of an arg after all that it names has been filled in: args may name args, and
/// fifty of them doubling each other would fill the memory.
const VALUE_MAX: usize = 1024;

/// A template, by the name that its problems are reported under.
#[derive(Debug, Clone, Copy)]
pub struct NamedTemplate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its spec.
    pub spec: &'a AnalysisTemplateSpec,
}

/// What templates may name without declaring it. Empty: there is none.
#[derive(Debug, Clone, Default)]
pub struct Builtins {
    /// `$(namespace)`: the Rollout's.
    pub namespace: String,
    /// `$(rollout)`: its name.
    pub rollout: String,
    /// `$(canaryService)`.
    pub canary_service: String,
    /// `$(stableService)`.
    pub stable_service: String,
    /// `$(canaryHash)`.
    pub canary_hash: String,
    /// `$(stableHash)`.
    pub stable_hash: String,
}

/// The frozen part of a run's spec; the rest says which rollout, version and step it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// Resolved metrics.
    pub metrics: Vec<Metric>,
    /// How the versions are told apart.
    pub arm: Arm,
    /// With defaults written out.
    pub warmup: Warmup,
    /// The MetricsProvider; none: the default one.
    pub provider: Option<String>,
    /// Of the whole rollout: the caller shares it among the rollout's runs with [`share`].
    pub false_abort_rate: String,
    /// With defaults written out.
    pub promote: Promote,
}

/// Merges `templates` into one run: all their metrics, and whatever one of them says about the
/// provider, the versions' matchers, the false-abort rate, the warm-up and the promotion. Two that
/// say different things about one of these are a problem, not a guess.
///
/// # Errors
/// Every [`Problem`] that can be seen without asking a cluster or a Prometheus.
pub fn freeze(
    templates: &[NamedTemplate<'_>],
    args: &BTreeMap<String, String>,
    builtins: &Builtins,
) -> Result<Frozen, Vec<Problem>> {
    let mut problems = undeclared(templates, args);
    let mut merged = AnalysisTemplateSpec::default();
    let mut origin = BTreeMap::new();
    for template in templates {
        let mut filler = Filler {
            template: template.name,
            problems: Vec::new(),
        };
        let values = filler.values(template.spec, args, builtins);
        let spec = filler.spec(template.spec, &values);
        problems.append(&mut filler.problems);
        for metric in &spec.metrics {
            origin.entry(metric.name.clone()).or_insert(template.name);
        }
        problems.extend(merge(&mut merged, spec, template.name));
    }
    let frozen = with_defaults(merged);
    // What is left to find is found by the parser that the run will be read by.
    let spec = AnalysisRunSpec {
        canary_hash: builtins.canary_hash.clone(),
        stable_hash: builtins.stable_hash.clone(),
        attempt: 1,
        next_weight: 100,
        ..frozen.clone().into_spec()
    };
    if problems.is_empty()
        && let Err(found) = plan::read(&spec, Timestamp::UNIX_EPOCH)
    {
        let all = templates
            .iter()
            .map(|t| t.name)
            .collect::<Vec<_>>()
            .join("+");
        problems.extend(found.into_iter().map(|p| {
            let metric =
                p.at.strip_prefix("spec.metrics[")
                    .and_then(|m| m.split(']').next());
            let name = metric.and_then(|m| origin.get(m)).copied().unwrap_or(&all);
            Problem {
                at: format!("{name}: {}", p.at),
                ..p
            }
        }));
    }
    if problems.is_empty() {
        Ok(frozen)
    } else {
        Err(problems)
    }
}

impl Frozen {
    /// The spec of a run, for the caller to say which rollout, version and step it is about.
    #[must_use]
    pub fn into_spec(self) -> AnalysisRunSpec {
        AnalysisRunSpec {
            metrics: self.metrics,
            arm: Some(self.arm),
            warmup: self.warmup,
            provider: self.provider,
            false_abort_rate: self.false_abort_rate,
            promote: self.promote,
            attempt: 1,
            next_weight: 100,
            ..AnalysisRunSpec::default()
        }
    }
}

/// The part of `false_abort_rate` for one of `runs` runs of the same rollout: each of them may
/// abort falsely, so together they must not exceed the rate. A rate that cannot be read is
/// returned as it is; [`freeze`] has refused it before.
#[must_use]
pub fn share(false_abort_rate: &str, runs: u32) -> String {
    super::percent::parse(false_abort_rate).map_or_else(
        |_| false_abort_rate.to_owned(),
        |rate| super::percent::format(rate / f64::from(runs.max(1))),
    )
}

/// What is wrong with a whole run that is made at `now`, its times included: whether it could decide
/// at all before they are over.
#[must_use]
pub fn problems(spec: &AnalysisRunSpec, now: Timestamp) -> Vec<Problem> {
    plan::parse(spec, now).err().unwrap_or_default()
}

fn undeclared(templates: &[NamedTemplate<'_>], args: &BTreeMap<String, String>) -> Vec<Problem> {
    let declared: Vec<&str> = templates
        .iter()
        .flat_map(|t| &t.spec.args)
        .map(|a| a.name.as_str())
        .collect();
    let allowed = if declared.is_empty() {
        "none".to_owned()
    } else {
        declared.join(", ")
    };
    args.iter()
        .filter(|(name, _)| !declared.contains(&name.as_str()))
        .map(|(name, value)| {
            let message = format!("no template has an arg {name:?}; allowed are: {allowed}");
            Problem::new(format!("args[{name}]"), value, message)
        })
        .collect()
}

fn merge(
    into: &mut AnalysisTemplateSpec,
    from: AnalysisTemplateSpec,
    template: &str,
) -> Vec<Problem> {
    fn one<T: PartialEq + std::fmt::Debug>(
        field: &str,
        into: &mut Option<T>,
        from: Option<T>,
    ) -> Option<(String, String)> {
        match (&*into, from) {
            (Some(first), Some(second)) if *first != second => {
                Some((field.to_owned(), format!("{second:?}")))
            }
            (None, Some(second)) => {
                *into = Some(second);
                None
            }
            _ => None,
        }
    }
    let different = [
        one("provider", &mut into.provider, from.provider),
        one(
            "falseAbortRate",
            &mut into.false_abort_rate,
            from.false_abort_rate,
        ),
        one("arm", &mut into.arm, from.arm),
        one("warmup", &mut into.warmup, from.warmup),
        one("promote", &mut into.promote, from.promote),
    ];
    into.metrics.extend(from.metrics);
    different
        .into_iter()
        .flatten()
        .map(|(field, value)| {
            let at = format!("{template}: spec.{field}");
            Problem::new(
                at,
                &value,
                "another template of this analysis says something else; let one of them say it",
            )
        })
        .collect()
}

fn with_defaults(merged: AnalysisTemplateSpec) -> Frozen {
    let compares = merged.metrics.iter().any(Metric::compares);
    let warmup = merged.warmup.unwrap_or_default();
    let gross = warmup.tolerate.unwrap_or_default();
    let promote = merged.promote.unwrap_or_default();
    let arm = merged.arm.unwrap_or_default();
    let metric = |m: Metric| {
        let compares = m.compares() && m.compare_to.is_none();
        let (ratio, histogram) = (m.ratio.is_some(), m.histogram.is_some());
        let said = m.tolerate.unwrap_or_default();
        let default = |said: Option<String>, applies: bool, text: &str| {
            said.or_else(|| applies.then(|| text.to_owned()))
        };
        let tolerate = compares.then(|| Tolerance {
            relative: default(said.relative, !histogram, plan::RELATIVE),
            absolute: default(said.absolute, ratio, plan::ABSOLUTE),
            slower: default(said.slower, histogram, plan::SLOWER),
        });
        Metric { tolerate, ..m }
    };
    Frozen {
        metrics: merged.metrics.into_iter().map(metric).collect(),
        arm: if arm == Arm::default() {
            Arm {
                label: Some(DEFAULT_ARM_LABEL.into()),
                ..arm
            }
        } else {
            arm
        },
        warmup: Warmup {
            duration: warmup.duration.or_else(|| Some(plan::WARMUP.into())),
            tolerate: Some(GrossTolerance {
                times: gross.times.or(Some(plan::GROSS_TIMES)),
                absolute: gross.absolute.or_else(|| Some(plan::GROSS_ABSOLUTE.into())),
            }),
        },
        provider: merged.provider,
        false_abort_rate: merged
            .false_abort_rate
            .unwrap_or_else(|| plan::FALSE_ABORT_RATE.into()),
        promote: Promote {
            min_bake: promote
                .min_bake
                .or_else(|| Some(if compares { plan::MIN_BAKE } else { "0s" }.into())),
            max_duration: promote
                .max_duration
                .or_else(|| Some(plan::MAX_DURATION.into())),
            on_inconclusive: Some(promote.on_inconclusive.unwrap_or_default()),
            on_split_mismatch: promote.on_split_mismatch,
        },
    }
}

/// Fills in one template's placeholders.
struct Filler<'a> {
    template: &'a str,
    problems: Vec<Problem>,
}

impl Filler<'_> {
    fn refuse(&mut self, at: &str, value: &str, message: impl std::fmt::Display) {
        self.problems.push(Problem::new(
            format!("{}: {at}", self.template),
            value,
            message,
        ));
    }

    /// Every placeholder's value: the built-ins that there are, and the args with what they name.
    fn values(
        &mut self,
        spec: &AnalysisTemplateSpec,
        args: &BTreeMap<String, String>,
        builtins: &Builtins,
    ) -> BTreeMap<String, String> {
        let mut known: BTreeMap<String, String> = [
            ("namespace", &builtins.namespace),
            ("rollout", &builtins.rollout),
            ("canaryService", &builtins.canary_service),
            ("stableService", &builtins.stable_service),
            ("canaryHash", &builtins.canary_hash),
            ("stableHash", &builtins.stable_hash),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
        let mut raw = BTreeMap::new();
        for arg in &spec.args {
            let at = format!("spec.args[{}]", arg.name);
            let Some(value) = args.get(&arg.name).or(arg.value.as_ref()) else {
                self.refuse(
                    &at,
                    "",
                    "has no value: the Rollout must give one in the analysis' args",
                );
                continue;
            };
            if raw
                .insert(format!("args.{}", arg.name), value.as_str())
                .is_some()
            {
                self.refuse(
                    &at,
                    &arg.name,
                    "occurs twice; every arg needs a name of its own",
                );
            }
        }
        let mut open: Vec<String> = Vec::new();
        for name in raw.keys() {
            if let Err(why) = expand(name, &raw, &mut known, &mut open) {
                let at = format!("spec.{}", name.replacen("args.", "args[", 1) + "]");
                self.refuse(&at, raw.get(name).copied().unwrap_or_default(), why);
                open.clear();
                // One complaint is enough: what names it must not complain that it is unknown.
                known.entry(name.clone()).or_default();
            }
        }
        for arg in &spec.args {
            known.entry(format!("args.{}", arg.name)).or_default();
        }
        known
    }

    fn spec(
        &mut self,
        spec: &AnalysisTemplateSpec,
        values: &BTreeMap<String, String>,
    ) -> AnalysisTemplateSpec {
        let mut filled = spec.clone();
        if let Some(arm) = &mut filled.arm {
            for (at, text) in [
                ("spec.arm.canary", &mut arm.canary),
                ("spec.arm.stable", &mut arm.stable),
            ] {
                let Some(text) = text else { continue };
                if text.contains(promql::ARM) {
                    self.refuse(
                        at,
                        text,
                        "$(arm) cannot be made of itself; write label matchers",
                    );
                } else {
                    self.fill(at, text, values);
                }
            }
        }
        for metric in &mut filled.metrics {
            let at = format!("spec.metrics[{}]", metric.name);
            for (field, query) in metric.queries_mut() {
                self.fill(&format!("{at}.{field}"), query, values);
            }
        }
        filled
    }

    fn fill(&mut self, at: &str, text: &mut String, values: &BTreeMap<String, String>) {
        match promql::fill(text, values) {
            Ok(filled) => *text = filled,
            Err(found) => {
                let value = text.clone();
                for problem in found {
                    self.refuse(at, &value, problem);
                }
            }
        }
    }
}

/// Fills in what the value of `name` names, and that in turn, into `known`.
fn expand(
    name: &str,
    raw: &BTreeMap<String, &str>,
    known: &mut BTreeMap<String, String>,
    open: &mut Vec<String>,
) -> Result<String, String> {
    if let Some(value) = known.get(name) {
        return Ok(value.clone());
    }
    if open.iter().any(|n| n == name) {
        open.push(name.to_owned());
        return Err(format!("names itself: {}", open.join(" -> ")));
    }
    let text = raw.get(name).ok_or_else(|| {
        let names = raw.keys().map(|k| (k.clone(), String::new()));
        let all = known.clone().into_iter().chain(names).collect();
        match promql::unknown(name, &all) {
            FillError::Unknown { name, allowed } => {
                format!(
                    "$({name}) is not known here; allowed are {}",
                    allowed.replace(", $(arm)", "")
                )
            }
            other => other.to_string(),
        }
    })?;
    open.push(name.to_owned());
    let mut value = String::new();
    let mut rest: &str = text;
    while let Some((before, after)) = rest.split_once("$(") {
        let (inner, tail) = after.split_once(')').ok_or("$( without its )")?;
        value.push_str(before);
        value.push_str(&expand(inner, raw, known, open)?);
        rest = tail;
    }
    value.push_str(rest);
    if value.len() > VALUE_MAX {
        return Err(format!(
            "is longer than the {VALUE_MAX} bytes that are allowed"
        ));
    }
    open.pop();
    known.insert(name.to_owned(), value.clone());
    Ok(value)
}

#[cfg(test)]
mod tests;
