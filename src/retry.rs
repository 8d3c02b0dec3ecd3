//! The one backoff policy.
