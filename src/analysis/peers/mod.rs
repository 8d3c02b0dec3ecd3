//! Methods that others use or have published, as they have them: to compare ours with, and for
//! teams that migrate.
//!
//! No run uses any of them unless its template says so. Most of them lose their level when they are
//! looked at more than once; what a method promises stands in its module.

pub mod argo;
pub mod classical;
pub mod confseq;
pub mod flagger;
pub mod kayenta;
pub mod mann_whitney;
pub mod multinomial;
pub mod pipecd;
pub mod prometheus;
pub mod turner;

/// What a test asks against "no difference".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// The first is smaller.
    Less,
    /// The first is larger.
    Greater,
    /// They differ.
    TwoSided,
}

/// How a p-value is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// From the distribution of ranks without ties.
    Exact,
    /// By the normal approximation with a correction for ties.
    Asymptotic,
    /// Exact without ties and with one sample of at most 8, asymptotic otherwise.
    Auto,
}
