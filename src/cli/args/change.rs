//! Arguments of the commands that write a spec: `undo`, `set image` and `create analysisrun`.

use clap::{Args, Subcommand};

use super::study::pair;
use super::{Target, check_name};

/// How a change is made.
#[derive(Args, Debug, Clone, Default)]
pub struct ChangeArgs {
    /// Also where a GitOps tool manages the Rollout, which will undo it
    #[arg(long)]
    pub force: bool,
    /// What would change: checked by the API server, and not written
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// `--dry-run`
#[derive(Args, Debug, Clone, Default)]
pub struct DryRun {
    /// Let the API server check it, and write nothing
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "server",
        value_parser = ["server"],
        value_name = "server"
    )]
    dry_run: Option<String>,
}

impl DryRun {
    /// Whether nothing is to be written.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.dry_run.is_some()
    }
}

/// `undo`
#[derive(Args, Debug)]
pub struct Undo {
    /// Which.
    #[command(flatten)]
    pub target: Target,
    /// The revision to go back to [default: the newest of another version]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..), value_name = "NUMBER")]
    pub to_revision: Option<i64>,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

/// `set`
#[derive(Args, Debug)]
pub struct Set {
    /// What.
    #[command(subcommand)]
    pub what: SetCommand,
}

/// What can be set.
#[derive(Subcommand, Debug)]
pub enum SetCommand {
    /// Give containers other images
    #[command(after_help = "\
Examples:
  kubectl tidegate set image checkout app=r.example/checkout:1.6
  kubectl tidegate set image checkout '*=r.example/checkout:1.6' --dry-run

`*` stands for every container, init containers too.")]
    Image(SetImage),
}

/// `set image`
#[derive(Args, Debug)]
pub struct SetImage {
    /// Name of the Rollout; rollout/NAME is understood too
    #[arg(value_name = "ROLLOUT")]
    first: String,
    /// A container's name and its image
    #[arg(value_name = "CONTAINER=IMAGE", required = true, value_parser = image)]
    pub images: Vec<(String, String)>,
    /// How.
    #[command(flatten)]
    pub change: ChangeArgs,
}

impl SetImage {
    /// The Rollout's name alone.
    ///
    /// # Errors
    /// A sentence, when it is no name of a Rollout.
    pub fn name(&self) -> Result<String, String> {
        Target::named(&self.first).name().map(str::to_owned)
    }
}

/// `create`
#[derive(Args, Debug)]
pub struct Create {
    /// What.
    #[command(subcommand)]
    pub what: CreateCommand,
}

/// What can be created.
#[derive(Subcommand, Debug)]
pub enum CreateCommand {
    /// Start an AnalysisRun of one's own from a template: nothing waits for it, and nothing is aborted by it
    #[command(
        name = "analysisrun",
        visible_alias = "tgar",
        after_help = "\
Examples:
  kubectl tidegate create analysisrun --from-template golden-signals --rollout checkout
  kubectl tidegate create analysisrun --from-cluster-template errors --arg service=cart \\
      --canary 'version=\"2\"' --stable 'version=\"1\"' --ttl 1h

The template is frozen as for a Rollout. Its verdict is in the run's status:
  kubectl wait --for=jsonpath='{.status.phase}'=Successful analysisrun.tidegate.io/NAME"
    )]
    AnalysisRun(CreateRun),
}

/// `create analysisrun`
#[derive(Args, Debug)]
pub struct CreateRun {
    /// An AnalysisTemplate of the namespace
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "from_cluster_template",
        conflicts_with = "from_cluster_template"
    )]
    pub from_template: Option<String>,
    /// A ClusterAnalysisTemplate
    #[arg(long, value_name = "NAME")]
    pub from_cluster_template: Option<String>,
    /// The run's name [default: the template's, with five letters that the API server chooses]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// The Rollout whose versions are meant; it gives the args and the built-in values, too
    #[arg(long, value_name = "NAME", conflicts_with_all = ["canary", "stable"])]
    pub rollout: Option<String>,
    /// Label matchers of the new version's series, as in 'version="2"'
    #[arg(long, requires = "stable", value_name = "SELECTOR")]
    pub canary: Option<String>,
    /// Label matchers of the stable version's series
    #[arg(long, requires = "canary", value_name = "SELECTOR")]
    pub stable: Option<String>,
    /// A value for one of the template's args; may be given several times
    #[arg(long = "arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub args: Vec<(String, String)>,
    /// So long after its end it is deleted [default: it stays]
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    pub ttl: Option<i64>,
    /// How.
    #[command(flatten)]
    pub dry_run: DryRun,
}

/// Longest that a finished run is kept, in seconds: what the schema allows.
const TTL_MAX: i64 = 2_592_000;

fn ttl(text: &str) -> Result<i64, String> {
    let time = crate::core::duration::parse(text).map_err(|e| e.to_string())?;
    let seconds = time.as_secs();
    if (0..=TTL_MAX).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0s to 720h are allowed".to_owned())
    }
}

fn name(text: &str) -> Result<String, String> {
    check_name("the run's name", text).map(|()| text.to_owned())
}

/// `app=r.example/app:2`
fn image(text: &str) -> Result<(String, String), String> {
    let (container, image) = pair(text)?;
    let bad = |c: char| c.is_whitespace() || c.is_control();
    if image.is_empty() || image.contains(bad) {
        return Err(format!("{text:?}: {image:?} is no image"));
    }
    Ok((container, image))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(words: &str) -> Result<Command, String> {
        let words = std::iter::once("kubectl-tidegate").chain(words.split(' '));
        let cli = Cli::try_parse_from(words);
        cli.map(|cli| cli.command).map_err(|e| e.to_string())
    }

    #[test]
    fn images_and_dry_run_are_read() {
        let Ok(Command::Set(Set {
            what: SetCommand::Image(set),
        })) = parse("set image rollout/checkout app=r/a:2 *=r/b@sha256:00 --dry-run")
        else {
            panic!("not read");
        };
        assert_eq!(set.name().as_deref(), Ok("checkout"));
        let own = |(c, i): &(&str, &str)| ((*c).to_owned(), (*i).to_owned());
        let images: Vec<_> = [("app", "r/a:2"), ("*", "r/b@sha256:00")]
            .iter()
            .map(own)
            .collect();
        assert_eq!(set.images, images);
        assert!(set.change.dry_run.is_on() && !set.change.force);
        for (words, says) in [
            ("set image checkout", "required"),
            ("set image checkout app=", "is no image"),
            ("set image checkout r/a:2", "is no NAME=VALUE"),
            (
                "set image checkout app=r/a:2 --dry-run=client",
                "possible values: server",
            ),
            ("undo checkout --to-revision 0", "not in 1.."),
            ("create analysisrun", "required"),
            (
                "create analysisrun --from-template a --from-cluster-template b",
                "cannot be used",
            ),
            (
                "create analysisrun --from-template a --name A",
                "cannot be right",
            ),
            (
                "create analysisrun --from-template a --ttl 721h",
                "longer than the 30 days",
            ),
            (
                "create analysisrun --from-template a --canary b",
                "required",
            ),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(says), "{words}: {error}");
        }
        assert!(parse("undo checkout --to-revision 12 --dry-run=server --force").is_ok());
    }
}
