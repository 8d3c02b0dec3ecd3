//! Why no revert is planned: what is to go back, or how, is not certain. Pure.

use super::leaf::LeafError;
use super::splice::SpliceError;

/// Why no revert is planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No leaf belongs to the workload's change.
    #[error(
        "nothing in Git accounts for the change of {changes}: a mutable tag, a version range or a \
         value computed elsewhere; name the file in the source path, or pin the image by digest"
    )]
    NothingToRevert {
        /// The template's changes.
        changes: String,
    },
    /// Part of the change was found, but not the image.
    #[error(
        "the change of {change} is not in these files, while other changes are; revert by hand"
    )]
    ImageNotFound {
        /// Path in the pod template.
        change: String,
    },
    /// A file that holds or may hold the change cannot be edited.
    #[error("{file}: {error}")]
    Unusable {
        /// The file.
        file: String,
        /// Why.
        #[source]
        error: LeafError,
    },
    /// Several places could be meant.
    #[error(
        "the change of {change} could be any of {candidates}; name the file in the source path"
    )]
    Ambiguous {
        /// Path in the pod template.
        change: String,
        /// The places.
        candidates: String,
    },
    /// There is a place, and nothing says that it is this workload's.
    #[error(
        "the change of {change} could be {candidates}, where nothing has the name of this workload or its image; name the file in the source path"
    )]
    NotNamed {
        /// Path in the pod template.
        change: String,
        /// The place, or several.
        candidates: String,
    },
    /// A part of an image was changed since: old and new parts would be mixed.
    #[error(
        "{file}: {path} was changed since, the other parts of this image were not; together they would name an image that nobody asked for"
    )]
    ImageHalfMoved {
        /// The file.
        file: String,
        /// The part.
        path: String,
    },
    /// It cannot be done exactly.
    #[error("{file}: {error}")]
    NotExact {
        /// The file.
        file: String,
        /// Why.
        #[source]
        error: Box<SpliceError>,
    },
}
