//! The program itself, once: a kubeconfig file, a server on loopback, a real exit code.

use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use super::failures::kubeconfig;
use super::lab::{DEADLINE, Lab, in_progress};

async fn plugin(kubeconfig: &std::path::Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-tidegate"));
    command
        .args(words.split_whitespace())
        .env("KUBECONFIG", kubeconfig)
        .kill_on_drop(true);
    tokio::time::timeout(DEADLINE, command.output())
        .await
        .expect(words)
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn the_program_finds_the_cluster_by_its_kubeconfig() {
    let lab = Lab::with(in_progress(json!({}))).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = lab.server.clone();
    let serving = tokio::spawn(async move { server.serve(listener).await });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, kubeconfig(&format!("http://{address}"), "prod")).unwrap();

    let output = plugin(&config, "get checkout").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(
        out.contains("Phase:      ◌ Progressing") && !out.contains('\u{1b}'),
        "{out}"
    );

    let (output, value) = tokio::join!(
        plugin(&config, "promote checkout -o json"),
        lab.acknowledge("promote", "Accepted")
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["value"], json!(value));
    assert!(value.ends_with(" alice@example.com"), "{value}");

    for (words, code, says) in [
        (
            "status checkout --wait --timeout 1s",
            3,
            "is not settled after 1s",
        ),
        (
            "get nothing",
            4,
            "there is no Rollout \"nothing\" in namespace shop (context prod)",
        ),
        ("resume checkout", 1, "it is not paused"),
        ("get checkout --context nowhere", 4, "one of: prod, stage"),
        ("promote", 2, "Usage: kubectl tidegate promote"),
        ("", 2, "Usage: kubectl tidegate"),
    ] {
        let output = plugin(&config, words).await;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{words}: {}",
            text(&output.stderr)
        );
        assert!(
            text(&output.stderr).contains(says),
            "{words}: {}",
            text(&output.stderr)
        );
    }
    serving.abort();
    let _ = serving.await;
    let output = plugin(&config, "get checkout").await;
    assert_eq!(output.status.code(), Some(4));
    let err = text(&output.stderr);
    assert!(
        err.contains(&format!("cannot reach the API server at http://{address}")),
        "{err}"
    );
    assert!(err.to_lowercase().contains("refused"), "{err}");

    let output = plugin(&config, "version").await;
    assert_eq!(output.status.code(), Some(0), "what cannot be told is said");
    assert_eq!(
        text(&output.stdout).matches("cannot be told").count(),
        1,
        "{output:?}"
    );

    let output = plugin(&config, "version --client").await;
    assert!(text(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
    let output = plugin(&config, "--help").await;
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Exit codes:"));
}
