use super::super::chance::binomial;
use super::super::chance::tests::Seeded;
use super::super::recording::tests::{RATIO, START, counter, plan_of, spec_of};
use super::super::summary::summary;
use super::*;
use crate::analysis::series::{Answers, Series};
use crate::api::analysis_status::Verdict;

const HOURS: i64 = 3600;

/// Eight pods with ten requests a second each, half a percent of them bad by chance.
fn service(from: i64, to: i64) -> Recording {
    let plan = plan_of(RATIO, START);
    let mut recording = Recording::of(&plan);
    let mut chance = Seeded::new(11);
    let mut of = |n: f64, p: f64| -> Vec<Series> {
        (0..8)
            .map(|pod| {
                let drawn: Vec<f64> = (from / 15..=to / 15)
                    .map(|_| binomial(&mut chance, n, p))
                    .collect();
                let at = |k: i64| usize::try_from(k - from / 15).ok();
                counter(&format!("pod-{pod}"), from, to, |k| {
                    at(k).and_then(|k| drawn.get(k).copied()).unwrap_or(0.0)
                })
            })
            .collect()
    };
    let selected = [(150.0, 1.0), (150.0, 0.005)].map(|(n, p)| Arms {
        canary: Vec::new(),
        stable: of(n, p),
    });
    let answers = Answers {
        at: to,
        reach: to - from,
        selected: selected.to_vec(),
    };
    recording.add(0, &answers).unwrap();
    recording
}

fn draw(runs: usize) -> Draw {
    Draw {
        from: START,
        to: START + HOURS,
        pods: 1,
        runs,
    }
}

#[test]
fn one_seed_is_one_backtest() {
    let recording = service(START - 2 * HOURS, START + 2 * HOURS);
    let plan = plan_of(RATIO, START);
    let chosen = |seed| choose(&recording, &plan, draw(20), &mut Seeded::new(seed)).unwrap();
    assert_eq!(chosen(1), chosen(1));
    assert_ne!(chosen(1), chosen(2));
    for choice in chosen(1) {
        assert_eq!(choice.canary[0].len(), 1);
        assert!((START..=START + HOURS).contains(&choice.start));
    }
    let spec = spec(&spec_of(RATIO));
    let choice = &chosen(1)[0];
    let played = || {
        let mut chance = Seeded::new(5);
        let regression = Some(Regression {
            metric: 0,
            factor: 1.5,
        });
        play(&spec, choice, HOURS, &recording, regression, &mut chance).unwrap()
    };
    assert_eq!(played(), played());
}

#[test]
fn pods_that_are_all_right_pass_and_regressions_are_found() {
    let recording = service(START - 2 * HOURS, START + 2 * HOURS);
    let plan = plan_of(RATIO, START);
    let spec = AnalysisRunSpec {
        next_weight: 25,
        ..spec(&spec_of(RATIO))
    };
    let choices = choose(&recording, &plan, draw(12), &mut Seeded::new(1)).unwrap();
    let ended = |factor: Option<f64>| {
        let regression = factor.map(|factor| Regression { metric: 0, factor });
        let outcomes: Vec<Outcome> = choices
            .iter()
            .enumerate()
            .map(|(i, choice)| {
                let mut chance = Seeded::new(i as u64);
                let played = play(&spec, choice, HOURS, &recording, regression, &mut chance);
                played.unwrap().unwrap()
            })
            .collect();
        summary(&outcomes)
    };
    let placebo = ended(None);
    assert_eq!(placebo.aborted.count, 0, "{placebo:?}");
    assert!(placebo.passed.count >= 6, "{placebo:?}");
    let bad = ended(Some(20.0));
    assert_eq!(bad.aborted.count, 12, "{bad:?}");
    assert!(bad.median_abort.is_some_and(|s| s < 600), "{bad:?}");
    assert_eq!(bad.aborting, [("errors".to_owned(), 12)]);
}

#[test]
fn too_few_pods_are_refused_with_how_many_there_are() {
    let recording = service(START - HOURS, START + 2 * HOURS);
    let plan = plan_of(RATIO, START);
    let many = Draw { pods: 7, ..draw(5) };
    let error = choose(&recording, &plan, many, &mut Seeded::new(1)).unwrap_err();
    let expected = Unsuited::TooFew {
        found: 8,
        needed: 9,
        pods: 7,
    };
    assert_eq!(error, expected);
    let nothing = Recording::of(&plan);
    let error = choose(&nothing, &plan, draw(5), &mut Seeded::new(1)).unwrap_err();
    assert!(
        error.to_string().starts_with("0 scraped targets"),
        "{error}"
    );
}

#[test]
fn a_new_version_that_is_gone_is_no_pass() {
    let recording = service(START - HOURS, START + 2 * HOURS);
    let spec = spec(&spec_of(RATIO));
    let choice = Choice {
        start: START,
        canary: vec![["nobody".to_owned()].into()],
    };
    let mut chance = Seeded::new(1);
    let played = play(&spec, &choice, HOURS, &recording, None, &mut chance);
    let outcome = played.unwrap().unwrap();
    assert_ne!(
        outcome.decision.map(|d| d.verdict),
        Some(Verdict::Pass),
        "missing data is no success"
    );
}
