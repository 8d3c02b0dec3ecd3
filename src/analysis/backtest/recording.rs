//! Samples of a stretch of time, read once and kept: what a run asks of any moment in it is answered
//! from here as the metrics source would have answered then.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::native;
use crate::analysis::plan::{Arms, Kind, Measure, Plan, Version};
use crate::analysis::run::{Answer, Question};
use crate::analysis::series::{Answers, DataError, Labels, Sample, Series};
use crate::analysis::target::Target;

/// A sample that is older than this is no longer the present value of its series, as in Prometheus.
const LOOKBACK_MS: i64 = 300_000;
/// The labels by which the past of a target is summed; a histogram's buckets are kept apart by one more.
const TARGET: [&str; 4] = ["job", "instance", "namespace", "pod"];
/// That one.
const BUCKET: &str = "le";

/// The series of one selector and version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Held(pub(super) BTreeMap<Labels, Vec<Sample>>);

/// What was read, by metric, selector and version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    pub(super) metrics: Vec<Vec<Arms<Held>>>,
    /// For each metric the bounds at which its native histograms are counted.
    pub(super) bounds: Vec<Vec<f64>>,
    /// For each metric a latency that should be one of them.
    pub(super) objectives: Vec<Option<f64>>,
}

impl Held {
    fn add(&mut self, series: Vec<Series>) {
        for one in series {
            let held = self.0.entry(one.labels).or_default();
            let last = held.last().map_or(i64::MIN, |s| s.at_ms);
            // Pieces may overlap by a sample.
            held.extend(one.samples.into_iter().filter(|s| s.at_ms > last));
        }
    }

    /// The samples after `from` up to `to`, in milliseconds.
    fn within(&self, from: i64, to: i64) -> impl Iterator<Item = (&Labels, &[Sample])> {
        self.0.iter().filter_map(move |(labels, samples)| {
            let begin = samples.partition_point(|s| s.at_ms <= from);
            let end = samples.partition_point(|s| s.at_ms <= to);
            let part = samples.get(begin..end).filter(|part| !part.is_empty())?;
            Some((labels, part))
        })
    }

    fn series(&self, from: i64, to: i64) -> Vec<Series> {
        let each = self.within(from, to);
        each.map(|(labels, samples)| Series {
            labels: labels.clone(),
            samples: samples.to_vec(),
            histograms: Vec::new(),
        })
        .collect()
    }

    /// `sum by (...) (selector)[reach:step]` at `until`.
    fn sums(&self, until: i64, reach: i64, step: i64, by_bucket: bool) -> Vec<Series> {
        let mut sums: BTreeMap<Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        let (until, step_ms) = (until * 1000, step.max(1) * 1000);
        for (labels, samples) in self.within(until - reach * 1000 - LOOKBACK_MS, until) {
            let kept = |name: &str| TARGET.contains(&name) || by_bucket && name == BUCKET;
            let by = labels.iter().filter(|(name, _)| kept(name));
            let by: Labels = by.collect();
            let sum = sums.entry(by).or_default();
            let mut known = samples.iter().peekable();
            let mut present: Option<&Sample> = None;
            let mut at = until - reach * 1000 + step_ms;
            while at <= until {
                while let Some(next) = known.next_if(|s| s.at_ms <= at) {
                    present = Some(next);
                }
                let fresh = present.filter(|s| s.at_ms > at - LOOKBACK_MS && !s.value.is_nan());
                if let Some(sample) = fresh {
                    *sum.entry(at).or_insert(0.0) += sample.value;
                }
                at += step_ms;
            }
        }
        let filled = sums.into_iter().filter(|(_, sum)| !sum.is_empty());
        filled
            .map(|(labels, sum)| Series {
                labels,
                samples: sum
                    .into_iter()
                    .map(|(at_ms, value)| Sample { at_ms, value })
                    .collect(),
                histograms: Vec::new(),
            })
            .collect()
    }

    fn samples(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

impl Recording {
    /// Nothing yet.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let selectors = |kind: &Kind| match kind {
            Kind::Comparison(compared) => compared.measure.selectors().len(),
            Kind::Threshold(_) => 0,
        };
        let objective = |kind: &Kind| match kind {
            Kind::Comparison(compared) => compared.measure.objective().map(|o| o.bound),
            Kind::Threshold(_) => None,
        };
        let metrics = plan.metrics.iter();
        Self {
            metrics: metrics
                .clone()
                .map(|m| vec![Arms::default(); selectors(&m.kind)])
                .collect(),
            bounds: vec![Vec::new(); plan.metrics.len()],
            objectives: metrics.map(|m| objective(&m.kind)).collect(),
        }
    }

