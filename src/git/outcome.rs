//! What a look at a Revert comes to, and the one word that names it in conditions, events and
//! metrics. Pure.

use jiff::SignedDuration;

use crate::api::conditions::ConditionStatus;
use crate::api::revert::{PullRequest, RevertPhase};

use super::answers::GitError;
use super::credentials::CredentialError;
use super::forge::ForgeError;
use super::leaf::LeafError;
use super::resolve::Problem;
use super::revert::Refusal;
use super::source::SourceError;
use super::splice::SpliceError;
use super::yaml_tree::TreeError;

/// The condition about finding the change.
pub(super) const RESOLVED: &str = "Resolved";
/// The condition about the branch.
pub(super) const LANDED: &str = "Landed";
/// The condition about the cluster.
pub(super) const VERIFIED: &str = "Verified";
/// The condition about the GitOps tools.
pub(super) const HANDED_OVER: &str = "HandedOver";

/// When something is looked at again that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Never: no answer could be another.
    Never,
    /// Soon: somebody may mend what the writer is given.
    Soon,
    /// Seldom: somebody may mend what is in the repository, or by whom it may be changed.
    Seldom,
}

/// What was found or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Mode `Off`.
    Recorded,
    /// The change is known.
    Planned {
        id: String,
        branch: String,
        diff: String,
    },
    /// The remote took the commit.
    Pushed { commit: String },
    /// A pull request with the change waits for somebody to merge it.
    Proposed {
        request: PullRequest,
        id: String,
        branch: String,
        diff: String,
        /// Whether its branch was pushed just now.
        pushed: bool,
    },
    /// Somebody closed the pull request.
    Declined { message: String },
    /// The forge limits how often it is asked.
    Limited {
        message: String,
        wait: SignedDuration,
    },
    /// The branch holds the stable version's values; by our commit, or by somebody else's doing.
    Landed {
        commit: Option<String>,
        id: Option<String>,
        branch: String,
    },
    /// Nothing to do any more.
    Superseded {
        reason: &'static str,
        message: String,
    },
    /// It ends here, unless somebody mends it.
    Refused {
        phase: RevertPhase,
        condition: &'static str,
        reason: &'static str,
        message: String,
        again: Again,
    },
    /// A reason that may pass.
    Failed {
        condition: &'static str,
        reason: &'static str,
        message: String,
    },
    /// The GitOps tools were asked to follow, or could not be.
    HandedOver {
        value: ConditionStatus,
        reason: &'static str,
        message: String,
    },
    /// The cluster runs the stable version.
    Verified,
    /// It does not yet.
    NotVerified {
        reason: &'static str,
        message: String,
        /// Whether it is on its way, however long that takes.
        on_its_way: bool,
    },
}

impl Outcome {
    /// What a problem on the way to a plan comes to.
    pub fn of(problem: &Problem) -> Outcome {
        use RevertPhase::{NeedsHuman, Unresolvable};
        let message = match problem {
            // They say what is in the way, and not yet what to do.
            Problem::Refused(
                Refusal::Unusable { .. }
                | Refusal::NotExact { .. }
                | Refusal::ImageHalfMoved { .. },
            ) => format!("{problem}; put the stable version's values back by hand"),
            _ => problem.to_string(),
        };
        let again = |phase, reason, again| Outcome::Refused {
            phase,
            condition: RESOLVED,
            reason,
            message: message.clone(),
            again,
        };
        let refused = |phase, reason| again(phase, reason, Again::Never);
        match problem {
            Problem::SourceUnknown => refused(Unresolvable, "SourceUnknown"),
            Problem::Source(SourceError::Repository(..)) => {
                refused(Unresolvable, "InvalidRepository")
            }
            Problem::Source(SourceError::Branch(..)) => refused(Unresolvable, "NotABranch"),
            Problem::Source(SourceError::Path(..)) => refused(Unresolvable, "InvalidPath"),
            Problem::NotAllowed { .. } => again(Unresolvable, "RepositoryNotAllowed", Again::Soon),
            Problem::Git(error) => Outcome::of_git(error, RESOLVED),
            Problem::Refused(refusal) => match refusal {
                Refusal::NothingToRevert { .. } => refused(Unresolvable, "NothingToRevert"),
                Refusal::ImageNotFound { .. } => refused(NeedsHuman, "ImageNotFound"),
                Refusal::Ambiguous { .. } => refused(NeedsHuman, "Ambiguous"),
                Refusal::NotNamed { .. } => refused(NeedsHuman, "NotNamed"),
                // What is in the way stands at the branch's tip, where a person may put it right.
                Refusal::Unusable { error, .. } => {
                    again(NeedsHuman, unusable(error), Again::Seldom)
                }
                Refusal::ImageHalfMoved { .. } => {
                    again(NeedsHuman, "ImageHalfMoved", Again::Seldom)
                }
                Refusal::NotExact { error, .. } => match **error {
                    SpliceError::Shared(_) => again(NeedsHuman, "SharedValue", Again::Seldom),
                    _ => again(NeedsHuman, "NotExact", Again::Seldom),
                },
            },
        }
    }

