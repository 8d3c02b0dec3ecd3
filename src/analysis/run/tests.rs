use super::*;
use crate::analysis::plan::{self, Arms};
use crate::analysis::series::{Sample, Series};
use crate::api::analysis::AnalysisRunSpec;

mod restored;

const START: i64 = 1_000_000;

fn plan(yaml: &str) -> Plan {
    let yaml = format!("canaryHash: c\nstableHash: s\n{yaml}");
    let spec: AnalysisRunSpec = serde_saphyr::from_str(&yaml).unwrap();
    plan::parse(&spec, at(START)).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const RATIO: &str = "{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}";
const LOAD: &str = "{name: load, threshold: {query: 'l{$(arm)}', success: result < 1, failure: result > 2, interval: 30s, count: 3}}";

/// A metrics store in which both versions serve 40 requests a second and are scraped every 5 s.
struct Store {
    bad: fn(i64) -> [f64; 2],
    load: fn(i64) -> Option<f64>,
    /// While this is true no question is answered.
    down: fn(i64) -> bool,
    /// It does not answer for the stable version's past.
    past_refused: bool,
}

impl Store {
    fn answer(&self, question: &Question, now: i64) -> Result<Answer, Fault> {
        if (self.down)(now - START) {
            return Err(fault("Unreachable", "connection refused"));
        }
        if question.past.is_some() {
            if self.past_refused {
                return Err(fault("QueryRefused", "a subquery is not allowed"));
            }
            return Ok(Answer::Past(vec![Vec::new(), Vec::new()]));
        }
        if question.reach == 0 {
            let value = (self.load)(question.at - START);
            let point = |value| Point {
                at_ms: question.at * 1000,
                value,
            };
            return Ok(Answer::Points(value.map(point).into_iter().collect()));
        }
        let series = |version: usize, bad: bool| {
            let (mut value, mut samples) = (0.0, Vec::new());
            let mut second = START - 4500;
            while second <= question.at {
                let share = if bad {
                    (self.bad)(second - START)[version]
                } else {
                    1.0
                };
                value += 200.0 * share;
                if second > question.at - question.reach {
                    samples.push(Sample {
                        at_ms: second * 1000,
                        value,
                    });
                }
                second += 5;
            }
            let labels = [("instance".to_owned(), version.to_string())].into();
            vec![Series {
                labels,
                samples,
                ..Series::default()
            }]
        };
        let both = |bad| Arms {
            canary: series(0, bad),
            stable: series(1, bad),
        };
        Ok(Answer::Samples(Answers {
            at: question.at,
            reach: question.reach,
            selected: vec![both(false), both(true)],
        }))
    }
}

const GOOD: Store = Store {
    bad: |_| [0.005, 0.005],
    load: |_| Some(0.5),
    down: |_| false,
    past_refused: false,
};

/// Looks until the run is over or `seconds` have passed, reading the status back at every look.
/// Returns the status and every change of verdict with its time after the start.
fn follow(
    plan: &Plan,
    store: &Store,
    seconds: i64,
) -> (AnalysisRunStatus, Vec<(i64, Verdict, String)>) {
    let mut status = begin(plan);
    let mut changes: Vec<(i64, Verdict, String)> = Vec::new();
    let (mut now, mut pace) = (START, Pace::default());
    while now <= START + seconds && !is_over(&status) {
        look(plan, store, &mut status, &mut pace, now);
        let text = serde_json::to_string(&status).unwrap();
        status = resume(plan, Some(serde_json::from_str(&text).unwrap()));
        assert_eq!(serde_json::to_string(&status).unwrap(), text);
        let verdict = status.verdict.unwrap();
        if changes.last().is_none_or(|(_, last, _)| *last != verdict) {
            changes.push((now - START, verdict, status.reason.clone()));
        }
        let next = next_look(plan, &status, &pace, now);
        assert!(next > now && next <= now + 60);
        now = next;
    }
    (status, changes)
}

fn look(plan: &Plan, store: &Store, status: &mut AnalysisRunStatus, pace: &mut Pace, now: i64) {
    for _ in 0..50 {
        let mut behind = false;
        for question in questions(plan, status, pace, now) {
            let answer = store.answer(&question, now);
            behind |= take(plan, status, pace, &question, answer, at(now));
        }
        if !behind {
            break;
        }
        *pace = Pace::default();
    }
    conclude(plan, status, false, at(now));
}

fn verdicts(changes: &[(i64, Verdict, String)]) -> Vec<Verdict> {
    changes.iter().map(|(_, verdict, _)| *verdict).collect()
}

#[test]
fn a_good_version_passes_once_it_was_watched_long_enough() {
    use Verdict::{Inconclusive, Pass};
    let quick = plan(&format!(
        "nextWeight: 25\npromote: {{minBake: 0s}}\nwarmup: {{duration: 15s}}\nmetrics: [{RATIO}, {LOAD}]"
    ));
    let (status, changes) = follow(&quick, &GOOD, 3600);
    assert_eq!(
        verdicts(&changes),
        [Inconclusive, Pass],
        "{}",
        status.message
    );
    assert_eq!(status.phase, Some(RunPhase::Successful));
    assert!(changes[1].0 < 120, "{changes:?}");
    assert!(
        status.message.contains("and one more metric"),
        "{}",
        status.message
    );
    assert_eq!(status.completed_at, Some(at(START + changes[1].0)));

    let slow = plan(&format!(
        "nextWeight: 25\npromote: {{minBake: 5m}}\nmetrics: [{RATIO}, {LOAD}]"
    ));
    let (status, changes) = follow(&slow, &GOOD, 3600);
    assert_eq!(verdicts(&changes), [Inconclusive, Pass]);
    assert_eq!(changes[1].0, 300, "{}", status.message);
}

#[test]
fn a_past_that_is_not_told_is_waited_for_and_then_done_without() {
    let plan = plan(&format!(
        "nextWeight: 25\npromote: {{minBake: 0s}}\nmetrics: [{RATIO}, {LOAD}]"
    ));
    let store = Store {
        past_refused: true,
        ..GOOD
    };
    let (status, changes) = follow(&plan, &store, 3600);
    assert_eq!(status.verdict, Some(Verdict::Pass), "{changes:?}");
    let held = changes.iter().any(|(_, v, _)| *v == Verdict::SourceError);
    assert!(held, "it is said meanwhile: {changes:?}");
    let comparison = status.metrics[0].comparison.as_ref().unwrap();
    let calibration = comparison.sampler.as_ref().unwrap().calibration.as_ref();
    let why = &calibration.unwrap().why;
    assert!(why.contains("a subquery is not allowed"), "{why}");
}

#[test]
fn a_source_that_is_down_holds_and_uses_up_no_time() {
    use Verdict::{Inconclusive, Pass, SourceError};
    let plan = plan(&format!(
        "nextWeight: 25\npromote: {{minBake: 0s, maxDuration: 10m}}\nmetrics: [{RATIO}, {LOAD}]"
    ));
    let store = Store {
        down: |t| (30..5000).contains(&t),
        ..GOOD
    };
    let (status, changes) = follow(&plan, &store, 8000);
    assert_eq!(
        verdicts(&changes),
        [Inconclusive, SourceError, Inconclusive, Pass],
        "{changes:?}"
    );
    assert!(changes[1].0 < 50 && changes[2].0 < 5040, "{changes:?}");
    assert!(status.held_seconds > 4900 && status.held_since.is_none());
    let (down, _) = follow(
        &plan,
        &Store {
            down: |_| true,
            ..GOOD
        },
        8000,
    );
    assert_eq!(
        (down.phase, down.verdict),
        (Some(RunPhase::Running), Some(SourceError))
    );
    assert!(
        down.message.contains("connection refused"),
        "{}",
        down.message
    );
    let trouble = down.metrics[0].trouble.as_ref().unwrap();
    assert_eq!((trouble.since, trouble.count > 100), (at(START), true));
}

#[test]
fn one_failed_question_is_asked_again_at_once() {
    let plan = plan(&format!(
        "nextWeight: 25\npromote: {{minBake: 0s}}\nmetrics: [{RATIO}]"
    ));
    let store = Store {
        down: |t| t == 50,
        ..GOOD
    };
    let (_, changes) = follow(&plan, &store, 3600);
    assert_eq!(
        verdicts(&changes),
        [Verdict::Inconclusive, Verdict::Pass],
        "{changes:?}"
    );
}

#[test]
fn missing_numbers_hold() {
    let plan = plan(&format!(
        "promote: {{minBake: 0s, maxDuration: 10m}}\nmetrics: [{LOAD}]"
    ));
    for load in [
        (|_| None) as fn(i64) -> Option<f64>,
        |_| Some(f64::NAN),
        |_| Some(f64::INFINITY),
    ] {
        let (status, _) = follow(&plan, &Store { load, ..GOOD }, 3600);
        assert_eq!(
            (status.phase, status.verdict),
            (Some(RunPhase::Running), Some(Verdict::NoData))
        );
    }
    let high = Store {
        load: |_| Some(3.0),
        ..GOOD
    };
    let (status, _) = follow(&plan, &high, 3600);
    assert_eq!(status.phase, Some(RunPhase::Failed), "{}", status.message);
}

#[test]
fn without_enough_evidence_the_time_ends_it() {
    let ends = |more: &str| {
        let plan = plan(&format!(
            "promote: {{minBake: 0s, maxDuration: 10m{more}}}\nmetrics: [{LOAD}]"
        ));
        let between = Store {
            load: |_| Some(1.5),
            ..GOOD
        };
        follow(&plan, &between, 3600).0
    };
    let paused = ends("");
    assert_eq!(
        (paused.phase, &*paused.reason),
        (Some(RunPhase::Inconclusive), "TimeIsOver")
    );
    assert!(
        paused.message.contains("within 10 min; load: last 1.5"),
        "{}",
        paused.message
    );
    assert_eq!(paused.completed_at, Some(at(START + 600)));
    let aborted = ends(", onInconclusive: Abort");
    assert_eq!(
        (aborted.phase, aborted.verdict),
        (Some(RunPhase::Failed), Some(Verdict::Fail))
    );
}

#[test]
fn what_is_nearly_safe_passes_with_a_warning() {
    // A little worse than stable: never below 1.5 times within the time, surely below 3 times.
    let plan = plan(&format!(
        "promote: {{minBake: 0s, maxDuration: 10m}}\nmetrics: [{RATIO}]"
    ));
    let worse = Store {
        bad: |_| [0.0072, 0.005],
        ..GOOD
    };
    let (status, _) = follow(&plan, &worse, 3600);
    assert_eq!(status.reason, "PassWithWarning", "{}", status.message);
    assert_eq!(status.phase, Some(RunPhase::Successful));
}

#[test]
fn a_background_run_watches_on() {
    use Verdict::{Fail, Inconclusive, Pass};
    let plan = plan(&format!(
        "mode: Background\nnextWeight: 25\npromote: {{minBake: 0s, maxDuration: 3m}}\nmetrics: [{RATIO}]"
    ));
    let later = Store {
        bad: |t| if t < 1200 { [0.005; 2] } else { [0.05, 0.005] },
        ..GOOD
    };
    let (status, changes) = follow(&plan, &later, 3600);
    assert_eq!(verdicts(&changes)[..2], [Inconclusive, Pass], "{changes:?}");
    assert_eq!(verdicts(&changes).last(), Some(&Fail), "{changes:?}");
    assert_eq!(status.phase, Some(RunPhase::Failed));
    let failed = changes.last().unwrap();
    assert!((1200..1320).contains(&failed.0), "{changes:?}");

    let (mut status, _) = follow(&plan, &GOOD, 600);
    assert_eq!(status.phase, Some(RunPhase::Running));
    conclude(&plan, &mut status, true, at(START + 601));
    assert_eq!(
        status.phase,
        Some(RunPhase::Terminated),
        "a terminated run has no result"
    );
    let before = status.clone();
    conclude(&plan, &mut status, false, at(START + 900));
    assert_eq!(status, before, "what is over stays as it is");
}

#[test]
fn harm_goes_before_everything() {
    let plan = plan(&format!(
        "promote: {{minBake: 1h, maxDuration: 2h}}\nmetrics: [{LOAD}, {RATIO}]"
    ));
    let store = Store {
        bad: |_| [0.5, 0.001],
        load: |_| None,
        ..GOOD
    };
    let (status, changes) = follow(&plan, &store, 600);
    assert_eq!(status.phase, Some(RunPhase::Failed));
    assert!(changes.last().unwrap().0 <= 15, "{changes:?}");
    assert!(
        status.message.starts_with("errors: ") && status.message.contains("(50 %)"),
        "{}",
        status.message
    );
}

#[test]
fn a_dry_run_changes_nothing() {
    let dry = LOAD.replace("{name: load,", "{name: load, dryRun: true,");
    let plan = plan(&format!(
        "nextWeight: 25\npromote: {{minBake: 0s}}\nmetrics: [{RATIO}, {dry}]"
    ));
    let store = Store {
        load: |_| Some(9.0),
        ..GOOD
    };
    let (status, _) = follow(&plan, &store, 3600);
    assert_eq!(
        status.phase,
        Some(RunPhase::Successful),
        "{}",
        status.message
    );
    assert_eq!(status.metrics[1].verdict, Verdict::Fail);
}

#[test]
fn a_run_waits_for_its_start_and_takes_up_older_data() {
    let later = plan(&format!(
        "startAt: 1970-01-12T14:46:40Z\nmetrics: [{RATIO}]"
    ));
    let mut status = begin(&later);
    conclude(&later, &mut status, false, at(START));
    assert_eq!(
        (status.phase, status.started_at),
        (Some(RunPhase::Pending), None)
    );
    assert_eq!(questions(&later, &status, &Pace::default(), START), []);

    // The version has been serving for an hour when the run is made: its data are there at once.
    let spec = format!(
        "canaryHash: c\nstableHash: s\nnextWeight: 25\nstartAt: 1970-01-12T13:46:40Z\npromote: {{minBake: 1m}}\nmetrics: [{RATIO}]"
    );
    let spec: AnalysisRunSpec = serde_saphyr::from_str(&spec).unwrap();
    let plan = plan::parse(&spec, at(START + 3600)).unwrap();
    let mut status = begin(&plan);
    look(
        &plan,
        &GOOD,
        &mut status,
        &mut Pace::default(),
        START + 3600,
    );
    assert!(
        status.metrics[0]
            .comparison
            .as_ref()
            .unwrap()
            .canary
            .requests
            > 130_000.0
    );
    assert_eq!(
        (status.verdict, &*status.reason),
        (Some(Verdict::Inconclusive), "Baking")
    );
    look(
        &plan,
        &GOOD,
        &mut status,
        &mut Pace::default(),
        START + 3660,
    );
    assert_eq!(
        status.phase,
        Some(RunPhase::Successful),
        "{}",
        status.message
    );
}

/// The run is made at the switch: the hour before is read at once, in several questions.
#[test]
fn the_hour_before_is_read_at_once() {
    let plan = plan(&format!(
        "reference: StableHistory\npromote: {{minBake: 0s}}\nmetrics: [{RATIO}]"
    ));
    let mut status = begin(&plan);
    look(&plan, &GOOD, &mut status, &mut Pace::default(), START + 1);
    let baseline = status.metrics[0].comparison.as_ref().unwrap().baseline;
    assert!(
        (baseline.unwrap().requests - 144_000.0).abs() < 1000.0,
        "{baseline:?}"
    );
    assert_eq!(status.reason, "Collecting", "{}", status.message);
    let (status, changes) = follow(&plan, &GOOD, 1800);
    assert_eq!(
        verdicts(&changes),
        [Verdict::Inconclusive, Verdict::Pass],
        "{}",
        status.message
    );
    assert!(
        status
            .message
            .contains("expected if it behaved like stable in the hour before"),
        "{}",
        status.message
    );

    // The store gives up in the middle of the hour: that is no verdict, and nothing is lost.
    let mut status = begin(&plan);
    let mut pace = Pace::default();
    for question in questions(&plan, &status, &pace, START + 1) {
        let answer = GOOD.answer(&question, START + 1);
        assert!(
            take(
                &plan,
                &mut status,
                &mut pace,
                &question,
                answer,
                at(START + 1)
            ),
            "behind"
        );
    }
    conclude(&plan, &mut status, false, at(START + 1));
    assert_eq!(
        (status.verdict, &*status.reason),
        (Some(Verdict::Inconclusive), "Collecting"),
        "{}",
        status.message
    );
    look(&plan, &GOOD, &mut status, &mut Pace::default(), START + 9);
    let again = status.metrics[0].comparison.as_ref().unwrap().baseline;
    assert_eq!(again, baseline);
}

#[test]
fn a_spec_that_cannot_be_read_neither_passes_nor_fails() {
    let spec: AnalysisRunSpec =
        serde_saphyr::from_str("metrics: [{name: a, threshold: {query: x, success: 'true'}}]")
            .unwrap();
    let status = invalid(&plan::parse(&spec, at(START)).unwrap_err(), at(START));
    assert_eq!(
        (status.phase, status.verdict),
        (Some(RunPhase::Inconclusive), Some(Verdict::Inconclusive))
    );
    assert!(
        status
            .message
            .contains("spec.metrics[a].threshold.success: \"true\""),
        "{}",
        status.message
    );
}

#[test]
fn a_status_of_another_plan_begins_anew() {
    let old = plan(&format!("metrics: [{LOAD}]"));
    let (status, _) = follow(&old, &GOOD, 100);
    let other = plan(&format!(
        "metrics: [{}, {RATIO}]",
        LOAD.replace("load", "errors-old")
    ));
    let resumed = resume(&other, Some(status));
    assert_eq!(resumed.metrics[0].threshold.as_ref().unwrap().successes, 0);
    assert!(resumed.metrics[1].comparison.is_some());
}

#[test]
fn a_step_that_the_traffic_will_not_do_for_is_said_while_there_is_time() {
    // A little better than what the next weight asks for: shown in hours, not in minutes.
    let with = |max: &str, mode: &str| {
        plan(&format!(
            "mode: {mode}\npromote: {{minBake: 0s, maxDuration: {max}}}\nmetrics: [{RATIO}]"
        ))
    };
    let slow = Store {
        bad: |_| [0.0066, 0.005],
        ..GOOD
    };
    let reason = |plan: &Plan, seconds: i64| {
        let (status, _) = follow(plan, &slow, seconds);
        let metric = status.metrics[0].reason.clone();
        assert_eq!(metric, status.reason, "{}", status.message);
        (metric, status.message)
    };
    let (early, _) = reason(&with("8m", "Step"), 100);
    assert_eq!(early, "Collecting", "the first windows say little");
    let (lacks, message) = reason(&with("8m", "Step"), 300);
    assert_eq!(lacks, TOO_LITTLE_TRAFFIC, "{message}");
    assert!(
        message.contains("will not decide at this traffic within the step: 3 min are left"),
        "{message}"
    );
    assert_eq!(reason(&with("30d", "Step"), 300).0, "Collecting");
    assert_eq!(reason(&with("8m", "Background"), 300).0, "Collecting");
}
