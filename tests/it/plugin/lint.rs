//! `lint`: files in, remarks out. No server is there.

use std::path::Path;

use clap::Parser;
use serde_json::Value;
use tidegate::cli::args::Cli;
use tidegate::cli::error::{CliError, Exit};
use tidegate::cli::terminal::{Screen, Terminal};

const ROLLOUT: &str = "\
apiVersion: tidegate.io/v1alpha1
kind: Rollout
metadata: {name: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: app, image: 'r/app:v1'}]}
  strategy:
    canary:
      stableService: stable
      canaryService: canary
      trafficRouting: {gatewayAPI: {httpRoutes: [{name: shop}]}}
      steps:
        - setWeight: 20
        - analysis: {templates: [{name: errors}]}
";

const BESIDE: &str = "\
---
apiVersion: v1
kind: Service
metadata: {name: stable}
spec: {selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: canary}
spec: {selector: {app: another}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  rules: [{backendRefs: [{name: stable, port: 80}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: old}
spec: {template: {metadata: {labels: {app: shop}}}}
";

/// Runs `lint` with these words.
async fn lint(words: &[&str]) -> (Exit, String) {
    let words = ["kubectl-tidegate", "lint"].iter().chain(words);
    let cli = Cli::try_parse_from(words).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let nobody = Err(CliError::Usage("nobody is asked".to_owned()));
    let exit = {
        let mut terminal = Terminal::new(&mut out, &mut err, Screen::default());
        Box::pin(tidegate::cli::run(&cli, nobody, &mut terminal)).await
    };
    (exit, String::from_utf8(out).unwrap())
}

/// Runs `lint` on a file with this text.
pub async fn lint_text(text: &str, flags: &[&str]) -> (Exit, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let words: Vec<&str> = [file].into_iter().chain(flags.iter().copied()).collect();
    let (exit, out) = lint(&words).await;
    (exit, out.replace(file, "FILE"))
}

#[tokio::test]
async fn what_is_not_among_the_files_is_a_note() {
    let (exit, out) = lint_text(ROLLOUT, &["--strict"]).await;
    assert_eq!(exit, Exit::Done, "{out}");
    for said in [
        "FILE:12:7: note: Rollout shop: spec.strategy.canary.stableService: Service stable is not",
        "FILE:17:35: note: Rollout shop: spec.strategy.canary.steps[1].analysis.templates[0].name: \
         AnalysisTemplate errors is not",
        "HTTPRoute shop is not among the files",
    ] {
        assert!(out.contains(said), "no {said:?} in\n{out}");
    }
}

#[tokio::test]
async fn what_stands_beside_is_held_against_the_rollout() {
    let (exit, out) = lint_text(&format!("{ROLLOUT}{BESIDE}"), &[]).await;
    assert_eq!(exit, Exit::Refused, "{out}");
    for said in [
        "FILE:13:7: error: Rollout shop: spec.strategy.canary.canaryService: Service canary: its \
         selector has app=another",
        "error: Rollout shop: spec.strategy.canary.trafficRouting.gatewayAPI.httpRoutes[0]",
        "warning: Rollout shop: spec.selector.matchLabels: the pods of Deployment old",
    ] {
        assert!(out.contains(said), "no {said:?} in\n{out}");
    }
}

#[tokio::test]
async fn warnings_fail_where_they_are_to() {
    let mended = BESIDE.replace("another", "shop").replace(
        "{name: stable, port: 80}]",
        "{name: stable, port: 80}, {name: canary, port: 80}]",
    );
    let text = format!("{ROLLOUT}{mended}");
    assert_eq!(lint_text(&text, &[]).await.0, Exit::Done);
    assert_eq!(lint_text(&text, &["--strict"]).await.0, Exit::Refused);
}

#[tokio::test]
async fn texts_that_are_no_manifests_are_named() {
    for (text, said) in [
        ("a: [\n", "FILE:"),
        (
            "spec:\n{{- if .Values.on }}\n  a: 1\n{{- end }}\n",
            "helm template",
        ),
        (
            "apiVersion: tidegate.io/v1alpha1\nkind: Rollout\nmetadata: {name: '{{ .Values.n }}'}\n",
            "helm template",
        ),
        (
            "apiVersion: tidegate.io/v1\nkind: Rollout\nmetadata: {name: a}\n",
            "no matches for kind \"Rollout\" in version \"tidegate.io/v1\"",
        ),
        (
            "a: 1\na: 2\n",
            "FILE:2:1: error: key \"a\" already set in map",
        ),
    ] {
        let (exit, out) = lint_text(text, &[]).await;
        assert_eq!(exit, Exit::Refused, "{text}: {out}");
        assert!(out.contains(said), "no {said:?} in {out}");
    }
    let (exit, out) = lint_text("", &["--strict"]).await;
    assert_eq!(exit, Exit::Refused, "{out}");
    assert_eq!(lint(&["/there/is/no/such.yaml"]).await.0, Exit::Usage);
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["kubectl-tidegate", "man", folder.path().to_str().unwrap()];
    let cli = Cli::try_parse_from(words).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let nobody = Err(CliError::Usage("nobody is asked".to_owned()));
    let mut terminal = Terminal::new(&mut out, &mut err, Screen::default());
    let exit = Box::pin(tidegate::cli::run(&cli, nobody, &mut terminal)).await;
    assert_eq!(exit, Exit::Done);
    for page in [
        "kubectl-tidegate.1",
        "kubectl-tidegate-lint.1",
        "kubectl-tidegate-abort.1",
    ] {
        let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
    assert!(!folder.path().join("kubectl-tidegate-__complete.1").exists());
}

#[tokio::test]
async fn a_hostile_name_cannot_move_the_cursor() {
    let text = "apiVersion: tidegate.io/v1alpha1\nkind: Rollout\nmetadata: {name: \"a\\e[2J\"}\n";
    let (exit, out) = lint_text(text, &[]).await;
    assert_eq!(exit, Exit::Refused);
    assert!(!out.contains('\u{1b}') && out.contains("[2J"), "{out:?}");
}

#[tokio::test]
async fn what_the_project_ships_is_clean() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (folder, at_least) in [("examples", 8), ("analysis-templates", 15), ("crds", 0)] {
        let path = root.join(folder);
        let (exit, out) = lint(&[path.to_str().unwrap(), "-o", "json"]).await;
        assert_eq!(exit, Exit::Done, "{out}");
        let said: Value = serde_json::from_str(&out).unwrap();
        assert!(
            said["objects"].as_u64().unwrap() >= at_least,
            "{folder}: {said}"
        );
    }
}
