//! Numbers by chance from a seed: xoshiro256++ of Blackman and Vigna, and exact draws from the laws
//! that traffic follows. No normal approximation stands in for a count.

use statrs::function::gamma::ln_gamma;

/// Above this mean Poisson's law is drawn by rejection, below it by adding up chances.
const REJECTION_FROM: f64 = 30.0;

/// A source of random numbers.
#[derive(Debug, Clone)]
pub struct Random([u64; 4]);

/// The next number of `SplitMix64`, with which seeds are spread.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The source of run `run` of the stream `stream` (one for each row of a table).
    pub fn new(seed: u64, stream: u64, run: u64) -> Self {
        let mut state = seed;
        for part in [stream, run] {
            state = split_mix(&mut state) ^ part.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        }
        Self(std::array::from_fn(|_| split_mix(&mut state)))
    }

    fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// Between 0 and 1, never one of them.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// From the standard normal law.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }

    /// From Poisson's law.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            0.0
        } else if mean < REJECTION_FROM {
            self.by_adding(mean)
        } else {
            self.by_rejection(mean)
        }
    }

    fn by_adding(&mut self, mean: f64) -> f64 {
        let mut left = self.uniform();
        let (mut k, mut chance) = (0.0, (-mean).exp());
        // Beyond a thousand nothing is left that a double could tell from nothing.
        while left > chance && k < 1000.0 {
            left -= chance;
            k += 1.0;
            chance *= mean / k;
        }
        k
    }

    /// Hörmann's transformed rejection with a squeeze (PTRS, 1993).
    fn by_rejection(&mut self, mean: f64) -> f64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.uniform() - 0.5, self.uniform());
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= squeeze {
                return k;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let log = (v * inverse_alpha / (a / (us * us) + b)).ln();
            if log <= k * mean.ln() - mean - ln_gamma(k + 1.0) {
                return k;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chances of 0, 1, 2, ... as they are drawn, against Poisson's law.
    #[test]
    fn counts_follow_poissons_law() {
        for mean in [0.02, 0.7, 12.0, 29.9, 30.1, 75.0] {
            let mut random = Random::new(1, 2, 3);
            let draws = 200_000;
            let mut seen = vec![0.0; 200];
            for _ in 0..draws {
                seen[random.poisson(mean) as usize] += 1.0;
            }
            let (mut chance, mut squares, mut cells) = ((-mean).exp(), 0.0, 0.0);
            for (k, n) in seen.iter().enumerate() {
                let expected = chance * f64::from(draws);
                if expected >= 5.0 {
                    squares += (n - expected) * (n - expected) / expected;
                    cells += 1.0;
                }
                chance *= mean / (k + 1) as f64;
            }
            // Chi squared, five standard deviations.
            assert!(
                squares < cells + 5.0 * f64::sqrt(2.0 * cells) + 5.0,
                "{mean}: {squares} in {cells}"
            );
        }
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        let draw = |run| {
            let mut random = Random::new(7, 1, run);
            (random.poisson(5000.0).to_bits(), random.normal().to_bits())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
