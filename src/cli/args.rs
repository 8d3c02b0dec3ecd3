//! What can be typed, with help that teaches. Parsing only: nothing here asks a cluster.

mod change;
mod dashboard;
mod lint;
mod list;
mod man;
mod revert;
mod study;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::core::duration;

pub use change::{
    ChangeArgs, Create, CreateCommand, CreateRun, DryRun, Set, SetCommand, SetImage, Undo,
};
pub use dashboard::Dashboard;
pub use lint::Lint;
pub use list::{List, PhaseWord};
pub use man::Man;
pub use revert::{AskRevert, NameOf, OfRevert, RevertCommand, Reverting};
pub use study::{Analyze, Backtest, Forecast, Metrics, Moment, Study};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `status --wait`: Healthy
  1  refused: by a check before anything was written, or by the controller
  2  wrong usage
  3  not in time: no acknowledgement, or not settled yet
  4  the cluster could not be asked: kubeconfig, connection, permission, not found, not installed
  5  `status --wait`: the version was Aborted or Rejected; stable serves
  6  `status --wait`: Degraded or Invalid";

const TOP_EXAMPLES: &str = "\
Examples:
  kubectl tidegate get checkout                 what is going on, why, and what to do next
  kubectl tidegate get checkout --watch         the same, live
  kubectl tidegate why checkout                 the reason in a few sentences, with the numbers
  kubectl tidegate list -A --phase Paused       where somebody is waited for
  kubectl tidegate status checkout --wait       for pipelines: wait, and exit by the outcome
  kubectl tidegate promote checkout             end the present step and go on
  kubectl tidegate abort checkout               all traffic back to the stable version, now

A command is written as an annotation that names the revision and step it is meant for; the
controller acknowledges it in the Rollout's status, and the plugin waits for that. A command that
comes too late is refused, never applied to another version.";

/// `kubectl tidegate`
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-tidegate",
    bin_name = "kubectl tidegate",
    version,
    about = "See and steer Tidegate's Rollouts",
    after_help = format!("{TOP_EXAMPLES}\n\n{EXIT_CODES}"),
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Kubeconfig file [default: $KUBECONFIG, then ~/.kube/config, then the pod's ServiceAccount]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current-context]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the Rollout [default: the context's]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Output for scripts (json, yaml, name), or with more (wide)
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// No colours; so does the environment variable NO_COLOR, and a pipe
    #[arg(long, global = true)]
    pub no_color: bool,
    /// How long one request to the API server may take; 0: as long as it likes
    #[arg(long, global = true, default_value = "30s", value_parser = wait, value_name = "TIME")]
    pub request_timeout: Duration,
}

/// How something is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// For people, with more detail.
    Wide,
    /// `rollout.tidegate.io/<name>`, for other commands to read.
    Name,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show a Rollout: versions, pods, traffic, evidence, reverts, and what to do next
    #[command(after_help = "\
Examples:
  kubectl tidegate get checkout -n shop
  kubectl tidegate get checkout --watch       redraws in place; plain lines when piped
  kubectl tidegate get checkout -o wide       every revision, source commits, history
  kubectl tidegate get checkout -o json       {rollout, replicaSets, analysisRuns, reverts}")]
    Get(Get),
    /// List Rollouts: phase, step, weight, and what each of them waits for
    #[command(after_help = "\
Examples:
  kubectl tidegate list                            those of the namespace
  kubectl tidegate list -A --phase Paused,Aborted  those of the cluster that a person should look at
  kubectl tidegate list -l team=shop -o wide       the pods of both versions, too
  kubectl tidegate list -A -o json                 {rollouts}, each as `status -o json` has it")]
    List(List),
    /// Say why a Rollout is as it is: what it waits for, what was found, what to do next
    #[command(after_help = "\
Examples:
  kubectl tidegate why checkout -n shop
  kubectl tidegate why checkout -o json       {phase, message, why, next}")]
    Why(Named),
    /// Show what became of the last versions, and which ones there are now
    #[command(after_help = "\
Examples:
  kubectl tidegate history checkout
  kubectl tidegate history checkout -o wide   hashes and exact times, too
  kubectl tidegate history checkout -o json   {stable, canary, history}

The last ten outcomes are kept. Images, sources and times are said where something in the cluster
still tells them: the versions that there are, their ReplicaSets and the Reverts.")]
    History(Named),
    /// Print where a Rollout stands, or wait until it is settled
    #[command(after_help = format!("\
Examples:
  kubectl tidegate status checkout
  kubectl apply -f rollout.yaml && kubectl tidegate status checkout --wait --timeout 30m

With --wait a status counts only when the controller has seen the latest change of the spec. A
rollout that is Paused until somebody promotes it is waited for until the timeout.

{EXIT_CODES}"))]
    Status(Status),
    /// End the present step and go on; --full skips all that is left
    #[command(after_help = "\
Examples:
  kubectl tidegate promote checkout           one step
  kubectl tidegate promote checkout --full    all steps and analyses that are left")]
    Promote(Promote),
    /// Give the new version up: traffic goes back to stable at once
    #[command(after_help = "\
