use super::*;
use crate::analysis::backtest::recording::Recording;
use crate::analysis::plan;
use crate::analysis::plan::Arms;
use crate::analysis::series::{Answers, Sample, Series};
use crate::api::analysis::AnalysisRunSpec;

const START: i64 = 1_800_000_000;
const RATIO: &str = "canaryHash: c\nstableHash: s\nnextWeight: 25\nmetrics: [{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}}]";

fn plan() -> Plan {
    let spec: AnalysisRunSpec = serde_saphyr::from_str(RATIO).unwrap();
    plan::parse(&spec, Timestamp::from_second(START).unwrap()).unwrap()
}

/// Forty requests a second to each version, scraped every 5 s; so many in a thousand are bad.
fn recording(plan: &Plan, canary: f64, stable: f64) -> Recording {
    let series = |pod: &str, per_scrape: f64| Series {
        labels: [("pod".to_owned(), pod.to_owned())].into(),
        samples: (-200..=720)
            .map(|k: i64| Sample {
                at_ms: (START + 5 * k) * 1000,
                value: ((k + 200) as f64 * per_scrape).floor(),
            })
            .collect(),
        histograms: Vec::new(),
    };
    let both = |canary: f64, stable: f64| Arms {
        canary: vec![series("c", canary)],
        stable: vec![series("s", stable)],
    };
    let mut recording = Recording::of(plan);
    let answers = Answers {
        at: START + 3600,
        reach: 4600,
        selected: vec![both(200.0, 200.0), both(0.2 * canary, 0.2 * stable)],
    };
    recording.add(0, &answers).unwrap();
    recording
}

fn played<'p>(plan: &'p Plan, recording: &Recording, goes_on: bool, until: i64) -> Player<'p> {
    let mut player = Player::new(plan, goes_on);
    loop {
        let questions = player.questions();
        let answers = questions.into_iter().map(|q| {
            let answer = recording.answer(plan, &q).unwrap();
            (q, Ok(answer))
        });
        let answers: Vec<_> = answers.collect();
        if !player.take(answers, until) {
            return player;
        }
    }
}

#[test]
fn harm_ends_a_run_when_it_is_shown_and_not_later() {
    let plan = plan();
    let recording = recording(&plan, 60.0, 1.0);
    for goes_on in [false, true] {
        let player = played(&plan, &recording, goes_on, START + 3600);
        let decision = player.decision().unwrap();
        assert_eq!(
            (decision.verdict, decision.phase),
            (Verdict::Fail, RunPhase::Failed)
        );
        assert_eq!(decision.metric.as_deref(), Some("errors"));
        assert!(decision.at - START < 120, "{decision:?}");
        assert_eq!(player.now(), decision.at);
        assert!(run::is_over(player.status()));
    }
}

#[test]
fn a_pass_ends_a_run_only_where_it_is_to() {
    let plan = plan();
    let recording = recording(&plan, 1.0, 1.0);
    let ends = played(&plan, &recording, false, START + 3000);
    let decision = ends.decision().unwrap().clone();
    assert_eq!(decision.verdict, Verdict::Pass);
    assert!(decision.at - START >= plan.min_bake, "{decision:?}");
    assert_eq!(ends.now(), decision.at);
    let goes_on = played(&plan, &recording, true, START + 3000);
    assert_eq!(goes_on.decision(), Some(&decision));
    assert_eq!(goes_on.now(), START + 3000);
    let last = goes_on.moments()[0].last().unwrap();
    assert!(last.at > START + 2900, "{last:?}");
    let ascend = goes_on.moments()[0].windows(2).all(|m| m[0].at < m[1].at);
    assert!(ascend, "one moment for each window");
}

#[test]
fn what_was_not_scraped_yet_is_not_known() {
    let plan = plan();
    let recording = recording(&plan, 60.0, 1.0);
    // So short a time shows nothing, although the recording goes on.
    let player = played(&plan, &recording, true, START + 5);
    assert_eq!(player.decision(), None);
    assert_eq!(player.now(), START + 5);
    assert_eq!(player.status().phase, Some(RunPhase::Running));
}

#[test]
fn a_source_that_fails_decides_nothing_and_ends() {
    let plan = plan();
    let mut player = Player::new(&plan, true);
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 10_000, "it comes to an end");
        let questions = player.questions();
        let down = Fault {
            reason: "Unreachable".into(),
            message: "no connection".into(),
            retry_after: None,
        };
        let answers: Vec<_> = questions
            .into_iter()
            .map(|q| (q, Err(down.clone())))
            .collect();
        if !player.take(answers, START + 1800) {
            break;
        }
    }
    assert_eq!(player.status().verdict, Some(Verdict::SourceError));
    assert_eq!(player.decision(), None);
}
