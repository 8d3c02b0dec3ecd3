//! The revert as a pure plan: three versions of some files in, new contents out.
//!
//! For each leaf that went from the stable to the bad version and belongs to the workload: where
//! the branch tip still holds the bad value, the stable version's bytes go back; where it holds the
//! stable one already, it is done; anything else is a person's or a bot's later change and stays.
//! Nothing here reads a repository, a clock or the cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::leaf::{DocumentId, FILE_BYTES_MAX, File, LeafError, Path, Segment, Value};
use super::scope::{self, Changed, Pair, Workload, is_image_part, same_image};
use super::splice::{Edit, SpliceError, splice};

pub use super::refusal::Refusal;

/// One file at the stable version, at the bad version and at the branch tip; absent where it is
/// not in that commit.
#[derive(Debug, Clone, Copy)]
pub struct Versions<'a> {
    /// Path in the repository.
    pub path: &'a str,
    /// Its bytes at the stable version.
    pub good: Option<&'a [u8]>,
    /// Its bytes at the bad version.
    pub bad: Option<&'a [u8]>,
    /// Its bytes at the branch tip.
    pub tip: Option<&'a [u8]>,
}

/// Which of the leaves that differ are to go back.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those that explain how a workload's pod template changed.
    Workload(Workload<'a>),
    /// All of them, in every document or in one.
    All(Option<&'a DocumentId>),
}

/// What a revert comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The files to write, with their whole new contents.
    pub files: Vec<NewContent>,
    /// Every leaf that belongs, with what stands at the tip.
    pub leaves: Vec<LeafChange>,
    /// Changes of the pod template that no leaf accounts for; they are computed somewhere.
    pub unmatched: Vec<String>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContent {
    /// Path in the repository.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

/// A leaf that went from the stable to the bad version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafChange {
    /// Path of the file in the repository.
    pub file: String,
    /// Path in the file.
    pub path: String,
    /// The stable version's value; absent if the bad version added it.
    pub old: Option<String>,
    /// The bad version's value; absent if the bad version removed it.
    pub new: Option<String>,
    /// What stands at the tip.
    pub tip: AtTip,
    /// Whether it is part of an image.
    pub image: bool,
}

/// What stands at the branch tip.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtTip {
    /// The bad value: it goes back.
    Bad,
    /// The stable value: done.
    Good,
    /// Another value.
    Other(String),
    /// Nothing: the leaf, its document or its file is gone.
    Gone,
}

/// A file's three versions, read. What is not there is an empty file.
struct Read<'a> {
    path: &'a str,
    good: File,
    bad: File,
    tip: Result<File, LeafError>,
}

/// A file whose stable or bad version cannot be edited.
struct Unusable {
    path: String,
    error: LeafError,
    /// Whether the tip holds the stable version's bytes again.
    is_back: bool,
}

/// A leaf that belongs, and whether it says which image runs.
struct Chosen<'a> {
    leaf: Changed<'a>,
    image: bool,
}

/// A change of the pod template that no leaf accounts for.
struct Unmatched {
    path: String,
    image: bool,
}

