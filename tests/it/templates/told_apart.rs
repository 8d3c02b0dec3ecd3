//! The queries find the lines that they mean, and no others.

use std::collections::BTreeMap;

use regex::Regex;
use tidegate::analysis::promql::{self, Selector};

use super::exporters::{APPLICATION, INGRESS_NGINX, KUBELET, SERVICE_MONITOR, TRAEFIK};
use super::{files, queries};

type Labels = BTreeMap<String, String>;

/// The selectors of a template, by what they are for.
fn selectors(file: &str) -> BTreeMap<String, Selector> {
    let vector = Regex::new(r"([a-z_]+\{[^}]*\})\[5m\]").unwrap();
    let mut found = BTreeMap::new();
    for (name, query) in queries(file) {
        if let Some(which) = name.strip_prefix("error-ratio ") {
            let selector = promql::selector(&query).unwrap();
            found.insert(which.replace(' ', "."), selector);
            continue;
        }
        let parts: Vec<_> = vector.captures_iter(&query).collect();
        assert_eq!(parts.len(), 2, "{file}: {name}: {query}");
        for (i, part) in parts.iter().enumerate() {
            let selector = promql::selector(&part[1]).unwrap();
            found.insert(format!("{name}/{}", i + 1), selector);
        }
    }
    found
}

/// A line as Prometheus stores it: its own labels, the target's, and what becomes of a label that
/// both have. An empty label is none.
fn scraped(line: &str, target: &[(&str, &str)], honor_labels: bool) -> Labels {
    let (series, value) = line.rsplit_once(' ').unwrap();
    assert!(value.parse::<f64>().is_ok(), "{line}");
    let written = promql::selector(series).unwrap();
    let mut labels = Labels::new();
    labels.insert("__name__".to_owned(), written.name.unwrap());
    for matcher in written.matchers {
        labels.insert(matcher.label, matcher.value);
    }
    for (name, value) in target {
        match labels.remove(*name) {
            Some(own) if honor_labels => {
                labels.insert((*name).to_owned(), own);
                continue;
            }
            Some(own) => {
                labels.insert(format!("exported_{name}"), own);
            }
            None => {}
        }
        labels.insert((*name).to_owned(), (*value).to_owned());
    }
    labels.retain(|_, value| !value.is_empty());
    labels
}

fn finds(selector: &Selector, labels: &Labels) -> bool {
    let value = |label: &str| labels.get(label).map_or("", String::as_str);
    let whole = |pattern: &str| Regex::new(&format!("^(?:{pattern})$")).unwrap();
    selector.name.as_deref() == Some(value("__name__"))
        && selector.matchers.iter().all(|m| {
            let found = value(&m.label);
            match m.operator.as_str() {
                "=" => found == m.value,
                "!=" => found != m.value,
                "=~" => whole(&m.value).is_match(found),
                _ => !whole(&m.value).is_match(found),
            }
        })
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
fn the_versions_are_told_apart_in_the_routers_own_metrics() {
    for exporter in [TRAEFIK, INGRESS_NGINX] {
        let selectors = selectors(exporter.file);
        for (line, expected) in exporter.lines {
            let stored = scraped(line, SERVICE_MONITOR, true);
            assert_eq!(found_by(&selectors, &stored), *expected, "{line}");
            // What each file says: without honorLabels nothing is found, so nothing is judged.
            let renamed = scraped(line, SERVICE_MONITOR, false);
            assert_eq!(found_by(&selectors, &renamed), "", "{line}");
            // Without target labels of the same names there is nothing to be honoured.
            let plain = scraped(line, KUBELET, false);
            assert_eq!(found_by(&selectors, &plain), *expected, "{line}");
        }
    }
}

#[test]
fn the_versions_are_told_apart_in_the_applications_metrics() {
    let selectors = selectors("application.yaml");
    for (target, line, expected) in APPLICATION {
        let stored = scraped(line, target, false);
        assert_eq!(found_by(&selectors, &stored), *expected, "{line}");
        // Without the pods' label neither version is found.
        let bare: Vec<(&str, &str)> = target
            .iter()
            .filter(|(name, _)| *name != "rollouts_pod_template_hash")
            .copied()
            .collect();
        let without = found_by(&selectors, &scraped(line, &bare, false));
        assert!(
            without.is_empty() || without.starts_with("throttled"),
            "{line}"
        );
    }
}

#[test]
fn nothing_is_left_that_no_line_shows() {
    let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for exporter in [TRAEFIK, INGRESS_NGINX] {
        let all = exporter.lines.iter().flat_map(|(_, e)| e.split(' '));
        shown.entry(exporter.file).or_default().extend(all);
    }
    let all = APPLICATION.iter().flat_map(|(_, _, e)| e.split(' '));
    shown.entry("application.yaml").or_default().extend(all);
    for file in files().keys() {
        for name in selectors(file).keys() {
            let there = shown[file.as_str()].contains(&name.as_str());
            assert!(there, "{file}: no line shows {name}");
        }
    }
}
