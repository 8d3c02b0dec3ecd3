use super::*;
use crate::analysis::comparison::tests::{Counters, Random, START, follow, plan, ratio_of};
use crate::analysis::comparison::{Looked, decides, find, grid, note_short, question, take};

/// A switch at the start: stable has all of the traffic before, the new version afterwards.
#[derive(Clone, Copy)]
struct Switch {
    /// Requests a second, and the share of bad ones.
    stable: [f64; 2],
    canary: [f64; 2],
    /// Seconds before the start from which samples are kept, and those without any.
    kept: i64,
    gap: [i64; 2],
    /// The old pods go at the start; else their counters stand still.
    gone: bool,
}

const HEALTHY: Switch = Switch {
    stable: [40.0, 0.01],
    canary: [40.0, 0.01],
    kept: 7200,
    gap: [0, 0],
    gone: false,
};

fn scraped(switch: &Switch, seed: u64, every: i64, until: i64) -> Counters {
    let mut random = Random(seed.wrapping_mul(7919) + 1);
    let mut counters = Counters::default();
    let (mut at, mut totals) = (START - 7200, [[0.0; 2]; 2]);
    while at <= until {
        let before = at <= START;
        for (version, [rate, bad]) in [switch.canary, switch.stable].into_iter().enumerate() {
            let serves = before == (version == 1);
            let n = if serves {
                random.events(rate * every as f64)
            } else {
                0.0
            };
            totals[version][0] += n;
            totals[version][1] += random.events(n * bad).min(n);
            let back = START - at;
            let kept = back <= switch.kept && !(switch.gap[1]..switch.gap[0]).contains(&back);
            // The new version's pods come up ten minutes before.
            let there = if version == 0 {
                back <= 600
            } else {
                before || !switch.gone
            };
            if kept && there {
                let [n, x] = totals[version];
                counters.samples[version].push((at, n, x));
            }
        }
        at += every;
    }
    counters
}

fn after(more: &str) -> Plan {
    plan(&format!("reference: StableHistory\n{more}"))
}

#[test]
fn what_it_did_in_the_hour_before_is_what_it_is_held_against() {
    use Verdict::{Fail, NoData, Pass};
    let rows: [(&str, Switch, Verdict, &str, &str); 12] = [
        (
            "as good",
            HEALTHY,
            Pass,
            "Safe",
            "expected if it behaved like stable in the hour before",
        ),
        (
            "twice as bad",
            Switch {
                canary: [40.0, 0.02],
                ..HEALTHY
            },
            Fail,
            "Harm",
            "% in the hour before: more than the tolerated 1.1 times",
        ),
        (
            "half of it bad",
            Switch {
                canary: [40.0, 0.5],
                ..HEALTHY
            },
            Fail,
            "GrossHarm",
            "% in the hour before: more than 5 times",
        ),
        (
            "half of it bad, and the old pods go at once",
            Switch {
                canary: [40.0, 0.5],
                gone: true,
                ..HEALTHY
            },
            Fail,
            "GrossHarm",
            "were bad (",
        ),
        (
            "the old pods go at once",
            Switch {
                gone: true,
                ..HEALTHY
            },
            Pass,
            "Safe",
            "good enough for 100 %",
        ),
        (
            "nobody was ever bad",
            Switch {
                stable: [40.0, 0.0],
                canary: [40.0, 0.0],
                ..HEALTHY
            },
            Pass,
            "Safe",
            "0 bad of",
        ),
        (
            "samples of twenty minutes",
            Switch {
                kept: 1200,
                ..HEALTHY
            },
            Pass,
            "Safe",
            "good enough",
        ),
        (
            "samples of twenty minutes, twice as bad",
            Switch {
                kept: 1200,
                canary: [40.0, 0.02],
                ..HEALTHY
            },
            Fail,
            "Harm",
            "1 %",
        ),
        (
            "no history",
            Switch { kept: 0, ..HEALTHY },
            NoData,
            "NoStableHistory",
            "0 requests to the stable version in the hour before all of the traffic left it",
        ),
        (
            "no history and plainly broken",
            Switch {
                kept: 0,
                canary: [40.0, 0.5],
                ..HEALTHY
            },
            NoData,
            "NoStableHistory",
            "give a threshold here",
        ),
        (
            "hardly any history",
            Switch {
                stable: [0.05, 0.0],
                canary: [40.0, 0.0],
                ..HEALTHY
            },
            NoData,
            "NoStableHistory",
            "at least 300",
        ),
        (
            "nobody comes",
            Switch {
                canary: [0.0, 0.0],
                ..HEALTHY
            },
            NoData,
            "NoCanaryTraffic",
            "no requests to the new version",
        ),
    ];
    for every in [5, 15] {
        for (what, switch, verdict, reason, says) in rows {
            let plan = after("");
            let counters = scraped(&switch, 3, every, START + 1800);
            let mut status = Comparison::default();
            let stops = [Pass, Fail];
            let found = follow(&plan, &mut status, &counters, START + 1800, 1, &stops);
            let now = START + found.map_or(1800, |(seconds, _)| seconds);
            let (finding, _) = find(&plan, ratio_of(&plan), &status, now);
            assert_eq!(
                (finding.verdict, finding.reason),
                (verdict, reason),
                "{what}, {every} s: {status:#?} {}",
                finding.message
            );
            assert!(
                finding.message.contains(says),
                "{what}: {}",
                finding.message
            );
            if reason == "GrossHarm" {
                assert!(now <= START + 3 * every, "{what}: after {} s", now - START);
            }
            if verdict == NoData && reason == "NoStableHistory" {
                assert!(
                    status.harm_shown_at.is_none() && !decides(&status.safe),
                    "{what}"
                );
            }
        }
    }
}

