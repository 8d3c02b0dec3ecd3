//! What stands in `analysis-templates/` is installed as it is and asked of real exporters: every
//! template is applied to an API server with the definitions, frozen with the args that the README
//! names, and read as a run is read. The queries that result are held against lines as the exporters
//! write them (`recorded/`): the new version's and the stable version's must be told apart, and a run over
//! them must come to the right verdict.

mod asked;
mod dry_run;
mod installed;
mod promql_subset;
mod readme;
mod recorded;
mod speed;
mod store;
mod told_apart;

use crate::examples::{name, objects};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate::analysis::plan::{self, Kind};
use tidegate::analysis::template::{Builtins, Frozen, NamedTemplate, freeze};
use tidegate::api::analysis::{AnalysisRunSpec, AnalysisTemplateSpec, ClusterAnalysisTemplate};

const NAMESPACE: &str = "shop";
/// When the version that is tried was there, in Unix seconds.
const START: i64 = 1_000_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("analysis-templates")
}

/// The files of the folder, by name.
fn files() -> BTreeMap<String, String> {
    let all = fs::read_dir(folder()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(path).unwrap())
    });
    all.filter(|(name, _)| name != "README.md").collect()
}

/// The one object of a file.
fn object(file: &str) -> Value {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    let mut found = objects(&text);
    assert_eq!(found.len(), 1, "{file}: one template a file");
    found.remove(0)
}

fn template(file: &str) -> AnalysisTemplateSpec {
    let read: ClusterAnalysisTemplate = serde_json::from_value(object(file)).unwrap();
    read.spec.0
}

/// Values for the args that need one, as the README has them.
fn args(file: &str) -> BTreeMap<String, String> {
    let all: &[(&str, &str)] = match file {
        "ingress-nginx.yaml" => &[("ingress", "web")],
        "envoy-gateway.yaml" => &[("route", "web")],
        "kafka-consumer.yaml" => &[("group", "orders")],
        "rabbitmq-consumer.yaml" => &[("queue", "orders")],
        "statefulset.yaml" => &[("statefulset", "db")],
        _ => &[],
    };
    let owned = all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    owned.collect()
}

fn builtins() -> Builtins {
    Builtins {
        namespace: NAMESPACE.to_owned(),
        rollout: "web".to_owned(),
        canary_service: "web-canary".to_owned(),
        stable_service: "web-stable".to_owned(),
        canary_hash: "77cd81f2aa".to_owned(),
        stable_hash: "6b5f9c7dbb".to_owned(),
    }
}

fn frozen(file: &str, args: &BTreeMap<String, String>) -> Result<Frozen, Vec<plan::Problem>> {
    let spec = template(file);
    let name = name(&object(file)).to_owned();
    let named = NamedTemplate {
        name: &name,
        spec: &spec,
    };
    freeze(&[named], args, &builtins())
}

/// The run that a template becomes.
fn run(file: &str) -> AnalysisRunSpec {
    let frozen =
        frozen(file, &args(file)).unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    AnalysisRunSpec {
        canary_hash: builtins().canary_hash,
        stable_hash: builtins().stable_hash,
        ..frozen.into_spec()
    }
}

/// What is asked, by a name that says for what.
fn queries(file: &str) -> BTreeMap<String, String> {
    let plan = plan::parse(&run(file), Timestamp::UNIX_EPOCH)
        .unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
    let mut found = BTreeMap::new();
    for metric in plan.metrics {
        let at = |part: &str| format!("{}{part}", metric.name);
        match metric.kind {
            Kind::Comparison(ratio) => {
                for (name, arms) in ratio.measure.selectors() {
                    found.insert(at(&format!(" canary {name}")), arms.canary.clone());
                    found.insert(at(&format!(" stable {name}")), arms.stable.clone());
                }
            }
            Kind::Threshold(threshold) => {
                found.insert(at(""), threshold.query);
            }
        }
    }
    found
}
