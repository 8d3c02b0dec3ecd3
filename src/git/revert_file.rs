//! The revert of one file of which somebody has three versions at hand: what the Git writer does to a
//! branch, of every leaf that differs and not of a workload's alone. Pure.
//!
//! It must not be more lenient than the Git writer. So it plans with the same code, and adds only what
//! a person needs: which leaf stands how, and which document is meant.

use std::collections::BTreeSet;

use super::leaf::{DocumentId, File, Path};
use super::refusal::Refusal;
use super::revert::{AtTip, Versions, Which, at_tip, plan_revert};
use super::scope::{self, Pair};

/// Documents that are named where the selected one is not found: enough to see a slip of the pen.
const DOCUMENTS_TOLD: usize = 10;

/// One version of the file.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// What stands in it.
    pub bytes: &'a [u8],
}

/// How a leaf that went from good to bad stands at the tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It held the bad value: it goes back.
    Back,
    /// It holds the good value already.
    Done,
    /// It holds another one, or is gone: somebody's later change, which stays.
    Superseded,
}

/// A leaf in which good and bad differ. The values are as they are written in the files, on one line;
/// absent where the leaf is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafState {
    /// The document, where it has a name, and the path in it.
    pub path: String,
    /// The good value.
    pub good: Option<String>,
    /// The bad value.
    pub bad: Option<String>,
    /// The value at the tip, before the revert.
    pub tip: Option<String>,
    /// What follows from that.
    pub standing: Standing,
}

/// What a revert comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The whole text of the new tip; absent where no leaf goes back.
    pub text: Option<String>,
    /// Every leaf in which good and bad differ.
    pub leaves: Vec<LeafState>,
}

/// Why nothing is reverted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The selected document is in no version of the file.
    #[error("there is no document {document} in {files}; {there}")]
    NoDocument {
        /// What was selected.
        document: String,
        /// The files.
        files: String,
        /// The documents that there are.
        there: String,
    },
    /// What the Git writer would refuse, too.
    #[error(transparent)]
    Plan(#[from] Refusal),
}

/// Reverts in `tip` what went from `good` to `bad`: in every document, or in the selected one.
///
/// # Errors
/// [`Refused`] when one of them cannot be read, or the revert would not be exactly this change.
pub fn revert_file(
    good: Version<'_>,
    bad: Version<'_>,
    tip: Version<'_>,
    select: Option<&DocumentId>,
) -> Result<Outcome, Refused> {
    // All three, even where two are the same: of a file that cannot be read nobody knows that
    // nothing has to go back.
    let files = [parse(good)?, parse(bad)?, parse(tip)?];
    if let Some(document) = select
        && !files.iter().any(|file| holds(file, document))
    {
        return Err(Refused::NoDocument {
            document: selector(document).unwrap_or_else(|| document.to_string()),
            files: format!("{}, {} or {}", good.name, bad.name, tip.name),
            there: objects(&files),
        });
    }
    let versions = Versions {
        path: tip.name,
        good: Some(good.bytes),
        bad: Some(bad.bytes),
        tip: Some(tip.bytes),
    };
    let plan = plan_revert(&[versions], &Which::All(select))?;
    Ok(Outcome {
        text: plan.files.into_iter().next().map(|file| file.text),
        leaves: states(&files, select),
    })
}

fn parse(version: Version<'_>) -> Result<File, Refusal> {
    File::parse(version.bytes).map_err(|error| Refusal::Unusable {
        file: version.name.to_owned(),
        error,
    })
}

fn holds(file: &File, document: &DocumentId) -> bool {
    file.ids.iter().flatten().any(|id| id == document)
}