/// Plans the revert.
///
/// # Errors
/// [`Refusal`] when what is to go back, or how, is not certain.
pub fn plan_revert(versions: &[Versions<'_>], which: &Which<'_>) -> Result<Plan, Refusal> {
    let (files, unusable) = read(versions);
    let pairs: Vec<Pair<'_>> = files
        .iter()
        .map(|f| Pair {
            path: f.path,
            good: &f.good,
            bad: &f.bad,
        })
        .collect();
    let (chosen, unmatched) = choose(&pairs, which)?;
    if was_put_back(which, &unusable) {
        return Ok(Plan::default());
    }
    refuse_without_image(which, &unmatched, chosen.is_empty(), unusable)?;

    let mut plan = Plan {
        unmatched: unmatched.into_iter().map(|change| change.path).collect(),
        ..Plan::default()
    };
    for (index, file) in files.iter().enumerate() {
        let leaves: Vec<&Chosen<'_>> = chosen.iter().filter(|c| c.leaf.file == index).collect();
        if !leaves.is_empty() {
            plan_file(file, &leaves, &mut plan)?;
        }
    }
    Ok(plan)
}

/// Reads the files. One whose stable or bad version cannot be edited is set aside with the reason:
/// in a folder it may have nothing to do with the workload.
fn read<'a>(versions: &[Versions<'a>]) -> (Vec<Read<'a>>, Vec<Unusable>) {
    let parse = |bytes: Option<&[u8]>| File::parse(bytes.unwrap_or_default());
    let mut files = Vec::new();
    let mut unusable = Vec::new();
    for version in versions.iter().filter(|v| differ(v)) {
        match (parse(version.good), parse(version.bad)) {
            (Ok(good), Ok(bad)) => {
                files.push(Read {
                    path: version.path,
                    good,
                    bad,
                    tip: parse(version.tip),
                });
            }
            (Err(error), _) | (_, Err(error)) => {
                let is_whole = !matches!(error, LeafError::TooLarge { .. });
                unusable.push(Unusable {
                    path: version.path.to_owned(),
                    error,
                    is_back: is_whole && version.tip == version.good,
                });
            }
        }
    }
    (files, unusable)
}

/// Whether the stable and the bad version differ. Of what is larger than is read only the beginning
/// is known: they differ, or nobody would ask.
fn differ(version: &Versions<'_>) -> bool {
    let is_cut = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.len() > FILE_BYTES_MAX);
    version.good != version.bad || is_cut(version.good)
}

/// Whether the file that the source names cannot be edited, and somebody has put it back as a whole.
/// Only where it is known which version is the stable one.
fn was_put_back(which: &Which<'_>, unusable: &[Unusable]) -> bool {
    let Which::Workload(workload) = which else {
        return false;
    };
    let is_own = |file: &&Unusable| file.path == workload.source_path;
    workload.overrides
        && unusable
            .iter()
            .find(is_own)
            .is_some_and(|file| file.is_back)
}

/// The leaves that belong, and the template's changes that none of them accounts for.
fn choose<'a>(
    pairs: &[Pair<'a>],
    which: &Which<'_>,
) -> Result<(Vec<Chosen<'a>>, Vec<Unmatched>), Refusal> {
    let changed = scope::changed(pairs);
    let workload = match which {
        Which::All(document) => {
            let chosen = changed
                .into_iter()
                .filter(|leaf| document.is_none_or(|d| &leaf.path.document == d))
                .map(|leaf| Chosen { leaf, image: false })
                .collect();
            return Ok((chosen, Vec::new()));
        }
        Which::Workload(workload) => workload,
    };
    let selection = scope::select(pairs, &changed, workload).map_err(|unclear| {
        let show = |i: &usize| {
            let leaf = changed.get(*i)?;
            Some(format!("{}: {}", pairs.get(leaf.file)?.path, leaf.path))
        };
        let candidates: Vec<String> = unclear.candidates.iter().filter_map(show).collect();
        let (change, candidates) = (unclear.change, candidates.join(", "));
        if unclear.named {
            Refusal::Ambiguous { change, candidates }
        } else {
            Refusal::NotNamed { change, candidates }
        }
    })?;
    let chosen = changed
        .into_iter()
        .enumerate()
        .filter(|(i, _)| selection.leaves.contains(i))
        .map(|(i, leaf)| Chosen {
            leaf,
            image: selection.images.contains(&i),
        })
        .collect();
    let unmatched = selection
        .unmatched
        .iter()
        .filter_map(|i| workload.changes.get(*i))
        .map(|c| Unmatched {
            path: c.path.clone(),
            image: c.path.ends_with(".image"),
        })
        .collect();
    Ok((chosen, unmatched))
}

