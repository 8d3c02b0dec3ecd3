use super::*;
use crate::analysis::series::{Sample, Series};
use proptest::prelude::*;

/// A series of `pod`, scraped at `(second, value)`.
fn series(pod: &str, code: &str, samples: &[(i64, f64)]) -> Series {
    let labels = [("job", "shop"), ("instance", pod), ("code", code)];
    Series {
        labels: labels.into_iter().collect(),
        samples: samples
            .iter()
            .map(|(s, value)| Sample {
                at_ms: s * 1000,
                value: *value,
            })
            .collect(),
        ..Series::default()
    }
}

/// Answers asked at `at`, reaching back 300 s.
fn answers(at: i64, total: [Vec<Series>; 2], bad: [Vec<Series>; 2]) -> Answers {
    let arms = |[canary, stable]: [Vec<Series>; 2]| Arms { canary, stable };
    Answers {
        at,
        reach: 300,
        selected: vec![arms(total), arms(bad)],
    }
}

fn read(a: &Answers, seconds: i64) -> Result<Scrapes, DataError> {
    Scrapes::new(a, Reading::Part, &["total", "bad"], seconds)
}

fn scrapes(a: &Answers) -> Scrapes {
    read(a, 15).unwrap()
}

/// What both versions counted in `(from, to]`.
fn counted(s: &Scrapes, from: i64, to: i64, age: Age) -> Window {
    s.window(from, to, age).counts()
}

/// A counter that grows by `step` at every scrape from `from` on, every 15 s, until `to`.
fn steady(pod: &str, code: &str, from: i64, to: i64, step: f64) -> Series {
    let mut samples = Vec::new();
    let (mut at, mut value) = (from, 1000.0);
    while at <= to {
        samples.push((at, value));
        value += step;
        at += 15;
    }
    series(pod, code, &samples)
}

fn window(nc: f64, xc: f64, ns: f64, xs: f64) -> Window {
    Window { nc, xc, ns, xs }
}

#[test]
fn windows_tile_time_once() {
    let a = answers(
        600,
        [
            vec![steady("c", "200", 304, 600, 10.0)],
            vec![steady("s", "200", 310, 600, 40.0)],
        ],
        [vec![], vec![]],
    );
    let s = scrapes(&a);
    assert_eq!(s.interval(Needs::Both), Some(15));
    let parts: Vec<Window> = (0..10)
        .map(|k| counted(&s, 420 + 15 * k, 435 + 15 * k, Age::Any))
        .collect();
    assert!(
        parts.iter().all(|w| *w == window(10.0, 0.0, 40.0, 0.0)),
        "{parts:?}"
    );
    assert_eq!(
        counted(&s, 420, 570, Age::Any),
        window(100.0, 0.0, 400.0, 0.0)
    );
}

#[test]
fn restarts_and_newborn_series() {
    let a = answers(
        600,
        [
            vec![
                series(
                    "c",
                    "200",
                    &[(400, 100.0), (415, 107.0), (430, 2.0), (445, 5.0)],
                ),
                series("c", "500", &[(415, 1.0), (430, 3.0), (445, 3.0)]),
            ],
            vec![series(
                "s",
                "200",
                &[(401, 5000.0), (416, 5003.0), (446, 5010.0)],
            )],
        ],
        [
            vec![series("c", "500", &[(415, 1.0), (430, 3.0), (445, 3.0)])],
            vec![],
        ],
    );
    let s = scrapes(&a);
    // The target's first scrape has no history; the errors' first one has.
    assert_eq!(counted(&s, 300, 405, Age::Any), Window::default());
    assert_eq!(counted(&s, 405, 420, Age::Any), window(8.0, 1.0, 3.0, 0.0));
    // A restart: what there is since. A missing scrape: its increase comes with the next.
    assert_eq!(
        counted(&s, 420, 450, Age::Any),
        window(2.0 + 3.0 + 2.0, 2.0, 7.0, 0.0)
    );
}

