//! One metric of a run's spec: its queries, tolerances and conditions.

use jiff::SignedDuration;

use super::parse::Parser;
use super::{
    ABSOLUTE, Arms, ComparisonPlan, Kind, Measure, ObjectivePlan, PlannedMetric, RELATIVE, SLOWER,
    ThresholdPlan,
};
use crate::analysis::condition::Condition;
use crate::analysis::promql;
use crate::api::metric::{CompareTo, Direction, Harm, Metric, Objective, Threshold, TimeUnit};

/// Shortest and longest time between two measurements of a threshold.
const INTERVAL: [SignedDuration; 2] = [SignedDuration::from_secs(5), SignedDuration::from_hours(1)];
/// Orders or values that become fewer by this much are the most that can be tolerated.
const FEWER_MAX: f64 = 0.9;
/// Most that a latency may become slower.
const SLOWER_MAX: f64 = 1.0;

impl Parser {
    pub fn metric(&mut self, m: &Metric, arms: &Arms<String>, alpha: f64) -> Option<PlannedMetric> {
        let at = format!("spec.metrics[{}]", m.name);
        let kinds = [
            m.ratio.is_some(),
            m.events.is_some(),
            m.histogram.is_some(),
            m.gauge.is_some(),
            m.threshold.is_some(),
        ];
        if kinds.into_iter().filter(|is| *is).count() != 1 {
            let message =
                "a metric has exactly one kind: ratio, events, histogram, gauge or threshold";
            self.refuse(&at, "", message);
            return None;
        }
        self.applies(&at, m);
        let kind = match &m.threshold {
            Some(threshold) => Kind::Threshold(self.threshold(&at, threshold, arms)),
            None => Kind::Comparison(self.comparison(&at, m, arms, alpha)?),
        };
        Some(PlannedMetric {
            name: m.name.clone(),
            dry_run: m.dry_run,
            kind,
        })
    }

    /// What is said must apply to a metric of this kind.
    fn applies(&mut self, at: &str, m: &Metric) {
        let tolerate = m.tolerate.clone().unwrap_or_default();
        let (ratio, histogram) = (m.ratio.is_some(), m.histogram.is_some());
        let compares = m.compares();
        let fields = [
            (
                "tolerate",
                m.tolerate.is_some(),
                !m.has_fixed_level(),
                "a comparison with the stable version",
            ),
            ("weight", m.weight.is_some(), compares, "a comparison"),
            (
                "tolerate.relative",
                tolerate.relative.is_some(),
                !histogram,
                "what is no histogram",
            ),
            (
                "tolerate.absolute",
                tolerate.absolute.is_some(),
                ratio,
                "a ratio",
            ),
            (
                "tolerate.slower",
                tolerate.slower.is_some(),
                histogram,
                "a histogram",
            ),
            (
                "neverAbortBelow",
                m.never_abort_below.is_some(),
                ratio,
                "a ratio",
            ),
            ("compareTo", m.compare_to.is_some(), ratio, "a ratio"),
            ("objective", m.objective.is_some(), histogram, "a histogram"),
        ];
        for (field, said, applies, to) in fields {
            if said && !applies {
                let message = format!("applies only to {to}, and this is a {}", m.kind());
                self.refuse(&format!("{at}.{field}"), "", message);
            }
        }
    }

    fn comparison(
        &mut self,
        at: &str,
        m: &Metric,
        arms: &Arms<String>,
        alpha: f64,
    ) -> Option<ComparisonPlan> {
        for (field, query) in m.queries() {
            self.selector(&format!("{at}.{field}"), query);
        }
        let of = |query: &str| Arms {
            canary: promql::with_arm(query, &arms.canary),
            stable: promql::with_arm(query, &arms.stable),
        };
        let mut default = (RELATIVE, 100.0);
        let measure = if let Some(ratio) = &m.ratio {
            if ratio.bad == ratio.total {
                let message = "is the same as total: every request would be bad";
                self.refuse(&format!("{at}.ratio.bad"), &ratio.bad, message);
            }
            Measure::Ratio {
                total: of(&ratio.total),
                bad: of(&ratio.bad),
            }
        } else if let Some(events) = &m.events {
            if events.harm == Harm::Fewer {
                default.1 = FEWER_MAX;
            }
            if events.requests.as_ref() == Some(&events.count) {
                let message = "is the same as requests: every request would be an event";
                self.refuse(&format!("{at}.events.count"), &events.count, message);
            }
            Measure::Events {
                count: of(&events.count),
                requests: events.requests.as_deref().map(of),
                harm: events.harm,
            }
        } else if let Some(histogram) = &m.histogram {
            default = (SLOWER, SLOWER_MAX);
            let objective = m.objective.as_ref();
            Measure::Histogram {
                buckets: of(&histogram.buckets),
                objective: objective.and_then(|o| self.objective(at, o, histogram.unit)),
                unit: histogram.unit,
            }
        } else {
            let gauge = m.gauge.as_ref()?;
            if gauge
                .kayenta
                .is_some_and(|k| k.direction != Direction::Increase)
            {
                default.1 = FEWER_MAX;
            }
            Measure::Gauge {
                query: of(&gauge.query),
                kayenta: gauge.kayenta.map(|k| k.direction),
            }
        };
        let tolerate = m.tolerate.clone().unwrap_or_default();
        let (field, said) = if m.histogram.is_some() {
            ("tolerate.slower", &tolerate.slower)
        } else {
            ("tolerate.relative", &tolerate.relative)
        };
        let (floor, absolute) = (&m.never_abort_below, &tolerate.absolute);
        Some(ComparisonPlan {
            measure,
            relative: self.share(at, field, said, default),
            absolute: self.share(at, "tolerate.absolute", absolute, (ABSOLUTE, 1.0)),
            floor: self.share(at, "neverAbortBelow", floor, ("0%", 1.0)),
            level: m.compare_to.as_ref().map(|to| self.level(at, to)),
            alpha,
        })
    }

