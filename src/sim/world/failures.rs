//! What a simulated controller remembers of failures in a row: the shipped memory, by the simulated
//! clock.

use jiff::SignedDuration;

use super::World;
use super::calls::Answer;
use super::objects::Kind;
use crate::api::rollout_status::Phase;
use crate::core::failures::Cause;
use crate::core::observed::Observed;

impl World {
    /// Adds to the facts what the API server refused only just now; returns how long that counts.
    pub(super) fn remember_refusal(
        &self,
        at: usize,
        rollout: &str,
        observed: &mut Observed,
    ) -> Option<SignedDuration> {
        let controller = self.controllers.get(at)?;
        let now = self.now.as_duration();
        let (refusal, left) = controller.failures.refusal(&rollout.to_owned(), now)?;
        observed.refused = Some(refusal);
        Some(left)
    }

    /// How long a Rollout that failed is still left alone.
    pub(super) fn backing_off(
        &self,
        at: usize,
        rollout: &str,
        observed: &Observed,
    ) -> Option<SignedDuration> {
        let controller = self.controllers.get(at)?;
        let version = &observed.rollout.resource_version;
        let now = self.now.as_duration();
        controller
            .failures
            .backing_off(&rollout.to_owned(), version, now)
    }

    /// A look went well.
    pub(super) fn succeed(&mut self, at: usize, rollout: &str) {
        let now = self.now.as_duration();
        if let Some(controller) = self.controller(at) {
            controller.failures.went_well(&rollout.to_owned(), now);
        }
    }

    /// Notes a failure, and looks again when the shipped memory of failures says.
    pub(super) fn fail(&mut self, at: usize, rollout: &str, answer: Answer) {
        let cause = match answer {
            Answer::Done => return,
            Answer::Conflict => Cause::Conflict,
            Answer::Held => Cause::Held,
            Answer::Refused(refusal) => Cause::Refused(refusal),
            Answer::Failed => Cause::Other,
        };
        let urgent = self
            .store
            .get(Kind::Rollout, rollout)
            .and_then(|stored| stored.rollout())
            .is_some_and(|body| body.status.phase == Some(Phase::Aborting));
        let now = self.now.as_duration();
        let chance = self.random.below(1_000) as f64 / 1_000.0;
        let Some(controller) = self.controller(at) else {
            return;
        };
        let key = (Kind::Rollout, rollout.to_owned());
        let cached = controller.cache.get(&key);
        let version = cached.map_or(String::new(), |o| o.meta.version.to_string());
        let chance = (urgent, chance);
        let follows = controller
            .failures
            .note(&key.1, &version, cause, chance, now);
        self.look_after(at, rollout, follows.look_after);
    }
}
