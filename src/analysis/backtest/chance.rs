//! Draws from numbers that somebody else brings: nothing in here makes chance, it only shapes it.

use statrs::function::gamma::ln_gamma;

/// Up to so many trials each is drawn by itself.
const ONE_BY_ONE: u32 = 64;

/// Where numbers come from. The same numbers give the same draws.
pub trait Chance {
    /// A number from 0 to below 1.
    fn uniform(&mut self) -> f64;
}

/// A place below `n`; 0 where there is none.
pub fn below(chance: &mut dyn Chance, n: usize) -> usize {
    let place = (chance.uniform() * n as f64) as usize;
    place.min(n.saturating_sub(1))
}

/// `k` of the places below `n`, each as likely as any other, in ascending order.
pub fn some_of(chance: &mut dyn Chance, n: usize, k: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    let mut chosen: Vec<usize> = Vec::new();
    for _ in 0..k.min(n) {
        let at = below(chance, places.len());
        chosen.push(places.swap_remove(at));
    }
    chosen.sort_unstable();
    chosen
}

/// How many of `n` trials succeed, each with chance `p`: exact, by counting few and by going out from
/// the most likely number where there are many.
pub fn binomial(chance: &mut dyn Chance, n: f64, p: f64) -> f64 {
    let n = n.round();
    if n < 1.0 || p <= 0.0 || n.is_nan() || p.is_nan() {
        return 0.0;
    }
    if p >= 1.0 {
        return n;
    }
    if n <= f64::from(ONE_BY_ONE) {
        return (0..n as u32).filter(|_| chance.uniform() < p).count() as f64;
    }
    let mode = ((n + 1.0) * p).floor();
    let log = ln_gamma(n + 1.0) - ln_gamma(mode + 1.0) - ln_gamma(n - mode + 1.0)
        + mode * p.ln()
        + (n - mode) * (-p).ln_1p();
    let odds = p / (1.0 - p);
    let (mut up, mut down) = (mode, mode);
    let (mut chance_up, mut chance_down) = (log.exp(), log.exp());
    let mut left = chance.uniform() - chance_up;
    while left >= 0.0 {
        let (before_up, before_down) = (up, down);
        if up < n {
            chance_up *= (n - up) / (up + 1.0) * odds;
            up += 1.0;
            left -= chance_up;
            if left < 0.0 {
                return up;
            }
        }
        if down > 0.0 {
            chance_down *= down / (n - down + 1.0) / odds;
            down -= 1.0;
            left -= chance_down;
            if left < 0.0 {
                return down;
            }
        }
        // What is left is rounding.
        let ended = (up - before_up) + (before_down - down) <= 0.0;
        if ended || chance_up + chance_down < f64::MIN_POSITIVE {
            return mode;
        }
    }
    mode
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    /// The tests' own numbers.
    pub struct Seeded(pub Random);

    impl Seeded {
        pub fn new(seed: u64) -> Self {
            Self(Random::new(seed))
        }
    }

    impl Chance for Seeded {
        fn uniform(&mut self) -> f64 {
            (self.0.bits() >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn counts_follow_the_binomial_law() {
        for (n, p) in [
            (1.0, 0.5),
            (40.0, 0.1),
            (300.0, 0.5),
            (2_000.0, 0.003),
            (1e6, 0.25),
            (500.0, 0.98),
        ] {
            let mut chance = Seeded::new(7);
            let draws: Vec<f64> = (0..4_000).map(|_| binomial(&mut chance, n, p)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let off = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            let variance = off / (draws.len() - 1) as f64;
            let expected = n * p * (1.0 - p);
            // Five standard deviations of a mean and of a variance of 4,000 draws.
            let allowed = 5.0 * (expected / 4_000.0).sqrt();
            assert!((mean - n * p).abs() < allowed, "{n} {p}: mean {mean}");
            let ratio = variance / expected;
            assert!(
                (0.85..1.15).contains(&ratio),
                "{n} {p}: variance {variance}"
            );
            assert!(
                draws
                    .iter()
                    .all(|x| (0.0..=n).contains(x) && x.fract() == 0.0)
            );
        }
    }

    proptest! {
        #[test]
        fn a_draw_is_always_possible(n in 0.0..1e7_f64, p in -0.5..1.5_f64, seed in 0_u64..1000) {
            let drawn = binomial(&mut Seeded::new(seed), n, p);
            prop_assert!(drawn >= 0.0 && drawn <= n.round(), "{drawn} of {n}");
        }

        #[test]
        fn some_are_some_and_each_once(n in 0_usize..50, k in 0_usize..60, seed in 0_u64..1000) {
            let chosen = some_of(&mut Seeded::new(seed), n, k);
            prop_assert_eq!(chosen.len(), k.min(n));
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(chosen.iter().all(|i| *i < n));
        }
    }
}
