use super::*;

fn record(version: &str, holder: &str) -> Record {
    Record {
        resource_version: version.to_owned(),
        holder: holder.to_owned(),
        duration: Duration::from_secs(15),
    }
}

/// Runs a script of (second, what is read, what is to be done) for candidate `me`.
fn script(steps: &[(u64, Option<Record>, LeaseAction)]) {
    let mut seen = None;
    for (second, read, expected) in steps {
        let action = lease_step(&mut seen, read.as_ref(), "me", Duration::from_secs(*second));
        assert_eq!(action, *expected, "at second {second}");
    }
}

#[test]
fn a_missing_lease_is_created_and_a_free_one_taken() {
    script(&[
        (0, None, LeaseAction::Create),
        (2, Some(record("1", "")), LeaseAction::Take),
    ]);
}

#[test]
fn our_own_is_renewed_even_after_a_restart_of_the_clock() {
    script(&[
        (0, Some(record("1", "me")), LeaseAction::Renew),
        (90, Some(record("1", "me")), LeaseAction::Renew),
    ]);
}

#[test]
fn a_holder_that_shows_signs_of_life_is_never_displaced() {
    let steps: Vec<_> = (0..100)
        .map(|i| {
            (
                i * 10,
                Some(record(&i.to_string(), "other")),
                LeaseAction::Wait,
            )
        })
        .collect();
    script(&steps);
}

#[test]
fn a_silent_holder_is_displaced_after_its_own_duration_on_our_clock() {
    script(&[
        (100, Some(record("1", "other")), LeaseAction::Wait),
        (114, Some(record("1", "other")), LeaseAction::Wait),
        (115, Some(record("1", "other")), LeaseAction::Take),
    ]);
    // A sign of life starts it anew, whatever the wall clocks say.
    script(&[
        (100, Some(record("1", "other")), LeaseAction::Wait),
        (114, Some(record("2", "other")), LeaseAction::Wait),
        (115, Some(record("2", "other")), LeaseAction::Wait),
        (129, Some(record("2", "other")), LeaseAction::Take),
    ]);
}

#[test]
fn a_new_candidate_waits_a_whole_duration_first() {
    script(&[(1_000_000, Some(record("1", "other")), LeaseAction::Wait)]);
}

#[test]
fn a_clock_that_stands_still_or_goes_back_takes_nothing() {
    script(&[
        (100, Some(record("1", "other")), LeaseAction::Wait),
        (50, Some(record("1", "other")), LeaseAction::Wait),
        (100, Some(record("1", "other")), LeaseAction::Wait),
    ]);
}

#[test]
fn a_lease_that_is_deleted_is_created_anew() {
    script(&[
        (0, Some(record("1", "other")), LeaseAction::Wait),
        (2, None, LeaseAction::Create),
        (4, Some(record("9", "other")), LeaseAction::Wait),
    ]);
}