    /// Keeps a piece of a metric. Pieces come in the order of time. Native histograms are kept as
    /// classic ones, at bounds of the first piece that has any, as a run chooses them once.
    ///
    /// # Errors
    /// [`DataError`] where they cannot be counted at these bounds.
    pub fn add(&mut self, metric: usize, answers: &Answers) -> Result<(), DataError> {
        let place = self
            .metrics
            .get_mut(metric)
            .zip(self.bounds.get_mut(metric));
        let Some((held, bounds)) = place else {
            return Ok(());
        };
        let objective = self.objectives.get(metric).copied().flatten();
        let of_native = native::largest(answers) > 0;
        let answers = native::classic(answers, bounds, objective)?.into_owned();
        if of_native && bounds.is_empty() {
            *bounds = bounds_of(&answers);
        }
        for (held, arms) in held.iter_mut().zip(answers.selected) {
            held.canary.add(arms.canary);
            held.stable.add(arms.stable);
        }
        Ok(())
    }

    /// The same where both versions' selectors are one: it is kept as the stable version's.
    ///
    /// # Errors
    /// As [`Recording::add`].
    pub fn add_stable(&mut self, metric: usize, mut answers: Answers) -> Result<(), DataError> {
        for arms in &mut answers.selected {
            arms.canary.clear();
        }
        self.add(metric, &answers)
    }

    fn without_samples(&self) -> Self {
        Self {
            metrics: Vec::new(),
            bounds: self.bounds.clone(),
            objectives: self.objectives.clone(),
        }
    }

    /// How many samples are kept.
    #[must_use]
    pub fn samples(&self) -> usize {
        let all = self.metrics.iter().flatten();
        all.map(|arms| arms.canary.samples() + arms.stable.samples())
            .sum()
    }

    /// What the source would have answered. None: it is no question that samples answer.
    #[must_use]
    pub fn answer(&self, plan: &Plan, question: &Question) -> Option<Answer> {
        let held = self.metrics.get(question.metric)?;
        let Kind::Comparison(compared) = &plan.metrics.get(question.metric)?.kind else {
            return None;
        };
        if let Some(past) = &question.past {
            let by_bucket = matches!(compared.measure, Measure::Histogram { .. });
            let sums = held.iter().map(|arms| {
                arms.stable
                    .sums(past.until, past.reach, past.step, by_bucket)
            });
            return Some(Answer::Past(sums.collect()));
        }
        let to = question.at * 1000;
        let from = to - question.reach.max(1) * 1000;
        let both = |arms: &Arms<Held>| Arms {
            canary: arms.canary.series(from, to),
            stable: arms.stable.series(from, to),
        };
        Some(Answer::Samples(Answers {
            at: question.at,
            reach: question.reach,
            selected: held.iter().map(both).collect(),
        }))
    }

    /// The stable version's targets of a metric that were scraped shortly before `at`, in Unix seconds.
    #[must_use]
    pub fn targets(&self, metric: usize, at: i64) -> BTreeSet<String> {
        let first = self.metrics.get(metric).and_then(|held| held.first());
        let present = first.map(|arms| arms.stable.within(at * 1000 - LOOKBACK_MS, at * 1000));
        let series = present.into_iter().flatten();
        series
            .map(|(labels, _)| Target::of(labels).to_string())
            .collect()
    }

    /// The samples after `from` up to `to`, in Unix seconds, in which the named targets of each metric
    /// are the new version and all others the stable one.
    #[must_use]
    pub fn divided(&self, from: i64, to: i64, canary: &[BTreeSet<String>]) -> Self {
        let mut divided = Self {
            metrics: self
                .metrics
                .iter()
                .map(|m| vec![Arms::default(); m.len()])
                .collect(),
            ..self.without_samples()
        };
        let none = BTreeSet::new();
        for (metric, (held, into)) in self.metrics.iter().zip(&mut divided.metrics).enumerate() {
            let canary = canary.get(metric).unwrap_or(&none);
            for (arms, into) in held.iter().zip(into) {
                for series in arms.stable.series(from * 1000, to * 1000) {
                    let version = if canary.contains(&Target::of(&series.labels).to_string()) {
                        Version::Canary
                    } else {
                        Version::Stable
                    };
                    into.of_mut(version).add(vec![series]);
                }
            }
        }
        divided
    }
}

/// The bounds of classic histograms, the infinite one left out.
fn bounds_of(answers: &Answers) -> Vec<f64> {
    let labels = answers.series().filter_map(|s| s.labels.get(BUCKET));
    let bounds = labels.filter_map(|le| le.parse::<f64>().ok());
    let mut bounds: Vec<f64> = bounds.filter(|bound| bound.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}

#[cfg(test)]
pub(super) mod tests;
