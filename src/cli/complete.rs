//! `__complete`: what kubectl asks when Tab is pressed after `kubectl tidegate`. Commands and flags
//! come from the definition of the arguments, names of Rollouts from the cluster.
//!
//! The answer is one candidate a line, a tab, its help; the last line says that no file names are
//! meant. A cluster that does not answer gives no names and no error: Tab must not print any.

use std::fmt::Debug;
use std::time::Duration;

use clap::CommandFactory;
use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use super::args::{Cli, Complete, Global};
use super::client::{ROLLOUTS, Session};
use super::error::{CliError, Exit};
use super::objects::REVERTS;
use super::terminal::Terminal;
use crate::api::analysis::{AnalysisTemplate, ClusterAnalysisTemplate};

/// The completion protocol's word for "no file names, no blank afterwards is left out".
const NO_FILES: &str = ":4\n";
/// How long Tab may wait for the cluster.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many names are offered.
const NAMES_MAX: u32 = 500;

/// What can come next.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These words, with their help.
    Words(Vec<(String, String)>),
    /// The name of a Rollout.
    Rollout,
    /// The name of a Revert, or of a Rollout.
    Revert,
    /// The name of an AnalysisTemplate.
    Template,
    /// The name of a ClusterAnalysisTemplate.
    ClusterTemplate,
}

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub async fn run(
    session: Result<Session, CliError>,
    terminal: &mut Terminal<'_>,
    args: &Complete,
) -> Result<Exit, CliError> {
    let start = args.words.last().cloned().unwrap_or_default();
    let words = match wanted(&args.words) {
        Wanted::Words(words) => words,
        of_cluster => match session {
            Ok(session) => names(&session, &of_cluster).await,
            Err(_) => Vec::new(),
        },
    };
    let mut answer = String::new();
    for (word, help) in words
        .into_iter()
        .filter(|(word, _)| word.starts_with(&start))
    {
        answer.push_str(&format!("{word}\t{help}\n"));
    }
    answer.push_str(NO_FILES);
    terminal.raw(answer.as_bytes())?;
    Ok(Exit::Done)
}

/// What the last of the words can be.
#[must_use]
pub fn wanted(words: &[String]) -> Wanted {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let mut root = Cli::command();
    root.build();
    let mut command = &root;
    let mut has_name = false;
    let mut value_of: Option<&clap::Arg> = None;
    for word in before {
        if value_of.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            value_of = flag(command, word).filter(|arg| takes_value(arg) && !word.contains('='));
        } else if let Some(sub) = command.find_subcommand(word).filter(|_| !has_name) {
            command = sub;
        } else {
            has_name = true;
        }
    }
    if let Some(arg) = value_of {
        return match arg.get_id().as_str() {
            "rollout" => Wanted::Rollout,
            "from_template" => Wanted::Template,
            "from_cluster_template" => Wanted::ClusterTemplate,
            _ => Wanted::Words(values(arg)),
        };
    }
    if last.starts_with('-') {
        let flags = command.get_arguments().filter(|a| !a.is_hide_set());
        let long = flags.filter_map(|a| Some((format!("--{}", a.get_long()?), help(a.get_help()))));
        return Wanted::Words(long.collect());
    }
    if command.has_subcommands() {
        let subcommands = command.get_subcommands().filter(|c| !c.is_hide_set());
        let words = subcommands.map(|c| (c.get_name().to_owned(), help(c.get_about())));
        return Wanted::Words(words.collect());
    }
    if has_name {
        return Wanted::Words(Vec::new());
    }
    let mut positionals = command.get_positionals().filter(|a| !a.is_hide_set());
    match positionals.next() {
        Some(arg) if arg.get_id() == "first" => Wanted::Rollout,
        Some(arg) if arg.get_id() == "revert" => Wanted::Revert,
        Some(arg) => Wanted::Words(values(arg)),
        None => Wanted::Words(Vec::new()),
    }
}

fn flag<'c>(command: &'c clap::Command, word: &str) -> Option<&'c clap::Arg> {
    let word = word.split('=').next().unwrap_or_default();
    command
        .get_arguments()
        .find(|arg| match word.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => arg
                .get_short()
                .is_some_and(|short| word == format!("-{short}")),
        })
}

fn takes_value(arg: &clap::Arg) -> bool {
    arg.get_action().takes_values()
}

