//! The simulator from outside: it breaks nothing, it repeats itself, and it finds what is broken.
//! Ten thousand rollouts, every crash and every deliberate bug are the step `simulate` of
//! `cargo xtask test`, by an optimised build.

use tidegate::sim::golden;
use tidegate::sim::history::History;
use tidegate::sim::mutants;
use tidegate::sim::play::play;
use tidegate::sim::sweep::Undisturbed;

/// Faults of a rollout, in the median.
const FAULTS: u64 = 8;

/// Bugs that every other history shows. `cargo xtask test --only simulate` looks for all of them.
const EASY: [&str; 4] = [
    "pods-there-at-once",
    "promotes-at-once",
    "says-nothing",
    "two-at-a-time",
];

#[test]
fn nothing_breaks_an_invariant_and_a_seed_is_one_history() {
    for seed in 1..=10 {
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
const BROKE_WITH_RULES: [u64; 28] = [
    308, 413, 1055, 1094, 1975, 2756, 3016, 3304, 3365, 4446, 5006, 5152, 5791, 5846, 5853, 5878,
    5971, 5985, 6126, 6294, 6420, 6740, 6762, 6793, 7608, 7613, 7990, 9734,
];

/// With a Deployment in it, too.
const BROKE_WITH_WORKLOAD: [u64; 1] = [5569];

/// With all that there is now, most of them beyond the first ten thousand.
const BROKE_WITH_ALL: [u64; 44] = [
    3_078, 3_185, 3_934, 7_044, 7_825, 12_093, 12_176, 69_816, 74_623, 106_297, 106_769, 123_077,
    127_443, 127_787, 128_826, 701_166, 701_609, 701_745, 701_880, 705_335, 708_265, 708_674,
    95_761, 122_593, 145_063, 161_813, 172_254, 173_477, 180_250, 251_599, 272_353, 274_869,
    309_309, 323_950, 361_096, 374_427, 384_942, 402_068, 1_012_000, 2_084_923, 2_241_131,
    2_413_891, 2_509_985, 2_703_872,
];

#[test]
fn what_broke_once_holds() {
    let plain = BROKE_ONCE.map(|seed| History::without_rules(seed, FAULTS));
    let ruled = BROKE_WITH_RULES.map(|seed| History::without_workload(seed, FAULTS));
    let placed = BROKE_WITH_WORKLOAD.map(|seed| History::without_refusals(seed, FAULTS));
    let all = BROKE_WITH_ALL.map(|seed| History::of(seed, FAULTS));
    let all = plain.iter().chain(&ruled).chain(&placed).chain(&all);
    for history in all {
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
    for name in EASY {
        let mutant = mutants::Mutant::named(name).unwrap();
        let found = (1..=5).find_map(|seed| {
            let broken = play(&History::of(seed, FAULTS), Some(mutant), false).broken;
            broken.filter(|broken| broken.invariant == mutant.breaks)
        });
        assert!(found.is_some(), "{name}");
    }
}