/// The leaves in which the first two of `files` differ, and how they stand in the third.
fn states(files: &[File; 3], select: Option<&DocumentId>) -> Vec<LeafState> {
    let [good, bad, tip] = files;
    let pair = Pair {
        path: "",
        good,
        bad,
    };
    let changed = scope::changed(&[pair]);
    let meant = changed
        .iter()
        .filter(|leaf| select.is_none_or(|document| &leaf.path.document == document));
    meant
        .map(|leaf| LeafState {
            path: shown(leaf.path),
            good: written(good, leaf.path),
            bad: written(bad, leaf.path),
            tip: written(tip, leaf.path),
            standing: match at_tip(tip.leaves().get(leaf.path).map(|l| &l.value), leaf) {
                AtTip::Bad => Standing::Back,
                AtTip::Good => Standing::Done,
                AtTip::Other(_) | AtTip::Gone => Standing::Superseded,
            },
        })
        .collect()
}

/// The path with the whole name of its document: two of one kind and name may differ by namespace.
fn shown(path: &Path) -> String {
    let mut text = match selector(&path.document) {
        Some(document) => {
            let keys = Path {
                document: DocumentId::Position { at: 0, of: 1 },
                segments: path.segments.clone(),
            };
            format!("{document} {keys}")
        }
        None => path.to_string(),
    };
    if path.segments.is_empty() {
        text.push_str("(all of it)");
    }
    text
}

/// A leaf's bytes. The value alone would not tell `80` from `"80"`.
fn written(file: &File, path: &Path) -> Option<String> {
    let raw = file.raw(file.leaves().get(path)?);
    Some(if raw.is_empty() {
        "null".to_owned()
    } else if raw.contains(char::is_control) {
        format!("{raw:?}")
    } else {
        raw.to_owned()
    })
}

/// The objects that stand in any of the files.
fn objects(files: &[File; 3]) -> String {
    let ids = files.iter().flat_map(|file| file.ids.iter().flatten());
    let found: BTreeSet<String> = ids.filter_map(selector).collect();
    if found.is_empty() {
        return "none of them holds an object with kind and name".to_owned();
    }
    let more = found.len().saturating_sub(DOCUMENTS_TOLD);
    let told: Vec<String> = found.into_iter().take(DOCUMENTS_TOLD).collect();
    let told = told.join(", ");
    if more == 0 {
        format!("there is {told}")
    } else {
        format!("there is {told}, and {more} more")
    }
}

/// A document as [`selected`] reads it; `None` for one that has no name.
fn selector(document: &DocumentId) -> Option<String> {
    match document {
        DocumentId::Object {
            api_version,
            kind,
            namespace,
            name,
        } => Some(format!("{api_version}/{kind}/{namespace}/{name}")),
        DocumentId::Position { .. } => None,
    }
}

/// Reads a selected document: `apps/v1/Deployment/shop/web`. The namespace is what the file says, and
/// empty where it says none.
///
/// # Errors
/// What is allowed, when it is not that.
pub fn selected(text: &str) -> Result<DocumentId, String> {
    let allowed = || {
        "write APIVERSION/KIND/NAMESPACE/NAME, as in apps/v1/Deployment/shop/web; where the file \
         says no namespace it is empty, as in apps/v1/Deployment//web or v1/ConfigMap//settings"
            .to_owned()
    };
    let parts: Vec<&str> = text.rsplitn(4, '/').collect();
    let [name, namespace, kind, api_version] = parts.as_slice() else {
        return Err(allowed());
    };
    // A version alone is one of the core group; a group alone means that the namespace was forgotten.
    let version_fits = match api_version.split_once('/') {
        Some((group, version)) => {
            !group.is_empty() && !version.is_empty() && !version.contains('/')
        }
        None => api_version
            .strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())),
    };
    if !version_fits || kind.is_empty() || name.is_empty() {
        return Err(allowed());
    }
    Ok(DocumentId::Object {
        api_version: (*api_version).to_owned(),
        kind: (*kind).to_owned(),
        namespace: (*namespace).to_owned(),
        name: (*name).to_owned(),
    })
}

#[cfg(test)]
mod tests;
