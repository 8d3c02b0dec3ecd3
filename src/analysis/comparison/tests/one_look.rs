//! Kayenta's judge: one look, the same whenever the run was interrupted, and no other after it.

use super::{Random, START, plan, ratio_of};
use crate::analysis::comparison::{find, next_question, question, take, wanted};
use crate::analysis::peers::kayenta::{self, Missing, Thresholds};
use crate::analysis::plan::{Arms, Plan};
use crate::analysis::series::{Answers, Sample, Series};
use crate::api::analysis_status::{Classification, Comparison, Verdict};

const SCRAPE_S: i64 = 15;
const BAKE_S: i64 = 1200;

fn gauge(more: &str, tolerate: &str) -> Plan {
    plan(&format!(
        "promote: {{minBake: 20m, maxDuration: 60m}}\nmetrics: [{{name: m, \
         gauge: {{query: 'q{{$(arm)}}', kayenta: {{{more}}}}}, tolerate: {{relative: {tolerate}}}}}]"
    ))
}

/// What both versions' pods say at each scrape; `times` is the new version's level by time.
struct Levels([Vec<(i64, f64)>; 2]);

impl Levels {
    fn new(seed: u64, unit: f64, times: impl Fn(i64) -> f64) -> Self {
        let mut random = Random(seed * 7919 + 17);
        let mut of = |version: usize| {
            let scrapes = (0..).map(|k| START - 120 + version as i64 + k * SCRAPE_S);
            let value = |at: i64| {
                let times = if version == 0 { times(at - START) } else { 1.0 };
                (at, unit * times * (1.0 + 0.1 * random.normal()))
            };
            scrapes
                .take_while(|at| *at <= START + 3600)
                .map(value)
                .collect()
        };
        Self([of(0), of(1)])
    }

    fn answers(&self, at: i64, reach: i64) -> Answers {
        let series = |version: usize| {
            let within = |s: &&(i64, f64)| s.0 > at - reach && s.0 <= at;
            let samples = self.0[version].iter().filter(within);
            vec![Series {
                labels: [("pod".to_owned(), version.to_string())].into(),
                samples: samples
                    .map(|(t, value)| Sample {
                        at_ms: t * 1000,
                        value: *value,
                    })
                    .collect(),
                ..Series::default()
            }]
        };
        let (canary, stable) = (series(0), series(1));
        Answers {
            at,
            reach,
            selected: vec![Arms { canary, stable }],
        }
    }
}

/// Looks as a run does for `seconds`; `again` is done to the status between two looks.
fn followed(
    plan: &Plan,
    levels: &Levels,
    seconds: i64,
    again: impl Fn(Comparison) -> Comparison,
) -> (Comparison, Vec<(i64, Verdict, String)>) {
    let compared = ratio_of(plan);
    let (mut status, mut said) = (Comparison::default(), Vec::<(i64, Verdict, String)>::new());
    let (mut now, mut polled) = (START, None);
    while now <= START + seconds {
        if next_question(plan, &status, polled) <= now {
            let (at, reach) = question(plan, &status, now);
            take(plan, compared, &mut status, &levels.answers(at, reach)).unwrap();
            let s = status.sampler.as_ref().unwrap();
            assert!(
                wanted(plan, compared, s).is_none(),
                "it has no use for the past"
            );
            polled = Some(now);
            status = again(status);
            let found = find(plan, compared, &status, now).0;
            if said
                .last()
                .is_none_or(|(_, verdict, _)| *verdict != found.verdict)
            {
                said.push((now - START, found.verdict, found.message));
            }
        }
        now += 5;
    }
    (status, said)
}

/// As a restart at this moment would.
fn read_back(status: Comparison) -> Comparison {
    serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap()
}

