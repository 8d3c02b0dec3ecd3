//! What never happens, whatever happens.
//!
//! Each row below is a promise to those who run Tidegate in production, and a function that finds out
//! whether it was kept. The simulator asks them after every plan, every write, every status and every
//! event of every rollout, under crashes, lost watch events, stale caches, refused and lost calls, pods
//! that die, other writers, and whatever else its histories have. A row that fails ends the history
//! and is reported with the seed that shows it.
//!
//! The numbers are those of the project's list of invariants; what has no row here needs more than a
//! planner and is shown elsewhere: an abort's time on a real node under load (I5), the lease (I15),
//! what a Git writer pushes (I26). That it does not matter where a process dies (I9) shows in that
//! controllers die here between any two calls and all of this holds, and in [`super::sweep`]: wherever
//! they die, the same end comes of it.

mod baseline;
mod commands;
mod evidence;
mod foreign;
mod names;
mod order;
mod record;
mod rest;
mod serving;
mod workload;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::world::World;
use super::world::objects::{Kind, RolloutBody, Stored};
use crate::api::rollout_status::{Phase, RolloutStatus};
use crate::core::observed::Observed;
use crate::core::plan::{Plan, Write};
use crate::core::spec::{Spec, Step};

pub use foreign::has;
pub use rest::Watcher;

/// A promise, and who finds out whether it was kept.
pub struct Invariant {
    /// Its number.
    pub id: &'static str,
    /// What never happens, in one sentence.
    pub promise: &'static str,
    /// When it is asked.
    pub check: Check,
}

