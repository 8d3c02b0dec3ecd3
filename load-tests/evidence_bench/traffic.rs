//! Two versions' requests in windows, without any noise but chance.

use tidegate::analysis::rho::Window;

use crate::random::Random;
use crate::shipped::WINDOW_S;

/// Requests per second to both versions, the new one's share of them, the stable version's ratio of
/// bad ones.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    pub rate: f64,
    pub share: f64,
    pub p: f64,
}

impl Traffic {
    /// Stable's requests for each of the new version's.
    pub fn kappa(&self) -> f64 {
        (1.0 - self.share) / self.share
    }

    /// Requests to the new version in a second.
    pub fn canary(&self) -> f64 {
        self.rate * self.share
    }

    /// What a window has in the mean, without any difference.
    pub fn mean(&self) -> Window {
        let n = self.rate * WINDOW_S as f64;
        Window {
            nc: n * self.share,
            xc: n * self.share * self.p,
            ns: n * (1.0 - self.share),
            xs: n * (1.0 - self.share) * self.p,
        }
    }

    /// A window in which the new version has `times` as many bad ones. Requests come by Poisson's
    /// law; each is bad by itself, so good and bad ones are independent counts.
    pub fn window(&self, random: &mut Random, times: f64) -> Window {
        let mean = self.mean();
        let (xc, xs) = (random.poisson(mean.xc * times), random.poisson(mean.xs));
        let good = |n: f64, x: f64| (n - x).max(0.0);
        Window {
            nc: xc + random.poisson(good(mean.nc, mean.xc * times)),
            xc,
            ns: xs + random.poisson(good(mean.ns, mean.xs)),
            xs,
        }
    }
}
