//! What the API server and the template reader make of every file.

use crate::examples::{apply, kind, name, objects};
use serde_json::json;
use tidegate::api::analysis::AnalysisRunSpec;
use tidegate::sim::apiserver::{ApiServer, ApiServerConfig};

use super::{NAMESPACE, args, files, frozen, object, run, template};

#[test]
fn an_arg_that_is_required_is_asked_for_by_name() {
    let mut required = 0;
    for file in files().keys() {
        for arg in template(file).args {
            let mut given = args(file);
            let was_given = given.remove(&arg.name).is_some();
            let result = frozen(file, &given);
            if arg.value.is_some() {
                assert!(!was_given, "{file}: {} has a default", arg.name);
                assert!(result.is_ok(), "{file}: {:?}", result.err());
                continue;
            }
            required += 1;
            let problems = result.expect_err(file);
            let at = format!("{}: spec.args[{}]", name(&object(file)), arg.name);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert_eq!(problems[0].at, at);
            assert!(problems[0].message.contains("has no value"), "{problems:?}");
        }
    }
    assert_eq!(required, 5, "the test has seen what it is about");
}

#[test]
fn a_run_that_is_written_down_is_read_back_the_same() {
    for file in files().keys() {
        let spec = run(file);
        let text = serde_json::to_string(&spec).unwrap();
        let back: AnalysisRunSpec = serde_json::from_str(&text).unwrap();
        assert_eq!(back, spec, "{file}");
        // `$(arm)` alone is left, and no arg of a run is asked for again.
        let left = text.replace("$(arm)", "");
        assert!(!left.contains("$("), "{file}: {text}");
    }
}

#[tokio::test]
async fn every_template_is_accepted_by_the_api_server() {
    let crds = tidegate::api::crds();
    let server = ApiServer::new(ApiServerConfig::default().with_crds(&crds)).unwrap();
    server
        .add(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))
        .unwrap();
    let client = server.client(NAMESPACE);
    for (file, text) in files() {
        let template = object(&file);
        assert_eq!(kind(&template), "ClusterAnalysisTemplate", "{file}");
        apply(&client, &template)
            .await
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        // The README's sed, for a Tidegate of one namespace.
        let namespaced = objects(&text.replace("\nkind: Cluster", "\nkind: ")).remove(0);
        assert_eq!(kind(&namespaced), "AnalysisTemplate", "{file}");
        apply(&client, &namespaced)
            .await
            .unwrap_or_else(|error| panic!("{file}, namespaced: {error}"));

        // And a run of it, as the controller creates it.
        let mut run = json!({
            "apiVersion": "tidegate.io/v1alpha1", "kind": "AnalysisRun",
            "metadata": {"name": name(&template)},
        });
        run["spec"] = serde_json::to_value(super::run(&file)).unwrap();
        apply(&client, &run)
            .await
            .unwrap_or_else(|error| panic!("{file}, its run: {error}"));

        let mut bad = template.clone();
        bad["spec"]["metrics"][0]["threshold"] = json!({"query": "up", "success": "result > 0"});
        bad["spec"]["metrics"][0]["gauge"] = json!({"query": "up"});
        let refused = apply(&client, &bad).await.unwrap_err().to_string();
        assert!(refused.contains("exactly one of"), "{refused}");
    }
}
