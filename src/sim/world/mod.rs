//! A cluster that is simulated whole, from one seed: objects, the controllers of Kubernetes that
//! matter here, a data plane that lags behind, people, a GitOps writer, metrics and Git, and one or
//! two instances of Tidegate's controller, whose decisions are made by the shipped planner.
//!
//! Time is the queue's: the next event happens, whatever it changes is seen by those who watch, and
//! nothing in here waits for a real clock. Two runs of the same history do the same to the byte.

mod admission;
mod analyses;
mod autoscaler;
mod calls;
mod controller;
mod data_plane;
pub mod deployment;
mod failures;
mod git;
mod journal;
pub mod manifests;
mod measured;
pub mod objects;
mod others;
pub mod store;
mod view;
mod watches;
mod weather;
mod workload;

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::core::observed::{RouteId, Settings};
use crate::core::spec::Spec;

use super::invariants::{Break, Watcher};
use super::mutants::Mutant;
use super::random::Random;
use super::trace::Trace;
use admission::{Admitted, Refused};
pub use autoscaler::Autoscaler;
pub use calls::{CallFault, Ending, Verb};
use controller::Controller;
pub use data_plane::{Config, LAG, Traffic};
pub use git::{Charts, Git, Loop, PushEnding};
pub use journal::Journal;
use manifests::Manifests;
use measured::Measured;
pub use measured::Target;
use objects::{Body, Key, Kind, RolloutBody, RouteBody, ServiceBody};
use store::Store;
pub use view::{NAMESPACE, OURSELVES};
pub use weather::Weather;
pub use workload::{Behaviour, Judgement, Pod, Readiness};

/// When every world begins.
const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// What happens next.
#[derive(Clone, Debug)]
pub enum Event {
    /// A controller's watch of a kind brings what it has not told yet.
    Watch(usize, Kind),
    /// A controller looks at a Rollout.
    Look(usize, String),
    /// What a controller does for a Rollout goes on: the next read or write.
    Proceed(usize, String, u64),
    /// A controller that died is there again; its API server answers from so many writes ago.
    Restart(usize, usize),
    /// The watches of a controller list anew.
    Relist(usize),
    /// The ReplicaSet controller looks at one.
    Pods(String),
    /// A pod of a ReplicaSet has come up, or is gone.
    Pod(String, u64),
    /// A Rollout's manifest reaches its Deployment.
    Manifest(String),
    /// The controller of Deployments looks at one.
    Deployment(String),
    /// A gateway accepts what a route says.
    Accept(Key),
    /// An analysis asks its questions.
    Analysis(String),
    /// The Git writer works on a Revert.
    Writer(String),
    /// The GitOps loop compares the repository with the cluster.
    Sync,
    /// An autoscaler looks at the pods of a Rollout.
    Autoscale(String),
    /// A fault is over.
    Over(Fault),
    /// Something of the history happens.
    History(usize),
}

/// What is wrong for a while.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// So many of a thousand calls to the API server are refused, or their answers get lost.
    Calls(u64),
    /// Of certain calls, so many end in a certain way.
    CertainCalls(CallFault),
    /// Calls take so long.
    SlowCalls(SignedDuration),
    /// The watches of this kind tell nothing.
    Watches(Kind),
    /// Gateways accept nothing.
    Gateway,
    /// The metrics source does not answer.
    Metrics,
    /// The metrics source takes so much longer to answer.
    SlowMetrics(SignedDuration),
    /// The Git server does not answer.
    Git,
    /// Pushes to the Git server end so.
    Pushes(PushEnding),
    /// No pod can be created.
    Quota,
    /// The API server will have no new ReplicaSet, and says so in these words.
    Refuses(String),
    /// No pod may be evicted.
    Budget,
    /// A second instance believes that it leads.
    TwoLeaders,
    /// A Service cannot be used.
    Service(String),
    /// A route cannot be used.
    Route(String),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects written by Tidegate's controllers.
    pub writes: u64,
    /// Decisions made.
    pub decisions: u64,
    /// Calls to the API server: reads, writes and statuses, whatever came of them.
    pub calls: u64,
    /// Events of the queue.
    pub events: u64,
    /// Moments before and after calls, in which a controller might have died.
    pub crash_points: u64,
}