#[test]
fn it_looks_once_when_the_watch_is_over() {
    use Classification::{High, Low, Pass};
    type Row<'a> = (&'a str, f64, &'a str, &'a str, Classification, &'a str);
    let rows: [Row<'_>; 7] = [
        ("the same", 1.0, "", "10%", Pass, "not that there is none"),
        (
            "half as much again",
            1.5,
            "",
            "10%",
            High,
            "with 98 %): High",
        ),
        (
            "half as much again, tolerated",
            1.5,
            "",
            "60%",
            Pass,
            "beyond the tolerated 60 %",
        ),
        (
            "less, and nobody minds",
            0.6,
            "",
            "10%",
            Pass,
            "not that there is none",
        ),
        (
            "less",
            0.6,
            "direction: Decrease",
            "10%",
            Low,
            "below stable",
        ),
        (
            "more, and nobody minds",
            1.5,
            "direction: Decrease",
            "10%",
            Pass,
            "one look",
        ),
        (
            "more, either way",
            1.5,
            "direction: Either",
            "10%",
            High,
            "99 %",
        ),
    ];
    // Whatever the unit: Kayenta's root finder stops at an absolute 1e-4.
    for unit in [40.0, 4e8, 4e-5] {
        for (name, times, direction, tolerate, classification, says) in rows {
            let plan = gauge(direction, tolerate);
            let levels = Levels::new(3, unit, |_| times);
            let (status, said) = followed(&plan, &levels, 1800, |s| s);
            let look = status.look.unwrap();
            assert_eq!(look.classification, classification, "{name}: {said:?}");
            assert!(
                (19..=21).contains(&look.canary) && look.canary == look.stable,
                "{look:?}"
            );
            let [before @ .., (at, verdict, message)] = said.as_slice() else {
                panic!("nothing was said");
            };
            let expected = if classification == Pass {
                Verdict::Pass
            } else {
                Verdict::Fail
            };
            assert_eq!(*verdict, expected, "{name}: {message}");
            assert!(message.contains(says), "{name}: {message}");
            assert!((BAKE_S..BAKE_S + 90).contains(at), "{name}: after {at} s");
            assert!(
                before.iter().all(|(_, v, _)| *v == Verdict::Inconclusive),
                "{before:?}"
            );
        }
    }
}

#[test]
fn what_comes_after_the_look_changes_nothing() {
    let plan = gauge("", "10%");
    let late = Levels::new(
        5,
        40.0,
        |second| if second > BAKE_S + 120 { 9.0 } else { 1.0 },
    );
    let (then, _) = followed(&plan, &late, BAKE_S + 120, |s| s);
    let (status, said) = followed(&plan, &late, 3600, |s| s);
    assert_eq!(said.last().unwrap().1, Verdict::Pass);
    assert_eq!((status.look, status.canary), (then.look, then.canary));
}

#[test]
fn a_run_that_is_taken_up_again_finds_the_same() {
    for times in [1.0, 1.5] {
        let plan = gauge("", "10%");
        let levels = Levels::new(7, 4e8, |_| times);
        let through = followed(&plan, &levels, 1800, |s| s);
        let resumed = followed(&plan, &levels, 1800, read_back);
        assert!(through.0.look.is_some());
        assert_eq!(through, resumed);
    }
}

#[test]
fn it_finds_what_kayenta_finds_and_seldom_something_where_there_is_nothing() {
    let plan = gauge("", "0%");
    let kayenta = kayenta::Judge {
        tolerance: 0.25,
        confidence: 0.98,
        direction: kayenta::Direction::Increase,
        missing: Missing::Remove,
        effect: kayenta::Effect::MeanRatio,
        fails: Thresholds {
            decrease: 1.0,
            increase: 1.0,
        },
        fails_all: Thresholds {
            decrease: 1.0,
            increase: 1.0,
        },
        critical: false,
        must_have_data: false,
    };
    let mut high = 0;
    for seed in 0..200 {
        let levels = Levels::new(seed, 40.0, |_| 1.0);
        let look = followed(&plan, &levels, 1300, |s| s).0.look.unwrap();
        let minutes = |version: usize| -> Vec<f64> {
            let warm = levels.0[version].iter().filter(|(at, _)| *at > START + 65);
            let seen: Vec<&(i64, f64)> = warm.filter(|(at, _)| *at <= look.at).collect();
            let minute = |at: i64| (at - 1).div_euclid(60);
            let of_minute = seen.chunk_by(|a, b| minute(a.0) == minute(b.0));
            of_minute
                .map(|of| of.iter().map(|v| v.1).sum::<f64>() / of.len() as f64)
                .collect()
        };
        let expected = kayenta.classify(&minutes(0), &minutes(1)).classification;
        let found = match look.classification {
            Classification::Pass => kayenta::Classification::Pass,
            Classification::High => kayenta::Classification::High,
            Classification::Low => kayenta::Classification::Low,
        };
        assert_eq!(found, expected, "seed {seed}: {look:?}");
        high += usize::from(look.classification == Classification::High);
    }
    // One in a hundred is its level; twice as many standard deviations above it would be 5.
    assert!(high <= 5, "{high} of 200");
}