    /// What an error of the repository comes to; `condition` is what was being done.
    pub fn of_git(error: &GitError, condition: &'static str) -> Outcome {
        use RevertPhase::{NeedsHuman, Unresolvable};
        let message = error.to_string();
        let refused = |phase, reason, again| Outcome::Refused {
            phase,
            condition,
            reason,
            message: message.clone(),
            again,
        };
        let failed = |reason| Outcome::Failed {
            condition,
            reason,
            message: message.clone(),
        };
        match error {
            GitError::NoCredentials(_) => refused(Unresolvable, "NoCredentials", Again::Soon),
            GitError::Credentials(CredentialError::WithoutUrl(_)) => {
                refused(Unresolvable, "CredentialWithoutUrl", Again::Soon)
            }
            GitError::Redirected(_) => refused(Unresolvable, "Redirected", Again::Seldom),
            GitError::NoSuchBranch(_) => refused(Unresolvable, "BranchNotFound", Again::Seldom),
            GitError::IsATag(_) => refused(Unresolvable, "NotABranch", Again::Never),
            GitError::NotInHistory(_) => refused(Unresolvable, "RevisionNotFound", Again::Seldom),
            GitError::NoSuchPath(_) => refused(Unresolvable, "FileNotFound", Again::Seldom),
            GitError::NotAFile(..) => refused(NeedsHuman, "NotAFile", Again::Never),
            GitError::TooManyFiles(_) => refused(NeedsHuman, "TooManyFiles", Again::Never),
            GitError::RateLimited(_) => failed("RateLimited"),
            GitError::Authentication(_) => failed("AuthenticationFailed"),
            GitError::HostKey(_) => failed("HostKeyMismatch"),
            GitError::NotFound(_) => failed("RepositoryNotFound"),
            GitError::Unreachable(_) => failed("Unreachable"),
            GitError::Credentials(_) => failed("CredentialsUnreadable"),
            GitError::Command(_) => failed("GitStopped"),
            GitError::WorkDir(_) => failed("NoWorkFolder"),
            GitError::Other { .. } => failed("GitFailed"),
        }
    }

    /// What an error of the forge comes to.
    pub fn of_forge(error: &ForgeError) -> Outcome {
        let message = error.to_string();
        let failed = |reason| Outcome::Failed {
            condition: LANDED,
            reason,
            message: message.clone(),
        };
        match error {
            ForgeError::Config { .. } => Outcome::Refused {
                phase: RevertPhase::NeedsHuman,
                condition: LANDED,
                reason: "InvalidForge",
                message,
                again: Again::Soon,
            },
            ForgeError::RateLimited { wait, .. } => Outcome::Limited {
                message,
                wait: *wait,
            },
            ForgeError::Credentials(_) => failed("CredentialsUnreadable"),
            ForgeError::Refused(_) => failed("ForgeRefuses"),
            ForgeError::NotFound(_) => failed("ForgeNotFound"),
            ForgeError::Unreachable(_) => failed("ForgeUnreachable"),
            ForgeError::Exists(_) | ForgeError::Other(_) => failed("ForgeFailed"),
        }
    }

    /// For the metrics and the log.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Recorded => "Recorded",
            Outcome::Planned { .. } => "Planned",
            Outcome::Pushed { .. } => "Pushed",
            Outcome::Proposed { .. } => "PullRequestOpen",
            Outcome::Declined { .. } => "Declined",
            Outcome::Limited { .. } => "RateLimited",
            Outcome::Landed { .. } => "Landed",
            Outcome::Superseded { reason, .. }
            | Outcome::Refused { reason, .. }
            | Outcome::Failed { reason, .. }
            | Outcome::HandedOver { reason, .. }
            | Outcome::NotVerified { reason, .. } => reason,
            Outcome::Verified => "Verified",
        }
    }
}

/// Why a file cannot be edited, in one word.
fn unusable(error: &LeafError) -> &'static str {
    match error {
        LeafError::TooLarge { .. } => "FileTooLarge",
        LeafError::NotUtf8 => "NotText",
        LeafError::LargeFileStorage => "LargeFileStorage",
        LeafError::Encrypted => "Encrypted",
        LeafError::Yaml(TreeError::DuplicateKey { .. }) => "DuplicateKeys",
        LeafError::Yaml(_) => "NotYaml",
        LeafError::DuplicateDocument(_) => "DuplicateDocuments",
    }
}