The traffic goes back as fast as stable's pods allow. What happens to the change in Git is said by
spec.gitRevert (its cause here is Manual).

Without the plugin: kubectl annotate rollout.tidegate.io NAME tidegate.io/abort=now")]
    Abort(Plain),
    /// Try an aborted or rejected version again, from its first step
    Retry(Plain),
    /// See how far a bad change is out of Git, and have a say in it
    #[command(after_help = "\
Examples:
  kubectl tidegate revert show checkout          the newest Revert of a Rollout, or one by its name
  kubectl tidegate revert plan checkout          its diff alone
  kubectl tidegate revert retry checkout         the Git writer tries now
  kubectl tidegate revert decline checkout       it writes nothing
  kubectl tidegate revert release checkout       the version may be rolled out again")]
    Revert(Reverting),
    /// Go back to the template of an earlier revision
    #[command(after_help = "\
Examples:
  kubectl tidegate undo checkout --dry-run          what would change
  kubectl tidegate undo checkout
  kubectl tidegate undo checkout --to-revision 9    `kubectl tidegate get checkout -o wide` lists them

Back at the stable version the rollout ends at once; another version goes its whole way. Where Argo CD or Flux
manage the Rollout it is refused: revert in Git. For a bad version that goes out `abort` is faster.")]
    Undo(Undo),
    /// Change a Rollout's template: images
    Set(Set),
    /// Create an AnalysisRun from a template
    Create(Create),
    /// Hold a rollout where it is, until `resume`
    Pause(Plain),
    /// End what `pause` began; a pause step is ended by `promote`
    Resume(Plain),
    /// Replace every pod by a new one of the same version, one after the other
    #[command(after_help = "\
Pods are evicted one by one while the others are available; PodDisruptionBudgets hold.")]
    Restart(Plain),
    /// Try a template on live metrics: what it asks, what it finds, how it would decide
    #[command(after_help = "\
Examples:
  kubectl tidegate analyze golden-signals --rollout checkout
  kubectl tidegate analyze golden-signals --canary 'version=\"2\"' --stable 'version=\"1\"' --last 1h
  kubectl tidegate analyze -f template.yaml --prometheus-url http://localhost:9090 --rollout checkout

Nothing in the cluster is changed. The last minutes are judged as a run would have judged them that
began then; a pass does not end it, so that all of them are seen.")]
    Analyze(Analyze),
    /// Try a template on past metrics: false aborts, time to safe, regressions that it would have found
    #[command(after_help = "\
Examples:
  kubectl tidegate backtest golden-signals --rollout checkout --from 7d
  kubectl tidegate backtest golden-signals --stable 'app=\"checkout\"' --runs 500 --seed 7
  kubectl tidegate backtest golden-signals --canary 'version=\"2\"' --stable 'version=\"1\"' \\
      --from 2026-11-29T08:00:00Z --to 2026-11-29T09:00:00Z

With --canary a past rollout is played again. Without, stable pods stand for a new version at moments
that chance chooses: whatever is aborted of these is aborted falsely. Then regressions are put into
them. Nothing in the cluster is changed.")]
    Backtest(Backtest),
    /// Say before the start what each step of a plan can find, and how long it takes
    #[command(after_help = "\
Examples:
  kubectl tidegate forecast golden-signals --rollout checkout
  kubectl tidegate forecast golden-signals --weight 5 --duration 10m --rate 200 --ratio 0.1%")]
    Forecast(Forecast),
    /// Check files: what the API server would refuse, and what the controller would hold
    #[command(after_help = "\
Examples:
  kubectl tidegate lint rollout.yaml templates/
  helm template shop ./chart | kubectl tidegate lint -
  kustomize build overlays/prod | kubectl tidegate lint - --strict
  kubectl tidegate lint rollout.yaml -o json  {objects, errors, warnings, findings}

No cluster is asked. What a Rollout names and is not among the files is a note. The exit code is 0
without errors, 1 with errors (with --strict: or warnings), 2 when something cannot be read.")]
    Lint(Lint),
    /// Versions of the plugin, the API server, the resources and the controller
    Version(Version),
    /// Serve a page in the browser: all Rollouts, live, and one page for each
    #[command(after_help = "\
Examples:
  kubectl tidegate dashboard                  all namespaces that may be listed, on a free port
  kubectl tidegate dashboard -n shop --port 8090
  kubectl tidegate dashboard --read-only      to look at; nothing can be asked for

It listens on loopback and acts with your own rights: what you may not do with kubectl cannot be done
there. The address has a key, without which others on this machine are not let in.")]
    Dashboard(Dashboard),
    /// Print a completion script for a shell, or for kubectl itself
    #[command(after_help = "\
Examples:
  source <(kubectl-tidegate completion bash)
  kubectl-tidegate completion zsh > \"${fpath[1]}/_kubectl-tidegate\"