/// A change of the image that is not in Git makes the rest of the revert pointless.
fn refuse_without_image(
    which: &Which<'_>,
    unmatched: &[Unmatched],
    nothing: bool,
    unusable: Vec<Unusable>,
) -> Result<(), Refusal> {
    let image = unmatched.iter().find(|change| change.image);
    let by_workload = matches!(which, Which::Workload(_));
    if (nothing || image.is_some() || !by_workload)
        && let Some(file) = unusable.into_iter().next()
    {
        return Err(Refusal::Unusable {
            file: file.path,
            error: file.error,
        });
    }
    if nothing && by_workload {
        let changes: Vec<&str> = unmatched
            .iter()
            .map(|change| change.path.as_str())
            .collect();
        let changes = if changes.is_empty() {
            "the template".to_owned()
        } else {
            changes.join(", ")
        };
        return Err(Refusal::NothingToRevert { changes });
    }
    match image {
        Some(change) => Err(Refusal::ImageNotFound {
            change: change.path.clone(),
        }),
        None => Ok(()),
    }
}

fn plan_file(file: &Read<'_>, leaves: &[&Chosen<'_>], plan: &mut Plan) -> Result<(), Refusal> {
    let name = || file.path.to_owned();
    let not_exact = |error| Refusal::NotExact {
        file: name(),
        error: Box::new(error),
    };
    let tip = match &file.tip {
        Ok(tip) => tip,
        Err(error) => {
            return Err(Refusal::Unusable {
                file: name(),
                error: error.clone(),
            });
        }
    };
    let mut edits = Vec::new();
    for Chosen { leaf, image } in leaves {
        let at_tip = at_tip(tip.leaves().get(leaf.path).map(|l| &l.value), leaf);
        if at_tip == AtTip::Bad {
            let edit = match (leaf.old, leaf.new) {
                (None, _) => {
                    Edit::Remove(unit(file, tip, leaf, leaves, Side::Bad).map_err(not_exact)?)
                }
                (_, None) => {
                    Edit::Insert(unit(file, tip, leaf, leaves, Side::Good).map_err(not_exact)?)
                }
                _ => Edit::Replace(leaf.path.clone()),
            };
            // Only a whole entry may be meant by several of its leaves.
            if matches!(edit, Edit::Replace(_)) || !edits.contains(&edit) {
                edits.push(edit);
            }
        }
        plan.leaves.push(LeafChange {
            file: name(),
            path: leaf.path.to_string(),
            old: leaf.old.map(|v| v.text().to_owned()),
            new: leaf.new.map(|v| v.text().to_owned()),
            tip: at_tip,
            image: *image,
        });
    }
    whole_images(file, tip, leaves)?;
    if !edits.is_empty() {
        let text = splice(tip, &file.good, &edits).map_err(not_exact)?;
        plan.files.push(NewContent { path: name(), text });
    }
    Ok(())
}

pub(super) fn at_tip(tip: Option<&Value>, leaf: &Changed<'_>) -> AtTip {
    match tip {
        tip if tip == leaf.new => AtTip::Bad,
        tip if tip == leaf.old => AtTip::Good,
        Some(value) => AtTip::Other(value.text().to_owned()),
        None => AtTip::Gone,
    }
}

