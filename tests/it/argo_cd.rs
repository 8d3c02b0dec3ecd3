//! The fragment of `argocd-cm` in the examples: it can be read as Argo CD reads it, knows every phase
//! that there is, and writes the commands that the planner takes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;
use tidegate::api::crds;
use tidegate::core::commands;

/// The statuses that Argo CD has.
const STATUSES: [&str; 5] = ["Healthy", "Progressing", "Degraded", "Suspended", "Unknown"];

fn data() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gitops/argo-cd/argocd-cm.yaml");
    let text = fs::read_to_string(path).unwrap();
    let config_map: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(config_map["kind"], "ConfigMap");
    assert_eq!(config_map["metadata"]["name"], "argocd-cm");
    config_map["data"].clone()
}

/// The phases of a kind, as its definition lists them.
fn phases(plural: &str) -> BTreeSet<String> {
    let crds = crds();
    let crd = crds.iter().find(|crd| crd.spec.names.plural == plural);
    let crd = serde_json::to_value(crd.unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let phase = &schema["properties"]["status"]["properties"]["phase"];
    let words = phase["enum"].as_array().unwrap();
    let words = words.iter().filter_map(Value::as_str);
    words.map(str::to_owned).collect()
}

#[test]
fn every_phase_has_a_health_and_no_other_has() {
    let row = Regex::new(r#"(?m)^  ([A-Za-z]+) = "([A-Za-z]+)",$"#).unwrap();
    for (kind, plural) in [
        ("Rollout", "rollouts"),
        ("Revert", "reverts"),
        ("AnalysisRun", "analysisruns"),
    ] {
        let data = data();
        let key = format!("resource.customizations.health.tidegate.io_{kind}");
        let lua = data[&key].as_str().unwrap();
        let rows: Vec<(String, String)> = row
            .captures_iter(lua)
            .map(|found| (found[1].to_owned(), found[2].to_owned()))
            .collect();
        let known: BTreeSet<String> = rows.iter().map(|(phase, _)| phase.clone()).collect();
        assert_eq!(known, phases(plural), "{kind}");
        for (phase, status) in rows {
            assert!(
                STATUSES.contains(&status.as_str()),
                "{kind} {phase}: {status}"
            );
        }
        assert!(lua.trim_end().ends_with("return health"), "{kind}: {lua}");
    }
}

#[test]
fn a_rollout_is_healthy_in_one_phase_alone_and_once_its_spec_is_observed() {
    let data = data();
    let lua = data["resource.customizations.health.tidegate.io_Rollout"].as_str();
    let lua = lua.unwrap();
    assert_eq!(lua.matches("= \"Healthy\"").count(), 1, "{lua}");
    assert!(lua.contains("Healthy = \"Healthy\""), "{lua}");
    assert!(
        lua.contains("status.observedGeneration ~= obj.metadata.generation"),
        "{lua}"
    );
}

#[test]
fn each_action_writes_the_command_of_its_name() {
    let data = data();
    let text = data["resource.customizations.actions.tidegate.io_Rollout"].as_str();
    let actions: Value = serde_saphyr::from_str(text.unwrap()).unwrap();
    let discovery = actions["discovery.lua"].as_str().unwrap();
    let offered = Regex::new(r#"actions\["([a-z-]+)"\]"#).unwrap();
    let offered: BTreeSet<String> = offered
        .captures_iter(discovery)
        .map(|found| found[1].to_owned())
        .collect();
    let definitions = actions["definitions"].as_array().unwrap();
    let defined: BTreeSet<String> = definitions
        .iter()
        .map(|definition| definition["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(offered, defined);
    let expected = [
        "abort",
        "pause",
        "promote",
        "promote-full",
        "resume",
        "retry",
    ];
    assert_eq!(defined, BTreeSet::from(expected.map(str::to_owned)));
    for definition in definitions {
        let name = definition["name"].as_str().unwrap();
        assert!(commands::VERBS.contains(&name), "{name}");
        let lua = definition["action.lua"].as_str().unwrap();
        let annotation = format!("annotations[\"{}\"] =", commands::annotation(name));
        assert_eq!(lua.matches("annotations[\"").count(), 1, "{name}: {lua}");
        for part in [
            annotation.as_str(),
            // `<revision>/<step> <time> <who>`, of the version that goes out.
            "status.canary or status.stable",
            "string.format(\"%d/%d\", at.revision or 0, at.step or 0)",
            "place .. \" \" .. os.date(\"!%Y-%m-%dT%H:%M:%SZ\") .. \" argocd\"",
            "return obj",
        ] {
            assert!(lua.contains(part), "{name}: no {part}\n{lua}");
        }
    }
}