For `kubectl tidegate <Tab>`, with names of Rollouts from the cluster:
  kubectl-tidegate completion kubectl > /usr/local/bin/kubectl_complete-tidegate
  chmod +x /usr/local/bin/kubectl_complete-tidegate")]
    Completion(Completion),
    /// Write the manual pages, for packages
    #[command(hide = true)]
    Man(Man),
    /// What kubectl asks a plugin for when Tab is pressed
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete(Complete),
}

/// The Rollout that a command is about.
#[derive(Args, Debug, Clone)]
pub struct Target {
    /// Name of the Rollout; rollout/NAME is understood too
    #[arg(value_name = "ROLLOUT")]
    first: String,
    /// So that `get rollout NAME` works for those whose fingers know it.
    #[arg(hide = true, value_name = "NAME")]
    second: Option<String>,
}

/// Words that may stand before a Rollout's name.
const KINDS: [&str; 5] = [
    "rollout",
    "rollouts",
    "tgr",
    "rollout.tidegate.io",
    "rollouts.tidegate.io",
];

/// The longest name that the API takes.
const NAME_MAX: usize = 253;

impl Target {
    /// A target as if it had been typed.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            first: name.to_owned(),
            second: None,
        }
    }

    /// The name alone.
    ///
    /// # Errors
    /// A sentence, when it is no name of a Rollout.
    pub fn name(&self) -> Result<&str, String> {
        let name = match &self.second {
            Some(name) if KINDS.contains(&self.first.as_str()) => name,
            Some(second) => {
                return Err(format!(
                    "one Rollout at a time: {:?} and {second:?} were given",
                    self.first
                ));
            }
            None => match self.first.split_once('/') {
                Some((kind, name)) if KINDS.contains(&kind) => name,
                Some((kind, _)) => {
                    return Err(format!(
                        "{kind:?} is not a kind that this command knows: give the name of a Rollout, or rollout/NAME"
                    ));
                }
                None => &self.first,
            },
        };
        check_name("the Rollout's name", name).map(|()| name)
    }
}

/// Refuses what cannot be the name of an object, before it becomes part of a URL.
///
/// # Errors
/// A sentence with the value and what is allowed.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=NAME_MAX).contains(&name.len())
        && name.chars().all(inner)
        && name.starts_with(edge)
        && name.ends_with(edge);
    if good {
        Ok(())
    } else {
        Err(format!(
            "{what} {name:?} cannot be right: lower-case letters, digits, '-' and '.' are allowed, with a letter or digit at both ends"
        ))
    }
}

/// `get`
#[derive(Args, Debug)]
pub struct Get {
    /// Which.
    #[command(flatten)]
    pub target: Target,
    /// Stay and show every change, until Ctrl-C or until the Rollout is deleted
    #[arg(short, long)]
    pub watch: bool,
}

/// A command that only looks at a Rollout.
#[derive(Args, Debug)]
pub struct Named {
    /// Which.
    #[command(flatten)]
    pub target: Target,
}

/// `status`
#[derive(Args, Debug)]
pub struct Status {
    /// Which.
    #[command(flatten)]
    pub target: Target,
    /// Wait until the Rollout is Healthy, Aborted, Rejected, Degraded or Invalid
    #[arg(short, long)]
    pub wait: bool,
    /// How long to wait; 0: for ever
    #[arg(long, requires = "wait", default_value = "10m", value_parser = wait, value_name = "TIME")]
    pub timeout: Duration,
}

/// `promote`
#[derive(Args, Debug)]
pub struct Promote {
    /// Which.
    #[command(flatten)]
    pub target: Target,
    /// Skip all steps and analyses that are left: the new version becomes stable
    #[arg(long)]
    pub full: bool,
    /// How long.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// A command without flags of its own.
#[derive(Args, Debug)]
pub struct Plain {
    /// Which.
    #[command(flatten)]
    pub target: Target,
    /// How long.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// How long a command waits for its acknowledgement.
#[derive(Args, Debug, Clone, Copy)]
pub struct WaitArgs {
    /// How long to wait for the controller's answer
    #[arg(long, default_value = "30s", value_parser = wait, value_name = "TIME")]
    pub timeout: Duration,
    /// Write the request and do not wait for the controller's answer
    #[arg(long)]
    pub no_wait: bool,
}

/// `version`
#[derive(Args, Debug)]
pub struct Version {
    /// Only the plugin's own version; asks no cluster
    #[arg(long)]
    pub client: bool,
}

/// `completion`
#[derive(Args, Debug)]
pub struct Completion {
    /// For which shell; kubectl: the helper that kubectl calls for its plugins
    #[arg(value_enum)]
    pub shell: Shell,
}

/// What completion scripts are there.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    PowerShell,
    /// elvish
    Elvish,
    /// `kubectl_complete-tidegate`
    Kubectl,
}

/// `__complete`
#[derive(Args, Debug)]
pub struct Complete {
    /// The words so far; the last one is to be completed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// A duration as people write it; `0` means without limit.
fn wait(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let time = duration::parse(text).map_err(|e| e.to_string())?;
    Duration::try_from(time).map_err(|e| e.to_string())
}
