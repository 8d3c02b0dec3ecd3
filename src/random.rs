//! Random numbers that repeat: one seed, one run.
//!
//! `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): one addition and two multiplications, which is
//! plenty for a world that is made up. Not for secrets.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream that depends on nothing but the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `n`; 0 for an empty range.
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of the product: without the bias of a remainder.
        let product = u128::from(self.bits()) * u128::from(n);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).map_or(0, |width| width + 1);
        low + i64::try_from(self.below(width)).unwrap_or(0)
    }

    /// One of `choices`, if there are any.
    pub fn one_of<'c, T>(&mut self, choices: &'c [T]) -> Option<&'c T> {
        let at = self.below(choices.len() as u64);
        choices.get(usize::try_from(at).unwrap_or(0))
    }

    /// True in `per_million` of a million cases.
    pub fn happens(&mut self, per_million: u64) -> bool {
        self.below(1_000_000) < per_million
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_repeats_and_keeps_its_share() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut random = Random::new(7);
        let hits = (0..100_000).filter(|_| random.happens(80_000)).count();
        assert!((7_700..8_300).contains(&hits), "{hits} of 100,000 at 8 %");
        assert_eq!(random.below(0), 0);
    }
}