/// When an invariant is asked, and how.
pub enum Check {
    /// Of every plan.
    Plan(fn(&World, &Decided<'_>) -> Result<(), String>),
    /// Of every write, when the API server has just taken it.
    Write(fn(&World, &Written<'_>) -> Result<(), String>),
    /// Of every status, when the API server has just taken it.
    Status(fn(&World, &Said<'_>) -> Result<(), String>),
    /// After every event.
    Event(fn(&World) -> Result<(), String>),
    /// When the faults are over and everything had time to end.
    End(fn(&World) -> Result<(), String>),
}

use Check::{End, Event, Plan as OfPlan, Status, Write as OfWrite};

const fn row(id: &'static str, promise: &'static str, check: Check) -> Invariant {
    Invariant { id, promise, check }
}

/// All of them.
#[rustfmt::skip] // one row, one line
pub const ALL: &[Invariant] = &[
    row("I1", "No pod goes that traffic may still need, whatever the data plane still goes by.", OfWrite(serving::pods_stay_that_traffic_needs)),
    row("I1", "No traffic is sent to a version that has too few pods for it.", OfWrite(serving::traffic_goes_to_pods)),
    row("I1", "No pod of a Deployment goes before another serves in its place.", OfWrite(workload::pods_give_way_to_pods)),
    row("I2", "No Service is pointed elsewhere while traffic may still flow through it to whom it named.", OfWrite(order::services_are_switched_without_traffic)),
    row("I2", "No weight rises before the canary Service is known to select this canary everywhere.", OfWrite(order::weights_rise_after_selectors)),
    row("I3", "Weights are from 0 to 100.", OfWrite(order::weights_are_percentages)),
    row("I3", "Of what others wrote into routes, Ingresses and Services nothing is lost.", OfWrite(foreign::nothing_of_others_is_lost)),
    row("I3", "A route and a Service say what was to be written into them.", OfWrite(foreign::whole_objects_say_the_same)),
    row("I4", "No version gets more traffic, or by pod counts more pods, than the steps on record allow.", OfWrite(order::exposure_is_authorised)),
    row("I5", "A version that was given up gets no more traffic and no more pods.", OfWrite(order::given_up_is_given_up)),
    row("I5", "At the end, nothing flows to a version that was given up.", End(rest::given_up_versions_have_no_traffic)),
    row("I6", "No step that asks for an analysis is passed without its success or a person's word.", Status(evidence::steps_pass_by_success)),
    row("I6", "No version becomes stable that did not go the whole way, or that nobody promoted.", Status(evidence::stable_went_the_whole_way)),
    row("I7", "No version is said to have failed its analysis because a server did not answer.", Status(evidence::failures_are_failures)),
    row("I8", "Every analysis that counts is of this version and this attempt.", Status(evidence::analyses_are_of_this_version)),
    row("I10", "Nothing is written on facts that were no longer so.", OfWrite(record::facts_were_so)),
    row("I11", "Every abort has its cause: a failed analysis, a person, a time that is over.", Status(evidence::aborts_have_causes)),
    row("I12", "The same facts give the same plan.", OfPlan(record::decisions_repeat)),
    row("I13", "No version is made but from the template that somebody wrote, and none twice.", OfWrite(names::versions_are_templates)),
    row("I13", "A control group is made of the stable version, and only while another one goes out.", OfWrite(baseline::is_more_of_stable)),
    row("I14", "Nothing is changed that belongs to somebody else.", OfWrite(names::own_objects_only)),
    row("I16", "No Rollout, however odd, makes the planner panic.", OfPlan(|_, _| Ok(()))),
    row("I17", "Names are valid and at most 63 characters long.", OfWrite(names::names_are_valid)),
    row("I18", "A status is at most 64 KiB, its message 1 KiB, its history ten outcomes.", Status(record::statuses_are_small)),
    row("I19", "A Rollout of no replicas has no pods at the end.", End(rest::none_means_none)),
    row("I20", "At the end every Rollout is in a state that has a name, and the same state stays.", End(rest::every_rollout_ends)),
    row("I21", "At the end only stable's pods are there, and those of a version that is on its way.", End(rest::no_version_is_left_over)),
    row("I21", "At the end no pods of a Deployment are left whose place was taken.", End(workload::none_are_left_over)),
    row("I21", "At the end no control group is left without a version to compare with.", End(baseline::none_is_left_over)),
    row("I22", "A plan takes away at most one thing.", OfPlan(record::one_loss_at_a_time)),
    row("I22", "A pod is evicted only while all others serve.", OfWrite(record::evictions_wait_for_the_last)),
    row("I23", "The selector of the scale subresource never changes its meaning.", Status(record::scale_selector_stays)),
    row("I24", "A status never speaks of a generation that is not there, nor of an older one than before.", Status(record::generations_only_grow)),
    row("I24", "A weight is called accepted only when nothing else may still be in use.", Status(record::accepted_is_accepted)),
    row("I25", "A Rollout is let go only when its routes are given back, or after five minutes of trying.", OfWrite(rest::routes_are_given_back)),
    row("I25", "A Rollout is let go only when its Deployment has its pods back, or after five minutes of trying.", OfWrite(workload::pods_come_back)),
    row("I26", "A version is on record as rejected once for each attempt, and taken out of Git once.", Event(rest::one_record_and_one_commit)),
    row("I27", "A weight that somebody else changed is put back at most every ten seconds.", OfWrite(commands::no_fights)),
    row("I28", "At most a hundred writes a minute are made for a Rollout, but for labels of its pods.", OfWrite(commands::writes_are_bounded)),
    row("I28", "At most a hundred statuses a minute are written for a Rollout.", Status(commands::statuses_are_bounded)),
    row("I29", "At the end every cache has what the API server has.", End(rest::caches_have_everything)),
    row("I30", "Whatever stands still says so: phase, condition and a sentence.", Status(record::halts_are_said)),
];

/// An invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// Its number.
    pub invariant: &'static str,
    /// What happened.
    pub message: String,
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.message)
    }
}

/// A plan, and what it was made from.
pub struct Decided<'a> {
    /// The facts.
    pub observed: &'a Observed,
    /// The time that the decision was made for.
    pub clock: Timestamp,
    /// What came of it.
    pub plan: &'a Plan,
}

/// A write that the API server has taken, when the data plane does not know of it yet.
pub struct Written<'a> {
    /// The facts that it was decided on.
    pub observed: &'a Observed,
    /// Since when these facts were read: what others did after that nobody could know.
    pub read_since: Timestamp,
    /// The write.
    pub write: &'a Write,
    /// What was there before.
    pub replaced: Option<&'a Stored>,
}

impl Written<'_> {
    /// The Rollout's name.
    pub fn rollout(&self) -> &str {
        &self.observed.rollout.name
    }

    /// The spec that it was decided on.
    pub fn spec(&self) -> Option<&Spec> {
        self.observed.rollout.spec.as_ref().ok()
    }
}