#[test]
fn what_comes_back_after_a_restart_counts_from_nothing() {
    // Two errors before it, and five since the restart: more than before, and yet all of them new.
    let total = series(
        "c",
        "200",
        &[(400, 900.0), (415, 950.0), (430, 8.0), (445, 20.0)],
    );
    let errors = || series("c", "500", &[(400, 2.0), (415, 2.0), (445, 5.0)]);
    let read = |total: Series| {
        let a = answers(
            600,
            [vec![total, errors()], vec![]],
            [vec![errors()], vec![]],
        );
        // The restart was when the others began anew: six seconds later the target is grown.
        let grown = counted(&scrapes(&a), 435, 450, Age::Grown(6));
        (counted(&scrapes(&a), 415, 450, Age::Any), grown.nc)
    };
    assert_eq!(read(total), (window(8.0 + 12.0 + 5.0, 5.0, 0.0, 0.0), 17.0));
    // A scrape that lacks a series of a target without a restart only comes late.
    let steady = series(
        "c",
        "200",
        &[(400, 900.0), (415, 950.0), (430, 958.0), (445, 970.0)],
    );
    assert_eq!(
        read(steady),
        (window(8.0 + 12.0 + 3.0, 3.0, 0.0, 0.0), 15.0)
    );
}

#[test]
fn the_buckets_of_a_histogram_begin_anew_together() {
    let bucket = |le: &str, samples: &[(i64, f64)]| {
        let mut bucket = series("c", "200", samples);
        bucket.labels = bucket.labels.with("le", le);
        bucket
    };
    // After the restart there are more quick requests than ever before, and fewer in all.
    let all = vec![
        bucket("0.1", &[(400, 3.0), (415, 3.0), (430, 7.0)]),
        bucket("+Inf", &[(400, 90.0), (415, 95.0), (430, 20.0)]),
    ];
    let a = answers(600, [all, vec![]], [vec![], vec![]]);
    let bounds = [0.1, f64::INFINITY];
    let s = Scrapes::new(&a, Reading::Buckets(&bounds), &["buckets"], 15).unwrap();
    let window = s.window(415, 430, Age::Any);
    assert_eq!(window.0.canary, [20.0, 7.0, 13.0]);
}

/// OpenTelemetry's own bounds begin with 0, below which nothing is.
#[test]
fn buckets_of_no_time_at_all_are_part_of_the_next_one() {
    let bucket = |pod: &str, le: &str| {
        let mut bucket = series(pod, "200", &[(400, 3.0), (415, 7.0)]);
        bucket.labels = bucket.labels.with("le", le);
        bucket
    };
    let pod = |pod: &str| {
        ["-1", "0", "5", "10", "+Inf"]
            .map(|le| bucket(pod, le))
            .to_vec()
    };
    let a = answers(600, [pod("c"), pod("s")], [vec![], vec![]]);
    let bounds = common_bounds(&a, Needs::Both).unwrap().unwrap();
    assert_eq!(bounds, [5.0, 10.0, f64::INFINITY]);
    let s = Scrapes::new(&a, Reading::Buckets(&bounds), &["buckets"], 15).unwrap();
    assert_eq!(s.window(400, 415, Age::Any).0.canary, [4.0, 4.0, 0.0, 0.0]);
}

#[test]
fn a_routers_target_has_both_versions() {
    // The canary's first request makes a series in a router that has long been scraped.
    let a = answers(
        600,
        [
            vec![series("r", "c", &[(415, 3.0), (430, 9.0)])],
            vec![steady("r", "s", 310, 600, 40.0)],
        ],
        [vec![series("r", "c5", &[(430, 2.0)])], vec![]],
    );
    let s = scrapes(&a);
    assert_eq!(
        counted(&s, 405, 420, Age::Any).nc.to_bits(),
        3.0_f64.to_bits()
    );
    assert_eq!(counted(&s, 420, 435, Age::Any), window(6.0, 2.0, 40.0, 0.0));
}

