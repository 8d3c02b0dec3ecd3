//! Expositions as the exporters write them, in `recorded/`, one file for each template, and what a scrape
//! makes of them.
//!
//! A line is a series with what it adds between two scrapes (a counter) or is at (a gauge; with `~` it goes
//! up and down by itself), then what that becomes when a metric of the template is broken, then the
//! selectors that must find it:
//!
//! ```text
//! @ canary
//! # TYPE http_requests_total counter
//! http_requests_total{code="500"} 0.1 error-ratio=9 -> error-ratio.canary.bad error-ratio.canary.total
//! ```
//!
//! `-` is a series that is not there. `@` names the target that says it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tidegate::analysis::promql;

/// A series' labels, its name among them.
pub type Labels = BTreeMap<String, String>;

/// What is scraped: its labels, without the number of the pod.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub labels: &'static [(&'static str, &'static str)],
    /// How many of them there are.
    pub pods: usize,
    /// As the template asks for it.
    pub honor_labels: bool,
}

/// Endings of pods' names, for as many as there are.
const PODS: [&str; 4] = ["q7w2k", "x2x7p", "4xk9d", "m2n8r"];

/// What the Prometheus operator gives its targets, and what is left of it for those without a pod.
pub const TARGETS: [Target; 10] = [
    Target {
        name: "router",
        labels: &[
            ("job", "router-metrics"),
            ("namespace", "router"),
            ("pod", "router-6d9c5b7f4-*"),
            ("service", "router-metrics"),
        ],
        pods: 1,
        honor_labels: true,
    },
    Target {
        name: "canary",
        labels: &[
            ("job", "shop/web"),
            ("namespace", "shop"),
            ("pod", "web-77cd81f2aa-*"),
            ("rollouts_pod_template_hash", "77cd81f2aa"),
        ],
        pods: 2,
        honor_labels: false,
    },
    Target {
        name: "stable",
        labels: &[
            ("job", "shop/web"),
            ("namespace", "shop"),
            ("pod", "web-6b5f9c7dbb-*"),
            ("rollouts_pod_template_hash", "6b5f9c7dbb"),
        ],
        pods: 4,
        honor_labels: false,
    },
    // The same image in another namespace has the same hash.
    Target {
        name: "elsewhere",
        labels: &[
            ("job", "staging/web"),
            ("namespace", "shop-staging"),
            ("pod", "web-77cd81f2aa-*"),
            ("rollouts_pod_template_hash", "77cd81f2aa"),
        ],
        pods: 1,
        honor_labels: false,
    },
    Target {
        name: "kubelet",
        labels: &[("job", "kubelet"), ("node", "node-1")],
        pods: 1,
        honor_labels: true,
    },
    Target {
        name: "kube-state-metrics",
        labels: &[
            ("job", "kube-state-metrics"),
            ("namespace", "monitoring"),
            ("pod", "kube-state-metrics-5f8d7c-*"),
            ("container", "kube-state-metrics"),
        ],
        pods: 1,
        honor_labels: true,
    },
    Target {
        name: "etcd",
        labels: &[("job", "etcd"), ("namespace", "storage"), ("pod", "etcd-*")],
        pods: 3,
        honor_labels: false,
    },
    Target {
        name: "zookeeper",
        labels: &[
            ("job", "zookeeper"),
            ("namespace", "storage"),
            ("pod", "zookeeper-*"),
        ],
        pods: 1,
        honor_labels: false,
    },
    Target {
        name: "kafka-exporter",
        labels: &[("job", "kafka-exporter"), ("namespace", "storage")],
        pods: 1,
        honor_labels: false,
    },
    Target {
        name: "rabbitmq",
        labels: &[
            ("job", "rabbitmq"),
            ("namespace", "storage"),
            ("pod", "rabbitmq-*"),
        ],
        pods: 1,
        honor_labels: false,
    },
];

impl Target {
    fn named(name: &str) -> Self {
        let found = TARGETS.into_iter().find(|t| t.name == name);
        found.unwrap_or_else(|| panic!("no target {name}"))
    }