/// A gap in the samples is no quiet time: what is missing is missing from the bad ones and from all
/// of them alike.
#[test]
fn a_gap_is_a_gap() {
    let plan = after("");
    let hour = |switch: Switch| {
        let counters = scraped(&switch, 1, 15, START + 300);
        let mut status = Comparison::default();
        follow(&plan, &mut status, &counters, START + 300, 15, &[]);
        status.baseline.unwrap()
    };
    let whole = hour(HEALTHY);
    assert!((whole.requests - 144_000.0).abs() < 2500.0, "{whole:?}");
    let gap = hour(Switch {
        gap: [3000, 1200],
        ..HEALTHY
    });
    let retained = hour(Switch {
        kept: 1200,
        ..HEALTHY
    });
    for (counts, seconds) in [(gap, 1800.0), (retained, 1200.0)] {
        assert!(
            (counts.requests / 40.0 - seconds).abs() < 120.0,
            "{counts:?}"
        );
        assert!(
            (counts.bad / counts.requests - 0.01).abs() < 0.002,
            "{counts:?}"
        );
    }
}

/// However often is asked, and whether it is read back from the API server in between.
#[test]
fn the_same_samples_lead_to_the_same_state() {
    let plan = after("promote: {maxDuration: 60m}");
    let until = START + 600;
    for (every, bad, gone) in [(5, 0.01, false), (15, 0.012, true), (10, 0.02, false)] {
        let switch = Switch {
            canary: [40.0, bad],
            gone,
            ..HEALTHY
        };
        let counters = scraped(&switch, 9, every, until + 300);
        let state = |pauses: &[i64]| {
            let mut status = Comparison::default();
            let mut now = START + 20;
            for pause in pauses.iter().cycle() {
                let (at, reach) = question(&plan, &status, now.min(until));
                let answers = counters.answers(at, reach);
                let looked = take(&plan, ratio_of(&plan), &mut status, &answers).unwrap();
                let text = serde_json::to_string(&status).unwrap();
                status = serde_json::from_str(&text).unwrap();
                assert_eq!(serde_json::to_string(&status).unwrap(), text);
                if now >= until && looked == Looked::Nothing {
                    break;
                }
                now += pause;
            }
            status
        };
        let steady = state(&[5]);
        assert!(steady.canary.requests > 0.0 && steady.baseline.unwrap().requests > 140_000.0);
        for pauses in [&[1, 17, 3, 44][..], &[451], &[100_000]] {
            assert_eq!(steady, state(pauses), "every {every} s, {pauses:?}");
        }
    }
}

/// Straight into the tests: an hour of so many requests, then windows. When harm and when safety is
/// shown.
fn simulate(plan: &Plan, random: &mut Random, hour: f64, bad: [f64; 2]) -> (bool, bool) {
    let (mut status, mut s) = (Comparison::default(), Sampler::default());
    grid(plan, &mut s, 15);
    let mut judge = History::new(plan, ratio_of(plan), &s);
    judge.begin(&mut status, &mut s);
    let requests = random.events(hour);
    status.baseline = Some(Counts {
        requests,
        bad: random.events(requests * bad[1]).min(requests),
    });
    let mut safe = false;
    for k in 0..120 {
        let n = random.events(50.0 * 15.0);
        let w = Window {
            nc: n,
            xc: random.events(n * bad[0]).min(n),
            ..Window::default()
        };
        let to = START + 15 * (k + 1);
        note_short(&mut status, &mut s, &w, to);
        judge.short(&mut status, &mut s, &w.into(), to);
        if k >= 4 {
            judge.window(&mut status, &mut s, &w.into(), to);
        }
        safe |= decides(&status.safe);
        if status.harm_shown_at.is_some() {
            return (true, safe);
        }
    }
    (false, safe)
}

