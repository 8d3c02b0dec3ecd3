//! Deliberate small bugs: each is what somebody could have written, and each must be found by the
//! invariant that it breaks. A check that has never failed is not trusted.
//!
//! A bug is put between the shipped parts: in what the planner sees, in what it decided, or in how a
//! write is made. The shipped code itself has none of it.

#![expect(
    clippy::indexing_slicing,
    reason = "objects that are written right here: indexing adds what is missing"
)]

use jiff::Timestamp;

use crate::api::analysis_status::{RunPhase, Verdict};
use crate::api::rollout_status::{AbortReason, AbortStatus, Phase};
use crate::core::observed::{Observed, RouteState};
use crate::core::plan::{Plan, Precondition, Write};

/// A bug that is there on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// What it is called.
    pub name: &'static str,
    /// Which invariant finds it.
    pub breaks: &'static str,
    /// What is wrong, in one sentence.
    pub about: &'static str,
    bug: Bug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    SettledAtOnce,
    PodsThereAtOnce,
    SwitchesUnderTraffic,
    RaisesBeforeSettled,
    WeightsTimesThree,
    OneStepAhead,
    KeepsUpTheGivenUp,
    LeavesTheWeight,
    UnclearIsSuccess,
    PromotesAtOnce,
    ErrorIsFailure,
    AnyRunWillDo,
    ForgetsVersions,
    AbortsForNothing,
    CountsDecisions,
    DefaultsInTemplate,
    TakesServices,
    LongNames,
    EndlessHistory,
    AtLeastOnePod,
    NeverDone,
    ForgetsTheOneBetween,
    TwoAtATime,
    EvictsByTheStatus,
    NarrowsTheSelector,
    AheadOfTheGeneration,
    AcceptedAtOnce,
    LetsGoAtOnce,
    AnotherRecord,
    PutsBackAtOnce,
    SaysTheTime,
    NeverListsAnew,
    SaysNothing,
    Panics,
    AllPodsAtOnce,
    LeavesTheDeployment,
    TakesItForBack,
    ComparesWithItself,
    ForgetsTheGroup,
}

const fn mutant(name: &'static str, breaks: &'static str, about: &'static str, bug: Bug) -> Mutant {
    Mutant {
        name,
        breaks,
        about,
        bug,
    }
}

