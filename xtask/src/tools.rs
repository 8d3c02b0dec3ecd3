//! The programs that the cluster tests need, built from one Go module (`tests/cluster/go.mod`): what
//! several of them are made of is compiled once.
//!
//! Built once for a machine: they are kept in the user's cache directory under the hash of what
//! they are built from, so that a fresh clone, a second work tree or another branch builds nothing
//! twice. `target/cluster-tools` has links to the right ones.

use crate::process;
use crate::without::Without;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// A build that nobody has used for this long makes room when its successor is built. They are
/// over 60 MB each, and an old branch is rarely visited after a month.
const UNUSED_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// The lines of a failed build that are shown: the compiler's first errors fit, a dump does not.
const SHOWN_LINES: usize = 40;

/// A program and how it is built.
struct Tool {
    name: &'static str,
    package: &'static str,
    tags: &'static str,
    ldflags: &'static str,
    /// What it is built without, though it asks for it.
    without: Option<Without>,
    /// Whether only a node needs it.
    of_node: bool,
}

/// For which level of the cluster tests the programs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The control plane, with pods on paper.
    ControlPlane,
    /// The same, and what a real node needs.
    Node,
}

/// What is built, the quickest first.
const TOOLS: &[Tool] = &[
    Tool {
        name: "helm",
        package: "helm.sh/helm/v3/cmd/helm",
        tags: "",
        // What Helm's own build sets: its version, and for which Kubernetes it renders.
        ldflags: "-s -w -X helm.sh/helm/v3/internal/version.version=v3.20.2 \
                  -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
                  -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=35 \
                  -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 \
                  -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=35",
        without: None,
        of_node: false,
    },
    Tool {
        name: "kubernetes",
        package: "./kubernetes",
        tags: "",
        ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.35.4",
        without: None,
        of_node: false,
    },
    Tool {
        name: "prometheus",
        package: "github.com/prometheus/prometheus/cmd/prometheus",
        // It finds its targets in files and in Kubernetes; twenty clouds' clients stay out.
        tags: "remove_all_sd,enable_kubernetes_sd",
        ldflags: "-s -w",
        without: None,
        of_node: false,
    },
    Tool {
        // Tries the alerts out.
        name: "promtool",
        package: "github.com/prometheus/prometheus/cmd/promtool",
        tags: "remove_all_sd,enable_kubernetes_sd",
        ldflags: "-s -w",
        without: None,
        of_node: false,
    },
    Tool {
        name: "traefik",
        package: "github.com/traefik/traefik/v3/cmd/traefik",
        tags: "",
        ldflags: "-s -w -X github.com/traefik/traefik/v3/pkg/version.Version=3.6.12",
        without: Some(Without {
            module: "github.com/go-acme/lego/v4",
            file: "providers/dns/zz_gen_dns_providers.go",
            instead: "lego/dns.go",
        }),
        of_node: true,
    },
];

/// A Go compiler collects its garbage when its heap has grown by so much, in percent. Against Go's own
/// 100 a build takes an eighth less of the processor, for some hundred megabytes more.
const COMPILER_GOGC: &str = "400";

/// The folder with the built programs.
pub struct Tools;

impl Tools {
    /// Builds what is missing; returns the folder that has them by name, with the Gateway
    /// API's CRDs beside them in `gateway-api-crds`.
    pub fn build_all(root: &Path, level: Level) -> Result<PathBuf> {
        if !process::exists("go") {
            bail!("go not found");
        }
        let cache = cache_folder()?;
        let folder = root.join("target/cluster-tools");
        fs::create_dir_all(&folder)?;
        let wanted = |tool: &&Tool| !tool.of_node || level == Level::Node;
        for tool in TOOLS.iter().filter(wanted) {
            let built = tool.build(root, &cache)?;
            link(&built, &folder.join(tool.name))?;
        }
        link(&gateway_api_crds(root)?, &folder.join("gateway-api-crds"))?;
        Ok(folder)
    }
}

impl Tool {
    /// The program, built now if no earlier build of the same sources is in the cache.
    fn build(&self, root: &Path, cache: &Path) -> Result<PathBuf> {
        let module = module(root);
        let folder = cache.join(self.name);
        let entry = folder.join(self.key(&module)?);
        fs::create_dir_all(&entry)?;
        let program = entry.join(self.name);

        // One build at a time: a second work tree waits here and then finds the program.
        let lock = fs::File::create(folder.join("lock"))?;
        lock.lock()
            .with_context(|| format!("{} cannot be locked", folder.display()))?;
        if !program.exists() {
            eprintln!("xtask: building {} (some minutes, once)", self.name);
            let unfinished = entry.join(format!("{}.unfinished", self.name));
            self.compile(&module, &unfinished)?;
            fs::rename(&unfinished, &program)?;
            forget_unused(&folder, &entry);
        }
        fs::write(entry.join("last-used"), "")?;
        Ok(program)
    }