fn values(arg: &clap::Arg) -> Vec<(String, String)> {
    let values = arg.get_possible_values();
    values
        .iter()
        .map(|v| (v.get_name().to_owned(), help(v.get_help())))
        .collect()
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|t| t.to_string().lines().next().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

/// Names from the cluster; none where it does not answer.
async fn names(session: &Session, wanted: &Wanted) -> Vec<(String, String)> {
    let found = match wanted {
        Wanted::Words(_) => Vec::new(),
        Wanted::Rollout => of(session, ROLLOUTS, &session.rollouts()).await,
        Wanted::Revert => {
            let rollouts = of(session, ROLLOUTS, &session.rollouts()).await;
            let reverts = of(session, REVERTS, &session.reverts()).await;
            rollouts.into_iter().chain(reverts).collect()
        }
        Wanted::Template => {
            let client = session.client.clone();
            let api = Api::<AnalysisTemplate>::namespaced(client, &session.namespace);
            of(session, "analysistemplates.tidegate.io", &api).await
        }
        Wanted::ClusterTemplate => {
            let api = Api::<ClusterAnalysisTemplate>::all(session.client.clone());
            of(session, "clusteranalysistemplates.tidegate.io", &api).await
        }
    };
    let without_help = |name| (name, String::new());
    found.into_iter().map(without_help).collect()
}

async fn of<K: Clone + DeserializeOwned + Debug>(
    session: &Session,
    resource: &'static str,
    api: &Api<K>,
) -> Vec<String> {
    let params = ListParams::default().limit(NAMES_MAX);
    let asked = session.asked("list", resource);
    let list = session.ask(&asked, api.list_metadata(&params));
    match tokio::time::timeout(PATIENCE, list).await {
        Ok(Ok(list)) => list
            .items
            .into_iter()
            .filter_map(|item| item.metadata.name)
            .collect(),
        _ => Vec::new(),
    }
}

/// The flags that say which cluster is meant: they stand among the words to be completed.
#[must_use]
pub fn global(words: &[String], fallback: &Global) -> Global {
    let mut global = fallback.clone();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut value = || value.clone().or_else(|| words.next().cloned());
        match flag {
            "-n" | "--namespace" => global.namespace = value(),
            "--context" => global.context = value(),
            "--kubeconfig" => global.kubeconfig = value().map(Into::into),
            _ => {}
        }
    }
    global
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_can_come_next() {
        let names = |text: &str| match wanted(&words(text)) {
            Wanted::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            of_cluster => vec![format!("a {of_cluster:?}")],
        };
        let commands = names("");
        for command in [
            "get",
            "list",
            "why",
            "history",
            "status",
            "promote",
            "abort",
            "retry",
            "revert",
            "undo",
            "set",
            "create",
            "pause",
            "resume",
            "restart",
            "analyze",
            "backtest",
            "forecast",
            "version",
            "completion",
        ] {
            assert!(
                commands.iter().any(|c| c == command),
                "{command} in {commands:?}"
            );
        }
        assert!(!commands.iter().any(|c| c == "__complete"));
        assert_eq!(names("get "), ["a Rollout"]);
        assert_eq!(names("why "), ["a Rollout"]);
        assert_eq!(names("history -o json "), ["a Rollout"]);
        assert!(names("list ").is_empty());
        assert!(names("list --phase ").contains(&"Paused".to_owned()));
        assert_eq!(names("-n shop promote chec"), ["a Rollout"]);
        assert_eq!(names("get --watch "), ["a Rollout"]);
        assert_eq!(names("analyze golden --rollout "), ["a Rollout"]);
        assert!(names("analyze ").is_empty(), "a template's name");
        assert!(names("get checkout ").is_empty());
        assert_eq!(names("undo --to-revision 3 "), ["a Rollout"]);
        let told = names("revert ");
        for word in ["show", "plan", "retry", "decline", "release"] {
            assert!(told.iter().any(|w| w == word), "{word} in {told:?}");
            assert_eq!(names(&format!("revert {word} ")), ["a Revert"]);
        }
        assert_eq!(names("set image "), ["a Rollout"]);
        assert!(names("set image checkout ").is_empty());
        let create = "create analysisrun --from";
        assert_eq!(names(&format!("{create}-template ")), ["a Template"]);
        assert_eq!(
            names(&format!("{create}-cluster-template ")),
            ["a ClusterTemplate"]
        );
        assert!(names("promote checkout --").contains(&"--full".to_owned()));
        assert!(names("abort -").contains(&"--namespace".to_owned()));
        assert_eq!(names("get checkout -o "), ["json", "yaml", "wide", "name"]);
        assert!(names("completion ").contains(&"kubectl".to_owned()));
        assert!(names("get -n ").is_empty());
    }

    #[test]
    fn the_cluster_is_the_one_that_the_words_name() {
        use clap::Parser;
        let fallback = Cli::try_parse_from(["kubectl-tidegate", "version"])
            .unwrap()
            .global;
        let global = global(&words("get -n shop --context=prod "), &fallback);
        assert_eq!(global.namespace.as_deref(), Some("shop"));
        assert_eq!(global.context.as_deref(), Some("prod"));
    }
}