/// All of them, at least one for each invariant.
#[rustfmt::skip] // one row, one line
pub const ALL: &[Mutant] = &[
    mutant("settled-at-once", "I1", "a change counts as served when it is written", Bug::SettledAtOnce),
    mutant("pods-there-at-once", "I1", "pods count as available when they are asked for", Bug::PodsThereAtOnce),
    mutant("all-pods-at-once", "I1", "a Deployment's pods all go when the first may", Bug::AllPodsAtOnce),
    mutant("switches-under-traffic", "I2", "the canary Service is pointed at a new version whatever flows", Bug::SwitchesUnderTraffic),
    mutant("raises-before-settled", "I2", "a weight rises in the plan that switches the Service", Bug::RaisesBeforeSettled),
    mutant("weights-times-three", "I3", "percentages are taken for parts of 300", Bug::WeightsTimesThree),
    mutant("one-step-ahead", "I4", "a weight of 20 more than the step's is written", Bug::OneStepAhead),
    mutant("keeps-up-the-given-up", "I5", "a version that was given up gets another pod", Bug::KeepsUpTheGivenUp),
    mutant("leaves-the-weight", "I5", "after an abort no weight is written", Bug::LeavesTheWeight),
    mutant("unclear-is-success", "I6", "an analysis without evidence counts as passed", Bug::UnclearIsSuccess),
    mutant("promotes-at-once", "I6", "a version is stable when its pods are there", Bug::PromotesAtOnce),
    mutant("error-is-failure", "I7", "a metrics server that does not answer fails the analysis", Bug::ErrorIsFailure),
    mutant("any-run-will-do", "I8", "the newest run counts, whichever version it judged", Bug::AnyRunWillDo),
    mutant("forgets-versions", "I10", "writes carry no resourceVersion", Bug::ForgetsVersions),
    mutant("aborts-for-nothing", "I11", "a rollout is given up for no reason", Bug::AbortsForNothing),
    mutant("counts-decisions", "I12", "a message has the number of the decision", Bug::CountsDecisions),
    mutant("defaults-in-template", "I13", "a default is written into the template", Bug::DefaultsInTemplate),
    mutant("compares-with-itself", "I13", "a control group is made of the new version", Bug::ComparesWithItself),
    mutant("takes-services", "I14", "whose a Service is is not read", Bug::TakesServices),
    mutant("panics", "I16", "an index is out of range when there is no abort to speak of", Bug::Panics),
    mutant("long-names", "I17", "names are put together and not cut", Bug::LongNames),
    mutant("endless-history", "I18", "outcomes are added and none is dropped", Bug::EndlessHistory),
    mutant("at-least-one-pod", "I19", "no replicas is taken for unset", Bug::AtLeastOnePod),
    mutant("never-done", "I20", "the last status is not written", Bug::NeverDone),
    mutant("forgets-the-one-between", "I21", "only stable and canary are scaled down", Bug::ForgetsTheOneBetween),
    mutant("forgets-the-group", "I21", "a control group is not looked at when nothing goes out", Bug::ForgetsTheGroup),
    mutant("leaves-the-deployment", "I21", "a Deployment keeps its pods", Bug::LeavesTheDeployment),
    mutant("two-at-a-time", "I22", "a plan takes away all that may go", Bug::TwoAtATime),
    mutant("evicts-by-the-status", "I22", "a pod that is on its way out counts as serving", Bug::EvictsByTheStatus),
    mutant("narrows-the-selector", "I23", "the scale selector names stable's version", Bug::NarrowsTheSelector),
    mutant("ahead-of-the-generation", "I24", "the next generation is called observed", Bug::AheadOfTheGeneration),
    mutant("accepted-at-once", "I24", "the wanted weight is called accepted", Bug::AcceptedAtOnce),
    mutant("lets-go-at-once", "I25", "the finalizer goes before the routes are given back", Bug::LetsGoAtOnce),
    mutant("takes-it-for-back", "I25", "a Deployment counts as back when it is asked for its pods", Bug::TakesItForBack),
    mutant("another-record", "I26", "a Revert is named anew each time", Bug::AnotherRecord),
    mutant("puts-back-at-once", "I27", "when a weight was put back is forgotten", Bug::PutsBackAtOnce),
    mutant("says-the-time", "I28", "the message has the time", Bug::SaysTheTime),
    mutant("never-lists-anew", "I29", "after a gap a watch goes on where it was", Bug::NeverListsAnew),
    mutant("says-nothing", "I30", "a pause has no message", Bug::SaysNothing),
];

