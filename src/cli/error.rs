//! How the plugin fails: what happened, where, and what to do about it; and the exit codes.

use std::fmt::Write as _;

use super::client::Asked;

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `status --wait`: Healthy.
    Done = 0,
    /// Refused, before or after the request was written.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// Not in time.
    TimedOut = 3,
    /// The cluster could not be asked.
    NoAnswer = 4,
    /// The version was given up; stable serves.
    Aborted = 5,
    /// Something is wrong that needs a person.
    Broken = 6,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// What was typed cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// A check before the write, or the controller, said no.
    #[error("{0}")]
    Refused(String),
    /// Nobody answered in time.
    #[error("{0}")]
    TimedOut(String),
    /// There is no way to a cluster.
    #[error(
        "no kubeconfig: looked at {looked}, and this is no pod with a ServiceAccount ({inside}). Give --kubeconfig FILE or set KUBECONFIG"
    )]
    NoKubeconfig {
        /// Where it was looked for.
        looked: String,
        /// Why the pod's own credentials do not serve.
        inside: String,
    },
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The context is not in the kubeconfig.
    #[error("{}", no_context(.wanted.as_deref(), .known))]
    NoContext {
        /// The context that was asked for; none: there is no current one.
        wanted: Option<String>,
        /// Those that there are.
        known: Vec<String>,
    },
    /// No connection.
    #[error("cannot reach the API server{} ({context}): {problem}. Is the cluster up, and the VPN or tunnel to it? `kubectl cluster-info` asks the same server", at(.server))]
    Unreachable {
        /// Its address, where known.
        server: String,
        /// The context in use.
        context: String,
        /// What went wrong.
        problem: String,
    },
    /// The credentials are not accepted.
    #[error(
        "the API server does not accept the credentials of {who} ({context}): {problem}. Log in again, or choose another context"
    )]
    Unauthorized {
        /// The user.
        who: String,
        /// The context in use.
        context: String,
        /// What the server said.
        problem: String,
    },
    /// RBAC says no.
    #[error(
        "{who} ({context}) may not {0} {1} {2}: {problem}. Needed is the verb {0:?} on {1} {2}; \
         `kubectl auth can-i {0} {1} {3}` tells whether it is there",
        .asked.verb, .asked.resource, .asked.place(), .asked.flag()
    )]
    Forbidden {
        /// The user.
        who: String,
        /// The context in use.
        context: String,
        /// What was asked.
        asked: Box<Asked>,
        /// What the server said.
        problem: String,
    },
    /// There is no such Rollout.
    #[error("there is no Rollout {name:?} in namespace {namespace} ({context}). {hint}")]
    NotFound {
        /// The name that was asked for.
        name: String,
        /// Where.
        namespace: String,
        /// The context in use.
        context: String,
        /// Similar names, or where there is one.
        hint: String,
    },
    /// Something else that is needed is not there, or may not be read.
    #[error("{0}")]
    Missing(String),
    /// The metrics source gave no answer that can be used.
    #[error("{0}")]
    Metrics(String),
    /// The custom resources are not there.
    #[error(
        "Tidegate's resources are not installed in this cluster ({context}): the API server does not know {resource}. Install the chart (helm install tidegate charts/tidegate -n tidegate-system --create-namespace), or the resources alone (tidegate crds | kubectl apply --server-side -f -). If they are in another cluster, choose its --context"
    )]
    NotInstalled {
        /// What is missing.
        resource: &'static str,
        /// The context in use.
        context: String,
    },
    /// The answer is not what this version of the plugin knows.
    #[error("the answer about {resource} is not what this plugin ({}) can read: {problem}. Plugin and installed resources are probably of different versions: `kubectl tidegate version` compares them", env!("CARGO_PKG_VERSION"))]
    Unreadable {
        /// `plural.group`.
        resource: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// Anything else that the API server said.
    #[error(
        "the API server refused to {} {} {} ({context}): {problem}",
        .asked.verb, .asked.resource, .asked.place()
    )]
    Api {
        /// What was asked.
        asked: Box<Asked>,
        /// The context in use.
        context: String,
        /// What the server said.
        problem: String,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

impl CliError {
    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Usage(_) => Exit::Usage,
            CliError::Refused(_) => Exit::Refused,
            CliError::TimedOut(_) => Exit::TimedOut,
            CliError::NoKubeconfig { .. }
            | CliError::Kubeconfig(_)
            | CliError::NoContext { .. }
            | CliError::Unreachable { .. }
            | CliError::Unauthorized { .. }
            | CliError::Forbidden { .. }
            | CliError::NotFound { .. }
            | CliError::Missing(_)
            | CliError::Metrics(_)
            | CliError::NotInstalled { .. }
            | CliError::Unreadable { .. }
            | CliError::Api { .. }
            | CliError::Output(_) => Exit::NoAnswer,
        }
    }

    /// Whether the reader of the output has gone, which is no failure (`… | head`).
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, CliError::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

fn at(server: &str) -> String {
    if server.is_empty() {
        String::new()
    } else {
        format!(" at {server}")
    }
}

fn no_context(wanted: Option<&str>, known: &[String]) -> String {
    let mut text = match wanted {
        Some(name) => format!("the kubeconfig has no context {name:?}."),
        None => "the kubeconfig has no current-context.".to_owned(),
    };
    // Writing into a String cannot fail.
    let _ = match known {
        [] => write!(
            text,
            " It has no contexts at all; give another file by --kubeconfig"
        ),
        known => write!(text, " Give --context with one of: {}", known.join(", ")),
    };
    text
}
