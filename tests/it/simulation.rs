//! The simulator from outside: it breaks nothing, it repeats itself, and it finds what is broken.
//! Long runs are `tidegate simulate --count N` and `tidegate simulate --mutants`.

use tidegate::sim::golden;
use tidegate::sim::history::History;
use tidegate::sim::mutants;
use tidegate::sim::play::play;
use tidegate::sim::sweep::Undisturbed;

/// Faults of a rollout, in the median.
const FAULTS: u64 = 8;

/// Seeds in which a bug must be found here.
const SEEDS: u64 = 40;

/// Bugs that these histories do not show; `--mutants` looks for them in a thousand.
const RARE: [&str; 9] = [
    "accepted-at-once",
    "another-record",
    "forgets-versions",
    "leaves-the-weight",
    "panics",
    "puts-back-at-once",
    "settled-at-once",
    "switches-under-traffic",
    "takes-services",
];

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

/// Histories in which something was wrong once, from when there were no rules yet.
const BROKE_ONCE: [u64; 11] = [9, 12, 14, 85, 110, 138, 214, 422, 478, 1144, 1274];

/// The same, with the rules that a history asks for today.
const BROKE_WITH_RULES: [u64; 1] = [308];

#[test]
fn what_broke_once_holds() {
    let plain = BROKE_ONCE.map(|seed| History::without_rules(seed, FAULTS));
    let ruled = BROKE_WITH_RULES.map(|seed| History::of(seed, FAULTS));
    for history in plain.iter().chain(&ruled) {
        let outcome = play(history, None, false);
        assert_eq!(outcome.broken, None, "seed {}", history.seed);
    }
}

#[test]
fn a_deletion_is_finished_wherever_the_controller_dies() {
    let goldens = golden::all();
    let deleted = goldens.iter().find(|golden| golden.name == "deleted");
    let swept = Undisturbed::play(deleted.unwrap()).sweep(false, 2);
    assert!(swept.single > 20, "{} crashes", swept.single);
    assert_eq!(swept.failed, 0, "{:#?}", swept.differing);
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
fn bugs_are_found_by_the_invariants_that_they_break() {
    let missed: Vec<&str> = mutants::ALL
        .iter()
        .filter(|mutant| !RARE.contains(&mutant.name))
        .filter_map(|mutant| {
            let broken = (1..=SEEDS).find_map(|seed| {
                let history = History::of(seed, FAULTS);
                let broken = play(&history, Some(*mutant), false).broken;
                broken.filter(|broken| broken.invariant == mutant.breaks)
            });
            broken.is_none().then_some(mutant.name)
        })
        .collect();
    assert_eq!(missed, Vec::<&str>::new());
}
