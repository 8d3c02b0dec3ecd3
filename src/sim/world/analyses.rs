//! AnalysisRuns that go on by themselves: as many looks as a version needs to show what it is, and
//! the words of the real ones where the metrics source has nothing to say. What becomes of samples is
//! told in [`super::measured`], of versions of which somebody says what they count.

use jiff::SignedDuration;

use super::objects::{Kind, RunBody};
use super::workload::{Judgement, image};
use super::{Event, Fault, World};
use crate::api::analysis::RunMode;
use crate::api::analysis_status::{RunPhase, Verdict};

/// From look to look.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// Looks that show a good version.
const LOOKS_TO_PASS: u32 = 4;
/// Looks that show a bad one.
const LOOKS_TO_FAIL: u32 = 2;
/// Looks after which a run without an answer ends.
const LOOKS_MAX: u32 = 24;

/// Whether a run has not begun.
pub(super) fn is_new(run: &RunBody) -> bool {
    run.phase == RunPhase::Pending && !run.terminate
}

impl World {
    /// A run asks its questions.
    pub(super) fn analyse(&mut self, name: &str) {
        let Some(stored) = self.store.get(Kind::Run, name).cloned() else {
            return;
        };
        let Some(run) = stored.run() else { return };
        if !matches!(run.phase, RunPhase::Pending | RunPhase::Running) {
            return;
        }
        if self.is_measured(run) {
            self.measure(name, &stored, run);
            return;
        }
        let found = self.found(run);
        let background = run.spec.mode == RunMode::Background;
        let looks = self.evidence.entry(name.to_owned()).or_default();
        *looks += 1;
        let (phase, verdict, message) = match found {
            _ if run.terminate => (RunPhase::Terminated, run.verdict, "told to end"),
            Judgement::Good if *looks >= LOOKS_TO_PASS => match background {
                true => (RunPhase::Running, Some(Verdict::Pass), "as good as stable"),
                false => (
                    RunPhase::Successful,
                    Some(Verdict::Pass),
                    "as good as stable",
                ),
            },
            Judgement::Bad if *looks >= LOOKS_TO_FAIL => {
                (RunPhase::Failed, Some(Verdict::Fail), "worse than stable")
            }
            Judgement::Unclear if *looks >= LOOKS_MAX && !background => (
                RunPhase::Inconclusive,
                Some(Verdict::Inconclusive),
                "no evidence either way",
            ),
            Judgement::Good | Judgement::Bad | Judgement::Unclear => {
                (RunPhase::Running, Some(Verdict::Inconclusive), "looks")
            }
            Judgement::NoData => {
                *looks -= 1;
                (RunPhase::Running, Some(Verdict::NoData), "no requests yet")
            }
            Judgement::Errors => {
                *looks -= 1;
                (RunPhase::Running, Some(Verdict::SourceError), "HTTP 503")
            }
        };
        if (phase, verdict) != (run.phase, run.verdict) {
            let _ = self.store.update(Kind::Run, name, None, false, |stored| {
                if let Some(run) = stored.run_mut() {
                    run.phase = phase;
                    run.verdict = verdict;
                    message.clone_into(&mut run.message);
                }
            });
        }
        if matches!(phase, RunPhase::Pending | RunPhase::Running) {
            let wait = LOOK_EVERY + self.weather.slow_metrics();
            self.after(wait, Event::Analysis(name.to_owned()));
        }
    }

    /// What the metrics say of the version that a run judges.
    fn found(&self, run: &RunBody) -> Judgement {
        if self.weather.has(&Fault::Metrics) {
            return Judgement::Errors;
        }
        let version = self.store.list(Kind::ReplicaSet).find_map(|stored| {
            let body = stored.replica_set()?;
            (body.hash == run.spec.canary_hash).then_some((stored, body))
        });
        let Some((stored, version)) = version else {
            return Judgement::NoData;
        };
        let rollout = stored.meta.rollout.as_deref().unwrap_or_default();
        if self.serving(rollout, &version.hash) == 0 {
            return Judgement::NoData;
        }
        let behaviour = self.behaviours.get(image(&version.template));
        behaviour.map_or(Judgement::Good, |behaviour| behaviour.judgement)
    }
}
