//! The flags of `tidegate git-writer`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::core::duration;

use super::credentials::CredentialSource;
use super::repo::{GitConfig, Identity, RequestConfig};
use super::source::Allowed;
use super::status::Deadlines;
use super::writer::Settings;

/// A flag that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {problem}")]
pub struct ArgsError {
    flag: &'static str,
    problem: String,
}

/// Takes bad changes out of Git, as Reverts ask for it.
#[derive(Debug, Clone, clap::Args)]
pub struct GitWriterArgs {
    /// Follow Reverts in this namespace alone; all namespaces without it
    #[arg(long, env = "TIDEGATE_NAMESPACE")]
    pub namespace: Option<String>,

    /// Repositories that may be pushed to: [NAMESPACE=]URL[/*][#BRANCH]; may be repeated. `*` in
    /// NAMESPACE and BRANCH stands for anything, URL/* for all repositories below. A repository on
    /// disk (file:///… or /…) has to be named as a whole. Without any, nothing is pushed
    #[arg(
        long = "allow-repository",
        env = "TIDEGATE_ALLOW_REPOSITORY",
        value_delimiter = ','
    )]
    pub allow_repository: Vec<Allowed>,

    /// Folder with the credentials: the files url, username, password or token, identity or
    /// ssh-privatekey, known_hosts, ca.crt; or a folder with such files for each repository. Where
    /// repositories on several hosts or by several protocols are allowed, url has to be there. For
    /// pull requests: forge (GitHub, GitLab, Gitea or Forgejo; github.com, gitlab.com and
    /// codeberg.org are known) and apiURL, if its API is elsewhere than at the repository's host
    #[arg(long, env = "TIDEGATE_GIT_CREDENTIALS")]
    pub credentials_dir: Option<PathBuf>,

    /// Folder for repositories while they are worked on; it must belong to this process alone. The
    /// system's folder for temporary files without it
    #[arg(long, env = "TIDEGATE_GIT_WORK_DIR")]
    pub work_dir: Option<PathBuf>,

    /// The git program, 2.30 or newer
    #[arg(long, env = "TIDEGATE_GIT", default_value = "git")]
    pub git: PathBuf,

    /// Name of the commits' author
    #[arg(long, env = "TIDEGATE_GIT_AUTHOR_NAME", default_value = "Tidegate")]
    pub author_name: String,

    /// E-mail address of the commits' author
    #[arg(
        long,
        env = "TIDEGATE_GIT_AUTHOR_EMAIL",
        default_value = "git-writer@tidegate.invalid"
    )]
    pub author_email: String,

    /// How long one git command may take
    #[arg(long, env = "TIDEGATE_GIT_TIMEOUT", default_value = "60s")]
    pub git_timeout: String,

    /// Most MiB that one repository may take on disk while it is worked on
    #[arg(long, env = "TIDEGATE_GIT_DISK_MIB", default_value_t = 1024,
          value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub git_disk_mib: u64,

    /// How long the cluster may take to run the stable version after the branch was put right
    #[arg(long, env = "TIDEGATE_VERIFY_TIMEOUT", default_value = "15m")]
    pub verify_timeout: String,

    /// A revert that could not be pushed is given up when the abort is this long ago
    #[arg(long, env = "TIDEGATE_MAX_AGE", default_value = "1d")]
    pub max_age: String,

    /// Most pushes to one repository within an hour
    #[arg(long, env = "TIDEGATE_PUSHES_PER_HOUR", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub pushes_per_hour: u16,

    /// Labels of the pull requests that are opened; may be repeated
    #[arg(
        long = "request-label",
        env = "TIDEGATE_REQUEST_LABELS",
        value_delimiter = ','
    )]
    pub request_label: Vec<String>,

    /// Let the forge merge a pull request by itself once its own rules (checks, approvals) allow it
    #[arg(long, env = "TIDEGATE_AUTO_MERGE")]
    pub auto_merge: bool,

    /// Whether Argo CD or Flux are asked to follow at once when a revert has landed
    #[arg(long, env = "TIDEGATE_HAND_OVER", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub hand_over: bool,

    /// Where Applications of Argo CD are that the tracking id of a Rollout names without a namespace
    #[arg(long, env = "TIDEGATE_ARGO_CD_NAMESPACE", default_value = "argocd")]
    pub argo_cd_namespace: String,

    /// Reverts that are worked on at the same time
    #[arg(long, env = "TIDEGATE_CONCURRENCY", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,

    /// File that says who is told what becomes of Reverts; it is read at the start. Nobody is told
    /// without it
    #[arg(long, env = "TIDEGATE_NOTIFICATIONS_CONFIG", value_name = "FILE")]
    pub notifications_config: Option<PathBuf>,

    /// Where /healthz, /readyz and /metrics are served; nowhere without it
    #[arg(long, env = "TIDEGATE_METRICS_ADDRESS")]
    pub metrics_address: Option<SocketAddr>,
}

