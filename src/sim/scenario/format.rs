//! What stands in a scenario's file. `tests/scenarios/README.md` is the description for people; a field
//! that is not here is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::facts::Facts;
use super::words::{Metrics, Pods, Share, Span};
use crate::sim::world;
use crate::sim::world::objects::Kind;

/// A file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    /// What is shown, in one sentence.
    pub title: String,
    /// Where it happened: `owner/repository#number`.
    pub source: String,
    /// The cases of the table that it is of.
    pub cases: Vec<String>,
    /// The invariants that it is about.
    #[serde(default)]
    pub invariants: Vec<String>,
    /// How long the outage goes on before everything is mended.
    pub lasts: Option<Span>,
    /// The world as it is in the beginning.
    #[serde(default)]
    pub given: Given,
    /// What happens.
    #[serde(default)]
    pub timeline: Vec<Spanned<Entry>>,
    /// What must be so.
    pub expect: Vec<Spanned<Expectation>>,
}

/// The world as it is in the beginning.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Given {
    pub rollouts: BTreeMap<String, Spanned<RolloutGiven>>,
    pub versions: BTreeMap<String, VersionGiven>,
    pub gitops: GitopsGiven,
    pub controllers: Option<usize>,
    pub settle: Option<Span>,
    pub data_plane_lag: Option<Span>,
    pub autoscalers: BTreeMap<String, AutoscalerGiven>,
    pub strangers: Vec<StrangerGiven>,
    pub deployments: BTreeMap<String, i32>,
    pub templates: BTreeMap<String, Spanned<Value>>,
    pub objects: Option<BTreeMap<String, Value>>,
}

/// A Rollout.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RolloutGiven {
    /// Which default it starts from.
    pub like: Like,
    /// A JSON merge patch of the default spec.
    pub spec: Value,
    /// So many of them, with `-1`, `-2` … after the name.
    pub copies: Option<usize>,
    /// The spec is one that cannot be carried out, on purpose.
    pub invalid: bool,
}

/// A default spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Like {
    #[default]
    Canary,
    Nginx,
    ManagedRoute,
    Pods,
    BlueGreen,
}

/// How a version behaves from the beginning.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct VersionGiven {
    pub pods: Option<Pods>,
    pub metrics: Option<Metrics>,
    /// What its targets count, from which the shipped analysis judges it.
    pub targets: Vec<TargetGiven>,
    /// A JSON merge patch of the pod template besides the image.
    pub template: Value,
    /// What Git's file says for it where a chart makes the template; else it has the manifest.
    pub values: Option<Value>,
}

/// An endpoint that counts requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TargetGiven {
    pub requests: i64,
    #[serde(default)]
    pub bad: i64,
    pub late: Option<Span>,
}

/// What of a Rollout a GitOps loop applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum GitopsGiven {
    #[default]
    None,
    Template,
    Spec,
}

/// An autoscaler.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AutoscalerGiven {
    pub demand: Option<i32>,
    #[serde(default)]
    pub erratic: bool,
    pub min: i32,
    pub max: i32,
    pub every: Span,
}

/// A ReplicaSet that is nobody's, with the name that a version's would have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct StrangerGiven {
    pub rollout: Option<String>,
    pub version: String,
    #[serde(default)]
    pub pods: i32,
}

/// An entry of the timeline: when, to which Rollout, and exactly one thing that happens.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Entry {
    pub at: Option<Span>,
    pub when: Option<Facts>,
    pub after: Option<Span>,
    pub every: Option<Span>,
    pub times: Option<u32>,
    pub name: Option<String>,
    pub rollout: Option<String>,
    #[serde(rename = "for")]
    pub lasts: Option<Span>,

    pub commit: Option<Edit>,
    pub apply: Option<Edit>,
    pub scale: Option<i32>,
    pub command: Option<Verb>,
    pub annotate: Option<BTreeMap<String, Option<String>>>,
    pub delete: Option<Deleted>,
    pub deploy: Option<BTreeMap<String, i32>>,

    pub edit: Option<ObjectEdit>,
    pub reset_weight: Option<ResetWeight>,
    pub scale_replica_set: Option<Resized>,
    pub scale_deployment: Option<i32>,
    pub delete_replica_set: Option<String>,
    pub fill_in: Option<FilledIn>,
    pub select: Option<BTreeMap<String, String>>,
    pub analyses: Option<AnalysesDone>,

    pub behave: Option<Behaves>,
    pub pods_fail: Option<SomePods>,
    pub evict: Option<SomePods>,
    pub demand: Option<i32>,

    pub fault: Option<Wrong>,
    pub api_errors: Option<ApiErrors>,
    pub refuse: Option<Refused>,
    pub slow_calls: Option<Span>,
    pub slow_metrics: Option<Span>,
    pub pushes: Option<world::PushEnding>,
    pub watches_silent: Option<Vec<Watched>>,
    pub watches_lose: Option<Vec<Watched>>,
    pub unusable: Option<Unusable>,

    pub kill: Option<Killed>,
    pub kill_before: Option<String>,
    pub kill_after: Option<String>,
    pub kill_at_call: Option<u64>,
    pub upgrade: Option<Span>,
    pub clock: Option<Clock>,
}

