//! Finds what of a history is enough to break the same invariant: everything else is left out, in
//! ever smaller parts (Zeller and Hildebrandt, IEEE Transactions on Software Engineering 28(2), 2002,
//! without the complements' complements).

use super::history::History;
use super::mutants::Mutant;
use super::play::{Outcome, play};

/// Most histories that are played to find out.
const TRIES_MAX: usize = 400;

/// The smallest part of `history` found that breaks what it breaks, and what became of that. `None`:
/// it breaks nothing.
#[must_use]
pub fn minimise(history: &History, mutant: Option<Mutant>) -> Option<(History, Outcome)> {
    let outcome = play(history, mutant, false);
    let broken = outcome.broken.as_ref()?.invariant;
    let mut best = (history.clone(), outcome);
    let mut part = history.happenings.len().div_ceil(2);
    let mut tries = 0;
    while part > 0 {
        let mut from = 0;
        while from < best.0.happenings.len() && tries < TRIES_MAX {
            tries += 1;
            let mut less = best.0.clone();
            let to = (from + part).min(less.happenings.len());
            less.happenings.drain(from..to);
            let outcome = play(&less, mutant, false);
            if outcome
                .broken
                .as_ref()
                .is_some_and(|b| b.invariant == broken)
            {
                best = (less, outcome);
            } else {
                from += part;
            }
        }
        part /= 2;
    }
    let traced = play(&best.0, mutant, true);
    best.1 = traced;
    Some(best)
}
