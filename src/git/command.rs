//! Runs `git` with limits: on time, on output, on disk. Nothing is inherited from our own
//! environment but what is named.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::redact::Redactor;

/// What is kept of the standard error; more than that nobody reads.
const STDERR_BYTES_MAX: usize = 32 * 1024;

/// How often a running command's use of disk is looked at.
const DISK_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// What a command may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub time: Duration,
    pub stdout_bytes: usize,
    pub disk_bytes: u64,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// True when there was more than the limit allows; `stdout` is then the beginning.
    pub cut: bool,
    /// Without secrets, on one line.
    pub stderr: String,
}

impl Output {
    /// The standard output as text, without the last line end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started or spoken to.
    #[error("git {command}: {error}")]
    Io {
        /// Which command.
        command: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It took too long and was ended.
    #[error("git {command} did not end within {seconds} s")]
    Timeout {
        /// Which command.
        command: String,
        /// How long it was given.
        seconds: u64,
    },
    /// It filled the disk and was ended.
    #[error("git {command} fetched more than the {mebibytes} MiB that are allowed")]
    Disk {
        /// Which command.
        command: String,
        /// The limit.
        mebibytes: u64,
    },
}

/// How `git` is called in one repository.
#[derive(Debug, Clone)]
pub(super) struct Git {
    pub program: PathBuf,
    pub dir: PathBuf,
    pub environment: Vec<(OsString, OsString)>,
    pub redactor: Redactor,
}

impl Git {
    /// Runs a command; `input` goes to its standard input.
    pub async fn run(
        &self,
        args: &[&str],
        extra_environment: &[(&str, &OsStr)],
        input: &[u8],
        limits: Limits,
    ) -> Result<Output, CommandError> {
        let command = args.first().copied().unwrap_or_default().to_owned();
        let io_error = |error| CommandError::Io {
            command: command.clone(),
            error,
        };
        let mut child = Command::new(&self.program)
            .args(args)
            .current_dir(&self.dir)
            .env_clear()
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .envs(extra_environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(io_error)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut group = Group {
            child,
            ended: false,
        };
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command that does not read to the end says why by its exit status.
                let _ = stdin.write_all(input).await;
            }
        };
        let work = async {
            let (_, out, err) = tokio::join!(
                feed,
                read_up_to(stdout, limits.stdout_bytes, Beyond::Stop),
                read_up_to(stderr, STDERR_BYTES_MAX, Beyond::Skip),
            );
            let (stdout, cut) = out?;
            let (stderr, _) = err?;
            // After a cut the pipe is closed, and a command that still writes ends by that.
            let status = group.child.wait().await?;
            group.ended = true;
            Ok((status, stdout, cut, stderr))
        };
        let deadline = Instant::now() + limits.time;
        let done = tokio::select! {
            done = work => done.map_err(io_error)?,
            () = tokio::time::sleep_until(deadline) => {
                return Err(CommandError::Timeout { command, seconds: limits.time.as_secs() });
            }
            () = fills(&self.dir, limits.disk_bytes) => {
                let mebibytes = limits.disk_bytes >> 20;
                return Err(CommandError::Disk { command, mebibytes });
            }
        };
        let (status, stdout, cut, stderr) = done;
        let stderr = self.redactor.scrub(&String::from_utf8_lossy(&stderr));
        Ok(Output {
            status,
            stdout,
            cut,
            stderr,
        })
    }
}

/// A command and the helpers that it started (`ssh`, `git-remote-https`): they end together,
/// also when the future that waits for them is dropped.
struct Group {
    child: Child,
    ended: bool,
}

impl Group {
    fn kill(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // It fails only when all of them have ended.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    /// Leave the rest unread.
    Stop,
    /// Read the rest and forget it.
    Skip,
}

async fn read_up_to(
    from: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
    beyond: Beyond,
) -> io::Result<(Vec<u8>, bool)> {
    let mut out = Vec::new();
    let Some(mut from) = from else {
        return Ok((out, false));
    };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return Ok((out, false));
        }
        let room = bytes_max.saturating_sub(out.len());
        out.extend(buffer.iter().take(n.min(room)));
        if n > room && beyond == Beyond::Stop {
            return Ok((out, true));
        }
    }
}

/// Ends when the folder holds more than `bytes`.
async fn fills(dir: &Path, bytes: u64) {
    let mut ticks = interval(DISK_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if size_of(dir) > bytes {
            return;
        }
    }
}

/// Bytes of all files below `dir`. What vanishes meanwhile counts nothing.
fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests;
