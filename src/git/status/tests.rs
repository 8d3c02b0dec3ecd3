use super::*;
use crate::api::revert::{PullRequest, RevertReason, RevertRollout, RevertSpec, RevertVersion};

const DEADLINES: Deadlines = Deadlines {
    max_age: SignedDuration::from_hours(24),
    verify: SignedDuration::from_mins(15),
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_000_000 + second).unwrap()
}

fn revert(mode: RevertMode, phase: Option<RevertPhase>) -> Revert {
    let version = |hash: &str| RevertVersion {
        revision: 1,
        hash: hash.into(),
        images: vec![],
        source_revision: None,
    };
    let spec = RevertSpec {
        mode,
        rollout: RevertRollout {
            name: "checkout".into(),
            uid: "u".into(),
        },
        cluster: None,
        source: None,
        stable: version("a"),
        bad: version("b"),
        attempt: 1,
        changes: vec![],
        step: None,
        steps: None,
        weight: None,
        reason: RevertReason::Manual,
        message: None,
        analysis_run: None,
        aborted_at: at(0),
    };
    let mut revert = Revert::new("checkout-b-1", spec);
    revert.metadata.generation = Some(1);
    revert.status = phase.map(|p| RevertStatus {
        phase: Some(p),
        ..RevertStatus::default()
    });
    revert
}

fn landed(revert: &Revert, second: i64) -> Revert {
    let outcome = Outcome::Landed {
        commit: Some("c".into()),
        id: None,
        branch: "main".into(),
    };
    let status = after(revert, &outcome, &DEADLINES, at(second));
    Revert {
        status: Some(status),
        ..revert.clone()
    }
}

#[test]
fn each_phase_has_one_next_step() {
    use RevertMode::{DryRun, Off, PullRequest, Push};
    use RevertPhase as P;
    for (mode, phase, step) in [
        (Off, None, Step::Record),
        (Push, None, Step::Work),
        (Push, Some(P::Pending), Step::Work),
        (Push, Some(P::Planned), Step::Work),
        (DryRun, None, Step::Work),
        (DryRun, Some(P::Planned), Step::Done),
        (Push, Some(P::Pushed), Step::Confirm),
        (PullRequest, None, Step::Work),
        (PullRequest, Some(P::Planned), Step::Work),
        (PullRequest, Some(P::PullRequestOpen), Step::Work),
        (PullRequest, Some(P::Declined), Step::Done),
        (Push, Some(P::Landed), Step::Verify),
        (Push, Some(P::Mismatch), Step::Verify),
        (Push, Some(P::Verified), Step::Done),
        (Push, Some(P::Superseded), Step::Done),
        (Push, Some(P::Declined), Step::Done),
        (Push, Some(P::NeedsHuman), Step::Done),
        (Push, Some(P::Unresolvable), Step::Done),
        (Off, Some(P::Recorded), Step::Done),
    ] {
        assert_eq!(
            next_step(&revert(mode, phase), &DEADLINES, at(60)),
            step,
            "{mode:?} {phase:?}"
        );
    }
}

#[test]
fn a_released_version_is_not_pushed_but_a_pushed_one_is_followed() {
    let mut released = revert(RevertMode::Push, None);
    let annotations = [(RELEASED_ANNOTATION.to_owned(), "now me".to_owned())];
    released.metadata.annotations = Some(annotations.into());
    assert_eq!(next_step(&released, &DEADLINES, at(1)), Step::Release);
    let released = landed(&released, 1);
    assert_eq!(next_step(&released, &DEADLINES, at(2)), Step::Verify);
}

#[test]
fn what_is_old_is_not_carried_out_any_more() {
    let day = 24 * 3600;
    for phase in [None, Some(RevertPhase::Planned)] {
        assert_eq!(
            next_step(&revert(RevertMode::Push, phase), &DEADLINES, at(day + 1)),
            Step::GiveUp
        );
    }
    let mismatch = revert(RevertMode::Push, Some(RevertPhase::Mismatch));
    assert_eq!(next_step(&mismatch, &DEADLINES, at(day + 1)), Step::Done);
    // A record is a record at any age.
    assert_eq!(
        next_step(&revert(RevertMode::Off, None), &DEADLINES, at(day + 1)),
        Step::Record
    );
}

