use super::*;
use crate::analysis::comparison::tests::{Counters, Random, START, follow, plan, ratio_of};
use crate::analysis::comparison::{decides, find, question, take};
use crate::analysis::plan::Arms;
use crate::analysis::series::{Sample, Series};
use crate::api::analysis_status::Verdict;

/// The route gives the new version a fifth since the start.
const FIFTH: &str = "split: {weight: 20, since: 1970-01-12T13:46:40Z}";

/// A service of 500 requests a second that is scraped every 15 s and of which the new version has the
/// share `of(t)`. One in a hundred of its requests is bad.
fn served(of: fn(i64) -> f64) -> Counters {
    let mut counters = Counters::default();
    let mut totals = [0.0; 2];
    for at in (START - 120..=START + 3600).step_by(15) {
        let share = of(at - START);
        for (version, part) in [share, 1.0 - share].into_iter().enumerate() {
            totals[version] += (7500.0 * part).round();
            let bad = (totals[version] / 100.0).floor();
            counters.samples[version].push((at + version as i64, totals[version], bad));
        }
    }
    counters
}

fn status_after(plan: &Plan, counters: &Counters, seconds: i64) -> Comparison {
    let mut status = Comparison::default();
    follow(plan, &mut status, counters, START + seconds, 1, &[]);
    status
}

fn found(plan: &Plan, status: &Comparison, seconds: i64) -> (Verdict, &'static str, String) {
    let finding = find(plan, ratio_of(plan), status, START + seconds).0;
    (finding.verdict, finding.reason, finding.message)
}

/// Windows of bursts: requests come in tens, so that they vary ten times more than chance.
fn holds(planned: f64, share: f64, rate: f64, windows: i64, seed: u64) -> Option<i64> {
    let plan = plan(FIFTH);
    let split = SplitPlan {
        share: planned,
        since: START,
        holds: true,
    };
    let (mut status, mut s) = (Comparison::default(), Sampler::default());
    s.scrape_seconds = 15;
    let mut random = Random(seed * 7919 + 1);
    let mut bursts = |mean: f64| 10.0 * random.events(mean / 10.0);
    (0..windows).find(|_| {
        let requests = [share, 1.0 - share].map(|part| bursts(rate * 15.0 * part));
        count(&plan, &split, &mut status, &mut s, requests);
        let shown = status.split.unwrap();
        decides(&shown.more) || decides(&shown.less)
    })
}

/// Never more than one in a thousand, at the very edge of the margin too.
#[test]
fn what_is_about_the_share_that_was_planned_does_not_hold() {
    for (planned, share) in [
        (0.05, 0.05),
        (0.2, 0.2),
        // A quarter more for each request to stable, and a quarter less.
        (0.2, 0.25 * 1.25 / (1.0 + 0.25 * 1.25)),
        (0.2, 0.25 / 1.25 / (1.0 + 0.25 / 1.25)),
    ] {
        for rate in [5.0, 500.0] {
            let held = (0..40).filter(|seed| holds(planned, share, rate, 240, *seed).is_some());
            assert_eq!(held.count(), 0, "{planned} {share} at {rate}");
        }
    }
}

#[test]
fn another_share_is_noticed_the_sooner_the_more_it_differs() {
    // Planned, what it is, requests a second, minutes.
    for (planned, share, rate, minutes) in [
        (0.05, 0.012, 100.0, 15),
        (0.05, 0.0, 500.0, 3),
        (0.2, 0.05, 500.0, 2),
        (0.2, 0.4, 500.0, 2),
        (0.5, 0.7, 100.0, 10),
    ] {
        let mut at: Vec<i64> = (0..21)
            .map(|seed| holds(planned, share, rate, 480, seed).unwrap_or(i64::MAX))
            .collect();
        at.sort_unstable();
        assert!(at[10] < minutes * 4, "{planned} {share} at {rate}: {at:?}");
    }
}

#[test]
fn a_wrong_share_holds_by_name_with_figures_until_it_is_right_again() {
    let plan = plan(&format!("{FIFTH}\nnextWeight: 25"));
    let late = served(|t| if (600..900).contains(&t) { 0.04 } else { 0.2 });
    let (verdict, ..) = found(&plan, &status_after(&plan, &late, 600), 600);
    assert_eq!(verdict, Verdict::Pass);
    let status = status_after(&plan, &late, 800);
    let (verdict, reason, message) = found(&plan, &status, 800);
    assert_eq!((verdict, reason), (Verdict::NoData, "SplitMismatch"));
    assert!(
        message.starts_with("20 % of the requests were to go to the new version, ")
            && message.contains(" % did in the last minutes (")
            && message.contains("is only a part of its pods scraped"),
        "{message}"
    );
    let back = found(&plan, &status_after(&plan, &late, 1500), 1500);
    assert_eq!(back.0, Verdict::Pass, "{back:?}");

    let (verdict, reason, message) = {
        let many = served(|_| 0.5);
        found(&plan, &status_after(&plan, &many, 300), 300)
    };
    assert_eq!((verdict, reason), (Verdict::NoData, "SplitMismatch"));
    assert!(message.contains("stick to the new version"), "{message}");
}

