//! The objects of the simulated cluster: as much of each as anybody in it looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::analysis::{AnalysisRunSpec, AnalysisTemplateSpec};
use crate::api::analysis_status::{RunPhase, Verdict};
use crate::api::revert::RevertSpec;
use crate::api::rollout::RolloutSpec;
use crate::api::rollout_status::RolloutStatus;
use crate::core::observed::RouteId;
use crate::core::spec::{self, Problem, SideRoute, Spec};

/// Kinds of objects; a watch and a list are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Rollout.
    Rollout,
    /// A ReplicaSet.
    ReplicaSet,
    /// A Service.
    Service,
    /// An HTTPRoute or a canary Ingress.
    Route,
    /// An AnalysisRun.
    Run,
    /// A Revert.
    Revert,
    /// An AnalysisTemplate.
    Template,
    /// A Deployment that a Rollout has its template from. It is read with the Rollout.
    Deployment,
}

/// Every kind that is read by itself.
pub const KINDS: [Kind; 7] = [
    Kind::Rollout,
    Kind::ReplicaSet,
    Kind::Service,
    Kind::Route,
    Kind::Run,
    Kind::Revert,
    Kind::Template,
];

/// Which object.
pub type Key = (Kind, String);

/// The objects at one moment.
pub type Objects = BTreeMap<Key, Arc<Stored>>;

/// What every object has.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub version: u64,
    /// Generation of its spec.
    pub generation: i64,
    /// When it was created.
    pub created: Timestamp,
    /// When its deletion was asked for; it stays while it has a finalizer.
    pub deleted_at: Option<Timestamp>,
    /// Uid of the Rollout that controls it.
    pub owner: Option<String>,
    /// Name of the Rollout that it is of.
    pub rollout: Option<String>,
}

/// An object with its metadata.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its metadata.
    pub meta: Meta,
    /// What it says.
    pub body: Body,
}

/// What an object says.
#[derive(Clone, Debug)]
pub enum Body {
    /// A Rollout.
    Rollout(Box<RolloutBody>),
    /// A ReplicaSet.
    ReplicaSet(ReplicaSetBody),
    /// A Service.
    Service(ServiceBody),
    /// A route.
    Route(RouteBody),
    /// An AnalysisRun.
    Run(RunBody),
    /// A Revert.
    Revert(RevertBody),
    /// An AnalysisTemplate; `None`: one that cannot be read.
    Template(Option<AnalysisTemplateSpec>),
    /// A Deployment.
    Deployment(DeploymentBody),
}

/// A Rollout.
#[derive(Clone, Debug)]
pub struct RolloutBody {
    /// The spec as written.
    pub raw: Arc<Value>,
    /// The spec as the planner knows it, or what is wrong with it.
    pub parsed: Arc<Result<Spec, Vec<Problem>>>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether Tidegate's finalizer is on it.
    pub finalizer: bool,
    /// Its status.
    pub status: RolloutStatus,
}

impl RolloutBody {
    /// A Rollout with this spec. One that the schema would refuse counts as one that cannot be
    /// carried out.
    pub fn new(raw: Value) -> Self {
        Self {
            parsed: Arc::new(parse(&raw)),
            raw: Arc::new(raw),
            annotations: BTreeMap::new(),
            finalizer: false,
            status: RolloutStatus::default(),
        }
    }

    /// Gets another spec.
    pub fn respec(&mut self, raw: Value) {
        self.parsed = Arc::new(parse(&raw));
        self.raw = Arc::new(raw);
    }
}

fn parse(raw: &Value) -> Result<Spec, Vec<Problem>> {
    parse_with(raw, raw.get("template"))
}

/// The spec of a manifest, with this template of its Deployment if it names one.
pub fn parse_with(raw: &Value, template: Option<&Value>) -> Result<Spec, Vec<Problem>> {
    let mut raw = raw.clone();
    if let Some(spec) = raw
        .as_object_mut()
        .filter(|spec| spec.contains_key("workloadRef"))
    {
        spec.remove("template");
    }
    match serde_json::from_value::<RolloutSpec>(raw) {
        Ok(typed) => spec::parse_with(&typed, template),
        Err(error) => Err(vec![Problem::new("spec", error, "what the schema says")]),
    }
}