impl Mutant {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|mutant| mutant.name == name).copied()
    }

    /// Whether writes carry no version.
    #[must_use]
    pub fn forgets_versions(self) -> bool {
        self.bug == Bug::ForgetsVersions
    }

    /// Whether watches never list anew.
    #[must_use]
    pub fn never_lists_anew(self) -> bool {
        self.bug == Bug::NeverListsAnew
    }

    /// The facts as the planner sees them with this bug.
    #[must_use]
    pub fn sees(self, observed: &Observed) -> Observed {
        let mut o = observed.clone();
        match self.bug {
            Bug::SettledAtOnce => {
                for route in &mut o.routes {
                    if let RouteState::Live(live) = &mut route.state {
                        live.pending = None;
                        live.changed_at = None;
                    }
                }
                for service in o.services.values_mut().flatten() {
                    service.switched_at = None;
                }
            }
            Bug::RaisesBeforeSettled => {
                for service in o.services.values_mut().flatten() {
                    service.switched_at = None;
                }
            }
            Bug::ForgetsTheGroup if o.rollout.status.canary.is_none() => o.baselines.clear(),
            Bug::PodsThereAtOnce => {
                for rs in &mut o.replica_sets {
                    rs.up_to_date = true;
                    rs.current = rs.desired;
                    rs.ready = rs.desired;
                    rs.available = rs.desired;
                }
            }
            Bug::UnclearIsSuccess => {
                for run in &mut o.runs {
                    if run.verdict.is_some_and(|v| v != Verdict::Fail) {
                        run.phase = RunPhase::Successful;
                        run.verdict = Some(Verdict::Pass);
                    }
                }
            }
            Bug::ErrorIsFailure => {
                for run in &mut o.runs {
                    if run.verdict == Some(Verdict::SourceError) {
                        run.phase = RunPhase::Failed;
                    }
                }
            }
            Bug::TakesServices => {
                for service in o.services.values_mut().flatten() {
                    service.managed_by = None;
                }
            }
            Bug::AtLeastOnePod => {
                if let Ok(spec) = &mut o.rollout.spec {
                    spec.replicas = spec.replicas.max(1);
                }
            }
            Bug::EvictsByTheStatus => {
                for pod in &mut o.pods {
                    pod.ready = true;
                    // It is counted, and not evicted again.
                    if std::mem::take(&mut pod.terminating) {
                        pod.created = Timestamp::MAX;
                    }
                }
            }
            Bug::TakesItForBack => {
                if let Some(workload) = o
                    .workload
                    .as_mut()
                    .filter(|_| o.rollout.deleted_at.is_some())
                {
                    workload.up_to_date = true;
                    workload.available = workload.desired;
                    workload.updated = workload.desired;
                }
            }
            Bug::AnotherRecord => o.reverts.clear(),
            Bug::PutsBackAtOnce => {
                if let Some(traffic) = &mut o.rollout.status.traffic {
                    traffic.reasserted_at = None;
                }
            }
            Bug::Panics => assert!(
                o.rollout.status.abort.is_none() || !o.reverts.is_empty(),
                "an index out of range"
            ),
            _ => {}
        }
        o
    }

    /// The plan as it is with this bug. `nonce` is another number for each decision.
    pub fn decides(self, o: &Observed, plan: &mut Plan, clock: Timestamp, nonce: u64) {
        let status = &o.rollout.status;
        let canary = status.canary.as_ref();
        match self.bug {
            Bug::SwitchesUnderTraffic => switch_canary(o, plan, clock),
            Bug::ComparesWithItself => {
                let new = canary.map(|canary| canary.hash.clone());
                for write in &mut plan.afterwards {
                    if let (Write::CreateBaseline(made), Some(new)) = (write, &new) {
                        made.hash.clone_from(new);
                    }
                }
            }
            Bug::WeightsTimesThree => raise(plan, |weight| weight * 3),
            Bug::OneStepAhead => raise(plan, |weight| (weight + 20).min(100)),
            Bug::KeepsUpTheGivenUp => {
                let given_up = status.abort.as_ref().map(|abort| &abort.hash);
                if let Some(rs) = o.replica_sets.iter().find(|rs| Some(&rs.hash) == given_up) {
                    plan.writes.push(Write::ScaleReplicaSet {
                        name: rs.name.clone(),
                        on: Precondition {
                            uid: rs.uid.clone(),
                            resource_version: rs.resource_version.clone(),
                        },
                        from: rs.desired,
                        to: rs.desired + 1,
                        revision: None,
                        role: None,
                    });
                }
            }
            Bug::LeavesTheWeight if status.abort.is_some() => {
                plan.writes
                    .retain(|write| !matches!(write, Write::SetWeight { .. }));
            }
            Bug::PromotesAtOnce => {
                if let (Some(new), Some(canary)) = (&mut plan.status, canary)
                    && let Some(stable) = &mut new.stable
                    && new.abort.is_none()
                    && canary.step > 0
                {
                    stable.hash.clone_from(&canary.hash);
                    new.canary = None;
                }
            }
            Bug::AnyRunWillDo => {
                if let Some(canary) = plan.status.as_mut().and_then(|s| s.canary.as_mut()) {
                    let newest = o
                        .runs
                        .iter()
                        .max_by_key(|run| (run.created, run.name.clone()));
                    canary.background_run = newest.map(|run| run.name.clone());
                }
            }
            Bug::AbortsForNothing => {
                if let (Some(canary), Some(new)) = (canary, &mut plan.status)
                    && new.canary.is_some()
                    && new.stable.is_some()
                    && new.abort.is_none()
                    && status.abort.is_none()
                {
                    new.abort = Some(AbortStatus {
                        at: clock,
                        reason: AbortReason::Manual,
                        message: "a conflict".to_owned(),
                        hash: canary.hash.clone(),
                        step: canary.step,
                        weight: 0,
                        analysis_run: None,
                        revert: None,
                    });
                }
            }
            Bug::CountsDecisions => {
                if let Some(new) = &mut plan.status {
                    new.message = format!("decision {nonce}");
                }
            }
            Bug::DefaultsInTemplate => {
                for write in &mut plan.writes {
                    if let Write::CreateReplicaSet(new) = write {
                        new.template["spec"]["restartPolicy"] = "Always".into();
                    }
                }
            }
            Bug::LongNames => {
                for write in &mut plan.writes {
                    if let Write::CreateAnalysisRun { name, .. } = write {
                        name.push_str(&"-and-so-on".repeat(6));
                    }
                }
            }
            Bug::EndlessHistory => {
                if let Some(new) = &mut plan.status
                    && let Some(last) = new.history.last().cloned()
                {
                    let more = status.history.len() + 1;
                    new.history.resize(more, last);
                }
            }
            Bug::NeverDone
                if plan.status.as_ref().and_then(|s| s.phase) == Some(Phase::Healthy) =>
            {
                plan.status = None;
            }
            Bug::ForgetsTheOneBetween => plan.writes.retain(|write| match write {
                Write::ScaleReplicaSet { from, to, name, .. } => {
                    let hash = |h: &str| name.ends_with(h);
                    let known = status.stable.as_ref().is_some_and(|s| hash(&s.hash))
                        || canary.is_some_and(|c| hash(&c.hash));
                    to >= from || known
                }
                _ => true,
            }),
            Bug::TwoAtATime => {
                let loss = plan
                    .writes
                    .iter()
                    .find(|write| write.is_destructive())
                    .cloned();
                plan.writes.extend(loss);
            }
            Bug::AllPodsAtOnce => {
                for write in &mut plan.writes {
                    if let Write::ScaleWorkload { from, to, .. } = write
                        && to < from
                    {
                        *to = 0;
                    }
                }
            }
            Bug::LeavesTheDeployment => plan
                .writes
                .retain(|write| !matches!(write, Write::ScaleWorkload { .. })),
            Bug::NarrowsTheSelector => {
                if let Some(new) = &mut plan.status
                    && let Some(stable) = &new.stable
                {
                    new.selector = format!("{},v={}", new.selector, stable.hash);
                }
            }
            Bug::AheadOfTheGeneration => {
                if let Some(new) = &mut plan.status {
                    new.observed_generation = Some(o.rollout.generation + 1);
                }
            }
            Bug::AcceptedAtOnce => {
                if let Some(traffic) = plan.status.as_mut().and_then(|s| s.traffic.as_mut())
                    && traffic.accepted != traffic.desired
                {
                    traffic.accepted = traffic.desired;
                    traffic.confirmed_at = Some(clock);
                }
            }
            Bug::LetsGoAtOnce if o.rollout.deleted_at.is_some() => {
                let on = Precondition {
                    uid: o.rollout.uid.clone(),
                    resource_version: o.rollout.resource_version.clone(),
                };
                plan.writes = vec![Write::SetFinalizer { on, present: false }];
                plan.status = None;
            }
            Bug::AnotherRecord => {
                for write in &mut plan.writes {
                    if let Write::CreateRevert { name, .. } = write {
                        *name = format!("{name}-{}", o.rollout.resource_version);
                    }
                }
            }
            Bug::SaysTheTime => {
                let mut new = plan.status.take().unwrap_or_else(|| status.clone());
                new.message = format!("it is {clock}");
                plan.status = Some(new);
            }
            Bug::SaysNothing => {
                if let Some(new) = &mut plan.status
                    && new.phase == Some(Phase::Paused)
                {
                    new.message.clear();
                }
            }
            _ => {}
        }
    }
}

