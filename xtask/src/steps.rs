//! The steps of `cargo xtask test`. To add one: write its function, and give it a line in
//! [`STEPS`].

use crate::cluster;
use crate::e2e;
use crate::page;
use crate::process::{built, built_as, cargo, run, run_quietly, run_tests, words};
use crate::summary::{Outcome, Summary};
use crate::tools::{Level, Tools};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One step: its name is what `--only` and `--skip` take.
pub struct Step {
    pub name: &'static str,
    pub about: &'static str,
    run: fn(&World) -> Result<Outcome>,
    /// Which of the programs it needs that are built beside the other steps.
    tools: Option<Level>,
    /// Whether it runs at the same time as the step before it. It must print nothing meanwhile, or mark
    /// its lines.
    beside: bool,
}

const fn step(name: &'static str, about: &'static str, run: fn(&World) -> Result<Outcome>) -> Step {
    Step {
        name,
        about,
        run,
        tools: None,
        beside: false,
    }
}

const fn beside(mut step: Step) -> Step {
    step.beside = true;
    step
}

const fn with_tools(level: Level, mut step: Step) -> Step {
    step.tools = Some(level);
    step
}

/// Every step, in the order they run: the quick ones first, then those that need the Go programs,
/// which are built meanwhile.
pub const STEPS: &[Step] = &[
    step("fmt", "the sources are formatted", |world| {
        run(words(&mut cargo(&world.root), "fmt --all --check"))
    }),
    step("clippy", "no lint complains", |world| {
        let arguments = "clippy --locked --workspace --all-targets -- -D warnings";
        run(words(&mut cargo(&world.root), arguments))
    }),
    step(
        "tests",
        "unit, integration and documentation tests, without a cluster",
        |world| {
            let mut command = cargo(&world.root);
            words(&mut command, "test --locked --workspace --no-fail-fast");
            // Most of them wait for something more than they work.
            command.env("RUST_TEST_THREADS", TEST_THREADS);
            run_tests(command.env_remove(TOOLS_VARIABLE))
        },
    ),
    // Alone: its story is told in real time, and eight tests at a time leave it none.
    step(
        "demo",
        "the main job from end to end, in a world of its own",
        demo,
    ),
    step(
        "page",
        "the page in a browser: live, by keyboard, for everybody",
        |world| page::test(&world.root),
    ),
    step(
        "simulate",
        "rollouts in a simulated cluster, under faults of every kind",
        simulate,
    ),
    with_tools(
        Level::ControlPlane,
        step(
            "chart",
            "the chart and the examples, by Helm, and the alerts, by promtool",
            chart,
        ),
    ),
    with_tools(
        Level::ControlPlane,
        step(
            "control-plane",
            "a real API server, Prometheus and Git server",
            control_plane,
        ),
    ),
    // Both wait more than they work, and no request is counted on this node.
    beside(with_tools(
        Level::Node,
        step(
            "node",
            "a real node: pods, a gateway, Tidegate installed by its chart",
            |world| with_node(world, cluster::test),
        ),
    )),
    with_tools(
        Level::Node,
        step(
            "e2e",
            "rollouts on a real node under load, the short set",
            |world| with_node(world, e2e::test),
        ),
    ),
];

/// How many tests run at the same time.
const TEST_THREADS: &str = "8";

/// How many rollouts are simulated.
const SIMULATED: u32 = 10_000;

/// Names the folder with the built programs to the tests; without it they skip by name.
pub const TOOLS_VARIABLE: &str = "TIDEGATE_CLUSTER_TOOLS";

/// What the steps work on.
struct World {
    root: PathBuf,
    level: Level,
    tools: OnceLock<Result<PathBuf, String>>,
}

impl World {
    /// The folder with the Go programs, or why there is none.
    fn tools(&self) -> Result<&Path, Outcome> {
        let built = self
            .tools
            .get_or_init(|| build_tools(&self.root, self.level));
        match built {
            Ok(folder) => Ok(folder),
            Err(why) if why == "go not found" => Err(Outcome::Skipped(why.clone())),
            Err(why) => Err(Outcome::Failed(why.clone())),
        }
    }
}

