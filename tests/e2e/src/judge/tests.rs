//! Made-up loads and timelines: each rule holds where it should and is broken where it should be.

use super::*;
use std::collections::BTreeMap;
use tidegate_load_tests::load::{Connection, Counts, Failure, Report, Second};

const BEGAN: i64 = 1_800_000_000;

fn at(seconds: f64) -> Timestamp {
    let since = jiff::SignedDuration::from_secs_f64(seconds);
    Timestamp::from_second(BEGAN).unwrap() + since
}

/// 100 answers a second; of each so many from the second version.
fn report(shares: &[u64]) -> Report {
    let mut report: Report = Report::begin(at(0.0), 100.0);
    report.seconds = shares
        .iter()
        .zip(BEGAN..)
        .map(|(share, at)| Second {
            at,
            lost: 0,
            versions: BTreeMap::from([
                ("1".to_owned(), counts(100 - share)),
                ("2".to_owned(), counts(*share)),
            ]),
        })
        .collect();
    report
}

fn counts(answers: u64) -> Counts {
    Counts { answers, bad: 0 }
}

fn status(seconds: f64, phase: Phase, desired: i32, accepted: i32) -> Seen {
    let status = Status {
        phase: Some(phase),
        desired,
        accepted,
        stable: 1,
        replicas: 4,
    };
    Seen {
        at: at(seconds),
        what: What::Status(status),
    }
}

fn weight(seconds: f64, weight: i32) -> Seen {
    Seen {
        at: at(seconds),
        what: What::Weight(weight),
    }
}

fn endpoints(seconds: f64, service: &str, ready: usize) -> Seen {
    Seen {
        at: at(seconds),
        what: What::Endpoints(service.to_owned(), ready),
    }
}

/// 20 % from second 10 on, given up at second 40.
fn given_up() -> Vec<Seen> {
    vec![
        weight(0.0, 0),
        status(0.0, Phase::Healthy, 0, 0),
        status(8.0, Phase::Progressing, 20, 0),
        weight(10.0, 20),
        status(11.0, Phase::Progressing, 20, 20),
        weight(40.2, 0),
        status(40.3, Phase::Aborting, 0, 20),
        status(41.1, Phase::Aborted, 0, 0),
    ]
}

fn loads(canary: impl Fn(i64) -> u64) -> Report {
    report(&(0..80).map(canary).collect::<Vec<_>>())
}

#[test]
fn a_share_is_held_against_what_was_authorised() {
    let while_out = |second: i64| (10..40).contains(&second);
    let rows: [(&str, Report, bool); 6] = [
        (
            "as authorised",
            loads(|s| if while_out(s) { 20 } else { 0 }),
            true,
        ),
        (
            "two points above",
            loads(|s| if while_out(s) { 22 } else { 0 }),
            true,
        ),
        (
            "three points above",
            loads(|s| if while_out(s) { 23 } else { 0 }),
            false,
        ),
        (
            "before it began",
            loads(|s| if s < 8 || while_out(s) { 20 } else { 0 }),
            false,
        ),
        (
            "a burst that evens out",
            loads(|s| if while_out(s) { 40 * (s as u64 % 2) } else { 0 }),
            true,
        ),
        (
            "after it was given up",
            loads(|s| if s >= 10 { 5 } else { 0 }),
            false,
        ),
    ];
    for (name, report, holds) in rows {
        let found = exposure(&report, &given_up(), "2");
        assert_eq!(found.is_empty(), holds, "{name}: {found:?}");
    }
    assert!(
        !exposure(&report(&[]), &given_up(), "2").is_empty(),
        "nothing was sent"
    );
}

