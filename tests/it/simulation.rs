//! The simulator from outside: it breaks nothing, it repeats itself, and it finds what is broken.
//! The long runs are the step `simulate` of `cargo xtask test`.

use tidegate::sim::history::History;
use tidegate::sim::mutants;
use tidegate::sim::play::play;

/// Faults of a rollout, in the median.
const FAULTS: u64 = 8;

/// Seeds in which a bug must be found.
const SEEDS: u64 = 1_000;

#[test]
fn nothing_breaks_an_invariant_and_a_seed_is_one_history() {
    for seed in 1..=40 {
        let history = History::of(seed, FAULTS);
        let outcome = play(&history, None, false);
        assert_eq!(outcome.broken, None, "seed {seed}");
        assert!(outcome.writes > 0, "seed {seed} did nothing");
        let again = play(&History::of(seed, FAULTS), None, true);
        assert_eq!(outcome.hash, again.hash, "seed {seed} is two histories");
    }
}

#[test]
fn half_of_the_rollouts_have_five_faults_or_more() {
    let mut faults: Vec<u64> = (1..=101)
        .map(|seed| History::of(seed, FAULTS).faults())
        .collect();
    faults.sort_unstable();
    assert!(faults[50] >= 5, "{} in the median", faults[50]);
}

#[test]
fn every_bug_is_found_by_the_invariant_that_it_breaks() {
    let missed: Vec<String> = mutants::ALL
        .iter()
        .filter_map(|mutant| {
            let broken = (1..=SEEDS).find_map(|seed| {
                let history = History::of(seed, FAULTS);
                play(&history, Some(*mutant), false).broken
            });
            match broken {
                Some(broken) if broken.invariant == mutant.breaks => None,
                found => Some(format!("{} ({}): {found:?}", mutant.name, mutant.breaks)),
            }
        })
        .collect();
    assert_eq!(missed, Vec::<String>::new());
}