    /// A percentage, with its default and the most that is allowed.
    fn share(
        &mut self,
        at: &str,
        field: &str,
        said: &Option<String>,
        (default, max): (&str, f64),
    ) -> f64 {
        let text = said.as_deref().unwrap_or(default);
        self.percent(&format!("{at}.{field}"), text, max)
    }

    fn level(&mut self, at: &str, to: &CompareTo) -> f64 {
        let at = format!("{at}.compareTo.objective");
        let level = self.percent(&at, &to.objective, 1.0);
        if level <= 0.0 || level >= 1.0 {
            self.refuse(
                &at,
                &to.objective,
                "more than 0% and less than 100% is allowed",
            );
        }
        level
    }

    /// A query of a comparison selects raw series of one version.
    fn selector(&mut self, at: &str, query: &str) {
        match promql::selector(query) {
            Err(error) => self.refuse(at, query, error),
            Ok(_) if !query.contains(promql::ARM) => {
                let message = "must contain $(arm), or both versions would be the same series";
                self.refuse(at, query, message);
            }
            Ok(_) => {}
        }
    }

    fn objective(
        &mut self,
        at: &str,
        objective: &Objective,
        unit: TimeUnit,
    ) -> Option<ObjectivePlan> {
        let quantile_at = format!("{at}.objective.quantile");
        let share = self.percent(&quantile_at, &objective.quantile, 1.0);
        if share <= 0.0 || share >= 1.0 {
            let message = "more than 0% and less than 100% is allowed";
            self.refuse(&quantile_at, &objective.quantile, message);
            return None;
        }
        let seconds = latency(&objective.below);
        if seconds.is_none() {
            let message = "write a number and a unit ms, s or m, as in 500ms";
            self.refuse(&format!("{at}.objective.below"), &objective.below, message);
        }
        seconds.map(|seconds| ObjectivePlan {
            share: 1.0 - share,
            // Without the dust of the multiplication, for which a bucket would be too small.
            bound: (seconds * unit.per_second() * 1e9).round() / 1e9,
        })
    }

    fn threshold(&mut self, at: &str, t: &Threshold, arms: &Arms<String>) -> ThresholdPlan {
        let at = format!("{at}.threshold");
        match promql::tokens(&t.query) {
            Err(error) => self.refuse(&format!("{at}.query"), &t.query, error),
            Ok(tokens) if tokens.is_empty() => {
                self.refuse(
                    &format!("{at}.query"),
                    &t.query,
                    "is empty; any PromQL is allowed",
                );
            }
            Ok(_) => {}
        }
        let mut compile = |field: &str, source: &Option<String>| {
            let source = source.as_ref()?;
            Condition::compile(source)
                .map_err(|error| self.refuse(&format!("{at}.{field}"), source, error))
                .ok()
        };
        let success = compile("success", &t.success);
        let failure = compile("failure", &t.failure);
        if t.success.is_none() && t.failure.is_none() {
            let message = "needs at least one of success and failure, or every result would pass";
            self.refuse(&at, "", message);
        }
        let interval = self.seconds(&format!("{at}.interval"), &t.interval);
        if !(INTERVAL[0].as_secs()..=INTERVAL[1].as_secs()).contains(&interval) {
            self.refuse(
                &format!("{at}.interval"),
                &t.interval,
                "5s to 1h is allowed",
            );
        }
        for (field, value, min) in [("count", t.count, 1), ("failureLimit", t.failure_limit, 0)] {
            if !(min..=1000).contains(&value) {
                let message = format!("{min} to 1000 is allowed");
                self.refuse(&format!("{at}.{field}"), &value.to_string(), message);
            }
        }
        ThresholdPlan {
            query: promql::with_arm(&t.query, &arms.canary),
            success,
            failure,
            interval,
            count: t.count,
            failure_limit: t.failure_limit,
        }
    }
}

/// Seconds of a latency such as `500ms` or `2s`.
fn latency(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let number = number.parse::<u32>().ok().filter(|n| *n > 0)?;
    Some(f64::from(number) * unit)
}
