//! The step `page`: the page in a browser. Builds the two programs that it looks at, and gets what it needs: the
//! packages that the tests name, and a browser.

use crate::cluster;
use crate::process::{built, cargo, exists, run, run_quietly, words};
use crate::summary::Outcome;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a browser may be.
const BROWSERS: &[&str] = &[
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
];

/// Looks at the page.
pub fn test(root: &Path) -> Result<Outcome> {
    for program in ["node", "npm"] {
        if !exists(program) {
            return Ok(Outcome::Skipped(format!("{program} not found")));
        }
    }
    if let Some(why) = browser_missing()? {
        return Ok(Outcome::Skipped(why));
    }
    let folder = root.join("tests/page");
    let mut packages = Command::new("npm");
    packages.current_dir(&folder);
    let mut outcome = run_quietly(words(
        &mut packages,
        "ci --ignore-scripts --no-audit --no-fund",
    ))?;
    for target in ["--test it", "--example page_lab"] {
        if !matches!(outcome, Outcome::Passed(_)) {
            return Ok(outcome);
        }
        let no_run = if target.starts_with("--test") {
            "test --quiet --locked --workspace --no-run"
        } else {
            "build --quiet --locked"
        };
        outcome = run_quietly(words(&mut cargo(root), &format!("{no_run} {target}")))?;
    }
    if !matches!(outcome, Outcome::Passed(_)) {
        return Ok(outcome);
    }
    let programs = absolute(root, built(root));
    let mut look = Command::new("node");
    look.current_dir(root).args([
        folder.join("page.mjs"),
        programs.join("examples/page_lab"),
        programs.join("tidegate"),
        root.join("target/page"),
    ]);
    run(&mut look)
}

fn absolute(root: &Path, path: PathBuf) -> PathBuf {
    if path.is_absolute() {
        path
    } else {
        root.join(path)
    }
}

/// Why there is no browser, if there is none. On Debian as root it is installed.
fn browser_missing() -> Result<Option<String>> {
    let found = || BROWSERS.iter().any(|path| Path::new(path).exists());
    if found() {
        return Ok(None);
    }
    if cluster::is_root() && Path::new("/usr/bin/apt-get").exists() {
        for arguments in [
            "update --quiet",
            "install --yes --quiet --no-install-recommends chromium",
        ] {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            run_quietly(words(&mut command, arguments))?;
        }
    }
    Ok((!found()).then(|| "chromium not found".to_owned()))
}
