//! Whether a run could come to a verdict before its time is over, whatever is measured. What certainly
//! could not is refused at the beginning, with the figures: it would keep a rollout waiting and then
//! ask a person all the same.

use super::{Kind, MAX_DURATION, Plan, PlannedMetric, Problem};
use crate::analysis::comparison::WINDOW_MIN_S;
use crate::analysis::words;
use crate::api::analysis::{AnalysisRunSpec, RunMode};

/// The metrics that could not pass in time. A run in the background has no end by itself.
pub(super) fn problems(spec: &AnalysisRunSpec, plan: &Plan) -> Vec<Problem> {
    if plan.mode != RunMode::Step {
        return Vec::new();
    }
    let said = spec.promote.max_duration.as_deref();
    let judged = plan.metrics.iter().filter(|metric| !metric.dry_run);
    let late = judged.filter_map(|metric| {
        let (needed, what) = needed(plan, metric);
        (needed > plan.max_duration).then(|| {
            let message = format!(
                "metric {} cannot be decided before {}: {what}; give it more time, or ask for less",
                metric.name,
                words::seconds(needed),
            );
            let value = said.unwrap_or(MAX_DURATION);
            Problem::new("spec.promote.maxDuration", value, message)
        })
    });
    late.collect()
}

/// Seconds after the beginning before which a metric can have passed for no data, and why.
fn needed(plan: &Plan, metric: &PlannedMetric) -> (i64, String) {
    let young = (plan.start + plan.warmup - plan.begin).max(0);
    let warm = format!("the pods are young for {}", words::seconds(young));
    match &metric.kind {
        // What was measured before the run began counts too, so nothing may be left to wait for.
        Kind::Comparison(_) if young == 0 => (0, String::new()),
        Kind::Comparison(_) => (
            young + WINDOW_MIN_S,
            format!("{warm}, and a window has at least {WINDOW_MIN_S} s"),
        ),
        Kind::Threshold(threshold) => {
            let between = i64::from(threshold.count - 1) * threshold.interval;
            let measured = format!(
                "{} successes, one every {}, take {}",
                threshold.count,
                words::seconds(threshold.interval),
                words::seconds(between),
            );
            let all = if young > 0 {
                format!("{warm}, and {measured}")
            } else {
                measured
            };
            (young + between, all)
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::analysis::plan::{parse, read};

    const RATIO: &str = "{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}";

    fn threshold(interval: &str, count: i32) -> String {
        format!(
            "{{name: lag, threshold: {{query: lag, success: result < 1, interval: {interval}, count: {count}}}}}"
        )
    }

    /// What is wrong with a run that is made a day after the epoch.
    fn problems(yaml: &str) -> Vec<String> {
        let spec = format!("canaryHash: c\nstableHash: s\n{yaml}");
        let spec = serde_saphyr::from_str(&spec).unwrap();
        let made = Timestamp::from_second(86_400).unwrap();
        read(&spec, made).expect("nothing but its times is wrong");
        let found = parse(&spec, made).err().unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_could_not_be_decided_in_time_is_refused_with_the_figures() {
        let short = |max: &str| format!("promote: {{minBake: 0s, maxDuration: {max}}}");
        let rows = [
            // A window after the warm-up, at the boundary.
            (
                format!("{}\nmetrics: [{RATIO}]", short("74s")),
                Some("75 s"),
            ),
            (format!("{}\nmetrics: [{RATIO}]", short("75s")), None),
            // The pods have been there for an hour: what they did is judged at the first look.
            (
                format!(
                    "startAt: 1970-01-01T23:00:00Z\n{}\nmetrics: [{RATIO}]",
                    short("10s")
                ),
                None,
            ),
            // So many measurements, one interval apart, at the boundary.
            (
                format!(
                    "{}\nwarmup: {{duration: 0s}}\nmetrics: [{}]",
                    short("30m"),
                    threshold("10m", 4)
                ),
                None,
            ),
            (
                format!(
                    "{}\nwarmup: {{duration: 0s}}\nmetrics: [{}]",
                    short("1799s"),
                    threshold("10m", 4)
                ),
                Some("4 successes, one every 10 min, take 30 min"),
            ),
            (
                format!("{}\nmetrics: [{}]", short("30m"), threshold("10m", 4)),
                Some("before 31 min"),
            ),
            // The default is an hour.
            (
                format!("metrics: [{}]", threshold("1h", 3)),
                Some("\"60m\""),
            ),
            // What decides nothing may take as long as it likes, and so may what watches on.
            (
                format!(
                    "metrics: [{RATIO}, {}]",
                    threshold("1h", 3).replace("{name: lag", "{dryRun: true, name: lag")
                ),
                None,
            ),
            (
                format!("mode: Background\nmetrics: [{}]", threshold("1h", 3)),
                None,
            ),
        ];
        for (yaml, says) in rows {
            let found = problems(&yaml);
            match says {
                None => assert_eq!(found, [""; 0], "{yaml}"),
                Some(says) => {
                    assert_eq!(found.len(), 1, "{yaml}: {found:?}");
                    assert!(found[0].contains(says), "{yaml}: {}", found[0]);
                    assert!(
                        found[0].starts_with("spec.promote.maxDuration: "),
                        "{}",
                        found[0]
                    );
                }
            }
        }
    }
}