#[test]
fn numerator_and_denominator_come_from_one_scrape() {
    // A scrape that came in between the two questions is left for the next time.
    let total = || {
        [
            vec![steady("c", "200", 304, 560, 10.0)],
            vec![steady("s", "200", 310, 600, 1.0)],
        ]
    };
    let bad = |ats: &[(i64, f64)]| [vec![series("c", "500", ats)], vec![]];
    let later = answers(600, total(), bad(&[(544, 1.0), (559, 2.0), (574, 9.0)]));
    assert_eq!(
        counted(&scrapes(&later), 540, 600, Age::Any).xc.to_bits(),
        2.0_f64.to_bits()
    );
    let other = answers(600, total(), bad(&[(544, 1.0), (551, 2.0)]));
    assert!(
        matches!(read(&other, 15), Err(DataError::ScrapesDiffer("bad", "total", t)) if t == "shop/c//")
    );
}

#[test]
fn young_targets_do_not_count_as_grown() {
    let a = answers(
        600,
        [
            vec![
                steady("old", "200", 304, 600, 10.0),
                steady("new", "200", 490, 600, 1.0),
            ],
            vec![series(
                "s",
                "200",
                &[(480, 9.0), (495, 3.0), (510, 4.0), (585, 5.0)],
            )],
        ],
        [vec![], vec![]],
    );
    let s = scrapes(&a);
    let all = counted(&s, 540, 600, Age::Any);
    let grown = counted(&s, 540, 600, Age::Grown(60));
    assert_eq!((all.nc, all.ns), (44.0, 1.0));
    // The young pod counts from its 60th second on, the restarted stable one as well.
    assert_eq!((grown.nc, grown.ns), (43.0, 1.0));
    assert_eq!(
        counted(&s, 495, 540, Age::Grown(60)).ns.to_bits(),
        0.0_f64.to_bits()
    );
}

#[test]
fn a_window_waits_for_the_last_scrape_in_it() {
    let stable = |to| vec![steady("s", "200", 310, to, 40.0)];
    let canary = |to| vec![steady("c", "200", 304, to, 10.0)];
    let ready = |at, canary, stable| {
        scrapes(&answers(at, [canary, stable], [vec![], vec![]])).ready(585, 15, Needs::Both)
    };
    assert!(!ready(584, canary(584), stable(584)), "not over yet");
    assert!(
        ready(585, canary(585), stable(585)),
        "both scraped in the last interval"
    );
    assert!(
        !ready(600, canary(560), stable(600)),
        "the canary's scrape is late"
    );
    assert!(
        !ready(606, canary(560), stable(606)),
        "late, and nothing newer of it"
    );
    let also = |to, more| [canary(to), vec![steady("slow", "200", 306, more, 1.0)]].concat();
    assert!(
        !ready(604, also(604, 550), stable(604)),
        "a straggler has time"
    );
    assert!(ready(605, also(605, 550), stable(605)), "until it has none");
    assert!(
        ready(586, also(586, 530), stable(586)),
        "who is gone is not waited for"
    );
    assert!(
        !ready(600, vec![], stable(600)),
        "nothing of the canary yet"
    );
    assert!(ready(675, vec![], stable(600)), "patience has an end");
}

#[test]
fn what_is_no_counter_is_refused() {
    let with = |value: f64| {
        let odd = series("c", "200", &[(400, 1.0), (415, value)]);
        read(&answers(600, [vec![odd], vec![]], [vec![], vec![]]), 15)
    };
    for value in [f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        assert!(
            matches!(with(value), Err(DataError::NotACounter("total", _))),
            "{value}"
        );
    }
    // The stale marker of a series that ended.
    assert!(with(f64::NAN).is_ok());
    let swapped = answers(
        600,
        [vec![steady("c", "500", 304, 600, 1.0)], vec![]],
        [vec![steady("c", "200", 304, 600, 10.0)], vec![]],
    );
    let error = read(&swapped, 15).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("must be a part of the selector of total"),
        "{error}"
    );
}