/// The simulated cluster.
pub struct World {
    /// The API server's time.
    pub now: Timestamp,
    /// What is left to chance.
    pub random: Random,
    /// The objects.
    pub store: Store,
    /// Tidegate's controllers.
    pub controllers: Vec<Controller>,
    /// Pods by their ReplicaSet.
    pub pods: BTreeMap<String, Vec<Pod>>,
    /// How versions behave, by image.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// What traffic may go by, by Rollout.
    pub traffic: BTreeMap<String, Traffic>,
    /// What is wrong now.
    pub weather: Weather,
    /// The longest time that the data plane goes by what was said before.
    pub lag: SignedDuration,
    /// Autoscalers, by Rollout.
    pub autoscalers: BTreeMap<String, Autoscaler>,
    /// The repository.
    pub git: Git,
    /// What was counted.
    pub counts: Counts,
    /// What happened.
    pub trace: Trace,
    /// What Tidegate wrote and told, where somebody asks for it.
    pub journal: Option<Journal>,
    /// Who holds it to its invariants.
    pub watcher: Watcher,
    /// The first invariant that broke.
    pub broken: Option<Break>,
    /// A bug that is there on purpose.
    pub mutant: Option<Mutant>,
    /// What an administrator set.
    pub settings: Settings,
    /// Routes, Ingresses and Services as JSON, where somebody asks for it.
    pub manifests: Manifests,
    /// The last edit of a Rollout, where it was refused.
    pub refused: BTreeMap<String, Refused>,
    /// The last edits that were not.
    admitted: Admitted,
    /// Evidence of analyses, by run: looks with an answer.
    evidence: BTreeMap<String, u32>,
    /// What analyses know that are made from samples, by run.
    measured: BTreeMap<String, Measured>,
    /// After how many such moments the first controller dies, each time that it has begun anew.
    crashes: VecDeque<u64>,
    queue: BTreeMap<(Timestamp, u64), Event>,
    events: u64,
    seen: usize,
    /// Since when everything is expected to be at rest.
    resting_since: Option<Timestamp>,
}

/// At rest, whoever looks now and then does so at least this often.
const LOOK_AT_REST: SignedDuration = SignedDuration::from_hours(1);

impl World {
    /// An empty cluster with so many instances of the controller, of which the first leads.
    #[must_use]
    pub fn new(seed: u64, instances: usize, traced: bool) -> Self {
        let mut world = Self {
            now: BEGINNING,
            random: Random::new(seed),
            store: Store::default(),
            controllers: Vec::new(),
            pods: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            traffic: BTreeMap::new(),
            weather: Weather::default(),
            lag: LAG,
            autoscalers: BTreeMap::new(),
            git: Git::default(),
            counts: Counts::default(),
            trace: Trace::new(traced),
            journal: None,
            watcher: Watcher::default(),
            broken: None,
            mutant: None,
            settings: Settings::default(),
            manifests: Manifests::default(),
            refused: BTreeMap::new(),
            admitted: Admitted::default(),
            measured: BTreeMap::new(),
            evidence: BTreeMap::new(),
            crashes: VecDeque::new(),
            queue: BTreeMap::new(),
            events: 0,
            seen: 0,
            resting_since: None,
        };
        for at in 0..instances {
            world.controllers.push(Controller::new(at == 0));
        }
        world.after(git::SYNC_EVERY, Event::Sync);
        world
    }

    /// Adds a Rollout, its Services and its routes.
    pub fn add_rollout(&mut self, name: &str, raw: serde_json::Value) {
        let body = RolloutBody::new(raw);
        if let Ok(spec) = body.parsed.as_ref() {
            self.add_services(spec);
            self.add_routes(name, spec);
        }
        self.add_deployment(&body.raw);
        self.git.commit(name, &body.raw);
        let body = Body::Rollout(Box::new(body));
        let _ = self.store.create(Kind::Rollout, name, None, body, self.now);
        self.changed();
    }

