//! `kubectl tidegate` as a developer uses it: the plugin's program, under kubectl where there is
//! one, with no more rights than Kubernetes' own role `edit` in the namespace.

use super::super::table::{Bench, Decided, seconds};
use super::canary::shop;
use std::path::{Path, PathBuf};
use std::process::Output;
use tidegate_lab::control_plane::DEVELOPER;
use tidegate_lab::wait;
use tokio::process::Command;

/// A developer at her terminal.
struct Developer {
    kubeconfig: PathBuf,
    namespace: String,
    kubectl: Option<PathBuf>,
}

const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-tidegate");

impl Developer {
    async fn in_namespace(bench: &Bench) -> Self {
        let role = format!(
            "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: developers}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {DEVELOPER}}}]
"
        );
        bench.lab.apply(&bench.namespace, &role).await;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let kubectl = std::env::split_paths(&path)
            .map(|folder| folder.join("kubectl"))
            .find(|program| program.is_file());
        if kubectl.is_none() {
            bench.note("without kubectl: not in PATH".to_owned());
        }
        let developer = Self {
            kubeconfig: bench.lab.plane.kubeconfig(DEVELOPER, DEVELOPER),
            namespace: bench.namespace.clone(),
            kubectl,
        };
        wait::until_ok("the role has the chart's rights", async || {
            let output = developer.tidegate("get shop").await;
            match output.status.code() {
                Some(0) => Ok(()),
                _ => Err(words(&output)),
            }
        })
        .await;
        developer
    }

    /// `kubectl tidegate …`
    async fn tidegate(&self, arguments: &str) -> Output {
        let mut command = match &self.kubectl {
            Some(kubectl) => {
                let mut command = Command::new(kubectl);
                command.arg("tidegate");
                command
            }
            None => Command::new(PLUGIN),
        };
        command.args(arguments.split_whitespace());
        self.run(command).await
    }

    async fn run(&self, mut command: Command) -> Output {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = Path::new(PLUGIN).parent().map(Path::to_path_buf);
        let folders = own.into_iter().chain(std::env::split_paths(&path));
        command
            .args(["--namespace", &self.namespace])
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("KUBECONFIG", &self.kubeconfig)
            .kill_on_drop(true);
        let output = tokio::time::timeout(wait::DEADLINE, command.output()).await;
        output.expect("it ends").expect("it starts")
    }

    /// What `kubectl tidegate …` prints when it ends with this exit code.
    async fn ends(&self, arguments: &str, code: i32) -> String {
        let output = self.tidegate(arguments).await;
        let words = words(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {words}");
        words
    }
}

fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// See, promote, abort, retry and promote in full, each waited for and with its exit code.
pub async fn commands(bench: Bench) {
    let steps = "[{setWeight: 20}, {pause: {}}, {setWeight: 50}, {pause: {}}]";
    let shop = shop(&bench, steps).await;
    let dana = Developer::in_namespace(&bench).await;
    let lost = shop.totals().lost;
    shop.release("app:2.0").await;
    shop.at(1, 20).await;
    let seen = dana.ends("get shop", 0).await;
    for word in ["Paused", "app:2.0", "app:1.0", "20 %", "promote"] {
        assert!(seen.contains(word), "no {word:?} in:\n{seen}");
    }
    if let Some(kubectl) = &dana.kubectl {
        let mut command = Command::new(kubectl);
        command.args(["get", "rollouts"]);
        let output = dana.run(command).await;
        assert!(output.status.success(), "{}", words(&output));
        assert!(words(&output).contains("Paused"), "{}", words(&output));
    }
    dana.ends("promote shop", 0).await;
    shop.at(3, 50).await;
    dana.ends("abort shop", 0).await;
    dana.ends("status shop --wait --timeout 60s", 5).await;
    for (arguments, word) in [
        ("list -o wide", "Manual"),
        ("why shop", "was given up"),
        ("history shop", "Aborted"),
    ] {
        let seen = dana.ends(arguments, 0).await;
        assert!(seen.contains(word), "no {word:?} in:\n{seen}");
    }
    assert_eq!(shop.weight().await, 0);
    let decided = Decided::ByPerson(DEVELOPER);
    let (decided, back) = bench.abort_times(decided, ("patch httproutes", "shop"));
    bench.note(format!(
        "kubectl tidegate abort to stable weight {}",
        seconds(decided, back)
    ));
    dana.ends("retry shop", 0).await;
    let status = shop.at(1, 20).await;
    assert_eq!(status.canary.unwrap().attempt, 2);
    dana.ends("promote shop --full", 0).await;
    dana.ends("status shop --wait --timeout 60s", 0).await;
    shop.is_stable("app:2.0").await;
    shop.has_pods(&[("app:2.0", 4)]).await;
    assert_eq!(shop.totals().lost, lost);
}
