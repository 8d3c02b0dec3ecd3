//! What a load and a timeline together say: whether a version was served more than it was
//! authorised to, how long users were on a bad one, whether a Service was short of endpoints. Pure.

use std::time::Duration;

use jiff::Timestamp;
use tidegate::api::rollout_status::Phase;
use tidegate_load_tests::load::Report;

use crate::timeline::{Seen, Status, What};

/// Shares are taken over so many seconds ...
const WINDOW_S: i64 = 10;
/// ... and may be so many points above what is authorised: requests come one by one.
const POINTS: f64 = 2.0;

/// Where `version` had more than it was authorised to, in words.
///
/// A window is held against the most that was authorised in it or in the second before: while a
/// weight falls, answers to the one before are still under way.
#[must_use]
pub fn exposure(report: &Report, seen: &[Seen], version: &str) -> Vec<String> {
    let (Some(first), Some(last)) = (report.seconds.first(), report.seconds.last()) else {
        return vec!["no requests were sent".to_owned()];
    };
    let mut found = Vec::new();
    // Where nothing is authorised, nothing is: that needs no window.
    for second in &report.seconds {
        let answers = second.versions.get(version).map_or(0, |c| c.answers);
        if answers > 0 && most_authorised(seen, second.at - 1, second.at + 1) == 0 {
            let into = second.at - first.at;
            found.push(format!(
                "{answers} answers of {version} in second {into}, 0 % authorised"
            ));
        }
    }
    for from in first.at..=(last.at - WINDOW_S) {
        let before = from + WINDOW_S;
        let limit = most_authorised(seen, from - 1, before);
        let share = report.share(version, from, before).unwrap_or(0.0);
        if share > f64::from(limit) + POINTS {
            let into = from - first.at;
            found.push(format!(
                "{share:.1} % to {version} from second {into} on, {limit} % authorised"
            ));
        }
    }
    found
}

/// The largest weight that was authorised, or still accepted, at any time from one second to before
/// another. A version that was promoted may have everything.
fn most_authorised(seen: &[Seen], from: i64, before: i64) -> i32 {
    let mut most = 0;
    let mut first = None;
    for (at, status) in statuses(seen) {
        let promoted = *first.get_or_insert(status.stable) < status.stable;
        let weight = if promoted {
            100
        } else {
            status.desired.max(status.accepted)
        };
        if at.as_second() < from {
            most = weight;
        } else if at.as_second() < before {
            most = most.max(weight);
        }
    }
    most
}

fn statuses(seen: &[Seen]) -> impl Iterator<Item = (Timestamp, &Status)> {
    seen.iter().filter_map(|seen| match &seen.what {
        What::Status(status) => Some((seen.at, status)),
        _ => None,
    })
}

/// When it was known after an abort that stable had everything. Where the change leaves Git at once,
/// the Rollout is healthy again by then.
fn aborted(seen: &[Seen]) -> Option<Timestamp> {
    let given_up = |status: &Status| matches!(status.phase, Some(Phase::Aborting | Phase::Aborted));
    let back = |status: &Status| {
        let over = matches!(status.phase, Some(Phase::Aborted | Phase::Healthy));
        over && status.accepted == 0
    };
    let statuses = statuses(seen).skip_while(|(_, status)| !given_up(status));
    let mut back = statuses.filter(|(_, status)| back(status));
    back.next().map(|(at, _)| at)
}

/// Answers of `version` to requests that were due after it was known to have no traffic any more.
#[must_use]
pub fn after_abort(report: &Report, seen: &[Seen], version: &str) -> u64 {
    let Some(confirmed) = aborted(seen) else {
        return 0;
    };
    let seconds = report.seconds.iter();
    let late = seconds.filter(|second| second.at > confirmed.as_second());
    late.filter_map(|second| second.versions.get(version))
        .map(|counts| counts.answers)
        .sum()
}

/// Seconds from the first bad answer until the route had everything at stable; without a route,
/// until the status says so.
#[must_use]
pub fn first_bad_to_stable(report: &Report, seen: &[Seen]) -> Option<f64> {
    let first = report.first_bad?;
    let confirmed = aborted(seen)?;
    let mut weights = seen.iter().filter_map(|seen| match seen.what {
        What::Weight(weight) if seen.at <= confirmed => Some((seen.at, weight)),
        _ => None,
    });
    let back = match weights.next_back() {
        Some((at, 0)) => at,
        _ => confirmed,
    };
    Some(back.duration_since(first).as_secs_f64())
}

/// Where a Service that has traffic had fewer ready endpoints than its share needs of the pods that
/// were asked for; of the fewest, where somebody scales.
#[must_use]
pub fn floor(seen: &[Seen]) -> Vec<String> {
    let asked_for = statuses(seen).map(|(_, status)| status.replicas);
    let replicas = asked_for.min().unwrap_or(0);
    let (mut weight, mut found) = (0, Vec::new());
    let mut ready: [Option<usize>; 2] = [None, None];
    for one in seen {
        match &one.what {
            What::Weight(now) => weight = *now,
            What::Endpoints(service, count) => match service.as_str() {
                "stable" => ready[0] = Some(*count),
                "canary" => ready[1] = Some(*count),
                _ => continue,
            },
            What::Status(_) => continue,
        }
        for (service, share, ready) in [
            ("stable", 100 - weight, ready[0]),
            ("canary", weight, ready[1]),
        ] {
            let needed = usize::try_from((share * replicas + 99) / 100).unwrap_or(0);
            if let Some(ready) = ready.filter(|ready| *ready < needed) {
                found.push(format!(
                    "{} of {needed} endpoints behind {service} at {share} %",
                    ready
                ));
            }
        }
    }
    found
}

/// How many of the lost requests were on their way in one of these times.
#[must_use]
pub fn lost_in(report: &Report, times: &[[Timestamp; 2]]) -> u64 {
    let lost = report.failures.iter().filter(|failure| {
        let after = Duration::from_millis(failure.after_ms);
        let during = times.iter().filter(|[from, to]| {
            failure.due <= *to && failure.due.checked_add(after).is_ok_and(|end| end >= *from)
        });
        during.count() > 0
    });
    u64::try_from(lost.count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