impl World {
    /// What came of a step, and how long it took.
    fn carry_out(&self, step: &Step, selection: &Selection) -> (Outcome, Duration) {
        let started = Instant::now();
        let outcome = match selection.leaves_out(step.name) {
            Some(why) => Outcome::Skipped(why.to_owned()),
            None => {
                println!("\n== {}: {}", step.name, step.about);
                (step.run)(self).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
            }
        };
        (outcome, started.elapsed())
    }
}

fn build_tools(root: &Path, level: Level) -> Result<PathBuf, String> {
    Tools::build_all(root, level).map_err(|error| format!("{error:#}"))
}

/// The program that the tests have built, not a release build of the same. Started as it is:
/// `cargo run` would build it anew for this package alone.
fn demo(world: &World) -> Result<Outcome> {
    let mut build = cargo(&world.root);
    let outcome = run_quietly(words(
        &mut build,
        "test --quiet --locked --workspace --no-run --test it",
    ))?;
    if !matches!(outcome, Outcome::Passed(_)) {
        return Ok(outcome);
    }
    let mut command = Command::new(built(&world.root).join("tidegate"));
    run_quietly(words(&mut command, "demo --once --output json"))
}

/// By a program of its own: only what decides and the simulator, but optimised.
fn simulate(world: &World) -> Result<Outcome> {
    let mut build = cargo(&world.root);
    let mut outcome = run_quietly(words(
        &mut build,
        "build --quiet --locked --profile simulate --package tidegate --no-default-features \
         --features simulator --bin tidegate-simulate",
    ))?;
    let program = built_as(&world.root, "simulate").join("tidegate-simulate");
    let count = format!("--count {SIMULATED}");
    for arguments in [count.as_str(), "--crashes", "--mutants"] {
        if !matches!(outcome, Outcome::Passed(_)) {
            break;
        }
        outcome = run(words(&mut Command::new(&program), arguments))?;
    }
    Ok(outcome)
}

fn chart(world: &World) -> Result<Outcome> {
    let tools = match world.tools() {
        Ok(tools) => tools,
        Err(outcome) => return Ok(outcome),
    };
    let mut command = cargo(&world.root);
    words(
        &mut command,
        "test --locked --workspace --test it -- chart:: examples:: monitoring:: --nocapture",
    );
    run_tests(command.env(TOOLS_VARIABLE, tools))
}

fn control_plane(world: &World) -> Result<Outcome> {
    let tools = match world.tools() {
        Ok(tools) => tools,
        Err(outcome) => return Ok(outcome),
    };
    if let Some(missing) = git_http_backend_missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let mut command = cargo(&world.root);
    words(
        &mut command,
        "test --locked --workspace --test it -- cluster:: conformance:: --nocapture",
    );
    // The scenarios run beside each other: backtraces would bury what they have to say.
    run_tests(
        command
            .env(TOOLS_VARIABLE, tools)
            .env("RUST_BACKTRACE", "0"),
    )
}

/// Runs what needs a node, where there can be one.
fn with_node(world: &World, test: fn(&Path, &Path) -> Result<Outcome>) -> Result<Outcome> {
    if !cluster::is_root() {
        return Ok(Outcome::Skipped("not root".to_owned()));
    }
    if let Some(missing) = git_http_backend_missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let missing = cluster::missing(&world.root)?;
    if !missing.is_empty() {
        return Ok(Outcome::Skipped(missing.replace('\n', "; ")));
    }
    match world.tools() {
        Ok(tools) => test(&world.root, tools),
        Err(outcome) => Ok(outcome),
    }
}

/// Why no repository can be served over HTTP, if that is so.
fn git_http_backend_missing() -> Option<String> {
    let Ok(output) = Command::new("git").arg("--exec-path").output() else {
        return Some("git not found".to_owned());
    };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let backend = folder.join("git-http-backend");
    (!backend.exists()).then(|| format!("{} not found", backend.display()))
}

/// Which steps were asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection {
    only: Vec<String>,
    skip: Vec<String>,
}