/// After the revert each image holds the stable version's parts and no other.
fn whole_images(file: &Read<'_>, tip: &File, leaves: &[&Chosen<'_>]) -> Result<(), Refusal> {
    let versions = [&file.good, &file.bad, tip];
    let value = |of: &File, path: &Path| of.leaves().get(path).map(|l| l.value.clone());
    let goes_back: BTreeSet<&Path> = leaves
        .iter()
        .map(|chosen| &chosen.leaf)
        .filter(|leaf| value(tip, leaf.path).as_ref() == leaf.new)
        .map(|leaf| leaf.path)
        .collect();
    let mut parts = goes_back.iter().filter(|path| is_image_part(path));
    let half = parts.find_map(|path| {
        versions
            .iter()
            .flat_map(|f| f.leaves().keys())
            .find(|part| {
                same_image(versions, path, part)
                    && !goes_back.contains(part)
                    && value(tip, part) != value(&file.good, part)
            })
    });
    match half {
        Some(part) => Err(Refusal::ImageHalfMoved {
            file: file.path.to_owned(),
            path: part.to_string(),
        }),
        None => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The entry is in the bad version and the tip, and goes.
    Bad,
    /// The entry is in the good version, and comes back.
    Good,
}

/// The entry or item that goes or comes back with a leaf: the largest that is wholly absent on the
/// other side. All of it has to belong.
fn unit(
    file: &Read<'_>,
    tip: &File,
    leaf: &Changed<'_>,
    leaves: &[&Chosen<'_>],
    side: Side,
) -> Result<Path, SpliceError> {
    let (present, absent): (&File, Vec<&File>) = match side {
        Side::Bad => (&file.bad, vec![&file.good]),
        Side::Good => (&file.good, vec![&file.bad, tip]),
    };
    let is_absent = |path: &Path| {
        absent
            .iter()
            .all(|f| !f.leaves().keys().any(|other| other.starts_with(path)))
    };
    let refuse = |path: &Path, problem| {
        Err(SpliceError::NotExact {
            path: Box::new(path.clone()),
            problem,
        })
    };
    if !is_absent(leaf.path) {
        return refuse(
            leaf.path,
            "a value became a mapping or a list, or the other way round",
        );
    }
    let mut unit = leaf.path.clone();
    while let Some(parent) = unit
        .parent()
        .filter(|p| !p.segments.is_empty() && is_absent(p))
    {
        unit = parent;
    }
    let below = |f: &File| -> BTreeMap<Path, Value> {
        f.leaves()
            .iter()
            .filter(|(path, _)| path.starts_with(&unit))
            .map(|(path, leaf)| (path.clone(), leaf.value.clone()))
            .collect()
    };
    let inside = below(present);
    if side == Side::Bad && below(tip) != inside {
        return refuse(&unit, "it was changed since it was added");
    }
    let names_its_item = |path: &Path| {
        let parent = path.parent();
        let last = parent.as_ref().and_then(|p| p.segments.last());
        matches!(last, Some(Segment::Item { field, .. }) if path.key() == Some(field))
    };
    let belongs = |path: &Path| leaves.iter().any(|c| c.leaf.path == path) || names_its_item(path);
    match inside.keys().find(|path| !belongs(path)) {
        Some(other) => refuse(
            other,
            "it came or went with the change but may not belong to it",
        ),
        None => Ok(unit),
    }
}

/// What a [`Plan`] means for a workload as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Write the files.
    Apply,
    /// The stable version's values stand at the tip already.
    AlreadyReverted,
    /// The image, or everything, was changed since: the rejected version is not asked for any
    /// more, and what stands there now was not tried with the old values.
    Superseded {
        /// The leaves that moved on.
        leaves: Vec<String>,
    },
}

/// Decides for a workload.
pub fn decide(plan: &Plan) -> Decision {
    let moved = |leaf: &&LeafChange| matches!(leaf.tip, AtTip::Other(_) | AtTip::Gone);
    let moved_on: Vec<&LeafChange> = plan.leaves.iter().filter(moved).collect();
    let nothing_left = plan.files.is_empty();
    if nothing_left && moved_on.is_empty() {
        return Decision::AlreadyReverted;
    }
    if nothing_left || moved_on.iter().any(|leaf| leaf.image) {
        let show = |leaf: &&LeafChange| match &leaf.tip {
            AtTip::Other(value) => format!("{}: {} is {value:?}", leaf.file, leaf.path),
            _ => format!("{}: {} is gone", leaf.file, leaf.path),
        };
        return Decision::Superseded {
            leaves: moved_on.iter().map(show).collect(),
        };
    }
    Decision::Apply
}

#[cfg(test)]
pub(super) mod tests;