/// A change that somebody commits or applies: the name of a version, or more.
pub(super) type Edit = TextOr<EditOf>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EditOf {
    pub version: Option<String>,
    pub spec: Option<Value>,
}

/// A change of an object that is kept whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ObjectEdit {
    pub object: String,
    pub by: String,
    pub patch: Value,
}

/// A command of the plugin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verb {
    Abort,
    BareAbort,
    Pause,
    Resume,
    Promote,
    PromoteFull,
    Retry,
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Deleted {
    Rollout,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ResetWeight {
    pub to: i32,
    pub by: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Resized {
    pub version: String,
    pub to: i32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct FilledIn {
    pub version: String,
    pub template: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum AnalysesDone {
    Ended,
    Deleted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Behaves {
    pub version: String,
    pub pods: Option<Pods>,
    pub metrics: Option<Metrics>,
    pub targets: Option<Vec<TargetGiven>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SomePods {
    pub version: String,
    pub number: usize,
}

/// A fault that needs no more words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Wrong {
    GatewayAcceptsNothing,
    MetricsAway,
    GitAway,
    NoPodsCreated,
    NoEvictions,
    TwoLeaders,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ApiErrors {
    pub share: Share,
    #[serde(rename = "verb")]
    pub of: Option<world::Verb>,
    pub kind: Option<Watched>,
    #[serde(default)]
    pub ending: world::Ending,
}

/// New objects of a kind that the API server will not have, and what it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Refused {
    pub kind: RefusedKind,
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum RefusedKind {
    ReplicaSet,
}

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Watched {
    Rollout,
    ReplicaSet,
    Deployment,
    Service,
    Route,
    AnalysisRun,
    Revert,
    AnalysisTemplate,
}

impl From<Watched> for Kind {
    fn from(of: Watched) -> Self {
        match of {
            Watched::Rollout => Kind::Rollout,
            Watched::ReplicaSet => Kind::ReplicaSet,
            Watched::Deployment => Kind::Deployment,
            Watched::Service => Kind::Service,
            Watched::Route => Kind::Route,
            Watched::AnalysisRun => Kind::Run,
            Watched::Revert => Kind::Revert,
            Watched::AnalysisTemplate => Kind::Template,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Unusable {
    Service(String),
    Route(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Killed {
    pub controller: usize,
    pub back_after: Option<Span>,
    pub writes_behind: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Clock {
    #[serde(default)]
    pub controller: usize,
    pub ahead: Span,
}

/// What must be so, and when: exactly one of the forms that the README names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Expectation {
    pub because: Option<String>,
    pub at: Option<Span>,
    pub within: Option<Span>,
    pub after: Option<Span>,
    pub of: Option<Moment>,
    pub that: Option<Facts>,
    pub always: Option<Facts>,
    pub never: Option<Facts>,
    pub whenever: Option<Facts>,
    pub at_every_write: Option<Facts>,
    pub at_the_end: Option<Facts>,
    pub from: Option<Moment>,
    pub until: Option<Moment>,
}

/// A moment: a time, the name of an entry of the timeline, or the first time that something is so.
pub(super) type Moment = TextOr<Facts>;

/// A text, or fields that say more.
#[derive(Clone, Debug)]
pub(super) enum TextOr<T> {
    Text(String),
    Fields(Box<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    // Not an untagged enum: that would forget which field was wrong.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrVisitor(PhantomData))
    }
}

struct TextOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrVisitor<T> {
    type Value = TextOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, a time, or fields that say more")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(TextOr::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let fields = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(TextOr::Fields(Box::new(fields)))
    }
}