#[test]
fn the_slower_version_sets_the_interval() {
    let fast: Vec<(i64, f64)> = (0..60).map(|k| (500 + k, 1.0)).collect();
    let both = [
        vec![series("c", "200", &fast)],
        vec![steady("s", "200", 310, 600, 1.0)],
    ];
    assert_eq!(
        scrapes(&answers(600, both, [vec![], vec![]])).interval(Needs::Both),
        Some(15)
    );
    let one = [
        vec![series("c", "200", &[(590, 1.0)])],
        vec![steady("s", "200", 310, 600, 1.0)],
    ];
    assert_eq!(
        scrapes(&answers(600, one, [vec![], vec![]])).interval(Needs::Both),
        None
    );
}

proptest! {
    /// Whatever a counter does, no window is negative, and windows add up.
    #[test]
    fn windows_add_up(
        canary in prop::collection::vec((1..20_i64, 0..50_u32, prop::bool::weighted(0.1)), 1..40),
        cuts in prop::collection::btree_set(300..900_i64, 0..10),
    ) {
        let (mut at, mut value) = (300, 100.0);
        let samples: Vec<(i64, f64)> = canary.iter().map(|(gap, step, restart)| {
            at += gap;
            value = if *restart { f64::from(*step) } else { value + f64::from(*step) };
            (at, value)
        }).collect();
        let a = answers(900, [vec![series("c", "200", &samples)], vec![]], [vec![], vec![]]);
        let s = read(&a, 5).unwrap();
        let whole = counted(&s, 300, 1200, Age::Any);
        let edges: Vec<i64> = [300].into_iter().chain(cuts).chain([1200]).collect();
        let parts: f64 = edges.windows(2).map(|e| counted(&s, e[0], e[1], Age::Any).nc).sum();
        prop_assert!(parts >= 0.0 && whole.nc.to_bits() == parts.to_bits());
    }

    /// In which order an answer has its series says nothing.
    #[test]
    fn the_order_of_series_makes_no_difference(
        series_of in prop::collection::vec(
            (0..4_usize, 0..3_usize, any::<bool>(), prop::collection::vec((0..40_u32, prop::bool::weighted(0.1)), 12)),
            1..12,
        ),
        seed in any::<u64>(),
    ) {
        // Which pod, which code, which version, and what the series counts from scrape to scrape.
        let made = |part: u32| -> [Vec<Series>; 2] {
            let mut arms = [vec![], vec![]];
            for (pod, code, canary, steps) in &series_of {
                let mut value = 50.0;
                let samples: Vec<(i64, f64)> = (0_i64..).zip(steps).map(|(k, (step, restart))| {
                    let step = f64::from(step / part);
                    value = if *restart { step } else { value + step };
                    (400 + 15 * k, value)
                }).collect();
                arms[usize::from(!canary)].push(series(&format!("p{pod}"), &format!("{code}"), &samples));
            }
            arms
        };
        let shuffled = |[mut c, mut s]: [Vec<Series>; 2]| {
            for (all, shift) in [(&mut c, 7), (&mut s, 31)] {
                let n = all.len().max(1);
                all.rotate_left((seed >> shift) as usize % n);
                if seed & 1 == 1 {
                    all.reverse();
                }
            }
            [c, s]
        };
        let sorted = answers(600, made(1), made(4));
        let other = answers(600, shuffled(made(1)), shuffled(made(4)));
        match (read(&sorted, 15), read(&other, 15)) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(a.present(), b.present());
                prop_assert_eq!(a.interval(Needs::Canary), b.interval(Needs::Canary));
                for age in [Age::Any, Age::Grown(60)] {
                    for from in (390..600).step_by(30) {
                        prop_assert_eq!(a.window(from, from + 30, age), b.window(from, from + 30, age));
                        let targets = |s: &Scrapes| s.targets(Version::Canary, from, from + 30, age);
                        prop_assert_eq!(targets(&a), targets(&b));
                    }
                }
            }
            (a, b) => prop_assert_eq!(a.err(), b.err()),
        }
    }
}