#[test]
fn harm_aborts_whatever_the_share_is() {
    let plan = plan(FIFTH);
    let mut counters = served(|_| 0.03);
    for sample in &mut counters.samples[0] {
        sample.2 = (sample.1 / 3.0).floor();
    }
    let status = status_after(&plan, &counters, 400);
    assert_eq!(found(&plan, &status, 400).0, Verdict::Fail);
}

/// Where no weight says how many requests there should be, and where somebody will not have it.
#[test]
fn what_is_not_held_against_a_weight() {
    let metric = |kind: &str| format!("{FIFTH}\nmetrics: [{{name: m, {kind}}}]");
    let held = [
        FIFTH.to_owned(),
        metric("events: {count: 'b{$(arm)}', exposure: Requests, requests: 't{$(arm)}'}"),
    ];
    let rows = [
        String::new(),
        FIFTH.replace("12T13:46:40", "13T13:46:40"),
        format!("{FIFTH}\nreference: StableHistory"),
        metric("ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}, compareTo: {objective: 5%}"),
        metric("events: {count: 't{$(arm)}'}"),
        metric("gauge: {query: 'g{$(arm)}'}"),
    ];
    let counters = served(|_| 0.02);
    let with = |yaml: &str| {
        let plan = plan(yaml);
        let mut status = Comparison::default();
        let mut now = START;
        while now < START + 300 {
            let (at, reach) = question(&plan, &status, now);
            let mut answers = counters.answers(at, reach);
            let selectors = ratio_of(&plan).measure.selectors().len();
            answers.selected.truncate(selectors);
            take(&plan, ratio_of(&plan), &mut status, &answers).unwrap();
            now += 15;
        }
        (mismatch(&plan, &status).is_some(), status.split.is_some())
    };
    for yaml in &held {
        assert_eq!(with(yaml), (true, true), "{yaml}");
    }
    for yaml in &rows {
        assert_eq!(with(yaml), (false, false), "{yaml}");
    }
    let ignored = format!("{FIFTH}\npromote: {{onSplitMismatch: Ignore}}");
    assert_eq!(with(&ignored), (false, true), "it is shown");
}

/// The first scrape of a pod says nothing of what it served before, and nor does the first one after a
/// restart. That is no lack of requests.
#[test]
fn new_pods_are_no_mismatch() {
    let plan = plan(FIFTH);
    // Two targets of the new version, the second from the tenth minute on; the first begins anew then.
    let series = |target: &str, rate: f64, at: i64, reach: i64, from: i64, anew: i64| {
        let within = (at - reach + 1..=at).filter(|t| t % 15 == 0 && *t >= from);
        let since = |t: i64| t - if t >= anew { anew } else { 0 };
        let samples = within.map(|t| Sample {
            at_ms: t * 1000,
            value: rate * since(t) as f64,
        });
        Series {
            labels: [("instance".to_owned(), target.to_owned())].into(),
            samples: samples.collect(),
            histograms: Vec::new(),
        }
    };
    let mut status = Comparison::default();
    let mut now = START;
    while now < START + 1200 {
        let (at, reach) = question(&plan, &status, now);
        let (first, second) = (
            series("a", 1000.0, at, reach, 0, START + 600),
            series("b", 1.0, at, reach, START + 600, 0),
        );
        let stable = series("s", 4000.0, at, reach, 0, i64::MAX);
        let both = Arms {
            canary: vec![first, second],
            stable: vec![stable],
        };
        let none = Arms::default();
        let answers = crate::analysis::series::Answers {
            at,
            reach,
            selected: vec![both, none],
        };
        take(&plan, ratio_of(&plan), &mut status, &answers).unwrap();
        assert_eq!(mismatch(&plan, &status), None, "after {} s", now - START);
        now += 15;
    }
    assert!(status.split.unwrap().canary > 10_000.0);
}

/// Of many metrics the first four are held against it.
#[test]
fn of_many_metrics_the_first_ones_are_held_against_it() {
    let one = |i: usize| {
        format!("{{name: m{i}, ratio: {{bad: 'b{i}{{$(arm)}}', total: 't{{$(arm)}}'}}}}")
    };
    let gauge = "{name: g, gauge: {query: 'g{$(arm)}'}}".to_owned();
    let all: Vec<String> = [gauge].into_iter().chain((0..6).map(one)).collect();
    let plan = plan(&format!("{FIFTH}\nmetrics: [{}]", all.join(", ")));
    let held = plan.metrics.iter().map(|metric| match &metric.kind {
        Kind::Comparison(compared) => planned(&plan, compared).is_some(),
        Kind::Threshold(_) => false,
    });
    let held: Vec<bool> = held.collect();
    assert_eq!(held, [false, true, true, true, true, false, false]);
}
