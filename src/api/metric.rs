//! One metric of an analysis: what is measured, and what it is held against. Serde and schema, no
//! logic; a field that is not built is not here.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use super::fields::{percent_schema, relative_schema};

/// One metric of exactly one kind.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.ratio), has(self.events), has(self.histogram), has(self.gauge), has(self.threshold)].filter(k, k).size() == 1").message("a metric has exactly one of ratio, events, histogram, gauge and threshold"),
    validation = Rule::new("!has(self.threshold) || !(has(self.tolerate) || has(self.neverAbortBelow) || has(self.weight) || has(self.compareTo))").message("tolerate, neverAbortBelow, weight and compareTo do not apply to a threshold, which says it all in its conditions"),
    validation = Rule::new("has(self.ratio) || !(has(self.neverAbortBelow) || has(self.compareTo))").message("neverAbortBelow and compareTo apply only to a ratio"),
    validation = Rule::new("!has(self.compareTo) || !has(self.tolerate)").message("tolerate says how much worse than stable is all right; compareTo.objective is a fixed level"),
    validation = Rule::new("has(self.histogram) || !has(self.objective)").message("objective applies only to a histogram; for a ratio's fixed level write compareTo.objective"),
    validation = Rule::new("!has(self.tolerate) || ((!has(self.tolerate.absolute) || has(self.ratio)) && (!has(self.tolerate.relative) || !has(self.histogram)) && (!has(self.tolerate.slower) || has(self.histogram)))").message("tolerate: absolute is a ratio's, slower is a histogram's, relative is everything else's"),
)]
pub struct Metric {
    /// Its name in status, messages and metrics.
    #[schemars(schema_with = "metric_name_schema")]
    pub name: String,
    /// Bad ones out of all, compared between the two versions by evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// Events for each second of a pod or each request, compared by evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// Latencies by the buckets of a histogram, compared by evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// A level such as memory or the length of a queue, compared by evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gauge: Option<Gauge>,
    /// A query whose result is held against fixed conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// How much worse than stable is still all right. Harm must exceed every bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerate: Option<Tolerance>,
    /// A ratio below which nothing is ever aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "percent_schema")]
    pub never_abort_below: Option<String>,
    /// What a ratio is held against. Absent: the stable version, or its control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_to: Option<CompareTo>,
    /// A histogram's objective, which it must meet beside the comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Share of the false-abort rate, relative to the other metrics'. Default 50 for a ratio and for
    /// events, 30 for a histogram, 20 for a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
    /// Measured and shown, but neither promotes nor aborts.
    #[serde(default)]
    pub dry_run: bool,
}

impl Metric {
    /// Whether two versions are compared, by evidence that shares the false-abort rate.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.threshold.is_none()
    }

    /// Whether it is held against something else than the other version.
    #[must_use]
    pub fn has_fixed_level(&self) -> bool {
        self.compare_to.is_some() || self.threshold.is_some()
    }

    /// The word for its kind, as in the resource.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        let kinds = [
            ("ratio", self.ratio.is_some()),
            ("events", self.events.is_some()),
            ("histogram", self.histogram.is_some()),
            ("gauge", self.gauge.is_some()),
        ];
        kinds
            .into_iter()
            .find_map(|(kind, is)| is.then_some(kind))
            .unwrap_or("threshold")
    }

    /// Its queries with the names of their fields, in the order in which they are asked.
    #[must_use]
    pub fn queries(&self) -> Vec<(&'static str, &String)> {
        let mut queries = Vec::new();
        if let Some(ratio) = &self.ratio {
            queries.extend([("ratio.total", &ratio.total), ("ratio.bad", &ratio.bad)]);
        }
        if let Some(events) = &self.events {
            queries.extend(events.requests.as_ref().map(|q| ("events.requests", q)));
            queries.push(("events.count", &events.count));
        }
        if let Some(histogram) = &self.histogram {
            queries.push(("histogram.buckets", &histogram.buckets));
        }
        if let Some(gauge) = &self.gauge {
            queries.push(("gauge.query", &gauge.query));
        }
        if let Some(threshold) = &self.threshold {
            queries.push(("threshold.query", &threshold.query));
        }
        queries
    }

    /// The same, to change.
    pub fn queries_mut(&mut self) -> Vec<(&'static str, &mut String)> {
        let mut queries = Vec::new();
        if let Some(ratio) = &mut self.ratio {
            queries.push(("ratio.total", &mut ratio.total));
            queries.push(("ratio.bad", &mut ratio.bad));
        }
        if let Some(events) = &mut self.events {
            queries.extend(events.requests.as_mut().map(|q| ("events.requests", q)));
            queries.push(("events.count", &mut events.count));
        }
        if let Some(histogram) = &mut self.histogram {
            queries.push(("histogram.buckets", &mut histogram.buckets));
        }
        if let Some(gauge) = &mut self.gauge {
            queries.push(("gauge.query", &mut gauge.query));
        }
        if let Some(threshold) = &mut self.threshold {
            queries.push(("threshold.query", &mut threshold.query));
        }
        queries
    }
}