    fn add_services(&mut self, spec: &Spec) {
        for (_, service) in spec.services() {
            self.add_service(service);
        }
    }

    fn add_routes(&mut self, name: &str, spec: &Spec) {
        let routes = spec.routes(name).into_iter();
        for id in routes.filter(|id| matches!(id, RouteId::HttpRoute(_))) {
            self.add_route(id);
        }
    }

    /// Adds a Service that selects all of a workload's pods, if there is none of this name.
    pub fn add_service(&mut self, name: &str) {
        let body = Body::Service(ServiceBody::default());
        let _ = self.store.create(Kind::Service, name, None, body, self.now);
    }

    /// Adds a route of a user's that sends nothing to the canary Service, if there is none of this name.
    pub fn add_route(&mut self, id: RouteId) {
        let key = id.to_string();
        let body = Body::Route(RouteBody {
            id,
            weight: 0,
            side_routes: Vec::new(),
            accepted: 1,
            changed_at: None,
            writer: "user".to_owned(),
            problem: None,
        });
        let _ = self.store.create(Kind::Route, &key, None, body, self.now);
    }

    /// The parsed spec of a Rollout, if it can be carried out.
    #[must_use]
    pub fn spec(&self, rollout: &str) -> Option<&Spec> {
        let stored = self.store.get(Kind::Rollout, rollout)?;
        stored.rollout()?.parsed.as_ref().as_ref().ok()
    }

    /// A fault begins, and ends after `lasts`.
    pub fn fault(&mut self, fault: Fault, lasts: SignedDuration) {
        self.trace
            .say(self.now, || format!("fault: {fault:?} for {lasts:#}"));
        self.mark(&fault, true);
        self.weather.begin(fault.clone());
        self.after(lasts, Event::Over(fault));
    }

    fn end_fault(&mut self, fault: &Fault) {
        self.weather.end(fault);
        self.mark(fault, false);
        if let Fault::Watches(kind) = fault {
            for controller in 0..self.controllers.len() {
                self.deliver(controller, *kind);
            }
        }
    }

    /// Faults that stand on objects themselves.
    fn mark(&mut self, fault: &Fault, begins: bool) {
        match fault {
            Fault::Service(name) => {
                let problem = begins.then(|| "has no selector".to_owned());
                let _ = self
                    .store
                    .update(Kind::Service, name, None, true, |stored| {
                        if let Some(service) = stored.service_mut() {
                            service.problem = problem;
                        }
                    });
            }
            Fault::Route(key) => {
                let problem = crate::core::spec::Problem::new(
                    "spec.strategy.canary.trafficRouting",
                    "no rule has both Services",
                    "a rule with both",
                );
                let _ = self.store.update(Kind::Route, key, None, false, |stored| {
                    if let Some(route) = stored.route_mut() {
                        route.problem = begins.then_some(problem);
                    }
                });
            }
            _ => {}
        }
    }

    /// From now on nothing is expected to be written. Whoever looks every so often, whether or not there
    /// is anything to see, does so more and more seldom: a look at what has not changed since the last
    /// one says the same again.
    pub fn rest(&mut self) {
        self.resting_since = Some(self.now);
    }

    /// How long it is until the next of those looks that come every `usual`.
    fn until_next(&self, usual: SignedDuration) -> SignedDuration {
        let rested = self
            .resting_since
            .map(|since| self.now.duration_since(since));
        rested.map_or(usual, |rested| rested.clamp(usual, LOOK_AT_REST.max(usual)))
    }

    /// `event` happens after `wait`.
    pub fn after(&mut self, wait: SignedDuration, event: Event) {
        let at = self.now.checked_add(wait).unwrap_or(Timestamp::MAX);
        self.at(at, event);
    }

    /// `event` happens at `at`, or now if that has passed.
    pub fn at(&mut self, at: Timestamp, event: Event) {
        self.events += 1;
        self.queue.insert((at.max(self.now), self.events), event);
    }

    /// A wait between two numbers of milliseconds.
    pub fn some_time(&mut self, low: i64, high: i64) -> SignedDuration {
        SignedDuration::from_millis(self.random.between(low, high))
    }