impl Selection {
    /// Reads `--only STEP` and `--skip STEP`; several with commas or by repetition.
    pub fn parse(arguments: &[String]) -> Result<Self> {
        let mut selection = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let list = match flag {
                "--only" => &mut selection.only,
                "--skip" => &mut selection.skip,
                other => {
                    bail!("test: {other:?} is not known; there are --only STEP and --skip STEP")
                }
            };
            let Some(value) = value.or_else(|| arguments.next().cloned()) else {
                bail!("test: {flag} needs the name of a step: {}", names());
            };
            for name in value.split(',') {
                if !STEPS.iter().any(|step| step.name == name) {
                    bail!("test: {name:?} is not a step; there are {}", names());
                }
                list.push(name.to_owned());
            }
        }
        Ok(selection)
    }

    /// Why a step is left out, if it is.
    fn leaves_out(&self, step: &str) -> Option<&'static str> {
        if self.skip.iter().any(|name| name == step) {
            return Some("left out by --skip");
        }
        let left_out = !self.only.is_empty() && !self.only.iter().any(|name| name == step);
        left_out.then_some("not in --only")
    }
}

fn names() -> String {
    STEPS
        .iter()
        .map(|step| step.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs the steps and prints the closing table. A step that fails stops none of the others.
pub fn test(root: &Path, selection: &Selection) -> Result<ExitCode> {
    let begun = Instant::now();
    let wanted = |step: &&Step| selection.leaves_out(step.name).is_none();
    let with_node = STEPS
        .iter()
        .filter(wanted)
        .any(|step| step.tools == Some(Level::Node));
    let world = World {
        root: root.to_path_buf(),
        level: match with_node && cluster::is_root() {
            true => Level::Node,
            false => Level::ControlPlane,
        },
        tools: OnceLock::new(),
    };

    // The Go programs are built beside the Rust steps: together they use the machine better.
    let mut builder: Option<JoinHandle<_>> = STEPS
        .iter()
        .filter(wanted)
        .any(|step| step.tools.is_some())
        .then(|| {
            let (root, level) = (world.root.clone(), world.level);
            std::thread::spawn(move || build_tools(&root, level))
        });

    let mut summary = Summary::default();
    let mut steps = STEPS.iter().peekable();
    while let Some(step) = steps.next() {
        let together: Vec<&Step> = std::iter::once(step)
            .chain(std::iter::from_fn(|| steps.next_if(|next| next.beside)))
            .collect();
        if together
            .iter()
            .any(|step| step.tools.is_some() && wanted(step))
            && let Some(builder) = builder.take()
        {
            let built = builder
                .join()
                .unwrap_or_else(|_| Err("the build panicked".into()));
            let _ = world.tools.set(built);
        }
        let done: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = together
                .iter()
                .map(|&step| {
                    let world = &world;
                    let run = move || world.carry_out(step, selection);
                    (step.name, scope.spawn(run))
                })
                .collect();
            running
                .into_iter()
                .map(|(name, step)| (name, step.join().expect("a step does not panic")))
                .collect()
        });
        for (name, (outcome, time)) in done {
            summary.add(name, outcome, time);
        }
    }
    println!(
        "\nin {:.0} s\n\n{}",
        begun.elapsed().as_secs_f64(),
        summary.text().trim_end()
    );
    Ok(if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Selection> {
        Selection::parse(
            &arguments
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn steps_are_chosen_by_name_and_left_out_with_a_reason() {
        let all = parse(&[]).unwrap();
        assert!(STEPS.iter().all(|step| all.leaves_out(step.name).is_none()));
        let some = parse(&["--only", "fmt,tests", "--skip=tests"]).unwrap();
        assert_eq!(some.leaves_out("fmt"), None);
        assert_eq!(some.leaves_out("tests"), Some("left out by --skip"));
        assert_eq!(some.leaves_out("clippy"), Some("not in --only"));
    }

    #[test]
    fn an_unknown_step_or_flag_is_refused_with_what_there_is() {
        let refused = |arguments: &[&str]| parse(arguments).unwrap_err().to_string();
        assert!(refused(&["--only", "tset"]).contains("\"tset\" is not a step; there are fmt, "));
        assert!(refused(&["--fast"]).contains("--only STEP and --skip STEP"));
        assert!(refused(&["--only"]).contains("needs the name of a step"));
    }
}