/// A status that the API server has taken.
pub struct Said<'a> {
    /// The facts that it was decided on.
    pub observed: &'a Observed,
    /// The Rollout as it was before.
    pub before: &'a RolloutBody,
    /// Its generation.
    pub generation: i64,
    /// What it says now.
    pub status: &'a RolloutStatus,
}

/// A plan was made.
pub(super) fn decided(world: &mut World, observed: &Observed, clock: Timestamp, plan: &Plan) {
    let decided = Decided {
        observed,
        clock,
        plan,
    };
    ask(world, |world, check| match check {
        OfPlan(of) => of(world, &decided),
        _ => Ok(()),
    });
}

/// The planner panicked.
pub(super) fn panicked(world: &mut World, rollout: &str) {
    world.break_off(Break {
        invariant: "I16",
        message: format!("the planner panicked for {rollout}"),
    });
}

/// The API server took a write.
pub(super) fn wrote(
    world: &mut World,
    observed: &Observed,
    read_since: Timestamp,
    write: &Write,
    replaced: Option<&Stored>,
) {
    let written = Written {
        observed,
        read_since,
        write,
        replaced,
    };
    ask(world, |world, check| match check {
        OfWrite(of) => of(world, &written),
        _ => Ok(()),
    });
    let now = world.now;
    world.watcher.note_write(now, &written);
}

/// The API server took a status.
pub(super) fn said(
    world: &mut World,
    observed: &Observed,
    read_since: Timestamp,
    before: &Arc<Stored>,
    status: &RolloutStatus,
) {
    let Some(body) = before.rollout() else { return };
    let said = Said {
        observed,
        before: body,
        generation: before.meta.generation,
        status,
    };
    ask(world, |world, check| match check {
        Status(of) => of(world, &said),
        _ => Ok(()),
    });
    let now = world.now;
    world.watcher.note(&observed.rollout.name, now);
    let stands = matches!(status.phase, Some(Phase::Paused | Phase::Invalid))
        || status.message.contains("gathers evidence");
    let name = &observed.rollout.name;
    world.watcher.note_status(name, read_since, stands);
    world.watcher.note_put_back(name, read_since);
}

/// An event has happened.
pub(super) fn at_rest(world: &mut World) {
    ask(world, |world, check| match check {
        Event(of) => of(world),
        _ => Ok(()),
    });
}

/// The faults are over, and everything had time to end.
pub fn at_end(world: &mut World) {
    ask(world, |world, check| match check {
        End(of) => of(world),
        _ => Ok(()),
    });
}

fn ask(world: &mut World, of: impl Fn(&World, &Check) -> Result<(), String>) {
    let broken = ALL.iter().find_map(|invariant| {
        let message = of(world, &invariant.check).err()?;
        Some(Break {
            invariant: invariant.id,
            message,
        })
    });
    if let Some(broken) = broken {
        world.break_off(broken);
    }
}

/// How long an abort waits for a stable version that is short of pods.
const ABORT_CAPACITY_WAIT: SignedDuration = SignedDuration::from_secs(60);

/// How often a weight that somebody else changed is put back.
const REASSERT_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Pods that so much of the traffic needs, of so many replicas: rounded up. Not the planner's own
/// function: a mistake in that must be seen here.
fn pods_needed(percent: i32, replicas: i32) -> i32 {
    let exact = f64::from(percent) * f64::from(replicas) / 100.0;
    exact.ceil() as i32
}

/// Percent of the traffic that the steps allow at one of them; past the last: all of it.
fn authorised(steps: &[Step], at: usize) -> i32 {
    let mut weight = 0;
    for (i, step) in steps.iter().enumerate() {
        if i > at {
            return weight;
        }
        if let Step::SetWeight(set) = step {
            weight = *set;
        }
    }
    if at < steps.len() { weight } else { 100 }
}

/// Pods that died less than this ago are nobody's fault who did not know of it yet.
const EXCUSED: SignedDuration = SignedDuration::from_secs(3);

/// The Rollouts that are there.
fn rollouts(world: &World) -> impl Iterator<Item = (&Stored, &RolloutBody)> {
    let all = world.store.list(Kind::Rollout);
    all.filter_map(|stored| Some((&**stored, stored.rollout()?)))
}

/// `Ok` if it holds, else the words.
fn holds(so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise()) }
}