    /// The next event happens, unless it is later than `until`. False: there was none.
    pub fn step(&mut self, until: Timestamp) -> Option<Event> {
        let (&(at, order), _) = self.queue.first_key_value()?;
        if at > until {
            self.now = until;
            return None;
        }
        let event = self.queue.remove(&(at, order))?;
        self.now = at;
        self.counts.events += 1;
        self.happen(&event);
        self.changed();
        Some(event)
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Watch(controller, kind) => self.deliver(*controller, *kind),
            Event::Look(controller, rollout) => self.look(*controller, rollout),
            Event::Proceed(controller, rollout, work) => self.proceed(*controller, rollout, *work),
            Event::Restart(controller, back) => self.start(*controller, *back),
            Event::Relist(controller) => self.relist(*controller),
            Event::Pods(replica_set) => self.sync_pods(replica_set),
            Event::Pod(replica_set, pod) => self.pod_comes_up(replica_set, *pod),
            Event::Manifest(rollout) => self.apply_manifest(rollout),
            Event::Deployment(name) => self.sync_deployment(name),
            Event::Accept(route) => self.accept(route),
            Event::Analysis(run) => self.analyse(run),
            Event::Writer(revert) => self.write_git(revert),
            Event::Sync => self.sync_git(),
            Event::Autoscale(rollout) => self.autoscale(rollout),
            Event::Over(fault) => self.end_fault(fault),
            // The history's own; it acts on the world from outside.
            Event::History(_) => {}
        }
    }

    /// Whatever was written since the last time is seen by those who watch.
    pub fn changed(&mut self) {
        while let Some(change) = self.store.log().get(self.seen).cloned() {
            self.seen += 1;
            let (kind, name) = &change.key;
            for controller in 0..self.controllers.len() {
                let wait = self.some_time(1, 40);
                self.after(wait, Event::Watch(controller, *kind));
            }
            match (kind, &change.now) {
                (Kind::ReplicaSet, Some(stored)) => {
                    if let Some(journal) = &mut self.journal {
                        journal.note_version(stored);
                    }
                    let speaks = stored
                        .replica_set()
                        .is_some_and(|rs| rs.observed_generation >= stored.meta.generation);
                    if !speaks {
                        let wait = self.some_time(20, 300);
                        self.after(wait, Event::Pods(name.clone()));
                    }
                    self.tell_deployment(name);
                }
                (Kind::Rollout, Some(stored))
                    if stored
                        .rollout()
                        .is_some_and(|rollout| rollout.raw.get("workloadRef").is_some()) =>
                {
                    let wait = self.some_time(1, 200);
                    self.after(wait, Event::Manifest(name.clone()));
                }
                (Kind::Deployment, Some(stored)) => {
                    let speaks = stored
                        .deployment()
                        .is_some_and(|body| body.observed_generation >= stored.meta.generation);
                    if !speaks {
                        let wait = self.some_time(20, 300);
                        self.after(wait, Event::Deployment(name.clone()));
                    }
                }
                (Kind::ReplicaSet, None) => {
                    self.pods.remove(name);
                }
                (Kind::Route, Some(stored)) => {
                    let accepted = stored
                        .route()
                        .is_some_and(|route| route.accepted >= stored.meta.generation);
                    if !accepted {
                        let wait = self.some_time(50, 2_000);
                        self.after(wait, Event::Accept(change.key.clone()));
                    }
                }
                (Kind::Run, Some(stored)) if stored.run().is_some_and(analyses::is_new) => {
                    let wait = self.some_time(100, 1_000);
                    self.after(wait, Event::Analysis(name.clone()));
                }
                (Kind::Revert, Some(stored)) if stored.revert().is_some_and(git::is_new) => {
                    let wait = self.some_time(100, 1_000);
                    self.after(wait, Event::Writer(name.clone()));
                }
                _ => {}
            }
            self.note_traffic();
        }
        super::invariants::at_rest(self);
    }

    /// An invariant broke. Only the first counts.
    pub fn break_off(&mut self, broken: Break) {
        self.trace.say(self.now, || format!("BROKEN {broken}"));
        self.broken.get_or_insert(broken);
    }
}
