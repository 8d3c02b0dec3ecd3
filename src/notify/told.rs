//! What was told already, so that nothing is told twice: each look at an object shows all that its
//! status says.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// What happened longer ago than this is not told any more; and what was told is not told again within
/// it, even if it happened again: a rollout that is held every minute is told once.
const QUIET: SignedDuration = SignedDuration::from_mins(10);
/// What happened so shortly before this process began to tell may not have been told by the one before,
/// if that one was killed. After an orderly end it has been, and is told a second time with the same id.
const OVERLAP: SignedDuration = SignedDuration::from_secs(30);
/// Most that is remembered: what ten thousand Rollouts may do within the time.
const REMEMBERED_MAX: usize = 20_000;

/// The memory.
#[derive(Debug)]
pub(super) struct Told {
    began: Timestamp,
    at: BTreeMap<String, Timestamp>,
    swept: Timestamp,
}

impl Told {
    /// Nothing was told before `began`.
    pub(super) fn new(began: Timestamp) -> Self {
        Self {
            began: began.saturating_sub(OVERLAP).unwrap_or(began),
            at: BTreeMap::new(),
            swept: began,
        }
    }

    /// What happened before this is not told.
    pub(super) fn since(&self, now: Timestamp) -> Timestamp {
        self.began
            .max(now.saturating_sub(QUIET).unwrap_or(self.began))
    }

    /// Whether this is to be told, and not for the second time. When the memory is full nothing more is
    /// told, which is better than everything at every look.
    pub(super) fn is_new(&mut self, key: &str, now: Timestamp) -> bool {
        let recent = |at: Timestamp| now.duration_since(at) < QUIET;
        if !recent(self.swept) || self.at.len() >= REMEMBERED_MAX {
            self.at.retain(|_, at| recent(*at));
            self.swept = now;
        }
        if self.at.get(key).copied().is_some_and(recent) || self.at.len() >= REMEMBERED_MAX {
            return false;
        }
        self.at.insert(key.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_thing_is_told_once_and_again_only_after_a_while() {
        let mut told = Told::new(at(0));
        for (second, key, expected) in [
            (0, "a", true),
            (1, "a", false),
            (1, "b", true),
            (599, "a", false),
            (601, "a", true),
            (602, "a", false),
        ] {
            assert_eq!(told.is_new(key, at(second)), expected, "{key} at {second}");
        }
        assert_eq!(told.at.len(), 1, "what is old is forgotten");
    }

    #[test]
    fn what_the_process_before_has_told_is_not_told_but_for_the_last_moments() {
        let told = Told::new(at(0));
        assert_eq!(told.since(at(5)), at(-30));
        assert_eq!(told.since(at(3_600)), at(3_000));
    }

    #[test]
    fn a_full_memory_tells_nothing_more_until_it_has_room() {
        let mut told = Told::new(at(0));
        for i in 0..REMEMBERED_MAX {
            assert!(told.is_new(&i.to_string(), at(0)));
        }
        assert!(!told.is_new("one more", at(1)));
        assert!(told.is_new("one more", at(601)));
    }
}
