//! Every template is run, by the shipped analysis, against a store that has what its exporter writes: a
//! healthy version passes, one in which a metric is broken fails by that metric, and where the exporter is
//! not there nothing is said.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use tidegate::analysis::plan::{self, Plan};
use tidegate::analysis::run::{self, Pace};
use tidegate::api::analysis::{AnalysisRunSpec, RunMode};
use tidegate::api::analysis_status::{AnalysisRunStatus, RunPhase, Verdict};

use super::recorded::recorded;
use super::store::Store;
use super::{START, files};

/// No run is looked at for longer, in seconds ...
const LONGEST_S: i64 = 3600;
/// ... and not more often.
const PAUSE_S: i64 = 10;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A run of a template that begins with the version.
pub fn plan_of(file: &str, mode: RunMode) -> Plan {
    let spec = AnalysisRunSpec {
        mode,
        next_weight: 25,
        start_at: Some(at(START)),
        ..super::run(file)
    };
    plan::parse(&spec, at(START)).unwrap_or_else(|problems| panic!("{file}: {problems:?}"))
}

/// Looks as the controller does, if a little more seldom, until `enough` or the run is over. The seconds
/// that it took.
fn followed(
    plan: &Plan,
    store: &Store,
    enough: impl Fn(&AnalysisRunStatus) -> bool,
) -> (AnalysisRunStatus, i64) {
    let (mut status, mut pace, mut now) = (run::begin(plan), Pace::default(), START);
    while now < START + LONGEST_S && !run::is_over(&status) && !enough(&status) {
        now = run::next_look(plan, &status, &pace, now).max(now + PAUSE_S);
        for _ in 0..50 {
            let mut behind = false;
            for question in run::questions(plan, &status, &pace, now) {
                let answer = Ok(store.answer(plan, &question));
                behind |= run::take(plan, &mut status, &mut pace, &question, answer, at(now));
            }
            if !behind {
                break;
            }
            pace = Pace::default();
        }
        run::conclude(plan, &mut status, false, at(now));
    }
    (status, now - START)
}

fn said(status: &AnalysisRunStatus) -> String {
    let metrics = status.metrics.iter();
    let all = metrics.map(|m| format!("{} {:?}/{}: {}", m.name, m.verdict, m.reason, m.message));
    format!("{}\n{}", status.message, all.collect::<Vec<_>>().join("\n"))
}

/// Metrics that a healthy version neither passes nor fails, and why they are shown only.
const UNDECIDED: &[(&str, &str)] = &[
    // Nothing restarts, so there is nothing to compare.
    ("pods.yaml", "restarts"),
];

#[test]
fn a_healthy_version_passes() {
    for file in files().keys() {
        let plan = plan_of(file, RunMode::Step);
        let store = Store::new(&recorded(file), None);
        let (status, after) = followed(&plan, &store, |_| false);
        assert_eq!(
            status.phase,
            Some(RunPhase::Successful),
            "{file}, after {after} s: {}",
            said(&status)
        );
        assert!(after < 30 * 60, "{file}: {after} s: {}", said(&status));
    }
}

#[test]
fn what_is_shown_of_a_healthy_version_is_healthy() {
    for file in files().keys() {
        let plan = plan_of(file, RunMode::Background);
        let store = Store::new(&recorded(file), None);
        let undecided = |name: &str| UNDECIDED.contains(&(file.as_str(), name));
        let good = |status: &AnalysisRunStatus| {
            let all = status.metrics.iter();
            all.filter(|m| !undecided(&m.name))
                .all(|m| m.verdict == Verdict::Pass)
        };
        let (status, _) = followed(&plan, &store, good);
        assert!(good(&status), "{file}: {}", said(&status));
        for metric in status.metrics.iter().filter(|m| undecided(&m.name)) {
            assert!(metric.dry_run, "{file}: {}", metric.name);
            assert_eq!(metric.verdict, Verdict::Inconclusive, "{file}");
        }
    }
}

/// For each template, the seconds after which its metrics fail when they are broken.
pub static FAILING: LazyLock<BTreeMap<String, BTreeMap<String, i64>>> = LazyLock::new(|| {
    let files = files().into_keys();
    files.map(|file| (file.clone(), failing(&file))).collect()
});

fn failing(file: &str) -> BTreeMap<String, i64> {
    let lines = recorded(file);
    let plan = plan_of(file, RunMode::Background);
    let mut found = BTreeMap::new();
    for (i, metric) in plan.metrics.iter().enumerate() {
        let store = Store::new(&lines, Some(&metric.name));
        let verdict = |status: &AnalysisRunStatus| status.metrics[i].verdict;
        let (status, after) = followed(&plan, &store, |s| verdict(s) == Verdict::Fail);
        assert_eq!(
            verdict(&status),
            Verdict::Fail,
            "{file}, {} broken: {}",
            metric.name,
            said(&status)
        );
        // It is that metric alone which decides so.
        for other in status.metrics.iter().filter(|m| !m.dry_run) {
            let is = other.name == metric.name;
            assert!(
                is || other.verdict != Verdict::Fail,
                "{file}, {} broken: {}",
                metric.name,
                said(&status)
            );
        }
        let over = status.phase == Some(RunPhase::Failed);
        assert_eq!(over, !metric.dry_run, "{file}: {}", said(&status));
        found.insert(metric.name.clone(), after);
    }
    found
}

#[test]
fn a_version_in_which_a_metric_is_broken_fails_by_it() {
    let metrics: usize = FAILING.values().map(BTreeMap::len).sum();
    assert!(metrics > 50, "{metrics}");
}

#[test]
fn without_the_exporter_nothing_is_said() {
    for file in files().keys() {
        let plan = plan_of(file, RunMode::Step);
        let silent = |status: &AnalysisRunStatus| {
            let mut all = status.metrics.iter();
            all.all(|m| m.verdict == Verdict::NoData)
        };
        let (status, _) = followed(&plan, &Store::default(), silent);
        assert_eq!(status.phase, Some(RunPhase::Running), "{file}");
        assert_eq!(status.verdict, Some(Verdict::NoData), "{file}");
        for metric in &status.metrics {
            assert_eq!(metric.verdict, Verdict::NoData, "{file}: {}", said(&status));
        }
    }
}
