//! What can go wrong between the controller and the API server, one variant per thing that is
//! answered differently.

use std::time::Duration;

/// Why a Rollout could not be brought further this time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not the one that the decision was made from: observe again. Never a verdict.
    #[error("{what}: it has changed since it was read")]
    Conflict {
        /// The write.
        what: String,
    },
    /// The API server did not answer in time; the outcome is unknown.
    #[error("{what}: no answer within {} s", limit.as_secs())]
    Timeout {
        /// The call.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The API server asks to be left alone for a while.
    #[error("{what}: the API server is busy; again in {} s", retry_after.as_secs())]
    Busy {
        /// The call.
        what: String,
        /// For how long.
        retry_after: Duration,
    },
    /// A disruption budget forbids it for now.
    #[error("{what}: {reason}")]
    Held {
        /// The write.
        what: String,
        /// What the API server says.
        reason: String,
    },
    /// The API server will not have a ReplicaSet: because of its template, an admission webhook or a
    /// quota.
    #[error("create ReplicaSet {replica_set}: {reason}")]
    Refused {
        /// Its name.
        replica_set: String,
        /// What the API server says.
        reason: String,
    },
    /// The API server refused.
    #[error("{what}")]
    Api {
        /// The call.
        what: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// What is planned cannot be carried out on what was read.
    #[error("{what}: {reason}")]
    NotPossible {
        /// The write.
        what: String,
        /// Why.
        reason: String,
    },
    /// An object does not have the form that its kind has.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// The object.
        what: String,
        /// Why.
        reason: String,
    },
    /// A defect of Tidegate's, kept to the one Rollout that shows it.
    #[error("the decision panicked: {reason}; this is a defect of Tidegate, please report it")]
    Panicked {
        /// The panic's message.
        reason: String,
    },
}

impl Error {
    /// One word, for the metric.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "Conflict",
            Self::Timeout { .. } => "Timeout",
            Self::Busy { .. } => "Busy",
            Self::Held { .. } => "Held",
            Self::Refused { .. } => "Refused",
            Self::Api { .. } => "Api",
            Self::NotPossible { .. } => "NotPossible",
            Self::Unreadable { .. } => "Unreadable",
            Self::Panicked { .. } => "Panicked",
        }
    }

    /// All of it in one sentence, with the reason at the bottom once.
    #[must_use]
    pub fn chain(&self) -> String {
        match self {
            Self::Api { what, source } => format!("{what}: {}", plain(source)),
            other => other.to_string(),
        }
    }
}

/// What the API server said, without the wrapping of the client library.
fn plain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

/// That a ReplicaSet was refused, not only now: the same would be refused again.
#[must_use]
pub fn refused_replica_set(error: Error, name: &str) -> Error {
    match (&error, code(&error)) {
        (Error::Api { source, .. }, Some(400 | 403 | 413 | 422)) => Error::Refused {
            replica_set: name.to_owned(),
            reason: plain(source),
        },
        _ => error,
    }
}

/// A write to an object that is gone was decided from old facts.
#[must_use]
pub fn gone_is_conflict(error: Error) -> Error {
    match error {
        Error::Api { what, .. } if code(&error) == Some(404) => Error::Conflict { what },
        other => other,
    }
}

/// The API server's status code, if it is its answer.
#[must_use]
pub fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api { source, .. } => match source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        _ => None,
    }
}

/// Why the controller as a whole ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A cache did not fill.
    #[error(
        "after {seconds} s these kinds could not be listed: {kinds}. Are Tidegate's CRDs installed, and may \
         the ServiceAccount list and watch them?"
    )]
    CachesNotReady {
        /// Which.
        kinds: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Another process leads, or the lease could not be renewed.
    #[error(
        "leadership was lost: {reason}; the workers were stopped, the process has to start anew"
    )]
    LeaseLost {
        /// Why.
        reason: String,
    },
    /// The address for probes and metrics.
    #[error("cannot listen on {address} for probes and metrics")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A part that must run for ever ended.
    #[error("{part} ended: {reason}")]
    Ended {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
}
