//! The queries find the lines that they mean, and no others.

use std::collections::BTreeMap;

use tidegate::analysis::plan::{self, Kind};
use tidegate::analysis::promql::{self, Selector};

use super::promql_subset::Expression;
use super::recorded::{Labels, Recorded, TARGETS, recorded};
use super::store::finds;
use super::{START, files, run};

/// The selectors of a template, by what they are for: `error-ratio.canary.bad`; the parts of a
/// threshold's query have numbers, `lag/1`.
fn selectors(file: &str) -> BTreeMap<String, Selector> {
    let created = jiff::Timestamp::from_second(START).unwrap();
    let plan = plan::parse(&run(file), created).unwrap();
    let mut found = BTreeMap::new();
    for metric in plan.metrics {
        let name = &metric.name;
        match metric.kind {
            Kind::Comparison(compared) => {
                for (what, arms) in compared.measure.selectors() {
                    let read = |query: &str| promql::selector(query).unwrap();
                    found.insert(format!("{name}.canary.{what}"), read(&arms.canary));
                    found.insert(format!("{name}.stable.{what}"), read(&arms.stable));
                }
            }
            Kind::Threshold(threshold) => {
                let query = Expression::read(&threshold.query);
                for (i, selector) in query.selectors().into_iter().enumerate() {
                    found.insert(format!("{name}/{}", i + 1), selector.clone());
                }
            }
        }
    }
    found
}

/// By what a series is found, in order.
fn found_by(selectors: &BTreeMap<String, Selector>, labels: &Labels) -> String {
    let names = selectors
        .iter()
        .filter(|(_, selector)| finds(selector, labels))
        .map(|(name, _)| name.as_str());
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_line_is_found_by_what_it_is_for() {
    let mut wrong = Vec::new();
    for file in files().keys() {
        let selectors = selectors(file);
        for line in recorded(file) {
            for pod in 0..line.target.pods {
                let found = found_by(&selectors, &line.scraped(pod, line.target.honor_labels));
                if found != line.found_by {
                    wrong.push(format!("{file}: {} -> {found}", line.series));
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "found otherwise:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_that_no_line_shows() {
    for file in files().keys() {
        let lines = recorded(file);
        let shown: Vec<&str> = lines.iter().flat_map(|l| l.found_by.split(' ')).collect();
        for name in selectors(file).keys() {
            assert!(
                shown.contains(&name.as_str()),
                "{file}: no line shows {name}"
            );
        }
        // And lines that must not be found, or the test could not fail.
        assert!(shown.contains(&""), "{file}: every line is found");
    }
}

/// What each of these files says: without honorLabels nothing is found, so nothing is judged.
#[test]
fn without_honor_labels_nothing_is_found() {
    let mut seen = 0;
    for file in ["traefik-gateway", "ingress-nginx", "pods", "statefulset"] {
        let file = format!("{file}.yaml");
        let selectors = selectors(&file);
        let renamed = |line: &Recorded| found_by(&selectors, &line.scraped(0, false));
        // The kubelet's own target has no label of a pod, so there is nothing to be honoured.
        for line in recorded(&file)
            .iter()
            .filter(|line| line.target.name != "kubelet")
        {
            assert_eq!(renamed(line), "", "{}", line.series);
            // Likewise for any target without labels of the same names.
            let kubelet = TARGETS.into_iter().find(|t| t.name == "kubelet").unwrap();
            let plain = Recorded {
                target: kubelet,
                ..line.clone()
            };
            assert_eq!(renamed(&plain), line.found_by, "{}", line.series);
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
}

/// Without the pods' label neither version is found.
#[test]
fn without_the_hash_nothing_is_compared() {
    let mut seen = 0;
    for file in files().keys() {
        let selectors = selectors(file);
        for line in recorded(file) {
            let mut labels = line.scraped(0, line.target.honor_labels);
            if labels.remove("rollouts_pod_template_hash").is_some() {
                let found = found_by(&selectors, &labels);
                assert!(!found.contains('.'), "{file}: {}: {found}", line.series);
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}