#[test]
fn a_version_that_was_promoted_may_have_everything() {
    let mut promoted = given_up();
    promoted.truncate(5);
    promoted.push(status(40.0, Phase::Progressing, 100, 100));
    promoted.push(status(45.0, Phase::Healthy, 0, 0));
    let report = loads(|s| match s {
        ..10 => 0,
        10..40 => 20,
        _ => 100,
    });
    let found = exposure(&report, &promoted, "2");
    assert!(!found.is_empty(), "it is not stable");
    if let Some(Seen {
        what: What::Status(last),
        ..
    }) = promoted.last_mut()
    {
        last.stable = 2;
    }
    assert_eq!(exposure(&report, &promoted, "2"), [""; 0]);
}

#[test]
fn nothing_comes_after_a_confirmed_abort() {
    let until = |last: i64| loads(move |s| u64::from((10..=last).contains(&s)));
    assert_eq!(after_abort(&until(41), &given_up(), "2"), 0);
    assert_eq!(after_abort(&until(44), &given_up(), "2"), 3);
    let promoted = [status(0.0, Phase::Healthy, 0, 0)];
    assert_eq!(after_abort(&until(79), &promoted, "2"), 0);
}

#[test]
fn the_time_on_a_bad_version_ends_with_the_route() {
    let mut bad = loads(|_| 0);
    assert_eq!(first_bad_to_stable(&bad, &given_up()), None);
    bad.first_bad = Some(at(30.0));
    let took = |seen: &[Seen]| first_bad_to_stable(&bad, seen).map(|s| (s * 10.0).round() as i64);
    assert_eq!(took(&given_up()), Some(102));
    let without_route: Vec<Seen> = given_up()
        .into_iter()
        .filter(|seen| matches!(seen.what, What::Status(_)))
        .collect();
    assert_eq!(took(&without_route), Some(111));
    assert_eq!(took(&[status(0.0, Phase::Healthy, 0, 0)]), None);
    // Git was right again before the weight was confirmed.
    let mut healthy_again = given_up();
    healthy_again.pop();
    healthy_again.push(status(43.0, Phase::Healthy, 0, 0));
    assert_eq!(took(&healthy_again), Some(102));
    assert_eq!(
        after_abort(&loads(|s| u64::from(s == 44)), &healthy_again, "2"),
        1
    );
}

#[test]
fn every_service_has_the_endpoints_that_its_traffic_needs() {
    let base = vec![
        status(0.0, Phase::Healthy, 0, 0),
        endpoints(0.0, "stable", 4),
        endpoints(0.0, "canary", 4),
        weight(0.0, 0),
    ];
    let with = |more: &[Seen]| floor(&[base.clone(), more.to_vec()].concat());
    assert!(with(&[]).is_empty());
    assert!(
        with(&[endpoints(1.0, "canary", 0)]).is_empty(),
        "nobody is sent there"
    );
    let half = [endpoints(1.0, "canary", 2), weight(2.0, 50)];
    assert!(with(&half).is_empty());
    let early = [endpoints(1.0, "canary", 1), weight(2.0, 50)];
    assert_eq!(with(&early), ["1 of 2 endpoints behind canary at 50 %"]);
    let stable = [endpoints(1.0, "stable", 3)];
    assert_eq!(with(&stable), ["3 of 4 endpoints behind stable at 100 %"]);
    let all = [endpoints(1.0, "stable", 0), weight(0.5, 100)];
    assert_eq!(with(&all).len(), 1, "stable still had everything");
}

#[test]
fn what_is_lost_while_the_gateway_is_away_is_counted_apart() {
    let mut report = report(&[]);
    report.failures = [
        (9.0, 500),
        (9.9, 200),
        (10.5, 5),
        (12.0, 0),
        (12.1, 0),
        (30.0, 5),
    ]
    .map(|(due, after_ms)| Failure {
        due: at(due),
        after_ms,
        connection: Connection::Kept,
        status: None,
        cause: "refused".to_owned(),
    })
    .to_vec();
    assert_eq!(lost_in(&report, &[[at(10.0), at(12.0)]]), 3);
    assert_eq!(
        lost_in(&report, &[[at(10.0), at(12.0)], [at(29.0), at(31.0)]]),
        4
    );
    assert_eq!(lost_in(&report, &[]), 0);
}
