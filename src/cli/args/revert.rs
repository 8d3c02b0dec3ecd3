//! Arguments of `revert`.

use clap::{Args, Subcommand};

use super::{KINDS, WaitArgs, check_name};

/// Words that may stand before a Revert's name.
const REVERT_KINDS: [&str; 5] = [
    "revert",
    "reverts",
    "tgrv",
    "revert.tidegate.io",
    "reverts.tidegate.io",
];

/// `revert`
#[derive(Args, Debug)]
pub struct Reverting {
    /// What.
    #[command(subcommand)]
    pub what: RevertCommand,
}

/// What can be said of a Revert, or to the Git writer about it.
#[derive(Subcommand, Debug)]
pub enum RevertCommand {
    /// Say how far the change is out of Git, with its diff, and what to do
    Show(OfRevert),
    /// Print the diff that takes the change out of Git, or say why there is none
    #[command(after_help = "\
Example:
  kubectl tidegate revert plan checkout | git apply --unidiff-zero

With spec.gitRevert.mode DryRun a plan is all that is made of an abort.")]
    Plan(OfRevert),
    /// Let the Git writer try now, also where it has given up
    #[command(after_help = "\
It is for after something was mended: rights, credentials, the repository. What the branch says now counts:
what others have changed since is not touched.")]
    Retry(AskRevert),
    /// Keep the Git writer from writing: a person does it, or nobody does
    #[command(after_help = "\
What was pushed already stays. The version stays rejected; `revert release` ends that.")]
    Decline(AskRevert),
    /// Take the rejection back: the version may be rolled out again
    #[command(after_help = "\
A Revert that is not pushed yet is not pushed any more. `kubectl tidegate retry ROLLOUT` releases the version, too,
and starts it at once.")]
    Release(OfRevert),
}

impl RevertCommand {
    /// Whether it only looks.
    #[must_use]
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Show(_) | Self::Plan(_))
    }
}

/// The Revert that a command is about.
#[derive(Args, Debug, Clone)]
pub struct OfRevert {
    /// Name of a Revert, or of a Rollout: its newest one; revert/NAME and rollout/NAME say which
    #[arg(value_name = "NAME")]
    revert: String,
}

/// A command that the Git writer answers.
#[derive(Args, Debug)]
pub struct AskRevert {
    /// Which.
    #[command(flatten)]
    pub of: OfRevert,
    /// How long.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOf<'a> {
    /// A Revert's.
    Revert(&'a str),
    /// A Rollout's.
    Rollout(&'a str),
    /// One of both; the Revert's if there is such a one.
    Either(&'a str),
}

impl OfRevert {
    /// Whose name it is.
    ///
    /// # Errors
    /// A sentence, when it can be nobody's.
    pub fn name(&self) -> Result<NameOf<'_>, String> {
        let (of, name) = match self.revert.split_once('/') {
            Some((kind, name)) if REVERT_KINDS.contains(&kind) => (NameOf::Revert(name), name),
            Some((kind, name)) if KINDS.contains(&kind) => (NameOf::Rollout(name), name),
            Some((kind, _)) => {
                return Err(format!(
                    "{kind:?} is not a kind that this command knows: give the name of a Revert or a Rollout, revert/NAME, or rollout/NAME"
                ));
            }
            None => (NameOf::Either(&self.revert), self.revert.as_str()),
        };
        check_name("the name", name).map(|()| of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_say_whose_it_is() {
        let of = |text: &str| {
            let named = OfRevert {
                revert: text.to_owned(),
            };
            named.name().map(|of| format!("{of:?}"))
        };
        for (text, says) in [
            ("checkout", "Either(\"checkout\")"),
            (
                "revert/checkout-77cd81f200-1",
                "Revert(\"checkout-77cd81f200-1\")",
            ),
            ("tgrv/a", "Revert(\"a\")"),
            ("rollout/checkout", "Rollout(\"checkout\")"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(says), "{text}");
        }
        for (text, says) in [
            ("deployment/a", "not a kind"),
            ("a?watch=1", "cannot be right"),
            ("revert/", "cannot be right"),
            ("", "cannot be right"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
