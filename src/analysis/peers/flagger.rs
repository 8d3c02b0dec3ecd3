//! When Flagger rolls back (fluxcd/flagger 15bd6ad, pkg/controller/scheduler.go).
//!
//! Failed checks are counted over the whole analysis: a check that passes takes none back.

/// The check (from 0) with which it rolls back; nothing if it does not. `failed` says of each check
/// whether it failed; a `threshold` of 0 is 1, as in a canary without one.
#[must_use]
pub fn rolls_back(failed: &[bool], threshold: usize) -> Option<usize> {
    let mut left = threshold.max(1);
    failed.iter().position(|failed| {
        left -= usize::from(*failed);
        left == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_take_nothing_back() {
        assert_eq!(rolls_back(&[true, false, true], 2), Some(2));
        assert_eq!(rolls_back(&[true, false, true], 3), None);
        assert_eq!(rolls_back(&[false, true], 0), Some(1));
        assert_eq!(rolls_back(&[], 1), None);
    }
}
