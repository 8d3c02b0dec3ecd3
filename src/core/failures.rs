//! What is remembered of failures in a row: how long somebody who failed is left alone, and what the API
//! server refused only just now. Pure: what time it is, and chance, are given, so that the simulated
//! controller has the very memory of the real one. All of it may be lost at any instant.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::observed::Refusal;

/// While a disruption budget forbids an eviction, and before what nothing waits for is tried again.
pub const WHILE_HELD: SignedDuration = SignedDuration::from_secs(10);
/// After a write the watches bring the change within milliseconds; this is for the case that not. A
/// refusal is to be said as soon.
pub const AFTER_WRITE: SignedDuration = SignedDuration::from_millis(100);
/// After a conflict: soon and spread, and slower if it goes on, so that two who fight over one
/// object do not use up the budget of all others.
const CONFLICT: Growth = Growth {
    first: SignedDuration::from_millis(200),
    most: SignedDuration::from_secs(10),
    factor: 1.6,
    spread: 0.5,
};
/// After another failure.
const FAILURE: Growth = Growth {
    first: SignedDuration::from_secs(1),
    most: SignedDuration::from_secs(300),
    factor: 2.0,
    spread: 0.2,
};
/// After another failure of an abort: users are on a bad version.
const ABORT_FAILURE: Growth = Growth {
    first: SignedDuration::from_millis(200),
    most: SignedDuration::from_secs(5),
    factor: 2.0,
    spread: 0.2,
};
/// How far a wait that the API server asks for is stretched.
const BUSY_SPREAD: f64 = 0.25;

/// A failure, as far as it is answered in a way of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody else was faster.
    Conflict,
    /// The API server asks to be left alone for so long.
    Busy(SignedDuration),
    /// A disruption budget forbids it for now.
    Held,
    /// The API server will not have a ReplicaSet.
    Refused(Refusal),
    /// Anything else.
    Other,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follows {
    /// How many in a row, this one included.
    pub count: u32,
    /// When to look again.
    pub look_after: SignedDuration,
    /// When it is tried again, as long as the object is the same.
    pub try_after: SignedDuration,
}

/// Waits that grow with each failure in a row.
#[derive(Clone, Copy, Debug)]
struct Growth {
    first: SignedDuration,
    most: SignedDuration,
    factor: f64,
    spread: f64,
}

impl Growth {
    /// After so many failures in a row; `chance` is from 0 to 1.
    fn after(self, count: u32, chance: f64) -> SignedDuration {
        // Past this many doublings every wait has long reached its limit.
        let exponent = i32::try_from(count.clamp(1, 64)).unwrap_or(64) - 1;
        let most = self.most.as_secs_f64();
        let wait = (self.first.as_secs_f64() * self.factor.powi(exponent)).min(most);
        let spread = 1.0 + self.spread * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        millis((wait * spread).min(most))
    }
}

/// To the millisecond.
fn millis(seconds: f64) -> SignedDuration {
    SignedDuration::from_millis((seconds * 1000.0) as i64)
}

/// The last failures, by whom they are of. Times are those of any clock that never goes back.
#[derive(Clone, Debug)]
pub struct Failures<K>(BTreeMap<K, Failure>);