#[test]
fn failures_are_tried_again_ever_more_slowly_and_success_forgets_them() {
    let mut now = revert(RevertMode::Push, None);
    let failed = Outcome::Failed {
        condition: RESOLVED,
        reason: "Unreachable",
        message: "no route".into(),
    };
    let mut delays = Vec::new();
    for i in 0..12 {
        let status = after(&now, &failed, &DEADLINES, at(i));
        delays.push(
            status
                .next_retry_at
                .unwrap()
                .duration_since(at(i))
                .as_secs(),
        );
        assert_eq!(status.phase, Some(RevertPhase::Pending));
        now.status = Some(status);
    }
    assert_eq!(delays, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
    assert_eq!(
        next_step(&now, &DEADLINES, at(11)),
        Step::Wait(SignedDuration::from_secs(600))
    );
    assert_eq!(next_step(&now, &DEADLINES, at(611)), Step::Work);
    let planned = Outcome::Planned {
        id: "i".into(),
        branch: "main".into(),
        diff: "d".repeat(20_000),
    };
    let status = after(&now, &planned, &DEADLINES, at(700));
    assert_eq!((status.attempts, status.next_retry_at), (None, None));
    assert!(status.plan.unwrap().len() <= PLAN_BYTES_MAX);
    let resolved = status
        .conditions
        .iter()
        .find(|c| c.type_ == RESOLVED)
        .unwrap();
    assert_eq!(
        (resolved.status, resolved.last_transition_time),
        (ConditionStatus::True, at(700))
    );
}

#[test]
fn what_an_administrator_may_mend_is_looked_at_again() {
    let refused = Outcome::Refused {
        phase: RevertPhase::Unresolvable,
        condition: RESOLVED,
        reason: "NoCredentials",
        message: "none".into(),
        again: Again::Soon,
    };
    let mut now = revert(RevertMode::Push, None);
    now.status = Some(after(&now, &refused, &DEADLINES, at(0)));
    assert_eq!(
        now.status.as_ref().unwrap().phase,
        Some(RevertPhase::Unresolvable)
    );
    assert!(matches!(next_step(&now, &DEADLINES, at(1)), Step::Wait(_)));
    assert_eq!(next_step(&now, &DEADLINES, at(601)), Step::Work);
}

#[test]
fn the_cluster_has_its_time_to_follow_and_may_still_follow_later() {
    let landed = landed(&revert(RevertMode::Push, None), 10);
    let waiting = Outcome::NotVerified {
        reason: "NotHealthy",
        message: "Aborted".into(),
        on_its_way: false,
    };
    let early = after(&landed, &waiting, &DEADLINES, at(600));
    assert_eq!(early.phase, Some(RevertPhase::Landed));
    let late = Revert {
        status: Some(after(&landed, &waiting, &DEADLINES, at(10 + 901))),
        ..landed.clone()
    };
    assert_eq!(
        late.status.as_ref().unwrap().phase,
        Some(RevertPhase::Mismatch)
    );
    let verified = after(&late, &Outcome::Verified, &DEADLINES, at(5000));
    assert_eq!(verified.phase, Some(RevertPhase::Verified));
    assert_eq!(verified.commit.as_deref(), Some("c"));
    // Saying the same again changes nothing, so nothing is written.
    let again = after(&late, &waiting, &DEADLINES, at(3000));
    assert_eq!(Some(again), late.status);
}

#[test]
fn what_is_on_its_way_is_no_mismatch_however_long_it_takes() {
    let landed = landed(&revert(RevertMode::Push, None), 10);
    let waiting = |on_its_way| Outcome::NotVerified {
        reason: "AnotherRollout",
        message: "Paused".into(),
        on_its_way,
    };
    let late = after(&landed, &waiting(true), &DEADLINES, at(10 + 7200));
    assert_eq!(late.phase, Some(RevertPhase::Landed));
    // Also where it was one before.
    let mismatch = Revert {
        status: Some(after(&landed, &waiting(false), &DEADLINES, at(10 + 7200))),
        ..landed
    };
    let phase = |revert: &Revert| revert.status.as_ref().unwrap().phase;
    assert_eq!(phase(&mismatch), Some(RevertPhase::Mismatch));
    let again = after(&mismatch, &waiting(true), &DEADLINES, at(10 + 7300));
    assert_eq!(again.phase, Some(RevertPhase::Landed));
}

#[test]
fn what_a_person_may_put_right_in_the_repository_is_looked_at_seldom() {
    for phase in [RevertPhase::NeedsHuman, RevertPhase::Unresolvable] {
        let refused = |again| Outcome::Refused {
            phase,
            condition: LANDED,
            reason: "ProtectedBranch",
            message: "no".into(),
            again,
        };
        let with = |again| {
            let mut now = revert(RevertMode::Push, Some(RevertPhase::Planned));
            now.status = Some(after(&now, &refused(again), &DEADLINES, at(0)));
            now
        };
        let never = with(Again::Never);
        assert_eq!(next_step(&never, &DEADLINES, at(4000)), Step::Done);
        let seldom = with(Again::Seldom);
        assert_eq!(
            next_step(&seldom, &DEADLINES, at(1)),
            Step::Wait(SignedDuration::from_secs(3599))
        );
        assert_eq!(next_step(&seldom, &DEADLINES, at(3601)), Step::Work);
        // Why it waits for a person is not written over when the time is up.
        let ends = match phase {
            RevertPhase::NeedsHuman => Step::Done,
            _ => Step::GiveUp,
        };
        assert_eq!(next_step(&seldom, &DEADLINES, at(25 * 3600)), ends);
        let mut released = seldom;
        let annotations = [(RELEASED_ANNOTATION.to_owned(), "now me".to_owned())];
        released.metadata.annotations = Some(annotations.into());
        assert_eq!(next_step(&released, &DEADLINES, at(3601)), Step::Release);
    }
}

fn annotated(mut revert: Revert, annotations: &[(&str, &str)]) -> Revert {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    revert.metadata.annotations = Some(annotations.iter().map(own).collect());
    revert
}

#[test]
fn who_asks_for_a_try_gets_it_at_once_and_once() {
    use RevertMode::{DryRun, Off, Push};
    use RevertPhase as P;
    let day = 24 * 3600;
    for (mode, phase, waits, age, step) in [
        (Push, P::Pending, true, 60, Step::Work),
        (Push, P::Pending, false, day + 1, Step::Work),
        (Push, P::NeedsHuman, true, 60, Step::Work),
        (Push, P::NeedsHuman, false, 60, Step::Work),
        (Push, P::NeedsHuman, true, day + 1, Step::Work),
        (Push, P::Unresolvable, false, day + 1, Step::Work),
        (DryRun, P::Planned, false, 60, Step::Work),
        (Push, P::Pushed, true, 60, Step::Confirm),
        (Push, P::Mismatch, false, day + 1, Step::Verify),
        // What is over stays over, and a record is no revert.
        (Push, P::Verified, false, 60, Step::Done),
        (Push, P::Superseded, false, 60, Step::Done),
        (Push, P::Declined, false, 60, Step::Done),
        (Off, P::Recorded, false, 60, Step::Done),
        (Off, P::Pending, false, 60, Step::Record),
    ] {
        let row = format!("{mode:?} {phase:?} {waits} {age}");
        let mut asked = annotated(revert(mode, Some(phase)), &[(RETRY_ANNOTATION, "now me")]);
        let next = waits.then(|| at(age + 3600));
        asked.status.as_mut().unwrap().next_retry_at = next;
        assert_eq!(next_step(&asked, &DEADLINES, at(age)), step, "{row}");
        if matches!(step, Step::Done | Step::Record) {
            continue;
        }
        let refused = Outcome::Refused {
            phase: P::NeedsHuman,
            condition: LANDED,
            reason: "ProtectedBranch",
            message: "no".into(),
            again: Again::Seldom,
        };
        let status = after(&asked, &refused, &DEADLINES, at(age));
        assert_eq!(status.handled_retry.as_deref(), Some("now me"), "{row}");
        asked.status = Some(status);
        let then = next_step(&asked, &DEADLINES, at(age + 1));
        assert!(
            matches!(then, Step::Wait(_) | Step::Done),
            "{row}: {then:?}"
        );
        // Another request is another try.
        let again = annotated(asked, &[(RETRY_ANNOTATION, "later me")]);
        assert_eq!(
            next_step(&again, &DEADLINES, at(age + 1)),
            Step::Work,
            "{row}"
        );
    }
}

#[test]
fn a_request_that_is_too_long_for_the_status_is_still_acted_on_once() {
    let long = "é".repeat(1000);
    let mut asked = annotated(
        revert(RevertMode::DryRun, Some(RevertPhase::Planned)),
        &[(RETRY_ANNOTATION, long.as_str())],
    );
    assert_eq!(next_step(&asked, &DEADLINES, at(1)), Step::Work);
    let planned = Outcome::Planned {
        id: "i".into(),
        branch: "main".into(),
        diff: "d".into(),
    };
    asked.status = Some(after(&asked, &planned, &DEADLINES, at(1)));
    let handled = asked.status.as_ref().unwrap().handled_retry.as_ref();
    assert_eq!(handled.unwrap().chars().count(), RETRY_CHARS_MAX);
    assert_eq!(next_step(&asked, &DEADLINES, at(2)), Step::Done);
}

#[test]
fn what_is_declined_is_not_pushed_and_what_was_pushed_is_followed() {
    use RevertMode::{DryRun, Off, Push};
    use RevertPhase as P;
    let day = 24 * 3600;
    for (mode, phase, age, step) in [
        (Push, P::Pending, 60, Step::Decline),
        (Push, P::Planned, 60, Step::Decline),
        (DryRun, P::Planned, 60, Step::Decline),
        (Push, P::NeedsHuman, 60, Step::Decline),
        (Push, P::Unresolvable, day + 1, Step::Decline),
        (Off, P::Pending, 60, Step::Record),
        (Push, P::Pushed, 60, Step::Confirm),
        (Push, P::Landed, 60, Step::Verify),
        (Push, P::Verified, 60, Step::Done),
    ] {
        // Also beside a request to try: no is no.
        let no = [
            (DECLINED_ANNOTATION, "now me"),
            (RETRY_ANNOTATION, "later me"),
        ];
        let declined = annotated(revert(mode, Some(phase)), &no);
        let found = next_step(&declined, &DEADLINES, at(age));
        assert_eq!(found, step, "{mode:?} {phase:?}");
    }
    let both = [
        (DECLINED_ANNOTATION, "now me"),
        (RELEASED_ANNOTATION, "now me"),
    ];
    let released = annotated(revert(RevertMode::Push, None), &both);
    assert_eq!(next_step(&released, &DEADLINES, at(1)), Step::Release);
}

#[test]
fn the_cluster_is_looked_at_less_and_less_often() {
    let delay = |seconds| verify_delay(SignedDuration::from_secs(seconds)).as_secs();
    assert_eq!(delay(0), 1);
    assert!((2..=8).contains(&delay(15)), "{}", delay(15));
    assert_eq!(delay(600), 30);
}

#[test]
fn a_request_is_looked_at_for_as_long_as_it_is_open_and_ever_more_seldom() {
    let proposed = Outcome::Proposed {
        request: PullRequest {
            number: 7,
            url: "https://git.example/7".into(),
            branch: "rollout-revert/shop-checkout-0".into(),
        },
        id: "sha256:0".into(),
        branch: "main".into(),
        diff: "-v2\n+v1\n".into(),
        pushed: true,
    };
    let mut open = revert(RevertMode::PullRequest, None);
    let day = 24 * 3600;
    for (second, wait) in [
        (5, 30),
        (600, 30),
        (3600, 180),
        (day, 3600),
        (9 * day, 3600),
    ] {
        open.status = Some(after(&open, &proposed, &DEADLINES, at(second)));
        let status = open.status.as_ref().unwrap();
        assert_eq!(status.phase, Some(RevertPhase::PullRequestOpen));
        assert_eq!(status.next_retry_at, Some(at(second + wait)), "{second}");
        let step = next_step(&open, &DEADLINES, at(second + 1));
        assert_eq!(step, Step::Wait(SignedDuration::from_secs(wait - 1)));
    }
    // Whoever releases the version need not wait for that; one who has just failed to close it does.
    let annotations = [(RELEASED_ANNOTATION.to_owned(), "now me".to_owned())];
    open.metadata.annotations = Some(annotations.into());
    let now = at(9 * day + 1);
    assert_eq!(next_step(&open, &DEADLINES, now), Step::Work);
    let limited = Outcome::Limited {
        message: "slow down".into(),
        wait: SignedDuration::from_mins(20),
    };
    open.status = Some(after(&open, &limited, &DEADLINES, now));
    let wait = Step::Wait(SignedDuration::from_mins(20));
    assert_eq!(next_step(&open, &DEADLINES, now), wait);
}

#[test]
fn what_a_tool_waits_for_is_said_beside_what_the_cluster_shows() {
    let landed = landed(&revert(RevertMode::Push, None), 10);
    let told = |from: &Revert, value, reason, second| {
        let outcome = Outcome::HandedOver {
            value,
            reason,
            message: "resume apps".into(),
        };
        Revert {
            status: Some(after(from, &outcome, &DEADLINES, at(second))),
            ..from.clone()
        }
    };
    let waiting = Outcome::NotVerified {
        reason: "NotHealthy",
        message: "Aborted".into(),
        on_its_way: false,
    };
    for (value, reason, message) in [
        (ConditionStatus::True, "Asked", "Aborted"),
        (ConditionStatus::Unknown, "ToolUnreachable", "Aborted"),
        (ConditionStatus::False, "Suspended", "Aborted; resume apps"),
    ] {
        let asked = told(&landed, value, reason, 11);
        let status = asked.status.as_ref().unwrap();
        assert_eq!(status.phase, Some(RevertPhase::Landed));
        assert_eq!(next_step(&asked, &DEADLINES, at(11)), Step::Verify);
        let status = after(&asked, &waiting, &DEADLINES, at(12));
        assert_eq!(status.message.as_deref(), Some(message), "{reason}");
        // The same again is no write, and lands no later for it.
        let twice = Revert {
            status: Some(status.clone()),
            ..asked.clone()
        };
        assert_eq!(after(&twice, &waiting, &DEADLINES, at(13)), status);
    }
    // Another landing is told of anew.
    let asked = told(&landed, ConditionStatus::True, "Asked", 11);
    let outcome = Outcome::Landed {
        commit: None,
        id: None,
        branch: "main".into(),
    };
    let again = after(&asked, &outcome, &DEADLINES, at(20));
    assert!(again.conditions.iter().all(|c| c.type_ != HANDED_OVER));
}
