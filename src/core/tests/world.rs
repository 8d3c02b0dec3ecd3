//! A small cluster for the planner's tests: it carries plans out, brings pods up, accepts routes
//! after a while, and holds the planner to its invariants at every write.

mod writes;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::analysis::{AnalysisRunSpec, AnalysisTemplateSpec};
use crate::api::analysis_status::{RunPhase, Verdict};
use crate::api::rollout::RolloutSpec;
use crate::api::rollout_status::{Phase, RolloutStatus};
use crate::core::decide::decide;
use crate::core::observed::*;
use crate::core::plan::Plan;
use crate::core::roles;
use crate::core::spec::{self, Problem};

use super::invariants::{Config, LAG_S};

/// A ReplicaSet and its pods.
#[derive(Clone, Debug)]
pub struct Rs {
    pub hash: String,
    pub revision: i64,
    pub desired: i32,
    /// Who asked for so many, if it was somebody else.
    pub scaled_by: Option<String>,
    pub available: i32,
    pub created: Timestamp,
    pub template: Value,
    /// Pods become available at the next tick; false: never.
    pub healthy: bool,
    /// What it says that its pods were given for their role.
    pub pods_given: Option<String>,
    rv: u64,
}

impl Rs {
    fn observed(&self, uid: &str) -> ReplicaSetObserved {
        ReplicaSetObserved {
            name: format!("web-{uid}"),
            uid: uid.to_owned(),
            resource_version: self.rv.to_string(),
            hash: self.hash.clone(),
            revision: self.revision,
            desired: self.desired,
            scaled_by: self.scaled_by.clone(),
            current: self.desired,
            ready: self.available,
            available: self.available,
            up_to_date: true,
            generation: 1,
            template_seen: true,
            pods_given: self.pods_given.clone(),
            created: self.created,
            failure: None,
            template: self.template.clone().into(),
        }
    }
}

pub struct World {
    pub now: Timestamp,
    pub spec: Value,
    pub generation: i64,
    pub status: RolloutStatus,
    pub finalizer: bool,
    pub deleted_at: Option<Timestamp>,
    pub gone: bool,
    pub annotations: BTreeMap<String, String>,
    pub rs: BTreeMap<String, Rs>,
    /// Control groups, by uid.
    pub baselines: BTreeMap<String, Rs>,
    pub services: BTreeMap<String, ServiceObserved>,
    pub weight: i32,
    pub side_routes: Vec<spec::SideRoute>,
    pub route_exists: bool,
    pub route_accepted_at: Timestamp,
    route_changed_at: Option<Timestamp>,
    pub route_problem: Option<Problem>,
    pub runs: BTreeMap<String, RunObserved>,
    pub run_specs: BTreeMap<String, AnalysisRunSpec>,
    pub reverts: BTreeMap<String, RevertObserved>,
    pub templates: BTreeMap<TemplateKey, Option<AnalysisTemplateSpec>>,
    /// The Deployment that the template is from.
    pub workload: Option<WorkloadObserved>,
    /// Other Deployments with pods of the same labels.
    pub labels_shared_with: Vec<String>,
    /// A ReplicaSet that the API server would not have.
    pub refused: Option<Refusal>,
    pub pods: Vec<PodObserved>,
    /// Whether pods are born and die with the sizes of their ReplicaSets.
    pub has_pods: bool,
    /// Whether the API server refuses changes of pods.
    pub pods_are_fixed: bool,
    born: usize,
    /// Images whose pods never become available.
    pub broken: BTreeSet<String>,
    /// Images of which no more pods become available than this.
    pub few: BTreeMap<String, i32>,
    pub log: Vec<String>,
    pub status_writes: usize,
    pub events: Vec<&'static str>,
    pub(super) configs: Vec<(Timestamp, Config)>,
    parsed: std::cell::RefCell<Option<(i64, spec::Spec)>>,
    rv: u64,
    /// Since when nobody but the planner has changed anything: invariants about capacity hold then.
    pub users_own_pods_died: bool,
}