    /// The labels of its pod number `pod`.
    fn labels_of(&self, pod: usize) -> Labels {
        let mut labels: Labels = self
            .labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.replace('*', PODS[pod])))
            .collect();
        let place = TARGETS.iter().position(|t| t.name == self.name).unwrap();
        labels.insert("instance".to_owned(), format!("198.51.{place}.{pod}:8080"));
        labels
    }
}

/// What a series is at a scrape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    pub value: f64,
    /// It goes up and down by itself.
    pub alive: bool,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub target: Target,
    /// As it is written.
    pub series: String,
    /// What it says is a sum since the exporter began.
    pub counter: bool,
    /// None: it is not there.
    pub healthy: Option<Level>,
    /// What it is instead when a metric is broken.
    pub broken: BTreeMap<String, Option<Level>>,
    /// The selectors that find it, in the order of their names.
    pub found_by: String,
}

impl Recorded {
    /// Its labels after the scrape of pod number `pod`: its own, the target's, and what becomes of a label
    /// that both have. An empty label is none.
    pub fn scraped(&self, pod: usize, honor_labels: bool) -> Labels {
        self.scraped_with(&self.target.labels_of(pod), honor_labels)
    }

    /// The same for a target with these labels.
    pub fn scraped_with(&self, target: &Labels, honor_labels: bool) -> Labels {
        let written = promql::selector(&self.series).unwrap();
        let mut labels = Labels::new();
        labels.insert("__name__".to_owned(), written.name.unwrap());
        for matcher in written.matchers {
            labels.insert(matcher.label, matcher.value);
        }
        for (name, value) in target {
            match labels.remove(name) {
                Some(own) if honor_labels => {
                    labels.insert(name.clone(), own);
                    continue;
                }
                Some(own) => {
                    labels.insert(format!("exported_{name}"), own);
                }
                None => {}
            }
            labels.insert(name.clone(), value.clone());
        }
        labels.retain(|_, value| !value.is_empty());
        labels
    }

    /// What it is while `broken` is broken.
    pub fn level(&self, broken: Option<&str>) -> Option<Level> {
        let instead = broken.and_then(|metric| self.broken.get(metric));
        instead.copied().unwrap_or(self.healthy)
    }
}

fn level(text: &str) -> Option<Level> {
    let number = text.trim_end_matches('~');
    (text != "-").then(|| Level {
        value: number.parse().unwrap_or_else(|_| panic!("{text}")),
        alive: number != text,
    })
}

/// The lines of a template's file.
pub fn recorded(file: &str) -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/templates/recorded");
    let path = folder.join(file.replace(".yaml", ".prom"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut target, mut types) = (None, BTreeMap::new());
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("@ ") {
            target = Some(Target::named(name));
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            types.insert(name.to_owned(), kind.to_owned());
        } else if !line.is_empty() && !line.starts_with('#') {
            let (said, found_by) = line.split_once(" -> ").unwrap_or((line, ""));
            let end = said.rfind('}').map_or(0, |at| at + 1);
            let end = end + said[end..].find(' ').unwrap_or_else(|| panic!("{line}"));
            let mut values = said[end..].split_whitespace();
            let healthy = level(values.next().unwrap());
            let broken = values.map(|value| {
                let (metric, value) = value.split_once('=').unwrap();
                (metric.to_owned(), level(value))
            });
            let series = said[..end].to_owned();
            found.push(Recorded {
                target: target.unwrap_or_else(|| panic!("{line}: no target")),
                counter: is_counter(&series, &types),
                series,
                healthy,
                broken: broken.collect(),
                found_by: found_by.to_owned(),
            });
        }
    }
    found
}

/// By its type, which must stand there as an exporter writes it.
fn is_counter(series: &str, types: &BTreeMap<String, String>) -> bool {
    let name = series.split('{').next().unwrap();
    if let Some(kind) = types.get(name) {
        return kind == "counter";
    }
    let parts = ["_bucket", "_count", "_sum"];
    let of = parts
        .iter()
        .find_map(|part| types.get(name.strip_suffix(part)?));
    let of = of.unwrap_or_else(|| panic!("{series}: no TYPE"));
    assert!(of == "histogram" || of == "summary", "{series}: {of}");
    true
}
