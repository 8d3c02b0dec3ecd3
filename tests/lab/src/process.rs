//! Programs started by the harness: their output in a file, and nothing left behind.
//!
//! Each is given a pipe as its standard input and ends when that pipe ends (`tests/cluster/
//! kubernetes/main.go`). So it ends with this process, however this process ends.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a log an error shows: enough for a component's last words.
const LOG_TAIL_LINES: usize = 25;

/// How long a program may take to end after its pipe did, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// A running program.
pub struct Program {
    name: String,
    log: PathBuf,
    command: Command,
    child: Child,
}

impl Program {
    /// Starts a component of the Kubernetes binary.
    pub fn component(tools: &Path, home: &Path, name: &str, arguments: &[String]) -> Self {
        let mut command = Command::new(tools.join("kubernetes"));
        command.arg(name).args(arguments);
        Self::start(name, home, command)
    }

    /// Starts a program that does not know the rule of the pipe, under one that does.
    pub fn foreign(tools: &Path, home: &Path, name: &str, program: &Command) -> Self {
        let mut command = Command::new(tools.join("kubernetes"));
        command
            .arg("with-parent")
            .arg(program.get_program())
            .args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        Self::start(name, home, command)
    }

    /// Starts a program that does not know the rule of the pipe where something else sees to its
    /// end: a process namespace that goes with the harness.
    pub fn start(name: &str, home: &Path, mut command: Command) -> Self {
        let log = home.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        command
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let child = spawned(name, &mut command);
        Self {
            name: name.to_owned(),
            log,
            command,
            child,
        }
    }

    /// Under which name it was started.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again as it was started, if it has ended.
    pub fn start_again(&mut self) {
        if !self.is_running() {
            self.child = spawned(&self.name, &mut self.command);
        }
    }

    /// Panics with its last words if the program has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{} ended ({status}):\n{}", self.name, self.last_words());
        }
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&mut self) {
        if self.is_running() {
            let pid = Pid::from_child(&self.child);
            kill_process(pid, Signal::TERM)
                .unwrap_or_else(|error| panic!("{} cannot be stopped: {error}", self.name));
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        crate::wait::until(&format!("{} has stopped", self.name), async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// The end of what it printed.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines[from..].join("\n")
    }
}

fn spawned(name: &str, command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not start: {error}"))
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Free loopback ports, all different.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