/// A ReplicaSet: what is asked for and what its controller says.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSetBody {
    /// Hash of its version.
    pub hash: String,
    /// Whether it is the control group of that version.
    pub is_baseline: bool,
    /// Its revision.
    pub revision: i64,
    /// `spec.replicas`.
    pub desired: i32,
    /// Its template.
    pub template: Arc<Value>,
    /// `spec.minReadySeconds`.
    pub min_ready: SignedDuration,
    /// `status.replicas`.
    pub current: i32,
    /// `status.readyReplicas`.
    pub ready: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// Why pods cannot be created.
    pub failure: Option<String>,
    /// Short for what its pods were given for their version's role.
    pub pods_given: Option<String>,
    /// Its generation when its template's metadata was last changed.
    pub relabelled_at: Option<i64>,
}

impl ReplicaSetBody {
    /// One that was only just asked for: its controller has not looked at it yet.
    #[must_use]
    pub fn new(hash: String, desired: i32, template: Arc<Value>) -> Self {
        Self {
            hash,
            is_baseline: false,
            revision: 0,
            desired,
            template,
            min_ready: SignedDuration::ZERO,
            current: 0,
            ready: 0,
            available: 0,
            observed_generation: 0,
            failure: None,
            pods_given: None,
            relabelled_at: None,
        }
    }
}

/// A Deployment: what is asked for and what its controller says.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentBody {
    /// Its template.
    pub template: Arc<Value>,
    /// `spec.replicas`.
    pub desired: i32,
    /// `status.replicas`.
    pub current: i32,
    /// `status.availableReplicas`.
    pub available: i32,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceBody {
    /// The version in its selector.
    pub hash: Option<String>,
    /// When it was changed.
    pub switched_at: Option<Timestamp>,
    /// The Rollout that it belongs to.
    pub managed_by: Option<String>,
    /// What makes it unusable.
    pub problem: Option<String>,
}

/// A route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteBody {
    /// Which.
    pub id: RouteId,
    /// Percent for the canary Service.
    pub weight: i32,
    /// What it sends to the canary Service by header.
    pub side_routes: Vec<SideRoute>,
    /// The generation that its router has accepted.
    pub accepted: i64,
    /// When its rules were last written.
    pub changed_at: Option<Timestamp>,
    /// Who wrote them.
    pub writer: String,
    /// What makes it unusable.
    pub problem: Option<Problem>,
}

/// An AnalysisRun.
#[derive(Clone, Debug, PartialEq)]
pub struct RunBody {
    /// What it is to do.
    pub spec: Arc<AnalysisRunSpec>,
    /// Whether it was told to end.
    pub terminate: bool,
    /// Where it stands.
    pub phase: RunPhase,
    /// Its word.
    pub verdict: Option<Verdict>,
    /// In words.
    pub message: String,
}

/// A Revert.
#[derive(Clone, Debug, PartialEq)]
pub struct RevertBody {
    /// What it is about.
    pub spec: Arc<RevertSpec>,
    /// Whether the rejection was lifted.
    pub released: bool,
    /// Where the Git writer stands.
    pub phase: Option<String>,
    /// The commit.
    pub commit: Option<String>,
}

macro_rules! access {
    ($($name:ident, $name_mut:ident, $variant:ident, $type:ty;)*) => {
        impl Stored {
            $(
                /// The body, if it is of this kind.
                pub fn $name(&self) -> Option<&$type> {
                    match &self.body { Body::$variant(body) => Some(body), _ => None }
                }

                /// The body to be changed, if it is of this kind.
                pub fn $name_mut(&mut self) -> Option<&mut $type> {
                    match &mut self.body { Body::$variant(body) => Some(body), _ => None }
                }
            )*
        }
    };
}

access! {
    rollout, rollout_mut, Rollout, RolloutBody;
    replica_set, replica_set_mut, ReplicaSet, ReplicaSetBody;
    service, service_mut, Service, ServiceBody;
    route, route_mut, Route, RouteBody;
    run, run_mut, Run, RunBody;
    revert, revert_mut, Revert, RevertBody;
    deployment, deployment_mut, Deployment, DeploymentBody;
}
