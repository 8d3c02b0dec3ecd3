//! The program of the node level: what `cargo xtask cluster` calls, and what runs in a cluster's
//! namespaces.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::process::{Command, ExitCode};
use tidegate_lab::git_http::GitServer;
use tidegate_lab::node::cluster::{self, Attached, enter};
use tidegate_lab::node::state::{Options, Ready, State};
use tidegate_lab::node::{ADDRESS, GIT_PORT, PROMETHEUS_PORT, preflight, supervisor};
use tidegate_lab::repository::{PASSWORD, USER};

/// The name of a cluster that was given none.
const NAME: &str = "lab";

const USAGE: &str =
    "tidegate-lab up [NAME] --tools DIR --repository DIR --binaries DIR [--without-tidegate] [--attached]
tidegate-lab down [NAME] | status | missing | enter NAME [--] PROGRAM [ARGUMENT]...";

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let (command, rest) = arguments.split_first().ok_or(USAGE)?;
    match command.as_str() {
        "up" => up(rest)?,
        "down" => {
            let name = rest.first().map_or(NAME, String::as_str);
            let found = cluster::down(name)?;
            println!(
                "cluster {name:?} {}",
                if found { "is gone" } else { "was not there" }
            );
        }
        "status" => status(),
        "missing" => preflight::missing()
            .iter()
            .for_each(|line| println!("{line}")),
        "enter" => return enter_with(rest),
        "init" => {
            let name = Path::new(rest.first().ok_or(USAGE)?)
                .file_name()
                .ok_or(USAGE)?;
            return Ok(supervisor::init(&State::of(&name.to_string_lossy())?));
        }
        "supervise" => supervisor::supervise(&State::of(rest.first().ok_or(USAGE)?)?),
        "git-server" => git_server(Path::new(rest.first().ok_or(USAGE)?))?,
        _ => return Err(USAGE.to_owned()),
    }
    Ok(ExitCode::SUCCESS)
}

fn up(arguments: &[String]) -> Result<(), String> {
    let mut name = NAME.to_owned();
    let (mut tools, mut repository, mut binaries) = (None, None, None);
    let (mut tidegate, mut attached) = (true, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let place = match argument.as_str() {
            "--tools" => &mut tools,
            "--repository" => &mut repository,
            "--binaries" => &mut binaries,
            "--without-tidegate" => {
                tidegate = false;
                continue;
            }
            "--attached" => {
                attached = true;
                continue;
            }
            flag if flag.starts_with('-') => return Err(format!("{flag} is not known\n{USAGE}")),
            given => {
                given.clone_into(&mut name);
                continue;
            }
        };
        let folder = arguments.next().ok_or(USAGE)?;
        *place = Some(std::fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?);
    }
    let options = Options {
        program: std::env::current_exe().map_err(|error| error.to_string())?,
        tools: tools.ok_or(USAGE)?,
        repository: repository.ok_or(USAGE)?,
        binaries: binaries.ok_or(USAGE)?,
        tidegate,
    };
    if attached {
        let cluster = Attached::up(&name, &options)?;
        println!(
            "{}",
            introduction(cluster.state(), cluster.ready(), &options)
        );
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        return Ok(());
    }
    let (state, ready) = cluster::up(&name, &options)?;
    println!("{}", introduction(&state, &ready, &options));
    Ok(())
}

/// What a person needs to know who wants to play with it.
fn introduction(state: &State, ready: &Ready, options: &Options) -> String {
    let name = state.name();
    let parts: Vec<String> = ready
        .parts
        .iter()
        .map(|(part, seconds)| format!("  {seconds:5.1} s  {part}"))
        .collect();
    format!(
        "{}
cluster {name:?} is ready after {:.1} s

kubectl      cargo xtask cluster enter {name} kubectl get pods -A
a shell      cargo xtask cluster enter {name}
kubeconfig   {} (inside its network; nsenter --net=/proc/{}/ns/net)
gateway      http://{ADDRESS}, parentRefs: [{{name: public, namespace: gateway}}]
Prometheus   http://{ADDRESS}:{PROMETHEUS_PORT}
Git          http://{ADDRESS}:{GIT_PORT} (user {USER}, password {PASSWORD}); repositories in {}
programs     {}
logs         {}/*.log

cargo xtask cluster down {name} removes all of it.",
        parts.join("\n"),
        ready.seconds,
        state.kubeconfig().display(),
        state.first().map_or(0, |pid| pid.as_raw_nonzero().get()),
        state.path("git").display(),
        options.tools.display(),
        state.folder().display(),
    )
}

fn status() {
    let all = State::all();
    if all.is_empty() {
        println!("no cluster; `cargo xtask cluster up` starts one");
    }
    for state in all {
        println!("{}", cluster::described(&state));
    }
}

/// Runs a program, or a shell, in a cluster's network, with its kubeconfig and its tools.
fn enter_with(arguments: &[String]) -> Result<ExitCode, String> {
    let (name, rest) = arguments.split_first().ok_or(USAGE)?;
    let state = State::of(name)?;
    enter(&state)?;
    let rest = rest.strip_prefix(&["--".to_owned()]).unwrap_or(rest);
    let mut command = match rest.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None => Command::new(std::env::var_os("SHELL").unwrap_or_else(|| "sh".into())),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [state.path("bin")]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).map_err(|error| error.to_string())?;
    let status = command
        .env("KUBECONFIG", state.kubeconfig())
        .env("PATH", path)
        .status()
        .map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Serves the repositories below a folder at the node's address.
fn git_server(repositories: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let address = (ADDRESS, GIT_PORT).into();
        let password = Some((USER, PASSWORD));
        let _server = GitServer::serving(address, repositories.to_path_buf(), password).await;
        std::future::pending::<()>().await;
        Ok(())
    })
}