impl World {
    pub fn new(strategy: Value) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let spec = json!({
            "replicas": 4,
            "selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}},
                         "spec": {"containers": [{"name": "app", "image": "r/a:v1"}]}},
            "strategy": strategy,
        });
        let mut world = Self {
            now,
            spec,
            generation: 1,
            status: RolloutStatus::default(),
            finalizer: false,
            deleted_at: None,
            gone: false,
            annotations: BTreeMap::new(),
            rs: BTreeMap::new(),
            baselines: BTreeMap::new(),
            services: BTreeMap::new(),
            weight: 0,
            side_routes: Vec::new(),
            route_exists: true,
            route_accepted_at: now,
            route_changed_at: None,
            route_problem: None,
            runs: BTreeMap::new(),
            run_specs: BTreeMap::new(),
            reverts: BTreeMap::new(),
            templates: BTreeMap::new(),
            workload: None,
            labels_shared_with: Vec::new(),
            refused: None,
            pods: Vec::new(),
            has_pods: false,
            pods_are_fixed: false,
            born: 0,
            broken: BTreeSet::new(),
            few: BTreeMap::new(),
            log: Vec::new(),
            status_writes: 0,
            events: Vec::new(),
            configs: Vec::new(),
            parsed: Default::default(),
            rv: 1,
            users_own_pods_died: false,
        };
        let names: Vec<String> = world
            .parsed()
            .services()
            .iter()
            .map(|(_, n)| (*n).to_owned())
            .collect();
        for name in names {
            world.services.insert(
                name.clone(),
                ServiceObserved {
                    name,
                    resource_version: "1".into(),
                    uid: "s".into(),
                    hash: None,
                    switched_at: None,
                    managed_by: None,
                    problem: None,
                },
            );
        }
        let errors = json!({"name": "errors", "ratio": {
            "bad": "http_requests_total{code=~\"5..\",$(arm)}", "total": "http_requests_total{$(arm)}"}});
        let level = json!({"name": "level", "threshold": {"query": "max(lag_seconds)", "success": "result < 5.0"}});
        world.template("errors", json!({"metrics": [errors]}));
        world.template("level", json!({"metrics": [level]}));
        world
    }

    pub fn template(&mut self, name: &str, spec: Value) {
        let key = TemplateKey {
            name: name.into(),
            cluster_scope: false,
        };
        let template = serde_json::from_value(spec).unwrap();
        self.templates.insert(key, Some(template));
    }

    /// The spec, parsed once per generation.
    pub fn parsed(&self) -> spec::Spec {
        let mut cache = self.parsed.borrow_mut();
        match &*cache {
            Some((generation, spec)) if *generation == self.generation => spec.clone(),
            _ => {
                let mut raw = self.spec.clone();
                let template = raw["template"].clone();
                if raw.get("workloadRef").is_some() {
                    raw["template"] = Value::Null;
                }
                let raw: RolloutSpec = serde_json::from_value(raw).unwrap();
                let spec = spec::parse_with(&raw, Some(&template)).unwrap();
                *cache = Some((self.generation, spec.clone()));
                spec
            }
        }
    }

    pub fn set_image(&mut self, image: &str) {
        self.spec["template"]["spec"]["containers"][0]["image"] = image.into();
        self.generation += 1;
    }

    /// No more pods of this image become available.
    pub fn short_of(&mut self, image: &str, most: i32) {
        self.few.insert(image.to_owned(), most);
    }

    pub fn delete(&mut self) {
        self.deleted_at = Some(self.now);
    }

    pub fn set_replicas(&mut self, replicas: i32) {
        self.spec["replicas"] = replicas.into();
        self.generation += 1;
    }

    /// As the plugin does it.
    pub fn command(&mut self, verb: &str) {
        let (revision, step) = match (&self.status.canary, &self.status.stable) {
            (Some(canary), _) => (canary.revision, canary.step),
            (None, Some(stable)) => (stable.revision, 0),
            (None, None) => (0, 0),
        };
        let value = format!("{revision}/{step} {} anna", self.now);
        self.annotations
            .insert(format!("tidegate.io/{verb}"), value);
    }

    pub fn verdict(&mut self, phase: RunPhase) {
        for run in self.runs.values_mut() {
            if matches!(run.phase, RunPhase::Running | RunPhase::Pending) {
                run.phase = phase;
                run.verdict = Some(match phase {
                    RunPhase::Successful => Verdict::Pass,
                    RunPhase::Failed => Verdict::Fail,
                    _ => Verdict::Inconclusive,
                });
            }
        }
    }

    /// What the runs in the background say while they go on.
    pub fn background(&mut self, verdict: Verdict) {
        for run in self.runs.values_mut() {
            if run.phase == RunPhase::Running {
                run.verdict = Some(verdict);
            }
        }
    }

    pub fn hash_of(&self, image: &str) -> String {
        let mut template = self.spec["template"].clone();
        template["spec"]["containers"][0]["image"] = image.into();
        crate::core::naming::template_hash(&template, 0)
    }

    pub fn available(&self, image: &str) -> i32 {
        self.rs
            .get(&self.hash_of(image))
            .map_or(0, |rs| rs.available)
    }

    pub fn phase(&self) -> Phase {
        self.status.phase.unwrap()
    }

    pub fn observe(&self) -> Observed {
        let parsed = self.parsed();
        let routes = parsed.routes("web");
        Observed {
            rollout: RolloutObserved {
                namespace: "shop".into(),
                name: "web".into(),
                uid: "u".into(),
                resource_version: self.rv.to_string(),
                generation: self.generation,
                deleted_at: self.deleted_at,
                has_finalizer: self.finalizer,
                annotations: self.annotations.clone(),
                spec: Ok(parsed),
                status: self.status.clone(),
            },
            replica_sets: self.rs.values().map(|rs| rs.observed(&rs.hash)).collect(),
            baselines: self
                .baselines
                .iter()
                .map(|(uid, rs)| rs.observed(uid))
                .collect(),
            foreign_replica_sets: BTreeSet::new(),
            services: self
                .services
                .iter()
                .map(|(n, s)| (n.clone(), Some(s.clone())))
                .collect(),
            routes: routes
                .into_iter()
                .map(|id| {
                    let state = match (&self.route_problem, self.route_exists) {
                        (Some(problem), _) => RouteState::Unusable(problem.clone()),
                        (None, false) => RouteState::ToCreate,
                        (None, true) => RouteState::Live(LiveRoute {
                            resource_version: self.rv.to_string(),
                            weight: self.weight,
                            exact: true,
                            side_routes: Some(self.side_routes.clone()),
                            obstacle: None,
                            pending: (self.now < self.route_accepted_at)
                                .then(|| "not seen yet".into()),
                            changed_at: self.route_changed_at,
                            last_writer: Some("gitops".into()),
                        }),
                    };
                    RouteObserved { id, state }
                })
                .collect(),
            workload: self.workload.clone(),
            runs: self.runs.values().cloned().collect(),
            templates: self.templates.clone(),
            reverts: self.reverts.values().cloned().collect(),
            conflicts: Vec::new(),
            labels_shared_with: self.labels_shared_with.clone(),
            refused: self.refused.clone(),
            pods: self.pods.clone(),
            settings: Settings {
                settle: SignedDuration::from_secs(LAG_S),
            },
        }
    }

    /// One reconcile: decides and carries out.
    pub fn reconcile(&mut self) -> Plan {
        let observed = self.observe();
        let plan = decide(&observed, self.now);
        assert_eq!(
            plan,
            decide(&observed, self.now),
            "the same input gives the same plan"
        );
        let destructive = plan.writes.iter().filter(|w| w.is_destructive()).count();
        assert!(
            destructive <= 1,
            "at most one destructive write: {:?}",
            plan.writes
        );
        for write in plan.writes.clone() {
            self.log.push(format!("{:>5} {write}", self.seconds()));
            self.apply(write);
            self.note_config();
            self.check();
        }
        if let Some(status) = plan.status.clone() {
            let phase = status.phase.map(|p| p.to_string()).unwrap_or_default();
            let said = format!("{:>5} status {phase} {}", self.seconds(), status.message);
            self.log.push(said);
            self.status = status;
            self.status_writes += 1;
            self.rv += 1;
        }
        for write in plan.afterwards.clone() {
            self.log.push(format!("{:>5} {write}", self.seconds()));
            self.apply(write);
        }
        self.events.extend(plan.events.iter().map(|e| e.reason));
        plan
    }

    pub fn seconds(&self) -> i64 {
        let beginning: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        self.now.as_second() - beginning.as_second()
    }

    /// Reconciles until nothing is left to do at this moment.
    pub fn converge(&mut self) {
        for _ in 0..50 {
            if self.gone || self.reconcile().is_settled() {
                return;
            }
        }
        panic!("no fixpoint:\n{}", self.tail());
    }

    /// `seconds` pass: pods become available, routes are accepted, the controller looks every second.
    pub fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.converge();
            self.tick();
        }
        self.converge();
    }

    /// A second passes.
    pub fn tick(&mut self) {
        self.now = self.now.checked_add(SignedDuration::from_secs(1)).unwrap();
        self.kubelet();
        self.check();
    }

    fn kubelet(&mut self) {
        // What was evicted is gone, and another pod is in its place.
        for pod in self.pods.iter_mut().filter(|pod| pod.terminating) {
            pod.name.push_str("-next");
            pod.created = self.now;
            pod.terminating = false;
        }
        for rs in self.baselines.values_mut() {
            rs.available = rs.desired;
        }
        for rs in self.rs.values_mut() {
            let image = rs.template["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap();
            rs.healthy = !self.broken.contains(image);
            let before = rs.available;
            let most = self.few.get(image).copied().unwrap_or(i32::MAX);
            rs.available = if rs.healthy { rs.desired.min(most) } else { 0 };
            if rs.available < before {
                self.users_own_pods_died = true;
            }
        }
        if let Some(workload) = &mut self.workload {
            workload.current = workload.desired;
            workload.available = workload.desired;
            workload.updated = workload.desired;
            workload.up_to_date = true;
        }
        if self.has_pods {
            self.bear_pods();
        }
    }

    /// As many pods of each ReplicaSet as are available, with its template's metadata.
    fn bear_pods(&mut self) {
        for rs in self.rs.values() {
            let of = |pod: &&PodObserved| pod.owner == rs.hash;
            let have = self.pods.iter().filter(of).count();
            let want = rs.available as usize;
            for _ in have..want {
                self.born += 1;
                let given = &rs.template["metadata"]["annotations"][roles::GIVEN];
                self.pods.push(PodObserved {
                    name: format!("p{}", self.born),
                    uid: format!("p{}", self.born),
                    created: self.now,
                    terminating: false,
                    ready: true,
                    owner: rs.hash.clone(),
                    given: given.as_str().map(str::to_owned),
                });
            }
            let mut keep = want;
            self.pods.retain(|pod| {
                let ours = pod.owner == rs.hash;
                let stays = !ours || keep > 0;
                keep -= usize::from(ours && stays);
                stays
            });
        }
    }

    pub fn tail(&self) -> String {
        let from = self.log.len().saturating_sub(40);
        self.log[from..].join("\n")
    }
}
