//! Times that runs agree on, and those that they do not: pure functions of what a run is.
//!
//! Two runs that ask the same question for the same time ask it once; a thousand that ask different
//! ones should not ask at the same instant.

use std::time::Duration;

use jiff::Timestamp;

use crate::analysis::plan::{Kind, Plan};
use crate::analysis::run::Question;
use crate::core::naming;

/// Between two times for which a threshold is asked: the usual time between two scrapes. There is
/// nothing new in between.
const GRID_S: i64 = 15;
/// Looks are planned in whole seconds, and each run has a moment of its own in them.
const SECOND_MS: u64 = 1000;

/// The run's own moment in every second.
pub(super) fn moment(uid: &str) -> Duration {
    let hash = u64::from_str_radix(&naming::hex(uid, 8), 16).unwrap_or_default();
    Duration::from_millis(hash % SECOND_MS)
}

/// When to look, for whom it was planned for a whole second.
pub(super) fn at_its_moment(second: i64, uid: &str) -> Option<Timestamp> {
    Timestamp::from_second(second)
        .ok()?
        .checked_add(moment(uid))
        .ok()
}

/// The same question for a time that other runs ask for too. It is never before the run's own data
/// begin, and never the same twice: a threshold is asked again after its interval at the soonest.
pub(super) fn on_the_grid(plan: &Plan, question: Question) -> Question {
    let Some(Kind::Threshold(threshold)) = plan.metrics.get(question.metric).map(|m| &m.kind)
    else {
        return question;
    };
    let begins = (plan.start + plan.warmup).max(plan.begin);
    let grid = threshold.interval.clamp(1, GRID_S);
    let at = question.at - question.at.rem_euclid(grid);
    if at < begins {
        return question;
    }
    Question { at, ..question }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::analysis::plan;

    /// A run that was made at 1003 s and whose first metric is a threshold.
    fn plan(interval: &str, warmup: &str) -> Plan {
        let spec = json!({"warmup": {"duration": warmup}, "metrics": [
            {"name": "lag", "threshold": {"query": "lag", "success": "result < 5.0", "interval": interval}},
            {"name": "errors", "ratio": {"bad": "b{$(arm)}", "total": "t{$(arm)}"}}],
            "arm": {"canary": "a=\"1\"", "stable": "a=\"2\""}});
        let spec = serde_json::from_value(spec).unwrap();
        plan::parse(&spec, Timestamp::from_second(1003).unwrap()).unwrap()
    }

    fn asked(plan: &Plan, metric: usize, at: i64) -> i64 {
        let question = Question {
            metric,
            at,
            reach: 0,
            past: None,
        };
        on_the_grid(plan, question).at
    }

    #[test]
    fn runs_that_began_at_different_times_ask_for_the_same_time() {
        let plan = plan("30s", "0s");
        let times = [1019, 1020, 1021, 1034, 1035].map(|at| asked(&plan, 0, at));
        assert_eq!(times, [1005, 1020, 1020, 1020, 1035]);
        // A ratio tells its windows apart by the time that it asks for.
        assert_eq!(asked(&plan, 1, 1021), 1021);
    }

    #[test]
    fn nothing_older_than_the_run_is_asked_for() {
        assert_eq!(asked(&plan("30s", "0s"), 0, 1004), 1004);
        assert_eq!(asked(&plan("30s", "60s"), 0, 1063), 1063);
        assert_eq!(asked(&plan("30s", "60s"), 0, 1065), 1065);
        assert_eq!(asked(&plan("30s", "60s"), 0, 1066), 1065);
    }

    #[test]
    fn no_time_is_measured_twice() {
        for interval in [5_i64, 7, 15, 16, 40] {
            let plan = plan(&format!("{interval}s"), "0s");
            for first in 1003..1050 {
                let last = asked(&plan, 0, first);
                for late in 0..20 {
                    let next = asked(&plan, 0, last + interval + late);
                    assert!(next > last, "{interval}: {last} and {next}");
                }
            }
        }
    }

    #[test]
    fn every_run_has_a_moment_and_keeps_it() {
        let mut used: BTreeMap<u128, usize> = BTreeMap::new();
        for run in 0..500 {
            let uid = format!("6f1c0a52-0000-4000-8000-{run:012}");
            let moment = moment(&uid);
            assert_eq!(moment, super::moment(&uid));
            *used.entry(moment.as_millis() / 100).or_default() += 1;
        }
        // Spread over the whole second: fifty in each tenth, more or less.
        assert_eq!(used.len(), 10, "{used:?}");
        assert!(
            used.values().all(|runs| (25..=75).contains(runs)),
            "{used:?}"
        );
        let at = at_its_moment(1000, "x").unwrap();
        assert_eq!(at.as_second(), 1000);
    }
}
