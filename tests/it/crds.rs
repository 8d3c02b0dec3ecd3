//! `crds/` is what the types say.

use std::path::Path;

use serde_json::Value;
use tidegate::api::manifests::manifests;

/// Far below the 256 KiB that annotations may take, so that client-side apply works too.
const SIZE_MAX: usize = 200_000;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

#[test]
fn the_files_are_those_of_the_types() {
    let expected = manifests();
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let names: Vec<&String> = expected.iter().map(|(name, _)| name).collect();
    assert_eq!(
        found.iter().collect::<Vec<_>>(),
        names,
        "run `cargo run -- crds --out crds`"
    );
    for (name, yaml) in &expected {
        let file = std::fs::read_to_string(folder().join(name)).unwrap();
        assert!(
            file == *yaml,
            "crds/{name} differs from src/api: run `cargo run -- crds --out crds`"
        );
    }
}

#[test]
fn every_file_is_small_and_says_the_same_as_the_type() {
    for ((name, yaml), crd) in manifests().iter().zip(by_file_name()) {
        assert!(yaml.len() < SIZE_MAX, "{name} has {} bytes", yaml.len());
        assert!(crd.to_string().len() < SIZE_MAX, "{name} as JSON");
        let read: Value = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(read, crd, "{name} is read back as something else");
    }
}

fn by_file_name() -> Vec<Value> {
    let mut crds: Vec<Value> = tidegate::api::crds()
        .iter()
        .map(|crd| serde_json::to_value(crd).unwrap())
        .collect();
    crds.sort_by_key(|crd| crd["spec"]["names"]["plural"].to_string());
    crds
}