    fn compile(&self, module: &Path, output: &Path) -> Result<()> {
        let mut command = Command::new("go");
        command.arg("build");
        let mut left_out = None;
        if let Some(without) = &self.without {
            let prepared = without.prepare(module, output)?;
            command.arg("-modfile").arg(prepared.modfile());
            left_out = Some(prepared);
        }
        let built = command
            .args(["-mod=readonly", "-trimpath", "-buildvcs=false"])
            .args(["-tags", self.tags, "-ldflags", self.ldflags, "-o"])
            .arg(output)
            .arg(self.package)
            .env("CGO_ENABLED", "0")
            // The compiler's own garbage: memory for time.
            .env("GOGC", COMPILER_GOGC)
            .current_dir(module)
            .stdin(Stdio::null())
            .output()
            .context("go does not start")?;
        drop(left_out);
        if !built.status.success() {
            let errors = String::from_utf8_lossy(&built.stderr);
            let first: Vec<&str> = errors
                .lines()
                .filter(|line| !line.starts_with("go: downloading"))
                .take(SHOWN_LINES)
                .collect();
            bail!(
                "{} does not build in {}:\n{}",
                self.name,
                module.display(),
                first.join("\n")
            );
        }
        Ok(())
    }

    /// The hash of everything that decides what comes out of the build.
    fn key(&self, module: &Path) -> Result<String> {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(go(module, &["env", "GOVERSION", "GOOS", "GOARCH"])?.as_bytes());
        part(self.package.as_bytes());
        part(self.tags.as_bytes());
        part(self.ldflags.as_bytes());
        let mut sources = vec![module.join("go.mod"), module.join("go.sum")];
        if let Some(without) = &self.without {
            sources.push(module.join(without.instead));
        }
        if self.package.starts_with("./") {
            let folder = module.join(self.package);
            let own = fs::read_dir(&folder)
                .with_context(|| format!("{} is not there", folder.display()))?
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|ending| ending == "go"));
            sources.extend(own);
            sources.sort();
        }
        for source in sources {
            part(source.file_name().unwrap_or_default().as_encoded_bytes());
            part(&fs::read(&source).with_context(|| source.display().to_string())?);
        }
        Ok(hash
            .finalize()
            .iter()
            .take(12)
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }
}

fn module(root: &Path) -> PathBuf {
    root.join("tests/cluster")
}

/// `$XDG_CACHE_HOME/tidegate/tools` or `~/.cache/tidegate/tools`.
fn cache_folder() -> Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".cache"),
        _ => bail!("neither XDG_CACHE_HOME nor HOME is set: there is no place for built programs"),
    };
    Ok(base.join("tidegate/tools"))
}

/// The folder of the Gateway API's CRDs in Go's module cache, downloaded if it is not there.
fn gateway_api_crds(root: &Path) -> Result<PathBuf> {
    let module = module(root);
    go(&module, &["mod", "download", "sigs.k8s.io/gateway-api"])?;
    let folder = go(
        &module,
        &["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"],
    )?;
    let crds = Path::new(folder.trim()).join("config/crd/standard");
    if !crds.is_dir() {
        bail!("the Gateway API's CRDs are not in {}", crds.display());
    }
    Ok(crds)
}

pub fn go(module: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("go")
        .args(arguments)
        .current_dir(module)
        .stdin(Stdio::null())
        .output()
        .context("go does not start")?;
    if !output.status.success() {
        bail!(
            "go {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Points a link at another target in one step, so that a test that starts now finds one of both.
fn link(target: &Path, name: &Path) -> Result<()> {
    let next = name.with_extension(format!("{}", std::process::id()));
    let _ = fs::remove_file(&next);
    std::os::unix::fs::symlink(target, &next)?;
    fs::rename(&next, name).with_context(|| format!("{} cannot be replaced", name.display()))
}

/// Removes builds of a tool that nobody has used for long. Failing to is no reason to stop.
fn forget_unused(folder: &Path, keep: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let used = fs::metadata(entry.join("last-used")).and_then(|file| file.modified());
        let old = used.is_ok_and(|used| {
            SystemTime::now()
                .duration_since(used)
                .is_ok_and(|age| age > UNUSED_AFTER)
        });
        if old && entry != keep {
            let _ = fs::remove_dir_all(&entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with its test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("tidegate-xtask-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_build_is_known_again_until_one_of_its_sources_changes() {
        let module = Scratch::new("key");
        let tool = Tool {
            name: "any",
            package: "./any",
            tags: "",
            ldflags: "",
            without: None,
            of_node: false,
        };
        fs::write(module.path().join("go.mod"), "module any\n").unwrap();
        fs::write(module.path().join("go.sum"), "").unwrap();
        fs::create_dir_all(module.path().join("any")).unwrap();
        let main = module.path().join("any/main.go");
        fs::write(&main, "package main\n").unwrap();
        let first = tool.key(module.path()).unwrap();
        assert_eq!(first, tool.key(module.path()).unwrap());
        fs::write(module.path().join("any/notes.md"), "no source\n").unwrap();
        assert_eq!(first, tool.key(module.path()).unwrap());
        fs::write(&main, "package main // changed\n").unwrap();
        assert_ne!(first, tool.key(module.path()).unwrap());
    }

    #[test]
    fn old_builds_make_room_and_the_one_in_use_stays() {
        let folder = Scratch::new("unused");
        let old = SystemTime::now() - UNUSED_AFTER - Duration::from_secs(1);
        let entries = ["kept", "old", "recent"].map(|name| {
            let entry = folder.path().join(name);
            fs::create_dir(&entry).unwrap();
            fs::write(entry.join("last-used"), "").unwrap();
            entry
        });
        for entry in &entries[..2] {
            fs::File::open(entry.join("last-used"))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        forget_unused(folder.path(), &entries[0]);
        assert_eq!(entries.map(|entry| entry.exists()), [true, false, true]);
    }
}