/// Restarts, kills, panics; orders, messages: a counter of raw series, read as samples.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.exposure == 'Requests') == has(self.requests)").message("events: requests is the selector that exposure Requests needs, and that PodSeconds has no use for"))]
pub struct Events {
    /// Selector of the counter. Must contain `$(arm)`.
    #[schemars(schema_with = "query_schema")]
    pub count: String,
    /// What the events are held against.
    #[serde(default)]
    pub exposure: Exposure,
    /// Selector of the requests, scraped together with the counter. Must contain `$(arm)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "query_schema")]
    pub requests: Option<String>,
    /// Whether more or fewer of them are the harm.
    #[serde(default)]
    pub harm: Harm,
}

/// What events are held against.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// The time that pods were scraped in.
    #[default]
    PodSeconds,
    /// The requests of `requests`.
    Requests,
}

/// Which difference is harm.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Harm {
    /// More events than stable: restarts, kills.
    #[default]
    More,
    /// Fewer: orders, messages that were handled.
    Fewer,
}

/// A latency histogram of raw series, read as samples.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Histogram {
    /// Selector of the series with the label `le`, or of native histograms. Must contain `$(arm)`.
    #[schemars(schema_with = "query_schema")]
    pub buckets: String,
    /// What the bounds of its buckets are numbers of. What is said of latencies, and an objective's
    /// `below`, do not depend on it.
    #[serde(default)]
    pub unit: TimeUnit,
}

/// What latencies are counted in.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// As Prometheus recommends.
    #[default]
    Seconds,
    /// As Istio, Linkerd and Envoy do.
    Milliseconds,
}

impl TimeUnit {
    /// How many of them a second has.
    #[must_use]
    pub const fn per_second(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Milliseconds => 1000.0,
        }
    }
}

/// A level of raw series, read as samples: the mean over the pods is compared.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Gauge {
    /// Selector of the series; a pod's are added up. Must contain `$(arm)`.
    #[schemars(schema_with = "query_schema")]
    pub query: String,
    /// Judged as Kayenta would: by one look when `promote.minBake` is over, and not by evidence that
    /// may be looked at any time. For teams that come from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kayenta: Option<Kayenta>,
}

/// How Kayenta's judge is to look at a gauge.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Kayenta {
    /// Which way the new version's values must not be off.
    #[serde(default)]
    pub direction: Direction,
}

/// Which way a value must not be off.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Not above stable's.
    #[default]
    Increase,
    /// Not below them.
    Decrease,
    /// Neither.
    Either,
}

/// A fixed level in place of the stable version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CompareTo {
    /// More than this ratio is harm, less is good enough.
    #[schemars(schema_with = "percent_schema")]
    pub objective: String,
}

/// So many of the requests are quicker than a bound.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// This share of the requests ...
    #[schemars(schema_with = "percent_schema")]
    pub quantile: String,
    /// ... takes at most this long; the smallest bucket bound that is not below it is taken.
    #[schemars(schema_with = "latency_schema")]
    pub below: String,
}

/// Counters of raw series, read as samples: no rate, no increase, no aggregation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    /// Selector of the bad ones: a part of `total`. Must contain `$(arm)`.
    #[schemars(schema_with = "query_schema")]
    pub bad: String,
    /// Selector of all. Must contain `$(arm)`.
    #[schemars(schema_with = "query_schema")]
    pub total: String,
}

/// How much worse than stable is still all right.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tolerance {
    /// Relative to the stable version's. Default 10%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "relative_schema")]
    pub relative: Option<String>,
    /// In percentage points above the stable version's ratio. Default 0.05%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "percent_schema")]
    pub absolute: Option<String>,
    /// Requests that take this much longer. Default 0%: the tests themselves ask for more than
    /// chance, and nothing below a few percent is looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "relative_schema")]
    pub slower: Option<String>,
}

/// The familiar kind, for what is not a comparison: a number and conditions on it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.success) || has(self.failure)").message("threshold: at least one of success and failure, or every result would pass"))]
pub struct Threshold {
    /// Any PromQL that returns one number. `$(arm)` is the new version's matcher.
    #[schemars(schema_with = "query_schema")]
    pub query: String,
    /// CEL over `result`: true is a success. Absent: what is no failure is a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub success: Option<String>,
    /// CEL over `result`: true is a failure. Absent: what is no success is a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub failure: Option<String>,
    /// Time between measurements.
    #[serde(default = "default_interval")]
    #[schemars(schema_with = "interval_schema")]
    pub interval: String,
    /// So many successes pass the metric.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1, max = 1000))]
    pub count: i32,
    /// More failures than this fail the metric. They are counted over the whole run.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub failure_limit: i32,
}

fn default_interval() -> String {
    "30s".into()
}
fn default_count() -> i32 {
    1
}

fn metric_name_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"})
}

fn query_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 2048, "pattern": "\\S"})
}

/// 5s to 1h.
fn interval_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 2, "maxLength": 12,
        "pattern": "^([0-9]{1,4}(s|m|h))+$",
        "x-kubernetes-validations": [{
            "rule": "duration(self) >= duration('5s') && duration(self) <= duration('1h')",
            "message": "interval: from 5s to 1h"
        }]
    })
}

/// A latency from 1ms to 1h: `500ms`, `2s`.
fn latency_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 2, "maxLength": 12, "pattern": "^[1-9][0-9]{0,6}(ms|s|m)$"})
}