#[derive(Clone, Debug)]
struct Failure {
    count: u32,
    /// The version of the object that it happened with.
    version: String,
    /// Not to be tried again before, as long as the object is the same.
    not_before: SignedDuration,
    /// What the API server has against a ReplicaSet, if it was that.
    refusal: Option<Refusal>,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Failures<K> {
    /// Notes one that happened with this version of an object, and says when to look again; `urgent`: users
    /// are on a bad version. `chance`, from 0 to 1, spreads those who failed together.
    pub fn note(
        &mut self,
        key: &K,
        version: &str,
        cause: Cause,
        (urgent, chance): (bool, f64),
        now: SignedDuration,
    ) -> Follows {
        let count = self.0.get(key).map_or(0, |f| f.count).saturating_add(1);
        let wait = match &cause {
            Cause::Conflict => CONFLICT.after(count, chance),
            Cause::Busy(asked) => *asked + millis(asked.as_secs_f64() * BUSY_SPREAD * chance),
            Cause::Held => WHILE_HELD,
            Cause::Refused(_) | Cause::Other if urgent => ABORT_FAILURE.after(count, chance),
            Cause::Refused(_) | Cause::Other => FAILURE.after(count, chance),
        };
        let (look_after, try_after) = match &cause {
            // After a conflict every event is news; after anything else it is left alone.
            Cause::Conflict => (wait, SignedDuration::ZERO),
            Cause::Refused(_) => (AFTER_WRITE, wait),
            Cause::Busy(_) | Cause::Held | Cause::Other => (wait, wait),
        };
        let failure = Failure {
            count,
            version: version.to_owned(),
            not_before: now + try_after,
            refusal: match cause {
                Cause::Refused(refusal) => Some(refusal),
                _ => None,
            },
        };
        self.0.insert(key.clone(), failure);
        Follows {
            count,
            look_after,
            try_after,
        }
    }

    /// How long somebody who failed is still left alone. A change of the object ends that.
    #[must_use]
    pub fn backing_off(
        &self,
        key: &K,
        version: &str,
        now: SignedDuration,
    ) -> Option<SignedDuration> {
        let failure = self.0.get(key).filter(|f| f.version == version)?;
        Some(failure.not_before - now).filter(SignedDuration::is_positive)
    }

    /// A refusal that was heard only just now, and for how long it counts: after that it is tried again.
    #[must_use]
    pub fn refusal(&self, key: &K, now: SignedDuration) -> Option<(Refusal, SignedDuration)> {
        let failure = self.0.get(key)?;
        let left = failure.not_before - now;
        let refusal = failure.refusal.clone()?;
        left.is_positive().then_some((refusal, left))
    }

    /// It went well: forgets them, but for a refusal that counts. That the status says it is no sign
    /// that the next try will be better.
    pub fn went_well(&mut self, key: &K, now: SignedDuration) {
        if self.refusal(key, now).is_none() {
            self.clear(key);
        }
    }

    /// Forgets them.
    pub fn clear(&mut self, key: &K) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SignedDuration = SignedDuration::from_secs(1_000);

    fn refusal() -> Refusal {
        Refusal {
            replica_set: "web-1".to_owned(),
            why: "no".to_owned(),
        }
    }

    #[test]
    fn each_failure_is_waited_out_in_its_own_way() {
        let seconds = SignedDuration::from_secs_f64;
        // cause, whether it is urgent, the first wait and that after many; when it is looked at again.
        let rows = [
            (Cause::Conflict, false, 0.2, 10.0, None),
            (Cause::Conflict, true, 0.2, 10.0, None),
            (Cause::Busy(seconds(4.0)), false, 4.5, 4.5, None),
            (Cause::Held, false, 10.0, 10.0, None),
            (Cause::Other, false, 1.0, 300.0, None),
            (Cause::Other, true, 0.2, 5.0, None),
            (Cause::Refused(refusal()), false, 1.0, 300.0, Some(0.1)),
        ];
        for (cause, urgent, first, most, looks) in rows {
            let mut failures = Failures::default();
            let mut note = || failures.note(&"web", "1", cause.clone(), (urgent, 0.5), NOW);
            for (at, wait) in [(1, first), (30, most)] {
                let follows = (1..=30).map(|_| note()).find(|f| f.count == at).unwrap();
                let expected = match cause {
                    Cause::Conflict => (seconds(wait), SignedDuration::ZERO),
                    _ => (seconds(looks.unwrap_or(wait)), seconds(wait)),
                };
                let found = (follows.look_after, follows.try_after);
                assert_eq!(found, expected, "{cause:?}, {at} in a row");
            }
        }
    }

    #[test]
    fn chance_spreads_and_the_limit_holds() {
        let after = |chance, count| FAILURE.after(count, chance).as_millis();
        assert_eq!((after(0.0, 1), after(1.0, 1)), (800, 1_200));
        assert_eq!((after(0.0, 40), after(1.0, 40)), (240_000, 300_000));
        assert_eq!((after(7.0, 1), after(0.5, u32::MAX)), (1_200, 300_000));
    }

    #[test]
    fn another_version_of_the_object_is_tried_at_once() {
        let mut failures = Failures::default();
        let follows = failures.note(&"web", "1", Cause::Other, (false, 0.5), NOW);
        let backs_off = |version, after| failures.backing_off(&"web", version, NOW + after);
        assert_eq!(
            backs_off("1", SignedDuration::ZERO),
            Some(follows.try_after)
        );
        assert_eq!(backs_off("2", SignedDuration::ZERO), None);
        assert_eq!(backs_off("1", follows.try_after), None);
        assert_eq!(failures.backing_off(&"other", "1", NOW), None);
    }

    #[test]
    fn a_refusal_counts_until_it_is_tried_again_and_the_tries_grow_rare() {
        let mut failures = Failures::default();
        let mut now = NOW;
        let mut waits = Vec::new();
        for _ in 0..4 {
            let cause = Cause::Refused(refusal());
            failures.note(&"web", "1", cause, (false, 0.5), now);
            // What the status says of it goes well, and is no reason to forget it.
            failures.went_well(&"web", now);
            let (said, left) = failures.refusal(&"web", now).unwrap();
            assert_eq!(said, refusal());
            waits.push(left.as_secs());
            now += left;
            assert_eq!(failures.refusal(&"web", now), None);
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        failures.went_well(&"web", now);
        let follows = failures.note(&"web", "1", Cause::Other, (false, 0.5), now);
        assert_eq!(follows.count, 1);
    }
}