/// Every weight that is written becomes another one.
fn raise(plan: &mut Plan, to_what: impl Fn(i32) -> i32) {
    for write in &mut plan.writes {
        if let Write::SetWeight { to, from, .. } = write
            && to > from
        {
            *to = to_what(*to);
        }
    }
}

/// The canary Service is pointed at the canary as soon as it has a pod.
fn switch_canary(o: &Observed, plan: &mut Plan, clock: Timestamp) {
    let (Ok(spec), Some(canary)) = (&o.rollout.spec, &o.rollout.status.canary) else {
        return;
    };
    let crate::core::spec::Means::Routes { canary_service, .. } = &spec.means else {
        return;
    };
    if plan.writes.iter().any(Write::is_destructive) {
        return;
    }
    let ready = o
        .replica_sets
        .iter()
        .any(|rs| rs.hash == canary.hash && rs.available > 0);
    let service = o.services.get(canary_service).and_then(Option::as_ref);
    let Some(service) = service.filter(|s| ready && s.hash.as_ref() != Some(&canary.hash)) else {
        return;
    };
    plan.writes.push(Write::SwitchService {
        name: service.name.clone(),
        on: Precondition {
            uid: service.uid.clone(),
            resource_version: service.resource_version.clone(),
        },
        from: service.hash.clone(),
        to: Some(canary.hash.clone()),
        at: clock,
    });
}