impl GitWriterArgs {
    /// What the flags say, with durations read.
    pub(super) fn settings(&self) -> Result<Settings, ArgsError> {
        let time = |flag, text: &str| match duration::parse(text) {
            Ok(time) if time.is_positive() => Ok(time),
            Ok(_) => Err(ArgsError {
                flag,
                problem: "has to be longer than 0".to_owned(),
            }),
            Err(error) => Err(ArgsError {
                flag,
                problem: error.to_string(),
            }),
        };
        let timeout = time("git-timeout", &self.git_timeout)?;
        let identity = identity(&self.author_name, &self.author_email)?;
        Ok(Settings {
            git: GitConfig {
                program: self.git.clone(),
                work_dir: self.work_dir.clone(),
                credentials: self.credentials_dir.clone().map(|folder| CredentialSource {
                    folder,
                    url_needed: several_origins(&self.allow_repository),
                }),
                timeout: timeout
                    .try_into()
                    .unwrap_or(std::time::Duration::from_secs(60)),
                disk_bytes_max: self.git_disk_mib << 20,
                identity,
                requests: RequestConfig {
                    labels: self.request_label.clone(),
                    auto_merge: self.auto_merge,
                },
            },
            allowed: self.allow_repository.clone(),
            deadlines: Deadlines {
                max_age: time("max-age", &self.max_age)?,
                verify: time("verify-timeout", &self.verify_timeout)?,
            },
            pushes_per_hour: self.pushes_per_hour.into(),
            argo_cd_namespace: self.hand_over.then(|| self.argo_cd_namespace.clone()),
        })
    }
}

/// Whether repositories on more than one host are allowed, or one host is spoken to in several ways.
fn several_origins(allowed: &[Allowed]) -> bool {
    let mut origins = allowed.iter().filter_map(Allowed::origin);
    let first = origins.next();
    origins.any(|origin| Some(origin) != first)
}

/// Name and address without what would break a commit's header.
fn identity(name: &str, email: &str) -> Result<Identity, ArgsError> {
    let bad = |text: &str| text.trim().is_empty() || text.contains(['<', '>', '\n', '\0']);
    for (flag, text) in [("author-name", name), ("author-email", email)] {
        if bad(text) {
            let problem = format!("{text:?} is empty or has one of < > in it");
            return Err(ArgsError { flag, problem });
        }
    }
    Ok(Identity {
        name: name.to_owned(),
        email: email.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use jiff::SignedDuration;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        writer: GitWriterArgs,
    }

    fn parse(args: &[&str]) -> Result<Settings, String> {
        let all = std::iter::once("tidegate").chain(args.iter().copied());
        let cli = Cli::try_parse_from(all).map_err(|e| e.to_string())?;
        cli.writer.settings().map_err(|e| e.to_string())
    }

    #[test]
    fn a_credential_needs_a_url_as_soon_as_there_is_a_second_host_or_protocol() {
        let needed = |allowed: &str| {
            let args = ["--credentials-dir", "/c", "--allow-repository", allowed];
            parse(&args).unwrap().git.credentials.unwrap().url_needed
        };
        for one in [
            "https://h/a",
            "https://h/a,shop=https://H/b/*#main",
            "https://h/*,file:///srv/a",
            "git@h:a,ssh://git@h/b",
        ] {
            assert!(!needed(one), "{one}");
        }
        for several in [
            "https://h/a,https://other/a",
            "https://h/*,https://h:8443/*",
            "https://h/a,http://h/a",
            "https://h/a,git@h:a",
        ] {
            assert!(needed(several), "{several}");
        }
    }

    #[test]
    fn defaults_are_complete_and_bad_values_are_named() {
        let settings = parse(&[]).unwrap();
        assert!(settings.allowed.is_empty());
        assert_eq!(settings.deadlines.max_age, SignedDuration::from_hours(24));
        assert_eq!(settings.pushes_per_hour, 20);
        assert_eq!(settings.argo_cd_namespace.as_deref(), Some("argocd"));
        let alone = parse(&["--hand-over=false"]).unwrap();
        assert_eq!(alone.argo_cd_namespace, None);
        let two = parse(&["--allow-repository", "https://h/a,shop=https://h/b/*#main"]).unwrap();
        assert_eq!(two.allowed.len(), 2);
        for (args, expected) in [
            (
                ["--git-timeout", "soon"],
                "--git-timeout: \"soon\" is not a duration",
            ),
            (
                ["--verify-timeout", "0s"],
                "--verify-timeout: has to be longer than 0",
            ),
            (["--author-name", "a <b>"], "--author-name"),
            (["--allow-repository", "ext::sh"], "ext::sh"),
            (["--pushes-per-hour", "0"], "1..=1000"),
        ] {
            let error = parse(&args).err().unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