/// So many of 200 at this rate, and two standard errors.
fn at_most(rate: f64) -> f64 {
    200.0 * rate + 2.0 * (rate * (1.0 - rate) * 200.0).sqrt()
}

/// Without any tolerance a version that behaves as stable did is aborted in at most 1 % of the
/// rollouts, also where the hour had few requests and its ratio is hardly known.
#[test]
fn good_versions_are_not_aborted() {
    let strict = "metrics: [{name: errors, ratio: {bad: 'b{$(arm)}', total: 't{$(arm)}'}, tolerate: {relative: 0%, absolute: 0%}}]";
    let yaml = format!(
        "canaryHash: c\nstableHash: s\nreference: StableHistory\nstartAt: 1970-01-12T13:46:40Z\n{strict}"
    );
    let strict = crate::analysis::plan::parse(
        &serde_saphyr::from_str(&yaml).unwrap(),
        jiff::Timestamp::UNIX_EPOCH,
    )
    .unwrap();
    for (hour, bad) in [(2000.0, 0.01), (100_000.0, 0.001), (1e8, 0.01)] {
        let aborted = (0..200)
            .filter(|seed| simulate(&strict, &mut Random(seed * 7919 + 1), hour, [bad, bad]).0);
        let aborted = aborted.count();
        assert!(
            aborted as f64 <= at_most(0.01),
            "{hour} at {bad}: {aborted} of 200"
        );
    }
}

/// What is 1.5 times as bad, the very edge of what is not good enough, is promoted in at most 5 %;
/// what is twice as bad is aborted.
#[test]
fn bad_versions_are_not_promoted() {
    let plan = after("");
    for (hour, bad) in [(3000.0, 0.02), (100_000.0, 0.01)] {
        let promoted = (0..200)
            .filter(|seed| simulate(&plan, &mut Random(seed * 7919 + 1), hour, [1.5 * bad, bad]).1);
        let promoted = promoted.count();
        assert!(
            promoted as f64 <= at_most(0.05),
            "{hour} at {bad}: {promoted} of 200"
        );
    }
    let aborted = (0..40)
        .filter(|seed| simulate(&plan, &mut Random(seed * 7919 + 1), 1e5, [0.02, 0.01]).0)
        .count();
    assert!(aborted >= 38, "{aborted} of 40");
}

/// By enumeration: the bounds are wrong in no more cases than they may be.
#[test]
fn the_bounds_hold() {
    for (n, p) in [(30_u32, 0.05), (300, 0.01), (300, 0.3), (1000, 0.002)] {
        for risk in [0.002, 0.01, 0.1] {
            let mut chance = (1.0_f64 - p).powi(n.cast_signed());
            let mut wrong = [0.0; 2];
            for x in 0..=n {
                let counts = Counts {
                    requests: f64::from(n),
                    bad: f64::from(x),
                };
                let (upper, lower) = (
                    bound(Law::Bernoulli, &counts, risk, Side::Upper),
                    bound(Law::Bernoulli, &counts, risk, Side::Lower),
                );
                let ratio = counts.bad / counts.requests;
                assert!((0.0..=ratio).contains(&lower) && (ratio..=1.0).contains(&upper));
                wrong[0] += if upper < p { chance } else { 0.0 };
                wrong[1] += if lower > p { chance } else { 0.0 };
                chance *= f64::from(n - x) / f64::from(x + 1) * p / (1.0 - p);
            }
            assert!(
                wrong.iter().all(|w| *w <= risk),
                "{n} {p} {risk}: {wrong:?}"
            );
            // They say something, too: not a tenth of what they may.
            assert!(
                risk < 0.1 || wrong[0] + wrong[1] > 0.01,
                "{n} {p}: {wrong:?}"
            );
        }
    }
    let none = Counts {
        requests: 1000.0,
        bad: 0.0,
    };
    let exact = 1.0 - 0.01_f64.powf(1e-3);
    assert!((bound(Law::Bernoulli, &none, 0.01, Side::Upper) - exact).abs() < 1e-9);
    assert!(bound(Law::Bernoulli, &none, 0.01, Side::Lower).abs() < 1e-12);
}
